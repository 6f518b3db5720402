//! Senders and receivers of lines that know nothing of `Ok`: filebeat, logstash, a shell.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use support::events::made;
use support::wait_until;

use super::bots::{Output, PATIENCE, aside, node_with_input, own_events};

/// Sends all lines at once, reads nothing, and closes.
fn pour(port: u16, lines: std::ops::Range<usize>, size: usize) {
    let mut sender = Output::connect(port);
    let text: String = lines.map(|number| made(number, size) + "\n").collect();
    sender.0.write_all(text.as_bytes()).expect("the door reads");
    sender.0.shutdown(Shutdown::Write).expect("it ends");
}

#[test]
fn a_sender_that_reads_no_answers_loses_nothing() {
    for answers in ["", "answers = false\n"] {
        let (node, port) = node_with_input(&format!("separator = \"\\n\"\n{answers}"));
        for round in 0..4 {
            pour(port, round * 5_000..(round + 1) * 5_000, 300);
        }
        wait_until("all are taken", PATIENCE, || {
            node.door("intelmq-tcp")["submit"]["accepted"] == json!(20_000)
        });
    }
}

#[test]
fn a_door_without_answers_says_nothing() {
    let (node, port) = node_with_input("answers = false\n");
    let mut bot = Output::connect(port);
    bot.send(&made(1, 300));
    assert_eq!(own_events(&node, 1).len(), 1);
    assert_eq!(bot.said(), b"");
}

/// Nobody sends them again: what the node cannot take any more is kept for the operator.
#[test]
fn lines_on_their_way_are_kept_when_the_node_stops() {
    let (mut node, port) = node_with_input("separator = \"\\n\"\n");
    let count = 300;
    pour(port, 0..count, 100);
    wait_until("the door has begun to take them", PATIENCE, || {
        node.door("intelmq-tcp")["submit"]["accepted"].as_u64().is_some_and(|taken| taken > 0)
    });
    node.stop();
    node.start();
    let kept = aside(node.dir(), "intelmq-tcp");
    assert!(kept.iter().all(|record| record["code"] == "stopping"), "{kept:?}");
    let taken = node.status()["journal"]["last_seq"].as_u64().expect("a seq");
    assert_eq!(taken + kept.len() as u64, count as u64);
    if !kept.is_empty() {
        assert_eq!(node.say(&["aside", "retry", "intelmq-tcp"], "").code, 0);
        assert_eq!(own_events(&node, count).len(), count);
    }
}

/// The next door waits until the connections of the old one have ended, however much they send.
#[test]
fn steady_sender_does_not_hold_up_a_reload() {
    /// Ten seconds of lines: much longer than a reload takes.
    const LINES_MAX: usize = 200;
    let (mut node, port) = node_with_input("separator = \"\\n\"\nanswers = false\n");
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sender = Output::connect(port);
            let sent = (0..LINES_MAX).take_while(|number| {
                let line = made(*number, 300) + "\n";
                if sender.0.write_all(line.as_bytes()).is_err() {
                    sender = Output::connect(port);
                }
                begun.store(true, Ordering::Relaxed);
                support::pace(Duration::from_millis(50));
                !over.load(Ordering::Relaxed)
            });
            sent.count()
        });
        wait_until("it sends", PATIENCE, || begun.load(Ordering::Relaxed));
        node.edit("intelmesh.toml", |text| text + "tlp = \"AMBER\"\n");
        assert_eq!(node.cli(&["reload"]), "in force now: door intelmq-tcp\n");
        over.store(true, Ordering::Relaxed);
        assert!(sender.join().expect("it sends") < LINES_MAX, "the reload waited for the sender");
    });
}
