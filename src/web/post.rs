//! `POST /v1/events`: lines in, one answer for each, by the same way as at `run/in.sock`. The answer comes once every
//! event is durable. Ids are made of bodies, so that a request whose answer was lost can be repeated.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::clients::ClientHandle;
use super::problem::Problem;
use super::{RequestPlace, WebState};
use crate::clock;
use crate::config::ClientFile;
use crate::limits::{POST_BYTES_MAX, POST_LINES_MAX};
use crate::local::{ClientAnswer, ClientSubmitter};

/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// How the events of a body stand in it, and the answers in theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostForm {
    Lines,
    One,
    List,
}

pub(super) async fn submit(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    Extension(_place): Extension<RequestPlace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    if !file.accept {
        return Err(Problem::forbidden(format!("client \"{}\" may not post", client.name))
            .hint("its file says [receive] accept = false"));
    }
    let is_json = is_json(&headers)?;
    let len = content_length(&headers)?;
    let _room = web.room.hold(&client.activity, len.unwrap_or(POST_BYTES_MAX) * 2).await?;
    let body = collect(body).await?;
    let (form, events) = web.room.work(move || split(&body, is_json)).await?;
    client
        .activity
        .spend(&file, events.len(), clock::now())
        .map_err(|wait_s| Problem::rate_limited("the client's rate is used up", wait_s))?;
    let submitter = submitter(&web, &file);
    let answers = submitter.submit(events).await.ok_or_else(Problem::stopping)?;
    let refused = answers.iter().filter(|answer| answer.error.is_some()).count() as u64;
    client.activity.count_posted(answers.len() as u64 - refused, refused);
    answered(form, answers)
}

/// Returns the way in for one client: what it posts is this node's, and says who posted it.
fn submitter(web: &WebState, file: &ClientFile) -> ClientSubmitter {
    web.services.door.submitter(&web.services.defaults.load(), &file.name, file.receive.filter.clone())
}

/// Returns true for `application/json`, false for lines.
pub(super) fn is_json(headers: &HeaderMap) -> Result<bool, Problem> {
    let unsupported = |what: String| {
        let detail = format!("{what}: expected application/x-ndjson or application/json");
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", detail)
    };
    if let Some(coding) = headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        return Err(unsupported(format!("content encoding {coding:?} is not taken")));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(true),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(false),
        "" => Err(unsupported("there is no Content-Type".to_owned())),
        other => Err(unsupported(format!("content type \"{other:.80}\" is not taken"))),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(given) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    match given.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(len) if len <= POST_BYTES_MAX => Ok(Some(len)),
        Some(len) => Err(beyond(len)),
        None => Err(Problem::bad("invalid Content-Length: expected a number of bytes")),
    }
}

fn beyond(len: usize) -> Problem {
    Problem::too_large(format!("a body of {len} bytes: expected at most {POST_BYTES_MAX}"))
        .hint("send the lines in several requests")
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(body, POST_BYTES_MAX)).await;
    let late = || {
        let detail = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "bad_request", detail)
    };
    read.map_err(|_| late())?.map_err(|error| {
        let too_long = std::error::Error::source(&error).is_some_and(|source| source.is::<hyper::Error>());
        if too_long { Problem::bad("the body broke off") } else { beyond(POST_BYTES_MAX + 1) }
    })
}

/// Returns each event of a body as it stands there. Blank lines are no events.
pub(super) fn split(body: &Bytes, is_json: bool) -> Result<(PostForm, Vec<(u64, Bytes)>), Problem> {
    if !is_json {
        let lines = body.split(|byte| *byte == b'\n').zip(1..);
        let events: Vec<_> = lines
            .filter(|(line, _)| !line.iter().all(u8::is_ascii_whitespace))
            .map(|(line, number)| (number, body.slice_ref(line)))
            .take(POST_LINES_MAX + 1)
            .collect();
        return if events.len() > POST_LINES_MAX { Err(too_many()) } else { Ok((PostForm::Lines, events)) };
    }
    if body.trim_ascii_start().first() != Some(&b'[') {
        return Ok((PostForm::One, vec![(1, body.clone())]));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let items = EventList.deserialize(&mut reader).and_then(|items| reader.end().map(|()| items));
    let items = items.map_err(|error| match error.to_string().starts_with(TOO_MANY) {
        true => too_many(),
        false => Problem::new(StatusCode::BAD_REQUEST, "bad_json", format!("the body is no list: {error}")),
    })?;
    let events =
        items.into_iter().zip(1..).map(|(item, number)| (number, body.slice_ref(item.get().as_bytes())));
    Ok((PostForm::List, events.collect()))
}

const TOO_MANY: &str = "too many events";

fn too_many() -> Problem {
    Problem::too_large(format!("more than {POST_LINES_MAX} events")).hint("send them in several requests")
}

/// The items of a list, with a bound on their number: a list of a million zeros is small as text alone.
struct EventList;

impl<'de> DeserializeSeed<'de> for EventList {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventList {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(item) = items.next_element()? {
            if events.len() >= POST_LINES_MAX {
                return Err(A::Error::custom(TOO_MANY));
            }
            events.push(item);
        }
        Ok(events)
    }
}

/// Answers in the form of the request. One event alone that is refused is a failed request: a bot looks at the status.
fn answered(form: PostForm, answers: Vec<ClientAnswer>) -> Result<Response, Problem> {
    if let (PostForm::One, Some(error)) = (form, answers.first().and_then(|only| only.error.as_ref())) {
        return Err(Problem::from(error));
    }
    let mut body = Vec::new();
    if form == PostForm::List {
        body.push(b'[');
    }
    for (nth, answer) in answers.iter().enumerate() {
        if nth > 0 && form == PostForm::List {
            body.push(b',');
        }
        body.extend_from_slice(&answer.line);
        if form == PostForm::Lines {
            body.push(b'\n');
        }
    }
    if form == PostForm::List {
        body.push(b']');
    }
    let kind = if form == PostForm::Lines { "application/x-ndjson" } else { "application/json" };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events with their numbers, as text.
    type Texts = (PostForm, Vec<(u64, String)>);

    fn texts(body: &str, is_json: bool) -> Result<Texts, &'static str> {
        let read =
            split(&Bytes::copy_from_slice(body.as_bytes()), is_json).map_err(|problem| problem.code)?;
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((read.0, read.1.into_iter().map(|(number, bytes)| (number, text(bytes))).collect()))
    }

    #[test]
    fn events_keep_their_text_and_number() {
        let at = |number, text: &str| (number, text.to_owned());
        assert_eq!(
            texts("{\"a\":1e2}\n\n {}", false),
            Ok((PostForm::Lines, vec![at(1, "{\"a\":1e2}"), at(3, " {}")]))
        );
        assert_eq!(texts(" {\"a\": 1}\n", true), Ok((PostForm::One, vec![at(1, " {\"a\": 1}\n")])));
        assert_eq!(
            texts("[{\"a\" :1e2}, 3 ]", true),
            Ok((PostForm::List, vec![at(1, "{\"a\" :1e2}"), at(2, "3")]))
        );
        assert_eq!(texts("[]", true), Ok((PostForm::List, vec![])));
        for bad in ["[", "[{}", "[{}] x", "[{},]", "[nul]"] {
            assert_eq!(texts(bad, true), Err("bad_json"), "{bad}");
        }
        let zeros = format!("[{}0]", "0,".repeat(POST_LINES_MAX));
        assert_eq!(texts(&zeros, true), Err("too_large"));
        assert_eq!(texts(&"{}\n".repeat(POST_LINES_MAX + 1), false), Err("too_large"));
    }
}
