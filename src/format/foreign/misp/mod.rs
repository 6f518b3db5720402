//! The core format of MISP: events with objects of the template `intelmq_event`, and loose attributes. `decode` and
//! `encode` map messages, `parts` takes one apart, `table` has the names.

mod decode;
mod encode;
#[cfg(feature = "node")]
pub(crate) mod feed;
mod labels;
mod parts;
mod table;

pub(crate) use parts::{MispPart, take_apart};

use serde_json::Value;
use uuid::Uuid;

use super::{DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent};
use crate::format::event_label::EventLabel;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::policy::Tlp;

/// The format `misp`.
pub(super) struct MispFormat;

impl ForeignFormat for MispFormat {
    fn name(&self) -> &'static str {
        "misp"
    }

    fn code(&self) -> SubmitCode {
        SubmitCode::BadMisp
    }

    fn is_complete(&self, message: &JsonObject) -> bool {
        event_of(message).contains_key("uuid")
    }

    fn labels(&self, message: &JsonObject, found: &mut Vec<EventLabel>) {
        labels::collect(message, &[], found);
    }

    fn label_member(&self, _: Tlp) -> Option<(&'static str, &'static str)> {
        None
    }

    fn decode(&self, message: &JsonObject) -> Result<DecodedMessage, SubmitError> {
        decode::decode(message)
    }

    fn encode(&self, event: &EventView<'_>, _: &EncodeOptions) -> Result<EncodedMessage, NotSent> {
        Ok(encode::encode(event))
    }
}

/// Returns the event inside of a message; some write it without `Event` around it.
fn event_of(message: &JsonObject) -> &JsonObject {
    message.get("Event").and_then(Value::as_object).unwrap_or(message)
}

/// Returns the objects of a list.
fn objects<'a>(holder: &'a JsonObject, key: &str) -> Vec<&'a JsonObject> {
    holder.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect()
}

/// Returns the UUID of a name in this project's feeds.
fn uuid_of(name: &str) -> Uuid {
    let names = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:intelmesh:misp");
    Uuid::new_v5(&names, name.as_bytes())
}
