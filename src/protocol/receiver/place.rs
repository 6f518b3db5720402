//! Where a feed is read from: the cursor with its older marks, where a rejection was cured, and how much may be
//! sent beyond it. Changes nothing.

use super::*;
use crate::limits::WINDOW_BYTES_MAX;

/// The seq from which a curable rejection is read again: its trust list has changed.
pub(super) fn cured_below(state: &FeedState, trust: [u8; 32]) -> Option<u64> {
    state.rejected.iter().filter(|place| place.trust != trust).map(|place| place.before.seq).min()
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

/// Without the rejections at or above `at`, and what is owed above it: whoever reads from there sees them again, and
/// the peer names nothing above it before that. `None` where nothing of that sort is there.
pub(super) fn reread(state: &FeedState, at: Mark) -> Option<FeedState> {
    let mut again = state.clone();
    again.rejected.retain(|place| place.before.seq < at.seq);
    again.owed.retain(|seq, _| *seq <= at.seq);
    (again != *state).then_some(again)
}

/// The newest known place below `seq`.
pub(super) fn newest_below(state: &FeedState, seq: u64) -> Mark {
    let marks = std::iter::once(&state.cursor).chain(&state.marks);
    marks.filter(|mark| mark.seq < seq).max_by_key(|mark| mark.seq).copied().unwrap_or(Mark::START)
}

/// What the sender may send beyond the acknowledged place: never more than could be owed.
pub(super) fn window(state: &FeedState, ground: &Ground) -> Window {
    let bounds = ground.config.bounds;
    let free = bounds.owed.saturating_sub(state.owed.len());
    let envelopes = if ground.on(Rule::OwedWindow) { bounds.window.min(free as u32) } else { bounds.window };
    Window { envelopes, bytes: WINDOW_BYTES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;
    use crate::record::RejectedPlace;

    fn mark(seq: u64) -> Mark {
        Mark { seq, check: Check([seq as u8; 16]) }
    }

    /// The cursor stands at 7: entry 8 is still on its way from another peer, and 9 was rejected.
    fn with_an_open_entry() -> FeedState {
        let place = RejectedPlace { reason: VerdictCode::UnknownPublisher, before: mark(8), trust: [1; 32] };
        let marks = vec![mark(6), mark(4)];
        FeedState { cursor: mark(7), marks, rejected: vec![place], ..FeedState::default() }
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

    #[test]
    fn what_is_read_again_is_no_longer_a_rejection_to_come_back_to() {
        let state = with_an_open_entry();
        assert_eq!(reread(&state, mark(7)).unwrap().rejected, []);
        assert_eq!(reread(&state, mark(9)), None, "it lies below");
    }
}
