//! Encodes and decodes the signed core and the COSE_Sign1 around it (PROTOCOL.md §2). Only deterministic CBOR is
//! accepted: any other encoding of the same content is refused. Signatures are not checked here, nor the JSON in a body
//! (that is `content`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::core_fields;
use super::{Core, Envelope, UnverifiedEnvelope};
use crate::cbor::{self, CborError, CborReader, MajorType};
use crate::identity::{CoreDigest, KEY_ID_BYTES_MAX, KeyId};
use crate::limits::{ENVELOPE_BYTES_MAX, UNPROTECTED_BYTES_MAX};

/// Ed25519 by its own number (RFC 9864), as it stands in the protected header.
pub const ALGORITHM: i64 = -19;

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

/// Says why bytes are not an envelope. All errors are the sender's fault and final, except
/// [`CodecError::UnknownVersion`] and [`CodecError::Algorithm`]: a newer program can accept those bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum CodecError {
    /// The sender made it larger than any node may; nothing was decoded.
    #[error("envelope of {0} bytes, more than {ENVELOPE_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes are not CBOR in its one deterministic form.
    #[error("not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// The bytes are CBOR, and not a COSE_Sign1.
    #[error("no COSE_Sign1: tag 18 and an array of four")]
    NotSign1,
    /// The signature has another algorithm. A newer program may know it.
    #[error("algorithm {0}, not {ALGORITHM} (Ed25519)")]
    Algorithm(i64),
    /// The protected header names more or less than algorithm and key.
    #[error("the protected header is not {{1: alg, 4: kid of 8 to 32 bytes}}")]
    ProtectedHeader,
    /// The unprotected header has a label that only a protected one may have, or is too long.
    #[error(
        "the unprotected header has a label that may not stand there, or more than {UNPROTECTED_BYTES_MAX} bytes"
    )]
    UnprotectedHeader,
    /// The signature is not as long as one of Ed25519.
    #[error("a signature of {0} bytes, not {SIGNATURE_BYTES}")]
    SignatureLength(usize),
    /// The payload is not a signed core.
    #[error("the signed core is no map that begins with its version")]
    NotACore,
    /// A newer program made the core.
    #[error("version {0} of the signed core is not known here")]
    UnknownVersion(u64),
    /// The core has a key below those that later versions may add.
    #[error("key {0} of the signed core is not known in version 1")]
    UnknownKey(i64),
    /// The core lacks a required field.
    #[error("the signed core has no {0}")]
    Missing(&'static str),
    /// A field is outside the bounds of PROTOCOL.md §2.3; `why` says which bound.
    #[error("{field}: {why}")]
    Field { field: &'static str, why: &'static str },
    /// The id claims to be computed from a content that nobody but the recipients can read.
    #[error("a sealed body cannot have a content id")]
    SealedContentId,
    /// The body is sealed and `to` is empty.
    #[error("a sealed body without recipients")]
    SealedToNobody,
    /// A field that tells of the content stands beside the sealed body.
    #[error("{0} stands outside of a sealed body")]
    OutsideSeal(&'static str),
    /// The sealed body is not a COSE_Encrypt of the one form.
    #[error("the sealed body: {0}")]
    SealedForm(&'static str),
    /// The recipients of the core are not those of the sealed body.
    #[error("`to` names {named}, the body is sealed to {sealed}")]
    SealedRecipients { named: usize, sealed: usize },
    /// The core says the same as another sequence of bytes: a second id for one event.
    #[error("the signed core is not the encoding of what it says")]
    NotCanonical,
}

impl CodecError {
    /// A short name for logs and test vectors.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Cbor(fault) => fault.code(),
            Self::NotSign1 => "not_sign1",
            Self::Algorithm(_) => "algorithm",
            Self::ProtectedHeader => "protected_header",
            Self::UnprotectedHeader => "unprotected_header",
            Self::SignatureLength(_) => "signature_length",
            Self::NotACore => "not_a_core",
            Self::UnknownVersion(_) => "unknown_version",
            Self::UnknownKey(_) => "unknown_key",
            Self::Missing(_) => "missing",
            Self::Field { .. } => "field",
            Self::SealedContentId => "sealed_content_id",
            Self::SealedToNobody => "sealed_to_nobody",
            Self::OutsideSeal(_) => "outside_seal",
            Self::SealedForm(_) => "sealed_form",
            Self::SealedRecipients { .. } => "sealed_recipients",
            Self::NotCanonical => "not_canonical",
        }
    }
}

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
pub fn names_others(bytes: &[u8]) -> Result<bool, CodecError> {
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
    pub fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
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
pub fn encode_core(core: &Core) -> Vec<u8> {
    core_fields::encode(core)
}

#[cfg(test)]
mod tests;
