//! Formats of other systems, each a decoder and an encoder over one trait, with one table of names as data (contract
//! §5). A message becomes 1 to 256 flat IntelMQ events, whole or not at all. Nothing is read or written here, and
//! the caller decides whether a body is carried or converted.

mod carried;
mod codec;
pub(crate) mod convert;
mod decoded;
mod fields;
mod flat;
mod handed;
mod idea;
mod misp;
mod moment;
mod n6;
mod report;
mod shape;

use std::borrow::Cow;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use carried::carried_events;
pub(crate) use codec::{ForeignMessage, decode_text, encode_event};
pub(crate) use decoded::{DecodedEvent, DecodedMessage};
pub(crate) use handed::{BodyFormat, BodyRule, ConvertedBody, NotConverted, convert_body};
#[cfg(feature = "node")]
pub(crate) use misp::feed;
pub(crate) use misp::{MispPart, take_apart as take_misp_apart};
pub(crate) use report::ConversionReport;

use super::event_label::EventLabel;
use super::refusal::{SubmitCode, SubmitError};
use crate::identity::{EventId, HopPath, ProjectName, PublisherName};
use crate::link::{Link, LinkTarget, Relation};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// A JSON object, with its keys in order.
pub(crate) type JsonObject = Map<String, Value>;

/// Returns the text of an object, on one line.
fn text_of(object: &JsonObject) -> String {
    // Maps with keys of text can always be written.
    serde_json::to_string(object).unwrap_or_default()
}

/// A format that is not IntelMQ's. The next one is a file with this trait, and a table.
pub(crate) trait ForeignFormat: Sync {
    /// Returns the name in `meta.format`.
    fn name(&self) -> &'static str;

    /// Returns the code of a message that breaks the rules of the format.
    fn code(&self) -> SubmitCode;

    /// Returns the text of a message as a strict JSON reader takes it.
    fn readable<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// Returns true if a body has all members that a message needs. `run/in.sock` carries fragments unread.
    fn is_complete(&self, message: &JsonObject) -> bool;

    /// Adds the labels in the format's own places. It reads messages that cannot be decoded too.
    fn labels(&self, message: &JsonObject, found: &mut Vec<EventLabel>);

    /// Returns the member that says a label, or the next stricter one; `None` if no single member does.
    fn label_member(&self, tlp: Tlp) -> Option<(&'static str, &'static str)>;

    /// Returns the events of a message.
    ///
    /// # Errors
    /// [`SubmitError`] with [`Self::code`] if the message breaks a rule of the format, or with `multi_value` if it has
    /// too many addresses.
    fn decode(&self, message: &JsonObject) -> Result<DecodedMessage, SubmitError>;

    /// Returns the message for an IntelMQ event.
    ///
    /// # Errors
    /// [`NotSent`] if the format has no message for it.
    fn encode(&self, event: &EventView<'_>, options: &EncodeOptions) -> Result<EncodedMessage, NotSent>;
}

/// Returns the format of that name, if it can be decoded here.
pub(crate) fn foreign_format(name: &str) -> Option<&'static dyn ForeignFormat> {
    let all: [&'static dyn ForeignFormat; 3] = [&idea::IdeaFormat, &n6::N6Format, &misp::MispFormat];
    all.into_iter().find(|format| format.name() == name)
}

/// A relation that a message states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignLink {
    pub relation: &'static str,
    pub right: ForeignTarget,
}

/// The target of a relation: an event that came through this door too, or a name elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForeignTarget {
    Own(Uuid),
    Named(String),
}

impl ForeignLink {
    fn own(relation: &'static str, uuid: Uuid) -> Self {
        Self { relation, right: ForeignTarget::Own(uuid) }
    }

    fn alternate(name: impl Into<String>) -> Self {
        Self { relation: "alternate", right: ForeignTarget::Named(name.into()) }
    }

    /// Returns the link of an event that `publisher` signs: events of the other system came under its name.
    pub(crate) fn signed_by(&self, publisher: &PublisherName, project: &ProjectName) -> Option<Link> {
        let right = match &self.right {
            ForeignTarget::Own(uuid) => LinkTarget::Event(EventId {
                publisher: publisher.clone(),
                project: project.clone(),
                uuid: *uuid,
            }),
            ForeignTarget::Named(name) => match name.parse() {
                Ok(id) => LinkTarget::Event(id),
                Err(_) => LinkTarget::Opaque(name.clone()),
            },
        };
        Some(Link { left: None, relation: Relation::parse(self.relation)?, right })
    }
}

/// An IntelMQ event and its metadata, as an encoder sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventView<'a> {
    pub payload: &'a JsonObject,
    pub id: Option<&'a EventId>,
    /// The UUID of `id`, or else one of the content.
    pub uuid: Uuid,
    pub created: Timestamp,
    /// The strictest label of meta and payload; `None` if nothing gives one, which is not the same as CLEAR.
    pub tlp: Option<Tlp>,
    pub parent: Option<&'a EventId>,
    pub links: &'a [Link],
    pub path: &'a HopPath,
}

/// Settings of an encoder.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncodeOptions {
    /// The name of this node in the other system; made from the publisher's if it is missing.
    pub node: Option<String>,
    /// `raw` travels too.
    pub raw: bool,
}

/// Returns true if IDEA takes it as the name of a node: parts of a-z, 0-9 and `_`, with dots between.
pub(crate) fn is_node_name(text: &str) -> bool {
    idea::syntax::is_node_name(text)
}

/// Returns the name in IDEA of the node `publisher`: `cert-at` is `at.cert.intelmesh`.
pub(crate) fn default_node_name(publisher: &PublisherName) -> String {
    idea::syntax::default_node(Some(publisher.as_str()))
}

/// A message of another system.
#[derive(Debug)]
pub(crate) struct EncodedMessage {
    pub message: JsonObject,
    pub report: ConversionReport,
    /// Why a consumer withholds it: the message has lost the subject of the event.
    pub withheld: Option<&'static str>,
}

/// Why a format has no message for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotSent(pub String);

#[cfg(test)]
mod tests;
