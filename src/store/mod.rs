//! Makes envelopes durable (decisions/0001): the journal, which is the one truth, and the seen set and the link index,
//! which can be made again from it. In reading order: `disk` (operations on a disk), `format`, `error`, `frame`, `segment`,
//! `index`, `newest`, `journal`, `seen`, `links`, `engine` (all kept consistent), `service` (its threads). All that is
//! pure over [`disk::Disk`] and runs in the simulator as it runs in the node. Nothing here decides what is accepted.

#[cfg(feature = "node")]
mod days;
pub(crate) mod disk;
pub(crate) mod engine;
mod error;
#[cfg(feature = "node")]
pub(crate) mod file_disk;
pub(crate) mod format;
pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod journal;
pub(crate) mod links;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod memory_disk;
pub(crate) mod newest;
pub(crate) mod seen;
pub(crate) mod segment;
#[cfg(feature = "node")]
pub(crate) mod service;

pub(crate) use engine::{EngineConfig, StoreError, StoreOpening, StoreProblem};
#[cfg(any(test, feature = "sim"))]
pub(crate) use error::JournalError;
#[cfg(all(test, feature = "node"))]
#[path = "tests/crash_images.rs"]
mod crash_images;
#[cfg(all(test, feature = "node"))]
#[path = "tests/derived_images.rs"]
mod derived_images;
#[cfg(test)]
pub mod testing;

#[cfg(feature = "node")]
pub(crate) use service::{Store, StoreDirs, StoreStats};
