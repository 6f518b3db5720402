//! The loop: inputs into the core, outputs to whoever obeys them, timeouts. It never awaits a peer, a disk
//! or a client: everybody who is handed an output has a queue that the core bounds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::config::{Fingerprint, NodeConfig, PeerFiles, Problem};
use crate::control::Went;
use crate::daemon::changes;
use crate::daemon::chronicle::Chronicle;
use crate::daemon::control::{Ask, AskCommand};
use crate::daemon::feed_facts::feed_facts;
use crate::daemon::frame_dump::FrameDump;
use crate::daemon::keys;
use crate::daemon::rules_log::RulesLog;
use crate::daemon::snapshot::{Facts, Identity, Lags, snapshot};
use crate::daemon::whereabouts::{ReadTimes, Sources, whereabouts};
use crate::daemon::workers::Workers;
use crate::envelope::statement::claimed_publisher;
use crate::envelope::{Opener, SealKey, SignedStatement, Signer, Stated};
use crate::identity::PublisherName;
use crate::keyring::{Keyring, KeyringError};
use crate::local::Doors;
use crate::policy::TrustList;
use crate::protocol::io::{Command, Event, Ticket};
use crate::protocol::{Input, Node, Output};
use crate::record::Entry;
use crate::status::Snapshot;
use crate::store::Store;
use crate::transport::{PeerAddresses, Transport};

/// Inputs taken at once.
const INPUTS_MAX: usize = 1_024;
/// How often `peers/` is looked at, in ms: a change acts within a second.
const PEERS_EVERY_MS: u64 = 250;

/// Everything the loop hands outputs to.
pub struct Parts {
    pub store: Arc<Store>,
    pub transport: Arc<Transport>,
    pub doors: Doors,
    pub inputs: mpsc::Sender<Input>,
}

/// The peer files in force.
pub struct Files {
    pub config: NodeConfig,
    pub own_key: ed25519_dalek::VerifyingKey,
    pub own_seal: SealKey,
    pub peers: PeerFiles,
    pub trust: Arc<ArcSwap<TrustList>>,
    /// By which rules older events were decided.
    pub rules: RulesLog,
    pub signer: Arc<Signer>,
    pub opener: Arc<Opener>,
    pub fingerprint: Fingerprint,
    /// `intelmesh.toml`, which is read again only to say what is wrong with it: it acts at the next start.
    pub node_file: NodeFile,
}

/// What is wrong with `intelmesh.toml` now.
#[derive(Debug, Default)]
pub struct NodeFile {
    pub fingerprint: Fingerprint,
    pub problems: Vec<Problem>,
}

impl NodeFile {
    /// As it is at start, when all of it was good.
    pub fn of(dir: &Path) -> Self {
        Self { fingerprint: Fingerprint::of_node_file(dir), problems: Vec::new() }
    }

    fn look(&mut self, dir: &Path) {
        let fingerprint = Fingerprint::of_node_file(dir);
        if fingerprint != self.fingerprint {
            self.fingerprint = fingerprint;
            self.problems = NodeConfig::load(dir).err().map(|errors| errors.0).unwrap_or_default();
            self.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        }
    }
}

/// How each reader gets on, looked at once a second.
#[derive(Debug, Default)]
struct Watches {
    lags: Lags,
    read_times: ReadTimes,
}

/// Commands of the operator's that the core has not answered.
struct Commands {
    next: u64,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<(), String>>>,
}

pub struct EventLoop {
    pub node: Node,
    pub parts: Parts,
    pub files: Files,
    pub identity: Identity,
    chronicle: Chronicle,
    watches: Watches,
    commands: Commands,
    frames: FrameDump,
    /// Publishers whose statement was learnt a moment ago.
    keys_changed: Vec<PublisherName>,
    workers: Workers,
    /// Look-ups that were handed to the store's thread; the core takes their answers in the order asked.
    looking_up: usize,
}

impl EventLoop {
    pub fn new(node: Node, parts: Parts, files: Files, identity: Identity) -> Self {
        Self {
            node,
            parts,
            files,
            identity,
            chronicle: Chronicle::default(),
            watches: Watches::default(),
            // Apart from the core's own tickets.
            commands: Commands { next: 1 << 63, waiting: BTreeMap::new() },
            frames: FrameDump::from_env(),
            keys_changed: Vec::new(),
            workers: Workers::default(),
            looking_up: 0,
        }
    }

    /// Runs until it is asked to stop and everything accepted is on disk.
    pub async fn run(&mut self, mut inputs: mpsc::Receiver<Input>, mut asks: mpsc::Receiver<Ask>) {
        let mut batch = Vec::with_capacity(INPUTS_MAX);
        let mut peers_due = tokio::time::interval(Duration::from_millis(PEERS_EVERY_MS));
        let mut lags_due = tokio::time::interval(Duration::from_secs(1));
        let mut stopping: Option<oneshot::Receiver<Result<(), String>>> = None;
        self.obey();
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
                return;
            }
        }
    }

    /// Once a second.
    fn watch(&mut self) {
        let (view, now) = (self.node.view(), clock::now());
        self.watches.lags.observe(&view, now);
        self.watches.read_times.observe(&view, now.wall);
        self.chronicle.tell_held_back(now);
    }

    /// What is asked next may be answered at once only where nothing asked before it is open.
    fn on_answer(&mut self, input: &Input) {
        match input {
            Input::Known { .. } => self.looking_up = self.looking_up.saturating_sub(1),
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
        self.parts.transport.set_peers(reachable(&self.files.peers, &self.node));
        let of_them = |known: &&Stated| changed.contains(&known.latest().statement().publisher);
        let stated = self.node.statements().filter(of_them).cloned().collect();
        keys::write_down(self.files.config.paths.state.clone(), stated, clock::now().wall);
        if changed.contains(&self.identity.name)
            && let Err(error) =
                Keyring::load(&self.files.config.paths.keys).and_then(|k| self.check_newest(&k))
        {
            tracing::error!(
                "{error}: peers reject what is signed here; {}",
                error.hint().unwrap_or_default()
            );
        }
    }

    /// Is there nothing that this node is known to have said after `keyring`?
    fn check_newest(&self, keyring: &Keyring) -> Result<(), KeyringError> {
        keyring.check_newest(&self.files.config.paths.keys, self.node.own_statement())
    }

    /// `keys/` as it is now: sign with it, and tell everybody.
    fn reload_keys(&mut self) -> Result<(), String> {
        let keyring = Keyring::load(&self.files.config.paths.keys).map_err(|error| error.to_string())?;
        self.check_newest(&keyring).map_err(|error| error.to_string())?;
        self.files.opener.replace(keyring.opens_with().cloned());
        self.files.signer.replace(keyring.signing_key_in_use().clone());
        if let Some(statement) = keyring.statement() {
            self.node.handle_input(Input::OwnStatement(statement.clone()), clock::now());
        }
        Ok(())
    }

    fn take_statement(&mut self, bytes: &bytes::Bytes) -> Result<(), String> {
        let trust = self.node.trust();
        let publisher = claimed_publisher(bytes).map_err(|error| error.to_string())?;
        let identity = trust.identity_key(&publisher).ok_or_else(|| format!("no peer \"{publisher}\""))?;
        let statement = SignedStatement::verify(bytes, identity).map_err(|error| error.to_string())?;
        self.node.handle_input(Input::OwnStatement(statement), clock::now());
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
            Output::Send { ref frame, .. } => {
                self.frames.write(frame);
                self.parts.transport.handle(output);
            }
            Output::Dial { .. }
            | Output::Disconnect { .. }
            | Output::OpenFeed { .. }
            | Output::Resume { .. }
            | Output::CloseFeed { .. } => self.parts.transport.handle(output),
            Output::LookUp { .. } => return self.look_up(output),
            Output::Read { .. } => return self.read(output),
            Output::Append { .. } | Output::Fetch { .. } | Output::CheckMarks { .. } => {
                self.parts.store.handle(output);
            }
            Output::Expire { now } => {
                self.parts.doors.tell_time(now);
                self.parts.store.handle(output);
            }
            Output::Verify { ticket, envelopes } => {
                return self.workers.verify(ticket, envelopes, self.parts.inputs.clone());
            }
            Output::Submitted { .. }
            | Output::Recalled { .. }
            | Output::HandOff { .. }
            | Output::ConsumerClosed { .. } => {
                self.parts.doors.handle(output);
            }
            Output::CommandDone { ticket, result } => {
                if let Some(answer) = self.commands.waiting.remove(&ticket) {
                    // Whoever asked may have gone.
                    let _ = answer.send(result);
                }
            }
            Output::Event(event) => self.on_event(event),
        }
        None
    }

    fn look_up(&mut self, output: Output) -> Option<Input> {
        let in_order = self.looking_up == 0;
        let answer = if in_order { self.parts.store.answer_at_once(&output) } else { None };
        if answer.is_none() {
            self.looking_up += 1;
            self.parts.store.handle(output);
        }
        answer
    }

    fn read(&mut self, output: Output) -> Option<Input> {
        let answer = self.parts.store.answer_at_once(&output);
        if answer.is_none() {
            self.parts.store.handle(output);
        }
        answer
    }

    pub fn on_event(&mut self, event: Event) {
        if let Event::KeyStatement { publisher, .. } = &event {
            self.keys_changed.push(publisher.clone());
        }
        if let Event::FeedResumes { peer, after } = &event {
            self.files.rules.resumed(peer, *after);
            self.watches.read_times.resumed(peer, *after, clock::now().wall);
        }
        self.chronicle.record(event, clock::now());
    }

    /// Whoever asked may have gone: an answer that nobody takes is none.
    fn on_ask(&mut self, ask: Ask) -> Option<oneshot::Receiver<Result<(), String>>> {
        match ask {
            Ask::Snapshot(answer) => {
                let _ = answer.send(Box::new(self.snapshot()));
            }
            Ask::Feeds(answer) => {
                let _ = answer.send(feed_facts(&self.node));
            }
            Ask::Reload(answer) => {
                self.reload();
                let _ = answer.send(());
            }
            Ask::Doors(answer) => {
                let _ = answer.send(Arc::clone(self.parts.doors.set()));
            }
            Ask::Command(command, answer) => self.command(answer, |ticket| match command {
                AskCommand::Rewind { peer, to } => Command::Rewind { ticket, peer, to },
                AskCommand::Repair { peer } => Command::Repair { ticket, peer },
                AskCommand::AcceptClock => Command::AcceptClock { ticket },
                AskCommand::Decide { publisher, key, release } => {
                    Command::Decide { ticket, publisher, key, release }
                }
            }),
            Ask::Whereabouts(entry, answer) => {
                let _ = answer.send(self.whereabouts(&entry));
            }
            Ask::Keys(answer) => {
                let _ = answer.send(self.reload_keys());
            }
            Ask::Statement(bytes, answer) => {
                let _ = answer.send(self.take_statement(&bytes));
            }
            Ask::Stop => {
                self.parts.doors.stop();
                let (answer, stopped) = oneshot::channel();
                self.command(answer, |ticket| Command::Stop { ticket });
                return Some(stopped);
            }
        }
        None
    }

    fn command(
        &mut self,
        answer: oneshot::Sender<Result<(), String>>,
        command: impl FnOnce(Ticket) -> Command,
    ) {
        let ticket = Ticket(self.commands.next);
        self.commands.next += 1;
        self.commands.waiting.insert(ticket, answer);
        self.node.handle_input(Input::Command(command(ticket)), clock::now());
    }

    pub fn snapshot(&mut self) -> Snapshot {
        let facts = Facts {
            identity: &self.identity,
            view: self.node.view(),
            stats: self.parts.store.stats(),
            strangers: self.parts.transport.strangers(),
            files: &self.files.peers,
            node_file: &self.files.node_file.problems,
            chronicle: &self.chronicle,
            doors: self.parts.doors.set().status(),
            door_files: self.parts.doors.set().file_faults(),
            cannot_open: self.parts.doors.opening().cannot_open(),
            now: clock::now(),
        };
        snapshot(facts, &mut self.watches.lags)
    }

    fn whereabouts(&self, entry: &Entry) -> Vec<Went> {
        let sources = Sources {
            view: &self.node.view(),
            files: &self.files.peers.peers,
            own: self.files.config.names(),
            doors: &self.files.config.doors.consumers,
            trust: &self.node.trust(),
            times: &self.watches.read_times,
            rules: &self.files.rules,
            now: clock::now().wall,
        };
        whereabouts(entry, &sources)
    }

    // --- peer files ---

    fn reload_if_changed(&mut self) {
        self.files.node_file.look(&self.files.config.dir);
        let fingerprint = Fingerprint::of_agreements(&self.files.config.paths);
        if fingerprint != self.files.fingerprint {
            self.reload();
        }
    }

    /// Reads `peers/` and puts it in force at once: the gate first, then the core, then the doors.
    fn reload(&mut self) {
        self.files.fingerprint = Fingerprint::of_agreements(&self.files.config.paths);
        let peers = self.files.peers.reload(&self.files.config, &self.files.own_key);
        for problem in &peers.problems {
            if !self.files.peers.problems.contains(problem) {
                tracing::warn!("{problem}");
            }
        }
        let changes = changes::between(&self.files.peers, &peers);
        if !changes.is_empty() {
            changes::write_down(self.files.config.paths.state.clone(), changes, clock::now().wall);
        }
        let view = self.node.view();
        // How far a feed that does not run has come is known once it goes on.
        let decided = |name: &PublisherName| {
            let peer = view.peers.iter().find(|peer| peer.name == *name);
            peer.and_then(|peer| peer.sent.looked_at).unwrap_or(view.ends.last.seq)
        };
        self.files.rules.changed(&peers.peers, clock::now().wall, decided);
        if peers.peers == self.files.peers.peers && peers.groups == self.files.peers.groups {
            self.files.peers = peers;
            return;
        }
        tracing::info!(peers = peers.peers.len(), "peer files read");
        let trust = peers.trust_list(self.files.config.names(), self.files.own_key);
        let trust = Arc::new(trust.with_own_seal(self.files.own_seal));
        self.node.handle_input(Input::Trust(trust), clock::now());
        // What is said to whoever is cut off now goes out before the gate closes.
        self.obey();
        self.parts.transport.set_peers(reachable(&peers, &self.node));
        self.files.trust.store(self.node.trust());
        self.files.peers = peers;
    }
}

/// How the transport reaches each peer; those whose keys are revoked it does not.
pub fn reachable(peers: &PeerFiles, node: &Node) -> Vec<PeerAddresses> {
    let revoked: Vec<&PublisherName> = node.revoked().collect();
    let peers = peers.trusted();
    let address = |file: &crate::config::PeerFile| PeerAddresses {
        name: file.peer.name.clone(),
        key: file.peer.key,
        addresses: file.addresses.clone(),
        paused: file.peer.is_cut() || revoked.contains(&&file.peer.name),
    };
    peers.map(address).collect()
}
