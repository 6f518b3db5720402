//! JSON forms in and out (CONTRACT.md §1 and §2, docs/PROTOCOL.md §2.4): `intake` reads a line of a local
//! pipeline, `handoff` writes one for it. Payloads are spliced, never serialised again: each comes out token
//! for token as it went in. No sockets, clocks or chance here, and no decision about who may have an event.

mod audience;
mod door;
mod draft;
mod edit;
mod event_label;
mod explode;
pub(crate) mod foreign;
pub(crate) mod handoff;
pub mod intake;
pub(crate) mod intelmq;
mod label;
mod meta;
mod pasted;
mod payload;
mod posted_by;
mod refusal;
mod republish;
mod secrets;
mod siblings;
mod strip;
pub(crate) mod takeback;

pub use door::{DoorDefaults, MultipleValues};
pub(crate) use door::{FieldRemoval, MessageRule};
pub use draft::{CoreDraft, IdInputs};
pub use handoff::{Carried, DeliveryForm, HandOff};
pub(crate) use intake::Returned;
pub use intake::{ParsedSubmission, intake};
pub(crate) use posted_by::is_posted_by;
pub use refusal::SubmitCode;
pub(crate) use refusal::SubmitError;
pub(crate) use republish::ChildEvent;
pub(crate) use strip::{StripRule, StripRuleError};
