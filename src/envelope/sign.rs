//! Signing and verifying (PROTOCOL.md §2.2): COSE_Sign1 with alg -19 (Ed25519, RFC 9864), `verify_strict`
//! only. Which key to trust for whom is the caller's question.

use std::fmt;

use ed25519_dalek::{SigningKey, VerifyingKey};
use thiserror::Error;

use super::{CodecError, Core, UnverifiedEnvelope, VerifiedEnvelope};
use crate::identity::KeyId;

/// The context that every signature over an envelope is bound to (external_aad).
pub const ENVELOPE_CONTEXT: &[u8] = b"intelmesh/envelope/v1";

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    #[error("the signature is not one of this key over these bytes")]
    Invalid,
    #[error("signed with key {found}, not {expected}")]
    OtherKey { expected: KeyId, found: KeyId },
}

/// Holds the node's signing key and makes envelopes.
pub struct Signer {
    key: SigningKey,
    key_id: KeyId,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key_id)
    }
}

impl Signer {
    pub fn new(key: SigningKey) -> Self {
        let key_id = KeyId::of(&key.verifying_key());
        Self { key, key_id }
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs `core` with this node's key.
    ///
    /// # Errors
    /// [`CodecError`] where the core breaks a bound of PROTOCOL.md §2.3.
    pub fn sign(&self, _core: Core) -> Result<VerifiedEnvelope, CodecError> {
        todo!()
    }
}

impl UnverifiedEnvelope {
    /// Checks the signature over the received bytes with `key`.
    ///
    /// # Errors
    /// [`SignatureError`]; the envelope is dropped.
    pub fn verify(self, _key: &VerifyingKey) -> Result<VerifiedEnvelope, SignatureError> {
        todo!()
    }
}
