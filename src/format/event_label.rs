//! A label as somebody gave it. If a text is given as a label and is not one, it counts as RED, because its author meant
//! to restrict something. Whether an event with this label may go anywhere is decided elsewhere.

use serde_json::Value;

use super::refusal::{SubmitCode, SubmitError};
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
    /// Returns the strictest of all; of equal ones, one that could not be read, since it can be explained.
    pub(crate) fn strictest(found: impl IntoIterator<Item = Self>) -> Option<Self> {
        found.into_iter().max_by_key(|label| (label.tlp, label.unread.is_some()))
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

/// Returns the first characters of a text.
pub(crate) fn shown(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
