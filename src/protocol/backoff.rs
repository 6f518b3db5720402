//! When to try again: full jitter between zero and a bound that doubles (PROTOCOL.md §4.0).

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::limits::{RECONNECT_FIRST_MS, RECONNECT_MAX_MS};
use crate::time::Tick;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    bound_ms: u64,
    /// Not before this.
    pub until: Tick,
}

impl Backoff {
    /// Ready at once.
    pub(crate) fn new(now: Tick) -> Self {
        Self { bound_ms: RECONNECT_FIRST_MS, until: now }
    }

    /// The last try failed: waits up to the bound, and doubles it.
    pub(crate) fn failed(&mut self, now: Tick, rng: &mut StdRng) {
        // At least a tenth, so that a jitter of zero is no busy loop.
        let wait = rng.random_range(self.bound_ms / 10..=self.bound_ms);
        self.until = now.plus_ms(wait);
        self.bound_ms = (self.bound_ms * 2).min(RECONNECT_MAX_MS);
    }

    /// Waits the whole bound: the last try failed in a way that only an operator can fix.
    pub(crate) fn refused(&mut self, now: Tick) {
        self.bound_ms = RECONNECT_MAX_MS;
        self.until = now.plus_ms(RECONNECT_MAX_MS);
    }

    /// There was contact: start again from the least bound.
    pub(crate) fn reset(&mut self, now: Tick) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_again_after_contact() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Tick(0));
        let bounds: Vec<u64> = (0..9)
            .map(|_| {
                backoff.failed(Tick(0), &mut rng);
                backoff.bound_ms
            })
            .collect();
        assert_eq!(bounds, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
        backoff.reset(Tick(5));
        assert_eq!((backoff.bound_ms, backoff.until), (1_000, Tick(5)));
    }
}
