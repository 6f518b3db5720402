//! Frames as bytes: a 4-byte big-endian length, then one deterministic CBOR array (PROTOCOL.md §4.1).

use bytes::BytesMut;
use thiserror::Error;

use super::Frame;

/// Why bytes are no frame. The stream that brought them is closed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("frame of {0} bytes")]
    TooLarge(usize),
}

/// Appends `frame`, length first, to `out`.
pub fn encode(_frame: &Frame, _out: &mut Vec<u8>) {
    todo!()
}

/// Takes one whole frame off the front of `buffer`; `None` where it is not all there yet.
///
/// # Errors
/// [`FrameError`]: the stream is beyond repair.
pub fn decode(_buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    todo!()
}
