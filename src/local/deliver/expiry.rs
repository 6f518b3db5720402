//! The time for events that expire: steady time, as the core last told it (decisions/0009). An event that
//! waits at a door may expire there, and then nobody gets it. While the clock is not to be trusted, nothing expires.

use std::sync::{Mutex, PoisonError};

use crate::time::{Tick, Timestamp};

/// Shared by all doors.
#[derive(Debug, Default)]
pub(crate) struct SteadyTime(Mutex<Option<(Timestamp, Tick)>>);

impl SteadyTime {
    /// Notes the time that the core sent at `at`.
    pub(crate) fn tell(&self, time: Option<Timestamp>, at: Tick) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time.map(|time| (time, at));
    }

    pub(crate) fn has_passed(&self, expires: Timestamp, now: Tick) -> bool {
        self.now(now).is_some_and(|time| expires <= time)
    }

    /// Returns the time at `now`; `None` while it is not to be trusted.
    pub(crate) fn now(&self, now: Tick) -> Option<Timestamp> {
        let told = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.map(|(time, at)| time.plus_ms(now.since_ms(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_between_two_words_of_the_core_and_stands_still_while_it_is_not_trusted() {
        let steady = SteadyTime::default();
        assert!(!steady.has_passed(Timestamp(0), Tick(9)), "nothing is known yet");
        steady.tell(Some(Timestamp(1_000)), Tick(5));
        assert!(!steady.has_passed(Timestamp(1_003), Tick(7)));
        assert!(steady.has_passed(Timestamp(1_003), Tick(8)));
        steady.tell(None, Tick(9));
        assert!(!steady.has_passed(Timestamp(0), Tick(20)));
    }
}
