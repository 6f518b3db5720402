//! What a consumer's door set aside, or held for a receiver that was away, when it is handed over at last.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;
use support::events::{made, with_meta};
use support::node::free_port;
use support::{Node, wait_until};

use super::bots::{
    Collector, PATIENCE, QUIET, aside, must_read, nodes_with_output, parsed, read_frame, without_annotations,
};

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
    wait_until("the warning ends", PATIENCE, || !nodes[1].complains("door_rejects"));
    nodes[1].kill9();
    nodes[1].start();
    let mut stream = collector.accept();
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(read_frame(&mut stream).is_err(), "nothing again");
}

#[test]
fn a_list_of_fields_that_breaks_while_the_node_runs_is_told_until_it_is_mended() {
    let collector = Collector::listen();
    let mut nodes = nodes_with_output(collector.port, "");
    let list = nodes[1].dir().join("harmonization.conf");
    let good = r#"{"event": {"extra": {"type": "JSONDict"}, "source.ip": {"type": "IPAddress"}}}"#;
    std::fs::write(&list, good).expect("a file");
    nodes[1].stop();
    nodes[1].edit("intelmesh.toml", |text| {
        text.replace("to = \"intelmq-tcp\"", "to = \"intelmq-tcp\"\nharmonization = \"harmonization.conf\"")
    });
    nodes[1].start();
    assert!(!nodes[1].complains("config_bad"));
    std::fs::write(&list, "{\n  \"event\": {,").expect("a file");
    wait_until("health says so, without any event", PATIENCE, || nodes[1].complains("config_bad"));
    let status = nodes[1].status();
    let health = status["health"].as_array().expect("a list");
    let found = health.iter().find(|found| found["code"] == "config_bad").expect("it complains");
    assert!(found["what"].as_str().expect("text").contains("harmonization.conf:2: "), "{found}");
    std::fs::write(&list, good).expect("a file");
    wait_until("it is mended", PATIENCE, || !nodes[1].complains("config_bad"));
}

/// Two nodes, of which the second has set aside so many events that it would hand over now.
fn with_set_aside(collector: &Collector, count: usize) -> (Vec<Node>, TcpStream) {
    let mut nodes = nodes_with_output(collector.port, "strict = true\n");
    let odd = |at| format!("{{\"source.ip\": \"192.0.2.1\", \"no.such.field\": {at}}}");
    nodes[0].publish(&(0..count).map(odd).collect::<Vec<_>>());
    wait_until("all are set aside", PATIENCE, || aside(nodes[1].dir(), "pipeline").len() == count);
    nodes[1].stop();
    nodes[1].edit("intelmesh.toml", |text| text.replace("strict = true", "strict = false"));
    drop(collector.accept());
    nodes[1].start();
    let stream = collector.accept();
    (nodes, stream)
}

fn number(event: &serde_json::Value) -> u64 {
    event["extra.intelmesh.moved"]["no.such.field"].as_u64().unwrap_or_else(|| panic!("{event}"))
}

#[test]
fn two_retries_at_once_are_one() {
    let collector = Collector::listen();
    let (nodes, mut stream) = with_set_aside(&collector, 2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| nodes[1].say(&["aside", "retry", "pipeline"], ""));
        assert_eq!(number(&must_read(&mut stream)), 0);
        let second = nodes[1].say(&["aside", "retry", "pipeline"], "");
        assert!(second.code != 0 && second.stderr.contains("retry of this door is running"), "{second:?}");
        assert_eq!(nodes[1].door("pipeline")["aside"]["lines"], 2, "what is being tried is counted");
        assert_eq!(nodes[1].cli(&["aside", "list", "pipeline"]).lines().count(), 2, "and listed");
        stream.write_all(b"Ok").expect("an answer");
        assert_eq!(number(&must_read(&mut stream)), 1);
        stream.write_all(b"Ok").expect("an answer");
        let first = first.join().expect("it ends");
        assert_eq!((first.code, first.stdout.split(',').next()), (0, Some("pipeline: 2 taken")));
    });
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(read_frame(&mut stream).is_err(), "nothing again");
}

#[test]
fn a_retry_that_found_nobody_is_said_again_and_hands_over_once() {
    let collector = Collector::listen();
    let (nodes, stream) = with_set_aside(&collector, 1);
    let port = collector.port;
    drop((stream, collector));
    wait_until("nobody is there", PATIENCE, || nodes[1].door("pipeline")["consumer"]["connected"] == false);
    let said = nodes[1].say(&["aside", "retry", "pipeline"], "");
    assert!(said.code != 0 && said.stderr.contains("is the other side there"), "{said:?}");
    assert_eq!(nodes[1].door("pipeline")["aside"]["lines"], 1);

    let collector = Collector::listen_at(port);
    let mut stream = collector.accept();
    nodes[0].publish(&[made(1, 500)]);
    assert_eq!(
        without_annotations(&must_read(&mut stream)),
        parsed(&made(1, 500)),
        "what was given up is not"
    );
    stream.write_all(b"Ok").expect("an answer");
    std::thread::scope(|scope| {
        let retried = scope.spawn(|| nodes[1].say(&["aside", "retry", "pipeline"], ""));
        assert_eq!(number(&must_read(&mut stream)), 0);
        stream.write_all(b"Ok").expect("an answer");
        assert_eq!(retried.join().expect("it ends").code, 0);
    });
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(read_frame(&mut stream).is_err(), "nothing again");
}

#[test]
fn a_retry_that_is_killed_goes_on_where_it_was() {
    let collector = Collector::listen();
    let (mut nodes, mut stream) = with_set_aside(&collector, 3);
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| nodes[1].say(&["aside", "retry", "pipeline"], ""));
        assert_eq!(number(&must_read(&mut stream)), 0);
        stream.write_all(b"Ok").expect("an answer");
        assert_eq!(number(&must_read(&mut stream)), 1);
        nodes[1].signal(rustix::process::Signal::KILL);
        assert_ne!(killed.join().expect("it ends").code, 0);
    });
    nodes[1].kill9();
    nodes[1].start();
    assert_eq!(nodes[1].door("pipeline")["aside"]["lines"], 2);
    let mut stream = collector.accept();
    std::thread::scope(|scope| {
        let retried = scope.spawn(|| nodes[1].say(&["aside", "retry", "pipeline"], ""));
        for want in [1, 2] {
            assert_eq!(number(&must_read(&mut stream)), want, "not the first again");
            stream.write_all(b"Ok").expect("an answer");
        }
        let said = retried.join().expect("it ends");
        assert_eq!((said.code, said.stdout.split(',').next()), (0, Some("pipeline: 2 taken")));
    });
    wait_until("the warning ends", PATIENCE, || !nodes[1].complains("door_rejects"));
}

#[test]
fn an_event_that_expires_while_its_receiver_is_away_is_not_handed_over() {
    let port = free_port();
    let nodes = nodes_with_output(port, "");
    let expires = intelmesh::testing::clock::now().wall.plus_ms(6_000);
    let meta = json!({"version": 1, "expires": expires.to_string()});
    nodes[0].publish(&[with_meta(&meta, &made(1, 500)), made(2, 500)]);
    wait_until("both are there", PATIENCE, || nodes[1].consumer("pipeline")["lag_events"] == 2);
    wait_until("its time has passed", PATIENCE, || {
        intelmesh::testing::clock::now().wall > expires.plus_ms(500)
    });
    let collector = Collector::listen_at(port);
    let mut stream = collector.accept();
    assert_eq!(without_annotations(&must_read(&mut stream)), parsed(&made(2, 500)));
    stream.write_all(b"Ok").expect("an answer");
    wait_until("the position is behind both", PATIENCE, || nodes[1].consumer("pipeline")["position"] == 2);
    let consumer = &nodes[1].door("pipeline")["consumer"];
    assert_eq!((&consumer["handed"], &consumer["expired"]), (&json!(1), &json!(1)), "{consumer}");
}
