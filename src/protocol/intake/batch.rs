//! Envelopes, offers and submissions between their arrival and their verdict: questions that gather for the seen set
//! and the workers, open questions, and the entries that wait for an identity. Decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::in_flight::RequestsInFlight;
use super::{Decoded, EnvelopeOffer, ToVerify, Trusted, Verified};
use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventId, EventKey, PublisherName};
use crate::protocol::io::{StreamId, Ticket};
use crate::time::Tick;

/// A question to the seen set, and the reason for it.
#[derive(Clone, Debug)]
pub(crate) enum SeenQuestion {
    Arrival(Box<Decoded>),
    Offer(Box<EnvelopeOffer>),
    Submission {
        ticket: Ticket,
        envelope: VerifiedEnvelope,
    },
    /// An event that says it was handed to the pipeline before.
    Returned {
        ticket: Ticket,
        key: EventKey,
    },
    /// A door asks for an event and its ancestors.
    Recall {
        ticket: Ticket,
        id: EventId,
    },
}

impl SeenQuestion {
    fn key(&self) -> EventKey {
        match self {
            Self::Arrival(decoded) => decoded.envelope().key(),
            Self::Offer(offer) => offer.key,
            Self::Submission { envelope, .. } => envelope.envelope().key(),
            Self::Returned { key, .. } => *key,
            Self::Recall { id, .. } => id.key(),
        }
    }
}

/// The envelope to compare with the one that is held under the same identity.
#[derive(Debug)]
pub(crate) enum RivalComparison {
    Arrival(Box<Verified>),
    Submission { ticket: Ticket, envelope: VerifiedEnvelope },
}

impl RivalComparison {
    pub(crate) fn envelope(&self) -> &Arc<Envelope> {
        match self {
            Self::Arrival(arrival) => arrival.envelope.envelope(),
            Self::Submission { envelope, .. } => envelope.envelope(),
        }
    }
}

/// Accepted, and perhaps not yet known to the seen set's answers that are under way.
#[derive(Debug)]
struct FreshIdentity {
    envelope: Arc<Envelope>,
    /// Once stored: answers of look-ups up to this one may not include it.
    stale_until: Option<u64>,
}

/// Envelopes at the workers, and the oldest look-up that they rest on.
#[derive(Debug)]
struct Verifying {
    since: u64,
    arrivals: Vec<Trusted>,
}

/// Envelopes and offers between arrival and verdict.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    questions: Vec<SeenQuestion>,
    lookups: VecDeque<(Ticket, Vec<SeenQuestion>)>,
    asked_lookups: u64,
    answered_lookups: u64,
    checks: Vec<Trusted>,
    /// The oldest look-up that something in `checks` rests on.
    checks_since: u64,
    verifying: BTreeMap<Ticket, Verifying>,
    pub comparing: BTreeMap<Ticket, RivalComparison>,
    pub flights: RequestsInFlight,
    fresh: BTreeMap<EventKey, FreshIdentity>,
    /// Entries of feeds, offered or owed, that wait for an identity, and the digest of each.
    waiting: BTreeMap<EventKey, BTreeMap<(PublisherName, u64), CoreDigest>>,
}

impl Intake {
    pub(crate) fn ask(&mut self, question: SeenQuestion) {
        self.questions.push(question);
    }

    /// `arrival`, of the look-up answered last, goes to the workers.
    pub(crate) fn check(&mut self, arrival: Trusted) {
        if self.checks.is_empty() {
            self.checks_since = self.answered_lookups;
        }
        self.checks.push(arrival);
    }

    /// The questions that have gathered, as one look-up.
    pub(crate) fn next_lookup(&mut self, ticket: impl FnOnce() -> Ticket) -> Option<(Ticket, Vec<EventKey>)> {
        if self.questions.is_empty() {
            return None;
        }
        let questions = std::mem::take(&mut self.questions);
        let keys = questions.iter().map(SeenQuestion::key).collect();
        let ticket = ticket();
        self.lookups.push_back((ticket, questions));
        self.asked_lookups += 1;
        Some((ticket, keys))
    }

    /// Returns the envelopes that have gathered for the workers, as one batch.
    pub(crate) fn next_checks(&mut self, ticket: impl FnOnce() -> Ticket) -> Option<(Ticket, Vec<ToVerify>)> {
        if self.checks.is_empty() {
            return None;
        }
        let ticket = ticket();
        let arrivals = std::mem::take(&mut self.checks);
        let envelopes = arrivals.iter().map(Trusted::to_verify).collect();
        self.verifying.insert(ticket, Verifying { since: self.checks_since, arrivals });
        Some((ticket, envelopes))
    }

    /// The workers answered.
    pub(crate) fn verified(&mut self, ticket: Ticket) -> Vec<Trusted> {
        self.verifying.remove(&ticket).map(|verifying| verifying.arrivals).unwrap_or_default()
    }

    /// The seen set answered its oldest open question.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Vec<SeenQuestion> {
        match self.lookups.pop_front() {
            Some((asked, questions)) if asked == ticket => {
                self.answered_lookups += 1;
                questions
            }
            other => {
                self.lookups.extend(other);
                Vec::new()
            }
        }
    }

    /// Forgets what every open look-up, and all that rests on one, was asked after.
    pub(crate) fn forget_stale(&mut self) {
        let lookups = (!self.lookups.is_empty()).then_some(self.answered_lookups + 1);
        let checks = (!self.checks.is_empty()).then_some(self.checks_since);
        let verifying = self.verifying.values().map(|verifying| verifying.since).min();
        let oldest = [lookups, checks, verifying].into_iter().flatten().min().unwrap_or(u64::MAX);
        self.fresh.retain(|_, fresh| fresh.stale_until.is_none_or(|until| until >= oldest));
    }

    /// `envelope` is held from now on. Returns the entries that waited for it; those with another digest wait on: they
    /// are fetched and compared.
    pub(crate) fn accepted(&mut self, envelope: Arc<Envelope>) -> Vec<(PublisherName, u64)> {
        let (key, digest) = (envelope.key(), envelope.digest());
        self.flights.remove(key);
        self.fresh.insert(key, FreshIdentity { envelope, stale_until: None });
        self.take_waiting(key, digest)
    }

    pub(crate) fn stored(&mut self, key: EventKey) {
        if let Some(fresh) = self.fresh.get_mut(&key) {
            fresh.stale_until = Some(self.asked_lookups);
        }
    }

    /// Forgets the envelope stored under `key`, which can no longer be read, so that a copy does not count as a
    /// duplicate.
    pub(crate) fn forget_stored(&mut self, key: EventKey) {
        if !self.is_being_stored(key) {
            self.fresh.remove(&key);
        }
    }

    /// Returns an accepted envelope if it may not be in the answers of the seen set yet.
    pub(crate) fn fresh(&self, key: EventKey) -> Option<&Arc<Envelope>> {
        self.fresh.get(&key).map(|fresh| &fresh.envelope)
    }

    /// Is it accepted, and not yet on disk?
    pub(crate) fn is_being_stored(&self, key: EventKey) -> bool {
        self.fresh.get(&key).is_some_and(|fresh| fresh.stale_until.is_none())
    }

    /// Returns whether anyone beside `peer` waits for `key`.
    fn others_wait(&self, key: EventKey, peer: Option<&PublisherName>) -> bool {
        let Some(entries) = self.waiting.get(&key) else { return false };
        // They are in the order of peers: one peer may offer an identity under as many seqs as it likes.
        let mut ends = entries.first_key_value().into_iter().chain(entries.last_key_value());
        ends.any(|((of, _), _)| Some(of) != peer)
    }

    /// `peer` was the last to be asked for `key`, in vain, and somebody else has it, too: when is its next turn?
    pub(crate) fn next_turn(&self, key: EventKey, peer: &PublisherName, now: Tick) -> Option<Tick> {
        self.flights.next_turn(key, peer, now).filter(|_| self.others_wait(key, Some(peer)))
    }

    /// `stream` no longer brings `key`.
    pub(crate) fn landed(&mut self, key: EventKey, stream: StreamId, now: Tick) {
        let waited_for = self.others_wait(key, None);
        self.flights.landed(key, stream, waited_for, now);
    }

    pub(crate) fn wait(&mut self, key: EventKey, digest: CoreDigest, peer: &PublisherName, seq: u64) {
        self.waiting.entry(key).or_default().insert((peer.clone(), seq), digest);
    }

    pub(crate) fn stop_waiting(&mut self, key: EventKey, peer: &PublisherName, seq: u64) {
        if let Some(entries) = self.waiting.get_mut(&key) {
            entries.remove(&(peer.clone(), seq));
            if entries.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }

    fn take_waiting(&mut self, key: EventKey, digest: CoreDigest) -> Vec<(PublisherName, u64)> {
        let Some(entries) = self.waiting.get_mut(&key) else { return Vec::new() };
        let same = entries.extract_if(.., |_, waits_for| *waits_for == digest);
        let taken = same.map(|(entry, _)| entry).collect();
        if entries.is_empty() {
            self.waiting.remove(&key);
        }
        taken
    }

    /// Returns whether nothing waits for the seen set.
    pub(crate) fn is_idle(&self) -> bool {
        self.questions.is_empty() && self.lookups.is_empty()
    }

    /// Forgets everything that is under way, when nothing could be stored.
    pub(crate) fn drop_all(&mut self) {
        self.fresh.clear();
        self.flights.clear();
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_offered_another_digest_waits_on_for_the_comparison() {
        let mut intake = Intake::default();
        let (key, held) = (EventKey([1; 16]), CoreDigest([2; 32]));
        let peer = |name: &str| PublisherName::parse(name).unwrap();
        intake.wait(key, held, &peer("same"), 7);
        intake.wait(key, CoreDigest([3; 32]), &peer("rival"), 7);
        intake.wait(key, held, &peer("owed"), 9);
        assert_eq!(intake.take_waiting(key, held), [(peer("owed"), 9), (peer("same"), 7)]);
        assert_eq!(intake.take_waiting(key, held), []);
        assert_eq!(intake.take_waiting(key, CoreDigest([3; 32])), [(peer("rival"), 7)]);
        assert!(intake.waiting.is_empty());
    }
}
