//! Trust lists for tests of code that asks one. Not part of the program.

use ed25519_dalek::SigningKey;

use super::{Peer, TrustList};
use crate::identity::{NodeNames, PublisherName};

pub fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

/// `names` are the present name and, behind it, old ones.
pub fn node_names(names: &[&str]) -> NodeNames {
    NodeNames::new(name(names[0]), names[1..].iter().map(|alias| name(alias)).collect())
}

/// Returns a peer by its present name and, behind it, old ones. Its key is made of the first name that it had.
pub fn peer(names: &[&str]) -> Peer {
    let mut seed = [0; 32];
    let first = names[names.len() - 1].as_bytes();
    seed[..first.len()].copy_from_slice(first);
    let aliases = names[1..].iter().map(|alias| name(alias)).collect();
    Peer { aliases, ..Peer::new(name(names[0]), SigningKey::from_bytes(&seed).verifying_key()) }
}

/// Returns the trust list of the node with these names.
pub fn trusting(own: &[&str], peers: &[&[&str]]) -> TrustList {
    let own_key = crate::fixture::key(1).verifying_key();
    TrustList::new(node_names(own), own_key, peers.iter().map(|names| peer(names)))
}
