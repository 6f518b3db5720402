//! The way that every line takes from a door to the core, whatever it came in as: it is read, checked and
//! signed, many at a time on blocking workers, then handed to the core, which says what became of it. How
//! lines are framed and answered is each door's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Behind;
use super::lines::Line;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Signer, VerifiedEnvelope};
use crate::format::{Door, Intake, Made, Returned, SubmitCode, SubmitError, intake};
use crate::identity::EventId;
use crate::limits::SUBMIT_KIB_OUTSTANDING_MAX;
use crate::policy::{TrustList, unknown_recipients};
use crate::protocol::io::{Input, Submitted, Ticket};
use crate::time::Now;

/// So many lines, of so many bytes together, are prepared without a worker: about 0.1 ms.
const HERE_LINES_MAX: usize = 2;
const HERE_BYTES_MAX: usize = 8 * 1024;

/// What waits for the core's answer, over all doors.
pub(super) struct Pending {
    next: AtomicU64,
    waiting: Mutex<HashMap<Ticket, Waiting>>,
    room: Arc<Semaphore>,
}

struct Waiting {
    answer: oneshot::Sender<Submitted>,
    /// Freed by the answer, not by its being written: a client that does not read holds up nobody else.
    _room: OwnedSemaphorePermit,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            next: AtomicU64::default(),
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(SUBMIT_KIB_OUTSTANDING_MAX as usize)),
        }
    }
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

/// What all connections of one door share.
pub(super) struct Submitter {
    door: Door,
    signer: Arc<Signer>,
    secret: BodyIdSecret,
    trust: Arc<ArcSwap<TrustList>>,
    now: fn() -> Now,
    inputs: mpsc::Sender<Input>,
    pending: Arc<Pending>,
}

/// A line as far as the door could take it alone.
pub(super) struct Prepared {
    bytes: usize,
    what: What,
}

enum What {
    New(VerifiedEnvelope),
    Returned(Returned),
    Refused(SubmitError),
}

/// A line that the core has, or that was refused before it came there.
pub(super) struct Submission(Fate);

enum Fate {
    Refused(SubmitError),
    New(EventId, oneshot::Receiver<Submitted>),
    Returned(Returned, oneshot::Receiver<Submitted>),
}

/// What became of a line.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is on disk, or was before.
    Taken { id: EventId, duplicate: bool },
    /// For good, unless its code says `retry`.
    Refused(SubmitError),
}

impl Submitter {
    /// What `door` adds to its lines, in front of what all doors share.
    pub fn new(behind: &Behind, door: Door, pending: Arc<Pending>) -> Self {
        Self {
            door,
            signer: behind.signer.clone(),
            secret: behind.body_id_secret.clone(),
            trust: behind.trust.clone(),
            now: behind.now,
            inputs: behind.inputs.clone(),
            pending,
        }
    }

    pub fn now(&self) -> Now {
        (self.now)()
    }

    /// Reads, checks and signs `lines`, in their order. `None` where the runtime is going down.
    pub async fn prepare(self: &Arc<Self>, lines: Vec<Line>) -> Option<Vec<Prepared>> {
        let shared = self.clone();
        let here = is_small(&lines);
        let work = move || lines.iter().map(|line| shared.prepare_line(line)).collect();
        match here {
            true => Some(work()),
            false => tokio::task::spawn_blocking(work).await.ok(),
        }
    }

    fn prepare_line(&self, line: &Line) -> Prepared {
        let what = match line {
            Line::TooLong => Err(SubmitError::line_too_large()),
            Line::Text(text) => self.check_and_sign(text),
        };
        Prepared { bytes: line.len(), what: what.unwrap_or_else(What::Refused) }
    }

    fn check_and_sign(&self, text: &[u8]) -> Result<What, SubmitError> {
        let draft = match intake(text, &self.door)? {
            Intake::New(draft) => draft,
            Intake::Returned(returned) => return Ok(What::Returned(returned)),
        };
        if let Some(unknown) = unknown_recipients(draft.to(), &self.trust.load()).first() {
            return Err(SubmitError::unknown_recipient(unknown));
        }
        let made = Made { now: self.now().wall, random: uuid::Uuid::new_v4(), secret: &self.secret };
        Ok(What::New(self.signer.sign(draft.into_core(&made)?)?))
    }

    /// Hands it to the core; waits for room where the core has much to do.
    pub async fn submit(&self, prepared: Prepared) -> Submission {
        let kib = u32::try_from(prepared.bytes / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let room = self.pending.room.clone().acquire_many_owned(kib.min(SUBMIT_KIB_OUTSTANDING_MAX));
        let stopping = || Submission(Fate::Refused(SubmitError::stopping()));
        match prepared.what {
            What::Refused(error) => Submission(Fate::Refused(error)),
            What::New(envelope) => {
                let Ok(room) = room.await else { return stopping() };
                let id = envelope.envelope().id().clone();
                let outcome = self.ask(room, |ticket| Input::Submit { ticket, envelope }).await;
                Submission(Fate::New(id, outcome))
            }
            What::Returned(returned) => {
                let Ok(room) = room.await else { return stopping() };
                let id = returned.id.clone();
                let outcome = self.ask(room, |ticket| Input::SubmitReturned { ticket, id }).await;
                Submission(Fate::Returned(returned, outcome))
            }
        }
    }

    async fn ask(
        &self,
        room: OwnedSemaphorePermit,
        question: impl FnOnce(Ticket) -> Input,
    ) -> oneshot::Receiver<Submitted> {
        let (ticket, outcome) = self.pending.open(room);
        if self.inputs.send(question(ticket)).await.is_err() {
            // The core is gone; without the other end the answer is `stopping`.
            self.pending.forget(ticket);
        }
        outcome
    }
}

/// Does it cost less to prepare these than to wake a thread for it?
fn is_small(lines: &[Line]) -> bool {
    lines.len() <= HERE_LINES_MAX && lines.iter().map(Line::len).sum::<usize>() <= HERE_BYTES_MAX
}

impl Submission {
    /// What became of it, where that is known without waiting.
    pub fn at_once(&mut self) -> Option<Outcome> {
        let outcome = match &mut self.0 {
            Fate::Refused(error) => return Some(Outcome::Refused(error.clone())),
            Fate::New(_, outcome) | Fate::Returned(_, outcome) => outcome.try_recv().ok()?,
        };
        Some(self.told(outcome))
    }

    pub async fn outcome(mut self) -> Outcome {
        let outcome = match &mut self.0 {
            Fate::Refused(error) => return Outcome::Refused(error.clone()),
            Fate::New(_, outcome) | Fate::Returned(_, outcome) => outcome.await,
        };
        self.told(outcome.unwrap_or(Submitted::Stopping))
    }

    fn told(&self, outcome: Submitted) -> Outcome {
        let id = match &self.0 {
            Fate::Refused(error) => return Outcome::Refused(error.clone()),
            Fate::New(id, _) => id,
            Fate::Returned(returned, _) => &returned.id,
        };
        let refused = match (outcome, &self.0) {
            (Submitted::Accepted, _) => return Outcome::Taken { id: id.clone(), duplicate: false },
            (Submitted::Duplicate, _) => return Outcome::Taken { id: id.clone(), duplicate: true },
            (Submitted::Conflict, _) => SubmitError::id_conflict(id),
            (Submitted::Foreign, Fate::Returned(returned, _)) => returned.unseen(),
            (Submitted::Foreign, _) => {
                SubmitError::new(SubmitCode::ForeignEvent, format!("{id} is not known here"))
            }
            (Submitted::DiskFull, _) => SubmitError::disk_full(),
            (Submitted::Stopping, _) => SubmitError::stopping(),
        };
        Outcome::Refused(refused)
    }
}
