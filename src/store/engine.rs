//! Keeps journal, seen set and link index consistent: if an entry is stored, it is seen; before it is given up, it is
//! seen; and the floor lies above all that the seen set cannot know. The node runs it behind a lock and on threads
//! (`store::Store`), the simulator as it is. Nothing here waits or decides what is accepted.

#[cfg(any(test, feature = "sim"))]
mod at_once;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;

use thiserror::Error;

use super::disk::{Disk, is_full};
use super::error::JournalError;
use super::journal::{AppendError, FreshJournal, Journal, JournalBatch, JournalConfig, WentBack};
use super::links::{LinkDb, LinkIndex};
use super::seen::{
    CoveredPlace, Emptied, Flush, SeenChecks, SeenDb, SeenError, SeenFault, SeenRecovery, SeenSet,
};
use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{CLOCK_JUMP_MS, SEEN_BEYOND_JOURNAL_MS};
use crate::protocol::io::LossCause;
use crate::record::bytes::CarrierHead;
use crate::record::{BrokenEntry, ConsumerName, JournalEnds, Ledger, NewRecord, Note};
use crate::time::{Now, Timestamp};

/// The link index may hold this much however small the journal is: a database of one row takes a megabyte.
const LINK_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Why the store cannot go on. The node refuses to start, or stops: a restart is safe.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Seen(#[from] SeenError),
    #[error("journal: the disk is full")]
    Full,
}

impl StoreError {
    /// Returns true if there is no room; nothing else is wrong then.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Seen(error) => error.is_full(),
            Self::Journal(JournalError::Io { source, .. }) => is_full(source),
            Self::Journal(_) => false,
        }
    }

    /// Returns the steps that the operator can take.
    pub fn hint(&self) -> String {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Seen(SeenError::Format(other)) => other.hint(),
            Self::Seen(_) => {
                "look at the disk and the rights of seen/ and links/; both may be removed while the node is stopped"
                    .into()
            }
            Self::Full => "make room on the file system of journal/".into(),
        }
    }
}

impl From<SeenFault> for StoreError {
    fn from(fault: SeenFault) -> Self {
        match fault {
            SeenFault::Seen(error) => Self::Seen(error),
            SeenFault::Journal(error) => Self::Journal(error),
        }
    }
}

impl From<AppendError> for StoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            AppendError::Failed(error) => Self::Journal(error),
        }
    }
}

/// Something that the operator should know, though the store goes on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreProblem {
    #[error(
        "journal/{file}: offset {offset}: torn tail cut off (a crash leaves one, and nothing of it was acknowledged)"
    )]
    TornTail { file: String, offset: u64 },
    #[error(
        "journal: segments are missing: it begins a new log, and what they held is taken again from the peers"
    )]
    MissingSegments,
    #[error(
        "journal: it ends at seq {last} and went to {was} at least: it begins a new log, and what is gone is taken again \
         from the peers"
    )]
    WentBack { last: u64, was: u64 },
    #[error(
        "consumer {consumer}: had acknowledged {count} or more of the entries that are gone: those that come again \
         are handed off again"
    )]
    HadMore { consumer: ConsumerName, count: u64 },
    #[error("seen: rebuilt from the journal ({ids} ids); what was created before {floor} is refused")]
    SeenRebuilt { ids: u64, floor: Timestamp },
    #[error("{0}")]
    DamagedSegment(String),
}

impl StoreProblem {
    /// Returns true if status should go on showing it. A torn tail is left by a crash: the log says it once.
    pub fn lasts(&self) -> bool {
        !matches!(self, Self::TornTail { .. })
    }
}

/// Describes what a start found.
#[derive(Clone, Debug)]
pub struct StoreOpening {
    pub ledger: Ledger,
    pub ends: JournalEnds,
    pub problems: Vec<StoreProblem>,
    /// Entries that each consumer lost, and why.
    pub missing: Vec<(ConsumerName, u64, LossCause)>,
    /// Entries that the seen set lacks, since they cannot be read. If the disk is full, the ledger does not say so.
    pub lacks: Vec<BrokenEntry>,
}

/// Describes what retention gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    pub ends: JournalEnds,
    pub missing: Vec<(ConsumerName, u64)>,
}

#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub journal: JournalConfig,
    /// The name under which this node publishes.
    pub own: PublisherName,
    pub checks: SeenChecks,
}

impl EngineConfig {
    pub fn new(own: PublisherName, keep_bytes: u64, keep_ms: u64) -> Self {
        Self { journal: JournalConfig { keep_bytes, keep_ms }, own, checks: SeenChecks::default() }
    }

    /// Returns how many bytes the link index may take on disk, beside the journal: an eighth of the journal.
    pub fn link_bytes(&self) -> u64 {
        (self.journal.keep_bytes / 8).max(LINK_BYTES_MIN)
    }

    /// Returns how long identities are kept, in ms.
    pub fn seen_keep_ms(&self) -> u64 {
        self.journal.keep_ms + SEEN_BEYOND_JOURNAL_MS
    }
}

/// Names a part that is derived from the journal, and can be made again from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    Seen,
    Links,
}

/// The rest of a flush; run without holding the engine.
pub struct DerivedFlush {
    seen: Flush,
    links: Flush,
    covers: Flushed,
}

impl DerivedFlush {
    /// # Errors
    /// [`FlushFault`]; the next flush writes what this one did not.
    pub fn run(self) -> Result<Flushed, FlushFault> {
        (self.seen)().map_err(|error| FlushFault { of: Derived::Seen, error })?;
        (self.links)().map_err(|error| FlushFault { of: Derived::Links, error })?;
        Ok(self.covers)
    }
}

/// Says which flush failed, and why.
#[derive(Debug)]
pub struct FlushFault {
    pub of: Derived,
    pub error: SeenError,
}

impl From<FlushFault> for StoreError {
    fn from(fault: FlushFault) -> Self {
        Self::Seen(fault.error)
    }
}

/// The places that a flush covers, once it has run.
#[derive(Clone, Copy, Debug)]
pub struct Flushed {
    seen: CoveredPlace,
    links: CoveredPlace,
}

#[derive(Debug)]
pub struct StoreEngine<D, B> {
    pub journal: Journal<D>,
    pub seen: SeenSet<B>,
    pub links: LinkIndex,
    config: EngineConfig,
    /// Ids with which the seen set was made again, while the floor that says how far back it is complete is not on
    /// disk: nobody is answered, and nothing flushed.
    unsettled: Option<u64>,
    /// Entries that the seen set lacks, since they cannot be read, as it was noted last.
    lacks: Vec<BrokenEntry>,
    problems: Vec<StoreProblem>,
}

impl<D: Disk, B: SeenDb> StoreEngine<D, B> {
    /// Opens both, and brings the seen set up to the journal.
    ///
    /// # Errors
    /// [`StoreError`]: the node refuses to start.
    pub fn open(
        disk: Arc<D>,
        (db, links): (B, Box<dyn LinkDb>),
        config: EngineConfig,
        fresh: FreshJournal,
        now: Now,
    ) -> Result<(Self, StoreOpening), StoreError> {
        let first = [Note::Steady(now.wall), Note::Floor(now.wall.minus_ms(config.seen_keep_ms()))];
        let (journal, opening) = Journal::open(disk, config.journal, fresh, &first)?;
        // If the end of the journal went, it must be forgotten, too, or it could not be taken again.
        let emptied = opening.emptied || opening.went_back.is_some();
        let (seen, recovery) = SeenSet::open(db, &journal, emptied, config.checks)?;
        let links = LinkIndex::open(links, &journal, emptied, config.link_bytes())?;
        let mut engine =
            Self { journal, seen, links, config, unsettled: None, lacks: Vec::new(), problems: Vec::new() };
        let mut problems = Vec::new();
        problems.extend(opening.cut.map(|(file, offset)| StoreProblem::TornTail { file, offset }));
        problems.extend(opening.damaged.into_iter().map(StoreProblem::DamagedSegment));
        if opening.missing_segments {
            problems.push(StoreProblem::MissingSegments);
        }
        if let Some(WentBack { was, had }) = opening.went_back {
            problems.push(StoreProblem::WentBack { last: engine.journal.last().seq, was });
            let had = had.into_iter().map(|(consumer, count)| StoreProblem::HadMore { consumer, count });
            problems.extend(had);
        }
        problems.extend(engine.recovered(recovery)?);
        let because = |cause| move |(consumer, count)| (consumer, count, cause);
        let mut missing: Vec<_> =
            engine.count_below_floor()?.into_iter().map(because(LossCause::Damage)).collect();
        let retired = engine.expire(engine.trusted_at_start(now))?;
        let retired = retired.into_iter().flat_map(|retired| retired.missing);
        missing.extend(retired.map(because(LossCause::Retention)));
        let (ledger, ends) = (engine.journal.ledger().clone(), engine.journal.ends());
        let lacks = engine.take_lacks();
        Ok((engine, StoreOpening { ledger, ends, problems, missing, lacks }))
    }

    /// Brings the floor to what the seen set can answer for.
    fn recovered(&mut self, recovery: SeenRecovery) -> Result<Vec<StoreProblem>, StoreError> {
        let before = self.floor();
        match recovery {
            SeenRecovery::Resumed { floor } => {
                // The journal is an older copy, which does not know that the set was made again.
                match self.note_first(floor) {
                    Err(AppendError::Full) if floor <= before => {}
                    noted => noted?,
                }
                Ok(Vec::new())
            }
            SeenRecovery::Rebuilt { ids, why, went_back } => {
                let last = self.journal.last().seq;
                let mut problems: Vec<_> =
                    went_back.map(|was| StoreProblem::WentBack { last, was }).into_iter().collect();
                if went_back.is_some() {
                    self.journal.begin_log()?;
                }
                self.unsettled = Some(ids);
                if !self.settle()? {
                    return Err(StoreError::Full);
                }
                let worth_telling = why == Emptied::Corrupt || self.floor() > before;
                problems.extend(self.take_problems().pop().filter(|_| worth_telling));
                Ok(problems)
            }
        }
    }

    /// Returns steady time, as far as a start may trust it: the wall clock if it is near the persisted time.
    fn trusted_at_start(&self, now: Now) -> Option<Timestamp> {
        let steady = self.journal.ledger().steady;
        let apart = now.wall.since_ms(steady).max(steady.since_ms(now.wall));
        Some(if apart <= CLOCK_JUMP_MS { now.wall.max(steady) } else { steady })
    }

    /// Gives seqs and encodes; see [`Journal::begin`].
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn begin(&mut self, records: Vec<NewRecord>) -> Result<JournalBatch, AppendError> {
        self.journal.begin(records)
    }

    /// The batch is on disk: readers see it, and so does the seen set.
    ///
    pub fn commit(&mut self, batch: JournalBatch) -> JournalEnds {
        let heads: Vec<CarrierHead> = batch.heads().collect();
        self.links.insert_all(batch.entries(), batch.last());
        self.seen.insert(&heads);
        self.journal.commit(batch)
    }

    /// Looks up the same, if nothing is broken.
    ///
    /// # Errors
    /// [`SeenError::Corrupt`]: [`Self::remake`] comes first.
    pub fn try_look_up(&mut self, keys: &[EventKey]) -> Result<Vec<Option<CoreDigest>>, SeenError> {
        if !self.is_settled() {
            return Err(SeenError::Corrupt { file: "seen".into(), what: "it is being made again".into() });
        }
        self.seen.look_up(keys)
    }

    /// Returns the problems since the last call.
    pub fn take_problems(&mut self) -> Vec<StoreProblem> {
        std::mem::take(&mut self.problems)
    }

    pub fn own(&self) -> &PublisherName {
        &self.config.own
    }
}
