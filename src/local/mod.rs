//! The doors to the local pipeline and the operator: three Unix sockets in `run/` (CONTRACT.md §3), and those of
//! `intelmesh.toml` (CONTRACT.md §4). `socket` has the sockets as files, `framing` cuts bytes into lines and events,
//! `submit` is the way in, `deliver` the way out, `control` answers `ctl.sock`. `dead_letter` keeps the events that a
//! door could not pass on, `counters` counts for status, `door_set` opens the doors, and `client_door` is the part of it
//! that the HTTP door uses. `http`, `redis`, `stomp`, `tls` and `secret` are for doors that connect to servers.
//!
//! Doors check form and bounds, sign, and pass on; the core decides what becomes of an event, and who gets it. No door
//! makes the core wait: a slow client slows only itself.

mod client_door;
mod control;
mod counters;
mod dead_letter;
mod deliver;
mod door_set;
mod framing;
mod http;
mod pause;
mod redis;
mod secret;
mod socket;
mod spool_dir;
mod stomp;
mod submit;
mod tasks;
mod tls;
mod warden;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{DoorLine, DoorSettings};
use crate::envelope::Signer;
use crate::envelope::content::BodyIdSecret;
use crate::filter::FilterLists;
use crate::format::DoorDefaults;
use crate::limits::DOOR_CONNECTIONS_MAX;
use crate::policy::TrustList;
use crate::protocol::io::{ConsumerId, DoorOutput, Input};
use crate::time::{Now, Timestamp};

use deliver::expiry::SteadyTime;
use deliver::socket::{Consuming, ToConsumer};
use submit::socket::Submitting;
use submit::submission::{EventSubmitter, PendingSubmission};

pub(crate) use client_door::{ClientAnswer, ClientDoor, ClientSubmitter};
pub(crate) use control::ControlHandler;
pub(crate) use dead_letter::record::{AsideRecord, read_aside};
pub(crate) use dead_letter::retry::EntryQuestion;
pub(crate) use deliver::opening::EnvelopeOpening;
pub(crate) use door_set::{DoorSet, JournalQuestions};
pub(crate) use redis::{AddressFault, RedisAddress};
pub(crate) use socket::{connect, group_id};
#[cfg(feature = "sim")]
pub use stomp::frame::StompFrame;

/// Why the doors cannot open. The operator must fix it; the node does not start.
#[derive(Debug, Error)]
pub(crate) enum LocalError {
    #[error("{}: {error}", .file.display())]
    Io { file: PathBuf, error: std::io::Error },
    #[error("{}: in the way: it is no socket", .0.display())]
    InTheWay(PathBuf),
    #[error("socket_group: no group \"{0}\" on this machine")]
    NoGroup(String),
    #[error("door {door}: cannot listen on {listen}: {error}")]
    Listen { door: String, listen: std::net::SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Harmonization(#[from] crate::format::intelmq::HarmonizationError),
    #[error("intelmesh.toml:{line}: door {door}: url: {fault}")]
    Redis { line: DoorLine, door: String, fault: AddressFault },
}

impl LocalError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::InTheWay(file) => Some(format!("move it away: mv {0} {0}.old", file.display())),
            Self::NoGroup(name) => Some(format!("make it, or name another: groupadd --system {name}")),
            Self::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("the node's user must own run/, and be a member of socket_group".into())
            }
            Self::Io { .. } => None,
            Self::Harmonization(_) => {
                Some("name the receiver's harmonization.conf, or leave the key out".into())
            }
            Self::Redis { .. } => Some("url = \"redis://127.0.0.1:6379/2\": IntelMQ's queues".into()),
            Self::Listen { .. } => {
                Some("see who has the port (ss -ltnp), or change listen = … of this [[submit]]".into())
            }
        }
    }
}

/// The paths of the sockets, and who may use them.
#[derive(Clone, Debug)]
pub(crate) struct DoorPlaces {
    /// `run/`: created if it is missing.
    pub run: PathBuf,
    /// `socket_group` of `intelmesh.toml`: a name or a number.
    pub group: Option<String>,
}

/// Services that the doors need of the rest of the node.
pub(crate) struct DoorServices {
    /// To the core.
    pub inputs: mpsc::Sender<Input>,
    pub now: fn() -> Now,
    /// The list in force, for recipients that are not peers.
    pub trust: Arc<ArcSwap<TrustList>>,
    pub signer: Arc<Signer>,
    pub body_id_secret: BodyIdSecret,
    /// The effects of a door that adds nothing of its own.
    pub plain: DoorDefaults,
    /// Answers `ctl.sock`.
    pub control: ControlHandler,
    pub journal: Arc<JournalQuestions>,
    /// Opens bodies that are sealed for this node.
    pub opening: Arc<EnvelopeOpening>,
    /// Those of `intelmesh.toml`.
    pub doors: DoorSettings,
    /// Holds `aside/`, `handed/` and `pulled/`.
    pub state: PathBuf,
    /// Lists that the filters of consumers may name.
    pub lists: MakeLists,
}

/// The lists of this node as they are now.
pub(crate) type MakeLists = Arc<dyn Fn() -> Box<dyn FilterLists> + Send + Sync>;

/// The open doors.
pub(crate) struct LocalDoors {
    shared: Arc<DoorContext>,
    sockets: Vec<PathBuf>,
    set: Arc<ArcSwap<DoorSet>>,
    /// Ends with the last reload: the next one waits for it.
    reloading: Option<oneshot::Receiver<()>>,
    /// Defaults that `in.sock` adds to each line, and the rest of its state.
    submitting: Arc<Submitting>,
}

/// State that all doors work with, also those that are opened later.
struct DoorContext {
    pending: Arc<PendingSubmission>,
    consumers: Arc<ConsumerTable>,
    stopping: CancellationToken,
    tasks: TaskTracker,
    steady: Arc<SteadyTime>,
    behind: DoorServices,
}

impl LocalDoors {
    /// Opens the three sockets and the doors of `intelmesh.toml`, and removes leftovers of an earlier run. The caller
    /// holds the lock of `run/`. Runs on the current tokio runtime.
    ///
    /// # Errors
    /// [`LocalError`].
    pub(crate) fn start(places: &DoorPlaces, mut behind: DoorServices) -> Result<Self, LocalError> {
        let group = places.group.as_deref().map(socket::group_id).transpose()?;
        socket::prepare_dir(&places.run, group)?;
        let bind = |name: &str| socket::bind(&places.run.join(name), group);
        let (submits, consumes, controls) = (bind("in.sock")?, bind("out.sock")?, bind("ctl.sock")?);
        let settings = std::mem::take(&mut behind.doors);
        let shared = Arc::new(DoorContext {
            pending: Arc::default(),
            consumers: Arc::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            steady: Arc::default(),
            behind,
        });
        let defaults = settings.at_socket(shared.behind.plain.clone());
        let submitter = EventSubmitter::new(&shared.behind, defaults, shared.pending.clone());
        let submitting =
            Submitting { submitter: ArcSwap::from_pointee(submitter), stopping: shared.stopping.clone() };
        let doors = Self {
            sockets: ["in.sock", "out.sock", "ctl.sock"].map(|name| places.run.join(name)).into(),
            set: Arc::new(ArcSwap::from_pointee(DoorSet::open(&settings, &shared)?)),
            reloading: None,
            submitting: Arc::new(submitting),
            shared,
        };
        let consuming = Arc::new(Consuming {
            inputs: doors.shared.behind.inputs.clone(),
            opening: doors.shared.behind.opening.clone(),
            consumers: doors.shared.consumers.clone(),
            stopping: doors.shared.stopping.clone(),
            lists: doors.shared.behind.lists.clone(),
        });
        let submitting = doors.submitting.clone();
        doors.serve(submits, move |stream| submitting.clone().serve(stream));
        doors.serve(consumes, move |stream| consuming.clone().serve(stream));
        let (control, stopping) = (doors.shared.behind.control.clone(), doors.shared.stopping.clone());
        doors.serve(controls, move |stream| control::serve(stream, control.clone(), stopping.clone()));
        Ok(doors)
    }

    /// Applies a changed `intelmesh.toml`: doors that are not in `same` end, and are opened as `settings` says, also
    /// those of `same` that could not be opened the last time. `in.sock` has its new effects from the next line on. When all
    /// of that is done, returns which could not be opened, and why; those go on as they were.
    pub(crate) fn reload(
        &mut self,
        plain: DoorDefaults,
        settings: DoorSettings,
        same: BTreeSet<String>,
    ) -> impl Future<Output = BTreeMap<String, String>> + Send + use<> {
        let submitter = EventSubmitter::new(
            &self.shared.behind,
            settings.at_socket(plain.clone()),
            self.shared.pending.clone(),
        );
        self.submitting.submitter.store(Arc::new(submitter));
        let (set, shared) = (self.set.clone(), self.shared.clone());
        let (done, reloading) = oneshot::channel();
        let before = self.reloading.replace(reloading);
        let reopened = self.shared.tasks.spawn(async move {
            if let Some(before) = before {
                // An error as well says that it has ended.
                let _ = before.await;
            }
            let reopened = set.load_full().reopen((settings, plain), same, &shared).await;
            let failed = reopened.failed().clone();
            set.store(Arc::new(reopened));
            drop(done);
            failed
        });
        async move { reopened.await.unwrap_or_default() }
    }

    /// Accepts until the doors stop; connections beyond the bound wait in the socket.
    fn serve<F>(&self, listener: UnixListener, serve: impl Fn(UnixStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stopping, tasks) = (self.shared.stopping.clone(), self.shared.tasks.clone());
        let room = Arc::new(Semaphore::new(DOOR_CONNECTIONS_MAX));
        let accept = async move {
            while let Ok(permit) = room.clone().acquire_owned().await {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let served = serve(stream);
                        tasks.spawn(async move {
                            served.await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a local socket cannot accept");
                        pace().await;
                    }
                }
            }
        };
        self.shared.tasks.spawn(async move {
            stopping.run_until_cancelled(accept).await;
        });
    }

    /// Returns what the HTTP door uses of these.
    pub(crate) fn for_clients(&self) -> ClientDoor {
        ClientDoor(Arc::clone(&self.shared))
    }

    /// Returns the opener of sealed bodies, with the count of failures.
    pub(crate) fn opening(&self) -> &EnvelopeOpening {
        &self.shared.behind.opening
    }

    /// Returns the doors of `intelmesh.toml`.
    pub(crate) fn set(&self) -> Arc<DoorSet> {
        self.set.load_full()
    }

    /// Obeys an output of the core; never waits.
    pub(crate) fn handle(&self, output: DoorOutput) {
        match output {
            DoorOutput::Submitted { ticket, outcome } => self.shared.pending.answer(ticket, outcome),
            DoorOutput::Recalled { ticket, lineage } => self.shared.pending.recalled(ticket, lineage),
            DoorOutput::ConsumerBegan { consumer, generation } => {
                self.shared.consumers.tell(consumer, ToConsumer::Began { generation });
            }
            DoorOutput::HandOff { consumer, entries } => {
                self.shared.consumers.tell(consumer, ToConsumer::Entries(entries));
            }
            DoorOutput::FromIgnored { consumer, position } => {
                self.shared.consumers.tell(consumer, ToConsumer::FromIgnored { position });
            }
            DoorOutput::ConsumerClosed { consumer, why } => {
                self.shared.consumers.tell(consumer, ToConsumer::Closed(why));
            }
        }
    }

    /// Passes on the core's time for events that expire; `None` while its clock is not to be trusted.
    pub(crate) fn tell_time(&self, time: Option<Timestamp>) {
        self.shared.steady.tell(time, (self.shared.behind.now)().tick);
    }

    /// Takes no more connections or lines. Lines that were read are still answered: go on obeying outputs.
    pub(crate) fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        for socket in &self.sockets {
            // Gone already is as good.
            let _ = std::fs::remove_file(socket);
        }
    }

    /// Waits after [`LocalDoors::stop`] until every connection has its answers, at most for `most`.
    pub(crate) async fn stopped(&self, most: Duration) {
        let _ = tokio::time::timeout(most, self.shared.tasks.wait()).await;
    }
}

/// Waits, because no file descriptors are left: the next try needs one.
async fn pace() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The consumers' connections, by the core's numbers.
#[derive(Default)]
struct ConsumerTable {
    next: AtomicU64,
    open: Mutex<HashMap<ConsumerId, mpsc::Sender<ToConsumer>>>,
}

impl ConsumerTable {
    /// The core hands over one batch and waits for it to be written: a beginning, a notice, two batches and a
    /// farewell fit.
    const TOLD_MAX: usize = 5;

    fn open(&self) -> (ConsumerId, mpsc::Receiver<ToConsumer>) {
        let id = ConsumerId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = mpsc::channel(Self::TOLD_MAX);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        (id, receiver)
    }

    fn close(&self, id: ConsumerId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn tell(&self, id: ConsumerId, what: ToConsumer) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = open.get(&id)
            && sender.try_send(what).is_err()
        {
            // It is closing, or more was handed to it than it was ready for: the connection ends, and
            // the consumer resumes after its last ack.
            open.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
