//! Reads the events of a TCP connection, one after the other, by either framing.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::length::Lengths;
use super::separator::Separated;
use super::{READ_BYTES, TcpMessage};

/// How one frame is separated from the next.
pub(crate) enum Framing {
    /// By the length before it.
    Length(Lengths),
    /// By a separator that comes behind it.
    Separator(Separated),
}

impl Framing {
    /// Takes a frame that is whole off the front of `read`.
    fn cut(&mut self, read: &mut BytesMut) -> Option<TcpMessage> {
        match self {
            Self::Length(lengths) => lengths.cut(read),
            Self::Separator(separated) => separated.cut(read),
        }
    }

    /// Returns true if the end may come here; `rest` was read and not cut.
    fn may_end(&self, rest: &[u8]) -> bool {
        match self {
            Self::Length(lengths) => lengths.may_end(rest),
            Self::Separator(separated) => separated.may_end(rest),
        }
    }
}

pub(crate) struct FrameReader<R> {
    inner: R,
    buffer: BytesMut,
    framing: Framing,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(inner: R, framing: Framing) -> Self {
        Self { inner, buffer: BytesMut::new(), framing }
    }

    /// Returns the next frame; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// Returns `UnexpectedEof` if the end comes inside a frame, or the error of the socket.
    pub(crate) async fn frame(&mut self) -> io::Result<Option<TcpMessage>> {
        loop {
            if let Some(frame) = self.frame_at_hand() {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_BYTES);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                if self.framing.may_end(&self.buffer) {
                    return Ok(None);
                }
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an event was cut"));
            }
        }
    }

    /// Returns true if more bytes came than the frames that were taken.
    pub(crate) fn is_ahead(&self) -> bool {
        !self.framing.may_end(&self.buffer)
    }

    /// Returns a frame that was read already.
    pub(crate) fn frame_at_hand(&mut self) -> Option<TcpMessage> {
        self.framing.cut(&mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::HEAD_BYTES;
    use super::*;
    use crate::limits::LINE_BYTES_MAX;

    /// Hands out `given` in pieces of `piece` bytes, and reads to the end.
    async fn frames(given: Vec<u8>, piece: usize) -> (Vec<TcpMessage>, Option<io::ErrorKind>) {
        let (mut sender, receiver) = tokio::io::duplex(piece);
        let feed = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut sender, &given).await.unwrap();
        });
        let mut reader = FrameReader::new(receiver, Framing::Length(Lengths::default()));
        let mut frames = Vec::new();
        let end = loop {
            match reader.frame().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break None,
                Err(error) => break Some(error.kind()),
            }
            assert!(reader.buffer.capacity() < 2 * LINE_BYTES_MAX + 2 * READ_BYTES);
        };
        feed.await.unwrap();
        (frames, end)
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    #[tokio::test]
    async fn frames_are_the_same_however_they_arrive_and_a_long_one_is_read_past() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let given = [frame(b"{}"), frame(b""), frame(&long), frame(b"{\"a\":1}")].concat();
        for piece in [1 << 10, 1 << 20] {
            let (got, end) = frames(given.clone(), piece).await;
            assert_eq!(end, None);
            let bytes = long.len() as u64;
            let head = Bytes::copy_from_slice(&long[..HEAD_BYTES]);
            assert_eq!(got[2], TcpMessage::TooLong { bytes, head });
            let whole = [(0, "{}"), (1, ""), (3, "{\"a\":1}")];
            for (at, body) in whole {
                assert_eq!(got[at], TcpMessage::Whole(Bytes::from(body)));
            }
        }
        let (got, _) = frames([frame(b"ab"), frame(b"cd")].concat(), 1).await;
        assert_eq!(got.len(), 2);
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_no_frame() {
        for given in [vec![0], vec![0, 0, 0, 2, b'x'], u32::MAX.to_be_bytes().to_vec()] {
            let (got, end) = frames(given, 64).await;
            assert_eq!((got.len(), end), (0, Some(io::ErrorKind::UnexpectedEof)));
        }
    }
}
