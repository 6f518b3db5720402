//! Strings of JSON and the text that they stand for. Their escapes have been scanned: nothing is checked here.

use std::borrow::Cow;

/// Returns the text that a string with its quotes stands for.
pub(crate) fn unquoted(string: &str) -> Cow<'_, str> {
    let inside = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
    if inside.contains('\\') { Cow::Owned(unescape(inside)) } else { Cow::Borrowed(inside) }
}

/// Returns the number that hexadecimal digits stand for.
pub(super) fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u16::try_from(digit).ok()?)
    })
}

/// Returns the text of the inside of a JSON string. `inside` has been scanned: its escapes are whole.
pub(crate) fn unescape(inside: &str) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let bytes = rest.as_bytes();
        let (plain, len) = match bytes.get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unescape_unit(bytes, at),
            Some(other) => (char::from(*other), 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        out.push(plain);
        rest = rest.get(at + len..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

fn unescape_unit(bytes: &[u8], at: usize) -> (char, usize) {
    let unit = |from: usize| bytes.get(from..from + 4).and_then(hex).map(u32::from);
    let high = unit(at + 2).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&high)
        && let Some(low) = unit(at + 8)
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Places of an unescaped string in its escaped text. Asked in ascending order.
pub(crate) struct EscapedPlaces<'a> {
    escaped: &'a str,
    at: usize,
    plain: usize,
}

impl<'a> EscapedPlaces<'a> {
    pub(crate) fn new(escaped: &'a str) -> Self {
        Self { escaped, at: 0, plain: 0 }
    }

    /// Returns the place in the escaped text of the byte `plain` of the unescaped one.
    pub(crate) fn of(&mut self, plain: usize) -> usize {
        while self.plain < plain && self.at < self.escaped.len() {
            let rest = &self.escaped[self.at..];
            let step = match rest.as_bytes() {
                [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B', ..] => 12,
                [b'\\', b'u', ..] => 6,
                [b'\\', ..] => 2,
                _ => rest.chars().next().map_or(1, char::len_utf8),
            };
            let unit = rest.get(..step).unwrap_or(rest);
            self.plain += if unit.starts_with('\\') { unescape(unit).len() } else { unit.len() };
            self.at += unit.len();
        }
        self.at
    }
}
