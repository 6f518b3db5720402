//! A JSON value as IntelMQ's Python sees it, through `str`, `int`, `float` and `strip`. A value counts as
//! readable only if that is certain; spellings that Python takes and nobody writes (digits of other scripts) do not.

use std::borrow::Cow;

use crate::event::json::{self, JsonKind};
use crate::limits::PYTHON_INT_DIGITS_MAX;

/// One value of an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    Null,
    Bool(bool),
    /// The digits of an integer: Python's have no bound.
    Int(&'a str),
    Float(f64),
    Text(Cow<'a, str>),
    /// An object or a list.
    Compound,
}

impl<'a> FieldValue<'a> {
    /// Reads `text`, which is one scanned JSON value without white space around it.
    pub(crate) fn of(text: &'a str, kind: JsonKind) -> Self {
        match kind {
            JsonKind::Object | JsonKind::Array => Self::Compound,
            JsonKind::Literal if text == "true" => Self::Bool(true),
            JsonKind::Literal if text == "false" => Self::Bool(false),
            JsonKind::Literal => Self::Null,
            JsonKind::String => Self::Text(json::unquoted(text)),
            JsonKind::Number if text.contains(['.', 'e', 'E']) => {
                Self::Float(text.parse().unwrap_or(f64::INFINITY))
            }
            JsonKind::Number => Self::Int(if text == "-0" { "0" } else { text }),
        }
    }

    /// Returns true if IntelMQ passes over it, under any key.
    pub(crate) fn is_ignored(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => matches!(&**text, "" | "-" | "N/A"),
            _ => false,
        }
    }

    /// Returns Python's `str(value)`; `None` for lists and objects, because no reader could take theirs apart.
    pub(crate) fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bool(true) => Some("True".into()),
            Self::Bool(false) => Some("False".into()),
            Self::Int(digits) => Some((*digits).into()),
            Self::Float(number) => Some(float_text(*number).into()),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Null | Self::Compound => None,
        }
    }

    /// Returns Python's `bool(value)`, but for lists and objects.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Int("0") => false,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            _ => true,
        }
    }
}

/// Returns Python's `repr` of a finite float: the shortest digits that read back the same.
fn float_text(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&power) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.unsigned_abs())
}

/// Returns true if `str.isspace` does, so that `str.strip` takes it off.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns Python's `int(text)`, as digits without sign `+`, underscores and leading zeros.
pub(super) fn int_of(text: &str) -> Option<String> {
    let text = strip(text);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let grouped =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !grouped || digits.len() > PYTHON_INT_DIGITS_MAX {
        return None;
    }
    let digits = digits.replace('_', "");
    let digits = digits.trim_start_matches('0');
    Some(match (negative, digits) {
        (_, "") => "0".to_owned(),
        (true, digits) => format!("-{digits}"),
        (false, digits) => digits.to_owned(),
    })
}

/// Returns Python's `int(number)` of a float: its whole part.
pub(super) fn whole_part(number: f64) -> String {
    let whole = format!("{:.0}", number.trunc());
    if whole == "-0" { "0".to_owned() } else { whole }
}

/// Returns Python's `float(text)`, if that is finite.
pub(super) fn float_of(text: &str) -> Option<f64> {
    let text = strip(text);
    let plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// Returns false if the JSON value has a number that stops Python's reader (an integer of more than 4,300 digits) or
/// that it writes back as invalid JSON (one beyond a double).
pub(super) fn has_sound_numbers(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let part = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let len = rest.iter().position(|b| !part(b)).unwrap_or(rest.len());
                if !is_sound(&text[at..at + len]) {
                    return false;
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    true
}

fn is_sound(number: &str) -> bool {
    if number.contains(['.', 'e', 'E']) {
        // A shorter one without an exponent is finite for any digits.
        return number.parse().is_ok_and(f64::is_finite);
    }
    number.len() <= PYTHON_INT_DIGITS_MAX
}

/// Returns the offset behind the closing quote of the string at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// A value after sanitation, as far as lengths and patterns ask.
#[derive(Debug, PartialEq)]
pub(super) enum SanitizedValue<'a> {
    Text(Cow<'a, str>),
    /// It is taken, but Python's spelling of it is not worked out here.
    Unmeasured,
}

impl From<String> for SanitizedValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, want) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123.456, "123.456"),
        ] {
            assert_eq!(float_text(number), want);
        }
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        let long = "9".repeat(PYTHON_INT_DIGITS_MAX + 1);
        for (text, want) in [
            ("80", Some("80")),
            (" +8_0\u{1f}\u{a0}", Some("80")),
            ("-007", Some("-7")),
            ("-0", Some("0")),
            ("", None),
            ("+", None),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("1.0", None),
            ("--1", None),
            ("0x10", None),
            (&long, None),
        ] {
            assert_eq!(int_of(text).as_deref(), want, "{text}");
        }
        assert_eq!(whole_part(1.9), "1");
        assert_eq!(whole_part(-0.9), "0");
    }

    #[test]
    fn numbers_that_stop_pythons_reader_are_found_at_any_depth_and_never_in_strings() {
        let long = "9".repeat(PYTHON_INT_DIGITS_MAX + 1);
        for (text, want) in [
            ("1".to_owned(), true),
            ("1e308".to_owned(), true),
            ("1e309".to_owned(), false),
            ("[{\"a\":-1e999}]".to_owned(), false),
            ("[\"1e999\",\"\\\"1e999\"]".to_owned(), true),
            (long[1..].to_owned(), true),
            (format!("[1,{{\"a\":{long}}}]"), false),
            (format!("{{\"a\":\"{long}\"}}"), true),
            ("[true,false,null]".to_owned(), true),
        ] {
            assert_eq!(has_sound_numbers(&text), want, "{}", &text[..text.len().min(40)]);
        }
    }
}
