//! The seen set: identities ever accepted, and what was accepted under each (decisions/0008). Here is
//! what is inserted when, the place of the journal that the database covers, and when it is made again from
//! the journal. The database itself is a [`SeenDb`]: `day_db` on disk, `memory` in tests and the simulator.
//! Nothing here decides whether an envelope is taken.

#[cfg(feature = "node")]
pub(crate) mod day_db;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod memory;

use thiserror::Error;

use super::disk::Disk;
use super::error::JournalError;
use super::format::OtherFormat;
use super::journal::{Journal, Unreadable};
use crate::identity::{CoreDigest, EventKey, LogId};
use crate::record::bytes::CarrierHead;
use crate::time::Timestamp;
use crate::wire::Mark;

/// Number of identities inserted since the last flush after which the next is due. It bounds how much a start reads
/// again from the journal.
const FLUSH_AFTER_IDS: u64 = 128 * 1024;

#[derive(Debug, Error)]
pub enum SeenError {
    #[error("{file}: {source}")]
    Io { file: String, source: std::io::Error },
    /// It can be made again from the journal.
    #[error("{file}: {what}")]
    Corrupt { file: String, what: String },
    /// Another version wrote it.
    #[error(transparent)]
    Format(#[from] OtherFormat),
}

impl SeenError {
    /// Returns true if there is no room; it may be tried again.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if super::disk::is_full(source))
    }
}

/// The place in the journal up to which everything is in the database, on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoveredPlace {
    pub log_id: LogId,
    pub mark: Mark,
    /// The database was complete for what was created from then on.
    pub floor: Timestamp,
}

/// One identity, and what stands under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenId {
    /// Day of `created`, which says only when it is forgotten.
    pub day: u32,
    pub key: EventKey,
    pub digest: CoreDigest,
}

impl SeenId {
    pub fn of(head: &CarrierHead) -> Self {
        Self { day: head.created.day(), key: head.key, digest: head.digest }
    }
}

/// The rest of a flush; run without holding the database.
pub(crate) type Flush = Box<dyn FnOnce() -> Result<(), SeenError> + Send>;

/// Why a database is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// The journal says otherwise.
    Superseded,
    /// It is broken: its files are moved aside.
    Corrupt,
}

/// A database of identities. An inserted one is found at once, and durable after a flush.
pub trait SeenDb: Send + 'static {
    /// Returns the place that the last finished flush of an earlier process covered; `None` if empty. Asked once.
    ///
    /// # Errors
    /// [`SeenError::Corrupt`]: less is there than that. [`SeenError`], here and below.
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError>;

    /// Finds an identity, on any day.
    fn find(&mut self, key: &EventKey) -> Result<Option<CoreDigest>, SeenError>;

    /// Finds many at once, in the order asked.
    fn find_all(&mut self, keys: &[EventKey]) -> Result<Vec<Option<CoreDigest>>, SeenError> {
        keys.iter().map(|key| self.find(key)).collect()
    }

    /// Finds the same as [`SeenDb::find_all`], from memory alone; `None` if the disk has to be asked.
    fn find_all_in_memory(&self, keys: &[EventKey]) -> Option<Vec<Option<CoreDigest>>>;

    /// Inserts an identity; the caller knows that it is not there.
    fn insert(&mut self, id: SeenId);

    /// Begins to make durable all that was inserted, and then, behind it, `covered`.
    fn begin_flush(&mut self, covered: CoveredPlace) -> Flush;

    /// The flush that was begun last has run.
    fn flushed(&mut self) {}

    /// Forgets all days before `day`.
    fn remove_below(&mut self, day: u32) -> Result<(), SeenError>;

    /// Forgets everything, durably.
    fn empty(&mut self, why: Emptied) -> Result<(), SeenError>;

    /// Returns how many identities there are, and bytes on disk.
    fn size(&self) -> (u64, u64);
}

/// Rules that the simulator may leave out, to show that it would notice. All true in the node.
#[derive(Clone, Copy, Debug)]
pub struct SeenChecks {
    /// Insert only what is synced in the journal.
    #[cfg(any(test, feature = "sim"))]
    pub synced: bool,
    /// Compare the covered place with the journal.
    pub position: bool,
    /// Empty the seen set with the journal.
    pub empty_both: bool,
    /// Raise the floor before a set that was made again is flushed.
    pub floor_first: bool,
}

impl Default for SeenChecks {
    fn default() -> Self {
        Self {
            #[cfg(any(test, feature = "sim"))]
            synced: true,
            position: true,
            empty_both: true,
            floor_first: true,
        }
    }
}

#[derive(Debug)]
pub struct SeenSet<B> {
    db: B,
    /// On disk.
    covered: Mark,
    /// Inserted, but not necessarily on disk.
    inserted: Mark,
    since_flush: u64,
    /// Entries of the journal that it lacks.
    unreadable: Unreadable,
}

/// How the seen set was brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenRecovery {
    /// It covered a place of this journal; later entries were inserted again. It is complete for entries created from
    /// `floor` on.
    Resumed { floor: Timestamp },
    /// It was made again from the journal, in memory: it must not be flushed before the floor is on disk that says
    /// how far back it is complete. The journal `went_back`: it once reached this seq under the same name.
    Rebuilt { ids: u64, why: Emptied, went_back: Option<u64> },
}

impl<B: SeenDb> SeenSet<B> {
    /// Brings the database up to what the journal holds.
    ///
    /// # Errors
    /// [`SeenFault`].
    pub fn open<D: Disk>(
        db: B,
        journal: &Journal<D>,
        emptied: bool,
        checks: SeenChecks,
    ) -> Result<(Self, SeenRecovery), SeenFault> {
        let floor = journal.floor();
        let mut set =
            Self { db, covered: floor, inserted: floor, since_flush: 0, unreadable: Unreadable::new() };
        let mut went_back = None;
        let why = match set.resume(journal, emptied, checks, &mut went_back) {
            Ok(Some(recovery)) => return Ok((set, recovery)),
            Ok(None) => Emptied::Superseded,
            Err(SeenFault::Seen(SeenError::Corrupt { .. })) => Emptied::Corrupt,
            Err(fault) => return Err(fault),
        };
        let ids = set.rebuild(journal, why)?;
        Ok((set, SeenRecovery::Rebuilt { ids, why, went_back }))
    }

    /// Goes on from the covered place; `None` if the journal does not know it.
    fn resume<D: Disk>(
        &mut self,
        journal: &Journal<D>,
        emptied: bool,
        checks: SeenChecks,
        went_back: &mut Option<u64>,
    ) -> Result<Option<SeenRecovery>, SeenFault> {
        let Some(covered) = self.db.covered()? else { return Ok(None) };
        if emptied && checks.empty_both {
            return Ok(None);
        }
        let agrees = journal.agrees(&covered)?;
        if covered.log_id == journal.log_id() && covered.mark.seq > journal.last().seq {
            *went_back = Some(covered.mark.seq);
        }
        if !agrees && checks.position {
            return Ok(None);
        }
        let from = if agrees { covered.mark } else { journal.last() };
        (self.covered, self.inserted) = (from, from);
        let mut ids = 0;
        let mut failed = None;
        self.unreadable = journal.heads_after(from.seq, |head| {
            if failed.is_none() {
                // A flush that was cut off may have left some of them there.
                match self.db.find(&head.key) {
                    Ok(None) => self.db.insert(SeenId::of(head)),
                    known => failed = known.err(),
                }
                ids += 1;
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        journal.check_known(&self.unreadable)?;
        self.inserted = journal.last();
        self.since_flush = ids;
        Ok(Some(SeenRecovery::Resumed { floor: covered.floor }))
    }

    /// Makes the set again from the journal, in memory alone ([`SeenRecovery::Rebuilt`]). Returns how many ids it has.
    ///
    /// # Errors
    /// [`SeenFault`].
    pub fn rebuild<D: Disk>(&mut self, journal: &Journal<D>, why: Emptied) -> Result<u64, SeenFault> {
        self.db.empty(why)?;
        (self.covered, self.since_flush) = (Mark::START, 0);
        self.unreadable = journal.heads_after(0, |head| {
            self.db.insert(SeenId::of(head));
            self.since_flush += 1;
        })?;
        journal.check_known(&self.unreadable)?;
        self.inserted = journal.last();
        Ok(self.since_flush)
    }

    /// Returns the entries that it lacks, since they could not be read when they were to be inserted again.
    pub fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Returns the digest under each identity, in the order asked.
    ///
    /// # Errors
    /// [`SeenError`].
    pub fn look_up(&mut self, keys: &[EventKey]) -> Result<Vec<Option<CoreDigest>>, SeenError> {
        self.db.find_all(keys)
    }

    /// Returns the same as [`SeenSet::look_up`], from memory alone; `None` if the disk has to be asked.
    pub fn look_up_in_memory(&self, keys: &[EventKey]) -> Option<Vec<Option<CoreDigest>>> {
        self.db.find_all_in_memory(keys)
    }

    /// Inserts carriers that are synced.
    pub fn insert(&mut self, heads: &[CarrierHead]) {
        for head in heads {
            self.db.insert(SeenId::of(head));
            self.inserted = head.mark;
            self.since_flush += 1;
        }
    }

    /// Returns the seq up to which all is on disk.
    pub fn covered_seq(&self) -> u64 {
        self.covered.seq
    }

    pub fn flush_is_due(&self) -> bool {
        self.since_flush >= FLUSH_AFTER_IDS
    }

    /// Returns true if there is something that a flush would make durable.
    pub fn is_dirty(&self) -> bool {
        self.inserted != self.covered
    }

    /// Begins a flush of all that was inserted. [`Self::flushed`] is called with what it covers, once it
    /// has run.
    pub fn begin_flush(&mut self, log_id: LogId, floor: Timestamp) -> (Flush, CoveredPlace) {
        let covered = CoveredPlace { log_id, mark: self.inserted, floor };
        self.since_flush = 0;
        (self.db.begin_flush(covered), covered)
    }

    pub fn flushed(&mut self, covered: CoveredPlace) {
        self.covered = covered.mark;
        self.db.flushed();
    }

    /// # Errors
    /// [`SeenError`].
    pub fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        self.db.remove_below(day)
    }

    /// Returns how many identities there are, and bytes on disk.
    pub fn size(&self) -> (u64, u64) {
        self.db.size()
    }

    #[cfg(any(test, feature = "sim"))]
    pub fn db(&mut self) -> &mut B {
        &mut self.db
    }
}

/// An error of the seen set or of the journal, for calls that use both.
#[derive(Debug, Error)]
pub enum SeenFault {
    #[error(transparent)]
    Seen(#[from] SeenError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}
