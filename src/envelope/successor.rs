//! Envelopes of a stand-in for version 2, for tests: with everything that version 1 carries without understanding
//! it. It promises nothing about the true version 2.

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use super::codec::{EnvelopeParts, encode_sign1};
use super::{Core, Extensions};
use crate::cbor;
use crate::identity::{KeyId, PublisherName};
use crate::limits::UNPROTECTED_BYTES_MAX;

/// The pair of label 394 with what stands for a receipt of a batch.
fn receipt() -> Vec<u8> {
    let mut pair = vec![0x19, 0x01, 0x8a];
    cbor::put_array(&mut pair, 1);
    cbor::put_bytes(&mut pair, &[7; 40]);
    pair
}

/// The whole hash of a key.
pub(super) fn long_key_id(key: &VerifyingKey) -> KeyId {
    KeyId::parse(&KeyId::hash(key.as_bytes())).unwrap_or_else(|| KeyId::of(key))
}

/// `core` with two extensions, if its body is plain: a seal binds the extensions that it was made beside.
pub(super) fn extended(core: Core) -> Core {
    if core.body.is_sealed() {
        return core;
    }
    let entries: [(u8, &[u8]); 2] = [(64, &[0x82, 0x05, 0xf4]), (127, &[0xa1, 0x01, 0x41, 0xff])];
    match Extensions::new(entries) {
        Ok(extensions) => Core { extensions, ..core },
        Err(_) => core,
    }
}

/// Returns the unprotected header of the envelopes that it publishes.
pub(super) fn unprotected() -> Vec<u8> {
    [&[0xa1][..], &receipt()].concat()
}

/// The envelope with an attestation of `hops` in the place of an earlier one; as it is, if there is no room.
pub(crate) fn attested(envelope: &Bytes, hops: &[PublisherName]) -> Bytes {
    let Ok(parts) = EnvelopeParts::read(envelope) else { return envelope.clone() };
    let receipt = Some(receipt()).filter(|pair| parts.unprotected[1..].starts_with(pair)).unwrap_or_default();
    let mut unprotected = Vec::new();
    cbor::put_map(&mut unprotected, 1 + usize::from(!receipt.is_empty()));
    unprotected.extend_from_slice(&receipt);
    cbor::put_head(&mut unprotected, cbor::MajorType::Negative, 65_536);
    cbor::put_array(&mut unprotected, hops.len());
    hops.iter().for_each(|hop| cbor::put_text(&mut unprotected, hop.as_str()));
    if unprotected.len() > UNPROTECTED_BYTES_MAX {
        return envelope.clone();
    }
    encode_sign1(parts.protected, &unprotected, parts.payload, &parts.signature).into()
}
