//! Promise 1 as the kernel sees it: between the last write of an event to the journal and its answer on `in.sock`
//! lies an `fdatasync` that has returned. It deliberately reads a trace of system calls, not the program.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::json;
use support::events::made;
use support::node::free_port;
use support::shape::{has_accepted, mesh};
use support::{Consumer, Node, Submitter};

const EVENTS: usize = 40;

/// How much of each write is traced: a batch of all events in one write.
const STRING_BYTES: &str = "1048576";

/// One line of the trace: which call, on which file, from entry to return.
struct Call {
    entered: usize,
    returned: usize,
    name: String,
    /// Everything after the name: the arguments, the file's path among them (`strace -yy`).
    text: String,
}

fn traced(node: &mut Node, trace: &Path) {
    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,openat";
    let file = trace.to_str().expect("a path in UTF-8");
    node.set_prefix(&["strace", "-D", "-f", "-yy", "-s", STRING_BYTES, "-e", calls, "-o", file]);
}

/// The calls of a trace in the order of their return; those that never returned are left out.
fn read_trace(text: &str) -> Vec<Call> {
    let mut open: Vec<(String, usize, String, String)> = Vec::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let place = open.iter().position(|(thread, ..)| thread == pid);
            let Some(place) = place else { continue };
            let (_, entered, name, before) = open.remove(place);
            calls.push(Call { entered, returned: at, name, text: before + resumed });
        } else if let Some((name, arguments)) = rest.split_once('(') {
            if let Some(begun) = arguments.strip_suffix("<unfinished ...>") {
                open.push((pid.to_owned(), at, name.to_owned(), begun.to_owned()));
            } else {
                let (name, text) = (name.to_owned(), arguments.to_owned());
                calls.push(Call { entered: at, returned: at, name, text });
            }
        }
    }
    calls
}

fn is_write(call: &Call) -> bool {
    call.name.starts_with("write") || call.name.starts_with("pwrite") || call.name.starts_with("send")
}

fn is_sync(call: &Call) -> bool {
    call.name == "fdatasync" || call.name == "fsync"
}

/// `journal/x.seg` of a call on such a file.
fn journal_file(call: &Call) -> Option<&str> {
    let path = call.text.split_once('<')?.1.split_once('>')?.0;
    path.contains("/journal/").then_some(path)
}

/// Checks that `marker` was written to the journal, then synced there, and only then spoken of in `answer`.
fn check_order(calls: &[Call], marker: &str, answer: &str) {
    let told = calls
        .iter()
        .find(|call| is_write(call) && call.text.contains("<UNIX") && call.text.contains(answer))
        .unwrap_or_else(|| panic!("{answer} was never written to a local socket"));
    check_synced(calls, marker, told);
}

/// Checks that `marker` was written to the journal, then synced there, and only then `told`.
fn check_synced(calls: &[Call], marker: &str, told: &Call) {
    let written = calls
        .iter()
        .filter(|call| is_write(call) && journal_file(call).is_some() && call.text.contains(marker))
        .max_by_key(|call| call.returned)
        .unwrap_or_else(|| panic!("{marker} was never written to the journal"));
    assert!(written.returned < told.entered, "{marker}: told before it was written");
    let synced = calls.iter().any(|call| {
        is_sync(call)
            && journal_file(call) == journal_file(written)
            && call.entered > written.returned
            && call.returned < told.entered
    });
    assert!(synced, "{marker}: no fdatasync between line {} and line {}", written.returned, told.entered);
}

#[test]
fn each_answer_of_in_sock_comes_after_the_fdatasync_of_its_event() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let trace = place.path().join("trace");
    let mut node = Node::init("cert-at");
    traced(&mut node, &trace);
    node.start();
    let mut submitter = Submitter::connect(&node).expect("in.sock can be connected to");
    let ids: Vec<_> = (0..EVENTS)
        .map(|number| {
            let answer = submitter.ask(&made(number, 500));
            answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
        })
        .collect();
    let together: Vec<_> = (EVENTS..2 * EVENTS).map(|number| made(number, 500)).collect();
    let more = node.publish(&together);
    node.stop();

    let text = std::fs::read_to_string(&trace).expect("a trace: is strace installed?");
    let calls = read_trace(&text);
    for (number, id) in ids.iter().chain(&more).enumerate() {
        check_order(&calls, &format!("host-{number}.example.net"), id);
    }
    let created = calls.iter().any(|call| call.name == "openat" && call.text.contains("/journal/"));
    let entry_synced = calls.iter().any(|call| call.name == "fsync" && call.text.contains("/journal>"));
    assert!(created && entry_synced, "the directory is synced where a segment was made");
}

#[test]
fn an_event_is_handed_off_only_once_it_is_synced_here() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let trace = place.path().join("trace");
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[1].stop();
    traced(&mut nodes[1], &trace);
    nodes[1].start();
    let mut consumer = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    let lines: Vec<_> = (0..EVENTS).map(|number| made(number, 500)).collect();
    let ids = nodes[0].publish(&lines);
    has_accepted(&nodes[1], EVENTS as u64);
    consumer.take(EVENTS);
    nodes[1].stop();
    let calls = read_trace(&std::fs::read_to_string(&trace).expect("a trace: is strace installed?"));
    for (number, id) in ids.iter().enumerate() {
        check_order(&calls, &format!("host-{number}.example.net"), id);
    }
}

/// IntelMQ's TCP output waits for two bytes with one `recv(2)`: they come in one piece, and only once it is synced.
#[test]
fn each_ok_of_a_tcp_door_is_one_write_after_the_fdatasync_of_its_event() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let trace = place.path().join("trace");
    let mut node = Node::init("cert-at");
    let port = free_port();
    let door = format!("\n[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n");
    node.edit("intelmesh.toml", |text| text + &door);
    traced(&mut node, &trace);
    node.start();
    let mut bot = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the door listens");
    for number in 0..EVENTS {
        let event = made(number, 500);
        let length = u32::try_from(event.len()).expect("a short event").to_be_bytes();
        bot.write_all(&[&length[..], event.as_bytes()].concat()).expect("the door takes a frame");
        let mut answer = [0; 2];
        bot.read_exact(&mut answer).expect("the door answers");
        assert_eq!(&answer, b"Ok");
    }
    node.stop();
    let calls = read_trace(&std::fs::read_to_string(&trace).expect("a trace: is strace installed?"));
    let told: Vec<_> = calls
        .iter()
        .filter(|call| {
            is_write(call) && call.text.contains("<TCP:") && call.text.contains(&format!(":{port}->"))
        })
        .collect();
    assert_eq!(told.len(), EVENTS, "one write for each answer");
    for (number, told) in told.iter().enumerate() {
        assert!(told.text.contains("\"Ok\""), "{}", told.text);
        check_synced(&calls, &format!("host-{number}.example.net"), told);
    }
}
