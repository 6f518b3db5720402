//! Federations in the shapes that tests speak of. It deliberately starts them and waits until they stand, no more.

use std::time::Duration;

use crate::node::{Node, trust, trust_by};
use crate::wait::wait_until;

/// How long two paired nodes may take to find each other.
pub const TOGETHER: Duration = Duration::from_secs(40);

/// Everyone is everyone's neighbour; all run and are connected.
pub fn mesh(names: &[&str]) -> Vec<Node> {
    let mut nodes = unstarted_mesh(names);
    start(&mut nodes);
    nodes
}

/// The same, paired but not running.
pub fn unstarted_mesh(names: &[&str]) -> Vec<Node> {
    let nodes: Vec<_> = names.iter().map(|name| Node::init(name)).collect();
    let invitations: Vec<_> = nodes.iter().map(Node::invite).collect();
    for (at, node) in nodes.iter().enumerate() {
        for (other, invitation) in invitations.iter().enumerate() {
            if at != other {
                trust_by(node, invitation, true);
            }
        }
    }
    nodes
}

/// Each is the neighbour of the next, and trusts all others as publishers; all run and are connected.
pub fn chain(names: &[&str]) -> Vec<Node> {
    let mut nodes = unstarted_chain(names);
    start(&mut nodes);
    nodes
}

/// The same, paired but not running.
pub fn unstarted_chain(names: &[&str]) -> Vec<Node> {
    let nodes: Vec<_> = names.iter().map(|name| Node::init(name)).collect();
    for (at, node) in nodes.iter().enumerate() {
        for (other, whom) in nodes.iter().enumerate() {
            if at != other {
                trust(node, whom, at.abs_diff(other) == 1);
            }
        }
    }
    nodes
}

/// Starts all, and waits until every neighbour that is expected is connected.
pub fn start(nodes: &mut [Node]) {
    nodes.iter_mut().for_each(Node::start);
    nodes.iter().for_each(together);
}

/// Waits until `node` is connected to every peer with addresses.
pub fn together(node: &Node) {
    wait_until(&format!("{} is connected to its neighbours", node.name()), TOGETHER, || {
        let status = node.status();
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        peers
            .iter()
            .all(|peer| peer["connected"] == true || !node.dials(peer["name"].as_str().unwrap_or_default()))
    });
}

/// Waits until `node` has stored exactly `count` foreign events since its start.
pub fn has_accepted(node: &Node, count: u64) {
    let what = format!("{} accepts {count} events of others", node.name());
    wait_until(&what, Duration::from_secs(120), || node.accepted() >= count);
    assert_eq!(node.accepted(), count, "{}", node.name());
}
