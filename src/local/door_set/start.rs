//! Doors that open: each begins its tasks, and goes on with the counts of the door before it. Nothing here waits.

use std::sync::Arc;

use super::drive::DriverParts;
use super::prepare::{ReadyConsumer, ReadySubmit};
use super::{ConsumerHandle, SubmitHandle};
use crate::local::DoorContext;
use crate::local::counters::{ConsumerCounters, SubmitCounters};
use crate::local::submit::door::SubmitDoor;
use crate::local::submit::listening::Listening;
use crate::local::submit::submission::EventSubmitter;
use crate::local::tasks::DoorTasks;

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
