//! Facts about consumers for the command line. The same value lies in `consumers.json` beside the journal, so that
//! `consumer list` needs no running node.

use serde::{Deserialize, Serialize};

use crate::status::{rfc3339, rfc3339_or_absent};
use crate::time::Timestamp;

pub(crate) const CONSUMERS_SCHEMA: &str = "intelmesh.consumers/1";
/// In the node's state directory.
pub(crate) const CONSUMERS_FILE: &str = "consumers.json";

/// All consumers with a position (`intelmesh.consumers/1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerFacts {
    pub schema: String,
    /// When it was so; the node writes it down at most every 5 s.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    pub last_seq: u64,
    pub consumers: Vec<ConsumerFact>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerFact {
    pub name: String,
    /// All up to here is done with.
    pub position: u64,
    pub lag_events: u64,
    /// Retention took so many before it had them.
    pub missing: u64,
    /// It also gets what this node publishes.
    pub own: bool,
    /// A `[[consumer]]` of `intelmesh.toml`; else a reader of `run/out.sock`.
    pub door: bool,
    pub connected: bool,
    /// As it asked for when it connected last; known of connected ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// When retention last took what it had not read; known since the start only.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub missing_at: Option<Timestamp>,
}
