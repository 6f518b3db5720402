//! Where something runs out, under real processes: retention, rates, the disk. What goes is counted, what waits is
//! not lost, and nobody else is slowed. It deliberately leaves clocks to `clocks.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::{made, with_meta};
use support::shape::{has_accepted, mesh, start, together, unstarted_mesh};
use support::system::SmallDisk;
use support::{Consumer, Handed, Node, Stopwatch, Submitter, pair, trust, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn lines(first: usize, count: usize, bytes: usize) -> Vec<String> {
    (first..first + count).map(|number| made(number, bytes)).collect()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

#[test]
fn what_retention_takes_from_an_absent_consumer_is_counted_and_still_refused() {
    const EVENTS: usize = 6_000;
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[1].configure("journal", "keep_bytes", "\"2MB\"");
    start(&mut nodes);
    Consumer::open(&nodes[1], &json!({"consumer": "absent"})).finish();
    let sent = nodes[0].publish(&lines(0, EVENTS, 1_000));
    has_accepted(&nodes[1], EVENTS as u64);

    let dropped = wait_for("retention takes the oldest", SOON, || {
        let first = number(&nodes[1].status(), "/journal/first_seq");
        (first > EVENTS as u64 / 2).then_some(first - 1)
    });
    wait_until("what is missing is what was dropped", SOON, || {
        let status = nodes[1].status();
        let dropped = number(&status, "/journal/first_seq") - 1;
        let consumer = nodes[1].consumer("absent");
        consumer["missing"].as_u64() == Some(dropped)
    });
    let bytes = number(&nodes[1].status(), "/journal/bytes");
    assert!(bytes < 4_000_000, "2 MB are kept, and what is being written: {bytes}");
    let warned = nodes[1].status()["health"].to_string();
    println!("{dropped} of {EVENTS} dropped; health: {warned}");

    nodes[1].restart();
    let missing = number(&nodes[1].consumer("absent"), "/missing");
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "absent"}));
    let handed: Vec<_> = consumer.take(EVENTS - missing as usize).iter().map(Handed::id).collect();
    let differs = handed.iter().zip(&sent[missing as usize..]).position(|(came, due)| came != due);
    assert_eq!(differs, None, "exactly what is not missing ({missing}), also after a restart");

    together(&nodes[1]);
    nodes[1].cli(&["feed", "rewind", "cert-at", "--to", "earliest"]);
    wait_until("all is offered again and refused", SOON, || {
        nodes[1].count("cert-at", "/received/refused") >= EVENTS as u64
    });
    assert_eq!(nodes[1].accepted(), 0, "what was dropped is still known");
}

#[test]
fn an_own_event_that_retention_took_is_not_taken_anew() {
    let mut node = Node::init("cert-at");
    node.configure("journal", "keep_bytes", "\"2MB\"");
    node.start();
    let uuid = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    let first = with_meta(&json!({"version": 1, "uuid": {"current": uuid}}), &made(0, 500));
    let id = node.publish(std::slice::from_ref(&first)).remove(0);
    let mut next = 1;
    wait_until("retention takes the first event", SOON, || {
        node.publish(&lines(next, 500, 1_000));
        next += 500;
        number(&node.status(), "/journal/first_seq") > 1
    });
    let answer = node.submit(&[first]).remove(0);
    let known = answer == json!({"id": id, "duplicate": true}) || answer["code"] == "id_conflict";
    assert!(known, "its name is not free: {answer}");
}

/// Four nodes: `cert-at` floods `cert-ee`, which limits it; `cert-pl` and `cert-cz` must not notice.
#[test]
fn a_rate_loses_nothing_and_slows_nobody_else() {
    const FLOOD: usize = 800;
    let mut nodes: Vec<_> = ["cert-at", "cert-ee", "cert-pl", "cert-cz"].map(Node::init).into();
    for (one, other) in [(0, 1), (2, 1), (0, 3)] {
        pair(&nodes[one], &nodes[other]);
    }
    nodes[1].configure_peer("cert-at", "receive", "rate", "\"100/s\"");
    start(&mut nodes);
    let watch = Stopwatch::start();
    let flood: BTreeSet<_> = nodes[0].publish(&lines(0, FLOOD, 500)).into_iter().collect();
    let other = nodes[2].publish(&lines(10_000, 5, 500));
    wait_until("another peer's events pass", Duration::from_secs(6), || {
        nodes[1].count("cert-pl", "/received/accepted") == 5
    });
    wait_until("another reader gets all at once", Duration::from_secs(6), || {
        nodes[3].accepted() == FLOOD as u64
    });
    assert!(nodes[1].count("cert-at", "/received/accepted") < FLOOD as u64, "the limited one still waits");
    has_accepted(&nodes[1], FLOOD as u64 + 5);
    let took = watch.elapsed();
    println!("{FLOOD} events at 100/s took {took:?}");
    assert!(took > Duration::from_secs(6) && took < Duration::from_secs(60), "{took:?}");
    let handed = Consumer::open(&nodes[1], &json!({"from": "earliest"})).take(FLOOD + 5);
    let names: BTreeSet<_> = handed.iter().map(Handed::id).collect();
    assert!(names.is_superset(&flood) && other.iter().all(|id| names.contains(id)), "nothing is lost");
}

#[test]
fn a_rate_per_publisher_holds_up_only_that_publisher() {
    const FLOOD: usize = 400;
    let mut nodes: Vec<_> = ["cert-at", "hub", "cert-ee", "cert-pl"].map(Node::init).into();
    for spoke in [0, 2, 3] {
        pair(&nodes[1], &nodes[spoke]);
    }
    trust(&nodes[2], &nodes[0], false);
    trust(&nodes[2], &nodes[3], false);
    nodes[2].configure_peer("hub", "receive", "rate_per_publisher", "\"100/s\"");
    start(&mut nodes);
    let watch = Stopwatch::start();
    nodes[0].publish(&lines(0, FLOOD, 500));
    has_accepted(&nodes[1], FLOOD as u64);
    let quiet = nodes[3].publish(&lines(10_000, 5, 500));
    let mut consumer = Consumer::open(&nodes[2], &json!({"from": "earliest"}));
    let mut passed: Vec<String> = Vec::new();
    let mut before = 0;
    while passed.len() < 5 {
        let event = consumer.take_one();
        match event.text("/publisher").as_str() {
            "cert-pl" => passed.push(event.id()),
            _ => before += 1,
        }
    }
    passed.sort();
    let mut expected = quiet;
    expected.sort();
    assert_eq!(passed, expected);
    assert!(before < FLOOD, "the quiet publisher did not wait for all {before} of the loud one");
    has_accepted(&nodes[2], FLOOD as u64 + 5);
    assert_eq!(consumer.take(FLOOD - before).len(), FLOOD - before, "nothing is lost");
    let took = watch.elapsed();
    println!("{before} of {FLOOD} came before the quiet publisher's, all took {took:?}");
    assert!(took > Duration::from_millis(2_000) && took < Duration::from_secs(60), "{took:?}");
}

/// Submits until the node says that the disk is full; gives the names of what was taken.
fn submit_until_full(node: &Node) -> Vec<String> {
    let mut submitter = Submitter::connect(node).expect("in.sock can be connected to");
    let mut taken = Vec::new();
    for number in 0..100_000 {
        let answer = submitter.ask(&made(number, 60_000));
        match answer["id"].as_str() {
            Some(id) => taken.push(id.to_owned()),
            None => {
                assert_eq!(
                    (&answer["code"], &answer["retry"]),
                    (&json!("disk_full"), &json!(true)),
                    "{answer}"
                );
                return taken;
            }
        }
    }
    panic!("the disk never got full");
}

#[test]
fn a_full_disk_defers_with_retry_and_goes_on_when_freed() {
    let disk = SmallDisk::of(160);
    let mut nodes = vec![Node::init("cert-at"), Node::init_in(disk.path(), "cert-ee")];
    pair(&nodes[0], &nodes[1]);
    nodes[1].configure("journal", "keep_bytes", "\"90MB\"");
    start(&mut nodes);
    let mut ours: BTreeSet<_> = nodes[1].publish(&lines(0, 10, 1_000)).into_iter().collect();
    let ballast = disk.fill();
    ours.extend(submit_until_full(&nodes[1]));
    assert!(nodes[1].runs(), "a full disk is no reason to stop");
    wait_until("the full disk is named", SOON, || nodes[1].complains("disk_low"));
    let theirs = nodes[0].publish(&lines(50_000, 50, 100_000));
    let refused = nodes[1].submit(&[made(99_999, 60_000)]).remove(0);
    assert_eq!((&refused["code"], &refused["retry"]), (&json!("disk_full"), &json!(true)));

    std::fs::remove_file(ballast).expect("the ballast can be removed");
    let id = wait_for("submissions go on", SOON, || {
        nodes[1].submit(&[made(100_000, 1_000)])[0]["id"].as_str().map(str::to_owned)
    });
    ours.insert(id);
    ours.extend(theirs);
    has_accepted(&nodes[1], 50);
    nodes[1].restart();
    let mut all = Consumer::open(&nodes[1], &json!({"from": "earliest", "own": true}));
    let held: BTreeSet<_> = all.take(ours.len()).iter().map(Handed::id).collect();
    assert_eq!(held, ours, "nothing accepted was dropped, nothing offered was lost");
}

#[test]
fn a_consumer_that_never_reads_slows_nobody() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let _idle = Consumer::open(&nodes[1], &json!({"consumer": "idle"}));
    let _unnamed = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    let mut reads = Consumer::open(&nodes[1], &json!({"consumer": "reads"}));
    nodes[0].publish(&lines(0, 5_000, 2_000));
    assert_eq!(reads.take(5_000).len(), 5_000);
    wait_until("the lag of the idle one is known", SOON, || {
        nodes[1].consumer("idle")["lag_events"].as_u64() == Some(5_000)
    });
}
