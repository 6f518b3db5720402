//! Counts how often a filter had no answer, and keeps the last reason, for status. The fate of the event was decided
//! before.

use crate::filter::FilterFailure;
use crate::time::Timestamp;

/// Since the node started, or the filter changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterFailures {
    pub count: u64,
    pub last: Option<(Timestamp, FilterFailure)>,
}

impl FilterFailures {
    pub fn note(&mut self, failure: FilterFailure, now: Timestamp) {
        self.count += 1;
        self.last = Some((now, failure));
    }
}
