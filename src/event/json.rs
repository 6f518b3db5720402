//! A strict scanner of JSON text (RFC 8259) in one pass. It finds what two readers could read differently (duplicate
//! keys, half surrogate pairs, NaN) and never changes or copies a value: numbers stay the digits that they are.
//! `checked` reads inside a text that was scanned. The meaning of members is not known here.

mod checked;
mod escape;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

use crate::limits::JSON_KEY_BYTES_MAX;

pub(crate) use checked::{JsonToken, JsonTokens, elements, members};
use escape::hex;
pub(crate) use escape::{EscapedPlaces, unescape, unquoted};
pub(crate) use value::{JsonRead, count_values, value_of};

/// Why a text is not acceptable JSON, with the offset in bytes at which that showed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    #[error("not UTF-8 at byte {0}")]
    NotUtf8(usize),
    #[error("no JSON at byte {0}")]
    Syntax(usize),
    #[error("half a surrogate pair at byte {0}")]
    Surrogate(usize),
    #[error("the key \"{key}\" stands twice in one object")]
    DuplicateKey { key: String },
    #[error("NaN and Infinity are no JSON numbers (byte {0})")]
    NotFinite(usize),
    #[error("more than {max} levels at byte {at}")]
    TooDeep { at: usize, max: usize },
    #[error("a key of more than {JSON_KEY_BYTES_MAX} bytes at byte {0}")]
    KeyTooLong(usize),
}

/// The kind of a value, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Object,
    Array,
    String,
    Number,
    Literal,
}

/// One member of an object: its unescaped key, the places of key and value in the text, and the kind of value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonMember<'a> {
    pub key: Cow<'a, str>,
    pub key_at: Range<usize>,
    pub value_at: Range<usize>,
    pub kind: JsonKind,
}

/// The result of a scan.
#[derive(Clone, Debug)]
pub struct JsonScan<'a> {
    /// The text: all places count in it.
    pub text: &'a str,
    /// The members of the text's top-level object, in order; empty for another value.
    pub members: Vec<JsonMember<'a>>,
    pub kind: JsonKind,
    /// The place of the value, without the white space around it.
    pub value_at: Range<usize>,
    /// Levels of objects and arrays.
    pub depth: usize,
}

/// Reads `text` as one JSON value of at most `depth_max` levels, with nothing but white space around it.
///
/// # Errors
/// The first [`JsonError`] in it.
pub(crate) fn scan(text: &[u8], depth_max: usize) -> Result<JsonScan<'_>, JsonError> {
    let text = std::str::from_utf8(text).map_err(|fault| JsonError::NotUtf8(fault.valid_up_to()))?;
    let mut scanner =
        JsonScanner { text, at: 0, depth_max, deepest: 0, keys: Vec::new(), members: Vec::new() };
    scanner.space();
    let start = scanner.at;
    let kind = scanner.value(1)?;
    let end = scanner.at;
    scanner.space();
    if scanner.at != text.len() {
        return Err(JsonError::Syntax(scanner.at));
    }
    Ok(JsonScan { text, members: scanner.members, kind, value_at: start..end, depth: scanner.deepest })
}

impl<'a> JsonScan<'a> {
    /// Returns the scan of one member's value alone. Nothing is checked again.
    #[must_use]
    pub fn inside(&self, member: &JsonMember<'_>) -> Self {
        let text = &self.text[member.value_at.clone()];
        let (members, depth) = checked::members_and_depth(text);
        Self { text, members, kind: member.kind, value_at: 0..text.len(), depth }
    }
}

struct JsonScanner<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
    deepest: usize,
    /// Keys of all open objects below the top-level one; those of an object begin at the index noted when it was
    /// entered.
    keys: Vec<Cow<'a, str>>,
    members: Vec<JsonMember<'a>>,
}

impl<'a> JsonScanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn passes(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn value(&mut self, depth: usize) -> Result<JsonKind, JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth).map(|()| JsonKind::Object),
            Some(b'[') => self.array(depth).map(|()| JsonKind::Array),
            Some(b'"') => self.string().map(|_| JsonKind::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| JsonKind::Number),
            _ => self.literal().map(|()| JsonKind::Literal),
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > self.depth_max {
            return Err(JsonError::TooDeep { at: self.at, max: self.depth_max });
        }
        self.deepest = self.deepest.max(depth);
        self.at += 1;
        self.space();
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let first = self.keys.len();
        let top = depth == 1;
        self.enter(depth)?;
        if self.passes(b'}') {
            return Ok(());
        }
        loop {
            let (key, key_at) = self.key()?;
            self.space();
            if !self.passes(b':') {
                return Err(JsonError::Syntax(self.at));
            }
            self.space();
            let start = self.at;
            if !top {
                self.keys.push(key.clone());
            }
            let kind = self.value(depth + 1)?;
            if top {
                self.members.push(JsonMember { key, key_at, value_at: start..self.at, kind });
            }
            self.space();
            if self.passes(b'}') {
                break;
            }
            if !self.passes(b',') {
                return Err(JsonError::Syntax(self.at));
            }
            self.space();
        }
        let twice = match top {
            true => repeated(self.members.iter().map(|member| &*member.key)),
            false => repeated(self.keys[first..].iter().map(|key| &**key)),
        };
        self.keys.truncate(first);
        twice.map_or(Ok(()), |key| Err(JsonError::DuplicateKey { key }))
    }

    fn key(&mut self) -> Result<(Cow<'a, str>, Range<usize>), JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(JsonError::Syntax(start));
        }
        let escaped = self.string()?;
        let inside = &self.text[start + 1..self.at - 1];
        let key = if escaped { Cow::Owned(unescape(inside)) } else { Cow::Borrowed(inside) };
        if key.len() > JSON_KEY_BYTES_MAX {
            return Err(JsonError::KeyTooLong(start));
        }
        Ok((key, start..self.at))
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.enter(depth)?;
        if self.passes(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            if self.passes(b']') {
                return Ok(());
            }
            if !self.passes(b',') {
                return Err(JsonError::Syntax(self.at));
            }
            self.space();
        }
    }

    /// Passes a string. Returns true if it has escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0x20..) => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                    self.at += plain.unwrap_or(rest.len());
                }
                Some(_) | None => return Err(JsonError::Syntax(self.at)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        match self.text.as_bytes().get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit(start)? {
                0xdc00..=0xdfff => return Err(JsonError::Surrogate(start)),
                0xd800..=0xdbff => {
                    let low = match self.text.as_bytes().get(start + 6..start + 8) {
                        Some(b"\\u") => self.unit(start + 6)?,
                        _ => return Err(JsonError::Surrogate(start)),
                    };
                    if !(0xdc00..=0xdfff).contains(&low) {
                        return Err(JsonError::Surrogate(start));
                    }
                    self.at += 12;
                }
                _ => self.at += 6,
            },
            _ => return Err(JsonError::Syntax(start)),
        }
        Ok(())
    }

    /// Reads the four digits of the `\u` at `start`.
    fn unit(&self, start: usize) -> Result<u16, JsonError> {
        let digits = self.text.as_bytes().get(start + 2..start + 6).ok_or(JsonError::Syntax(start))?;
        hex(digits).ok_or(JsonError::Syntax(start))
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.passes(b'-');
        if self.text[self.at..].starts_with("Infinity") || self.text[self.at..].starts_with("NaN") {
            return Err(JsonError::NotFinite(start));
        }
        if !self.passes(b'0') {
            self.digits()?;
        }
        if self.passes(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(JsonError::Syntax(start)) } else { Ok(()) }
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        let rest = &self.text[self.at..];
        if rest.starts_with("NaN") || rest.starts_with("Infinity") {
            return Err(JsonError::NotFinite(self.at));
        }
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
        self.at += word.ok_or(JsonError::Syntax(self.at))?.len();
        Ok(())
    }
}

/// Returns a key that occurs again. Most objects come sorted, which is seen in one pass.
fn repeated<'a>(keys: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let ascends = keys.clone().zip(keys.clone().skip(1)).all(|(left, right)| left < right);
    if ascends {
        return None;
    }
    let mut sorted: Vec<&str> = keys.collect();
    sorted.sort_unstable();
    let pair = sorted.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(pair[0].chars().take(80).collect())
}

#[cfg(test)]
mod tests;
