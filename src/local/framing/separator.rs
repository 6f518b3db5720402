//! Events at a TCP door that end with a separator instead of having a length before them. As with frames each is
//! bounded. If the connection ends before a separator, the rest is not an event: a bot was killed inside of it, and
//! sends it again. The caller reads the content of an event.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{HEAD_BYTES, TcpMessage, piece};

pub(crate) struct Separated {
    bytes_max: usize,
    /// Not empty.
    end: Bytes,
    /// Length of the prefix in which no end begins, in bytes.
    scanned: usize,
    /// If an event is too long: its first bytes, and how many were read past.
    passing: Option<(Bytes, u64)>,
}

impl Separated {
    pub(crate) fn new(bytes_max: usize, end: Bytes) -> Self {
        Self { bytes_max, end, scanned: 0, passing: None }
    }

    /// Takes an event with its end off the front of `read`; blank ones are none.
    pub(crate) fn cut(&mut self, read: &mut BytesMut) -> Option<TcpMessage> {
        loop {
            match self.cut_any(read)? {
                TcpMessage::Whole(text) if is_blank(&text) => {}
                frame => return Some(frame),
            }
        }
    }

    /// Returns true if the connection may end with `rest`: not inside an event.
    pub(crate) fn may_end(&self, rest: &[u8]) -> bool {
        is_blank(rest) && self.passing.is_none()
    }

    fn cut_any(&mut self, read: &mut BytesMut) -> Option<TcpMessage> {
        let Some(found) = find(&read[self.scanned..], &self.end) else {
            // The beginning of an end may be there already.
            self.scanned = read.len().saturating_sub(self.end.len() - 1);
            if self.passing.is_some() || self.scanned > self.bytes_max {
                self.pass(read, self.scanned);
            }
            return None;
        };
        let bytes = self.scanned + found;
        if self.passing.is_some() || bytes > self.bytes_max {
            self.pass(read, bytes);
            read.advance(self.end.len());
            return self.passing.take().map(|(head, bytes)| TcpMessage::TooLong { bytes, head });
        }
        let text = read.split_to(bytes);
        read.advance(self.end.len());
        self.scanned = 0;
        Some(TcpMessage::Whole(piece(text)))
    }

    /// Reads past the first `bytes`.
    fn pass(&mut self, read: &mut BytesMut, bytes: usize) {
        let read = read.split_to(bytes);
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
    use std::io;

    use super::*;
    use crate::local::framing::reader::{FrameReader, Framing};

    /// Hands out `given` in pieces of `piece` bytes, and reads to the end.
    async fn frames(
        given: &[u8],
        end: &'static str,
        piece: usize,
    ) -> (Vec<TcpMessage>, Option<io::ErrorKind>) {
        let (mut sender, receiver) = tokio::io::duplex(piece);
        let given = given.to_vec();
        let feed = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut sender, &given).await.unwrap();
        });
        let separated = Separated::new(4, Bytes::from_static(end.as_bytes()));
        let mut reader = FrameReader::new(receiver, Framing::Separator(separated));
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
        let whole = |text: &'static str| TcpMessage::Whole(Bytes::from_static(text.as_bytes()));
        let long = |text: &'static str| TcpMessage::TooLong {
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

    /// Keeps one byte of the beginning, since its length depends on how it came; the first byte and the length do not.
    fn first_of(frame: TcpMessage) -> TcpMessage {
        match frame {
            TcpMessage::TooLong { bytes, head } => TcpMessage::TooLong { bytes, head: head.slice(..1) },
            whole => whole,
        }
    }
}
