//! The loop of IntelMQ's issue 901: two instances, each of which gives its node everything that its pipeline holds,
//! what came from that node included. Each pipeline enriches what passes, so that no deduplicator would know it
//! again. Shown without nodes first: there it never stops.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::intelmq::{IntelMq, add_file_output, add_tcp_collector, add_tcp_output};
use support::node::free_port;
use support::shape::{start, unstarted_mesh};
use support::{Node, wait_until};

const ARRIVAL: Duration = Duration::from_secs(60);
const BOTS: [&str; 5] = ["tcp-collector", "json-parser", "taxonomy", "witness", "tcp-output"];

/// TCP collector -> JSON parser -> taxonomy (enriches) -> TCP output, and beside it a file.
fn ring_half(name: &str, listens: u16, sends_to: u16) -> IntelMq {
    let mut instance = IntelMq::new(name);
    add_tcp_collector(&mut instance, "tcp-collector", listens, "json-parser-queue");
    let to = |queues: &[&str]| json!({ "destination_queues": { "_default": queues } });
    instance.add("json-parser", "intelmq.bots.parsers.json.parser", to(&["taxonomy-queue"]));
    let experts = to(&["tcp-output-queue", "witness-queue"]);
    instance.add("taxonomy", "intelmq.bots.experts.taxonomy.expert", experts);
    add_file_output(&mut instance, "witness");
    add_tcp_output(&mut instance, "tcp-output", sends_to);
    instance
}

/// An event as an instance's own parsers would hand it on.
fn own_event(from: &str, number: usize) -> String {
    json!({
        "__type": "Event", "classification.type": "phishing", "source.ip": format!("192.0.2.{number}"),
        "feed.name": from, "time.observation": "2026-11-20T10:00:00+00:00",
    })
    .to_string()
}

/// How often each event passed the instance, by who made it and which it is.
fn passed(instance: &IntelMq) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for event in instance.written("witness") {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        *counts.entry((text("feed.name"), text("source.ip"))).or_default() += 1;
    }
    counts
}

fn idle(instance: &IntelMq) -> bool {
    BOTS.iter().all(|bot| instance.waiting(bot) == 0)
}

#[test]
fn two_instances_that_send_each_other_everything_loop_for_ever_without_nodes() {
    let (to_a, to_b) = (free_port(), free_port());
    let (mut a, mut b) = (ring_half("a", to_a, to_b), ring_half("b", to_b, to_a));
    a.start_all(&BOTS[..4]);
    b.start_all(&BOTS);
    a.start("tcp-output");
    a.push("taxonomy-queue", &own_event("a", 1));
    wait_until("one event passes both again and again", ARRIVAL, || {
        [&a, &b].iter().all(|instance| passed(instance).values().any(|count| *count > 20))
    });
}

#[test]
fn two_instances_that_give_their_nodes_everything_get_each_event_once_and_come_to_rest() {
    const EACH: usize = 60;
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let mut instances: Vec<IntelMq> = Vec::new();
    for (node, name) in nodes.iter_mut().zip(["a", "b"]) {
        let (listens, door) = (free_port(), free_port());
        node.edit("intelmesh.toml", |text| {
            format!(
                "{text}\n[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{door}\"\n\n\
                 [[consumer]]\nname = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{listens}\"\n"
            )
        });
        instances.push(ring_half(name, listens, door));
    }
    instances.iter_mut().for_each(|instance| instance.start_all(&BOTS[..4]));
    start(&mut nodes);
    instances.iter_mut().for_each(|instance| instance.start("tcp-output"));
    for (instance, name) in instances.iter().zip(["a", "b"]) {
        (0..EACH).for_each(|number| instance.push("taxonomy-queue", &own_event(name, number)));
    }
    come_to_rest(&nodes, &instances, 2 * EACH);
    // What still circled would come before this one.
    instances[0].push("taxonomy-queue", &own_event("a", EACH));
    come_to_rest(&nodes, &instances, 2 * EACH + 1);
    instances.iter_mut().for_each(IntelMq::assert_all_run);
}

/// IntelMQ's parsers copy next to nothing of a report into its events, unless they are told to (docs/INTELMQ.md).
#[test]
fn what_a_parser_makes_of_a_handed_report_does_not_come_back_into_the_mesh() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let mut instance = IntelMq::new("b");
    let url = instance.redis_url();
    nodes[1].edit("intelmesh.toml", |text| {
        format!(
            "{text}\n[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"intelmesh-queue\"\n\n\
             [[consumer]]\nname = \"reports\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"parser-queue\"\n"
        )
    });
    let traces = ["uuid", "publisher", "path", "tlp"].map(|name| format!("extra.intelmesh.{name}"));
    instance.add(
        "parser",
        "intelmq.bots.parsers.generic.parser_csv",
        json!({
            "columns": ["source.ip"], "default_fields": { "classification.type": "scanner" },
            "copy_collector_provided_fields": traces,
            "destination_queues": { "_default": ["intelmesh-queue", "witness-queue"] },
        }),
    );
    add_file_output(&mut instance, "witness");
    instance.start_all(&["parser", "witness"]);
    start(&mut nodes);
    let report = json!({
        "meta": { "version": 1, "type": "report", "tlp": "AMBER" },
        "payload": { "feed.name": "a", "raw": "MTkyLjAuMi4xCjE5Mi4wLjIuMgo=" },
    });
    let id = nodes[0].publish(&[report.to_string()]).remove(0);
    let door = || {
        let doors = nodes[1].status()["doors"].as_array().cloned().unwrap_or_default();
        doors.into_iter().find(|door| door["submit"]["from"] == "intelmq-redis").expect("a door")
    };
    wait_until("the door has all that the parser made", ARRIVAL, || {
        let door = door();
        ["accepted", "duplicates", "rejects"].iter().filter_map(|of| door["submit"][of].as_u64()).sum::<u64>()
            == 2
    });
    assert_eq!(door()["submit"]["duplicates"], 2, "{}", door());
    assert_eq!(nodes[1].status()["journal"]["last_seq"], 1);
    wait_until("both events stay in the pipeline", ARRIVAL, || instance.written("witness").len() == 2);
    for event in instance.written("witness") {
        assert_eq!(
            (&event["extra.intelmesh.uuid"], &event["extra.intelmesh.tlp"]),
            (&json!(id), &json!("AMBER"))
        );
    }
    instance.assert_all_run();
}

/// Waits until both have all `count` events and nothing moves; then each has passed each pipeline once, and each
/// node's journal holds each once.
fn come_to_rest(nodes: &[Node], instances: &[IntelMq], count: usize) {
    wait_until("every event reaches both sides", ARRIVAL, || {
        instances.iter().all(|instance| passed(instance).len() == count)
    });
    let stored = |node: &Node| node.status()["journal"]["last_seq"].as_u64();
    let counters = || nodes.iter().map(|node| doors(&node.status())).collect::<Vec<_>>();
    let mut before = Vec::new();
    wait_until("traffic stops", ARRIVAL, || {
        let now = counters();
        let still = now == before && instances.iter().all(idle);
        before = now;
        still && nodes.iter().all(|node| node.consumer("pipeline")["lag_events"] == 0)
    });
    for (node, instance) in nodes.iter().zip(instances) {
        assert_eq!(stored(node), Some(count as u64), "{} stored events again", node.name());
        let again: Vec<_> = passed(instance).into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(again.is_empty(), "events passed the pipeline behind {} again: {again:?}", node.name());
    }
}

/// What is counted at the doors and in the journal.
fn doors(status: &Value) -> Value {
    json!([status["journal"]["last_seq"], status["consumers"], status["submits"], status["doors"]])
}
