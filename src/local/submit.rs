//! `run/in.sock`: lines of events in, one line of answer for each, in order (contract §3). Lines are read,
//! checked and signed, many at a time on blocking workers; an answer is written once the core has it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Behind;
use super::lines::{Line, LineReader};
use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Signer, VerifiedEnvelope};
use crate::format::{Door, Intake, Made, Returned, SubmitCode, SubmitError, intake};
use crate::identity::EventId;
use crate::limits::{
    LINE_BYTES_MAX, SUBMIT_BATCH_BYTES_MAX, SUBMIT_BATCH_LINES_MAX, SUBMIT_KIB_OUTSTANDING_MAX,
    SUBMIT_LINES_OUTSTANDING_MAX,
};
use crate::policy::TrustList;
use crate::protocol::io::{Input, Submitted, Ticket};
use crate::time::Now;

/// Answers are written once this many bytes of them are there, or none is to be had without waiting.
const ANSWER_BYTES: usize = 64 * 1024;

/// So many lines, of so many bytes together, are prepared without a worker: about 0.1 ms.
const HERE_LINES_MAX: usize = 2;
const HERE_BYTES_MAX: usize = 8 * 1024;

/// What waits for the core's answer, over all connections.
#[derive(Default)]
pub(super) struct Pending {
    next: AtomicU64,
    waiting: Mutex<HashMap<Ticket, Waiting>>,
}

struct Waiting {
    answer: oneshot::Sender<Submitted>,
    /// Freed by the answer, not by its being written: a client that does not read holds up nobody else.
    _room: OwnedSemaphorePermit,
}

impl Pending {
    fn open(&self, room: OwnedSemaphorePermit) -> (Ticket, oneshot::Receiver<Submitted>) {
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting { answer, _room: room };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, waiting);
        (ticket, receiver)
    }

    pub fn answer(&self, ticket: Ticket, outcome: Submitted) {
        if let Some(waiting) = self.forget(ticket) {
            // Nobody reads it any more where the connection is gone.
            let _ = waiting.answer.send(outcome);
        }
    }

    fn forget(&self, ticket: Ticket) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket)
    }
}

/// What all connections of the door share.
pub(super) struct Submitting {
    door: Door,
    signer: Arc<Signer>,
    secret: BodyIdSecret,
    trust: Arc<ArcSwap<TrustList>>,
    now: fn() -> Now,
    inputs: mpsc::Sender<Input>,
    pending: Arc<Pending>,
    room: Arc<Semaphore>,
    stopping: CancellationToken,
}

/// A line as far as the door could take it alone.
enum Prepared {
    New(VerifiedEnvelope),
    Returned(Returned),
    Refused(SubmitError),
}

/// The place of an answer in the order of lines.
struct Slot {
    line: u64,
    answer: Answer,
}

enum Answer {
    Refused(SubmitError),
    New(EventId, oneshot::Receiver<Submitted>),
    Returned(Returned, oneshot::Receiver<Submitted>),
}

/// One line of answer (contract §3).
#[derive(Default, Serialize)]
struct AnswerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    retry: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Submitting {
    pub fn new(behind: &Behind, pending: Arc<Pending>, stopping: CancellationToken) -> Self {
        Self {
            door: behind.door.clone(),
            signer: behind.signer.clone(),
            secret: behind.body_id_secret.clone(),
            trust: behind.trust.clone(),
            now: behind.now,
            inputs: behind.inputs.clone(),
            pending,
            room: Arc::new(Semaphore::new(SUBMIT_KIB_OUTSTANDING_MAX as usize)),
            stopping,
        }
    }

    pub async fn serve(self: Arc<Self>, stream: UnixStream) {
        let (reading, writing) = stream.into_split();
        let (slots, ordered) = mpsc::channel(SUBMIT_LINES_OUTSTANDING_MAX);
        tokio::join!(self.read(reading, slots), write(ordered, writing));
    }

    /// Reads until the client's end or the node's. A client that reads no answers is read on: what it sent
    /// before it went away is submitted all the same.
    async fn read(self: Arc<Self>, reading: OwnedReadHalf, slots: mpsc::Sender<Slot>) {
        let mut lines = LineReader::new(reading, LINE_BYTES_MAX);
        let mut count = 0;
        loop {
            let first = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                line = lines.line() => line,
            };
            let Ok(Some(first)) = first else { return };
            let batch = numbered(&mut count, first, &mut lines);
            let shared = self.clone();
            let here = is_small(&batch);
            let work = move || batch.into_iter().map(|(line, text)| shared.prepare(line, &text)).collect();
            let prepared: Vec<(u64, usize, Prepared)> = match here {
                true => work(),
                false => match tokio::task::spawn_blocking(work).await {
                    Ok(prepared) => prepared,
                    // The runtime is going down.
                    Err(_) => return,
                },
            };
            for (line, bytes, prepared) in prepared {
                let answer = self.submit(bytes, prepared).await;
                if slots.send(Slot { line, answer }).await.is_err() {
                    return;
                }
            }
        }
    }

    fn prepare(&self, line: u64, text: &Line) -> (u64, usize, Prepared) {
        let prepared = match text {
            Line::TooLong => Err(SubmitError::line_too_large()),
            Line::Text(text) => self.check_and_sign(text),
        };
        (line, text.len(), prepared.unwrap_or_else(Prepared::Refused))
    }

    fn check_and_sign(&self, text: &[u8]) -> Result<Prepared, SubmitError> {
        let draft = match intake(text, &self.door)? {
            Intake::New(draft) => draft,
            Intake::Returned(returned) => return Ok(Prepared::Returned(returned)),
            // This door's settings make neither.
            Intake::Exploded(_) | Intake::Child(_) => {
                return Err(SubmitError::new(SubmitCode::NotBuilt, "in.sock takes one event a line"));
            }
        };
        let draft = draft.address(&self.trust.load())?;
        let made = Made { now: (self.now)().wall, random: uuid::Uuid::new_v4(), secret: &self.secret };
        Ok(Prepared::New(self.signer.sign(draft.into_core(&made, &mut rand::rng())?)?))
    }

    /// Hands it to the core; waits for room where the core has much to do.
    async fn submit(&self, bytes: usize, prepared: Prepared) -> Answer {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let room = self.room.clone().acquire_many_owned(kib.min(SUBMIT_KIB_OUTSTANDING_MAX));
        let (envelope, returned) = match prepared {
            Prepared::Refused(error) => return Answer::Refused(error),
            Prepared::New(envelope) => (Some(envelope), None),
            Prepared::Returned(returned) => (None, Some(returned)),
        };
        let Ok(room) = room.await else { return Answer::Refused(SubmitError::stopping()) };
        let (ticket, outcome) = self.pending.open(room);
        let (answer, input) = match (envelope, returned) {
            (Some(envelope), _) => {
                let id = envelope.envelope().id().clone();
                (Answer::New(id, outcome), Input::Submit { ticket, envelope })
            }
            (None, Some(returned)) => {
                let id = returned.id.clone();
                (Answer::Returned(returned, outcome), Input::SubmitReturned { ticket, id })
            }
            (None, None) => return Answer::Refused(SubmitError::stopping()),
        };
        if self.inputs.send(input).await.is_err() {
            // The core is gone; without the other end the answer is `stopping`.
            self.pending.forget(ticket);
        }
        answer
    }
}

/// Does it cost less to prepare these than to wake a thread for it?
fn is_small(batch: &[(u64, Line)]) -> bool {
    batch.len() <= HERE_LINES_MAX && batch.iter().map(|(_, line)| line.len()).sum::<usize>() <= HERE_BYTES_MAX
}

/// `first` and the lines behind it that are there already, with their numbers and without blank ones.
fn numbered(count: &mut u64, first: Line, lines: &mut LineReader<OwnedReadHalf>) -> Vec<(u64, Line)> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(line) = next {
        *count += 1;
        if !line.is_blank() {
            bytes += line.len();
            batch.push((*count, line));
        }
        let full = batch.len() >= SUBMIT_BATCH_LINES_MAX || bytes >= SUBMIT_BATCH_BYTES_MAX;
        next = if full { None } else { lines.line_at_hand() };
    }
    batch
}

/// Writes answers in the order of their lines. Where the client reads no more, they are dropped.
async fn write(mut slots: mpsc::Receiver<Slot>, writing: OwnedWriteHalf) {
    let mut out = Answers { writing, bytes: Vec::new(), broken: false };
    loop {
        let slot = match slots.try_recv() {
            Ok(slot) => slot,
            Err(_) => {
                out.flush().await;
                match slots.recv().await {
                    Some(slot) => slot,
                    None => return,
                }
            }
        };
        match slot.answer {
            Answer::Refused(error) => out.refused(slot.line, &error),
            Answer::New(id, outcome) => match out.outcome(outcome).await {
                Submitted::Conflict => out.refused(slot.line, &SubmitError::id_conflict(&id)),
                outcome => out.said(slot.line, &id, outcome),
            },
            Answer::Returned(returned, outcome) => match out.outcome(outcome).await {
                Submitted::Foreign => out.refused(slot.line, &returned.unseen()),
                outcome => out.said(slot.line, &returned.id, outcome),
            },
        }
        if out.bytes.len() >= ANSWER_BYTES {
            out.flush().await;
        }
    }
}

struct Answers {
    writing: OwnedWriteHalf,
    bytes: Vec<u8>,
    broken: bool,
}

impl Answers {
    /// The core's answer; what is ready is written before waiting for it.
    async fn outcome(&mut self, mut outcome: oneshot::Receiver<Submitted>) -> Submitted {
        if let Ok(outcome) = outcome.try_recv() {
            return outcome;
        }
        self.flush().await;
        outcome.await.unwrap_or(Submitted::Stopping)
    }

    fn said(&mut self, line: u64, id: &EventId, outcome: Submitted) {
        match outcome {
            Submitted::Accepted | Submitted::Duplicate => {
                let duplicate = outcome == Submitted::Duplicate;
                self.push(&AnswerLine { id: Some(id.to_string()), duplicate, ..AnswerLine::default() });
            }
            Submitted::DiskFull => self.refused(line, &SubmitError::disk_full()),
            Submitted::Conflict => self.refused(line, &SubmitError::id_conflict(id)),
            Submitted::Foreign => {
                let what = format!("{id} is not known here");
                self.refused(line, &SubmitError::new(SubmitCode::ForeignEvent, what));
            }
            Submitted::Stopping => self.refused(line, &SubmitError::stopping()),
        }
    }

    fn refused(&mut self, line: u64, error: &SubmitError) {
        self.push(&AnswerLine {
            error: Some(&error.message),
            code: Some(error.code.as_str()),
            line: Some(line),
            retry: error.code.retry(),
            hint: error.hint,
            ..AnswerLine::default()
        });
    }

    fn push(&mut self, line: &AnswerLine<'_>) {
        if serde_json::to_writer(&mut self.bytes, line).is_ok() {
            self.bytes.push(b'\n');
        }
    }

    async fn flush(&mut self) {
        if !self.broken && !self.bytes.is_empty() {
            self.broken = self.writing.write_all(&self.bytes).await.is_err();
        }
        self.bytes.clear();
    }
}
