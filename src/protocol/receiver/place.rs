//! Where a feed is read from: the cursor with its older marks, where a rejection was cured, and how much may be
//! sent beyond it. Changes nothing.

use super::*;
use crate::limits::WINDOW_BYTES_MAX;
use crate::record::{RejectedPlace, RetryCondition};

/// The seq from which a curable rejection is read again: its trust list has changed.
pub(super) fn cured_below(state: &FeedState, trust: [u8; 32]) -> Option<u64> {
    let cured = |place: &&RejectedPlace| matches!(place.cure, RetryCondition::Trust(known) if known != trust);
    state.rejected.iter().filter(cured).map(|place| place.before.seq).min()
}

/// The cursor and its marks; with `from` the newest known places at or below it. Never one above the cursor: an
/// entry may be rejected while earlier ones are still open, and to resume behind it would pass those.
pub(super) fn marks_from(state: &FeedState, from: Option<u64>) -> Vec<Mark> {
    let places = state.rejected.iter().map(|place| place.before);
    let mut marks: Vec<Mark> =
        std::iter::once(state.cursor).chain(state.marks.iter().copied()).chain(places).collect();
    marks.sort_by_key(|mark| std::cmp::Reverse(mark.seq));
    marks.dedup();
    let from = from.unwrap_or(u64::MAX).min(state.cursor.seq);
    marks.retain(|mark| mark.seq <= from);
    if marks.is_empty() {
        marks.push(Mark::START);
    }
    marks.truncate(1 + crate::limits::CURSOR_MARKS_MAX);
    marks
}

/// The newest known place below `seq`.
pub(super) fn newest_below(state: &FeedState, seq: u64) -> Mark {
    let marks = std::iter::once(&state.cursor).chain(&state.marks);
    marks.filter(|mark| mark.seq < seq).max_by_key(|mark| mark.seq).copied().unwrap_or(Mark::START)
}

/// Returns how much the sender may send beyond the acknowledged place: never more than could be owed.
pub(super) fn window(state: &FeedState, context: &CoreContext) -> Window {
    let bounds = context.config.bounds;
    without!(context, OwedWindow => return Window { envelopes: bounds.window, bytes: WINDOW_BYTES_MAX });
    let free = bounds.owed.saturating_sub(state.owed.len());
    Window { envelopes: bounds.window.min(free as u32), bytes: WINDOW_BYTES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;

    fn mark(seq: u64) -> Mark {
        Mark { seq, check: Check([seq as u8; 16]) }
    }

    /// The cursor stands at 7: entry 8 is still on its way from another peer, and 9 was rejected.
    fn with_an_open_entry() -> FeedState {
        let reason = VerdictCode::UnknownPublisher;
        let place =
            RejectedPlace { reason, publisher: None, before: mark(8), cure: RetryCondition::Trust([1; 32]) };
        let (marks, rejected) = (vec![mark(6), mark(4)], [place].into_iter().collect());
        FeedState { cursor: mark(7), marks, rejected, ..FeedState::default() }
    }

    #[test]
    fn a_cured_rejection_never_resumes_a_feed_above_its_cursor() {
        let state = with_an_open_entry();
        let from = cured_below(&state, [2; 32]);
        assert_eq!(from, Some(8));
        assert_eq!(marks_from(&state, from), [mark(7), mark(6), mark(4)], "8 would pass the open entry");
        assert_eq!(marks_from(&state, Some(100)), marks_from(&state, None), "nor does a rewind");
        assert_eq!(marks_from(&state, Some(5)), [mark(4)]);
        assert_eq!(marks_from(&state, Some(3)), [Mark::START]);
    }
}
