//! The link index (decisions/0013): which events name an event, by `parent` or a link, even if it is not held. Derived
//! from the journal as the seen set is, by the same rules of position, and kept as long. This module decides when a
//! carrier is indexed, which place the database covers, and when it is made again. `day_links` keeps it on disk,
//! `memory` in tests and the simulator. The content of a seal is not indexed: nobody here can read it.

#[cfg(feature = "node")]
pub(crate) mod day_links;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod memory;
mod rows;
#[cfg(all(test, feature = "node"))]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use super::disk::Disk;
use super::journal::Journal;
use super::seen::{CoveredPlace, Emptied, Flush, SeenError, SeenFault};
use crate::identity::{EventId, EventKey, LogId, PublisherName};
use crate::protocol::io::Read;
use crate::record::Entry;
use crate::time::Timestamp;
use crate::wire::Mark;

pub(crate) use rows::{LinkClass, LinkRow, RowKey, opaque_key, rows_of};

/// Rows inserted since the last flush after which the next is due.
const FLUSH_AFTER_ROWS: u64 = 32 * 1024;

/// Rows in memory at which the appender waits for a flush: at about 150 bytes each, 10 MB.
const UNFLUSHED_ROWS_MAX: u64 = 64 * 1024;

/// Bytes of a row on disk, about (measured: 215).
const ROW_BYTES: u64 = 256;

/// One publisher may have this part (1/n), in one day, of all rows that the index may hold.
const SHARE_OF_PUBLISHER: u64 = 16;

/// A database of rows, by day of the carrier's `created`. An inserted row is found at once, and durable after a flush.
pub trait LinkDb: Debug + Send {
    /// Returns the place that the last finished flush of an earlier process covered; asked once.
    ///
    /// # Errors
    /// [`SeenError::Corrupt`]: less is there than that.
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError>;

    /// The same row may come again.
    fn insert(&mut self, day: u32, key: RowKey, value: Vec<u8>);

    /// Days that may have rows which name `key`.
    fn days(&self, key: &EventKey) -> Vec<u32>;

    /// Days in which its own publisher may withdraw or replace `key`. Asked for every event that is handed off.
    fn days_that_take_back(&self, key: &EventKey) -> Vec<u32>;

    /// Returns the rows of `day` that name `key`, in the order of class and seq, at most `limit`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    fn rows(
        &mut self,
        day: u32,
        key: &EventKey,
        classes: (LinkClass, LinkClass),
        limit: usize,
    ) -> Result<Vec<LinkRow>, SeenError>;

    /// Returns the last of these rows.
    ///
    /// # Errors
    /// [`SeenError`].
    fn last_row(&mut self, day: u32, key: &EventKey, class: LinkClass) -> Result<Option<LinkRow>, SeenError>;

    /// Begins to make durable all that was inserted, and then, behind it, `covered`.
    fn begin_flush(&mut self, covered: CoveredPlace) -> Flush;

    /// The flush that was begun last has run.
    fn flushed(&mut self);

    /// Forgets all days before `day`.
    fn remove_below(&mut self, day: u32) -> Result<(), SeenError>;

    /// Bytes on disk, and the oldest and the newest day.
    fn size(&self) -> (u64, Option<(u32, u32)>);

    /// Forgets everything, durably.
    fn empty(&mut self, why: Emptied) -> Result<(), SeenError>;
}

#[derive(Debug)]
pub struct LinkIndex {
    db: Box<dyn LinkDb>,
    /// On disk.
    covered: Mark,
    /// Inserted, but not necessarily on disk.
    inserted: Mark,
    /// Inserted since the last flush was begun, and in one that has not finished.
    fresh: u64,
    flushing: u64,
    bytes_max: u64,
    /// The newest day alone is over that: nothing more is inserted in it.
    full: bool,
    /// Rows inserted of each publisher in each day, since the start.
    used: BTreeMap<(u32, PublisherName), u64>,
}

impl LinkIndex {
    /// Brings the database up to the end of the journal: from the place that it covers, or from the start if the
    /// journal does not know that place.
    ///
    /// # Errors
    /// [`SeenFault`].
    pub fn open<D: Disk>(
        db: Box<dyn LinkDb>,
        journal: &Journal<D>,
        emptied: bool,
        bytes_max: u64,
    ) -> Result<Self, SeenFault> {
        let floor = journal.floor();
        let mut index = Self {
            db,
            covered: floor,
            inserted: floor,
            fresh: 0,
            flushing: 0,
            bytes_max,
            full: false,
            used: BTreeMap::new(),
        };
        let why = match index.db.covered() {
            Ok(Some(covered)) if !emptied && journal.agrees(&covered)? => {
                index.covered = covered.mark;
                index.insert_after(journal, covered.mark.seq)?;
                return Ok(index);
            }
            Ok(_) => Emptied::Superseded,
            Err(SeenError::Corrupt { .. }) => Emptied::Corrupt,
            Err(fault) => return Err(fault.into()),
        };
        index.rebuild(journal, why)?;
        Ok(index)
    }

    /// Makes the index again from the journal.
    ///
    /// # Errors
    /// [`SeenFault`].
    pub fn rebuild<D: Disk>(&mut self, journal: &Journal<D>, why: Emptied) -> Result<(), SeenFault> {
        self.db.empty(why)?;
        (self.fresh, self.flushing) = (0, 0);
        self.insert_after(journal, 0)?;
        self.flush(journal.log_id())?;
        Ok(())
    }

    fn insert_after<D: Disk>(&mut self, journal: &Journal<D>, seq: u64) -> Result<(), SeenFault> {
        let mut failed = None;
        journal.naming_after(seq, |entry| {
            if failed.is_none() {
                self.insert(entry);
                if self.is_over() {
                    self.inserted = entry.mark();
                    failed = self.flush(journal.log_id()).err();
                }
            }
        })?;
        self.inserted = journal.last();
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn flush(&mut self, log_id: LogId) -> Result<(), SeenError> {
        let (flush, covered) = self.begin_flush(log_id, Timestamp::default());
        flush()?;
        self.flushed(covered);
        self.shrink()
    }

    /// Inserts the rows of a carrier, unless that exceeds the share of its publisher, or of the newest day. If they are
    /// dropped, only traces and marks of withdrawal lack them.
    fn insert(&mut self, entry: &Entry) {
        let day = entry.envelope.core().created.day();
        let newest = self.db.size().1.map_or(0, |(_, newest)| newest);
        let rows = rows_of(entry);
        let used = self.used.entry((day, entry.envelope.publisher().clone())).or_default();
        let share = self.bytes_max / ROW_BYTES / SHARE_OF_PUBLISHER;
        if (self.full && day <= newest) || *used + rows.len() as u64 > share {
            return;
        }
        *used += rows.len() as u64;
        for (key, value) in rows {
            self.db.insert(day, key, value);
            self.fresh += 1;
        }
    }

    /// Inserts the rows of carriers that are synced; they are those up to `last`.
    pub fn insert_all<'a>(&mut self, entries: impl Iterator<Item = &'a Arc<Entry>>, last: Mark) {
        for entry in entries {
            let core = entry.envelope.core();
            if core.parent.is_some() || !core.links.is_empty() {
                self.insert(entry);
            }
        }
        self.inserted = last;
    }

    /// Adds, to each entry read, the events by which its publisher withdrew or replaced it. If there are none, this
    /// costs next to nothing.
    ///
    /// # Errors
    /// [`SeenError`].
    pub fn mark(&mut self, read: &mut Read) -> Result<(), SeenError> {
        for entry in &mut read.entries {
            self.mark_entry(entry)?;
        }
        Ok(())
    }

    /// Does the same for one entry.
    ///
    /// # Errors
    /// [`SeenError`].
    pub fn mark_entry(&mut self, entry: &mut Arc<Entry>) -> Result<(), SeenError> {
        let key = entry.envelope.key();
        let days = self.db.days_that_take_back(&key);
        if days.is_empty() {
            return Ok(());
        }
        let (withdrawn, replaced) = self.taken_back(&key, &days)?;
        if withdrawn.is_some() || replaced.is_some() {
            let entry = Arc::make_mut(entry);
            (entry.withdrawn_by, entry.replaced_by) = (withdrawn, replaced);
        }
        Ok(())
    }

    /// Returns true if none of the entries is withdrawn or replaced, as far as memory tells.
    pub fn none_is_taken_back(&self, read: &Read) -> bool {
        read.entries.iter().all(|entry| self.db.days_that_take_back(&entry.envelope.key()).is_empty())
    }

    /// Returns the first withdrawal and the newest replacement, in the order in which this node stored them.
    fn taken_back(
        &mut self,
        key: &EventKey,
        days: &[u32],
    ) -> Result<(Option<EventId>, Option<EventId>), SeenError> {
        let (mut withdrawn, mut replaced): (Option<LinkRow>, Option<LinkRow>) = (None, None);
        for day in days {
            let first = self.db.rows(*day, key, (LinkClass::Withdrawn, LinkClass::Withdrawn), 1)?.pop();
            if let Some(row) = first
                && withdrawn.as_ref().is_none_or(|known| row.seq < known.seq)
            {
                withdrawn = Some(row);
            }
            if let Some(row) = self.db.last_row(*day, key, LinkClass::Replaced)?
                && replaced.as_ref().is_none_or(|known| row.seq > known.seq)
            {
                replaced = Some(row);
            }
        }
        Ok((withdrawn.map(|row| row.by), replaced.map(|row| row.by)))
    }

    /// Returns the days that have to be asked for rows that name each of `keys`.
    pub fn days(&self, keys: &[EventKey]) -> BTreeMap<u32, Vec<EventKey>> {
        let mut days: BTreeMap<u32, Vec<EventKey>> = BTreeMap::new();
        for key in keys {
            self.db.days(key).into_iter().for_each(|day| days.entry(day).or_default().push(*key));
        }
        days
    }

    /// Returns the rows of one day that name `key`, at most `limit`.
    ///
    /// # Errors
    /// [`SeenError`].
    pub fn rows(&mut self, day: u32, key: &EventKey, limit: usize) -> Result<Vec<LinkRow>, SeenError> {
        self.db.rows(day, key, (LinkClass::Withdrawn, LinkClass::Left), limit)
    }

    /// Returns the seq up to which all is on disk.
    pub fn covered_seq(&self) -> u64 {
        self.covered.seq
    }

    /// Returns true if there is something that a flush would make durable.
    pub fn is_dirty(&self) -> bool {
        self.inserted != self.covered
    }

    pub fn flush_is_due(&self) -> bool {
        self.fresh >= FLUSH_AFTER_ROWS
    }

    /// Returns true if so much is in memory that nothing more should be inserted before a flush.
    pub fn is_over(&self) -> bool {
        self.fresh + self.flushing >= UNFLUSHED_ROWS_MAX
    }

    /// Begins a flush of all that was inserted; [`Self::flushed`] is called with what it covers, once it has run.
    pub fn begin_flush(&mut self, log_id: LogId, floor: Timestamp) -> (Flush, CoveredPlace) {
        let covered = CoveredPlace { log_id, mark: self.inserted, floor };
        self.flushing += std::mem::take(&mut self.fresh);
        (self.db.begin_flush(covered), covered)
    }

    pub fn flushed(&mut self, covered: CoveredPlace) {
        self.covered = covered.mark;
        self.flushing = 0;
        self.db.flushed();
    }

    /// # Errors
    /// [`SeenError`].
    pub fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        self.used.retain(|(of, _), _| *of >= day);
        self.db.remove_below(day)
    }

    /// Gives up the oldest days as long as there is more on disk than may be, but never the newest.
    ///
    /// # Errors
    /// [`SeenError`].
    pub fn shrink(&mut self) -> Result<(), SeenError> {
        loop {
            let (bytes, days) = self.db.size();
            self.full = bytes > self.bytes_max;
            let Some((oldest, newest)) = days.filter(|_| self.full) else { return Ok(()) };
            if oldest >= newest {
                return Ok(());
            }
            self.remove_below(oldest + 1)?;
            if self.db.size().1 == days {
                // A flush holds it: it goes the next time.
                return Ok(());
            }
        }
    }
}
