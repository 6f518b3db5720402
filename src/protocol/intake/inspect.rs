//! The checks of an envelope that cost most: signature, body and content id. Workers make them, beside the loop.

use ed25519_dalek::VerifyingKey;

use super::reject::Rejection;
use crate::envelope::content::{ContentError, check_content};
use crate::envelope::{UnverifiedEnvelope, VerifiedEnvelope};

/// An envelope for the workers, and the keys one of which must have signed it: at most
/// [`CANDIDATE_KEYS_MAX`](crate::limits::CANDIDATE_KEYS_MAX).
pub type ToVerify = (UnverifiedEnvelope, Vec<VerifyingKey>);

/// Inspects an envelope with the keys one of which must have signed it. Workers do this for
/// [`Output::Verify`](crate::protocol::Output).
///
/// # Errors
/// [`Rejection::BadSignature`] if none of them signed it; else what is wrong with its content.
pub fn inspect(
    envelope: UnverifiedEnvelope,
    candidates: &[VerifyingKey],
) -> Result<VerifiedEnvelope, Rejection> {
    let mut verified = candidates.iter().filter_map(|key| envelope.clone().verify(key).ok());
    let verified = verified.next().ok_or(Rejection::BadSignature)?;
    match check_content(verified.envelope().core()) {
        Ok(()) => Ok(verified),
        Err(ContentError::Body(_) | ContentError::Ext(_)) => Err(Rejection::BadBody),
        Err(ContentError::IdMismatch { .. } | ContentError::Number(_)) => Err(Rejection::ContentIdMismatch),
    }
}
