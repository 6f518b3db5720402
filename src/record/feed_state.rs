//! How far a feed has got, as the receiver keeps it: the cursor with its older marks, what is owed above
//! it, and where it would read again if trust changed. Changed by notes alone, so that the running node and
//! a replay of the journal agree.

use std::collections::BTreeMap;

use crate::identity::{EventKey, LogId, PublisherName};
use crate::limits::CURSOR_MARKS_MAX;
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode};

/// The receiver's cursor on one peer's journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedState {
    /// `None` until the first SUBSCRIBE was answered.
    pub log_id: Option<LogId>,
    pub cursor: Mark,
    /// Older places, newest first, at doubling distances; at most 16.
    pub marks: Vec<Mark>,
    /// By seq of the sender's journal.
    pub owed: BTreeMap<u64, Owed>,
    /// The lowest place for each curable reason.
    pub rejected: Vec<RejectedPlace>,
}

/// An entry that the cursor has passed but that is still to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub seq: u64,
    pub key: EventKey,
    pub publisher: PublisherName,
    pub reason: VerdictCode,
    /// Steady time before which it is not asked for again.
    pub retry_at: Timestamp,
}

/// Where to read again once the reason is cured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedPlace {
    pub reason: VerdictCode,
    /// The place before the rejected entry.
    pub before: Mark,
    /// [`crate::policy::TrustList::digest`] when it was rejected.
    pub trust: [u8; 32],
}

impl FeedState {
    /// The cursor moves forward to `to`; the old place becomes a mark.
    pub fn advance(&mut self, to: Mark) {
        if to.seq <= self.cursor.seq {
            return;
        }
        self.marks.insert(0, self.cursor);
        self.cursor = to;
        self.thin_marks();
    }

    /// Keeps, of the marks, the newest one in each doubling of the distance from the cursor.
    fn thin_marks(&mut self) {
        let mut kept: Vec<Mark> = Vec::with_capacity(CURSOR_MARKS_MAX);
        let mut bucket_of_last = None;
        // Oldest of each bucket is kept (the list is newest first): it then lives until the bucket doubles.
        for mark in self.marks.drain(..).rev() {
            let bucket = (self.cursor.seq - mark.seq).ilog2();
            if bucket_of_last != Some(bucket) {
                bucket_of_last = Some(bucket);
                kept.push(mark);
            }
        }
        kept.reverse();
        kept.truncate(CURSOR_MARKS_MAX);
        self.marks = kept;
    }

    /// Goes back to `to`: what was remembered above it speaks of a history that is no longer there.
    pub fn take_back(&mut self, to: Mark) {
        self.cursor = to;
        self.marks.retain(|mark| mark.seq < to.seq);
        self.owed.retain(|seq, _| *seq <= to.seq);
        self.rejected.retain(|place| place.before.seq < to.seq);
    }

    /// Remembers a rejection that can be cured; only the lowest place for each reason is kept.
    pub fn reject(&mut self, place: RejectedPlace) {
        match self.rejected.iter_mut().find(|known| known.reason == place.reason) {
            Some(known) if known.before.seq <= place.before.seq => known.trust = place.trust,
            Some(known) => *known = place,
            None => self.rejected.push(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;

    fn mark(seq: u64) -> Mark {
        Mark { seq, check: Check(u128::from(seq).to_be_bytes()) }
    }

    #[test]
    fn marks_lie_at_doubling_distances_and_reach_back_to_the_start() {
        let mut state = FeedState::default();
        for seq in 1..=10_000 {
            state.advance(mark(seq));
        }
        assert!(state.marks.len() <= CURSOR_MARKS_MAX);
        assert_eq!(state.marks.last().unwrap().seq, 0);
        let distances: Vec<u64> = state.marks.iter().map(|mark| 10_000 - mark.seq).collect();
        assert!(distances.windows(2).all(|pair| pair[0] < pair[1]), "{distances:?}");
        assert!(distances[0] <= 2, "{distances:?}");
    }

    #[test]
    fn going_back_forgets_what_lies_above() {
        let mut state = FeedState { cursor: mark(9), ..FeedState::default() };
        state.marks = vec![mark(8), mark(4)];
        state.reject(RejectedPlace {
            reason: VerdictCode::UnknownPublisher,
            before: mark(6),
            trust: [0; 32],
        });
        state.take_back(mark(5));
        assert_eq!((state.cursor, state.marks.clone(), state.rejected.len()), (mark(5), vec![mark(4)], 0));
    }
}
