//! The answer to `event trace`: events, and the links between them that this node knows of (`intelmesh.trace/1`). Links
//! are claims of their signers; this module does not say if they are true.

use serde::{Deserialize, Serialize};

use crate::control::EventRef;
use crate::identity::PublisherName;
use crate::status::rfc3339_or_absent;
use crate::time::Timestamp;

/// Name and number of the JSON form of a trace.
pub(crate) const TRACE_SCHEMA: &str = "intelmesh.trace/1";

/// The start of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceOf {
    Event(EventRef),
    /// Every event that has this id in another system.
    Alternate(String),
}

/// Events and links around one event (mirrors `intelmesh.trace/1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TraceFacts {
    pub schema: String,
    /// The full name of the event, or the opaque id, at which it begins.
    pub of: String,
    /// In the order in which they were found, so nearest first.
    pub events: Vec<TracedEvent>,
    /// In the order in which they were found: of those that reach an event, the first is the nearest.
    pub links: Vec<TracedLink>,
    /// Parts that were left out: `events`, `links`, `depth`. Empty if this is all that the node knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TracedEvent {
    pub id: String,
    pub publisher: PublisherName,
    /// Number of links from the start of the trace.
    pub distance: u8,
    /// It is in this node's journal; the following fields are absent if not.
    pub held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<String>,
    /// `classification.type` of its payload, else its type: one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TracedLink {
    /// An event.
    pub left: String,
    #[serde(rename = "type")]
    pub relation: String,
    /// An event, or if `opaque` an id in another system.
    pub right: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
    /// The event that carries it; absent if that is `left` or not held, or if the node found the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `withdraws` or `replaces` by another than the publisher: it counts for nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
}
