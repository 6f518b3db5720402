//! Time and identity under real processes: a clock that jumps expires nothing, an id that was used stays used, and
//! two bodies under one id are shown where they meet. It deliberately leaves the arithmetic to `clock` and `store`.

use std::time::Duration;

use serde_json::json;
use support::events::{made, with_meta};
use support::shape::{has_accepted, start, together, unstarted_mesh};
use support::system::{FakeClock, timestamp_in};
use support::{Consumer, Node, pace, pair, wait_until};

const SOON: Duration = Duration::from_secs(30);
const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";

fn named(uuid: &str, number: usize) -> String {
    with_meta(&json!({"version": 1, "uuid": {"current": uuid}}), &made(number, 500))
}

fn journal_holds_all(node: &Node, count: usize) {
    let status = node.status();
    assert_eq!(status["journal"]["first_seq"], 1, "nothing expired");
    let mut all = Consumer::open(node, &json!({"from": "earliest", "own": true}));
    assert_eq!(all.take(count).len(), count);
}

#[test]
fn a_clock_36_hours_ahead_and_back_expires_nothing() {
    const EVENTS: usize = 200;
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[1].configure("journal", "keep_days", "1");
    let clock = FakeClock::for_node(&mut nodes[1]);
    start(&mut nodes);
    let lines: Vec<_> = (0..EVENTS).map(|number| made(number, 500)).collect();
    nodes[0].publish(&lines);
    nodes[1].publish(&[named(UUID, 0)]);
    has_accepted(&nodes[1], EVENTS as u64);
    let floor = nodes[1].status()["seen"]["floor"].clone();

    clock.set("+36h");
    wait_until("the jump is noticed", SOON, || nodes[1].complains("clock_off"));
    assert_eq!(nodes[1].status()["clock"]["ok"], false);
    journal_holds_all(&nodes[1], EVENTS + 1);
    nodes[1].restart();
    together(&nodes[1]);
    assert!(nodes[1].complains("clock_off"), "also at start");
    journal_holds_all(&nodes[1], EVENTS + 1);
    assert_eq!(nodes[1].submit(&[named(UUID, 0)])[0]["duplicate"], true);

    clock.set("+0");
    wait_until("the clock is right again", SOON, || nodes[1].status()["clock"]["ok"] == true);
    journal_holds_all(&nodes[1], EVENTS + 1);
    assert_eq!(nodes[1].status()["seen"]["floor"], floor, "the floor stayed");
    let late = nodes[0].publish(&[made(5_000, 500)]);
    let mut all = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    assert_eq!(all.take(EVENTS + 1).last().map(support::Handed::id), late.first().cloned());
    nodes[1].restart();
    assert_eq!(nodes[1].submit(&[named(UUID, 0)])[0]["duplicate"], true);
}

#[test]
fn the_same_id_a_minute_a_day_and_a_restart_later_is_a_duplicate() {
    let mut node = Node::init("cert-at");
    let clock = FakeClock::for_node(&mut node);
    node.start();
    let line = named(UUID, 1);
    let duplicate = json!({"id": format!("cert-at:intelmq:{UUID}"), "duplicate": true});
    assert_eq!(node.submit(std::slice::from_ref(&line))[0], json!({"id": duplicate["id"]}));
    for later in ["+0", "+61s", "+25h"] {
        clock.set(later);
        assert_eq!(node.submit(std::slice::from_ref(&line))[0], duplicate, "{later}");
        node.restart();
        assert_eq!(node.submit(std::slice::from_ref(&line))[0], duplicate, "{later} and a restart");
        node.kill9();
        node.start();
        assert_eq!(node.submit(std::slice::from_ref(&line))[0], duplicate, "{later} and kill -9");
    }
    assert_eq!(node.submit(&[named(UUID, 2)])[0]["code"], "id_conflict", "another body under that id");
    assert_eq!(node.status()["journal"]["last_seq"], 1);
}

/// `cert-at` runs twice, with one key, where neither sees the other: each signs another body under one id.
#[test]
fn equivocation_shows_in_status_at_both_nodes_where_it_meets() {
    let mut one = Node::init("cert-at");
    let mut other = one.twin();
    let (mut left, mut right) = (Node::init("cert-ee"), Node::init("cert-pl"));
    pair(&one, &left);
    pair(&other, &right);
    pair(&left, &right);
    for node in [&mut one, &mut other, &mut left, &mut right] {
        node.start();
    }
    for (publisher, reader) in [(&one, &left), (&other, &right)] {
        together(publisher);
        let number = usize::from(publisher.port());
        publisher.publish(&[named(UUID, number)]);
        let mut handed = Consumer::open(reader, &json!({"from": "earliest"}));
        let first = handed.take_one();
        assert_eq!(first.id(), format!("cert-at:intelmq:{UUID}"));
    }
    for node in [&left, &right] {
        wait_until("equivocation is shown", SOON, || node.complains("equivocation"));
        assert_eq!(node.accepted(), 1, "{}: the first stored wins", node.name());
    }
    let after = right.publish(&[made(7, 500)]);
    wait_until("the feed goes on", SOON, || left.accepted() == 2);
    let mut all = Consumer::open(&left, &json!({"from": "earliest"}));
    assert_eq!(all.take(2)[1].id(), after[0]);
}

#[test]
fn an_expired_event_is_neither_shared_nor_handed_off() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[0].start();
    let meta = |seconds: i64| json!({"version": 1, "expires": timestamp_in(seconds)});
    let lines = [with_meta(&meta(2), &made(1, 300)), with_meta(&meta(3_600), &made(2, 300))];
    let ids = nodes[0].publish(&lines);
    pace(Duration::from_secs(3));
    let own = json!({"from": "earliest", "own": true});
    assert_eq!(Consumer::open(&nodes[0], &own).take_one().id(), ids[1], "it is not handed off");
    nodes[1].start();
    nodes.iter().for_each(together);
    let mut all = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    assert_eq!(all.take_one().id(), ids[1], "it is not shared");
    wait_until("it is counted as withheld", SOON, || nodes[0].count("cert-ee", "/sent/withheld") == 1);
}
