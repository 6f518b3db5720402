//! The node's protocol as one state machine. Four kinds of method, in quinn's form: [`Node::handle_input`]
//! and [`Node::handle_timeout`] take what happened, with the time; [`Node::poll_output`] must be drained
//! after each; then [`Node::poll_timeout`] says when to call again at the latest. `now.tick` never goes back.

mod ancestors;
mod arrivals;
mod earlier;
mod inputs;
mod losses;
mod statements;
mod submissions;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::{CoreDigest, PublisherName};
use crate::limits::RECONNECT_FIRST_MS;
use crate::policy::TrustList;
use crate::protocol::context::CoreConfig;
use crate::protocol::handoff::ConsumerHandoffs;
use crate::protocol::io::{
    CommandRefused, ConsumerClosed, CoreCommand, DoorOutput, Event, Input, JournalReader, LossCause, Output,
    Read, RewindTo, Role, StoreFailure, StoreOutput, StoreQuestion, StreamId, Submitted, Ticket,
    TransportOutput,
};
use crate::protocol::link::PeerSession;
use crate::protocol::rules::without;
use crate::protocol::state::CoreState;
use crate::protocol::steady::ClockChange;
use crate::record::{Entry, JournalEnds, Ledger, Note};
use crate::time::{Now, Tick};
use crate::wire::{FaultCode, WireFrame};

/// How often expiry is asked of the store, and steady time written down, in ms.
const HOUSEKEEPING_MS: u64 = 10_000;
const STEADY_EVERY_MS: u64 = 60_000;
/// `seen_floor` rises in steps of this, in ms.
const FLOOR_STEP_MS: u64 = 60 * 60 * 1_000;

/// The protocol of one node: see the module for the order of its methods.
#[derive(Debug)]
pub struct Node {
    pub(super) core: CoreState,
    pub(super) links: BTreeMap<PublisherName, PeerSession>,
    streams: BTreeMap<StreamId, PublisherName>,
    pub(super) handoffs: ConsumerHandoffs,
    recalls: ancestors::AncestorFetches,
    /// Until then nothing is stored: the disk was full a moment ago.
    stalled_until: Option<Tick>,
    stopping: Stopping,
    next_housekeeping: Tick,
    next_steady: Tick,
}

/// Has the operator asked the node to stop?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Accepted envelopes are being written.
    Draining(Ticket),
    Done,
}

impl Node {
    /// A node as its journal left it. `ledger` and `ends` are what the store recovered.
    pub fn new(
        config: CoreConfig,
        trust: Arc<TrustList>,
        ledger: Ledger,
        ends: JournalEnds,
        now: Now,
    ) -> Self {
        let core = CoreState::new(config, trust, ledger, ends, now);
        let links = core
            .context
            .trust
            .peers()
            .map(|peer| (peer.name.clone(), PeerSession::new(peer.clone(), &core.context, &core.disk)))
            .collect();
        let mut node = Self {
            core,
            links,
            streams: BTreeMap::new(),
            handoffs: ConsumerHandoffs::default(),
            recalls: ancestors::AncestorFetches::default(),
            stalled_until: None,
            stopping: Stopping::No,
            next_housekeeping: now.tick,
            next_steady: now.tick,
        };
        node.handle_timeout(now);
        node
    }

    /// Takes one input.
    pub fn handle_input(&mut self, input: impl Into<Input>, now: Now) {
        self.set_now(now);
        self.on_input(input.into());
        self.pump();
    }

    /// Several inputs at once: the same as one after the other, but what follows from them is done once.
    pub fn handle_inputs(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now) {
        self.set_now(now);
        for input in inputs {
            self.on_input(input);
        }
        self.pump();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.set_now(now);
        self.pump();
    }

    /// Returns the next output; `None` once all are handed out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.traffic.next_output()
    }

    /// When [`Node::handle_timeout`] is to be called, if no input comes before.
    pub fn poll_timeout(&mut self) -> Option<Tick> {
        let core = &self.core;
        let stalled = self.stalled_until.is_some() || self.stopping != Stopping::No;
        let links =
            self.links.values_mut().filter_map(|link| link.timeout(stalled, &core.context, &core.disk)).min();
        let steady = self.next_housekeeping.max(self.stalled_until.unwrap_or_default());
        let due =
            [links, Some(steady), self.stalled_until, core.disk.appender.timeout(), self.handoffs.timeout()];
        due.into_iter().flatten().min()
    }

    /// The disk was full a moment ago.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_until.is_some()
    }

    fn set_now(&mut self, now: Now) {
        self.core.context.now = Now { tick: now.tick.max(self.core.context.now.tick), wall: now.wall };
        match self.core.context.clock.update(self.core.context.now) {
            Some(ClockChange::Off) => {
                let steady = self.core.context.steady();
                self.core.traffic.tell(Event::ClockOff { wall: now.wall, steady });
            }
            Some(ClockChange::Ok) => self.core.traffic.tell(Event::ClockOk),
            None => {}
        }
    }

    fn with_link(&mut self, peer: &PublisherName, act: impl FnOnce(&mut PeerSession, &mut CoreState)) {
        if let Some(link) = self.links.get_mut(peer) {
            act(link, &mut self.core);
        }
    }

    // --- streams ---

    fn on_feed_opened(&mut self, peer: PublisherName, stream: StreamId, role: Role) {
        if self.stopping != Stopping::No || !self.links.contains_key(&peer) {
            self.core.traffic.emit(TransportOutput::CloseFeed { stream });
            return;
        }
        // If a stream was closed here, no input reports it.
        let links = &self.links;
        self.streams.retain(|known, owner| links.get(owner).is_some_and(|link| link.knows(*known)));
        self.streams.insert(stream, peer.clone());
        self.with_link(&peer, |link, core| link.on_feed_opened(stream, role, core));
    }

    fn on_frames(&mut self, stream: StreamId, frames: Vec<WireFrame>) {
        if let Some(peer) = self.streams.get(&stream).cloned() {
            self.with_link(&peer, |link, core| link.on_frames(stream, frames, core));
        }
    }

    fn on_entries(&mut self, reader: JournalReader, mut read: Read) {
        self.on_broken(std::mem::take(&mut read.broken));
        match reader {
            JournalReader::Consumer(consumer) => self.handoffs.on_entries(consumer, read, &mut self.core),
            JournalReader::Feed(stream) => {
                let sender = self.streams.get(&stream).and_then(|peer| self.links.get_mut(peer));
                let sender = sender.and_then(|link| link.sender.as_mut());
                if let Some(sender) = sender.filter(|sender| sender.pipe.stream == stream) {
                    sender.on_entries(read, &self.core.context, &mut self.core.traffic);
                }
            }
        }
    }

    // --- disk ---

    fn on_stored(&mut self, ticket: Ticket, first_seq: u64, ends: JournalEnds) {
        let Some(batch) = self.core.disk.appender.answered(ticket) else { return };
        // First: a carrier may make up for a loss that is noted in the same batch.
        for note in &batch.notes {
            self.core.disk.durable.apply(note);
        }
        for (seq, carrier) in (first_seq..).zip(&batch.carriers) {
            if let Some((peer, stream)) = &carrier.source {
                self.with_link(peer, |link, _| link.on_came(seq, *stream));
            }
            self.core.traffic.intake.stored(carrier.key);
            self.core.disk.ledger.losses.stored(carrier.key, seq);
            self.core.disk.durable.losses.stored(carrier.key, seq);
        }
        self.core.disk.ends = ends;
        let now = self.core.context.tick();
        for link in self.links.values_mut() {
            if let Some(receiver) = &mut link.receiver {
                receiver.on_stored(&link.peer.name, &self.core.disk.durable, now);
            }
        }
        for (ticket, duplicate) in batch.submissions {
            let outcome = if duplicate { Submitted::Duplicate } else { Submitted::Accepted };
            self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome });
        }
        for consumer in batch.closing {
            self.core.traffic.emit(DoorOutput::ConsumerClosed { consumer, why: ConsumerClosed::Synced });
        }
        for ticket in batch.commands {
            self.core.traffic.emit(Output::CommandDone { ticket, result: Ok(()) });
        }
        self.recall_parked();
    }

    /// Nothing that was handed over since is in the journal: everything starts again from what is durable.
    fn on_not_stored(&mut self, ticket: Ticket, failure: StoreFailure) {
        // Batches behind a failed one are dropped with it; their own answers come later and say nothing new.
        let Some(first) = self.core.disk.appender.answered(ticket) else { return };
        self.core.traffic.emit(StoreOutput::GoOn);
        let (outcome, fault) = match failure {
            StoreFailure::DiskFull => (Submitted::DiskFull, FaultCode::DiskFull),
            StoreFailure::Stopping => (Submitted::Stopping, FaultCode::Stopping),
        };
        for batch in std::iter::once(first).chain(self.core.disk.appender.drop_all()) {
            for (ticket, _) in batch.submissions {
                self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome: outcome.clone() });
            }
            for consumer in batch.closing {
                self.core
                    .traffic
                    .emit(DoorOutput::ConsumerClosed { consumer, why: ConsumerClosed::Stopping });
            }
            for ticket in batch.commands {
                let result = Err(CommandRefused::NotStored(failure));
                self.core.traffic.emit(Output::CommandDone { ticket, result });
            }
        }
        for link in self.links.values_mut() {
            link.close_receiver(fault, &mut self.core);
        }
        self.core.traffic.intake.drop_all();
        self.recall_parked();
        let lost = std::mem::replace(&mut self.core.disk.ledger, self.core.disk.durable.clone());
        self.note_statements_again(&lost);
        self.on_broken(lost.losses.broken().collect());
        self.handoffs.on_not_stored(&mut self.core);
        self.stalled_until = Some(self.core.context.tick().plus_ms(RECONNECT_FIRST_MS));
        self.core.traffic.tell(Event::NotStored { failure });
    }

    fn on_retired(&mut self, ends: JournalEnds, missing: Vec<(crate::record::ConsumerName, u64)>) {
        self.core.disk.ends =
            JournalEnds { last: self.core.disk.ends.last, newest: self.core.disk.ends.newest, ..ends };
        let floor = ends.floor.seq;
        self.core.disk.ledger.losses.retired(floor);
        self.core.disk.durable.losses.retired(floor);
        for (consumer, count) in missing {
            self.core.disk.gave_up(&consumer, floor, count);
            if count > 0 {
                let cause = LossCause::Retention;
                self.core.traffic.tell(Event::ConsumerMissing { consumer, count, cause });
            }
        }
    }

    // --- operator ---

    /// Takes the trust list of the peer files, and applies the known key statements to it.
    fn on_trust(&mut self, trust: Arc<TrustList>) {
        let trust = Arc::new(Arc::unwrap_or_clone(trust).with_statements(&self.core.disk.ledger.statements));
        let changed = trust.digest() != self.core.context.trust.digest();
        self.core.context.trust = trust.clone();
        let gone: Vec<PublisherName> = self
            .links
            .iter()
            .filter(|(name, link)| trust.peer(name).is_none_or(|peer| peer.key != link.peer.key))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.cut_off(&name);
            self.links.remove(&name);
        }
        for peer in trust.peers() {
            match self.links.get_mut(&peer.name) {
                None => {
                    let link = PeerSession::new(peer.clone(), &self.core.context, &self.core.disk);
                    self.links.insert(peer.name.clone(), link);
                }
                Some(link) => {
                    link.update(peer.clone(), &self.core.context);
                    if peer.is_cut() {
                        self.cut_off(&peer.name);
                    } else if changed {
                        link.on_trust_changed(&mut self.core);
                        link.retry_unrevoked(&mut self.core);
                    }
                }
            }
        }
    }

    fn cut_off(&mut self, peer: &PublisherName) {
        self.with_link(peer, |link, core| link.close_all(Some(FaultCode::Paused), core));
        self.core.traffic.emit(TransportOutput::Disconnect { peer: peer.clone() });
        self.streams.retain(|_, owner| owner != peer);
    }

    /// A command is answered when its notes are durable.
    fn on_command(&mut self, command: CoreCommand) {
        let (ticket, result) = match command {
            CoreCommand::Rewind { ticket, peer, to } => {
                let to = match to {
                    RewindTo::Earliest => 0,
                    RewindTo::Seq(seq) => seq,
                };
                (ticket, self.read_again(&peer, to))
            }
            CoreCommand::Repair { ticket, peer } => (ticket, self.read_again(&peer, 0)),
            CoreCommand::RemoveConsumer { ticket, name } => {
                (ticket, self.handoffs.remove(&name, &mut self.core))
            }
            CoreCommand::RewindConsumer { ticket, name, to } => {
                (ticket, self.handoffs.rewind(&name, to, &mut self.core))
            }
            CoreCommand::PlaceConsumer { ticket, name, to } => {
                (ticket, ConsumerHandoffs::place(&name, to, &mut self.core))
            }
            CoreCommand::AcceptClock { ticket } => {
                self.core.context.clock.accept(self.core.context.now);
                let steady = self.core.context.steady();
                self.core.note(Note::Steady(steady));
                self.core.traffic.tell(Event::ClockOk);
                (ticket, Ok(()))
            }
            CoreCommand::Decide { ticket, publisher, key, release } => {
                match self.decide_revoked(&publisher, key, release) {
                    0 => (ticket, Err(CommandRefused::NothingWaits(publisher))),
                    _ => (ticket, Ok(())),
                }
            }
            CoreCommand::Stop { ticket } => return self.stop(ticket),
        };
        match result {
            Ok(()) => self.core.disk.appender.answer_command(ticket),
            Err(_) => self.core.traffic.emit(Output::CommandDone { ticket, result }),
        }
    }

    fn read_again(&mut self, peer: &PublisherName, to: u64) -> Result<(), CommandRefused> {
        let link = self.links.get_mut(peer).ok_or_else(|| CommandRefused::UnknownPeer(peer.clone()))?;
        link.subscribe_again(Some(to), &mut self.core);
        Ok(())
    }

    fn stop(&mut self, ticket: Ticket) {
        self.stopping = Stopping::Draining(ticket);
        for link in self.links.values_mut() {
            link.close_all(Some(FaultCode::Stopping), &mut self.core);
        }
        self.handoffs.close_all(ConsumerClosed::Stopping, &mut self.core.traffic);
    }

    // --- what follows ---

    fn pump(&mut self) {
        if self.stalled_until.is_some_and(|until| self.core.context.tick() >= until) {
            self.stalled_until = None;
        }
        let stalled = self.stalled_until.is_some() || self.stopping != Stopping::No;
        self.follow_clock_back();
        self.spread_statements();
        for link in self.links.values_mut() {
            link.pump(stalled, &mut self.core);
        }
        if self.stopping == Stopping::No {
            self.handoffs.pump(&self.core.context, &self.core.disk, &mut self.core.traffic);
        }
        self.keep_house();
        self.ask_outside();
        self.core.flush();
        if let Stopping::Draining(ticket) = self.stopping
            && self.core.disk.appender.is_idle()
            && self.core.traffic.intake.is_idle()
            && self.recalls.is_idle()
        {
            self.stopping = Stopping::Done;
            self.core.traffic.emit(Output::CommandDone { ticket, result: Ok(()) });
        }
    }

    /// Hands what gathered in the intake to the seen set and the workers.
    fn ask_outside(&mut self) {
        let (lookup, check) = (self.core.traffic.ticket(), self.core.traffic.ticket());
        if let Some((ticket, keys)) = self.core.traffic.intake.next_lookup(|| lookup) {
            self.core.traffic.emit(StoreQuestion::LookUp { ticket, keys });
        }
        if let Some((ticket, envelopes)) = self.core.traffic.intake.next_checks(|| check) {
            self.core.traffic.emit(Output::Verify { ticket, envelopes });
        }
    }

    /// Expiry, steady time and `seen_floor`.
    fn keep_house(&mut self) {
        let now = self.core.context.tick();
        if now < self.next_housekeeping || self.stalled_until.is_some() {
            return;
        }
        self.next_housekeeping = now.plus_ms(HOUSEKEEPING_MS);
        self.core.traffic.intake.flights.forget_old(now);
        let trusted = self.core.context.clock.trusted(self.core.context.now);
        self.core.traffic.emit(StoreOutput::Expire { now: trusted });
        let Some(steady) = trusted else { return };
        if now >= self.next_steady {
            self.next_steady = now.plus_ms(STEADY_EVERY_MS);
            self.core.note(Note::Steady(steady));
        }
        let floor = steady.minus_ms(self.core.context.config.seen_keep_ms);
        if self.core.disk.ledger.floor.is_none_or(|known| floor >= known.plus_ms(FLOOR_STEP_MS)) {
            self.core.note(Note::Floor(floor));
        }
    }
}
