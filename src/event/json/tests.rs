//! The scanner against tables, and against serde_json as an oracle.

use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> Option<JsonError> {
    scan(text.as_bytes(), 64).err()
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    assert_eq!(fault(r#"{"a":1,"\u0061":2}"#), Some(JsonError::DuplicateKey { key: "a".into() }));
    assert_eq!(fault(r#"[{"b":{"a":1,"c":2,"a":2}}]"#), Some(JsonError::DuplicateKey { key: "a".into() }));
    assert_eq!(fault(r#"{"a":"\ud800"}"#), Some(JsonError::Surrogate(6)));
    assert_eq!(fault(r#"{"a":"\udc00\ud800"}"#), Some(JsonError::Surrogate(6)));
    assert_eq!(fault(r#"{"a":"\ud800\u0041"}"#), Some(JsonError::Surrogate(6)));
    assert_eq!(fault(r#"{"\ud800":1}"#), Some(JsonError::Surrogate(2)));
    assert_eq!(fault(r#"{"a":NaN}"#), Some(JsonError::NotFinite(5)));
    assert_eq!(fault(r#"{"a":[-Infinity]}"#), Some(JsonError::NotFinite(6)));
    assert_eq!(fault(r#"{"a":Infinity}"#), Some(JsonError::NotFinite(5)));
    assert_eq!(scan(b"{\"a\":\"\xff\"}", 64).err(), Some(JsonError::NotUtf8(6)));
}

#[test]
fn a_number_that_no_float_holds_is_still_a_number() {
    assert_eq!(fault(r#"{"a":0.1e310,"b":-1e9999}"#), None);
}

#[test]
fn the_same_key_may_stand_in_different_objects() {
    assert_eq!(fault(r#"{"a":{"a":1,"b":[{"a":1},{"a":2}]},"b":{"a":1}}"#), None);
}

#[test]
fn what_is_no_json_is_no_json() {
    for text in [
        "",
        " ",
        "{",
        "{}x",
        "{}{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "[,1]",
        "01",
        "-01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "tru",
        "True",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\\u123\"",
        "\"a\u{1}\"",
        "\"a\nb\"",
        "{\"a\":1 \"b\":2}",
        "\u{feff}{}",
        "/**/{}",
        "0x10",
        "1_000",
        "--1",
    ] {
        assert!(matches!(fault(text), Some(JsonError::Syntax(_))), "{text}: {:?}", fault(text));
    }
}

#[test]
fn depth_is_counted_in_objects_and_arrays() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(scan(nested(64).as_bytes(), 64).unwrap().depth, 64);
    assert_eq!(fault(&nested(65)), Some(JsonError::TooDeep { at: 64, max: 64 }));
    assert!(matches!(fault(&"[".repeat(1 << 20)), Some(JsonError::TooDeep { .. })));
}

#[test]
fn keys_are_measured_unescaped() {
    let object = |key: &str| format!("{{\"{key}\":1}}");
    assert_eq!(fault(&object(&"k".repeat(4096))), None);
    assert_eq!(fault(&object(&"\\u0041".repeat(4096))), None);
    assert_eq!(fault(&object(&"k".repeat(4097))), Some(JsonError::KeyTooLong(1)));
}

#[test]
fn members_stand_where_they_are_said_to() {
    let text = r#" {"a" : 1e2 , "\u0062":{"c":[ ]}} "#;
    let found = scan(text.as_bytes(), 64).unwrap();
    let members: Vec<_> = found
        .members
        .iter()
        .map(|m| (&*m.key, &text[m.key_at.clone()], &text[m.value_at.clone()], m.kind))
        .collect();
    assert_eq!(
        members,
        [("a", "\"a\"", "1e2", JsonKind::Number), ("b", "\"\\u0062\"", "{\"c\":[ ]}", JsonKind::Object)]
    );
    assert_eq!(found.value_at, 1..text.len() - 1);
}

#[test]
fn many_keys_do_not_take_square_time() {
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"{:x}\":0", (n * 7919) % 100_003)).collect();
    let text = format!("{{\"x\":{{{}}}}}", keys.join(","));
    assert_eq!(fault(&text), None);
}

/// JSON text of many shapes, not all of it valid.
fn text() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{".to_owned()),
        Just("}".into()),
        Just("[".into()),
        Just("]".into()),
        Just(",".into()),
        Just(":".into()),
        Just(" ".into()),
        Just("\"a\"".into()),
        Just("\"\\u00e9\"".into()),
        Just("true".into()),
        Just("null".into()),
        Just("-".into()),
        "[0-9]{1,3}",
        "[0-9]\\.[0-9]{1,2}e-?[0-9]",
        "\"[a-c\\\\/ü\"]{0,4}\"",
    ];
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e9f64..1e9).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_serde_json_about_syntax(text in text()) {
        let ours = fault(&text);
        let fits = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) => Some(true),
            // It has read no further; the number, beyond any f64, is good JSON.
            Err(error) if error.to_string().starts_with("number out of range") => None,
            Err(_) => Some(false),
        };
        match ours {
            // serde_json keeps the last of two equal keys.
            None | Some(JsonError::DuplicateKey { .. }) => prop_assert_ne!(fits, Some(false), "{}", text),
            Some(_) => prop_assert_ne!(fits, Some(true), "{}", text),
        }
    }

    #[test]
    fn all_that_serde_json_writes_is_accepted_and_its_members_are_found(value in value()) {
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let found = scan(text.as_bytes(), 64).unwrap();
            if let serde_json::Value::Object(members) = &value {
                prop_assert_eq!(found.members.len(), members.len());
                for member in &found.members {
                    let part: serde_json::Value = serde_json::from_str(&text[member.value_at.clone()]).unwrap();
                    prop_assert_eq!(&part, &members[&*member.key]);
                    let (inside, alone) = (found.inside(member), scan(found.inside(member).text.as_bytes(), 64).unwrap());
                    prop_assert_eq!((inside.members, inside.kind, inside.depth), (alone.members, alone.kind, alone.depth));
                }
            }
        }
    }

    #[test]
    fn checked_text_is_read_as_serde_json_reads_it(value in value()) {
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let found = scan(text.as_bytes(), 64).unwrap();
            prop_assert_eq!(members(&text), found.members);
            if let serde_json::Value::Array(values) = &value {
                let read = elements(&text).map(|element| serde_json::from_str(element).unwrap());
                prop_assert_eq!(read.collect::<Vec<serde_json::Value>>(), values.clone());
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_checked_text_panic(text in text()) {
        let _ = (members(&text), elements(&text).count(), JsonTokens::of(&text).count());
    }

    #[test]
    fn unescaping_agrees_with_serde_json(text in any::<String>()) {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        prop_assert_eq!(unescape(&escaped), &*text);
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unescape(&quoted[1..quoted.len() - 1]), text);
    }

    #[test]
    fn no_bytes_make_the_scanner_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = scan(&bytes, 8);
    }
}
