//! What is wrong, derived from the facts of a [`Snapshot`] by rules without memory: every fact carries its
//! own time. Root causes come first. Nothing here mends anything.

use serde::{Deserialize, Serialize};

use super::{Consumer, Door, DoorWay, FilterFailing, Health, Peer, PeerFault, PeerState, Snapshot};
use crate::identity::PublisherName;
use crate::limits::CLOCK_SKEW_SHOWN_MS;
use crate::time::Timestamp;

/// A peer that is gone for less is not worth a word: it restarts, or a line flaps. In ms (contract §5).
pub const DOWN_SHOWN_AFTER_MS: u64 = 30_000;

/// A connection that stands without a frame of a feed for this long is silent, in ms: twice what the
/// protocol itself waits before it dials again.
pub const SILENT_SHOWN_AFTER_MS: u64 = 60_000;

/// A feed or a consumer lags where its oldest unread entry is older than this, in seconds.
pub const LAG_SHOWN_S: f64 = 60.0;

/// What was rejected or went missing is shown for this long, in ms; the counters stay.
pub const LOSS_SHOWN_MS: u64 = 24 * 60 * 60 * 1000;

/// Equivocation is shown for this long after the last one, in ms.
pub const EQUIVOCATION_SHOWN_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Less free space than this is low, in bytes.
pub const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;

/// A reader whose unread entries fill this share of `keep_bytes` is about to lose some (design §1).
pub const RETENTION_SHORT_SHARE: f64 = 0.8;

/// The closed list of reasons (contract §5), worst first: the order of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCode {
    DiskLow,
    ClockOff,
    Cloned,
    Equivocation,
    PeerKeyChanged,
    FeedMissing,
    RetentionShort,
    ConfigBad,
    KeyExpiring,
    FilterFailing,
    DoorRejects,
    VersionSkew,
    RejectedByPeer,
    PeerDown,
    PeerSilent,
    FeedLagging,
    ConsumerLagging,
}

impl HealthCode {
    pub const ALL: [Self; 17] = [
        Self::DiskLow,
        Self::ClockOff,
        Self::Cloned,
        Self::Equivocation,
        Self::PeerKeyChanged,
        Self::FeedMissing,
        Self::RetentionShort,
        Self::ConfigBad,
        Self::KeyExpiring,
        Self::FilterFailing,
        Self::DoorRejects,
        Self::VersionSkew,
        Self::RejectedByPeer,
        Self::PeerDown,
        Self::PeerSilent,
        Self::FeedLagging,
        Self::ConsumerLagging,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskLow => "disk_low",
            Self::ClockOff => "clock_off",
            Self::Cloned => "cloned",
            Self::Equivocation => "equivocation",
            Self::PeerKeyChanged => "peer_key_changed",
            Self::FeedMissing => "feed_missing",
            Self::RetentionShort => "retention_short",
            Self::ConfigBad => "config_bad",
            Self::KeyExpiring => "key_expiring",
            Self::FilterFailing => "filter_failing",
            Self::DoorRejects => "door_rejects",
            Self::VersionSkew => "version_skew",
            Self::RejectedByPeer => "rejected_by_peer",
            Self::PeerDown => "peer_down",
            Self::PeerSilent => "peer_silent",
            Self::FeedLagging => "feed_lagging",
            Self::ConsumerLagging => "consumer_lagging",
        }
    }
}

/// Everything that is wrong in `facts` at `now`, worst first. Reads all but `ok` and `health`.
pub fn derive(facts: &Snapshot, now: Timestamp) -> Vec<Health> {
    let mut found = Vec::new();
    disk(facts, &mut found);
    clock(facts, &mut found);
    equivocations(facts, now, &mut found);
    for problem in &facts.errors {
        if let Some(code) = problem.code {
            let hint = problem.hint.clone().unwrap_or_else(|| "intelmesh check".to_owned());
            found.push(Finding::new(code, &problem.what, hint).since(problem.at).done());
        }
    }
    for peer in &facts.peers {
        peer_faults(peer, now, &mut found);
        if peer.state == PeerState::Trusted {
            peer_connection(peer, now, &mut found);
            peer_feeds(facts, peer, now, &mut found);
        }
    }
    facts.doors.iter().for_each(|door| door_rejects(door, &mut found));
    for consumer in &facts.consumers {
        consumers(facts, consumer, now, &mut found);
    }
    found.sort_by_key(|health| health.code);
    found
}

struct Finding(Health);

impl Finding {
    fn new(code: HealthCode, what: impl Into<String>, hint: impl Into<String>) -> Self {
        let (what, hint) = (what.into(), hint.into());
        Self(Health { code, peer: None, consumer: None, since: None, what, hint })
    }

    fn peer(mut self, name: &PublisherName) -> Self {
        self.0.peer = Some(name.clone());
        self
    }

    fn consumer(mut self, name: &str) -> Self {
        self.0.consumer = Some(name.to_owned());
        self
    }

    fn since(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.0.since = at.into();
        self
    }

    fn done(self) -> Health {
        self.0
    }
}

fn disk(facts: &Snapshot, found: &mut Vec<Health>) {
    let Some(disk) = &facts.disk else { return };
    let what = if disk.full {
        "the disk is full: submissions are deferred and feeds are not read".to_owned()
    } else if disk.free_bytes < DISK_LOW_BYTES {
        format!("{} free for the journal", bytes_text(disk.free_bytes))
    } else {
        return;
    };
    found.push(
        Finding::new(HealthCode::DiskLow, what, "free space, or lower keep_bytes in intelmesh.toml").done(),
    );
}

fn clock(facts: &Snapshot, found: &mut Vec<Health>) {
    if facts.clock.ok {
        return;
    }
    let what = match (facts.clock.wall, facts.clock.steady) {
        (Some(wall), Some(steady)) => {
            format!("the clock says {wall}, steady time is {steady}: nothing expires")
        }
        _ => "the clock disagrees with steady time: nothing expires".to_owned(),
    };
    found.push(Finding::new(HealthCode::ClockOff, what, "set the clock, or: intelmesh clock accept").done());
}

fn equivocations(facts: &Snapshot, now: Timestamp, found: &mut Vec<Health>) {
    for equivocation in &facts.equivocations {
        if now.since_ms(equivocation.last) >= EQUIVOCATION_SHOWN_MS {
            continue;
        }
        let publisher = &equivocation.publisher;
        let named = equivocation.id.as_ref().map(|id| format!(", last {id}")).unwrap_or_default();
        let what =
            format!("{publisher} signed {} under an id that it had used{named}", events(equivocation.count));
        let finding =
            Finding::new(HealthCode::Equivocation, what, format!("ask {publisher}: was its node restored?"));
        found.push(finding.peer(publisher).since(equivocation.last).done());
    }
}

fn peer_faults(peer: &Peer, now: Timestamp, found: &mut Vec<Health>) {
    let name = &peer.name;
    if let Some(fault) = &peer.fault {
        let (code, what, hint) = match fault {
            PeerFault::PeerKeyChanged { key, address } => (
                HealthCode::PeerKeyChanged,
                format!("{name}: another key ({key}) answers at {address}"),
                format!("ask {name} by another way; a new key is a new pairing (peer remove, peer add)"),
            ),
            PeerFault::Cloned { what } => {
                (HealthCode::Cloned, format!("{name}: {what}"), "stop one of the two nodes".to_owned())
            }
            PeerFault::VersionSkew { what } => (
                HealthCode::VersionSkew,
                format!("{name}: {what}"),
                "compare versions and the federation's name".to_owned(),
            ),
            PeerFault::RejectedByPeer { what } => (
                HealthCode::RejectedByPeer,
                format!("{name} turns us away: {what}"),
                format!("ask {name} whether our invitation was added, and not paused"),
            ),
        };
        found.push(Finding::new(code, what, hint).peer(name).since(peer.since).done());
    }
    if let Some(skew) = peer.skew_ms.filter(|skew| skew.unsigned_abs() > CLOCK_SKEW_SHOWN_MS) {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        let what = format!("the clock of {name} is {} {way} ours", span_text(skew.unsigned_abs() / 1000));
        found.push(
            Finding::new(HealthCode::ClockOff, what, "compare both clocks (chronyc tracking)")
                .peer(name)
                .done(),
        );
    }
    let file = |section: &str| format!("peers/{name}.toml, [{section}] where");
    for (section, failing) in
        [("share", &peer.sent.filter_failing), ("receive", &peer.received.filter_failing)]
    {
        if let Some(finding) = failing.as_ref().and_then(|it| filter_failing(&file(section), it, now)) {
            found.push(finding.peer(name).done());
        }
    }
    if let Some(at) = peer.sent.rejected_at.filter(|at| now.since_ms(*at) < LOSS_SHOWN_MS) {
        let why = peer.sent.rejected_why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let what = format!("{name} rejected {} of ours or relayed by us{why}", events(peer.sent.rejected));
        let hint = format!("intelmesh peer show {name}");
        found.push(Finding::new(HealthCode::RejectedByPeer, what, hint).peer(name).since(at).done());
    }
}

/// Shown as long as a loss is: what failed was withheld.
fn filter_failing(place: &str, failing: &FilterFailing, now: Timestamp) -> Option<Finding> {
    let shown = now.since_ms(failing.last) < LOSS_SHOWN_MS;
    let what = format!("{place}: no answer for {}: {}", events(failing.count), failing.what);
    shown.then(|| Finding::new(HealthCode::FilterFailing, what, &failing.hint).since(failing.last))
}

/// Down, or silent: said only where no fault above explains it already.
fn peer_connection(peer: &Peer, now: Timestamp, found: &mut Vec<Health>) {
    let name = &peer.name;
    if peer.fault.is_some() {
        return;
    }
    if !peer.connected {
        let Some(since) = peer.since.filter(|since| now.since_ms(*since) >= DOWN_SHOWN_AFTER_MS) else {
            return;
        };
        if peer.addresses.is_empty() {
            return;
        }
        let cause = peer.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let what = format!("{name} is down for {}{cause}", span_text(now.since_ms(since) / 1000));
        let finding = Finding::new(HealthCode::PeerDown, what, format!("intelmesh peer check {name}"));
        found.push(finding.peer(name).since(since).done());
        return;
    }
    let heard = peer.last_frame.max(peer.since);
    if let Some(heard) = heard.filter(|heard| now.since_ms(*heard) >= SILENT_SHOWN_AFTER_MS) {
        let what = format!("{name} is connected, but silent for {}", span_text(now.since_ms(heard) / 1000));
        let finding = Finding::new(HealthCode::PeerSilent, what, format!("intelmesh peer check {name}"));
        found.push(finding.peer(name).since(heard).done());
    }
}

fn peer_feeds(facts: &Snapshot, peer: &Peer, now: Timestamp, found: &mut Vec<Health>) {
    let name = &peer.name;
    if let Some(at) = peer.received.missing_at.filter(|at| now.since_ms(*at) < LOSS_SHOWN_MS) {
        let what = format!(
            "{} of {name} are missing: its journal no longer holds them",
            events(peer.received.missing)
        );
        let finding = Finding::new(HealthCode::FeedMissing, what, format!("intelmesh feed repair {name}"));
        found.push(finding.peer(name).since(at).done());
    }
    // Of a peer that is not there, being down is the cause, and said above.
    if peer.connected {
        for (way, lag_s, lag) in [
            ("behind us", peer.sent.lag_s, peer.sent.lag_events),
            ("ahead of us", peer.received.lag_s, peer.received.lag_events),
        ] {
            let Some(lag_s) = lag_s.filter(|lag_s| *lag_s >= LAG_SHOWN_S) else { continue };
            let much = lag.map(|lag| format!(", {}", events(lag))).unwrap_or_default();
            let what = format!("{name} is {} {way}{much}", span_text(lag_s as u64));
            let finding = Finding::new(HealthCode::FeedLagging, what, format!("intelmesh feed show {name}"));
            found.push(finding.peer(name).since(now.minus_ms((lag_s * 1000.0) as u64)).done());
        }
    }
    if is_retention_short(facts, peer.sent.lag_events) {
        let what = format!("retention will soon drop what {name} has not read");
        let hint = "raise keep_bytes in intelmesh.toml, or bring the peer back";
        found.push(Finding::new(HealthCode::RetentionShort, what, hint).peer(name).done());
    }
}

fn consumers(facts: &Snapshot, consumer: &Consumer, now: Timestamp, found: &mut Vec<Health>) {
    let Some(name) = consumer.name.as_deref() else { return };
    if let Some(at) = consumer.missing_at.filter(|at| now.since_ms(*at) < LOSS_SHOWN_MS) {
        let what =
            format!("consumer {name} missed {}: retention dropped them unread", events(consumer.missing));
        let finding =
            Finding::new(HealthCode::FeedMissing, what, "raise keep_bytes or keep_days in intelmesh.toml");
        found.push(finding.consumer(name).since(at).done());
    }
    let failing = consumer.filter_failing.as_ref();
    if let Some(finding) =
        failing.and_then(|it| filter_failing(&format!("filter of consumer {name}"), it, now))
    {
        found.push(finding.consumer(name).done());
    }
    let door = facts.doors.iter().find(|door| door.name == name);
    if let Some(found_at_door) = door.and_then(|door| receiver_away(door, consumer, now)) {
        found.push(found_at_door);
    } else if let Some(lag_s) = consumer.lag_s.filter(|lag_s| *lag_s >= LAG_SHOWN_S) {
        let much = consumer.lag_events.map(|lag| format!(", {}", events(lag))).unwrap_or_default();
        let away = if consumer.connected { "" } else { " and not connected" };
        let what = format!("consumer {name} is {} behind{much}{away}", span_text(lag_s as u64));
        let finding =
            Finding::new(HealthCode::ConsumerLagging, what, "see whether its reader runs and acknowledges");
        found.push(finding.consumer(name).since(now.minus_ms((lag_s * 1000.0) as u64)).done());
    }
    if is_retention_short(facts, consumer.lag_events) {
        let what = format!("retention will soon drop what consumer {name} has not read");
        let hint = "raise keep_bytes in intelmesh.toml, or start its reader";
        found.push(Finding::new(HealthCode::RetentionShort, what, hint).consumer(name).done());
    }
}

/// Events lie in `aside/` until the operator has seen to them.
fn door_rejects(door: &Door, found: &mut Vec<Health>) {
    let Some(aside) = &door.aside else { return };
    let (name, file) = (&door.name, &aside.file);
    let what = format!("door {name} could not pass on {}: {file}", events(aside.lines));
    let hint =
        format!("intelmesh aside list {name}, then intelmesh aside retry {name}, or move the file away");
    let finding = Finding::new(HealthCode::DoorRejects, what, hint).since(aside.last);
    found.push(match door.way {
        DoorWay::Consumer(_) => finding.consumer(name).done(),
        DoorWay::Submit(_) => finding.done(),
    });
}

/// The receiver of a consumer's door is not there, or takes nothing more.
fn receiver_away(door: &Door, consumer: &Consumer, now: Timestamp) -> Option<Health> {
    let DoorWay::Consumer(state) = &door.way else { return None };
    let lag = consumer.lag_events.filter(|lag| *lag > 0)?;
    let (name, at, much) = (&door.name, &state.at, events(lag));
    let (what, hint) = match &state.held {
        Some(held) => {
            (format!("consumer {name} is held, {much} behind: {held}"), "see whether the receiving bot runs")
        }
        None if !state.connected
            && state.since.is_none_or(|since| now.since_ms(since) >= DOWN_SHOWN_AFTER_MS) =>
        {
            let cause = door.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            let what = format!("consumer {name} is {much} behind: nobody takes them at {at}{cause}");
            (what, "start the receiving bot, or see to its address in intelmesh.toml")
        }
        None => return None,
    };
    Some(Finding::new(HealthCode::ConsumerLagging, what, hint).consumer(name).since(state.since).done())
}

/// Do the unread entries of a reader, at the average size, fill most of what retention keeps?
fn is_retention_short(facts: &Snapshot, lag_events: Option<u64>) -> bool {
    let (Some(lag), Some(keep)) = (lag_events, facts.journal.keep_bytes) else { return false };
    let held = (facts.journal.last_seq + 1).saturating_sub(facts.journal.first_seq);
    if held == 0 || keep == 0 {
        return false;
    }
    let unread = facts.journal.bytes as f64 * lag.min(held) as f64 / held as f64;
    unread >= RETENTION_SHORT_SHARE * keep as f64
}

/// The first line of `status`: whether all is well, else the worst reason and what to do.
pub fn health_line(snapshot: &Snapshot) -> String {
    let expected: Vec<&Peer> = snapshot
        .peers
        .iter()
        .filter(|peer| peer.state == PeerState::Trusted && (peer.connected || !peer.addresses.is_empty()))
        .collect();
    let up = expected.iter().filter(|peer| peer.connected).count();
    let Some(worst) = snapshot.health.first() else {
        let lag = expected.iter().flat_map(|peer| [peer.sent.lag_s, peer.received.lag_s]).flatten();
        let feeds = match lag.reduce(f64::max) {
            Some(lag) => format!(", all feeds within {} s", lag.ceil() as u64),
            None => String::new(),
        };
        let consumers = match snapshot.consumers.len() {
            1 => "1 consumer".to_owned(),
            many => format!("{many} consumers"),
        };
        return format!("ok: {up} of {} peers up{feeds}, {consumers}", expected.len());
    };
    let down = snapshot.health.iter().filter(|health| health.code == HealthCode::PeerDown).count();
    if worst.code == HealthCode::PeerDown && down > 1 && down == expected.len() {
        return format!(
            "warning: none of {down} peers can be reached; see to this node's network, then: {}",
            worst.hint
        );
    }
    let more = match snapshot.health.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    format!("warning: {}{more}; {}", worst.what, worst.hint)
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
