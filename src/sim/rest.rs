//! What holds once nothing goes wrong any more and all is quiet: everyone has what it may have, nothing is
//! owed, and the counts add up (numbers as in the feed model). Changes nothing.

use std::collections::BTreeSet;

use crate::identity::EventKey;
use crate::protocol::view::{NodeView, PeerView};
use crate::sim::machine::{Machine, Process};
use crate::sim::witness::Past;
use crate::sim::world::World;

impl World {
    /// The first thing that is not as it must be at rest; `None` where all is well.
    pub fn unrest(&self) -> Option<String> {
        let views: Vec<Option<NodeView>> = self
            .machines
            .iter()
            .map(|machine| machine.process.as_ref().map(|process| process.core.view()))
            .collect();
        for (machine, view) in self.machines.iter().zip(&views) {
            let (Some(process), Some(view)) = (&machine.process, view) else {
                return Some(format!("{} is not running", machine.name));
            };
            let found = unanswered(machine, view)
                .or_else(|| self.not_taken(machine, process))
                .or_else(|| self.not_handed(machine));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// (1) Whoever may have what this node holds, has it.
    fn not_taken(&self, machine: &Machine, process: &Process) -> Option<String> {
        let trusts: Vec<_> = self.machines.iter().map(|machine| machine.trust.clone()).collect();
        let peers = self.peers_of(machine.number);
        let (log_id, mut mark) = (process.engine.journal.log_id(), process.engine.journal.last());
        while mark.seq > process.engine.journal.floor().seq {
            let past: &Past = self.witness.past.get(&(machine.number, log_id, mark.seq, mark.check))?;
            for peer in &peers {
                let trusted = self.machines[*peer].trust.publisher(past.envelope.publisher());
                let has = self.journals[*peer].contains(&past.key)
                    || self.witness.dropped[*peer].contains(&past.key);
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

    /// (2) Nothing that is held is never handed off.
    fn not_handed(&self, machine: &Machine) -> Option<String> {
        if !self.plan.consumers {
            return None;
        }
        let pipeline = &self.pipelines[machine.number];
        let own = |key: &EventKey| self.witness.publishers.get(key) == Some(&machine.number);
        let never = |key: &&EventKey| !own(key) && !pipeline.ever.contains(key);
        let key = self.journals[machine.number].iter().find(never)?;
        Some(format!("(2) the consumer of {} never got {key:?}", machine.name))
    }

    /// (5) After rest nothing but signs of life may cross: returns what did.
    pub fn still_busy(&self, before: crate::sim::witness::Traffic) -> Option<String> {
        let now = self.witness.traffic;
        let moved = |traffic: crate::sim::witness::Traffic| {
            (traffic.envelopes(), traffic.offered, traffic.wanted, traffic.gone)
        };
        (moved(now) != moved(before))
            .then(|| format!("(5) all was quiet, and still {before:?} became {now:?}"))
    }

    /// What every node holds.
    pub fn union(&self) -> BTreeSet<EventKey> {
        self.journals.iter().flatten().copied().collect()
    }
}

/// (5) Nothing is owed or open, and what was offered has its fate.
fn unanswered(machine: &Machine, view: &NodeView) -> Option<String> {
    view.peers.iter().find_map(|peer| {
        let PeerView { name, sent, received, .. } = peer;
        if received.owed > 0 || received.open > 0 {
            return Some(format!(
                "(5) {} owes {} and has {} open of {name}",
                machine.name, received.owed, received.open
            ));
        }
        let fates = sent.accepted + sent.refused + sent.rejected + sent.deferred;
        (sent.offered < fates).then(|| {
            format!(
                "{} offered {name} {}, of which {fates} have a fate: {sent:?}",
                machine.name, sent.offered
            )
        })
    })
}
