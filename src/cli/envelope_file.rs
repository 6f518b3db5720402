//! An envelope in a file, or in bytes: read, and verified against the peer files of this node.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

use super::failure::CommandFailure;
use crate::envelope::{SignatureError, UnverifiedEnvelope, VerifiedEnvelope, check_content};
use crate::limits::ENVELOPE_BYTES_MAX;
use crate::policy::{KeyFault, TrustList};

pub(crate) fn read_envelope(path: &Path) -> Result<Vec<u8>, CommandFailure> {
    let unreadable = |error: std::io::Error| CommandFailure::of_file(path, &error);
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than fits, so that the codec sees that it is too long.
    file.take(ENVELOPE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Returns the envelope if it verifies against the trust list, or the fault in words.
pub(crate) fn verified(bytes: Bytes, trust: &TrustList) -> Result<VerifiedEnvelope, String> {
    let envelope = UnverifiedEnvelope::decode(bytes).map_err(|error| error.to_string())?;
    let (publisher, key_id) = (envelope.envelope().publisher().clone(), envelope.envelope().key_id());
    let in_words = |fault| match fault {
        KeyFault::Revoked(keys) if keys.is_empty() => {
            format!("key_revoked: {publisher} is revoked, and never named its key {key_id} here")
        }
        KeyFault::Revoked(_) => format!("key_revoked: key {key_id} of {publisher} is revoked"),
        KeyFault::OutOfTime => {
            format!("unknown_key: key {key_id} of {publisher} was not in use at that time")
        }
        KeyFault::OtherKey => format!("unknown_key: {publisher} is trusted, but not with key {key_id}"),
        KeyFault::UnknownPublisher => {
            format!("unknown_publisher: no file in peers/ for {publisher} (key {key_id})")
        }
        KeyFault::BadSignature => format!("bad_signature: {}", SignatureError::Invalid),
        KeyFault::NameMismatch => format!("name_mismatch: key {key_id} is not that of {publisher}"),
    };
    let created = envelope.envelope().core().created;
    let keys = trust.keys_of(&publisher, key_id, created).map_err(in_words)?;
    let verified = keys.iter().find_map(|key| envelope.clone().verify(key).ok());
    let verified = verified.ok_or_else(|| in_words(trust.judge_unsigned(envelope.envelope(), &keys)))?;
    trust.judge_signer(&verified).map_err(in_words)?;
    check_content(verified.envelope().core()).map_err(|error| format!("bad_body: {error}"))?;
    Ok(verified)
}
