//! The network: libp2p over TCP, Noise and yamux, and nothing else (PROTOCOL.md §4.0, decisions/0016). The only
//! place that knows libp2p. It obeys [`TransportOutput`] and answers with [`TransportInput`](crate::protocol::io::TransportInput); it decides nothing but who may
//! pass the security upgrade (the list it was given) and how many sockets may knock at once.
//!
//! Not here: back-off and when to dial (the core's), frames' content (the wire's), policy, peer files.
//!
//! Who waits: the loop that drives libp2p (`engine`) never awaits the core. Its messages to the core wait in
//! a bounded outbox, and while that is full it takes nothing new from libp2p. Each feed stream has
//! a task of its own (`pump`) that awaits the core's channel, reads only after [`TransportOutput::Resume`], and writes
//! from a queue bounded in bytes. So a slow core stops reading, and a slow peer stops nobody but itself.

mod address;
mod address_book;
mod check;
mod closing;
mod connection_gate;
mod connection_limits;
mod engine;
mod feed;
mod log_turn;
mod peer_link;
mod pump;
mod queue;
mod resolving;
mod shared;
mod strangers;
mod swarm;

use std::sync::Arc;

use ed25519_dalek::{SigningKey, VerifyingKey};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::identity::PublisherName;
use crate::protocol::io::{Input, TransportOutput};

pub(crate) use address::AddressError;
pub use check::{CheckReport, DialOutcome, check};
pub use strangers::Stranger;

use engine::TransportEngine;
use shared::{TransportCommand, TransportShared};

#[derive(Clone)]
pub struct TransportConfig {
    /// The node key: it is the peer id.
    pub key: SigningKey,
    /// Multiaddrs to listen on; port 0 takes a free one.
    pub listen: Vec<String>,
}

/// How a peer is reached, from its peer file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddresses {
    pub name: PublisherName,
    pub key: VerifyingKey,
    /// Multiaddrs; empty: never dialled, but it may come to us.
    pub addresses: Vec<String>,
    /// No connection in either direction.
    pub paused: bool,
}

/// Why the network did not start. The operator has to correct the cause.
#[derive(Debug, Error)]
pub enum TransportError {
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The address is in use, or not ours, or the port needs a privilege.
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: String, cause: String },
    /// The Noise keys could not be derived from the node key.
    #[error("the node key does not serve for Noise: {0}")]
    Key(String),
}

/// The peer id of a key, as libp2p writes it (`12D3…`).
pub(crate) fn peer_id_text(key: &VerifyingKey) -> String {
    address_book::peer_id(key).map(|id| id.to_string()).unwrap_or_default()
}

/// A running network. Dropping it ends it at once; [`stop`](Self::stop) takes leave first.
pub struct Transport {
    shared: Arc<TransportShared>,
    key: SigningKey,
    engine: JoinHandle<()>,
}

impl Transport {
    /// Listens, and starts to serve. Nobody passes the gate before [`set_peers`](Self::set_peers). Gives the
    /// addresses that it really listens on: those of `config` with the ports that were chosen.
    ///
    /// # Errors
    /// [`TransportError`]; nothing runs then.
    pub async fn start(
        config: TransportConfig,
        answers: mpsc::Sender<Input>,
    ) -> Result<(Self, Vec<String>), TransportError> {
        let shared = Arc::new(TransportShared::default());
        let key = config.key.clone();
        let (engine, listening) = TransportEngine::start(config, Arc::clone(&shared), answers).await?;
        let engine = tokio::spawn(engine.run());
        Ok((Self { shared, key, engine }, listening))
    }

    /// Replaces the peers. The gate's list is swapped before this returns. A peer that is no longer on it, is paused,
    /// or has another name or key, is disconnected at once. Invalid addresses are left out.
    pub fn set_peers(&self, peers: Vec<PeerAddresses>) {
        self.shared.set_peers(peers);
        self.shared.command(TransportCommand::PeersChanged);
    }

    /// Obeys an output of the core. Never waits.
    pub fn handle(&self, output: TransportOutput) {
        self.shared.handle(output);
    }

    /// Dials each address of `name` once, on connections of its own, and says what came of it; `None` for a
    /// peer that is not known. At most 3 s.
    pub async fn check(&self, name: &PublisherName) -> Option<CheckReport> {
        let peer = self.shared.book().peer(name)?.clone();
        Some(check(&self.key, &peer).await)
    }

    /// Keys that knocked and were refused, the latest first; at most
    /// [`STRANGERS_MAX`](crate::limits::STRANGERS_MAX).
    pub fn strangers(&self) -> Vec<Stranger> {
        self.shared.strangers()
    }

    /// Closes all feeds and connections, at most 2 s.
    pub async fn stop(mut self) {
        self.shared.command(TransportCommand::Stop);
        // Its own deadline is 2 s; an engine that is gone already is what was wanted.
        let _ = (&mut self.engine).await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

#[cfg(test)]
mod tests;
