//! Steady time (design §5.2): what expires, and where `seen_floor` lies, follows a time that no jump of the
//! wall clock can move. Where the wall clock differs from it by over an hour, nothing expires until peers
//! or the operator confirm the wall clock.

use std::collections::BTreeSet;

use crate::identity::PublisherName;
use crate::limits::{CLOCK_AGREES_MS, CLOCK_JUMP_MS};
use crate::time::{Now, Tick, Timestamp};

#[derive(Clone, Debug)]
pub struct SteadyClock {
    base: Timestamp,
    base_tick: Tick,
    off: bool,
    confirmed_by: BTreeSet<PublisherName>,
}

/// What a reading changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    Off,
    Ok,
}

impl SteadyClock {
    /// `persisted` is what the journal last said; zero where it says nothing.
    pub fn new(persisted: Timestamp, now: Now) -> Self {
        let base = if persisted == Timestamp(0) { now.wall } else { persisted };
        Self { base, base_tick: now.tick, off: false, confirmed_by: BTreeSet::new() }
    }

    /// Steady time at `now`.
    pub fn at(&self, now: Now) -> Timestamp {
        self.base.plus_ms(now.tick.since_ms(self.base_tick))
    }

    /// Steady time where it may be used to expire things.
    pub fn trusted(&self, now: Now) -> Option<Timestamp> {
        (!self.off).then(|| self.at(now))
    }

    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Compares both clocks; to be called before each input.
    pub fn update(&mut self, now: Now) -> Option<ClockChange> {
        let steady = self.at(now);
        let apart = now.wall.since_ms(steady).max(steady.since_ms(now.wall));
        if apart > CLOCK_JUMP_MS {
            let newly = !self.off;
            self.off = true;
            return newly.then_some(ClockChange::Off);
        }
        let was_off = std::mem::take(&mut self.off);
        if was_off {
            self.confirmed_by.clear();
        }
        // Follows the wall clock's slow drift, forward only.
        if now.wall > steady {
            self.rebase(now);
        }
        was_off.then_some(ClockChange::Ok)
    }

    /// A peer's HELLO said what time it has. `configured` is how many peers there are.
    pub fn peer_says(
        &mut self,
        peer: &PublisherName,
        theirs: Timestamp,
        configured: usize,
        now: Now,
    ) -> Option<ClockChange> {
        if !self.off {
            return None;
        }
        let apart = now.wall.since_ms(theirs).max(theirs.since_ms(now.wall));
        if apart > CLOCK_AGREES_MS {
            self.confirmed_by.remove(peer);
            return None;
        }
        self.confirmed_by.insert(peer.clone());
        (self.confirmed_by.len() >= configured.clamp(1, 2)).then(|| self.accept(now))
    }

    /// The wall clock is right: from now on steady time starts from it.
    pub fn accept(&mut self, now: Now) -> ClockChange {
        self.rebase(now);
        self.off = false;
        self.confirmed_by.clear();
        ClockChange::Ok
    }

    fn rebase(&mut self, now: Now) {
        self.base = now.wall;
        self.base_tick = now.tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn now(tick: u64, wall: u64) -> Now {
        Now { tick: Tick(tick), wall: Timestamp(wall) }
    }

    fn peer(name: &str) -> PublisherName {
        PublisherName::parse(name).unwrap()
    }

    #[test]
    fn a_jump_of_36_hours_stops_expiry_until_it_is_gone() {
        let mut clock = SteadyClock::new(Timestamp(0), now(0, 1_000 * HOUR));
        assert_eq!(clock.update(now(1_000, 1_036 * HOUR)), Some(ClockChange::Off));
        assert_eq!(clock.trusted(now(1_000, 1_036 * HOUR)), None);
        assert_eq!(clock.update(now(2_000, 1_000 * HOUR + 2_000)), Some(ClockChange::Ok));
        assert_eq!(clock.trusted(now(2_000, 1_000 * HOUR + 2_000)), Some(Timestamp(1_000 * HOUR + 2_000)));
    }

    #[test]
    fn two_peers_that_agree_confirm_the_wall_clock_and_one_peer_twice_does_not() {
        let mut clock = SteadyClock::new(Timestamp(1_000 * HOUR), now(0, 1_720 * HOUR));
        clock.update(now(0, 1_720 * HOUR));
        assert_eq!(clock.peer_says(&peer("a"), Timestamp(1_720 * HOUR), 5, now(1, 1_720 * HOUR)), None);
        assert_eq!(clock.peer_says(&peer("a"), Timestamp(1_720 * HOUR), 5, now(2, 1_720 * HOUR)), None);
        assert_eq!(clock.peer_says(&peer("b"), Timestamp(1_000 * HOUR), 5, now(3, 1_720 * HOUR)), None);
        assert_eq!(
            clock.peer_says(&peer("c"), Timestamp(1_720 * HOUR), 5, now(4, 1_720 * HOUR)),
            Some(ClockChange::Ok)
        );
        assert_eq!(clock.trusted(now(4, 1_720 * HOUR)), Some(Timestamp(1_720 * HOUR)));
    }

    #[test]
    fn without_peers_only_the_operator_confirms_the_clock() {
        let mut clock = SteadyClock::new(Timestamp(1_000 * HOUR), now(0, 1_720 * HOUR));
        clock.update(now(0, 1_720 * HOUR));
        assert!(clock.is_off());
        clock.accept(now(1, 1_720 * HOUR));
        assert!(!clock.is_off());
    }
}
