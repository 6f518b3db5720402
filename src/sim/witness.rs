//! What really happened, as nobody in the federation can know it, and the invariants that hold at each step
//! (numbers as in the feed model): what is checked when all is quiet is `rest`'s. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::envelope::{Envelope, UnverifiedEnvelope};
use crate::identity::{Check, EventKey, HopPath, LogId, PublisherName};
use crate::policy::{Tlp, TrustList};
use crate::protocol::io::{Event, Submitted, Ticket};
use crate::record::{Entry, FeedState, Ledger};
use crate::sim::machine::Committed;
use crate::sim::pipeline::Pipeline;
use crate::wire::{Frame, Mark};

/// An entry of a journal as it once was: the check names its whole past.
#[derive(Clone, Debug)]
pub struct Past {
    pub before: Mark,
    pub key: EventKey,
    pub path: HopPath,
    pub envelope: Arc<Envelope>,
}

/// Bytes and frames that crossed between nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub pushed: u64,
    pub answered: u64,
    pub offered: u64,
    pub wanted: u64,
    pub gone: u64,
    pub envelope_bytes: u64,
}

impl Traffic {
    /// Envelopes that crossed a link.
    pub fn envelopes(&self) -> u64 {
        self.pushed + self.answered
    }
}

#[derive(Debug)]
pub struct Witness {
    pub names: Vec<PublisherName>,
    /// What each node answered as durable.
    pub acknowledged: Vec<BTreeSet<EventKey>>,
    asked: BTreeMap<Ticket, (usize, EventKey)>,
    /// Restored or emptied: they may have lost what they acknowledged.
    pub tainted: BTreeSet<usize>,
    /// What each journal ever held.
    pub held: Vec<BTreeSet<EventKey>>,
    /// What retention took.
    pub dropped: Vec<BTreeSet<EventKey>>,
    pub past: BTreeMap<(usize, LogId, u64, Check), Past>,
    pub publishers: BTreeMap<EventKey, usize>,
    pub traffic: Traffic,
    pub missing: u64,
}

impl Witness {
    pub fn new(names: Vec<PublisherName>) -> Self {
        let nodes = names.len();
        Self {
            names,
            acknowledged: vec![BTreeSet::new(); nodes],
            asked: BTreeMap::new(),
            tainted: BTreeSet::new(),
            held: vec![BTreeSet::new(); nodes],
            dropped: vec![BTreeSet::new(); nodes],
            past: BTreeMap::new(),
            publishers: BTreeMap::new(),
            traffic: Traffic::default(),
            missing: 0,
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
            self.acknowledged[node].insert(key);
        }
        Ok(())
    }

    pub fn told(&mut self, event: &Event) {
        if let Event::Missing { count, .. } = event {
            self.missing += count;
        }
    }

    /// (2) No identity twice in a journal.
    pub fn committed(
        &mut self,
        node: usize,
        committed: &Committed,
        journal: &BTreeSet<EventKey>,
    ) -> Result<(), String> {
        let mut fresh = BTreeSet::new();
        for entry in &committed.entries {
            let key = entry.envelope.key();
            if journal.contains(&key) || !fresh.insert(key) {
                return Err(format!(
                    "(2) {} is twice in the journal of {}",
                    entry.envelope.id(),
                    self.names[node]
                ));
            }
            self.held[node].insert(key);
        }
        Ok(())
    }

    pub fn remember(&mut self, node: usize, log_id: LogId, before: Mark, entry: &Entry) {
        let (path, envelope) = (entry.path.clone(), entry.envelope.clone());
        let past = Past { before, key: entry.envelope.key(), path, envelope };
        self.past.insert((node, log_id, entry.seq, entry.check), past);
    }

    /// (1) What was acknowledged is on the disk of its publisher.
    pub fn started(&self, node: usize, journal: &BTreeSet<EventKey>) -> Result<(), String> {
        if self.tainted.contains(&node) {
            return Ok(());
        }
        let lost = self.acknowledged[node]
            .iter()
            .find(|key| !journal.contains(key) && !self.dropped[node].contains(key));
        match lost {
            Some(key) => {
                Err(format!("(1) {} acknowledged {key:?}, and its disk does not hold it", self.names[node]))
            }
            None => Ok(()),
        }
    }

    /// (4) The seen set holds only what the journal holds or held.
    pub fn seen(&self, node: usize, seen: &[EventKey]) -> Result<(), String> {
        if self.tainted.contains(&node) {
            return Ok(());
        }
        match seen.iter().find(|key| !self.held[node].contains(key)) {
            Some(key) => {
                Err(format!("(4) the seen set of {} has {key:?}, which it never held", self.names[node]))
            }
            None => Ok(()),
        }
    }

    /// (7) Nothing is sent against policy, or pushed to a node in its path.
    pub fn sends(&mut self, from: usize, to: usize, frame: &Frame) -> Result<(), String> {
        let carrier = match frame {
            Frame::Carrier(carrier) => {
                self.traffic.pushed += 1;
                if carrier.path.contains(&self.names[to]) {
                    return Err(format!(
                        "(7) pushed to {}, which is in the path {}",
                        self.names[to], carrier.path
                    ));
                }
                carrier
            }
            Frame::Answer(carrier) => {
                self.traffic.answered += 1;
                carrier
            }
            Frame::Have(_) => {
                self.traffic.offered += 1;
                return Ok(());
            }
            Frame::Want { .. } => {
                self.traffic.wanted += 1;
                return Ok(());
            }
            Frame::Gone { .. } => {
                self.traffic.gone += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.traffic.envelope_bytes += carrier.envelope.len() as u64;
        let envelope =
            UnverifiedEnvelope::decode(carrier.envelope.clone()).map_err(|error| error.to_string())?;
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

    /// (2) Nothing is handed off again after its durable ack, and nothing of our own as foreign.
    pub fn handed(&self, node: usize, pipeline: &Pipeline, entries: &[Arc<Entry>]) -> Result<(), String> {
        for entry in entries {
            let id = entry.envelope.id();
            if entry.envelope.publisher() == &self.names[node] {
                return Err(format!("(2) {} was handed its own {id} as foreign", self.names[node]));
            }
            if pipeline.done.contains(&entry.envelope.key()) {
                return Err(format!("(2) {id} was handed off at {} again after its ack", self.names[node]));
            }
        }
        Ok(())
    }

    /// (3) A cursor passes only what is held, owed, remembered as rejected, missing or withheld.
    pub fn cursors(&self, node: usize, view: &Cursors<'_>) -> Result<(), String> {
        for (peer, state) in &view.ledger.feeds {
            let Some(sender) = self.names.iter().position(|name| name == peer) else { continue };
            let Some(log_id) = state.log_id else { continue };
            let mut mark = state.cursor;
            while mark.seq > 0 {
                let Some(past) = self.past.get(&(sender, log_id, mark.seq, mark.check)) else {
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
        past: &Past,
        view: &Cursors<'_>,
    ) -> bool {
        let publisher = past.envelope.publisher();
        view.seen.contains(&past.key)
            || state.owed.contains_key(&seq)
            || self.dropped[sender].contains(&past.key)
            || state.rejected.iter().any(|place| place.before.seq < seq)
            || !self.shared(sender, node, past, view.trusts)
            || !view.trusts[node].publisher(publisher)
    }

    /// Would `sender` share it with `node`?
    pub fn shared(&self, sender: usize, node: usize, past: &Past, trusts: &[Arc<TrustList>]) -> bool {
        let Some(peer) = trusts[sender].peer(&self.names[node]) else { return false };
        let core = past.envelope.core();
        crate::policy::share(core, &past.path, &self.names[sender], peer, None).is_ok()
    }
}

/// What a node has on disk, to be compared with what happened.
pub struct Cursors<'a> {
    pub ledger: &'a Ledger,
    pub seen: &'a BTreeSet<EventKey>,
    pub trusts: &'a [Arc<TrustList>],
}
