//! IntelMQ's real TCP output against a node's door: several at once, where the real collector serves one, and through
//! the node's death.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use support::intelmq::{IntelMq, add_tcp_output};
use support::node::free_port;
use support::{Consumer, Node, wait_until};

const ANSWERED: Duration = Duration::from_secs(60);

/// A node with a door for TCP outputs.
fn node_with_door() -> (Node, u16) {
    let (mut node, port) = (Node::init("cert-at"), free_port());
    node.edit("intelmesh.toml", |text| {
        format!("{text}\n[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n")
    });
    node.start();
    (node, port)
}

fn event(output: &str, number: usize) -> String {
    json!({
        "__type": "Event", "classification.type": "scanner", "source.ip": "192.0.2.1", "source.port": number,
        "feed.name": output,
    })
    .to_string()
}

/// An instance that has nothing but TCP outputs with these names, `count` events before each.
fn outputs(port: u16, names: &[&str], count: usize) -> IntelMq {
    let mut instance = IntelMq::new("a");
    for name in names {
        add_tcp_output(&mut instance, name, port);
        (0..count).for_each(|number| instance.push(&format!("{name}-queue"), &event(name, number)));
    }
    instance
}

/// The first `count` events that the node stored, by who sent them and which they are; each once.
fn stored(node: &Node, count: usize) -> BTreeSet<String> {
    let mut consumer = Consumer::open(node, &json!({ "consumer": "test", "own": true, "from": "earliest" }));
    let events: Vec<_> = consumer.take(count).into_iter().map(|event| event.payload).collect();
    assert!(consumer.next_within(Duration::from_millis(300)).expect("out.sock can be read").is_none());
    let different = BTreeSet::from_iter(events);
    assert_eq!(different.len(), count, "an event was stored twice");
    different
}

#[test]
fn two_real_outputs_are_served_at_once() {
    const EACH: usize = 150;
    let (node, port) = node_with_door();
    let mut instance = outputs(port, &["one", "two"], 0);
    instance.start_all(&["one", "two"]);
    // Both are connected; neither waits until the other has left.
    for name in ["two", "one"] {
        instance.push(&format!("{name}-queue"), &event(name, 0));
        wait_until("the event is answered", ANSWERED, || instance.waiting(name) == 0);
    }
    for number in 1..EACH {
        ["one", "two"].iter().for_each(|name| instance.push(&format!("{name}-queue"), &event(name, number)));
    }
    for name in ["one", "two"] {
        wait_until("all is answered", ANSWERED, || instance.waiting(name) == 0);
        assert!(!instance.log(name).contains("retrying"), "output {name} had to send again");
    }
    instance.assert_all_run();
    stored(&node, 2 * EACH);
}

#[test]
fn a_real_output_goes_on_by_itself_when_its_node_was_killed() {
    const EVENTS: usize = 400;
    let (mut node, port) = node_with_door();
    let mut instance = outputs(port, &["output"], EVENTS);
    instance.start("output");
    for left in [EVENTS * 3 / 4, EVENTS / 3] {
        wait_until("events flow", ANSWERED, || instance.waiting("output") <= left);
        node.kill9();
        node.start();
    }
    wait_until("all is answered", ANSWERED, || instance.waiting("output") == 0);
    instance.assert_all_run();
    assert_eq!(instance.dumped("output"), 0, "the output gave events up");
    stored(&node, EVENTS);
}
