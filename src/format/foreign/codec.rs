//! Decodes and encodes one message whole: strict JSON before it, and a check of each event after it. A message that
//! fails anywhere gives nothing.

use super::{
    DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent,
    foreign_format,
};
use crate::event::check_body;
use crate::event::json::{self, JsonKind};
use crate::format::label::EventLabel;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::{EXPLODED_BYTES_MAX, JSON_DEPTH_MAX, LINE_BYTES_MAX};

/// Decodes the text of one message.
///
/// # Errors
/// [`SubmitError`] with the code of the format, of JSON, or of the events that it would become.
pub fn decode_text(format: &dyn ForeignFormat, text: &str) -> Result<DecodedMessage, SubmitError> {
    if text.len() > LINE_BYTES_MAX {
        return Err(SubmitError::line_too_large());
    }
    let message = read_object(&format.readable(text))?;
    let mut decoded = format.decode(&message)?;
    let mut labels = Vec::new();
    format.labels(&message, &mut labels);
    // A format that labels each of its events says nothing about all of them here.
    if decoded.events.iter().all(|event| event.label.is_none()) {
        decoded.label = labels.into_iter().reduce(EventLabel::stricter);
    }
    let mut bytes = 0;
    for event in &decoded.events {
        let text = text_of(&event.payload);
        check_body(text.as_bytes())?;
        bytes += text.len();
    }
    if bytes > EXPLODED_BYTES_MAX {
        let what = format!(
            "{} events of {bytes} bytes in all, at most {EXPLODED_BYTES_MAX} bytes of one message",
            decoded.events.len()
        );
        return Err(
            SubmitError::new(SubmitCode::MultiValue, what).hint("send fewer addresses in one message")
        );
    }
    Ok(decoded)
}

/// Checks a body that is carried as it came, at a door that knows its format.
///
/// # Errors
/// [`SubmitError`] with the code of the format, if the body breaks its rules.
pub fn check_message(format: &dyn ForeignFormat, text: &str) -> Result<(), SubmitError> {
    // It is JSON. Numbers that cannot be converted are carried all the same, and so are messages with many addresses.
    let Ok(message) = serde_json::from_str::<JsonObject>(text) else { return Ok(()) };
    match format.decode(&message) {
        Err(fault) if fault.code == format.code() => Err(fault),
        _ => Ok(()),
    }
}

/// Checks a body that is carried as it came and may be a fragment of a message.
///
/// # Errors
/// The same as [`check_message`], if the body has all that a message needs.
pub fn check_fragment(format: &dyn ForeignFormat, text: &str) -> Result<(), SubmitError> {
    let complete = serde_json::from_str(text).is_ok_and(|message| format.is_complete(&message));
    if complete { check_message(format, text) } else { Ok(()) }
}

/// Returns the flat events of a carried body, for filters.
pub fn carried_events(format: &str, body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let decoded = decode_text(foreign_format(format)?, std::str::from_utf8(body).ok()?).ok()?;
    Some(decoded.events.iter().map(|event| text_of(&event.payload).into_bytes()).collect())
}

/// Encodes one event.
///
/// # Errors
/// [`NotSent`] if the format has no message for it, or one beyond the limit of a line.
pub fn encode_event(
    format: &dyn ForeignFormat,
    event: &EventView<'_>,
    options: &EncodeOptions,
) -> Result<EncodedMessage, NotSent> {
    let encoded = format.encode(event, options)?;
    match check_body(text_of(&encoded.message).as_bytes()) {
        Ok(_) => Ok(encoded),
        Err(fault) => Err(NotSent(format!("the message would be invalid: {fault}"))),
    }
}

/// Reads one object as every reader would.
pub(super) fn read_object(text: &str) -> Result<JsonObject, SubmitError> {
    let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
    if scan.kind != JsonKind::Object {
        return Err(SubmitError::new(SubmitCode::NotObject, "not a JSON object"));
    }
    serde_json::from_str(text).map_err(|fault| {
        SubmitError::new(SubmitCode::BadNumber, format!("a number that cannot be converted: {fault}"))
            .hint("carry the message as it is, without converting it")
    })
}

/// Returns the text of an object, on one line.
pub(super) fn text_of(object: &JsonObject) -> String {
    // Maps with keys of text can always be written.
    serde_json::to_string(object).unwrap_or_default()
}
