//! Which key counts for whom, and for what time (design §5.6): the identity keys of the peer files, and the keys
//! that their statements name. Built anew whenever a file or a statement changes; reads no clock.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use crate::envelope::Stated;
use crate::identity::{KeyId, PublisherName};
use crate::limits::CREATED_AHEAD_ACCEPTED_MS;
use crate::time::Timestamp;

/// Whose key signed it, as this node's trust list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    Known(&'a VerifyingKey),
    /// The publisher's key, but of another time: retired before, or not yet in use when this was created.
    OutOfTime,
    /// The publisher's key, and revoked: by its statement, or by this node's operator. `None`: a key that was never
    /// named here, of a publisher who is revoked.
    Revoked(Option<&'a VerifyingKey>),
    /// The name is trusted, but with another key.
    OtherKey,
    /// The key is bound to other names than the signed one.
    NameMismatch,
    Unknown,
}

/// One key that may sign, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub name: PublisherName,
    key: VerifyingKey,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    revoked: bool,
}

impl Bound {
    /// What the key is worth for something of this publisher, created at `created`.
    pub fn standing(&self, created: Timestamp) -> Trust<'_> {
        if self.revoked {
            return Trust::Revoked(Some(&self.key));
        }
        // A clock that went back a little after the key was made is no forgery.
        let early = created.plus_ms(CREATED_AHEAD_ACCEPTED_MS) < self.not_before;
        if early || self.not_after.is_some_and(|end| created > end) {
            return Trust::OutOfTime;
        }
        Trust::Known(&self.key)
    }
}

/// All keys that may sign, by their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyBook {
    /// Nobody takes a key by stating another's: what is signed names its publisher, so both may have it.
    by_id: BTreeMap<KeyId, Vec<Bound>>,
}

impl KeyBook {
    /// `identity` is `name`'s own key, `stated` what it said, `revoked` what our operator says.
    /// Without a statement the identity key serves all uses.
    pub fn add(
        &mut self,
        name: &PublisherName,
        identity: &VerifyingKey,
        stated: Option<&Stated>,
        revoked: bool,
    ) {
        let revoked = revoked || stated.is_some_and(|stated| stated.latest().statement().revoked);
        let alone =
            Bound { name: name.clone(), key: *identity, not_before: Timestamp(0), not_after: None, revoked };
        let Some(stated) = stated else { return self.bind(alone) };
        // Named by no key of the statement, it was retired so long ago that there was no room for it any more.
        let long_retired = Bound { not_after: Some(Timestamp(0)), ..alone.clone() };
        self.bind(if stated.keys().is_empty() { alone } else { long_retired });
        for stated in stated.keys() {
            let Some(key) = stated.verifying_key() else { continue };
            self.bind(Bound {
                name: name.clone(),
                key,
                not_before: stated.not_before,
                not_after: stated.not_after,
                revoked: revoked || stated.compromised,
            });
        }
    }

    /// What is bound later to the same publisher takes the place of what was.
    fn bind(&mut self, bound: Bound) {
        let of_id = self.by_id.entry(KeyId::of(&bound.key)).or_default();
        of_id.retain(|known| known.name != bound.name);
        of_id.push(bound);
    }

    /// Whose the key is, in the order of their names; this node comes last.
    pub fn bound(&self, key_id: KeyId) -> &[Bound] {
        self.by_id.get(&key_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// All that a rejection may be cured by: a statement that changes no key cures nothing.
    pub fn hash_into(&self, hash: &mut Sha256) {
        for bound in self.by_id.values().flatten() {
            hash.update(bound.key.as_bytes());
            hash.update(bound.name.as_str());
            hash.update(bound.not_before.0.to_be_bytes());
            hash.update(bound.not_after.map_or(u64::MAX, |end| end.0).to_be_bytes());
            hash.update([u8::from(bound.revoked)]);
        }
    }
}
