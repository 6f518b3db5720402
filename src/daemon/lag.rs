//! Measures how long a reader has been behind. Its oldest unread entry is not looked up all the time. Instead, its age
//! is bounded by the time when the reader was last seen level with the end. The age of entries that were already unread
//! when this process began comes from the journal, once, so that a restart shortens no lag.

use crate::time::Tick;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LagWatch {
    behind: Option<LagMark>,
    /// It was observed before: how long it lags is known from then on.
    begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct LagMark {
    /// The end when the reader was found behind it, …
    mark: u64,
    /// … when that was, …
    since: Tick,
    /// … and how old its oldest unread entry was then, in ms.
    before_ms: u64,
}

impl LagWatch {
    /// Returns how long a reader lags at `now`, in seconds, from its `position` and the `end` of its input.
    pub(crate) fn observe(&mut self, position: u64, end: u64, now: Tick) -> f64 {
        self.observe_first(position, end, now, || Some(0))
    }

    /// Does the same as `observe`. At the first call `age` returns the age of the oldest unread entry, in ms. If it is
    /// unknown, the next call is the first.
    pub(crate) fn observe_first(
        &mut self,
        position: u64,
        end: u64,
        now: Tick,
        age: impl FnOnce() -> Option<u64>,
    ) -> f64 {
        if position >= end {
            (self.behind, self.begun) = (None, true);
            return 0.0;
        }
        let behind = match self.behind {
            Some(behind) if position < behind.mark => behind,
            // It has read what was there then: what it lags by now is newer.
            _ => {
                let Some(before_ms) = (if self.begun { Some(0) } else { age() }) else { return 0.0 };
                self.begun = true;
                *self.behind.insert(LagMark { mark: end, since: now, before_ms })
            }
        };
        (now.since_ms(behind.since) + behind.before_ms) as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_keeps_up_is_not_late_though_it_is_never_level() {
        let mut watch = LagWatch::default();
        for second in 0..100 {
            assert!(watch.observe(10 * second, 10 * second + 5, Tick(second * 1_000)) < 2.0);
        }
    }

    #[test]
    fn a_reader_that_stands_still_is_late_by_the_time_it_stands() {
        let mut watch = LagWatch::default();
        assert_eq!(watch.observe(1, 2, Tick(0)), 0.0);
        assert_eq!(watch.observe(1, 900, Tick(60_000)), 60.0);
        assert_eq!(watch.observe(900, 900, Tick(61_000)), 0.0);
    }

    #[test]
    fn a_restart_makes_no_lag_younger_and_later_ones_no_older() {
        let mut watch = LagWatch::default();
        assert_eq!(watch.observe_first(1, 2, Tick(5), || Some(1_200_000)), 1_200.0);
        assert_eq!(watch.observe_first(1, 3, Tick(1_005), || Some(99_000_000)), 1_201.0);
        assert_eq!(watch.observe_first(3, 3, Tick(2_000), || Some(0)), 0.0);
        assert_eq!(
            watch.observe_first(3, 4, Tick(3_000), || Some(99_000_000)),
            0.0,
            "asked at the start alone"
        );
    }

    #[test]
    fn an_age_that_is_not_known_is_asked_again() {
        let mut watch = LagWatch::default();
        assert_eq!(watch.observe_first(1, 2, Tick(5), || None), 0.0);
        assert_eq!(watch.observe_first(1, 2, Tick(1_005), || Some(1_200_000)), 1_200.0);
    }
}
