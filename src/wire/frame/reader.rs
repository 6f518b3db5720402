//! Items of a frame, read by field: each count and length against its bound before anything is allocated for
//! it, each fault with the name of its field. Which fields a frame has is `fields`' business, and what is
//! deterministic CBOR that of [`crate::cbor`].

use bytes::Bytes;

use super::FrameError;
use crate::cbor::{self, CborError, MajorType};

/// Reads one frame. `what` in its methods names the field, for the error.
#[derive(Clone)]
pub(super) struct FieldReader<'a> {
    frame: &'a Bytes,
    items: cbor::CborReader<'a>,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(frame: &'a Bytes) -> Self {
        Self { frame, items: cbor::CborReader::new(frame) }
    }

    /// # Errors
    /// [`FrameError::Cbor`] if bytes are left that no item has used.
    pub(crate) fn end(&self) -> Result<(), FrameError> {
        Ok(self.items.end()?)
    }

    fn expect(&mut self, major: MajorType, what: &'static str) -> Result<u64, FrameError> {
        self.items.expect(major).map_err(|fault| of_field(fault, what))
    }

    /// An array of at most `max` items; nothing is allocated for more.
    pub(crate) fn array(&mut self, max: usize, what: &'static str) -> Result<usize, FrameError> {
        let count = self.expect(MajorType::Array, what)?;
        match usize::try_from(count) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(FrameError::TooMany { what, count, max }),
        }
    }

    /// An array of exactly `len` items.
    pub(crate) fn tuple(&mut self, len: usize, what: &'static str) -> Result<(), FrameError> {
        if self.expect(MajorType::Array, what)? == len as u64 { Ok(()) } else { Err(FrameError::Form(what)) }
    }

    pub(crate) fn unsigned(&mut self, what: &'static str) -> Result<u64, FrameError> {
        self.expect(MajorType::Unsigned, what)
    }

    /// A number that fits `T`.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, FrameError> {
        let number = self.unsigned(what)?;
        T::try_from(number).map_err(|_| FrameError::Range { what, number })
    }

    fn string(&mut self, major: MajorType, max: usize, what: &'static str) -> Result<&'a [u8], FrameError> {
        let bytes = self.expect(major, what)?;
        if bytes <= max as u64 {
            Ok(self.items.take(bytes)?)
        } else {
            Err(FrameError::TooLong { what, bytes, max })
        }
    }

    /// A byte string as a slice of the frame: it is not copied, and keeps the frame's buffer alive.
    pub(crate) fn bytes(&mut self, max: usize, what: &'static str) -> Result<Bytes, FrameError> {
        let len = self.string(MajorType::Bytes, max, what)?.len();
        let end = self.items.offset();
        Ok(self.frame.slice(end - len..end))
    }

    pub(crate) fn array_of<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        self.string(MajorType::Bytes, N, what)?.try_into().map_err(|_| FrameError::Form(what))
    }

    pub(crate) fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.string(MajorType::Text, max, what)?).map_err(|_| FrameError::Form(what))
    }

    pub(crate) fn boolean(&mut self, what: &'static str) -> Result<bool, FrameError> {
        self.items.boolean().map_err(|fault| of_field(fault, what))
    }

    /// Returns true, and passes over the item, if the next one is null.
    pub(crate) fn null(&mut self) -> bool {
        self.items.null()
    }

    /// One item of any type inside the frame's array, as its bytes: they are not copied.
    pub(crate) fn item(&mut self, max: usize, what: &'static str) -> Result<Bytes, FrameError> {
        let item = self.items.skip_inside(1)?;
        match item.len() {
            len if len <= max => Ok(self.frame.slice_ref(item)),
            len => Err(FrameError::TooLong { what, bytes: len as u64, max }),
        }
    }

    /// Passes over one item of any type inside the frame's array.
    pub(crate) fn skip(&mut self) -> Result<(), FrameError> {
        self.items.skip_inside(1)?;
        Ok(())
    }
}

/// An item of another type than its field has is the field's fault, and told with its name.
fn of_field(fault: CborError, what: &'static str) -> FrameError {
    match fault {
        CborError::Type(_) => FrameError::Form(what),
        other => FrameError::Cbor(other),
    }
}
