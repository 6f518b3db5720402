//! Frames as bytes: a 4-byte big-endian length, then one deterministic CBOR array (PROTOCOL.md §4.1). Every
//! count and length is checked before allocation. What is said when is not checked here.

mod fields;
mod reader;

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use super::Frame;
use crate::cbor::{CborError, Counted, Sink as _};
use crate::limits::FRAME_BYTES_MAX;
use reader::Reader;

/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;

/// Frame types from here on are passed over by a node that does not know them, so that later versions can
/// add what may be ignored. A lower unknown one is a fault: it may not be ignored (PROTOCOL.md §4.1).
pub const IGNORABLE_FROM: u64 = 64;

/// The number of each frame on the wire (PROTOCOL.md §4.2).
mod number {
    pub const HELLO: u64 = 0;
    pub const SUBSCRIBE: u64 = 1;
    pub const CARRIER: u64 = 2;
    pub const HAVE: u64 = 3;
    pub const SKIP: u64 = 4;
    pub const WANT: u64 = 5;
    pub const ANSWER: u64 = 6;
    pub const GONE: u64 = 7;
    pub const ACK: u64 = 8;
    pub const MODE: u64 = 9;
    pub const HEAD: u64 = 10;
    pub const PING: u64 = 11;
    pub const PONG: u64 = 12;
    pub const FAULT: u64 = 13;
    pub const KEY: u64 = 14;
}

/// Why bytes are no frame. The peer's fault; the stream that brought them is closed with FAULT `protocol`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length claims more than a frame may have. Nothing was allocated for it.
    #[error("frame of {0} bytes, more than {max}", max = FRAME_BYTES_MAX)]
    TooLarge(usize),
    /// The frame is not exactly one item of deterministic CBOR.
    #[error("{0}")]
    Cbor(#[from] CborError),
    /// A frame type below 64 that this version does not have.
    #[error("frame type {0} is unknown and may not be ignored")]
    UnknownType(u64),
    /// The frame has more or fewer fields than its type has.
    #[error("{fields} fields in frame type {number}")]
    Fields { number: u64, fields: usize },
    /// A field holds another kind of item, a string of another length, or text that is no UTF-8.
    #[error("{0} is of another form")]
    Form(&'static str),
    /// More items than the field may have. Nothing was allocated for them.
    #[error("{what} has {count} items, more than {max}")]
    TooMany { what: &'static str, count: u64, max: usize },
    /// A longer string than the field may have. Nothing was allocated for it.
    #[error("{what} has {bytes} bytes, more than {max}")]
    TooLong { what: &'static str, bytes: u64, max: usize },
    /// A number that the field cannot hold.
    #[error("{what} is {number}, which is out of its range")]
    Range { what: &'static str, number: u64 },
    /// A verdict or fault code that this version does not have.
    #[error("{what} {number} is unknown")]
    UnknownCode { what: &'static str, number: u64 },
    /// A name that is none, or is not in its one form.
    #[error("{what} is no name")]
    Name { what: &'static str },
}

/// Appends `frame`, length first, to `out`.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.put(&[0; LENGTH_BYTES]);
    fields::write(frame, out);
    let len = out.len() - start - LENGTH_BYTES;
    debug_assert!(len <= FRAME_BYTES_MAX, "bug: a frame of {len} bytes was made; please report");
    // A frame never comes near 4 GiB: its envelope was bounded when it was decoded or signed.
    out[start..start + LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
}

/// Bytes that [`encode`] appends: what the window, the send queue and `Sent` count.
pub fn encoded_len(frame: &Frame) -> usize {
    let mut counted = Counted(LENGTH_BYTES);
    fields::write(frame, &mut counted);
    counted.0
}

/// Takes one whole frame off the front of `buffer`; `None` where it is not all there yet. Envelopes are
/// slices of the buffer, not copies. Frames of an unknown, ignorable type are passed over.
///
/// # Errors
/// [`FrameError`]: the stream is beyond repair.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    while let Some(len) = next_len(buffer)? {
        if buffer.len() < LENGTH_BYTES + len {
            return Ok(None);
        }
        buffer.advance(LENGTH_BYTES);
        if let Some(frame) = decode_one(&buffer.split_to(len).freeze())? {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

/// The length of the frame at the front of `buffer`, where its four bytes are there.
///
/// # Errors
/// [`FrameError::TooLarge`].
pub fn next_len(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*length) as usize;
    if len > FRAME_BYTES_MAX { Err(FrameError::TooLarge(len)) } else { Ok(Some(len)) }
}

/// Reads the array of one frame, without its length; `None` for a type that may be ignored.
///
/// # Errors
/// [`FrameError`].
pub fn decode_one(bytes: &Bytes) -> Result<Option<Frame>, FrameError> {
    let mut reader = Reader::new(bytes);
    let items = reader.array(bytes.len(), "frame")?;
    let Some(fields) = items.checked_sub(1) else { return Err(FrameError::Form("frame")) };
    let number = reader.unsigned("frame type")?;
    let frame = if number >= IGNORABLE_FROM {
        (0..fields).try_for_each(|_| reader.skip())?;
        None
    } else {
        Some(fields::read(number, fields, &mut reader)?)
    };
    reader.end()?;
    Ok(frame)
}

/// Feeds arbitrary bytes to [`decode`], as a stream would: for fuzzing. Panics where what was decoded does
/// not encode to what it came from.
pub fn fuzz(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = decode(&mut buffer) {
        let mut out = Vec::new();
        encode(&frame, &mut out);
        assert_eq!(out.len(), encoded_len(&frame), "bug: encoded_len of {frame:?}");
        let end = bytes.len() - buffer.len();
        assert_eq!(out, bytes[end - out.len()..end], "bug: {frame:?} encodes to other bytes");
    }
}

#[cfg(test)]
mod tests;
