//! The core format of MISP: events with objects of the template `intelmq_event`, and loose attributes. `decode` and
//! `encode` map messages, `parts` takes one apart, `table` has the names.

mod decode;
mod encode;
mod parts;
mod table;

pub use parts::{MispPart, take_apart};

use serde_json::Value;
use uuid::Uuid;

use super::{DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent};
use crate::format::label::EventLabel;
use crate::format::meta::begins_with_tlp;
use crate::format::refusal::{SubmitCode, SubmitError};

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
        let event = event_of(message);
        let objects = objects(event, "Object");
        let attributes = objects.iter().chain([&event]).flat_map(|holder| self::objects(holder, "Attribute"));
        let tagged = attributes.chain(objects.iter().copied()).chain([event]);
        for holder in tagged {
            labels_of(holder, found);
        }
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

/// Adds the labels of an event, an object or an attribute.
fn labels_of(holder: &JsonObject, found: &mut Vec<EventLabel>) {
    let names = objects(holder, "Tag").into_iter().filter_map(|tag| tag.get("name")?.as_str());
    let labels = names.filter(|name| begins_with_tlp(name));
    found.extend(labels.map(|name| EventLabel::read(name, "a tag of the payload")));
}

/// Returns the UUID of a name in this project's feeds.
fn uuid_of(name: &str) -> Uuid {
    let names = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:intelmesh:misp");
    Uuid::new_v5(&names, name.as_bytes())
}
