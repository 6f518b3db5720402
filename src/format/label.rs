//! The label of an event: the strictest of all that meta, its tags, the payload and the door say (CONTRACT.md §1.3).
//! If a text is given as a label and is not one, it counts as RED, because its author meant to restrict something.
//! Whether an event with this label may go anywhere is decided elsewhere.

use serde_json::Value;

use super::door::DoorDefaults;
use super::foreign::ForeignMessage;
use super::meta::{EventMeta, string_of};
use super::refusal::{SubmitCode, SubmitError};
use crate::event::json::{self, JsonKind, JsonMember};
use crate::limits::JSON_DEPTH_MAX;
use crate::policy::Tlp;

/// Length to which an invalid label is cut in messages, in characters.
const SHOWN_CHARS: usize = 60;

/// The label of one event, and the text that could not be read, if it is RED for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventLabel {
    pub tlp: Tlp,
    unread: Option<UnreadLabel>,
}

/// A text that is not a label, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UnreadLabel {
    place: &'static str,
    text: String,
}

impl From<Tlp> for EventLabel {
    fn from(tlp: Tlp) -> Self {
        Self { tlp, unread: None }
    }
}

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

    /// Returns the strictest of all; of equal ones, one that could not be read, since it can be explained.
    pub(crate) fn strictest(found: impl IntoIterator<Item = Self>) -> Option<Self> {
        found.into_iter().max_by_key(|label| (label.tlp, label.unread.is_some()))
    }

    /// Returns the strictest label in the payload of an event of IntelMQ.
    pub(crate) fn of_payload(text: &str) -> Option<Self> {
        let mut found = Vec::new();
        LabelPayload { text, members: &json::members(text), explodes: false, message: None }
            .labels(&mut found);
        Self::strictest(found)
    }

    pub(super) fn read(text: &str, place: &'static str) -> Self {
        Tlp::parse(text).map_or_else(|| Self::unread(text, place), Self::from)
    }

    /// Adds the label that a value gives, or each of a list gives.
    pub(super) fn read_value(value: &Value, place: &'static str, found: &mut Vec<Self>) {
        match value {
            Value::Null => {}
            Value::String(text) => found.push(Self::read(text, place)),
            Value::Array(labels) => found.extend(labels.iter().map(|label| match label.as_str() {
                Some(label) => Self::read(label, place),
                None => Self::unread(&label.to_string(), place),
            })),
            other => found.push(Self::unread(&other.to_string(), place)),
        }
    }

    pub(super) fn unread(text: &str, place: &'static str) -> Self {
        let text = shown(text, SHOWN_CHARS);
        Self { tlp: Tlp::Red, unread: Some(UnreadLabel { place, text }) }
    }

    /// Returns false if its text is not a label.
    pub(crate) fn is_read(&self) -> bool {
        self.unread.is_none()
    }

    /// Makes it at least as strict as `tlp`.
    pub(crate) fn raise(&mut self, tlp: Tlp) {
        self.tlp = self.tlp.max(tlp);
    }

    /// Returns the stricter of both.
    #[must_use]
    pub(crate) fn stricter(self, other: Self) -> Self {
        if other.tlp > self.tlp { other } else { self }
    }

    /// Returns the refusal of an event that may go to nobody unsealed.
    pub(crate) fn goes_to_nobody(&self) -> SubmitError {
        let what = match &self.unread {
            Some(UnreadLabel { place, text }) => format!(
                "{place}: {text:?} is not a known label and counts as TLP:RED, which may go to nobody unsealed"
            ),
            None => format!("TLP:{} may go to nobody unsealed", self.tlp),
        };
        let hint = if self.unread.is_some() {
            "write CLEAR, GREEN, AMBER, AMBER+STRICT or RED, or seal the event to named recipients"
        } else {
            "lower the label, or seal the event to named recipients (--seal --to, or `seal` and `to` in meta)"
        };
        SubmitError::new(SubmitCode::BadTlp, what).hint(hint)
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

/// Returns the first characters of a text.
pub(crate) fn shown(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests;
