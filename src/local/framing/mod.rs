//! Cuts what a socket sends into lines and events, each bounded: if one is longer than allowed, only its beginning is
//! kept, and the rest is read past. `line` reads lines, and `reader` the events of IntelMQ's TCP bots, which have a
//! length before them (`length`) or a separator behind them (`separator`). The caller reads the content.

pub(crate) mod length;
pub(crate) mod line;
pub(crate) mod reader;
pub(crate) mod separator;

use bytes::{Bytes, BytesMut};

use crate::limits::LINE_BYTES_MAX;

/// Size of one read, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How many bytes of a frame are kept to be shown if it is too long.
pub(crate) const HEAD_BYTES: usize = 256;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketLine {
    Text(Bytes),
    TooLong,
}

impl SocketLine {
    /// Returns the line of a text that came whole, by another way than through lines.
    pub(crate) fn of(text: &Bytes) -> Self {
        if text.len() > LINE_BYTES_MAX { Self::TooLong } else { Self::Text(text.clone()) }
    }

    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if text.iter().all(u8::is_ascii_whitespace))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::TooLong => 0,
        }
    }
}

/// Returns a JSON text as one line: line breaks between its tokens become blanks. In a string one is an error, and stays.
pub(crate) fn one_line(mut text: Vec<u8>) -> Bytes {
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in &mut text {
        match *byte {
            b'\n' | b'\r' if !in_string => *byte = b' ',
            b'"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = in_string && *byte == b'\\' && !is_escaped;
    }
    Bytes::copy_from_slice(text.trim_ascii())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TcpMessage {
    Whole(Bytes),
    /// Longer than a line may be: how long, and its first bytes.
    TooLong {
        bytes: u64,
        head: Bytes,
    },
}

impl TcpMessage {
    pub(crate) fn line(&self) -> SocketLine {
        match self {
            Self::Whole(text) => SocketLine::Text(text.clone()),
            Self::TooLong { .. } => SocketLine::TooLong,
        }
    }

    /// Returns the bytes that were kept of it.
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) | Self::TooLong { head: bytes, .. } => bytes,
        }
    }
}

/// So much of a buffer is copied rather than kept: it would hold on to all that was read with it.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// Returns the bytes that were read, as a buffer of their own.
pub(crate) fn piece(read: BytesMut) -> Bytes {
    if read.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&read) } else { read.freeze() }
}
