//! The TCP doors as IntelMQ's bots see them on the wire: frames in and `Ok` out, and the other way round. The
//! bots here are written for these tests, so that they can misbehave; IntelMQ's own are run elsewhere.
#![cfg(feature = "node")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
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

fn aside(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("aside/{name}.jsonl"))).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
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

#[test]
fn frames_that_come_together_are_answered_in_order_beside_a_client_that_is_idle() {
    let (node, port) = node_with_input("");
    let mut idle = Output::connect(port);
    let mut first = Output::connect(port);
    let mut second = Output::connect(port);
    let events: Vec<_> = (0..300).map(|number| made(number, 900)).collect();
    for (at, bot) in [&mut first, &mut second].into_iter().enumerate() {
        let frames: Vec<u8> =
            events[at * 150..][..150].iter().flat_map(|event| frame(event.as_bytes())).collect();
        bot.0.write_all(&frames).expect("the door takes frames");
    }
    for bot in [&mut first, &mut second] {
        let mut answers = vec![0; 300];
        bot.0.read_exact(&mut answers).expect("an Ok for each");
        assert_eq!(answers, b"Ok".repeat(150));
        assert_eq!(bot.said(), b"");
    }
    idle.deliver(&made(999, 500));
    let mut stored: Vec<_> = own_events(&node, 301).iter().map(|line| tokens(line)).collect();
    let mut sent: Vec<_> =
        events.iter().map(|event| tokens(event)).chain([tokens(&made(999, 500))]).collect();
    stored.sort();
    sent.sort();
    assert_eq!(stored, sent);
}

#[test]
fn what_is_refused_for_good_is_set_aside_and_the_bot_goes_on() {
    let (node, port) = node_with_input("");
    let mut bot = Output::connect(port);
    let good = made(1, 500);
    let list = r#"{"source.ip": ["192.0.2.1", "192.0.2.2"], "source.port": 53}"#;
    for poison in ["hello", "", "[]", "{}", r#"{"a": 1, "a": 2}"#, list, r#"{"tlp": "RED", "a": 1}"#] {
        bot.deliver(poison);
    }
    bot.0.write_all(&frame(b"\xff\xfe")).expect("bytes");
    assert_eq!(bot.answer(), b"Ok");
    let long = [b"{\"raw\": \"".to_vec(), vec![b'A'; 3 << 20], b"\"}".to_vec()].concat();
    bot.0.write_all(&frame(&long)).expect("a long frame");
    assert_eq!(bot.answer(), b"Ok");
    bot.deliver(&good);
    assert_eq!(own_events(&node, 1).len(), 1);

    let records = aside(node.dir(), "intelmq-tcp");
    let codes: Vec<_> = records.iter().map(|record| record["code"].as_str().expect("a code")).collect();
    let want =
        ["bad_json", "empty", "not_object", "empty", "duplicate_key", "multi_value", "bad_tlp", "bad_json"];
    assert_eq!(codes[..8], want);
    assert_eq!(codes[8..], ["too_large"]);
    assert_eq!(records[0]["line"], "hello");
    assert_eq!(records[7]["line_base64"], "//4=");
    assert_eq!(records[8]["bytes"], json!(long.len()));
    assert!(records[8]["line"].as_str().expect("its beginning").len() <= 256);
    assert!(records.iter().all(|record| record["again"] == "intelmesh aside retry intelmq-tcp"));
    assert!(node.complains("door_rejects"));
    let submit = door(&node, "intelmq-tcp");
    assert_eq!((&submit["submit"]["rejects"], &submit["aside"]["lines"]), (&json!(9), &json!(9)), "{submit}");
    let listed = node.cli(&["aside", "list", "intelmq-tcp"]);
    assert!(listed.lines().count() == 9 && listed.contains("multi_value"), "{listed}");
}

#[test]
fn what_was_set_aside_goes_through_its_own_door_again_once_the_cause_is_gone() {
    let (mut node, port) = node_with_input("tlp = \"AMBER\"\n");
    let mut bot = Output::connect(port);
    bot.deliver(r#"{"source.ip": ["192.0.2.1", "192.0.2.2"], "rtir_id": 7}"#);
    bot.deliver("garbage");
    let said = node.say(&["aside", "retry", "intelmq-tcp"], "");
    assert_eq!(
        (said.code, said.stdout.trim()),
        (1, "intelmq-tcp: 0 taken, 2 set aside again, 0 left as they were")
    );
    node.stop();
    add(&mut node, "multiple_values = \"explode\"\n");
    node.start();
    assert!(node.complains("door_rejects"), "what an earlier run set aside is not forgotten");
    let said = node.say(&["aside", "retry", "intelmq-tcp"], "");
    assert_eq!(
        (said.code, said.stdout.trim()),
        (1, "intelmq-tcp: 1 taken, 1 set aside again, 0 left as they were"),
        "{:?}",
        aside(node.dir(), "intelmq-tcp")
    );
    let mut consumer = Consumer::open(&node, &json!({"from": "earliest", "own": true}));
    for event in consumer.take(2) {
        assert_eq!(event.text("/tlp"), "AMBER", "the door's label: {}", event.line);
        assert!(
            !event.payload.contains("rtir_id"),
            "the door's list of what stays at home: {}",
            event.payload
        );
    }
    assert_eq!(aside(node.dir(), "intelmq-tcp").len(), 1);
    std::fs::remove_file(node.dir().join("aside/intelmq-tcp.jsonl")).expect("the operator has seen to it");
    assert!(!node.complains("door_rejects"));
    assert_eq!(node.say(&["aside", "retry", "nobody"], "").code, 1);
}

#[test]
fn a_bot_that_goes_inside_a_frame_leaves_nothing_and_one_that_reads_no_answer_is_read_on() {
    let (node, port) = node_with_input("");
    let mut cut = Output::connect(port);
    let whole = frame(made(1, 500).as_bytes());
    cut.0.write_all(&whole[..100]).expect("a part");
    drop(cut);
    let mut deaf = Output::connect(port);
    let count = 3_000;
    for number in 0..count {
        deaf.send(&made(number, 300));
    }
    let accepted = || door(&node, "intelmq-tcp")["submit"]["accepted"] == json!(count);
    wait_until("all are taken although nobody read an answer", PATIENCE, accepted);
    drop(deaf);
}

#[test]
fn with_a_separator_events_are_lines_and_answered_all_the_same() {
    let (node, port) = node_with_input("separator = \"\\n\"\n");
    let mut bot = Output::connect(port);
    for number in 0..5 {
        bot.0.write_all((made(number, 400) + "\n").as_bytes()).expect("a line");
        assert_eq!(bot.answer(), b"Ok");
    }
    assert_eq!(own_events(&node, 5).len(), 5);
}

#[test]
fn a_stranger_to_the_allowed_networks_is_turned_away() {
    let (node, port) = node_with_input("allow = [\"192.0.2.0/24\"]\n");
    let mut bot = Output::connect(port);
    let end = bot.0.read(&mut [0; 2]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let turned_away = |door: &Value| door["last_error"].as_str().is_some_and(|error| error.contains("allow"));
    wait_until("status says so", PATIENCE, || turned_away(&door(&node, "intelmq-tcp")));
}

#[test]
fn nothing_is_lost_or_twice_where_the_node_is_killed_while_a_bot_sends() {
    let (mut node, port) = node_with_input("");
    // So many that the bot is still sending at the last kill, on a fast disk too.
    let events: Vec<_> = (0..3_000).map(|number| made(number, 500)).collect();
    let sender = {
        let events = events.clone();
        std::thread::spawn(move || {
            let mut bot = Output::connect(port);
            for event in &events {
                loop {
                    let sent = bot.0.write_all(&frame(event.as_bytes()));
                    let mut answer = [0; 2];
                    if sent.is_ok() && bot.0.read_exact(&mut answer).is_ok() && answer == *b"Ok" {
                        break;
                    }
                    bot = Output::connect(port);
                }
            }
        })
    };
    for round in 1..=4 {
        let enough = json!(round * 15);
        wait_until("some are taken", PATIENCE, || {
            sender.is_finished()
                || door(&node, "intelmq-tcp")["submit"]["accepted"].as_u64() >= enough.as_u64()
        });
        node.kill9();
        node.start();
    }
    sender.join().expect("the bot ends");
    let stored: Vec<_> = own_events(&node, events.len()).iter().map(|line| tokens(line)).collect();
    assert_eq!(stored, events.iter().map(|event| tokens(event)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_lost_or_twice_where_the_node_is_killed_while_it_hands_over() {
    let collector = Collector::listen();
    let mut nodes = nodes_with_output(collector.port, "");
    let events: Vec<_> = (0..600).map(|number| made(number, 500)).collect();
    nodes[0].publish(&events);
    let mut got = Vec::new();
    for round in 1..=4 {
        let mut stream = collector.accept();
        while got.len() < round * 100 {
            got.push(must_read(&mut stream));
            stream.write_all(b"Ok").expect("an answer");
        }
        // The next one was sent, so the answer before it has arrived.
        read_frame(&mut stream).expect("one more, which gets no answer");
        nodes[1].kill9();
        nodes[1].start();
    }
    let mut stream = collector.accept();
    while got.len() < events.len() {
        got.push(must_read(&mut stream));
        stream.write_all(b"Ok").expect("an answer");
    }
    let got: Vec<_> = got.iter().map(without_annotations).collect();
    assert_eq!(got, events.iter().map(|event| parsed(event)).collect::<Vec<_>>());
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(read_frame(&mut stream).is_err(), "and nothing more");
}

#[test]
fn a_receiver_that_is_away_or_answers_otherwise_gets_everything_once_it_says_ok() {
    let port = free_port();
    let nodes = nodes_with_output(port, "");
    let events: Vec<_> = (0..10).map(|number| made(number, 500)).collect();
    nodes[0].publish(&events);
    let away = || {
        let door = door(&nodes[1], "pipeline");
        door["consumer"]["connected"] == false
            && door["last_error"].as_str().is_some_and(|it| it.contains("connect"))
    };
    wait_until("status says that nobody is there", PATIENCE, away);
    assert_eq!(nodes[1].consumer("pipeline")["connected"], false);

    let collector = Collector::listen_at(port);
    for wrong in [&b"No"[..], b"Incomplete message", b"OK", b"Ok\n", b"O", b""] {
        let mut stream = collector.accept();
        assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&events[0]), "after {wrong:?}");
        stream.write_all(wrong).expect("an answer");
    }
    let mut stream = collector.accept();
    for event in &events {
        assert_eq!(without_annotations(&must_read(&mut stream)), parsed(event));
        stream.write_all(b"Ok").expect("an answer");
    }
    wait_until("all are acknowledged", PATIENCE, || nodes[1].consumer("pipeline")["position"] == 10);
    assert_eq!(door(&nodes[1], "pipeline")["consumer"]["handed"], 10);
}

#[test]
fn a_collector_that_is_busy_with_another_sender_gets_each_event_once() {
    let collector = Collector::listen();
    let mut other = TcpStream::connect(("127.0.0.1", collector.port)).expect("another sender is first");
    let mut served = collector.accept();
    let nodes = nodes_with_output(collector.port, "");
    nodes[0].publish(&[made(1, 500)]);
    let held = || door(&nodes[1], "pipeline")["consumer"]["held"].as_str().map(str::to_owned);
    let why = wait_for("status says that it is held", PATIENCE, held);
    assert!(why.contains("does another sender hold"), "{why}");
    assert!(nodes[1].complains("consumer_lagging"));
    other.write_all(b"bye").expect("it is still served");
    served.read_exact(&mut [0; 3]).expect("it is still served");
    drop((other, served));

    let mut stream = collector.accept();
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&made(1, 500)));
    stream.write_all(b"Ok").expect("an answer");
    wait_until("nothing is held", PATIENCE, || held().is_none());
    nodes[0].publish(&[made(2, 500)]);
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&made(2, 500)), "not the first again");
    collector.listener.set_nonblocking(true).expect("a listener");
    let again = collector.listener.accept();
    assert!(again.is_err(), "another connection, with the same event in it: {again:?}");
}

#[test]
fn what_the_receiver_would_refuse_is_set_aside_and_handed_over_at_the_operators_word() {
    let collector = Collector::listen();
    let mut nodes = nodes_with_output(collector.port, "strict = true\n");
    let good = made(1, 500);
    let odd = r#"{"source.ip": "192.0.2.1", "no.such.field": 1}"#;
    nodes[0].publish(&[odd.to_owned(), good.clone()]);
    let mut stream = collector.accept();
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&good), "the rest flows on");
    stream.write_all(b"Ok").expect("an answer");
    let records = aside(nodes[1].dir(), "pipeline");
    assert_eq!((records.len(), &records[0]["code"]), (1, &json!("strict")), "{records:?}");
    assert!(records[0]["error"].as_str().expect("why").contains("no.such.field"));
    wait_until("the position is behind both", PATIENCE, || nodes[1].consumer("pipeline")["position"] == 2);
    assert!(nodes[1].complains("door_rejects"));
    drop(stream);
    nodes[1].stop();
    nodes[1].edit("intelmesh.toml", |text| text.replace("strict = true", "strict = false"));
    nodes[1].start();
    let mut stream = collector.accept();
    std::thread::scope(|scope| {
        let retried = scope.spawn(|| nodes[1].say(&["aside", "retry", "pipeline"], ""));
        let event = must_read(&mut stream);
        assert_eq!(event["extra.intelmesh.moved"]["no.such.field"], 1, "{event}");
        stream.write_all(b"Ok").expect("an answer");
        let said = retried.join().expect("it ends");
        assert_eq!(
            (said.code, said.stdout.trim()),
            (0, "pipeline: 1 taken, 0 set aside again, 0 left as they were")
        );
    });
    assert!(!nodes[1].complains("door_rejects"));
    nodes[1].kill9();
    nodes[1].start();
    let mut stream = collector.accept();
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(read_frame(&mut stream).is_err(), "nothing again");
}
