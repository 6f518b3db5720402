//! How far a feed has got, as the receiver keeps it: the cursor with its older marks, owed entries, and the place from
//! which it is read again. Changed by notes alone, so that the running node and a replay of the journal agree.

use crate::identity::LogId;
use crate::limits::CURSOR_MARKS_MAX;
use crate::record::{OwedEntries, RejectedPlaces};
use crate::wire::Mark;

/// The receiver's cursor on one peer's journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedState {
    /// `None` until the first SUBSCRIBE was answered.
    pub log_id: Option<LogId>,
    pub cursor: Mark,
    /// Older places, newest first, at doubling distances; at most 16.
    pub marks: Vec<Mark>,
    pub owed: OwedEntries,
    pub rejected: RejectedPlaces,
}

impl FeedState {
    /// Moves the cursor forward to `to`; the old place becomes a mark.
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

    /// Resumes the feed at `to`, below the cursor, at it or above: entries remembered above it come again in order, or
    /// belong to a history that is no longer there.
    pub fn resume(&mut self, to: Mark) {
        if to.seq > self.cursor.seq {
            self.advance(to);
        } else {
            self.cursor = to;
            self.marks.retain(|mark| mark.seq < to.seq);
        }
        self.owed.cut_above(to.seq);
        self.rejected.cut_from(to.seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;
    use crate::record::{RejectedPlace, RetryCondition};
    use crate::wire::VerdictCode;

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
        let cursor = FeedState { cursor: mark(9), marks: vec![mark(8), mark(4)], ..FeedState::default() };
        let rejected = |seq| RejectedPlace {
            reason: VerdictCode::UnknownPublisher,
            publisher: None,
            before: mark(seq),
            cure: RetryCondition::Trust([0; 32]),
        };
        let cases =
            [(5, 6, vec![mark(4)], 0), (7, 6, vec![mark(4)], 1), (12, 6, vec![mark(9), mark(8), mark(4)], 1)];
        for (to, before, marks, places) in cases {
            let mut state = cursor.clone();
            state.rejected.add(rejected(before));
            state.resume(mark(to));
            assert_eq!((state.cursor, state.marks, state.rejected.len()), (mark(to), marks, places), "{to}");
        }
    }
}
