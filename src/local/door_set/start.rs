//! Doors that open: each begins its tasks, and goes on with the counts of the door before it. Nothing here waits.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::prepare::{ReadyConsumer, ReadyDestination, ReadySource, ReadySubmit};
use super::{AGAIN_MAX, ConsumerHandle, DoorTasks, SubmitHandle};
use crate::local::DoorContext;
use crate::local::counters::{ConsumerCounters, SubmitCounters};
use crate::local::dead_letter::file::DeadLetter;
use crate::local::deliver::driver::{ConsumerBehind, ConsumerDoor, Holding};
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::redis::QueueReceiver;
use crate::local::deliver::redis::destination::DestinationQueue;
use crate::local::deliver::spool::SpoolReceiver;
use crate::local::deliver::target::DeliveryTarget;
use crate::local::deliver::tcp::TcpReceiver;
use crate::local::submit::door::SubmitDoor;
use crate::local::submit::redis::QueueDoor;
use crate::local::submit::spool::SpoolDoor;
use crate::local::submit::submission::EventSubmitter;
use crate::local::submit::tcp::{Listening, TcpDoor};
use crate::protocol::io::ConsumerRequest;
use crate::status::{ConsumerState, SubmitState};
use crate::time::Timestamp;

/// Opens a `[[submit]]`; one over TCP on the port `listening`.
pub(super) fn start_submit(
    ready: ReadySubmit,
    before: Option<&SubmitHandle>,
    listening: Option<Arc<Listening>>,
    shared: &DoorContext,
) -> SubmitHandle {
    let ReadySubmit { name, door, aside, from } = ready;
    let behind = &shared.behind;
    let state = match &from {
        ReadySource::Tcp(place) => SubmitState::at("intelmq-tcp", place.listen.to_string()),
        ReadySource::Redis(server, queue) => SubmitState::at("intelmq-redis", queue.shown(server)),
        ReadySource::Spool(spool) => SubmitState::at("spool", spool.dir.display().to_string()),
    };
    let counters = match before {
        Some(before) => {
            before.door.counters.moved(state);
            before.door.counters.clone()
        }
        None => Arc::new(SubmitCounters::new(&name, state, behind.now)),
    };
    let door = Arc::new(SubmitDoor {
        name,
        submitter: Arc::new(EventSubmitter::new(behind, door, shared.pending.clone())),
        aside,
        counters,
        stopping: shared.stopping.child_token(),
        tasks: DoorTasks::of(&shared.tasks),
    });
    match (from, &listening) {
        (ReadySource::Tcp(place), Some(listening)) => {
            let tcp = Arc::new(TcpDoor::new(place, door.clone()));
            door.tasks.spawn(tcp.serve(listening.clone()));
        }
        (ReadySource::Tcp(_), None) => {}
        (ReadySource::Redis(server, queue), _) => {
            door.tasks.spawn(QueueDoor::new(server, &queue.queue, door.clone()).run());
        }
        (ReadySource::Spool(spool), _) => door.tasks.spawn(SpoolDoor::new(spool, door.clone()).run()),
    }
    SubmitHandle { door, listening }
}

/// Opens a `[[consumer]]`.
pub(super) fn start_consumer(
    ready: ReadyConsumer,
    before: Option<&ConsumerHandle>,
    shared: &DoorContext,
) -> ConsumerHandle {
    let ReadyConsumer { name, request, form, aside, to } = ready;
    let now = shared.behind.now;
    let state = match &to {
        ReadyDestination::Tcp(place, _) => ConsumerState::at("intelmq-tcp", &place.connect, now().wall),
        ReadyDestination::Redis { server, queue, .. } => {
            ConsumerState::at("intelmq-redis", &queue.shown(server), now().wall)
        }
        ReadyDestination::Spool { spool, .. } => {
            ConsumerState::at("spool", &spool.dir.display().to_string(), now().wall)
        }
    };
    let counters = match before {
        Some(before) => {
            before.counters.moved(state);
            before.counters.clone()
        }
        None => Arc::new(ConsumerCounters::new(&name, state, now)),
    };
    match to {
        ReadyDestination::Tcp(place, handed) => {
            let receiver = TcpReceiver::new(place, handed, counters.clone());
            drive(request, form, receiver, (counters, aside), shared)
        }
        ReadyDestination::Spool { spool, suffix, queue_max, handed } => {
            let receiver = SpoolReceiver::new(spool, suffix, queue_max, handed, counters.clone());
            drive(request, form, receiver, (counters, aside), shared)
        }
        ReadyDestination::Redis { server, queue, queue_max } => {
            let destination = DestinationQueue::new(&queue.queue, &shared.behind.door.publisher, &name);
            let receiver = QueueReceiver::new(*server, destination, queue_max, counters.clone());
            drive(request, form, receiver, (counters, aside), shared)
        }
    }
}

/// Starts the driver of one consumer, for any kind of receiver.
fn drive<R: DeliveryTarget>(
    request: ConsumerRequest,
    form: ReceiverForm,
    receiver: R,
    (counters, aside): (Arc<ConsumerCounters>, Arc<DeadLetter>),
    shared: &DoorContext,
) -> ConsumerHandle {
    let (again, again_out) = mpsc::channel(AGAIN_MAX);
    let (behind, stopping) = (&shared.behind, shared.stopping.child_token());
    let tasks = DoorTasks::of(&shared.tasks);
    let handle = ConsumerHandle {
        name: counters.name().to_owned(),
        counters: counters.clone(),
        aside: aside.clone(),
        again,
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    };
    let door = ConsumerDoor {
        request,
        form,
        receiver,
        counters,
        aside,
        again: again_out,
        holding: Holding::default(),
        behind: ConsumerBehind {
            inputs: behind.inputs.clone(),
            consumers: shared.consumers.clone(),
            journal: behind.journal.clone(),
            opening: behind.opening.clone(),
            now: behind.now,
            steady: shared.steady.clone(),
            stopping,
        },
    };
    tasks.spawn(door.run());
    handle
}

impl ConsumerState {
    /// Returns the state of a door of this kind, to this place, that has handed over nothing yet.
    fn at(to: &str, at: &str, since: Timestamp) -> Self {
        Self { to: to.to_owned(), at: at.to_owned(), since: Some(since), ..Self::default() }
    }
}
