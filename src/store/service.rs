//! Runs the store in the node: the engine behind a lock, and a thread each for writing, reading, looking up and
//! flushing. It takes orders and questions of the core and answers with [`StoreInput`]s. Nobody holds the lock while a
//! disk syncs, except to begin and to remove a segment, and to name the newest one while nothing is to be written. No
//! rules of its own: those are the engine's.

mod flusher;
mod questions;
mod reader;
mod remake;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::disk::Disk;
use super::engine::{Derived, EngineConfig, FlushFault, StoreEngine, StoreError, StoreOpening, StoreProblem};
use super::error::JournalError;
use super::file_disk::FileDisk;
use super::journal::{FoundEntries, FreshJournal};
use super::links::day_links::DayLinks;
use super::seen::day_db::DayDb;
use super::segment;
use crate::identity::{CheckSecret, LogId};
use crate::protocol::io::{JournalReader, StoreFailure, StoreInput, StoreOutput, StoreQuestion, Ticket};
use crate::record::{JournalEnds, NewRecord};
use crate::time::{Now, Timestamp};
use crate::wire::Mark;

/// Questions that wait in each queue. The core bounds what is outstanding far below; beyond it, asking
/// waits.
const QUEUE_MAX: usize = 4_096;

/// Identities that are looked up without another thread: so many cost less than to wake one.
const AT_ONCE_KEYS_MAX: usize = 64;

/// Problems that are kept for status; the oldest go first.
const PROBLEMS_MAX: usize = 64;

/// The directories of the node's lasting state.
#[derive(Clone, Debug)]
pub(crate) struct StoreDirs {
    pub journal: PathBuf,
    pub seen: PathBuf,
    /// The link index.
    pub links: PathBuf,
    /// Broken files are moved here.
    pub aside: PathBuf,
}

/// Takes the answers. Must not wait for the core.
pub(crate) type AnswerSink = Arc<dyn Fn(StoreInput) + Send + Sync>;

/// Called once, when the store cannot go on: the process must end, a restart is safe.
pub(crate) type Fatal = Arc<dyn Fn(StoreError) + Send + Sync>;

/// The figures that status shows.
#[derive(Clone, Debug)]
pub(crate) struct StoreStats {
    pub ends: JournalEnds,
    pub journal_bytes: u64,
    pub seen_ids: u64,
    pub seen_bytes: u64,
    #[cfg(test)]
    pub floor: Option<Timestamp>,
    /// Of the journal's file system.
    pub free_bytes: u64,
    /// Of the same; `None` if it has no such limit.
    pub free_inodes: Option<u64>,
    pub problems: Vec<StoreProblem>,
}

struct StoreShared {
    engine: Mutex<StoreEngine<FileDisk, DayDb>>,
    /// The seq of the newest entry, for readers past the core.
    newest: watch::Sender<u64>,
    disk: Arc<FileDisk>,
    /// One flush at a time.
    flushing: Mutex<()>,
    problems: Mutex<Vec<StoreProblem>>,
    answers: AnswerSink,
    fatal: Fatal,
}

impl StoreShared {
    fn engine(&self) -> MutexGuard<'_, StoreEngine<FileDisk, DayDb>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the engine, if nobody has to be waited for.
    fn engine_if_free(&self) -> Option<MutexGuard<'_, StoreEngine<FileDisk, DayDb>>> {
        match self.engine.try_lock() {
            Ok(engine) => Some(engine),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn answer(&self, input: StoreInput) {
        (self.answers)(input);
    }

    fn fail(&self, error: impl Into<StoreError>) {
        (self.fatal)(error.into());
    }

    /// Remembers a problem for status, once.
    fn note_problem(&self, problem: StoreProblem) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.contains(&problem) {
            return;
        }
        if problems.len() >= PROBLEMS_MAX {
            problems.remove(0);
        }
        problems.push(problem);
    }

    /// Makes seen set and link index durable up to their present ends, without holding the engine while the disk syncs.
    fn flush(&self) -> Result<(), FlushFault> {
        let _one = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = {
            let mut engine = self.engine();
            if !engine.is_settled() {
                return Ok(());
            }
            engine.begin_flush()
        };
        let flushed = begun.run()?;
        self.engine().flushed(flushed);
        Ok(())
    }
}

enum StoreWrite {
    Append {
        ticket: Ticket,
        records: Vec<NewRecord>,
    },
    GoOn,
    Expire(Option<Timestamp>),
    /// Retention is by these from now on.
    Keep {
        bytes: u64,
        ms: u64,
    },
    /// Make again what turned out to be broken, and say when it may be asked.
    Remake {
        of: Derived,
        done: SyncSender<()>,
    },
    Close,
}

/// Takes outputs of the core; see the module.
pub(crate) struct Store {
    shared: Arc<StoreShared>,
    writes: SyncSender<StoreWrite>,
    reads: Option<SyncSender<StoreQuestion>>,
    look_ups: Option<SyncSender<StoreQuestion>>,
    flushes: Option<SyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Store {
    /// Opens journal and seen set, drops what is too old, and starts the threads.
    ///
    /// # Errors
    /// [`StoreError`]: the node refuses to start.
    pub(crate) fn open(
        dirs: &StoreDirs,
        config: EngineConfig,
        now: Now,
        answers: AnswerSink,
        fatal: Fatal,
    ) -> Result<(Self, StoreOpening), StoreError> {
        let disk = Arc::new(FileDisk::open(&dirs.journal).map_err(JournalError::io(""))?);
        // First of all: opening the others already tidies up in them.
        segment::check_formats(&*disk)?;
        let db = DayDb::open(&dirs.seen, &dirs.aside)?;
        let fresh = FreshJournal {
            log_id: LogId(rand::random()),
            salt: rand::random(),
            check_secret: CheckSecret::new(rand::random()),
        };
        let links = Box::new(DayLinks::open(&dirs.links, &dirs.aside)?);
        let (engine, opened) = StoreEngine::open(Arc::clone(&disk), (db, links), config, fresh, now)?;
        let shared = Arc::new(StoreShared {
            newest: watch::Sender::new(engine.journal.ends().last.seq),
            engine: Mutex::new(engine),
            disk,
            flushing: Mutex::default(),
            problems: Mutex::new(opened.problems.iter().filter(|problem| problem.lasts()).cloned().collect()),
            answers,
            fatal,
        });
        let (writes, writes_in) = sync_channel(QUEUE_MAX);
        let (reads, reads_in) = sync_channel(QUEUE_MAX);
        let (look_ups, look_ups_in) = sync_channel(QUEUE_MAX);
        let (flushes, flushes_in) = sync_channel(1);
        let poke = flushes.clone();
        let (for_reader, for_seen, for_flusher) = (writes.clone(), writes.clone(), writes.clone());
        let threads = vec![
            spawn("writer", &shared, move |shared| writer::run(&shared, &writes_in, &poke))?,
            spawn("reader", &shared, move |shared| reader::run(&shared, &reads_in, &for_reader))?,
            spawn("seen", &shared, move |shared| reader::run(&shared, &look_ups_in, &for_seen))?,
            spawn("flusher", &shared, move |shared| flusher::run(&shared, &flushes_in, &for_flusher))?,
        ];
        let (reads, look_ups, flushes) = (Some(reads), Some(look_ups), Some(flushes));
        Ok((Self { shared, writes, reads, look_ups, flushes, threads }, opened))
    }

    /// Answers a small look-up or a read at once, if memory has it and nobody has to be waited for. If `None`, pass it
    /// to [`Store::ask`]. Look-ups are answered in the order asked, so not while one that was passed on is open.
    pub(crate) fn answer_at_once(&self, question: &StoreQuestion) -> Option<StoreInput> {
        match question {
            StoreQuestion::LookUp { ticket, keys } if keys.len() <= AT_ONCE_KEYS_MAX => {
                let engine = self.shared.engine_if_free().filter(|engine| engine.is_settled())?;
                let digests = engine.seen.look_up_in_memory(keys)?;
                Some(StoreInput::Known { ticket: *ticket, digests, floor: engine.floor() })
            }
            StoreQuestion::Read { reader, after_seq, bytes_max } => {
                let engine = self.shared.engine_if_free()?;
                let read = engine.journal.read_tail(*after_seq, *bytes_max)?;
                if matches!(reader, JournalReader::Consumer(_)) && !engine.links.none_is_taken_back(&read) {
                    return None;
                }
                Some(StoreInput::Entries { reader: *reader, read })
            }
            StoreQuestion::LookUp { .. } | StoreQuestion::Fetch { .. } | StoreQuestion::CheckMarks { .. } => {
                None
            }
        }
    }

    /// Obeys an order of the core.
    pub(crate) fn handle(&self, order: StoreOutput) {
        match order {
            StoreOutput::Append { ticket, records } => {
                if self.writes.send(StoreWrite::Append { ticket, records }).is_err() {
                    self.shared.answer(StoreInput::NotStored { ticket, failure: StoreFailure::Stopping });
                }
            }
            StoreOutput::GoOn => {
                let _ = self.writes.send(StoreWrite::GoOn);
            }
            StoreOutput::Expire { now } => {
                let _ = self.writes.send(StoreWrite::Expire(now));
            }
        }
    }

    /// Passes a question of the core to the thread that answers it.
    pub(crate) fn ask(&self, question: StoreQuestion) {
        let questions = match question {
            StoreQuestion::LookUp { .. } => &self.look_ups,
            StoreQuestion::Read { .. } | StoreQuestion::Fetch { .. } | StoreQuestion::CheckMarks { .. } => {
                &self.reads
            }
        };
        if let Some(questions) = questions {
            let _ = questions.send(question);
        }
    }

    /// Returns both ends of the journal.
    pub(crate) fn ends(&self) -> JournalEnds {
        self.shared.engine().journal.ends()
    }

    /// Returns the seq of the newest entry, and wakes whoever waits for the next one.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    pub(crate) fn stats(&self) -> StoreStats {
        self.stats_of(&self.shared.engine())
    }

    /// Returns the same, if the store is not busy.
    pub(crate) fn stats_if_free(&self) -> Option<StoreStats> {
        Some(self.stats_of(&*self.shared.engine_if_free()?))
    }

    fn stats_of(&self, engine: &StoreEngine<FileDisk, DayDb>) -> StoreStats {
        let space = self.shared.disk.space().ok();
        let problems = self.shared.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (seen_ids, seen_bytes) = engine.seen.size();
        StoreStats {
            ends: engine.journal.ends(),
            journal_bytes: engine.journal.bytes(),
            seen_ids,
            seen_bytes,
            #[cfg(test)]
            floor: engine.journal.ledger().floor,
            free_bytes: space.map_or(0, |space| space.free),
            free_inodes: self.shared.disk.free_inodes().unwrap_or_default(),
            problems,
        }
    }

    /// Returns true if an entry of the journal has this seq and this check.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn holds(&self, mark: Mark) -> Result<bool, StoreError> {
        Ok(self.shared.engine().journal.newest_agreeing(&[mark])?.is_some())
    }

    /// Sets the bounds of retention when the writer comes to it: nobody waits for the engine.
    pub(crate) fn keep(&self, bytes: u64, ms: u64) {
        let _ = self.writes.send(StoreWrite::Keep { bytes, ms });
    }

    /// Returns when the entry `seq` was stored here, if it is held. `None` if the store is busy: nobody waits for it.
    pub(crate) fn arrived_if_free(&self, seq: u64) -> Option<Option<Timestamp>> {
        let found = self.shared.engine_if_free()?.journal.find(seq.saturating_sub(1), 0);
        let read = match found {
            Ok(FoundEntries::InMemory(read)) => Ok(read),
            Ok(FoundEntries::OnDisk(located)) => located.read(&*self.shared.disk, 0),
            Err(error) => Err(error),
        };
        let entry = read.ok().and_then(|read| read.entries.into_iter().next());
        Some(entry.filter(|entry| entry.seq == seq).map(|entry| entry.arrived))
    }

    /// Returns the seq of the first entry stored at or after `at`; one past the last if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn seq_at(&self, at: Timestamp) -> Result<u64, StoreError> {
        Ok(self.shared.engine().journal.seq_at(at)?)
    }

    /// Finishes what was handed over, and syncs everything.
    pub(crate) fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let _ = self.writes.send(StoreWrite::Close);
        self.reads = None;
        self.look_ups = None;
        self.flushes = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(
    name: &str,
    shared: &Arc<StoreShared>,
    run: impl FnOnce(Arc<StoreShared>) + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("store-{name}")).spawn(move || run(shared));
    Ok(thread.map_err(JournalError::io(""))?)
}
