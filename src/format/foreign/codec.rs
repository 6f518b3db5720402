//! Reads, decodes and encodes one message whole: strict JSON before it, and a check of each event after it. A message
//! that fails anywhere gives nothing.

use super::decoded::check_links;
use super::{
    DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent, text_of,
};
use crate::event::check_body;
use crate::event::json::{self, JsonKind, JsonRead, JsonScan};
use crate::format::event_label::EventLabel;
use crate::format::label::LabelPayload;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX, MESSAGE_VALUES_MAX};

/// A body of another format, read once.
pub(crate) struct ForeignMessage {
    format: &'static dyn ForeignFormat,
    /// `None` if it has too many values.
    members: Option<JsonObject>,
    odd_number: Option<String>,
    /// Labels in the places that all formats share.
    plain_labels: Vec<EventLabel>,
}

impl ForeignMessage {
    /// Reads the text of one message. Messages that cannot be decoded are read too, for their labels.
    ///
    /// # Errors
    /// [`SubmitError`] with a code of JSON.
    pub(crate) fn read(format: &'static dyn ForeignFormat, text: &str) -> Result<Self, SubmitError> {
        if text.len() > LINE_BYTES_MAX {
            return Err(SubmitError::line_too_large());
        }
        let text = format.readable(text);
        let scan = scan_object(&text)?;
        let (members, odd_number) = match json::value_of(&text) {
            Some(read) => (read.value.as_object().cloned(), read.odd_number),
            None => (None, None),
        };
        let mut message = Self { format, members, odd_number, plain_labels: Vec::new() };
        let mut found = Vec::new();
        LabelPayload { text: &text, members: &scan.members, explodes: false, message: Some(&message) }
            .plain_labels(&mut found);
        message.plain_labels = found;
        Ok(message)
    }

    pub(crate) fn format(&self) -> &'static dyn ForeignFormat {
        self.format
    }

    /// Returns true if it has all members that a message needs: `run/in.sock` carries fragments unread.
    pub(crate) fn is_complete(&self) -> bool {
        self.members.as_ref().is_some_and(|members| self.format.is_complete(members))
    }

    /// Adds the labels in all places.
    pub(crate) fn labels(&self, found: &mut Vec<EventLabel>) {
        found.extend(self.plain_labels.iter().cloned());
        match &self.members {
            Some(members) => self.format.labels(members, found),
            None => found.push(EventLabel::unread(&too_many_values(), "the payload")),
        }
    }

    /// Returns the strictest label in the places of its format.
    pub(crate) fn own_label(&self) -> Option<EventLabel> {
        let mut found = Vec::new();
        self.members.iter().for_each(|members| self.format.labels(members, &mut found));
        EventLabel::strictest(found)
    }

    /// Returns its events, and the label of all of them.
    ///
    /// # Errors
    /// [`SubmitError`] with the code of the format, of JSON, or of the events that it would become.
    pub(crate) fn decode(&self) -> Result<DecodedMessage, SubmitError> {
        if let Some(number) = &self.odd_number {
            return Err(odd(number));
        }
        let Some(members) = &self.members else {
            return Err(SubmitError::new(SubmitCode::MultiValue, too_many_values())
                .hint("send fewer values in one message"));
        };
        let mut decoded = self.format.decode(members)?;
        check_links(&decoded.links)?;
        let labels = decoded.label.take().into_iter().chain(self.plain_labels.iter().cloned());
        decoded.label = EventLabel::strictest(labels);
        Ok(decoded)
    }
}

/// Decodes the text of one message.
///
/// # Errors
/// [`SubmitError`] with the code of the format, of JSON, or of the events that it would become.
pub(crate) fn decode_text(
    format: &'static dyn ForeignFormat,
    text: &str,
) -> Result<DecodedMessage, SubmitError> {
    ForeignMessage::read(format, text)?.decode()
}

/// Encodes one event.
///
/// # Errors
/// [`NotSent`] if the format has no message for it, or one beyond the limit of a line.
pub(crate) fn encode_event(
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
    scan_object(text)?;
    match json::value_of(text) {
        Some(JsonRead { odd_number: Some(number), .. }) => Err(odd(&number)),
        Some(JsonRead { value: serde_json::Value::Object(members), .. }) => Ok(members),
        Some(_) => Err(not_an_object()),
        None => Err(SubmitError::new(SubmitCode::MultiValue, too_many_values())),
    }
}

fn scan_object(text: &str) -> Result<JsonScan<'_>, SubmitError> {
    let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
    if scan.kind == JsonKind::Object { Ok(scan) } else { Err(not_an_object()) }
}

fn not_an_object() -> SubmitError {
    SubmitError::new(SubmitCode::NotObject, "not a JSON object")
}

fn odd(number: &str) -> SubmitError {
    let shown: String = number.chars().take(60).collect();
    SubmitError::new(SubmitCode::BadNumber, format!("{shown}: expected a number that a double holds"))
        .hint("carry the message as it is, without converting it")
}

fn too_many_values() -> String {
    format!("more than {MESSAGE_VALUES_MAX} values")
}
