//! What the tests with real processes share: a node in a directory of its own, the two ends of a local
//! pipeline, events to send through it, and ways to bend the system below (clock, disk, network).
//! A library and not a module, so that a test may use a part of it.
//!
//! It deliberately does not link the node: it knows only what can be seen from outside.
#![allow(clippy::disallowed_methods, reason = "a test's deadline is real time, not the node's clock")]

pub mod delay;
pub mod dice;
mod doors;
pub mod events;
pub mod intelmq;
pub mod node;
pub mod pipeline;
mod ports;
pub mod redis;
pub mod shape;
pub mod system;
pub mod toml_lines;
pub mod wait;
mod warden;

pub use dice::Dice;
pub use node::{Doors, Node, Said, binary, copy_dir, free_port, pair, trust, trust_by};
pub use pipeline::{Consumer, Handed, Submitter};
pub use redis::{Redis, RedisClient};
pub use wait::{Stopwatch, pace, wait_for, wait_until};
pub use warden::Warden;
