//! Tests of the core alone: inputs in, outputs out. A bench answers the core's questions to store and workers at once,
//! and plays the peer. If a test needs time, loss or several nodes, it belongs to the simulator.

mod bench;
mod deferring;
mod equivocation;
mod filtering;
mod hostile;
mod key_ids;
mod keys;
mod later;
mod losing;
mod promises;
mod recalling;
mod renamed;
mod rewinding;
mod stories;
