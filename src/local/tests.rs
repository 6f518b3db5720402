//! Tests the doors over real sockets, with a core that answers by rule. The real core has its own tests.

mod consuming;
mod handing;
mod spool;
mod submitting;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::envelope::Envelope;
use crate::identity::{Check, EventId, HopPath, ProjectName, PublisherName};
use crate::protocol::io::{ConsumerClosed, DoorInput, DoorOutput, Submitted};
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
    doors: Arc<LocalDoors>,
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
        Self::start_with(run, group, DoorSettings::default())
    }

    fn start_with(run: &str, group: Option<String>, doors: DoorSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, inputs) = mpsc::channel(64);
        let places = DoorPlaces { run: dir.path().join(run), group };
        let core = Arc::new(Mutex::new(Core::default()));
        let doors = {
            let _inside = runtime.enter();
            let behind = DoorServices { doors, state: dir.path().to_owned(), ..behind(sender) };
            Arc::new(LocalDoors::start(&places, behind).unwrap())
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
        self.doors.handle(DoorOutput::HandOff { consumer: ConsumerId(0), entries });
    }
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn signer() -> Signer {
    Signer::new(crate::fixture::key(1))
}

fn door() -> DoorDefaults {
    DoorDefaults::of(name("cert-at"), ProjectName::parse("intelmq").unwrap(), crate::policy::Tlp::Green)
}

fn behind(inputs: mpsc::Sender<Input>) -> DoorServices {
    let trust = TrustList::new(name("cert-at"), signer().verifying_key(), []);
    DoorServices {
        inputs,
        now: wall,
        opening: Arc::new(EnvelopeOpening::new(
            Arc::new(crate::envelope::SealOpener::new(name("cert-at"), [])),
            wall,
        )),
        trust: Arc::new(ArcSwap::from_pointee(trust)),
        signer: Arc::new(signer()),
        body_id_secret: BodyIdSecret::new([2; 32]),
        plain: door(),
        control: Arc::new(|request, _account| Box::pin(async move { vec![format!("<{request}>")] })),
        journal: Arc::new(JournalQuestions {
            log_id: crate::identity::LogId([1; 16]),
            holds: Arc::new(|_| Box::pin(async { true })),
        }),
        doors: DoorSettings::default(),
        state: "/nonexistent".into(),
        lists: Arc::new(|| Box::new(crate::filter::NoLists)),
    }
}

fn entry(seq: u64) -> Entry {
    entry_of(seq, &format!("{{\"extra.seq\":{seq}}}"))
}

/// One that a receiver which adapts nothing refuses.
fn odd_entry(seq: u64) -> Entry {
    entry_of(seq, &format!("{{\"extra.seq\":{seq},\"no.such.field\":1}}"))
}

/// One that expires so many ms after it was made.
fn expiring_entry(seq: u64, ms: u64) -> Entry {
    let expires = wall().wall.plus_ms(ms);
    let meta = format!("{{\"expires\":\"{expires}\"}}");
    entry_of(seq, &format!("{{\"meta\":{meta},\"payload\":{{\"extra.seq\":{seq}}}}}"))
}

fn entry_of(seq: u64, line: &str) -> Entry {
    let crate::format::ParsedSubmission::New(draft) =
        crate::format::intake(line.as_bytes(), &door()).unwrap()
    else {
        panic!("a new event")
    };
    let secret = BodyIdSecret::new([2; 32]);
    let trust = TrustList::new(door().publisher, signer().verifying_key(), []);
    let made = crate::format::IdInputs {
        now: wall().wall,
        random: uuid::Uuid::from_u128(seq.into()),
        secret: &secret,
    };
    let core = draft.address(&trust).unwrap().into_core(&made, &mut rand::rng()).unwrap();
    let envelope = signer().sign(core).unwrap().envelope().clone();
    let path = HopPath::new(vec![name("cert-ee")]).unwrap();
    let (check, arrived, twins) = (Check::START, wall().wall, Vec::new());
    Entry { seq, check, arrived, path, envelope, twins, withdrawn_by: None, replaced_by: None }
}

async fn run_core(mut inputs: mpsc::Receiver<Input>, core: Arc<Mutex<Core>>, doors: Arc<LocalDoors>) {
    while let Some(input) = inputs.recv().await {
        for output in answer(input, &mut core.lock().unwrap()) {
            doors.handle(output);
        }
    }
}

fn answer(input: Input, core: &mut Core) -> Vec<DoorOutput> {
    match input {
        Input::Door(DoorInput::Submit { ticket, envelope }) => {
            core.submitted.push(envelope.envelope().clone());
            let outcome = core.outcome.clone().unwrap_or(Submitted::Accepted);
            if core.holding {
                core.held.push((ticket, outcome));
                return Vec::new();
            }
            vec![DoorOutput::Submitted { ticket, outcome }]
        }
        Input::Door(DoorInput::SubmitReturned { ticket, id }) => {
            core.returned.push(id);
            vec![DoorOutput::Submitted {
                ticket,
                outcome: core.outcome.clone().unwrap_or(Submitted::Duplicate),
            }]
        }
        Input::Door(DoorInput::ConsumerOpened { consumer, request }) => {
            core.told.push(format!("opened {:?}", request.name.map(|name| name.to_string())));
            let began = DoorOutput::ConsumerBegan { consumer, generation: 0 };
            core.turn_away.map_or(vec![began], |why| vec![DoorOutput::ConsumerClosed { consumer, why }])
        }
        Input::Door(DoorInput::ConsumerReady { .. }) => {
            core.told.push("ready".into());
            Vec::new()
        }
        Input::Door(DoorInput::ConsumerAcked { seq, .. }) => {
            core.told.push(format!("acked {seq}"));
            Vec::new()
        }
        Input::Door(DoorInput::ConsumerFinished { consumer }) => {
            core.told.push("finished".into());
            let why = core.farewell.unwrap_or(ConsumerClosed::Synced);
            vec![DoorOutput::ConsumerClosed { consumer, why }]
        }
        Input::Door(DoorInput::ConsumerGone { .. }) => {
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
