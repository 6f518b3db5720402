//! Shared by the doors from IntelMQ's bots, beside the submitting path. A bot has no negative acknowledgement, and
//! sends an event until it is taken. So an event that is refused for good is set aside, and then counts as taken; one
//! that could be taken later is tried again for as long as the bot waits (CONTRACT.md §3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::listening::Listening;
use super::submission::{EventSubmitter, SubmissionOutcome};
use crate::format::SubmitError;
use crate::identity::EventId;
use crate::limits::DOOR_RETRY_MS;
use crate::local::counters::SubmitCounters;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::dead_letter::record::AsideRecord;
use crate::local::framing::SocketLine;
use crate::local::tasks::DoorTasks;
use crate::status::SubmitState;

/// One `[[submit]]`.
pub(crate) struct SubmitDoor {
    pub name: String,
    pub submitter: Arc<EventSubmitter>,
    pub aside: Arc<DeadLetter>,
    pub counters: Arc<SubmitCounters>,
    pub stopping: CancellationToken,
    pub tasks: DoorTasks,
}

/// One kind of `[[submit]]`, ready to open.
pub(crate) trait SubmitOpener: Send {
    /// Returns where it takes events from, as status shows it.
    fn shown(&self) -> String;

    /// Returns the address on which it listens, if it does.
    fn listens_on(&self) -> Option<SocketAddr> {
        None
    }

    /// Starts the tasks of `door`; one that listens does so on the port `listening`.
    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, listening: Option<&Arc<Listening>>);
}

/// An event that a bot may forget: it is the node's now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Taken { id: EventId, duplicate: bool },
    SetAside,
}

impl SubmitDoor {
    /// Submits one line and settles it; `None`, without an answer, if `gone` or the node's end came first.
    pub(crate) async fn take(&self, line: &Bytes, gone: &CancellationToken) -> Option<Settled> {
        let outcome = self.submit(line).await?;
        self.settle(line, outcome, gone).await
    }

    pub(super) async fn submit(self: &SubmitDoor, line: &Bytes) -> Option<SubmissionOutcome> {
        let prepared = self.submitter.prepare(vec![SocketLine::of(line)]).await?.pop()?;
        Some(self.submitter.submit(prepared).await.outcome().await)
    }

    /// Makes an end of a line that was submitted: counts it, sets it aside, or tries it again and again.
    pub(crate) async fn settle(
        &self,
        line: &Bytes,
        outcome: SubmissionOutcome,
        gone: &CancellationToken,
    ) -> Option<Settled> {
        let mut outcome = outcome;
        loop {
            match outcome {
                SubmissionOutcome::Taken { id, duplicate } => {
                    self.counters.taken(duplicate);
                    return Some(Settled::Taken { id, duplicate });
                }
                SubmissionOutcome::Refused(error) if error.code.retry() => {
                    self.counters.failed(error.message);
                    self.pause(gone).await?;
                    outcome = self.submit(line).await?;
                }
                SubmissionOutcome::Refused(error) => {
                    let record = self.record(&error).with_line(line);
                    return self.set_aside(record, gone).await.then_some(Settled::SetAside);
                }
            }
        }
    }

    /// Keeps lines that could not be taken while the door closes, of a sender that never sends them again: the operator
    /// can hand them in.
    pub(crate) async fn keep_for_later(&self, lines: &[Bytes]) {
        let stopping = SubmitError::stopping();
        let records = lines.iter().map(|line| self.record(&stopping).with_line(line)).collect();
        let (count, door) = (lines.len(), &self.name);
        self.counters.failed(match self.aside.append_all(records).await {
            Ok(()) => format!("{count} events came while the door closed: intelmesh aside retry {door}"),
            Err(error) => format!("{count} events came while the door closed, and are lost: {error}"),
        });
    }

    /// Sets aside the length and the first bytes of an event that was too long to be kept.
    pub(crate) async fn set_aside_long(&self, bytes: u64, head: &Bytes, gone: &CancellationToken) -> bool {
        let mut record = self.record(&SubmitError::line_too_large()).with_line(head);
        record.bytes = Some(bytes);
        self.set_aside(record, gone).await
    }

    pub(super) fn record(&self, error: &SubmitError) -> AsideRecord {
        let at = self.submitter.now().wall;
        let mut record = AsideRecord::new(at, &self.name, error.code.as_str(), &error.message);
        record.hint = error.hint.map(str::to_owned);
        record
    }

    /// Returns true once it is on disk; false if nobody waits for it any more.
    pub(super) async fn set_aside(&self, record: AsideRecord, gone: &CancellationToken) -> bool {
        while let Err(error) = self.aside.append(record.clone()).await {
            self.counters.failed(format!("cannot set aside: {error}"));
            if self.pause(gone).await.is_none() {
                return false;
            }
        }
        self.counters.rejected(&record);
        true
    }

    pub(super) async fn pause(&self, gone: &CancellationToken) -> Option<()> {
        tokio::select! {
            biased;
            () = gone.cancelled() => None,
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep(Duration::from_millis(DOOR_RETRY_MS)) => Some(()),
        }
    }
}

impl SubmitState {
    /// Returns the state of a door of this kind, at this place, that has seen nothing yet.
    pub(crate) fn at(from: &str, at: String) -> Self {
        Self { from: from.to_owned(), at, ..Self::default() }
    }
}
