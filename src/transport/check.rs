//! One dial of each address of a peer, on connections of their own, for `peer check` and `peer add`. Needs no
//! running node: it brings its own swarm, listens nowhere and opens no stream.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ed25519_dalek::SigningKey;
use futures::StreamExt as _;
use futures::future::join_all;
use libp2p::Multiaddr;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use tokio::time::timeout;

use super::PeerAddresses;
use super::address_book::{AddressBook, dialled, peer_id};
use super::connection_gate::Proved;
use super::engine::dial_failure;
use super::swarm::build;
use crate::identity::PublisherName;
use crate::limits::{PEER_ADDRESSES_MAX, PEER_CHECK_MS};
use crate::protocol::io::DialFailure;

/// The result of dialling a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub peer: PublisherName,
    /// One for each address, in the peer file's order.
    pub dials: Vec<DialReport>,
}

impl CheckReport {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialReport {
    pub address: String,
    pub outcome: DialOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// The key is as expected, and they let us in.
    Reached,
    Failed(DialFailure),
}

/// Dials each address of `peer` once, all at the same time; at most 3 s.
pub async fn check(key: &SigningKey, peer: &PeerAddresses) -> CheckReport {
    let dials = dialled(peer).into_iter().take(PEER_ADDRESSES_MAX).map(|address| async move {
        let dial = dial(key, peer, address.clone());
        let outcome = timeout(Duration::from_millis(PEER_CHECK_MS), dial)
            .await
            .unwrap_or_else(|_| failed(format!("{address}: no answer within {} s", PEER_CHECK_MS / 1000)));
        DialReport { outcome: without_address(outcome, &address), address: address.to_string() }
    });
    CheckReport { peer: peer.name.clone(), dials: join_all(dials).await }
}

/// The report names the address itself.
fn without_address(outcome: DialOutcome, address: &Multiaddr) -> DialOutcome {
    let bare =
        |cause: String| cause.strip_prefix(&format!("{address}: ")).map(str::to_owned).unwrap_or(cause);
    match outcome {
        DialOutcome::Failed(DialFailure::Unreachable(cause)) => failed(bare(cause)),
        DialOutcome::Failed(DialFailure::TurnedAway(cause)) => {
            DialOutcome::Failed(DialFailure::TurnedAway(bare(cause)))
        }
        other => other,
    }
}

fn failed(cause: String) -> DialOutcome {
    DialOutcome::Failed(DialFailure::Unreachable(cause))
}

async fn dial(key: &SigningKey, peer: &PeerAddresses, address: Multiaddr) -> DialOutcome {
    let book = AddressBook::new(vec![PeerAddresses { paused: false, ..peer.clone() }]);
    let proved = Proved::default();
    let swarm = build(key, &Arc::new(ArcSwap::from_pointee(book)), proved.clone());
    let (Ok(mut swarm), Some(id)) = (swarm, peer_id(&peer.key)) else {
        return failed("the keys do not serve for Noise".to_owned());
    };
    if let Err(error) = swarm.dial(DialOpts::peer_id(id).addresses(vec![address]).build()) {
        return DialOutcome::Failed(dial_failure(error, false));
    }
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => return DialOutcome::Reached,
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                return DialOutcome::Failed(dial_failure(error, proved.take(&id)));
            }
            _ => {}
        }
    }
}
