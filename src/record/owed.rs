//! Entries that a feed owes: the cursor has passed them and they are still to be taken. They are counted by reason and
//! publisher, so that no publisher takes all places. Which reason an entry has is decided elsewhere.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::time::Timestamp;
use crate::wire::VerdictCode;

/// An entry that the cursor has passed but that is still to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub seq: u64,
    pub key: EventKey,
    /// As it was offered, or came: if another digest is held, that does not settle it.
    pub digest: CoreDigest,
    pub publisher: PublisherName,
    pub reason: VerdictCode,
    /// Steady time before which it is not asked for again.
    pub retry_at: Timestamp,
}

/// The owed entries of one feed, by seq of the sender's journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwedEntries {
    by_seq: BTreeMap<u64, Owed>,
    /// How many wait for each reason and publisher; those that only wait for an answer are not counted.
    deferred: BTreeMap<(VerdictCode, PublisherName), usize>,
    deferred_sum: usize,
}

/// Entries that wait for an answer of the peer leave as soon as it answers; all others wait for a time or a decision.
fn waits_long(reason: VerdictCode) -> bool {
    reason != VerdictCode::InFlight
}

impl OwedEntries {
    /// Replaces what is owed under the same seq.
    pub fn insert(&mut self, owed: Owed) {
        self.remove(owed.seq);
        if waits_long(owed.reason) {
            *self.deferred.entry((owed.reason, owed.publisher.clone())).or_default() += 1;
            self.deferred_sum += 1;
        }
        self.by_seq.insert(owed.seq, owed);
    }

    pub fn remove(&mut self, seq: u64) -> Option<Owed> {
        let owed = self.by_seq.remove(&seq)?;
        self.uncount(&owed);
        Some(owed)
    }

    /// Keeps what lies at or below `seq`.
    pub fn cut_above(&mut self, seq: u64) {
        let Some(above) = seq.checked_add(1) else { return };
        for owed in self.by_seq.split_off(&above).into_values() {
            self.uncount(&owed);
        }
    }

    fn uncount(&mut self, owed: &Owed) {
        let key = (owed.reason, owed.publisher.clone());
        if let Some(count) = self.deferred.get_mut(&key) {
            *count -= 1;
            self.deferred_sum -= 1;
            if *count == 0 {
                self.deferred.remove(&key);
            }
        }
    }

    /// Returns how many entries of `publisher` wait for `reason`.
    pub fn count(&self, reason: VerdictCode, publisher: &PublisherName) -> usize {
        self.deferred.get(&(reason, publisher.clone())).copied().unwrap_or(0)
    }

    /// Returns true if there is a place for one more. Each reason and publisher may have as many of the `places` for
    /// deferred entries as are still free: one alone gets half of them, and of n each gets the (n + 1)th part, so that
    /// the next one always finds some (the dynamic threshold of Choudhury and Hahne, 1998). If an entry only waits for
    /// an answer, it always has a place: the window is granted by it.
    pub fn has_place(&self, owed: &Owed, places: usize) -> bool {
        if !waits_long(owed.reason) {
            return true;
        }
        let replaced = self.by_seq.get(&owed.seq);
        if replaced.is_some_and(|known| known.reason == owed.reason && known.publisher == owed.publisher) {
            return true;
        }
        let freed = usize::from(replaced.is_some_and(|known| waits_long(known.reason)));
        let free = places.saturating_sub(self.deferred_sum - freed);
        self.count(owed.reason, &owed.publisher) < free
    }
}

impl Deref for OwedEntries {
    type Target = BTreeMap<u64, Owed>;

    fn deref(&self) -> &BTreeMap<u64, Owed> {
        &self.by_seq
    }
}

impl FromIterator<Owed> for OwedEntries {
    fn from_iter<T: IntoIterator<Item = Owed>>(entries: T) -> Self {
        let mut all = Self::default();
        entries.into_iter().for_each(|owed| all.insert(owed));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 3_072;

    fn owed(seq: u64, publisher: &str, reason: VerdictCode) -> Owed {
        let publisher = PublisherName::parse(publisher).unwrap();
        let (key, digest) = (EventKey([0; 16]), CoreDigest([0; 32]));
        Owed { seq, key, digest, publisher, reason, retry_at: Timestamp(0) }
    }

    /// Each of `publishers` defers as many as it gets, in turn.
    fn filled(publishers: usize) -> OwedEntries {
        let mut all = OwedEntries::default();
        let mut seq = 0;
        loop {
            let before = all.len();
            for nth in 0..publishers {
                seq += 1;
                let next = owed(seq, &format!("p{nth}"), VerdictCode::Rate);
                if all.has_place(&next, PLACES) {
                    all.insert(next);
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    #[test]
    fn publishers_share_the_places_and_leave_some_for_the_next() {
        let cases = [(1, 1_536), (2, 2_048), (10, 2_790), (3_000, 3_000)];
        for (publishers, most) in cases {
            let all = filled(publishers);
            let (fewest, count) = (PLACES / (publishers + 1), all.len());
            assert!(count <= most + publishers, "{publishers} publishers took {count}");
            for nth in 0..publishers {
                let name = PublisherName::parse(&format!("p{nth}")).unwrap();
                assert!(all.count(VerdictCode::Rate, &name) >= fewest.max(1), "p{nth} of {publishers}");
            }
            let newcomer = owed(u64::MAX, "newcomer", VerdictCode::Ahead);
            assert!(all.has_place(&newcomer, PLACES), "beside {publishers}");
        }
    }

    #[test]
    fn counts_follow_what_is_replaced_removed_and_cut() {
        let mut all = filled(1);
        let name = PublisherName::parse("p0").unwrap();
        assert!(!all.has_place(&owed(9_999, "p0", VerdictCode::Rate), PLACES));
        assert!(all.has_place(&owed(9_999, "p0", VerdictCode::InFlight), PLACES), "it waits for an answer");
        assert!(all.has_place(&owed(7, "p0", VerdictCode::Rate), PLACES), "it has its place already");
        all.insert(owed(7, "p0", VerdictCode::InFlight));
        all.remove(8);
        all.cut_above(100);
        assert_eq!((all.len(), all.count(VerdictCode::Rate, &name)), (99, 98));
        all.cut_above(0);
        assert_eq!(all, OwedEntries::default());
    }
}
