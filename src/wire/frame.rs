//! Frames as bytes: a 4-byte big-endian length, then one deterministic CBOR array (PROTOCOL.md §4.1). Every count and
//! length is checked before allocation. The order of frames is not checked here.

mod fields;
mod reader;
#[cfg(feature = "sim")]
mod successor;

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use super::{WIRE_VERSION_MAX, WireFrame};
use crate::cbor::{ByteSink as _, CborError, CountingSink};
use crate::limits::FRAME_BYTES_MAX;
use reader::FieldReader;

/// Bytes of the length before each frame.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Frame types from here on are passed over by a node that does not know them, so that later versions can
/// add what may be ignored. A lower unknown one is critical, and a fault (PROTOCOL.md §4.1).
pub(crate) const IGNORABLE_FROM: u64 = 64;

/// Fields of HELLO that no version changes: name, federation, version_min, version_max.
const GREETING_FIELDS: usize = 4;

/// The number of each frame on the wire (PROTOCOL.md §4.2).
mod number {
    pub(crate) const HELLO: u64 = 0;
    pub(crate) const SUBSCRIBE: u64 = 1;
    pub(crate) const CARRIER: u64 = 2;
    pub(crate) const HAVE: u64 = 3;
    pub(crate) const SKIP: u64 = 4;
    pub(crate) const WANT: u64 = 5;
    pub(crate) const ANSWER: u64 = 6;
    pub(crate) const GONE: u64 = 7;
    pub(crate) const ACK: u64 = 8;
    pub(crate) const MODE: u64 = 9;
    pub(crate) const HEAD: u64 = 10;
    pub(crate) const PING: u64 = 11;
    pub(crate) const PONG: u64 = 12;
    pub(crate) const FAULT: u64 = 13;
    pub(crate) const KEY: u64 = 14;
}

/// Why bytes are no frame. The peer's fault; the stream that brought them is closed with FAULT `protocol`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
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
    /// The frame has fewer fields than its type has, or more and its sender's version is not above ours.
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
    /// A text that is not a name, or not in its one form.
    #[error("{what} is no name")]
    Name { what: &'static str },
}

/// Appends `frame`, length first, to `out`.
pub fn encode(frame: &WireFrame, out: &mut Vec<u8>) {
    #[cfg(feature = "sim")]
    if let WireFrame::Successor(frame) = frame {
        return successor::encode(frame, out);
    }
    let start = out.len();
    out.put(&[0; LENGTH_BYTES]);
    fields::write(frame, out);
    let len = out.len() - start - LENGTH_BYTES;
    debug_assert!(len <= FRAME_BYTES_MAX, "bug: a frame of {len} bytes was made; please report");
    // A frame never comes near 4 GiB: its envelope was bounded when it was decoded or signed.
    out[start..start + LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
}

/// Returns how many bytes [`encode`] appends: the window, the send queue and `Sent` count these.
pub fn encoded_len(frame: &WireFrame) -> usize {
    #[cfg(feature = "sim")]
    if let WireFrame::Successor(frame) = frame {
        return successor::encoded_len(frame);
    }
    let mut counted = CountingSink(LENGTH_BYTES);
    fields::write(frame, &mut counted);
    counted.0
}

/// Reads the frames of one stream, in order: how much of them is read depends on what the peer's HELLO said.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    peer: PeerVersion,
}

/// The peer's version, as far as it changes how its frames are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PeerVersion {
    /// Not above ours, or not known yet.
    #[default]
    Ours,
    /// It speaks ours and higher ones: fields behind the known ones are passed over.
    Newer,
    /// No version in common: nothing of it can be read.
    Other,
}

impl FrameDecoder {
    /// Takes one whole frame off the front of `buffer`; `None` if it is not all there yet. Envelopes are slices of the
    /// buffer, not copies. Frames of an unknown, ignorable type are passed over, as is all behind a HELLO without a
    /// common version.
    ///
    /// # Errors
    /// [`FrameError`]: the stream is beyond repair.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<WireFrame>, FrameError> {
        if self.peer == PeerVersion::Other {
            buffer.clear();
        }
        while let Some(len) = next_len(buffer)? {
            if buffer.len() < LENGTH_BYTES + len {
                return Ok(None);
            }
            buffer.advance(LENGTH_BYTES);
            if let Some(frame) = self.decode_one(&buffer.split_to(len).freeze())? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Reads the array of one frame, without its length; `None` for a type that may be ignored.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode_one(&mut self, bytes: &Bytes) -> Result<Option<WireFrame>, FrameError> {
        let mut reader = FieldReader::new(bytes);
        let items = reader.array(bytes.len(), "frame")?;
        let Some(mut left) = items.checked_sub(1) else { return Err(FrameError::Form("frame")) };
        let number = reader.unsigned("frame type")?;
        if number == number::HELLO {
            // PROTOCOL.md §4.2: versions before anything else, for what follows may have another form.
            if left < GREETING_FIELDS {
                return Err(FrameError::Fields { number, fields: left });
            }
            match fields::read_greeting(&mut reader.clone())? {
                greeting if !greeting.shares_version() => {
                    self.peer = PeerVersion::Other;
                    return Ok(Some(WireFrame::OtherVersion(Box::new(greeting))));
                }
                greeting if greeting.version_max > WIRE_VERSION_MAX => self.peer = PeerVersion::Newer,
                _ => self.peer = PeerVersion::Ours,
            }
        }
        let mut frame = None;
        if number < IGNORABLE_FROM {
            let known = fields::count(number).ok_or(FrameError::UnknownType(number))?;
            if left < known || (left > known && self.peer != PeerVersion::Newer) {
                return Err(FrameError::Fields { number, fields: left });
            }
            frame = Some(fields::read(number, &mut reader)?);
            left -= known;
        }
        (0..left).try_for_each(|_| reader.skip())?;
        reader.end()?;
        Ok(frame)
    }
}

/// Returns the length of the frame at the front of `buffer` if its four bytes are there.
///
/// # Errors
/// [`FrameError::TooLarge`].
pub(crate) fn next_len(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*length) as usize;
    if len > FRAME_BYTES_MAX { Err(FrameError::TooLarge(len)) } else { Ok(Some(len)) }
}

/// Feeds arbitrary bytes to a [`FrameDecoder`], as a stream would: for fuzzing. Panics if a decoded frame does not
/// encode to the bytes that it came from, or of a newer peer to bytes that decode to it again.
#[cfg(any(test, feature = "sim"))]
pub fn fuzz(bytes: &[u8]) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
        let mut out = Vec::new();
        encode(&frame, &mut out);
        assert_eq!(out.len(), encoded_len(&frame), "bug: encoded_len of {frame:?}");
        if decoder.peer == PeerVersion::Ours {
            let end = bytes.len() - buffer.len();
            assert_eq!(out, bytes[end - out.len()..end], "bug: {frame:?} encodes to other bytes");
        } else {
            let again = FrameDecoder::default().decode(&mut BytesMut::from(&out[..]));
            assert_eq!(again, Ok(Some(frame)), "bug: it does not decode to itself");
        }
    }
}

#[cfg(test)]
mod tests;
