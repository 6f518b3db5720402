//! The labels of a MISP message: tags at any object of it, and the fields of IntelMQ that are labels. MISP nests events,
//! reports and answers in many ways, so all that stands inside counts.

use serde_json::Value;

use super::super::JsonObject;
use crate::format::event_label::EventLabel;
use crate::format::label::inside_extra;
use crate::format::meta::begins_with_tlp;

const TAG: &str = "a tag of the payload";
const FIELD: &str = "a field of the payload";

/// Adds the labels of an object and of all that stands inside of it, but not below the keys `passed` of the object
/// itself.
pub(crate) fn collect(holder: &JsonObject, passed: &[&str], found: &mut Vec<EventLabel>) {
    of_field(holder, found);
    for (key, value) in holder.iter().filter(|(key, _)| !passed.contains(&key.as_str())) {
        if key == "Tag" {
            of_tags(value, found);
        } else if is_label(key) {
            EventLabel::read_value(value, FIELD, found);
        }
        inside(value, found);
    }
}

/// Returns the strictest of these labels.
pub(crate) fn strictest(holder: &JsonObject, passed: &[&str]) -> Option<EventLabel> {
    let mut found = Vec::new();
    collect(holder, passed, &mut found);
    EventLabel::strictest(found)
}

fn inside(value: &Value, found: &mut Vec<EventLabel>) {
    match value {
        Value::Object(members) => collect(members, &[], found),
        Value::Array(elements) => elements.iter().for_each(|element| inside(element, found)),
        _ => {}
    }
}

/// Adds the label of an attribute that is a field of IntelMQ.
fn of_field(attribute: &JsonObject, found: &mut Vec<EventLabel>) {
    let Some(field) = attribute.get("object_relation").and_then(Value::as_str) else { return };
    let Some(value) = attribute.get("value") else { return };
    if is_label(field) {
        EventLabel::read_value(value, FIELD, found);
    } else if let (true, Some(text)) = (field.eq_ignore_ascii_case("extra"), value.as_str()) {
        inside_extra(text, found);
    }
}

fn is_label(field: &str) -> bool {
    field.eq_ignore_ascii_case("tlp") || field.eq_ignore_ascii_case("extra.tlp")
}

/// Adds the labels of a list of tags, or of one; a tag is a text, or an object with a name.
fn of_tags(tags: &Value, found: &mut Vec<EventLabel>) {
    match tags {
        Value::String(name) if begins_with_tlp(name) => found.push(EventLabel::read(name, TAG)),
        Value::Object(tag) => {
            tag.get("name").into_iter().filter(|name| name.is_string()).for_each(|name| of_tags(name, found));
        }
        Value::Array(tags) => tags.iter().for_each(|tag| of_tags(tag, found)),
        _ => {}
    }
}
