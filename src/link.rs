//! A typed relation between two events (design §5.4). Links are claims of the publisher that signed them;
//! a consumer may ignore them.

use crate::identity::EventId;

/// (left, type, right); `left` left out is the event that carries the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub left: Option<EventId>,
    pub relation: Relation,
    pub right: LinkTarget,
}

/// What a link points at: an event, or (for `alternate`) an opaque id of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    Event(EventId),
    Opaque(String),
}

/// The type of a link. The vocabulary is open: an unknown one is kept under its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation(String);

impl Relation {
    /// The documented vocabulary.
    pub const KNOWN: [&str; 11] = [
        "parent",
        "derived-from",
        "same-report",
        "same-incident",
        "related",
        "source-of",
        "target-of",
        "replaces",
        "withdraws",
        "alternate",
        "corroborates",
    ];

    /// 1 to 32 of `a-z`, `0-9` and `-`; `_` reads as `-`.
    pub fn parse(text: &str) -> Option<Self> {
        crate::identity::ProjectName::parse(text).ok().map(|name| Self(name.as_str().to_owned()))
    }

    /// What a core says with its own field.
    pub fn parent() -> Self {
        Self("parent".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for those of the documented vocabulary that relate events alone, so that a reader may rely on
    /// finding one. `alternate`, and types not known here, may point at an opaque id.
    pub fn needs_event(&self) -> bool {
        self.as_str() != "alternate" && Self::KNOWN.contains(&self.as_str())
    }
}
