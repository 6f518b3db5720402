//! One peer: its connection, the two feeds with it, and who it claims to be. Routes frames to the two ends;
//! what becomes of an envelope is `intake`'s and `node`'s.

mod admission;
mod contact;
mod frames;
mod looks;
mod rates;

use std::collections::{BTreeSet, VecDeque};

use crate::identity::{IdentityKey, PublisherName};
use crate::limits::{ANSWER_LATE_MS, CLONE_PROBE_MS, FEED_SILENT_MS, INTAKE_BYTES_MAX, SKIP_EVERY_MS};
use crate::policy::Peer;
use crate::protocol::backoff::Backoff;
use crate::protocol::bucket::TokenBucket;
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::failing::FilterFailures;
use crate::protocol::fault::FeedFault;
use crate::protocol::intake::{EnvelopeOffer, FeedEntry, Received, SeenQuestion, Verdict};
use crate::protocol::io::{DialFailure, Event, Role, StreamId, Ticket, TransportOutput};
use crate::protocol::obstacle::{ObstacleReason, Obstacles};
use crate::protocol::pipe::FeedPipe;
use crate::protocol::receiver::{FeedReceiver, ReceivedTally, SubscribeOptions, is_same_entry};
use crate::protocol::rules::without;
use crate::protocol::sender::{FeedSender, SentTally, hello};
use crate::protocol::state::{CoreState, STATEMENT_RATE, Traffic};
use crate::record::{Note, Owed, RejectedPlace, RetryCondition};
use crate::status::FeedSide;
use crate::time::{Tick, Timestamp};
use crate::wire::{
    CarrierFrame, FaultCode, FeedGreeting, Have, Hello, Mark, VerdictCode, WIRE_VERSION_MAX,
    WIRE_VERSION_MIN, WireFrame,
};

use looks::Looks;
use rates::Rates;

/// Streams of one peer that have not said HELLO yet, or wait for a probe.
const ARRIVING_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct PeerSession {
    pub peer: Peer,
    pub contact: Contact,
    pub sender: Option<FeedSender>,
    pub receiver: Option<FeedReceiver>,
    arriving: Vec<ArrivingFeed>,
    /// The process that the streams lead to.
    instance: Option<u64>,
    /// Our seqs that came from this peer on the connection that stands: it holds them, synced.
    came: BTreeSet<u64>,
    wishes: SubscribeOptions,
    looks: Looks,
    pub(super) rates: Rates,
    pub facts: SessionFacts,
    pub tally: SessionCounters,
}

#[derive(Debug, Default)]
pub(crate) struct SessionCounters {
    pub sent: SentTally,
    pub received: ReceivedTally,
}

/// Facts about a peer that status shows beside counts.
#[derive(Debug, Default)]
pub(crate) struct SessionFacts {
    pub last_error: Option<String>,
    /// Their clock minus ours, in ms.
    pub skew_ms: Option<i64>,
    pub software: Option<String>,
    /// The name that the peer gave last, if it is not the one of its file here.
    pub called: Option<PublisherName>,
    /// Why the connection ended, or the last dial failed; `None` while it stands.
    pub down_cause: Option<String>,
    /// A frame of the feeds came last then, if they were closed because none came any more.
    silent_since: Option<Timestamp>,
    /// It was connected since it became a peer, as far as this node remembers.
    pub was_connected: bool,
    pub obstacles: Obstacles,
}

#[derive(Debug)]
pub(crate) struct Contact {
    pub state: ContactState,
    backoff: Backoff,
    feed_backoff: Backoff,
    opening: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContactState {
    Down { since: Timestamp },
    Dialing { since: Timestamp },
    Up { since: Timestamp, address: String },
}

/// A stream that has not been admitted.
#[derive(Debug)]
struct ArrivingFeed {
    pipe: FeedPipe,
    role: Role,
    opened: Tick,
    probation: Option<Probation>,
}

/// Another instance answers on an older stream, or seems to: the newer waits until that is known.
#[derive(Debug)]
struct Probation {
    hello: Box<Hello>,
    held: Vec<WireFrame>,
    nonce: u64,
    until: Tick,
}

impl PeerSession {
    pub(crate) fn new(peer: Peer, context: &CoreContext, disk: &CoreDisk) -> Self {
        let now = context.tick();
        let rates = Rates::new(&peer.receive, now);
        // Its journal was read before: it has a number.
        let known = disk.ledger.feeds.get(&peer.name).is_some_and(|feed| feed.log_id.is_some());
        Self {
            peer,
            contact: Contact {
                state: ContactState::Down { since: context.now.wall },
                backoff: Backoff::new(now),
                feed_backoff: Backoff::new(now),
                opening: false,
            },
            sender: None,
            receiver: None,
            arriving: Vec::new(),
            instance: None,
            came: BTreeSet::new(),
            wishes: SubscribeOptions::default(),
            looks: Looks::default(),
            rates,
            facts: SessionFacts { was_connected: known, ..SessionFacts::default() },
            tally: SessionCounters::default(),
        }
    }

    /// The peer file changed; the key is the same.
    pub(crate) fn update(&mut self, peer: Peer, context: &CoreContext) {
        self.rates.update(&self.peer.receive, &peer.receive, context.tick());
        if self.peer.share.filter != peer.share.filter {
            self.tally.sent.failing = FilterFailures::default();
        }
        if self.peer.receive.filter != peer.receive.filter {
            self.tally.received.failing = FilterFailures::default();
        }
        if self.peer.is_cut() && !peer.is_cut() {
            self.contact.backoff.reset(context.tick());
        }
        self.peer = peer;
    }

    /// The store has compared the marks of a feed: it may be that of this peer.
    pub(crate) fn on_marks_checked(&mut self, ticket: Ticket, agrees: Option<Mark>, core: &mut CoreState) {
        let Some(sender) = &mut self.sender else { return };
        let stream = sender.pipe.stream;
        if let Some((after, held)) =
            sender.on_marks_checked(ticket, agrees, &core.context, &core.disk, &mut core.traffic)
        {
            self.tally.sent.resumed(after);
            self.facts.obstacles.feed_runs(Role::Sender);
            core.traffic.tell(Event::FeedResumes { peer: self.peer.name.clone(), after });
            self.on_frames(stream, held, core);
        }
    }

    /// When the last frame of any feed with this peer came.
    pub(crate) fn last_frame(&self) -> Option<Tick> {
        let receiver = self.receiver.as_ref().map(|receiver| receiver.last_frame);
        receiver.max(self.sender.as_ref().map(|sender| sender.last_frame))
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.contact.state, ContactState::Up { .. })
    }

    // --- streams ---

    pub(crate) fn on_feed_opened(&mut self, stream: StreamId, role: Role, core: &mut CoreState) {
        let mut pipe = FeedPipe::new(stream, &core.context);
        self.contact.opening &= role != Role::Receiver;
        if self.peer.is_cut() || self.arriving.len() >= ARRIVING_MAX {
            core.traffic.emit(TransportOutput::CloseFeed { stream });
            return;
        }
        match role {
            Role::Receiver => {
                if self.receiver.is_some() {
                    core.traffic.emit(TransportOutput::CloseFeed { stream });
                    return;
                }
                self.wishes.may_look = self.looks.are_allowed(core.context.tick());
                let receiver = FeedReceiver::new(pipe, &self.peer.name, &self.wishes, core);
                if receiver.is_looking() {
                    self.looks.begin(core.context.tick());
                }
                self.receiver = Some(receiver);
                self.rates.in_hand = 0;
                self.rates.unread = false;
                self.rates.held_up.clear();
            }
            Role::Sender => {
                pipe.send(hello(&core.context, &core.disk), &core.context, &mut core.traffic);
                self.arriving.push(ArrivingFeed { pipe, role, opened: core.context.tick(), probation: None });
            }
        }
    }

    pub(crate) fn on_feed_closed(&mut self, stream: StreamId, cause: &str, core: &mut CoreState) {
        if self.forget(stream, core) {
            self.facts.last_error.get_or_insert_with(|| cause.to_owned());
            self.contact.feed_backoff.failed(core.context.now.tick, &mut core.traffic.rng);
            core.traffic.tell(Event::FeedDown {
                peer: self.peer.name.clone(),
                stream,
                cause: cause.to_owned(),
            });
        }
        self.admit_if_alone(core);
    }

    /// Drops the state of `stream`; returns true if it was an end of a feed.
    fn forget(&mut self, stream: StreamId, core: &mut CoreState) -> bool {
        let was_receiver = self.receiver.take_if(|receiver| receiver.pipe.stream == stream);
        let was_sender = self.sender.take_if(|sender| sender.pipe.stream == stream);
        self.arriving.retain(|arriving| arriving.pipe.stream != stream);
        if self.admitted().next().is_none() && self.facts.obstacles.no_process_is_left() {
            // The process that was let in has ended: another one may come in its place at once.
            self.contact.feed_backoff.reset(core.context.tick());
        }
        if let Some(receiver) = &was_receiver {
            core.traffic.intake.flights.stream_closed(stream, core.context.now.tick);
            let owed = core.disk.ledger.feeds.get(&self.peer.name).map(|state| &state.owed);
            for (seq, key) in receiver.open_offers() {
                if !owed.is_some_and(|owed| owed.contains_key(&seq)) {
                    core.traffic.intake.stop_waiting(key, &self.peer.name, seq);
                }
            }
            without!(core.context, HaveOwed => {
                let peer = self.peer.name.clone();
                if let Some(mut state) = core.disk.ledger.feeds.get(&peer).cloned() {
                    state.owed = crate::record::OwedEntries::default();
                    core.note(Note::Feed { peer, state });
                }
            });
        }
        if was_receiver.is_some() || was_sender.is_some() {
            self.came.clear();
        }
        was_receiver.is_some() || was_sender.is_some()
    }

    /// Closes all streams, and says why if there is something to say.
    pub(crate) fn close_all(&mut self, fault: Option<FaultCode>, core: &mut CoreState) {
        let streams = self.receiver.iter().map(|receiver| receiver.pipe.stream);
        let streams = streams.chain(self.sender.iter().map(|sender| sender.pipe.stream));
        let streams: Vec<StreamId> =
            streams.chain(self.arriving.iter().map(|arriving| arriving.pipe.stream)).collect();
        for stream in streams {
            self.close(stream, fault.map(FeedFault::from), core);
        }
    }

    fn close(&mut self, stream: StreamId, fault: Option<FeedFault>, core: &mut CoreState) {
        self.forget(stream, core);
        if let Some(FeedFault { code, detail }) = fault {
            let frame = core.context.config.dialect.spoken(WireFrame::Fault { code: code.into(), detail });
            core.traffic.emit(TransportOutput::send(stream, frame));
        }
        core.traffic.emit(TransportOutput::CloseFeed { stream });
    }

    /// Closes the receiving end, so that the next SUBSCRIBE begins anew.
    pub(crate) fn subscribe_again(&mut self, rewind: Option<u64>, core: &mut CoreState) {
        if rewind.is_some() {
            self.wishes.rewind = rewind;
        }
        self.close_receiver(FaultCode::Replaced, core);
        self.contact.feed_backoff.reset(core.context.tick());
    }

    /// Handles a new trust list: it may cure entries that were rejected because of the old one.
    pub(crate) fn on_trust_changed(&mut self, core: &mut CoreState) {
        let Some(state) = core.disk.ledger.feeds.get(&self.peer.name) else { return };
        let is_curable = |place: &&RejectedPlace| matches!(place.cure, RetryCondition::Trust(_));
        if !state.rejected.iter().any(|place| is_curable(&place)) {
            return;
        }
        without!(core.context, CureResets => {
            let curable = state.rejected.iter().filter(is_curable).map(|place| place.before);
            let lowest = curable.min_by_key(|mark| mark.seq);
            let mut state = state.clone();
            state.resume(lowest.unwrap_or(Mark::START));
            return core.note(Note::Feed { peer: self.peer.name.clone(), state });
        });
        without!(core.context, CureLevel => self.wishes.cure_noticed = true);
        self.subscribe_again(None, core);
    }

    /// Retries entries that waited for the operator since their publisher was revoked, if that was taken back.
    pub(crate) fn retry_unrevoked(&mut self, core: &mut CoreState) {
        let Some(state) = core.disk.ledger.feeds.get(&self.peer.name) else { return };
        let waits = |owed: &&Owed| {
            owed.reason == VerdictCode::KeyRevoked && !core.context.trust.is_revoked(&owed.publisher)
        };
        let entries: Vec<Owed> = state.owed.values().filter(waits).cloned().collect();
        for entry in entries {
            self.owe_again(Owed { retry_at: core.context.steady(), ..entry }, core);
        }
    }

    /// An entry that is owed is asked for again at `owed.retry_at`.
    pub(crate) fn owe_again(&mut self, owed: Owed, core: &mut CoreState) {
        match &mut self.receiver {
            Some(receiver) => receiver.owe(&self.peer.name, owed, core),
            None => core.note(Note::Owed { peer: self.peer.name.clone(), owed }),
        }
    }

    /// The operator does not want it: it is settled, and counts as rejected.
    pub(crate) fn drop_owed(&mut self, owed: &Owed, core: &mut CoreState) {
        *self.tally.received.rejected.entry(owed.reason).or_default() += 1;
        core.traffic.intake.stop_waiting(owed.key, &self.peer.name, owed.seq);
        core.note(Note::Settled { peer: self.peer.name.clone(), seq: owed.seq });
    }

    /// Says on the feed that we send what an identity key stated. The peer's own, too: put back from an older copy, it
    /// does not know.
    pub(crate) fn show_statement(&mut self, signer: IdentityKey) {
        if let Some(sender) = &mut self.sender {
            sender.show(signer);
        }
    }

    /// The peer showed a statement, in HELLO or by KEY.
    fn learn(&mut self, statement: &bytes::Bytes, core: &mut CoreState) {
        let now = core.context.tick();
        let rate = self.rates.statements.get_or_insert_with(|| TokenBucket::new(STATEMENT_RATE, now));
        if core.learn(statement, &self.peer.name, rate) {
            self.rates.spend(now);
        }
    }

    pub(crate) fn close_receiver(&mut self, fault: FaultCode, core: &mut CoreState) {
        if let Some(stream) = self.receiver.as_ref().map(|receiver| receiver.pipe.stream) {
            self.close(stream, Some(fault.into()), core);
        }
    }

    pub(crate) fn on_sent(&mut self, stream: StreamId, bytes: usize) {
        let receiver = self.receiver.iter_mut().map(|receiver| &mut receiver.pipe);
        let sender = self.sender.iter_mut().map(|sender| &mut sender.pipe);
        let mut pipes =
            receiver.chain(sender).chain(self.arriving.iter_mut().map(|arriving| &mut arriving.pipe));
        if let Some(pipe) = pipes.find(|pipe| pipe.stream == stream) {
            pipe.left(bytes);
        }
    }

    // --- time ---

    /// Does what is due: silence, probes, dialling, and both ends of the feed.
    pub(crate) fn pump(&mut self, stalled: bool, core: &mut CoreState) {
        self.close_silent(core);
        self.close_unanswered(core);
        if let Some(receiver) = &mut self.receiver {
            let rates = &mut self.rates.by_publisher;
            receiver.pump(&self.peer.name, &mut self.tally.received, rates, core);
            self.look_again(core);
            self.read_on(core);
        }
        self.reach_out(stalled, &core.context, &mut core.traffic);
        if let Some(sender) = &mut self.sender {
            sender.pump(
                &self.peer,
                &mut self.came,
                &mut self.tally.sent,
                &core.context,
                &core.disk,
                &mut core.traffic,
            );
        }
    }

    /// Reads the feed again if there is room and the rate allows it.
    fn read_on(&mut self, core: &mut CoreState) {
        let Some(stream) = self.receiver.as_ref().map(|receiver| receiver.pipe.stream) else { return };
        if !self.rates.held_up.is_empty() && self.rates.wait_ms(core.context.tick()) == 0 {
            let frames = std::mem::take(&mut self.rates.held_up);
            self.on_frames(stream, frames, core);
        }
        without!(core.context, ReadFree => if self.receiver.as_ref().is_some_and(|it| !it.pipe.has_room()) {
            return;
        });
        without!(core.context, OwedWindow => {
            let feed = core.disk.ledger.feeds.get(&self.peer.name);
            if feed.is_some_and(|feed| feed.owed.len() >= core.context.config.bounds.owed) {
                return;
            }
        });
        if self.receiver.is_some()
            && self.rates.unread
            && self.rates.in_hand < INTAKE_BYTES_MAX
            && self.rates.wait_ms(core.context.tick()) == 0
            && core.disk.appender.has_room()
        {
            self.rates.unread = false;
            core.traffic.emit(TransportOutput::Resume { stream });
        }
    }

    /// A peer that leaves unanswered what it is asked for is asked again on another stream, later each time.
    fn close_unanswered(&mut self, core: &mut CoreState) {
        let Some(receiver) = &self.receiver else { return };
        if receiver.answer_late_at().is_some_and(|at| at <= core.context.tick()) {
            let detail = format!("no ANSWER or GONE for {} s", ANSWER_LATE_MS / 1_000);
            let fault = FeedFault { code: FaultCode::Silent, detail };
            self.fail(receiver.pipe.stream, fault, core);
        }
    }

    fn close_silent(&mut self, core: &mut CoreState) {
        let now = core.context.tick();
        let ends = self.receiver.iter().map(|receiver| (receiver.pipe.stream, receiver.last_frame));
        let ends = ends.chain(self.sender.iter().map(|sender| (sender.pipe.stream, sender.last_frame)));
        let silent: Vec<StreamId> =
            ends.filter(|(_, last)| now >= last.plus_ms(FEED_SILENT_MS)).map(|(stream, _)| stream).collect();
        let ago = self.last_frame().map_or(0, |last| now.since_ms(last));
        for stream in &silent {
            self.fail(*stream, FaultCode::Silent.into(), core);
        }
        let late: Vec<StreamId> = self
            .arriving
            .iter()
            .filter(|arriving| arriving.probation.is_none() && now >= arriving.opened.plus_ms(FEED_SILENT_MS))
            .map(|arriving| arriving.pipe.stream)
            .collect();
        for stream in late {
            self.close(stream, Some(FaultCode::Silent.into()), core);
        }
        let over = |arriving: &ArrivingFeed| {
            arriving.probation.as_ref().is_some_and(|probation| now >= probation.until)
        };
        if self.arriving.iter().any(over) {
            // The older streams did not answer in time: they are dead.
            for stream in self.admitted().collect::<Vec<_>>() {
                self.close(stream, Some(FaultCode::Replaced.into()), core);
            }
            self.admit_if_alone(core);
        }
        if !silent.is_empty() && self.receiver.is_none() && self.sender.is_none() {
            // The connection may be half open: dial a new one rather than trust it.
            self.facts.silent_since = Some(core.context.now.wall.minus_ms(ago));
            core.traffic.emit(TransportOutput::Disconnect { peer: self.peer.name.clone() });
        }
    }

    /// When `pump` is to be called again, if nothing comes before. Never names a moment at which it does nothing.
    pub(crate) fn timeout(&mut self, stalled: bool, context: &CoreContext, disk: &CoreDisk) -> Option<Tick> {
        let contact = self.reaches_out_at(stalled);
        let receiver = self.receiver.as_ref().map(|receiver| {
            let silent = receiver.last_frame.plus_ms(FEED_SILENT_MS);
            receiver.timeout().map_or(silent, |due| due.min(silent))
        });
        let sender = self.sender.as_ref().map(|sender| {
            let silent = sender.last_frame.plus_ms(FEED_SILENT_MS);
            sender.timeout().map_or(silent, |due| due.min(silent))
        });
        let arriving = self.arriving.iter().map(|arriving| {
            arriving
                .probation
                .as_ref()
                .map_or(arriving.opened.plus_ms(FEED_SILENT_MS), |probation| probation.until)
        });
        let waits = self.receiver.is_some() && (self.rates.unread || !self.rates.held_up.is_empty());
        let rate = waits.then(|| context.tick().plus_ms(self.rates.wait_ms(context.tick())));
        let rate = rate.filter(|at| *at > context.tick());
        let look = self.next_look(context, disk);
        [contact, look, receiver, sender, rate, arriving.min()].into_iter().flatten().min()
    }
}
