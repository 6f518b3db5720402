//! Derives problems from the facts of a [`Snapshot`] by rules without memory: every fact carries its
//! own time and its own words. Root causes come first. Nothing here repairs anything.
//!
//! In reading order: the codes, then `peers` (connections and feeds), `doors` (and consumers), `line` (the first
//! line of `status`).

mod doors;
mod line;
mod peers;

use serde::{Deserialize, Serialize};

use super::{FeedSide, FilterFailing, HealthItem, Snapshot, UnknownPublisher};
use crate::identity::PublisherName;
use crate::time::Timestamp;

pub(crate) use line::health_line;

/// A feed or a consumer lags if its oldest unread entry is older than this, in seconds.
pub(crate) const LAG_SHOWN_S: f64 = 60.0;

/// A connection without a frame of a feed for this long is silent, in ms: a frame comes at least every 10 s, and at
/// 30 s the protocol closes it.
pub(crate) const SILENT_SHOWN_AFTER_MS: u64 = 25_000;

/// An incident is shown for this long, in ms; the counters stay (CONTRACT.md §6.2).
pub(crate) const INCIDENT_SHOWN_MS: u64 = 24 * 60 * 60 * 1000;

/// Less free space than this is low, in bytes.
pub(crate) const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;

/// Fewer files than this that can still be made are few. A day of the seen set and the link index takes about 20.
pub(crate) const DISK_LOW_INODES: u64 = 1_000;

/// A reader is about to lose entries if its unread ones fill this share of `keep_bytes` (decisions/0001).
pub(crate) const RETENTION_SHORT_SHARE: f64 = 0.8;

/// After how long each state is worth a warning. Tests with real nodes shorten them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HealthThresholds {
    /// A node that started less long ago is starting, in ms.
    pub start_ms: u64,
    /// A peer that is away for less is called silent and not down: it restarts, or its line flaps. In ms.
    pub down_ms: u64,
    /// A connected peer's feed that does not run for less is being opened, in ms.
    pub stands_ms: u64,
    /// A door that does not reach its other end for less is tried again first, in ms.
    pub door_ms: u64,
    /// In seconds.
    pub lag_s: f64,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        let (start_ms, down_ms, stands_ms, door_ms) = (30_000, 30_000, 30_000, 30_000);
        Self { start_ms, down_ms, stands_ms, door_ms, lag_s: LAG_SHOWN_S }
    }
}

impl HealthThresholds {
    /// So many times shorter.
    #[must_use]
    #[cfg(feature = "sim")]
    pub(crate) fn divided_by(self, by: u32) -> Self {
        let by_ms = u64::from(by.max(1));
        Self {
            start_ms: self.start_ms / by_ms,
            down_ms: self.down_ms / by_ms,
            stands_ms: self.stands_ms / by_ms,
            door_ms: self.door_ms / by_ms,
            lag_s: self.lag_s / f64::from(by.max(1)),
        }
    }
}

/// The closed list of reasons (CONTRACT.md §6.2), worst first: the order of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCode {
    DiskLow,
    ClockOff,
    Cloned,
    Equivocation,
    PeerKeyChanged,
    KeysStale,
    FeedMissing,
    RetentionShort,
    ConfigBad,
    KeyExpiring,
    NameMismatch,
    DoorDown,
    NotDeliverable,
    FilterFailing,
    DoorRejects,
    VersionSkew,
    RejectedByPeer,
    NoRoute,
    PeerDown,
    PeerSilent,
    FeedLagging,
    ConsumerLagging,
    UnknownPublisher,
}

impl HealthCode {
    pub const ALL: [Self; 23] = [
        Self::DiskLow,
        Self::ClockOff,
        Self::Cloned,
        Self::Equivocation,
        Self::PeerKeyChanged,
        Self::KeysStale,
        Self::FeedMissing,
        Self::RetentionShort,
        Self::ConfigBad,
        Self::KeyExpiring,
        Self::NameMismatch,
        Self::DoorDown,
        Self::NotDeliverable,
        Self::FilterFailing,
        Self::DoorRejects,
        Self::VersionSkew,
        Self::RejectedByPeer,
        Self::NoRoute,
        Self::PeerDown,
        Self::PeerSilent,
        Self::FeedLagging,
        Self::ConsumerLagging,
        Self::UnknownPublisher,
    ];

    /// True if events are at risk, or the node cannot be trusted with new ones: Nagios calls that critical.
    pub const fn is_critical(self) -> bool {
        matches!(
            self,
            Self::DiskLow
                | Self::ClockOff
                | Self::Cloned
                | Self::Equivocation
                | Self::PeerKeyChanged
                | Self::KeysStale
                | Self::FeedMissing
                | Self::RetentionShort
        )
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskLow => "disk_low",
            Self::ClockOff => "clock_off",
            Self::Cloned => "cloned",
            Self::Equivocation => "equivocation",
            Self::PeerKeyChanged => "peer_key_changed",
            Self::KeysStale => "keys_stale",
            Self::FeedMissing => "feed_missing",
            Self::RetentionShort => "retention_short",
            Self::ConfigBad => "config_bad",
            Self::KeyExpiring => "key_expiring",
            Self::NameMismatch => "name_mismatch",
            Self::DoorDown => "door_down",
            Self::NotDeliverable => "not_deliverable",
            Self::FilterFailing => "filter_failing",
            Self::DoorRejects => "door_rejects",
            Self::VersionSkew => "version_skew",
            Self::RejectedByPeer => "rejected_by_peer",
            Self::NoRoute => "no_route",
            Self::PeerDown => "peer_down",
            Self::PeerSilent => "peer_silent",
            Self::FeedLagging => "feed_lagging",
            Self::ConsumerLagging => "consumer_lagging",
            Self::UnknownPublisher => "unknown_publisher",
        }
    }

    /// Reads the name of a code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

/// Everything that is wrong in `facts` at `now`, worst first. Reads all but `ok`, `starting` and `health`.
pub(crate) fn derive(facts: &Snapshot, thresholds: &HealthThresholds, now: Timestamp) -> Vec<HealthItem> {
    let mut found = Vec::new();
    disk(facts, &mut found);
    clock(facts, &mut found);
    equivocations(facts, &mut found);
    for problem in &facts.errors {
        if let Some(code) = problem.code {
            let hint = problem.hint.clone().unwrap_or_else(|| "intelmesh check".to_owned());
            let finding = HealthFinding::new(code, &problem.what, hint);
            // That the name changed happened once; the rest lasts, since it was first told: a file that is bad is found
            // again each time.
            let happened = code == HealthCode::NameMismatch;
            found.push(if happened { finding.happened(problem.at) } else { finding }.done());
        }
    }
    not_deliverable(facts, &mut found);
    unknown_publishers(facts, &mut found);
    let rules = HealthRules { facts, thresholds, now };
    facts.peers.iter().for_each(|peer| rules.peer(peer, &mut found));
    facts.doors.iter().for_each(|door| rules.door(door, &mut found));
    facts.consumers.iter().for_each(|consumer| rules.consumer(consumer, &mut found));
    found.iter_mut().for_each(|health| add_contact(facts, health));
    found.sort_by_key(|health| health.code);
    found
}

/// The operator who has to call the peer gets the number with the warning.
fn add_contact(facts: &Snapshot, health: &mut HealthItem) {
    let peer = facts.peers.iter().find(|peer| health.peer.as_ref() == Some(&peer.name));
    if let Some(contact) = peer.and_then(|peer| peer.contact.as_ref()) {
        health.hint.push_str(&format!("; contact: {contact}"));
    }
}

/// The input of the rules about peers, doors and consumers.
struct HealthRules<'a> {
    facts: &'a Snapshot,
    thresholds: &'a HealthThresholds,
    now: Timestamp,
}

impl HealthRules<'_> {
    /// Returns true if it has lasted for so long, in ms.
    fn lasts(&self, since: Timestamp, ms: u64) -> bool {
        self.now.since_ms(since) >= ms
    }

    fn for_long(&self, since: Timestamp) -> String {
        span_text(self.now.since_ms(since) / 1000)
    }

    /// Returns true if a reader's unread entries, at the average size, fill most of the space that retention keeps.
    fn is_retention_short(&self, lag_events: Option<u64>) -> bool {
        let journal = &self.facts.journal;
        let (Some(lag), Some(keep)) = (lag_events, journal.keep_bytes) else { return false };
        let held = (journal.last_seq + 1).saturating_sub(journal.first_seq);
        if held == 0 || keep == 0 {
            return false;
        }
        let unread = journal.bytes as f64 * lag.min(held) as f64 / held as f64;
        unread >= RETENTION_SHORT_SHARE * keep as f64
    }
}

struct HealthFinding(HealthItem);

impl HealthFinding {
    fn new(code: HealthCode, what: impl Into<String>, hint: impl Into<String>) -> Self {
        let (what, hint) = (what.into(), hint.into());
        let (peer, consumer, door, side, since) = (None, None, None, None, None);
        Self(HealthItem { code, peer, consumer, door, side, since, incident: false, what, hint })
    }

    fn peer(mut self, name: &PublisherName) -> Self {
        self.0.peer = Some(name.clone());
        self
    }

    fn consumer(mut self, name: &str) -> Self {
        self.0.consumer = Some(name.to_owned());
        self
    }

    fn door(mut self, name: &str) -> Self {
        self.0.door = Some(name.to_owned());
        self
    }

    fn side(mut self, side: FeedSide) -> Self {
        self.0.side = Some(side);
        self
    }

    fn since(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.0.since = at.into();
        self
    }

    /// It happened at `at`, and does not last: it is shown for a while.
    fn happened(mut self, at: Timestamp) -> Self {
        (self.0.since, self.0.incident) = (Some(at), true);
        self
    }

    fn done(self) -> HealthItem {
        self.0
    }
}

fn disk(facts: &Snapshot, found: &mut Vec<HealthItem>) {
    let Some(disk) = &facts.disk else { return };
    let few = disk.free_inodes.filter(|free| *free < DISK_LOW_INODES);
    let (what, hint) = match few {
        Some(0) => ("no file can be made on the disk: all of its inodes are in use".to_owned(), INODES_HINT),
        Some(free) => (format!("only {free} more files can be made on the disk (inodes)"), INODES_HINT),
        None if disk.full => {
            ("the disk is full: submissions are deferred and feeds are not read".to_owned(), SPACE_HINT)
        }
        None if disk.free_bytes < DISK_LOW_BYTES => {
            (format!("{} free for the journal", bytes_text(disk.free_bytes)), SPACE_HINT)
        }
        None => return,
    };
    found.push(HealthFinding::new(HealthCode::DiskLow, what, hint).done());
}

const SPACE_HINT: &str = "free space, or lower keep_bytes in intelmesh.toml";
const INODES_HINT: &str = "remove files from that file system: df -i shows it";

fn clock(facts: &Snapshot, found: &mut Vec<HealthItem>) {
    if facts.clock.ok {
        return;
    }
    let what = match (facts.clock.wall, facts.clock.steady) {
        (Some(wall), Some(steady)) => {
            format!("the clock says {wall}, steady time is {steady}: nothing expires")
        }
        _ => "the clock disagrees with steady time: nothing expires".to_owned(),
    };
    found.push(
        HealthFinding::new(HealthCode::ClockOff, what, "set the clock, or: intelmesh clock accept").done(),
    );
}

fn equivocations(facts: &Snapshot, found: &mut Vec<HealthItem>) {
    for equivocation in &facts.equivocations {
        let publisher = &equivocation.publisher;
        let named = equivocation.id.as_ref().map(|id| format!(", last {id}")).unwrap_or_default();
        let what =
            format!("{publisher} signed {} under an id that it had used{named}", events(equivocation.count));
        let finding = HealthFinding::new(
            HealthCode::Equivocation,
            what,
            format!("ask {publisher}: was its node restored?"),
        );
        found.push(finding.peer(publisher).happened(equivocation.last).done());
    }
}

fn not_deliverable(facts: &Snapshot, found: &mut Vec<HealthItem>) {
    let Some(stuck) = &facts.not_deliverable else { return };
    let names: Vec<&str> = stuck.recipients.iter().map(PublisherName::as_str).collect();
    let what = format!(
        "{} for {} reach nobody: no recipient is a peer that we can reach, and relays carry only what is sealed",
        events(stuck.events),
        listed(&names)
    );
    let hint = format!("add the peer, or withdraw them: intelmesh event show {}", stuck.id);
    found.push(HealthFinding::new(HealthCode::NotDeliverable, what, hint).since(stuck.since).done());
}

fn unknown_publishers(facts: &Snapshot, found: &mut Vec<HealthItem>) {
    let unknown: Vec<&UnknownPublisher> = facts.unknown_publishers.iter().filter(|it| !it.ignored).collect();
    let Some(first) = unknown.iter().map(|it| it.first).min() else { return };
    let named: Vec<String> =
        unknown.iter().map(|it| format!("{} ({})", it.name, events(it.events))).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let what = match unknown.len() {
        1 => format!("a publisher that is not trusted here: {}", listed(&named)),
        count => format!("{count} publishers that are not trusted here: {}", listed(&named)),
    };
    let through = unknown.iter().find_map(|it| it.through.first());
    let file = through.map_or_else(|| "a peer file".to_owned(), |peer| format!("peers/{peer}.toml"));
    let hint = format!(
        "intelmesh peer add INVITATION --publisher-only, or [receive] ignore = [\"{}\"] in {file}",
        unknown[0].name
    );
    found.push(HealthFinding::new(HealthCode::UnknownPublisher, what, hint).since(first).done());
}

/// An incident as long as the filter is the same.
fn filter_failing(place: &str, failing: &FilterFailing) -> HealthFinding {
    let what = format!("{place}: no answer for {}: {}", events(failing.count), failing.what);
    HealthFinding::new(HealthCode::FilterFailing, what, &failing.hint).happened(failing.last)
}

/// The first few of `names`, and how many more there are.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

/// `3 h 12 m`, `12 s`: the two largest units.
pub(crate) fn span_text(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} m {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} m"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `1.2 GB`: powers of ten, three digits.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 || unit == "TB" {
            let digits = usize::from(unit != "B" && value < 99.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests;
