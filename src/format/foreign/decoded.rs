//! The events that a message becomes, bounded while they are made: each repeats what the message says of all of them,
//! so a body of 1 MiB could become gigabytes.

use uuid::Uuid;

use super::report::ConversionReport;
use super::{ForeignLink, JsonObject, text_of};
use crate::event::{check_body, json};
use crate::format::event_label::EventLabel;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::{EXPLODED_BYTES_MAX, EXPLODED_EVENTS_MAX, LINKS_MAX, MESSAGE_VALUES_MAX};

/// A message as flat events.
#[derive(Debug)]
pub(crate) struct DecodedMessage {
    /// The message's own id; the id of its event, if there is one event.
    pub uuid: Option<Uuid>,
    /// At least one.
    pub events: Vec<DecodedEvent>,
    /// The relations of all events.
    pub links: Vec<ForeignLink>,
    pub report: ConversionReport,
    /// The label of all events.
    pub label: Option<EventLabel>,
}

/// One event of a message.
#[derive(Clone, Debug)]
pub(crate) struct DecodedEvent {
    /// Given if the message names each of its events; else the id is one of the body.
    pub uuid: Option<Uuid>,
    /// Relations that the other events do not have.
    pub links: Vec<ForeignLink>,
    /// The stricter of this and the message's counts.
    pub label: Option<EventLabel>,
    pub payload: JsonObject,
}

/// The events of one message, while they are made.
#[derive(Debug, Default)]
pub(super) struct EventCollector {
    events: Vec<DecodedEvent>,
    bytes: usize,
    values: usize,
}

impl EventCollector {
    /// Adds an event, with the labels that its own fields give.
    ///
    /// # Errors
    /// `multi_value` if there are too many events, or too large ones, and the faults of [`check_body`].
    pub(crate) fn push(&mut self, event: DecodedEvent) -> Result<(), SubmitError> {
        if self.events.len() == EXPLODED_EVENTS_MAX {
            return Err(too_many_events());
        }
        check_links(&event.links)?;
        let text = text_of(&event.payload);
        check_body(text.as_bytes())?;
        self.bytes += text.len();
        self.values += json::count_values(&text);
        if self.bytes > EXPLODED_BYTES_MAX || self.values > MESSAGE_VALUES_MAX {
            let what = format!(
                "events of more than {EXPLODED_BYTES_MAX} bytes or {MESSAGE_VALUES_MAX} values of one message"
            );
            return Err(
                SubmitError::new(SubmitCode::MultiValue, what).hint("send fewer addresses in one message")
            );
        }
        let label = EventLabel::strictest(event.label.into_iter().chain(EventLabel::of_payload(&text)));
        self.events.push(DecodedEvent { label, ..event });
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn into_events(self) -> Vec<DecodedEvent> {
        self.events
    }
}

/// Checks that one envelope has room for the relations.
///
/// # Errors
/// `multi_value`.
pub(super) fn check_links(links: &[ForeignLink]) -> Result<(), SubmitError> {
    if links.len() <= LINKS_MAX {
        return Ok(());
    }
    let what = format!("{} relations of one event, at most {LINKS_MAX}", links.len());
    Err(SubmitError::new(SubmitCode::MultiValue, what).hint("name fewer other events in one message"))
}

/// Returns the refusal of a message that would become too many events.
pub(super) fn too_many_events() -> SubmitError {
    let what = format!("more than {EXPLODED_EVENTS_MAX} events of one message");
    SubmitError::new(SubmitCode::MultiValue, what)
        .hint("send fewer addresses, attributes or objects in one message")
}
