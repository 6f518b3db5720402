//! The way of every line from any door to the core: the line is read, checked and signed, many at a time on blocking
//! workers, then handed to the core, which returns the outcome. Each door frames and answers its own lines.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Core, Signer, VerifiedEnvelope};
use crate::filter::{Filter, FilterFacts};
use crate::format::takeback::{check_audience, check_filters, taken_back};
use crate::format::{
    ChildEvent, CoreDraft, DoorDefaults, IdInputs, ParsedSubmission, Returned, SubmitCode, SubmitError,
    intake, is_posted_by,
};
use crate::identity::{EventId, HopPath, PublisherName};
use crate::limits::{LINEAGE_MAX, SUBMIT_KIB_OUTSTANDING_MAX};
use crate::local::DoorServices;
use crate::local::deliver::opening::EnvelopeOpening;
use crate::local::framing::SocketLine;
use crate::policy::TrustList;
use crate::protocol::io::{DoorInput, Input, Submitted, Ticket};
use crate::record::Entry;
use crate::time::Now;

/// Maximum of lines that are prepared without a worker, with a maximum of bytes together: about 0.1 ms.
const HERE_LINES_MAX: usize = 2;
const HERE_BYTES_MAX: usize = 8 * 1024;

/// Lines that wait for the core's answer, over all doors.
pub(crate) struct PendingSubmission {
    next: AtomicU64,
    waiting: Mutex<HashMap<Ticket, WaitingSubmission>>,
    room: Arc<Semaphore>,
}

struct WaitingSubmission {
    answer: SubmissionAnswer,
    /// Freed by the answer, not by its being written: a client that does not read delays no other client.
    _room: OwnedSemaphorePermit,
}

enum SubmissionAnswer {
    Submitted(oneshot::Sender<Submitted>),
    Recalled(oneshot::Sender<Vec<Arc<Entry>>>),
}

impl Default for PendingSubmission {
    fn default() -> Self {
        Self {
            next: AtomicU64::default(),
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(SUBMIT_KIB_OUTSTANDING_MAX as usize)),
        }
    }
}

impl PendingSubmission {
    fn open(&self, room: OwnedSemaphorePermit, answer: SubmissionAnswer) -> Ticket {
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        let waiting = WaitingSubmission { answer, _room: room };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, waiting);
        ticket
    }

    pub(crate) fn answer(&self, ticket: Ticket, outcome: Submitted) {
        if let Some(WaitingSubmission { answer: SubmissionAnswer::Submitted(answer), .. }) =
            self.forget(ticket)
        {
            // If the connection is gone, nobody reads it any more.
            let _ = answer.send(outcome);
        }
    }

    pub(crate) fn recalled(&self, ticket: Ticket, lineage: Vec<Arc<Entry>>) {
        if let Some(WaitingSubmission { answer: SubmissionAnswer::Recalled(answer), .. }) =
            self.forget(ticket)
        {
            let _ = answer.send(lineage);
        }
    }

    fn forget(&self, ticket: Ticket) -> Option<WaitingSubmission> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket)
    }
}

/// State that all connections of one door share.
pub(crate) struct EventSubmitter {
    door: DoorDefaults,
    /// Events that it does not admit are refused.
    admits: Option<Arc<Filter>>,
    signer: Arc<Signer>,
    secret: BodyIdSecret,
    trust: Arc<ArcSwap<TrustList>>,
    opening: Arc<EnvelopeOpening>,
    now: fn() -> Now,
    inputs: mpsc::Sender<Input>,
    pending: Arc<PendingSubmission>,
}

/// A line as read, before it is addressed and signed.
struct ReadLine {
    bytes: usize,
    read: Result<ParsedSubmission, SubmitError>,
}

/// A line as far as the door could take it alone.
pub(crate) struct PreparedLines {
    bytes: usize,
    what: SubmissionKind,
    /// Keys of its meta that mean nothing here and were kept.
    pub unknown: Vec<String>,
}

enum SubmissionKind {
    New(VerifiedEnvelope),
    /// Several events of one line, and the id that answers for all of them.
    Several(EventId, Vec<VerifiedEnvelope>),
    /// Made of an event that was handed off before, which has to be recalled first.
    Child(Box<ChildEvent>),
    Returned(Returned),
    Refused(SubmitError),
}

/// A line that the core has, or that was refused before it came there.
pub(crate) struct Submission(SubmissionFate);

enum SubmissionFate {
    Refused(SubmitError),
    New(EventId, oneshot::Receiver<Submitted>),
    Several(EventId, Vec<oneshot::Receiver<Submitted>>),
    Returned(Returned, oneshot::Receiver<Submitted>),
}

/// The outcome of a line.
#[derive(Debug)]
pub(crate) enum SubmissionOutcome {
    /// It is on disk, or was before.
    Taken { id: EventId, duplicate: bool },
    /// Refused for good, unless its code says `retry`.
    Refused(SubmitError),
}

impl EventSubmitter {
    /// Creates a submitter with the defaults of `door`, in front of what all doors share.
    pub(crate) fn new(behind: &DoorServices, door: DoorDefaults, pending: Arc<PendingSubmission>) -> Self {
        let secret = match &door.client {
            Some(client) => behind.body_id_secret.of_client(client.as_str()),
            None => behind.body_id_secret.clone(),
        };
        Self {
            door,
            admits: None,
            signer: behind.signer.clone(),
            secret,
            trust: behind.trust.clone(),
            opening: behind.opening.clone(),
            now: behind.now,
            inputs: behind.inputs.clone(),
            pending,
        }
    }

    pub(crate) fn now(&self) -> Now {
        (self.now)()
    }

    /// Refuses each event that `filter` does not admit, or has no answer for.
    pub(crate) fn admitting(self, filter: Option<Arc<Filter>>) -> Self {
        Self { admits: filter, ..self }
    }

    /// Reads, checks and signs `lines`, in their order. `None` if the runtime is going down.
    pub(crate) async fn prepare(self: &Arc<Self>, lines: Vec<SocketLine>) -> Option<Vec<PreparedLines>> {
        let shared = self.clone();
        if !is_small(&lines) {
            let work = move || lines.iter().map(|line| shared.sign_line(shared.read_line(line))).collect();
            return tokio::task::spawn_blocking(work).await.ok();
        }
        let read: Vec<ReadLine> = lines.iter().map(|line| self.read_line(line)).collect();
        let here = !self.may_seal(&read);
        let work = move || read.into_iter().map(|line| shared.sign_line(line)).collect();
        match here {
            true => Some(work()),
            false => tokio::task::spawn_blocking(work).await.ok(),
        }
    }

    /// Returns true if any of these may be sealed, which costs 0.1 ms and more for each recipient.
    fn may_seal(&self, lines: &[ReadLine]) -> bool {
        let asks = |line: &ReadLine| line.read.as_ref().is_ok_and(ParsedSubmission::asks_for_seal);
        self.trust.load().seals_unasked() || lines.iter().any(asks)
    }

    fn read_line(&self, line: &SocketLine) -> ReadLine {
        let read = match line {
            SocketLine::TooLong => Err(SubmitError::line_too_large()),
            SocketLine::Text(text) => intake(text, &self.door),
        };
        ReadLine { bytes: line.len(), read }
    }

    fn sign_line(&self, line: ReadLine) -> PreparedLines {
        let ReadLine { bytes, read } = line;
        let unknown = read.as_ref().map(|read| read.unknown_keys().to_vec()).unwrap_or_default();
        let what = read.and_then(|read| self.check_and_sign(read));
        PreparedLines { bytes, what: what.unwrap_or_else(SubmissionKind::Refused), unknown }
    }

    fn check_and_sign(&self, read: ParsedSubmission) -> Result<SubmissionKind, SubmitError> {
        match read {
            ParsedSubmission::New(draft) => Ok(SubmissionKind::New(self.sign(*draft)?)),
            ParsedSubmission::Returned(returned) => Ok(SubmissionKind::Returned(returned)),
            ParsedSubmission::Child(child) => Ok(SubmissionKind::Child(child)),
            ParsedSubmission::Exploded(exploded) => {
                let addressed = exploded.address(&self.trust.load())?;
                let siblings = addressed.into_cores(&self.made(), &mut rand::rng())?;
                let signed = siblings.cores.into_iter().map(|core| self.sign_core(core));
                Ok(SubmissionKind::Several(siblings.parent, signed.collect::<Result<_, _>>()?))
            }
        }
    }

    fn sign(&self, draft: CoreDraft) -> Result<VerifiedEnvelope, SubmitError> {
        let addressed = draft.address(&self.trust.load())?;
        self.sign_core(addressed.into_core(&self.made(), &mut rand::rng())?)
    }

    fn sign_core(&self, core: Core) -> Result<VerifiedEnvelope, SubmitError> {
        taken_back(&core)?;
        let admits = |filter: &Arc<Filter>| filter.admits(&FilterFacts::new(&core, &HopPath::default()));
        if self.admits.as_ref().is_some_and(|filter| !admits(filter).unwrap_or(false)) {
            return Err(SubmitError::forbidden());
        }
        Ok(self.signer.sign(core)?)
    }

    fn made(&self) -> IdInputs<'_> {
        IdInputs { now: self.now().wall, random: uuid::Uuid::new_v4(), secret: &self.secret }
    }

    /// Hands it to the core; waits for room if the core has much to do.
    pub(crate) async fn submit(&self, prepared: PreparedLines) -> Submission {
        let bytes = prepared.bytes;
        let fate = match prepared.what {
            SubmissionKind::Refused(error) => Err(error),
            SubmissionKind::New(envelope) => self.submit_new(bytes, envelope).await,
            SubmissionKind::Several(parent, envelopes) => self.submit_several(parent, envelopes).await,
            SubmissionKind::Child(child) => match self.recalled(bytes, *child).await {
                Ok(envelope) => self.submit_new(bytes, envelope).await,
                Err(error) => Err(error),
            },
            SubmissionKind::Returned(returned) => {
                let id = returned.id.clone();
                let asked = self.ask(bytes, |ticket| DoorInput::SubmitReturned { ticket, id }).await;
                asked.map(|outcome| SubmissionFate::Returned(returned, outcome))
            }
        };
        Submission(fate.unwrap_or_else(SubmissionFate::Refused))
    }

    async fn submit_new(
        &self,
        bytes: usize,
        envelope: VerifiedEnvelope,
    ) -> Result<SubmissionFate, SubmitError> {
        self.check_takebacks(envelope.envelope().core()).await?;
        let id = envelope.envelope().id().clone();
        let outcome = self.ask(bytes, |ticket| DoorInput::Submit { ticket, envelope }).await?;
        Ok(SubmissionFate::New(id, outcome))
    }

    async fn submit_several(
        &self,
        parent: EventId,
        envelopes: Vec<VerifiedEnvelope>,
    ) -> Result<SubmissionFate, SubmitError> {
        for envelope in &envelopes {
            self.check_takebacks(envelope.envelope().core()).await?;
        }
        let mut outcomes = Vec::with_capacity(envelopes.len());
        for envelope in envelopes {
            let bytes = envelope.envelope().bytes().len();
            outcomes.push(self.ask(bytes, |ticket| DoorInput::Submit { ticket, envelope }).await?);
        }
        Ok(SubmissionFate::Several(parent, outcomes))
    }

    /// Signs the child, with its lineage as far as the core holds it.
    async fn recalled(&self, bytes: usize, mut child: ChildEvent) -> Result<VerifiedEnvelope, SubmitError> {
        let lineage = self.lineage(bytes, child.of().clone()).await?;
        let cores: Vec<_> = lineage.iter().collect();
        let trust = self.trust.load_full();
        child.expand(&trust)?;
        self.sign(child.into_draft(&cores, &trust)?)
    }

    /// Returns the event and its ancestors, nearest first, as far as they are held. If one was sealed for us, its
    /// ancestry is inside: the core's answer ends there, and the question goes on behind it.
    async fn lineage(&self, bytes: usize, of: EventId) -> Result<Vec<Core>, SubmitError> {
        let mut cores: Vec<Core> = Vec::new();
        let mut next = Some(of);
        while let Some(id) = next.filter(|_| cores.len() < LINEAGE_MAX) {
            let held = self.recall(bytes, id).await?;
            cores.extend(held.iter().map(|entry| self.opening.revealed(entry)));
            let oldest = cores.last().filter(|core| !held.is_empty() && core.body.is_sealed());
            next = oldest.and_then(|core| core.parent.clone());
        }
        Ok(cores)
    }

    /// Checks that each event that is withdrawn or replaced, if it is held, went to no peer that this does not reach.
    async fn check_takebacks(&self, core: &Core) -> Result<(), SubmitError> {
        let trust = self.trust.load_full();
        let mut had_it: Vec<PublisherName> = Vec::new();
        for target in taken_back(core)? {
            let recalled = self.recall(0, target.clone()).await?;
            self.check_posted_by_client(&target, recalled.first())?;
            if let Some(held) = recalled.first() {
                check_audience(core, held.envelope.core(), &trust)?;
                check_filters(core, held.envelope.core(), &held.path, &trust)?;
                had_it.extend(held.envelope.core().to.iter().cloned());
            }
        }
        // The name of a removed peer is good for events that were sent to it, and for nothing else.
        match core.to.iter().find(|name| !trust.publisher(name) && !had_it.contains(name)) {
            Some(unknown) => Err(SubmitError::unknown_recipient(unknown)),
            None => Ok(()),
        }
    }

    /// Refuses to let a client take back what others published here. All are answered alike: a client learns of no event
    /// that it may not have.
    fn check_posted_by_client(&self, target: &EventId, held: Option<&Arc<Entry>>) -> Result<(), SubmitError> {
        let Some(client) = &self.door.client else { return Ok(()) };
        let is_own = |entry: &Arc<Entry>| is_posted_by(self.opening.revealed(entry).ext.as_ref(), client);
        match held.is_some_and(is_own) {
            true => Ok(()),
            false => Err(SubmitError::not_posted_by_client(target)),
        }
    }

    async fn recall(&self, bytes: usize, id: EventId) -> Result<Vec<Arc<Entry>>, SubmitError> {
        let (answer, lineage) = oneshot::channel();
        self.send(bytes, SubmissionAnswer::Recalled(answer), |ticket| DoorInput::Recall { ticket, id })
            .await?;
        lineage.await.map_err(|_| SubmitError::stopping())
    }

    async fn ask(
        &self,
        bytes: usize,
        question: impl FnOnce(Ticket) -> DoorInput,
    ) -> Result<oneshot::Receiver<Submitted>, SubmitError> {
        let (answer, outcome) = oneshot::channel();
        self.send(bytes, SubmissionAnswer::Submitted(answer), question).await?;
        Ok(outcome)
    }

    async fn send(
        &self,
        bytes: usize,
        answer: SubmissionAnswer,
        question: impl FnOnce(Ticket) -> DoorInput,
    ) -> Result<(), SubmitError> {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let room = self.pending.room.clone().acquire_many_owned(kib.min(SUBMIT_KIB_OUTSTANDING_MAX)).await;
        let ticket = self.pending.open(room.map_err(|_| SubmitError::stopping())?, answer);
        if self.inputs.send(question(ticket).into()).await.is_err() {
            // The core is gone; without the other end the answer is `stopping`.
            self.pending.forget(ticket);
        }
        Ok(())
    }
}

/// Returns true if it costs less to prepare these than to wake a thread for it.
fn is_small(lines: &[SocketLine]) -> bool {
    lines.len() <= HERE_LINES_MAX && lines.iter().map(SocketLine::len).sum::<usize>() <= HERE_BYTES_MAX
}

impl Submission {
    /// Returns the outcome of a line that is not handed to the core.
    pub(crate) fn refused(error: SubmitError) -> Self {
        Self(SubmissionFate::Refused(error))
    }

    /// Returns the outcome, if it is known without waiting.
    pub(crate) fn at_once(&mut self) -> Option<SubmissionOutcome> {
        let outcome = match &mut self.0 {
            SubmissionFate::Refused(error) => return Some(SubmissionOutcome::Refused(error.clone())),
            // Some of their answers would be lost if the others are not there yet.
            SubmissionFate::Several(..) => return None,
            SubmissionFate::New(_, outcome) | SubmissionFate::Returned(_, outcome) => {
                match outcome.try_recv() {
                    Ok(outcome) => outcome,
                    Err(TryRecvError::Empty) => return None,
                    // The core is gone. To wait for it now would panic: this was the answer.
                    Err(TryRecvError::Closed) => Submitted::Stopping,
                }
            }
        };
        Some(self.told(outcome))
    }

    pub(crate) async fn outcome(mut self) -> SubmissionOutcome {
        let outcome = match &mut self.0 {
            SubmissionFate::Refused(error) => return SubmissionOutcome::Refused(error.clone()),
            SubmissionFate::New(_, outcome) | SubmissionFate::Returned(_, outcome) => outcome.await,
            SubmissionFate::Several(parent, outcomes) => return of_all(parent, outcomes).await,
        };
        self.told(outcome.unwrap_or(Submitted::Stopping))
    }

    fn told(&self, outcome: Submitted) -> SubmissionOutcome {
        match &self.0 {
            SubmissionFate::Refused(error) => SubmissionOutcome::Refused(error.clone()),
            SubmissionFate::Returned(returned, _) if outcome == Submitted::Foreign => {
                SubmissionOutcome::Refused(returned.unseen())
            }
            SubmissionFate::New(id, _)
            | SubmissionFate::Several(id, _)
            | SubmissionFate::Returned(Returned { id, .. }, _) => told_of(id, outcome),
        }
    }
}

/// Returns one outcome for the line: all of them are taken, or the first refusal counts.
async fn of_all(parent: &EventId, outcomes: &mut [oneshot::Receiver<Submitted>]) -> SubmissionOutcome {
    let mut all = SubmissionOutcome::Taken { id: parent.clone(), duplicate: true };
    for outcome in outcomes {
        let outcome = told_of(parent, outcome.await.unwrap_or(Submitted::Stopping));
        match (&all, &outcome) {
            (SubmissionOutcome::Refused(_), _) | (_, SubmissionOutcome::Taken { duplicate: true, .. }) => {}
            _ => all = outcome,
        }
    }
    all
}

fn told_of(id: &EventId, outcome: Submitted) -> SubmissionOutcome {
    SubmissionOutcome::Refused(match outcome {
        Submitted::Accepted => return SubmissionOutcome::Taken { id: id.clone(), duplicate: false },
        Submitted::Duplicate => return SubmissionOutcome::Taken { id: id.clone(), duplicate: true },
        Submitted::Conflict => SubmitError::id_conflict(id),
        Submitted::Foreign => SubmitError::new(SubmitCode::ForeignEvent, format!("{id} is not known here")),
        Submitted::DiskFull => SubmitError::disk_full(),
        Submitted::Stopping => SubmitError::stopping(),
        Submitted::ClockOff => SubmitError::clock_off(),
        Submitted::KeysStale => SubmitError::keys_stale(),
    })
}
