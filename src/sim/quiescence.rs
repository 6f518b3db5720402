//! The invariants that hold when nothing goes wrong any more and all is quiet. Every node has all that it may have,
//! nothing is owed, and the counts add up (numbers as in the feed model). Changes nothing.

use std::collections::BTreeSet;

use crate::identity::EventKey;
use crate::protocol::view::{NodeView, PeerView};
use crate::sim::machine::{NodeProcess, SimMachine};
use crate::sim::oracle::PastEntry;
use crate::sim::tally::TrafficCount;
use crate::sim::world::SimWorld;

impl SimWorld {
    /// Returns the first thing that is not as it must be at rest; `None` if all is well.
    pub fn unrest(&self) -> Option<String> {
        let views: Vec<Option<NodeView>> = self
            .machines
            .iter()
            .map(|machine| machine.process.as_ref().map(|process| process.core.view()))
            .collect();
        for (machine, view) in self.machines.iter().zip(&views).filter(|(machine, _)| machine.liar.is_none())
        {
            let (Some(process), Some(view)) = (&machine.process, view) else {
                return Some(format!("{} is not running", machine.name));
            };
            let found = self
                .unanswered(machine, view)
                .or_else(|| self.not_taken(machine, process))
                .or_else(|| self.not_handed(machine));
            if found.is_some() {
                return found;
            }
        }
        let (sender, receiver, what) = self.witness.feeds.unaccounted()?;
        let name = |node: usize| &self.machines[node].name;
        Some(format!("(5) {} to {}: {what}", name(sender), name(receiver)))
    }

    /// (1) Every node that may have an entry of this node has it.
    fn not_taken(&self, machine: &SimMachine, process: &NodeProcess) -> Option<String> {
        let trusts: Vec<_> = self.machines.iter().map(|machine| machine.trust.clone()).collect();
        let peers = self.peers_of(machine.number);
        let (log_id, mut mark) = (process.engine.journal.log_id(), process.engine.journal.last());
        while mark.seq > process.engine.journal.floor().seq {
            let past: &PastEntry = self.witness.past.get(&(machine.number, log_id, mark.seq, mark.check))?;
            let given = self.gives(machine.number, past);
            for peer in peers.iter().filter(|peer| given && self.machines[**peer].liar.is_none()) {
                let trusted = self.machines[*peer].trust.publisher(past.envelope.publisher());
                let has = self.journals[*peer].contains(&past.key)
                    || self.has_lost(*peer, past)
                    || self.is_too_old(*peer, past)
                    || self.had_another(*peer, past);
                if trusted && !has && self.witness.shared(machine.number, *peer, past, &trusts) {
                    let id = past.envelope.id();
                    let other = &self.machines[*peer].name;
                    return Some(format!(
                        "(1) {} holds {id} (seq {}), {other} may have it and does not",
                        machine.name, mark.seq
                    ));
                }
            }
            mark = past.before;
        }
        None
    }

    /// That node can give it, and never told anyone that it is gone: a copy of its directory that is put back may hold
    /// what retention took.
    fn gives(&self, node: usize, past: &PastEntry) -> bool {
        let record = &self.witness.nodes[node];
        let is_readable = !record.rotten.contains(&past.key) || self.journals[node].contains(&past.key);
        is_readable && !record.dropped.contains(&past.key)
    }

    /// That node has lost it, and no reader has met that, or else it had asked for it again.
    fn has_lost(&self, node: usize, past: &PastEntry) -> bool {
        let (record, process) = (&self.witness.nodes[node], self.machines[node].process.as_ref());
        let asks = |process: &NodeProcess| {
            process.met.contains(&past.key) || process.engine.journal.ledger().losses.wants(past.key)
        };
        record.dropped.contains(&past.key) || record.rotten.contains(&past.key) && !process.is_some_and(asks)
    }

    /// It was created before that node can say what it held.
    fn is_too_old(&self, node: usize, past: &PastEntry) -> bool {
        let process = self.machines[node].process.as_ref();
        process.is_some_and(|process| past.envelope.core().created < process.core.floor())
    }

    /// It held, and lost, another event with this identity: that the publisher equivocates is told.
    fn had_another(&self, node: usize, past: &PastEntry) -> bool {
        let process = self.machines[node].process.as_ref();
        let told = process
            .and_then(|process| process.engine.journal.ledger().equivocations.get(past.envelope.publisher()));
        told.is_some_and(|told| told.contains(&(past.key, past.envelope.digest())))
    }

    /// (2) Nothing that is held is never handed off.
    fn not_handed(&self, machine: &SimMachine) -> Option<String> {
        if !self.plan.consumers {
            return None;
        }
        let pipeline = &self.pipelines[machine.number];
        let own = |key: &EventKey| self.witness.publishers.get(key) == Some(&machine.number);
        let never = |key: &&EventKey| !own(key) && !pipeline.ever.contains_key(key);
        let key = self.journals[machine.number].iter().find(never)?;
        Some(format!("(2) the consumer of {} never got {key:?}", machine.name))
    }

    /// (5) After rest nothing but signs of life may cross: returns what did.
    pub fn still_busy(&self, before: TrafficCount) -> Option<String> {
        let now = self.witness.traffic;
        (now != before).then(|| format!("(5) all was quiet, and still {before:?} became {now:?}"))
    }

    /// Returns the entries that every node holds, in one set.
    pub fn union(&self) -> BTreeSet<EventKey> {
        self.journals.iter().flatten().copied().collect()
    }

    /// (5) Nothing is owed or open.
    fn unanswered(&self, machine: &SimMachine, view: &NodeView) -> Option<String> {
        let lies = |peer: &&PeerView| {
            self.machines.iter().any(|it| it.name == peer.status.name && it.liar.is_some())
        };
        view.peers.iter().filter(|peer| !lies(peer)).find_map(|peer| {
            let (name, owed, open) = (&peer.status.name, peer.status.received.owed, peer.open);
            (owed > 0 || open > 0)
                .then(|| format!("(5) {} owes {owed} and has {open} open of {name}", machine.name))
        })
    }
}
