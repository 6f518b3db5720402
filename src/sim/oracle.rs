//! Records what really happened, and checks the invariants that hold at each step (numbers as in the feed model).
//! `rest` checks those that hold when all is quiet. No node can know all this. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::envelope::{Envelope, UnverifiedEnvelope};
use crate::identity::{Check, EventKey, HopPath, LogId, PublisherName};
use crate::policy::{Tlp, TrustList};
use crate::protocol::io::{Event, Submitted, Ticket};
use crate::record::{Entry, FeedState, Ledger, Position};
use crate::sim::machine::Committed;
use crate::sim::tally::{FeedCounts, TrafficCount};
use crate::time::Timestamp;
use crate::wire::{Mark, WireFrame};

/// An entry of a journal as it once was: the check names its whole past.
#[derive(Clone, Debug)]
pub struct PastEntry {
    pub before: Mark,
    pub key: EventKey,
    pub path: HopPath,
    pub envelope: Arc<Envelope>,
}

/// The facts that are known of one node.
#[derive(Debug, Default)]
pub struct NodeRecord {
    /// Submissions that it answered as durable.
    pub acknowledged: BTreeSet<EventKey>,
    /// Restored, emptied or repaired by hand: it may have lost what it acknowledged.
    pub tainted: bool,
    /// Its contents were changed by hand, and are read anew at its next start.
    pub afresh: bool,
    /// Entries that its journal ever held, with `created`; after a change by hand, those that its seen set knows.
    pub held: BTreeMap<EventKey, Timestamp>,
    /// The same, kept even if something was changed by hand.
    pub ever_held: BTreeMap<EventKey, Timestamp>,
    /// When each was first stored, in ms of simulated time.
    pub since: BTreeMap<EventKey, u64>,
    /// Identities that retention took.
    pub dropped: BTreeSet<EventKey>,
    /// Entries that its disk cannot give any more.
    pub rotten: BTreeSet<EventKey>,
    /// The identity at each seq of its present journal, with those that retention took.
    pub log: BTreeMap<u64, EventKey>,
    /// The same of the copy of its directory.
    pub log_in_backup: BTreeMap<u64, EventKey>,
    /// The position of its consumer, as it was last seen on disk.
    pub(super) position: Option<Position>,
}

impl NodeRecord {
    /// Its disk is changed by hand: it may lose what it acknowledged, and what it holds is read anew.
    pub fn changed_by_hand(&mut self) {
        (self.tainted, self.afresh) = (true, true);
    }

    /// `entry` is in its journal.
    pub(super) fn holds(&mut self, entry: &Entry, now: u64) {
        let key = entry.envelope.key();
        self.held.insert(key, entry.envelope.core().created);
        self.ever_held.insert(key, entry.envelope.core().created);
        self.since.entry(key).or_insert(now);
        self.log.insert(entry.seq, key);
    }
}

/// How often something was done in a run.
#[derive(Clone, Debug, Default)]
pub struct WitnessCounts {
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Disks that were opened after a crash.
    pub crash_images: u64,
    /// How many reports that a log would show each node made.
    pub told: BTreeMap<usize, u64>,
    pub equivocations: u64,
}

#[derive(Debug)]
pub struct SimOracle {
    pub names: Vec<PublisherName>,
    pub nodes: Vec<NodeRecord>,
    asked: BTreeMap<Ticket, (usize, EventKey)>,
    pub past: BTreeMap<(usize, LogId, u64, Check), PastEntry>,
    /// Places behind which segments are missing that were moved aside, and the places before those.
    pub(super) gaps: BTreeMap<(usize, LogId, u64, Check), Mark>,
    pub publishers: BTreeMap<EventKey, usize>,
    /// Between nodes that do not lie.
    pub traffic: TrafficCount,
    /// How often a node answered another's WANT for an identity: (from, to, key).
    pub answers: BTreeMap<(usize, usize, EventKey), u32>,
    pub feeds: FeedCounts,
    pub counts: WitnessCounts,
}

impl SimOracle {
    pub fn new(names: Vec<PublisherName>) -> Self {
        Self {
            nodes: names.iter().map(|_| NodeRecord::default()).collect(),
            names,
            asked: BTreeMap::new(),
            past: BTreeMap::new(),
            gaps: BTreeMap::new(),
            publishers: BTreeMap::new(),
            traffic: TrafficCount::default(),
            answers: BTreeMap::new(),
            feeds: FeedCounts::default(),
            counts: WitnessCounts::default(),
        }
    }

    pub fn submits(&mut self, node: usize, ticket: Ticket, key: EventKey) {
        self.asked.insert(ticket, (node, key));
    }

    pub fn answers(&mut self, ticket: Ticket, outcome: &Submitted) -> Result<(), String> {
        let Some((node, key)) = self.asked.remove(&ticket) else {
            return Err(format!("a submission was answered twice, or was none: {ticket:?}"));
        };
        if matches!(outcome, Submitted::Accepted | Submitted::Duplicate) {
            self.nodes[node].acknowledged.insert(key);
        }
        Ok(())
    }

    pub fn told(&mut self, node: usize, event: &Event) {
        self.counts.equivocations += u64::from(matches!(event, Event::Equivocation { .. }));
        let is_logged = matches!(
            event,
            Event::Missing { .. }
                | Event::Equivocation { .. }
                | Event::NotTaken { .. }
                | Event::StatementRefused { .. }
        );
        *self.counts.told.entry(node).or_default() += u64::from(is_logged);
    }

    /// (2) No identity is twice in a journal, nor again after retention took it. Two may come again. One is an entry
    /// that the disk lost and the node counted as missing. The other is an id first created before `floor`, below which
    /// a node keeps no ids (PROTOCOL.md §6.2), if its publisher signs it anew with a later date.
    pub fn committed(
        &mut self,
        node: usize,
        committed: &Committed,
        journal: &BTreeSet<EventKey>,
        (now, floor): (u64, Timestamp),
    ) -> Result<(), String> {
        let mut fresh = BTreeSet::new();
        for entry in &committed.entries {
            let (key, id, name) = (entry.envelope.key(), entry.envelope.id(), &self.names[node]);
            let record = &self.nodes[node];
            let again = journal.contains(&key);
            if again || !fresh.insert(key) {
                return Err(format!("(2) {id} is twice in the journal of {name}"));
            }
            let created = entry.envelope.core().created;
            let known = record.held.get(&key).is_some_and(|held| *held >= floor || *held == created);
            if known && !record.rotten.contains(&key) {
                return Err(format!("(2) {id} was taken again at {name}, which held it before"));
            }
            self.nodes[node].holds(entry, now);
        }
        Ok(())
    }

    pub fn remember(&mut self, node: usize, log_id: LogId, before: Mark, entry: &Entry) {
        let (path, envelope) = (entry.path.clone(), entry.envelope.clone());
        let past = PastEntry { before, key: entry.envelope.key(), path, envelope };
        self.past.insert((node, log_id, entry.seq, entry.check), past);
    }

    /// Segments between these places are missing.
    pub fn gap(&mut self, node: usize, log_id: LogId, before: Mark, behind: Mark) {
        self.gaps.insert((node, log_id, behind.seq, behind.check), before);
    }

    /// (1) What was acknowledged is on the disk of its publisher, unless the disk lost it.
    pub fn started(&self, node: usize, journal: &BTreeSet<EventKey>) -> Result<(), String> {
        let record = &self.nodes[node];
        if record.tainted {
            return Ok(());
        }
        let gone = |key: &EventKey| record.dropped.contains(key) || record.rotten.contains(key);
        let lost = record.acknowledged.iter().find(|key| !journal.contains(key) && !gone(key));
        match lost {
            Some(key) => {
                Err(format!("(1) {} acknowledged {key:?}, and its disk does not hold it", self.names[node]))
            }
            None => Ok(()),
        }
    }

    /// (4) The seen set holds only what the journal holds or held, and all of that which was created at or after
    /// `floor`, below which nothing is taken.
    pub fn seen(&self, node: usize, seen: &BTreeSet<EventKey>, floor: Timestamp) -> Result<(), String> {
        let (record, name) = (&self.nodes[node], &self.names[node]);
        if let Some(key) = seen.iter().find(|key| !record.held.contains_key(key)) {
            return Err(format!("(4) the seen set of {name} has {key:?}, which it never held"));
        }
        let lacks = |(key, created): &(&EventKey, &Timestamp)| {
            **created >= floor && !seen.contains(key) && !record.rotten.contains(key)
        };
        if let Some((key, created)) = record.held.iter().find(lacks) {
            return Err(format!(
                "(4) the seen set of {name} lacks {key:?}, which it held: created {created}, floor {floor}"
            ));
        }
        Ok(())
    }

    /// (7) Nothing is sent against policy, or pushed to a node in its path.
    pub fn sends(&mut self, from: usize, to: usize, frame: &WireFrame) -> Result<(), String> {
        let (WireFrame::Carrier(carrier) | WireFrame::Answer(carrier)) = frame else { return Ok(()) };
        if matches!(frame, WireFrame::Carrier(_)) && carrier.path.contains(&self.names[to]) {
            return Err(format!("(7) pushed to {}, which is in the path {}", self.names[to], carrier.path));
        }
        let envelope =
            UnverifiedEnvelope::decode(carrier.envelope.clone()).map_err(|error| error.to_string())?;
        if matches!(frame, WireFrame::Answer(_)) {
            *self.answers.entry((from, to, envelope.envelope().key())).or_default() += 1;
        }
        let core = envelope.envelope().core();
        let publisher = &core.id.publisher;
        let one_hop = *publisher == self.names[from] || *publisher == self.names[to];
        if core.tlp >= Tlp::Amber && !one_hop {
            return Err(format!(
                "(7) {} of {publisher} sent by {} to {} against policy",
                core.tlp.as_str(),
                self.names[from],
                self.names[to]
            ));
        }
        Ok(())
    }

    /// (3) A cursor passes only what is held, owed, remembered as rejected, missing or withheld.
    pub fn cursors(&self, node: usize, view: &CursorView<'_>) -> Result<(), String> {
        for (peer, state) in &view.ledger.feeds {
            let Some(sender) = self.names.iter().position(|name| name == peer) else { continue };
            let Some(log_id) = state.log_id.filter(|_| !view.liars.contains(&sender)) else { continue };
            let mut mark = state.cursor;
            while mark.seq > 0 {
                let place = (sender, log_id, mark.seq, mark.check);
                if let Some(before) = self.gaps.get(&place) {
                    mark = *before;
                    continue;
                }
                let Some(past) = self.past.get(&place) else {
                    return Err(format!(
                        "(3) the cursor of {} on {peer} is at {mark:?}, which never was",
                        self.names[node]
                    ));
                };
                if !self.may_pass(node, sender, state, mark.seq, past, view) {
                    let id = past.envelope.id();
                    return Err(format!(
                        "(3) the cursor of {} on {peer} ({}) passed {id} (seq {}), which it neither holds nor owes",
                        self.names[node], state.cursor.seq, mark.seq
                    ));
                }
                mark = past.before;
            }
        }
        Ok(())
    }

    fn may_pass(
        &self,
        node: usize,
        sender: usize,
        state: &FeedState,
        seq: u64,
        past: &PastEntry,
        view: &CursorView<'_>,
    ) -> bool {
        let publisher = past.envelope.publisher();
        view.seen.contains(&past.key)
            || state.owed.contains_key(&seq)
            || self.nodes[sender].dropped.contains(&past.key)
            || [node, sender].iter().any(|it| self.nodes[*it].rotten.contains(&past.key))
            || past.envelope.core().created < view.floor
            || state.rejected.iter().any(|place| place.before.seq < seq)
            || !self.shared(sender, node, past, view.trusts)
            || !view.trusts[node].publisher(publisher)
    }

    /// Would `sender` share it with `node`?
    pub fn shared(&self, sender: usize, node: usize, past: &PastEntry, trusts: &[Arc<TrustList>]) -> bool {
        let Some(peer) = trusts[sender].peer(&self.names[node]) else { return false };
        let core = past.envelope.core();
        crate::policy::share(core, &past.path, &self.names[sender].clone().into(), peer, None).is_ok()
    }
}

/// The contents of a node's disk, to be compared with what happened.
pub struct CursorView<'a> {
    pub ledger: &'a Ledger,
    pub seen: &'a BTreeSet<EventKey>,
    pub trusts: &'a [Arc<TrustList>],
    /// Nothing created before it is taken.
    pub floor: Timestamp,
    /// Senders that lie about their journals.
    pub liars: &'a BTreeSet<usize>,
}
