//! IntelMQ -> MISP: an event with one object of the template `intelmq_event`. Feeds, which have many objects in one
//! event, are not written here.

use serde_json::{Value, json};

use super::table::{ATTRIBUTES, AttributeKind};
use super::uuid_of;
use crate::format::foreign::report::ConversionReport;
use crate::format::foreign::{EncodedMessage, EventView, JsonObject};
use crate::link::{LinkTarget, Term};
use crate::policy::Tlp;

/// The object template, and its version.
const TEMPLATE: (&str, &str) = ("491ac7d2-25a1-4078-8246-b04a132d003d", "5");

/// Returns the message of one event.
pub(crate) fn encode(event: &EventView<'_>) -> EncodedMessage {
    let mut report = ConversionReport::default();
    let seconds = (event.created.0 / 1_000).to_string();
    let created = event.created.to_string();
    let name = name_of(event);
    let label = event.tlp.map(|tlp| format!(" TLP:{tlp}")).unwrap_or_default();
    let message = json!({"Event": {
        "uuid": uuid_of(&format!("{name} event")).to_string(),
        "info": format!("intelmesh {name}{label}"),
        "date": created.get(..10).unwrap_or_default(),
        "timestamp": seconds,
        "published": true,
        "analysis": "2",
        "threat_level_id": "4",
        "Tag": event.tlp.into_iter().map(tag).collect::<Vec<_>>(),
        "Object": [object_of(event, &mut report)],
    }});
    let message = message.as_object().cloned().unwrap_or_default();
    EncodedMessage { message, report, withheld: None }
}

/// Returns the tag of MISP's taxonomy `tlp`.
pub(super) fn tag(tlp: Tlp) -> Value {
    let colour = match tlp {
        Tlp::Clear => "#FFFFFF",
        Tlp::Green => "#33FF00",
        Tlp::Amber | Tlp::AmberStrict => "#FFC000",
        Tlp::Red => "#FF2B2B",
    };
    json!({"name": format!("tlp:{}", tlp.as_str().to_ascii_lowercase()), "colour": colour})
}

fn name_of(event: &EventView<'_>) -> String {
    event.id.map_or_else(|| event.uuid.to_string(), ToString::to_string)
}

/// Returns the object of an event.
fn object_of(event: &EventView<'_>, report: &mut ConversionReport) -> Value {
    let name = name_of(event);
    let seconds = (event.created.0 / 1_000).to_string();
    let mut attributes = Vec::new();
    let mut extra = JsonObject::new();
    for (key, value) in event.payload {
        // The label is a tag.
        if key == "tlp" || key == "__type" || key.starts_with("extra.intelmesh.") {
            continue;
        }
        match (kind_of(key), text_of(value)) {
            (Some(kind), Some(text)) => attributes.push(attribute((key, &text), kind, (&name, &seconds))),
            _ if key == "extra" => match value {
                Value::Object(members) => extra.extend(members.clone()),
                other => _ = extra.insert("extra".to_owned(), other.clone()),
            },
            _ => {
                let short = key.strip_prefix("extra.").unwrap_or(key);
                if extra.contains_key(short) {
                    report.lost(key.as_str(), "another field has the same name below extra");
                } else {
                    extra.insert(short.to_owned(), value.clone());
                }
            }
        }
    }
    if !extra.is_empty()
        && let Some(kind) = kind_of("extra")
    {
        let text = Value::Object(extra).to_string();
        attributes.push(attribute(("extra", &text), kind, (&name, &seconds)));
    }
    attributes.sort_by(|a, b| a["object_relation"].as_str().cmp(&b["object_relation"].as_str()));
    let mut object = json!({
        "uuid": object_uuid(event).to_string(),
        "name": "intelmq_event",
        "meta-category": "network",
        "description": "IntelMQ Event",
        "template_uuid": TEMPLATE.0,
        "template_version": TEMPLATE.1,
        "comment": name,
        "timestamp": seconds,
        "Attribute": attributes,
    });
    let references = references(event, &name, &seconds);
    if let Some(members) = object.as_object_mut().filter(|_| !references.is_empty()) {
        members.insert("ObjectReference".to_owned(), references.into());
    }
    object
}

fn kind_of(field: &str) -> Option<&'static AttributeKind> {
    ATTRIBUTES.iter().find(|kind| kind.fields.contains(&field))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(set) => Some(if *set { "1" } else { "0" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

fn attribute((field, text): (&str, &str), kind: &AttributeKind, (name, seconds): (&str, &str)) -> Value {
    json!({
        "uuid": uuid_of(&format!("{name} {field}")).to_string(),
        "object_relation": field,
        "type": kind.misp_type,
        "category": kind.category,
        "to_ids": kind.to_ids,
        "value": text,
        "comment": "",
        "disable_correlation": kind.uncorrelated,
        "timestamp": seconds,
    })
}

/// MISP refuses UUIDs of version 8.
fn object_uuid(event: &EventView<'_>) -> uuid::Uuid {
    match event.uuid.get_version_num() {
        0..=7 => event.uuid,
        _ => uuid_of(&name_of(event)),
    }
}

fn references(event: &EventView<'_>, name: &str, seconds: &str) -> Vec<Value> {
    let parent = event.parent.map(|id| ("parent", id));
    let links =
        event.links.iter().filter(|link| link.left.as_ref().is_none_or(|left| Some(left) == event.id));
    let links = links.filter_map(|link| match &link.right {
        LinkTarget::Event(id) => Some((link.relation.as_str(), id)),
        LinkTarget::Opaque(_) => None,
    });
    let reference = |(relation, id): (&str, &crate::identity::EventId)| {
        let version = id.uuid.get_version_num();
        let target = if version <= 7 { id.uuid } else { uuid_of(&id.to_string()) };
        json!({
            "uuid": uuid_of(&format!("{name} {relation} {id}")).to_string(),
            "referenced_uuid": target.to_string(),
            "relationship_type": Term::of(relation).map_or("related-to", |term| term.misp),
            "comment": relation,
            "timestamp": seconds,
        })
    };
    parent.into_iter().chain(links).map(reference).collect()
}
