//! Messages that stop IntelMQ's bots, or make them give an event up, each published at one node and handed off by
//! another to real bots, through a queue and through the TCP collector and the JSON parser: the bots run on, and the
//! good event behind each comes out. What the adapted events look like is `intelmq_accepts`'s to say.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use support::intelmq::{IntelMq, Receiving, add_file_output, collector_to_file};
use support::node::free_port;
use support::shape::{has_accepted, start, unstarted_mesh};
use support::{Node, Submitter, wait_until};

const ARRIVAL: Duration = Duration::from_secs(90);

/// What an outside writer must never give to a bot, and what comes of it at `in.sock`.
struct Row {
    what: &'static str,
    line: String,
    /// The code that refuses it before any node has it; `None`: it is published.
    refused: Option<&'static str>,
}

fn row(what: &'static str, members: &str) -> Row {
    let line = format!(r#"{{"classification.type":"phishing","comment":"{what}",{members}}}"#);
    Row { what, line, refused: None }
}

fn refused(what: &'static str, line: &str, code: &'static str) -> Row {
    Row { what, line: line.to_owned(), refused: Some(code) }
}

/// Every row of the table of poison, and what the JSON parser stumbles over.
fn rows() -> Vec<Row> {
    let nested = r#"{"meta":{"version":1,"type":"event","format":"intelmq"},"payload":{"classification.type":"phishing",
        "comment":"an envelope in an envelope","meta":{"uuid":"x"},"payload":{"source.ip":"192.0.2.9"}}}"#;
    let nested = Row { what: "an envelope in an envelope", line: nested.replace('\n', ""), refused: None };
    vec![
        row("no __type", r#""source.ip":"192.0.2.1""#),
        row("__type that nobody knows", r#""__type":"Envelope","source.ip":"192.0.2.1""#),
        row("key of a newer version", r#""meta.uuid":"x","source.ip":"192.0.2.1""#),
        row("upper-case key in extra", r#""extra.UPPER":"x","extra.fine":1"#),
        row("dashed key in extra", r#""extra.a-b":"x""#),
        row("key with a space in extra", r#""extra.with space":"x""#),
        row("extra as an object with such keys", r#""extra":{"UPPER CASE":1,"a-b":{"C":[1,null]}}"#),
        row("nested event", r#""source":{"ip":"192.0.2.1","port":80}"#),
        row("leading zeros in an address", r#""source.ip":"192.0.2.001""#),
        row("no address at all", r#""source.ip":"somewhere""#),
        row("name of TLP 2.0", r#""tlp":"CLEAR""#),
        row("type that is none", r#""source.port":"http","source.asn":true,"time.source":1700000000"#),
        row("raw that is no Base64", r#""raw":"abc""#),
        row(
            "empty values",
            r#""source.ip":"","source.asn":null,"extra.empty":[],"source.fqdn":"example.com""#,
        ),
        row("key of one letter", r#""x":1"#),
        row("value that is too long", &format!(r#""feed.code":"{}""#, "x".repeat(4_000))),
        nested,
        refused("not JSON", "not json", "bad_json"),
        refused("label that may go nowhere", r#"{"tlp":"AMBER+STRICT","source.ip":"192.0.2.1"}"#, "bad_tlp"),
        refused("number that JSON does not have", r#"{"extra.a":NaN}"#, "bad_number"),
    ]
}

fn good(number: usize) -> String {
    json!({ "classification.type": "phishing", "source.ip": "198.51.100.7", "extra.good": number })
        .to_string()
}

/// Publishes each row with a good event behind it; gives how many rows were published.
fn publish(node: &Node, rows: &[Row]) -> usize {
    let mut submitter = Submitter::connect(node).expect("in.sock can be connected to");
    for (number, row) in rows.iter().enumerate() {
        let answer = submitter.ask(&row.line);
        match row.refused {
            Some(code) => assert_eq!(answer["code"], code, "{}: {answer}", row.what),
            None => assert!(answer["id"].is_string(), "{}: {answer}", row.what),
        }
        let answer = submitter.ask(&good(number));
        assert!(answer["id"].is_string(), "{answer}");
    }
    rows.iter().filter(|row| row.refused.is_none()).count()
}

/// An instance with a way in by TCP and one by a queue for each of `names`, each with a file at its end.
fn instance(port: u16, names: &[&str]) -> (IntelMq, Vec<String>) {
    let mut instance = IntelMq::new("b");
    let mut bots: Vec<String> =
        collector_to_file(&mut instance, &Receiving::Tcp(port)).into_iter().map(str::to_owned).collect();
    for name in names {
        let (expert, file) = (format!("{name}-expert"), format!("{name}-file"));
        let to = json!({ "destination_queues": { "_default": [format!("{file}-queue")] } });
        instance.add(&expert, "intelmq.bots.experts.taxonomy.expert", to);
        add_file_output(&mut instance, &file);
        bots.extend([expert, file]);
    }
    (instance, bots)
}

fn numbers_of_good(events: &[Map<String, Value>]) -> BTreeSet<u64> {
    events.iter().filter_map(|event| event.get("extra.good")?.as_u64()).collect()
}

/// The rows that came out, and those that lie aside, by what they are.
fn fate(
    instance: &IntelMq,
    file: &str,
    node: &Node,
    consumer: &str,
    rows: &[Row],
) -> (Vec<String>, Vec<String>) {
    let written: String =
        instance.written(file).into_iter().map(|event| Value::Object(event).to_string()).collect();
    let aside =
        std::fs::read_to_string(node.dir().join(format!("aside/{consumer}.jsonl"))).unwrap_or_default();
    let within = |text: &str| {
        let rows = rows.iter().filter(|row| row.refused.is_none());
        rows.filter(|row| text.contains(row.what)).map(|row| row.what.to_owned()).collect()
    };
    (within(&written), within(&aside))
}

#[test]
fn a_bare_bot_ends_at_an_unknown_key_and_stays_ended() {
    let (mut instance, _) = instance(free_port(), &["queue"]);
    let poison = r#"{"__type":"Event","classification.type":"phishing","meta.uuid":"x"}"#;
    instance.push("queue-expert-queue", poison);
    instance.start_unready("queue-expert");
    wait_until("the bot ends", ARRIVAL, || !instance.runs("queue-expert"));
    assert_eq!(instance.waiting("queue-expert"), 1, "the message is still there for the next start");
}

#[test]
fn every_poison_passes_through_a_node_to_real_bots_that_run_on() {
    let rows = rows();
    let port = free_port();
    let (mut instance, bots) = instance(port, &["queue", "strict"]);
    let url = instance.redis_url();
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let queue = |name: &str, more: &str| {
        format!(
            "[[consumer]]\nname = \"{name}\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"{name}-expert-queue\"\n{more}\n"
        )
    };
    nodes[1].edit("intelmesh.toml", |text| {
        let tcp =
            format!("[[consumer]]\nname = \"tcp\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{port}\"\n");
        [text, tcp, queue("queue", ""), queue("strict", "strict = true")].join("\n")
    });
    instance.start_all(&bots.iter().map(String::as_str).collect::<Vec<_>>());
    start(&mut nodes);
    let published = publish(&nodes[0], &rows);
    has_accepted(&nodes[1], (published + rows.len()) as u64);

    for (consumer, file) in [("tcp", "file-output"), ("queue", "queue-file"), ("strict", "strict-file")] {
        wait_until(&format!("all good events come out behind {consumer}"), ARRIVAL, || {
            instance.assert_all_run();
            numbers_of_good(&instance.written(file)).len() == rows.len()
        });
        wait_until(&format!("the bots behind {consumer} are done"), ARRIVAL, || {
            bots.iter().all(|bot| instance.waiting(bot) == 0)
        });
        let (written, aside) = fate(&instance, file, &nodes[1], consumer, &rows);
        println!("{consumer}: came out {written:?}; aside {aside:?}");
        let both = BTreeSet::from_iter(written.iter().chain(&aside));
        let missing: Vec<_> =
            rows.iter().filter(|row| row.refused.is_none()).map(|row| row.what.to_owned()).collect();
        let missing: Vec<_> = missing.iter().filter(|what| !both.contains(what)).collect();
        assert!(missing.is_empty(), "behind {consumer} neither came out nor lie aside: {missing:?}");
        assert!(written.iter().all(|what| !aside.contains(what)), "behind {consumer} came out and lie aside");
        let strict_only = ["key of a newer version", "name of TLP 2.0", "upper-case key in extra"];
        let where_strict = if consumer == "strict" { &aside } else { &written };
        for what in strict_only {
            assert!(where_strict.iter().any(|found| found == what), "{consumer}: {what}");
        }
    }
    let dumped: usize = bots.iter().map(|bot| instance.dumped(bot)).sum();
    assert_eq!(dumped, 0, "bots gave events up");
    instance.assert_all_run();
}
