//! A producer that misspells a control key gets an error, never a wider audience: each key, in each wrong way, in
//! each form of a line.

use super::*;

/// A control key, a value that it could have, a typo and a synonym of it.
const KEYS: [(&str, &str, &str, &str); 7] = [
    ("tlp", r#""AMBER""#, "tpl", "label"),
    ("to", r#"["cert-ee"]"#, "too", "recipients"),
    ("seal", "true", "seall", "encrypted"),
    ("expires", r#""2099-01-01T00:00:00Z""#, "expirse", "valid_until"),
    ("links", r#"[{"type":"alternate","right":"RT#1"}]"#, "lniks", "Link"),
    ("ids", r#""random""#, "isd", "IDS"),
    ("uuid", r#"{"current":"72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b"}"#, "uuiid", "UU-ID"),
];

/// Returns lines in each form, with `member` in every place in which a producer could put it.
fn lines_with(member: &str) -> [String; 6] {
    [
        format!(r#"{{"meta":{{{member}}},"payload":{{"a":1}}}}"#),
        format!(r#"{{{member},"payload":{{"a":1}}}}"#),
        format!(
            r#"{{"format":"intelmq","version":1,"type":"event","meta":{{{member}}},"payload":{{"a":1}}}}"#
        ),
        format!(r#"{{"format":"intelmq",{member},"meta":{{}},"payload":{{"a":1}}}}"#),
        // The plain form has no meta: with one it is half of another form.
        format!(r#"{{"meta":{{{member}}},"a":1}}"#),
        format!(r#"{{"Meta":{{{member}}},"a":1}}"#),
    ]
}

fn refusal(line: &str) -> SubmitError {
    match intake(line.as_bytes(), &door()) {
        Err(fault) => fault,
        Ok(_) => panic!("accepted: {line}"),
    }
}

#[test]
fn misspelt_control_keys_are_refused_in_every_form() {
    for (key, value, typo, synonym) in KEYS {
        let upper = key.to_ascii_uppercase();
        for wrong in [&*upper, typo, synonym] {
            for line in lines_with(&format!("\"{wrong}\":{value}")) {
                let fault = refusal(&line);
                assert_eq!(fault.code, SubmitCode::BadMeta, "{line}: {fault}");
                assert!(fault.hint.is_some(), "{line}");
            }
            let fault = refusal(&format!(r#"{{"meta":{{"{wrong}":{value}}},"payload":{{"a":1}}}}"#));
            assert_eq!(fault.hint, SubmitError::resembles(wrong, key).hint, "{wrong}");
        }
    }
}

#[test]
fn control_keys_without_a_value_are_refused() {
    for (key, ..) in KEYS {
        for nothing in ["null", "\"\"", "[]", "{}", "[ ]", "\" \""] {
            for line in lines_with(&format!("\"{key}\":{nothing}")) {
                assert_eq!(refusal(&line).code, SubmitCode::BadMeta, "{line}");
            }
        }
    }
    for line in [
        r#"{"meta":null,"payload":{"a":1}}"#,
        r#"{"meta":{"uuid":{"current":null,"parent":null}},"payload":{"a":1}}"#,
        r#"{"meta":{"type":null,"format":null,"ext":null},"payload":{"a":1}}"#,
    ] {
        assert_eq!(code(line), "ok", "{line}");
    }
}

#[test]
fn control_keys_beside_the_payload_are_refused() {
    for (key, value, ..) in KEYS {
        let fault = refusal(&format!(r#"{{"{key}":{value},"payload":{{"a":1}}}}"#));
        assert_eq!((fault.code, fault.hint), (SubmitCode::BadMeta, Some("it belongs into meta")));
    }
}

#[test]
fn meta_without_a_payload_is_refused() {
    for (line, hint) in [
        (r#"{"meta":{"tlp":"RED"},"event":{"a":1}}"#, "put the event below"),
        (r#"{"meta":null,"a":1}"#, "put the event below"),
        (r#"{"Meta":{"tlp":"RED"},"payload":{"a":1}}"#, "did you mean \"meta\"?"),
        (r#"{"meta":{"tlp":"RED"},"PAYLOAD":{"a":1}}"#, "did you mean \"payload\"?"),
        (r#"{"Payload":{"a":1}}"#, "did you mean \"payload\"?"),
        (r#"{"meta":{"tlp":"RED"},"pay_load":{},"payload":{"a":1}}"#, "did you mean \"payload\"?"),
    ] {
        let fault = refusal(line);
        assert_eq!(fault.code, SubmitCode::BadMeta, "{line}");
        assert!(fault.hint.is_some_and(|it| it.starts_with(hint)), "{line}: {:?}", fault.hint);
    }
}

#[test]
fn what_means_nothing_is_kept_and_named() {
    let line = r#"{"note":1,"meta":{"campaign":"x","x-own":2,"ail:id":3,"guid":4,"ids":[5],"links":["http://example.org/"],"ext":{"tlp":"RED","Recipients":6}},"payload":{"a":1}}"#;
    let read = intake(line.as_bytes(), &door()).unwrap();
    assert_eq!(read.unknown_keys(), ["campaign", "ail:id", "guid", "ids", "links", "note"]);
    let kept = ext(line).unwrap();
    assert!(kept.contains(r#""x-own":2"#) && kept.contains(r#""Recipients":6"#), "{kept}");
    assert_eq!(core(line).tlp, Tlp::Green, "inside ext nothing acts but tags");
    let plain = intake(br#"{"a":1}"#, &door()).unwrap();
    assert!(plain.unknown_keys().is_empty());
}
