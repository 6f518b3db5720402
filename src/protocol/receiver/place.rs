//! Where a feed is read from: the cursor with its older marks, where a rejection was cured, and how much may be
//! sent beyond it. Changes nothing.

use super::*;
use crate::limits::WINDOW_BYTES_MAX;

/// The seq from which a curable rejection is read again: its trust list has changed.
pub(super) fn cured_below(state: &FeedState, trust: [u8; 8]) -> Option<u64> {
    state.rejected.iter().filter(|place| place.trust != trust).map(|place| place.before.seq).min()
}

/// The cursor and its marks; with `from` the newest known places at or below it.
pub(super) fn marks_from(state: &FeedState, from: Option<u64>) -> Vec<Mark> {
    let places = state.rejected.iter().map(|place| place.before);
    let mut marks: Vec<Mark> =
        std::iter::once(state.cursor).chain(state.marks.iter().copied()).chain(places).collect();
    marks.sort_by_key(|mark| std::cmp::Reverse(mark.seq));
    marks.dedup();
    match from {
        Some(from) => {
            marks.retain(|mark| mark.seq <= from);
            if marks.is_empty() {
                marks.push(Mark::START);
            }
        }
        // Without a reason to go back the cursor leads and the rejected places do not matter.
        None => marks.retain(|mark| mark.seq <= state.cursor.seq),
    }
    marks.truncate(1 + crate::limits::CURSOR_MARKS_MAX);
    marks
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
