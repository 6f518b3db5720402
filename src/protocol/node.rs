//! The node's protocol as one state machine. Four kinds of method, in quinn's form: [`Node::handle_input`]
//! and [`Node::handle_timeout`] take what happened, with the time; [`Node::poll_output`] must be drained
//! after each; then [`Node::poll_timeout`] says when to call again at the latest. `now.tick` never goes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::{EventKey, PublisherName, ShortDigest};
use crate::limits::{EQUIVOCATION_PROOFS_MAX, RECONNECT_FIRST_MS};
use crate::policy::TrustList;
use crate::protocol::ground::{Ground, NodeConfig};
use crate::protocol::handoff::Handoffs;
use crate::protocol::intake::{self, Arrival, Comparison, Offer, Question, Verdict};
use crate::protocol::io::{
    Command, ConsumerClosed, Event, Input, Outcome, Output, Read, Reader, RewindTo, Role, StoreFailure,
    StreamId, Submitted, Ticket,
};
use crate::protocol::link::Link;
use crate::protocol::rules::Rule;
use crate::protocol::steady::ClockChange;
use crate::record::{Entry, JournalEnds, Ledger, NewCarrier, Note};
use crate::time::{Now, Tick};
use crate::wire::{FaultCode, Frame, VerdictCode};

/// How often expiry is asked of the store, and steady time written down, in ms.
const HOUSEKEEPING_MS: u64 = 10_000;
const STEADY_EVERY_MS: u64 = 60_000;
/// `seen_floor` rises in steps of this, in ms.
const FLOOR_STEP_MS: u64 = 60 * 60 * 1_000;

#[derive(Debug)]
pub struct Node {
    pub(super) ground: Ground,
    pub(super) links: BTreeMap<PublisherName, Link>,
    streams: BTreeMap<StreamId, PublisherName>,
    pub(super) handoffs: Handoffs,
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
    /// What is accepted is being written.
    Draining(Ticket),
    Done,
}

impl Node {
    /// A node as its journal left it. `ledger` and `ends` are what the store recovered.
    pub fn new(
        config: NodeConfig,
        trust: Arc<TrustList>,
        ledger: Ledger,
        ends: JournalEnds,
        now: Now,
    ) -> Self {
        let ground = Ground::new(config, trust.clone(), ledger, ends, now);
        let links = trust.peers().map(|peer| (peer.name.clone(), Link::new(peer.clone(), &ground))).collect();
        let mut node = Self {
            ground,
            links,
            streams: BTreeMap::new(),
            handoffs: Handoffs::default(),
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
        let links = self.links.values_mut().filter_map(|link| link.timeout(ground)).min();
        let steady = Some(self.next_housekeeping);
        let due = [links, steady, self.stalled_until, ground.appender.timeout(), self.handoffs.timeout()];
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
            Input::Known { ticket, digests } => self.on_known(ticket, digests),
            Input::Entries { reader, read } => self.on_entries(reader, read),
            Input::Fetched { ticket, entry } => self.on_fetched(ticket, entry),
            Input::Verified { ticket, results } => self.on_verified(ticket, results),
            Input::MarksChecked { ticket, agrees } => {
                for link in self.links.values_mut() {
                    if let Some(sender) = &mut link.sender {
                        sender.on_marks_checked(ticket, agrees, &mut self.ground);
                    }
                }
            }
            Input::Retired { ends, missing } => self.on_retired(ends, missing),
            Input::Submit { ticket, envelope } => {
                self.on_submit(ticket, Question::Submission { ticket, envelope })
            }
            Input::SubmitReturned { ticket, id } => {
                self.on_submit(ticket, Question::Returned { ticket, key: id.key() });
            }
            Input::ConsumerOpened { consumer, request } => {
                self.handoffs.on_opened(consumer, request, &mut self.ground)
            }
            Input::ConsumerReady { consumer } => self.handoffs.on_ready(consumer, &mut self.ground),
            Input::ConsumerAcked { consumer, seq } => self.handoffs.on_acked(consumer, seq, &mut self.ground),
            Input::ConsumerFinished { consumer } => self.handoffs.on_finished(consumer, &mut self.ground),
            Input::ConsumerGone { consumer } => self.handoffs.on_gone(consumer, &mut self.ground),
            Input::Trust(trust) => self.on_trust(trust),
            Input::Command(command) => self.on_command(command),
        }
    }

    fn with_link(&mut self, peer: &PublisherName, act: impl FnOnce(&mut Link, &mut Ground)) {
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
        self.streams.insert(stream, peer.clone());
        self.with_link(&peer, |link, ground| link.on_feed_opened(stream, role, ground));
    }

    fn on_frames(&mut self, stream: StreamId, frames: Vec<Frame>) {
        if let Some(peer) = self.streams.get(&stream).cloned() {
            self.with_link(&peer, |link, ground| link.on_frames(stream, frames, ground));
        }
    }

    fn on_entries(&mut self, reader: Reader, read: Read) {
        match reader {
            Reader::Consumer(consumer) => self.handoffs.on_entries(consumer, read, &mut self.ground),
            Reader::Feed(stream) => {
                let sender = self.streams.get(&stream).and_then(|peer| self.links.get_mut(peer));
                let sender = sender.and_then(|link| link.sender.as_mut());
                if let Some(sender) = sender.filter(|sender| sender.pipe.stream == stream) {
                    sender.on_entries(read, &mut self.ground);
                }
            }
        }
    }

    // --- intake ---

    fn on_known(&mut self, ticket: Ticket, digests: Vec<Option<ShortDigest>>) {
        let questions = self.ground.intake.answered(ticket);
        for (question, known) in questions.into_iter().zip(digests) {
            match question {
                Question::Arrival(arrival) => self.on_known_arrival(arrival, known),
                Question::Offer(offer) => self.on_known_offer(*offer, known),
                Question::Submission { ticket, envelope } => {
                    let key = envelope.envelope().key();
                    self.on_known_submission(ticket, envelope, self.held(key, known));
                }
                Question::Returned { ticket, key } => match self.held(key, known) {
                    Some(_) => self.answer_duplicate(ticket, key),
                    None => self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Foreign }),
                },
            }
        }
        self.ground.intake.forget_stale();
    }

    /// What this node holds, or has accepted a moment ago, under `key`.
    fn held(&self, key: EventKey, known: Option<ShortDigest>) -> Option<ShortDigest> {
        self.ground.intake.fresh(key).map(|envelope| envelope.digest().short()).or(known)
    }

    fn on_known_arrival(&mut self, arrival: Box<Arrival>, known: Option<ShortDigest>) {
        let envelope = arrival.envelope.envelope();
        let (key, digest) = (envelope.key(), envelope.digest().short());
        match self.held(key, known) {
            Some(held) if held == digest => self.conclude(&arrival, Verdict::Refused),
            Some(_) if self.is_equivocation(arrival.envelope.envelope().publisher(), key, digest) => {
                self.conclude(&arrival, Verdict::rejected(VerdictCode::Equivocation));
            }
            _ => self.examine(arrival),
        }
    }

    /// Trust and time, before the signature.
    fn examine(&mut self, arrival: Box<Arrival>) {
        let envelope = arrival.envelope.envelope();
        match intake::trusted_key(envelope, &self.ground) {
            Err(verdict) => self.conclude(&arrival, verdict),
            Ok(key) => match intake::judge_time(envelope, &self.ground) {
                Some(verdict) => self.conclude(&arrival, verdict),
                None => self.ground.intake.check(arrival, key),
            },
        }
    }

    fn on_known_offer(&mut self, offer: Offer, known: Option<ShortDigest>) {
        let Offer { peer, stream, seq, key, digest, publisher } = offer;
        let held = self.held(key, known);
        let lost = held.is_some_and(|held| held != digest) && self.is_equivocation(&publisher, key, digest);
        let now = self.ground.tick();
        let elsewhere = self.ground.intake.in_flight_elsewhere(key, stream, now);
        let Some(link) = self.links.get_mut(&peer).filter(|link| link.is_current(stream)) else { return };
        let own = publisher == *self.ground.own_name();
        let home = own || publisher == peer || link.peer.aliases.contains(&publisher);
        let verdict = match held {
            Some(held) if held == digest => Some(Verdict::Refused),
            Some(_) if lost => Some(Verdict::rejected(VerdictCode::Equivocation)),
            None if !self.ground.trust.publisher(&publisher)
                || (own && !self.ground.on(Rule::OwnTrusted)) =>
            {
                let detail = publisher.to_string();
                Some(Verdict::Rejected { code: VerdictCode::UnknownPublisher, detail })
            }
            None if !home && !link.peer.receive.relay => {
                Some(Verdict::rejected(VerdictCode::RelayNotAllowed))
            }
            None if elsewhere && !self.ground.on(Rule::HeldNotInFlight) => Some(Verdict::Refused),
            _ => None,
        };
        match verdict {
            Some(verdict) => link.conclude(seq, key, &verdict, &mut self.ground),
            None => {
                if let Some(receiver) = &mut link.receiver {
                    receiver.offered(&peer, seq, key, publisher, &mut self.ground);
                }
            }
        }
    }

    fn is_equivocation(&self, publisher: &PublisherName, key: EventKey, digest: ShortDigest) -> bool {
        let known = self.ground.ledger.equivocations.get(publisher);
        known.is_some_and(|known| known.len() >= EQUIVOCATION_PROOFS_MAX || known.contains(&(key, digest)))
    }

    fn on_verified(
        &mut self,
        ticket: Ticket,
        results: Vec<Result<crate::envelope::VerifiedEnvelope, VerdictCode>>,
    ) {
        let arrivals = self.ground.intake.verified(ticket);
        for (arrival, result) in arrivals.into_iter().zip(results) {
            match result {
                Err(code) => {
                    let detail = arrival.envelope.envelope().id().to_string();
                    self.conclude(&arrival, Verdict::Rejected { code, detail });
                }
                Ok(envelope) => self.on_verified_arrival(arrival, envelope),
            }
        }
        self.ground.intake.forget_stale();
    }

    fn on_verified_arrival(&mut self, arrival: Box<Arrival>, envelope: crate::envelope::VerifiedEnvelope) {
        let core = envelope.envelope();
        let (key, digest) = (core.key(), core.digest().short());
        let Some(link) = self.links.get_mut(&arrival.peer) else { return };
        if !link.is_current(arrival.stream) {
            link.put_down(core.bytes().len());
            return;
        }
        if let Some(verdict) = intake::receive_verdict(core.core(), &link.peer, &self.ground) {
            self.conclude(&arrival, verdict);
            return;
        }
        // Asked again after the signature: another copy may have come meanwhile.
        match self.ground.intake.fresh(key).map(|fresh| fresh.digest().short()) {
            Some(fresh) if fresh == digest => return self.conclude(&arrival, Verdict::Refused),
            Some(_) => return self.compare(Comparison::Arrival(arrival, envelope)),
            None => {}
        }
        let owed = self.ground.ledger.feeds.get(&arrival.peer).and_then(|state| state.owed.get(&arrival.seq));
        // What is owed for its rate has paid for its place already.
        let paid = owed.is_some_and(|owed| owed.reason == VerdictCode::Rate);
        let publisher = envelope.envelope().publisher().clone();
        if let Err(wait) = if paid { Ok(()) } else { link.admit_rate(&publisher, self.ground.now.tick) } {
            let retry_at = self.ground.steady().plus_ms(wait);
            let code = VerdictCode::Rate;
            return self.conclude(&arrival, Verdict::Deferred { code, key, publisher, retry_at });
        }
        self.accept(arrival, envelope, &publisher);
    }

    fn accept(
        &mut self,
        arrival: Box<Arrival>,
        envelope: crate::envelope::VerifiedEnvelope,
        publisher: &PublisherName,
    ) {
        let key = envelope.envelope().key();
        let id = envelope.envelope().id().clone();
        let bytes = envelope.envelope().bytes().len();
        self.ground.intake.accepted(envelope.envelope().clone());
        let arrived = self.ground.steady();
        self.ground.appender.push_carrier(NewCarrier { envelope, path: arrival.path.clone(), arrived });
        let waiting = self.ground.intake.take_waiting(key);
        self.conclude(&arrival, Verdict::Accepted);
        for (peer, seq) in waiting {
            if (&peer, seq) != (&arrival.peer, arrival.seq) {
                self.with_link(&peer, |link, ground| link.conclude(seq, key, &Verdict::Refused, ground));
            }
        }
        if let Some(link) = self.links.get_mut(&arrival.peer)
            && let Some(receiver) = &mut link.receiver
        {
            let is_own = *publisher == link.peer.name;
            if arrival.answer {
                receiver.answered_news(arrival.seq, publisher, is_own, &mut self.ground);
            } else {
                receiver.pushed_news(publisher);
            }
        }
        let source = Some(arrival.peer);
        self.ground.tell(Event::Envelope { id, source, outcome: Outcome::Accepted, bytes });
    }

    /// An arrival has its verdict.
    fn conclude(&mut self, arrival: &Arrival, verdict: Verdict) {
        let envelope = arrival.envelope.envelope();
        let (key, publisher) = (envelope.key(), envelope.publisher().clone());
        let other_eager = self.links.values().any(|link| {
            let receiver = link.receiver.as_ref().filter(|_| link.peer.name != arrival.peer);
            receiver.is_some_and(|receiver| receiver.is_eager(&publisher, publisher == link.peer.name))
        });
        let Some(link) = self.links.get_mut(&arrival.peer) else { return };
        if !link.is_current(arrival.stream) {
            return;
        }
        link.put_down(envelope.bytes().len());
        self.ground.intake.landed(key, arrival.stream);
        link.conclude(arrival.seq, key, &verdict, &mut self.ground);
        if verdict == Verdict::Refused {
            let is_own = publisher == link.peer.name;
            if let Some(receiver) = link.receiver.as_mut().filter(|_| !arrival.answer) {
                receiver.pushed_duplicate(&publisher, other_eager, is_own, &mut self.ground);
            }
            let (id, bytes) = (envelope.id().clone(), envelope.bytes().len());
            let source = Some(arrival.peer.clone());
            self.ground.tell(Event::Envelope { id, source, outcome: Outcome::Refused, bytes });
        }
    }

    // --- two cores under one identity ---

    fn compare(&mut self, comparison: Comparison) {
        let key = intake::compared_id(&comparison).key();
        if let Some(held) = self.ground.intake.fresh(key).cloned() {
            return self.compared(comparison, Some(held));
        }
        let ticket = self.ground.ticket();
        let id = intake::compared_id(&comparison).clone();
        self.ground.intake.comparing.insert(ticket, comparison);
        self.ground.emit(Output::Fetch { ticket, id });
    }

    fn on_fetched(&mut self, ticket: Ticket, entry: Option<Arc<Entry>>) {
        if let Some(comparison) = self.ground.intake.comparing.remove(&ticket) {
            self.compared(comparison, entry.map(|entry| entry.envelope.clone()));
        }
    }

    /// `held` is what the journal has under the same identity; `None` where retention took it.
    fn compared(&mut self, comparison: Comparison, held: Option<Arc<crate::envelope::Envelope>>) {
        let same_body =
            |core: &crate::envelope::Core| held.as_ref().map(|held| held.core().body == core.body);
        match comparison {
            Comparison::Submission { ticket, envelope } => {
                let key = envelope.envelope().key();
                match same_body(envelope.envelope().core()) {
                    Some(false) => {
                        self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Conflict })
                    }
                    _ => self.answer_duplicate(ticket, key),
                }
            }
            Comparison::Arrival(arrival, envelope) => {
                if same_body(envelope.envelope().core()) == Some(true) {
                    // The publisher signed it again: it lost its memory, and says the same.
                    return self.conclude(&arrival, Verdict::Refused);
                }
                let (key, digest) = (envelope.envelope().key(), envelope.envelope().digest().short());
                let publisher = envelope.envelope().publisher().clone();
                self.ground.note(Note::Equivocation { publisher: publisher.clone(), key, digest });
                let id = envelope.envelope().id().clone();
                self.ground.tell(Event::Equivocation { publisher, id, source: Some(arrival.peer.clone()) });
                self.conclude(&arrival, Verdict::rejected(VerdictCode::Equivocation));
            }
        }
    }

    // --- submissions ---

    fn on_submit(&mut self, ticket: Ticket, question: Question) {
        let outcome = match (self.stopping, self.stalled_until) {
            (Stopping::No, None) => return self.ground.intake.ask(question),
            (Stopping::No, Some(_)) => Submitted::DiskFull,
            _ => Submitted::Stopping,
        };
        self.ground.emit(Output::Submitted { ticket, outcome });
    }

    fn on_known_submission(
        &mut self,
        ticket: Ticket,
        envelope: crate::envelope::VerifiedEnvelope,
        held: Option<ShortDigest>,
    ) {
        let core = envelope.envelope();
        let (key, digest) = (core.key(), core.digest().short());
        match held {
            None => {
                self.ground.intake.accepted(core.clone());
                let arrived = self.ground.steady();
                let path = crate::identity::HopPath::default();
                self.ground.appender.push_carrier(NewCarrier { envelope, path, arrived });
                self.ground.appender.answer_submission(ticket, false);
                for (peer, seq) in self.ground.intake.take_waiting(key) {
                    self.with_link(&peer, |link, ground| link.conclude(seq, key, &Verdict::Refused, ground));
                }
            }
            Some(held) if held == digest => self.answer_duplicate(ticket, key),
            Some(_) => self.compare(Comparison::Submission { ticket, envelope }),
        }
    }

    /// `duplicate` is said only once the first one is durable too.
    fn answer_duplicate(&mut self, ticket: Ticket, key: EventKey) {
        let waits = self.ground.on(Rule::DuplicateSynced) && self.ground.appender.answer_with(ticket, key);
        if !waits {
            self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Duplicate });
        }
    }

    // --- disk ---

    fn on_stored(&mut self, ticket: Ticket, first_seq: u64, ends: JournalEnds) {
        let Some(batch) = self.ground.appender.answered(ticket) else { return };
        for (seq, carrier) in (first_seq..).zip(&batch.carriers) {
            if let Some(source) = &carrier.source {
                self.with_link(source, |link, _| link.on_came(seq));
            }
            self.ground.intake.stored(carrier.key);
        }
        for note in &batch.notes {
            self.ground.durable.apply(note);
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
        }
        for link in self.links.values_mut() {
            link.close_receiver(fault, &mut self.ground);
        }
        self.ground.intake.drop_all();
        self.ground.ledger = self.ground.durable.clone();
        self.handoffs.on_not_stored(&mut self.ground);
        self.stalled_until = Some(self.ground.tick().plus_ms(RECONNECT_FIRST_MS));
        self.ground.tell(Event::NotStored { failure });
    }

    fn on_retired(&mut self, ends: JournalEnds, missing: Vec<(crate::record::ConsumerName, u64)>) {
        self.ground.ends =
            JournalEnds { last: self.ground.ends.last, newest: self.ground.ends.newest, ..ends };
        let floor = ends.floor.seq;
        for (consumer, count) in missing {
            for ledger in [&mut self.ground.ledger, &mut self.ground.durable] {
                if let Some(position) = ledger.consumers.get_mut(&consumer) {
                    position.missing += count;
                    position.seq = position.seq.max(floor);
                }
            }
            self.ground.appender.moved_position(&consumer, self.ground.now.tick);
        }
    }

    // --- operator ---

    fn on_trust(&mut self, trust: Arc<TrustList>) {
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
                    let link = Link::new(peer.clone(), &self.ground);
                    self.links.insert(peer.name.clone(), link);
                }
                Some(link) => {
                    link.update(peer.clone(), &self.ground);
                    if peer.paused {
                        self.cut_off(&peer.name);
                    } else if changed {
                        link.on_trust_changed(&mut self.ground);
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

    fn on_command(&mut self, command: Command) {
        let (ticket, result) = match command {
            Command::Rewind { ticket, peer, to } => {
                let to = match to {
                    RewindTo::Earliest => 0,
                    RewindTo::Seq(seq) => seq,
                };
                (ticket, self.read_again(&peer, to))
            }
            Command::Repair { ticket, peer } => (ticket, self.read_again(&peer, 0)),
            Command::AcceptClock { ticket } => {
                self.ground.clock.accept(self.ground.now);
                let steady = self.ground.steady();
                self.ground.note(Note::Steady(steady));
                self.ground.tell(Event::ClockOk);
                (ticket, Ok(()))
            }
            Command::Stop { ticket } => return self.stop(ticket),
        };
        self.ground.emit(Output::CommandDone { ticket, result });
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
