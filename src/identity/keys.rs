//! Public keys of nodes, and the ids that help to find them. `policy` decides which key is trusted for which node.

use std::fmt;
use std::ops::RangeInclusive;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::{IdentityError, IdentityKey};

/// Bytes of the key ids that this node writes, and the fewest that any may have: an id only finds a key.
pub(crate) const KEY_ID_BYTES: usize = 8;
/// The most bytes of a key id: all of SHA-256 (PROTOCOL.md §2.2).
pub(crate) const KEY_ID_BYTES_MAX: usize = 32;

impl IdentityKey {
    pub fn of(key: &VerifyingKey) -> Self {
        Self(key.to_bytes())
    }
}

/// Helps to find a key: the first bytes of SHA-256 over the 32 bytes of the public key (PROTOCOL.md §2.2). It proves
/// nothing, and several keys may fit one: if somebody searches for such a key, it can be found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// Zero from `len` on.
    start: [u8; KEY_ID_BYTES_MAX],
    len: u8,
}

impl KeyId {
    /// The id that this node writes, of 8 bytes.
    pub fn of(key: &VerifyingKey) -> Self {
        Self::of_hash(&Self::hash(key.as_bytes()))
    }

    /// Returns the id of a public key of any kind.
    pub fn of_public(key: &[u8; 32]) -> Self {
        Self::of_hash(&Self::hash(key))
    }

    fn of_hash(hash: &[u8; KEY_ID_BYTES_MAX]) -> Self {
        let mut start = [0; KEY_ID_BYTES_MAX];
        start[..KEY_ID_BYTES].copy_from_slice(&hash[..KEY_ID_BYTES]);
        Self { start, len: KEY_ID_BYTES as u8 }
    }

    /// Reads one of 8 to 32 bytes; `None` for any other length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut start = [0; KEY_ID_BYTES_MAX];
        start.get_mut(..bytes.len()).filter(|id| id.len() >= KEY_ID_BYTES)?.copy_from_slice(bytes);
        Some(Self { start, len: bytes.len() as u8 })
    }

    /// Returns the bytes of the id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.start[..usize::from(self.len)]
    }

    /// Returns the hash that all ids of a key begin with.
    pub fn hash(key: &[u8; 32]) -> [u8; KEY_ID_BYTES_MAX] {
        let hash = Sha256::digest(key).into();
        #[cfg(test)]
        let hash = colliding::weakened(hash);
        hash
    }

    /// May `key` be the one that is meant?
    pub fn fits(&self, key: &VerifyingKey) -> bool {
        Self::hash(key.as_bytes()).starts_with(self.as_bytes())
    }

    /// The hashes of all keys that fit, from the lowest to the highest.
    pub fn hashes(&self) -> RangeInclusive<[u8; KEY_ID_BYTES_MAX]> {
        let mut last = self.start;
        last[usize::from(self.len)..].fill(0xff);
        self.start..=last
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Key ids that collide, for tests: to find two that agree in 8 bytes takes days.
#[cfg(test)]
pub mod colliding {
    use std::cell::Cell;

    use super::KEY_ID_BYTES_MAX;

    thread_local! {
        static WEAK: Cell<bool> = const { Cell::new(false) };
    }

    /// While it lives, the ids of this thread's keys differ in their first byte alone.
    pub struct WeakIds;

    impl WeakIds {
        pub fn begin() -> Self {
            WEAK.set(true);
            Self
        }
    }

    impl Drop for WeakIds {
        fn drop(&mut self) {
            WEAK.set(false);
        }
    }

    pub(super) fn weakened(mut hash: [u8; KEY_ID_BYTES_MAX]) -> [u8; KEY_ID_BYTES_MAX] {
        if WEAK.get() {
            hash[1..super::KEY_ID_BYTES].fill(0);
        }
        hash
    }
}

/// Reads `ed25519:` and base64url without padding, and refuses weak keys, so that a key that exists may
/// be trusted to prove something.
///
/// # Errors
/// [`IdentityError::Key`] for another form, [`IdentityError::WeakKey`].
pub fn parse_public_key(text: &str) -> Result<VerifyingKey, IdentityError> {
    let fault = || IdentityError::Key(text.chars().take(80).collect());
    let encoded = text.strip_prefix("ed25519:").ok_or_else(fault)?;
    let bytes = data_encoding::BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| fault())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| fault())?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| fault())?;
    if key.is_weak() { Err(IdentityError::WeakKey) } else { Ok(key) }
}

/// Are these 32 bytes an Ed25519 key, and not a weak one?
pub(crate) fn is_good_key(bytes: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak())
}

/// `ed25519:…`, the form of peer files, invitations and status.
pub fn public_key_text(key: &VerifyingKey) -> String {
    format!("ed25519:{}", data_encoding::BASE64URL_NOPAD.encode(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_key_is_refused() {
        let weak = format!("ed25519:{}", data_encoding::BASE64URL_NOPAD.encode(&[0u8; 32]));
        assert!(parse_public_key(&weak).is_err());
    }
}
