//! Journal, seen set and link index, kept consistent: what is stored is seen, what is given up is seen first, what the
//! seen set cannot know lies below its floor. The node runs it behind a lock and on threads (`store::Store`),
//! the simulator as it is. Nothing here waits or decides what is accepted.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

use super::disk::{Disk, is_full};
use super::journal::{AppendError, Batch, Fresh, Journal, JournalConfig, Retirement};
use super::links::{LinkDb, LinkIndex, Row};
use super::seen::{Checks, Covered, Emptied, Flush, Recovery, SeenDb, SeenError, SeenFault, SeenSet};
use super::segment::JournalError;
use crate::identity::{EventKey, PublisherName, ShortDigest};
use crate::limits::{CLOCK_JUMP_MS, CREATED_AHEAD_ACCEPTED_MS, SEEN_BEYOND_JOURNAL_MS};
use crate::protocol::io::Read;
use crate::record::bytes::CarrierHead;
use crate::record::{ConsumerName, JournalEnds, Ledger, NewRecord, Note};
use crate::time::{Now, Timestamp};

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
    /// There is no room; nothing else is wrong.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Seen(error) => error.is_full(),
            Self::Journal(JournalError::Io { source, .. }) => is_full(source),
            Self::Journal(_) => false,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Journal(error) => error.hint(),
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
pub enum Problem {
    #[error("journal/{file}: offset {offset}: torn tail cut off (it was never acknowledged)")]
    TornTail { file: String, offset: u64 },
    #[error(
        "journal: segments are missing: it begins a new log, and what they held is taken again from the peers"
    )]
    MissingSegments,
    #[error("seen: rebuilt from the journal ({ids} ids); what was created before {floor} is refused")]
    SeenRebuilt { ids: u64, floor: Timestamp },
    #[error("{0}")]
    DamagedSegment(String),
}

impl Problem {
    /// Should status go on showing it? A torn tail is what a crash leaves: the log says it once.
    pub fn lasts(&self) -> bool {
        !matches!(self, Self::TornTail { .. })
    }
}

/// What a start found.
#[derive(Clone, Debug)]
pub struct Opened {
    pub ledger: Ledger,
    pub ends: JournalEnds,
    pub problems: Vec<Problem>,
    /// What each consumer lost because it was too old.
    pub missing: Vec<(ConsumerName, u64)>,
}

/// What retention gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    pub ends: JournalEnds,
    pub missing: Vec<(ConsumerName, u64)>,
}

#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub journal: JournalConfig,
    /// Whose publications are our own.
    pub own: PublisherName,
    pub checks: Checks,
}

impl EngineConfig {
    pub fn new(own: PublisherName, keep_bytes: u64, keep_ms: u64) -> Self {
        Self { journal: JournalConfig { keep_bytes, keep_ms }, own, checks: Checks::default() }
    }

    /// How long identities are kept, in ms.
    pub fn seen_keep_ms(&self) -> u64 {
        self.journal.keep_ms + SEEN_BEYOND_JOURNAL_MS
    }
}

/// What a flush covers, once it has run.
#[derive(Clone, Copy, Debug)]
pub struct Flushed {
    seen: Covered,
    links: Covered,
}

#[derive(Debug)]
pub struct Engine<D, B> {
    pub journal: Journal<D>,
    pub seen: SeenSet<B>,
    pub links: LinkIndex,
    config: EngineConfig,
    /// Ids with which the seen set was made again since the floor was last raised for that.
    rebuilt: Option<u64>,
    problems: Vec<Problem>,
}

impl<D: Disk, B: SeenDb> Engine<D, B> {
    /// Opens both, and brings the seen set up to the journal.
    ///
    /// # Errors
    /// [`StoreError`]: the node refuses to start.
    pub fn open(
        disk: Arc<D>,
        (db, links): (B, Box<dyn LinkDb>),
        config: EngineConfig,
        fresh: Fresh,
        now: Now,
    ) -> Result<(Self, Opened), StoreError> {
        let first = [Note::Steady(now.wall), Note::Floor(now.wall.minus_ms(config.seen_keep_ms()))];
        let (journal, opening) = Journal::open(disk, config.journal, fresh, &first)?;
        let (seen, recovery) = SeenSet::open(db, &journal, opening.emptied, config.checks)?;
        let links = LinkIndex::open(links, &journal, opening.emptied)?;
        let mut engine = Self { journal, seen, links, config, rebuilt: None, problems: Vec::new() };
        let mut problems = Vec::new();
        problems.extend(opening.cut.map(|(file, offset)| Problem::TornTail { file, offset }));
        if opening.missing_segments {
            problems.push(Problem::MissingSegments);
        }
        if let Recovery::Rebuilt { ids, why } = recovery
            && !opening.emptied
        {
            let before = engine.journal.ledger().floor.unwrap_or_default();
            let floor = engine.raise_floor()?;
            if why == Emptied::Corrupt || floor > before {
                problems.push(Problem::SeenRebuilt { ids, floor });
            }
        }
        let retired = engine.expire(engine.trusted_at_start(now))?;
        let missing = retired.map(|retired| retired.missing).unwrap_or_default();
        let (ledger, ends) = (engine.journal.ledger().clone(), engine.journal.ends());
        Ok((engine, Opened { ledger, ends, problems, missing }))
    }

    /// Steady time, as far as a start may trust it: the wall clock where it is near what was persisted.
    fn trusted_at_start(&self, now: Now) -> Option<Timestamp> {
        let steady = self.journal.ledger().steady;
        let apart = now.wall.since_ms(steady).max(steady.since_ms(now.wall));
        Some(if apart <= CLOCK_JUMP_MS { now.wall.max(steady) } else { steady })
    }

    /// The set was made again from a journal that does not hold everything any more: it is complete only
    /// for what was created after the journal's oldest record, give or take the clocks of publishers.
    fn raise_floor(&mut self) -> Result<Timestamp, StoreError> {
        let persisted = self.journal.ledger().floor.unwrap_or_default();
        if self.journal.is_complete() {
            return Ok(persisted);
        }
        let oldest = self.journal.ends().oldest;
        let oldest = if oldest == Timestamp(0) { self.journal.ledger().steady } else { oldest };
        let floor = persisted.max(oldest.plus_ms(CREATED_AHEAD_ACCEPTED_MS));
        self.journal.append(vec![NewRecord::Note(Note::Floor(floor))])?;
        Ok(floor)
    }

    /// Gives seqs and encodes; see [`Journal::begin`].
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn begin(&mut self, records: Vec<NewRecord>) -> Result<Batch, AppendError> {
        self.journal.begin(records)
    }

    /// The batch is on disk: readers see it, and so does the seen set.
    ///
    /// # Errors
    /// [`StoreError`]: the seen set failed, and could not be made again.
    pub fn commit(&mut self, batch: Batch) -> Result<JournalEnds, StoreError> {
        let heads: Vec<CarrierHead> = batch.heads().collect();
        self.links.insert_all(batch.entries(), batch.last());
        let ends = self.journal.commit(batch);
        match self.seen.insert(&heads) {
            Err(SeenError::Corrupt { .. }) => self.rebuild_seen()?,
            inserted => inserted?,
        }
        Ok(ends)
    }

    /// Appends, syncs and inserts at once. Returns the seq of the first carrier, and the ends after it.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing of it is in the journal. Any other: the node must stop.
    pub fn append(&mut self, records: Vec<NewRecord>) -> Result<(u64, JournalEnds), StoreError> {
        let batch = self.begin(records)?;
        if !self.config.checks.synced {
            let heads: Vec<CarrierHead> = batch.heads().collect();
            self.seen.insert(&heads)?;
            self.flush()?;
        }
        let disk = Arc::clone(self.journal.disk());
        match batch.write(&*disk) {
            Ok(()) => {
                let first = batch.first_seq();
                Ok((first, self.commit(batch)?))
            }
            Err(AppendError::Full) => {
                self.journal.abandon(&batch)?;
                Err(StoreError::Full)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// What stands under each identity, in the order asked; whatever was stored is found.
    ///
    /// # Errors
    /// [`StoreError`]: the seen set failed, and could not be made again.
    pub fn look_up(&mut self, keys: &[EventKey]) -> Result<Vec<Option<ShortDigest>>, StoreError> {
        match self.seen.look_up(keys) {
            Err(SeenError::Corrupt { .. }) => {
                self.rebuild_seen()?;
                Ok(self.seen.look_up(keys)?)
            }
            found => Ok(found?),
        }
    }

    fn rebuild_seen(&mut self) -> Result<(), StoreError> {
        // The floor follows at the next `forget`: only the appender may append.
        if let Recovery::Rebuilt { ids, .. } = self.seen.rebuild(&self.journal, Emptied::Corrupt)? {
            self.rebuilt = Some(ids);
        }
        Ok(())
    }

    /// What went wrong since the last call.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// What retention would give up now.
    pub fn due(&self, now: Option<Timestamp>) -> Option<Retirement> {
        self.journal.due(now)
    }

    /// What comes after `after_seq`, as a consumer or the command line sees it: [`Journal::read`], with what was
    /// withdrawn and replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&mut self, after_seq: u64, bytes_max: usize) -> Result<Read, StoreError> {
        let mut read = self.journal.read(after_seq, bytes_max)?;
        self.mark(&mut read)?;
        Ok(read)
    }

    /// Says of what was read by what its publisher withdrew or replaced it.
    ///
    /// # Errors
    /// [`StoreError`]: the link index failed, and could not be made again.
    pub fn mark(&mut self, read: &mut Read) -> Result<(), StoreError> {
        match self.links.mark(read) {
            Err(SeenError::Corrupt { .. }) => {
                self.links.rebuild(&self.journal, Emptied::Corrupt)?;
                Ok(self.links.mark(read)?)
            }
            marked => Ok(marked?),
        }
    }

    /// The rows of one day that name `key`; see [`LinkIndex::days`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows(&mut self, day: u32, key: &EventKey, limit: usize) -> Result<Vec<Row>, StoreError> {
        match self.links.rows(day, key, limit) {
            Err(SeenError::Corrupt { .. }) => {
                self.links.rebuild(&self.journal, Emptied::Corrupt)?;
                Ok(self.links.rows(day, key, limit)?)
            }
            rows => Ok(rows?),
        }
    }

    /// Must the derived data be flushed before `retirement` may go?
    pub fn must_flush_before(&self, retirement: &Retirement) -> bool {
        self.seen.covered_seq().min(self.links.covered_seq()) < retirement.last_seq()
    }

    /// Begins to make seen set and link index durable; [`Self::flushed`] says that it ran.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_flush(&mut self) -> Result<(Flush, Flushed), StoreError> {
        let log_id = self.journal.log_id();
        let (seen, seen_covers) = self.seen.begin_flush(log_id)?;
        let (links, links_cover) = self.links.begin_flush(log_id)?;
        Ok((Box::new(|| seen().and_then(|()| links())), Flushed { seen: seen_covers, links: links_cover }))
    }

    pub fn flushed(&mut self, flushed: Flushed) {
        self.seen.flushed(flushed.seen);
        self.links.flushed(flushed.links);
    }

    /// Is there something that a flush would make durable?
    pub fn is_dirty(&self) -> bool {
        self.seen.is_dirty() || self.links.is_dirty()
    }

    pub fn flush_is_due(&self) -> bool {
        self.seen.flush_is_due() || self.links.flush_is_due()
    }

    /// Gives up what was counted, and forgets the identities below the floor.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn retire(&mut self, retirement: Retirement) -> Result<Retired, AppendError> {
        let (ends, missing) = self.journal.retire(retirement)?;
        Ok(Retired { ends, missing })
    }

    /// Forgets days wholly below the floor, and raises that where the seen set had to be made again. Only
    /// for the appender, between its batches.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(&mut self) -> Result<(), StoreError> {
        if let Some(ids) = self.rebuilt {
            match self.raise_floor() {
                Err(error) if error.is_full() => return Ok(()),
                floor => self.problems.push(Problem::SeenRebuilt { ids, floor: floor? }),
            }
            self.rebuilt = None;
        }
        let floor = self.journal.ledger().floor.unwrap_or_default();
        self.links.remove_below(floor.day())?;
        Ok(self.seen.remove_below(floor.day())?)
    }

    /// Retention, all at once. `now` is steady time, `None` while nothing may expire by age. On a full
    /// disk nothing is given up.
    ///
    /// # Errors
    /// [`StoreError`]: the node must stop.
    pub fn expire(&mut self, now: Option<Timestamp>) -> Result<Option<Retired>, StoreError> {
        self.forget()?;
        let Some(mut retirement) = self.due(now) else { return Ok(None) };
        if self.must_flush_before(&retirement) {
            let (flush, covered) = self.begin_flush()?;
            match flush() {
                Err(error) if error.is_full() => return Ok(None),
                flushed => flushed?,
            }
            self.flushed(covered);
        }
        let disk = Arc::clone(self.journal.disk());
        retirement.count(&*disk, &self.config.own)?;
        match self.retire(retirement) {
            Ok(retired) => Ok(Some(retired)),
            Err(AppendError::Full) => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Makes seen set and link index durable up to the end of the journal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let (flush, covered) = self.begin_flush()?;
        flush()?;
        self.flushed(covered);
        Ok(())
    }

    /// Syncs everything; nothing must be appended afterwards.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close(&mut self) -> Result<(), StoreError> {
        self.journal.close()?;
        if self.is_dirty() { self.flush() } else { Ok(()) }
    }

    pub fn own(&self) -> &PublisherName {
        &self.config.own
    }
}
