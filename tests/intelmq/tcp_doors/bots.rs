//! IntelMQ's TCP bots as they are on the wire, written so that they can misbehave, and nodes with doors for them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::node::free_port;
use support::shape::{start, unstarted_mesh};
use support::{Consumer, Node, wait_for};

pub const PATIENCE: Duration = Duration::from_secs(40);
/// Within this nothing may come that must not come.
pub const QUIET: Duration = Duration::from_millis(400);

/// IntelMQ's TCP output, or what behaves a little differently.
pub struct Output(pub TcpStream);

impl Output {
    pub fn connect(port: u16) -> Self {
        let stream = wait_for("the door can be connected to", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(stream)
    }

    pub fn send(&mut self, body: &str) {
        self.0.write_all(&frame(body.as_bytes())).expect("the door takes a frame");
    }

    /// What one `recv(2)` gives, as the bot calls it.
    pub fn answer(&mut self) -> Vec<u8> {
        let mut answer = [0; 2];
        let read = self.0.read(&mut answer).expect("the door answers");
        answer[..read].to_vec()
    }

    pub fn deliver(&mut self, body: &str) {
        self.send(body);
        assert_eq!(self.answer(), b"Ok", "for {body}");
    }

    /// What comes within a moment; nothing is what is wanted.
    pub fn said(&mut self) -> Vec<u8> {
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
pub struct Collector {
    pub listener: TcpListener,
    pub port: u16,
}

impl Collector {
    pub fn listen() -> Self {
        Self::listen_at(free_port())
    }

    pub fn listen_at(port: u16) -> Self {
        let listener = wait_for("the port is free", PATIENCE, || TcpListener::bind(("127.0.0.1", port)).ok());
        Self { listener, port }
    }

    pub fn accept(&self) -> TcpStream {
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

pub fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).expect("a short body").to_be_bytes()[..], body].concat()
}

pub fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

pub fn must_read(stream: &mut TcpStream) -> Value {
    serde_json::from_slice(&read_frame(stream).expect("a frame")).expect("JSON")
}

pub fn add(node: &mut Node, section: &str) {
    node.edit("intelmesh.toml", |text| text + "\n" + section);
}

/// A node with one door for IntelMQ's TCP output, running.
pub fn node_with_input(more: &str) -> (Node, u16) {
    let mut node = Node::init("cert-at");
    let port = free_port();
    add(&mut node, &format!("[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n{more}"));
    node.start();
    (node, port)
}

/// Two nodes; the second hands off to a collector at `port` under the name `pipeline`.
pub fn nodes_with_output(port: u16, more: &str) -> Vec<Node> {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let section =
        format!("[[consumer]]\nname = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{port}\"\n");
    add(&mut nodes[1], &(section + more));
    start(&mut nodes);
    nodes
}

pub fn own_events(node: &Node, count: usize) -> Vec<String> {
    let mut consumer = Consumer::open(node, &json!({"from": "earliest", "own": true, "form": "plain"}));
    let lines = consumer.take(count).into_iter().map(|event| event.line).collect();
    assert!(consumer.rest(QUIET).is_empty(), "more than {count} events");
    lines
}

pub fn aside(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("aside/{name}.jsonl"))).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What has no `uuid` of ours any more but is otherwise the same.
pub fn without_annotations(event: &Value) -> BTreeMap<String, Value> {
    let fields = event.as_object().expect("an object");
    let own = |key: &&String| !key.starts_with("extra.intelmesh.");
    fields.keys().filter(own).map(|key| (key.clone(), fields[key].clone())).collect()
}

pub fn parsed(text: &str) -> BTreeMap<String, Value> {
    without_annotations(&serde_json::from_str(text).expect("JSON"))
}
