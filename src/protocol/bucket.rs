//! A token bucket: `rate` and `rate_per_publisher` of a peer file, with one second's burst.

use crate::policy::Rate;
use crate::time::Tick;

#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    /// In thousandths of a token, so that a low rate adds up; below zero if more was spent than there was.
    milli_tokens: i64,
    filled: Tick,
}

impl TokenBucket {
    pub(crate) fn new(rate: Rate, now: Tick) -> Self {
        Self { rate, milli_tokens: i64::from(rate.per_second) * 1_000, filled: now }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    fn fill(&mut self, now: Tick) {
        let burst = i64::from(self.rate.per_second) * 1_000;
        let elapsed_ms = i64::try_from(now.since_ms(self.filled)).unwrap_or(i64::MAX);
        let earned = elapsed_ms.saturating_mul(i64::from(self.rate.per_second));
        self.milli_tokens = self.milli_tokens.saturating_add(earned).min(burst);
        self.filled = now;
    }

    /// Takes one token; returns false if there is none.
    pub(crate) fn take(&mut self, now: Tick) -> bool {
        self.fill(now);
        let there = self.milli_tokens >= 1_000;
        if there {
            self.milli_tokens -= 1_000;
        }
        there
    }

    /// Takes `count` tokens even if there are too few: data that was read cannot be unread.
    pub(crate) fn spend(&mut self, count: usize, now: Tick) {
        self.fill(now);
        self.milli_tokens = self.milli_tokens.saturating_sub_unsigned(count as u64 * 1_000);
    }

    /// A token that was spent was not needed.
    pub(crate) fn give_back(&mut self, now: Tick) {
        self.fill(now);
        let burst = i64::from(self.rate.per_second) * 1_000;
        self.milli_tokens = (self.milli_tokens + 1_000).min(burst);
    }

    /// Returns how many ms it takes until a token is there; 0 if one is.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> u64 {
        self.fill(now);
        let lacking = u64::try_from(1_000 - self.milli_tokens).unwrap_or(0);
        lacking.div_ceil(u64::from(self.rate.per_second).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_one_second_of_burst() {
        let mut bucket = TokenBucket::new(Rate { per_second: 100 }, Tick(0));
        assert_eq!((0..200).filter(|_| bucket.take(Tick(0))).count(), 100);
        assert_eq!(bucket.wait_ms(Tick(0)), 10);
        assert_eq!((0..200).filter(|_| bucket.take(Tick(500))).count(), 50);
    }

    #[test]
    fn what_was_spent_beyond_the_burst_is_waited_for() {
        let mut bucket = TokenBucket::new(Rate { per_second: 100 }, Tick(0));
        bucket.spend(300, Tick(0));
        assert_eq!(bucket.wait_ms(Tick(0)), 2_010);
        assert_eq!(bucket.wait_ms(Tick(2_010)), 0);
    }
}
