//! Deterministic CBOR (RFC 8949 §4.2.1), strictly: one reader that accepts only the one encoding of each item, and the
//! few writers that produce it, for envelopes and frames alike. Reads borrow, allocate nothing, and end with the input.
//! No floats, no simple values but `false`, `true` and `null`: PROTOCOL.md §1 uses no others. The callers define the
//! meaning of items.

use thiserror::Error;

use crate::limits::CBOR_DEPTH_MAX;

/// Why bytes are not deterministic CBOR. The sender's fault, and final.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CborError {
    #[error("the bytes end inside an item at offset {0}")]
    Truncated(usize),
    #[error("{0} bytes after the item")]
    TrailingBytes(usize),
    #[error("a number or length at offset {0} is not in its shortest form")]
    NotShortest(usize),
    #[error("indefinite length at offset {0}")]
    Indefinite(usize),
    #[error("a map has the same key twice at offset {0}")]
    DuplicateKey(usize),
    #[error("the keys of a map are out of order at offset {0}")]
    KeyOrder(usize),
    #[error("more than {CBOR_DEPTH_MAX} levels at offset {0}")]
    TooDeep(usize),
    #[error("text at offset {0} is not UTF-8")]
    NotUtf8(usize),
    #[error("a float or simple value that is not in use at offset {0}")]
    Unsupported(usize),
    #[error("another type of item than expected at offset {0}")]
    Type(usize),
}

impl CborError {
    /// Returns a short name for logs and test vectors.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated(_) => "truncated",
            Self::TrailingBytes(_) => "trailing_bytes",
            Self::NotShortest(_) => "not_shortest",
            Self::Indefinite(_) => "indefinite",
            Self::DuplicateKey(_) => "duplicate_key",
            Self::KeyOrder(_) => "key_order",
            Self::TooDeep(_) => "too_deep",
            Self::NotUtf8(_) => "not_utf8",
            Self::Unsupported(_) => "unsupported",
            Self::Type(_) => "type",
        }
    }
}

/// The major types of CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MajorType {
    Unsigned = 0,
    Negative = 1,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
    Simple = 7,
}

impl MajorType {
    const fn of(initial: u8) -> Self {
        match initial >> 5 {
            0 => Self::Unsigned,
            1 => Self::Negative,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Array,
            5 => Self::Map,
            6 => Self::Tag,
            _ => Self::Simple,
        }
    }
}

/// `null`.
const NULL: u8 = 0xf6;

/// Reads items one after the other.
#[derive(Clone, Debug)]
pub(crate) struct CborReader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> CborReader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// Returns a reader of `input` if it is exactly one deterministic item.
    ///
    /// # Errors
    /// The first [`CborError`] in it.
    pub(crate) fn of_one_item(input: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Self::new(input);
        reader.skip_item()?;
        reader.end()?;
        Ok(Self::new(input))
    }

    /// Returns the offset of the next item.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// # Errors
    /// [`CborError::TrailingBytes`] if something is left.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        match self.input.len() - self.at {
            0 => Ok(()),
            left => Err(CborError::TrailingBytes(left)),
        }
    }

    /// Returns the type of the next item.
    pub(crate) fn peek(&self) -> Result<MajorType, CborError> {
        self.input.get(self.at).map(|initial| MajorType::of(*initial)).ok_or(CborError::Truncated(self.at))
    }

    /// Returns the content of a string when [`CborReader::expect`] gave its length.
    ///
    /// # Errors
    /// [`CborError::Truncated`].
    pub(crate) fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated(self.at))?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.input.len());
        let end = end.ok_or(CborError::Truncated(self.at))?;
        let taken = &self.input[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(MajorType, u64), CborError> {
        let start = self.at;
        let initial = self.take(1)?[0];
        let info = initial & 0x1f;
        let (value, least) = match info {
            0..=23 => return Ok((MajorType::of(initial), u64::from(info))),
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (be(self.take(2)?), 1 << 8),
            26 => (be(self.take(4)?), 1 << 16),
            27 => (be(self.take(8)?), 1 << 32),
            31 => return Err(CborError::Indefinite(start)),
            _ => return Err(CborError::Unsupported(start)),
        };
        if MajorType::of(initial) == MajorType::Simple {
            return Err(CborError::Unsupported(start));
        }
        if value < least { Err(CborError::NotShortest(start)) } else { Ok((MajorType::of(initial), value)) }
    }

    /// Returns the value, length or count of the next item, which has to be of type `major`.
    ///
    /// # Errors
    /// [`CborError::Type`] if it is another, and any fault of its first bytes.
    pub(crate) fn expect(&mut self, major: MajorType) -> Result<u64, CborError> {
        let start = self.at;
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(CborError::Type(start)),
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CborError> {
        self.expect(MajorType::Unsigned)
    }

    /// Reads a number that fits 63 bits and a sign.
    pub(crate) fn integer(&mut self) -> Result<i64, CborError> {
        let start = self.at;
        let (major, value) = self.head()?;
        let value = i64::try_from(value).map_err(|_| CborError::Type(start))?;
        match major {
            MajorType::Unsigned => Ok(value),
            MajorType::Negative => Ok(-1 - value),
            _ => Err(CborError::Type(start)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.expect(MajorType::Bytes)?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let start = self.at;
        let len = self.expect(MajorType::Text)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::NotUtf8(start))
    }

    /// Reads the number of items that follow. Nothing may be allocated by it unchecked.
    pub(crate) fn array(&mut self) -> Result<u64, CborError> {
        self.expect(MajorType::Array)
    }

    /// Reads the number of pairs that follow. Their order is checked by [`CborReader::skip_item`] alone.
    pub(crate) fn map(&mut self) -> Result<u64, CborError> {
        self.expect(MajorType::Map)
    }

    pub(crate) fn tag(&mut self) -> Result<u64, CborError> {
        self.expect(MajorType::Tag)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, CborError> {
        let start = self.at;
        match self.expect(MajorType::Simple)? {
            20 => Ok(false),
            21 => Ok(true),
            _ => Err(CborError::Type(start)),
        }
    }

    /// Returns true if the next item is `null`, which is then passed.
    pub(crate) fn null(&mut self) -> bool {
        let is_null = self.input.get(self.at) == Some(&NULL);
        self.at += usize::from(is_null);
        is_null
    }

    /// Passes one item of any type, checks all of it, and returns its bytes.
    ///
    /// # Errors
    /// The first [`CborError`] in it.
    pub(crate) fn skip_item(&mut self) -> Result<&'a [u8], CborError> {
        self.skip_inside(0)
    }

    /// Does the same as [`CborReader::skip_item`], for an item that stands inside `levels` arrays or maps.
    ///
    /// # Errors
    /// The first [`CborError`] in it.
    pub(crate) fn skip_inside(&mut self, levels: usize) -> Result<&'a [u8], CborError> {
        let start = self.at;
        self.skip(levels)?;
        Ok(&self.input[start..self.at])
    }

    fn skip(&mut self, depth: usize) -> Result<(), CborError> {
        let start = self.at;
        let (major, value) = self.head()?;
        if matches!(major, MajorType::Array | MajorType::Map | MajorType::Tag) && depth >= CBOR_DEPTH_MAX {
            return Err(CborError::TooDeep(start));
        }
        match major {
            MajorType::Unsigned | MajorType::Negative => Ok(()),
            MajorType::Bytes => self.take(value).map(|_| ()),
            MajorType::Text => match std::str::from_utf8(self.take(value)?) {
                Ok(_) => Ok(()),
                Err(_) => Err(CborError::NotUtf8(start)),
            },
            MajorType::Array => (0..value).try_for_each(|_| self.skip(depth + 1)),
            MajorType::Map => self.skip_pairs(value, depth + 1),
            MajorType::Tag => self.skip(depth + 1),
            MajorType::Simple if (20..=22).contains(&value) => Ok(()),
            MajorType::Simple => Err(CborError::Unsupported(start)),
        }
    }

    fn skip_pairs(&mut self, pairs: u64, depth: usize) -> Result<(), CborError> {
        let mut last: &[u8] = &[];
        for _ in 0..pairs {
            let start = self.at;
            self.skip(depth)?;
            let key = &self.input[start..self.at];
            match last.cmp(key) {
                std::cmp::Ordering::Less => last = key,
                std::cmp::Ordering::Equal => return Err(CborError::DuplicateKey(start)),
                std::cmp::Ordering::Greater => return Err(CborError::KeyOrder(start)),
            }
            self.skip(depth)?;
        }
        Ok(())
    }
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A sink for encoded bytes: a buffer, or a count.
pub trait ByteSink {
    fn put(&mut self, bytes: &[u8]);
}

impl ByteSink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Debug, Default)]
pub(crate) struct CountingSink(pub usize);

impl ByteSink for CountingSink {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes the first bytes of an item: its type, and its value or length in the shortest form.
pub fn put_head(out: &mut impl ByteSink, major: MajorType, value: u64) {
    let top = (major as u8) << 5;
    let wide = value.to_be_bytes();
    match value {
        0..=23 => out.put(&[top | wide[7]]),
        24..=0xff => out.put(&[top | 24, wide[7]]),
        0x100..=0xffff => out.put(&[top | 25, wide[6], wide[7]]),
        0x1_0000..=0xffff_ffff => out.put(&[top | 26, wide[4], wide[5], wide[6], wide[7]]),
        _ => {
            out.put(&[top | 27]);
            out.put(&wide);
        }
    }
}

pub fn put_unsigned(out: &mut impl ByteSink, value: u64) {
    put_head(out, MajorType::Unsigned, value);
}

pub fn put_bytes(out: &mut impl ByteSink, bytes: &[u8]) {
    put_head(out, MajorType::Bytes, bytes.len() as u64);
    out.put(bytes);
}

pub fn put_text(out: &mut impl ByteSink, text: &str) {
    put_head(out, MajorType::Text, text.len() as u64);
    out.put(text.as_bytes());
}

pub fn put_array(out: &mut impl ByteSink, len: usize) {
    put_head(out, MajorType::Array, len as u64);
}

/// Begins a map; its pairs must follow in the order of their encoded keys.
pub fn put_map(out: &mut impl ByteSink, pairs: usize) {
    put_head(out, MajorType::Map, pairs as u64);
}

pub(crate) fn put_boolean(out: &mut impl ByteSink, value: bool) {
    out.put(&[0xf4 | u8::from(value)]);
}

pub(crate) fn put_null(out: &mut impl ByteSink) {
    out.put(&[NULL]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads with ciborium and writes again: equal to the input if it was in the one encoding.
    fn through_ciborium(bytes: &[u8]) -> Option<Vec<u8>> {
        let value: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(bytes, 64).ok()?;
        let mut out = Vec::new();
        ciborium::into_writer(&value, &mut out).ok()?;
        Some(out)
    }

    proptest! {
        #[test]
        fn what_the_strict_reader_accepts_is_the_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            if CborReader::of_one_item(&bytes).is_ok() {
                prop_assert_eq!(through_ciborium(&bytes).unwrap(), bytes);
            }
        }

        #[test]
        fn a_number_is_read_back_from_its_shortest_form(number: u64, bits in 0..64) {
            let number = number >> bits;
            let (mut out, mut counted) = (Vec::new(), CountingSink::default());
            put_unsigned(&mut out, number);
            put_unsigned(&mut counted, number);
            prop_assert_eq!(counted.0, out.len());
            prop_assert_eq!(CborReader::of_one_item(&out).unwrap().unsigned(), Ok(number));
        }
    }

    #[test]
    fn levels_are_counted_from_where_an_item_stands() {
        let nested = |levels: usize| [vec![0x81; levels - 1], vec![0x80]].concat();
        assert!(CborReader::new(&nested(CBOR_DEPTH_MAX)).skip_item().is_ok());
        assert!(CborReader::new(&nested(CBOR_DEPTH_MAX - 1)).skip_inside(1).is_ok());
        let fault = CborReader::new(&nested(CBOR_DEPTH_MAX)).skip_inside(1).unwrap_err();
        assert_eq!(fault, CborError::TooDeep(CBOR_DEPTH_MAX - 1));
    }
}
