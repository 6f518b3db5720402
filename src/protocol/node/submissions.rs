//! Answers the doors: an event that is signed here, or that says it was handed to the pipeline before. Envelopes of
//! peers are not handled here.

use ed25519_dalek::VerifyingKey;

use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventKey, HopPath};
use crate::limits::CLOCK_JUMP_MS;
use crate::policy::KeyFault;
use crate::protocol::intake::{RivalComparison, SeenQuestion};
use crate::protocol::io::{DoorOutput, Submitted, Ticket};
use crate::protocol::node::{Node, Stopping};
use crate::protocol::rules::without;
use crate::record::NewCarrier;

impl Node {
    pub(super) fn on_submit(&mut self, ticket: Ticket, question: SeenQuestion) {
        let outcome = match (self.stopping, self.stalled_until) {
            (Stopping::No, None) => return self.core.traffic.intake.ask(question),
            (Stopping::No, Some(_)) => Submitted::DiskFull,
            _ => Submitted::Stopping,
        };
        self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome });
    }

    pub(super) fn on_known_submission(
        &mut self,
        ticket: Ticket,
        envelope: VerifiedEnvelope,
        held: Option<CoreDigest>,
    ) {
        let core = envelope.envelope().clone();
        match held {
            None if let Some(outcome) = self.undeliverable(&core) => {
                self.core.traffic.emit(DoorOutput::Submitted { ticket, outcome });
            }
            None => {
                let (path, arrived) = (HopPath::default(), self.core.context.steady());
                self.core.disk.appender.push_carrier(NewCarrier { envelope, path, arrived }, None);
                self.core.disk.appender.answer_submission(ticket, false);
                self.now_held(core);
            }
            Some(held) if held == core.digest() => self.answer_duplicate(ticket, core.key()),
            Some(_) => self.compare(RivalComparison::Submission { ticket, envelope }),
        }
    }

    /// Returns why every peer would reject this new event of ours for good, if this node knows it: an id is a promise.
    fn undeliverable(&self, envelope: &Envelope) -> Option<Submitted> {
        let created = envelope.core().created;
        let wall = self.core.context.now.wall;
        // It may have been signed just before the clock was put right.
        let apart = created.since_ms(wall).max(wall.since_ms(created));
        if self.core.context.clock.is_off() || apart > CLOCK_JUMP_MS {
            return Some(Submitted::ClockOff);
        }
        let trust = &self.core.context.trust;
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
        let answer = DoorOutput::Submitted { ticket, outcome: Submitted::Duplicate };
        without!(self.core.context, DuplicateSynced => return self.core.traffic.emit(answer));
        if !self.core.disk.appender.answer_with(ticket, key) {
            self.core.traffic.emit(answer);
        }
    }
}
