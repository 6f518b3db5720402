//! The keys that count for each node, and for what time (PROTOCOL.md §8): identity keys of peer files, and the keys
//! that their statements name. Built anew when a file or a statement changes; reads no clock.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::TrustList;
use crate::envelope::StatedKeys;
use crate::identity::{KEY_ID_BYTES_MAX, KeyId, PublisherName};
use crate::limits::{CANDIDATE_KEYS_MAX, CREATED_AHEAD_ACCEPTED_MS};
use crate::time::Timestamp;

/// The answer of the trust list about the key id of an envelope. An id only finds candidates: the signature shows
/// which of them signed, and [`TrustList::standing`] what that one is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The publisher's keys that fit; at least one of them is good for that time.
    Candidates(Vec<VerifyingKey>),
    /// The publisher's key, but of another time: retired before, or not yet in use when this was created.
    OutOfTime,
    /// The publisher's keys that fit, revoked by its statement or by this node's operator. Empty: no key that was
    /// ever named here fits, and the publisher is revoked.
    Revoked(Vec<VerifyingKey>),
    /// The name is trusted, but with another key.
    OtherKey,
    /// Only keys of other publishers fit. If one of them signed, it is bound to another name than the signed one.
    Others(Vec<VerifyingKey>),
    Unknown,
}

/// How much a key is worth for an event that its publisher created at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Good,
    OutOfTime,
    Revoked,
}

/// One key that may sign, and the node that it signs for.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    name: PublisherName,
    key: VerifyingKey,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    revoked: bool,
}

impl Bound {
    fn standing(&self, created: Timestamp) -> Standing {
        if self.revoked {
            return Standing::Revoked;
        }
        // A clock that went back a little after the key was made is no forgery.
        let early = created.plus_ms(CREATED_AHEAD_ACCEPTED_MS) < self.not_before;
        if early || self.not_after.is_some_and(|end| created > end) {
            return Standing::OutOfTime;
        }
        Standing::Good
    }
}

/// All keys that may sign, by the whole hash that their ids are the beginning of.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyBook {
    /// If a node states another's key, both may have it: signed data names its publisher.
    by_hash: BTreeMap<[u8; KEY_ID_BYTES_MAX], Vec<Bound>>,
}

impl KeyBook {
    /// `identity` is `name`'s own key, `stated` its statement, `revoked` the decision of our operator.
    /// Without a statement the identity key serves all uses.
    pub fn add(
        &mut self,
        name: &PublisherName,
        identity: &VerifyingKey,
        stated: Option<&StatedKeys>,
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

    /// Binds a key. If it was bound to the same publisher before, the later binding replaces the earlier.
    fn bind(&mut self, bound: Bound) {
        let of_key = self.by_hash.entry(KeyId::hash(bound.key.as_bytes())).or_default();
        of_key.retain(|known| known.name != bound.name);
        of_key.push(bound);
    }

    /// Returns every key that fits `key_id`, with its owner.
    fn fitting(&self, key_id: KeyId) -> impl Iterator<Item = &Bound> {
        self.by_hash.range(key_id.hashes()).flat_map(|(_, bound)| bound)
    }

    /// All that a rejection may be cured by: a statement that changes no key cures nothing.
    pub fn hash_into(&self, hash: &mut Sha256) {
        for bound in self.by_hash.values().flatten() {
            hash.update(bound.key.as_bytes());
            hash.update(bound.name.as_str());
            hash.update(bound.not_before.0.to_be_bytes());
            hash.update(bound.not_after.map_or(u64::MAX, |end| end.0).to_be_bytes());
            hash.update([u8::from(bound.revoked)]);
        }
    }
}

impl TrustList {
    /// Which keys may have signed an envelope of this time that names `publisher` and `key_id`?
    pub fn keys_of(&self, publisher: &PublisherName, key_id: KeyId, created: Timestamp) -> Trust {
        let name = self.present_name(publisher);
        let theirs = self.keys.fitting(key_id).filter(|bound| bound.name == *name);
        let mut theirs: Vec<_> = theirs.map(|bound| (bound.standing(created), bound.key)).collect();
        theirs.sort_by_key(|(standing, _)| *standing);
        let has = |standing| theirs.iter().any(|(known, _)| *known == standing);
        if has(Standing::Good) {
            return Trust::Candidates(distinct(theirs.iter().map(|(_, key)| key)));
        }
        if has(Standing::Revoked) || self.is_revoked(publisher) {
            let revoked = theirs.iter().filter(|(standing, _)| *standing == Standing::Revoked);
            return Trust::Revoked(distinct(revoked.map(|(_, key)| key)));
        }
        if has(Standing::OutOfTime) {
            return Trust::OutOfTime;
        }
        let others = distinct(self.keys.fitting(key_id).map(|bound| &bound.key));
        if !others.is_empty() {
            Trust::Others(others)
        } else if self.publisher(publisher) {
            Trust::OtherKey
        } else {
            Trust::Unknown
        }
    }

    /// Returns what `key` is worth for something that `publisher` created at `created`; `None` if it is not one of
    /// that publisher's keys. All bytes of the key are compared.
    pub fn standing(
        &self,
        publisher: &PublisherName,
        key: &VerifyingKey,
        created: Timestamp,
    ) -> Option<Standing> {
        let name = self.present_name(publisher);
        let mut bound = self.keys.by_hash.get(&KeyId::hash(key.as_bytes()))?.iter();
        bound.find(|bound| bound.name == *name).map(|bound| bound.standing(created))
    }
}

/// Each key once, in their order, as many as are tried. One key may be stated by several publishers.
fn distinct<'a>(keys: impl Iterator<Item = &'a VerifyingKey>) -> Vec<VerifyingKey> {
    let mut distinct = Vec::new();
    for key in keys {
        if distinct.len() < CANDIDATE_KEYS_MAX && !distinct.contains(key) {
            distinct.push(*key);
        }
    }
    distinct
}
