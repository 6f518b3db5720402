//! The protocol between nodes, without input or output (PROTOCOL.md §5, decisions/0002). [`Node`] routes,
//! [`PeerSession`](link::PeerSession) is one peer. Disk, network, clock and chance are arguments: outputs depend on
//! inputs alone, so that a simulator can delay, tear or lose any of them.
//!
//! In reading order: `io` (what goes in and comes out), `node`, `link` with `sender` (and what was `sent`)
//! and `receiver`, `intake`, `handoff`, `appender`, then `context`, `state`, `pipe`, `steady`, `backoff`,
//! `bucket`, `publisher_rates`, `rules`, `failing`, `fault`, `obstacle`, `dialect`, `view`.

pub(crate) mod appender;
pub(crate) mod backoff;
pub(crate) mod bucket;
pub(crate) mod context;
pub(crate) mod dialect;
pub(crate) mod failing;
pub(crate) mod fault;
pub(crate) mod handoff;
pub(crate) mod intake;
pub(crate) mod io;
pub(crate) mod link;
pub(crate) mod node;
pub(crate) mod obstacle;
pub(crate) mod pipe;
pub(crate) mod publisher_rates;
pub(crate) mod receiver;
pub(crate) mod rules;
pub(crate) mod sender;
pub(crate) mod sent;
pub(crate) mod state;
pub(crate) mod steady;
#[cfg(feature = "sim")]
mod successor;
#[cfg(test)]
mod tests;
pub(crate) mod view;

pub use context::{CoreBounds, CoreConfig};
pub use dialect::Dialect;
pub use io::{Input, Output};
pub use node::Node;
#[cfg(feature = "sim")]
pub(crate) use rules::ProtocolRule;
pub use rules::Rules;
