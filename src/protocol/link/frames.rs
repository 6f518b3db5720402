//! Frames to the end of the feed that they are for, and envelopes on to the intake. Decides no verdict.

use super::*;
use crate::identity::EventKey;
use crate::protocol::io::TransportOutput;

/// Entries that came from a peer and its own feed has not reached yet.
const CAME_MAX: usize = 65_536;

/// Which end of this session a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// We take what the peer sends.
    Feed,
    /// The peer takes what we send.
    Serve,
    /// It has not said HELLO, or waits for a probe.
    Arriving,
}

/// The next step after a frame.
enum NextStep {
    GoOn,
    /// The rest waits for the end of a probe.
    Hold,
}

impl PeerSession {
    pub(crate) fn on_frames(&mut self, stream: StreamId, frames: Vec<WireFrame>, core: &mut CoreState) {
        let mut frames = VecDeque::from(frames);
        // A stream that is not known was closed here before the transport heard of it, or by the frame before.
        while let Some(end) = self.end_of(stream) {
            if let (StreamEnd::Serve, Some(sender)) = (end, &mut self.sender)
                && sender.holds(&mut frames)
            {
                return;
            }
            let Some(frame) = frames.pop_front() else {
                return self.read_rest(stream, end, &core.context, &mut core.traffic);
            };
            if end == StreamEnd::Feed && self.rates.holds_up(&frame, core.context.tick()) {
                frames.push_front(frame);
                self.rates.held_up = frames.into();
                return;
            }
            match self.on_frame(stream, end, frame, core) {
                Ok(NextStep::GoOn) => {}
                Ok(NextStep::Hold) => return self.hold(stream, frames.into()),
                Err(fault) => return self.fail(stream, fault, core),
            }
        }
    }

    /// All frames of one delivery are handled.
    fn read_rest(&mut self, stream: StreamId, end: StreamEnd, context: &CoreContext, traffic: &mut Traffic) {
        match (end, &mut self.sender) {
            (StreamEnd::Feed, _) => self.rates.unread = true,
            (StreamEnd::Serve, Some(sender)) => sender.read_on(context, traffic),
            (StreamEnd::Serve | StreamEnd::Arriving, _) => traffic.emit(TransportOutput::Resume { stream }),
        }
    }

    /// Returns `None` if `stream` is none of this session's.
    fn end_of(&self, stream: StreamId) -> Option<StreamEnd> {
        let is_arriving = || self.arriving.iter().any(|arriving| arriving.pipe.stream == stream);
        if self.receiver.as_ref().is_some_and(|receiver| receiver.pipe.stream == stream) {
            Some(StreamEnd::Feed)
        } else if self.sender.as_ref().is_some_and(|sender| sender.pipe.stream == stream) {
            Some(StreamEnd::Serve)
        } else {
            is_arriving().then_some(StreamEnd::Arriving)
        }
    }

    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.end_of(stream).is_some()
    }

    /// Is it the stream on which the peer's feed comes?
    pub(crate) fn is_current(&self, stream: StreamId) -> bool {
        self.end_of(stream) == Some(StreamEnd::Feed)
    }

    fn role_of(&self, stream: StreamId) -> Option<Role> {
        match self.end_of(stream)? {
            StreamEnd::Feed => Some(Role::Receiver),
            StreamEnd::Serve => Some(Role::Sender),
            StreamEnd::Arriving => {
                self.arriving.iter().find(|it| it.pipe.stream == stream).map(|arriving| arriving.role)
            }
        }
    }

    fn pipe_of(&mut self, end: StreamEnd) -> Option<&mut FeedPipe> {
        match end {
            StreamEnd::Feed => self.receiver.as_mut().map(|receiver| &mut receiver.pipe),
            StreamEnd::Serve => self.sender.as_mut().map(|sender| &mut sender.pipe),
            StreamEnd::Arriving => None,
        }
    }

    /// The peer broke the protocol, or we cannot go on with it.
    pub(super) fn fail(&mut self, stream: StreamId, fault: FeedFault, core: &mut CoreState) {
        self.facts.last_error = Some(format!("feed closed here: {fault}"));
        if let Some(role) = self.role_of(stream) {
            let reason = ObstacleReason::Fault { code: fault.code, detail: fault.detail.clone() };
            self.facts.obstacles.met_at_feed(role, reason, FeedSide::Here, core.context.now);
        }
        if matches!(fault.code, FaultCode::Version | FaultCode::Federation | FaultCode::Name) {
            self.contact.feed_backoff.refused(core.context.tick());
        } else {
            self.contact.feed_backoff.failed(core.context.now.tick, &mut core.traffic.rng);
        }
        let cause = format!("fault: {fault}");
        core.traffic.tell(Event::FeedDown { peer: self.peer.name.clone(), stream, cause });
        self.close(stream, Some(fault), core);
        self.admit_if_alone(core);
    }

    /// Handles the frames that mean the same on every stream, and passes others to their end.
    fn on_frame(
        &mut self,
        stream: StreamId,
        end: StreamEnd,
        frame: WireFrame,
        core: &mut CoreState,
    ) -> Result<NextStep, FeedFault> {
        match frame {
            WireFrame::Hello(hello) => {
                let is_admitted = self.on_hello(stream, hello, core)?;
                return Ok(if is_admitted { NextStep::GoOn } else { NextStep::Hold });
            }
            WireFrame::OtherVersion(greeting) => return Err(Self::no_common_version(&greeting)),
            WireFrame::Fault { code, detail } => {
                let said = format!("the peer closed the feed: {code} {detail}");
                self.facts.last_error = Some(said.trim_end().to_owned());
                if let Some(role) = self.role_of(stream) {
                    let reason = ObstacleReason::Fault { code: code.handled_as(), detail };
                    self.facts.obstacles.met_at_feed(role, reason, FeedSide::There, core.context.now);
                }
                return Ok(NextStep::GoOn);
            }
            _ => {}
        }
        self.heard(end, &frame, core.context.tick())?;
        match (frame, end) {
            (WireFrame::Ping { nonce }, _) => {
                if let Some(pipe) = self.pipe_of(end) {
                    pipe.send(WireFrame::Pong { nonce }, &core.context, &mut core.traffic);
                }
            }
            (WireFrame::Pong { nonce }, _) => self.on_pong(nonce, core),
            (WireFrame::KeyStatement(statement), _) => self.learn(&statement, core),
            (frame, StreamEnd::Serve) => self.on_sender_frame(frame, &core.disk, &mut core.traffic)?,
            (frame, _) => self.on_receiver_frame(frame, core)?,
        }
        Ok(NextStep::GoOn)
    }

    /// A frame came at `end`: only HELLO may be the first.
    fn heard(&mut self, end: StreamEnd, frame: &WireFrame, now: Tick) -> Result<(), FeedFault> {
        let was_greeted = match (end, &mut self.receiver, &mut self.sender) {
            (StreamEnd::Feed, Some(receiver), _) => {
                receiver.last_frame = now;
                receiver.hello.is_some()
            }
            (StreamEnd::Serve, _, Some(sender)) => {
                sender.last_frame = now;
                true
            }
            _ => false,
        };
        let fault = || FeedFault::out_of_turn(format!("{} before HELLO", frame.kind()));
        if was_greeted { Ok(()) } else { Err(fault()) }
    }

    /// Handles the frames of the sender of a feed.
    fn on_receiver_frame(&mut self, frame: WireFrame, core: &mut CoreState) -> Result<(), FeedFault> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let now = core.context.tick();
        match frame {
            WireFrame::Skip(skip) => {
                self.rates.spend_for_skip(now);
                receiver.on_skip(&self.peer.name, skip, &mut self.tally.received, core)?;
                // The sender has taken them: the next SUBSCRIBE goes on at the cursor.
                self.wishes = SubscribeOptions::default();
                self.facts.obstacles.feed_runs(Role::Receiver);
            }
            WireFrame::Carrier(carrier) => self.on_carrier(carrier, false, core)?,
            WireFrame::Answer(carrier) => self.on_carrier(carrier, true, core)?,
            WireFrame::Have(have) => self.on_have(have, &core.context, &core.disk, &mut core.traffic)?,
            WireFrame::Gone { seq } => {
                if let Some(key) = receiver.take_answer(seq, now) {
                    core.traffic.intake.landed(key, receiver.pipe.stream, now);
                    self.settle(seq, key, &Verdict::Missing, core);
                }
            }
            WireFrame::Head { seq, stored } => receiver.on_head(seq, stored),
            frame => {
                return Err(FeedFault::out_of_turn(format!("{} from the sender of a feed", frame.kind())));
            }
        }
        Ok(())
    }

    /// Handles the frames of the receiver of a feed.
    fn on_sender_frame(
        &mut self,
        frame: WireFrame,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) -> Result<(), FeedFault> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        match frame {
            WireFrame::Subscribe(subscribe) => sender.on_subscribe(subscribe, disk, traffic),
            WireFrame::Ack(ack) => sender.on_ack(&ack, &mut self.tally.sent),
            WireFrame::Want { seq, key } => sender.on_want(seq, key),
            WireFrame::Mode { publisher, eager } => {
                sender.on_mode(publisher, eager);
                Ok(())
            }
            frame => Err(FeedFault::out_of_turn(format!("{} from the receiver of a feed", frame.kind()))),
        }
    }

    fn on_carrier(
        &mut self,
        carrier: CarrierFrame,
        is_answer: bool,
        core: &mut CoreState,
    ) -> Result<(), FeedFault> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let CarrierFrame { seq, check, path, envelope: bytes } = carrier;
        let (stream, now) = (receiver.pipe.stream, core.context.tick());
        let asked = if is_answer { receiver.take_answer(seq, now) } else { None };
        if asked.is_none() {
            self.rates.spend(now);
        }
        if is_answer && asked.is_none() {
            // If it was not asked for, or came before, it is not read.
            return Ok(());
        }
        let size = bytes.len();
        let entry = FeedEntry { peer: self.peer.name.clone(), stream, seq, is_answer };
        let decoded = Received { entry, path, bytes }.decode();
        let key = match &decoded {
            Ok(decoded) => decoded.envelope().key(),
            Err(_) => asked.unwrap_or_default(),
        };
        match asked {
            Some(asked) => {
                core.traffic.intake.landed(asked, stream, now);
                if !is_asked_for(asked, key, &core.context) {
                    let detail = format!("ANSWER for seq {seq} is another event than the one asked for");
                    return Err(FeedFault::out_of_turn(detail));
                }
            }
            None if receiver.begin(
                &self.peer.name,
                Mark { seq, check },
                key,
                &core.context,
                &core.disk,
            )? => {}
            None => return Ok(()),
        }
        match decoded.and_then(|decoded| decoded.handed_over_by(&self.peer)) {
            Ok(decoded) => {
                if !core.traffic.intake.flights.elsewhere(key, stream, now) {
                    core.traffic.intake.flights.asked(key, &self.peer.name, stream, now);
                }
                self.rates.in_hand += size;
                core.traffic.intake.ask(SeenQuestion::Arrival(Box::new(decoded)));
            }
            Err(why) => self.settle(seq, key, &why.verdict(None), core),
        }
        Ok(())
    }

    fn on_have(
        &mut self,
        have: Have,
        context: &CoreContext,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) -> Result<(), FeedFault> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        self.rates.spend(context.now.tick);
        let Have { seq, check, created, publisher, key, digest } = have;
        if receiver.begin(&self.peer.name, Mark { seq, check }, key, context, disk)? {
            let (peer, stream) = (self.peer.name.clone(), receiver.pipe.stream);
            let entry = FeedEntry { peer, stream, seq, is_answer: false };
            let offer = EnvelopeOffer { entry, key, digest, publisher, created };
            traffic.intake.ask(SeenQuestion::Offer(Box::new(offer)));
        }
        Ok(())
    }

    /// The fate of an entry of this feed is known.
    pub(crate) fn settle(&mut self, seq: u64, key: EventKey, verdict: &Verdict, core: &mut CoreState) {
        let name = &self.peer.name;
        if !verdict.is_deferred() {
            core.traffic.intake.stop_waiting(key, name, seq);
        }
        if let Some(receiver) = &mut self.receiver {
            let (tally, rates) = (&mut self.tally.received, &mut self.rates.by_publisher);
            receiver.settle(name, (seq, key), verdict, tally, rates, core);
        } else if owes(name, seq, key, &core.context, &core.disk) {
            if *verdict == Verdict::Refused {
                self.tally.received.refused += 1;
            }
            core.note(Note::Settled { peer: name.clone(), seq });
        }
    }

    /// A carrier of this peer, which came on `stream`, became entry `seq` of our journal: only now does it count
    /// as accepted.
    pub(crate) fn on_came(&mut self, seq: u64, stream: StreamId) {
        self.tally.received.accepted += 1;
        if let Some(receiver) = &mut self.receiver {
            receiver.report_accepted();
        }
        // If an earlier stream brought it, the peer may have lost it since: it may be a restored backup by now.
        if self.is_current(stream) && self.sender.is_some() {
            self.came.insert(seq);
            // Forgetting one costs a HAVE that is refused.
            if self.came.len() > CAME_MAX {
                self.came.pop_first();
            }
        }
    }
}

fn owes(peer: &PublisherName, seq: u64, key: EventKey, context: &CoreContext, disk: &CoreDisk) -> bool {
    let owed = disk.ledger.feeds.get(peer).and_then(|state| state.owed.get(&seq));
    owed.is_some_and(|owed| is_same_entry(owed.key, key, context))
}

fn is_asked_for(asked: EventKey, key: EventKey, context: &CoreContext) -> bool {
    without!(context, WantKey => return true);
    asked == key
}
