//! The door from a MISP: asks it for the events that were published since, one window of its time after the other, and
//! takes each object and attribute that is new or changed. The window moves on once the node has all of them on disk.
//! HTTP and JSON of MISP are `server`'s, and which line is due for a part is `record`'s.

mod record;
mod server;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::asked::AskFault;
use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::pulled::PulledDir;
use super::submission::SubmissionOutcome;
use crate::door::MispSource;
use crate::format::SubmitCode;
use crate::format::foreign::{MispPart, take_misp_apart};
use crate::limits::{RECEIVER_FIRST_MS, RECEIVER_MAX_MS};
use crate::local::framing::{HEAD_BYTES, SocketLine};
use crate::local::http::{ANSWER_BYTES_MAX, HttpFault};
use crate::local::pause::GrowingPause;
use record::{DueLine, EventRecord, question_about};
use server::{EventListing, MispServer, PublishedWindow};

/// Seconds of the last window that are asked for again: an event may appear later than its time says.
const OVERLAP_S: u64 = 60;
/// Seconds before the server's present that are left to the next window, in which events of the same second come.
const UNSETTLED_S: u64 = 5;
/// Events of one list, at first.
const LIST_FIRST: u64 = 500;
/// Parts that are submitted together.
const PARTS_AT_ONCE: usize = 64;
const CURSOR: &str = "cursor.json";

/// A `[[submit]]` from a MISP, and its memory.
pub(crate) struct MispPull {
    pub source: MispSource,
    pub pulled: PulledDir,
    /// Events that this node knows come again as children.
    pub republish: bool,
}

/// All that was published before `until` is taken, in seconds of the server's clock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PullCursor {
    url: String,
    tags: Vec<String>,
    until: u64,
}

struct MispDoor {
    pull: MispPull,
    door: Arc<SubmitDoor>,
    /// Nobody waits for an answer: this never fires.
    gone: CancellationToken,
}

/// Why a round ended early.
enum PullStop {
    Stopping,
    Fault(String),
    /// One event cannot be read.
    Event(String),
}

impl From<AskFault> for PullStop {
    fn from(fault: AskFault) -> Self {
        Self::Fault(fault.told())
    }
}

impl SubmitOpener for MispPull {
    fn shown(&self) -> String {
        self.source.url.to_string()
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let gone = CancellationToken::new();
        door.tasks.spawn(MispDoor { pull: *self, door: door.clone(), gone }.run());
    }
}

impl MispDoor {
    /// Asks again and again until the node stops.
    async fn run(self) {
        let stopping = self.door.stopping.clone();
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, RECEIVER_MAX_MS);
        loop {
            let wait = match self.round().await {
                Ok(missed) => {
                    missed.into_iter().for_each(|what| self.door.counters.failed(what));
                    pause.reset();
                    self.pull.source.poll
                }
                Err(PullStop::Stopping) => return,
                Err(PullStop::Fault(what) | PullStop::Event(what)) => {
                    self.door.counters.unreachable(what);
                    pause.next()
                }
            };
            if stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Takes everything that was published since the last round. Returns why an event could not be read: it does not
    /// hold up the others, and is asked for again in the next round.
    async fn round(&self) -> Result<Option<String>, PullStop> {
        let source = &self.pull.source;
        let server = MispServer::of(source)?;
        let now = self.unless_stopping(server.clock()).await??;
        let cursor: PullCursor =
            self.pull.pulled.read(CURSOR).map_err(|error| self.disk(&error))?.unwrap_or_default();
        let same = cursor.url == source.url.to_string() && cursor.tags == source.tags;
        let until = if same { cursor.until } else { 0 };
        let to = now.saturating_sub(UNSETTLED_S);
        // MISP reads a 0 as "not given".
        let mut from = until.saturating_sub(OVERLAP_S).max(1);
        let (mut limit, mut limit_max) = (LIST_FIRST, u64::MAX);
        let mut missed: Option<(u64, String)> = None;
        while from <= to {
            let window = PublishedWindow { from, to, tags: &source.tags };
            let list = match self.unless_stopping(server.list(&window, limit)).await? {
                Err(AskFault::Http(HttpFault::TooLarge { .. } | HttpFault::Silent { .. })) if limit > 1 => {
                    limit_max = limit - 1;
                    limit /= 2;
                    continue;
                }
                list => list?,
            };
            // Before its events are taken: of a first list, that takes minutes.
            self.door.counters.well();
            let last = list.last().map_or(from, |listing| listing.published);
            let whole = (list.len() as u64) < limit;
            // The next list begins with the last second of this one: pages by number would shift while events are
            // published. If it would begin where this one began, it has to be longer.
            if !whole && (last <= from || !list.is_sorted_by_key(|listing| listing.published)) {
                if limit >= limit_max {
                    let what = format!("more than {limit} events of one second: too long a list");
                    return Err(PullStop::Fault(what));
                }
                limit = limit_max.min(2 * limit);
                continue;
            }
            for listing in &list {
                match self.take(&server, listing).await {
                    Err(PullStop::Event(what)) => {
                        missed.get_or_insert((listing.published, what));
                    }
                    taken => taken?,
                }
            }
            let done = if whole { to } else { last };
            self.moved_to(missed.as_ref().map_or(done, |(published, _)| done.min(*published)))?;
            if whole {
                break;
            }
            (from, limit) = (last, LIST_FIRST.min(limit_max));
        }
        Ok(missed.map(|(_, what)| what))
    }

    async fn unless_stopping<T>(
        &self,
        asking: impl Future<Output = Result<T, AskFault>>,
    ) -> Result<Result<T, AskFault>, PullStop> {
        self.door.stopping.run_until_cancelled(asking).await.ok_or(PullStop::Stopping)
    }

    fn disk(&self, error: &std::io::Error) -> PullStop {
        PullStop::Fault(format!("{}: {error}", self.pull.pulled))
    }

    fn moved_to(&self, until: u64) -> Result<(), PullStop> {
        let MispSource { url, tags, .. } = self.pull.source.clone();
        let url = url.to_string();
        self.pull.pulled.write(CURSOR, &PullCursor { url, tags, until }).map_err(|error| self.disk(&error))
    }

    /// Takes one event, unless it is as it was.
    async fn take(&self, server: &MispServer, listing: &EventListing) -> Result<(), PullStop> {
        let file = format!("{}.json", listing.uuid);
        let read = self.pull.pulled.read::<EventRecord>(&file).map_err(|error| self.disk(&error))?;
        let mut record = read.unwrap_or_default();
        if record.is_as_listed(listing) {
            return Ok(());
        }
        let answer = self.door.stopping.run_until_cancelled(server.event(listing.uuid)).await;
        match answer.ok_or(PullStop::Stopping)? {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => match take_misp_apart(&message) {
                Ok(event) => {
                    if event.without_event > 0 {
                        let (door, event, count) = (&self.door.name, listing.uuid, event.without_event);
                        tracing::debug!(door, %event, count, "attributes of types that make no event");
                    }
                    self.take_parts(event.uuid, &event.parts, &mut record).await?;
                }
                Err(error) => {
                    let line = serde_json::to_vec(&message).unwrap_or_default();
                    let head = &line[..line.len().min(HEAD_BYTES)];
                    let refused = self.door.record(&error).with_line(head);
                    if !self.door.set_aside(refused, &self.gone).await {
                        return Err(PullStop::Stopping);
                    }
                }
            },
            Err(AskFault::Http(HttpFault::TooLarge { .. })) => {
                let name = Bytes::from(format!("MISP event {}", listing.uuid));
                let bytes = ANSWER_BYTES_MAX as u64;
                if !self.door.set_aside_long(bytes, &name, &self.gone).await {
                    return Err(PullStop::Stopping);
                }
            }
            Err(fault @ (AskFault::Unusable { .. } | AskFault::Http(HttpFault::Broken { .. }))) => {
                return Err(PullStop::Event(format!("event {}: {}", listing.uuid, fault.told())));
            }
            Err(fault) => return Err(fault.into()),
        }
        record.is_taken_as(listing);
        self.pull.pulled.write(&file, &record).map_err(|error| self.disk(&error))
    }

    /// Takes the parts of the event `whole` that are not in its record, and notes them there.
    async fn take_parts(
        &self,
        whole: Uuid,
        parts: &[MispPart],
        record: &mut EventRecord,
    ) -> Result<(), PullStop> {
        let mut due = Vec::new();
        for part in parts {
            let known = record.parts.get(&part.uuid);
            let lines = DueLine::of(part, whole, known);
            // A feed of a node may have brought it to MISP. It is no new event.
            let is_new = known.is_none() && !lines.is_empty();
            let is_known_here = is_new && self.is_known_here(part).await?;
            for line in lines {
                match is_known_here {
                    // This door did not send it, and never takes it back.
                    true => drop(record.parts.insert(part.uuid, line.record.never_sent())),
                    false => due.push((part, line)),
                }
            }
        }
        let mut due = due.into_iter();
        loop {
            let batch: Vec<_> = due.by_ref().take(PARTS_AT_ONCE).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let lines = batch.iter().map(|(_, due)| SocketLine::of(&due.line)).collect();
            let prepared = self.door.submitter.prepare(lines).await.ok_or(PullStop::Stopping)?;
            let mut submissions = Vec::with_capacity(batch.len());
            for prepared in prepared {
                submissions.push(self.door.submitter.submit(prepared).await);
            }
            for ((part, due), submission) in batch.into_iter().zip(submissions) {
                let taken = self.settle(part, whole, due, submission.outcome().await).await?;
                record.parts.insert(part.uuid, taken.record);
            }
        }
    }

    /// Makes an end of one line, and returns the one that was taken for the part.
    async fn settle(
        &self,
        part: &MispPart,
        whole: Uuid,
        due: DueLine,
        outcome: SubmissionOutcome,
    ) -> Result<DueLine, PullStop> {
        let is_first = due.record.id == part.uuid && !due.record.withdrawn;
        let (due, outcome) = match outcome {
            // An earlier version of which the record is lost, or an event that came through another door: nothing
            // shows which, so it is not replaced.
            SubmissionOutcome::Refused(error) if error.code == SubmitCode::IdConflict && is_first => {
                let new = DueLine::after_conflict(part, whole);
                let outcome = self.door.submit(&new.line).await.ok_or(PullStop::Stopping)?;
                (new, outcome)
            }
            outcome => (due, outcome),
        };
        match self.door.settle(&due.line, outcome, &self.gone).await {
            Some(_) => Ok(due),
            None => Err(PullStop::Stopping),
        }
    }

    /// Returns true if the object shows an event that this node has.
    async fn is_known_here(&self, part: &MispPart) -> Result<bool, PullStop> {
        let Some(question) = question_about(part).filter(|_| !self.pull.republish) else { return Ok(false) };
        loop {
            match self.door.submit(&question).await.ok_or(PullStop::Stopping)? {
                SubmissionOutcome::Taken { duplicate, .. } => {
                    self.door.counters.taken(duplicate);
                    return Ok(true);
                }
                SubmissionOutcome::Refused(error) if error.code.retry() => {
                    self.door.counters.failed(error.message);
                    self.door.pause(&self.gone).await.ok_or(PullStop::Stopping)?;
                }
                SubmissionOutcome::Refused(_) => return Ok(false),
            }
        }
    }
}
