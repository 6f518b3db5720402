//! The vectors of `tests/vectors/formats/`, each of which was held against the programs of others; the way there and
//! back; and odd input.

#[cfg(feature = "node")]
mod feed;
mod handed;
mod odd;
mod round;

use serde_json::{Value, json};
use uuid::Uuid;

use super::convert::LineConversion;
use super::{
    DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, ForeignTarget, JsonObject,
    NotSent, decode_text, encode_event, foreign_format,
};
use crate::event::EventFormat;
use crate::format::refusal::SubmitError;
use crate::identity::{EventId, HopPath};
use crate::link::{Link, LinkTarget, Relation};
use crate::policy::Tlp;
use crate::time::Timestamp;

const IDEA: &str = include_str!("../../../tests/vectors/formats/idea.jsonl");
const N6: &str = include_str!("../../../tests/vectors/formats/n6.jsonl");
const MISP: &str = include_str!("../../../tests/vectors/formats/misp.jsonl");
const MAPS: &str = include_str!("../../../tests/vectors/formats/maps.json");

fn vectors(text: &str, dir: &str) -> Vec<Value> {
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a vector"));
    all.filter(|vector| vector["dir"] == dir).collect()
}

fn format(name: &str) -> &'static dyn ForeignFormat {
    foreign_format(name).expect("a format")
}

fn decode(name: &str, vector: &Value) -> Result<DecodedMessage, SubmitError> {
    let text = match vector["raw_json"].as_str() {
        Some(text) => text.to_owned(),
        None => vector[name].to_string(),
    };
    decode_text(format(name), &text)
}

/// Numbers are compared as numbers: 50 is 50.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

fn event_id(text: &str) -> EventId {
    text.parse().expect("a full name")
}

fn links_of(message: &DecodedMessage) -> Vec<Value> {
    let shown = |right: &ForeignTarget| match right {
        ForeignTarget::Own(uuid) => format!("cert-at:intelmq:{uuid}"),
        ForeignTarget::Named(name) => name.clone(),
    };
    let links = message.links.iter().chain(&message.events[0].links);
    links.map(|link| json!({"type": link.relation, "right": shown(&link.right)})).collect()
}

fn check_in(name: &str, text: &str) {
    let mut checked = 0;
    for vector in vectors(text, "in") {
        let (case, expect) = (&vector["name"], &vector["expect"]);
        checked += 1;
        match expect["error"].as_str() {
            Some(code @ ("bad_idea" | "bad_n6")) => {
                assert_eq!(decode(name, &vector).unwrap_err().code.as_str(), code, "{case}");
                continue;
            }
            Some("taken as other") => {
                let decoded = decode(name, &vector).unwrap();
                assert_eq!(decoded.events[0].payload["classification.type"], "other", "{case}");
                continue;
            }
            Some("bad_tlp") => {
                assert_eq!(decode(name, &vector).unwrap().label.unwrap().tlp, Tlp::Red, "{case}");
                continue;
            }
            other => assert_eq!(other, None, "{case}"),
        }
        let decoded = decode(name, &vector).unwrap_or_else(|fault| panic!("{case}: {fault}"));
        let wanted = expect["events"].as_array().unwrap();
        assert_eq!(decoded.events.len(), wanted.len(), "{case}");
        for (event, wanted) in decoded.events.iter().zip(wanted) {
            let payload = Value::Object(event.payload.clone());
            assert!(same(&payload, &wanted["payload"]), "{case}\n{payload}\n{}", wanted["payload"]);
            if let Some(uuid) = wanted["uuid"].as_str() {
                assert_eq!(event.uuid.unwrap().to_string(), uuid, "{case}");
            }
        }
        for key in ["uuid", "parent"] {
            if let Some(uuid) = expect[key].as_str().and_then(|text| text.parse::<Uuid>().ok()) {
                assert_eq!(decoded.uuid, Some(uuid), "{case}");
            }
        }
        let label = decoded.label.as_ref().map(|label| label.tlp.as_str());
        assert_eq!(label, expect["tlp"].as_str(), "{case}");
        if name == "idea"
            && let Some(links) = expect["links"].as_array()
        {
            assert_eq!(&links_of(&decoded), links, "{case}");
        }
    }
    assert!(checked >= 10, "{name}");
}

#[test]
fn idea_messages_become_the_events_of_the_vectors() {
    check_in("idea", IDEA);
}

#[test]
fn n6_messages_become_the_events_of_the_vectors() {
    check_in("n6", N6);
}

/// An envelope of a vector, taken apart.
struct VectorEvent {
    payload: JsonObject,
    id: EventId,
    created: Timestamp,
    tlp: Tlp,
    links: Vec<Link>,
    path: HopPath,
}

impl VectorEvent {
    fn new(envelope: &Value) -> Self {
        let meta = &envelope["meta"];
        let links = meta["links"].as_array().into_iter().flatten().map(|link| {
            let right = link["right"].as_str().unwrap();
            let event = right.parse().map(LinkTarget::Event);
            Link {
                left: None,
                relation: Relation::parse(link["type"].as_str().unwrap()).unwrap(),
                right: event.unwrap_or_else(|_| LinkTarget::Opaque(right.to_owned())),
            }
        });
        let hops = meta["path"].as_str().unwrap_or_default().split('!').filter(|hop| !hop.is_empty());
        Self {
            payload: envelope["payload"].as_object().unwrap().clone(),
            id: event_id(meta["uuid"]["current"].as_str().unwrap()),
            created: Timestamp::parse_rfc3339(meta["created"].as_str().unwrap()).unwrap(),
            tlp: Tlp::parse(meta["tlp"].as_str().unwrap()).unwrap(),
            links: links.collect(),
            path: HopPath::new(hops.map(|hop| hop.parse().unwrap()).collect()).unwrap(),
        }
    }

    fn encode(&self, name: &str) -> EncodedMessage {
        self.try_encode(name).unwrap()
    }

    fn try_encode(&self, name: &str) -> Result<EncodedMessage, NotSent> {
        let view = EventView {
            payload: &self.payload,
            id: Some(&self.id),
            uuid: self.id.uuid,
            created: self.created,
            tlp: Some(self.tlp),
            parent: None,
            links: &self.links,
            path: &self.path,
        };
        encode_event(format(name), &view, &EncodeOptions { node: None, raw: true })
    }
}

#[test]
fn envelopes_become_the_messages_of_the_vectors() {
    for (name, text) in [("idea", IDEA), ("n6", N6)] {
        for vector in vectors(text, "out") {
            let encoded = VectorEvent::new(&vector["envelope"]).encode(name);
            let message = Value::Object(encoded.message);
            assert!(same(&message, &vector["expect"]), "{}\n{message}\n{}", vector["name"], vector["expect"]);
            let withheld = vector["note"].as_str().is_some_and(|note| note.contains("withhold"));
            assert_eq!(encoded.withheld.is_some(), withheld, "{}", vector["name"]);
        }
    }
}

/// A feed that PyMISP reads becomes the events that it was made from.
#[test]
fn misp_objects_become_the_events_of_the_vectors() {
    for vector in MISP.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let decoded = decode_text(format("misp"), &vector["expect"]["event"].to_string()).unwrap();
        let deleted = |id: &str| {
            let objects = vector["expect"]["event"]["Event"]["Object"].as_array().unwrap();
            objects.iter().any(|object| object["comment"] == id && object["deleted"] == true)
        };
        let id = |envelope: &Value| envelope["meta"]["uuid"]["current"].as_str().unwrap().to_owned();
        let wanted = vector["envelopes"].as_array().unwrap();
        let wanted: Vec<&Value> = wanted.iter().filter(|envelope| !deleted(&id(envelope))).collect();
        assert_eq!(decoded.label.as_ref().unwrap().tlp, Tlp::Green);
        for wanted in wanted {
            let name = id(wanted);
            let named = |right: &ForeignTarget| *right == ForeignTarget::Named(name.clone());
            let found = decoded.events.iter().find(|event| event.links.iter().any(|link| named(&link.right)));
            let Some(found) = found else {
                assert!(wanted["meta"]["links"][0]["type"] == "withdraws", "{name} is missing");
                continue;
            };
            for (key, value) in wanted["payload"].as_object().unwrap() {
                assert!(same(&found.payload[key], value), "{name} {key}: {:?}", found.payload);
            }
        }
    }
}

#[test]
fn tables_are_those_of_the_maps() {
    let maps: Value = serde_json::from_str(MAPS).unwrap();
    let object = |key: &str| maps[key].as_object().unwrap().clone();
    let plain = |table: &[(&str, &str)]| {
        table.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<JsonObject>()
    };
    let optional = |table: &[(&str, Option<&str>)]| {
        table.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<JsonObject>()
    };
    use super::{idea::table as idea, n6::table as n6};
    assert_eq!(optional(idea::CATEGORY_TO_TYPE), object("idea_category_to_type"));
    assert_eq!(plain(idea::SOURCE_TYPE_TO_TYPE), object("idea_source_type_to_type"));
    assert_eq!(plain(idea::TYPE_TO_CATEGORY), object("type_to_idea_category"));
    assert_eq!(plain(idea::TYPE_TO_SOURCE_TYPE), object("type_to_idea_source_type"));
    assert_eq!(plain(n6::CATEGORY_TO_TYPE), object("n6_category_to_type"));
    assert_eq!(optional(n6::TYPE_TO_CATEGORY), object("type_to_n6_category"));
}

/// A label is never milder in another format than here, and comes back as strict as it went or stricter.
#[test]
fn labels_never_loosen_on_the_way() {
    for name in ["idea", "n6", "misp"] {
        for tlp in Tlp::ALL {
            let line =
                json!({"classification.type": "scanner", "source.ip": "192.0.2.1", "tlp": tlp.as_str()});
            let out = convert("intelmq", name, &line.to_string());
            let back = decode_text(format(name), &out[0]).unwrap();
            let came = back.label.map(|label| label.tlp);
            assert!(came.is_some_and(|came| came >= tlp), "{name} {tlp}: {came:?}");
        }
    }
    let kept = json!({"classification.type": "phishing", "source.ip": "192.0.2.7", "tlp": "GREEN",
        "extra.n6": {"restriction": "internal"}});
    let out: Value = serde_json::from_str(&convert("intelmq", "n6", &kept.to_string())[0]).unwrap();
    assert_eq!(out["restriction"], "internal");
}

fn convert(from: &str, to: &str, line: &str) -> Vec<String> {
    let name = |name: &str| EventFormat::parse(name).unwrap();
    let now = Timestamp::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
    let conversion = LineConversion::new(&name(from), &name(to), false, now).unwrap();
    conversion.line(line.as_bytes()).unwrap_or_else(|fault| panic!("{from} {to} {line}: {fault}")).lines
}
