//! Clients of the HTTP door in the status: what each of them did since the start.

use serde::{Deserialize, Serialize};

use super::rfc3339_or_absent;
use crate::identity::PublisherName;
use crate::time::Timestamp;

/// One client of the HTTP door, since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientStatus {
    pub name: PublisherName,
    /// A request of it is being answered.
    pub connected: bool,
    /// When it asked last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub last: Option<Timestamp>,
    /// Events that it was handed, that it posted, and that were refused.
    pub handed: u64,
    pub posted: u64,
    pub refused: u64,
    /// The last piece of the journal that it has read without a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadSpan>,
}

/// The entries behind `after`, up to and with `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadSpan {
    pub after: u64,
    pub to: u64,
}
