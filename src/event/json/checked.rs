//! Reads JSON text that a scan has passed: its tokens, one after the other, and the members or elements of one value.
//! Nothing is checked again. If a text was not scanned, what is found in it means nothing, but no read goes beyond it.

use std::ops::Range;

use super::{JsonKind, JsonMember, unquoted};

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonToken<'a> {
    /// The begin of an object or an array.
    Open(JsonKind),
    Close,
    /// A string with its quotes, a number or a literal. Keys are strings.
    Scalar(JsonKind, &'a str),
}

/// The tokens of a text, without the commas, colons and white space between them.
#[derive(Clone, Debug)]
pub(crate) struct JsonTokens<'a> {
    text: &'a str,
    at: usize,
    /// Objects and arrays that are open.
    depth: usize,
    deepest: usize,
}

impl<'a> JsonTokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, deepest: 0 }
    }

    /// Returns the tokens inside of an object or array.
    fn inside(text: &'a str) -> Self {
        let mut tokens = Self::of(text);
        tokens.next();
        tokens
    }

    fn skip_between(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        self.at += rest.iter().take_while(between).count();
    }

    /// Passes one value with all that is in it, and returns its place and kind. `None` at the end of the object or array
    /// that it would stand in.
    fn value(&mut self) -> Option<(Range<usize>, JsonKind)> {
        self.skip_between();
        let (start, outside) = (self.at, self.depth);
        let kind = match self.next()? {
            JsonToken::Close => return None,
            JsonToken::Scalar(kind, _) | JsonToken::Open(kind) => kind,
        };
        while self.depth > outside {
            self.next()?;
        }
        Some((start..self.at, kind))
    }
}

impl<'a> Iterator for JsonTokens<'a> {
    type Item = JsonToken<'a>;

    fn next(&mut self) -> Option<JsonToken<'a>> {
        self.skip_between();
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let (len, kind) = match bytes.first()? {
            b'"' => (string_len(bytes), JsonKind::String),
            b'-' | b'0'..=b'9' => (word_len(bytes), JsonKind::Number),
            first @ (b'{' | b'[') => {
                self.at += 1;
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
                return Some(JsonToken::Open(match first {
                    b'{' => JsonKind::Object,
                    _ => JsonKind::Array,
                }));
            }
            b'}' | b']' => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                return Some(JsonToken::Close);
            }
            _ => (word_len(bytes), JsonKind::Literal),
        };
        self.at += len;
        Some(JsonToken::Scalar(kind, rest.get(..len)?))
    }
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn word_len(bytes: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
    bytes.iter().position(ends).unwrap_or(bytes.len())
}

/// Returns the members of an object, in order; none of another value.
pub(crate) fn members(object: &str) -> Vec<JsonMember<'_>> {
    members_and_depth(object).0
}

/// Returns the members of an object, and its levels of objects and arrays.
pub(super) fn members_and_depth(object: &str) -> (Vec<JsonMember<'_>>, usize) {
    let mut tokens = JsonTokens::inside(object);
    let mut members = Vec::new();
    if !object.starts_with('{') {
        tokens.by_ref().for_each(drop);
        return (members, tokens.deepest);
    }
    while let Some((key_at, _)) = tokens.value()
        && let Some((value_at, kind)) = tokens.value()
    {
        members.push(JsonMember { key: unquoted(&object[key_at.clone()]), key_at, value_at, kind });
    }
    (members, tokens.deepest)
}

/// Returns the elements of an array, in order.
pub(crate) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let mut tokens = JsonTokens::inside(array);
    std::iter::from_fn(move || tokens.value().map(|(place, _)| &array[place]))
}
