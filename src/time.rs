//! Points in time as values. Nothing here reads a clock: that is `clock`'s alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC. Times are signed, stored and shown in this form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the time so many ms later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the time so many ms earlier.
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Returns the milliseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Days since the epoch: the seen set has one database for each.
    pub const fn day(self) -> u32 {
        (self.0 / 86_400_000) as u32
    }

    /// Reads an RFC 3339 time with its offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok().map(Self)
    }
}

/// RFC 3339, UTC, three digits of milliseconds: `2026-11-20T10:00:00.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Milliseconds of a monotonic clock, for deadlines; its zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Returns the time so many ms later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the ms since `earlier`; 0 if it is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of both clocks. `tick` never goes back; `wall` is the time that the machine believes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Monotonic.
    pub tick: Tick,
    /// As the clock of the machine says.
    pub wall: Timestamp,
}
