//! Puts together the facts of `status`: the core's view, the store's figures, the transport's strangers, the events
//! that the chronicle remembers, and the problems of the files.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;

use crate::config::{self, NodeConfig, PeerFiles};
use crate::daemon::event_log::EventLog;
use crate::daemon::lags::LagTable;
use crate::identity::{PublisherName, public_key_text};
use crate::protocol::view::{ConsumerView, NodeView, PeerView};
use crate::status::{
    ClockStatus, ConsumerStatus, DiskStatus, DoorStatus, DoorWay, Equivocation, EventFailures, HealthCode,
    JournalStatus, NotDeliverable, PeerStatus, STATUS_SCHEMA, SeenStatus, ShownProblem, Snapshot,
    StrangerStatus,
};
use crate::store::{self, StoreStats};
use crate::time::{Now, Timestamp};
use crate::transport;

/// Facts that do not change while the node runs.
#[derive(Clone, Debug)]
pub(crate) struct NodeIdentity {
    pub name: PublisherName,
    pub peer_id: String,
    pub key: String,
    pub started: Now,
    pub keep_bytes: u64,
    pub keep_days: u32,
}

impl NodeIdentity {
    pub(crate) fn of(config: &NodeConfig, key: &VerifyingKey, started: Now) -> Self {
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
pub(crate) struct DoorFacts {
    pub doors: Vec<DoorStatus>,
    /// Problems of files that doors read while they run.
    pub files: Vec<String>,
    /// Doors that could not be opened as the file says.
    pub failures: Vec<String>,
    pub cannot_open: Option<EventFailures>,
    /// By consumer.
    pub not_converted: BTreeMap<String, EventFailures>,
}

pub(crate) struct SnapshotFacts<'a> {
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
pub(crate) fn snapshot(facts: SnapshotFacts<'_>, lags: &LagTable) -> Snapshot {
    let SnapshotFacts { identity, view, stats, strangers, files, node_file, chronicle, doors, .. } = facts;
    let DoorFacts { doors, files: door_files, failures, cannot_open, not_converted } = doors;
    let now = facts.now;
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
    let equivocations = equivocations(&view, chronicle);
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
        peers: view.peers.into_iter().map(|at| peer(at, files, chronicle, lags)).collect(),
        consumers: view
            .consumers
            .into_iter()
            .map(|at| consumer(at, chronicle, (&doors, &not_converted), lags))
            .collect(),
        // They are not the core's: the loop adds them.
        clients: Vec::new(),
        doors,
        cannot_open,
        // A stranger that became a peer since then is left out.
        strangers: strangers.into_iter().filter(|knocked| !is_peer(files, knocked)).map(stranger).collect(),
        unknown_publishers: chronicle.unknown.shown(files),
        not_deliverable: facts.not_deliverable,
        equivocations,
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

/// Completes what the core knows of a peer by its file and by what was observed over time.
fn peer(peer: PeerView, files: &PeerFiles, chronicle: &EventLog, lags: &LagTable) -> PeerStatus {
    let mut status = peer.status;
    let name = &status.name;
    if let Some(file) = files.peer(name) {
        status.verified = file.pairing.verified;
        status.addresses = file.addresses.clone();
        status.expect_every_s = file.care.expect_every_s;
        status.contact = file.care.contact.clone();
    }
    status.last_event = lags.last_event(name);
    status.stands_since = lags.stands_since(name);
    status.sent.lag_s = status.sent.position.and_then(|_| lags.sent(name));
    status.sent.rejected_at = lags.rejected_at(name);
    status.received.lag_s = status.received.lag_events.and_then(|_| lags.received(name));
    status.received.missing_at = chronicle.missing_at.get(name).copied();
    status
}

fn consumer(
    at: ConsumerView,
    chronicle: &EventLog,
    (doors, not_converted): (&[DoorStatus], &BTreeMap<String, EventFailures>),
    lags: &LagTable,
) -> ConsumerStatus {
    let mut status = at.status;
    // The core always has the consumer of a door open: whether somebody is there, the door knows.
    let door = doors.iter().find_map(|door| match &door.way {
        DoorWay::Consumer(state) if door.name == status.name => Some(state),
        _ => None,
    });
    status.connected = door.map_or(status.connected, |door| door.connected);
    status.not_converted = not_converted.get(&status.name).cloned();
    status.lag_s = lags.consumer(&at.name);
    status.missing_at = chronicle.consumer_missing_at.get(&at.name).copied();
    status
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
