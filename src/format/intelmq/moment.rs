//! Points in time as IntelMQ reads them. It guesses at any text that may be a date; here only ISO 8601 is readable,
//! because the guess is never wrong for it.

/// Returns true for `2026-01-01T00:00:00+00:00`, with up to six digits of a fraction: taken as it stands.
pub(super) fn is_moment(text: &str) -> bool {
    let Some(rest) = text.strip_suffix("+00:00") else { return false };
    let Some((date, rest)) = split(rest, 10) else { return false };
    let Some((clock, fraction)) = rest.strip_prefix('T').and_then(|rest| split(rest, 8)) else {
        return false;
    };
    is_date(date, 1..=9999) && is_clock(clock) && is_fraction(fraction, 6)
}

/// Returns true for a date of ISO 8601, with or without time and zone.
pub(super) fn is_readable_moment(text: &str) -> bool {
    let Some((date, rest)) = split(text.trim_matches(' '), 10) else { return false };
    if !is_date(date, 1900..=2200) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let Some(rest) = rest.strip_prefix(['T', ' ']) else { return false };
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let (clock, fraction) = clock.find('.').map_or((clock, ""), |at| clock.split_at(at));
    is_clock(clock) && (fraction.is_empty() || clock.len() == 8) && is_fraction(fraction, 9) && is_zone(zone)
}

fn split(text: &str, at: usize) -> Option<(&str, &str)> {
    text.split_at_checked(at)
}

/// Returns the number that exactly `digits` digits are.
fn number(text: &str, digits: usize) -> Option<u16> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn is_date(text: &str, years: std::ops::RangeInclusive<u16>) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits| parts.next().and_then(|text| number(text, digits));
    let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    years.contains(&year) && (1..=days).contains(&day)
}

/// Returns true for `HH:MM` or `HH:MM:SS`.
fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':').map(|text| number(text, 2));
    let mut below = |bound| parts.next().map(|number| number.is_some_and(|number| number < bound));
    below(24) == Some(true) && below(60) == Some(true) && below(60) != Some(false) && below(0).is_none()
}

/// Returns true for nothing, or a point and digits.
fn is_fraction(text: &str, digits_max: usize) -> bool {
    text.is_empty()
        || text.strip_prefix('.').is_some_and(|digits| {
            (1..=digits_max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Returns true for nothing, `Z`, or `+01:00` with or without colon or minutes.
fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return matches!(text, "" | "Z") };
    let Some((hours, minutes)) = split(offset, 2) else { return false };
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    number(hours, 2).is_some_and(|hours| hours <= 14)
        && (minutes.is_empty() || number(minutes, 2).is_some_and(|minutes| minutes < 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_iso_8601_and_of_one_spelling_where_they_stand() {
        for (text, stands, readable) in [
            ("2026-01-01T00:00:00+00:00", true, true),
            ("2026-01-01T00:00:00.5+00:00", true, true),
            ("2026-01-01T00:00:00.1234567+00:00", false, true),
            ("0001-01-01T00:00:00+00:00", true, false),
            ("0000-01-01T00:00:00+00:00", false, false),
            ("2026-02-29T00:00:00+00:00", false, false),
            ("2024-02-29T23:59:59+00:00", true, true),
            ("2026-01-01T24:00:00+00:00", false, false),
            ("2026-01-01T00:00:60+00:00", false, false),
            ("2026-01-01T00:00+00:00", false, true),
            ("2026-01-01T00:00:00Z", false, true),
            ("2026-01-01 00:00:00", false, true),
            ("2026-01-01 00:00:00+0130", false, true),
            ("2026-01-01T00:00:00-05", false, true),
            ("2026-01-01", false, true),
            ("2026-01-01T", false, false),
            ("2026-01-01T00:00:00+15:00", false, false),
            ("01/02/2026", false, false),
            ("1700000000", false, false),
            ("2026-1-1T00:00:00+00:00", false, false),
            ("2026-01-01T+0:00:00+00:00", false, false),
            ("yesterday", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_moment(text), stands, "{text}");
            assert_eq!(is_readable_moment(text), readable, "{text}");
        }
    }
}
