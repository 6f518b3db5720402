//! The way in: from the pipeline's lines and events to the core. In reading order: `submission` (from a line to its
//! outcome), `socket` (`in.sock`), `door` (shared by the doors of `intelmesh.toml`), `tcp` with `turns`, `redis`,
//! `spool`, and
//! `warden`.

pub(crate) mod door;
pub(crate) mod listening;
pub(crate) mod redis;
pub(crate) mod socket;
pub(crate) mod spool;
pub(crate) mod submission;
pub(crate) mod tcp;
pub(crate) mod turns;
pub(crate) mod warden;
