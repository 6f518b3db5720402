//! Bytes that nobody should send, at the peer port and at the sockets of a real node: each gets its named error, the
//! node goes on, its memory stays bounded. It deliberately speaks no protocol of peers: forged frames and
//! envelopes are tests of `wire`, `envelope` and the core.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::pipeline::PATIENCE;
use support::shape::{mesh, together};
use support::system::memory;
use support::{Consumer, Dice, Node, Submitter, wait_until};

const MEBIBYTE: u64 = 1024 * 1024;

/// A node that holds nothing may never have used more than this.
const PEAK_BYTES_MAX: u64 = 160 * MEBIBYTE;

fn running() -> Node {
    let mut node = Node::init("cert-at");
    node.start();
    node
}

/// The node still takes an event and gives it out, and never used much memory.
fn is_well(node: &mut Node) {
    assert!(node.runs(), "{}", node.log());
    let id = node.publish(&[made(1, 300)]).remove(0);
    let mut consumer = Consumer::open(node, &json!({"from": "earliest", "own": true}));
    assert!(std::iter::from_fn(|| Some(consumer.take_one())).any(|event| event.id() == id));
    let peak = memory(node.pid(), "VmHWM");
    println!("peak memory {} MiB", peak / MEBIBYTE);
    assert!(peak < PEAK_BYTES_MAX, "peak memory {peak}");
    assert!(!node.log().contains("panicked"), "{}", node.log());
    node.stop();
}

/// What each bad line is answered with.
fn bad_lines() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let nested = |depth: usize| format!(r#"{{"extra.a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let text = |line: &str| line.as_bytes().to_vec();
    vec![
        ("half a line", text(r#"{"source.ip":"#), "bad_json"),
        ("no JSON", text("hello"), "bad_json"),
        ("two values", text(r#"{"a":1}{"b":2}"#), "bad_json"),
        ("not UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec(), "bad_json"),
        ("half a surrogate pair", text(r#"{"a":"\ud800"}"#), "bad_json"),
        ("a list", text("[1,2]"), "not_object"),
        ("nothing in it", text("{}"), "empty"),
        ("the same key twice", text(r#"{"a":1,"a":2}"#), "duplicate_key"),
        ("the same key twice, escaped", text(r#"{"a":1,"\u0061":2}"#), "duplicate_key"),
        ("the same key twice, deep inside", text(r#"{"extra.a":[{"b":{"c":1,"c":1}}]}"#), "duplicate_key"),
        ("NaN", text(r#"{"a":NaN}"#), "bad_number"),
        ("Infinity", text(r#"{"a":-Infinity}"#), "bad_number"),
        ("65 levels", nested(65).into_bytes(), "too_deep"),
        ("100,000 levels", nested(100_000).into_bytes(), "too_deep"),
        ("a key of 5 KB", format!(r#"{{"{}":1}}"#, "k".repeat(5_000)).into_bytes(), "too_large"),
        ("2 MB", made(1, 2_000_000).into_bytes(), "too_large"),
        ("20 MB", made(1, 20_000_000).into_bytes(), "too_large"),
        ("meta that is none", text(r#"{"meta":7,"payload":{"a":1}}"#), "bad_meta"),
        ("a version that is no number", text(r#"{"meta":{"version":"x"},"payload":{"a":1}}"#), "bad_meta"),
        (
            "a name that is none",
            text(r#"{"meta":{"version":1,"uuid":{"current":"zz"}},"payload":{"a":1}}"#),
            "bad_id",
        ),
        ("an unknown label", text(r#"{"meta":{"version":1,"tlp":"PURPLE"},"payload":{"a":1}}"#), "bad_tlp"),
        ("RED unsealed", text(r#"{"source.ip":"192.0.2.1","tlp":"RED"}"#), "bad_tlp"),
        ("sealed to nobody", text(r#"{"meta":{"version":1,"seal":true},"payload":{"a":1}}"#), "bad_meta"),
        ("many values", text(r#"{"source.ip":["192.0.2.1","192.0.2.2"]}"#), "multi_value"),
    ]
}

#[test]
fn each_bad_line_gets_its_code_and_the_connection_goes_on() {
    let mut node = running();
    let mut submitter = Submitter::connect(&node).expect("in.sock can be connected to");
    let mut line_number = 0;
    for (what, line, code) in bad_lines() {
        submitter.send_bytes(b"\n").expect("a blank line");
        submitter.send_bytes(&line).expect("the connection stands");
        submitter.send_bytes(b"\n").expect("the connection stands");
        line_number += 2;
        let answer =
            submitter.answer().expect("in.sock answers").unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer["code"], code, "{what}: {answer}");
        assert_eq!(answer["line"], line_number, "{what}: {answer}");
        assert!(answer["error"].is_string() && answer.get("retry").is_none(), "{what}: {answer}");
    }
    assert!(submitter.ask(&made(2, 300))["id"].is_string());
    submitter.send_bytes(made(3, 300).as_bytes()).expect("the connection stands");
    submitter.finish();
    let last = submitter.answer().expect("in.sock answers").expect("the last line needs no newline");
    assert!(last["id"].is_string(), "{last}");
    assert_eq!(node.status()["journal"]["last_seq"], 2, "nothing bad was stored");
    is_well(&mut node);
}

#[test]
fn random_bytes_at_the_sockets_harm_nobody() {
    let mut dice = Dice::announced("--test hostile peers::");
    let mut node = running();
    for socket in ["in.sock", "out.sock", "ctl.sock"] {
        for round in 0..60 {
            let mut stream = node.socket(socket).expect("the socket can be connected to");
            let length = if round == 0 { 6_000_000 } else { dice.below(3_000) as usize };
            let mut bytes = dice.bytes(length);
            if dice.below(2) == 0 {
                bytes.push(b'\n');
            }
            // Answers are read meanwhile: a client that never reads them is waited for.
            let mut answers = stream.try_clone().expect("a socket can be cloned");
            let reader = std::thread::spawn(move || drop(answers.read_to_end(&mut Vec::new())));
            let _ = stream.write_all(&bytes);
            let end = if dice.below(2) == 0 { Shutdown::Write } else { Shutdown::Both };
            let _ = stream.shutdown(end);
            if end == Shutdown::Write {
                wait_until("the node closes what has ended", PATIENCE, || reader.is_finished());
            }
        }
    }
    assert_eq!(node.status()["journal"]["last_seq"], 0);
    is_well(&mut node);
}

#[test]
fn bad_requests_at_out_sock_get_one_line_and_the_end() {
    let mut node = running();
    let wrong = [
        json!([]),
        json!({"consumer": 7}),
        json!({"consumer": "a/b".repeat(2_000)}),
        json!({"from": -1}),
        json!({"from": {"a": 1}}),
        json!({"form": "yaml"}),
        json!({"filter": "event["}),
        json!({"ack": "yes"}),
    ];
    for request in wrong {
        let mut consumer = Consumer::open(&node, &request);
        let line = consumer.take_one().line;
        let refused: Value = serde_json::from_str(&line).expect("JSON");
        assert!(refused["error"].is_string() && refused["code"].is_string(), "{request}: {line}");
        assert!(consumer.rest(Duration::from_secs(5)).is_empty() && consumer.ended(), "{request}: closed");
    }
    is_well(&mut node);
}

#[test]
fn a_hundred_idle_connections_at_each_socket_harm_nobody() {
    let mut node = running();
    let mut held = Vec::new();
    for socket in ["in.sock", "out.sock"] {
        held.extend((0..100).filter_map(|_| node.socket(socket).ok()));
    }
    assert!(held.len() > 100);
    drop(held);
    is_well(&mut node);
}

#[test]
fn strangers_at_the_peer_port_neither_harm_nor_lock_out_a_peer() {
    let mut dice = Dice::announced("--test hostile peers::");
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let place = ("127.0.0.1", nodes[0].port());
    for round in 0..200 {
        let Ok(mut stream) = TcpStream::connect(place) else { continue };
        let bytes = match round % 4 {
            0 => dice.bytes(600),
            1 => b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n".to_vec(),
            2 => [b"\x13/multistream/1.0.0\n\x07/noise\n".as_slice(), &dice.bytes(3_000)].concat(),
            _ => [b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff".as_slice(), &vec![0; 70_000]].concat(),
        };
        let _ = stream.write_all(&bytes);
    }
    let _silent: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(place).ok()).collect();
    assert!(nodes[0].connected("cert-ee"), "who is connected stays so");
    nodes[1].restart();
    together(&nodes[1]);
    let id = nodes[1].publish(&[made(9, 300)]).remove(0);
    wait_until("the peer's event comes", Duration::from_secs(60), || nodes[0].accepted() >= 1);
    let mut consumer = Consumer::open(&nodes[0], &json!({"from": "earliest"}));
    assert_eq!(consumer.take_one().id(), id);
    let strangers = nodes[0].status()["strangers"].as_array().map_or(0, Vec::len);
    assert!(strangers <= 64, "{strangers} strangers are remembered");
    is_well(&mut nodes[0]);
}
