//! IDEA0 of CESNET's Warden and Mentat. `decode` and `encode` map messages, `sides` takes sources and targets apart,
//! `table` has the names.

mod decode;
mod encode;
mod networks;
mod sides;
pub(super) mod syntax;
pub(super) mod table;

use serde_json::Value;
use uuid::Uuid;

use super::{DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent};
use crate::format::event_label::EventLabel;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::policy::Tlp;

/// The format `idea`.
pub(super) struct IdeaFormat;

impl ForeignFormat for IdeaFormat {
    fn name(&self) -> &'static str {
        "idea"
    }

    fn code(&self) -> SubmitCode {
        SubmitCode::BadIdea
    }

    fn is_complete(&self, message: &JsonObject) -> bool {
        ["Format", "ID", "DetectTime", "Category"].iter().all(|key| message.contains_key(*key))
    }

    fn labels(&self, message: &JsonObject, found: &mut Vec<EventLabel>) {
        for (_, value) in message.iter().filter(|(key, _)| key.eq_ignore_ascii_case("tlp")) {
            match value.as_str().map(|text| (text, read_label(text))) {
                Some((_, Some(tlp))) => found.push(tlp.into()),
                Some((text, None)) => found.push(EventLabel::unread(text, "TLP of the message")),
                None if value.is_null() => {}
                None => found.push(EventLabel::unread(&value.to_string(), "TLP of the message")),
            }
        }
    }

    fn label_member(&self, tlp: Tlp) -> Option<(&'static str, &'static str)> {
        Some(("TLP", written_label(tlp)))
    }

    fn decode(&self, message: &JsonObject) -> Result<DecodedMessage, SubmitError> {
        decode::decode(message)
    }

    fn encode(&self, event: &EventView<'_>, options: &EncodeOptions) -> Result<EncodedMessage, NotSent> {
        Ok(encode::encode(event, options))
    }
}

/// Mentat writes the strict label with a dash.
fn read_label(text: &str) -> Option<Tlp> {
    let plain = text.trim().to_ascii_uppercase();
    if plain.strip_prefix("TLP:").unwrap_or(&plain) == "AMBER-STRICT" {
        return Some(Tlp::AmberStrict);
    }
    Tlp::parse(text)
}

fn written_label(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::AmberStrict => "AMBER-STRICT",
        other => other.as_str(),
    }
}

/// Returns the UUID of a message by its ID, which need not be one.
fn uuid_of(id: &str) -> Uuid {
    crate::identity::parse_uuid(id).unwrap_or_else(|_| {
        let names = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://idea.cesnet.cz/");
        Uuid::new_v5(&names, id.as_bytes())
    })
}

/// Returns the string of each element that is one.
fn strings(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
