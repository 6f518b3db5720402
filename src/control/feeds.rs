//! Facts about feeds for the command line: progress, owed events, and events that wait for the operator.

use serde::{Deserialize, Serialize};

use crate::identity::PublisherName;
use crate::status::{rfc3339, rfc3339_or_absent};
use crate::time::Timestamp;

/// An event that waits for the operator's decision: a revoked key signed it (`intelmesh.waiting/1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingFacts {
    pub schema: String,
    pub waiting: Vec<WaitingEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingEvent {
    pub publisher: PublisherName,
    /// Who offered it, and its place in that peer's journal.
    pub peer: PublisherName,
    pub seq: u64,
    /// Of its identity, in hex: the event itself is not here.
    pub key: String,
}

/// All feeds from peers, as the receiver keeps them (`intelmesh.feed/1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeedFacts {
    pub schema: String,
    pub feeds: Vec<FeedInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeedInfo {
    pub peer: PublisherName,
    pub connected: bool,
    /// Of the peer's journal, in hex; absent until it answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<String>,
    /// The durable cursor.
    pub position: u64,
    /// The last seq that the peer spoke of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    /// Older places with which a rolled-back journal is recognised, newest first.
    pub marks: Vec<u64>,
    /// At most the first 100.
    pub owed: Vec<OwedFacts>,
    pub owed_count: u64,
    pub rejected: Vec<RejectedFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwedFacts {
    pub seq: u64,
    pub publisher: PublisherName,
    pub reason: String,
    #[serde(with = "rfc3339")]
    pub retry_at: Timestamp,
}

/// The position at which a feed is read again once the reason is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RejectedFacts {
    pub reason: String,
    /// Publisher of deferred events that found no owed place; absent if the place is kept for all publishers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherName>,
    pub first_seq: u64,
    /// When it is read again, if time alone cures it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub again_at: Option<Timestamp>,
}
