//! Odd messages: no input panics, loosens a label, or is half converted. `tests/hostile/fuzz.rs` goes on from here.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn idea(more: Value) -> Value {
    let mut message = json!({"Format": "IDEA0", "ID": "4390fc3f-c753-4a3e-bc83-1b44f24baf75",
        "DetectTime": "2026-01-01T00:00:00Z", "Category": ["Recon.Scanning"]});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

fn decoded(name: &str, message: &Value) -> DecodedMessage {
    decode_text(format(name), &message.to_string()).unwrap_or_else(|fault| panic!("{message}: {fault}"))
}

/// The table of readers in the reference: our own column.
#[test]
fn values_of_idea_are_read_as_strictly_as_agreed() {
    let ip4 = |text: &str| json!({"Source": [{"IP4": [text]}]});
    for (more, field, value) in [
        (ip4("192.0.2.10/25"), "source.network", json!("192.0.2.0/25")),
        (ip4("192.0.2.1/32"), "source.ip", json!("192.0.2.1")),
        (ip4("192.0.2.9-192.0.2.8"), "source.network", json!("192.0.2.8/31")),
        (ip4("0.0.0.0/0"), "source.network", Value::Null),
        (ip4("0.0.0.0-255.255.255.255"), "source.network", Value::Null),
        (ip4("192.0.2.1-192.0.2.254"), "source.network", Value::Null),
        (json!({"Source": [{"Port": ["80"]}]}), "source.port", json!(80)),
        (json!({"Source": [{"Port": [70000]}]}), "source.port", Value::Null),
        (json!({"Source": [{"Port": [-1]}]}), "source.port", Value::Null),
        (json!({"Source": [{"Port": [80.5]}]}), "source.port", Value::Null),
        (json!({"Category": []}), "classification.type", json!("undetermined")),
        (json!({"Category": ["Malware.Trojan"]}), "classification.type", json!("infected-system")),
        (json!({"Category": ["Abusive.New"]}), "classification.type", json!("harmful-speech")),
        (json!({"Confidence": 1.5}), "feed.accuracy", Value::Null),
        (json!({"Source": [{"Hostname": ["a..b"]}]}), "source.fqdn", Value::Null),
        (json!({"Source": [{"URL": ["example.com/a"]}]}), "source.url", Value::Null),
    ] {
        let events = decoded("idea", &idea(more.clone())).events;
        assert_eq!(events[0].payload.get(field).unwrap_or(&Value::Null), &value, "{more}");
        if value.is_null() && field != "classification.type" {
            let kept = &events[0].payload["extra.idea"];
            assert!(
                kept.get("source").is_some() || kept.get("confidence").is_some(),
                "{more} is kept: {kept}"
            );
        }
    }
    for more in [
        json!({"Source": [{"IP4": ["::ffff:192.0.2.1"]}]}),
        json!({"Source": [{"Port": ["80-90"]}]}),
        json!({"Source": [{"Spoofed": "false"}]}),
        json!({"Source": {"IP4": ["192.0.2.1"]}}),
        json!({"ID": ""}),
        json!({"DetectTime": 1_767_225_600}),
        json!({"id": "another"}),
    ] {
        let fault = decode_text(format("idea"), &idea(more.clone()).to_string()).unwrap_err();
        assert_eq!(fault.code.as_str(), "bad_idea", "{more}");
    }
}

/// A scan report with 300 targets is one event for each source, with its targets in extra; 300 sources are too many.
#[test]
fn too_many_addresses_are_kept_or_refused_whole() {
    let many: Vec<String> =
        (0..300).map(|at| format!("198.51.{}.{}", 100 + at / 200, 1 + at % 200)).collect();
    let message = idea(json!({"Source": [{"IP4": ["192.0.2.1", "192.0.2.2"]}], "Target": [{"IP4": many}]}));
    let events = decoded("idea", &message).events;
    assert_eq!(events.len(), 2);
    let kept = &events[1].payload["extra.idea"]["targets"][0]["IP4"];
    assert_eq!(kept.as_array().unwrap().len(), 300);
    let message = idea(json!({"Source": [{"IP4": many}]}));
    let fault = decode_text(format("idea"), &message.to_string()).unwrap_err();
    assert_eq!(fault.code.as_str(), "multi_value");
}

#[test]
fn an_unknown_label_of_a_message_counts_as_red() {
    for (name, message) in [
        ("idea", idea(json!({"TLP": "PURPLE"}))),
        ("idea", idea(json!({"tlp": ["GREEN"]}))),
        ("idea", idea(json!({"TLP": "amber-strict"}))),
        (
            "n6",
            json!({"id": "392ab73bbe7bcd6a56c84af2234987a4", "source": "a.b", "restriction": "secret",
            "confidence": "low", "category": "bots", "time": "2026-01-01T00:00:00Z"}),
        ),
        (
            "misp",
            json!({"Event": {"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "info": "x",
            "Tag": [{"name": "tlp:mauve"}]}}),
        ),
    ] {
        let label = decoded(name, &message).label.expect("a label").tlp;
        assert!(label >= Tlp::AmberStrict, "{message}: {label}");
    }
}

/// The label of one attribute is no label of the others, and the label of the event is one of all.
#[test]
fn misp_labels_its_attributes_one_by_one() {
    let attribute = |value: &str, tag: Value| json!({"type": "ip-src", "value": value, "Tag": tag});
    let message = json!({"Event": {"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "info": "x",
        "Tag": [{"name": "tlp:green"}, {"name": "rsit:fraud=\"phishing\""}],
        "Attribute": [attribute("192.0.2.1", json!([{"name": "tlp:red"}])), attribute("192.0.2.2", json!([]))]}});
    let decoded = decoded("misp", &message);
    let labels: Vec<_> =
        decoded.events.iter().map(|event| event.label.as_ref().map(|label| label.tlp)).collect();
    assert_eq!(labels, [Some(Tlp::Red), None]);
    assert_eq!(decoded.label.unwrap().tlp, Tlp::Green);
    assert_eq!(decoded.events[1].payload["classification.type"], "phishing");
}

/// The fields of an object, and the object itself, label its own events; the rest of the message labels all.
#[test]
fn misp_labels_count_wherever_they_stand() {
    let attribute =
        |field: &str, value: &str| json!({"object_relation": field, "type": "text", "value": value});
    let object = |name: &str, attributes: Value, tag: &str| json!({"name": name, "Attribute": attributes, "Tag": [{"name": tag}]});
    let ip = attribute("source.ip", "192.0.2.1");
    let loose = json!({"type": "ip-src", "value": "192.0.2.2"});
    for (more, labels, all) in [
        (
            json!({"Object": [object("intelmq_event", json!([ip]), "tlp:red")], "Attribute": [loose]}),
            vec![Some(Tlp::Red), None],
            None,
        ),
        (
            json!({"Object": [object("intelmq_event", json!([ip, attribute("tlp", "AMBER")]), "x")]}),
            vec![Some(Tlp::Amber)],
            None,
        ),
        (
            json!({"Object": [object("intelmq_event", json!([ip, attribute("extra.tlp", "RED")]), "x")]}),
            vec![Some(Tlp::Red)],
            None,
        ),
        (
            json!({"Object": [object("intelmq_event", json!([ip, attribute("extra", "{\"tlp\":\"RED\"}")]), "x")]}),
            vec![Some(Tlp::Red)],
            None,
        ),
        (
            json!({"Object": [object("intelmq_event", json!([ip, attribute("extra", "{\"tlp\":\"RED\",\"x\":1e999}")]), "x")]}),
            vec![Some(Tlp::Red)],
            None,
        ),
        (
            json!({"Object": [object("file", json!([loose]), "tlp:red")], "Attribute": [loose]}),
            vec![None, Some(Tlp::Red)],
            None,
        ),
        (
            json!({"Attribute": [loose], "EventReport": [{"Tag": [{"name": "tlp:amber"}]}]}),
            vec![None],
            Some(Tlp::Amber),
        ),
        (
            json!({"Object": [{"name": "url", "deleted": true, "Tag": [{"name": "tlp:red"}]}]}),
            vec![None],
            Some(Tlp::Red),
        ),
    ] {
        let mut message = json!({"Event": {"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "info": "x"}});
        message["Event"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let decoded = decoded("misp", &message);
        let found: Vec<_> =
            decoded.events.iter().map(|event| event.label.as_ref().map(|label| label.tlp)).collect();
        assert_eq!((found, decoded.label.map(|label| label.tlp)), (labels, all), "{message}");
    }
}

/// Nobody but its author knows how restricted it is. n6 has no word for that, and gets its strictest.
#[test]
fn events_without_a_label_are_not_called_public() {
    let event = br#"{"classification.type":"scanner","source.ip":"192.0.2.1"}"#;
    let converted = |name: &str, line: &[u8]| {
        let now = Timestamp::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
        let format = |name| EventFormat::parse(name).unwrap();
        let conversion = LineConversion::new(&format("intelmq"), &format(name), false, now).unwrap();
        serde_json::from_str::<Value>(&conversion.line(line).unwrap().lines[0]).unwrap()
    };
    assert_eq!(converted("idea", event)["TLP"], Value::Null);
    assert_eq!(converted("misp", event)["Event"]["Tag"], json!([]));
    assert_eq!(converted("n6", event)["restriction"], "internal");
    let elsewhere = br#"{"classification.type":"scanner","source.ip":"192.0.2.1","extra.tlp":"RED"}"#;
    assert_eq!(converted("idea", elsewhere)["TLP"], "RED");
}

#[test]
fn a_label_is_never_replaced_by_a_milder_one() {
    for (own, put, want) in [
        (json!("RED"), Tlp::Green, json!("RED")),
        (json!("secret"), Tlp::Green, json!("RED")),
        (json!(["RED"]), Tlp::Green, json!("RED")),
        (json!("GREEN"), Tlp::Amber, json!("AMBER")),
        (Value::Null, Tlp::AmberStrict, json!("RED")),
    ] {
        let mut payload = json!({"tlp": own}).as_object().unwrap().clone();
        super::super::convert::put_label(&mut payload, Some(put));
        assert_eq!(payload["tlp"], want, "{own} {put}");
    }
}

/// An event of n6's own names: its id is one that its UUID was made from, or one that the publisher replaces.
#[test]
fn n6_messages_take_no_names_from_others() {
    let id = "392ab73bbe7bcd6a56c84af2234987a4";
    let encode = |uuid: &str, links: &[(&str, &str)], kept: Value| {
        let links: Vec<Value> =
            links.iter().map(|(kind, right)| json!({"type": kind, "right": right})).collect();
        VectorEvent::new(
            &json!({"meta": {"uuid": {"current": format!("cert-at:intelmq:{uuid}")}, "tlp": "GREEN",
            "created": "2026-01-01T00:00:00Z", "links": links},
            "payload": {"classification.type": "scanner", "source.ip": "192.0.2.1", "extra.n6": kept}}),
        )
        .try_encode("n6")
    };
    let (other, made) = ("72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b", "c63744e0-232c-5e11-80e4-cdda8ae9f10e");
    let message =
        encode(other, &[], json!({"id": id, "source": "cert.pl", "type": "bl-new"})).unwrap().message;
    assert_eq!(
        (&message["id"], &message["source"]),
        (&json!(other.replace('-', "")), &json!("cert-at.intelmq"))
    );
    let message = encode(made, &[], json!({"id": id, "source": "cert.pl"})).unwrap().message;
    assert_eq!((&message["id"], &message["source"]), (&json!(id), &json!("cert-at.intelmq")));
    let message = encode(made, &[], json!({"id": id, "type": "bl-change", "replaces": id})).unwrap().message;
    assert_eq!((message.get("type"), message.get("replaces")), (None, None));
    let replaces = |publisher: &str| format!("{publisher}:intelmq:{made}");
    for (links, taken) in [
        (vec![], false),
        (vec![("related", replaces("cert-at"))], false),
        (vec![("replaces", replaces("cert-pl"))], false),
        (vec![("replaces", replaces("cert-at"))], true),
    ] {
        let links: Vec<_> = links.iter().map(|(kind, right)| (*kind, right.as_str())).collect();
        let message = encode(other, &links, json!({"id": id, "type": "bl-delist"}));
        assert_eq!(message.is_ok_and(|encoded| encoded.message["id"] == id), taken, "{links:?}");
    }
}

#[test]
fn halves_of_pairs_in_n6_are_bytes_and_pairs_stay() {
    let readable = |text: &str| format("n6").readable(text).into_owned();
    assert_eq!(readable(r#"{"url":"a\udcff\\udcff"}"#), r#"{"url":"a%FF\\udcff"}"#);
    assert_eq!(readable(r#"{"url":"\ud83d\udca9\udc80"}"#), r#"{"url":"\ud83d\udca9%80"}"#);
    assert_eq!(readable(r#"{"url":"\udc00 \ud800"}"#), r#"{"url":"\udc00 \ud800"}"#);
    assert_eq!(readable("a\\é\\"), "a\\é\\");
}

#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", "IDEA0", "192.0.2.1", "192.0.2.0/0", "2001:db8::/32", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2026-01-01T00:00:00Z", "2016-12-31T23:59:60-23:59", "0001-01-01T00:00:00+23:59", "Test", "CC", "tcp",
    "md5:é", "base64", "OrigData", "tlp:red", "AMBER-STRICT", "intelmq_event", "source.port", "extra",
    "{\"a\":1}", "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "392ab73bbe7bcd6a56c84af2234987a4", "bl-delist",
    "bots", "medium", "ip-src", "domain|ip", "a|b|c", "AS0", "%zz", "malid:%", "urn:intelmq:feed:+",
    "http://[::1", "\u{0}",
];

#[rustfmt::skip]
const KEYS: &[&str] = &[
    "Format", "ID", "DetectTime", "EventTime", "CreateTime", "Category", "Confidence", "Ref", "Source",
    "Target", "IP4", "IP6", "Port", "Proto", "Type", "Spoofed", "Hostname", "ASN", "Attach", "Content",
    "Hash", "Node", "Name", "TLP", "AltNames", "PredID", "id", "source", "restriction", "confidence",
    "category", "time", "type", "address", "ip", "asn", "cc", "replaces", "name", "url", "dip", "Event",
    "uuid", "info", "Attribute", "Object", "Tag", "value", "object_relation", "ObjectReference",
    "referenced_uuid", "comment", "timestamp", "deleted", "extra.idea", "extra.n6", "extra.misp", "extra",
    "idea", "n6", "node", "sources", "attach", "other", "ref", "classification.type", "source.ip",
    "source.port", "feed.accuracy", "time.source", "raw", "tlp",
];

/// JSON of the keys and values that decoders look at, in wrong places too.
fn odd_value() -> impl Strategy<Value = Value> {
    let text = proptest::sample::select(TEXTS);
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ];
    let key = proptest::sample::select(KEYS);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the members are, a message gives whole events or a refusal, and each event can be written in all
    /// formats with the same label or a stricter one.
    #[test]
    fn odd_members_never_panic_or_loosen(odd in odd_value(), name in proptest::sample::select(vec!["idea", "n6", "misp"])) {
        let base = match name {
            "idea" => idea(json!({})),
            "n6" => json!({"id": "392ab73bbe7bcd6a56c84af2234987a4", "source": "a.b", "restriction": "need-to-know",
                "confidence": "low", "category": "bots", "time": "2026-01-01T00:00:00Z"}),
            _ => json!({"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75"}),
        };
        let mut message = base;
        message.as_object_mut().unwrap().extend(odd.as_object().cloned().unwrap_or_default());
        if let Ok(decoded) = decode_text(format(name), &message.to_string()) {
            prop_assert!(!decoded.events.is_empty());
            let label = decoded.label.as_ref().map_or(Tlp::Clear, |label| label.tlp);
            for event in &decoded.events {
                let mut payload = event.payload.clone();
                let tlp = event.label.as_ref().map_or(label, |own| own.tlp.max(label));
                super::super::convert::put_label(&mut payload, Some(tlp));
                check_encodes(&payload);
            }
        }
    }

    #[test]
    fn odd_events_never_panic_or_loosen(odd in odd_value()) {
        check_encodes(&odd.as_object().cloned().unwrap_or_default());
    }
}

/// Others may write what they like into `extra.n6`: the message would be refused as a whole.
#[test]
fn kept_values_that_n6_refuses_are_left_out() {
    for kept in [
        json!({"name": null}),
        json!({"url": 7}),
        json!({"expires": ["2026-01-02T00:00:00Z"]}),
        json!({"sport": 70_000}),
        json!({"dip": {}}),
        json!({"replaces": ""}),
    ] {
        let payload = json!({"extra.n6": kept});
        check_encodes(payload.as_object().expect("an object"));
    }
}

fn check_encodes(payload: &JsonObject) {
    let label = payload.get("tlp").and_then(Value::as_str).and_then(Tlp::parse);
    for name in ["idea", "n6", "misp"] {
        let from = EventFormat::parse("intelmq").unwrap();
        let now = Timestamp::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
        let conversion = LineConversion::new(&from, &EventFormat::parse(name).unwrap(), false, now).unwrap();
        let Ok(out) = conversion.line(Value::Object(payload.clone()).to_string().as_bytes()) else {
            continue;
        };
        for line in out.lines {
            let back = decode_text(format(name), &line).unwrap_or_else(|fault| {
                panic!("{name}: {payload:?} became {line}, which is refused: {fault}")
            });
            let came = back.label.map(|label| label.tlp);
            assert!(label.is_none_or(|label| came.is_some_and(|came| came >= label)), "{name}: {line}");
        }
    }
}
