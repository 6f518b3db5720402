//! Signing and verifying (PROTOCOL.md §2.2): COSE_Sign1 with alg -19 (Ed25519, RFC 9864), `verify_strict` only. The
//! caller decides which key to trust for which publisher.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use super::codec::{self, EnvelopeParts, UNPROTECTED_EMPTY};
#[cfg(feature = "sim")]
use super::successor;
use super::{CodecError, Core, Envelope, UnverifiedEnvelope, VerifiedEnvelope, core_fields};
use crate::cbor;
use crate::identity::{CoreDigest, KeyId};
use crate::limits::{ENVELOPE_BYTES_MAX, UNPROTECTED_BYTES_MAX};

/// The context that every signature over an envelope is bound to (external_aad).
pub(crate) const ENVELOPE_CONTEXT: &[u8] = b"intelmesh/envelope/v1";

/// Why an envelope does not count as signed by a key. Not the fault of its publisher: anybody can make such bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum SignatureError {
    /// Bytes or signature were changed.
    #[error("the signature is not one of this key over these bytes")]
    Invalid,
    /// The envelope names another key.
    #[error("signed with key {found}, not {expected}")]
    OtherKey { expected: KeyId, found: KeyId },
}

/// Holds the node's signing key and makes envelopes.
pub struct Signer {
    in_use: RwLock<SignerInUse>,
    /// For tests: it signs as a stand-in for version 2.
    #[cfg(feature = "sim")]
    successor: bool,
}

/// The key that signs now.
struct SignerInUse {
    key: SigningKey,
    key_id: KeyId,
}

impl SignerInUse {
    fn new(key: SigningKey) -> Self {
        Self { key_id: KeyId::of(&key.verifying_key()), key }
    }

    fn sign(&self, core: Core, key_id: KeyId, unprotected: &[u8]) -> Result<VerifiedEnvelope, CodecError> {
        core_fields::check(&core)?;
        let payload = codec::encode_core(&core);
        let protected = codec::protected_header(key_id);
        let signature = self.key.sign(&to_be_signed(ENVELOPE_CONTEXT, &protected, &payload)).to_bytes();
        let bytes = codec::encode_sign1(&protected, unprotected, &payload, &signature);
        // PROTOCOL.md §2.1: room for what hops add in the unprotected header.
        if bytes.len() - unprotected.len() > ENVELOPE_BYTES_MAX - UNPROTECTED_BYTES_MAX {
            return Err(CodecError::TooLarge(bytes.len()));
        }
        let envelope = Arc::new(Envelope {
            digest: CoreDigest::of(&payload),
            key_id,
            key: core.id.key(),
            core,
            bytes: bytes.into(),
        });
        Ok(VerifiedEnvelope { envelope, signer: self.key.verifying_key() })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.in_use().key_id)
    }
}

impl Signer {
    /// Returns a signer with this key.
    pub fn new(key: SigningKey) -> Self {
        Self {
            in_use: RwLock::new(SignerInUse::new(key)),
            #[cfg(feature = "sim")]
            successor: false,
        }
    }

    /// The same key in the hands of a stand-in for version 2.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn as_successor(self) -> Self {
        Self { successor: true, ..self }
    }

    /// Returns the public half of the key.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.in_use().key.verifying_key()
    }

    /// From now on `key` signs.
    pub fn replace(&self, key: SigningKey) {
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = SignerInUse::new(key);
    }

    fn in_use(&self) -> RwLockReadGuard<'_, SignerInUse> {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs `core` with this node's key.
    ///
    /// # Errors
    /// [`CodecError`] if the core breaks a bound of PROTOCOL.md §2.3.
    pub fn sign(&self, core: Core) -> Result<VerifiedEnvelope, CodecError> {
        let signer = self.in_use();
        #[cfg(feature = "sim")]
        if self.successor {
            let key_id = successor::long_key_id(&signer.key.verifying_key());
            return signer.sign(successor::extended(core), key_id, &successor::unprotected());
        }
        signer.sign(core, signer.key_id, UNPROTECTED_EMPTY)
    }
}

impl UnverifiedEnvelope {
    /// Checks the signature over the received bytes with `key`.
    ///
    /// # Errors
    /// [`SignatureError`]; the envelope is dropped.
    pub fn verify(self, key: &VerifyingKey) -> Result<VerifiedEnvelope, SignatureError> {
        if !self.0.key_id.fits(key) {
            return Err(SignatureError::OtherKey { expected: KeyId::of(key), found: self.0.key_id });
        }
        let parts = EnvelopeParts::read(&self.0.bytes).map_err(|_| SignatureError::Invalid)?;
        let message = to_be_signed(ENVELOPE_CONTEXT, parts.protected, parts.payload);
        // PROTOCOL.md §2.2: strict, and never in batches: all nodes must agree about a signature.
        key.verify_strict(&message, &Signature::from_bytes(&parts.signature))
            .map_err(|_| SignatureError::Invalid)?;
        Ok(VerifiedEnvelope { envelope: self.0, signer: *key })
    }
}

/// `Sig_structure` of RFC 9052 §4.4: `["Signature1", protected, external_aad, payload]`.
pub(super) fn to_be_signed(context: &[u8], protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    cbor::put_array(&mut out, 4);
    cbor::put_text(&mut out, "Signature1");
    cbor::put_bytes(&mut out, protected);
    cbor::put_bytes(&mut out, context);
    cbor::put_bytes(&mut out, payload);
    out
}
