//! Entries that this journal held and can no longer read, so that peers are asked for them again. What comes again is
//! stored under a new seq; who had it before it broke does not get it twice. Nothing is asked for here.

use std::collections::BTreeMap;

use crate::identity::{CoreDigest, EventKey};
use crate::limits::LOSSES_MAX;
use crate::record::ConsumerName;

/// What is left of an entry whose record is broken. Its bytes prove nothing: it is believed only if the seen set agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenEntry {
    pub seq: u64,
    pub key: EventKey,
    pub digest: CoreDigest,
}

/// An entry that is lost, and perhaps taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub seq: u64,
    pub digest: CoreDigest,
    /// Consumers that had acknowledged it before.
    pub had_by: Vec<ConsumerName>,
    /// The seq under which it was stored again.
    pub taken: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<EventKey, Loss>);

impl Losses {
    /// Remembers a loss. Of an entry that is lost a second time those who had it before stay known. Beyond
    /// [`LOSSES_MAX`] nothing is remembered: such an entry is missing, and not asked for.
    pub fn add(&mut self, key: EventKey, mut loss: Loss) {
        if let Some(known) = self.0.get(&key) {
            let before = known.had_by.iter().filter(|consumer| !loss.had_by.contains(consumer));
            let before: Vec<_> = before.cloned().collect();
            loss.had_by.extend(before);
        } else if self.0.len() >= LOSSES_MAX {
            return;
        }
        self.0.insert(key, loss);
    }

    /// Is the loss of entry `seq` known?
    pub fn knows(&self, key: EventKey, seq: u64) -> bool {
        self.0.get(&key).is_some_and(|loss| loss.seq >= seq)
    }

    /// May this copy be taken, though the seen set knows it?
    pub fn wants(&self, key: EventKey, digest: CoreDigest) -> bool {
        self.0.get(&key).is_some_and(|loss| loss.taken.is_none() && loss.digest == digest)
    }

    /// The entry with `key` was stored as `seq`.
    pub fn stored(&mut self, key: EventKey, seq: u64) {
        if let Some(loss) = self.0.get_mut(&key).filter(|loss| loss.taken.is_none() && loss.seq < seq) {
            loss.taken = Some(seq);
        }
    }

    /// The loss that entry `seq` makes up for.
    pub fn made_up_by(&self, key: EventKey, seq: u64) -> Option<&Loss> {
        self.0.get(&key).filter(|loss| loss.taken == Some(seq))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&EventKey, &Loss)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str) -> ConsumerName {
        ConsumerName::parse(name).unwrap()
    }

    fn loss(seq: u64, had_by: &[&str]) -> Loss {
        let had_by = had_by.iter().map(|name| consumer(name)).collect();
        Loss { seq, digest: CoreDigest([7; 32]), had_by, taken: None }
    }

    #[test]
    fn a_loss_is_made_up_for_once_and_by_the_same_digest_alone() {
        let (mut losses, key) = (Losses::default(), EventKey([1; 16]));
        losses.add(key, loss(5, &["soc"]));
        assert!(losses.wants(key, CoreDigest([7; 32])) && !losses.wants(key, CoreDigest([8; 32])));
        losses.stored(key, 5);
        assert!(losses.wants(key, CoreDigest([7; 32])), "that was the entry that is lost");
        losses.stored(key, 9);
        assert!(!losses.wants(key, CoreDigest([7; 32])));
        assert!(losses.made_up_by(key, 9).is_some() && losses.made_up_by(key, 5).is_none());
        losses.add(key, loss(9, &["siem"]));
        losses.stored(key, 12);
        assert_eq!(losses.made_up_by(key, 12).unwrap().had_by, [consumer("siem"), consumer("soc")]);
    }

    #[test]
    fn losses_beyond_the_bound_are_not_remembered() {
        let mut losses = Losses::default();
        for nth in 0..2 * LOSSES_MAX as u64 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&nth.to_be_bytes());
            losses.add(EventKey(key), loss(nth, &[]));
        }
        assert_eq!(losses.len(), LOSSES_MAX);
    }
}
