//! Takes a MISP event apart for a door that follows changes in MISP: one part for each object of the template
//! `intelmq_event`, and one for each other attribute that makes an event. A part is a message of its own, with the info,
//! organisation and tags of the whole. Which parts are new is the door's decision.

use serde_json::Value;
use uuid::Uuid;

use super::decode::is_deleted;
use super::table::LOOSE;
use super::{event_of, labels, objects};
use crate::format::event_label::EventLabel;
use crate::format::foreign::JsonObject;
use crate::format::foreign::shape::MessagePart;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::{EventId, parse_uuid};
use crate::policy::Tlp;

/// A MISP event that was taken apart.
#[derive(Debug)]
pub(crate) struct MispEvent {
    pub uuid: Uuid,
    pub parts: Vec<MispPart>,
    /// Attributes of types that make no event.
    pub without_event: usize,
}

/// One object or attribute.
#[derive(Debug)]
pub(crate) struct MispPart {
    pub uuid: Uuid,
    /// Another one if the event of this part would be another one. It depends on no timestamp: MISP renews these for
    /// changes that do not show here.
    pub version: Uuid,
    /// The id for a later version of the same part. A version that comes back gets another one.
    pub later_id: Uuid,
    pub deleted: bool,
    /// The strictest label of the part and the whole.
    pub tlp: Option<Tlp>,
    /// The event that a feed of a node shows with this object.
    pub shows: Option<EventId>,
    /// Decodes to one event.
    pub message: JsonObject,
}

/// Takes the message apart.
///
/// # Errors
/// `bad_misp` if the event has no UUID, or a list that is none.
pub(crate) fn take_apart(message: &JsonObject) -> Result<MispEvent, SubmitError> {
    let event = MessagePart { members: event_of(message), place: "Event.", code: SubmitCode::BadMisp };
    let text = event.required("uuid")?;
    let uuid = parse_uuid(text).map_err(|_| event.fault("uuid", &text.into(), "a UUID"))?;
    let whole = EventHead::of(uuid, message);
    let (mut parts, mut without_event) = (Vec::new(), 0);
    for attribute in event.objects("Attribute")? {
        match makes_event(attribute) {
            true => parts.push(whole.part("Attribute", attribute.clone(), None)),
            false => without_event += 1,
        }
    }
    for object in event.objects("Object")? {
        if object.get("name").and_then(Value::as_str) == Some("intelmq_event") {
            parts.push(whole.part("Object", object.clone(), None));
            continue;
        }
        let part = MessagePart { members: object, place: "Event.Object[].", code: SubmitCode::BadMisp };
        let of_object = labels::strictest(object, &["Attribute"]);
        for attribute in part.objects("Attribute")? {
            if !makes_event(attribute) {
                without_event += 1;
                continue;
            }
            let mut attribute = attribute.clone();
            if is_deleted(object) {
                attribute.insert("deleted".to_owned(), true.into());
            }
            parts.push(whole.part("Attribute", attribute, of_object.clone()));
        }
    }
    Ok(MispEvent { uuid, parts, without_event })
}

fn makes_event(attribute: &JsonObject) -> bool {
    let kind = attribute.get("type").and_then(Value::as_str);
    LOOSE.iter().any(|(name, _)| Some(*name) == kind)
}

/// The members of an event that each of its parts has too.
struct EventHead {
    uuid: Uuid,
    members: JsonObject,
    /// That of all that stands outside of the parts.
    label: Option<EventLabel>,
}

impl EventHead {
    fn of(uuid: Uuid, message: &JsonObject) -> Self {
        let event = event_of(message);
        let kept = ["uuid", "info", "Orgc", "Tag"];
        let members = event.iter().filter(|(key, _)| kept.contains(&key.as_str()));
        let mut found = Vec::new();
        labels::collect(event, &["Attribute", "Object"], &mut found);
        if !std::ptr::eq(event, message) {
            labels::collect(message, &["Event"], &mut found);
        }
        Self {
            uuid,
            members: members.map(|(key, value)| (key.clone(), value.clone())).collect(),
            label: EventLabel::strictest(found),
        }
    }

    fn part(&self, list: &str, members: JsonObject, around: Option<EventLabel>) -> MispPart {
        let label = labels::strictest(&members, &[]).into_iter().chain(around).chain(self.label.clone());
        let tlp = EventLabel::strictest(label).map(|label| label.tlp);
        let tlp = if is_for_few(&members) { Some(Tlp::Red) } else { tlp };
        let version = Uuid::new_v5(&self.uuid, self.content(&members, tlp).as_bytes());
        let given = members.get("uuid").and_then(Value::as_str).and_then(|text| parse_uuid(text).ok());
        let stamp = members.get("timestamp").map(Value::to_string).unwrap_or_default();
        let comment = members.get("comment").and_then(Value::as_str).filter(|_| list == "Object");
        let (shows, deleted) = (comment.and_then(|name| name.parse().ok()), is_deleted(&members));
        let mut message = self.members.clone();
        message.insert(list.to_owned(), Value::Array(vec![members.into()]));
        MispPart {
            uuid: given.unwrap_or(version),
            version,
            later_id: Uuid::new_v5(&version, stamp.as_bytes()),
            deleted,
            tlp,
            shows,
            message,
        }
    }

    /// Returns the text of all that the event of a part is made of. Of the tags of the whole only labels and types
    /// count: analysts add others all the time.
    fn content(&self, members: &JsonObject, tlp: Option<Tlp>) -> String {
        let names = objects(&self.members, "Tag").into_iter().filter_map(|tag| tag.get("name")?.as_str());
        let types: Vec<_> = names.filter(|name| name.starts_with("rsit:")).collect();
        let mut text = format!("{} {}", tlp.map_or("", Tlp::as_str), types.join(" "));
        put_content(members, &mut text);
        text
    }
}

/// Returns true if MISP shows it to its own organisation alone (0), or to a sharing group (4), or so a part of it.
fn is_for_few(members: &JsonObject) -> bool {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    matches!(members.get("distribution").and_then(number), Some(0 | 4))
        || objects(members, "Attribute").into_iter().any(is_for_few)
}

/// Adds the members that decide what an object, attribute or reference becomes.
fn put_content(members: &JsonObject, text: &mut String) {
    const READ: &[&str] = &[
        "type",
        "object_relation",
        "value",
        "comment",
        "category",
        "to_ids",
        "first_seen",
        "last_seen",
        "deleted",
        "relationship_type",
        "referenced_uuid",
    ];
    for key in READ {
        if let Some(value) = members.get(*key) {
            text.push_str(&format!("\n{key} {value}"));
        }
    }
    for tag in objects(members, "Tag") {
        text.push_str(&format!("\ntag {}", tag.get("name").unwrap_or(&Value::Null)));
    }
    for list in ["Attribute", "ObjectReference"] {
        objects(members, list).into_iter().for_each(|inner| put_content(inner, text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::format::foreign::decode_text;
    use crate::format::foreign::misp::MispFormat;

    fn taken_apart(event: &Value) -> Vec<MispPart> {
        take_apart(json!({"Event": event}).as_object().unwrap()).unwrap().parts
    }

    fn event() -> Value {
        let uuid = |n: u32| format!("b0c63d16-c237-4786-a151-b7cc906314{n:02}");
        json!({"uuid": uuid(1), "info": "x", "timestamp": "1", "Tag": [{"name": "tlp:green"}],
            "Attribute": [{"uuid": uuid(2), "type": "ip-src", "value": "192.0.2.1", "timestamp": "1"},
                {"uuid": uuid(3), "type": "text", "value": "prose"}],
            "Object": [{"uuid": uuid(4), "name": "file", "deleted": true, "Attribute": [
                {"uuid": uuid(5), "type": "md5", "object_relation": "md5", "value": "0cc175b9c0f1b6a831c399e269772661"}]},
                {"uuid": uuid(6), "name": "intelmq_event", "comment": "cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b",
                "Attribute": [{"object_relation": "source.ip", "type": "ip-src", "value": "192.0.2.2",
                    "Tag": [{"name": "tlp:amber"}]}]}]})
    }

    #[test]
    fn each_part_decodes_to_one_event() {
        let parts = taken_apart(&event());
        let seen: Vec<_> = parts.iter().map(|part| (part.deleted, part.tlp, part.shows.is_some())).collect();
        let green = Some(Tlp::Green);
        assert_eq!(seen, [(false, green, false), (true, green, false), (false, Some(Tlp::Amber), true)]);
        for part in parts.iter().filter(|part| !part.deleted) {
            let text = serde_json::to_string(&part.message).unwrap();
            let decoded = decode_text(&MispFormat, &text).unwrap();
            assert_eq!(decoded.events.len(), 1, "{text}");
            assert_eq!(decoded.events[0].uuid, Some(part.uuid));
        }
    }

    #[test]
    fn a_version_changes_with_content_and_label_alone() {
        let versions = |change: &dyn Fn(&mut Value)| {
            let mut changed = event();
            change(&mut changed);
            taken_apart(&changed)[0].version
        };
        let before = versions(&|_| ());
        assert_eq!(before, versions(&|event| event["Attribute"][0]["timestamp"] = "9".into()));
        assert_eq!(before, versions(&|event| event["info"] = "renamed".into()));
        assert_ne!(before, versions(&|event| event["Attribute"][0]["value"] = "192.0.2.9".into()));
        assert_ne!(before, versions(&|event| event["Tag"][0]["name"] = "tlp:amber".into()));
        assert_ne!(before, versions(&|event| event["Attribute"][0]["deleted"] = true.into()));
        let later = |stamp: &str| {
            let mut changed = event();
            changed["Attribute"][0]["timestamp"] = stamp.into();
            taken_apart(&changed)[0].later_id
        };
        assert_ne!(later("1"), later("2"), "a version that comes back is another event");
    }
}
