//! One peer: its connection, the two feeds with it, and who it claims to be. Routes frames to the two ends;
//! what becomes of an envelope is `intake`'s and `node`'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::PublisherName;
use crate::limits::{CLONE_PROBE_MS, FEED_SILENT_MS, INTAKE_BYTES_MAX, PEERS_MAX};
use crate::policy::Peer;
use crate::protocol::backoff::Backoff;
use crate::protocol::bucket::Bucket;
use crate::protocol::ground::{Ground, Pipe};
use crate::protocol::intake::{self, Arrival, Offer, Question, Verdict};
use crate::protocol::io::{DialFailure, Event, Output, Role, StreamId};
use crate::protocol::receiver::{ReceivedTally, Receiver};
use crate::protocol::rules::Rule;
use crate::protocol::sender::{Sender, SentTally, hello};
use crate::record::Note;
use crate::time::{Tick, Timestamp};
use crate::wire::{
    CarrierFrame, FaultCode, Frame, Have, Hello, Mark, VerdictCode, WIRE_VERSION_MAX, WIRE_VERSION_MIN,
};

/// Streams of one peer that have not said HELLO yet, or wait for a probe.
const ARRIVING_MAX: usize = 4;

#[derive(Debug)]
pub struct Link {
    pub peer: Peer,
    pub contact: Contact,
    pub sender: Option<Sender>,
    pub receiver: Option<Receiver>,
    arriving: Vec<Arriving>,
    /// The process that the streams lead to.
    instance: Option<u64>,
    /// Our seqs that came from this peer on the connection that stands: it holds them, synced.
    came: BTreeSet<u64>,
    wishes: Wishes,
    rates: Rates,
    pub facts: Facts,
    pub tally: Tally,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub sent: SentTally,
    pub received: ReceivedTally,
}

/// What status shows of a peer beside counts.
#[derive(Debug, Default)]
pub struct Facts {
    pub last_error: Option<String>,
    /// Their clock minus ours, in ms.
    pub skew_ms: Option<i64>,
    pub software: Option<String>,
    pub key_changed: bool,
    pub cloned_until: Option<Tick>,
    pub fault: Option<FaultCode>,
}

#[derive(Debug)]
pub struct Contact {
    pub state: ContactState,
    backoff: Backoff,
    feed_backoff: Backoff,
    opening: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactState {
    Down { since: Timestamp },
    Dialing { since: Timestamp },
    Up { since: Timestamp, address: String },
}

/// What the next SUBSCRIBE should do beside resuming.
#[derive(Debug, Default)]
struct Wishes {
    rewind: Option<u64>,
    cure_noticed: bool,
}

#[derive(Debug, Default)]
struct Rates {
    all: Option<Bucket>,
    by_publisher: BTreeMap<PublisherName, Bucket>,
    /// Bytes of envelopes between arrival and verdict.
    in_hand: usize,
    /// The stream of the receiver waits for `Resume`.
    unread: bool,
}

/// A stream that has not been admitted.
#[derive(Debug)]
struct Arriving {
    pipe: Pipe,
    role: Role,
    opened: Tick,
    probation: Option<Probation>,
}

/// Another instance answers on an older stream, or seems to: the newer waits until that is known.
#[derive(Debug)]
struct Probation {
    hello: Box<Hello>,
    held: Vec<Frame>,
    nonce: u64,
    until: Tick,
}

impl Link {
    pub fn new(peer: Peer, ground: &Ground) -> Self {
        let now = ground.tick();
        let rates = Rates { all: peer.receive.rate.map(|rate| Bucket::new(rate, now)), ..Rates::default() };
        Self {
            peer,
            contact: Contact {
                state: ContactState::Down { since: ground.now.wall },
                backoff: Backoff::new(now),
                feed_backoff: Backoff::new(now),
                opening: false,
            },
            sender: None,
            receiver: None,
            arriving: Vec::new(),
            instance: None,
            came: BTreeSet::new(),
            wishes: Wishes::default(),
            rates,
            facts: Facts::default(),
            tally: Tally::default(),
        }
    }

    /// The peer file changed; the key is the same.
    pub fn update(&mut self, peer: Peer, ground: &Ground) {
        if self.peer.receive.rate != peer.receive.rate {
            self.rates.all = peer.receive.rate.map(|rate| Bucket::new(rate, ground.tick()));
        }
        if self.peer.receive.rate_per_publisher != peer.receive.rate_per_publisher {
            self.rates.by_publisher.clear();
        }
        if self.peer.paused && !peer.paused {
            self.contact.backoff.reset(ground.tick());
        }
        self.peer = peer;
    }

    pub fn is_up(&self) -> bool {
        matches!(self.contact.state, ContactState::Up { .. })
    }

    // --- connection ---

    pub fn on_connected(&mut self, address: String, ground: &mut Ground) {
        let now = ground.tick();
        self.contact.backoff.reset(now);
        self.contact.feed_backoff.reset(now);
        self.contact.opening = false;
        self.contact.state = ContactState::Up { since: ground.now.wall, address };
        self.facts.key_changed = false;
        ground.tell(Event::PeerUp { peer: self.peer.name.clone() });
    }

    pub fn on_disconnected(&mut self, cause: String, ground: &mut Ground) {
        self.close_all(None, ground);
        if self.is_up() {
            ground.tell(Event::PeerDown { peer: self.peer.name.clone(), cause: cause.clone() });
        }
        self.contact.state = ContactState::Down { since: ground.now.wall };
        self.contact.opening = false;
        self.contact.backoff.failed(ground.now.tick, &mut ground.rng);
        self.facts.last_error.get_or_insert(cause);
    }

    pub fn on_dial_failed(&mut self, failure: DialFailure, ground: &mut Ground) {
        if self.is_up() {
            return;
        }
        self.contact.state = ContactState::Down { since: self.down_since(ground) };
        self.facts.key_changed = matches!(failure, DialFailure::OtherKey { .. });
        match failure {
            DialFailure::OtherKey { address, key } => {
                self.contact.backoff.refused(ground.tick());
                self.facts.last_error = Some(format!("{address} has another key: {key}"));
            }
            DialFailure::TurnedAway(cause) => {
                self.contact.backoff.failed(ground.now.tick, &mut ground.rng);
                self.facts.last_error = Some(format!(
                    "connected and proved our key, but was turned away: is our key in their peers/? ({cause})"
                ));
            }
            DialFailure::Unreachable(cause) => {
                self.contact.backoff.failed(ground.now.tick, &mut ground.rng);
                self.facts.last_error = Some(cause);
            }
        }
    }

    fn down_since(&self, ground: &Ground) -> Timestamp {
        match self.contact.state {
            ContactState::Down { since } | ContactState::Dialing { since } => since,
            ContactState::Up { .. } => ground.now.wall,
        }
    }

    /// Dials, or opens the feed, where it is time.
    fn reach_out(&mut self, stalled: bool, ground: &mut Ground) {
        let now = ground.tick();
        match &self.contact.state {
            ContactState::Down { since } => {
                if self.peer.dialled && !self.peer.paused && now >= self.contact.backoff.until {
                    self.contact.state = ContactState::Dialing { since: *since };
                    ground.emit(Output::Dial { peer: self.peer.name.clone() });
                }
            }
            ContactState::Dialing { .. } => {}
            ContactState::Up { .. } => {
                let free = self.receiver.is_none() && !self.contact.opening && !stalled && !self.peer.paused;
                let arriving = self.arriving.iter().any(|stream| stream.role == Role::Receiver);
                if free && !arriving && now >= self.contact.feed_backoff.until {
                    self.contact.opening = true;
                    ground.emit(Output::OpenFeed { peer: self.peer.name.clone() });
                }
            }
        }
    }

    pub fn on_feed_not_opened(&mut self, cause: String, ground: &mut Ground) {
        self.contact.opening = false;
        self.contact.feed_backoff.failed(ground.now.tick, &mut ground.rng);
        self.facts.last_error = Some(format!("no feed: {cause}"));
    }

    // --- streams ---

    pub fn on_feed_opened(&mut self, stream: StreamId, role: Role, ground: &mut Ground) {
        let mut pipe = Pipe::new(stream, ground.tick());
        if self.peer.paused || self.arriving.len() >= ARRIVING_MAX {
            ground.emit(Output::CloseFeed { stream });
            return;
        }
        match role {
            Role::Receiver => {
                self.contact.opening = false;
                if self.receiver.is_some() {
                    ground.emit(Output::CloseFeed { stream });
                    return;
                }
                let wishes = std::mem::take(&mut self.wishes);
                let name = &self.peer.name;
                self.receiver = Some(Receiver::new(pipe, name, wishes.rewind, wishes.cure_noticed, ground));
                self.rates.in_hand = 0;
                self.rates.unread = false;
            }
            Role::Sender => {
                pipe.send(hello(ground), ground);
                self.arriving.push(Arriving { pipe, role, opened: ground.tick(), probation: None });
            }
        }
    }

    pub fn on_feed_closed(&mut self, stream: StreamId, cause: &str, ground: &mut Ground) {
        if self.forget(stream, ground) {
            self.facts.last_error.get_or_insert_with(|| cause.to_owned());
            self.contact.feed_backoff.failed(ground.now.tick, &mut ground.rng);
            ground.tell(Event::FeedDown { peer: self.peer.name.clone(), stream, cause: cause.to_owned() });
        }
        self.admit_if_alone(ground);
    }

    /// Drops what is kept of `stream`; true where it was an end of a feed.
    fn forget(&mut self, stream: StreamId, ground: &mut Ground) -> bool {
        let was_receiver = self.receiver.take_if(|receiver| receiver.pipe.stream == stream);
        let was_sender = self.sender.take_if(|sender| sender.pipe.stream == stream);
        self.arriving.retain(|arriving| arriving.pipe.stream != stream);
        if let Some(receiver) = &was_receiver {
            ground.intake.stream_closed(stream);
            let owed = ground.ledger.feeds.get(&self.peer.name).map(|state| &state.owed);
            for (seq, key) in receiver.open_offers() {
                if !owed.is_some_and(|owed| owed.contains_key(&seq)) {
                    ground.intake.stop_waiting(key, &self.peer.name, seq);
                }
            }
            if !ground.on(Rule::HaveOwed)
                && let Some(state) = ground.ledger.feeds.get(&self.peer.name).cloned()
            {
                let state = crate::record::FeedState { owed: BTreeMap::new(), ..state };
                ground.note(Note::Feed { peer: self.peer.name.clone(), state });
            }
        }
        if let Some(sender) = &was_sender {
            sender.on_closed(&mut self.tally.sent);
        }
        if was_receiver.is_some() || was_sender.is_some() {
            self.came.clear();
        }
        was_receiver.is_some() || was_sender.is_some()
    }

    /// Closes all streams, saying why where there is something to say.
    pub fn close_all(&mut self, fault: Option<FaultCode>, ground: &mut Ground) {
        let streams = self.receiver.iter().map(|receiver| receiver.pipe.stream);
        let streams = streams.chain(self.sender.iter().map(|sender| sender.pipe.stream));
        let streams: Vec<StreamId> =
            streams.chain(self.arriving.iter().map(|arriving| arriving.pipe.stream)).collect();
        for stream in streams {
            self.close(stream, fault, ground);
        }
    }

    fn close(&mut self, stream: StreamId, fault: Option<FaultCode>, ground: &mut Ground) {
        self.forget(stream, ground);
        if let Some(code) = fault {
            ground.emit(Output::Send { stream, frame: Frame::Fault { code, detail: String::new() } });
        }
        ground.emit(Output::CloseFeed { stream });
    }

    /// Closes the receiving end, so that the next SUBSCRIBE begins anew.
    pub fn subscribe_again(&mut self, rewind: Option<u64>, cure_noticed: bool, ground: &mut Ground) {
        if rewind.is_some() {
            self.wishes.rewind = rewind;
        }
        self.wishes.cure_noticed |= cure_noticed;
        self.close_receiver(FaultCode::Replaced, ground);
        self.contact.feed_backoff.reset(ground.tick());
    }

    /// The trust list changed: what was rejected for it may be cured.
    pub fn on_trust_changed(&mut self, ground: &mut Ground) {
        let Some(state) = ground.ledger.feeds.get(&self.peer.name) else { return };
        let Some(lowest) = state.rejected.iter().map(|place| place.before).min_by_key(|mark| mark.seq) else {
            return;
        };
        if ground.on(Rule::CureResets) {
            self.subscribe_again(None, true, ground);
        } else {
            let mut state = state.clone();
            state.take_back(lowest);
            ground.note(Note::Feed { peer: self.peer.name.clone(), state });
        }
    }

    pub fn close_receiver(&mut self, fault: FaultCode, ground: &mut Ground) {
        if let Some(stream) = self.receiver.as_ref().map(|receiver| receiver.pipe.stream) {
            self.close(stream, Some(fault), ground);
        }
    }

    pub fn on_sent(&mut self, stream: StreamId, bytes: usize) {
        if let Some(receiver) = &mut self.receiver
            && receiver.pipe.stream == stream
        {
            receiver.pipe.left(bytes);
        }
        if let Some(sender) = &mut self.sender
            && sender.pipe.stream == stream
        {
            sender.pipe.left(bytes);
        }
    }

    // --- frames ---

    pub fn on_frames(&mut self, stream: StreamId, frames: Vec<Frame>, ground: &mut Ground) {
        let mut frames = frames.into_iter();
        while let Some(frame) = frames.next() {
            let result = match frame {
                Frame::Hello(hello) => match self.on_hello(stream, hello, ground) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        self.hold(stream, frames.collect());
                        return;
                    }
                    Err(code) => Err(code),
                },
                frame => self.on_frame(stream, frame, ground),
            };
            if let Err(code) = result {
                self.fail(stream, code, ground);
                return;
            }
            if !self.knows(stream) {
                return;
            }
        }
        match &mut self.receiver {
            Some(receiver) if receiver.pipe.stream == stream => self.rates.unread = true,
            _ => ground.emit(Output::Resume { stream }),
        }
    }

    fn knows(&self, stream: StreamId) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.pipe.stream == stream)
            || self.sender.as_ref().is_some_and(|sender| sender.pipe.stream == stream)
            || self.arriving.iter().any(|arriving| arriving.pipe.stream == stream)
    }

    /// The peer broke the protocol, or we cannot go on with it.
    fn fail(&mut self, stream: StreamId, code: FaultCode, ground: &mut Ground) {
        self.facts.last_error = Some(format!("feed closed here: {}", code.as_str()));
        self.facts.fault = Some(code);
        if matches!(code, FaultCode::Version | FaultCode::Federation | FaultCode::Name) {
            self.contact.feed_backoff.refused(ground.tick());
        } else {
            self.contact.feed_backoff.failed(ground.now.tick, &mut ground.rng);
        }
        let cause = format!("fault: {}", code.as_str());
        ground.tell(Event::FeedDown { peer: self.peer.name.clone(), stream, cause });
        self.close(stream, Some(code), ground);
        self.admit_if_alone(ground);
    }

    fn on_frame(&mut self, stream: StreamId, frame: Frame, ground: &mut Ground) -> Result<(), FaultCode> {
        let now = ground.tick();
        if let Frame::Fault { code, detail } = &frame {
            self.facts.last_error =
                Some(format!("the peer closed the feed: {} {detail}", code.as_str()).trim_end().to_owned());
            self.facts.fault = Some(*code);
            if *code == FaultCode::Cloned {
                self.facts.cloned_until = Some(now.plus_ms(2 * FEED_SILENT_MS));
            }
            return Ok(());
        }
        if let Some(receiver) = &mut self.receiver
            && receiver.pipe.stream == stream
        {
            receiver.last_frame = now;
            if receiver.hello.is_none() {
                return Err(FaultCode::Protocol);
            }
            return self.on_receiver_frame(frame, ground);
        }
        if let Some(sender) = &mut self.sender
            && sender.pipe.stream == stream
        {
            sender.last_frame = now;
            return self.on_sender_frame(frame, ground);
        }
        Err(FaultCode::Protocol)
    }

    fn on_receiver_frame(&mut self, frame: Frame, ground: &mut Ground) -> Result<(), FaultCode> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        match frame {
            Frame::Skip(skip) => receiver.on_skip(&self.peer.name, skip, &mut self.tally.received, ground),
            Frame::Carrier(carrier) => self.on_carrier(carrier, false, ground),
            Frame::Answer(carrier) => self.on_carrier(carrier, true, ground),
            Frame::Have(have) => self.on_have(have, ground),
            Frame::Gone { seq } => {
                if let Some(key) = receiver.take_answer(seq) {
                    ground.intake.landed(key, receiver.pipe.stream);
                    self.conclude(seq, key, &Verdict::Missing, ground);
                }
                Ok(())
            }
            Frame::Head { seq, stored } => {
                receiver.on_head(seq, stored);
                Ok(())
            }
            Frame::Ping { nonce } => {
                receiver.pipe.send(Frame::Pong { nonce }, ground);
                Ok(())
            }
            Frame::Pong { nonce } => self.on_pong(nonce, ground),
            Frame::KeyStatement(_) => Ok(()),
            _ => Err(FaultCode::Protocol),
        }
    }

    fn on_sender_frame(&mut self, frame: Frame, ground: &mut Ground) -> Result<(), FaultCode> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        match frame {
            Frame::Subscribe(subscribe) => sender.on_subscribe(subscribe, ground),
            Frame::Ack(ack) => sender.on_ack(&ack, &mut self.tally.sent),
            Frame::Want { seq, key } => sender.on_want(seq, key),
            Frame::Mode { publisher, eager } => {
                sender.on_mode(publisher, eager);
                Ok(())
            }
            Frame::Ping { nonce } => {
                sender.pipe.send(Frame::Pong { nonce }, ground);
                Ok(())
            }
            Frame::Pong { nonce } => self.on_pong(nonce, ground),
            Frame::KeyStatement(_) => Ok(()),
            _ => Err(FaultCode::Protocol),
        }
    }

    fn on_carrier(
        &mut self,
        carrier: CarrierFrame,
        answer: bool,
        ground: &mut Ground,
    ) -> Result<(), FaultCode> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let CarrierFrame { seq, check, path, envelope } = carrier;
        let stream = receiver.pipe.stream;
        if answer {
            // What was not asked for, or came twice, is not read.
            let Some(key) = receiver.take_answer(seq) else { return Ok(()) };
            ground.intake.landed(key, stream);
        } else {
            receiver.begin(Mark { seq, check })?;
        }
        if let Some(rate) = &mut self.rates.all {
            rate.spend(1, ground.now.tick);
        }
        let bytes = envelope.len();
        let envelope = match intake::decode(envelope) {
            Ok(envelope) if intake::path_fits(&path, &self.peer) => envelope,
            Ok(envelope) => {
                let key = envelope.envelope().key();
                let verdict = Verdict::Rejected { code: VerdictCode::BadPath, detail: path.to_string() };
                self.conclude(seq, key, &verdict, ground);
                return Ok(());
            }
            Err(verdict) => {
                self.conclude(seq, crate::identity::EventKey::default(), &verdict, ground);
                return Ok(());
            }
        };
        let key = envelope.envelope().key();
        if !ground.intake.in_flight_elsewhere(key, stream, ground.now.tick) {
            ground.intake.asked(key, stream, ground.now.tick);
        }
        self.rates.in_hand += bytes;
        let arrival = Arrival { peer: self.peer.name.clone(), stream, seq, answer, path, envelope };
        ground.intake.ask(Question::Arrival(Box::new(arrival)));
        Ok(())
    }

    fn on_have(&mut self, have: Have, ground: &mut Ground) -> Result<(), FaultCode> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let Have { seq, check, publisher, key, digest, .. } = have;
        receiver.begin(Mark { seq, check })?;
        let stream = receiver.pipe.stream;
        let offer = Offer { peer: self.peer.name.clone(), stream, seq, key, digest, publisher };
        ground.intake.ask(Question::Offer(Box::new(offer)));
        Ok(())
    }

    /// The fate of an entry of this feed is known.
    pub fn conclude(
        &mut self,
        seq: u64,
        key: crate::identity::EventKey,
        verdict: &Verdict,
        ground: &mut Ground,
    ) {
        let name = &self.peer.name;
        if !matches!(verdict, Verdict::Deferred { .. }) {
            ground.intake.stop_waiting(key, name, seq);
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.conclude(name, seq, verdict, &mut self.tally.received, ground);
        } else if ground.ledger.feeds.get(name).is_some_and(|state| state.owed.contains_key(&seq)) {
            if *verdict == Verdict::Refused {
                self.tally.received.refused += 1;
            }
            ground.note(Note::Settled { peer: name.clone(), seq });
        }
    }

    /// An arrival has its verdict, or is dropped: its bytes are no longer in hand.
    pub fn put_down(&mut self, bytes: usize) {
        self.rates.in_hand = self.rates.in_hand.saturating_sub(bytes);
    }

    pub fn is_current(&self, stream: StreamId) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.pipe.stream == stream)
    }

    /// `rate_per_publisher`: may one more envelope of `publisher` be taken now? `Err` with the wait in ms, which is
    /// then paid for: the entry is taken when it comes again.
    pub fn admit_rate(&mut self, publisher: &PublisherName, now: Tick) -> Result<(), u64> {
        let Some(rate) = self.peer.receive.rate_per_publisher else { return Ok(()) };
        if self.rates.by_publisher.len() >= PEERS_MAX {
            self.rates.by_publisher.clear();
        }
        let bucket =
            self.rates.by_publisher.entry(publisher.clone()).or_insert_with(|| Bucket::new(rate, now));
        if bucket.take(now) {
            return Ok(());
        }
        let wait = bucket.wait_ms(now);
        bucket.spend(1, now);
        Err(wait)
    }

    /// A carrier of this peer became entry `seq` of our journal.
    pub fn on_came(&mut self, seq: u64) {
        if self.receiver.is_some() && self.sender.is_some() {
            self.came.insert(seq);
        }
    }

    // --- who is there ---

    /// HELLO: is it who we trust, and one living process? `Ok(false)`: it has to wait for a probe.
    fn on_hello(
        &mut self,
        stream: StreamId,
        hello: Box<Hello>,
        ground: &mut Ground,
    ) -> Result<bool, FaultCode> {
        self.check_hello(&hello, ground)?;
        let others = self.admitted().filter(|other| *other != stream).collect::<Vec<_>>();
        if self.instance.is_some_and(|known| known != hello.instance) && !others.is_empty() {
            let nonce = hello.instance ^ ground.config.instance;
            self.probe(others[0], nonce, ground);
            let until = ground.tick().plus_ms(CLONE_PROBE_MS);
            let probation = Probation { hello, held: Vec::new(), nonce, until };
            let role = if self.is_current(stream) { Role::Receiver } else { Role::Sender };
            if role == Role::Receiver {
                let receiver = self.receiver.take().expect("bug: the stream is the receiver's");
                let opened = receiver.last_frame;
                // It says SUBSCRIBE anew when it is admitted.
                self.arriving.push(Arriving {
                    pipe: receiver.pipe,
                    role,
                    opened,
                    probation: Some(probation),
                });
            } else if let Some(arriving) =
                self.arriving.iter_mut().find(|arriving| arriving.pipe.stream == stream)
            {
                arriving.probation = Some(probation);
            }
            return Ok(false);
        }
        self.admit(stream, hello, ground)?;
        Ok(true)
    }

    fn check_hello(&self, hello: &Hello, ground: &Ground) -> Result<(), FaultCode> {
        if hello.version_min > WIRE_VERSION_MAX || hello.version_max < WIRE_VERSION_MIN {
            return Err(FaultCode::Version);
        }
        if hello.federation != ground.config.federation {
            return Err(FaultCode::Federation);
        }
        if hello.name != self.peer.name && !self.peer.aliases.contains(&hello.name) {
            return Err(FaultCode::Name);
        }
        Ok(())
    }

    /// Streams whose HELLO was accepted.
    fn admitted(&self) -> impl Iterator<Item = StreamId> {
        let receiver = self.receiver.iter().filter(|receiver| receiver.hello.is_some());
        receiver
            .map(|receiver| receiver.pipe.stream)
            .chain(self.sender.iter().map(|sender| sender.pipe.stream))
    }

    fn probe(&mut self, stream: StreamId, nonce: u64, ground: &mut Ground) {
        let pipes = self.receiver.iter_mut().map(|receiver| &mut receiver.pipe);
        let mut pipes = pipes.chain(self.sender.iter_mut().map(|sender| &mut sender.pipe));
        if let Some(pipe) = pipes.find(|pipe| pipe.stream == stream) {
            pipe.send(Frame::Ping { nonce }, ground);
        }
    }

    fn admit(&mut self, stream: StreamId, hello: Box<Hello>, ground: &mut Ground) -> Result<(), FaultCode> {
        let wall = ground.now.wall;
        self.facts.skew_ms =
            i64::try_from(hello.now.0).ok().zip(i64::try_from(wall.0).ok()).map(|(a, b)| a - b);
        self.facts.software = Some(hello.software.clone());
        self.facts.last_error = None;
        self.facts.fault = None;
        self.instance = Some(hello.instance);
        let configured = ground.trust.peers().filter(|peer| peer.dialled).count();
        if ground.clock.peer_says(&self.peer.name, hello.now, configured, ground.now).is_some() {
            ground.tell(Event::ClockOk);
        }
        if let Some(receiver) = &mut self.receiver
            && receiver.pipe.stream == stream
        {
            if receiver.hello.is_some() {
                return Err(FaultCode::Protocol);
            }
            receiver.on_head(hello.last_seq, Timestamp(0));
            receiver.hello = Some(*hello);
            ground.tell(Event::FeedUp { peer: self.peer.name.clone(), role: Role::Receiver });
            return Ok(());
        }
        let Some(at) = self.arriving.iter().position(|arriving| arriving.pipe.stream == stream) else {
            return Err(FaultCode::Protocol);
        };
        let arriving = self.arriving.remove(at);
        if let Some(older) = self.sender.as_ref().map(|sender| sender.pipe.stream) {
            self.close(older, Some(FaultCode::Replaced), ground);
        }
        self.sender = Some(Sender::new(arriving.pipe, ground.tick()));
        ground.tell(Event::FeedUp { peer: self.peer.name.clone(), role: Role::Sender });
        Ok(())
    }

    /// The rest of a batch waits with its stream for the end of the probe.
    fn hold(&mut self, stream: StreamId, frames: Vec<Frame>) {
        for arriving in &mut self.arriving {
            if arriving.pipe.stream == stream
                && let Some(probation) = &mut arriving.probation
            {
                probation.held = frames;
                return;
            }
        }
    }

    /// The older stream answers: two processes run with this key. The newer is refused.
    fn on_pong(&mut self, nonce: u64, ground: &mut Ground) -> Result<(), FaultCode> {
        let probed = |arriving: &Arriving| {
            arriving.probation.as_ref().is_some_and(|probation| probation.nonce == nonce)
        };
        while let Some(stream) =
            self.arriving.iter().find(|arriving| probed(arriving)).map(|arriving| arriving.pipe.stream)
        {
            self.facts.cloned_until = Some(ground.tick().plus_ms(2 * FEED_SILENT_MS));
            self.facts.last_error = Some("two live nodes use this key".to_owned());
            self.close(stream, Some(FaultCode::Cloned), ground);
            self.contact.feed_backoff.refused(ground.tick());
        }
        Ok(())
    }

    /// The older streams are gone: whoever waited for a probe is the one.
    fn admit_if_alone(&mut self, ground: &mut Ground) {
        if self.admitted().next().is_some() {
            return;
        }
        let Some(at) = self.arriving.iter().position(|arriving| arriving.probation.is_some()) else { return };
        let stream = self.arriving[at].pipe.stream;
        let Some(probation) = self.arriving[at].probation.take() else { return };
        self.instance = None;
        if self.arriving[at].role == Role::Receiver {
            // Its SUBSCRIBE is old by now: a new stream asks again.
            self.close(stream, Some(FaultCode::Replaced), ground);
            self.contact.feed_backoff.reset(ground.tick());
            return;
        }
        match self.admit(stream, probation.hello, ground) {
            Ok(()) => self.on_frames(stream, probation.held, ground),
            Err(code) => self.fail(stream, code, ground),
        }
    }

    // --- time ---

    /// Does what is due: silence, probes, dialling, and both ends of the feed.
    pub fn pump(&mut self, stalled: bool, ground: &mut Ground) {
        self.close_silent(ground);
        self.reach_out(stalled, ground);
        if let Some(receiver) = &mut self.receiver {
            receiver.pump(&self.peer.name, ground);
            self.read_on(ground);
        }
        if let Some(sender) = &mut self.sender {
            sender.pump(&self.peer, &mut self.came, &mut self.tally.sent, ground);
        }
    }

    /// Reads the feed again, where there is room and the rate allows it.
    fn read_on(&mut self, ground: &mut Ground) {
        let Some(receiver) = &self.receiver else { return };
        let waits = self.rates.all.as_mut().is_some_and(|rate| rate.wait_ms(ground.now.tick) > 0);
        if self.rates.unread && self.rates.in_hand < INTAKE_BYTES_MAX && !waits && ground.appender.has_room()
        {
            self.rates.unread = false;
            ground.emit(Output::Resume { stream: receiver.pipe.stream });
        }
    }

    fn close_silent(&mut self, ground: &mut Ground) {
        let now = ground.tick();
        let ends = self.receiver.iter().map(|receiver| (receiver.pipe.stream, receiver.last_frame));
        let ends = ends.chain(self.sender.iter().map(|sender| (sender.pipe.stream, sender.last_frame)));
        let silent: Vec<StreamId> =
            ends.filter(|(_, last)| now >= last.plus_ms(FEED_SILENT_MS)).map(|(stream, _)| stream).collect();
        for stream in &silent {
            self.fail(*stream, FaultCode::Silent, ground);
        }
        let late: Vec<StreamId> = self
            .arriving
            .iter()
            .filter(|arriving| arriving.probation.is_none() && now >= arriving.opened.plus_ms(FEED_SILENT_MS))
            .map(|arriving| arriving.pipe.stream)
            .collect();
        for stream in late {
            self.close(stream, Some(FaultCode::Silent), ground);
        }
        let over =
            |arriving: &Arriving| arriving.probation.as_ref().is_some_and(|probation| now >= probation.until);
        if self.arriving.iter().any(over) {
            // The older streams did not answer in time: they are dead.
            for stream in self.admitted().collect::<Vec<_>>() {
                self.close(stream, Some(FaultCode::Replaced), ground);
            }
            self.admit_if_alone(ground);
        }
        if !silent.is_empty() && self.receiver.is_none() && self.sender.is_none() {
            // The connection may be half open: dial a new one rather than trust it.
            ground.emit(Output::Disconnect { peer: self.peer.name.clone() });
        }
    }

    pub fn timeout(&mut self, ground: &Ground) -> Option<Tick> {
        let contact = match &self.contact.state {
            ContactState::Down { .. } if self.peer.dialled && !self.peer.paused => {
                Some(self.contact.backoff.until)
            }
            ContactState::Up { .. }
                if self.receiver.is_none() && !self.contact.opening && !self.peer.paused =>
            {
                Some(self.contact.feed_backoff.until)
            }
            _ => None,
        };
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
        let rate = self.rates.all.as_mut().filter(|_| self.rates.unread).map(|rate| {
            let now = ground.tick();
            now.plus_ms(rate.wait_ms(now))
        });
        let rate = rate.filter(|at| *at > ground.tick());
        [contact, receiver, sender, rate, arriving.min()].into_iter().flatten().min()
    }
}
