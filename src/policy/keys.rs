//! The keys that count for each node, and for what time (PROTOCOL.md §8): identity keys of peer files, and the keys
//! that their statements name. Built anew when a file or a statement changes; reads no clock.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::TrustList;
use crate::envelope::{Envelope, StatedKeys, VerifiedEnvelope};
use crate::identity::{KEY_ID_BYTES_MAX, KeyId, PublisherName};
use crate::limits::{CANDIDATE_KEYS_MAX, CREATED_AHEAD_ACCEPTED_MS};
use crate::time::Timestamp;

/// Why no key that is known here vouches for an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// These keys of the publisher fit, and are revoked by its statement or by this node's operator. Empty: no key that
    /// was ever named here fits, and the publisher is revoked.
    Revoked(Vec<VerifyingKey>),
    /// The publisher's key, but of another time: retired before, or not yet in use when this was created.
    OutOfTime,
    /// The publisher is trusted, but with another key.
    OtherKey,
    UnknownPublisher,
    /// A key of the publisher fits, and did not sign this.
    BadSignature,
    /// The key that signed this is bound to another name.
    NameMismatch,
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
    pub(crate) fn add(
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
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
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
    /// Returns the keys one of which must have signed this envelope. A key id only finds candidates: the signature
    /// shows which of them signed, and [`TrustList::judge_signer`] what that one is worth.
    ///
    /// # Errors
    /// None can have signed it, or revoked ones alone.
    pub fn keys_of(
        &self,
        publisher: &PublisherName,
        key_id: KeyId,
        created: Timestamp,
    ) -> Result<Vec<VerifyingKey>, KeyFault> {
        let name = self.present_name(publisher);
        let theirs = self.keys.fitting(key_id).filter(|bound| bound.name == *name);
        let mut theirs: Vec<_> = theirs.map(|bound| (bound.standing(created), bound.key)).collect();
        theirs.sort_by_key(|(standing, _)| *standing);
        let has = |standing| theirs.iter().any(|(known, _)| *known == standing);
        if has(Standing::Good) {
            return Ok(distinct(theirs.iter().map(|(_, key)| key)));
        }
        if has(Standing::Revoked) || self.is_revoked(publisher) {
            let revoked = theirs.iter().filter(|(standing, _)| *standing == Standing::Revoked);
            return Err(KeyFault::Revoked(distinct(revoked.map(|(_, key)| key))));
        }
        if has(Standing::OutOfTime) {
            return Err(KeyFault::OutOfTime);
        }
        // If a key of another publisher signed, it is bound to another name than the signed one.
        let others = distinct(self.keys.fitting(key_id).map(|bound| &bound.key));
        if others.is_empty() { Err(self.other_key(publisher)) } else { Ok(others) }
    }

    fn other_key(&self, publisher: &PublisherName) -> KeyFault {
        if self.publisher(publisher) { KeyFault::OtherKey } else { KeyFault::UnknownPublisher }
    }

    /// Checks whether the key that did sign it may have done so. It compares the whole key, because a key id proves
    /// nothing, and a key may have been revoked since the candidates were found.
    ///
    /// # Errors
    /// Revoked, out of time, or bound to another name.
    pub fn judge_signer(&self, verified: &VerifiedEnvelope) -> Result<(), KeyFault> {
        let (envelope, signer) = (verified.envelope(), verified.signer());
        match self.standing(envelope.publisher(), signer, envelope.core().created) {
            Some(Standing::Good) => Ok(()),
            Some(Standing::Revoked) => Err(KeyFault::Revoked(vec![*signer])),
            Some(Standing::OutOfTime) => Err(KeyFault::OutOfTime),
            None => Err(KeyFault::NameMismatch),
        }
    }

    /// Returns the fault of an envelope that none of the keys that were `tried` signed. If one of them is the
    /// publisher's, it is forged. If all are keys of others, its own key is not known here.
    pub fn judge_unsigned(&self, envelope: &Envelope, tried: &[VerifyingKey]) -> KeyFault {
        let (publisher, created) = (envelope.publisher(), envelope.core().created);
        if tried.iter().any(|key| self.standing(publisher, key, created).is_some()) {
            return KeyFault::BadSignature;
        }
        self.other_key(publisher)
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
