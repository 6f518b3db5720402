//! Entries that this journal held and can no longer read, so that peers are asked for them again. A copy is stored
//! under a new seq; if a consumer had the entry before it broke, it does not get it twice. Nothing is asked for here.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::EventKey;
use crate::limits::LOSSES_MAX;
use crate::record::ConsumerName;

/// An entry with a broken record, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenEntry {
    pub seq: u64,
    pub key: EventKey,
}

/// An entry that is lost, and perhaps taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub seq: u64,
    /// Consumers that acknowledged it.
    pub had_by: BTreeSet<ConsumerName>,
    /// The seq under which it was stored again.
    pub taken: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<EventKey, Loss>);

impl Losses {
    /// Remembers a loss. If an entry is lost a second time, the consumers that had it before stay known. Of more than
    /// [`LOSSES_MAX`] a new one is missing, and is not asked for.
    pub fn add(&mut self, key: EventKey, mut loss: Loss) {
        if let Some(known) = self.0.get(&key) {
            loss.had_by.extend(known.had_by.iter().cloned());
        } else if self.0.len() >= LOSSES_MAX {
            return;
        }
        self.0.insert(key, loss);
    }

    /// Forgets losses with a copy that no consumer can come to any more, when retention took all up to `floor`. If
    /// nobody had a copy, the loss stays, so that a late copy is still known for one: of these the older give way.
    pub fn retired(&mut self, floor: u64) {
        self.0.retain(|_, loss| loss.taken.is_none_or(|taken| taken.max(loss.seq) > floor));
        let unmet = self.0.iter().filter(|(_, loss)| loss.taken.is_none() && loss.seq <= floor);
        let mut unmet: Vec<_> = unmet.map(|(key, loss)| (loss.seq, *key)).collect();
        unmet.sort_unstable();
        for (_, key) in &unmet[..unmet.len().saturating_sub(LOSSES_MAX / 2)] {
            self.0.remove(key);
        }
    }

    /// Returns true if the loss of entry `seq` is known.
    pub fn knows(&self, entry: BrokenEntry) -> bool {
        self.0.get(&entry.key).is_some_and(|loss| loss.seq >= entry.seq)
    }

    /// Returns true if a copy may be taken even if the seen set knows it.
    pub fn wants(&self, key: EventKey) -> bool {
        self.0.get(&key).is_some_and(|loss| loss.taken.is_none())
    }

    /// Notes that the entry with `key` was stored as `seq`.
    pub fn stored(&mut self, key: EventKey, seq: u64) {
        if let Some(loss) = self.0.get_mut(&key).filter(|loss| loss.taken.is_none() && loss.seq < seq) {
            loss.taken = Some(seq);
        }
    }

    /// Returns the loss that entry `seq` makes up for.
    pub fn made_up_by(&self, key: EventKey, seq: u64) -> Option<&Loss> {
        self.0.get(&key).filter(|loss| loss.taken == Some(seq))
    }

    /// Notes that the position of `consumer` moved by acknowledgements: it had the entries there before they broke.
    pub fn acked(&mut self, consumer: &ConsumerName, after: u64, to: u64) {
        for loss in self.0.values_mut().filter(|loss| after < loss.seq && loss.seq <= to) {
            loss.had_by.insert(consumer.clone());
        }
    }

    /// Notes that `consumer` is to get again all that lies behind `seq`.
    pub fn rewound(&mut self, consumer: &ConsumerName, seq: u64) {
        for loss in self.0.values_mut().filter(|loss| loss.seq > seq) {
            loss.had_by.remove(consumer);
        }
    }

    pub fn broken(&self) -> impl Iterator<Item = BrokenEntry> {
        self.0.iter().map(|(key, loss)| BrokenEntry { seq: loss.seq, key: *key })
    }

    /// Returns true if a copy of any entry is to be taken.
    pub fn wants_any(&self) -> bool {
        self.0.values().any(|loss| loss.taken.is_none())
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
        Loss { seq, had_by: had_by.iter().map(|name| consumer(name)).collect(), taken: None }
    }

    #[test]
    fn a_loss_is_made_up_for_once() {
        let (mut losses, key) = (Losses::default(), EventKey([1; 16]));
        losses.add(key, loss(5, &["soc"]));
        losses.stored(key, 5);
        assert!(losses.wants(key), "that was the entry that is lost");
        losses.stored(key, 9);
        assert!(!losses.wants(key) && losses.made_up_by(key, 5).is_none());
        losses.acked(&consumer("late"), 4, 5);
        losses.acked(&consumer("other"), 5, 90);
        losses.add(key, loss(9, &["siem"]));
        losses.stored(key, 12);
        let had_by = |losses: &Losses| losses.made_up_by(key, 12).unwrap().had_by.clone();
        assert_eq!(had_by(&losses), ["late", "siem", "soc"].map(consumer).into());
        losses.rewound(&consumer("soc"), 8);
        losses.rewound(&consumer("siem"), 9);
        assert_eq!(had_by(&losses), ["late", "siem"].map(consumer).into());
    }

    /// A loss that was made up for is forgotten when nobody can meet it any more.
    #[test]
    fn losses_are_bounded() {
        let mut losses = Losses::default();
        let key = |nth: u64| EventKey(u128::from(nth).to_be_bytes());
        let max = LOSSES_MAX as u64;
        (1..=max).for_each(|nth| losses.add(key(nth), loss(nth, &[])));
        losses.stored(key(7), 2 * max);
        losses.add(key(max + 1), loss(max + 1, &[]));
        assert!(!losses.wants(key(max + 1)) && losses.wants(key(1)));
        losses.retired(max);
        assert!(!losses.wants(key(max / 2)) && losses.wants(key(max)), "half of them are kept");
        assert!(losses.made_up_by(key(7), 2 * max).is_some());
        losses.add(key(max + 2), loss(max + 2, &[]));
        assert!(losses.wants(key(max + 2)));
        losses.retired(2 * max);
        assert!(losses.made_up_by(key(7), 2 * max).is_none());
    }
}
