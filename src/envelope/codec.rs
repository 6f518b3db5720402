//! Encodes and decodes the signed core and the COSE_Sign1 around it (PROTOCOL.md §2). Only deterministic CBOR is
//! accepted: any other encoding of the same content is refused. Signatures are not checked here, nor the JSON in a body
//! (that is `content`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use super::core_fields;
use super::{CodecError, Core, Envelope, UnverifiedEnvelope};
use crate::cbor::{self, CborReader, MajorType};
use crate::identity::{CoreDigest, KEY_ID_BYTES_MAX, KeyId};
use crate::limits::{ENVELOPE_BYTES_MAX, UNPROTECTED_BYTES_MAX};

/// Ed25519 by its own number (RFC 9864), as it stands in the protected header.
pub(crate) const ALGORITHM: i64 = -19;

/// COSE_Sign1 (RFC 9052 §4.2).
const TAG_SIGN1: u64 = 18;

/// `{1: -19, 4: h'…'}` up to the key id.
const PROTECTED_START: [u8; 4] = [0xa2, 0x01, 0x32, 0x04];
const SIGNATURE_BYTES: usize = 64;

/// Labels of the unprotected header that version 1 passes over and keeps (PROTOCOL.md §2.1): those that IANA assigns
/// on a specification, such as receipts, and a block of the private ones. Lower ones name what only a protected
/// header may say.
const UNPROTECTED_LABELS: [RangeInclusive<i64>; 2] = [256..=65_535, -65_792..=-65_537];

/// The empty map, which this node writes.
pub(super) const UNPROTECTED_EMPTY: &[u8] = &[0xa0];

impl UnverifiedEnvelope {
    /// Reads a tagged COSE_Sign1 with a signed core as its payload.
    ///
    /// # Errors
    /// [`CodecError`]; nothing is allocated beyond the size of the input.
    pub fn decode(bytes: Bytes) -> Result<Self, CodecError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(CodecError::TooLarge(bytes.len()));
        }
        let parts = EnvelopeParts::read(&bytes)?;
        let core = core_fields::decode(&bytes.slice_ref(parts.payload))?;
        // PROTOCOL.md §2.3: the second net, under the strict reader: what says the same in another way
        // (a name with `_`) is refused here too.
        if encode_core(&core) != parts.payload {
            return Err(CodecError::NotCanonical);
        }
        Ok(Self(Arc::new(Envelope {
            digest: CoreDigest::of(parts.payload),
            key_id: parts.key_id,
            key: core.id.key(),
            core,
            bytes,
        })))
    }
}

/// Returns whether the core of a stored envelope has a parent or links. Reads no further than those fields.
///
/// # Errors
/// [`CodecError`].
#[cfg(any(feature = "node", feature = "sim"))]
pub(crate) fn names_others(bytes: &[u8]) -> Result<bool, CodecError> {
    core_fields::names_others(EnvelopeParts::read(bytes)?.payload)
}

/// A COSE_Sign1 taken apart.
pub(super) struct EnvelopeParts<'a> {
    pub protected: &'a [u8],
    pub key_id: KeyId,
    /// One map. Its labels and size have been checked, but no signature covers it.
    pub unprotected: &'a [u8],
    pub payload: &'a [u8],
    pub signature: [u8; SIGNATURE_BYTES],
}

impl<'a> EnvelopeParts<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = CborReader::of_one_item(bytes)?;
        if reader.peek()? != MajorType::Tag || reader.tag()? != TAG_SIGN1 {
            return Err(CodecError::NotSign1);
        }
        if reader.peek()? != MajorType::Array || reader.array()? != 4 {
            return Err(CodecError::NotSign1);
        }
        let protected = reader.bytes().map_err(|_| CodecError::NotSign1)?;
        let key_id = read_protected(protected)?;
        let unprotected = read_unprotected(&mut reader)?;
        let payload = reader.bytes().map_err(|_| CodecError::NotSign1)?;
        let signature = reader.bytes().map_err(|_| CodecError::NotSign1)?;
        let signature = signature.try_into().map_err(|_| CodecError::SignatureLength(signature.len()))?;
        Ok(Self { protected, key_id, unprotected, payload, signature })
    }
}

/// Skips the unprotected header of an item and returns its bytes. The form of the item has been checked.
fn read_unprotected<'a>(reader: &mut CborReader<'a>) -> Result<&'a [u8], CodecError> {
    if reader.peek()? != MajorType::Map {
        return Err(CodecError::NotSign1);
    }
    let mut inside = reader.clone();
    let unprotected = reader.skip_item()?;
    for _ in 0..inside.map()? {
        let label = inside.integer().map_err(|_| CodecError::UnprotectedHeader)?;
        if !UNPROTECTED_LABELS.iter().any(|labels| labels.contains(&label)) {
            return Err(CodecError::UnprotectedHeader);
        }
        inside.skip_item()?;
    }
    match unprotected.len() {
        ..=UNPROTECTED_BYTES_MAX => Ok(unprotected),
        _ => Err(CodecError::UnprotectedHeader),
    }
}

fn read_protected(bytes: &[u8]) -> Result<KeyId, CodecError> {
    let mut reader = CborReader::of_one_item(bytes)?;
    let fault = |_| CodecError::ProtectedHeader;
    if reader.map().map_err(fault)? != 2 || reader.integer().map_err(fault)? != 1 {
        return Err(CodecError::ProtectedHeader);
    }
    let algorithm = reader.integer().map_err(fault)?;
    if algorithm != ALGORITHM {
        return Err(CodecError::Algorithm(algorithm));
    }
    if reader.integer().map_err(fault)? != 4 {
        return Err(CodecError::ProtectedHeader);
    }
    let key_id = reader.bytes().map_err(fault)?;
    KeyId::parse(key_id).ok_or(CodecError::ProtectedHeader)
}

/// Encodes the protected header of everything that `key_id` signs.
pub(super) fn protected_header(key_id: KeyId) -> Vec<u8> {
    let mut header = Vec::with_capacity(PROTECTED_START.len() + 2 + KEY_ID_BYTES_MAX);
    header.extend_from_slice(&PROTECTED_START);
    cbor::put_bytes(&mut header, key_id.as_bytes());
    header
}

/// Encodes a COSE_Sign1 from its parts.
pub(super) fn encode_sign1(
    protected: &[u8],
    unprotected: &[u8],
    payload: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Vec<u8> {
    let headers = protected.len() + unprotected.len();
    let mut out = Vec::with_capacity(payload.len() + headers + SIGNATURE_BYTES + 16);
    cbor::put_head(&mut out, MajorType::Tag, TAG_SIGN1);
    cbor::put_array(&mut out, 4);
    cbor::put_bytes(&mut out, protected);
    out.extend_from_slice(unprotected);
    cbor::put_bytes(&mut out, payload);
    cbor::put_bytes(&mut out, signature);
    out
}

/// The deterministic encoding of a core.
pub(crate) fn encode_core(core: &Core) -> Vec<u8> {
    core_fields::encode(core)
}

#[cfg(test)]
mod tests;
