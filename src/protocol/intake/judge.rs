//! Decides which keys may have signed an envelope and whether its time fits: the checks beside its bytes (PROTOCOL.md
//! §6.2). Remembers nothing.

use ed25519_dalek::VerifyingKey;

use super::reject::{Deferral, Rejection};
use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{CREATED_AHEAD_ACCEPTED_MS, CREATED_AHEAD_OWED_MS, EQUIVOCATION_PROOFS_MAX};
use crate::policy::KeyFault;
use crate::protocol::context::CoreContext;
use crate::protocol::rules::ProtocolRule;
use crate::time::Timestamp;

/// Until the operator decides, in ms: ten years, which is never.
const DECISION_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Returns the keys one of which must have signed this envelope, before any expensive check.
pub fn candidate_keys(envelope: &Envelope, ground: &CoreContext) -> Result<Vec<VerifyingKey>, Rejection> {
    let publisher = envelope.publisher();
    if !ground.on(ProtocolRule::OwnTrusted) && ground.is_own(publisher) {
        return Err(Rejection::UnknownPublisher(publisher.clone()));
    }
    match ground.trust.keys_of(publisher, envelope.key_id(), envelope.core().created) {
        Err(KeyFault::Revoked(keys)) if !keys.is_empty() && ground.is_released(envelope.key()) => Ok(keys),
        found => found.map_err(|fault| rejection_of(&fault, envelope, ground)),
    }
}

/// Are there keys by now that may have signed this envelope and were not tried?
pub fn has_other_keys(envelope: &Envelope, tried: &[VerifyingKey], ground: &CoreContext) -> bool {
    candidate_keys(envelope, ground).is_ok_and(|keys| keys.iter().any(|key| !tried.contains(key)))
}

/// May the key that did sign it have done so?
pub fn check_signer(verified: &VerifiedEnvelope, ground: &CoreContext) -> Result<(), Rejection> {
    let envelope = verified.envelope();
    match ground.trust.judge_signer(verified) {
        Err(KeyFault::Revoked(_)) if ground.is_released(envelope.key()) => Ok(()),
        judged => judged.map_err(|fault| rejection_of(&fault, envelope, ground)),
    }
}

/// Returns why an envelope is rejected that none of the keys signed that were tried.
pub fn judge_unsigned(envelope: &Envelope, tried: &[VerifyingKey], ground: &CoreContext) -> Rejection {
    rejection_of(&ground.trust.judge_unsigned(envelope, tried), envelope, ground)
}

fn rejection_of(fault: &KeyFault, envelope: &Envelope, ground: &CoreContext) -> Rejection {
    match fault {
        KeyFault::Revoked(_) => Rejection::KeyRevoked(deferral(envelope, decided_by(ground))),
        KeyFault::OutOfTime | KeyFault::OtherKey => Rejection::UnknownKey,
        KeyFault::UnknownPublisher => Rejection::UnknownPublisher(envelope.publisher().clone()),
        KeyFault::BadSignature => Rejection::BadSignature,
        KeyFault::NameMismatch => Rejection::NameMismatch,
    }
}

/// Is `created` within what the seen set can answer for, and not ahead of our time?
pub fn check_time(envelope: &Envelope, ground: &CoreContext) -> Result<(), Rejection> {
    let core = envelope.core();
    if ground.ledger.floor.is_some_and(|floor| core.created < floor) {
        return Err(Rejection::TooOld);
    }
    if core.created.since_ms(ground.now.wall) > CREATED_AHEAD_OWED_MS {
        return Err(Rejection::TooFarAhead);
    }
    if let Some(until) = ahead_until(core.created, ground) {
        return Err(Rejection::Ahead(deferral(envelope, until)));
    }
    let expired = |expires| ground.clock.trusted(ground.now).is_some_and(|now| expires <= now);
    if core.expires.is_some_and(expired) { Err(Rejection::Expired) } else { Ok(()) }
}

/// Returns when an event may be taken that is dated ahead of our time, but not too far.
pub fn ahead_until(created: Timestamp, ground: &CoreContext) -> Option<Timestamp> {
    let ahead = created.since_ms(ground.now.wall);
    let is_owed = (CREATED_AHEAD_ACCEPTED_MS + 1..=CREATED_AHEAD_OWED_MS).contains(&ahead);
    is_owed.then(|| ground.steady().plus_ms(ahead - CREATED_AHEAD_ACCEPTED_MS))
}

/// Returns until when an envelope under a revoked key waits for the operator (PROTOCOL.md §8).
pub fn decided_by(ground: &CoreContext) -> Timestamp {
    ground.steady().plus_ms(DECISION_MS)
}

/// Is it proven that `publisher` published another core under this identity, or often enough that it does so?
pub fn is_equivocation(
    publisher: &PublisherName,
    key: EventKey,
    digest: CoreDigest,
    ground: &CoreContext,
) -> bool {
    let known = ground.ledger.equivocations.get(publisher);
    known.is_some_and(|known| known.len() >= EQUIVOCATION_PROOFS_MAX || known.contains(&(key, digest)))
}

fn deferral(envelope: &Envelope, until: Timestamp) -> Deferral {
    Deferral { digest: envelope.digest(), publisher: envelope.publisher().clone(), until }
}
