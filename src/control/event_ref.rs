//! An event as the operator names it. Whether there is one is not known here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identity::EventId;

/// The shortest unique beginning of a UUID that names an event, in characters.
pub(crate) const UUID_PREFIX_MIN: usize = 8;

/// An event as the operator names it: its full name, or the beginning of its UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventRef {
    Full(EventId),
    /// Lower case, 8 to 36 characters of a UUID in its usual form. Must be unique to find anything.
    Prefix(String),
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" names no event: publisher:project:UUID, or the first 8 or more characters of the UUID")]
pub struct EventRefError(String);

impl EventRef {
    /// # Errors
    /// [`EventRefError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EventRefError> {
        let fault = || EventRefError(text.chars().take(120).collect());
        if text.contains(':') {
            return text.parse().map(Self::Full).map_err(|_| fault());
        }
        let lower = text.to_ascii_lowercase();
        let dashes_fit = lower.char_indices().all(|(at, c)| (c == '-') == matches!(at, 8 | 13 | 18 | 23));
        let digits_fit = lower.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        if lower.len() < UUID_PREFIX_MIN || lower.len() > 36 || !dashes_fit || !digits_fit {
            return Err(fault());
        }
        Ok(Self::Prefix(lower))
    }

    /// Returns whether it names `id`.
    #[cfg(test)]
    pub fn fits(&self, id: &EventId) -> bool {
        match self {
            Self::Full(full) => full == id,
            Self::Prefix(prefix) => {
                let mut text = [0u8; uuid::fmt::Hyphenated::LENGTH];
                id.uuid.as_hyphenated().encode_lower(&mut text).starts_with(prefix.as_str())
            }
        }
    }
}

impl std::fmt::Display for EventRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(id) => write!(f, "{id}"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

impl std::str::FromStr for EventRef {
    type Err = EventRefError;
    fn from_str(text: &str) -> Result<Self, EventRefError> {
        Self::parse(text)
    }
}

impl Serialize for EventRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_in_full_or_by_eight_characters_or_more() {
        let id: EventId = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().unwrap();
        for (text, fits) in [
            ("cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b", Some(true)),
            ("cert_at:intelmq:72DDB00C-2d0a-4eea-b7ac-ae122b8e6c3b", Some(true)),
            ("cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b", Some(false)),
            ("72ddb00c", Some(true)),
            ("72DDB00C-2d0a", Some(true)),
            ("72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b", Some(true)),
            ("72ddb00d", Some(false)),
            ("72ddb00", None),
            ("72ddb00c2d0a", None),
            ("72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3bb", None),
            ("cert-at:72ddb00c", None),
            ("zzzzzzzz", None),
            ("é2ddb00c", None),
        ] {
            assert_eq!(EventRef::parse(text).ok().map(|named| named.fits(&id)), fits, "{text}");
        }
    }
}
