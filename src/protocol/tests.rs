//! The core alone: inputs in, outputs out. A bench answers what the core asks of store and workers at once, and
//! plays the peer. What needs time, loss or several nodes is the simulator's.

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
