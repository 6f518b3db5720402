//! When something is due for which entry of a feed. Each entry has one time: a later one replaces it. The action is
//! decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::Tick;

#[derive(Debug, Default)]
pub(super) struct DueQueue {
    by_seq: BTreeMap<u64, Tick>,
    order: BTreeSet<(Tick, u64)>,
    /// Until when each offered entry holds the cursor back, in the order of the offers.
    held: VecDeque<(Tick, u64)>,
    /// All of them hold it back until then at least.
    held_on: Tick,
}

impl DueQueue {
    /// Entry `seq` is asked for at `at`, and not before.
    pub(crate) fn set(&mut self, seq: u64, at: Tick) {
        if let Some(before) = self.by_seq.insert(seq, at) {
            self.order.remove(&(before, seq));
        }
        self.order.insert((at, seq));
    }

    /// One more time for an entry, beside the one that it has (only without rule `OneDue`).
    #[cfg(feature = "sim")]
    pub(crate) fn add(&mut self, seq: u64, at: Tick) {
        self.by_seq.insert(seq, at);
        self.order.insert((at, seq));
    }

    pub(crate) fn first(&self) -> Option<Tick> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes an entry if its time has come.
    pub(crate) fn take(&mut self, now: Tick) -> Option<u64> {
        let (at, seq) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.order.pop_first();
        if self.by_seq.get(&seq) == Some(&at) {
            self.by_seq.remove(&seq);
        }
        Some(seq)
    }

    /// Entry `seq` was offered and holds the cursor back until `until`.
    pub(crate) fn hold(&mut self, seq: u64, until: Tick) {
        self.held.push_back((until, seq));
    }

    pub(crate) fn held_until(&self) -> Option<Tick> {
        self.held.front().map(|(until, _)| (*until).max(self.held_on))
    }

    /// The first entry that has held the cursor back for long enough, and until when it had to.
    pub(crate) fn first_held(&self, now: Tick) -> Option<(u64, Tick)> {
        let (until, seq) = *self.held.front().filter(|(until, _)| (*until).max(self.held_on) <= now)?;
        Some((seq, until))
    }

    pub(crate) fn drop_first_held(&mut self) {
        self.held.pop_front();
    }

    /// They hold the cursor back until `at` at least.
    pub(crate) fn hold_on(&mut self, at: Tick) {
        self.held_on = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_one_time_and_the_last_one_counts() {
        let mut due = DueQueue::default();
        due.set(7, Tick(2_000));
        due.set(8, Tick(1_000));
        due.set(7, Tick(90_000));
        assert_eq!((due.take(Tick(5_000)), due.take(Tick(5_000))), (Some(8), None));
        assert_eq!(due.first(), Some(Tick(90_000)));
        assert_eq!((due.take(Tick(90_000)), due.first()), (Some(7), None));
    }
}
