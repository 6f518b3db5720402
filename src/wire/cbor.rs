//! Deterministic CBOR (RFC 8949 §4.2) as far as frames need it: unsigned integers, byte and text strings,
//! arrays, booleans and null. Reading is strict: what is not the one shortest encoding of its content is
//! refused, and every count is checked before anything is allocated for it. No maps, tags, negative numbers
//! or floats are read; `skip` passes over them. What the items mean is `frame`'s.

use bytes::Bytes;

use super::frame::FrameError;
use crate::limits::CBOR_DEPTH_MAX;

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// Where encoded bytes go: into a buffer, or into a count.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Default)]
pub(super) struct Counted(pub usize);

impl Sink for Counted {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

pub(super) struct Writer<'a, S>(pub &'a mut S);

impl<S: Sink> Writer<'_, S> {
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let wide = argument.to_be_bytes();
        match argument {
            0..=23 => self.0.put(&[major | wide[7]]),
            24..=0xff => self.0.put(&[major | 24, wide[7]]),
            0x100..=0xffff => self.0.put(&[major | 25, wide[6], wide[7]]),
            0x1_0000..=0xffff_ffff => self.0.put(&[major | 26, wide[4], wide[5], wide[6], wide[7]]),
            _ => {
                self.0.put(&[major | 27]);
                self.0.put(&wide);
            }
        }
    }

    pub fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    pub fn unsigned(&mut self, number: u64) {
        self.head(UNSIGNED, number);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.0.put(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.0.put(text.as_bytes());
    }

    pub fn boolean(&mut self, value: bool) {
        self.0.put(&[if value { TRUE } else { FALSE }]);
    }

    pub fn null(&mut self) {
        self.0.put(&[NULL]);
    }
}

/// Reads one frame. `what` in its methods names the field, for the error.
pub(super) struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    /// Bytes that no item has used.
    pub fn left(&self) -> usize {
        self.frame.len() - self.at
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.frame.len());
        let end = end.ok_or(FrameError::Truncated)?;
        let taken = &self.frame[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Major type and argument of the next item, the argument in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), FrameError> {
        let first = self.take(1)?[0];
        let (argument, least) = match first & 0x1f {
            short @ 0..=23 => (u64::from(short), 0),
            24 => (self.argument(1)?, 24),
            25 => (self.argument(2)?, 0x100),
            26 => (self.argument(4)?, 0x1_0000),
            27 => (self.argument(8)?, 0x1_0000_0000),
            _ => return Err(FrameError::NotCanonical),
        };
        // Floats and simple values have the same shape but no shortest-argument rule that frames use.
        if argument < least && first >> 5 != 7 {
            return Err(FrameError::NotCanonical);
        }
        Ok((first >> 5, argument))
    }

    fn argument(&mut self, len: usize) -> Result<u64, FrameError> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn expect(&mut self, major: u8, what: &'static str) -> Result<u64, FrameError> {
        match self.head()? {
            (found, argument) if found == major => Ok(argument),
            _ => Err(FrameError::Form(what)),
        }
    }

    /// An array of at most `max` items; nothing is allocated for more.
    pub fn array(&mut self, max: usize, what: &'static str) -> Result<usize, FrameError> {
        let count = self.expect(ARRAY, what)?;
        match usize::try_from(count) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(FrameError::TooMany { what, count, max }),
        }
    }

    /// An array of exactly `len` items.
    pub fn tuple(&mut self, len: usize, what: &'static str) -> Result<(), FrameError> {
        if self.expect(ARRAY, what)? == len as u64 { Ok(()) } else { Err(FrameError::Form(what)) }
    }

    pub fn unsigned(&mut self, what: &'static str) -> Result<u64, FrameError> {
        self.expect(UNSIGNED, what)
    }

    /// A number that fits `T`.
    pub fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, FrameError> {
        let number = self.unsigned(what)?;
        T::try_from(number).map_err(|_| FrameError::Range { what, number })
    }

    fn string(&mut self, major: u8, max: usize, what: &'static str) -> Result<&'a [u8], FrameError> {
        let bytes = self.expect(major, what)?;
        match usize::try_from(bytes) {
            Ok(len) if len <= max => self.take(len),
            _ => Err(FrameError::TooLong { what, bytes, max }),
        }
    }

    /// A byte string as a slice of the frame: it is not copied, and keeps the frame's buffer alive.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<Bytes, FrameError> {
        let len = self.string(BYTES, max, what)?.len();
        Ok(self.frame.slice(self.at - len..self.at))
    }

    pub fn array_of<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        self.string(BYTES, N, what)?.try_into().map_err(|_| FrameError::Form(what))
    }

    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.string(TEXT, max, what)?).map_err(|_| FrameError::Form(what))
    }

    pub fn boolean(&mut self, what: &'static str) -> Result<bool, FrameError> {
        match self.take(1)?[0] {
            TRUE => Ok(true),
            FALSE => Ok(false),
            _ => Err(FrameError::Form(what)),
        }
    }

    /// True, and passed over, where the next item is null.
    pub fn null(&mut self) -> bool {
        let null = self.frame.get(self.at) == Some(&NULL);
        self.at += usize::from(null);
        null
    }

    /// Passes over one well-formed item of any kind within the frame's array, which is the first of at most
    /// 16 levels.
    pub fn skip(&mut self) -> Result<(), FrameError> {
        self.skip_at(2)
    }

    fn skip_at(&mut self, depth: usize) -> Result<(), FrameError> {
        let (major, argument) = self.head()?;
        let items = match major {
            BYTES | TEXT => {
                let len = usize::try_from(argument).map_err(|_| FrameError::Truncated)?;
                return self.take(len).map(drop);
            }
            ARRAY => argument,
            5 => argument.checked_mul(2).ok_or(FrameError::Truncated)?,
            6 => 1,
            _ => return Ok(()),
        };
        if depth > CBOR_DEPTH_MAX {
            return Err(FrameError::TooDeep);
        }
        // Each item takes a byte at least: a count beyond what is there ends at the end of the frame.
        (0..items).try_for_each(|_| self.skip_at(depth + 1))
    }
}
