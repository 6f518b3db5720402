//! Why bytes are not an envelope. What is done about that is decided elsewhere.

use ed25519_dalek::SIGNATURE_LENGTH;
use thiserror::Error;

use crate::cbor::CborError;
use crate::limits::{ENVELOPE_BYTES_MAX, UNPROTECTED_BYTES_MAX};

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
    #[error("algorithm {0}, not -19 (Ed25519)")]
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
    #[error("a signature of {0} bytes, not {SIGNATURE_LENGTH}")]
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
