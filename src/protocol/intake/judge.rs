//! Decides which keys may have signed an envelope and whether its time fits: the checks beside its bytes (PROTOCOL.md
//! §6.2). Remembers nothing.

use ed25519_dalek::VerifyingKey;

use super::reject::{Deferral, Rejection};
use crate::envelope::{Envelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{CREATED_AHEAD_ACCEPTED_MS, CREATED_AHEAD_OWED_MS, EQUIVOCATION_PROOFS_MAX};
use crate::policy::KeyFault;
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::rules::without;
use crate::time::Timestamp;

/// Until the operator decides, in ms: ten years, which is never.
const DECISION_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Returns the keys one of which must have signed this envelope, before any expensive check.
pub(crate) fn candidate_keys(
    envelope: &Envelope,
    context: &CoreContext,
    disk: &CoreDisk,
) -> Result<Vec<VerifyingKey>, Rejection> {
    let publisher = envelope.publisher();
    without!(context, OwnTrusted => if context.is_own(publisher) {
        return Err(Rejection::UnknownPublisher(publisher.clone()));
    });
    match context.trust.keys_of(publisher, envelope.key_id(), envelope.core().created) {
        Err(KeyFault::Revoked(keys)) if !keys.is_empty() && disk.is_released(envelope.key()) => Ok(keys),
        found => found.map_err(|fault| rejection_of(&fault, envelope, context)),
    }
}

/// Are there keys by now that may have signed this envelope and were not tried?
pub(crate) fn has_other_keys(
    envelope: &Envelope,
    tried: &[VerifyingKey],
    context: &CoreContext,
    disk: &CoreDisk,
) -> bool {
    candidate_keys(envelope, context, disk).is_ok_and(|keys| keys.iter().any(|key| !tried.contains(key)))
}

/// May the key that did sign it have done so?
pub(crate) fn check_signer(
    verified: &VerifiedEnvelope,
    context: &CoreContext,
    disk: &CoreDisk,
) -> Result<(), Rejection> {
    let envelope = verified.envelope();
    match context.trust.judge_signer(verified) {
        Err(KeyFault::Revoked(_)) if disk.is_released(envelope.key()) => Ok(()),
        judged => judged.map_err(|fault| rejection_of(&fault, envelope, context)),
    }
}

/// Returns why an envelope is rejected that none of the keys signed that were tried.
pub(crate) fn judge_unsigned(
    envelope: &Envelope,
    tried: &[VerifyingKey],
    context: &CoreContext,
) -> Rejection {
    rejection_of(&context.trust.judge_unsigned(envelope, tried), envelope, context)
}

fn rejection_of(fault: &KeyFault, envelope: &Envelope, context: &CoreContext) -> Rejection {
    match fault {
        KeyFault::Revoked(_) => Rejection::KeyRevoked(deferral(envelope, decided_by(context))),
        KeyFault::OutOfTime | KeyFault::OtherKey => Rejection::UnknownKey,
        KeyFault::UnknownPublisher => Rejection::UnknownPublisher(envelope.publisher().clone()),
        KeyFault::BadSignature => Rejection::BadSignature,
        KeyFault::NameMismatch => Rejection::NameMismatch,
    }
}

/// Is `created` within what the seen set can answer for, and not ahead of our time?
pub(crate) fn check_time(
    envelope: &Envelope,
    context: &CoreContext,
    disk: &CoreDisk,
) -> Result<(), Rejection> {
    let core = envelope.core();
    if disk.ledger.floor.is_some_and(|floor| core.created < floor) {
        return Err(Rejection::TooOld);
    }
    if core.created.since_ms(context.now.wall) > CREATED_AHEAD_OWED_MS {
        return Err(Rejection::TooFarAhead);
    }
    if let Some(until) = ahead_until(core.created, context) {
        return Err(Rejection::Ahead(deferral(envelope, until)));
    }
    let expired = |expires| context.clock.trusted(context.now).is_some_and(|now| expires <= now);
    if core.expires.is_some_and(expired) { Err(Rejection::Expired) } else { Ok(()) }
}

/// Returns when an event may be taken that is dated ahead of our time, but not too far.
pub(crate) fn ahead_until(created: Timestamp, context: &CoreContext) -> Option<Timestamp> {
    let ahead = created.since_ms(context.now.wall);
    let is_owed = (CREATED_AHEAD_ACCEPTED_MS + 1..=CREATED_AHEAD_OWED_MS).contains(&ahead);
    is_owed.then(|| context.steady().plus_ms(ahead - CREATED_AHEAD_ACCEPTED_MS))
}

/// Returns until when an envelope under a revoked key waits for the operator (PROTOCOL.md §8).
pub(crate) fn decided_by(context: &CoreContext) -> Timestamp {
    context.steady().plus_ms(DECISION_MS)
}

/// Is it proven that `publisher` published another core under this identity, or often enough that it does so?
pub(crate) fn is_equivocation(
    publisher: &PublisherName,
    key: EventKey,
    digest: CoreDigest,
    disk: &CoreDisk,
) -> bool {
    let known = disk.ledger.equivocations.get(publisher);
    known.is_some_and(|known| known.len() >= EQUIVOCATION_PROOFS_MAX || known.contains(&(key, digest)))
}

fn deferral(envelope: &Envelope, until: Timestamp) -> Deferral {
    Deferral { digest: envelope.digest(), publisher: envelope.publisher().clone(), until }
}
