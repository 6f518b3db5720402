//! Starts a node from its directory, runs it, and stops it: the work of `intelmesh run`.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rand::RngExt as _;
use rustix::process::DumpableBehavior;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::{ConfigErrors, FileLists, FilesFingerprint, NodeConfig, NodePaths, PeerFiles};
use crate::daemon::control::{ControlAsk, ControlService};
use crate::daemon::event_loop::{EventLoop, InForce, NodeParts, WatchedFiles, reachable};
use crate::daemon::metrics::NodeMetrics;
use crate::daemon::rules_log::RulesLog;
use crate::daemon::snapshot::NodeIdentity;
use crate::daemon::{keys, log, service, spoken, web};
use crate::envelope::{SealOpener, Signer, StatedKeys};
use crate::files;
use crate::identity::LogId;
use crate::keyring::{Keyring, KeyringError};
use crate::limits::{DAY_MS, SEEN_BEYOND_JOURNAL_MS};
use crate::local::{
    ControlHandler, DoorPlaces, DoorServices, EnvelopeOpening, JournalQuestions, LocalDoors, LocalError,
};
use crate::ownership;
use crate::policy::TrustList;
use crate::protocol::io::{Event, LossCause, OperatorInput, StoreInput};
use crate::protocol::{CoreBounds, CoreConfig, Input, Node, Rules};
use crate::record::ConsumerName;
use crate::store::file_disk::free_inodes_of;
use crate::store::{EngineConfig, Store, StoreDirs, StoreError, StoreOpening, StoreProblem};
use crate::transport::{Transport, TransportConfig, TransportError};
use crate::web::WebError;

/// Inputs that wait for the core. While the queue is full, its senders wait.
const INPUTS_QUEUE: usize = 8_192;
/// Questions of the command line that wait.
const ASKS_QUEUE: usize = 64;
/// Threads for what blocks: signatures and the store's answers to the command line.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long the connections of local clients may take to end. Only what they have sent already makes it long.
const STOP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Why the node does not run. The operator can correct each of these causes.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error("another node runs in {}", .0.display())]
    Locked(PathBuf),
    #[error("{} belongs to the account {account}, and this is root", .dir.display())]
    Owner { dir: PathBuf, account: String },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Doors(#[from] LocalError),
    #[error(transparent)]
    Web(#[from] WebError),
    /// A disk with room on which no file can be made.
    #[error("{error}: all inodes of the file system of {} are in use", dir.display())]
    NoInodes { dir: PathBuf, error: Box<StartError> },
}

impl StartError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(_) => None,
            Self::Keys(error) => error.hint(),
            Self::Locked(_) => {
                Some("intelmesh status shows it; two nodes must never share a directory".into())
            }
            Self::Owner { account, .. } => Some(format!(
                "what root writes there that account cannot read: runuser -u {account} -- intelmesh run …"
            )),
            Self::Io { .. } => Some("run it as the user that owns the node's directory".into()),
            Self::Store(error) => Some(error.hint()),
            Self::Transport(TransportError::Listen { .. }) => {
                Some("see who has the port (ss -ltnp), or change listen = … in intelmesh.toml".into())
            }
            Self::Transport(_) => Some("see listen = … in intelmesh.toml".into()),
            Self::Doors(error) => error.hint(),
            Self::Web(error) => Some(error.hint().into()),
            Self::NoInodes { .. } => {
                Some("remove files there: df -i shows them; nothing of the node's is lost".into())
            }
        }
    }

    /// Without inodes the system says "no space", and the disk looks empty.
    fn explained(self, paths: &NodePaths) -> Self {
        if !matches!(self, Self::Io { .. } | Self::Store(_) | Self::Doors(_)) {
            return self;
        }
        let is_out = |dir: &&PathBuf| matches!(free_inodes_of(dir), Ok(Some(0)));
        match [&paths.state, &paths.run].into_iter().find(is_out).cloned() {
            Some(dir) => Self::NoInodes { dir, error: Box::new(self) },
            None => self,
        }
    }
}

/// Runs the node of `config` until SIGTERM or SIGINT, then stops it cleanly.
///
/// # Errors
/// [`StartError`] if it could not start.
pub(crate) fn run(config: NodeConfig) -> Result<(), StartError> {
    log::open(config.log.as_deref());
    let paths = config.paths.clone();
    run_until_stopped(config).map_err(|error| error.explained(&paths))
}

fn run_until_stopped(config: NodeConfig) -> Result<(), StartError> {
    forbid_dumps();
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| StartError::Io { path, error }
    };
    if let Some((uid, _)) = ownership::other_owner(&config.paths.keys) {
        let (dir, account) = (config.paths.keys.clone(), ownership::account(uid));
        return Err(StartError::Owner { dir, account });
    }
    let (journal, seen) = (config.paths.journal(), config.paths.seen());
    for dir in [&config.paths.state, &journal, &seen, &config.paths.run] {
        files::make_dir(dir, 0o700).map_err(io(dir))?;
    }
    let _lock = lock(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(io(&config.dir))?;
    // A task and not this thread, which waits: what wakes the loop is mostly on a worker already, and need not wake
    // another thread for it.
    let serving = runtime.spawn(serve(config));
    let result = match runtime.block_on(serving) {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// Keeps private keys out of core files, and this memory from other processes of the same account. A kernel that
/// refuses that is no reason not to run.
fn forbid_dumps() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps of this process may hold keys: PR_SET_DUMPABLE failed");
    }
}

/// Takes the lock `run/lock`: one process for each directory, even if an old lock file is left there.
fn lock(config: &NodeConfig) -> Result<File, StartError> {
    let path = config.paths.lock();
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|error| StartError::Io { path: path.clone(), error })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(config.dir.clone())),
        Err(TryLockError::Error(error)) => Err(StartError::Io { path, error }),
    }
}

async fn serve(config: NodeConfig) -> Result<(), StartError> {
    let started = clock::now();
    let keyring = Keyring::load(&config.paths.keys)?;
    keyring.check_not_revoked(&config.paths.keys)?;
    let signer = Arc::new(spoken::signer(&keyring));
    let own_key = keyring.public_key();
    let (inputs, inputs_out) = mpsc::channel(INPUTS_QUEUE);
    let (asks, asks_out) = mpsc::channel(ASKS_QUEUE);
    let metrics = NodeMetrics::open(&config, &asks).await;
    let fingerprint = FilesFingerprint::of_agreements(&config.paths);
    let peers = PeerFiles::load(&config, &own_key);
    peers.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    let own_seal = keyring.seal_key();
    let trust = Arc::new(peers.trust_list(config.names(), own_key).with_own_seal(own_seal));
    let trust_in_force = Arc::new(ArcSwap::from(Arc::clone(&trust)));
    let (store, opened) = open_store(&config, inputs.clone()).await?;
    // Even if the journal was emptied, a revocation acts before any peer may connect.
    let copies = keys::copies(&config.paths.state, |name| trust.identity_key(name).copied());
    for known in [&opened.ledger.statements, &copies] {
        keyring.check_newest(&config.paths.keys, known.of(&own_key).map(StatedKeys::latest))?;
    }
    let trust = Arc::new(Arc::unwrap_or_clone(trust).with_statements(&copies));
    let transport = TransportConfig { key: keyring.signing_key().clone(), listen: config.listen.clone() };
    let (transport, listening) = Transport::start(transport, inputs.clone()).await?;
    let (store, transport) = (Arc::new(store), Arc::new(transport));
    let opener = Arc::new(keyring.opener(config.names()));
    let control = ControlService {
        asks: asks.clone(),
        store: Arc::clone(&store),
        transport: Arc::clone(&transport),
        opener: Arc::clone(&opener),
        trust: Arc::clone(&trust_in_force),
        config: Arc::new(config.clone()),
    };
    let service = control.clone();
    let control: ControlHandler =
        Arc::new(move |line, account| Box::pin(control.clone().answer(line, account)));
    let journal = journal_questions(&store, opened.ends.log_id);
    let in_use = KeysInUse { keyring: &keyring, signer: Arc::clone(&signer), opener: Arc::clone(&opener) };
    let doors = open_doors(&config, in_use, &trust_in_force, control, inputs.clone(), journal)?;
    let web = web::open(&config, &peers, &doors, &service, metrics.source(asks.downgrade()))?;
    let mut node = Node::new(core_config(&config), trust, opened.ledger, opened.ends, clock::now());
    node.handle_input(StoreInput::Broken(opened.lacks), clock::now());
    for statement in copies.all().chain(keyring.statement()) {
        node.handle_input(OperatorInput::OwnStatement(statement.clone()), clock::now());
    }
    trust_in_force.store(node.trust());
    transport.set_peers(reachable(&peers, &node));
    let identity = NodeIdentity::of(&config, &own_key, started);
    let (last, keys) = (opened.ends.last.seq, (own_key, own_seal));
    let rules =
        RulesLog::open(&config.paths.state, &config.paths.lists, &peers.peers, clock::now().wall, last);
    let files = WatchedFiles::at_start(
        config,
        peers,
        keys,
        InForce { trust: trust_in_force, signer, opener, fingerprint },
        rules,
    );
    let parts = NodeParts { store, transport, doors, web, inputs };
    let mut event_loop = EventLoop::new(node, parts, files, identity, metrics.clone());
    report_start(&mut event_loop, &opened.problems, opened.missing);
    metrics.ready();
    stop_on_signal(asks, metrics);
    tell_start(&event_loop, &listening, last);
    say_ready(&event_loop.identity.name, &listening);
    service::ready();
    run_to_its_end(event_loop, inputs_out, asks_out).await;
    Ok(())
}

/// Everything that was accepted is on disk when this returns.
async fn run_to_its_end(
    mut event_loop: EventLoop,
    inputs: mpsc::Receiver<Input>,
    asks: mpsc::Receiver<ControlAsk>,
) {
    event_loop.run(inputs, asks).await;
    let last_seq = event_loop.node.view().ends.last.seq;
    let EventLoop { parts, identity, .. } = event_loop;
    stop(parts).await;
    let up_s = clock::now().tick.since_ms(identity.started.tick) / 1_000;
    tracing::info!(name = %identity.name, last_seq, up_s, "stopped");
}

fn tell_start(event_loop: &EventLoop, listening: &[String], last_seq: u64) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = %event_loop.identity.name,
        listening = listening.join(" "),
        last_seq,
        peers = event_loop.files.peers.trusted().count(),
        doors = doors_text(&event_loop.files.config),
        "started"
    );
}

/// Logs what the store found when it was opened.
fn report_start(
    event_loop: &mut EventLoop,
    problems: &[StoreProblem],
    missing: Vec<(ConsumerName, u64, LossCause)>,
) {
    problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    for (consumer, count, cause) in missing.into_iter().filter(|(_, count, _)| *count > 0) {
        event_loop.on_event(Event::ConsumerMissing { consumer, count, cause });
    }
}

/// The keys that the doors work with, and that a rotation replaces.
struct KeysInUse<'a> {
    keyring: &'a Keyring,
    signer: Arc<Signer>,
    opener: Arc<SealOpener>,
}

fn open_doors(
    config: &NodeConfig,
    keys: KeysInUse<'_>,
    trust: &Arc<ArcSwap<TrustList>>,
    control: ControlHandler,
    inputs: mpsc::Sender<Input>,
    journal: Arc<JournalQuestions>,
) -> Result<LocalDoors, LocalError> {
    let lists = config.paths.lists.clone();
    let behind = DoorServices {
        inputs,
        now: clock::now,
        trust: Arc::clone(trust),
        signer: keys.signer,
        body_id_secret: keys.keyring.body_id_secret(),
        plain: config.door_defaults(),
        control,
        journal,
        opening: Arc::new(EnvelopeOpening::new(keys.opener, clock::now)),
        doors: config.doors.clone(),
        state: config.paths.state.clone(),
        lists: Arc::new(move || Box::new(FileLists::new(&lists))),
    };
    LocalDoors::start(
        &DoorPlaces { run: config.paths.run.clone(), group: config.socket_group.clone() },
        behind,
    )
}

/// Returns the questions that doors ask of the journal; its store answers them.
fn journal_questions(store: &Arc<Store>, log_id: LogId) -> Arc<JournalQuestions> {
    let store = Arc::clone(store);
    let holds = Arc::new(move |mark| -> futures::future::BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move {
            // A journal that cannot be read agrees with nothing: then nothing is skipped.
            let asked = tokio::task::spawn_blocking(move || store.holds(mark).unwrap_or(false));
            asked.await.unwrap_or(false)
        })
    });
    Arc::new(JournalQuestions { log_id, holds })
}

async fn open_store(
    config: &NodeConfig,
    inputs: mpsc::Sender<Input>,
) -> Result<(Store, StoreOpening), StoreError> {
    let dirs = StoreDirs {
        journal: config.paths.journal(),
        seen: config.paths.seen(),
        links: config.paths.state.join("links"),
        aside: config.paths.state.join("aside"),
    };
    let keep_ms = u64::from(config.journal.keep_days) * DAY_MS;
    let engine = EngineConfig::new(config.name.clone(), config.journal.keep_bytes, keep_ms);
    let answers = Arc::new(move |answer: StoreInput| {
        // The loop drains its inputs without waiting for anything; it is gone only when the node stops.
        let _ = inputs.blocking_send(answer.into());
    });
    let opening = tokio::task::spawn_blocking(move || {
        Store::open(&dirs, engine, clock::now(), answers, Arc::new(|fault| fail_at_once(&fault)))
    });
    opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A disk that lost what it was told to keep is no place to go on (decisions/0021).
fn fail_at_once(fault: &dyn std::fmt::Display) {
    tracing::error!("{fault}: the node stops at once, what was acknowledged is on disk");
    std::process::exit(2);
}

fn core_config(config: &NodeConfig) -> CoreConfig {
    let mut random = rand::rng();
    CoreConfig {
        federation: config.federation.as_str().to_owned(),
        software: concat!("intelmesh/", env!("CARGO_PKG_VERSION")).to_owned(),
        instance: random.random(),
        seed: random.random(),
        seen_keep_ms: u64::from(config.journal.keep_days) * DAY_MS + SEEN_BEYOND_JOURNAL_MS,
        rules: Rules::default(),
        bounds: CoreBounds::default(),
        dialect: spoken::dialect(),
    }
}

fn say_ready(name: &crate::identity::PublisherName, listening: &[String]) {
    let mut line = format!("ready {name}");
    for address in listening {
        line.push(' ');
        line.push_str(address);
    }
    // Nobody may be reading; the node serves all the same.
    let _ = writeln!(std::io::stdout(), "{line}").and_then(|()| std::io::stdout().flush());
}

/// The doors of `intelmesh.toml`, by name, for the log.
fn doors_text(config: &NodeConfig) -> String {
    let names: Vec<&str> = config.doors.names().map(ConsumerName::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

/// SIGTERM and SIGINT stop the node; SIGHUP reads `intelmesh.toml` and `peers/` again.
fn stop_on_signal(asks: mpsc::Sender<ControlAsk>, metrics: NodeMetrics) {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::warn!("no signal can be handled here: stop the node with SIGKILL");
        return;
    };
    tokio::spawn(async move {
        loop {
            let ask = tokio::select! {
                _ = terminate.recv() => ControlAsk::Stop,
                _ = interrupt.recv() => ControlAsk::Stop,
                _ = hangup.recv() => ControlAsk::ReloadNode(tokio::sync::oneshot::channel().0),
            };
            if matches!(ask, ControlAsk::Stop) {
                metrics.stop();
                service::stopping();
            }
            if asks.send(ask).await.is_err() {
                return;
            }
        }
    });
}

async fn stop(parts: NodeParts) {
    let NodeParts { store, transport, doors, .. } = parts;
    doors.stop();
    doors.stopped(STOP_PATIENCE).await;
    drop(doors);
    if let Ok(transport) = Arc::try_unwrap(transport) {
        transport.stop().await;
    }
    let closing = tokio::task::spawn_blocking(move || Arc::try_unwrap(store).map(Store::close).is_ok());
    // What was acknowledged is synced already; an open question of the command line may still hold the store.
    if !closing.await.unwrap_or(false) {
        tracing::warn!("the store is still in use: it closes with the process");
    }
}
