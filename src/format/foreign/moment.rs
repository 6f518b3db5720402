//! Points in time as other systems write them, with microseconds, and as IntelMQ does. No clock is read here.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp as Instant};

use crate::time::Timestamp;

/// A point in time, in UTC, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UtcMoment(Instant);

/// Whether a time without a zone is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneRule {
    Required,
    /// Without a zone it is UTC.
    Optional,
}

impl UtcMoment {
    /// Reads RFC 3339, with `T`, `t` or a blank in the middle and any number of digits in the fraction. A leap second
    /// becomes the second before it, because IntelMQ has none.
    pub(crate) fn parse(text: &str, zone: ZoneRule) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (clock, offset) = rest.split_at(end);
        let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
        let (year, month, day) = three(date, '-', [4, 2, 2])?;
        let (hour, minute, second) = three(clock, ':', [2, 2, 2])?;
        let nanosecond = match fraction {
            None => 0,
            Some(digits) => microseconds(digits)? * 1_000,
        };
        let number = |number: i16| i8::try_from(number).ok();
        let second = number(if second == 60 { 59 } else { second })?;
        let civil = DateTime::new(
            year,
            number(month)?,
            number(day)?,
            number(hour)?,
            number(minute)?,
            second,
            nanosecond,
        )
        .ok()?;
        let utc = civil.checked_sub(offset_of(offset, zone)?).ok()?;
        // IntelMQ's years have four digits.
        let known = (1..=9999).contains(&utc.year());
        Offset::UTC.to_timestamp(utc).ok().filter(|_| known).map(Self)
    }

    pub(crate) fn of(time: Timestamp) -> Option<Self> {
        Instant::from_millisecond(i64::try_from(time.0).ok()?).ok().map(Self)
    }

    fn written(self, zone: &str) -> String {
        let civil = Offset::UTC.to_datetime(self.0);
        let clock = civil.strftime("%Y-%m-%dT%H:%M:%S");
        match civil.subsec_nanosecond() / 1_000 {
            0 => format!("{clock}{zone}"),
            micros => format!("{clock}.{micros:06}{zone}"),
        }
    }

    /// Returns it as IntelMQ writes it: `2026-01-01T00:00:00+00:00`.
    pub(crate) fn intelmq(self) -> String {
        self.written("+00:00")
    }

    /// Returns it with `Z` as its zone.
    pub(crate) fn zulu(self) -> String {
        self.written("Z")
    }
}

/// Splits three numbers of fixed numbers of digits.
fn three(text: &str, between: char, digits: [usize; 3]) -> Option<(i16, i16, i16)> {
    let mut parts = text.split(between);
    let mut part = |digits: usize| {
        let text = parts.next()?;
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i16>().ok().filter(|_| plain)
    };
    let found = (part(digits[0])?, part(digits[1])?, part(digits[2])?);
    parts.next().is_none().then_some(found)
}

/// Returns the first six digits of a fraction, as microseconds.
fn microseconds(digits: &str) -> Option<i32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let first: String = digits.chars().chain("000000".chars()).take(6).collect();
    first.parse().ok()
}

fn offset_of(text: &str, zone: ZoneRule) -> Option<SignedDuration> {
    let sign = match text.as_bytes().first() {
        None if zone == ZoneRule::Optional => return Some(SignedDuration::ZERO),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(SignedDuration::ZERO),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.split_once(':') {
        None if zone == ZoneRule::Optional && digits.len() == 4 => digits.split_at_checked(2)?,
        parts => parts?,
    };
    let part = |text: &str, below: i64| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| plain && *number < below)
    };
    let (hours, minutes) = (part(hours, 24)?, part(minutes, 60)?);
    Some(SignedDuration::from_mins(sign * (hours * 60 + minutes)))
}
