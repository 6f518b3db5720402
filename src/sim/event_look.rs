//! The events of a simulated federation: each is made from its publisher, its number and its look alone. Submits none.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::envelope::{Body, Core};
use crate::identity::{EventId, ProjectName, PublisherName};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// The look of an event: its label, the length of its body, and its recipients.
#[derive(Clone, Debug)]
pub(crate) struct EventLook {
    pub tlp: Tlp,
    pub body_bytes: usize,
    pub to: Vec<PublisherName>,
}

impl EventLook {
    pub(crate) const PLAIN: Self = Self { tlp: Tlp::Green, body_bytes: 0, to: Vec::new() };
}

/// The event that the pipeline of `publisher` makes as its `nth`.
pub(super) fn core(
    seed: u64,
    publisher: PublisherName,
    nth: u64,
    look: EventLook,
    created: Timestamp,
) -> Core {
    let hash = Sha256::digest(format!("event {nth} of {publisher}, seed {seed}"));
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash[..16]);
    let padding = "x".repeat(look.body_bytes);
    let body = format!(r#"{{"source.ip":"192.0.2.{}","extra.nth":{nth},"raw":"{padding}"}}"#, nth % 256);
    Core {
        id: EventId {
            publisher,
            project: ProjectName::parse("simulated").expect("bug: it is a name"),
            uuid: uuid::Builder::from_random_bytes(uuid).into_uuid(),
        },
        created,
        tlp: look.tlp,
        to: look.to,
        body: Body::Plain(Bytes::from(body)),
        ..crate::fixture::core()
    }
}
