//! Each health code brought into being with real nodes: the first line of `status` names it, and drops it again when
//! its cause is gone or the operator has seen it. The thresholds are shortened; with `INTELMESH_LONG` they are the real
//! ones (`./tests/run long`).

mod contract;
mod local;
mod metrics;
mod peers;

use std::time::Duration;

use serde_json::Value;
use support::{Node, wait_until};

/// By this the thresholds of 30 s and 60 s are divided.
const DIVISOR: u32 = 15;
/// A state begins within this, on a busy machine and with real thresholds.
const SOON: Duration = Duration::from_secs(150);
/// The longest that a state may outlive its cause (CONTRACT.md §6.2), and some seconds for the machine.
const STATE_ENDS: Duration = Duration::from_secs(75);

/// A node whose thresholds are short.
fn node(name: &str) -> Node {
    let mut node = Node::init(name);
    quicken(&mut node);
    node
}

fn quicken(node: &mut Node) {
    if std::env::var_os("INTELMESH_LONG").is_some() {
        return;
    }
    node.set_env("INTELMESH_TEST_HEALTH_DIVISOR", DIVISOR.to_string());
}

/// The two of them, each a peer of the other, and running.
fn connected(names: [&str; 2]) -> [Node; 2] {
    let [mut a, mut b] = names.map(node);
    support::pair(&a, &b);
    a.start();
    b.start();
    support::shape::together(&a);
    support::shape::together(&b);
    [a, b]
}

fn first_line(node: &Node) -> String {
    let said = node.say(&["status", "--check"], "");
    said.stdout.trim_end().to_owned()
}

fn worst(node: &Node) -> Value {
    node.status()["health"][0].clone()
}

/// Waits until the first line of `status` names `code` with `words`, and exits 1. Returns the entry as it was then:
/// on a busy machine another reason may come first a moment later.
fn named(node: &Node, code: &str, words: &str) -> Value {
    let mut entry = Value::Null;
    wait_until(&format!("{}: {code} with {words:?}", node.name()), SOON, || {
        entry = worst(node);
        let said = node.say(&["status", "--check"], "");
        println!("{said:?} {entry}");
        entry["code"] == code
            && said.code == 1
            && said.stdout.starts_with("warning: ")
            && said.stdout.contains(words)
            && entry["since"].is_string()
    });
    entry
}

/// Waits until no reason has this code any more.
fn dropped(node: &Node, code: &str) {
    wait_until(&format!("{} drops {code}", node.name()), STATE_ENDS, || !node.complains(code));
}

/// Waits until all is well.
fn well(node: &Node) {
    wait_until(&format!("{} is well", node.name()), STATE_ENDS, || {
        let line = first_line(node);
        println!("{}: {line}", node.name());
        line.starts_with("ok: ")
    });
}

/// Each change of health is one line of the log.
fn logged(node: &Node, code: &str) {
    let lines = |state: &str| {
        let wanted = [format!("health=\"{code}\""), format!("state=\"{state}\"")];
        node.log().lines().filter(|line| wanted.iter().all(|word| line.contains(word.as_str()))).count()
    };
    wait_until(&format!("{code} begins and ends in the log"), SOON, || {
        lines("begins") >= 1 && lines("ends") >= 1
    });
    assert_eq!(lines("begins"), lines("ends"), "{}", node.log());
}
