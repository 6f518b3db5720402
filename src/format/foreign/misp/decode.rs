//! MISP -> IntelMQ: objects of the template `intelmq_event` whole, and one event for each other attribute that names an
//! address, a name or a hash. `to_ids` decides nothing.

use serde_json::Value;
use uuid::Uuid;

use super::table::{LOOSE, REFERENCES};
use super::{event_of, labels, objects};
use crate::format::event_label::EventLabel;
use crate::format::foreign::codec::read_object;
use crate::format::foreign::decoded::EventCollector;
use crate::format::foreign::flat::FlatEvent;
use crate::format::foreign::moment::{UtcMoment, ZoneRule};
use crate::format::foreign::report::ConversionReport;
use crate::format::foreign::shape::{MessagePart, whole_number};
use crate::format::foreign::{DecodedEvent, DecodedMessage, ForeignLink, JsonObject};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::{EventId, parse_uuid};
use crate::link::Term;

/// Returns the events of a message.
///
/// # Errors
/// `bad_misp` if it breaks a rule of MISP's core format, `multi_value` if it becomes too many events.
pub(crate) fn decode(message: &JsonObject) -> Result<DecodedMessage, SubmitError> {
    let event = MessagePart { members: event_of(message), place: "Event.", code: SubmitCode::BadMisp };
    let text = event.required("uuid")?;
    let fault = |_| event.fault("uuid", &text.into(), "a UUID");
    let uuid = parse_uuid(text).map_err(fault)?;
    let mut report = ConversionReport::default();
    let mut base = FlatEvent::new("misp");
    if let Some(info) = event.text("info")? {
        base.keep("info", info);
    }
    if let Some(organisation) = event.members.get("Orgc").and_then(|orgc| orgc.get("name")) {
        base.keep("orgc", organisation.clone());
    }
    let tags = tags_of(event.members);
    if !tags.is_empty() {
        base.keep("tags", tags.clone());
    }
    let mut events = EventCollector::default();
    let mut attributes: Vec<_> = event.objects("Attribute")?.into_iter().map(|found| (found, None)).collect();
    for object in event.objects("Object")? {
        if is_deleted(object) {
            report.lost("Event.Object[]", "deleted in MISP");
        } else if object.get("name").and_then(Value::as_str) == Some("intelmq_event") {
            events.push(from_object((&base, uuid), object, &mut report)?)?;
        } else {
            let part = MessagePart { members: object, place: "Event.Object[].", code: SubmitCode::BadMisp };
            let label = labels::strictest(object, &["Attribute"]);
            attributes.extend(part.objects("Attribute")?.into_iter().map(|found| (found, label.clone())));
        }
    }
    for (attribute, of_object) in attributes {
        if let Some(made) = from_attribute((&base, uuid), attribute, &tags, &mut report)? {
            let label = EventLabel::strictest(made.label.into_iter().chain(of_object));
            events.push(DecodedEvent { label, ..made })?;
        }
    }
    // Each event has the labels of its own object; those of everything else are the message's.
    let mut found = Vec::new();
    if events.is_empty() {
        events.push(described(base, &tags, uuid))?;
        labels::collect(message, &[], &mut found);
    } else {
        labels::collect(event.members, &["Attribute", "Object"], &mut found);
        if !std::ptr::eq(event.members, message) {
            labels::collect(message, &["Event"], &mut found);
        }
    }
    for key in
        event.members.keys().filter(|key| matches!(key.as_str(), "EventReport" | "Galaxy" | "RelatedEvent"))
    {
        report.lost(format!("Event.{key}"), "it describes the event as a whole, in text");
    }
    Ok(DecodedMessage {
        uuid: Some(uuid),
        events: events.into_events(),
        links: Vec::new(),
        report,
        label: EventLabel::strictest(found),
    })
}

fn tags_of(holder: &JsonObject) -> Vec<String> {
    objects(holder, "Tag").into_iter().filter_map(|tag| Some(tag.get("name")?.as_str()?.to_owned())).collect()
}

pub(crate) fn is_deleted(members: &JsonObject) -> bool {
    match members.get("deleted") {
        Some(Value::Bool(deleted)) => *deleted,
        Some(other) => whole_number(other).is_some_and(|number| number != 0),
        None => false,
    }
}

/// Returns the event of an object with the fields of IntelMQ.
fn from_object(
    (base, event_uuid): (&FlatEvent, Uuid),
    object: &JsonObject,
    report: &mut ConversionReport,
) -> Result<DecodedEvent, SubmitError> {
    let part = MessagePart { members: object, place: "Event.Object[].", code: SubmitCode::BadMisp };
    let mut flat = base.clone();
    let mut odd = JsonObject::new();
    for members in part.objects("Attribute")? {
        if is_deleted(members) {
            continue;
        }
        let attribute =
            MessagePart { members, place: "Event.Object[].Attribute[].", code: SubmitCode::BadMisp };
        let (field, value) = (attribute.required("object_relation")?, attribute.required("value")?);
        if field == "extra" {
            put_extra(value, &mut flat, &mut odd);
        } else if !put_text(&mut flat, field, value) {
            report.moved(field, "extra.misp.fields");
            odd.insert(field.to_owned(), value.into());
        }
    }
    if !odd.is_empty() {
        flat.keep("fields", odd);
    }
    // An event may have named another event of MISP already.
    flat.put("misp.event_uuid", event_uuid.to_string());
    let mut links = Vec::new();
    if let Some(name) = part.text("comment")?.filter(|name| name.parse::<EventId>().is_ok()) {
        links.push(ForeignLink::alternate(name));
    }
    for members in part.objects("ObjectReference")?.into_iter().filter(|members| !is_deleted(members)) {
        links.extend(link_of(members));
    }
    let uuid = part.text("uuid")?.and_then(|text| parse_uuid(text).ok());
    Ok(DecodedEvent { uuid, links, label: labels::strictest(object, &[]), payload: flat.into_payload() })
}

/// Puts a text at a field of any type: MISP has all values as text.
fn put_text(flat: &mut FlatEvent, field: &str, text: &str) -> bool {
    if field == "extra" || field.starts_with("extra.") {
        return false;
    }
    if field.ends_with("tor_node") {
        return match text {
            "1" | "true" => flat.put(field, true),
            "0" | "false" => flat.put(field, false),
            _ => false,
        };
    }
    let moment = || UtcMoment::parse(text, ZoneRule::Optional).map(UtcMoment::intelmq);
    flat.put(field, text)
        || text.parse::<i64>().is_ok_and(|number| flat.put(field, number))
        || text.parse::<f64>().is_ok_and(|number| number.is_finite() && flat.put(field, number))
        || moment().is_some_and(|moment| flat.put(field, moment))
}

/// Puts the members of `extra`, which is JSON text. Fields without a relation in the template travel in it too.
fn put_extra(text: &str, flat: &mut FlatEvent, odd: &mut JsonObject) {
    let Ok(members) = read_object(text) else {
        odd.insert("extra".to_owned(), text.into());
        return;
    };
    for (key, value) in members {
        let foreign = key == "intelmesh" || key.starts_with("intelmesh.") || key == "misp";
        if !foreign && (flat.put(&key, value.clone()) || flat.put(&format!("extra.{key}"), value.clone())) {
            continue;
        }
        odd.insert(format!("extra.{key}"), value);
    }
}

fn link_of(reference: &JsonObject) -> Option<ForeignLink> {
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    let right = parse_uuid(text("referenced_uuid")?).ok()?;
    // Our own feeds have the type of the link as the comment.
    let own = text("comment").and_then(Term::of).map(|term| term.name);
    let foreign = || {
        let kind = text("relationship_type")?;
        REFERENCES.iter().find(|(name, _)| *name == kind).map(|(_, relation)| *relation)
    };
    // Whoever may write in MISP takes back nothing that this node signed.
    let takes_back = |name: &str| ["replaces", "withdraws"].contains(&name);
    let relation =
        own.filter(|name| *name != "parent" && !takes_back(name)).or_else(foreign).unwrap_or("related");
    Some(ForeignLink::own(relation, right))
}

/// Returns the event of an attribute, if it names something.
fn from_attribute(
    (base, event_uuid): (&FlatEvent, Uuid),
    members: &JsonObject,
    event_tags: &[String],
    report: &mut ConversionReport,
) -> Result<Option<DecodedEvent>, SubmitError> {
    let attribute = MessagePart { members, place: "Event.Attribute[].", code: SubmitCode::BadMisp };
    let (kind, value) = (attribute.required("type")?, attribute.required("value")?);
    if is_deleted(members) {
        report.lost(format!("Event.Attribute[] ({kind})"), "deleted in MISP");
        return Ok(None);
    }
    let Some((_, fields)) = LOOSE.iter().find(|(name, _)| *name == kind) else {
        report.lost(format!("Event.Attribute[] ({kind})"), "attributes of this type make no event");
        return Ok(None);
    };
    let mut flat = base.clone();
    flat.put("misp.event_uuid", event_uuid.to_string());
    let mut kept = JsonObject::new();
    kept.insert("type".to_owned(), kind.into());
    let values: Vec<&str> = value.splitn(fields.len(), '|').collect();
    let fits = values.len() == fields.len()
        && fields.iter().zip(&values).all(|(field, value)| put_value(&mut flat, field, value));
    if !fits {
        kept.insert("value".to_owned(), value.into());
    }
    for key in ["category", "to_ids"] {
        kept.extend(members.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    flat.keep("attribute", kept);
    let own_tags = tags_of(members);
    flat.put("classification.type", event_type(own_tags.iter().chain(event_tags)));
    if let Some(comment) = attribute.text("comment")?.filter(|comment| !comment.is_empty()) {
        flat.put_or_keep("comment", comment, "comment", report);
    }
    for (key, field) in [("first_seen", "time.source"), ("last_seen", "time.observation")] {
        let moment = members
            .get(key)
            .and_then(Value::as_str)
            .and_then(|text| UtcMoment::parse(text, ZoneRule::Optional));
        if let Some(moment) = moment {
            flat.put(field, moment.intelmq());
        }
    }
    let uuid = attribute.text("uuid")?.and_then(|text| parse_uuid(text).ok());
    if let Some(uuid) = uuid {
        flat.put("misp.attribute_uuid", uuid.to_string());
    }
    let label = labels::strictest(members, &[]);
    Ok(Some(DecodedEvent { uuid, links: Vec::new(), label, payload: flat.into_payload() }))
}

/// Puts a part of a loose attribute's value; MISP has networks as addresses.
fn put_value(flat: &mut FlatEvent, field: &str, value: &str) -> bool {
    match field.strip_suffix(".ip") {
        Some(side) if value.contains('/') => flat.put(&format!("{side}.network"), value),
        _ if field.ends_with(".fqdn") => flat.put(field, value.to_ascii_lowercase()),
        _ if field.ends_with(".asn") => {
            let digits = value.strip_prefix("AS").unwrap_or(value);
            digits.parse::<u32>().is_ok_and(|number| flat.put(field, number))
        }
        _ => put_text(flat, field, value),
    }
}

/// Returns the type that a tag of the taxonomy `rsit` gives.
fn event_type<'a>(tags: impl Iterator<Item = &'a String>) -> String {
    let mut probe = FlatEvent::new("misp");
    let types = tags.filter_map(|tag| {
        let rest = tag.strip_prefix("rsit:")?;
        let (_, name) = rest.split_once('=')?;
        let name = name.trim_matches('"').to_ascii_lowercase();
        // The taxonomy and IntelMQ spell one of them differently.
        Some(if name == "unauthorised-use-of-resources" {
            "unauthorized-use-of-resources".to_owned()
        } else {
            name
        })
    });
    let known = types.into_iter().find(|name| probe.put("classification.type", name.as_str()));
    known.unwrap_or_else(|| "undetermined".to_owned())
}

/// Returns the event of a message without any attribute that makes one.
fn described(mut flat: FlatEvent, tags: &[String], uuid: Uuid) -> DecodedEvent {
    flat.put("misp.event_uuid", uuid.to_string());
    flat.put("classification.type", event_type(tags.iter()));
    DecodedEvent { uuid: Some(uuid), links: Vec::new(), label: None, payload: flat.into_payload() }
}
