//! Tests the rules of docs/INTELMQ.md one by one, and that the model of a receiver takes each output for any input.
//! `tests/intelmq/accepts.rs` asks IntelMQ itself whether the model is right.

use bytes::Bytes;
use proptest::prelude::*;

use super::adapt::Unfit;
use super::*;
use crate::envelope::{Body, Core, Envelope, EventType, Signer};
use crate::event::EventFormat;
use crate::identity::{HopPath, PublisherName};

pub(super) const ID: &str = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
const ANNOTATION: &str = r#","extra.intelmesh.uuid":"cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b","extra.intelmesh.publisher":"cert-at","extra.intelmesh.path":"!cert-at!cert-ee","extra.intelmesh.tlp":"GREEN"}"#;

pub(super) fn envelope(payload: &str, change: impl FnOnce(&mut Core)) -> Arc<Envelope> {
    let mut core = Core {
        id: ID.parse().unwrap(),
        max_hops: 8,
        body: Body::Plain(Bytes::copy_from_slice(payload.as_bytes())),
        ..crate::fixture::core()
    };
    change(&mut core);
    let signer = Signer::new(crate::fixture::key(7));
    signer.sign(core).unwrap().envelope().clone()
}

pub(super) fn path() -> HopPath {
    HopPath::new(["cert-at", "cert-ee"].map(|hop| PublisherName::parse(hop).unwrap()).to_vec()).unwrap()
}

pub(super) fn hand(
    hand_off: &IntelmqHandOff,
    envelope: &Envelope,
) -> (Result<WrittenEvent, SetAside>, String) {
    let path = path();
    let mut out = Vec::new();
    let written = hand_off.write(&Carried::new(17, &path, envelope), &mut out);
    (written, String::from_utf8(out).unwrap())
}

pub(super) fn bare() -> IntelmqHandOff {
    IntelmqHandOff { annotate: false, ..IntelmqHandOff::default() }
}

/// Returns what an event becomes if nothing is added.
fn becomes(payload: &str) -> String {
    let (written, line) = hand(&bare(), &envelope(payload, |_| {}));
    assert_eq!(matches!(written, Ok(WrittenEvent::AsItIs)), line == payload, "{payload}: {written:?}");
    match written {
        Ok(_) => line,
        Err(aside) => aside.to_string(),
    }
}

#[test]
fn what_needs_nothing_is_copied_token_for_token_and_annotated() {
    let payload =
        r#"{ "source.ip" : "192.0.2.1", "source.port":443 , "extra":{"\u0061" : 1.0}, "feed.accuracy":1e1 }"#;
    let (written, line) = hand(&IntelmqHandOff::default(), &envelope(payload, |_| {}));
    assert_eq!(written, Ok(WrittenEvent::AsItIs));
    assert_eq!(line, format!("{}{ANNOTATION}", &payload[..payload.len() - 1]));
    assert_eq!(hand(&bare(), &envelope(payload, |_| {})).1, payload);
}

#[test]
fn of_two_flat_ones_inside_each_other_the_outer_comes_last_and_both_stay() {
    let strict = IntelmqHandOff { strict: true, ..bare() };
    let (written, line) =
        hand(&strict, &envelope(r#"{"extra.a":1,"extra.a.b":2,"extra.a.b.c":3,"comment":"x"}"#, |_| {}));
    assert_eq!(
        (written, &*line),
        (Ok(WrittenEvent::AsItIs), r#"{"extra.a.b.c":3,"comment":"x","extra.a.b":2,"extra.a":1}"#)
    );
}

#[test]
fn the_type_is_written_last_and_only_ours() {
    let typed = HandOff { form: DeliveryForm::Plain, with_type: true, format: None };
    let hand_off = IntelmqHandOff { hand_off: typed, ..bare() };
    let own = r#"{"__type":"os","source.port":1}"#;
    assert_eq!(hand(&hand_off, &envelope(own, |_| {})).1, r#"{"source.port":1,"__type":"Event"}"#);
    assert_eq!(hand(&bare(), &envelope(own, |_| {})).1, r#"{"source.port":1}"#);
    let report = envelope(r#"{"raw":"eA=="}"#, |core| core.event_type = EventType::Report);
    assert_eq!(hand(&hand_off, &report).1, r#"{"raw":"eA==","__type":"Report"}"#);
}

fn all_become(cases: &[(&str, &str)]) {
    for (payload, want) in cases {
        assert_eq!(becomes(payload), *want, "{payload}");
    }
}

#[test]
fn each_rule_for_fields_and_values() {
    all_become(&[
        // Fields that the receiver does not have, and values that it refuses.
        (r#"{"comment":"x","meta.uuid":5}"#, r#"{"comment":"x","extra.intelmesh.moved":{"meta.uuid":5}}"#),
        (
            r#"{"source.ip":"1.2.3","comment":"x","K\u00fc":[1.0]}"#,
            r#"{"comment":"x","extra.intelmesh.moved":{"source.ip":"1.2.3","Kü":[1.0]}}"#,
        ),
        (
            r#"{"comment":"x","comment.sub":1}"#,
            r#"{"comment":"x","extra.intelmesh.moved":{"comment.sub":1}}"#,
        ),
        (r#"{"status":"x","comment":["a"]}"#, r#"{"status":"x","extra.intelmesh.moved":{"comment":["a"]}}"#),
        // Values that IntelMQ fixes, and values that it passes over, stay.
        (
            r#"{"source.port":"80","tlp":"tlp:amber","x":null,"y":"-"}"#,
            r#"{"source.port":"80","tlp":"tlp:amber","x":null,"y":"-"}"#,
        ),
        // Labels.
        (r#"{"tlp":"TLP:CLEAR","comment":"x"}"#, r#"{"comment":"x","tlp":"WHITE"}"#),
        (r#"{"tlp":"AMBER+STRICT"}"#, r#"{"tlp":"RED","extra.intelmesh.moved":{"tlp":"AMBER+STRICT"}}"#),
        (r#"{"tlp":"chartreuse"}"#, r#"{"tlp":"RED","extra.intelmesh.moved":{"tlp":"chartreuse"}}"#),
        (r#"{"tlp":5}"#, r#"{"tlp":"RED","extra.intelmesh.moved":{"tlp":5}}"#),
        // raw.
        (r#"{"raw":"not base64!"}"#, r#"{"raw":"bm90IGJhc2U2NCE="}"#),
        (r#"{"raw":5,"comment":"x"}"#, r#"{"comment":"x","extra.intelmesh.moved":{"raw":5}}"#),
    ]);
}

#[test]
fn each_rule_for_extra_nested_objects_and_numbers() {
    all_become(&[
        // extra.
        (r#"{"extra.a":1,"extra.B":2}"#, r#"{"extra.a":1,"extra.intelmesh.moved":{"extra.B":2}}"#),
        (r#"{"extra.a":1,"extra.a-b":2}"#, r#"{"extra.a":1,"extra.intelmesh.moved":{"extra.a-b":2}}"#),
        (r#"{"extra":{"a":1,"B":2}}"#, r#"{"extra.a":1,"extra.intelmesh.moved":{"extra":{"B":2}}}"#),
        (
            r#"{"extra":"{\"a\":1,\n\"B\":\"x\"}"}"#,
            r#"{"extra.a":1,"extra.intelmesh.moved":{"extra":{"B":"x"}}}"#,
        ),
        (r#"{"extra":"{\"a\":1}"}"#, r#"{"extra":"{\"a\":1}"}"#),
        (r#"{"extra":"x","comment":"x"}"#, r#"{"comment":"x","extra.intelmesh.moved":{"extra":"x"}}"#),
        (r#"{"extra":{},"comment":"x"}"#, r#"{"comment":"x","extra.intelmesh.moved":{"extra":{}}}"#),
        (r#"{"extra.a":1,"extra":{"b":2}}"#, r#"{"extra.a":1,"extra.b":2}"#),
        (r#"{"extra":{"b":2},"extra.a":1}"#, r#"{"extra":{"b":2},"extra.a":1}"#),
        (r#"{"extra":{"a":2},"extra.a":1}"#, r#"{"extra.a":1,"extra.intelmesh.moved":{"extra":{"a":2}}}"#),
        (r#"{"extra.a":1,"extra":{"c":0},"extra.a.b":2}"#, r#"{"extra.a.b":2,"extra.c":0,"extra.a":1}"#),
        (
            r#"{"extra":{"a":1,"a.b":2,"c":3}}"#,
            r#"{"extra.a.b":2,"extra.c":3,"extra.intelmesh.moved":{"extra":{"a":1}}}"#,
        ),
        (r#"{"extra":{"a":{"B":"", "c-d":[null]}}}"#, r#"{"extra":{"a":{"B":"", "c-d":[null]}}}"#),
        (r#"{"extra.b":1,"extra.extra":2}"#, r#"{"extra.b":1,"extra.intelmesh.moved":{"extra.extra":2}}"#),
        // Names that only a hand-off writes.
        (
            r#"{"comment":"x","extra.intelmesh.uuid":"forged","extra":{"intelmesh":{"uuid":1}}}"#,
            r#"{"comment":"x","extra.intelmesh.moved":{"extra.intelmesh.uuid":"forged","extra":{"intelmesh":{"uuid":1}}}}"#,
        ),
        // Nested.
        (
            r#"{"source":{"ip":"192.0.2.1","geolocation":{"cc":"AT"}},"tlp":"RED"}"#,
            r#"{"tlp":"RED","source.ip":"192.0.2.1","source.geolocation.cc":"AT"}"#,
        ),
        (
            r#"{"source":{"ip":"192.0.2.1","new":{"a":1.0},"asn":null,"port":"x"},"source.url":"http://a/"}"#,
            r#"{"source.url":"http://a/","source.ip":"192.0.2.1","extra.intelmesh.moved":{"source":{"new":{"a":1.0},"port":"x"}}}"#,
        ),
        (
            r#"{"source":{"ip":"192.0.2.1","port":1},"source.ip":"192.0.2.2"}"#,
            r#"{"source.ip":"192.0.2.2","source.port":1,"extra.intelmesh.moved":{"source":{"ip":"192.0.2.1"}}}"#,
        ),
        (r#"{"comment":"x","new":{"a":{}}}"#, r#"{"comment":"x","extra.intelmesh.moved":{"new":{"a":{}}}}"#),
        // Numbers that Python cannot hold.
        (
            r#"{"comment":"x","source.port":1e999}"#,
            r#"{"comment":"x","extra.intelmesh.moved":{"source.port":"1e999"}}"#,
        ),
        (
            r#"{"comment":"x","extra.a":[-1e999]}"#,
            r#"{"comment":"x","extra.intelmesh.moved":{"extra.a":"[-1e999]"}}"#,
        ),
        // Nothing left.
        (r#"{"a":1,"comment":""}"#, "no field of it is one that the receiver knows"),
        ("{}", "no field of it is one that the receiver knows"),
    ]);
}

#[test]
fn what_is_another_format_or_of_no_known_type_is_set_aside() {
    let idea = envelope(r#"{"Format":"IDEA0"}"#, |core| core.format = EventFormat::parse("idea").unwrap());
    let (written, line) = hand(&bare(), &idea);
    assert_eq!((written, line.as_str()), (Err(SetAside::Format("idea".to_owned())), ""));
    let text = br#"{"event":{"extra":{"type":"JSONDict"}}}"#;
    let events_only = Harmonization::parse("harmonization.conf".as_ref(), text).unwrap();
    let hand_off = IntelmqHandOff { harmonization: Arc::new(events_only), ..bare() };
    let report = envelope(r#"{"raw":"eA=="}"#, |core| core.event_type = EventType::Report);
    assert_eq!(hand(&hand_off, &report).0, Err(SetAside::NoReports));
}

#[test]
fn a_report_has_the_fields_of_reports_alone() {
    let report =
        envelope(r#"{"raw":"eA==","source.ip":"192.0.2.1"}"#, |core| core.event_type = EventType::Report);
    let (written, line) = hand(&bare(), &report);
    assert_eq!(line, r#"{"raw":"eA==","extra.intelmesh.moved":{"source.ip":"192.0.2.1"}}"#);
    assert!(matches!(
        written,
        Ok(WrittenEvent::Adapted(AdaptedEvent { members: 1, why: Unfit::Unknown, .. }))
    ));
}

#[test]
fn a_strict_consumer_gets_nothing_that_would_have_to_be_adapted() {
    let strict = IntelmqHandOff { strict: true, ..IntelmqHandOff::default() };
    let good = envelope(r#"{"source.ip":"192.0.2.1"}"#, |_| {});
    assert_eq!(hand(&strict, &good).0, Ok(WrittenEvent::AsItIs));
    let newer = envelope(r#"{"source.ip":"192.0.2.1","new.field":1,"tlp":"CLEAR"}"#, |_| {});
    let (written, line) = hand(&strict, &newer);
    let said = written.unwrap_err().to_string();
    assert_eq!(
        said,
        "strict = true, and IntelMQ would refuse \"new.field\": not a field of the receiver, and 1 more"
    );
    assert!(line.is_empty());
}

#[test]
fn the_receivers_feed_stands_where_it_is_to_be_kept() {
    let payload = r#"{"feed.name":"x","feed":{"code":"c"},"time.observation":"2026-01-01T00:00:00+00:00","comment":"y"}"#;
    let keep = IntelmqHandOff { sender_feed: SenderFeed::Keep, ..bare() };
    let (written, line) = hand(&keep, &envelope(payload, |_| {}));
    assert_eq!(
        line,
        r#"{"comment":"y","extra.intelmesh.feed.name":"x","extra.intelmesh.feed.code":"c","extra.intelmesh.time_observation":"2026-01-01T00:00:00+00:00"}"#
    );
    assert!(matches!(written, Ok(WrittenEvent::Adapted(_))), "the object was taken apart");
    let strict = IntelmqHandOff { strict: true, ..keep };
    let flat = envelope(r#"{"feed.name":"x","comment":"y"}"#, |_| {});
    let (written, line) = hand(&strict, &flat);
    assert_eq!(
        (written, line.as_str()),
        (Ok(WrittenEvent::AsItIs), r#"{"comment":"y","extra.intelmesh.feed.name":"x"}"#)
    );
    for choice in SenderFeed::ALL {
        assert_eq!(SenderFeed::parse(choice.as_str()), Some(choice));
    }
}

#[test]
fn other_forms_go_as_they_are_and_what_is_sealed_goes_nowhere() {
    let event = envelope(r#"{"new":1}"#, |_| {});
    for form in [DeliveryForm::Iep04, DeliveryForm::Ail] {
        let hand_off = HandOff { form, with_type: false, format: None };
        let (written, line) = hand(&IntelmqHandOff { hand_off, ..bare() }, &event);
        assert_eq!(written, Ok(WrittenEvent::AsItIs));
        assert!(line.ends_with(r#""payload":{"new":1}}"#), "{line}");
    }
}

#[test]
fn a_receivers_own_field_list_is_read_and_its_faults_are_named() {
    let own = r#"{"event":{"extra":{"type":"JSON"},"new.field":{"type":"Integer","length":2},
        "house":{"type":"OwnType","regex":"^[ab]+$"}},"report":{}}"#;
    let own = Harmonization::parse("harmonization.conf".as_ref(), own.as_bytes()).unwrap();
    let hand_off = IntelmqHandOff { harmonization: Arc::new(own), ..bare() };
    for (payload, want) in [
        (r#"{"new.field":10,"house":"abba","extra.a":1}"#, r#"{"new.field":10,"house":"abba","extra.a":1}"#),
        (r#"{"house":"ab","new.field":100}"#, r#"{"house":"ab","extra.intelmesh.moved":{"new.field":100}}"#),
        (
            r#"{"extra.a":1,"house":"abc","tlp":"RED"}"#,
            r#"{"extra.a":1,"extra.intelmesh.moved":{"house":"abc","tlp":"RED"}}"#,
        ),
    ] {
        assert_eq!(hand(&hand_off, &envelope(payload, |_| {})).1, want);
    }
    for (text, want) in [
        ("{", "h.conf:1: no JSON: "),
        (r#"{"event":[]}"#, "h.conf: event: not an object"),
        (r#"{"event":{}}"#, "h.conf: event: no field `extra`"),
        (r#"{"event":{"A":{"type":"String"}}}"#, "h.conf: event: field \"A\": IntelMQ itself"),
        (r#"{"event":{"ab":{}}}"#, "h.conf: event: field \"ab\": `type`"),
        (r#"{"event":{"ab":{"type":"String","regex":"(?=a)"}}}"#, "h.conf: event: field \"ab\": `regex`: "),
        (
            r#"{"event":{"ab":{"type":"String","iregex":5}}}"#,
            "h.conf: event: field \"ab\": `iregex` is no string",
        ),
        (r#"{"event":{"ab":{"type":"String","length":-1}}}"#, "h.conf: event: field \"ab\": `length`"),
        (
            r#"{"event":{"extra":{"type":"JSONDict","length":9}}}"#,
            "h.conf: event: field \"extra\": its length",
        ),
    ] {
        let said = Harmonization::parse("h.conf".as_ref(), text.as_bytes()).unwrap_err().to_string();
        assert!(said.starts_with(want), "{said}");
    }
    assert!(
        Harmonization::load("no/such/harmonization.conf".as_ref())
            .unwrap_err()
            .to_string()
            .starts_with("no/such/")
    );
}

/// Keys and values of the kinds that matter: real ones, near misses, and anything.
fn key() -> impl Strategy<Value = String> {
    let known = super::fields::event().into_keys().collect::<Vec<_>>();
    prop_oneof![
        6 => proptest::sample::select(known),
        3 => proptest::sample::select(vec!["extra", "source", "feed", "time", "__type", "extra.a", "extra.a.b", "extra.A", "extra.intelmesh", "extra.intelmesh.uuid", "a", "a.b", "ip", "geolocation", "B", "-"]).prop_map(str::to_owned),
        1 => "extra\\.[a-c.]{0,4}",
        1 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let words = vec![
        "",
        "-",
        "N/A",
        "192.0.2.1",
        "example.com",
        "CLEAR",
        "AMBER+STRICT",
        "eA==",
        "x",
        "{\"a\":1}",
        "{\"A\":1}",
        "2026-01-01",
        "true",
        "80",
        "http://a/",
        "\u{fc}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        proptest::sample::select(words).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map(key(), inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_goes_in_what_comes_out_is_taken_as_it_is(
        members in proptest::collection::btree_map(key(), value(), 0..12),
        keep in any::<bool>(),
        annotate in any::<bool>(),
        report in any::<bool>(),
    ) {
        let payload = serde_json::Value::Object(members.into_iter().collect()).to_string();
        let event_type = if report { EventType::Report } else { EventType::Event };
        let sender_feed = if keep { SenderFeed::Keep } else { SenderFeed::Replace };
        let hand_off = IntelmqHandOff { annotate, sender_feed, ..bare() };
        let (written, line) = hand(&hand_off, &envelope(&payload, |core| core.event_type = event_type));
        if written.is_err() {
            prop_assert!(line.is_empty());
            return Ok(());
        }
        let ours = |key: &str| key.starts_with("extra.intelmesh.");
        // Our own members aside, the model asks for no change of the line.
        let scan = check_body(line.as_bytes()).unwrap();
        let cuts = edit::cuts(&scan.members, |member| ours(&member.key));
        let rest = String::from_utf8(edit::copy_without(line.as_bytes(), &cuts)).unwrap();
        let again = hand(&IntelmqHandOff { strict: true, ..bare() }, &envelope(&rest, |core| core.event_type = event_type));
        prop_assert!(again.0 == Ok(WrittenEvent::AsItIs) || (keep && again.0 == Err(SetAside::NothingLeft)), "{payload}\n{line}\n{again:?}");
    }
}
