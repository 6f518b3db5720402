//! Steady time (decisions/0009): expiry and `seen_floor` follow a time that the wall clock cannot move far, neither at
//! once nor in small steps. Nothing expires if the wall clock differs from it by over an hour, or has gained more on
//! the monotonic clock than clocks do. Peers or the operator then have to confirm the wall clock.

use std::collections::BTreeSet;

use crate::identity::PublisherName;
use crate::limits::{CLOCK_AGREES_MS, CLOCK_GAIN_DAILY_MS, CLOCK_GAIN_MS, CLOCK_JUMP_MS};
use crate::time::{Now, Tick, Timestamp};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug)]
pub(crate) struct SteadyClock {
    base: Timestamp,
    base_tick: Tick,
    off: bool,
    confirmed_by: BTreeSet<PublisherName>,
    /// By how much it went ahead of the monotonic clock since the wall clock was last confirmed, in ms.
    gained_ms: u64,
    confirmed_at: Tick,
    /// By how much it was put back, in ms.
    put_back_ms: u64,
}

/// The change that a reading made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockChange {
    Off,
    Ok,
}

impl SteadyClock {
    /// `persisted` is the last time in the journal; zero if it has none. Only the wall clock can say how long no
    /// process ran: up to an hour is believed.
    pub(crate) fn new(persisted: Timestamp, now: Now) -> Self {
        let believed = persisted == Timestamp(0) || now.wall.since_ms(persisted) <= CLOCK_JUMP_MS;
        let base = if believed { persisted.max(now.wall) } else { persisted };
        Self {
            base,
            base_tick: now.tick,
            off: false,
            confirmed_by: BTreeSet::new(),
            gained_ms: 0,
            confirmed_at: now.tick,
            put_back_ms: 0,
        }
    }

    /// Steady time at `now`.
    pub(crate) fn at(&self, now: Now) -> Timestamp {
        self.base.plus_ms(now.tick.since_ms(self.base_tick))
    }

    /// Returns steady time if it may be used to expire things.
    pub(crate) fn trusted(&self, now: Now) -> Option<Timestamp> {
        (!self.off).then(|| self.at(now))
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Compares both clocks; to be called before each input.
    pub(crate) fn update(&mut self, now: Now) -> Option<ClockChange> {
        let steady = self.at(now);
        let (ahead, behind) = (now.wall.since_ms(steady), steady.since_ms(now.wall));
        let gain = self.gained_ms.saturating_add(ahead);
        if ahead.max(behind) > CLOCK_JUMP_MS || gain > self.gain_allowed(now) {
            let newly = !self.off;
            self.off = true;
            return newly.then_some(ClockChange::Off);
        }
        let was_off = std::mem::take(&mut self.off);
        if was_off {
            self.confirmed_by.clear();
        }
        // Follows the wall clock's slow drift, forward only.
        if ahead > 0 {
            self.gained_ms = gain;
            self.rebase(now);
        }
        was_off.then_some(ClockChange::Ok)
    }

    /// How much it may have gained by now, in ms.
    fn gain_allowed(&self, now: Now) -> u64 {
        CLOCK_GAIN_MS + now.tick.since_ms(self.confirmed_at) / DAY_MS * CLOCK_GAIN_DAILY_MS
    }

    /// A peer's HELLO said what time it has. `configured` is how many peers there are.
    pub(crate) fn peer_says(
        &mut self,
        peer: &PublisherName,
        theirs: Timestamp,
        configured: usize,
        now: Now,
    ) -> Option<ClockChange> {
        let apart = now.wall.since_ms(theirs).max(theirs.since_ms(now.wall));
        if apart > CLOCK_AGREES_MS {
            self.confirmed_by.remove(peer);
            return None;
        }
        self.confirmed_by.insert(peer.clone());
        if self.confirmed_by.len() < configured.clamp(1, 2) {
            return None;
        }
        if self.off {
            return Some(self.accept(now));
        }
        self.confirmed(now);
        None
    }

    /// The wall clock is right: from now on steady time starts from it.
    pub(crate) fn accept(&mut self, now: Now) -> ClockChange {
        self.rebase(now);
        self.off = false;
        self.confirmed(now);
        ClockChange::Ok
    }

    /// Returns by how much steady time was put back since the last call, in ms: timed actions are done that much
    /// earlier.
    pub(crate) fn take_put_back(&mut self) -> u64 {
        std::mem::take(&mut self.put_back_ms)
    }

    fn confirmed(&mut self, now: Now) {
        self.confirmed_by.clear();
        self.gained_ms = 0;
        self.confirmed_at = now.tick;
    }

    fn rebase(&mut self, now: Now) {
        self.put_back_ms += self.at(now).since_ms(now.wall);
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

    /// If others answer our NTP, they move the clock by less than an hour, again and again.
    #[test]
    fn a_clock_that_is_moved_in_small_steps_expires_nothing() {
        for step in [59 * 60_000, 60_000, 1_000] {
            let mut clock = SteadyClock::new(Timestamp(1_000 * HOUR), now(0, 1_000 * HOUR));
            let (mut tick, mut wall, mut changes) = (0, 1_000 * HOUR, Vec::new());
            for _ in 0..3_000 {
                (tick, wall) = (tick + 32_000, wall + 32_000 + step);
                changes.extend(clock.update(now(tick, wall)));
            }
            assert_eq!(
                (changes, clock.trusted(now(tick, wall))),
                (vec![ClockChange::Off], None),
                "{step} ms"
            );
            let gained = clock.at(now(tick, wall)).0 - 1_000 * HOUR - tick;
            assert!(gained <= CLOCK_GAIN_MS + CLOCK_GAIN_DAILY_MS, "{gained} ms in a day of steps of {step}");
        }
    }

    #[test]
    fn the_drift_of_a_bad_clock_is_followed_for_a_year() {
        let mut clock = SteadyClock::new(Timestamp(1_000 * HOUR), now(0, 1_000 * HOUR));
        for hour in 1..365 * 24 {
            let (tick, wall) = (hour * HOUR, (1_000 + hour) * HOUR + hour * 4_000);
            assert_eq!(clock.update(now(tick, wall)), None);
            assert_eq!(clock.trusted(now(tick, wall)), Some(Timestamp(wall)));
        }
    }

    /// A step that two peers confirm leaves the next one its allowance; peers that have another time confirm nothing.
    #[test]
    fn peers_that_agree_confirm_what_the_clock_gained() {
        for (theirs_ahead, expected) in [(8, None), (30, Some(ClockChange::Off))] {
            let mut clock = SteadyClock::new(Timestamp(0), now(0, 1_000 * HOUR));
            assert_eq!(clock.update(now(0, 1_000 * HOUR + 8 * 60_000)), None);
            for name in ["a", "b"] {
                let theirs = Timestamp(1_000 * HOUR + theirs_ahead * 60_000);
                assert_eq!(clock.peer_says(&peer(name), theirs, 5, now(1, 1_000 * HOUR + 8 * 60_000)), None);
            }
            assert_eq!(clock.update(now(2, 1_000 * HOUR + 16 * 60_000)), expected);
        }
    }
}
