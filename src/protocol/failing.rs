//! Counts how often a filter had no answer, and keeps the last reason, for status. The fate of the event was decided
//! before.

use crate::filter::FilterFailure;
use crate::status::FilterFailing;
use crate::time::Timestamp;

/// Since the node started, or the filter changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterFailures {
    pub count: u64,
    pub last: Option<(Timestamp, FilterFailure)>,
}

impl FilterFailures {
    /// As status shows it; `None` if it never failed.
    pub(crate) fn shown(&self) -> Option<FilterFailing> {
        let (last, why) = self.last.as_ref()?;
        let (what, hint) = (why.to_string(), why.hint().to_owned());
        Some(FilterFailing { count: self.count, last: *last, what, hint })
    }

    pub(crate) fn note(&mut self, failure: FilterFailure, now: Timestamp) {
        self.count += 1;
        self.last = Some((now, failure));
    }
}
