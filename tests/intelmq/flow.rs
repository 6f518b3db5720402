//! Real IntelMQ at both ends of two nodes: a file collector's events, through IntelMQ's own bots and two nodes, come
//! out at the other instance's file output as they were sent, once through the TCP bots and once through Redis;
//! undisturbed, and with every node and every bot killed once while events flow.
//!
//! What a bot does to an event on the way (it drops empty values, for one) is not the nodes' affair: what comes out
//! is compared with what the sending instance writes to a file of its own, beside its output.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use support::intelmq::{
    IntelMq, Receiving, Sending, collector_to_file, corpus, file_to_output, without_annotations,
};
use support::node::free_port;
use support::shape::{start, unstarted_mesh};
use support::{Node, wait_until};

/// Real events in a run.
const EVENTS: usize = 1_040;
/// Files that the events of one step lie in: a collector that is killed is so between two of them.
const FILES: usize = 5;
const ARRIVAL: Duration = Duration::from_secs(120);
/// What the default list of the door keeps at home.
const AT_HOME: [&str; 2] = ["rtir_id", "extra.file_name"];

/// What is killed and started again.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Node(usize),
    Sender(&'static str),
    Receiver(&'static str),
}

/// Instance a -> node 0 -> node 1 -> instance b.
struct Flow {
    a: IntelMq,
    b: IntelMq,
    nodes: Vec<Node>,
    senders: Vec<&'static str>,
    receivers: Vec<&'static str>,
}

impl Flow {
    fn through_tcp() -> Self {
        let (into, out_of) = (free_port(), free_port());
        let submit = format!("from = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{into}\"");
        let consumer = format!("name = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{out_of}\"");
        Self::through(&Sending::Tcp(into), &Receiving::Tcp(out_of), |_, _| (submit, consumer))
    }

    fn through_redis() -> Self {
        Self::through(&Sending::Queue("intelmesh-queue"), &Receiving::Queue, |a, b| {
            let (from, to) = (a.redis_url(), b.redis_url());
            let submit = format!("from = \"intelmq-redis\"\nurl = \"{from}\"\nqueue = \"intelmesh-queue\"");
            let to = format!("to = \"intelmq-redis\"\nurl = \"{to}\"\nqueue = \"file-output-queue\"");
            (submit, format!("name = \"pipeline\"\n{to}"))
        })
    }

    fn through(
        into: &Sending,
        out_of: &Receiving,
        doors: impl FnOnce(&IntelMq, &IntelMq) -> (String, String),
    ) -> Self {
        let (mut a, mut b) = (IntelMq::new("a"), IntelMq::new("b"));
        let (senders, receivers) = (file_to_output(&mut a, into), collector_to_file(&mut b, out_of));
        let (submit, consumer) = doors(&a, &b);
        let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
        nodes[0].edit("intelmesh.toml", |text| format!("{text}\n[[submit]]\n{submit}\n"));
        nodes[1].edit("intelmesh.toml", |text| format!("{text}\n[[consumer]]\n{consumer}\n"));
        b.start_all(&receivers);
        start(&mut nodes);
        a.start_all(&senders);
        a.start("witness");
        Self { a, b, nodes, senders, receivers }
    }

    /// Lets the sending instance find these events in files.
    fn deliver(&self, step: usize, events: &[String]) {
        for (number, some) in events.chunks(events.len().div_ceil(FILES)).enumerate() {
            self.a.deliver(&format!("{step}-{number}"), some);
        }
    }

    fn kill_and_restart(&mut self, victim: Victim) {
        match victim {
            Victim::Node(at) => {
                self.nodes[at].kill9();
                self.nodes[at].start();
            }
            Victim::Sender(bot) => {
                self.a.kill9(bot);
                self.a.start(bot);
            }
            Victim::Receiver(bot) => {
                self.b.kill9(bot);
                self.b.start(bot);
            }
        }
    }

    /// Every node, and every bot of the flow.
    fn victims(&self) -> Vec<Victim> {
        let senders = self.senders.iter().copied().map(Victim::Sender);
        let receivers = self.receivers.iter().copied().map(Victim::Receiver);
        senders.chain([Victim::Node(0), Victim::Node(1)]).chain(receivers).collect()
    }

    /// Waits until nothing is on its way, and gives what was sent and what came out, each with how often.
    fn settle(&mut self) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
        wait_until("the sending instance has read and sent all", ARRIVAL, || {
            let unread = std::fs::read_dir(self.a.inbox()).expect("the inbox").count();
            let bots = ["json-parser", "witness", "tcp-output", "intelmesh"];
            unread == 0 && bots.iter().all(|bot| self.a.waiting(bot) == 0)
        });
        let sent = counted(self.a.written("witness").iter().map(without_what_stays));
        wait_until("all that was sent comes out", ARRIVAL, || self.received().len() >= sent.len());
        wait_until("the hand-off and the receiving instance are done", ARRIVAL, || {
            let handed_off = self.nodes[1].consumer("pipeline")["lag_events"] == 0;
            handed_off && self.receivers.iter().all(|bot| self.b.waiting(bot) == 0)
        });
        self.a.assert_all_run();
        self.b.assert_all_run();
        let dumped: usize = self.senders.iter().map(|bot| self.a.dumped(bot)).sum();
        let dumped = dumped + self.receivers.iter().map(|bot| self.b.dumped(bot)).sum::<usize>();
        assert_eq!(dumped, 0, "bots gave events up");
        (sent, self.received())
    }

    fn received(&self) -> BTreeMap<String, usize> {
        counted(self.b.written("file-output").iter().map(without_annotations))
    }
}

fn counted(events: impl Iterator<Item = Map<String, Value>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(Value::Object(event).to_string()).or_default() += 1;
    }
    counts
}

/// The event as it may leave the sending instance's house.
fn without_what_stays(event: &Map<String, Value>) -> Map<String, Value> {
    let mut event = event.clone();
    event.retain(|key, value| {
        let path = key == "feed.url" && value.as_str().is_some_and(|url| url.starts_with("file:"));
        !path && !AT_HOME.contains(&key.as_str())
    });
    event
}

/// Fails with one event that differs.
fn assert_same_events(sent: &BTreeMap<String, usize>, received: &BTreeMap<String, usize>) {
    let (lost, strange) = (
        sent.keys().find(|event| !received.contains_key(*event)),
        received.keys().find(|event| !sent.contains_key(*event)),
    );
    assert!(
        lost.is_none() && strange.is_none(),
        "{} sent, {} received; for one, sent and not received:\n{lost:?}\nreceived and not sent:\n{strange:?}",
        sent.len(),
        received.len()
    );
}

/// All events at once; each comes out exactly once.
fn undisturbed(mut flow: Flow) {
    flow.deliver(0, &corpus(EVENTS));
    let (sent, received) = flow.settle();
    assert_eq!(sent.len(), EVENTS, "IntelMQ made other events of them");
    assert_same_events(&sent, &received);
    let twice = received.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "events came out twice");
    let annotated =
        flow.b.written("file-output").iter().all(|event| event.contains_key("extra.intelmesh.uuid"));
    assert!(annotated, "events without extra.intelmesh.uuid: their loop would not be noticed");
}

/// As many steps as there are victims; each is killed while the events of its step flow. Gives how many events came
/// out more often than once.
fn with_everything_killed_once(mut flow: Flow) -> usize {
    let victims = flow.victims();
    let events = corpus(EVENTS);
    for (step, (victim, some)) in
        victims.iter().zip(events.chunks(EVENTS.div_ceil(victims.len()))).enumerate()
    {
        let before = flow.received().len();
        flow.deliver(step, some);
        wait_until("events of this step flow", ARRIVAL, || flow.received().len() > before);
        flow.kill_and_restart(*victim);
    }
    let (sent, received) = flow.settle();
    assert_eq!(sent.len(), EVENTS, "IntelMQ made other events of them");
    assert_same_events(&sent, &received);
    let surplus = received.values().map(|count| count - 1).sum();
    println!("{} killed once each; {surplus} events came out twice", victims.len());
    let ids: std::collections::BTreeSet<_> = flow
        .b
        .written("file-output")
        .iter()
        .map(|event| event["extra.intelmesh.uuid"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ids.len(), EVENTS, "an event that the sending bots repeated got a second id");
    surplus
}

#[test]
fn real_events_come_out_of_the_other_instance_as_they_were_sent_through_tcp() {
    undisturbed(Flow::through_tcp());
}

#[test]
fn real_events_come_out_of_the_other_instance_as_they_were_sent_through_redis() {
    undisturbed(Flow::through_redis());
}

/// What the sending bots repeat when they are killed, and what their node is told again, the node knows by its
/// content. Behind the receiving node each repeats at most the one event that it had in hand: the node that stands in
/// a TCP output's place, the TCP collector (queued, but not yet acknowledged), the parser and the file output (done,
/// but not yet taken from the queue).
#[test]
fn nothing_is_lost_through_tcp_when_each_node_and_bot_is_killed_once() {
    let surplus = with_everything_killed_once(Flow::through_tcp());
    assert!(
        surplus <= 4,
        "{surplus} events came out twice; the four that are killed at the end repeat one each"
    );
}

/// Through Redis only the file output repeats, the one event that it had in hand: the node moves its position in the
/// same transaction as it pushes.
#[test]
fn nothing_is_lost_through_redis_when_each_node_and_bot_is_killed_once() {
    let surplus = with_everything_killed_once(Flow::through_redis());
    assert!(surplus <= 1, "{surplus} events came out twice; only the file output repeats the one in hand");
}
