//! Doors that open: each begins its tasks, and goes on with the counts of the door before it. Nothing here waits.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::prepare::{ReadyConsumer, ReadySubmit};
use super::{AGAIN_MAX, ConsumerHandle, DoorTasks, SubmitHandle};
use crate::local::DoorContext;
use crate::local::counters::{ConsumerCounters, SubmitCounters};
use crate::local::dead_letter::file::DeadLetter;
use crate::local::deliver::driver::{ConsumerBehind, ConsumerDoor, Holding};
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::target::DeliveryTarget;
use crate::local::submit::door::SubmitDoor;
use crate::local::submit::submission::EventSubmitter;
use crate::local::submit::tcp::Listening;
use crate::protocol::io::ConsumerRequest;

/// Opens a `[[submit]]`; one that listens on the port `listening`.
pub(super) fn start_submit(
    ready: ReadySubmit,
    before: Option<&SubmitHandle>,
    listening: Option<Arc<Listening>>,
    shared: &DoorContext,
) -> SubmitHandle {
    let ReadySubmit { name, state, defaults, aside, from } = ready;
    let behind = &shared.behind;
    let counters = match before {
        Some(before) => {
            before.door.counters.moved(state);
            before.door.counters.clone()
        }
        None => Arc::new(SubmitCounters::new(&name, state, behind.now)),
    };
    let door = Arc::new(SubmitDoor {
        name,
        submitter: Arc::new(EventSubmitter::new(behind, defaults, shared.pending.clone())),
        aside,
        counters,
        stopping: shared.stopping.child_token(),
        tasks: DoorTasks::of(&shared.tasks),
    });
    from.open(&door, listening.as_ref());
    SubmitHandle { door, listening }
}

/// Opens a `[[consumer]]`.
pub(super) fn start_consumer(
    ready: ReadyConsumer,
    before: Option<&ConsumerHandle>,
    shared: &DoorContext,
) -> ConsumerHandle {
    let ReadyConsumer { name, state, request, form, aside, to } = ready;
    let counters = match before {
        Some(before) => {
            before.counters.moved(state);
            before.counters.clone()
        }
        None => Arc::new(ConsumerCounters::new(&name, state, shared.behind.now)),
    };
    (to.open)(DriverParts { request, form, counters, aside }, shared)
}

/// The parts of a driver that do not depend on the kind of receiver.
pub(super) struct DriverParts {
    pub request: ConsumerRequest,
    pub form: ReceiverForm,
    pub counters: Arc<ConsumerCounters>,
    pub aside: Arc<DeadLetter>,
}

/// Starts the driver of one consumer, for any kind of receiver.
pub(super) fn drive<R: DeliveryTarget>(
    parts: DriverParts,
    receiver: R,
    shared: &DoorContext,
) -> ConsumerHandle {
    let DriverParts { request, form, counters, aside } = parts;
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
