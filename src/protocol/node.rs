//! The node's protocol as one state machine. Four kinds of method, in quinn's form: [`Node::handle_input`]
//! and [`Node::handle_timeout`] take what happened, with the time; [`Node::poll_output`] must be drained
//! after each; then [`Node::poll_timeout`] says when to call again at the latest. `now.tick` never goes back.

mod ancestors;
mod earlier;
mod losses;
pub(super) mod statements;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{EQUIVOCATION_PROOFS_MAX, RECONNECT_FIRST_MS};
use crate::policy::{self, TrustList};
use crate::protocol::context::{CoreConfig, CoreContext};
use crate::protocol::handoff::ConsumerHandoffs;
use crate::protocol::intake::{self, EnvelopeArrival, EnvelopeOffer, RivalComparison, SeenQuestion, Verdict};
use crate::protocol::io::{
    ConsumerClosed, CoreCommand, EnvelopeOutcome, Event, Input, JournalReader, LossCause, Output, Read,
    RewindTo, Role, StoreFailure, StreamId, Submitted, Ticket,
};
use crate::protocol::link::PeerSession;
use crate::protocol::rules::ProtocolRule;
use crate::protocol::steady::ClockChange;
use crate::record::{Entry, JournalEnds, Ledger, NewCarrier, Note};
use crate::time::{Now, Tick};
use crate::wire::{FaultCode, VerdictCode, WireFrame};

/// How often expiry is asked of the store, and steady time written down, in ms.
const HOUSEKEEPING_MS: u64 = 10_000;
const STEADY_EVERY_MS: u64 = 60_000;
/// `seen_floor` rises in steps of this, in ms.
const FLOOR_STEP_MS: u64 = 60 * 60 * 1_000;

#[derive(Debug)]
pub struct Node {
    pub(super) ground: CoreContext,
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
        let ground = CoreContext::new(config, trust, ledger, ends, now);
        let links = ground
            .trust
            .peers()
            .map(|peer| (peer.name.clone(), PeerSession::new(peer.clone(), &ground)))
            .collect();
        let mut node = Self {
            ground,
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

    pub fn handle_input(&mut self, input: Input, now: Now) {
        self.set_now(now);
        self.on_input(input);
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

    pub fn handle_timeout(&mut self, now: Now) {
        self.set_now(now);
        self.pump();
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.ground.next_output()
    }

    /// When [`Node::handle_timeout`] is to be called, if no input comes before.
    pub fn poll_timeout(&mut self) -> Option<Tick> {
        let ground = &self.ground;
        let stalled = self.stalled_until.is_some() || self.stopping != Stopping::No;
        let links = self.links.values_mut().filter_map(|link| link.timeout(stalled, ground)).min();
        let steady = self.next_housekeeping.max(self.stalled_until.unwrap_or_default());
        let due =
            [links, Some(steady), self.stalled_until, ground.appender.timeout(), self.handoffs.timeout()];
        due.into_iter().flatten().min()
    }

    /// The disk was full a moment ago.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_until.is_some()
    }

    fn set_now(&mut self, now: Now) {
        self.ground.now = Now { tick: now.tick.max(self.ground.now.tick), wall: now.wall };
        match self.ground.clock.update(self.ground.now) {
            Some(ClockChange::Off) => {
                let steady = self.ground.steady();
                self.ground.tell(Event::ClockOff { wall: now.wall, steady });
            }
            Some(ClockChange::Ok) => self.ground.tell(Event::ClockOk),
            None => {}
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Connected { peer, address } => {
                self.with_link(&peer, |link, ground| link.on_connected(address, ground))
            }
            Input::Disconnected { peer, cause } => {
                self.with_link(&peer, |link, ground| link.on_disconnected(cause, ground));
                self.streams.retain(|_, owner| *owner != peer);
            }
            Input::DialFailed { peer, failure } => {
                self.with_link(&peer, |link, ground| link.on_dial_failed(failure, ground))
            }
            Input::FeedOpened { peer, stream, role } => self.on_feed_opened(peer, stream, role),
            Input::FeedNotOpened { peer, cause } => {
                self.with_link(&peer, |link, ground| link.on_feed_not_opened(cause, ground));
            }
            Input::Frames { stream, frames } => self.on_frames(stream, frames),
            Input::Sent { stream, bytes } => {
                if let Some(link) = self.streams.get(&stream).and_then(|peer| self.links.get_mut(peer)) {
                    link.on_sent(stream, bytes);
                }
            }
            Input::FeedClosed { stream, cause } => {
                if let Some(peer) = self.streams.remove(&stream) {
                    self.with_link(&peer, |link, ground| link.on_feed_closed(stream, &cause, ground));
                }
            }
            Input::Stored { ticket, first_seq, ends } => self.on_stored(ticket, first_seq, ends),
            Input::NotStored { ticket, failure } => self.on_not_stored(ticket, failure),
            Input::Known { ticket, digests, floor } => {
                self.ground.heed_floor(floor);
                self.on_known(ticket, digests);
            }
            Input::Entries { reader, read } => self.on_entries(reader, read),
            Input::Broken(broken) => self.on_broken(broken),
            Input::Fetched { ticket, entry } => {
                let entry = self.on_recalled(ticket, entry);
                self.on_fetched(ticket, entry);
            }
            Input::Verified { ticket, results } => self.on_verified(ticket, results),
            Input::MarksChecked { ticket, agrees } => {
                for link in self.links.values_mut() {
                    link.on_marks_checked(ticket, agrees, &mut self.ground);
                }
            }
            Input::Retired { ends, missing } => self.on_retired(ends, missing),
            Input::Submit { ticket, envelope } => {
                self.on_submit(ticket, SeenQuestion::Submission { ticket, envelope })
            }
            Input::SubmitReturned { ticket, id } => {
                self.on_submit(ticket, SeenQuestion::Returned { ticket, key: id.key() });
            }
            Input::Recall { ticket, id } => self.ground.intake.ask(SeenQuestion::Recall { ticket, id }),
            Input::ConsumerOpened { consumer, request } => {
                self.handoffs.on_opened(consumer, request, &mut self.ground)
            }
            Input::ConsumerOpenedAt { consumer, request, holds } => {
                self.handoffs.on_opened_at(consumer, request, holds, &mut self.ground);
            }
            Input::ConsumerReady { consumer } => self.handoffs.on_ready(consumer, &mut self.ground),
            Input::ConsumerAcked { consumer, seq } => self.handoffs.on_acked(consumer, seq, &mut self.ground),
            Input::ConsumerFinished { consumer } => self.handoffs.on_finished(consumer, &mut self.ground),
            Input::ConsumerGone { consumer } => self.handoffs.on_gone(consumer, &mut self.ground),
            Input::AddressesChanged { peer } => self.with_link(&peer, PeerSession::on_addresses_changed),
            Input::SeenKept { seen_keep_ms } => self.ground.config.seen_keep_ms = seen_keep_ms,
            Input::Trust(trust) => self.on_trust(trust),
            Input::OwnStatement(statement) => self.ground.take_statement(statement),
            Input::Command(command) => self.on_command(command),
        }
    }

    fn with_link(&mut self, peer: &PublisherName, act: impl FnOnce(&mut PeerSession, &mut CoreContext)) {
        if let Some(link) = self.links.get_mut(peer) {
            act(link, &mut self.ground);
        }
    }

    // --- streams ---

    fn on_feed_opened(&mut self, peer: PublisherName, stream: StreamId, role: Role) {
        if self.stopping != Stopping::No || !self.links.contains_key(&peer) {
            self.ground.emit(Output::CloseFeed { stream });
            return;
        }
        // If a stream was closed here, no input reports it.
        let links = &self.links;
        self.streams.retain(|known, owner| links.get(owner).is_some_and(|link| link.knows(*known)));
        self.streams.insert(stream, peer.clone());
        self.with_link(&peer, |link, ground| link.on_feed_opened(stream, role, ground));
    }

    fn on_frames(&mut self, stream: StreamId, frames: Vec<WireFrame>) {
        if let Some(peer) = self.streams.get(&stream).cloned() {
            self.with_link(&peer, |link, ground| link.on_frames(stream, frames, ground));
        }
    }

    fn on_entries(&mut self, reader: JournalReader, mut read: Read) {
        self.on_broken(std::mem::take(&mut read.broken));
        match reader {
            JournalReader::Consumer(consumer) => self.handoffs.on_entries(consumer, read, &mut self.ground),
            JournalReader::Feed(stream) => {
                let sender = self.streams.get(&stream).and_then(|peer| self.links.get_mut(peer));
                let sender = sender.and_then(|link| link.sender.as_mut());
                if let Some(sender) = sender.filter(|sender| sender.pipe.stream == stream) {
                    sender.on_entries(read, &mut self.ground);
                }
            }
        }
    }

    // --- disk ---

    fn on_stored(&mut self, ticket: Ticket, first_seq: u64, ends: JournalEnds) {
        let Some(batch) = self.ground.appender.answered(ticket) else { return };
        // First: a carrier may make up for a loss that is noted in the same batch.
        for note in &batch.notes {
            self.ground.durable.apply(note);
        }
        for (seq, carrier) in (first_seq..).zip(&batch.carriers) {
            if let Some((peer, stream)) = &carrier.source {
                self.with_link(peer, |link, _| link.on_came(seq, *stream));
            }
            self.ground.intake.stored(carrier.key);
            self.ground.ledger.losses.stored(carrier.key, seq);
            self.ground.durable.losses.stored(carrier.key, seq);
        }
        self.ground.ends = ends;
        let now = self.ground.tick();
        for link in self.links.values_mut() {
            if let Some(receiver) = &mut link.receiver {
                receiver.on_stored(&link.peer.name, &self.ground.durable, now);
            }
        }
        for (ticket, duplicate) in batch.submissions {
            let outcome = if duplicate { Submitted::Duplicate } else { Submitted::Accepted };
            self.ground.emit(Output::Submitted { ticket, outcome });
        }
        for consumer in batch.closing {
            self.ground.emit(Output::ConsumerClosed { consumer, why: ConsumerClosed::Synced });
        }
        for ticket in batch.commands {
            self.ground.emit(Output::CommandDone { ticket, result: Ok(()) });
        }
        self.recall_parked();
    }

    /// Nothing that was handed over since is in the journal: everything starts again from what is durable.
    fn on_not_stored(&mut self, ticket: Ticket, failure: StoreFailure) {
        // Batches behind a failed one are dropped with it; their own answers come later and say nothing new.
        let Some(first) = self.ground.appender.answered(ticket) else { return };
        let (outcome, fault) = match failure {
            StoreFailure::DiskFull => (Submitted::DiskFull, FaultCode::DiskFull),
            StoreFailure::Stopping => (Submitted::Stopping, FaultCode::Stopping),
        };
        for batch in std::iter::once(first).chain(self.ground.appender.drop_all()) {
            for (ticket, _) in batch.submissions {
                self.ground.emit(Output::Submitted { ticket, outcome: outcome.clone() });
            }
            for consumer in batch.closing {
                self.ground.emit(Output::ConsumerClosed { consumer, why: ConsumerClosed::Stopping });
            }
            for ticket in batch.commands {
                let result = Err(format!("nothing was changed: {failure}"));
                self.ground.emit(Output::CommandDone { ticket, result });
            }
        }
        for link in self.links.values_mut() {
            link.close_receiver(fault, &mut self.ground);
        }
        self.ground.intake.drop_all();
        self.recall_parked();
        let lost = std::mem::replace(&mut self.ground.ledger, self.ground.durable.clone());
        self.ground.note_statements_again(&lost);
        self.on_broken(lost.losses.broken().collect());
        self.handoffs.on_not_stored(&mut self.ground);
        self.stalled_until = Some(self.ground.tick().plus_ms(RECONNECT_FIRST_MS));
        self.ground.tell(Event::NotStored { failure });
    }

    fn on_retired(&mut self, ends: JournalEnds, missing: Vec<(crate::record::ConsumerName, u64)>) {
        self.ground.ends =
            JournalEnds { last: self.ground.ends.last, newest: self.ground.ends.newest, ..ends };
        let floor = ends.floor.seq;
        self.ground.ledger.losses.retired(floor);
        self.ground.durable.losses.retired(floor);
        for (consumer, count) in missing {
            self.ground.gave_up(&consumer, floor, count);
            if count > 0 {
                let cause = LossCause::Retention;
                self.ground.tell(Event::ConsumerMissing { consumer, count, cause });
            }
        }
    }

    // --- operator ---

    /// Takes the trust list of the peer files, and applies the known key statements to it.
    fn on_trust(&mut self, trust: Arc<TrustList>) {
        let trust = Arc::new(Arc::unwrap_or_clone(trust).with_statements(&self.ground.ledger.statements));
        let changed = trust.digest() != self.ground.trust.digest();
        self.ground.trust = trust.clone();
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
                    let link = PeerSession::new(peer.clone(), &self.ground);
                    self.links.insert(peer.name.clone(), link);
                }
                Some(link) => {
                    link.update(peer.clone(), &self.ground);
                    if peer.is_cut() {
                        self.cut_off(&peer.name);
                    } else if changed {
                        link.on_trust_changed(&mut self.ground);
                        link.retry_unrevoked(&mut self.ground);
                    }
                }
            }
        }
    }

    fn cut_off(&mut self, peer: &PublisherName) {
        self.with_link(peer, |link, ground| link.close_all(Some(FaultCode::Paused), ground));
        self.ground.emit(Output::Disconnect { peer: peer.clone() });
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
                (ticket, self.handoffs.remove(&name, &mut self.ground))
            }
            CoreCommand::RewindConsumer { ticket, name, to } => {
                (ticket, self.handoffs.rewind(&name, to, &mut self.ground))
            }
            CoreCommand::PlaceConsumer { ticket, name, seq } => {
                (ticket, self.handoffs.place(&name, seq, &mut self.ground))
            }
            CoreCommand::AcceptClock { ticket } => {
                self.ground.clock.accept(self.ground.now);
                let steady = self.ground.steady();
                self.ground.note(Note::Steady(steady));
                self.ground.tell(Event::ClockOk);
                (ticket, Ok(()))
            }
            CoreCommand::Decide { ticket, publisher, key, release } => {
                match self.decide_revoked(&publisher, key, release) {
                    0 => (ticket, Err(format!("nothing of {publisher} waits for a decision"))),
                    _ => (ticket, Ok(())),
                }
            }
            CoreCommand::Stop { ticket } => return self.stop(ticket),
        };
        match result {
            Ok(()) => self.ground.appender.answer_command(ticket),
            Err(_) => self.ground.emit(Output::CommandDone { ticket, result }),
        }
    }

    fn read_again(&mut self, peer: &PublisherName, to: u64) -> Result<(), String> {
        let link = self.links.get_mut(peer).ok_or_else(|| format!("no peer {peer}"))?;
        link.subscribe_again(Some(to), false, &mut self.ground);
        Ok(())
    }

    fn stop(&mut self, ticket: Ticket) {
        self.stopping = Stopping::Draining(ticket);
        for link in self.links.values_mut() {
            link.close_all(Some(FaultCode::Stopping), &mut self.ground);
        }
        self.handoffs.close_all(ConsumerClosed::Stopping, &mut self.ground);
    }

    // --- what follows ---

    fn pump(&mut self) {
        if self.stalled_until.is_some_and(|until| self.ground.tick() >= until) {
            self.stalled_until = None;
        }
        let stalled = self.stalled_until.is_some() || self.stopping != Stopping::No;
        self.follow_clock_back();
        self.spread_statements();
        for link in self.links.values_mut() {
            link.pump(stalled, &mut self.ground);
        }
        if self.stopping == Stopping::No {
            self.handoffs.pump(&mut self.ground);
        }
        self.keep_house();
        self.ask_outside();
        self.ground.flush();
        if let Stopping::Draining(ticket) = self.stopping
            && self.ground.appender.is_idle()
            && self.ground.intake.is_idle()
            && self.recalls.is_idle()
        {
            self.stopping = Stopping::Done;
            self.ground.emit(Output::CommandDone { ticket, result: Ok(()) });
        }
    }

    /// Hands what gathered in the intake to the seen set and the workers.
    fn ask_outside(&mut self) {
        let (lookup, check) = (self.ground.ticket(), self.ground.ticket());
        if let Some((ticket, keys)) = self.ground.intake.next_lookup(|| lookup) {
            self.ground.emit(Output::LookUp { ticket, keys });
        }
        if let Some((ticket, envelopes)) = self.ground.intake.next_checks(|| check) {
            self.ground.emit(Output::Verify { ticket, envelopes });
        }
    }

    /// Expiry, steady time and `seen_floor`.
    fn keep_house(&mut self) {
        let now = self.ground.tick();
        if now < self.next_housekeeping || self.stalled_until.is_some() {
            return;
        }
        self.next_housekeeping = now.plus_ms(HOUSEKEEPING_MS);
        self.ground.intake.flights.forget_old(now);
        let trusted = self.ground.clock.trusted(self.ground.now);
        self.ground.emit(Output::Expire { now: trusted });
        let Some(steady) = trusted else { return };
        if now >= self.next_steady {
            self.next_steady = now.plus_ms(STEADY_EVERY_MS);
            self.ground.note(Note::Steady(steady));
        }
        let floor = steady.minus_ms(self.ground.config.seen_keep_ms);
        if self.ground.ledger.floor.is_none_or(|known| floor >= known.plus_ms(FLOOR_STEP_MS)) {
            self.ground.note(Note::Floor(floor));
        }
    }
}
