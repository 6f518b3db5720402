//! The way out: from the core's entries to the pipeline. In reading order: `opening` (bodies sealed for this node),
//! `expiry`, `request` and `delivery_marks` and `socket` (`out.sock`); then `driver`, which hands events to one `target` in
//! its `form` and remembers the last in a `marker`, and the kinds of target: `tcp`, `redis`,
//! `spool` and `warden`.

pub(crate) mod delivery_marks;
pub(crate) mod driver;
pub(crate) mod expiry;
pub(crate) mod form;
pub(crate) mod marker;
pub(crate) mod misp_feed;
pub(crate) mod opening;
pub(crate) mod redis;
pub(crate) mod request;
pub(crate) mod socket;
pub(crate) mod spool;
pub(crate) mod target;
pub(crate) mod tcp;
pub(crate) mod warden;
