//! The whole federation, and time. Each step takes what happens at one moment, gives it to the processes that
//! it is for, obeys what they ask, and lets the witness look. Decides nothing for any node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::identity::{EventKey, PublisherName};
use crate::protocol::io::{DoorOutput, StoreOutput, Ticket, TransportOutput};
use crate::protocol::{Input, Output};
use crate::record::Entry;
use crate::sim::event_look::EventLook;
use crate::sim::liar::ROUND_MS;
use crate::sim::machine::{Committed, SimMachine, SimWorkers};
use crate::sim::network::Network;
use crate::sim::oracle::{CursorView, SimOracle};
use crate::sim::pipeline::SimPipeline;
use crate::sim::plan::SimPlan;
use crate::sim::scheduler::{SimEvent, SimScheduler};
use crate::time::Tick;
use crate::wire::Mark;

/// Happenings at one moment before the federation is taken to be going round in circles.
const AT_ONCE_MAX: usize = 2_000_000;
/// Wakes at one moment that a process may ask for in vain.
const VAIN_WAKES_MAX: u32 = 3;

/// An invariant does not hold.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("at {at_ms} ms: {what}")]
pub struct PromiseViolation {
    pub at_ms: u64,
    pub what: String,
}

#[derive(Debug)]
pub struct SimWorld {
    pub plan: SimPlan,
    pub agenda: SimScheduler,
    pub machines: Vec<SimMachine>,
    pub network: Network,
    pub pipelines: Vec<SimPipeline>,
    pub witness: SimOracle,
    /// The entries that each journal holds now.
    pub journals: Vec<BTreeSet<EventKey>>,
    /// Everything that was said and done, if somebody wants to read it.
    pub log: Option<Vec<String>>,
    /// The look of each event.
    pub(super) looks: BTreeMap<(usize, u64), EventLook>,
    pub(super) tickets: u64,
    workers: SimWorkers,
}

impl SimWorld {
    /// # Errors
    /// [`PromiseViolation`], here and below.
    pub fn new(plan: SimPlan) -> Result<Self, PromiseViolation> {
        let mut agenda = SimScheduler::new(plan.seed, plan.weather);
        let machines = super::founding::machines(&plan);
        let names: Vec<PublisherName> = machines.iter().map(|machine| machine.name.clone()).collect();
        for (at, fault) in &plan.faults {
            agenda.at(*at, SimEvent::Fault(fault.clone()));
        }
        for node in 0..plan.nodes {
            let after = agenda.draw((0, 50));
            agenda.after(after, SimEvent::Start { node });
        }
        Ok(Self {
            agenda,
            network: Network::new(names.clone()),
            pipelines: names.iter().map(|_| SimPipeline::new()).collect(),
            journals: vec![BTreeSet::new(); names.len()],
            log: None,
            looks: BTreeMap::new(),
            tickets: 1 << 60,
            workers: SimWorkers::default(),
            witness: SimOracle::new(names),
            machines,
            plan,
        })
    }

    pub(super) fn violated(&self, what: impl ToString) -> PromiseViolation {
        PromiseViolation { at_ms: self.agenda.now, what: what.to_string() }
    }

    /// Lets time go on until `until_ms`.
    ///
    /// # Errors
    /// [`PromiseViolation`].
    pub fn run_until(&mut self, until_ms: u64) -> Result<(), PromiseViolation> {
        while self.agenda.advance(until_ms) {
            self.moment()?;
        }
        Ok(())
    }

    /// Lets time go on until all is at rest, at most `within_ms` more, and a while after that.
    ///
    /// # Errors
    /// [`PromiseViolation`]: also if it does not come to rest.
    pub fn run_to_rest(&mut self, within_ms: u64) -> Result<(), PromiseViolation> {
        let last = self.agenda.now + within_ms;
        let step = 500 + 25 * self.plan.nodes as u64;
        loop {
            let before = self.witness.traffic;
            let mut found = self.unrest();
            if found.is_none() {
                // Long enough for a half-open connection to be noticed, and for anything that goes round.
                self.run_until(self.agenda.now + 45_000)?;
                found = self.still_busy(before).or_else(|| self.unrest());
                if found.is_none() {
                    return Ok(());
                }
            }
            if let Some(found) = found.filter(|_| self.agenda.now >= last) {
                return Err(self.violated(format!("no rest within {within_ms} ms: {found}")));
            }
            self.run_until(self.agenda.now + step)?;
        }
    }

    /// All that happens now.
    fn moment(&mut self) -> Result<(), PromiseViolation> {
        let mut inputs: BTreeMap<usize, Vec<Input>> = BTreeMap::new();
        let mut count = 0;
        while let Some(happening) = self.agenda.take() {
            count += 1;
            if count > AT_ONCE_MAX {
                return Err(self.violated("(5) things happen for ever at one moment"));
            }
            match happening {
                SimEvent::Tell { node, life, input } if self.is_alive(node, life) => {
                    inputs.entry(node).or_default().push(*input);
                }
                SimEvent::Wake { node, .. } if self.machines[node].liar.is_some() => self.flood(node)?,
                SimEvent::Wake { node, life } if self.is_alive(node, life) => {
                    let wake = self.machines[node]
                        .process
                        .as_mut()
                        .and_then(|process| process.wake.take_if(|at| *at <= self.agenda.now));
                    if wake.is_some() {
                        inputs.entry(node).or_default();
                    }
                }
                SimEvent::Tell { .. } | SimEvent::Wake { .. } => {}
                SimEvent::Fault(fault) => {
                    for node in self.befall(fault)? {
                        inputs.remove(&node);
                    }
                }
                other => self.happens(other)?,
            }
        }
        for (node, inputs) in inputs {
            self.step(node, inputs)?;
        }
        Ok(())
    }

    pub(super) fn is_alive(&self, node: usize, life: u64) -> bool {
        let machine = &self.machines[node];
        (machine.process.is_some() || machine.liar.is_some()) && machine.lives == life
    }

    fn happens(&mut self, happening: SimEvent) -> Result<(), PromiseViolation> {
        match happening {
            SimEvent::Leave(flow) => self.network.on_leave(&mut self.agenda, flow),
            SimEvent::Arrive(flow) => {
                let arrived = self.network.on_arrive(&mut self.agenda, flow);
                arrived.map_err(|error| self.violated(error))?;
            }
            SimEvent::Dialled { from, to, life } if self.is_alive(from, life) => {
                let trusted = self.machines[to].trust.peer(&self.machines[from].name).is_some();
                self.network.on_dialled(&mut self.agenda, from, to, trusted);
            }
            SimEvent::Notice { conn, end } => self.network.on_notice(&mut self.agenda, conn, end),
            SimEvent::Commit { node, life } if self.is_alive(node, life) => self.commit(node)?,
            SimEvent::Consume { node, life } if self.is_alive(node, life) => {
                for input in self.pipelines[node].says() {
                    self.write_down(|| format!("{node} {input:?}"));
                    self.agenda.tell(node, life, 0, input);
                }
            }
            SimEvent::Start { node } => self.start(node)?,
            SimEvent::CopySeen { node } => {
                let machine = &mut self.machines[node];
                if let Some(backup) = &mut machine.backup {
                    backup.seen = machine.seen.snapshot();
                }
            }
            SimEvent::Heal => self.network.split = None,
            SimEvent::DiskFree { node } => self.machines[node].fill_disk(false),
            _ => {}
        }
        Ok(())
    }

    /// Starts a process, and compares what its disk holds with what must be there.
    pub(super) fn start(&mut self, node: usize) -> Result<(), PromiseViolation> {
        if self.machines[node].process.is_some() {
            return Ok(());
        }
        let machine = &mut self.machines[node];
        if machine.liar.is_some() {
            machine.lives += 1;
            self.network.node_up(node, machine.lives);
            self.agenda.after(ROUND_MS, SimEvent::Wake { node, life: 0 });
            return Ok(());
        }
        let opened = match machine.start(&mut self.agenda, &self.plan) {
            Ok(opened) => opened,
            Err(error) => return self.start_failed(node, &error),
        };
        let (life, entries) = (self.machines[node].lives, self.journal_of(node)?);
        if std::mem::take(&mut self.machines[node].harm.newest_aside) && opened.problems.is_empty() {
            let name = &self.machines[node].name;
            return Err(self.violated(format!("(2) the end of the journal of {name} is gone, in silence")));
        }
        self.journals[node] = entries.iter().map(|entry| entry.envelope.key()).collect();
        self.read_anew(node, opened.ends.floor.seq);
        self.remember(node, &entries)?;
        self.gave_up(node);
        self.witness.started(node, &self.journals[node]).map_err(|what| self.violated(what))?;
        self.network.node_up(node, life);
        self.pipelines[node].begins();
        self.look(node)?;
        self.pipelines[node].has_begun();
        if self.plan.consumers {
            self.agenda.after(2, SimEvent::Consume { node, life });
        }
        self.step(node, Vec::new())
    }

    /// Reads the disk of a node after a change by hand: nothing else is true of the node any more. If the disk had held
    /// entries below `floor`, the start has given them up.
    fn read_anew(&mut self, node: usize, floor: u64) {
        let record = &mut self.witness.nodes[node];
        if std::mem::take(&mut record.afresh) {
            record.dropped.extend(record.log.range(..=floor).map(|(_, key)| *key));
            let seen: BTreeSet<EventKey> = self.machines[node].seen.keys().into_iter().collect();
            record.held = record.ever_held.clone();
            record.held.retain(|key, _| seen.contains(key));
            record.log.clear();
            record.position = None;
            self.pipelines[node].done.retain(|key| self.journals[node].contains(key));
        }
    }

    /// Everything that the journal of a node holds, read from its bytes.
    ///
    /// # Errors
    /// [`PromiseViolation`]: it cannot be read.
    pub fn journal_of(&self, node: usize) -> Result<Vec<Arc<Entry>>, PromiseViolation> {
        let Some(process) = &self.machines[node].process else { return Ok(Vec::new()) };
        let journal = &process.engine.journal;
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        loop {
            let after = entries.last().map_or(journal.floor().seq, |entry| entry.seq);
            let read = journal.read(after, 1 << 20).map_err(|error| self.violated(error))?;
            if read.entries.is_empty() {
                return Ok(entries);
            }
            entries.extend(read.entries);
        }
    }

    fn remember(&mut self, node: usize, entries: &[Arc<Entry>]) -> Result<(), PromiseViolation> {
        let Some(process) = &self.machines[node].process else { return Ok(()) };
        let journal = &process.engine.journal;
        let (log_id, floor) = (journal.log_id(), journal.floor());
        let place = (node, log_id, floor.seq, floor.check);
        if !self.witness.past.contains_key(&place) && !self.witness.gaps.contains_key(&place) {
            self.witness.gap(node, log_id, Mark::START, floor);
        }
        let mut before = floor;
        for entry in entries {
            if entry.seq > before.seq + 1 {
                let check = journal.check_at(entry.seq - 1).map_err(|error| self.violated(error))?;
                let behind = Mark { seq: entry.seq - 1, check: check.unwrap_or_default() };
                self.witness.gap(node, log_id, before, behind);
            }
            self.witness.remember(node, log_id, before, entry);
            self.witness.nodes[node].holds(entry, self.agenda.now);
            before = entry.mark();
        }
        if journal.last() != before {
            self.witness.gap(node, log_id, before, journal.last());
        }
        Ok(())
    }

    fn commit(&mut self, node: usize) -> Result<(), PromiseViolation> {
        let Some(process) = &mut self.machines[node].process else { return Ok(()) };
        let (log_id, before) = (process.engine.journal.log_id(), process.engine.journal.last());
        let floor = process.core.floor();
        let committed = match process.commit(&mut self.agenda, node) {
            Ok(Some(committed)) => committed,
            Ok(None) => return Ok(()),
            Err(error) => return self.store_failed(node, &error),
        };
        let when = (self.agenda.now, floor);
        let checked = self.witness.committed(node, &committed, &self.journals[node], when);
        checked.map_err(|what| self.violated(what))?;
        let Committed { entries, .. } = committed;
        let mut before: Mark = before;
        for entry in &entries {
            self.witness.remember(node, log_id, before, entry);
            self.journals[node].insert(entry.envelope.key());
            before = entry.mark();
        }
        self.look(node)
    }

    /// Looks at what is on the disk of a node.
    pub(super) fn look(&mut self, node: usize) -> Result<(), PromiseViolation> {
        let Some(process) = &self.machines[node].process else { return Ok(()) };
        let journal = &process.engine.journal;
        let known = journal.ledger().consumers.get(&self.pipelines[node].name).cloned();
        if let Some(position) = known {
            let floor = journal.floor().seq;
            self.write_down(|| format!("{node} {position:?} floor {floor}"));
            let pipeline = &mut self.pipelines[node];
            let checked = self.witness.position(node, &position, floor, pipeline);
            pipeline.durable(position.seq, floor);
            checked.map_err(|what| self.violated(what))?;
        }
        let Some(process) = &self.machines[node].process else { return Ok(()) };
        if self.plan.nodes > 8 && !self.agenda.now.is_multiple_of(64) {
            // The whole past of every cursor is expensive: large federations are checked now and then.
            return Ok(());
        }
        if process.is_behind_floor(self.agenda.now) {
            return Err(self.violated(format!("(4) {} judges by an older floor", self.machines[node].name)));
        }
        let floor = process.engine.floor();
        let seen: BTreeSet<EventKey> = self.machines[node].seen.keys().into_iter().collect();
        self.witness.seen(node, &seen, floor).map_err(|what| self.violated(what))?;
        let trusts: Vec<_> = self.machines.iter().map(|machine| machine.trust.clone()).collect();
        let liars = self.liars();
        let view = CursorView {
            ledger: process.engine.journal.ledger(),
            seen: &seen,
            trusts: &trusts,
            floor,
            liars: &liars,
        };
        self.witness.cursors(node, &view).map_err(|what| self.violated(what))
    }

    fn liars(&self) -> BTreeSet<usize> {
        self.plan.peering.liars.iter().map(|(liar, _)| *liar).collect()
    }

    /// A liar sends a round of its flood.
    fn flood(&mut self, node: usize) -> Result<(), PromiseViolation> {
        let now = self.machines[node].now(&self.agenda);
        let Some(liar) = &mut self.machines[node].liar else { return Ok(()) };
        let outputs = liar.flood(now);
        if liar.goes_on() {
            self.agenda.after(ROUND_MS, SimEvent::Wake { node, life: 0 });
        }
        outputs.into_iter().try_for_each(|output| self.obey(node, output))
    }

    /// Gives a process what came for it, and obeys.
    pub(super) fn step(&mut self, node: usize, inputs: Vec<Input>) -> Result<(), PromiseViolation> {
        let now = self.machines[node].now(&self.agenda);
        if let Some(liar) = &mut self.machines[node].liar {
            let outputs = liar.handle(inputs, now);
            return outputs.into_iter().try_for_each(|output| self.obey(node, output));
        }
        let Some(process) = &mut self.machines[node].process else { return Ok(()) };
        process.handle(inputs, now);
        let mut vain = 0;
        let wake = loop {
            let worked = self.obey_all(node)?;
            let Some(process) = &mut self.machines[node].process else { return Ok(()) };
            match process.core.poll_timeout() {
                Some(at) if at <= now.tick => {
                    vain = if worked { vain } else { vain + 1 };
                    if vain > VAIN_WAKES_MAX {
                        return Err(self.violated(format!(
                            "(5) {} wants to be woken at {at:?}, for nothing",
                            self.machines[node].name
                        )));
                    }
                    process.core.handle_timeout(now);
                }
                other => break other,
            }
        };
        let (name, owed_max) = (self.machines[node].name.clone(), self.plan.bounds.owed as u64);
        let Some(process) = &mut self.machines[node].process else { return Ok(()) };
        if let Some(Tick(at)) = wake
            && process.wake.is_none_or(|known| at < known || known <= now.tick.0)
        {
            process.wake = Some(at);
            let life = process.life;
            self.agenda.at(at, SimEvent::Wake { node, life });
        }
        if self.plan.nodes <= 8 {
            let view = self.machines[node].process.as_ref().map(|process| process.core.view());
            let peers = view.iter().flat_map(|view| &view.peers);
            let most = peers.map(|peer| peer.status.received.owed).max().unwrap_or(0);
            if most > owed_max {
                return Err(self.violated(format!("(6) {name} owes {most}, more than {owed_max}")));
            }
        }
        Ok(())
    }

    /// Obeys all that the process asks; was there anything?
    fn obey_all(&mut self, node: usize) -> Result<bool, PromiseViolation> {
        let mut worked = false;
        loop {
            let Some(process) = &mut self.machines[node].process else { return Ok(worked) };
            let Some(output) = process.core.poll_output() else { return Ok(worked) };
            worked = true;
            match process.obey(output, &mut self.agenda, node, &mut self.workers) {
                Ok(Some(output)) => self.obey(node, output)?,
                Ok(None) => {}
                Err(error) => self.store_failed(node, &error)?,
            }
        }
    }

    fn carry(&mut self, node: usize, output: TransportOutput) -> Result<(), PromiseViolation> {
        let number = |peer: &PublisherName| {
            let found = self.machines.iter().position(|machine| machine.name == *peer);
            found.expect("bug: the core dials machines of this world")
        };
        let (network, agenda) = (&mut self.network, &mut self.agenda);
        match output {
            TransportOutput::Dial { peer } => network.dial(agenda, node, number(&peer)),
            TransportOutput::Disconnect { peer } => network.hang_up(agenda, node, number(&peer)),
            TransportOutput::OpenFeed { peer } => network.open_feed(agenda, node, number(&peer)),
            TransportOutput::Send { stream, frame, .. } => {
                if let Some(to) = self.network.other_end(stream) {
                    self.write_down(|| format!("{node}->{to} {stream:?} {frame:?}"));
                    if self.machines[node].liar.is_none() {
                        let frame = frame.meant();
                        self.witness.sends(node, to, frame).map_err(|what| self.violated(what))?;
                        if self.machines[to].liar.is_none() {
                            self.witness.traffic.count(frame);
                            self.witness.feeds.sends(node, to, stream, frame);
                        }
                    }
                }
                self.network.send(&mut self.agenda, stream, &frame);
            }
            TransportOutput::Resume { stream } => network.resume(agenda, stream),
            TransportOutput::CloseFeed { stream } => network.close(agenda, stream),
        }
        Ok(())
    }

    fn obey(&mut self, node: usize, output: Output) -> Result<(), PromiseViolation> {
        match output {
            Output::Transport(output) => self.carry(node, output)?,
            Output::Store(StoreOutput::Expire { now }) => self.expire(node, now)?,
            Output::Door(DoorOutput::Submitted { ticket, outcome }) => {
                self.witness.answers(ticket, &outcome).map_err(|what| self.violated(what))?;
            }
            Output::Door(DoorOutput::HandOff { consumer, entries }) => {
                let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
                self.write_down(|| format!("{node} hands off {seqs:?}"));
                let handed = self.witness.handed(node, &self.pipelines[node], &entries);
                handed.map_err(|what| self.violated(what))?;
                if self.pipelines[node].take(consumer, &entries) {
                    let (after, life) = (self.agenda.draw((1, 20)), self.machines[node].lives);
                    self.agenda.after(after, SimEvent::Consume { node, life });
                }
            }
            Output::Door(DoorOutput::ConsumerClosed { consumer, .. }) => {
                self.pipelines[node].closed(consumer);
                let life = self.machines[node].lives;
                self.agenda.after(100, SimEvent::Consume { node, life });
            }
            Output::Event(event) => {
                self.write_down(|| format!("{node} {event:?}"));
                self.witness.told(node, &event);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn write_down(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>7} {}", self.agenda.now, line()));
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
