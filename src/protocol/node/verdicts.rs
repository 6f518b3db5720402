//! From an arrival, an offer or a submission to its verdict (PROTOCOL.md §6.2), in the order in which they are
//! asked: seen set, trust and time, signature, receive policy. The rules themselves are `intake`'s and `policy`'s.

use ed25519_dalek::VerifyingKey;

use super::*;
use crate::limits::CLOCK_JUMP_MS;
use crate::policy::KeyFault;

impl Node {
    pub(super) fn on_known(&mut self, ticket: Ticket, digests: Vec<Option<CoreDigest>>) {
        let questions = self.ground.intake.answered(ticket);
        for (question, known) in questions.into_iter().zip(digests) {
            match question {
                SeenQuestion::Arrival(arrival) => self.on_known_arrival(arrival, known),
                SeenQuestion::Offer(offer) => self.on_known_offer(*offer, known),
                SeenQuestion::Submission { ticket, envelope } => {
                    let key = envelope.envelope().key();
                    self.on_known_submission(ticket, envelope, self.held(key, known));
                }
                SeenQuestion::Returned { ticket, key } => match self.held(key, known) {
                    Some(_) => self.answer_duplicate(ticket, key),
                    None => self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Foreign }),
                },
                SeenQuestion::Recall { ticket, id } => self.on_known_recall(ticket, id, known),
            }
        }
        self.ground.intake.forget_stale();
    }

    /// Returns the digest that this node holds, or has accepted a moment ago, under `key`.
    pub(super) fn held(&self, key: EventKey, known: Option<CoreDigest>) -> Option<CoreDigest> {
        self.ground.intake.fresh(key).map(|envelope| envelope.digest()).or(known)
    }

    /// The same for a copy with `digest`: of an entry that is lost here one is taken again.
    fn held_beside(
        &self,
        key: EventKey,
        digest: CoreDigest,
        known: Option<CoreDigest>,
    ) -> Option<CoreDigest> {
        let known = known.filter(|known| *known != digest || !self.ground.ledger.losses.wants(key));
        self.held(key, known)
    }

    pub(super) fn on_known_arrival(&mut self, mut arrival: Box<EnvelopeArrival>, known: Option<CoreDigest>) {
        let envelope = arrival.envelope.envelope();
        let (key, digest) = (envelope.key(), envelope.digest());
        match self.held_beside(key, digest, known) {
            Some(held) if held == digest => self.conclude(&arrival, Verdict::Refused),
            Some(_) if self.is_equivocation(arrival.envelope.envelope().publisher(), key, digest) => {
                self.conclude(&arrival, Verdict::rejected(VerdictCode::Equivocation));
            }
            held => {
                arrival.rival = held.is_some();
                self.examine(arrival);
            }
        }
    }

    /// Trust and time, before the signature.
    pub(super) fn examine(&mut self, arrival: Box<EnvelopeArrival>) {
        let envelope = arrival.envelope.envelope();
        match intake::candidate_keys(envelope, &self.ground) {
            Err(verdict) => self.conclude(&arrival, verdict),
            Ok(keys) => match intake::judge_time(envelope, &self.ground) {
                Some(verdict) => self.conclude(&arrival, verdict),
                None => self.ground.intake.check(*arrival, keys),
            },
        }
    }

    pub(super) fn on_known_offer(&mut self, offer: EnvelopeOffer, known: Option<CoreDigest>) {
        let (key, digest, stream) = (offer.key, offer.digest, offer.stream);
        let (peer, publisher) = (&offer.peer, &offer.publisher);
        let held = self.held_beside(key, digest, known);
        let lost = held.is_some_and(|held| held != digest) && self.is_equivocation(publisher, key, digest);
        let now = self.ground.tick();
        let elsewhere = self.ground.intake.flights.elsewhere(key, stream, now);
        let Some(link) = self.links.get_mut(peer).filter(|link| link.is_current(stream)) else { return };
        let own = self.ground.is_own(publisher);
        let named = intake::OfferIdentity { key, digest, publisher };
        let verdict = match held {
            Some(held) if held == digest => Some(Verdict::Refused),
            Some(_) if lost => Some(Verdict::rejected(VerdictCode::Equivocation)),
            None if !self.ground.trust.publisher(publisher)
                || (own && !self.ground.on(ProtocolRule::OwnTrusted)) =>
            {
                let detail = publisher.to_string();
                Some(Verdict::Rejected { code: VerdictCode::UnknownPublisher, detail })
            }
            None if policy::receive_offer(publisher, self.ground.trust.own_names(), &link.peer).is_err() => {
                Some(Verdict::rejected(VerdictCode::RelayNotAllowed))
            }
            None if self.ground.trust.is_revoked(publisher) && !self.ground.is_released(key) => {
                Some(intake::waits_for_the_operator(named, &self.ground))
            }
            None if elsewhere && !self.ground.on(ProtocolRule::HeldNotInFlight) => Some(Verdict::Refused),
            None => intake::ahead_of_time(offer.created, named, &self.ground),
            Some(_) => None,
        };
        match verdict {
            Some(verdict) => link.conclude(offer.seq, key, &verdict, &mut self.ground),
            None => {
                if let Some(receiver) = &mut link.receiver {
                    receiver.offered(offer, &mut self.ground);
                }
            }
        }
    }

    pub(super) fn is_equivocation(
        &self,
        publisher: &PublisherName,
        key: EventKey,
        digest: CoreDigest,
    ) -> bool {
        let known = self.ground.ledger.equivocations.get(publisher);
        known.is_some_and(|known| known.len() >= EQUIVOCATION_PROOFS_MAX || known.contains(&(key, digest)))
    }

    pub(super) fn on_verified(
        &mut self,
        ticket: Ticket,
        results: Vec<Result<crate::envelope::VerifiedEnvelope, VerdictCode>>,
    ) {
        // Statements learnt with this very batch count already.
        self.spread_statements();
        let arrivals = self.ground.intake.verified(ticket);
        for ((arrival, tried), result) in arrivals.into_iter().zip(results) {
            match result {
                Err(VerdictCode::BadSignature) => self.on_unsigned(arrival, &tried),
                Err(code) => {
                    let detail = arrival.envelope.envelope().id().to_string();
                    self.conclude(&arrival, Verdict::Rejected { code, detail });
                }
                Ok(envelope) => self.on_verified_arrival(Box::new(arrival), envelope),
            }
        }
        self.ground.intake.forget_stale();
    }

    /// None of the keys that were tried signed it; but another one may have come meanwhile.
    fn on_unsigned(&mut self, arrival: EnvelopeArrival, tried: &[ed25519_dalek::VerifyingKey]) {
        let envelope = arrival.envelope.envelope();
        let candidates = intake::candidate_keys(envelope, &self.ground);
        if candidates.is_ok_and(|keys| keys.iter().any(|key| !tried.contains(key))) {
            return self.examine(Box::new(arrival));
        }
        let verdict = intake::judge_unsigned(envelope, tried, &self.ground);
        self.conclude(&arrival, verdict);
    }

    pub(super) fn on_verified_arrival(
        &mut self,
        arrival: Box<EnvelopeArrival>,
        envelope: crate::envelope::VerifiedEnvelope,
    ) {
        let core = envelope.envelope();
        let (key, digest) = (core.key(), core.digest());
        let Some(link) = self.links.get_mut(&arrival.peer) else { return };
        if !link.is_current(arrival.stream) {
            link.put_down(core.bytes().len());
            return;
        }
        if let Err(verdict) = intake::judge_signer(&envelope, &self.ground) {
            return self.conclude(&arrival, verdict);
        }
        if let Some(verdict) = intake::receive_verdict(core.core(), &arrival.path, &link.peer, &self.ground) {
            if let Some(failure) =
                policy::failure(link.peer.receive.filter.as_ref(), core.core(), &arrival.path)
            {
                link.tally.received.failing.note(failure, self.ground.now.wall);
            }
            self.conclude(&arrival, verdict);
            return;
        }
        // Asked again after the signature: another copy may have come meanwhile.
        match self.ground.intake.fresh(key).map(|fresh| fresh.digest()) {
            Some(fresh) if fresh == digest => return self.conclude(&arrival, Verdict::Refused),
            None if !arrival.rival => {}
            _ => return self.compare(RivalComparison::Arrival(arrival, envelope)),
        }
        // A requested envelope has paid for its place already.
        let publisher = envelope.envelope().publisher().clone();
        if let Err(wait) = if arrival.answer { Ok(()) } else { link.take_rate(&publisher, &self.ground) } {
            let retry_at = self.ground.steady().plus_ms(wait);
            let verdict =
                intake::OfferIdentity::by(envelope.envelope()).deferred(VerdictCode::Rate, retry_at);
            return self.conclude(&arrival, verdict);
        }
        self.accept(arrival, envelope, &publisher);
    }

    pub(super) fn accept(
        &mut self,
        arrival: Box<EnvelopeArrival>,
        envelope: crate::envelope::VerifiedEnvelope,
        publisher: &PublisherName,
    ) {
        let key = envelope.envelope().key();
        let (id, digest) = (envelope.envelope().id().clone(), envelope.envelope().digest());
        let bytes = envelope.envelope().bytes().len();
        self.ground.intake.accepted(envelope.envelope().clone());
        let arrived = self.ground.steady();
        self.ground.appender.push_carrier(
            NewCarrier { envelope, path: arrival.path.clone(), arrived },
            Some((arrival.peer.clone(), arrival.stream)),
        );
        self.ground.forget_release(key);
        let waiting = self.ground.intake.take_waiting(key, digest);
        self.conclude(&arrival, Verdict::Accepted);
        for (peer, seq) in waiting {
            if (&peer, seq) != (&arrival.peer, arrival.seq) {
                self.with_link(&peer, |link, ground| link.conclude(seq, key, &Verdict::Refused, ground));
            }
        }
        if let Some(link) = self.links.get_mut(&arrival.peer)
            && let Some(receiver) = &mut link.receiver
        {
            let is_own = link.peer.has_name(publisher);
            if arrival.answer {
                receiver.answered_news(arrival.seq, publisher, is_own, &mut self.ground);
            } else {
                receiver.pushed_news(publisher);
            }
        }
        let source = Some(arrival.peer);
        self.ground.tell(Event::Envelope { id, source, outcome: EnvelopeOutcome::Accepted, bytes });
    }

    /// An arrival has its verdict.
    pub(super) fn conclude(&mut self, arrival: &EnvelopeArrival, verdict: Verdict) {
        let envelope = arrival.envelope.envelope();
        let (key, publisher) = (envelope.key(), envelope.publisher().clone());
        let other_eager = self.links.values().any(|link| {
            let receiver = link.receiver.as_ref().filter(|_| link.peer.name != arrival.peer);
            receiver.is_some_and(|receiver| receiver.is_eager(&publisher, link.peer.has_name(&publisher)))
        });
        let Some(link) = self.links.get_mut(&arrival.peer) else { return };
        if !link.is_current(arrival.stream) {
            return;
        }
        link.put_down(envelope.bytes().len());
        self.ground.intake.landed(key, arrival.stream, self.ground.now.tick);
        link.conclude(arrival.seq, key, &verdict, &mut self.ground);
        if verdict == Verdict::Refused {
            let is_own = link.peer.has_name(&publisher);
            if let Some(receiver) = link.receiver.as_mut().filter(|_| !arrival.answer) {
                receiver.pushed_duplicate(&publisher, other_eager, is_own, &mut self.ground);
            }
            let (id, bytes) = (envelope.id().clone(), envelope.bytes().len());
            let source = Some(arrival.peer.clone());
            self.ground.tell(Event::Envelope { id, source, outcome: EnvelopeOutcome::Refused, bytes });
        }
    }

    // --- two cores under one identity ---

    pub(super) fn compare(&mut self, comparison: RivalComparison) {
        let key = intake::compared_id(&comparison).key();
        if let Some(held) = self.ground.intake.fresh(key).cloned() {
            return self.compared(comparison, Some(held));
        }
        let ticket = self.ground.ticket();
        let id = intake::compared_id(&comparison).clone();
        self.ground.intake.comparing.insert(ticket, comparison);
        self.ground.emit(Output::Fetch { ticket, id });
    }

    pub(super) fn on_fetched(&mut self, ticket: Ticket, entry: Option<Arc<Entry>>) {
        if let Some(comparison) = self.ground.intake.comparing.remove(&ticket) {
            self.compared(comparison, entry.map(|entry| entry.envelope.clone()));
        }
    }

    /// `held` is the journal's envelope under the same identity. It is `None` if retention took it, or if it is broken:
    /// then its content is not known, and the one stored first wins.
    pub(super) fn compared(
        &mut self,
        comparison: RivalComparison,
        held: Option<Arc<crate::envelope::Envelope>>,
    ) {
        let same_body =
            |core: &crate::envelope::Core| held.as_ref().map(|held| held.core().body == core.body);
        match comparison {
            RivalComparison::Submission { ticket, envelope } => {
                let key = envelope.envelope().key();
                let says_the_same = held
                    .as_ref()
                    .map(|held| held.core().body.says_the_same(&envelope.envelope().core().body));
                match says_the_same {
                    Some(false) => {
                        self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Conflict })
                    }
                    _ => self.answer_duplicate(ticket, key),
                }
            }
            RivalComparison::Arrival(arrival, envelope) => {
                if same_body(envelope.envelope().core()) == Some(true) {
                    // The publisher signed it again: it lost its memory, and says the same.
                    return self.conclude(&arrival, Verdict::Refused);
                }
                let (key, digest) = (envelope.envelope().key(), envelope.envelope().digest());
                let publisher = envelope.envelope().publisher().clone();
                self.ground.note(Note::Equivocation { publisher: publisher.clone(), key, digest });
                let id = envelope.envelope().id().clone();
                self.ground.tell(Event::Equivocation { publisher, id, source: Some(arrival.peer.clone()) });
                self.conclude(&arrival, Verdict::rejected(VerdictCode::Equivocation));
            }
        }
    }

    // --- submissions ---

    pub(super) fn on_submit(&mut self, ticket: Ticket, question: SeenQuestion) {
        let outcome = match (self.stopping, self.stalled_until) {
            (Stopping::No, None) => return self.ground.intake.ask(question),
            (Stopping::No, Some(_)) => Submitted::DiskFull,
            _ => Submitted::Stopping,
        };
        self.ground.emit(Output::Submitted { ticket, outcome });
    }

    pub(super) fn on_known_submission(
        &mut self,
        ticket: Ticket,
        envelope: crate::envelope::VerifiedEnvelope,
        held: Option<CoreDigest>,
    ) {
        let core = envelope.envelope();
        let (key, digest) = (core.key(), core.digest());
        match held {
            None if let Some(outcome) = self.undeliverable(core) => {
                self.ground.emit(Output::Submitted { ticket, outcome });
            }
            None => {
                self.ground.intake.accepted(core.clone());
                let arrived = self.ground.steady();
                let path = crate::identity::HopPath::default();
                self.ground.appender.push_carrier(NewCarrier { envelope, path, arrived }, None);
                self.ground.appender.answer_submission(ticket, false);
                for (peer, seq) in self.ground.intake.take_waiting(key, digest) {
                    self.with_link(&peer, |link, ground| link.conclude(seq, key, &Verdict::Refused, ground));
                }
            }
            Some(held) if held == digest => self.answer_duplicate(ticket, key),
            Some(_) => self.compare(RivalComparison::Submission { ticket, envelope }),
        }
    }

    /// Returns why every peer would reject this new event of ours for good, if this node knows it: an id is a promise.
    fn undeliverable(&self, envelope: &crate::envelope::Envelope) -> Option<Submitted> {
        let created = envelope.core().created;
        let wall = self.ground.now.wall;
        // It may have been signed just before the clock was put right.
        let apart = created.since_ms(wall).max(wall.since_ms(created));
        if self.ground.clock.is_off() || apart > CLOCK_JUMP_MS {
            return Some(Submitted::ClockOff);
        }
        let trust = &self.ground.trust;
        let is_ours = |key: &VerifyingKey| trust.standing(envelope.publisher(), key, created).is_some();
        let is_stale = match trust.keys_of(envelope.publisher(), envelope.key_id(), created) {
            Ok(keys) => !keys.iter().any(is_ours),
            // After a revocation there is no newer key: every peer holds back envelopes that are published then.
            Err(fault) => !matches!(fault, KeyFault::Revoked(_)),
        };
        is_stale.then_some(Submitted::KeysStale)
    }

    /// `duplicate` is said only once the first one is durable too.
    pub(super) fn answer_duplicate(&mut self, ticket: Ticket, key: EventKey) {
        let waits =
            self.ground.on(ProtocolRule::DuplicateSynced) && self.ground.appender.answer_with(ticket, key);
        if !waits {
            self.ground.emit(Output::Submitted { ticket, outcome: Submitted::Duplicate });
        }
    }
}
