//! Events with their length before them, as IntelMQ's TCP bots send them: 4 bytes, big-endian, then so many bytes (the
//! reference is `intelmq.bots.collectors.tcp.collector` 3.5.0, which takes any length). Here each is bounded.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{HEAD_BYTES, TcpMessage, piece};
use crate::limits::LINE_BYTES_MAX;

/// Frames with their length before them.
#[derive(Default)]
pub(crate) struct Lengths {
    /// If a frame is being read past: its length, its first bytes, and how much of it is still to come.
    passing: Option<(u64, Bytes, usize)>,
}

impl Lengths {
    /// Takes an event that is whole off the front of `read`.
    pub(crate) fn cut(&mut self, read: &mut BytesMut) -> Option<TcpMessage> {
        if self.passing.is_none() {
            let length = u32::from_be_bytes(*read.first_chunk()?);
            let bytes = length as usize;
            if bytes <= LINE_BYTES_MAX {
                if read.len() < 4 + bytes {
                    return None;
                }
                read.advance(4);
                return Some(TcpMessage::Whole(piece(read.split_to(bytes))));
            }
            if read.len() < 4 + HEAD_BYTES {
                return None;
            }
            read.advance(4);
            let head = Bytes::copy_from_slice(&read.split_to(HEAD_BYTES));
            self.passing = Some((length.into(), head, bytes - HEAD_BYTES));
        }
        let (.., rest) = self.passing.as_mut()?;
        let passed = (*rest).min(read.len());
        read.advance(passed);
        *rest -= passed;
        if *rest > 0 {
            return None;
        }
        let (bytes, head, _) = self.passing.take()?;
        Some(TcpMessage::TooLong { bytes, head })
    }

    /// Returns true if the end may come here; `rest` was read and not cut.
    pub(crate) fn may_end(&self, rest: &[u8]) -> bool {
        self.passing.is_none() && rest.is_empty()
    }
}
