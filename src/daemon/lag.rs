//! How long a reader has been behind. Its oldest unread entry is not looked up: what is known is when the
//! reader was last seen level with what then was the end, and that bounds it.

use crate::time::Tick;

#[derive(Clone, Copy, Debug, Default)]
pub struct LagWatch {
    /// The end when the reader was found behind it, and when that was.
    behind: Option<(u64, Tick)>,
}

impl LagWatch {
    /// `position` of a reader and the `end` of what it reads, at `now`: how long it lags, in seconds.
    pub fn observe(&mut self, position: u64, end: u64, now: Tick) -> f64 {
        if position >= end {
            self.behind = None;
            return 0.0;
        }
        let (_, since) = match self.behind {
            Some((mark, since)) if position < mark => (mark, since),
            // It has read what was there then: what it lags by now is newer.
            _ => *self.behind.insert((end, now)),
        };
        now.since_ms(since) as f64 / 1_000.0
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
}
