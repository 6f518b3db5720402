//! The only place that reads a clock; everything else is given a [`Now`]. It judges nothing: whether the
//! wall clock is to be believed is decided in `protocol`.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, Tick, Timestamp};

/// Where ticks begin: the first reading of this process.
#[allow(clippy::disallowed_methods, reason = "time comes from here")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks, in ms. A wall clock before 1970 reads as 1970.
#[allow(clippy::disallowed_methods, reason = "time comes from here")]
pub fn now() -> Now {
    let ticks = START.elapsed().as_millis();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Now {
        tick: Tick(u64::try_from(ticks).unwrap_or(u64::MAX)),
        wall: Timestamp(u64::try_from(wall).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_go_back_and_the_wall_is_of_this_century() {
        let (first, second) = (now(), now());
        assert!(first.tick <= second.tick);
        assert!(first.wall > Timestamp(1_577_836_800_000));
    }
}
