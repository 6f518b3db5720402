//! Decides which keys may have signed an envelope and whether its time fits: the checks beside its bytes (PROTOCOL.md
//! §6.2). Remembers nothing.

use ed25519_dalek::VerifyingKey;

use super::Verdict;
use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{CREATED_AHEAD_ACCEPTED_MS, CREATED_AHEAD_OWED_MS};
use crate::policy::KeyFault;
use crate::protocol::context::CoreContext;
use crate::protocol::rules::ProtocolRule;
use crate::time::Timestamp;
use crate::wire::VerdictCode;

/// Until the operator decides, in ms: ten years, which is never.
const DECISION_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Names an entry that is offered or has come, for its verdict.
#[derive(Clone, Copy, Debug)]
pub struct OfferIdentity<'a> {
    pub key: EventKey,
    pub digest: CoreDigest,
    pub publisher: &'a PublisherName,
}

impl<'a> OfferIdentity<'a> {
    pub fn by(envelope: &'a Envelope) -> Self {
        Self { key: envelope.key(), digest: envelope.digest(), publisher: envelope.publisher() }
    }

    pub fn deferred(self, code: VerdictCode, retry_at: Timestamp) -> Verdict {
        let Self { key, digest, publisher } = self;
        Verdict::Deferred { code, key, digest, publisher: publisher.clone(), retry_at }
    }
}

/// Returns the keys one of which must have signed this envelope, before any expensive check. `Err` carries the
/// verdict if none can have.
pub fn candidate_keys(envelope: &Envelope, ground: &CoreContext) -> Result<Vec<VerifyingKey>, Verdict> {
    if !ground.on(ProtocolRule::OwnTrusted) && ground.is_own(envelope.publisher()) {
        return Err(Verdict::rejected(VerdictCode::UnknownPublisher));
    }
    match ground.trust.keys_of(envelope.publisher(), envelope.key_id(), envelope.core().created) {
        Err(KeyFault::Revoked(keys)) if !keys.is_empty() && ground.is_released(envelope.key()) => Ok(keys),
        found => found.map_err(|fault| verdict_of(&fault, envelope, ground)),
    }
}

/// May the key that did sign it have done so?
pub fn judge_signer(verified: &VerifiedEnvelope, ground: &CoreContext) -> Result<(), Verdict> {
    let envelope = verified.envelope();
    match ground.trust.judge_signer(verified) {
        Err(KeyFault::Revoked(_)) if ground.is_released(envelope.key()) => Ok(()),
        judged => judged.map_err(|fault| verdict_of(&fault, envelope, ground)),
    }
}

/// The verdict if none of the keys that were tried signed it.
pub fn judge_unsigned(envelope: &Envelope, tried: &[VerifyingKey], ground: &CoreContext) -> Verdict {
    verdict_of(&ground.trust.judge_unsigned(envelope, tried), envelope, ground)
}

fn verdict_of(fault: &KeyFault, envelope: &Envelope, ground: &CoreContext) -> Verdict {
    let code = match fault {
        KeyFault::Revoked(_) => return waits_for_the_operator(OfferIdentity::by(envelope), ground),
        KeyFault::OutOfTime | KeyFault::OtherKey => VerdictCode::UnknownKey,
        KeyFault::UnknownPublisher => VerdictCode::UnknownPublisher,
        KeyFault::BadSignature => VerdictCode::BadSignature,
        KeyFault::NameMismatch => VerdictCode::NameMismatch,
    };
    rejected(code, envelope)
}

/// Defers a new envelope under a revoked key until the operator decides (PROTOCOL.md §8): it is owed.
pub fn waits_for_the_operator(named: OfferIdentity<'_>, ground: &CoreContext) -> Verdict {
    named.deferred(VerdictCode::KeyRevoked, ground.steady().plus_ms(DECISION_MS))
}

fn rejected(code: VerdictCode, envelope: &Envelope) -> Verdict {
    Verdict::Rejected { code, detail: format!("{} under key {}", envelope.id(), envelope.key_id()) }
}

/// Is `created` within what the seen set can answer for, and not ahead of our time?
pub fn judge_time(envelope: &Envelope, ground: &CoreContext) -> Option<Verdict> {
    let core = envelope.core();
    if ground.ledger.floor.is_some_and(|floor| core.created < floor) {
        return Some(rejected(VerdictCode::TooOld, envelope));
    }
    let ahead = core.created.since_ms(ground.now.wall);
    if ahead > CREATED_AHEAD_OWED_MS {
        return Some(rejected(VerdictCode::TooFarAhead, envelope));
    }
    if let Some(verdict) = ahead_of_time(core.created, OfferIdentity::by(envelope), ground) {
        return Some(verdict);
    }
    let expired = |expires| ground.clock.trusted(ground.now).is_some_and(|now| expires <= now);
    core.expires.is_some_and(expired).then(|| rejected(VerdictCode::Expired, envelope))
}

/// Defers an event that is dated ahead of our time, but not too far. An offer is deferred by the date that the peer
/// says: nothing else requires it now, and the signed date is judged later.
pub fn ahead_of_time(created: Timestamp, named: OfferIdentity<'_>, ground: &CoreContext) -> Option<Verdict> {
    let ahead = created.since_ms(ground.now.wall);
    if !(CREATED_AHEAD_ACCEPTED_MS + 1..=CREATED_AHEAD_OWED_MS).contains(&ahead) {
        return None;
    }
    let retry_at = ground.steady().plus_ms(ahead - CREATED_AHEAD_ACCEPTED_MS);
    Some(named.deferred(VerdictCode::Ahead, retry_at))
}
