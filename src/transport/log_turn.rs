//! One kind of log line that anybody on the network can cause: at most one in a while, which says how many it stands
//! for.

use crate::time::Tick;

const LOG_EVERY_MS: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct LogTurn {
    next: Tick,
    count: u64,
}

impl LogTurn {
    /// One more thing happened: if a line may be logged now, how many it stands for.
    pub(crate) fn allow(&mut self, now: Tick) -> Option<u64> {
        self.count += 1;
        if now < self.next {
            return None;
        }
        self.next = now.plus_ms(LOG_EVERY_MS);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_one_line_in_ten_seconds() {
        let mut turn = LogTurn::default();
        assert_eq!(turn.allow(Tick(0)), Some(1));
        assert!((0..9_999).all(|ms| turn.allow(Tick(ms)).is_none()));
        assert_eq!(turn.allow(Tick(LOG_EVERY_MS)), Some(10_000));
    }
}
