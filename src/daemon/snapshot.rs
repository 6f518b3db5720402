//! Puts together the facts of `status`: the core's view, the store's figures, the transport's strangers, the events
//! that the chronicle remembers, and the problems of the files.

use ed25519_dalek::VerifyingKey;

use crate::config::{self, NodeConfig, PeerFiles};
use crate::daemon::event_log::EventLog;
use crate::daemon::faults::fault;
use crate::daemon::lags::LagTable;
use crate::identity::{PublisherName, public_key_text};
use crate::protocol::failing::FilterFailures;
use crate::protocol::link::ContactState;
use crate::protocol::view::{ConsumerView, NodeView, PeerView};
use crate::status::{
    CannotOpen, ClockStatus, ConsumerStatus, DiskStatus, DoorStatus, DoorWay, Equivocation, FilterFailing,
    HealthCode, JournalStatus, NotDeliverable, PeerState, PeerStatus, ReceivedStatus, STATUS_SCHEMA,
    SeenStatus, SentStatus, ShownProblem, Snapshot, StrangerStatus,
};
use crate::store::{self, StoreStats};
use crate::time::{Now, Timestamp};
use crate::transport;

/// Facts that do not change while the node runs.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    pub name: PublisherName,
    pub peer_id: String,
    pub key: String,
    pub started: Now,
    pub keep_bytes: u64,
    pub keep_days: u32,
}

impl NodeIdentity {
    pub fn of(config: &NodeConfig, key: &VerifyingKey, started: Now) -> Self {
        Self {
            name: config.name.clone(),
            peer_id: transport::peer_id_text(key),
            key: public_key_text(key),
            started,
            keep_bytes: config.journal.keep_bytes,
            keep_days: config.journal.keep_days,
        }
    }
}

/// Facts from the doors to the pipeline.
pub struct DoorFacts {
    pub doors: Vec<DoorStatus>,
    /// Problems of files that doors read while they run.
    pub files: Vec<String>,
    /// Doors that could not be opened as the file says.
    pub failures: Vec<String>,
    pub cannot_open: Option<CannotOpen>,
}

pub struct SnapshotFacts<'a> {
    pub identity: &'a NodeIdentity,
    pub view: NodeView,
    pub stats: StoreStats,
    pub strangers: Vec<transport::Stranger>,
    pub files: &'a PeerFiles,
    /// The problems of `intelmesh.toml`.
    pub node_file: &'a [config::ConfigProblem],
    pub chronicle: &'a EventLog,
    pub doors: DoorFacts,
    /// Lasting problems that only the loop knows.
    pub lasting: Vec<ShownProblem>,
    pub not_deliverable: Option<NotDeliverable>,
    pub now: Now,
}

/// Everything but `health`, which is judged from it. `lags` were observed a moment ago.
pub fn snapshot(facts: SnapshotFacts<'_>, lags: &LagTable) -> Snapshot {
    let SnapshotFacts { identity, view, stats, strangers, files, node_file, chronicle, doors, .. } = facts;
    let DoorFacts { doors, files: door_files, failures, cannot_open } = doors;
    let now = facts.now;
    let peers = view.peers.iter().map(|peer| self::peer(peer, &view, files, chronicle, lags, now)).collect();
    let consumers = view.consumers.iter().map(|at| consumer(at, chronicle, &doors, lags)).collect();
    let file_problems = node_file.iter().chain(&files.problems);
    let file_problems =
        file_problems.map(|problem| EventLog::lasting(now.wall, problem.to_string(), problem.hint()));
    let door_problems = door_files.into_iter().map(|what| {
        let hint = "correct the file: until then the list before it stays in force";
        EventLog::lasting(now.wall, what, Some(hint.to_owned()))
    });
    let failures = failures.into_iter().map(|what| {
        EventLog::lasting(now.wall, what, Some("see to the cause, then: intelmesh reload".to_owned()))
    });
    let store_problems = stats.problems.iter().map(|problem| {
        // Damage lasts until the operator moved the file; the rest was repaired and is only reported.
        let is_damage = matches!(problem, store::StoreProblem::DamagedSegment(_));
        let code = is_damage.then_some(HealthCode::ConfigBad);
        // `intelmesh check` does not read the journal.
        let hint = is_damage.then(|| "see docs/howto/repair-damage.md".to_owned());
        ShownProblem { at: identity.started.wall, what: problem.to_string(), hint, code }
    });
    let lasting =
        file_problems.chain(facts.lasting).chain(door_problems).chain(failures).chain(store_problems);
    let errors = lasting.chain(chronicle.errors().cloned()).collect();
    Snapshot {
        schema: STATUS_SCHEMA.to_owned(),
        name: identity.name.clone(),
        peer_id: identity.peer_id.clone(),
        key: identity.key.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: now.tick.since_ms(identity.started.tick) as f64 / 1_000.0,
        ok: true,
        starting: false,
        health: Vec::new(),
        clock: clock(&view, now),
        journal: journal(&view, &stats, identity),
        seen: SeenStatus { ids: stats.seen_ids, floor: view.floor, bytes: stats.seen_bytes },
        disk: Some(DiskStatus {
            free_bytes: stats.free_bytes,
            free_inodes: stats.free_inodes,
            full: view.disk_full,
        }),
        peers,
        consumers,
        // They are not the core's: the loop adds them.
        clients: Vec::new(),
        doors,
        cannot_open,
        // A stranger that became a peer since then is left out.
        strangers: strangers.into_iter().filter(|knocked| !is_peer(files, knocked)).map(stranger).collect(),
        unknown_publishers: chronicle.unknown.shown(files),
        not_deliverable: facts.not_deliverable,
        equivocations: equivocations(&view, chronicle),
        errors,
    }
}

fn clock(view: &NodeView, now: Now) -> ClockStatus {
    let off = view.clock_off;
    ClockStatus { ok: !off, wall: off.then_some(now.wall), steady: off.then_some(view.steady) }
}

fn journal(view: &NodeView, stats: &StoreStats, identity: &NodeIdentity) -> JournalStatus {
    let ends = &view.ends;
    let held = ends.first_seq() <= ends.last.seq;
    JournalStatus {
        log_id: ends.log_id.to_string(),
        first_seq: ends.first_seq(),
        last_seq: ends.last.seq,
        bytes: stats.journal_bytes,
        oldest: held.then_some(ends.oldest),
        keep_bytes: Some(identity.keep_bytes),
        keep_days: Some(identity.keep_days),
    }
}

fn peer(
    peer: &PeerView,
    view: &NodeView,
    files: &PeerFiles,
    chronicle: &EventLog,
    lags: &LagTable,
    now: Now,
) -> PeerStatus {
    let file = files.peer(&peer.name);
    let (connected, since, address) = match &peer.contact {
        ContactState::Up { since, address } => (true, *since, Some(address.clone())),
        ContactState::Down { since } | ContactState::Dialing { since } => (false, *since, None),
    };
    PeerStatus {
        name: peer.name.clone(),
        state: match file.is_some_and(|file| file.peer.paused) {
            _ if peer.revoked => PeerState::Revoked,
            true => PeerState::Paused,
            false => PeerState::Trusted,
        },
        verified: file.is_some_and(|file| file.pairing.verified),
        connected,
        since: Some(since),
        address,
        addresses: file.map(|file| file.addresses.clone()).unwrap_or_default(),
        publisher_only: file.is_some_and(|file| file.peer.publisher_only),
        was_connected: peer.facts.was_connected,
        down_cause: peer.facts.down_cause.clone().filter(|_| !connected),
        stands_since: lags.stands_since(&peer.name),
        skew_ms: peer.facts.skew_ms,
        software: peer.facts.software.clone(),
        last_frame: peer.facts.last_frame_ms_ago.map(|ago| now.wall.minus_ms(ago)),
        sent: sent(peer, view, lags),
        received: received(peer, chronicle, lags),
        fault: fault(peer),
        last_error: peer.facts.last_error.clone(),
    }
}

fn sent(peer: &PeerView, view: &NodeView, lags: &LagTable) -> SentStatus {
    let sent = &peer.sent;
    let last = view.ends.last.seq;
    SentStatus {
        position: sent.position,
        lag_events: sent.position.map(|position| last.saturating_sub(position)),
        lag_s: sent.position.and_then(|_| lags.sent(&peer.name)),
        offered: sent.offered,
        accepted: sent.accepted,
        refused: sent.refused,
        deferred: sent.deferred,
        rejected: sent.rejected,
        withheld: sent.withheld.values().sum(),
        withheld_why: sent.withheld.iter().map(|(why, count)| (why.as_str().to_owned(), *count)).collect(),
        filter_failing: filter_failing(&sent.failing),
        rejected_wrongly: sent.rejected.saturating_sub(sent.not_wanted),
        rejected_at: lags.rejected_at(&peer.name),
        rejected_why: sent.last_rejection.map(|said| said.to_string()),
    }
}

fn received(peer: &PeerView, chronicle: &EventLog, lags: &LagTable) -> ReceivedStatus {
    let received = &peer.received;
    let rejected: u64 = received.rejected.values().sum();
    ReceivedStatus {
        position: Some(received.position),
        lag_events: received.lag_events,
        lag_s: received.lag_events.and_then(|_| lags.received(&peer.name)),
        offered: received.accepted
            + received.refused
            + rejected
            + received.missing
            + received.owed
            + received.open,
        accepted: received.accepted,
        refused: received.refused,
        deferred: received.owed,
        rejected,
        missing: received.missing,
        owed: received.owed,
        filter_failing: filter_failing(&received.failing),
        missing_at: chronicle.missing_at.get(&peer.name).copied(),
    }
}

fn filter_failing(failing: &FilterFailures) -> Option<FilterFailing> {
    let (last, why) = failing.last.as_ref()?;
    let (what, hint) = (why.to_string(), why.hint().to_owned());
    Some(FilterFailing { count: failing.count, last: *last, what, hint })
}

fn consumer(
    at: &ConsumerView,
    chronicle: &EventLog,
    doors: &[DoorStatus],
    lags: &LagTable,
) -> ConsumerStatus {
    // The core always has the consumer of a door open: whether somebody is there, the door knows.
    let door = doors.iter().find_map(|door| match &door.way {
        DoorWay::Consumer(state) if door.name == at.name.as_str() => Some(state),
        _ => None,
    });
    ConsumerStatus {
        name: Some(at.name.to_string()),
        position: at.position.seq,
        lag_events: Some(at.lag_events),
        lag_s: lags.consumer(&at.name),
        filter_failing: filter_failing(&at.failing),
        connected: door.map_or(at.connected(), |door| door.connected),
        missing: at.position.missing,
        missing_at: chronicle.consumer_missing_at.get(&at.name).copied(),
    }
}

fn is_peer(files: &PeerFiles, knocked: &transport::Stranger) -> bool {
    files.trusted().any(|file| public_key_text(&file.peer.key) == knocked.key)
}

fn stranger(stranger: transport::Stranger) -> StrangerStatus {
    StrangerStatus {
        key: stranger.key,
        address: stranger.address,
        count: stranger.count,
        last: stranger.last,
    }
}

fn equivocations(view: &NodeView, chronicle: &EventLog) -> Vec<Equivocation> {
    let of = |(publisher, known): (&PublisherName, &u64)| {
        let (count, last, id) =
            chronicle.equivocations.get(publisher).cloned().unwrap_or((0, Timestamp(0), None));
        Equivocation {
            publisher: publisher.clone(),
            count: count.max(*known),
            last,
            id: id.map(|id| id.to_string()),
        }
    };
    view.equivocations.iter().map(of).collect()
}
