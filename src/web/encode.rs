//! The last steps of an answer: its coding (gzip or zstd, as the client accepts), its entity tag, and a body that counts
//! as held memory until it is written.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// Shorter bodies are sent as they are, in bytes.
const ENCODE_MIN_BYTES: usize = 1024;
/// A body is handed to the connection in pieces of this size: what waits to be written stays counted.
const PIECE_BYTES: usize = 64 * 1024;
const ZSTD_LEVEL: i32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// Returns the best coding that the client accepts, for a body of `len` bytes.
    pub(crate) fn accepted(headers: &HeaderMap, len: usize) -> Self {
        if len < ENCODE_MIN_BYTES {
            return Self::Identity;
        }
        let given = headers.get_all(header::ACCEPT_ENCODING);
        let accepts = |name: &str| {
            let given = given.iter().filter_map(|value| value.to_str().ok());
            given.flat_map(|value| value.split(',')).any(|one| {
                let mut parts = one.split(';').map(str::trim);
                let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                let refused = |weight: &str| {
                    let weight = weight.strip_prefix("q=").or(weight.strip_prefix("Q="));
                    weight.is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
                };
                named && !parts.any(refused)
            })
        };
        match () {
            () if accepts("zstd") => Self::Zstd,
            () if accepts("gzip") => Self::Gzip,
            () => Self::Identity,
        }
    }

    pub(crate) const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Encodes a whole body. Takes up to 0.1 s for the largest: call it where it may block.
    pub(crate) fn encode(self, body: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(body),
            Self::Zstd => zstd::bulk::compress(&body, ZSTD_LEVEL),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&body)?;
                encoder.finish()
            }
        }
    }

    /// Returns the strong entity tag of this coding of `body`.
    pub(crate) fn entity_tag(self, body: &[u8]) -> String {
        let digest = Sha256::digest(body);
        let hex = data_encoding::HEXLOWER.encode(&digest[..16]);
        format!("\"{hex}{}\"", self.as_str().map(|name| format!("-{name}")).unwrap_or_default())
    }
}

/// Returns true if the client has this version already (RFC 9110 §13.1.2).
pub(super) fn is_had(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = given.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// Sets a header from text that was made here.
pub(super) fn set(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// A body that keeps `held` (places in semaphores) until the last piece is taken, or the connection is gone.
pub(super) struct HeldBody<H> {
    rest: Bytes,
    _held: H,
}

impl<H: Send + Unpin + 'static> HeldBody<H> {
    pub(crate) fn body(bytes: Vec<u8>, held: H) -> Body {
        Body::new(Self { rest: bytes.into(), _held: held })
    }
}

impl<H: Unpin> HttpBody for HeldBody<H> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = PIECE_BYTES.min(self.rest.len());
        let piece = self.rest.split_to(piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coding_follows_the_client() {
        for (given, want) in [
            ("", Coding::Identity),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip;q=1.0, *;q=0", Coding::Gzip),
            ("zstd;q=0, GZIP", Coding::Gzip),
            ("gzip; q=0", Coding::Identity),
            ("br", Coding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            set(&mut headers, header::ACCEPT_ENCODING, given);
            assert_eq!(Coding::accepted(&headers, ENCODE_MIN_BYTES), want, "{given}");
            assert_eq!(Coding::accepted(&headers, 1), Coding::Identity, "{given}");
        }
    }

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        let body = b"line\n".repeat(1_000);
        let tags = [Coding::Identity, Coding::Gzip, Coding::Zstd].map(|coding| coding.entity_tag(&body));
        assert!(tags[0] != tags[1] && tags[1] != tags[2]);
        let mut headers = HeaderMap::new();
        set(&mut headers, header::IF_NONE_MATCH, &format!("\"x\", {}", tags[1]));
        assert!(is_had(&headers, &tags[1]) && !is_had(&headers, &tags[2]));
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert!(coding.encode(body.clone()).unwrap().len() < body.len() / 10);
        }
    }
}
