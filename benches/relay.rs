//! Two real processes on loopback, from `in.sock` of A to `out.sock` of B, durable at both ends: what a pair of
//! organisations gets. `cargo bench --bench relay`; `RELAY_EVENTS` and `RELAY_BYTES` change the load.
//!
//! It deliberately asserts nothing but that every event came out once: figures belong into docs/PERFORMANCE.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;
use support::events::made;
use support::shape::{start, unstarted_mesh};
use support::system::{Network, cpu_seconds, memory};
use support::{Consumer, Node, Submitter, pace, wait_until};

const MEBIBYTE: f64 = 1024.0 * 1024.0;
const LATENCY_EVENTS: usize = 5_000;
const LATENCY_RATE: u32 = 500;

/// A row of the table.
fn row(what: &str, figure: &str, target: &str) {
    println!("| {what:<44} | {figure:<28} | {target:<14} |");
}

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    let (events, bytes) = (setting("RELAY_EVENTS", 100_000), setting("RELAY_BYTES", 1_024));
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let network = Network::new();
    if let Some(network) = &network {
        nodes.iter_mut().for_each(|node| network.hold(node));
    }
    start(&mut nodes);
    row("two processes, in.sock of A to out.sock of B", "figure", "target");
    row("---", "---", "---");
    idle(&nodes, "after start");
    throughput(&nodes, network.as_ref(), events, bytes);
    latency(&nodes, events, bytes);
    idle(&nodes, "after all that");
    nodes.iter_mut().for_each(Node::stop);
}

fn both(nodes: &[Node], measure: impl Fn(u32) -> f64) -> (f64, f64) {
    (measure(nodes[0].pid()), measure(nodes[1].pid()))
}

fn idle(nodes: &[Node], when: &str) {
    let (a, b) = both(nodes, |pid| memory(pid, "VmRSS") as f64 / MEBIBYTE);
    let target = if when == "after start" { "under 40 MB" } else { "" };
    row(&format!("resident A / B, {when}"), &format!("{a:.1} / {b:.1} MiB"), target);
}

/// All events as fast as they are taken, from a consumer that acknowledges every 512.
fn throughput(nodes: &[Node], network: Option<&Network>, events: usize, bytes: usize) {
    let lines: Vec<String> = (0..events).map(|number| made(number, bytes) + "\n").collect();
    let total: usize = lines.iter().map(String::len).sum();
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "pipeline"}));
    let submitter = Submitter::connect(&nodes[0]).expect("in.sock can be connected to");
    let (mut writer, mut answers) = submitter.split();
    let cpu_before = both(nodes, cpu_seconds);
    let crossed_before = network.map(Network::bytes);
    let began = Instant::now();
    let mut acknowledged = Duration::ZERO;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            lines
                .chunks(64)
                .for_each(|some| writer.write_all(some.concat().as_bytes()).expect("in.sock takes lines"));
        });
        let answering = scope.spawn(|| {
            for number in 0..events {
                let answer = answers.next_raw().expect("in.sock answers").expect("in time");
                assert!(answer.starts_with("{\"id\":"), "line {number}: {answer}");
            }
            began.elapsed()
        });
        take_and_ack(&mut consumer, events);
        acknowledged = answering.join().expect("all is answered");
    });
    let took = began.elapsed();
    let crossed = network.zip(crossed_before).map(|(network, before)| network.bytes() - before);
    let cpu_after = both(nodes, cpu_seconds);
    consumer.finish();

    let per_second = |took: Duration| format!("{:.0} events/s", events as f64 / took.as_secs_f64());
    row(&format!("{events} events of {} B, end to end", total / events), &per_second(took), "15,000");
    row("  answered at A", &per_second(acknowledged), "");
    let scale = 100_000.0 / events as f64;
    let (a, b) = ((cpu_after.0 - cpu_before.0) * scale, (cpu_after.1 - cpu_before.1) * scale);
    row("  CPU s per 100,000 events, A / B", &format!("{a:.2} / {b:.2}"), "");
    let (a, b) = both(nodes, |pid| memory(pid, "VmHWM") as f64 / MEBIBYTE);
    row("  peak resident A / B", &format!("{a:.1} / {b:.1} MiB"), "");
    match crossed {
        Some(crossed) => {
            let each = crossed as f64 / events as f64;
            row("  bytes on the wire per event (TCP/IP too)", &format!("{each:.0}"), "");
        }
        None => row("  bytes on the wire per event", "not measured (needs root)", ""),
    }
}

fn take_and_ack(consumer: &mut Consumer, events: usize) {
    for count in 1..=events {
        let line = consumer.next_raw().expect("out.sock can be read").expect("every event comes");
        if count % 512 == 0 || count == events {
            let seq = support::pipeline::seq_of(&line).expect("a line with a seq");
            consumer.ack(seq).expect("an ack can be sent");
        }
    }
}

/// One event every 2 ms, each timed from before its write to A to after its read from B.
fn latency(nodes: &[Node], first: usize, bytes: usize) {
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "pipeline"}));
    let mut submitter = Submitter::connect(&nodes[0]).expect("in.sock can be connected to");
    let began = Instant::now();
    let every = Duration::from_secs(1) / LATENCY_RATE;
    let (told, sent) = std::sync::mpsc::sync_channel::<(String, Duration)>(LATENCY_EVENTS);
    let cpu_before = both(nodes, cpu_seconds);
    let mut arrived: HashMap<String, Duration> = HashMap::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..LATENCY_EVENTS {
                let due = every * number as u32;
                pace(due.saturating_sub(began.elapsed()));
                let at = began.elapsed();
                submitter.send(&made(first + number, bytes)).expect("in.sock takes a line");
                let answer = submitter.answer().expect("in.sock answers").expect("in time");
                told.send((answer["id"].as_str().expect("an id").to_owned(), at)).expect("room");
            }
        });
        for count in 1..=LATENCY_EVENTS {
            let event = consumer.take_one();
            arrived.insert(event.id(), began.elapsed());
            if count % 64 == 0 || count == LATENCY_EVENTS {
                consumer.ack(event.seq).expect("an ack can be sent");
            }
        }
    });
    let took = began.elapsed();
    let cpu_after = both(nodes, cpu_seconds);
    let mut times: Vec<Duration> = sent.iter().map(|(id, at)| arrived[&id] - at).collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    let rate = LATENCY_EVENTS as f64 / took.as_secs_f64();
    row(
        &format!("latency at {rate:.0}/s, p50 / p99 / max"),
        &format!("{:.2} / {:.2} / {:.2} ms", at(0.5), at(0.99), at(1.0)),
        "p99 under 10 ms",
    );
    let scale = 100_000.0 / LATENCY_EVENTS as f64;
    let (a, b) = ((cpu_after.0 - cpu_before.0) * scale, (cpu_after.1 - cpu_before.1) * scale);
    row("  CPU s per 100,000 events at that rate, A / B", &format!("{a:.2} / {b:.2}"), "");
    wait_until("the ack is durable", Duration::from_secs(5), || {
        nodes[1].consumer("pipeline")["lag_events"] == 0
    });
}
