//! The doors over real sockets, with a core that answers by rule. What the real core decides is tested there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::envelope::{Envelope, IdScheme};
use crate::identity::{Check, EventId, HopPath, ProjectName, PublisherName};
use crate::protocol::io::{ConsumerClosed, Submitted};
use crate::record::Entry;
use crate::time::Timestamp;

/// Beyond this a test has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the core of these tests does, and what it was told.
#[derive(Default)]
struct Core {
    /// What is answered to a submission instead of `Accepted`.
    outcome: Option<Submitted>,
    /// Answers are kept back.
    holding: bool,
    held: Vec<(crate::protocol::io::Ticket, Submitted)>,
    submitted: Vec<Arc<Envelope>>,
    returned: Vec<EventId>,
    /// Of the connections: opened, acked, finished, gone.
    told: Vec<String>,
    /// What is said to a consumer that opens.
    turn_away: Option<ConsumerClosed>,
    /// How a finished consumer is answered.
    farewell: Option<ConsumerClosed>,
}

struct Node {
    dir: tempfile::TempDir,
    core: Arc<Mutex<Core>>,
    doors: Arc<Doors>,
    /// Runs core and doors; dropped last.
    _runtime: tokio::runtime::Runtime,
}

fn wall() -> Now {
    Now { wall: Timestamp(1_700_000_000_000), ..Now::default() }
}

impl Node {
    fn start() -> Self {
        Self::start_in("run", None)
    }

    fn start_in(run: &str, group: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, inputs) = mpsc::channel(64);
        let places = Places { run: dir.path().join(run), group };
        let core = Arc::new(Mutex::new(Core::default()));
        let doors = {
            let _inside = runtime.enter();
            Arc::new(Doors::start(&places, behind(sender)).unwrap())
        };
        runtime.spawn(run_core(inputs, core.clone(), doors.clone()));
        Self { dir, core, doors, _runtime: runtime }
    }

    fn connect(&self, socket: &str) -> Client {
        self.connect_at(&self.dir.path().join("run").join(socket))
    }

    fn connect_at(&self, path: &Path) -> Client {
        let stream = connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn core<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        act(&mut self.core.lock().unwrap())
    }

    /// Waits until `holds` does.
    fn wait_until(&self, what: &str, holds: impl Fn(&Core) -> bool) {
        let deadline = crate::clock::now().tick.plus_ms(PATIENCE.as_millis() as u64);
        while !self.core(|core| holds(core)) {
            assert!(
                crate::clock::now().tick < deadline,
                "not in time: {what}; {:?}",
                self.core(|core| core.told.clone())
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Hands `seqs` to the consumer that opened first, each an event that says its seq.
    fn hand_off(&self, seqs: &[u64]) {
        let entries = seqs.iter().map(|seq| Arc::new(entry(*seq))).collect();
        self.doors.handle(Output::HandOff { consumer: ConsumerId(0), entries });
    }
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn signer() -> Signer {
    Signer::new(ed25519_dalek::SigningKey::from_bytes(&[1; 32]))
}

fn door() -> Door {
    Door {
        publisher: name("cert-at"),
        project: ProjectName::parse("intelmq").unwrap(),
        default_tlp: crate::policy::Tlp::Green,
        tlp: None,
        to: Vec::new(),
        ids: IdScheme::Random,
    }
}

fn behind(inputs: mpsc::Sender<Input>) -> Behind {
    let trust = TrustList::new(name("cert-at"), signer().verifying_key(), []);
    Behind {
        inputs,
        now: wall,
        trust: Arc::new(ArcSwap::from_pointee(trust)),
        signer: Arc::new(signer()),
        body_id_secret: BodyIdSecret::new([2; 32]),
        door: door(),
        control: Arc::new(|request| Box::pin(async move { vec![format!("<{request}>")] })),
    }
}

fn entry(seq: u64) -> Entry {
    let line = format!("{{\"extra.seq\":{seq}}}");
    let crate::format::Intake::New(draft) = crate::format::intake(line.as_bytes(), &door()).unwrap() else {
        panic!("a new event")
    };
    let secret = BodyIdSecret::new([2; 32]);
    let made =
        crate::format::Made { now: wall().wall, random: uuid::Uuid::from_u128(seq.into()), secret: &secret };
    let envelope = signer().sign(draft.into_core(&made).unwrap()).unwrap().envelope().clone();
    let path = HopPath::new(vec![name("cert-ee")]).unwrap();
    Entry { seq, check: Check::START, arrived: wall().wall, path, envelope, twins: Vec::new() }
}

async fn run_core(mut inputs: mpsc::Receiver<Input>, core: Arc<Mutex<Core>>, doors: Arc<Doors>) {
    while let Some(input) = inputs.recv().await {
        for output in answer(input, &mut core.lock().unwrap()) {
            assert!(doors.handle(output).is_none());
        }
    }
}

fn answer(input: Input, core: &mut Core) -> Vec<Output> {
    match input {
        Input::Submit { ticket, envelope } => {
            core.submitted.push(envelope.envelope().clone());
            let outcome = core.outcome.clone().unwrap_or(Submitted::Accepted);
            if core.holding {
                core.held.push((ticket, outcome));
                return Vec::new();
            }
            vec![Output::Submitted { ticket, outcome }]
        }
        Input::SubmitReturned { ticket, id } => {
            core.returned.push(id);
            vec![Output::Submitted { ticket, outcome: core.outcome.clone().unwrap_or(Submitted::Duplicate) }]
        }
        Input::ConsumerOpened { consumer, request } => {
            core.told.push(format!("opened {:?}", request.name.map(|name| name.to_string())));
            core.turn_away.into_iter().map(|why| Output::ConsumerClosed { consumer, why }).collect()
        }
        Input::ConsumerReady { .. } => {
            core.told.push("ready".into());
            Vec::new()
        }
        Input::ConsumerAcked { seq, .. } => {
            core.told.push(format!("acked {seq}"));
            Vec::new()
        }
        Input::ConsumerFinished { consumer } => {
            core.told.push("finished".into());
            let why = core.farewell.unwrap_or(ConsumerClosed::Synced);
            vec![Output::ConsumerClosed { consumer, why }]
        }
        Input::ConsumerGone { .. } => {
            core.told.push("gone".into());
            Vec::new()
        }
        other => panic!("not a door's: {other:?}"),
    }
}

struct Client {
    stream: StdStream,
    reader: BufReader<StdStream>,
}

impl Client {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}"))
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// What `in.sock` answers to `text`, then the end of the connection.
fn answers(node: &Node, text: &str) -> Vec<Value> {
    let mut client = node.connect("in.sock");
    client.send(text);
    client.finish();
    client.rest().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_line_gets_its_answer_in_order_and_blank_ones_none() {
    let node = Node::start();
    let got = answers(&node, "{\"a\":1}\n\nnonsense\r\n  \n{\"b\":2}");
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got[0]["id"].as_str().unwrap().starts_with("cert-at:intelmq:"));
    assert_eq!(got[0].as_object().unwrap().len(), 1);
    assert_eq!((got[1]["code"].as_str(), got[1]["line"].as_u64()), (Some("bad_json"), Some(3)));
    assert_eq!(got[2]["id"].as_str().unwrap(), node.core(|core| core.submitted[1].id().to_string()));
}

#[test]
fn every_fault_of_a_line_has_its_code() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let id = "{\"meta\":{\"uuid\":{\"current\":\"x\"}},\"payload\":{\"a\":1}}";
    let to = "{\"meta\":{\"to\":[\"cert-xx\"]},\"payload\":{\"a\":1}}";
    let seal = "{\"meta\":{\"seal\":true,\"to\":[\"cert-xx\"]},\"payload\":{\"a\":1}}";
    for (line, code) in [
        ("{", "bad_json"),
        ("[]", "not_object"),
        ("{}", "empty"),
        ("{\"a\":1,\"\\u0061\":2}", "duplicate_key"),
        ("{\"a\":NaN}", "bad_number"),
        (deep.as_str(), "too_deep"),
        ("{\"meta\":{\"version\":\"x\"},\"payload\":{\"a\":1}}", "bad_meta"),
        (id, "bad_id"),
        ("{\"tlp\":\"RED\",\"a\":1}", "bad_tlp"),
        (to, "unknown_recipient"),
        ("{\"source.ip\":[\"192.0.2.1\"]}", "multi_value"),
        (seal, "not_built"),
        ("{\"a\":1,\"extra.intelmesh.uuid\":\"nonsense\"}", "foreign_event"),
    ] {
        let node = Node::start();
        let got = answers(&node, line);
        assert_eq!(
            (got[0]["code"].as_str(), got[0]["line"].as_u64()),
            (Some(code), Some(1)),
            "{line}: {got:?}"
        );
        assert!(!got[0]["error"].as_str().unwrap().is_empty() && got[0].get("retry").is_none());
        assert_eq!(node.core(|core| core.submitted.len()), 0, "{line}");
    }
}

#[test]
fn an_overlong_line_gets_one_error_and_the_connection_goes_on() {
    let node = Node::start();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(3 * 1024 * 1024));
    let got = answers(&node, &format!("{long}\n{{\"b\":2}}\n{long}"));
    let codes: Vec<_> = got.iter().map(|answer| (answer["code"].as_str(), answer["line"].as_u64())).collect();
    assert_eq!(codes, [(Some("too_large"), Some(1)), (None, None), (Some("too_large"), Some(3))]);
}

#[test]
fn what_the_core_says_is_what_the_client_hears() {
    for (outcome, code, retry) in [
        (Submitted::Duplicate, None, false),
        (Submitted::Conflict, Some("id_conflict"), false),
        (Submitted::DiskFull, Some("disk_full"), true),
        (Submitted::Stopping, Some("stopping"), true),
    ] {
        let node = Node::start();
        node.core(|core| core.outcome = Some(outcome));
        let got = &answers(&node, "{\"a\":1}\n")[0];
        assert_eq!(got["code"].as_str(), code, "{got}");
        assert_eq!(got["retry"].as_bool().unwrap_or(false), retry, "{got}");
        assert_eq!(got["duplicate"].as_bool(), code.is_none().then_some(true), "{got}");
    }
}

#[test]
fn what_was_handed_to_the_pipeline_before_is_known_or_foreign() {
    let id = "cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    let line = format!("{{\"a\":1,\"extra.intelmesh.uuid\":\"{id}\"}}");
    let node = Node::start();
    assert_eq!(answers(&node, &line), [json!({"id": id, "duplicate": true})]);
    node.core(|core| core.outcome = Some(Submitted::Foreign));
    assert_eq!(answers(&node, &line)[0]["code"], "foreign_event");
    assert_eq!(node.core(|core| core.returned.len()), 2);
}

#[test]
fn an_answer_is_given_only_once_the_core_has_it_and_earlier_ones_do_not_wait() {
    let node = Node::start();
    let mut client = node.connect("in.sock");
    client.send("{\"a\":1}\n");
    assert!(client.json()["id"].is_string());
    node.core(|core| core.holding = true);
    client.send("{\"a\":2}\nnonsense\n");
    node.wait_until("the second is submitted", |core| core.held.len() == 1);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.reader.fill_buf().is_err(), "no answer before the core's");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for (ticket, outcome) in node.core(|core| core.held.drain(..).collect::<Vec<_>>()) {
        node.doors.handle(Output::Submitted { ticket, outcome });
    }
    assert!(client.json()["id"].is_string());
    assert_eq!(client.json()["line"], 3);
}

#[test]
fn no_more_lines_are_taken_than_the_window_allows() {
    let node = Node::start();
    node.core(|core| core.holding = true);
    let mut client = node.connect("in.sock");
    let lines = 3 * crate::limits::SUBMIT_LINES_OUTSTANDING_MAX;
    client.send(&"{\"a\":1}\n".repeat(lines));
    client.finish();
    let window = crate::limits::SUBMIT_LINES_OUTSTANDING_MAX;
    node.wait_until("the window fills", |core| core.held.len() >= window);
    assert!(node.core(|core| core.held.len()) <= window + 3, "one is written, one is on its way");
    node.core(|core| core.holding = false);
    for (ticket, outcome) in node.core(|core| core.held.drain(..).collect::<Vec<_>>()) {
        node.doors.handle(Output::Submitted { ticket, outcome });
    }
    assert_eq!(client.rest().lines().count(), lines);
}

#[test]
fn what_a_client_sent_before_it_went_away_is_submitted() {
    let node = Node::start();
    let mut client = node.connect("in.sock");
    client.send(&"{\"a\":1}\n".repeat(500));
    drop(client);
    node.wait_until("all are submitted", |core| core.submitted.len() == 500);
}

#[test]
fn events_come_as_lines_and_acks_go_back() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    node.wait_until("it opened", |core| core.told == ["opened Some(\"soc\")"]);
    node.hand_off(&[3, 5]);
    let first = client.json();
    assert_eq!((&first["seq"], &first["payload"]), (&json!(3), &json!({"extra.seq": 3})));
    assert_eq!(client.json()["meta"]["path"], "!cert-ee");
    node.wait_until("it is ready", |core| core.told.iter().any(|told| told == "ready"));
    client.send("{\"ack\":3}\n{\"ack\":99}\n");
    node.wait_until("no ack counts beyond what was handed", |core| core.told.last().unwrap() == "acked 5");
    client.finish();
    assert_eq!(client.rest(), "", "the end of file says that acks are durable");
    node.wait_until("it is gone", |core| core.told.ends_with(&["finished".into(), "gone".into()]));
}

#[test]
fn in_plain_form_lines_are_counted() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\",\"form\":\"plain\",\"type\":true}\n");
    node.wait_until("it opened", |core| !core.told.is_empty());
    node.hand_off(&[3, 5, 9]);
    assert_eq!(client.line(), "{\"extra.seq\":3,\"__type\":\"Event\"}\n");
    client.line();
    client.send("{\"ack_lines\":2}\n");
    node.wait_until("the second line was seq 5", |core| core.told.last().unwrap() == "acked 5");
}

#[test]
fn acks_count_even_where_the_connection_broke_after_them() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    node.wait_until("it opened", |core| !core.told.is_empty());
    node.hand_off(&(1..2_000).collect::<Vec<_>>());
    client.line();
    client.send("{\"ack\":1}\n");
    drop(client);
    node.wait_until("the ack came", |core| core.told.iter().any(|told| told == "acked 1"));
    node.wait_until("it is gone", |core| core.told.ends_with(&["finished".into(), "gone".into()]));
}

#[test]
fn a_bad_request_gets_one_line_and_the_end() {
    for (request, code) in [
        ("{\"filter\":\"true\"}", "not_built"),
        ("{\"form\":\"xml\"}", "bad_request"),
        ("nonsense", "bad_request"),
        ("", "bad_request"),
    ] {
        let node = Node::start();
        let mut client = node.connect("out.sock");
        client.send(&format!("{request}\n"));
        let refused = client.json();
        assert_eq!(refused["code"], code, "{request}");
        assert_eq!(client.rest(), "");
        assert!(node.core(|core| core.told.is_empty()));
    }
}

#[test]
fn a_name_in_use_is_busy_and_a_bad_ack_ends_the_connection() {
    let node = Node::start();
    node.core(|core| core.turn_away = Some(ConsumerClosed::Busy));
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    assert_eq!(client.json(), json!({"error": "consumer \"soc\" is in use", "code": "busy"}));
    assert_eq!(client.rest(), "");
    node.core(|core| core.turn_away = None);
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\nthanks\n");
    assert_eq!(client.json()["code"], "bad_request");
    assert_eq!(client.rest(), "");
}

#[test]
fn an_end_of_file_that_does_not_mean_durable_says_so_first() {
    let node = Node::start();
    node.core(|core| core.farewell = Some(ConsumerClosed::Stopping));
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    client.finish();
    let said = client.json();
    assert_eq!((&said["code"], &said["retry"]), (&json!("stopping"), &json!(true)));
}

#[test]
fn control_answers_one_request() {
    let node = Node::start();
    let mut client = node.connect("ctl.sock");
    client.send("status\n");
    assert_eq!(client.rest(), "<status>\n");
    let mut client = node.connect("ctl.sock");
    client.send(&"x".repeat(2 * crate::control::REQUEST_BYTES_MAX));
    assert!(client.line().contains("refused"));
}

#[test]
fn a_long_path_works_and_a_stale_socket_gives_way() {
    let run = format!("{}/run", "long".repeat(40));
    let node = Node::start_in(&run, None);
    let path = node.dir.path().join(&run).join("in.sock");
    assert!(path.as_os_str().len() > 107);
    let mut client = node.connect_at(&path);
    client.send("{\"a\":1}\n");
    assert!(client.json()["id"].is_string());
    assert!(path.exists());
    let group = None;
    let _inside = node._runtime.enter();
    assert!(socket::bind(&path, group).is_ok(), "what an earlier run left is replaced");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(socket::bind(&path, group), Err(LocalError::InTheWay(_))));
}

#[test]
fn only_the_owner_may_use_the_sockets_or_a_group_that_is_named() {
    let own_group = std::fs::metadata(tempfile::tempdir().unwrap().path()).unwrap().gid();
    for (group, dir_mode, socket_mode) in [(None, 0o700, 0o600), (Some(own_group.to_string()), 0o710, 0o660)]
    {
        let node = Node::start_in("run", group);
        let run = node.dir.path().join("run");
        assert_eq!(std::fs::metadata(&run).unwrap().mode() & 0o777, dir_mode);
        for name in ["in.sock", "out.sock", "ctl.sock"] {
            let data = std::fs::metadata(run.join(name)).unwrap();
            assert_eq!((data.mode() & 0o777, data.gid()), (socket_mode, own_group), "{name}");
        }
    }
    assert!(matches!(socket::group_id("no-such-group"), Err(LocalError::NoGroup(_))));
    assert_eq!(socket::group_id("root").unwrap(), 0);
}

#[test]
fn stopping_takes_no_more_and_leaves_no_socket() {
    let node = Node::start();
    let mut client = node.connect("in.sock");
    client.send("{\"a\":1}\n");
    client.line();
    node.doors.stop();
    assert_eq!(client.rest(), "");
    node._runtime.block_on(node.doors.stopped(PATIENCE));
    assert!(!node.dir.path().join("run/in.sock").exists());
    assert!(connect(&node.dir.path().join("run/in.sock")).is_err());
}
