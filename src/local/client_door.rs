//! What the HTTP door shares with the doors here: the way of an event in, the time, and the end.

use std::sync::Arc;

use bytes::Bytes;

use super::DoorContext;
use super::framing::SocketLine;
use super::submit::socket::put_answer;
use super::submit::submission::{EventSubmitter, SubmissionOutcome};
use crate::filter::Filter;
use crate::format::{DoorDefaults, SubmitError};
use crate::identity::PublisherName;
use crate::limits::{SUBMIT_BATCH_BYTES_MAX, SUBMIT_BATCH_LINES_MAX};
use crate::time::Timestamp;

/// The doors, as the HTTP door sees them.
pub(crate) struct ClientDoor(pub(super) Arc<DoorContext>);

/// The way in for the events of one client.
pub(crate) struct ClientSubmitter(Arc<EventSubmitter>);

/// The answer to one event.
#[derive(Debug)]
pub(crate) struct ClientAnswer {
    /// As at `in.sock`, without a line break.
    pub line: Vec<u8>,
    /// Why it was refused.
    pub error: Option<SubmitError>,
}

impl ClientDoor {
    /// Returns the way in for `client`: each event says who posted it, and must be admitted by `admits`.
    pub(crate) fn submitter(
        &self,
        defaults: &DoorDefaults,
        client: &PublisherName,
        admits: Option<Arc<Filter>>,
    ) -> ClientSubmitter {
        let door = DoorDefaults { client: Some(client.clone()), ..defaults.clone() };
        let submitter = EventSubmitter::new(&self.0.behind, door, Arc::clone(&self.0.pending));
        ClientSubmitter(Arc::new(submitter.admitting(admits)))
    }

    /// Returns the time for events that expire; `None` while the clock is not to be trusted.
    pub(crate) fn steady_now(&self) -> Option<Timestamp> {
        self.0.steady.now((self.0.behind.now)().tick)
    }

    /// Waits until the doors take nothing more.
    pub(crate) async fn stopped(&self) {
        self.0.stopping.cancelled().await;
    }

    /// Runs a task that the end of the doors waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }
}

impl ClientSubmitter {
    /// Submits events with their numbers, and returns their answers in the same order once all are durable. `None` if
    /// the runtime is going down.
    pub(crate) async fn submit(&self, events: Vec<(u64, Bytes)>) -> Option<Vec<ClientAnswer>> {
        let mut waiting = Vec::with_capacity(events.len());
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(batch_len(rest));
            rest = behind;
            let lines = batch.iter().map(|(_, event)| SocketLine::of(event)).collect();
            for ((number, _), mut prepared) in batch.iter().zip(self.0.prepare(lines).await?) {
                let unknown = std::mem::take(&mut prepared.unknown);
                waiting.push((*number, unknown, self.0.submit(prepared).await));
            }
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for (number, unknown, submission) in waiting {
            let outcome = submission.outcome().await;
            let mut line = Vec::new();
            put_answer(&mut line, number, &outcome, &unknown);
            let error = match outcome {
                SubmissionOutcome::Taken { .. } => None,
                SubmissionOutcome::Refused(error) => Some(error),
            };
            answers.push(ClientAnswer { line, error });
        }
        Some(answers)
    }
}

/// Returns how many of these are prepared at once: at least one.
fn batch_len(events: &[(u64, Bytes)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, event): &&(u64, Bytes)| {
        bytes += event.len();
        bytes <= SUBMIT_BATCH_BYTES_MAX
    };
    events.iter().take(SUBMIT_BATCH_LINES_MAX).take_while(fits).count().max(1)
}
