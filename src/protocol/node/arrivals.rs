//! Carries what peers offer and hand over from stage to stage (`intake`): to the seen set, the workers and the journal,
//! or to a verdict. This is the only place that concludes an arrival.

use std::sync::Arc;

use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventKey};
use crate::protocol::intake::{
    Admitted, Concluded, Decoded, Detour, EnvelopeOffer, Rejection, RivalComparison, SeenQuestion, Unseen,
    Verdict, Verified,
};
use crate::protocol::io::{DoorOutput, EnvelopeOutcome, Event, StoreQuestion, Submitted, Ticket};
use crate::protocol::link::PeerSession;
use crate::protocol::node::Node;
use crate::protocol::rules::without;
use crate::record::{NewCarrier, Note};

impl Node {
    /// The seen set answered.
    pub(super) fn on_known(&mut self, ticket: Ticket, digests: Vec<Option<CoreDigest>>) {
        let questions = self.core.traffic.intake.answered(ticket);
        for (question, known) in questions.into_iter().zip(digests) {
            match question {
                SeenQuestion::Arrival(decoded) => self.on_known_arrival(*decoded, known),
                SeenQuestion::Offer(offer) => self.on_known_offer(*offer, known),
                SeenQuestion::Submission { ticket, envelope } => {
                    let key = envelope.envelope().key();
                    self.on_known_submission(ticket, envelope, self.held(key, known));
                }
                SeenQuestion::Returned { ticket, key } => match self.held(key, known) {
                    Some(_) => self.answer_duplicate(ticket, key),
                    None => {
                        self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome: Submitted::Foreign })
                    }
                },
                SeenQuestion::Recall { ticket, id } => self.on_known_recall(ticket, id, known),
            }
        }
        self.core.traffic.intake.forget_stale();
    }

    /// Returns the digest that this node holds, or has accepted a moment ago, under `key`.
    pub(super) fn held(&self, key: EventKey, known: Option<CoreDigest>) -> Option<CoreDigest> {
        self.core.traffic.intake.fresh(key).map(|envelope| envelope.digest()).or(known)
    }

    /// The same for a copy with `digest`: of an entry that is lost here one is taken again.
    fn held_beside(
        &self,
        key: EventKey,
        digest: CoreDigest,
        known: Option<CoreDigest>,
    ) -> Option<CoreDigest> {
        let known = known.filter(|known| *known != digest || !self.core.disk.ledger.losses.wants(key));
        self.held(key, known)
    }

    fn on_known_arrival(&mut self, decoded: Decoded, known: Option<CoreDigest>) {
        let (key, digest) = (decoded.envelope().key(), decoded.envelope().digest());
        let held = self.held_beside(key, digest, known);
        self.examine(decoded.unseen(held, &self.core.disk));
    }

    fn examine(&mut self, unseen: Result<Unseen, Box<Concluded>>) {
        match unseen.and_then(|unseen| unseen.trusted(&self.core.context, &self.core.disk)) {
            Ok(trusted) => self.core.traffic.intake.check(trusted),
            Err(concluded) => self.conclude(*concluded),
        }
    }

    /// The workers answered.
    pub(super) fn on_verified(&mut self, ticket: Ticket, results: Vec<Result<VerifiedEnvelope, Rejection>>) {
        // Statements learnt with this very batch count already.
        self.spread_statements();
        let arrivals = self.core.traffic.intake.verified(ticket);
        for (trusted, result) in arrivals.into_iter().zip(results) {
            let verified = trusted.verified(result, &self.core.context, &self.core.disk);
            match verified.and_then(|verified| self.admit(verified)) {
                Ok(Some(admitted)) => self.accept(admitted),
                // Its stream is gone.
                Ok(None) => {}
                Err(Detour::Concluded(concluded)) => self.conclude(*concluded),
                Err(Detour::Again(unseen)) => self.examine(Ok(*unseen)),
                Err(Detour::Rival(verified)) => self.compare(RivalComparison::Arrival(verified)),
            }
        }
        self.core.traffic.intake.forget_stale();
    }

    fn admit(&mut self, verified: Verified) -> Result<Option<Admitted>, Detour> {
        let (core, entry) = (&self.core, verified.entry());
        let session = self.links.get_mut(&entry.peer).filter(|session| session.is_current(entry.stream));
        let Some(PeerSession { peer, rates, .. }) = session else { return Ok(None) };
        let take_rate =
            |publisher: &_| rates.by_publisher.take(publisher, &peer.name, &core.context, &core.disk);
        verified.admitted(peer, take_rate, &core.context, &core.traffic.intake).map(Some)
    }

    fn accept(&mut self, admitted: Admitted) {
        let envelope = admitted.envelope.envelope().clone();
        let carrier = NewCarrier {
            envelope: admitted.envelope.clone(),
            path: admitted.path.clone(),
            arrived: self.core.context.steady(),
        };
        let source = (admitted.entry.peer.clone(), admitted.entry.stream);
        self.core.disk.appender.push_carrier(carrier, Some(source));
        self.core.forget_release(envelope.key());
        self.conclude(*admitted.accepted());
        self.now_held(envelope);
    }

    /// `envelope` is accepted, from a peer or a door: peers that were to be asked for it are not asked any more.
    pub(super) fn now_held(&mut self, envelope: Arc<Envelope>) {
        let key = envelope.key();
        let waiting = self.core.traffic.intake.accepted(envelope);
        for (peer, seq) in waiting {
            self.with_link(&peer, |session, core| session.settle(seq, key, &Verdict::Refused, core));
        }
    }

    /// An arrival has its verdict: tells its session, and the log.
    fn conclude(&mut self, concluded: Concluded) {
        let Concluded { entry, id, key, bytes, verdict } = concluded;
        let publisher = &id.publisher;
        let other_eager = verdict == Verdict::Refused
            && !entry.is_answer
            && self.links.values().any(|session| {
                let receiver = session.receiver.as_ref().filter(|_| session.peer.name != entry.peer);
                receiver.is_some_and(|it| it.is_eager(publisher, session.peer.has_name(publisher)))
            });
        let Some(session) = self.links.get_mut(&entry.peer).filter(|it| it.is_current(entry.stream)) else {
            return;
        };
        session.rates.put_down(bytes);
        self.core.traffic.intake.landed(key, entry.stream, self.core.context.now.tick);
        session.settle(entry.seq, key, &verdict, &mut self.core);
        let outcome = match verdict {
            Verdict::Accepted => EnvelopeOutcome::Accepted,
            Verdict::Refused => EnvelopeOutcome::Refused,
            Verdict::Rejected { .. } | Verdict::Missing => return,
        };
        let is_own = session.peer.has_name(publisher);
        if let Some(receiver) = &mut session.receiver {
            match (outcome, entry.is_answer) {
                (EnvelopeOutcome::Accepted, true) => {
                    receiver.answered_news(
                        entry.seq,
                        publisher,
                        is_own,
                        &self.core.context,
                        &mut self.core.traffic,
                    );
                }
                (EnvelopeOutcome::Accepted, false) => receiver.pushed_news(publisher),
                (EnvelopeOutcome::Refused, true) => {}
                (EnvelopeOutcome::Refused, false) => {
                    receiver.pushed_duplicate(
                        publisher,
                        other_eager,
                        is_own,
                        &self.core.context,
                        &mut self.core.traffic,
                    );
                }
            }
        }
        self.core.traffic.tell(Event::Envelope { id, source: Some(entry.peer), outcome, bytes });
    }

    fn on_known_offer(&mut self, offer: EnvelopeOffer, known: Option<CoreDigest>) {
        let held = self.held_beside(offer.key, offer.digest, known);
        let (peer, stream) = (&offer.entry.peer, offer.entry.stream);
        let Some(session) = self.links.get_mut(peer).filter(|it| it.is_current(stream)) else { return };
        match offer.wanted(held, &session.peer, &self.core.context, &self.core.disk) {
            Err(verdict) => session.settle(offer.entry.seq, offer.key, &verdict, &mut self.core),
            Ok(()) => {
                without!(self.core.context, HeldNotInFlight => {
                    let (intake, now) = (&self.core.traffic.intake, self.core.context.tick());
                    if intake.flights.elsewhere(offer.key, stream, now) {
                        return session.settle(offer.entry.seq, offer.key, &Verdict::Refused, &mut self.core);
                    }
                });
                if let Some(receiver) = &mut session.receiver {
                    receiver.offered(offer, &mut self.core);
                }
            }
        }
    }

    // --- two cores under one identity ---

    pub(super) fn compare(&mut self, comparison: RivalComparison) {
        let envelope = comparison.envelope();
        if let Some(held) = self.core.traffic.intake.fresh(envelope.key()).cloned() {
            return self.compared(comparison, Some(held));
        }
        let (ticket, id) = (self.core.traffic.ticket(), envelope.id().clone());
        self.core.traffic.intake.comparing.insert(ticket, comparison);
        self.core.traffic.emit(StoreQuestion::Fetch { ticket, id });
    }

    /// `held` is the journal's envelope under the same identity. It is `None` if retention took it, or if it is broken:
    /// then its content is not known, and the one stored first wins.
    pub(super) fn compared(&mut self, comparison: RivalComparison, held: Option<Arc<Envelope>>) {
        match comparison {
            RivalComparison::Submission { ticket, envelope } => {
                let body = &envelope.envelope().core().body;
                if held.is_none_or(|held| held.core().body.says_the_same(body)) {
                    self.answer_duplicate(ticket, envelope.envelope().key());
                } else {
                    self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome: Submitted::Conflict });
                }
            }
            RivalComparison::Arrival(arrival) => {
                let envelope = arrival.envelope.envelope();
                if held.is_some_and(|held| held.core().body == envelope.core().body) {
                    // The publisher signed it again: it lost its memory, and says the same.
                    return self.conclude(*arrival.concluded(Verdict::Refused));
                }
                let (id, publisher) = (envelope.id().clone(), envelope.publisher().clone());
                let (key, digest) = (envelope.key(), envelope.digest());
                self.core.note(Note::Equivocation { publisher: publisher.clone(), key, digest });
                let source = Some(arrival.entry().peer.clone());
                self.core.traffic.tell(Event::Equivocation { publisher, id, source });
                self.conclude(*arrival.rejected(Rejection::Equivocation));
            }
        }
    }
}
