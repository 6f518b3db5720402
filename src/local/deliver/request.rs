//! Reads the lines of a consumer on `out.sock`: its request, which is the first line, and then its acknowledgements
//! (CONTRACT.md §3). The core decides who may have a name, and from which entry a consumer resumes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::filter::{Filter, FilterFault, FilterLists};
use crate::format::foreign::{BodyFormat, NotConverted};
use crate::format::{DeliveryForm, HandOff};
use crate::limits::CONSUMER_LINE_BYTES_MAX;
use crate::local::framing::SocketLine;
use crate::protocol::io::{ConsumerRequest, StartPosition};
use crate::record::{ConsumerName, Entry};

/// Why a consumer is turned away: one line, then the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RequestRefused {
    pub error: String,
    pub code: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

impl RequestRefused {
    pub(crate) fn new(code: &'static str, error: impl Into<String>) -> Self {
        Self { error: error.into(), code, retry: false }
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::new("bad_request", error)
    }

    pub(crate) fn busy(name: Option<&ConsumerName>) -> Self {
        let name = name.map(ConsumerName::to_string).unwrap_or_default();
        Self::new("busy", format!("consumer \"{name}\" is in use"))
    }

    pub(crate) fn stopping() -> Self {
        Self { retry: true, ..Self::new("stopping", "the node is stopping") }
    }
}

/// Returns a line that is not an event. No event begins with a blank, and in form `plain` nothing else tells them apart.
pub(crate) fn told(line: &impl Serialize) -> Vec<u8> {
    let mut text = vec![b' '];
    // Objects with keys of text can always be written.
    let _ = serde_json::to_writer(&mut text, line);
    text.push(b'\n');
    text
}

/// Returns the first line of a consumer that named a place and has a position already.
pub(crate) fn from_ignored(name: Option<&ConsumerName>, position: u64) -> Vec<u8> {
    let name = name.map(ConsumerName::to_string).unwrap_or_default();
    let notice = format!(
        "\"from\" is ignored: consumer \"{name}\" has a position and goes on after seq {position}; \
         to move it: intelmesh consumer rewind {name} --to PLACE"
    );
    told(&serde_json::json!({"notice": notice, "code": "from_ignored", "position": position}))
}

/// Returns the notice in the place of an event that has no form in the format that the consumer asked for.
pub(crate) fn not_converted(entry: &Entry, fault: &NotConverted) -> Vec<u8> {
    let id = entry.envelope.id().to_string();
    tracing::warn!(%id, code = fault.code, "not converted for a consumer: {}", fault.why);
    told(&serde_json::json!({
        "notice": format!("{id} is left out: {}", fault.why), "code": fault.code, "seq": entry.seq, "id": id,
    }))
}

/// A request as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    consumer: Option<String>,
    from: Option<Value>,
    filter: Option<String>,
    form: Option<String>,
    format: Option<String>,
    #[serde(rename = "type")]
    with_type: Option<bool>,
    own: Option<bool>,
    ack: Option<bool>,
}

/// Reads the first line.
///
/// # Errors
/// [`RequestRefused`], to be answered.
pub(crate) fn parse_request(
    line: &SocketLine,
    lists: &dyn FilterLists,
) -> Result<(ConsumerRequest, HandOff), RequestRefused> {
    let text = text_of(line)?;
    if text.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(RequestRefused::bad("the first line is no request: not an object"));
    }
    let typed: Typed = serde_json::from_slice(text)
        .map_err(|fault| RequestRefused::bad(format!("the first line is no request: {fault}")))?;
    let filter =
        typed.filter.map(|source| Filter::compile(&source, lists)).transpose().map_err(bad_filter)?;
    let name = match &typed.consumer {
        None => None,
        Some(name) => {
            Some(ConsumerName::parse(name).map_err(|fault| RequestRefused::bad(fault.to_string()))?)
        }
    };
    let form = match typed.form.as_deref() {
        None => DeliveryForm::default(),
        Some(form) => DeliveryForm::parse(form).ok_or_else(|| {
            RequestRefused::bad(format!("\"form\": \"{form:.40}\" is not iep04, plain or ail"))
        })?,
    };
    let format = match typed.format.as_deref() {
        None => None,
        Some(format) => Some(BodyFormat::parse(format).ok_or_else(|| {
            RequestRefused::bad(format!("\"format\": \"{format:.40}\" is not intelmq, idea or n6"))
        })?),
    };
    let request = ConsumerRequest {
        acks: typed.ack.unwrap_or(name.is_some()),
        name,
        from: typed.from.as_ref().map(parse_from).transpose()?,
        own: typed.own.unwrap_or(false),
        filter: filter.map(Arc::new),
    };
    Ok((request, HandOff { form, format, with_type: typed.with_type.unwrap_or(false) }))
}

fn bad_filter(fault: FilterFault) -> RequestRefused {
    let hint = fault.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    RequestRefused::new("bad_filter", format!("\"filter\":{}:{}: {fault}{hint}", fault.line, fault.column))
}

fn parse_from(value: &Value) -> Result<StartPosition, RequestRefused> {
    let from = match value {
        Value::String(text) => StartPosition::parse(text),
        Value::Number(number) => number.as_u64().map(StartPosition::Seq),
        _ => None,
    };
    from.ok_or_else(|| {
        RequestRefused::bad("\"from\" is not \"earliest\", \"now\", a seq or an RFC 3339 time")
    })
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AckRequest {
    /// All up to this seq.
    #[serde(rename = "ack")]
    Seq(u64),
    /// The first lines of this connection, by their number.
    #[serde(rename = "ack_lines")]
    Lines(u64),
}

/// Reads a later line; `None` for a blank one.
///
/// # Errors
/// [`RequestRefused`]: the connection ends.
pub(crate) fn parse_ack(line: &SocketLine) -> Result<Option<AckRequest>, RequestRefused> {
    if line.is_blank() {
        return Ok(None);
    }
    serde_json::from_slice(text_of(line)?)
        .map(Some)
        .map_err(|_| RequestRefused::bad("not an acknowledgement: {\"ack\":SEQ} or {\"ack_lines\":N}"))
}

fn text_of(line: &SocketLine) -> Result<&[u8], RequestRefused> {
    match line {
        SocketLine::Text(text) => Ok(text),
        SocketLine::TooLong => {
            Err(RequestRefused::bad(format!("a line of more than {CONSUMER_LINE_BYTES_MAX} bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::NoLists;
    use crate::time::Timestamp;

    fn line(text: &str) -> SocketLine {
        SocketLine::Text(bytes::Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn requests_are_read_and_bad_ones_named() {
        for (text, want) in [
            ("{}", Ok((None, None, false, false))),
            ("{\"consumer\":\"soc\"}", Ok((Some("soc"), None, false, true))),
            ("{\"consumer\":\"soc\",\"ack\":false,\"own\":true}", Ok((Some("soc"), None, true, false))),
            (
                "{\"from\":\"earliest\",\"form\":\"plain\",\"type\":true}",
                Ok((None, Some(StartPosition::Earliest), false, false)),
            ),
            ("{\"from\":17}", Ok((None, Some(StartPosition::Seq(17)), false, false))),
            (
                "{\"from\":\"1970-01-01T00:00:01Z\",\"filter\":null}",
                Ok((None, Some(StartPosition::Time(Timestamp(1_000))), false, false)),
            ),
            ("{\"filter\":\"meta.tlp == 'RED'\"}", Ok((None, None, false, false))),
            ("{\"filter\":\"evnt == 1\"}", Err("bad_filter")),
            ("{\"filter\":true}", Err("bad_request")),
            ("{\"from\":-1}", Err("bad_request")),
            ("{\"from\":\"yesterday\"}", Err("bad_request")),
            ("{\"consumer\":\"So C\"}", Err("bad_request")),
            ("{\"consumr\":\"soc\"}", Err("bad_request")),
            ("{\"form\":\"xml\"}", Err("bad_request")),
            ("{\"format\":\"idea\"}", Ok((None, None, false, false))),
            ("{\"format\":\"misp\"}", Err("bad_request")),
            ("{\"own\":1}", Err("bad_request")),
            ("[]", Err("bad_request")),
            ("[\"soc\",null,null,null,null,null,null]", Err("bad_request")),
            ("", Err("bad_request")),
            ("{", Err("bad_request")),
        ] {
            let read = parse_request(&line(text), &NoLists);
            let read = read.as_ref().map(|(request, _)| {
                let name = request.name.as_ref().map(ConsumerName::as_str);
                (name, request.from, request.own, request.acks)
            });
            assert_eq!(read.map_err(|refused| refused.code), want, "{text}");
        }
        assert_eq!(parse_request(&SocketLine::TooLong, &NoLists).unwrap_err().code, "bad_request");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_its_place_and_what_to_do() {
        let refused = parse_request(&line("{\"filter\":\"metta.tlp == 'RED'\"}"), &NoLists).unwrap_err();
        assert_eq!(refused.error, "\"filter\":1:1: unknown name \"metta\"; did you mean \"meta\"?");
    }

    #[test]
    fn acks_are_read_and_anything_else_is_an_error() {
        for (text, want) in [
            ("{\"ack\":17}", Ok(Some(AckRequest::Seq(17)))),
            ("{\"ack_lines\":3}", Ok(Some(AckRequest::Lines(3)))),
            (" ", Ok(None)),
            ("{\"ack\":-1}", Err(())),
            ("{\"ack\":1,\"ack_lines\":1}", Err(())),
            ("ok", Err(())),
        ] {
            assert_eq!(parse_ack(&line(text)).map_err(|_| ()), want, "{text}");
        }
    }
}
