//! The protocol between nodes, without input or output (design §4, §6; PROTOCOL.md §5). [`Node`] routes,
//! [`Link`](link::Link) is one peer. Disk, network, clock and chance are arguments: what happens is a
//! function of the inputs, so that a simulator can delay, tear or lose any of them.
//!
//! In reading order: `io` (what goes in and comes out), `node`, `link`, `sender`, `receiver`, `intake`,
//! `handoff`, `steady`, `backoff`, `rules`.

pub mod io;

pub use io::{Input, Output};
