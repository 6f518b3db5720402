//! Puts the pieces together: TCP (with names resolved), Noise behind the gate, yamux that closes in
//! time, a deadline over the whole handshake, and the two behaviours. No decisions here.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ed25519_dalek::SigningKey;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, Swarm, Transport as _, noise, swarm, tcp, yamux};

use super::TransportError;
use super::address_book::AddressBook;
use super::closing::CloseBy;
use super::connection_gate::{ConnectionGate, Proved};
use super::connection_limits::ConnectionLimits;
use super::feed::FeedBehaviour;
use super::resolving::NameResolver;
use crate::limits::{CONNECTION_CLOSE_MS, CONNECTION_IDLE_MS, HANDSHAKE_MS, MUXER_STREAMS_MAX};

/// Mixed into the handshake, so that another version's nodes fail early (PROTOCOL.md §4.0).
const PROLOGUE: &[u8] = b"intelmesh/1";

/// Called in this order: the limits first, since what they deny must cost nothing.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    pub door: ConnectionLimits,
    pub feeds: FeedBehaviour,
}

pub(super) fn keypair(key: &SigningKey) -> Result<Keypair, TransportError> {
    let mut seed = zeroize::Zeroizing::new(key.to_bytes());
    Keypair::ed25519_from_bytes(&mut *seed).map_err(|error| TransportError::Key(error.to_string()))
}

fn transport(gate: ConnectionGate) -> Boxed<(PeerId, StreamMuxerBox)> {
    let sockets = NameResolver::new(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)));
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(MUXER_STREAMS_MAX);
    let upgraded = sockets
        // V1Lazy would show a dial as established before the other side has let it in.
        .upgrade(Version::V1)
        .authenticate(gate)
        .multiplex(muxer)
        .map(|(peer, muxer), _| {
            let patience = Duration::from_millis(CONNECTION_CLOSE_MS);
            (peer, StreamMuxerBox::new(CloseBy::new(muxer, patience)))
        });
    TransportTimeout::new(upgraded, Duration::from_millis(HANDSHAKE_MS)).boxed()
}

/// Builds a swarm of `key` that lets in the peers that `book` allows.
pub(super) fn build(
    key: &SigningKey,
    book: &Arc<ArcSwap<AddressBook>>,
    proved: Proved,
) -> Result<Swarm<Behaviour>, TransportError> {
    let keys = keypair(key)?;
    let noise = noise::Config::new(&keys).map_err(|error| TransportError::Key(error.to_string()))?;
    let gate = ConnectionGate::new(noise.with_prologue(PROLOGUE.to_vec()), Arc::clone(book), proved);
    let behaviour =
        Behaviour { door: ConnectionLimits::new(Arc::clone(book)), feeds: FeedBehaviour::default() };
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_millis(CONNECTION_IDLE_MS));
    Ok(Swarm::new(transport(gate), behaviour, keys.public().to_peer_id(), config))
}
