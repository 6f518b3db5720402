//! Pauses between tries that fail: each is twice as long as the one before, up to a bound. What is tried, and whether
//! chance shortens a pause, is the caller's.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct GrowingPause {
    first_ms: u64,
    max_ms: u64,
    next_ms: u64,
}

impl GrowingPause {
    pub(crate) fn new(first_ms: u64, max_ms: u64) -> Self {
        Self { first_ms, max_ms, next_ms: first_ms }
    }

    /// Returns the pause that is due now; the next one is longer.
    pub(crate) fn next(&mut self) -> Duration {
        let due = Duration::from_millis(self.next_ms);
        self.next_ms = (2 * self.next_ms).min(self.max_ms);
        due
    }

    /// A try has succeeded: the next pause is the first one again.
    pub(crate) fn reset(&mut self) {
        self.next_ms = self.first_ms;
    }
}
