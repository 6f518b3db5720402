//! Lines and what becomes of them: each code of the contract has a line that gets it.

mod closed;

use uuid::Uuid;

use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Core, IdScheme};
use crate::format::{FieldRemoval, IdInputs};
use crate::identity::{ProjectName, PublisherName};
use crate::link::LinkTarget;
use crate::time::Timestamp;

fn door() -> DoorDefaults {
    DoorDefaults::of(
        PublisherName::parse("cert-at").unwrap(),
        ProjectName::parse("intelmq").unwrap(),
        Tlp::Green,
    )
}

const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";

fn core_at(line: &str, door: &DoorDefaults) -> Result<Core, SubmitError> {
    let secret = BodyIdSecret::new([3; 32]);
    let made = IdInputs { now: Timestamp(1_763_632_800_123), random: Uuid::from_u128(42), secret: &secret };
    match intake(line.as_bytes(), door)? {
        ParsedSubmission::New(draft) => draft.into_core(&made),
        other => panic!("no new event: {other:?}"),
    }
}

fn core(line: &str) -> Core {
    core_at(line, &door()).unwrap_or_else(|fault| panic!("{line}: {fault:?}"))
}

fn code(line: &str) -> &'static str {
    match intake(line.as_bytes(), &door()) {
        Ok(ParsedSubmission::Returned(returned)) => returned.unseen().code.as_str(),
        Err(fault) => fault.code.as_str(),
        Ok(_) => core_at(line, &door()).err().map_or("ok", |fault| fault.code.as_str()),
    }
}

fn body(line: &str) -> String {
    String::from_utf8(core(line).body.bytes().to_vec()).unwrap()
}

fn ext(line: &str) -> Option<String> {
    core(line).ext.map(|ext| String::from_utf8(ext.to_vec()).unwrap())
}

#[test]
fn each_refused_line_gets_its_code() {
    let nested = |depth: usize| {
        format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).replace("\"a\"", "\"extra\"")
    };
    let long = format!("{{\"raw\":\"{}\"}}", "A".repeat(1 << 20));
    for (line, want) in [
        ("hello", "bad_json"),
        (r#"{"a":1"#, "bad_json"),
        (r#"{"a":1}}"#, "bad_json"),
        (r#"{"a":"\ud800"}"#, "bad_json"),
        ("[]", "not_object"),
        ("1", "not_object"),
        (r#"{"payload":[]}"#, "not_object"),
        (r#"{"payload":null,"meta":{}}"#, "not_object"),
        ("{}", "empty"),
        ("  ", "empty"),
        (r#"{"__type":"Event"}"#, "empty"),
        (r#"{"meta":{},"payload":{}}"#, "empty"),
        (r#"{"a":1,"\u0061":2}"#, "duplicate_key"),
        (r#"{"meta":{"x-a":{"b":1,"b":2}},"payload":{"a":1}}"#, "duplicate_key"),
        (r#"{"a":NaN}"#, "bad_number"),
        (r#"{"a":-Infinity}"#, "bad_number"),
        (r#"{"meta":{"ids":"content"},"payload":{"a":9007199254740993}}"#, "bad_number"),
        (&long, "too_large"),
        (&format!("{{\"{}\":1}}", "k".repeat(4097)), "too_large"),
        (
            &format!("{{\"meta\":{{\"x-a\":\"{}\"}},\"payload\":{{\"a\":1}}}}", "k".repeat(33_000)),
            "too_large",
        ),
        (&nested(64), "too_deep"),
        (&nested(63), "ok"),
        (&format!("{{\"payload\":{}}}", nested(64)), "too_deep"),
        (&format!("{{\"payload\":{}}}", nested(63)), "ok"),
        (r#"{"meta":1,"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"version":"1"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"type":"alert"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"format":"In tel"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"to":[]},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"to":7},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"to":"cert-ee"},"payload":{"a":1}}"#, "ok"),
        (r#"{"meta":{"to":["No Name"]},"payload":{"a":1}}"#, "unknown_recipient"),
        (r#"{"meta":{"expires":"tomorrow"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"expires":"2020-01-01T00:00:00Z"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"links":[{"type":"related","right":"RT#1"}]},"payload":{"a":1}}"#, "bad_meta"),
        (
            &format!(
                r#"{{"meta":{{"links":[{{"type":"related","left":"{UUID}","right":"{UUID}"}}]}},"payload":{{"a":1}}}}"#
            ),
            "bad_meta",
        ),
        (r#"{"meta":{"ids":"serial"},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"ext":[1]},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"ext":{"x-a":1},"x-a":2},"payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{},"tlp":"RED","payload":{"a":1}}"#, "bad_meta"),
        (r#"{"meta":{"uuid":{"current":"x"}},"payload":{"a":1}}"#, "bad_id"),
        (r#"{"meta":{"uuid":{"current":7}},"payload":{"a":1}}"#, "bad_id"),
        (r#"{"meta":{"uuid":{"parent":"x"}},"payload":{"a":1}}"#, "bad_id"),
        (r#"{"meta":{"tlp":"PINK"},"payload":{"a":1}}"#, "bad_tlp"),
        (r#"{"meta":{"tlp":"RED"},"payload":{"a":1}}"#, "bad_tlp"),
        (r#"{"tlp":"amber+strict"}"#, "bad_tlp"),
        (r#"{"tlp":"PINK"}"#, "bad_tlp"),
        (r#"{"tlp":7}"#, "bad_tlp"),
        (r#"{"source.ip":["192.0.2.1","192.0.2.2"]}"#, "multi_value"),
        (r#"{"source":{"ip":["192.0.2.1"]}}"#, "ok"),
        (r#"{"extra.tags":["a"],"extra":{"b":[1]}}"#, "ok"),
        (r#"{"meta":{"format":"idea"},"payload":{"Source":[{"IP4":["192.0.2.1"]}]}}"#, "ok"),
    ] {
        assert_eq!(code(line), want, "{}", &line[..line.len().min(200)]);
    }
}

#[test]
fn a_content_id_must_fit_the_payload() {
    let line = format!(r#"{{"meta":{{"ids":"content","uuid":{{"current":"{UUID}"}}}},"payload":{{"a":1}}}}"#);
    assert_eq!(code(&line), "bad_id");
    let made = core(r#"{"meta":{"ids":"content"},"payload":{"a":1}}"#);
    let again = core(&line.replace(UUID, &made.id.uuid.to_string()));
    assert_eq!((again.id, again.ids), (made.id, IdScheme::Content));
}

#[test]
fn a_given_id_that_is_not_the_contents_is_refused_at_a_content_door() {
    let at = |scheme: IdScheme, meta: &str| {
        let line = format!(r#"{{"meta":{{"uuid":{{"current":"{UUID}"}}{meta}}},"payload":{{"a":1}}}}"#);
        core_at(&line, &DoorDefaults { ids: scheme, ..door() })
    };
    assert_eq!(at(IdScheme::Content, "").unwrap_err().code, SubmitCode::BadId);
    let given = at(IdScheme::Content, r#","ids":"random""#).unwrap();
    assert_eq!((given.id.uuid.to_string().as_str(), given.ids), (UUID, IdScheme::Random));
    let given = at(IdScheme::Body, "").unwrap();
    assert_eq!((given.id.uuid.to_string().as_str(), given.ids), (UUID, IdScheme::Random));
}

#[test]
fn the_three_forms_say_the_same() {
    let plain = core(r#"{"source.ip":"192.0.2.1","__type":"Report"}"#);
    let iep04 = core(
        r#"{"meta":{"version":1,"type":"report","format":"intelmq"},"payload":{"source.ip":"192.0.2.1"}}"#,
    );
    let ail = core(
        r#"{"format":"intelmq","version":1,"type":"report","meta":{},"payload":{"source.ip":"192.0.2.1"}}"#,
    );
    assert_eq!(plain, iep04);
    assert_eq!(plain, ail);
    assert_eq!(plain.event_type, EventType::Report);
    assert_eq!(plain.id.uuid, Uuid::from_u128(42));
}

#[test]
fn values_stay_token_for_token() {
    let payload = r#"{"b" : 100.0,"a":100, "big":12345678901234567890123,"e":1E+2,"s":"\u00e9\/é","n":{"z":[1e400,-0.0]}}"#;
    assert_eq!(body(payload), payload);
    assert_eq!(body(&format!("{{\"payload\": {payload} }}")), payload);
    assert_eq!(body("{\n \"a\" :\r\n1 }\r\n"), r#"{ "a" :1 }"#);
}

#[test]
fn ids_are_taken_when_given_and_made_when_not() {
    let given = core(&format!(r#"{{"meta":{{"uuid":{{"current":"{UUID}"}}}},"payload":{{"a":1}}}}"#));
    assert_eq!(given.id.to_string(), format!("cert-at:intelmq:{UUID}"));
    let named =
        core(&format!(r#"{{"meta":{{"uuid":{{"current":"cert_at:rt:{UUID}"}}}},"payload":{{"a":1}}}}"#));
    assert_eq!(named.id.to_string(), format!("cert-at:rt:{UUID}"));
    let ail = core(&format!(
        r#"{{"format":"intelmq","meta":{{"uuid":"{UUID}","uuid_org":"x"}},"payload":{{"a":1}}}}"#
    ));
    assert_eq!(ail.id, given.id);
    assert_eq!(ail.ext.unwrap(), r#"{"uuid_org":"x"}"#);
    let body = core(r#"{"meta":{"ids":"body"},"payload":{"a":1}}"#);
    assert_eq!((body.ids, body.id.uuid.get_version_num()), (IdScheme::Body, 8));
}

#[test]
fn an_id_of_another_publisher_is_asked_about() {
    let line = format!(r#"{{"meta":{{"uuid":{{"current":"cert-ee:intelmq:{UUID}"}}}},"payload":{{"a":1}}}}"#);
    let Ok(ParsedSubmission::Returned(returned)) = intake(line.as_bytes(), &door()) else {
        panic!("not returned")
    };
    assert_eq!(returned.id.to_string(), format!("cert-ee:intelmq:{UUID}"));
    let unseen = returned.unseen();
    assert_eq!(unseen.code, SubmitCode::BadId);
    assert!(unseen.hint.unwrap().contains("uuid.parent"));
}

#[test]
fn what_was_handed_off_before_is_recognised_however_extra_is_written() {
    let name = format!("cert-ee:intelmq:{UUID}");
    for line in [
        format!(r#"{{"extra.intelmesh.uuid":"{name}","tlp":"RED"}}"#),
        format!(r#"{{"extra.intelmesh":{{"uuid":"{name}"}}}}"#),
        format!(r#"{{"extra":{{"intelmesh":{{"path":"!a","uuid":"{name}"}}}}}}"#),
        format!(r#"{{"extra":{{"intelmesh.uuid":"{name}"}},"a":1}}"#),
        format!(r#"{{"extra":"{{\"intelmesh.uuid\":\"{name}\"}}"}}"#),
        format!(r#"{{"extra":"{{\"intelmesh\":{{\"uuid\":\"{name}\"}}}}"}}"#),
        format!(r#"{{"\u0065xtra.intelmesh.uuid":"{name}"}}"#),
        format!(r#"{{"meta":{{"tlp":"GREEN"}},"payload":{{"extra.intelmesh.uuid":"{name}"}}}}"#),
    ] {
        match intake(line.as_bytes(), &door()) {
            Ok(ParsedSubmission::Returned(returned)) => {
                assert_eq!(returned.id.to_string(), name, "{line}");
                assert_eq!(returned.unseen().code, SubmitCode::ForeignEvent);
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!(code(r#"{"extra.intelmesh.uuid":"no id","a":1}"#), "foreign_event");
}

#[test]
fn traces_of_a_hand_off_are_removed_and_nothing_else() {
    let line = r#"{"a" : 1, "extra.intelmesh.path":"!x" , "extra":{"intelmesh.tlp":"GREEN", "b":[2] ,"intelmesh":{"path":1}},"extra.intelmeshed":3,"__type":"Event"}"#;
    assert_eq!(body(line), r#"{"a" : 1, "extra":{"b":[2]},"extra.intelmeshed":3}"#);
}

#[test]
fn the_strictest_label_counts_and_the_default_only_where_none_is_given() {
    let labelled = |meta: Option<&str>, payload: Option<&str>, at_door: Option<Tlp>, default_tlp: Tlp| {
        let meta = meta.map_or_else(String::new, |label| format!("\"tlp\":\"{label}\""));
        let payload = payload.map_or_else(String::new, |label| format!(",\"tlp\":\"{label}\""));
        let line = format!("{{\"meta\":{{{meta}}},\"payload\":{{\"a\":1{payload}}}}}");
        core_at(&line, &DoorDefaults { tlp: at_door, default_tlp, ..door() }).unwrap().tlp
    };
    assert_eq!(labelled(None, None, None, Tlp::Green), Tlp::Green);
    assert_eq!(labelled(None, Some("WHITE"), None, Tlp::Amber), Tlp::Clear);
    assert_eq!(labelled(Some("tlp:green"), Some("yellow"), None, Tlp::Clear), Tlp::Amber);
    assert_eq!(labelled(Some("AMBER"), Some("CLEAR"), None, Tlp::Clear), Tlp::Amber);
    assert_eq!(labelled(Some("CLEAR"), None, Some(Tlp::Amber), Tlp::Clear), Tlp::Amber);
    assert_eq!(labelled(Some("CLEAR"), None, None, Tlp::Amber), Tlp::Clear);
}

#[test]
fn unknown_meta_is_kept_as_ext_under_its_own_name() {
    assert_eq!(ext(r#"{"meta":{},"payload":{"a":1}}"#), None);
    let line = r#"{"meta":{"x-a": 1.0,"publisher":"me","seq":9,"ext":{"rtir_id":12345, "\u0062":2},"tags":["t"],"version":3},"payload":{"a":1}}"#;
    assert_eq!(ext(line).unwrap(), r#"{"x-a":1.0,"rtir_id":12345,"\u0062":2,"tags":["t"],"version":3}"#);
}

#[test]
fn links_and_parent_are_read_as_names() {
    let line = format!(
        r#"{{"meta":{{"uuid":{{"parent":"cert-ee:intelmq:{UUID}"}},"links":[{{"type":"same_report","right":"{UUID}"}},{{"type":"alternate","right":"RT#1","left":"cert-ee:rt:{UUID}"}}]}},"payload":{{"a":1}}}}"#
    );
    let read = core(&line);
    assert_eq!(read.parent.unwrap().to_string(), format!("cert-ee:intelmq:{UUID}"));
    assert_eq!(read.links[0].relation.as_str(), "same-report");
    assert_eq!(read.links[0].right, LinkTarget::Event(format!("cert-at:intelmq:{UUID}").parse().unwrap()));
    assert_eq!(read.links[1].right, LinkTarget::Opaque("RT#1".into()));
    assert!(read.links[1].left.is_some());
}

proptest::proptest! {
    #[test]
    fn no_line_makes_intake_panic(line in "(\\{|\\}|\\[|\\]|,|:|\"(meta|payload|uuid|extra|intelmesh|a|ext|tlp|to|links)\"|\"x\"|1|null| ){0,20}") {
        let _ = code(&line);
    }
}

/// What IntelMQ's own collectors make, in each of the forms.
#[test]
fn reports_come_through_as_their_collectors_make_them() {
    let payload = r#"{"feed.accuracy":100.0,"feed.name":"Example feed","feed.url":"http://localhost/x.csv","raw":"c291cmNlLmlwCg==","rtir_id":4711,"time.observation":"2026-11-20T10:00:00+00:00"}"#;
    let typed = format!(r#"{}, "__type": "Report"}}"#, payload.strip_suffix('}').unwrap());
    for line in [
        typed.clone(),
        format!(r#"{{"meta":{{"type":"report"}},"payload":{payload}}}"#),
        format!(r#"{{"meta":{{"type":"Report","format":"intelmq"}},"payload":{typed}}}"#),
        format!(r#"{{"meta":{{}},"payload":{typed}}}"#),
        format!(r#"{{"meta":{{}},"payload":{payload},"__type":"Report"}}"#),
        format!(r#"{{"format":"intelmq","version":1,"type":"report","meta":{{}},"payload":{payload}}}"#),
    ] {
        let read = core(&line);
        assert_eq!(
            (read.event_type, read.body.bytes().as_ref()),
            (EventType::Report, payload.as_bytes()),
            "{line}"
        );
    }
    let at_intelmq = door().at_intelmq();
    let read = core_at(&typed, &at_intelmq).unwrap();
    assert_eq!((read.event_type, read.ids), (EventType::Report, IdScheme::Body));
    assert_eq!(read.body.bytes().as_ref(), payload.replace("\"rtir_id\":4711,", "").as_bytes());
}

#[test]
fn doors_to_intelmq_recognise_what_a_bot_sends_again() {
    let door = door().at_intelmq();
    let line = r#"{"source.ip":"192.0.2.1","raw":"eA=="}"#;
    let twice = [(); 2].map(|()| core_at(line, &door).unwrap());
    assert_eq!((&twice[0].id, twice[0].ids), (&twice[1].id, IdScheme::Body));
    let local = core_at(r#"{"source.ip":"192.0.2.1","raw":"eA==","rtir_id":5}"#, &door).unwrap();
    assert_eq!(local.id, twice[0].id, "what stays at home is no part of the body");
    let content = core_at(line, &DoorDefaults { ids: IdScheme::Content, ..door.clone() }).unwrap();
    let elsewhere = core_at(
        r#"{"raw":"eQ==","source.ip":"192.0.2.1"}"#,
        &DoorDefaults { ids: IdScheme::Content, ..door },
    );
    assert_eq!((content.ids, content.id), (IdScheme::Content, elsewhere.unwrap().id));
}

#[test]
fn secrets_in_urls_stay_at_home_by_default() {
    let door = door().at_intelmq();
    let line = r#"{"feed.url" : "https://u:p@feed.example/?apikey=s3cret&x=1","source.url":"http://h/?token=1","extra":{"certbund":{"source_contacts":[1]},"url":"ftp://a:b@h"},"n":1.0}"#;
    let want = r#"{"feed.url" : "https://***@feed.example/?apikey=***&x=1","source.url":"http://h/?token=***","extra":{"url":"ftp://***@h"},"n":1.0}"#;
    let published = |door: &DoorDefaults| core_at(line, door).unwrap().body.bytes().to_vec();
    assert_eq!(String::from_utf8(published(&door)).unwrap(), want);
    let whole = DoorDefaults { removal: FieldRemoval::default(), ..door.clone() };
    assert_eq!(String::from_utf8(published(&whole)).unwrap(), line);
    let strip = vec![crate::format::StripRule::parse("feed").unwrap()];
    let stripped = DoorDefaults { removal: FieldRemoval { strip, ..door.removal }, ..door };
    assert!(!String::from_utf8(published(&stripped)).unwrap().contains("feed"), "what leaves needs no mask");
    assert_eq!(body(line), line, "in.sock publishes what it gets");
}

#[test]
fn a_list_that_stays_at_home_is_not_refused_for_being_one() {
    let door = door().at_intelmq();
    let read = core_at(r#"{"rtir_id":[1,2],"a":1}"#, &door).unwrap();
    assert_eq!(read.body.bytes().as_ref(), br#"{"a":1}"#);
    assert_eq!(core_at(r#"{"rtir_id":[1,2]}"#, &door).unwrap_err().code, SubmitCode::Empty);
}

/// A door that converts must not sign events below the name of another publisher's event.
#[test]
fn converted_messages_with_the_id_of_another_are_returned() {
    let messages = crate::format::MessageRule { format: None, convert: true };
    let door = DoorDefaults { messages, ..door() };
    for sources in [r#"["192.0.2.1"]"#, r#"["192.0.2.1","192.0.2.2"]"#] {
        let line = format!(
            r#"{{"meta":{{"format":"idea","uuid":{{"current":"cert-ee:intelmq:{UUID}"}}}},"payload":{{"Format":"IDEA0","ID":"a","DetectTime":"2026-01-01T00:00:00Z","Category":[],"Source":[{{"IP4":{sources}}}]}}}}"#
        );
        match intake(line.as_bytes(), &door) {
            Ok(ParsedSubmission::Returned(returned)) => {
                assert_eq!(returned.id.to_string(), format!("cert-ee:intelmq:{UUID}"));
            }
            other => panic!("{sources}: {other:?}"),
        }
    }
}
