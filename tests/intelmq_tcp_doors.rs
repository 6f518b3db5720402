//! The TCP doors as IntelMQ's bots see them on the wire: frames in and `Ok` out, and the other way round. The
//! bots here are written for these tests, so that they can misbehave; IntelMQ's own are run elsewhere.
#![cfg(feature = "node")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use support::events::{made, tokens};
use support::node::free_port;
use support::shape::{start, unstarted_mesh};
use support::{Consumer, Node, wait_for, wait_until};

const PATIENCE: Duration = Duration::from_secs(40);
/// Within this nothing may come that must not come.
const QUIET: Duration = Duration::from_millis(400);

/// IntelMQ's TCP output, or what behaves a little differently.
struct Output(TcpStream);

impl Output {
    fn connect(port: u16) -> Self {
        let stream = wait_for("the door can be connected to", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(stream)
    }

    fn send(&mut self, body: &str) {
        self.0.write_all(&frame(body.as_bytes())).expect("the door takes a frame");
    }

    /// What one `recv(2)` gives, as the bot calls it.
    fn answer(&mut self) -> Vec<u8> {
        let mut answer = [0; 2];
        let read = self.0.read(&mut answer).expect("the door answers");
        answer[..read].to_vec()
    }

    fn deliver(&mut self, body: &str) {
        self.send(body);
        assert_eq!(self.answer(), b"Ok", "for {body}");
    }

    /// What comes within a moment; nothing is what is wanted.
    fn said(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(QUIET)).expect("a timeout");
        let mut said = vec![0; 64];
        let read = match self.0.read(&mut said) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            other => other.expect("the door can be read"),
        };
        self.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        said.truncate(read);
        said
    }
}

/// IntelMQ's TCP collector, or what behaves a little differently.
struct Collector {
    listener: TcpListener,
    port: u16,
}

impl Collector {
    fn listen() -> Self {
        Self::listen_at(free_port())
    }

    fn listen_at(port: u16) -> Self {
        let listener = wait_for("the port is free", PATIENCE, || TcpListener::bind(("127.0.0.1", port)).ok());
        Self { listener, port }
    }

    fn accept(&self) -> TcpStream {
        self.listener.set_nonblocking(true).expect("a listener");
        let stream = wait_for("the node connects", PATIENCE, || match self.listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        stream.set_nonblocking(false).expect("a stream");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).expect("a short body").to_be_bytes()[..], body].concat()
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn must_read(stream: &mut TcpStream) -> Value {
    serde_json::from_slice(&read_frame(stream).expect("a frame")).expect("JSON")
}

fn add(node: &mut Node, section: &str) {
    node.edit("intelmesh.toml", |text| text + "\n" + section);
}

/// A node with one door for IntelMQ's TCP output, running.
fn node_with_input(more: &str) -> (Node, u16) {
    let mut node = Node::init("cert-at");
    let port = free_port();
    add(&mut node, &format!("[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n{more}"));
    node.start();
    (node, port)
}

/// Two nodes; the second hands off to a collector at `port` under the name `pipeline`.
fn nodes_with_output(port: u16, more: &str) -> Vec<Node> {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let section =
        format!("[[consumer]]\nname = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{port}\"\n");
    add(&mut nodes[1], &(section + more));
    start(&mut nodes);
    nodes
}

fn door(node: &Node, name: &str) -> Value {
    let status = node.status();
    let doors = status["doors"].as_array().cloned().unwrap_or_default();
    doors.into_iter().find(|door| door["name"] == name).unwrap_or_else(|| panic!("no door {name}: {status}"))
}

fn own_events(node: &Node, count: usize) -> Vec<String> {
    let mut consumer = Consumer::open(node, &json!({"from": "earliest", "own": true, "form": "plain"}));
    let lines = consumer.take(count).into_iter().map(|event| event.line).collect();
    assert!(consumer.rest(QUIET).is_empty(), "more than {count} events");
    lines
}

/// What has no `uuid` of ours any more but is otherwise the same.
fn without_annotations(event: &Value) -> BTreeMap<String, Value> {
    let fields = event.as_object().expect("an object");
    let own = |key: &&String| !key.starts_with("extra.intelmesh.");
    fields.keys().filter(own).map(|key| (key.clone(), fields[key].clone())).collect()
}

fn parsed(text: &str) -> BTreeMap<String, Value> {
    without_annotations(&serde_json::from_str(text).expect("JSON"))
}

#[test]
fn a_bot_that_sends_again_is_told_ok_and_the_event_is_stored_once() {
    let (node, port) = node_with_input("");
    let mut bot = Output::connect(port);
    assert_eq!(bot.said(), b"", "the collector says nothing first");
    let events: Vec<_> = (0..20).map(|number| made(number, 500)).collect();
    for event in &events {
        bot.deliver(event);
    }
    let mut again = Output::connect(port);
    for event in &events {
        again.deliver(event);
    }
    assert_eq!(again.said(), b"");
    let stored: Vec<_> = own_events(&node, events.len()).iter().map(|line| tokens(line)).collect();
    assert_eq!(stored, events.iter().map(|event| tokens(event)).collect::<Vec<_>>());
    let submit = &door(&node, "intelmq-tcp")["submit"];
    assert_eq!((&submit["accepted"], &submit["duplicates"]), (&json!(20), &json!(20)), "{submit}");
    assert_eq!(submit["clients"], 2);
}

#[test]
fn an_event_goes_from_bot_to_collector_and_only_ok_moves_the_position() {
    let collector = Collector::listen();
    let nodes = nodes_with_output(collector.port, "");
    let mut stream = collector.accept();
    let events: Vec<_> = (0..5).map(|number| made(number, 500)).collect();
    nodes[0].publish(&events);
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&events[0]));
    assert_eq!(nodes[1].consumer("pipeline")["position"], 0, "nothing was acknowledged");
    stream.write_all(b"O").expect("half an answer");
    stream.write_all(b"k").expect("the other half");
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&events[1]), "the halves are one answer");
    drop(stream);
    let mut stream = collector.accept();
    for event in &events[1..] {
        assert_eq!(without_annotations(&must_read(&mut stream)), parsed(event), "the same again, then on");
        stream.write_all(b"Ok").expect("an answer");
    }
    wait_until("the position is that of the last", PATIENCE, || {
        nodes[1].consumer("pipeline")["position"] == 5
    });
    assert_eq!(nodes[1].consumer("pipeline")["connected"], true);
}
