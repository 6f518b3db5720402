//! What stays at home leaves, in each way of writing it, and nothing else changes by a byte.

use super::*;
use crate::event::json;
use crate::format::{SubmitCode, edit};
use crate::limits::JSON_DEPTH_MAX;

fn rules(texts: &[&str]) -> Vec<StripRule> {
    texts.iter().map(|text| StripRule::parse(text).unwrap()).collect()
}

/// The payload without what `given` names.
fn without(payload: &str, given: &[&str]) -> String {
    let scan = json::scan(payload.as_bytes(), JSON_DEPTH_MAX).unwrap();
    let leaving = RemovedParts::find(&scan, &rules(given)).unwrap();
    String::from_utf8(edit::copy_without(payload.as_bytes(), &leaving.cuts)).unwrap()
}

#[test]
fn rules_are_read_and_shown_in_one_form() {
    for text in ["rtir_id", "extra.file_name", "extra.*", "feed.url=file:*", "feed.name=a=b", "feed.code="] {
        assert_eq!(StripRule::parse(text).unwrap().to_string(), text);
    }
    let long = "a".repeat(STRIP_RULE_BYTES_MAX + 1);
    for text in ["", ".", "a..b", "*", "*.a", "a*", "a b", "=x", "extra.*=x", "a\n", long.as_str()] {
        assert!(StripRule::parse(text).is_err(), "{text:?}");
    }
    let shown: Vec<String> = StripRule::intelmq_defaults().iter().map(StripRule::to_string).collect();
    assert_eq!(shown, StripRule::INTELMQ_DEFAULTS);
    assert!(StripRule::OFTEN_LOCAL.iter().all(|text| StripRule::parse(text).is_ok()));
}

#[test]
fn the_default_list_takes_what_it_names_however_extra_is_written() {
    for (payload, want) in [
        (r#"{"rtir_id":1,"source.ip":"192.0.2.1"}"#, r#"{"source.ip":"192.0.2.1"}"#),
        (r#"{"a":1,"extra.file_name":"x.csv"}"#, r#"{"a":1}"#),
        (r#"{"a":1,"extra":{"file_name":"x.csv", "b":2}}"#, r#"{"a":1,"extra":{"b":2}}"#),
        (r#"{"a":1,"extra":{"file_name":"x.csv"}}"#, r#"{"a":1}"#),
        (
            r#"{"a":1,"extra":"{\"b\": 1.0, \"file_name\": \"\u00fc\\u00fc\\n\", \"c\": \"\\ud83d\\ude00 \ud83d\ude00 😀\"}"}"#,
            r#"{"a":1,"extra":"{\"b\": 1.0, \"c\": \"\\ud83d\\ude00 \ud83d\ude00 😀\"}"}"#,
        ),
        (r#"{"a":1,"extra":"{\"file_name\":\"x\"}"}"#, r#"{"a":1}"#),
        (r#"{"feed.url":"file:///srv/in","a":1}"#, r#"{"a":1}"#),
        (r#"{"feed.url":"FILE://localhost/srv","a":1}"#, r#"{"a":1}"#),
        (r#"{"feed.url":"f\u0069le:x","a":1}"#, r#"{"a":1}"#),
        (r#"{"feed":{"url":"file:///srv/in","name":"n"},"a":1}"#, r#"{"feed":{"name":"n"},"a":1}"#),
        (r#"{"\u0072tir_id":1,"a":1}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(without(payload, &StripRule::INTELMQ_DEFAULTS), want, "{payload}");
    }
    for stays in [
        r#"{"feed.url":"https://example.com/file:","rtir_ids":1,"extra.rtir_id":2,"extra.file_names":3}"#,
        r#"{"feed.url":["file:///x"],"a":{"rtir_id":1},"extra":[{"file_name":1}]}"#,
        r#"{"extra":"no JSON {\"file_name\"","feed.url":7}"#,
        r#"{"extra":"[{\"file_name\":1}]","feed.url":""}"#,
    ] {
        assert_eq!(without(stays, &StripRule::INTELMQ_DEFAULTS), stays);
    }
}

#[test]
fn a_rule_may_take_all_below_a_field_or_one_value_alone() {
    let payload = r#"{"extra.a":1,"extra":{"b":{"c":2}},"extrab":3}"#;
    assert_eq!(without(payload, &["extra.*"]), r#"{"extrab":3}"#);
    assert_eq!(without(payload, &["extra.b.c"]), r#"{"extra.a":1,"extrab":3}"#);
    assert_eq!(without(r#"{"feed":1,"feed.name":2}"#, &["feed.*"]), r#"{"feed":1}"#);
    assert_eq!(without(r#"{"feed":1,"feed.name":2,"a":1}"#, &["feed"]), r#"{"a":1}"#);
    assert_eq!(without(r#"{"tag":"x","tags":"x"}"#, &["tag=x", "tags=X"]), r#"{"tags":"x"}"#);
}

#[test]
fn an_unreadable_extra_is_refused_only_where_something_below_it_stays_at_home() {
    let payload = r#"{"extra":"{\"file_name\":\"x\",\"v\":NaN}"}"#;
    let scan = json::scan(payload.as_bytes(), JSON_DEPTH_MAX).unwrap();
    assert!(RemovedParts::find(&scan, &rules(&["rtir_id"])).unwrap().cuts.is_empty());
    let fault = RemovedParts::find(&scan, &rules(&["extra.file_name"])).err().unwrap();
    assert_eq!(fault.code, SubmitCode::BadJson);
}

#[test]
fn a_trace_is_found_wherever_it_stands_and_leaves() {
    for payload in [
        r#"{"a":1,"extra.intelmesh":{"uuid":"u","path":"!x"}}"#,
        r#"{"a":1,"extra":{"intelmesh":{"uuid":"u"}}}"#,
        r#"{"a":1,"extra":"{\"intelmesh\":{\"path\":1,\"uuid\":\"u\"}}"}"#,
        r#"{"a":1,"extra":{"intelmesh.uuid":"u","intelmesh.moved.x":1}}"#,
    ] {
        let scan = json::scan(payload.as_bytes(), JSON_DEPTH_MAX).unwrap();
        assert_eq!(RemovedParts::find(&scan, &[]).unwrap().uuid.as_deref(), Some("u"), "{payload}");
        assert_eq!(without(payload, &[]), r#"{"a":1}"#);
    }
}

#[test]
fn an_extra_that_only_python_reads_does_not_hide_where_an_event_came_from() {
    let found = |payload: &str, given: &[&str]| {
        let scan = json::scan(payload.as_bytes(), JSON_DEPTH_MAX).unwrap();
        RemovedParts::find(&scan, &rules(given)).map(|leaving| leaving.uuid).map_err(|fault| fault.code)
    };
    let traced = Ok(Some("u".to_owned()));
    for given in [&[][..], &StripRule::INTELMQ_DEFAULTS] {
        for extra in [
            r#"{\"v\":NaN,\"intelmesh.uuid\":\"u\"}"#,
            r#"{\"é NaN \\\"\":[-Infinity,Infinity],\"intelmesh\":{\"uuid\":\"u\"}}"#,
        ] {
            assert_eq!(found(&format!(r#"{{"a":1,"extra":"{extra}"}}"#), given), traced, "{extra}");
        }
        for extra in [
            r#"{\"a\":1,\"a\":2,\"intelmesh.uuid\":\"u\"}"#,
            r#"{\"a\":\"\\ud800\",\"\\u0069ntelmesh.uuid\":\"u\"}"#,
        ] {
            let said = found(&format!(r#"{{"a":1,"extra":"{extra}"}}"#), given);
            assert_eq!(said, Err(SubmitCode::BadJson), "{extra}");
        }
    }
    let payload = r#"{"a":1,"extra":"{\"v\": -Infinity, \"intelmesh.uuid\": \"u\", \"w\": NaN}"}"#;
    assert_eq!(without(payload, &[]), r#"{"a":1,"extra":"{\"v\": -Infinity, \"w\": NaN}"}"#);
    assert_eq!(without(r#"{"extra":"{\"a\":1,\"a\":2}"}"#, &[]), r#"{"extra":"{\"a\":1,\"a\":2}"}"#);
}

/// An object of a few fields, some of them to be stripped, written compactly.
fn objects() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        "[a\"\\\\/é\u{1}😀:,{}]{0,6}".prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!(["file:x", {"file_name": 1}])),
    ];
    let key = prop_oneof![Just("file_name".to_owned()), Just("intelmesh".to_owned()), "[a-c\"é]{1,2}"];
    proptest::collection::btree_map(key, leaf, 0..5).prop_map(|map| map.into_iter().collect())
}

proptest::proptest! {
    #[test]
    fn stripping_text_and_stripping_values_agree(extra in objects(), as_string in proptest::bool::ANY) {
        let mut want = extra.clone();
        let members = want.as_object_mut().unwrap();
        let before = members.len();
        members.retain(|key, _| key != "file_name" && key != "intelmesh");
        let emptied = members.is_empty() && before > 0;
        let write = |value: &serde_json::Value| match as_string {
            true => serde_json::Value::from(value.to_string()).to_string(),
            false => value.to_string(),
        };
        let payload = format!("{{\"z\":1,\"extra\":{}}}", write(&extra));
        let left = without(&payload, &["extra.file_name"]);
        let want = if emptied { "{\"z\":1}".to_owned() } else { format!("{{\"z\":1,\"extra\":{}}}", write(&want)) };
        proptest::prop_assert_eq!(left, want);
    }
}
