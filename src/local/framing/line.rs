//! Reads lines from a socket, each bounded: one that is too long is reported once and skipped, without ever being held.
//! They end with a newline. The caller reads their content.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{READ_BYTES, SocketLine, piece};

pub(crate) struct LineReader<R> {
    inner: R,
    bytes_max: usize,
    buffer: BytesMut,
    /// Bytes of `buffer` that are not a line end.
    scanned: usize,
    /// Inside a line that was reported as too long.
    skipping: bool,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(inner: R, bytes_max: usize) -> Self {
        Self { inner, bytes_max, buffer: BytesMut::new(), scanned: 0, skipping: false, ended: false }
    }

    /// Returns the next line; `None` at the end. The last one needs no end of line. May be dropped while it waits.
    pub(crate) async fn line(&mut self) -> io::Result<Option<SocketLine>> {
        loop {
            if let Some(line) = self.line_at_hand() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.buffer.reserve(READ_BYTES);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                self.ended = true;
                if !self.buffer.is_empty() {
                    self.buffer.extend_from_slice(b"\n");
                }
            }
        }
    }

    /// Returns a line that was read already.
    pub(crate) fn line_at_hand(&mut self) -> Option<SocketLine> {
        loop {
            let Some(found) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
                return self.no_end_at_hand();
            };
            let end = self.scanned + found;
            let mut line = self.buffer.split_to(end + 1);
            self.scanned = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            line.truncate(end);
            return Some(if end > self.bytes_max {
                SocketLine::TooLong
            } else {
                SocketLine::Text(piece(line))
            });
        }
    }

    fn no_end_at_hand(&mut self) -> Option<SocketLine> {
        self.scanned = self.buffer.len();
        let too_long = !self.skipping && self.scanned > self.bytes_max;
        self.skipping |= too_long;
        if self.skipping {
            self.buffer.clear();
            self.scanned = 0;
        }
        too_long.then_some(SocketLine::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Hands out `given` in pieces of `piece` bytes.
    async fn lines(given: &[u8], piece: usize) -> Vec<SocketLine> {
        let (mut sender, receiver) = tokio::io::duplex(piece);
        let given = given.to_vec();
        let feed = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut sender, &given).await.unwrap();
        });
        let mut reader = LineReader::new(receiver, 4);
        let mut lines = Vec::new();
        while let Some(line) = reader.line().await.unwrap() {
            lines.push(line);
        }
        feed.await.unwrap();
        lines
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_arrive_and_a_long_one_is_said_once() {
        let text = |text: &'static str| SocketLine::Text(Bytes::from_static(text.as_bytes()));
        for (given, want) in [
            ("", vec![]),
            ("a\nb", vec![text("a"), text("b")]),
            ("\n\na\n", vec![text(""), text(""), text("a")]),
            ("abcd\nabcde\nb\n", vec![text("abcd"), SocketLine::TooLong, text("b")]),
            ("abcdefghijklmnop", vec![SocketLine::TooLong]),
            ("abcdefghijklmnop\nq", vec![SocketLine::TooLong, text("q")]),
            ("abcde", vec![SocketLine::TooLong]),
        ] {
            for piece in [1, 3, 64] {
                assert_eq!(lines(given.as_bytes(), piece).await, want, "{given:?} by {piece}");
            }
        }
    }
}
