//! A node that lost its memory: its directory put back to an older copy, or its journal emptied. It gets everything
//! again that its peers hold, its own events too, and what it publishes later reaches everyone. It deliberately
//! does not judge what a consumer is handed twice then: promise 2 does not reach across a restore.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::node::copy_dir;
use support::shape::{mesh, together};
use support::{Consumer, Handed, Node, pace, wait_until};

const WITHIN: Duration = Duration::from_secs(60);

/// All full names in a node's journal, each once.
fn held(node: &Node) -> BTreeSet<String> {
    let mut all = Consumer::open(node, &json!({"from": "earliest", "own": true}));
    let events = all.rest(Duration::from_millis(400));
    let names: BTreeSet<_> = events.iter().map(Handed::id).collect();
    assert_eq!(names.len(), events.len(), "{}: no identity twice in a journal", node.name());
    names
}

fn lines(first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(|number| made(number, 500)).collect()
}

fn everyone_holds(nodes: &[Node], names: &BTreeSet<String>) {
    for node in nodes {
        let mut now = BTreeSet::new();
        let complete = || {
            now = held(node);
            now.is_superset(names)
        };
        wait_until(&format!("{} holds all {}", node.name(), names.len()), WITHIN, complete);
        assert_eq!(&now, names, "{}: and nothing else", node.name());
    }
}

/// Each node publishes `count` events.
fn everyone_publishes(nodes: &[Node], first: usize, count: usize) -> BTreeSet<String> {
    let publish = |(at, node): (usize, &Node)| node.publish(&lines(first + at * 10_000, count));
    nodes.iter().enumerate().flat_map(publish).collect()
}

#[test]
fn a_directory_put_back_to_an_older_copy_gets_everything_again() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let copy = tempfile::TempDir::new().expect("a temporary directory");
    let mut all = everyone_publishes(&nodes, 0, 50);
    everyone_holds(&nodes, &all);
    nodes[1].stop();
    copy_dir(nodes[1].dir(), &copy.path().join("copy"));
    nodes[1].start();
    together(&nodes[1]);

    all.extend(everyone_publishes(&nodes, 1_000, 50));
    everyone_holds(&nodes, &all);
    nodes[1].stop();
    all.extend(nodes[0].publish(&lines(2_000, 10)));
    nodes[1].put_back(&copy.path().join("copy"));
    nodes[1].start();
    all.extend(nodes[1].publish(&lines(3_000, 20)));
    together(&nodes[1]);
    everyone_holds(&nodes, &all);
    all.extend(everyone_publishes(&nodes, 4_000, 20));
    everyone_holds(&nodes, &all);
}

#[test]
fn a_copy_taken_while_the_node_ran_is_as_good() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let copy = tempfile::TempDir::new().expect("a temporary directory");
    let mut all: BTreeSet<String> = BTreeSet::new();
    let (receiver, sender) = (&nodes[1], &nodes[0]);
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            (0..20)
                .flat_map(|round| {
                    pace(Duration::from_millis(10));
                    [
                        sender.publish(&lines(round * 100, 40)),
                        receiver.publish(&lines(50_000 + round * 100, 10)),
                    ]
                })
                .flatten()
                .collect::<Vec<_>>()
        });
        pace(Duration::from_millis(120));
        copy_dir(receiver.dir(), &copy.path().join("copy"));
        all.extend(publishing.join().expect("a publisher"));
    });
    everyone_holds(&nodes, &all);
    nodes[1].kill9();
    nodes[1].put_back(&copy.path().join("copy"));
    nodes[1].start();
    together(&nodes[1]);
    everyone_holds(&nodes, &all);
    all.extend(everyone_publishes(&nodes, 90_000, 20));
    everyone_holds(&nodes, &all);
}

#[test]
fn an_emptied_journal_is_filled_again() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let mut all = everyone_publishes(&nodes, 0, 60);
    everyone_holds(&nodes, &all);
    let before = nodes[2].status()["journal"]["log_id"].clone();
    nodes[2].stop();
    nodes[2].empty_journal();
    nodes[2].start();
    assert_ne!(nodes[2].status()["journal"]["log_id"], before, "an emptied journal is another one");
    all.extend(nodes[2].publish(&lines(70_000, 20)));
    together(&nodes[2]);
    everyone_holds(&nodes, &all);
    all.extend(everyone_publishes(&nodes, 80_000, 20));
    everyone_holds(&nodes, &all);
}

#[test]
fn a_named_consumer_goes_on_after_a_restore() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let copy = tempfile::TempDir::new().expect("a temporary directory");
    let soc = json!({"consumer": "soc"});
    let early = nodes[0].publish(&lines(0, 20));
    let mut consumer = Consumer::open(&nodes[1], &soc);
    let tenth = consumer.take(20)[9].seq;
    consumer.ack(tenth).expect("an ack can be sent");
    consumer.finish();
    nodes[1].stop();
    copy_dir(nodes[1].dir(), &copy.path().join("copy"));
    nodes[1].start();
    let late = nodes[0].publish(&lines(100, 20));
    let mut consumer = Consumer::open(&nodes[1], &soc);
    let last = consumer.take(30)[29].seq;
    consumer.ack(last).expect("an ack can be sent");
    consumer.finish();
    nodes[1].stop();
    nodes[1].put_back(&copy.path().join("copy"));
    nodes[1].start();
    let handed: Vec<_> = Consumer::open(&nodes[1], &soc).take(30).iter().map(Handed::id).collect();
    assert_eq!(handed, [&early[10..], &late[..]].concat(), "it starts anew from its position in the copy");
}

/// Real damage in the middle of an older segment: the node starts with all that is whole, names file and offset with
/// the page that helps, and counts what a consumer cannot get.
#[test]
fn damage_in_an_older_segment_is_named_and_counted() {
    const EVENTS: usize = 3_000;
    let mut node = Node::init("cert-at");
    node.configure("journal", "keep_bytes", "\"8MB\"");
    node.start();
    let lines: Vec<String> = (0..EVENTS).map(|number| made(number, 1_500)).collect();
    node.publish(&lines);
    let request = json!({"consumer": "soc", "own": true});
    node.cli(&["tail", "--consumer", "soc", "--own", "--count", "1"]);
    node.stop();
    let journal = node.dir().join("journal");
    let names = std::fs::read_dir(&journal).expect("a journal").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let mut bytes = std::fs::read(&segments[1]).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segments[1], bytes).expect("a damaged segment");

    node.start();
    let errors = node.status()["errors"].clone();
    let file = format!("journal/{}: offset ", segments[1].file_name().expect("a name").to_string_lossy());
    let told = |error: &Value| {
        error["what"].as_str().is_some_and(|what| what.starts_with(&file))
            && error["hint"] == "see docs/howto/repair-damage.md"
    };
    assert!(errors.as_array().expect("a list").iter().any(told), "{errors}");
    assert!(node.complains("config_bad"));
    let mut soc = Consumer::open(&node, &request);
    let last = soc.take(EVENTS - 2).last().expect("entries").seq;
    assert_eq!(last, EVENTS as u64, "all but the first and the broken one");
    soc.ack(last).expect("an ack can be sent");
    soc.finish();
    assert_eq!(node.consumer("soc")["missing"], 1);
}

/// The disk is lost, with events that came after the backup. The log begins anew, so no seq of the former one is used for
/// another event: peers take what follows, and see neither a clone nor a second event under an id.
#[test]
fn a_node_of_a_backup_gets_everything_again() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let backup = place.path().join("b.tar").display().to_string();
    let mut all = everyone_publishes(&nodes, 0, 20);
    everyone_holds(&nodes, &all);
    nodes[0].cli(&["backup", &backup]);
    all.extend(everyone_publishes(&nodes, 1_000, 20));
    everyone_holds(&nodes, &all);
    let log_id = nodes[0].status()["journal"]["log_id"].clone();
    nodes[0].kill9();
    let dir = nodes[0].dir().display().to_string();
    std::fs::remove_dir_all(&dir).expect("the disk is lost");
    let restored = nodes[0].say(&["restore", &backup, &dir], "");
    assert_eq!(restored.code, 0, "{restored:?}");
    nodes[0].start();
    assert_ne!(nodes[0].status()["journal"]["log_id"], log_id);
    together(&nodes[0]);
    everyone_holds(&nodes, &all);
    all.extend(everyone_publishes(&nodes, 4_000, 20));
    everyone_holds(&nodes, &all);
    for code in ["equivocation", "cloned", "feed_missing"] {
        assert!(nodes.iter().all(|node| !node.complains(code)), "{code}");
    }
}
