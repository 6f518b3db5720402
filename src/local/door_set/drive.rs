//! The driver of a consumer, for any kind of receiver.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{AGAIN_MAX, ConsumerHandle};
use crate::local::DoorContext;
use crate::local::counters::ConsumerCounters;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::deliver::driver::{ConsumerBehind, ConsumerDoor, Holding};
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::target::DeliveryTarget;
use crate::local::tasks::DoorTasks;
use crate::protocol::io::ConsumerRequest;

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
