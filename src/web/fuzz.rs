//! For tests alone: everything of a request that is read here and not by hyper, from the same bytes.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use bytes::Bytes;

use super::cursor::StartPlace;
use super::encode::{Coding, is_had};
use super::query::ReadQuery;
use super::{guard, post};

/// Reads the first line of `input` as the target of a request and as each header, and the rest as its body.
///
/// # Panics
/// A query or a cursor comes out otherwise than it went in, or an event is no part of its body.
pub fn read_request(input: &[u8]) {
    let (line, body) = match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b""[..]),
    };
    if let Ok(text) = std::str::from_utf8(line) {
        target(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers(&value);
    }
    let body = Bytes::copy_from_slice(body);
    for is_json in [false, true] {
        let Ok((_, events)) = post::split(&body, is_json) else { continue };
        let held: usize = events.iter().map(|(_, event)| event.len()).sum();
        assert!(held <= body.len(), "bug: events of {held} bytes in a body of {}", body.len());
    }
}

fn target(text: &str) {
    if let Some(StartPlace::Cursor(cursor)) = StartPlace::parse(text) {
        let again = StartPlace::parse(&cursor.to_string());
        assert_eq!(again, Some(StartPlace::Cursor(cursor)), "bug: a cursor comes out otherwise");
    }
    let Some(query) = text.parse::<Uri>().ok().and_then(|uri| ReadQuery::parse(&uri).ok()) else { return };
    let next = query.next("now");
    let again = next.parse().ok().and_then(|uri| ReadQuery::parse(&uri).ok());
    let next_of_next = again.map(|again| again.next("now"));
    assert_eq!(next_of_next, Some(next), "bug: the link to the next page asks for something else");
}

fn headers(value: &HeaderValue) {
    let names = [header::AUTHORIZATION, header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::CONTENT_TYPE];
    let headers: HeaderMap = names.into_iter().map(|name| (name, value.clone())).collect();
    let _ = guard::bearer(&headers);
    let _ = Coding::accepted(&headers, usize::MAX);
    let _ = is_had(&headers, "\"x\"");
    let _ = post::is_json(&headers);
}
