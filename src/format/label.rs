//! The label of an event: the strictest of all that meta, its tags, the payload and the door say (CONTRACT.md §1.3).
//! Each place is looked for here; `event_label` reads what stands there.

use super::door::DoorDefaults;
use super::event_label::EventLabel;
use super::foreign::ForeignMessage;
use super::meta::{EventMeta, string_of};
use crate::event::json::{self, JsonKind, JsonMember};
use crate::limits::JSON_DEPTH_MAX;

impl EventLabel {
    /// Returns the strictest label of an event with the object `text` as payload, or the door's default. If `lists`
    /// says that a list at the top of the payload is taken apart later, the list is passed over.
    pub(crate) fn of(meta: &EventMeta, payload: &LabelPayload<'_>, door: &DoorDefaults) -> Self {
        Self::given(meta, payload, door).unwrap_or_else(|| door.default_tlp.into())
    }

    /// Returns the strictest label that anything gives.
    pub(crate) fn given(meta: &EventMeta, payload: &LabelPayload<'_>, door: &DoorDefaults) -> Option<Self> {
        let mut found: Vec<Self> = meta.tlp.into_iter().chain(door.tlp).map(Self::from).collect();
        meta.tag_labels(&mut |text| found.push(Self::read(text, "a tag of meta")));
        payload.labels(&mut found);
        Self::strictest(found)
    }

    /// Returns the strictest label in the payload of an event of IntelMQ.
    pub(crate) fn of_payload(text: &str) -> Option<Self> {
        let mut found = Vec::new();
        LabelPayload { text, members: &json::members(text), explodes: false, message: None }
            .labels(&mut found);
        Self::strictest(found)
    }
}

/// A payload that may carry labels.
pub(crate) struct LabelPayload<'a> {
    pub text: &'a str,
    pub members: &'a [JsonMember<'a>],
    /// Lists at the top are taken apart, and each event has a value of its own.
    pub explodes: bool,
    /// The payload as a message of another format that has places of its own.
    pub message: Option<&'a ForeignMessage>,
}

impl LabelPayload<'_> {
    fn labels(&self, found: &mut Vec<EventLabel>) {
        self.plain_labels(found);
        if let Some(message) = self.message {
            message.labels(found);
        }
    }

    /// Adds the labels in the places that all formats share.
    pub(super) fn plain_labels(&self, found: &mut Vec<EventLabel>) {
        for member in self.members {
            let value = &self.text[member.value_at.clone()];
            let key = &*member.key;
            // IDEA's own place, which has words of its own.
            let is_of_idea = self.message.is_some_and(|message| message.format().name() == "idea");
            if key.eq_ignore_ascii_case("tlp") && !is_of_idea {
                let apart = self.explodes && member.kind == JsonKind::Array;
                if !apart {
                    put(self.text, member, "tlp of the payload", found);
                }
            } else if key.eq_ignore_ascii_case("extra.tlp") {
                put(self.text, member, "extra.tlp of the payload", found);
            } else if key.eq_ignore_ascii_case("extra") {
                match member.kind {
                    JsonKind::Object => inside_extra(value, found),
                    JsonKind::String => {
                        inside_extra(&string_of(self.text, member).unwrap_or_default(), found);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Adds the label that `member` gives, or each of a list gives.
fn put(text: &str, member: &JsonMember<'_>, place: &'static str, found: &mut Vec<EventLabel>) {
    let value = &text[member.value_at.clone()];
    if let Some(label) = string_of(text, member) {
        return found.push(EventLabel::read(&label, place));
    }
    match json::value_of(value) {
        Some(read) => EventLabel::read_value(&read.value, place, found),
        None => found.push(EventLabel::unread(value, place)),
    }
}

/// Looks inside `extra` as the text of an object, which IntelMQ writes into a string.
pub(super) fn inside_extra(inside: &str, found: &mut Vec<EventLabel>) {
    const PLACE: &str = "extra.tlp of the payload";
    match json::scan(inside.as_bytes(), JSON_DEPTH_MAX) {
        Ok(scan) => {
            for member in scan.members.iter().filter(|member| member.key.eq_ignore_ascii_case("tlp")) {
                put(inside, member, PLACE, found);
            }
        }
        // Another reader may find a label in it.
        Err(_) if inside.trim_start().starts_with('{') && inside.to_ascii_lowercase().contains("tlp") => {
            found.push(EventLabel::unread(inside, PLACE));
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests;
