//! Wraps the content key for each recipient: ECDH-ES + A256KW (RFC 9053 §6.4, alg -31) on X25519, with a fresh
//! ephemeral key for each. `None` if a key gives no shared secret. Keys are wiped when they go out of use.

use aes_kw::{KeyInit as _, KwAes256};
use hkdf::Hkdf;
use rand::CryptoRng;
use sha2::Sha256;
use x25519_dalek::{EphemeralSecret, PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

use super::SealKey;
use super::form::{SealRecipient, WRAPPED_BYTES, WrappedKey};

/// `COSE_KDF_Context` of RFC 9053 §5.2, deterministic: the key is for A256KW (-5), nobody is named, 256 bits, and
/// the protected header of the recipient.
const KDF_CONTEXT: [u8; 19] = [
    0x84, 0x24, 0x83, 0xf6, 0xf6, 0xf6, 0x83, 0xf6, 0xf6, 0xf6, 0x82, 0x19, 0x01, 0x00, 0x44, 0xa1, 0x01,
    0x38, 0x1e,
];

pub(super) fn wrap(content_key: &[u8; 32], to: &SealKey, chance: &mut impl CryptoRng) -> Option<WrappedKey> {
    let secret = EphemeralSecret::random_from_rng(chance);
    let ephemeral = PublicKey::from(&secret).to_bytes();
    let cipher = key_cipher(&secret.diffie_hellman(&PublicKey::from(*to.as_bytes())))?;
    let mut wrapped = [0; WRAPPED_BYTES];
    cipher.wrap_key(content_key, &mut wrapped).ok()?;
    Some(WrappedKey { key_id: to.key_id(), ephemeral, wrapped })
}

pub(super) fn unwrap(recipient: &SealRecipient<'_>, secret: &StaticSecret) -> Option<Zeroizing<[u8; 32]>> {
    let cipher = key_cipher(&secret.diffie_hellman(&PublicKey::from(*recipient.ephemeral)))?;
    let mut content_key = Zeroizing::new([0; 32]);
    cipher.unwrap_key(recipient.wrapped, content_key.as_mut_slice()).ok()?;
    Some(content_key)
}

fn key_cipher(shared: &SharedSecret) -> Option<KwAes256> {
    // RFC 7748 §6.1: a point of small order gives a secret that everybody knows.
    if !shared.was_contributory() {
        return None;
    }
    let mut key = Zeroizing::new([0u8; 32]);
    let hkdf = Hkdf::<Sha256>::new(None, shared.as_bytes());
    hkdf.expand(&KDF_CONTEXT, key.as_mut_slice()).ok()?;
    Some(KwAes256::new(&(*key).into()))
}
