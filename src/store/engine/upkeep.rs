//! What keeps journal, seen set and link index one: retention, flushes, forgetting, and making the seen set again.

use std::sync::Arc;

use super::{Engine, Flushed, Problem, Retired, StoreError};
use crate::limits::CREATED_AHEAD_ACCEPTED_MS;
use crate::record::{NewRecord, Note};
use crate::store::disk::Disk;
use crate::store::journal::{AppendError, Retirement};
use crate::store::seen::{Emptied, Flush, Recovery, SeenDb};
use crate::time::Timestamp;

impl<D: Disk, B: SeenDb> Engine<D, B> {
    /// The set was made again from a journal that does not hold everything any more: it is complete only
    /// for what was created after the journal's oldest record, give or take the clocks of publishers.
    pub(super) fn raise_floor(&mut self) -> Result<Timestamp, StoreError> {
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

    pub(super) fn rebuild_seen(&mut self) -> Result<(), StoreError> {
        // The floor follows at the next `forget`: only the appender may append.
        if let Recovery::Rebuilt { ids, .. } = self.seen.rebuild(&self.journal, Emptied::Corrupt)? {
            self.rebuilt = Some(ids);
        }
        Ok(())
    }

    /// What retention would give up now.
    pub fn due(&self, now: Option<Timestamp>) -> Option<Retirement> {
        self.journal.due(now)
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
}
