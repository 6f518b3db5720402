//! Knows who may connect, and under which name: the peer files as the transport needs them. Immutable; a reload
//! makes a new one. The gate, the limits and the engine share it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ed25519_dalek::VerifyingKey;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::{Multiaddr, PeerId};

use super::{PeerAddresses, address};
use crate::identity::{PublisherName, public_key_text};

#[derive(Debug, Default)]
pub(super) struct AddressBook {
    peers: BTreeMap<PublisherName, PeerAddresses>,
    by_id: HashMap<PeerId, PublisherName>,
    hosts: HashSet<IpAddr>,
}

impl AddressBook {
    pub(crate) fn new(peers: Vec<PeerAddresses>) -> Self {
        let mut book = Self::default();
        for peer in peers {
            let Some(id) = peer_id(&peer.key) else { continue };
            book.by_id.insert(id, peer.name.clone());
            book.hosts.extend(dialled(&peer).iter().filter_map(address::ip));
            book.peers.insert(peer.name.clone(), peer);
        }
        book
    }

    pub(crate) fn peer(&self, name: &PublisherName) -> Option<&PeerAddresses> {
        self.peers.get(name)
    }

    /// The name of a key that may connect now.
    pub(crate) fn allowed(&self, id: &PeerId) -> Option<&PublisherName> {
        let name = self.by_id.get(id)?;
        self.peers.get(name).filter(|peer| !peer.paused).map(|_| name)
    }

    /// Returns true if it is the key of a peer, paused or not. Such a node is no stranger.
    pub(crate) fn configured(&self, id: &PeerId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Returns true if it is a host in the address of a peer.
    pub(crate) fn is_host(&self, ip: &IpAddr) -> bool {
        self.hosts.contains(ip)
    }
}

/// Returns the addresses of a peer, without invalid ones.
pub(super) fn dialled(peer: &PeerAddresses) -> Vec<Multiaddr> {
    peer.addresses.iter().filter_map(|text| address::parse(text).ok()).collect()
}

pub(super) fn peer_id(key: &VerifyingKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Returns a key as peer files write it, so that an operator can compare; the peer id if it is not an Ed25519 key.
pub(super) fn key_text(id: &PeerId) -> String {
    // An Ed25519 peer id is the key itself, behind the identity hash.
    let key = PublicKey::try_decode_protobuf(id.as_ref().digest()).ok();
    let key = key.and_then(|key| key.try_into_ed25519().ok());
    match key.and_then(|key| VerifyingKey::from_bytes(&key.to_bytes()).ok()) {
        Some(key) => public_key_text(&key),
        None => id.to_string(),
    }
}
