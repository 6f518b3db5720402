//! Which key counts for whom, and for what time (design §5.6): the identity keys of the peer files, and the keys
//! that their statements name. Built anew whenever a file or a statement changes; reads no clock.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use crate::envelope::Statement;
use crate::identity::{KeyId, PublisherName};
use crate::limits::CREATED_AHEAD_ACCEPTED_MS;
use crate::time::Timestamp;

/// Whose key signed it, as this node's trust list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    Known(&'a VerifyingKey),
    /// The publisher's key, but of another time: retired before, or not yet in use when this was created.
    OutOfTime,
    /// The publisher's key, and revoked: by its statement, or by this node's operator.
    Revoked(&'a VerifyingKey),
    /// The name is trusted, but with another key.
    OtherKey,
    /// The key is bound to another name than the signed one.
    NameMismatch,
    Unknown,
}

/// One key that may sign, and for whom.
#[derive(Clone, Debug)]
struct Bound {
    name: PublisherName,
    key: VerifyingKey,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    revoked: bool,
}

/// All keys that may sign, by their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyBook {
    by_id: BTreeMap<KeyId, Bound>,
    /// Serials, and whether the identity is revoked: what a rejection may be cured by.
    serials: BTreeMap<PublisherName, (u64, bool)>,
}

impl KeyBook {
    /// `identity` is `name`'s own key, `statement` the latest that it signed, `revoked` what our operator says.
    /// Without a statement the identity key serves all uses.
    pub fn add(
        &mut self,
        name: &PublisherName,
        identity: &VerifyingKey,
        statement: Option<&Statement>,
        revoked: bool,
    ) {
        let revoked = revoked || statement.is_some_and(|stated| stated.revoked);
        let alone =
            Bound { name: name.clone(), key: *identity, not_before: Timestamp(0), not_after: None, revoked };
        let Some(statement) = statement else {
            self.by_id.insert(KeyId::of(identity), alone);
            return;
        };
        self.serials.insert(name.clone(), (statement.serial, revoked));
        // Named by no key of the statement, it was retired so long ago that nothing of it is on its way.
        let long_retired = Bound { not_after: Some(Timestamp(0)), ..alone.clone() };
        let unnamed = if statement.keys.is_empty() { alone } else { long_retired };
        self.by_id.insert(KeyId::of(identity), unnamed);
        for stated in &statement.keys {
            let Some(key) = stated.verifying_key() else { continue };
            let id = KeyId::of(&key);
            // Nobody takes a key that is another's already.
            if self.by_id.get(&id).is_some_and(|known| known.name != *name) {
                continue;
            }
            let bound = Bound {
                name: name.clone(),
                key,
                not_before: stated.not_before,
                not_after: stated.not_after,
                revoked: revoked || stated.compromised,
            };
            self.by_id.insert(id, bound);
        }
    }

    pub fn bound_to(&self, key_id: KeyId) -> Option<&PublisherName> {
        self.by_id.get(&key_id).map(|bound| &bound.name)
    }

    /// What the key is worth for something created at `created`, whoever it is bound to.
    pub fn standing(&self, key_id: KeyId, created: Timestamp) -> Trust<'_> {
        let Some(bound) = self.by_id.get(&key_id) else { return Trust::Unknown };
        if bound.revoked {
            return Trust::Revoked(&bound.key);
        }
        // A clock that went back a little after the key was made is no forgery.
        let early = created.plus_ms(CREATED_AHEAD_ACCEPTED_MS) < bound.not_before;
        if early || bound.not_after.is_some_and(|end| created > end) {
            return Trust::OutOfTime;
        }
        Trust::Known(&bound.key)
    }

    pub fn hash_into(&self, hash: &mut Sha256) {
        for (name, (serial, revoked)) in &self.serials {
            hash.update(name.as_str());
            hash.update(serial.to_be_bytes());
            hash.update([u8::from(*revoked)]);
        }
    }
}
