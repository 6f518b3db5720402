//! The doors to IntelMQ against IntelMQ's own bots, all of them real processes, side by side in one run: what the TCP
//! output gets rid of at a node and at the real TCP collector, what a node hands to the real collector, and what goes
//! through Redis; on loopback and 10 ms away. `cargo bench --bench doors`; `DOORS_EVENTS`, `DOORS_BYTES` and
//! `DOORS_RUNS` change the load. It needs what `./tests/run tools` installs.
//!
//! It deliberately asserts nothing but that every event arrived: figures belong into docs/PERFORMANCE.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use support::delay::relay;
use support::events::made;
use support::intelmq::{IntelMq, add_tcp_collector, add_tcp_output};
use support::node::free_port;
use support::{Node, wait_until};

const AWAY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(300);
/// At 10 ms IntelMQ's bots manage some 45 events/s.
const EVENTS_AWAY: usize = 200;
const OUTPUTS: usize = 4;
const CONNECTIONS: usize = 32;

struct Load {
    events: usize,
    bytes: usize,
    runs: usize,
}

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    let load = Load {
        events: setting("DOORS_EVENTS", 3_000),
        bytes: setting("DOORS_BYTES", 1_024),
        runs: setting("DOORS_RUNS", 3),
    };
    println!("events/s, medians of {} runs of {} events of {} B", load.runs, load.events, load.bytes);
    println!("| what | loopback | 10 ms away | times the bot's |");
    println!("|---|---|---|---|");
    let bots = into_a_node(&load);
    out_of_a_node(&load, bots);
    through_redis(&load);
}

/// The median of some runs.
fn median(runs: usize, mut once: impl FnMut(usize) -> f64) -> f64 {
    let mut rates: Vec<f64> = (0..runs).map(&mut once).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn row(what: &str, here: f64, away: Option<f64>, bot: Option<(f64, Option<f64>)>) {
    let times = |rate: f64, bot: f64| format!("{:.1}", rate / bot);
    let away_text = away.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
    let ratio = bot.map_or("1".to_owned(), |(bot, bot_away)| match (away, bot_away) {
        (Some(away), Some(bot_away)) => format!("{} / {}", times(here, bot), times(away, bot_away)),
        _ => times(here, bot),
    });
    println!("| {what} | {here:.0} | {away_text} | {ratio} |");
}

/// Events/s from the moment when a tenth is done to the moment when all is, `left` being what is still to do.
fn rate(what: &str, events: usize, mut left: impl FnMut() -> usize) -> f64 {
    let begin = events - events / 10;
    wait_until(what, PATIENCE, || left() <= begin);
    let (from, began) = (left(), Instant::now());
    wait_until(what, PATIENCE, || left() == 0);
    from as f64 / began.elapsed().as_secs_f64()
}

/// An event that IntelMQ takes as it is: its `raw` is Base64.
fn sound(number: usize, bytes: usize) -> String {
    let text = made(number, bytes);
    let raw = text.rfind('"').and_then(|end| text[..end].rfind('"')).expect("a raw at the end") + 1;
    let length = text.len() - 2 - raw;
    format!("{}\"}}", &text[..raw + length / 4 * 4])
}

fn event(number: usize, bytes: usize) -> String {
    let text = sound(number, bytes);
    format!("{{\"__type\": \"Event\", {}", &text[1..])
}

fn node_with(door: &str) -> Node {
    let mut node = Node::init("cert-at");
    node.edit("intelmesh.toml", |text| format!("{text}\n{door}\n"));
    node.start();
    node
}

fn tcp_door(port: u16) -> Node {
    node_with(&format!("[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\""))
}

/// A real TCP collector, alone.
fn collector(port: u16) -> IntelMq {
    let mut instance = IntelMq::new("collecting");
    add_tcp_collector(&mut instance, "tcp-collector", port, "collected");
    instance.start("tcp-collector");
    instance
}

/// Events/s of so many real TCP outputs together; `first` numbers their events, so that none is known already.
fn real_outputs(outputs: usize, port: u16, first: usize, events: usize, bytes: usize) -> f64 {
    let mut instance = IntelMq::new("sending");
    let names: Vec<String> = (0..outputs).map(|number| format!("output-{number}")).collect();
    for (at, name) in names.iter().enumerate() {
        add_tcp_output(&mut instance, name, port);
        let each = events / outputs;
        let texts: Vec<_> = (0..each).map(|number| event(first + at * each + number, bytes)).collect();
        instance.push_all(&format!("{name}-queue"), &texts);
    }
    instance.start_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
    rate("the outputs are done", events / outputs * outputs, || {
        names.iter().map(|name| instance.waiting(name)).sum()
    })
}

/// Events/s of a sender that is as fast as the lock-step allows, on so many connections at once.
fn fast_outputs(connections: usize, port: u16, first: usize, events: usize, bytes: usize) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for at in 0..connections {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
                let each = events / connections;
                for number in (0..each).map(|number| first + at * each + number) {
                    let text = sound(number, bytes);
                    let length = u32::try_from(text.len()).expect("a length");
                    let frame = [&length.to_be_bytes()[..], text.as_bytes()].concat();
                    stream.write_all(&frame).expect("a frame is taken");
                    let mut answer = [0; 2];
                    stream.read_exact(&mut answer).expect("an answer");
                    assert_eq!(&answer, b"Ok");
                }
            });
        }
    });
    (events / connections * connections) as f64 / began.elapsed().as_secs_f64()
}

/// Both distances, of something that sends to a port: `send(port, first, events)`.
fn near_and_far(
    load: &Load,
    port: u16,
    events_away: usize,
    send: impl Fn(u16, usize, usize) -> f64,
) -> (f64, f64) {
    // Numbers grow from measurement to measurement: a node takes what it has seen for a duplicate.
    let first = |round: usize| (round + 1) * 1_000_000;
    let near = median(load.runs, |run| send(port, first(run), load.events));
    let away = relay(port, AWAY);
    let far = median(load.runs, |run| send(away, first(load.runs + run), events_away));
    (near, far)
}

/// Gives what IntelMQ's own bots do, near and far.
fn into_a_node(load: &Load) -> (f64, f64) {
    let (to_bot, to_node) = (free_port(), free_port());
    let mut bot = collector(to_bot);
    let node = tcp_door(to_node);
    let real = |outputs: usize| {
        move |port: u16, first: usize, events: usize| {
            real_outputs(outputs, port, first * outputs, events, load.bytes)
        }
    };
    let reference = near_and_far(load, to_bot, EVENTS_AWAY, real(1));
    bot.clear("collected");
    row("TCP output -> TCP collector", reference.0, Some(reference.1), None);
    let against = Some((reference.0, Some(reference.1)));
    let one = near_and_far(load, to_node, EVENTS_AWAY, real(1));
    row("TCP output -> node", one.0, Some(one.1), against);
    let many = near_and_far(load, to_node, EVENTS_AWAY * OUTPUTS, move |port, first, events| {
        real_outputs(OUTPUTS, port, first * 10, events, load.bytes)
    });
    row(&format!("{OUTPUTS} TCP outputs -> node"), many.0, Some(many.1), against);
    let fast = |connections: usize, base: usize| {
        move |port: u16, first: usize, events: usize| {
            fast_outputs(connections, port, first + base, events, load.bytes)
        }
    };
    let quick = near_and_far(load, to_bot, EVENTS_AWAY, fast(1, 500_000));
    bot.clear("collected");
    bot.assert_all_run();
    row("a fast sender, 1 connection -> TCP collector", quick.0, Some(quick.1), against);
    let single = near_and_far(load, to_node, EVENTS_AWAY, fast(1, 500_000));
    row("a fast sender, 1 connection -> node", single.0, Some(single.1), against);
    let wide = near_and_far(load, to_node, EVENTS_AWAY * CONNECTIONS, fast(CONNECTIONS, 700_000_000));
    row(&format!("a fast sender, {CONNECTIONS} connections -> node"), wide.0, Some(wide.1), against);
    drop(node);
    reference
}

/// Events that the node has in its journal, from a consumer that takes what is its own.
fn stored(node: &Node, events: usize, bytes: usize) {
    let lines: Vec<_> = (0..events).map(|number| sound(number, bytes)).collect();
    node.publish(&lines);
}

fn out_of_a_node(load: &Load, bots: (f64, f64)) {
    let hand_off = |delay: Option<Duration>, events: usize| {
        let listens = free_port();
        let connects = delay.map_or(listens, |delay| relay(listens, delay));
        let node = node_with(&format!(
            "[[consumer]]\nname = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{connects}\"\nown = true"
        ));
        stored(&node, events, load.bytes);
        let instance = collector(listens);
        rate("the collector has all", events, || events.saturating_sub(instance.length("collected")))
    };
    let near = median(load.runs, |_| hand_off(None, load.events));
    let far = median(load.runs, |_| hand_off(Some(AWAY), EVENTS_AWAY));
    row("node -> TCP collector", near, Some(far), Some((bots.0, Some(bots.1))));
}

fn through_redis(load: &Load) {
    let events = load.events;
    let texts: Vec<_> = (0..events).map(|number| event(number, load.bytes)).collect();
    let bot = median(load.runs, |_| {
        let mut instance = IntelMq::new("passing");
        let to = json!({ "destination_queues": { "_default": ["passed"] } });
        instance.add("taxonomy", "intelmq.bots.experts.taxonomy.expert", to);
        instance.push_all("taxonomy-queue", &texts);
        instance.start("taxonomy");
        rate("the bot has passed all", events, || instance.waiting("taxonomy"))
    });
    row("queue -> a bot (taxonomy expert) -> queue", bot, None, None);
    let into = median(load.runs, |_| {
        let instance = IntelMq::new("sending");
        let url = instance.redis_url();
        instance.push_all("intelmesh-queue", &texts);
        let door =
            format!("[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"intelmesh-queue\"");
        let _node = node_with(&door);
        rate("the node has all", events, || instance.waiting("intelmesh"))
    });
    row("queue -> node", into, None, Some((bot, None)));
    let out = median(load.runs, |_| {
        let instance = IntelMq::new("receiving");
        let url = instance.redis_url();
        let mut node = node_with("");
        stored(&node, events, load.bytes);
        node.stop();
        node.edit("intelmesh.toml", |text| {
            let to = format!("to = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"handed-off\"");
            format!(
                "{text}\n[[consumer]]\nname = \"pipeline\"\nown = true\nqueue_max = {}\n{to}\n",
                2 * events
            )
        });
        node.start();
        rate("the queue has all", events, || events.saturating_sub(instance.length("handed-off")))
    });
    row("node -> queue", out, None, Some((bot, None)));
}
