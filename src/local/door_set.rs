//! The doors of `intelmesh.toml`, opened: each `[[submit]]` listening, each `[[consumer]]` with its driver. It
//! also hands over again, at the operator's word, what was set aside. What each kind does is in its own file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::again::{Again, AgainError, EntryQuestion, Way, try_again};
use super::aside_file::Aside;
use super::consumer_door::{ConsumerBehind, ConsumerDoor};
use super::handed_mark::HandedMark;
use super::receiver::Receiver;
use super::receiver_form::ReceiverForm;
use super::redis::{DestinationQueue, QueueDoor, QueueReceiver, RedisQueue, Server};
use super::submission::Submitter;
use super::submit_door::SubmitDoor;
use super::tally::{ConsumerTally, SubmitTally};
use super::tcp_in::{TcpDoor, TcpIn};
use super::tcp_out::{TcpOut, TcpReceiver};
use super::{Doors, LocalError};
use crate::control::AsideTried;
use crate::format::Door;
use crate::format::intelmq::IntelmqHandOff;
use crate::identity::LogId;
use crate::protocol::io::ConsumerRequest;
use crate::record::ConsumerName;
use crate::status::{self, ConsumerState, DoorWay, SubmitState};
use crate::time::Timestamp;
use crate::wire::Mark;

/// Entries of one consumer that wait to be handed over again.
const AGAIN_MAX: usize = 16;

/// One `[[submit]]` that is not the socket's.
#[derive(Clone, Debug)]
pub struct SubmitSetup {
    pub name: ConsumerName,
    /// What it adds to each line.
    pub door: Door,
    pub from: SubmitWay,
}

#[derive(Clone, Debug)]
pub enum SubmitWay {
    Tcp(TcpIn),
    Redis(RedisQueue),
}

/// One `[[consumer]]`.
#[derive(Clone, Debug)]
pub struct ConsumerSetup {
    /// Its name is that of the door.
    pub request: ConsumerRequest,
    pub hand_off: IntelmqHandOff,
    /// The receiver's field list; `None`: that of `hand_off`.
    pub harmonization: Option<PathBuf>,
    pub to: ConsumerWay,
}

#[derive(Clone, Debug)]
pub enum ConsumerWay {
    Tcp(TcpOut),
    /// Waits while the queue is longer than `queue_max`.
    Redis {
        queue: RedisQueue,
        queue_max: u64,
    },
}

/// All of them, and where they keep what is theirs.
#[derive(Clone, Debug, Default)]
pub struct DoorSetups {
    pub submits: Vec<SubmitSetup>,
    pub consumers: Vec<ConsumerSetup>,
    /// Holds `aside/` and `handed/`.
    pub state: PathBuf,
}

/// Does an entry of this journal have this seq and this check?
pub type MarkQuestion = Arc<dyn Fn(Mark) -> BoxFuture<'static, bool> + Send + Sync>;

/// What doors ask of the journal.
pub struct JournalQuestions {
    pub log_id: LogId,
    pub holds: MarkQuestion,
}

impl JournalQuestions {
    /// Is `last` an entry of this journal, as it is now?
    pub(super) async fn agrees(&self, last: HandedMark) -> bool {
        last.log_id == self.log_id && (self.holds)(last.mark).await
    }
}

/// A consumer's door, as others see it.
struct ConsumerHandle {
    name: String,
    tally: Arc<ConsumerTally>,
    aside: Arc<Aside>,
    again: mpsc::Sender<Again>,
    stopping: CancellationToken,
}

/// The open doors.
#[derive(Default)]
pub struct DoorSet {
    submits: Vec<Arc<SubmitDoor>>,
    consumers: Vec<Arc<ConsumerHandle>>,
}

/// How a door that listens gets its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// At start: a port that is taken is an error.
    Now,
    /// At a reload: the door before it may hold the port for a moment, and status says if somebody else does.
    Patiently,
}

impl DoorSet {
    /// Opens all of them, as part of `doors`.
    pub(super) fn open(setups: DoorSetups, doors: &Doors) -> Result<Self, LocalError> {
        let mut set = Self::default();
        for setup in setups.submits.clone() {
            set.submits.push(submit_door(setup, &setups, doors, Binding::Now)?);
        }
        for setup in setups.consumers.clone() {
            set.consumers.push(Arc::new(consumer_door(setup, &setups, doors)?));
        }
        Ok(set)
    }

    /// The doors of `setups`: those in `same` as they are, the others opened anew. What could not be opened goes on as it
    /// was, and is named. Doors that are not there any more end.
    pub(super) fn reopen(
        &self,
        setups: DoorSetups,
        same: &BTreeSet<String>,
        doors: &Doors,
    ) -> (Self, Vec<String>) {
        let (mut set, mut failed) = (Self::default(), Vec::new());
        for setup in setups.submits.clone() {
            let name = setup.name.to_string();
            let held = self.submits.iter().find(|door| door.name == name).cloned();
            match held
                .clone()
                .filter(|_| same.contains(&name))
                .map_or_else(|| submit_door(setup, &setups, doors, Binding::Patiently), Ok)
            {
                Ok(door) => set.submits.push(door),
                Err(error) => {
                    failed.push(format!("door {name}: {error}"));
                    set.submits.extend(held);
                }
            }
        }
        for setup in setups.consumers.clone() {
            let name = setup.request.name.as_ref().map(ConsumerName::to_string).unwrap_or_default();
            let held = self.consumers.iter().find(|door| door.name == name).cloned();
            match held
                .clone()
                .filter(|_| same.contains(&name))
                .map_or_else(|| consumer_door(setup, &setups, doors).map(Arc::new), Ok)
            {
                Ok(door) => set.consumers.push(door),
                Err(error) => {
                    failed.push(format!("door {name}: {error}"));
                    set.consumers.extend(held);
                }
            }
        }
        self.end_all_but(&set);
        (set, failed)
    }

    fn end_all_but(&self, kept: &Self) {
        for door in &self.submits {
            if !kept.submits.iter().any(|other| Arc::ptr_eq(door, other)) {
                door.stopping.cancel();
            }
        }
        for door in &self.consumers {
            if !kept.consumers.iter().any(|other| Arc::ptr_eq(door, other)) {
                door.stopping.cancel();
            }
        }
    }

    /// What status shows, in the order of the file.
    pub fn status(&self) -> Vec<status::Door> {
        let submits = self.submits.iter().map(|door| door.status());
        let consumers = self.consumers.iter().map(|door| {
            let (state, trouble) = door.tally.state();
            let (name, way) = (door.name.clone(), DoorWay::Consumer(state));
            let (down, last_error) = (trouble.down, trouble.last_error);
            status::Door { name, way, aside: door.aside.status(), down, last_error }
        });
        submits.chain(consumers).collect()
    }

    /// Is there a `[[consumer]]` of this name?
    pub fn hands_to(&self, name: &str) -> bool {
        self.consumers.iter().any(|door| door.name == name)
    }

    /// What is wrong with files that doors read while they run.
    pub fn file_faults(&self) -> Vec<String> {
        let named = |door: &Arc<ConsumerHandle>| {
            Some(format!("{} (harmonization of door {})", door.tally.file_fault()?, door.name))
        };
        self.consumers.iter().filter_map(named).collect()
    }

    /// Takes notice of what the operator has moved out of `aside/`. Asks the disk: not for the core's loop.
    pub fn look(&self) {
        let asides = self.submits.iter().map(|door| &door.aside);
        asides.chain(self.consumers.iter().map(|door| &door.aside)).for_each(|aside| aside.look());
    }

    /// Tries again what the door `name` has set aside; `None` where there is no such door.
    ///
    /// # Errors
    /// [`AgainError`]: not all of it was tried.
    pub async fn try_again(
        &self,
        name: &str,
        find: &EntryQuestion,
    ) -> Option<Result<AsideTried, AgainError>> {
        if let Some(door) = self.submits.iter().find(|door| door.name == name) {
            return Some(try_again(&door.aside, Way::Submit(door)).await);
        }
        let door = self.consumers.iter().find(|door| door.name == name)?;
        Some(try_again(&door.aside, Way::Consumer(&door.again, find)).await)
    }
}

impl std::fmt::Debug for DoorSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.status().iter().map(|door| &door.name)).finish()
    }
}

fn aside(setups: &DoorSetups, name: &str) -> Result<Arc<Aside>, LocalError> {
    let dir = setups.state.join("aside");
    Aside::open(&dir, name).map_err(|error| LocalError::Io { file: dir, error })
}

fn submit_door(
    setup: SubmitSetup,
    setups: &DoorSetups,
    doors: &Doors,
    binding: Binding,
) -> Result<Arc<SubmitDoor>, LocalError> {
    let (name, behind) = (setup.name.as_str(), &doors.behind);
    let state = match &setup.from {
        SubmitWay::Tcp(place) => SubmitState::at("intelmq-tcp", place.listen.to_string()),
        SubmitWay::Redis(queue) => SubmitState::at("intelmq-redis", queue.shown(&redis_server(queue, name)?)),
    };
    let door = Arc::new(SubmitDoor {
        name: name.to_owned(),
        submitter: Arc::new(Submitter::new(behind, setup.door, doors.pending.clone())),
        aside: aside(setups, name)?,
        tally: SubmitTally::new(name, state, behind.now),
        stopping: doors.stopping.child_token(),
        tasks: doors.tasks.clone(),
    });
    match setup.from {
        SubmitWay::Tcp(place) => {
            let listen = place.listen;
            let tcp = Arc::new(TcpDoor::new(place, door.clone()));
            match binding {
                Binding::Now => {
                    let failed = |error| LocalError::Listen { door: door.name.clone(), listen, error };
                    let listener = tcp.bind().map_err(failed)?;
                    doors.tasks.spawn(tcp.serve(listener));
                }
                Binding::Patiently => drop(doors.tasks.spawn(tcp.bind_and_serve(listen))),
            }
        }
        SubmitWay::Redis(queue) => {
            let server = redis_server(&queue, name)?;
            doors.tasks.spawn(QueueDoor::new(server, &queue.queue, door.clone()).run());
        }
    }
    Ok(door)
}

fn redis_server(queue: &RedisQueue, door: &str) -> Result<Server, LocalError> {
    queue.server().map_err(|fault| LocalError::Redis {
        place: queue.place.clone(),
        door: door.to_owned(),
        fault,
    })
}

fn consumer_door(
    setup: ConsumerSetup,
    setups: &DoorSetups,
    doors: &Doors,
) -> Result<ConsumerHandle, LocalError> {
    let behind = &doors.behind;
    let name = setup.request.name.as_ref().map(ConsumerName::to_string).unwrap_or_default();
    let handed = setups.state.join("handed");
    match setup.to.clone() {
        ConsumerWay::Tcp(place) => {
            let state = ConsumerState::at("intelmq-tcp", &place.connect, (behind.now)().wall);
            let tally = Arc::new(ConsumerTally::new(&name, state, behind.now));
            let receiver = TcpReceiver::new(place, &handed, tally.clone());
            let receiver = receiver.map_err(|error| LocalError::Io { file: handed, error })?;
            start(setup, receiver, tally, aside(setups, &name)?, doors)
        }
        ConsumerWay::Redis { queue, queue_max } => {
            let server = redis_server(&queue, &name)?;
            let state = ConsumerState::at("intelmq-redis", &queue.shown(&server), (behind.now)().wall);
            let tally = Arc::new(ConsumerTally::new(&name, state, behind.now));
            let destination = DestinationQueue::new(&queue.queue, &behind.door.publisher, &name);
            let receiver = QueueReceiver::new(server, destination, queue_max, tally.clone());
            start(setup, receiver, tally, aside(setups, &name)?, doors)
        }
    }
}

/// Starts the driver of one consumer, for whatever kind of receiver.
fn start<R: Receiver>(
    setup: ConsumerSetup,
    receiver: R,
    tally: Arc<ConsumerTally>,
    aside: Arc<Aside>,
    doors: &Doors,
) -> Result<ConsumerHandle, LocalError> {
    let (again, again_out) = mpsc::channel(AGAIN_MAX);
    let (behind, stopping) = (&doors.behind, doors.stopping.child_token());
    let handle = ConsumerHandle {
        name: tally.name().to_owned(),
        tally: tally.clone(),
        aside: aside.clone(),
        again,
        stopping: stopping.clone(),
    };
    let door = ConsumerDoor {
        request: setup.request,
        form: ReceiverForm::new(setup.hand_off, setup.harmonization)?,
        receiver,
        tally,
        aside,
        again: again_out,
        held: None,
        behind: ConsumerBehind {
            inputs: behind.inputs.clone(),
            consumers: doors.consumers.clone(),
            journal: behind.journal.clone(),
            opening: behind.opening.clone(),
            now: behind.now,
            steady: doors.steady.clone(),
            stopping,
        },
    };
    doors.tasks.spawn(door.run());
    Ok(handle)
}

impl ConsumerState {
    /// A door of this kind, to this place, that has handed over nothing yet.
    pub(super) fn at(to: &str, at: &str, since: Timestamp) -> Self {
        Self { to: to.to_owned(), at: at.to_owned(), since: Some(since), ..Self::default() }
    }
}
