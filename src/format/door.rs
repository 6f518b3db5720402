//! The effects of a pipeline's door on each line that comes through it. Sockets, queues and files are not here:
//! `intake` gets these settings.

use super::strip::StripRule;
use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::identity::{ProjectName, PublisherName};
use crate::limits::EXPLODED_EVENTS_MAX;
use crate::policy::Tlp;

/// Members that a door adds to each line, members that it takes away, and its rules for lines that are not one new
/// event.
#[derive(Clone, Debug)]
pub struct DoorDefaults {
    pub publisher: PublisherName,
    pub project: ProjectName,
    /// The label if a line and the door give none.
    pub default_tlp: Tlp,
    /// The least label at this door.
    pub tlp: Option<Tlp>,
    /// Recipients that narrow those of a line; empty: no narrowing.
    pub to: Vec<PublisherName>,
    /// How ids are made if a line says nothing.
    pub ids: IdScheme,
    pub removal: FieldRemoval,
    /// If an event was handed off before, it becomes a child of itself, rather than `duplicate` (decisions/0014).
    pub republish: bool,
    pub multiple_values: MultipleValues,
    /// Every line is sealed.
    pub seal: bool,
    /// The client of the HTTP door that posts: `ext.client` names it.
    pub client: Option<PublisherName>,
    pub messages: MessageRule,
}

/// What an event loses before it is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRemoval {
    /// Fields that stay at home. `extra.intelmesh.*` always does.
    pub strip: Vec<StripRule>,
    /// Passwords and keys inside URLs are masked.
    pub mask_secrets: bool,
}

/// How a door handles messages of other formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageRule {
    /// The format of lines that name none. A door that knows it takes the id and the links of each message.
    pub format: Option<EventFormat>,
    /// They become IntelMQ events before they are signed.
    pub convert: bool,
}

impl DoorDefaults {
    /// Returns the defaults of `in.sock`: random ids, nothing stripped, one event a line.
    pub fn of(publisher: PublisherName, project: ProjectName, default_tlp: Tlp) -> Self {
        Self {
            publisher,
            project,
            default_tlp,
            tlp: None,
            to: Vec::new(),
            ids: IdScheme::Random,
            removal: FieldRemoval::default(),
            republish: false,
            multiple_values: MultipleValues::Refuse,
            seal: false,
            client: None,
            messages: MessageRule::default(),
        }
    }

    /// Returns the defaults of a door to IntelMQ: ids of the body, so that an event is recognised if a bot sends it
    /// again, the default list of fields that stay at home, and no secrets inside URLs.
    #[must_use]
    pub fn at_intelmq(self) -> Self {
        let removal = FieldRemoval { strip: StripRule::intelmq_defaults(), mask_secrets: true };
        Self { ids: IdScheme::Body, removal, ..self }
    }
}

/// How a door handles an event that has lists as fields (IEP03). Lists below `extra` stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultipleValues {
    #[default]
    Refuse,
    /// One event for each combination of values, at most `most` of a line.
    Explode { most: u16 },
}

impl MultipleValues {
    /// The bound if a door says `explode` without a number; also the largest.
    pub const MOST: u16 = EXPLODED_EVENTS_MAX as u16;
}
