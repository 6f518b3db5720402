//! The signed core and the COSE_Sign1 around it, as bytes (PROTOCOL.md §2). Deterministic CBOR only: what
//! is not the one encoding of its content is refused. Signatures are not looked at here.

use bytes::Bytes;
use thiserror::Error;

use super::{Core, UnverifiedEnvelope};

/// Why bytes are no envelope. All are the sender's fault and final: the bytes will not get better.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    #[error("envelope of {0} bytes")]
    TooLarge(usize),
}

impl UnverifiedEnvelope {
    /// Reads a tagged COSE_Sign1 whose payload is a signed core.
    ///
    /// # Errors
    /// [`CodecError`]; nothing is allocated beyond the size of the input.
    pub fn decode(_bytes: Bytes) -> Result<Self, CodecError> {
        todo!()
    }
}

/// The deterministic encoding of a core.
pub fn encode_core(_core: &Core) -> Vec<u8> {
    todo!()
}
