//! JSON forms in and out (contract §1 and §2, docs/PROTOCOL.md §2.4): `intake` reads a line of a local
//! pipeline, `handoff` writes one for it. Payloads are spliced, never serialised again: each comes out token
//! for token as it went in. No sockets, clocks or chance here, and no word about who may have an event.

mod edit;
pub mod handoff;
pub mod intake;
mod meta;
mod refusal;

pub use handoff::{Carried, Form, HandOff};
pub use intake::{Door, Draft, Intake, Made, Returned, intake};
pub use refusal::{SubmitCode, SubmitError};
