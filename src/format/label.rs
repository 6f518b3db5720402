//! The label of an event: the strictest of all that meta, its tags, the payload and the door say (CONTRACT.md §1.3).
//! If a text is given as a label and is not one, it counts as RED, because its author meant to restrict something.
//! Whether an event with this label may go anywhere is decided elsewhere.

use serde_json::Value;

use super::door::DoorDefaults;
use super::foreign::foreign_format;
use super::meta::{EventMeta, string_of};
use super::refusal::{SubmitCode, SubmitError};
use crate::event::EventFormat;
use crate::event::json::{self, JsonKind, JsonMember};
use crate::limits::JSON_DEPTH_MAX;
use crate::policy::Tlp;

/// Length to which an invalid label is cut in messages, in characters.
const SHOWN_CHARS: usize = 60;

/// The label of one event, and the text that could not be read, if it is RED for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLabel {
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
    pub fn of(meta: &EventMeta, payload: &LabelPayload<'_>, door: &DoorDefaults) -> Self {
        Self::given(meta, payload, door).unwrap_or_else(|| door.default_tlp.into())
    }

    /// Returns the strictest label that anything gives.
    pub fn given(meta: &EventMeta, payload: &LabelPayload<'_>, door: &DoorDefaults) -> Option<Self> {
        let mut found: Vec<Self> = meta.tlp.into_iter().chain(door.tlp).map(Self::from).collect();
        meta.tag_labels(&mut |text| found.push(Self::read(text, "a tag of meta")));
        payload.labels(&mut found);
        found.into_iter().max_by_key(|label| (label.tlp, label.unread.is_some()))
    }

    pub(super) fn read(text: &str, place: &'static str) -> Self {
        Tlp::parse(text).map_or_else(|| Self::unread(text, place), Self::from)
    }

    pub(super) fn unread(text: &str, place: &'static str) -> Self {
        let text = shown(text, SHOWN_CHARS);
        Self { tlp: Tlp::Red, unread: Some(UnreadLabel { place, text }) }
    }

    /// Makes it at least as strict as `tlp`.
    pub fn raise(&mut self, tlp: Tlp) {
        self.tlp = self.tlp.max(tlp);
    }

    /// Returns the stricter of both.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if other.tlp > self.tlp { other } else { self }
    }

    /// Returns the refusal of an event that may go to nobody unsealed.
    pub fn goes_to_nobody(&self) -> SubmitError {
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
pub struct LabelPayload<'a> {
    pub format: &'a EventFormat,
    pub text: &'a str,
    pub members: &'a [JsonMember<'a>],
    /// Lists at the top are taken apart, and each event has a value of its own.
    pub explodes: bool,
}

impl LabelPayload<'_> {
    fn labels(&self, found: &mut Vec<EventLabel>) {
        for member in self.members {
            let value = &self.text[member.value_at.clone()];
            let key = &*member.key;
            // IDEA's own place, which has words of its own.
            let foreign = self.format.as_str() == "idea";
            if key.eq_ignore_ascii_case("tlp") && !foreign {
                let apart = self.explodes && member.kind == JsonKind::Array;
                if !apart {
                    put(self.text, member, "tlp of the payload", found);
                }
            } else if key.eq_ignore_ascii_case("extra.tlp") {
                put(self.text, member, "extra.tlp of the payload", found);
            } else if key.eq_ignore_ascii_case("extra") {
                inside_extra(self.text, member, value, found);
            }
        }
        if let Some(format) = foreign_format(self.format.as_str())
            && let Ok(message) = serde_json::from_str(&format.readable(self.text))
        {
            format.labels(&message, found);
        }
    }
}

/// Adds the label that `member` gives, or each of a list gives.
fn put(text: &str, member: &JsonMember<'_>, place: &'static str, found: &mut Vec<EventLabel>) {
    let value = &text[member.value_at.clone()];
    if let Some(label) = string_of(text, member) {
        return found.push(EventLabel::read(&label, place));
    }
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Null) => {}
        Ok(Value::Array(labels)) => found.extend(labels.iter().map(|label| match label.as_str() {
            Some(label) => EventLabel::read(label, place),
            None => EventLabel::unread(&label.to_string(), place),
        })),
        _ => found.push(EventLabel::unread(value, place)),
    }
}

/// Looks inside `extra` as an object, or as IntelMQ's string that holds one.
fn inside_extra(text: &str, member: &JsonMember<'_>, value: &str, found: &mut Vec<EventLabel>) {
    let inside = match member.kind {
        JsonKind::Object => value.to_owned(),
        JsonKind::String => string_of(text, member).unwrap_or_default().into_owned(),
        _ => return,
    };
    let Ok(scan) = json::scan(inside.as_bytes(), JSON_DEPTH_MAX) else { return };
    for member in scan.members.iter().filter(|member| member.key.eq_ignore_ascii_case("tlp")) {
        put(&inside, member, "extra.tlp of the payload", found);
    }
}

/// Returns the first characters of a text.
pub fn shown(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests;
