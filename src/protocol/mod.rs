//! The protocol between nodes, without input or output (PROTOCOL.md §5, decisions/0002). [`Node`] routes,
//! [`PeerSession`](link::PeerSession) is one peer. Disk, network, clock and chance are arguments: outputs depend on
//! inputs alone, so that a simulator can delay, tear or lose any of them.
//!
//! In reading order: `io` (what goes in and comes out), `node`, `link` with `sender` (and what was `sent`)
//! and `receiver`, `intake`, `handoff`, `appender`, then `context`, `state`, `pipe`, `steady`, `backoff`,
//! `bucket`, `publisher_rates`, `rules`, `failing`, `fault`, `obstacle`, `dialect`, `view`.

pub mod appender;
pub mod backoff;
pub mod bucket;
pub mod context;
pub mod dialect;
pub mod failing;
pub mod fault;
pub mod handoff;
pub mod intake;
pub mod io;
pub mod link;
pub mod node;
pub mod obstacle;
pub mod pipe;
pub mod publisher_rates;
pub mod receiver;
pub mod rules;
pub mod sender;
pub mod sent;
pub mod state;
pub mod steady;
#[cfg(feature = "sim")]
mod successor;
#[cfg(test)]
mod tests;
pub mod view;

pub use context::{CoreBounds, CoreConfig};
pub use dialect::Dialect;
pub use io::{Input, Output};
pub use node::Node;
#[cfg(feature = "sim")]
pub use rules::ProtocolRule;
pub use rules::Rules;
