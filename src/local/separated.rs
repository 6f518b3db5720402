//! Events at a TCP door that end with a separator instead of having a length before them. As with frames each is
//! bounded, and what comes before the end of the connection without its separator is none: a bot was killed
//! inside of it, and sends it again. What an event says is the caller's.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::frames::{Frame, HEAD_BYTES, piece};

/// What one read asks for, in bytes.
const READ_BYTES: usize = 64 * 1024;

pub(super) struct SeparatedReader<R> {
    inner: R,
    bytes_max: usize,
    /// Not empty.
    end: Bytes,
    buffer: BytesMut,
    /// Bytes of `buffer` at which no end begins.
    scanned: usize,
    /// Of an event that is too long: its first bytes, and how many were read past.
    passing: Option<(Bytes, u64)>,
}

impl<R: AsyncRead + Unpin> SeparatedReader<R> {
    pub fn new(inner: R, bytes_max: usize, end: Bytes) -> Self {
        Self { inner, bytes_max, end, buffer: BytesMut::new(), scanned: 0, passing: None }
    }

    /// The next event; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// `UnexpectedEof` where the end comes inside an event; what the socket says.
    pub async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frame_at_hand() {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_BYTES);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                if is_blank(&self.buffer) && self.passing.is_none() {
                    return Ok(None);
                }
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an event was cut"));
            }
        }
    }

    /// An event that was read already; blank ones are none.
    pub fn frame_at_hand(&mut self) -> Option<Frame> {
        loop {
            match self.any_at_hand()? {
                Frame::Whole(text) if is_blank(&text) => {}
                frame => return Some(frame),
            }
        }
    }

    fn any_at_hand(&mut self) -> Option<Frame> {
        let Some(found) = find(&self.buffer[self.scanned..], &self.end) else {
            // The beginning of an end may be there already.
            self.scanned = self.buffer.len().saturating_sub(self.end.len() - 1);
            if self.passing.is_some() || self.scanned > self.bytes_max {
                self.pass(self.scanned);
            }
            return None;
        };
        let bytes = self.scanned + found;
        if self.passing.is_some() || bytes > self.bytes_max {
            self.pass(bytes);
            self.buffer.advance(self.end.len());
            return self.passing.take().map(|(head, bytes)| Frame::TooLong { bytes, head });
        }
        let text = self.buffer.split_to(bytes);
        self.buffer.advance(self.end.len());
        self.scanned = 0;
        Some(Frame::Whole(piece(text)))
    }

    /// Reads past the first `bytes` of the buffer.
    fn pass(&mut self, bytes: usize) {
        let read = self.buffer.split_to(bytes);
        let (_, passed) = self
            .passing
            .get_or_insert_with(|| (Bytes::copy_from_slice(&read[..read.len().min(HEAD_BYTES)]), 0));
        *passed += bytes as u64;
        self.scanned = 0;
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

fn find(text: &[u8], end: &[u8]) -> Option<usize> {
    match end {
        [byte] => text.iter().position(|at| at == byte),
        _ => text.windows(end.len()).position(|at| at == end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out `given` in pieces of `piece` bytes, and reads to the end.
    async fn frames(given: &[u8], end: &'static str, piece: usize) -> (Vec<Frame>, Option<io::ErrorKind>) {
        let (mut sender, receiver) = tokio::io::duplex(piece);
        let given = given.to_vec();
        let feed = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut sender, &given).await.unwrap();
        });
        let mut reader = SeparatedReader::new(receiver, 4, Bytes::from_static(end.as_bytes()));
        let mut frames = Vec::new();
        let end = loop {
            match reader.frame().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break None,
                Err(error) => break Some(error.kind()),
            }
        };
        feed.await.unwrap();
        (frames, end)
    }

    #[tokio::test]
    async fn events_are_the_same_however_they_arrive_and_one_without_its_end_is_none() {
        let whole = |text: &'static str| Frame::Whole(Bytes::from_static(text.as_bytes()));
        let long = |text: &'static str| Frame::TooLong {
            bytes: text.len() as u64,
            head: Bytes::from_static(text.as_bytes()),
        };
        let cut = Some(io::ErrorKind::UnexpectedEof);
        for (given, want, ended) in [
            ("", vec![], None),
            ("a\nb", vec![whole("a")], cut),
            ("\n \na\n ", vec![whole("a")], None),
            ("abcd\nabcde\nb\n", vec![whole("abcd"), long("abcde"), whole("b")], None),
            ("abcdefghijklmnop", vec![], cut),
            ("abcdef\nq", vec![long("abcdef")], cut),
        ] {
            for size in [1, 3, 64] {
                for end in ["\n", "\r\r;"] {
                    let (got, how) = frames(given.replace('\n', end).as_bytes(), end, size).await;
                    let got: Vec<_> = got.into_iter().map(first_of).collect();
                    let want: Vec<_> = want.iter().cloned().map(first_of).collect();
                    assert_eq!((got, how), (want, ended), "{given:?} by {size}");
                }
            }
        }
    }

    /// How much of the beginning is kept depends on how it came; the first byte and the length do not.
    fn first_of(frame: Frame) -> Frame {
        match frame {
            Frame::TooLong { bytes, head } => Frame::TooLong { bytes, head: head.slice(..1) },
            whole => whole,
        }
    }
}
