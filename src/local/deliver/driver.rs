//! Hands accepted events to one receiver of the pipeline: it connects for ever, makes each line in the receiver's form,
//! and sets aside what the receiver would refuse. It moves the consumer's position only by what the receiver has taken.
//! The core decides which events a consumer gets, and from which position on. `tcp` and `redis` speak to the
//! receivers.

mod holding;
mod out_of_turn;
mod refusing;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::expiry::SteadyTime;
use super::form::ReceiverForm;
use super::marker::HandedMark;
use super::opening::{EnvelopeOpening, OutgoingLine};
use super::socket::ToConsumer;
use super::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::format::intelmq::SetAside;
use crate::limits::{DOOR_RETRY_MS, RECEIVER_FIRST_MS, RECEIVER_MAX_MS};
use crate::local::ConsumerTable;
use crate::local::counters::ConsumerCounters;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::dead_letter::record::AsideRecord;
use crate::local::dead_letter::retry::DeadLetterRetry;
use crate::local::door_set::JournalQuestions;
use crate::local::pause::GrowingPause;
use crate::protocol::io::{ConsumerClosed, ConsumerId, ConsumerRequest, DoorInput, Input};
use crate::record::Entry;
use crate::time::{Now, Timestamp};

pub(crate) use holding::Holding;

/// Lines that are made before they are handed over …
const RUN_LINES_MAX: usize = 256;
/// … or bytes of them.
const RUN_BYTES_MAX: usize = 1024 * 1024;

/// A connection that nothing is handed over on has to last so long before its receiver counts as well.
const STANDS_AFTER: Duration = Duration::from_secs(1);

/// When the node stops, it waits this long for the answer to a line: without an answer, the line is sent again.
const LAST_ANSWER_WITHIN: Duration = Duration::from_millis(800);

/// The parts of one consumer's door.
pub(crate) struct ConsumerDoor<R> {
    pub request: ConsumerRequest,
    pub form: ReceiverForm,
    pub receiver: R,
    pub counters: Arc<ConsumerCounters>,
    pub aside: Arc<DeadLetter>,
    pub again: mpsc::Receiver<DeadLetterRetry>,
    pub behind: ConsumerBehind,
    pub holding: Holding,
}

/// Services that it needs of the rest of the node.
#[derive(Clone)]
pub(crate) struct ConsumerBehind {
    pub inputs: mpsc::Sender<Input>,
    pub consumers: Arc<ConsumerTable>,
    pub journal: Arc<JournalQuestions>,
    pub opening: Arc<EnvelopeOpening>,
    pub now: fn() -> Now,
    pub steady: Arc<SteadyTime>,
    pub stopping: CancellationToken,
}

/// Entries that the core handed over to this consumer and that the receiver has not taken.
struct DoorWork {
    id: ConsumerId,
    /// The generation of the position, once the core has sent it.
    generation: Option<u64>,
    told: mpsc::Receiver<ToConsumer>,
    entries: VecDeque<Arc<Entry>>,
    /// Lines that are made, of entries before all in `entries`.
    run: Vec<PreparedLine>,
    /// The step that follows when `run` is handed over.
    then: Option<Then>,
    /// True while the core waits for the notice that all was handed over.
    batch_open: bool,
    /// The receiver has everything up to here, even if the core has another position.
    taken: u64,
}

impl DoorWork {
    /// Handles a message from the core.
    fn told(&mut self, told: ToConsumer) -> Option<DoorEnd> {
        match told {
            ToConsumer::Began { generation } => {
                self.generation = Some(generation);
                None
            }
            ToConsumer::Closed(why) => Some(DoorEnd::Closed(why)),
            // `from` of a door stands in a file: each time it says from which entry the door began.
            ToConsumer::FromIgnored { .. } => None,
            ToConsumer::Entries(entries) => {
                self.entries.extend(entries);
                self.batch_open = true;
                None
            }
        }
    }
}

/// Reads what the core has sent meanwhile: a door that has no name here need not connect.
fn hear(work: &mut DoorWork) -> Option<DoorEnd> {
    while let Ok(told) = work.told.try_recv() {
        if let Some(end) = work.told(told) {
            return Some(end);
        }
    }
    None
}

enum Then {
    SetAside(HandedMark, Box<AsideRecord>),
    Pass(HandedMark),
    /// The receiver has it already.
    Taken(HandedMark),
}

/// The outcome of making a line.
enum PendingWrite {
    /// Each with whether it was adapted. A carried message may become several.
    Lines(Vec<(Vec<u8>, bool)>),
    SetAside(Box<AsideRecord>),
    /// There is nothing in it for us.
    Nothing,
}

enum DoorEnd {
    Stopping,
    Closed(ConsumerClosed),
    /// The receiver holds nothing beyond this entry; the entries that it lost are handed over again.
    HoldsOnly(u64),
}

/// Events that end a wait.
enum Heard {
    Stopping,
    Again(DeadLetterRetry),
    Told(Option<ToConsumer>),
}

/// Reads the receiver's list of fields again if its file has changed.
fn refresh(form: &mut ReceiverForm, counters: &ConsumerCounters, now: Now) {
    if let Some(read) = form.refresh(now.tick) {
        counters.form_fault(read.err().map(|error| error.to_string()));
    }
}

impl<R: DeliveryTarget> ConsumerDoor<R> {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self) {
        let mut holds = None;
        loop {
            let (id, told) = self.behind.consumers.open();
            let request = self.request.clone();
            let opened = match holds.take() {
                None => Input::Door(DoorInput::ConsumerOpened { consumer: id, request }),
                Some(holds) => Input::Door(DoorInput::ConsumerOpenedAt { consumer: id, request, holds }),
            };
            if self.behind.inputs.send(opened).await.is_err() {
                return;
            }
            let mut work = DoorWork {
                id,
                generation: None,
                told,
                entries: VecDeque::new(),
                run: Vec::new(),
                then: None,
                batch_open: false,
                taken: 0,
            };
            let end = self.hand_over(&mut work).await;
            let _ = self.behind.inputs.send(Input::Door(DoorInput::ConsumerGone { consumer: id })).await;
            self.behind.consumers.close(id);
            self.counters.connected(false, (self.behind.now)().wall);
            match end {
                DoorEnd::Stopping | DoorEnd::Closed(ConsumerClosed::Stopping) => return,
                DoorEnd::HoldsOnly(seq) => {
                    holds = Some(seq);
                    continue;
                }
                DoorEnd::Closed(ConsumerClosed::Rewound | ConsumerClosed::Removed) => {
                    self.holding = Holding::default();
                    continue;
                }
                DoorEnd::Closed(ConsumerClosed::Busy) => {
                    self.counters.unreachable("another reader has its name".into())
                }
                DoorEnd::Closed(_) => self.counters.unreachable("too many consumers have names here".into()),
            }
            if self.pause(Duration::from_millis(RECEIVER_MAX_MS)).await.is_none() {
                return;
            }
        }
    }

    /// Connects, and again if the connection ends, for ever.
    async fn hand_over(&mut self, work: &mut DoorWork) -> DoorEnd {
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, RECEIVER_MAX_MS);
        if let Some(end) = self.begin(work).await {
            return end;
        }
        loop {
            if let Some(end) = hear(work) {
                return end;
            }
            refresh(&mut self.form, &self.counters, (self.behind.now)());
            let stopping = self.behind.stopping.clone();
            let Some(connected) = stopping.run_until_cancelled(self.connect(work)).await else {
                return DoorEnd::Stopping;
            };
            let failed = match connected {
                Err(error) => error,
                Ok(Some(holds)) => return DoorEnd::HoldsOnly(holds),
                Ok(None) => {
                    self.counters.connected(true, (self.behind.now)().wall);
                    let before = self.counters.handed_so_far();
                    let ended = self.converse(work).await;
                    if self.counters.handed_so_far() > before {
                        pause.reset();
                    }
                    match ended {
                        Ok(end) => return end,
                        Err(error) => error,
                    }
                }
            };
            self.counters.connected(false, (self.behind.now)().wall);
            self.counters.unreachable(failed.to_string());
            let wait = rand::rng().random_range(Duration::ZERO..=pause.next());
            if self.pause(wait).await.is_none() {
                return DoorEnd::Stopping;
            }
        }
    }

    /// Waits until the core says which generation the position has: entries that the receiver took under another one do
    /// not count.
    async fn begin(&self, work: &mut DoorWork) -> Option<DoorEnd> {
        while work.generation.is_none() {
            let told = self.behind.stopping.run_until_cancelled(work.told.recv()).await;
            let Some(Some(told)) = told else { return Some(DoorEnd::Stopping) };
            if let Some(end) = work.told(told) {
                return Some(end);
            }
        }
        None
    }

    /// Hands over until the connection ends (an error), the core closes, or the node stops.
    async fn converse(&mut self, work: &mut DoorWork) -> Result<DoorEnd, ReceiverError> {
        loop {
            if self.behind.stopping.is_cancelled() {
                return Ok(DoorEnd::Stopping);
            }
            if let Ok(again) = self.again.try_recv() {
                self.hand_again(again).await?;
            }
            refresh(&mut self.form, &self.counters, (self.behind.now)());
            self.fill(work);
            self.drop_expired(work);
            if let Some(mark) = self.skipped(work) {
                self.acknowledge(work.id, mark).await;
            } else if !work.run.is_empty() {
                match self.hand(&work.run).await {
                    Some(Err(ReceiverError::Refused(why))) if self.refused(work, why.clone()).await? => {}
                    None | Some(Err(ReceiverError::Refused(_))) => return Ok(DoorEnd::Stopping),
                    Some(taken) => self.count(work, taken?).await,
                }
            } else if work.then.is_some() {
                if !self.pass(work).await? {
                    return Ok(DoorEnd::Stopping);
                }
            } else if std::mem::take(&mut work.batch_open) {
                let ready = Input::Door(DoorInput::ConsumerReady { consumer: work.id });
                if self.behind.inputs.send(ready).await.is_err() {
                    return Ok(DoorEnd::Stopping);
                }
            } else if let Some(end) = self.wait(work).await? {
                return Ok(end);
            }
        }
    }

    /// Waits when nothing is left to be handed over.
    async fn wait(&mut self, work: &mut DoorWork) -> Result<Option<DoorEnd>, ReceiverError> {
        let heard = {
            let Self { receiver, form, counters, behind, again, .. } = &mut *self;
            let idle = receiver.idle();
            tokio::pin!(idle);
            // One that accepts connections and closes them has not taken anything.
            let mut stood = pin!(tokio::time::sleep(STANDS_AFTER));
            let mut stands = false;
            loop {
                tokio::select! {
                    () = behind.stopping.cancelled() => break Heard::Stopping,
                    error = &mut idle => return Err(error),
                    () = &mut stood, if !stands => {
                        stands = true;
                        counters.well();
                    }
                    () = form.look_due() => refresh(form, counters, (behind.now)()),
                    Some(again) = again.recv() => break Heard::Again(again),
                    told = work.told.recv() => break Heard::Told(told),
                }
            }
        };
        match heard {
            Heard::Stopping => Ok(Some(DoorEnd::Stopping)),
            Heard::Again(again) => self.hand_again(again).await.map(|()| None),
            Heard::Told(None) => Ok(Some(DoorEnd::Closed(ConsumerClosed::Stopping))),
            Heard::Told(Some(told)) => Ok(work.told(told)),
        }
    }

    /// Hands over, and while the node stops waits a little for the answer.
    async fn hand(&mut self, run: &[PreparedLine]) -> Option<Result<usize, ReceiverError>> {
        let stopping = self.behind.stopping.clone();
        tokio::select! {
            biased;
            taken = self.receiver.hand(run) => Some(taken),
            () = async { stopping.cancelled().await; tokio::time::sleep(LAST_ANSWER_WITHIN).await } => None,
        }
    }

    async fn count(&mut self, work: &mut DoorWork, taken: usize) {
        let taken: Vec<PreparedLine> = work.run.drain(..taken.min(work.run.len())).collect();
        let adapted = taken.iter().filter(|made| made.adapted).count();
        self.counters.handed(taken.len() as u64, adapted as u64);
        if !taken.is_empty() {
            self.counters.well();
        }
        if let Some(mark) = taken.iter().rev().find_map(|made| made.mark) {
            self.holding.upto = Some(mark.mark.seq);
            self.acknowledge(work.id, mark).await;
        }
    }

    /// Skips entries that the receiver has already, after the node or the connection broke; returns the last of them.
    fn skipped(&self, work: &mut DoorWork) -> Option<HandedMark> {
        let taken = work.taken;
        let has = |made: &PreparedLine| made.mark.is_some_and(|mark| mark.mark.seq <= taken);
        // Only the last line of an entry has its mark.
        let count = work.run.iter().rposition(has).map_or(0, |last| last + 1);
        work.run.drain(..count).next_back().and_then(|made| made.mark)
    }

    async fn acknowledge(&self, consumer: ConsumerId, mark: HandedMark) {
        // The core is gone only when the node stops: then the mark beside the journal says it.
        let _ = self
            .behind
            .inputs
            .send(Input::Door(DoorInput::ConsumerAcked { consumer, seq: mark.mark.seq }))
            .await;
    }

    /// Makes the next lines, if all that were made are gone.
    fn fill(&mut self, work: &mut DoorWork) {
        let mut bytes = 0;
        if !work.run.is_empty() || work.then.is_some() || work.entries.is_empty() {
            return;
        }
        while let Some(entry) = work.entries.pop_front() {
            let (log_id, generation) = (self.behind.journal.log_id, work.generation.unwrap_or_default());
            let mark = HandedMark { log_id, mark: entry.mark(), generation };
            self.holding.hands(entry.seq);
            if entry.seq <= work.taken {
                work.then = Some(Then::Taken(mark));
                return;
            }
            if self.has_expired(entry.envelope.core().expires) {
                self.counters.expired(entry.envelope.id());
                work.then = Some(Then::Pass(mark));
                return;
            }
            match self.write(&entry) {
                PendingWrite::Lines(lines) => {
                    let last = lines.len();
                    for (at, (line, adapted)) in lines.into_iter().enumerate() {
                        bytes += line.len();
                        // The position passes when the receiver has all of them.
                        let mark = (at + 1 == last).then_some(mark);
                        work.run.push(PreparedLine { mark, line, adapted, entry: Arc::clone(&entry) });
                    }
                }
                PendingWrite::SetAside(record) => {
                    work.then = Some(Then::SetAside(mark, record));
                    return;
                }
                PendingWrite::Nothing => {
                    work.then = Some(Then::Pass(mark));
                    return;
                }
            }
            if work.run.len() >= RUN_LINES_MAX || bytes >= RUN_BYTES_MAX {
                return;
            }
        }
    }

    fn has_expired(&self, expires: Option<Timestamp>) -> bool {
        expires.is_some_and(|expires| self.behind.steady.has_passed(expires, (self.behind.now)().tick))
    }

    /// Passes over lines that have expired since they were made: the receiver may have been away for long.
    fn drop_expired(&self, work: &mut DoorWork) {
        let Some(last) = work.run.last().and_then(|made| made.mark) else { return };
        let before = work.run.len();
        work.run.retain(|made| !self.has_expired(made.entry.envelope.core().expires));
        let gone = before - work.run.len();
        if gone == 0 {
            return;
        }
        self.counters.expired_made(gone as u64);
        if work.then.is_none() && work.run.last().and_then(|made| made.mark) != Some(last) {
            work.then = Some(Then::Pass(last));
        }
    }

    fn write(&self, entry: &Entry) -> PendingWrite {
        let outgoing = self.behind.opening.open(entry);
        let aside = |code: &str, why: String| PendingWrite::SetAside(Box::new(self.record(entry, code, why)));
        if let OutgoingLine::Closed(fault) = &outgoing {
            return aside("cannot_open", fault.to_string());
        }
        match self.form.write(entry, &outgoing) {
            Err(why) => {
                if let SetAside::NotConverted(fault) = &why {
                    self.behind.opening.note_unconverted(self.counters.name(), entry, fault);
                }
                aside(why.code(), why.to_string())
            }
            Ok(lines) if lines.is_empty() => PendingWrite::Nothing,
            Ok(lines) => match lines.iter().find_map(|(line, _)| self.receiver.unfit(line)) {
                None => PendingWrite::Lines(lines),
                Some(why) => aside("separator", why),
            },
        }
    }

    /// Completes what is to happen behind the last line. After an error it is still to happen, and nothing is set aside
    /// a second time. Returns false if the node stops before it could be set aside.
    async fn pass(&mut self, work: &mut DoorWork) -> Result<bool, ReceiverError> {
        if let Some(Then::SetAside(mark, record)) = &work.then {
            let mark = *mark;
            if !self.set_aside(record).await {
                return Ok(false);
            }
            work.then = Some(Then::Pass(mark));
        }
        let mark = match &work.then {
            Some(Then::Pass(mark)) => {
                self.receiver.pass(*mark).await?;
                self.holding.upto = Some(mark.mark.seq);
                *mark
            }
            Some(Then::Taken(mark) | Then::SetAside(mark, _)) => *mark,
            None => return Ok(true),
        };
        work.then = None;
        self.acknowledge(work.id, mark).await;
        Ok(true)
    }

    async fn set_aside(&self, record: &AsideRecord) -> bool {
        while let Err(error) = self.aside.append(record.clone()).await {
            self.counters.failed(format!("cannot set aside: {error}"));
            if self.pause(Duration::from_millis(DOOR_RETRY_MS)).await.is_none() {
                return false;
            }
        }
        self.counters.set_aside(record);
        true
    }

    async fn pause(&self, wait: Duration) -> Option<()> {
        self.behind.stopping.run_until_cancelled(tokio::time::sleep(wait)).await
    }
}
