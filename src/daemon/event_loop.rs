//! The loop: it passes inputs to the core, outputs to their executors, and handles timeouts. It never awaits a peer, a
//! disk or a client: each of them gets its outputs through a queue that the core bounds.

mod asking;
mod files;
mod reload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::control::{CONSUMERS_FILE, ConsumerFact, ControlRefusal};
use crate::daemon::control::ControlAsk;
use crate::daemon::delivery_status::ReadTimes;
use crate::daemon::event_log::EventLog;
use crate::daemon::frame_dump::FrameDump;
use crate::daemon::health_watch::HealthWatch;
use crate::daemon::kept_file::KeptFile;
use crate::daemon::lags::LagTable;
use crate::daemon::metrics::NodeMetrics;
use crate::daemon::on_health::HealthHook;
use crate::daemon::snapshot::NodeIdentity;
use crate::daemon::timings::StoreTimings;
use crate::daemon::undeliverable::UndeliverableEvents;
use crate::daemon::web::WebParts;
use crate::daemon::workers::CheckWorkers;
use crate::daemon::{keys, log, renamed, service};
use crate::envelope::statement::claimed_publisher;
use crate::envelope::{SignedStatement, StatedKeys};
use crate::identity::PublisherName;
use crate::keyring::{Keyring, KeyringError};
use crate::local::LocalDoors;
use crate::protocol::io::{
    CommandRefused, Event, OperatorInput, StoreInput, StoreOutput, StoreQuestion, Ticket, TransportOutput,
};
use crate::protocol::view::NodeView;
use crate::protocol::{Input, Node, Output};
use crate::record::ConsumerName;
use crate::status::{HealthCode, ShownProblem, health_line};
use crate::store::{Store, StoreStats};
use crate::time::Tick;
use crate::transport::Transport;

use files::DoorLists;
pub(crate) use files::{InForce, WatchedFiles, reachable};

/// Inputs taken at once.
const INPUTS_MAX: usize = 1_024;
/// How often the positions of consumers are written down beside the journal, in ms.
const CONSUMERS_EVERY_MS: u64 = 5_000;
/// How often `peers/` is looked at, in ms: a change acts within a second.
const PEERS_EVERY_MS: u64 = 250;

/// Everything the loop hands outputs to.
pub(crate) struct NodeParts {
    pub store: Arc<Store>,
    pub transport: Arc<Transport>,
    pub doors: LocalDoors,
    pub web: WebParts,
    pub inputs: mpsc::Sender<Input>,
}

/// The state that is observed once a second, and remembered from one look to the next.
#[derive(Debug)]
struct LoopWatches {
    lags: LagTable,
    read_times: ReadTimes,
    health: HealthWatch,
    /// `keys/` is older than what this node has published of its keys: peers reject what is signed here.
    keys_stale: Option<ShownProblem>,
    /// This node has another name than when it ran last.
    renamed: Option<ShownProblem>,
    undeliverable: UndeliverableEvents,
    lists: DoorLists,
    metrics: NodeMetrics,
    /// As the store gave them last: it may be busy, and the loop waits for nobody.
    stats: StoreStats,
    /// As they were written down last, and when they may be again.
    consumers: (Vec<ConsumerFact>, Tick),
    consumers_file: KeptFile,
}

impl LoopWatches {
    fn open(files: &WatchedFiles, identity: &NodeIdentity, stats: StoreStats, metrics: NodeMetrics) -> Self {
        Self {
            lags: LagTable::default(),
            read_times: ReadTimes::default(),
            health: HealthWatch::open(
                &files.config.paths.state,
                HealthHook::start(&files.config.on_health, &identity.name),
            ),
            keys_stale: None,
            renamed: renamed::noticed(&files.config.paths.state, &identity.name, identity.started.wall),
            undeliverable: UndeliverableEvents::open(&files.config.paths.state),
            lists: DoorLists::default(),
            metrics,
            stats,
            consumers: (Vec::new(), Tick(0)),
            consumers_file: KeptFile::new(files.config.paths.state.join(CONSUMERS_FILE)),
        }
    }
}

/// Commands of the operator's that the core has not answered.
struct PendingCommands {
    next: u64,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<(), CommandRefused>>>,
}

pub(crate) struct EventLoop {
    pub node: Node,
    pub parts: NodeParts,
    pub files: WatchedFiles,
    pub identity: NodeIdentity,
    chronicle: EventLog,
    watches: LoopWatches,
    commands: PendingCommands,
    frames: FrameDump,
    /// Publishers with a key statement that was learnt a moment ago.
    keys_changed: Vec<PublisherName>,
    workers: CheckWorkers,
    timings: StoreTimings,
    /// Look-ups that were handed to the store's thread; the core takes their answers in the order asked.
    looking_up: usize,
}

impl EventLoop {
    pub(crate) fn new(
        node: Node,
        parts: NodeParts,
        files: WatchedFiles,
        identity: NodeIdentity,
        metrics: NodeMetrics,
    ) -> Self {
        let timings = metrics.store_timings();
        let watches = LoopWatches::open(&files, &identity, parts.store.stats(), metrics);
        Self {
            node,
            parts,
            files,
            identity,
            chronicle: EventLog::default(),
            watches,
            // Apart from the core's own tickets.
            commands: PendingCommands { next: 1 << 63, waiting: BTreeMap::new() },
            frames: FrameDump::from_env(),
            keys_changed: Vec::new(),
            workers: CheckWorkers::default(),
            timings,
            looking_up: 0,
        }
    }

    /// Runs until it is asked to stop and everything accepted is on disk.
    pub(crate) async fn run(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut asks: mpsc::Receiver<ControlAsk>,
    ) {
        let mut batch = Vec::with_capacity(INPUTS_MAX);
        let mut peers_due = tokio::time::interval(Duration::from_millis(PEERS_EVERY_MS));
        let mut lags_due = tokio::time::interval(Duration::from_secs(1));
        let mut stopping: Option<oneshot::Receiver<Result<(), CommandRefused>>> = None;
        self.obey();
        self.look_for_undeliverable(&self.node.view());
        loop {
            let sleep = self.until_timeout();
            tokio::select! {
                _ = inputs.recv_many(&mut batch, INPUTS_MAX) => {
                    batch.iter().for_each(|input| self.on_answer(input));
                    self.node.handle_inputs(batch.drain(..), clock::now());
                }
                Some(ask) = asks.recv() => {
                    if let Some(stopped) = self.on_ask(ask) {
                        stopping = Some(stopped);
                    }
                }
                _ = peers_due.tick() => self.reload_if_changed(),
                _ = lags_due.tick() => self.watch(),
                () = tokio::time::sleep(sleep) => self.node.handle_timeout(clock::now()),
            }
            self.obey();
            if stopping.as_mut().is_some_and(|stopped| stopped.try_recv().is_ok()) {
                if let Ok(bytes) = serde_json::to_vec(&self.consumers(&self.node.view())) {
                    self.watches.consumers_file.write_last(bytes);
                }
                self.watches.undeliverable.keep_last();
                self.watches.health.keep_last();
                return;
            }
        }
    }

    /// Once a second.
    fn watch(&mut self) {
        let (view, now) = (self.node.view(), clock::now());
        self.watches.read_times.observe(&view, now.wall);
        self.look_at_keys();
        self.chronicle.tell_held_back(now);
        self.keep_consumers(&view);
        // One that was removed and begins anew has missed nothing.
        let is_there = |name: &ConsumerName| view.consumers.iter().any(|consumer| consumer.name == *name);
        self.chronicle.consumer_missing_at.retain(|name, _| is_there(name));
        self.watches.undeliverable.look(&view, &self.node.trust(), &self.parts.store, now.tick);
        self.look_at_store();
        // What changed is logged.
        let snapshot = self.judge(view, now);
        service::alive(&health_line(&snapshot));
        log::tell_repeats();
    }

    fn look_at_store(&mut self) {
        if let Some(stats) = self.parts.store.stats_if_free() {
            self.watches.stats = stats;
        }
    }

    /// Counts an answer as received. The next question may be answered at once only if no earlier question is open.
    fn on_answer(&mut self, input: &Input) {
        self.timings.on_answer(input);
        match input {
            Input::Store(StoreInput::Known { .. }) => self.looking_up = self.looking_up.saturating_sub(1),
            Input::Verified { .. } => self.workers.taken(),
            _ => {}
        }
    }

    fn until_timeout(&mut self) -> Duration {
        let now = clock::now().tick;
        let due = self.node.poll_timeout().map_or(1_000, |due| due.since_ms(now));
        Duration::from_millis(due)
    }

    /// Somebody's keys changed: the gate and the doors follow, and it is written down.
    fn follow_keys(&mut self) {
        let changed = std::mem::take(&mut self.keys_changed);
        if changed.is_empty() {
            return;
        }
        self.files.trust.store(self.node.trust());
        self.look_for_undeliverable(&self.node.view());
        self.parts.transport.set_peers(reachable(&self.files.peers, &self.node));
        let of_them = |known: &&StatedKeys| changed.contains(&known.latest().statement().publisher);
        let stated = self.node.statements().filter(of_them).cloned().collect();
        keys::write_down(self.files.config.paths.state.clone(), stated, clock::now().wall);
        if changed.contains(&self.identity.name) {
            let newest = Keyring::load(&self.files.config.paths.keys).and_then(|k| self.check_newest(&k));
            self.watches.keys_stale = newest.err().map(|error| ShownProblem {
                at: clock::now().wall,
                what: format!("{error}: peers reject what is signed here"),
                hint: error.hint(),
                code: Some(HealthCode::KeysStale),
            });
        }
    }

    /// For `consumer list` without a running node.
    fn keep_consumers(&mut self, view: &NodeView) {
        self.watches.consumers_file.try_again();
        let now = clock::now().tick;
        if now < self.watches.consumers.1 {
            return;
        }
        let facts = self.consumers(view);
        if self.watches.consumers.0 == facts.consumers {
            return;
        }
        if let Ok(bytes) = serde_json::to_vec(&facts) {
            self.watches.consumers_file.write(bytes);
        }
        self.watches.consumers = (facts.consumers, now.plus_ms(CONSUMERS_EVERY_MS));
    }

    /// Whether somebody has put newer keys in the place of those that are stale.
    fn look_at_keys(&mut self) {
        if self.watches.keys_stale.is_some() && self.files.keys_changed() && self.reload_keys().is_ok() {
            self.follow_keys();
        }
    }

    /// Checks that this node is not known to have published a newer statement than `keyring`.
    fn check_newest(&self, keyring: &Keyring) -> Result<(), KeyringError> {
        keyring.check_newest(&self.files.config.paths.keys, self.node.own_statement())
    }

    /// `keys/` as it is now: sign with it, and tell everybody.
    fn reload_keys(&mut self) -> Result<(), ControlRefusal> {
        let refused = |error: KeyringError| ControlRefusal::no(error.to_string());
        let keyring = Keyring::load(&self.files.config.paths.keys).map_err(refused)?;
        self.check_newest(&keyring).map_err(refused)?;
        self.watches.keys_stale = None;
        self.files.opener.replace(keyring.opens_with().cloned());
        self.files.signer.replace(keyring.signing_key_in_use().clone());
        if let Some(statement) = keyring.statement() {
            self.node.handle_input(OperatorInput::OwnStatement(statement.clone()), clock::now());
        }
        Ok(())
    }

    fn take_statement(&mut self, bytes: &bytes::Bytes) -> Result<(), ControlRefusal> {
        let trust = self.node.trust();
        let publisher = claimed_publisher(bytes).map_err(|error| ControlRefusal::no(error.to_string()))?;
        let identity =
            trust.identity_key(&publisher).ok_or_else(|| ControlRefusal::unknown_peer(&publisher))?;
        let statement = SignedStatement::verify(bytes, identity)
            .map_err(|error| ControlRefusal::no(error.to_string()))?;
        self.node.handle_input(OperatorInput::OwnStatement(statement), clock::now());
        Ok(())
    }

    /// Hands out everything that the core wants done, and what follows from answers that were had at once:
    /// to wake a thread for a few microseconds' work costs more than the work.
    fn obey(&mut self) {
        loop {
            let mut answers = Vec::new();
            while let Some(output) = self.node.poll_output() {
                answers.extend(self.hand_out(output));
            }
            if answers.is_empty() {
                return self.follow_keys();
            }
            self.node.handle_inputs(answers, clock::now());
        }
    }

    fn hand_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Transport(output) => {
                if let TransportOutput::Send { frame, .. } = &output {
                    self.frames.write(frame);
                }
                self.parts.transport.handle(output);
            }
            Output::Store(order) => {
                match &order {
                    StoreOutput::Append { ticket, records } => self.timings.on_append(*ticket, records),
                    StoreOutput::Expire { now } => self.parts.doors.tell_time(*now),
                    StoreOutput::GoOn => {}
                }
                self.parts.store.handle(order);
            }
            Output::Ask(question) => return self.ask_store(question).map(Input::from),
            Output::Verify { ticket, envelopes } => {
                return self.workers.verify(ticket, envelopes, self.parts.inputs.clone());
            }
            Output::Door(output) => self.parts.doors.handle(output),
            Output::CommandDone { ticket, result } => {
                if let Some(answer) = self.commands.waiting.remove(&ticket) {
                    // The client that asked may have gone.
                    let _ = answer.send(result);
                }
            }
            Output::Event(event) => self.on_event(event),
        }
        None
    }

    fn ask_store(&mut self, question: StoreQuestion) -> Option<StoreInput> {
        let is_look_up = matches!(question, StoreQuestion::LookUp { .. });
        let overtakes = is_look_up && self.looking_up > 0;
        let answer = if overtakes { None } else { self.parts.store.answer_at_once(&question) };
        if answer.is_none() {
            self.looking_up += usize::from(is_look_up);
            self.parts.store.ask(question);
        }
        answer
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        if let Event::KeyStatement { publisher, .. } = &event {
            self.keys_changed.push(publisher.clone());
        }
        if let Event::FeedResumes { peer, after } = &event {
            self.files.rules.resumed(peer, *after);
            self.watches.read_times.resumed(peer, *after, clock::now().wall);
        }
        self.chronicle.record(event, clock::now());
    }
}
