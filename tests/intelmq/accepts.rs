//! Whether IntelMQ 3.5.0 itself takes what is handed to it: thousands of nasty events go through the hand-off, and
//! IntelMQ's own classes read them as its bots do, from a queue, from TCP through the JSON parser, and once more as
//! the next bot does. None may raise. `INTELMESH_ACCEPTS_EVENTS` says how many (4,000 by default),
//! `INTELMESH_SEED` repeats a run.
//!
//! It runs no bot; the tests with processes do.
mod nasty;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use intelmesh::testing::{
    Carried, DeliveryForm, HandOff, Harmonization, IntelmqHandOff, RelationFields, SenderFeed, WrittenEvent,
};
use intelmesh::{Body, Core, EventType, HopPath, Link, LinkTarget, Relation, Signer, check_body};
use nasty::Nasty;
use serde_json::{Value, json};
use support::Dice;
use support::intelmq::{python, unprivileged};

const ID: &str = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
/// Taken back by it.
const OTHER: &str = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3d";

fn script(arguments: &[&str]) -> Command {
    let mut command = unprivileged(&python());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/intelmq_accepts.py");
    command.arg("-B").arg(script).args(arguments).current_dir("/");
    command
}

/// IntelMQ's file of fields, and their kinds.
fn fields() -> (String, BTreeMap<String, String>) {
    let said = script(&["fields"]).output().expect("Python runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["version"], "3.5.0");
    (said["file"].as_str().unwrap().to_owned(), serde_json::from_value(said["event"].clone()).unwrap())
}

/// What IntelMQ says to each case.
fn judge(cases: &[Value], harmonization: &[&str]) -> Vec<Value> {
    let arguments = [&["judge"], harmonization].concat();
    let mut child = script(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().unwrap();
    let text: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let said = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(said.status.success(), "{}", said.status);
    let answers = String::from_utf8(said.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

struct Handing {
    signer: Signer,
    path: HopPath,
}

impl Handing {
    fn new() -> Self {
        let key = intelmesh::testing::fixture::key(7);
        Self { signer: Signer::new(key), path: HopPath::default() }
    }

    /// The line, where the event is not set aside.
    fn line(
        &self,
        payload: &str,
        event_type: EventType,
        hand_off: &IntelmqHandOff,
    ) -> Option<(WrittenEvent, String)> {
        check_body(payload.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {payload}"));
        let link = |relation: &str, to: &str| Link {
            left: None,
            relation: Relation::parse(relation).unwrap(),
            right: LinkTarget::Event(to.parse().unwrap()),
        };
        let core = Core {
            id: ID.parse().unwrap(),
            event_type,
            max_hops: 8,
            links: vec![link("replaces", OTHER), link("withdraws", OTHER), link("withdraws", OTHER)],
            body: Body::Plain(Bytes::copy_from_slice(payload.as_bytes())),
            ..intelmesh::testing::fixture::core()
        };
        let signed = self.signer.sign(core).unwrap();
        let mut out = Vec::new();
        let written = hand_off.write(&Carried::new(1, &self.path, signed.envelope()), &mut out);
        written.ok().map(|written| (written, String::from_utf8(out).unwrap()))
    }
}

/// As doors may be configured.
fn ways(harmonization: &Arc<Harmonization>) -> Vec<(bool, IntelmqHandOff)> {
    let ways = [
        (true, true, SenderFeed::Replace),
        (false, true, SenderFeed::Replace),
        (true, false, SenderFeed::Keep),
        (false, false, SenderFeed::Keep),
    ];
    let hand_off = |with_type, annotate, sender_feed| IntelmqHandOff {
        hand_off: HandOff { form: DeliveryForm::Plain, with_type, format: None },
        annotate,
        sender_feed,
        relation_fields: match sender_feed {
            SenderFeed::Replace => RelationFields::default(),
            SenderFeed::Keep => RelationFields::new("extra.a", "status", "", "").unwrap(),
        },
        harmonization: harmonization.clone(),
        ..IntelmqHandOff::default()
    };
    ways.into_iter().map(|(queue, annotate, feed)| (queue, hand_off(queue, annotate, feed))).collect()
}

fn count() -> usize {
    std::env::var("INTELMESH_ACCEPTS_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

/// Cases from nasty events, and the events that they were.
fn cases(nasty: &mut Nasty, harmonization: &Arc<Harmonization>, count: usize) -> (Vec<Value>, Vec<String>) {
    let samples = include_str!("../samples/events.jsonl");
    let samples: Vec<&str> = samples.lines().filter(|line| !line.trim().is_empty()).collect();
    let (handing, ways) = (Handing::new(), ways(harmonization));
    let (mut cases, mut payloads) = (Vec::new(), Vec::new());
    let mut aside = 0;
    while payloads.len() < count {
        let sample = nasty.below(samples.len());
        let payload = nasty.event(samples[sample]);
        let (queue, hand_off) = &ways[nasty.below(ways.len())];
        let event_type = if nasty.below(8) == 0 { EventType::Report } else { EventType::Event };
        let Some((_, line)) = handing.line(&payload, event_type, hand_off) else {
            aside += 1;
            assert!(aside < 10 * count, "nearly all events are set aside");
            continue;
        };
        let name = if event_type == EventType::Report { "Report" } else { "Event" };
        cases.push(json!({"type": name, "queue": queue, "line": line}));
        payloads.push(payload);
    }
    println!("{count} events, {aside} set aside");
    (cases, payloads)
}

fn assert_all_taken(cases: &[Value], payloads: &[String], answers: &[Value]) {
    let mut raised = Vec::new();
    let (mut needless, mut moved) = (0, 0);
    for ((case, payload), answer) in cases.iter().zip(payloads).zip(answers) {
        moved += answer["moved"].as_u64().unwrap_or(0);
        needless += answer["needless"].as_array().map_or(0, Vec::len);
        if let Some(why) = answer["raised"].as_str() {
            raised.push(format!(
                "{why}\n  was    {payload:.2000}\n  handed {:.2000}",
                case["line"].as_str().unwrap()
            ));
        }
    }
    println!("{moved} members moved, {needless} of which IntelMQ would have taken");
    raised.truncate(20);
    assert!(raised.is_empty(), "IntelMQ refuses:\n{}", raised.join("\n"));
}

#[test]
fn intelmq_takes_whatever_is_handed_to_it() {
    let (_, fields) = fields();
    let mut nasty = Nasty::new(Dice::announced("--test intelmq accepts::"), &fields);
    let (cases, payloads) = cases(&mut nasty, &Harmonization::intelmq(), count());
    assert_all_taken(&cases, &payloads, &judge(&cases, &[]));
}

#[test]
fn an_older_or_changed_intelmq_takes_whatever_is_handed_to_it() {
    let (file, fields) = fields();
    let mut lists: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let event = lists["event"].as_object_mut().unwrap();
    event.retain(|name, _| !name.starts_with("product.") && name != "severity" && name != "tlp");
    event.insert("house.number".to_owned(), json!({"type": "Integer", "length": 3, "regex": "^[1-9]"}));
    event.insert("status".to_owned(), json!({"type": "UppercaseString", "iregex": "^(online|offline)$"}));
    event.insert("extra.a".to_owned(), json!({"type": "IPAddress"}));
    event.insert("context".to_owned(), json!({"type": "JSONDict"}));
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("harmonization.conf");
    std::fs::write(&own, lists.to_string()).unwrap();
    let mut known = fields;
    known.insert("house.number".to_owned(), "Integer".to_owned());
    known.insert("context".to_owned(), "JSONDict".to_owned());
    known.insert("context.a".to_owned(), "String".to_owned());
    let harmonization = Arc::new(Harmonization::load(&own).unwrap());
    let mut nasty = Nasty::new(Dice::announced("--test intelmq accepts::"), &known);
    let (cases, payloads) = cases(&mut nasty, &harmonization, count() / 4);
    assert_all_taken(&cases, &payloads, &judge(&cases, &[own.to_str().unwrap()]));
}

#[test]
fn our_table_of_fields_is_the_one_that_intelmq_ships() {
    let (file, fields) = fields();
    let shipped = Arc::new(Harmonization::load(Path::new(&file)).unwrap());
    let handing = Handing::new();
    let mut nasty = Nasty::new(Dice::announced("--test intelmq accepts::"), &fields);
    for (ours, theirs) in ways(&Harmonization::intelmq()).into_iter().zip(ways(&shipped)) {
        for _ in 0..count() / 4 {
            let payload = nasty.event(r#"{"classification.type":"phishing"}"#);
            for event_type in [EventType::Event, EventType::Report] {
                let line = |hand_off| handing.line(&payload, event_type, hand_off);
                assert_eq!(line(&ours.1), line(&theirs.1), "{payload}");
            }
        }
    }
}
