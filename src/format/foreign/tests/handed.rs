//! Bodies at the hand-off: the label of the envelope reaches every format, and bodies are decoded once for all filters.

use std::sync::Arc;

use super::*;
use crate::envelope::{Body, Core, Signer};
use crate::format::foreign::{BodyFormat, BodyRule, carried_events, convert_body};
use crate::format::handoff::Carried;

/// The bodies that a consumer of `wanted` gets, or the one that was signed.
fn handed(own: &str, tlp: Tlp, body: &Value, wanted: BodyFormat) -> Vec<Value> {
    let signed = body.to_string();
    let core = Core {
        format: EventFormat::parse(own).unwrap(),
        tlp,
        body: Body::Plain(signed.clone().into()),
        ..crate::fixture::core()
    };
    let signed_event = Signer::new(crate::fixture::key(7)).sign(core).unwrap();
    let path = HopPath::default();
    let carried = Carried::new(1, &path, signed_event.envelope());
    let rule = BodyRule { wanted, labelled: false, node: None };
    let bodies = convert_body(&carried, rule).unwrap().map_or(vec![signed.into()], |bodies| {
        bodies.into_iter().map(|body| body.payload.to_vec()).collect::<Vec<_>>()
    });
    bodies.iter().map(|text| serde_json::from_slice(text).unwrap()).collect()
}

fn idea(more: Value) -> Value {
    let mut message = json!({"Format": "IDEA0", "ID": "a", "DetectTime": "2026-01-01T00:00:00Z",
        "Category": ["Recon.Scanning"], "Source": [{"IP4": ["192.0.2.1"]}]});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

fn n6(restriction: &str, more: Value) -> Value {
    let mut message = json!({"id": "392ab73bbe7bcd6a56c84af2234987a4", "source": "a.b", "confidence": "low",
        "category": "bots", "time": "2026-01-01T00:00:00Z", "restriction": restriction});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

#[test]
fn messages_of_the_same_format_get_the_stricter_label() {
    let none = || json!({});
    for (own, tlp, body, key, want) in [
        ("idea", Tlp::Amber, idea(json!({"TLP": "GREEN"})), "TLP", json!("AMBER")),
        ("idea", Tlp::Amber, idea(none()), "TLP", json!("AMBER")),
        ("idea", Tlp::Amber, idea(json!({"TLP": "RED"})), "TLP", json!("RED")),
        ("idea", Tlp::Green, idea(json!({"tlp": "GREEN", "TLP": "CLEAR"})), "tlp", json!("GREEN")),
        ("idea", Tlp::Amber, idea(json!({"tlp": "GREEN", "TLP": "CLEAR"})), "tlp", Value::Null),
        ("idea", Tlp::Green, idea(json!({"TLP": "PURPLE"})), "TLP", json!("RED")),
        ("idea", Tlp::Green, idea(json!({"TLP": "GREEN", "extra.tlp": "RED"})), "TLP", json!("RED")),
        ("idea", Tlp::Clear, idea(none()), "TLP", Value::Null),
        ("n6", Tlp::Green, n6("public", none()), "restriction", json!("need-to-know")),
        ("n6", Tlp::Amber, n6("need-to-know", none()), "restriction", json!("need-to-know")),
        ("n6", Tlp::Amber, n6("secret", none()), "restriction", json!("internal")),
        ("n6", Tlp::Green, n6("need-to-know", json!({"tlp": "RED"})), "restriction", json!("internal")),
    ] {
        let wanted = if own == "idea" { BodyFormat::Idea } else { BodyFormat::N6 };
        let bodies = handed(own, tlp, &body, wanted);
        assert_eq!(bodies[0].get(key).unwrap_or(&Value::Null), &want, "{tlp} {body}");
        let others = |message: &Value| -> JsonObject {
            let label = |key: &str| ["tlp", "restriction"].contains(&key.to_ascii_lowercase().as_str());
            let members = message.as_object().unwrap().clone();
            members.into_iter().filter(|(key, _)| !label(key)).collect()
        };
        assert_eq!(others(&bodies[0]), others(&body), "all else stays");
    }
}

/// A publisher may have signed a milder label than its body has.
#[test]
fn labels_of_the_body_count_in_every_place() {
    let event = |more: Value| {
        let mut event = json!({"classification.type": "scanner", "source.ip": "192.0.2.1"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let object = json!({"name": "intelmq_event", "Tag": [{"name": "tlp:red"}],
        "Attribute": [{"object_relation": "source.ip", "type": "ip-src", "value": "192.0.2.1"}]});
    let misp = json!({"Event": {"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "Object": [object]}});
    for (own, body, want) in [
        ("intelmq", event(json!({"tlp": "RED"})), "RED"),
        ("intelmq", event(json!({"TLP": "AMBER"})), "AMBER"),
        ("intelmq", event(json!({"extra.tlp": "RED"})), "RED"),
        ("intelmq", event(json!({"extra": {"tlp": "AMBER"}})), "AMBER"),
        ("intelmq", event(json!({"extra": "{\"tlp\":\"RED\"}"})), "RED"),
        ("intelmq", event(json!({"tlp": ["GREEN", "RED"]})), "RED"),
        ("intelmq", event(json!({})), "GREEN"),
        ("misp", misp.clone(), "RED"),
    ] {
        assert_eq!(handed(own, Tlp::Green, &body, BodyFormat::Idea)[0]["TLP"], want, "{body}");
    }
    assert_eq!(handed("misp", Tlp::Green, &misp, BodyFormat::Intelmq)[0]["tlp"], "RED");
}

#[test]
fn a_body_is_decoded_once_for_all_filters() {
    let body = idea(json!({"Note": "seen twice"})).to_string();
    let events = carried_events("idea", body.as_bytes());
    assert_eq!(events.len(), 1);
    assert!(Arc::ptr_eq(&events, &carried_events("idea", body.as_bytes())));
    assert!(carried_events("n6", body.as_bytes()).is_empty(), "another format is another body");
    for at in 0..crate::limits::RECENT_MESSAGES_MAX {
        carried_events("idea", at.to_string().as_bytes());
    }
    assert!(!Arc::ptr_eq(&events, &carried_events("idea", body.as_bytes())), "the oldest goes");
}
