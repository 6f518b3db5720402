//! The state of the node, as one value: the same [`Snapshot`] serves `status`, its JSON, the log and
//! the metrics (CONTRACT.md §6). `health` derives the problems from it, and `render` shows it to people. Nothing
//! here collects anything or reads a clock.

pub(crate) mod clients;
pub(crate) mod doors;
pub(crate) mod health;
pub(crate) mod incidents;
#[cfg(feature = "node")]
pub(crate) mod render;
pub(crate) mod rfc3339;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::PublisherName;
use crate::time::Timestamp;

pub(crate) use clients::{ClientStatus, ReadSpan};
pub(crate) use doors::{ConsumerState, DoorAside, DoorDown, DoorStatus, DoorWay, SubmitState};
pub use health::HealthCode;
pub(crate) use health::{HealthThresholds, derive, health_line};
#[cfg(feature = "node")]
pub(crate) use health::{bytes_text, span_text};
pub(crate) use incidents::Incidents;
#[cfg(feature = "node")]
pub(crate) use render::render;

/// Name and number of the JSON form. Within a number keys are only added.
pub(crate) const STATUS_SCHEMA: &str = "intelmesh.status/1";

/// The whole state of a node at one moment (mirrors CONTRACT.md §6). An unknown value is absent, never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub schema: String,
    pub name: PublisherName,
    pub peer_id: String,
    /// `ed25519:…`
    pub key: String,
    pub version: String,
    pub uptime_s: f64,
    /// True if `health` is empty and the node is not starting; all three are written by [`Snapshot::judge`].
    pub ok: bool,
    /// Nothing but connections that are not up yet keeps the node from being `ok`: of peers, because it started a
    /// moment ago, or of doors that have been without their other end for a moment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starting: bool,
    /// Worst first.
    pub health: Vec<HealthItem>,
    pub clock: ClockStatus,
    pub journal: JournalStatus,
    pub seen: SeenStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskStatus>,
    pub peers: Vec<PeerStatus>,
    pub consumers: Vec<ConsumerStatus>,
    /// Clients of the HTTP door, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientStatus>,
    /// Of `intelmesh.toml`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<DoorStatus>,
    /// Events sealed for this node that it could not open; absent if there were none since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_open: Option<EventFailures>,
    /// Strangers that knocked; newest first, bounded by [`crate::limits::STRANGERS_MAX`].
    pub strangers: Vec<StrangerStatus>,
    /// Publishers of events that were rejected because they are not trusted here, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_publishers: Vec<UnknownPublisher>,
    /// Events of this node that none of their recipients can get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_deliverable: Option<NotDeliverable>,
    /// Two cores under one identity, by publisher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equivocations: Vec<Equivocation>,
    /// Lasting problems first, then the latest incidents.
    pub errors: Vec<ShownProblem>,
}

impl Snapshot {
    /// Writes `health`, `ok` and `starting` from everything else.
    pub(crate) fn judge(&mut self, thresholds: &HealthThresholds, incidents: &mut Incidents, now: Timestamp) {
        let derived = derive(self, thresholds, now);
        self.health = incidents.take_up(derived, now);
        let peers_come = self.starts(thresholds) && self.watched().any(PeerStatus::is_away);
        // A door may open at any time. If it is down for long, that is a matter of health.
        let doors_come = self.doors.iter().any(|door| door.down.is_some());
        self.starting = self.health.is_empty() && (peers_come || doors_come);
        self.ok = self.health.is_empty() && !self.starting;
    }

    /// So soon after the start that connections may still come up.
    fn starts(&self, thresholds: &HealthThresholds) -> bool {
        self.uptime_s * 1_000.0 < thresholds.start_ms as f64
    }

    /// The peers that have to be connected for all to be well.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &PeerStatus> {
        self.peers.iter().filter(|peer| peer.is_watched())
    }
}

/// One reason why not all is well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HealthItem {
    pub code: HealthCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PublisherName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    /// Which side of a feed stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<FeedSide>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub since: Option<Timestamp>,
    /// It happened, and is shown for a while or until it is acknowledged; else it lasts, and ends with its cause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incident: bool,
    pub what: String,
    /// The action to take.
    pub hint: String,
}

/// Which side of a feed stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedSide {
    Here,
    There,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockStatus {
    /// False while wall clock and steady time disagree, and nothing expires (decisions/0009).
    pub ok: bool,
    /// The machine's time, and the right one by steady time; given only while they disagree.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub wall: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub steady: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct JournalStatus {
    /// In hex.
    pub log_id: String,
    /// `last_seq + 1` if nothing is held.
    pub first_seq: u64,
    /// 0 if there was never an entry.
    pub last_seq: u64,
    pub bytes: u64,
    /// Arrival of the oldest entry held.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub oldest: Option<Timestamp>,
    /// Retention by size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeenStatus {
    pub ids: u64,
    /// The oldest instant for which the seen set is complete.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub floor: Option<Timestamp>,
    pub bytes: u64,
}

/// Events that could not be handed off: kept and relayed all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFailures {
    pub count: u64,
    /// The last one, …
    pub id: String,
    pub reason: String,
    /// … and when its hand-off was tried.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

/// The file system that holds the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DiskStatus {
    pub free_bytes: u64,
    /// Files and directories that can still be made; absent on a file system without such a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_inodes: Option<u64>,
    /// True while feeds are not read and submissions are answered `disk_full`.
    pub full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    Trusted,
    Paused,
    /// Nothing that its keys sign is taken any more.
    Revoked,
}

/// One peer (mirrors CONTRACT.md §6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub name: PublisherName,
    pub state: PeerState,
    /// The key of the peer file is the one that answered, or that signed.
    pub verified: bool,
    /// Either direction is up.
    pub connected: bool,
    /// When `connected` last changed; the start of the node if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub since: Option<Timestamp>,
    /// Of the connection that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Addresses at which it is dialled; empty if it dials us.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its events come through others: it is never dialled, and not missed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publisher_only: bool,
    /// It was connected once since it became a peer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_connected: bool,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_cause: Option<String>,
    /// Since when one of both feeds does not run, although it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub stands_since: Option<Timestamp>,
    /// Their clock minus ours, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// Program and version, as HELLO gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// When the last frame of any feed with it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub last_frame: Option<Timestamp>,
    /// When events of its feed last arrived; the start of the node if none did.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub last_event: Option<Timestamp>,
    /// Its file says that there should be one so often, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_every_s: Option<u64>,
    /// Whom its file says to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    pub sent: SentStatus,
    pub received: ReceivedStatus,
    /// The obstacle to this feed, even if the peer is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<PeerFault>,
    pub last_error: Option<String>,
}

impl PeerStatus {
    /// It has to be connected for all to be well.
    pub fn is_watched(&self) -> bool {
        self.state == PeerState::Trusted && !self.publisher_only
    }

    /// It has to be connected, and is not.
    pub fn is_away(&self) -> bool {
        !self.connected
    }
}

/// The cause that stops the feeds with a peer, for as long as it lasts, in its own words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerFault {
    #[serde(flatten)]
    pub kind: PeerFaultKind,
    /// The side that refuses.
    pub side: FeedSide,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The words of that side; empty if the kind is enough.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum PeerFaultKind {
    /// A node with another key answers at `address`. Never connected, tried every 60 s.
    PeerKeyChanged { key: String, address: String },
    /// Two live processes have this peer's key (or ours, as this peer sees it).
    Cloned,
    /// The name that a node gives is not the one that the other side's peer file has.
    NameMismatch {
        /// The name that the peer gives itself; absent if it is the peer that refuses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<PublisherName>,
    },
    /// No version of the protocol, or not the federation's name, in common.
    VersionSkew,
    /// They turn us away: we are not on their list, or paused.
    RejectedByPeer,
    /// The other side cannot store: its disk is full.
    DiskFull,
    /// A feed is closed for another reason, again and again.
    FeedClosed,
}

/// A publisher of events that were not taken because this node does not trust it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnknownPublisher {
    pub name: PublisherName,
    /// Since the start of the node.
    pub events: u64,
    /// A peer file says `ignore`: it is counted, and no warning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// The peers that handed them to us.
    pub through: Vec<PublisherName>,
    #[serde(with = "rfc3339")]
    pub first: Timestamp,
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
}

/// Events of this node that cannot reach their recipients: these are not reachable peers, and no relay may carry them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotDeliverable {
    pub events: u64,
    /// The recipients of these events.
    pub recipients: Vec<PublisherName>,
    /// The newest of them.
    pub id: String,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// A filter that had no answer for some events: they were withheld, not received or passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterFailing {
    /// Since the node started, or the filter changed.
    pub count: u64,
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
    /// Why, the last time.
    pub what: String,
    pub hint: String,
}

/// The feed from us to the peer (mirrors CONTRACT.md §6); counters run since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SentStatus {
    /// The last seq of our journal that it has acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_events: Option<u64>,
    /// Age of the oldest entry that it may have and has not acknowledged, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    pub deferred: u64,
    pub rejected: u64,
    /// Each event counts once.
    pub withheld: u64,
    /// The same by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld_why: BTreeMap<String, u64>,
    /// The filter of `[share]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_failing: Option<FilterFailing>,
    /// The rejected ones that are no matter of the peer's own policy.
    #[serde(default)]
    pub rejected_wrongly: u64,
    /// When it last rejected one of those, and why.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub rejected_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_why: Option<String>,
}

/// The feed from the peer to us (mirrors CONTRACT.md §6); counters run since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceivedStatus {
    /// The durable cursor on its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_events: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    pub deferred: u64,
    pub rejected: u64,
    pub missing: u64,
    pub owed: u64,
    /// The filter of `[receive]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_failing: Option<FilterFailing>,
    /// When something last turned out to be missing.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub missing_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    pub name: String,
    pub position: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_events: Option<u64>,
    /// Age of the oldest entry that it has not acknowledged, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
    /// Its filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_failing: Option<FilterFailing>,
    /// Events that have no form in the format that it asked for; absent if there were none since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_converted: Option<EventFailures>,
    pub connected: bool,
    pub missing: u64,
    /// When retention last took what it had not read; known since the start only.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub missing_at: Option<Timestamp>,
}

/// Somebody who knocked with a key that is in no peer file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StrangerStatus {
    pub key: String,
    pub address: String,
    pub count: u64,
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Equivocation {
    pub publisher: PublisherName,
    pub count: u64,
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
    /// The latest identity, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Something that went wrong. `what` begins with `FILE:LINE:` if a file is to blame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShownProblem {
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// It lasts, and `health` repeats it under this code; absent for what merely happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<HealthCode>,
}

/// RFC 3339, if the time may be absent.
pub(crate) mod rfc3339_or_absent {
    use serde::{Deserializer, Serializer};

    use super::rfc3339;
    use crate::time::Timestamp;

    pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => rfc3339::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        rfc3339::deserialize(deserializer).map(Some)
    }
}
