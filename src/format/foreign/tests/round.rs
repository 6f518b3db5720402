//! There and back: fields of an event with a place in a format come back as they went, and members of a message come
//! back at their places.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::convert::put_label;
use super::*;

const ID: &str = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";

/// (field, how its values look), for the fields with a place in IDEA and n6.
const IDEA_FIELDS: &[(&str, &str)] = &[
    ("time.source", "2026-0[1-9]-1[0-9]T0[0-9]:00:00\\+00:00"),
    ("event_description.text", "[ -~é]{1,40}"),
    ("comment", "[ -~é]{1,40}"),
    ("classification.identifier", "[ -~é]{1,20}"),
    ("feed.code", "[a-z0-9 %+-]{1,20}"),
    ("event_description.url", "https?://example\\.com/[a-z0-9/]{0,10}"),
    ("screenshot_url", "http://example\\.com/[a-z ]{0,10}"),
    ("misp.event_uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    ("malware.hash.md5", "[0-9a-f]{32}"),
    ("malware.hash.sha1", "[0-9a-f]{40}"),
    ("malware.hash.sha256", "[0-9a-f]{64}"),
    ("raw", "(aGVsbG8=|w7w=|AAECAw==)"),
    ("protocol.transport", "(tcp|udp|icmp|sctp)"),
    ("source.ip", "(192\\.0\\.2\\.[1-9]|2001:db8::[1-9])"),
    ("source.fqdn", "[a-z]{1,10}\\.example"),
    ("source.url", "http://example\\.com/[ -~]{0,20}"),
    ("source.reverse_dns", "[a-z]{1,10}\\.example"),
    ("source.local_ip", "(10\\.0\\.0\\.[1-9]|fe80::[1-9])"),
    ("source.local_hostname", "[a-z]{1,10}"),
    ("source.account", "[a-z]{1,10}(@example\\.com)?"),
    ("destination.network", "(198\\.51\\.100\\.0/2[4-9]|2001:db8::/3[2-9])"),
    ("destination.fqdn", "[a-z]{1,10}\\.example"),
    ("destination.url", "http://example\\.com/[ -~]{0,20}"),
    ("destination.account", "[a-z]{1,10}"),
];

const N6_FIELDS: &[(&str, &str)] = &[
    ("source.ip", "192\\.0\\.2\\.[1-9]"),
    ("source.geolocation.cc", "[A-Z]{2}"),
    ("source.fqdn", "[a-z]{1,10}\\.example"),
    ("source.url", "http://example\\.com/[ -~é]{0,20}"),
    ("destination.ip", "198\\.51\\.100\\.[1-9]"),
    ("protocol.transport", "(tcp|udp|icmp)"),
    ("malware.hash.md5", "[0-9a-f]{32}"),
    ("malware.hash.sha1", "[0-9a-f]{40}"),
    ("malware.hash.sha256", "[0-9a-f]{64}"),
    ("event_description.text", "[ -~é]{1,40}"),
    ("event_description.target", "[ -~]{1,40}"),
    ("destination.account", "[a-z]{1,10}"),
    ("source.account", "[a-z]{1,10}@example\\.com"),
];

/// Some of the fields, with values.
fn fields(table: &'static [(&str, &str)]) -> impl Strategy<Value = JsonObject> {
    let each: Vec<_> = table
        .iter()
        .map(|(field, pattern)| {
            let value = proptest::string::string_regex(pattern).expect("a pattern");
            proptest::option::of(value)
                .prop_map(move |value| Some(((*field).to_owned(), Value::from(value?))))
        })
        .collect();
    (each, any::<[Option<u16>; 2]>(), any::<Option<u32>>()).prop_map(|(texts, ports, asn)| {
        let mut event: JsonObject = texts.into_iter().flatten().collect();
        event.insert("classification.type".to_owned(), "scanner".into());
        event.insert("time.observation".to_owned(), "2026-01-01T00:00:00+00:00".into());
        for (field, port) in ["source.port", "destination.port"].into_iter().zip(ports) {
            event.extend(port.map(|port| (field.to_owned(), port.into())));
        }
        if !event.contains_key("source.ip") {
            event.remove("source.geolocation.cc");
        }
        if let Some(asn) = asn.filter(|asn| *asn > 0 && event.contains_key("source.ip")) {
            event.insert("source.asn".to_owned(), asn.into());
        }
        event
    })
}

/// IntelMQ -> `name` -> IntelMQ.
fn there_and_back(name: &str, event: &JsonObject) -> JsonObject {
    let encoded = VectorEvent::new(&json!({"meta": {"uuid": {"current": ID}, "tlp": "GREEN",
        "created": "2026-01-01T00:00:00Z"}, "payload": event}))
    .encode(name);
    let mut back = decode_text(format(name), &Value::Object(encoded.message).to_string()).unwrap();
    assert_eq!(back.events.len(), 1);
    back.events.remove(0).payload
}

fn keeps(event: &JsonObject, back: &JsonObject) {
    for (field, value) in event {
        let space = value.as_str().is_some_and(|text| text.trim().is_empty() || matches!(text, "-" | "N/A"));
        // IntelMQ passes over fields without content.
        if !space {
            let other = back.get(field).unwrap_or_else(|| panic!("{field} is lost: {event:?}\n{back:?}"));
            assert!(same(value, other), "{field}: {value} {other}");
        }
    }
}

proptest! {
    #[test]
    fn fields_with_a_place_in_idea_come_back(event in fields(IDEA_FIELDS)) {
        keeps(&event, &there_and_back("idea", &event));
    }

    #[test]
    fn fields_with_a_place_in_n6_come_back(mut event in fields(N6_FIELDS)) {
        event.remove("time.observation");
        event.insert("time.source".to_owned(), "2026-01-01T00:00:00+00:00".into());
        keeps(&event, &there_and_back("n6", &event));
    }

    #[test]
    fn every_field_comes_back_from_misp(event in fields(IDEA_FIELDS)) {
        keeps(&event, &there_and_back("misp", &event));
    }
}

/// Each type has a category, and one of the same group comes back.
#[test]
fn types_come_back_by_the_tables() {
    for (name, _) in crate::format::foreign::idea::table::TYPE_TO_CATEGORY {
        let event = json!({"classification.type": name, "source.ip": "192.0.2.1"});
        let event = event.as_object().unwrap().clone();
        let back = there_and_back("idea", &event);
        let again = there_and_back("idea", &back);
        assert_eq!(back["classification.type"], again["classification.type"], "{name}: it moves on each way");
    }
}

/// The members of a message that have no field come back from `extra`.
fn comes_back(name: &str, message: &Value, ours: &[&str]) {
    let decoded = decode_text(format(name), &message.to_string()).unwrap();
    assert_eq!(decoded.events.len(), 1, "{message}");
    let event = &decoded.events[0];
    let mut payload = event.payload.clone();
    put_label(&mut payload, decoded.label.as_ref().map(|label| label.tlp));
    let publisher = "cert-at".parse().unwrap();
    let project = "intelmq".parse().unwrap();
    let links: Vec<Link> =
        decoded.links.iter().filter_map(|link| link.signed_by(&publisher, &project)).collect();
    let id = EventId { publisher, project, uuid: event.uuid.or(decoded.uuid).unwrap() };
    let view = EventView {
        payload: &payload,
        id: Some(&id),
        uuid: id.uuid,
        created: Timestamp::parse_rfc3339("2026-01-02T00:00:00Z").unwrap(),
        tlp: decoded.label.as_ref().map(|label| label.tlp),
        parent: None,
        links: &links,
        path: &HopPath::default(),
    };
    let encoded = encode_event(format(name), &view, &EncodeOptions { node: None, raw: true }).unwrap();
    let again = decode_text(format(name), &Value::Object(encoded.message.clone()).to_string()).unwrap();
    for (key, value) in message.as_object().unwrap().iter().filter(|(key, _)| !ours.contains(&key.as_str())) {
        assert!(encoded.message.contains_key(key), "{key} of {message} is lost: {:?}", encoded.message);
        let untouched = !matches!(key.as_str(), "Source" | "Target" | "Attach" | "Ref");
        let times = key.ends_with("Time") || key == "time" || key == "expires";
        if untouched && !times {
            assert!(same(value, &encoded.message[key]), "{key}: {value} {}", encoded.message[key]);
        }
    }
    // What stands below the sides and attachments is compared as a reader sees it.
    for (key, value) in &payload {
        let other = again.events[0].payload.get(key).or(Some(&Value::Null)).filter(|_| key != "tlp");
        if let Some(other) =
            other.filter(|_| !["extra.idea", "extra.n6", "feed.name"].contains(&key.as_str()))
        {
            assert!(same(value, other), "{key}: {value} {other}");
        }
    }
    for part in ["source", "target", "sources", "targets", "attach", "ref", "category", "other"] {
        if let Some(value) = payload.get("extra.idea").and_then(|kept| kept.get(part)) {
            let other = &again.events[0].payload["extra.idea"][part];
            assert!(same(value, other), "{part}: {value} {other}");
        }
    }
}

#[test]
fn members_of_messages_come_back_from_extra() {
    for vector in vectors(IDEA, "in").iter().filter(|vector| vector["expect"]["events"][1].is_null()) {
        if vector["expect"]["error"].is_null() {
            // Nodes and names are added to; a label stays; a note of what was an unknown ID is a name.
            comes_back("idea", &vector["idea"], &["Node", "AltNames", "RelID", "AggrID", "CorrelID"]);
        }
    }
    for vector in vectors(N6, "in").iter().filter(|vector| vector["expect"]["events"][1].is_null()) {
        if vector["expect"]["error"].is_null() && vector["raw_json"].is_null() {
            comes_back("n6", &vector["n6"], &["source", "restriction", "type"]);
        }
    }
}
