//! The doors to the local pipeline (`[[submit]]`, `[[consumer]]`) in `status`: their clients, the events that went
//! through, and those set aside. Counted since the start. `health` decides which of these facts are problems.

use serde::{Deserialize, Serialize};

use super::{rfc3339, rfc3339_or_absent};
use crate::time::Timestamp;

/// One door of `intelmesh.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DoorStatus {
    /// A consumer's is the name of its position, too.
    pub name: String,
    #[serde(flatten)]
    pub way: DoorWay,
    /// Records in `aside/` for the operator to handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<DoorAside>,
    /// The other end cannot be reached, or does not do as it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<DoorDown>,
    pub last_error: Option<String>,
}

/// Since when a door does not reach its other end, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorDown {
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DoorWay {
    /// Into the mesh.
    Submit(SubmitState),
    /// Out of it.
    Consumer(ConsumerState),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubmitState {
    /// `socket`, `intelmq-tcp`, `intelmq-redis`.
    pub from: String,
    /// The address on which it listens, or the source that it reads; without passwords.
    pub at: String,
    /// Connections that stand.
    pub clients: u64,
    pub accepted: u64,
    pub duplicates: u64,
    /// Refused for good, and set aside.
    pub rejects: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerState {
    /// `intelmq-tcp`, `intelmq-redis`.
    pub to: String,
    /// The address to which it connects; without passwords.
    pub at: String,
    pub connected: bool,
    /// When `connected` last changed; the start of the node if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub since: Option<Timestamp>,
    /// Taken by the receiver.
    pub handed: u64,
    /// Of those, changed because its fields would have been refused.
    pub adapted: u64,
    pub set_aside: u64,
    /// Expired while they waited here, and handed to nobody.
    #[serde(default)]
    pub expired: u64,
    /// The reason if nothing is handed over although a receiver is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When the receiver last turned out to have lost all that it had taken.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub lost_at: Option<Timestamp>,
}

/// `aside/NAME.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DoorAside {
    /// Below the node's lasting state.
    pub file: String,
    pub lines: u64,
    /// When the last one came; known since the start only.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub last: Option<Timestamp>,
}
