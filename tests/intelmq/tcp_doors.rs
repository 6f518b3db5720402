//! The TCP doors as IntelMQ's bots see them on the wire: frames in and `Ok` out, and the other way round. The
//! bots here are written for these tests, so that they can misbehave; IntelMQ's own are run elsewhere.

mod again;
mod bots;
mod lines;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use support::events::{made, tokens};
use support::node::free_port;
use support::{Consumer, wait_for, wait_until};

use bots::{
    Collector, Output, PATIENCE, QUIET, add, aside, frame, must_read, node_with_input, nodes_with_output,
    own_events, parsed, read_frame, without_annotations,
};

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
    let submit = &node.door("intelmq-tcp")["submit"];
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
    let submit = node.door("intelmq-tcp");
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
    let accepted = || node.door("intelmq-tcp")["submit"]["accepted"] == json!(count);
    wait_until("all are taken although nobody read an answer", PATIENCE, accepted);
    drop(deaf);
}

#[test]
fn a_bot_killed_inside_an_event_leaves_nothing_aside_in_either_mode() {
    for (more, end) in [("", ""), ("separator = \"\\n\"\n", "\n")] {
        let (node, port) = node_with_input(more);
        let event = made(1, 500);
        let whole = if end.is_empty() { frame(event.as_bytes()) } else { (event.clone() + end).into_bytes() };
        let mut cut = Output::connect(port);
        cut.0.write_all(&whole[..whole.len() - 1 - 20 * usize::from(end.is_empty())]).expect("a part");
        drop(cut);
        let said = |door: &Value| door["last_error"].as_str().is_some_and(|error| error.contains("inside"));
        wait_until("status says so", PATIENCE, || said(&node.door("intelmq-tcp")));
        assert!(aside(node.dir(), "intelmq-tcp").is_empty());
        let submit = &node.door("intelmq-tcp")["submit"];
        assert_eq!((&submit["accepted"], &submit["rejects"]), (&json!(0), &json!(0)), "{submit}");
        let mut again = Output::connect(port);
        again.0.write_all(&whole).expect("it sends it again");
        assert_eq!(again.answer(), b"Ok");
        assert_eq!(own_events(&node, 1).len(), 1);
    }
}

#[test]
fn of_a_line_that_is_too_long_the_beginning_and_the_length_are_kept() {
    let (node, port) = node_with_input("separator = \"\\n\"\n");
    let mut bot = Output::connect(port);
    let long = format!("{{\"raw\": \"{}\"}}", "A".repeat(3 << 20));
    bot.0.write_all((long.clone() + "\n").as_bytes()).expect("a long line");
    assert_eq!(bot.answer(), b"Ok");
    let records = aside(node.dir(), "intelmq-tcp");
    assert_eq!((&records[0]["code"], &records[0]["bytes"]), (&json!("too_large"), &json!(long.len())));
    assert!(records[0]["line"].as_str().expect("its beginning").starts_with("{\"raw\": \"AAA"));
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
    wait_until("status says so", PATIENCE, || turned_away(&node.door("intelmq-tcp")));
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
            sender.is_finished() || node.door("intelmq-tcp")["submit"]["accepted"].as_u64() >= enough.as_u64()
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
        let door = nodes[1].door("pipeline");
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
    assert_eq!(nodes[1].door("pipeline")["consumer"]["handed"], 10);
}

#[test]
fn a_collector_that_is_busy_with_another_sender_gets_each_event_once() {
    let collector = Collector::listen();
    let mut other = TcpStream::connect(("127.0.0.1", collector.port)).expect("another sender is first");
    let mut served = collector.accept();
    let nodes = nodes_with_output(collector.port, "");
    nodes[0].publish(&[made(1, 500)]);
    let held = || nodes[1].door("pipeline")["consumer"]["held"].as_str().map(str::to_owned);
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
