//! Real nodes of two versions: the program, and the program that speaks as a successor would (feature `sim`). What one
//! says and the other does not understand is carried, and costs nothing. The simulator has the rare cases.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use support::events::with_meta;
use support::shape::{start, together, unstarted_chain};
use support::{Consumer, Node, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn event(number: usize) -> String {
    json!({"source.ip": format!("192.0.2.{}", number % 250), "source.asn": 64_496 + number}).to_string()
}

/// cert-at and cert-pl speak version 2, and cert-ee between them version 1.
fn two_versions() -> Vec<Node> {
    let mut nodes = unstarted_chain(&["cert-at", "cert-ee", "cert-pl"]);
    for at in [0, 2] {
        nodes[at].set_env("INTELMESH_SPEAKS", "2");
    }
    nodes
}

fn handed(node: &Node, count: usize) -> BTreeSet<String> {
    let events = Consumer::open(node, &json!({"from": "earliest"})).take(count);
    let ids: BTreeSet<String> = events.iter().map(support::Handed::id).collect();
    assert_eq!(ids.len(), count, "{} hands each off once", node.name());
    ids
}

/// The envelope that a node holds.
fn held(node: &Node, id: &str) -> Vec<u8> {
    let file: PathBuf = node.dir().join("exported.cose");
    node.cli(&["event", "export", id, "--cose", file.to_str().unwrap()]);
    std::fs::read(file).unwrap()
}

/// Nothing that a peer sent was no frame, or no envelope, to this node.
fn assert_whole(node: &Node) {
    let log = node.log();
    let odd = log.lines().filter(|line| line.contains("no frame") || line.contains("malformed"));
    assert_eq!(odd.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn two_versions_exchange_everything_over_kills_of_the_older() {
    let mut nodes = two_versions();
    start(&mut nodes);
    let mut published = BTreeSet::new();
    for round in 0..3 {
        for (at, node) in nodes.iter().enumerate() {
            let lines: Vec<_> = (0..60).map(|number| event(round * 1_000 + at * 100 + number)).collect();
            published.extend(node.publish(&lines));
        }
        nodes[1].kill9();
        let lines: Vec<_> = (60..70).map(|number| event(round * 1_000 + number)).collect();
        published.extend(nodes[0].publish(&lines));
        nodes[1].start();
        together(&nodes[1]);
    }
    for node in &nodes {
        let own = format!("{}:", node.name());
        let others: BTreeSet<_> = published.iter().filter(|id| !id.starts_with(&own)).cloned().collect();
        assert_eq!(handed(node, others.len()), others, "{}", node.name());
    }
}

#[test]
fn the_older_relays_what_it_does_not_understand_byte_for_byte() {
    let mut nodes = two_versions();
    start(&mut nodes);
    let sealed = with_meta(&json!({"version": 1, "to": ["cert-pl"], "seal": true}), &event(2));
    let ids = nodes[0].publish(&[event(1), sealed]);
    let at_pl = Consumer::open(&nodes[2], &json!({"from": "earliest"})).take(2);
    assert!(at_pl.iter().any(|event| event.meta["sealed"] == true), "and the recipient opens it");
    for id in &ids {
        let (relayed, received) = (held(&nodes[1], id), held(&nodes[2], id));
        assert_eq!(relayed, received, "{id}");
        let long_kid = [0x84, 0x58, 38, 0xa2, 0x01, 0x32, 0x04, 0x58, 32];
        assert!(received[1..].starts_with(&long_kid), "a kid of 32 bytes");
        assert!(received.windows(40).any(|bytes| bytes == [7; 40]), "a receipt in the unprotected header");
    }
    let extensions = [0x18, 0x40, 0x82, 0x05, 0xf4, 0x18, 0x7f];
    let plain = held(&nodes[2], &ids[0]);
    assert!(plain.windows(extensions.len()).any(|bytes| bytes == extensions), "keys 64 and 127");
    assert_whole(&nodes[1]);
}

#[test]
fn numbers_of_the_newer_are_counted_and_shown_by_the_older() {
    let mut nodes = two_versions();
    nodes[0].configure_peer("cert-ee", "receive", "where", "'event[\"source.asn\"] != 64500'");
    start(&mut nodes);
    nodes[1].publish(&[event(4), event(5)]);
    let rejected = |node: &Node| node.peer("cert-at")["sent"].clone();
    wait_until("the verdict came", SOON, || rejected(&nodes[1])["rejected"] == 1);
    assert_eq!(rejected(&nodes[1])["rejected_why"], "verdict_200");
    assert_eq!(rejected(&nodes[1])["accepted"], 1, "and the feed stands");

    nodes[0].stop();
    // A failed dial replaces it soon.
    let error = wait_for("the fault is shown", SOON, || {
        let error = nodes[1].peer("cert-at")["last_error"].as_str()?.to_owned();
        error.contains("fault_99").then_some(error)
    });
    assert!(error.contains("of version 2, as stopping"), "{error}");
    assert_whole(&nodes[1]);
    assert_eq!(nodes[1].peer("cert-pl")["connected"], true);
}
