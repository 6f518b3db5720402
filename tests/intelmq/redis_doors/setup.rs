//! Nodes with doors to Redis, and the events that go through them.

use serde_json::Value;
use support::{Node, pair};

pub const QUEUE_IN: &str = "intelmesh-queue";
pub const QUEUE_OUT: &str = "deduplicator-expert-queue";

/// `[[submit]]` from a queue.
pub fn take_in(url: &str) -> String {
    format!("\n[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"{QUEUE_IN}\"\n")
}

/// `[[consumer]]` to a queue, which gets everything, own events too.
pub fn take_out(url: &str) -> String {
    format!(
        "\n[[consumer]]\nname = \"pipeline\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"{QUEUE_OUT}\"\nown = true\n"
    )
}

fn add(node: &mut Node, doors: &str) {
    node.edit("intelmesh.toml", |text| text + doors);
}

/// One node with these doors, not running yet.
pub fn node_with(doors: &str) -> Node {
    let mut node = Node::init("cert-at");
    add(&mut node, doors);
    node
}

/// Two nodes that trust each other, with these doors, not running yet.
pub fn pair_with(first: &str, second: &str) -> Vec<Node> {
    let mut nodes = vec![Node::init("cert-at"), Node::init("cert-ee")];
    pair(&nodes[0], &nodes[1]);
    add(&mut nodes[0], first);
    add(&mut nodes[1], second);
    nodes
}

/// An event as a bot of IntelMQ leaves it in a queue.
pub fn event(number: u64) -> String {
    format!(
        "{{\"__type\": \"Event\", \"classification.type\": \"phishing\", \"source.ip\": \"192.0.2.1\", \
         \"extra.number\": {number}}}"
    )
}

/// Which event this is.
pub fn number(text: &str) -> u64 {
    let event: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    event["extra.number"].as_u64().unwrap_or_else(|| panic!("{text}"))
}

/// What `health` says under this code; empty where it does not.
pub fn health_of(node: &Node, code: &str) -> String {
    let status = node.status();
    let reasons = status["health"].as_array().cloned().unwrap_or_default();
    reasons.iter().filter(|reason| reason["code"] == code).map(Value::to_string).collect()
}
