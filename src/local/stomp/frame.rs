//! Frames of STOMP 1.2 as bytes: a command, headers with escapes, and a body of a given length or up to a NUL. End-of-line
//! bytes between frames are heartbeats. Which frame means what is not known here.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use crate::limits::{STOMP_BODY_BYTES_MAX, STOMP_HEAD_BYTES_MAX};

/// A frame of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StompFrame {
    pub command: String,
    /// Of headers with one name, the first counts.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameFault {
    #[error("a frame with a head of more than {STOMP_HEAD_BYTES_MAX} bytes")]
    LongHead,
    #[error("a frame with a body of more than {STOMP_BODY_BYTES_MAX} bytes")]
    LongBody,
    #[error("a frame whose head is not UTF-8")]
    NotUtf8,
    #[error("a frame with a line that is no header")]
    NoHeader,
    #[error("a frame with an unknown escape")]
    Escape,
    #[error("a frame with a content-length that is no number")]
    Length,
    #[error("a frame whose body does not end with a NUL at its content-length")]
    NoEnd,
}

impl StompFrame {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Takes the first frame from `read`; `None` if it is not all there. Heartbeats before it are dropped.
    ///
    /// # Errors
    /// [`FrameFault`]: nothing after it can be read.
    pub fn decode(read: &mut BytesMut) -> Result<Option<Self>, FrameFault> {
        let beats = read.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        read.advance(beats);
        let Some((head_end, body_at)) = end_of_head(read) else {
            return if read.len() > STOMP_HEAD_BYTES_MAX { Err(FrameFault::LongHead) } else { Ok(None) };
        };
        if head_end > STOMP_HEAD_BYTES_MAX {
            return Err(FrameFault::LongHead);
        }
        let (command, headers) = read_head(&read[..head_end])?;
        let given = headers.iter().find(|(name, _)| name == "content-length");
        let length = match given {
            Some((_, text)) => Some(text.trim().parse::<u64>().map_err(|_| FrameFault::Length)?),
            None => None,
        };
        let there = &read[body_at..];
        let bytes = match length {
            Some(length) if length > STOMP_BODY_BYTES_MAX as u64 => return Err(FrameFault::LongBody),
            // Within usize, by the check before.
            Some(length) => length as usize,
            None => match there.iter().position(|byte| *byte == 0) {
                Some(end) => end,
                None if there.len() > STOMP_BODY_BYTES_MAX => return Err(FrameFault::LongBody),
                None => return Ok(None),
            },
        };
        match there.get(bytes) {
            None => return Ok(None),
            Some(0) => {}
            Some(_) => return Err(FrameFault::NoEnd),
        }
        read.advance(body_at);
        let body = read.split_to(bytes).freeze();
        read.advance(1);
        Ok(Some(Self { command, headers, body }))
    }
}

/// Returns the end of the head, and the beginning of the body after the empty line.
fn end_of_head(read: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = read[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at) {
        match &read[at + 1..] {
            [b'\n', ..] => return Some((at, at + 2)),
            [b'\r', b'\n', ..] => return Some((at, at + 3)),
            _ => from = at + 1,
        }
        if from > STOMP_HEAD_BYTES_MAX {
            break;
        }
    }
    None
}

type FrameHead = (String, Vec<(String, String)>);

fn read_head(head: &[u8]) -> Result<FrameHead, FrameFault> {
    let text = std::str::from_utf8(head).map_err(|_| FrameFault::NotUtf8)?;
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let command = lines.next().unwrap_or_default().to_owned();
    // The frame of the handshake has no escapes, for older clients.
    let escapes = command != "CONNECTED";
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(FrameFault::NoHeader)?;
        match escapes {
            true => headers.push((unescaped(name)?, unescaped(value)?)),
            false => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok((command, headers))
}

fn unescaped(text: &str) -> Result<String, FrameFault> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next() {
                Some('r') => '\r',
                Some('n') => '\n',
                Some('c') => ':',
                Some('\\') => '\\',
                _ => return Err(FrameFault::Escape),
            },
            other => other,
        });
    }
    Ok(out)
}

/// Returns the bytes of a frame without a body. `CONNECT` has no escapes: a value with an end of line is cut there.
pub(crate) fn encode(command: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!("{command}\n");
    for (name, value) in headers {
        out.push_str(name);
        out.push(':');
        match command {
            "CONNECT" => out.push_str(value.split(['\n', '\r', '\0']).next().unwrap_or_default()),
            _ => value.chars().for_each(|char| match char {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                ':' => out.push_str("\\c"),
                '\0' => {}
                other => out.push(other),
            }),
        }
        out.push('\n');
    }
    out.push_str("\n\0");
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<StompFrame>, FrameFault> {
        let mut read = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = StompFrame::decode(&mut read)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_one_after_the_other() {
        let bytes = b"\n\r\nMESSAGE\r\nack:a\\cb\r\ncontent-length:3\r\n\r\na\0b\0\n\nMESSAGE\nx:1\nx:2\n\n{}\0RECEIPT\nreceipt-id:s";
        let frames = decoded(bytes).unwrap();
        assert_eq!(frames.len(), 2, "the third is not all there");
        assert_eq!((frames[0].header("ack"), &frames[0].body[..]), (Some("a:b"), &b"a\0b"[..]));
        assert_eq!((frames[1].header("x"), &frames[1].body[..]), (Some("1"), &b"{}"[..]));
        for cut in 0..bytes.len() {
            assert!(decoded(&bytes[..cut]).is_ok(), "{cut}");
        }
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let headers = [("id", "a:b\\c\nd"), ("destination", "/exchange/org/*.*.*.*")];
        let frame = &decoded(&encode("SUBSCRIBE", &headers)).unwrap()[0];
        let read: Vec<_> = frame.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!((frame.command.as_str(), read), ("SUBSCRIBE", headers.to_vec()));
        let connect = encode("CONNECT", &[("login", "a:b\nlogin:root")]);
        assert_eq!(connect, b"CONNECT\nlogin:a:b\n\n\0", "no header comes in through a value");
    }

    #[test]
    fn bytes_that_are_no_frame_say_why() {
        for (bytes, fault) in [
            (&b"MESSAGE\nno colon\n\n\0"[..], FrameFault::NoHeader),
            (b"MESSAGE\na:\\t\n\n\0", FrameFault::Escape),
            (b"MESSAGE\ncontent-length:-1\n\n\0", FrameFault::Length),
            (b"MESSAGE\ncontent-length:1\n\nab\0", FrameFault::NoEnd),
            (b"MESSAGE\ncontent-length:99999999999\n\n", FrameFault::LongBody),
            (b"MESSAGE\na:\xff\n\n\0", FrameFault::NotUtf8),
            (&[b'a'; STOMP_HEAD_BYTES_MAX + 1], FrameFault::LongHead),
        ] {
            assert_eq!(decoded(bytes).unwrap_err(), fault, "{}", String::from_utf8_lossy(&bytes[..9]));
        }
    }
}
