//! Frames to the end of the feed that they are for, and envelopes on to the intake. Decides no verdict.

use super::*;
use crate::identity::EventKey;

/// Entries that came from a peer and its own feed has not reached yet.
const CAME_MAX: usize = 65_536;

impl PeerSession {
    pub fn on_frames(&mut self, stream: StreamId, frames: Vec<WireFrame>, ground: &mut CoreContext) {
        if !self.knows(stream) {
            // Read before the transport heard that the stream was closed here.
            return;
        }
        let mut frames = VecDeque::from(frames);
        loop {
            let sender = self.sender.as_mut().filter(|sender| sender.pipe.stream == stream);
            if sender.is_some_and(|sender| sender.holds(&mut frames)) {
                return;
            }
            let Some(frame) = frames.pop_front() else { break };
            if self.is_current(stream) && self.rates.holds_up(&frame, ground.tick()) {
                frames.push_front(frame);
                self.rates.held_up = frames.into();
                return;
            }
            let result = match frame {
                WireFrame::Hello(hello) => match self.on_hello(stream, hello, ground) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        self.hold(stream, frames.into());
                        return;
                    }
                    Err(fault) => Err(fault),
                },
                WireFrame::OtherVersion(greeting) => Err(Self::no_common_version(&greeting)),
                frame => self.on_frame(stream, frame, ground),
            };
            if let Err(fault) = result {
                self.fail(stream, fault, ground);
                return;
            }
            if !self.knows(stream) {
                return;
            }
        }
        match &mut self.receiver {
            Some(receiver) if receiver.pipe.stream == stream => self.rates.unread = true,
            _ => match &mut self.sender {
                Some(sender) if sender.pipe.stream == stream => sender.read_on(ground),
                _ => ground.emit(Output::Resume { stream }),
            },
        }
    }

    pub fn knows(&self, stream: StreamId) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.pipe.stream == stream)
            || self.sender.as_ref().is_some_and(|sender| sender.pipe.stream == stream)
            || self.arriving.iter().any(|arriving| arriving.pipe.stream == stream)
    }

    /// Which end of a feed `stream` is here.
    fn role_of(&self, stream: StreamId) -> Option<Role> {
        let arriving = || self.arriving.iter().find(|arriving| arriving.pipe.stream == stream);
        if self.is_current(stream) {
            Some(Role::Receiver)
        } else if self.sender.as_ref().is_some_and(|sender| sender.pipe.stream == stream) {
            Some(Role::Sender)
        } else {
            arriving().map(|arriving| arriving.role)
        }
    }

    /// The peer broke the protocol, or we cannot go on with it.
    pub(super) fn fail(&mut self, stream: StreamId, fault: FeedFault, ground: &mut CoreContext) {
        self.facts.last_error = Some(format!("feed closed here: {fault}"));
        if let Some(role) = self.role_of(stream) {
            let reason = ObstacleReason::Fault { code: fault.code, detail: fault.detail.clone() };
            self.facts.obstacles.met_at_feed(role, reason, FeedSide::Here, ground.now);
        }
        if matches!(fault.code, FaultCode::Version | FaultCode::Federation | FaultCode::Name) {
            self.contact.feed_backoff.refused(ground.tick());
        } else {
            self.contact.feed_backoff.failed(ground.now.tick, &mut ground.rng);
        }
        let cause = format!("fault: {fault}");
        ground.tell(Event::FeedDown { peer: self.peer.name.clone(), stream, cause });
        self.close(stream, Some(fault), ground);
        self.admit_if_alone(ground);
    }

    pub(super) fn on_frame(
        &mut self,
        stream: StreamId,
        frame: WireFrame,
        ground: &mut CoreContext,
    ) -> Result<(), FeedFault> {
        let now = ground.tick();
        if let WireFrame::Fault { code, detail } = &frame {
            self.facts.last_error =
                Some(format!("the peer closed the feed: {code} {detail}").trim_end().to_owned());
            if let Some(role) = self.role_of(stream) {
                let reason = ObstacleReason::Fault { code: code.handled_as(), detail: detail.clone() };
                self.facts.obstacles.met_at_feed(role, reason, FeedSide::There, ground.now);
            }
            return Ok(());
        }
        if let Some(receiver) = &mut self.receiver
            && receiver.pipe.stream == stream
        {
            receiver.last_frame = now;
            if receiver.hello.is_none() {
                return Err(before_hello(&frame));
            }
            return self.on_receiver_frame(frame, ground);
        }
        if let Some(sender) = &mut self.sender
            && sender.pipe.stream == stream
        {
            sender.last_frame = now;
            return self.on_sender_frame(frame, ground);
        }
        Err(before_hello(&frame))
    }

    pub(super) fn on_receiver_frame(
        &mut self,
        frame: WireFrame,
        ground: &mut CoreContext,
    ) -> Result<(), FeedFault> {
        let now = ground.now.tick;
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        match frame {
            WireFrame::Skip(skip) => {
                self.rates.spend_for_skip(now);
                receiver.on_skip(&self.peer.name, skip, &mut self.tally.received, ground)?;
                // Now the wish is fulfilled: a stream that died before would have taken it along.
                self.wishes = SubscribeOptions::default();
                self.facts.obstacles.feed_runs(Role::Receiver);
                Ok(())
            }
            WireFrame::Carrier(carrier) => self.on_carrier(carrier, false, ground),
            WireFrame::Answer(carrier) => self.on_carrier(carrier, true, ground),
            WireFrame::Have(have) => self.on_have(have, ground),
            WireFrame::Gone { seq } => {
                if let Some(key) = receiver.take_answer(seq, now) {
                    ground.intake.landed(key, receiver.pipe.stream, now);
                    self.conclude(seq, key, &Verdict::Missing, ground);
                }
                Ok(())
            }
            WireFrame::Head { seq, stored } => {
                receiver.on_head(seq, stored);
                Ok(())
            }
            WireFrame::Ping { nonce } => {
                receiver.pipe.send(WireFrame::Pong { nonce }, ground);
                Ok(())
            }
            WireFrame::Pong { nonce } => self.on_pong(nonce, ground),
            WireFrame::KeyStatement(statement) => {
                self.learn(&statement, ground);
                Ok(())
            }
            frame => Err(FeedFault::out_of_turn(format!("{} from the sender of a feed", frame.kind()))),
        }
    }

    pub(super) fn on_sender_frame(
        &mut self,
        frame: WireFrame,
        ground: &mut CoreContext,
    ) -> Result<(), FeedFault> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        match frame {
            WireFrame::Subscribe(subscribe) => sender.on_subscribe(subscribe, ground),
            WireFrame::Ack(ack) => sender.on_ack(&ack, &mut self.tally.sent),
            WireFrame::Want { seq, key } => sender.on_want(seq, key),
            WireFrame::Mode { publisher, eager } => {
                sender.on_mode(publisher, eager);
                Ok(())
            }
            WireFrame::Ping { nonce } => {
                sender.pipe.send(WireFrame::Pong { nonce }, ground);
                Ok(())
            }
            WireFrame::Pong { nonce } => self.on_pong(nonce, ground),
            WireFrame::KeyStatement(statement) => {
                self.learn(&statement, ground);
                Ok(())
            }
            frame => Err(FeedFault::out_of_turn(format!("{} from the receiver of a feed", frame.kind()))),
        }
    }

    pub(super) fn on_carrier(
        &mut self,
        carrier: CarrierFrame,
        answer: bool,
        ground: &mut CoreContext,
    ) -> Result<(), FeedFault> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let CarrierFrame { seq, check, path, envelope } = carrier;
        let stream = receiver.pipe.stream;
        let asked = if answer { receiver.take_answer(seq, ground.tick()) } else { None };
        if asked.is_none() {
            self.rates.spend(ground.now.tick);
        }
        if answer && asked.is_none() {
            // If it was not asked for, or came before, it is not read.
            return Ok(());
        }
        let bytes = envelope.len();
        let envelope = intake::decode(envelope);
        let key = match (&envelope, asked) {
            (Ok(envelope), _) => envelope.envelope().key(),
            (Err(_), asked) => asked.unwrap_or_default(),
        };
        match asked {
            Some(asked) => {
                ground.intake.landed(asked, stream, ground.now.tick);
                if asked != key && ground.on(ProtocolRule::WantKey) {
                    let detail = format!("ANSWER for seq {seq} is another event than the one asked for");
                    return Err(FeedFault::out_of_turn(detail));
                }
            }
            None => {
                if !receiver.begin(&self.peer.name, Mark { seq, check }, key, ground)? {
                    return Ok(());
                }
            }
        }
        let envelope = match envelope {
            Ok(envelope) if intake::path_fits(&path, &self.peer) => envelope,
            Ok(_) => {
                let verdict = Verdict::Rejected { code: VerdictCode::BadPath, detail: path.to_string() };
                self.conclude(seq, key, &verdict, ground);
                return Ok(());
            }
            Err(verdict) => {
                self.conclude(seq, key, &verdict, ground);
                return Ok(());
            }
        };
        if !ground.intake.flights.elsewhere(key, stream, ground.now.tick) {
            ground.intake.flights.asked(key, &self.peer.name, stream, ground.now.tick);
        }
        self.rates.in_hand += bytes;
        let arrival = EnvelopeArrival {
            peer: self.peer.name.clone(),
            stream,
            seq,
            answer,
            rival: false,
            path,
            envelope,
        };
        ground.intake.ask(SeenQuestion::Arrival(Box::new(arrival)));
        Ok(())
    }

    pub(super) fn on_have(&mut self, have: Have, ground: &mut CoreContext) -> Result<(), FeedFault> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        self.rates.spend(ground.now.tick);
        let Have { seq, check, created, publisher, key, digest } = have;
        if !receiver.begin(&self.peer.name, Mark { seq, check }, key, ground)? {
            return Ok(());
        }
        let stream = receiver.pipe.stream;
        let offer =
            EnvelopeOffer { peer: self.peer.name.clone(), stream, seq, key, digest, publisher, created };
        ground.intake.ask(SeenQuestion::Offer(Box::new(offer)));
        Ok(())
    }

    /// The fate of an entry of this feed is known.
    pub fn conclude(&mut self, seq: u64, key: EventKey, verdict: &Verdict, ground: &mut CoreContext) {
        let name = &self.peer.name;
        if !matches!(verdict, Verdict::Deferred { .. }) {
            ground.intake.stop_waiting(key, name, seq);
        }
        if let Some(receiver) = &mut self.receiver {
            let (tally, rates) = (&mut self.tally.received, &mut self.rates.by_publisher);
            receiver.conclude(name, (seq, key), verdict, tally, rates, ground);
        } else if owes(name, seq, key, ground) {
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

    /// May one more envelope of `publisher` be taken now? `Err` with the wait in ms.
    pub fn take_rate(&mut self, publisher: &PublisherName, ground: &CoreContext) -> Result<(), u64> {
        self.rates.by_publisher.take(publisher, &self.peer.name, ground)
    }

    /// A carrier of this peer, which came on `stream`, became entry `seq` of our journal: only now does it count
    /// as accepted.
    pub fn on_came(&mut self, seq: u64, stream: StreamId) {
        self.tally.received.accepted += 1;
        if let Some(receiver) = &mut self.receiver {
            receiver.report_accepted();
        }
        // If an earlier stream brought it, the peer may have lost it since: it may be a restored backup by now.
        let stands = self.receiver.as_ref().is_some_and(|receiver| receiver.pipe.stream == stream);
        if stands && self.sender.is_some() {
            self.came.insert(seq);
            // Forgetting one costs a HAVE that is refused.
            if self.came.len() > CAME_MAX {
                self.came.pop_first();
            }
        }
    }
}

fn before_hello(frame: &WireFrame) -> FeedFault {
    FeedFault::out_of_turn(format!("{} before HELLO", frame.kind()))
}

fn owes(peer: &PublisherName, seq: u64, key: EventKey, ground: &CoreContext) -> bool {
    let owed = ground.ledger.feeds.get(peer).and_then(|state| state.owed.get(&seq));
    owed.is_some_and(|owed| owed.key == key || !ground.on(ProtocolRule::VerdictKey))
}
