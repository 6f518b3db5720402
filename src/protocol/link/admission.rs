//! Admits peers: HELLO, the peer's instance, and the probe that tells a restarted node from a second one. Keys were
//! proven by the transport.

use super::*;
use crate::envelope::SignedStatement;

impl PeerSession {
    /// HELLO: is it who we trust, and one living process? `Ok(false)`: it has to wait for a probe.
    pub(super) fn on_hello(
        &mut self,
        stream: StreamId,
        hello: Box<Hello>,
        core: &mut CoreState,
    ) -> Result<bool, FeedFault> {
        self.facts.called = (hello.name != self.peer.name).then(|| hello.name.clone());
        self.check_hello(&hello, &core.context)?;
        hello.key_statements.iter().for_each(|statement| self.learn(statement, core));
        let others = self.admitted().filter(|other| *other != stream).collect::<Vec<_>>();
        if self.instance.is_some_and(|known| known != hello.instance) && !others.is_empty() {
            let nonce = hello.instance ^ core.context.config.instance;
            self.probe(others[0], nonce, &core.context, &mut core.traffic);
            let until = core.context.tick().plus_ms(CLONE_PROBE_MS);
            let probation = Probation { hello, held: Vec::new(), nonce, until };
            let role = if self.is_current(stream) { Role::Receiver } else { Role::Sender };
            if role == Role::Receiver {
                let receiver = self.receiver.take().expect("bug: the stream is the receiver's");
                let opened = receiver.last_frame;
                // It says SUBSCRIBE anew when it is admitted.
                self.arriving.push(ArrivingFeed {
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
        self.admit(stream, *hello, core)?;
        Ok(true)
    }

    /// The fault for a peer that shares no version with this node.
    pub(super) fn no_common_version(of: &FeedGreeting) -> FeedFault {
        let (min, max) = (of.version_min, of.version_max);
        let detail = format!("version {min} to {max}; expected {WIRE_VERSION_MIN} to {WIRE_VERSION_MAX}");
        FeedFault { code: FaultCode::Version, detail }
    }

    fn check_hello(&self, hello: &Hello, context: &CoreContext) -> Result<(), FeedFault> {
        if hello.federation != context.config.federation {
            let detail = format!("{:?}; expected {:?}", hello.federation, context.config.federation);
            return Err(FeedFault { code: FaultCode::Federation, detail });
        }
        if !self.peer.has_name(&hello.name) {
            let detail = format!("{}; expected {}, by the peer file here", hello.name, self.peer.name);
            return Err(FeedFault { code: FaultCode::Name, detail });
        }
        Ok(())
    }

    /// Returns the streams with an accepted HELLO.
    pub(super) fn admitted(&self) -> impl Iterator<Item = StreamId> {
        let receiver = self.receiver.iter().filter(|receiver| receiver.hello.is_some());
        receiver
            .map(|receiver| receiver.pipe.stream)
            .chain(self.sender.iter().map(|sender| sender.pipe.stream))
    }

    pub(super) fn probe(
        &mut self,
        stream: StreamId,
        nonce: u64,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        let pipes = self.receiver.iter_mut().map(|receiver| &mut receiver.pipe);
        let mut pipes = pipes.chain(self.sender.iter_mut().map(|sender| &mut sender.pipe));
        if let Some(pipe) = pipes.find(|pipe| pipe.stream == stream) {
            pipe.send(WireFrame::Ping { nonce }, context, traffic);
        }
    }

    pub(super) fn admit(
        &mut self,
        stream: StreamId,
        hello: Hello,
        core: &mut CoreState,
    ) -> Result<(), FeedFault> {
        let wall = core.context.now.wall;
        self.facts.skew_ms =
            i64::try_from(hello.now.0).ok().zip(i64::try_from(wall.0).ok()).map(|(a, b)| a - b);
        self.facts.software = Some(hello.software.clone());
        self.facts.last_error = None;
        self.instance = Some(hello.instance);
        let configured = core.context.trust.peers().filter(|peer| peer.dialled).count();
        if core.context.clock.peer_says(&self.peer.name, hello.now, configured, core.context.now).is_some() {
            core.traffic.tell(Event::ClockOk);
        }
        if let Some(receiver) = &mut self.receiver
            && receiver.pipe.stream == stream
        {
            if receiver.hello.is_some() {
                return Err(FeedFault::out_of_turn("a second HELLO"));
            }
            receiver.on_head(hello.last_seq, Timestamp(0));
            receiver.hello = Some(hello);
            receiver.pipe.greeted(&core.context, &mut core.traffic);
            core.traffic.tell(Event::FeedUp { peer: self.peer.name.clone(), role: Role::Receiver });
            return Ok(());
        }
        let Some(at) = self.arriving.iter().position(|arriving| arriving.pipe.stream == stream) else {
            return Err(FeedFault::out_of_turn("a second HELLO"));
        };
        let arriving = self.arriving.remove(at);
        if let Some(older) = self.sender.as_ref().map(|sender| sender.pipe.stream) {
            self.close(older, Some(FaultCode::Replaced.into()), core);
        }
        self.sender = Some(FeedSender::new(arriving.pipe, core.context.tick()));
        // Before any carrier that needs them; our own went with HELLO.
        let own = IdentityKey::of(core.context.trust.own_key());
        let of_others = core.disk.ledger.statements.latest().filter(|said| said.signer() != own);
        // Not what an older key said under a name that was paired anew: the peer would take it for a forgery.
        let by_present_key = |said: &&SignedStatement| {
            let identity = core.context.trust.identity_key(&said.statement().publisher);
            identity.is_none_or(|key| IdentityKey::of(key) == said.signer())
        };
        of_others.filter(by_present_key).for_each(|said| self.show_statement(said.signer()));
        core.traffic.tell(Event::FeedUp { peer: self.peer.name.clone(), role: Role::Sender });
        Ok(())
    }

    /// The rest of a batch waits with its stream for the end of the probe.
    pub(super) fn hold(&mut self, stream: StreamId, frames: Vec<WireFrame>) {
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
    pub(super) fn on_pong(&mut self, nonce: u64, core: &mut CoreState) {
        let probed = |arriving: &ArrivingFeed| {
            arriving.probation.as_ref().is_some_and(|probation| probation.nonce == nonce)
        };
        while let Some(stream) =
            self.arriving.iter().find(|arriving| probed(arriving)).map(|arriving| arriving.pipe.stream)
        {
            let reason = ObstacleReason::Fault { code: FaultCode::Cloned, detail: String::new() };
            self.facts.obstacles.met_at_feed(Role::Sender, reason, FeedSide::Here, core.context.now);
            self.facts.last_error = Some("two live nodes use this key".to_owned());
            self.close(stream, Some(FaultCode::Cloned.into()), core);
            self.contact.feed_backoff.refused(core.context.tick());
        }
    }

    /// Admits the stream that waited for a probe if the older streams are gone.
    pub(super) fn admit_if_alone(&mut self, core: &mut CoreState) {
        if self.admitted().next().is_some() {
            return;
        }
        let on_probation = |arriving: &ArrivingFeed| arriving.probation.as_ref().map(|it| it.hello.instance);
        let Some(instance) = self.arriving.iter().find_map(on_probation) else { return };
        self.instance = Some(instance);
        while let Some(at) = self.arriving.iter().position(|arriving| arriving.probation.is_some()) {
            let stream = self.arriving[at].pipe.stream;
            let Some(probation) = self.arriving[at].probation.take() else { return };
            if self.arriving[at].role == Role::Receiver || probation.hello.instance != instance {
                // Its SUBSCRIBE is old by now, or it is a third process: a new stream asks again.
                self.close(stream, Some(FaultCode::Replaced.into()), core);
                self.contact.feed_backoff.reset(core.context.tick());
                continue;
            }
            match self.admit(stream, *probation.hello, core) {
                Ok(()) => self.on_frames(stream, probation.held, core),
                Err(fault) => self.fail(stream, fault, core),
            }
        }
    }
}
