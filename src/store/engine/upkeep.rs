//! Keeps journal, seen set and link index one: retention, flushes, forgetting, and making again what is broken. If a
//! seen set was made again, it lacks all that retention took, and all that is broken. So the floor below which nothing
//! is taken rises first, on disk, and each loss is noted; only then is the set flushed, asked, or believed at the next
//! start.

use std::sync::Arc;

use super::{Derived, DerivedFlush, FlushFault, Flushed, Retired, StoreEngine, StoreError, StoreProblem};
use crate::limits::CREATED_AHEAD_ACCEPTED_MS;
use crate::record::{BrokenEntry, ConsumerName, NewRecord, Note};
use crate::store::disk::Disk;
use crate::store::journal::{AppendError, Retirement};
use crate::store::seen::{Emptied, SeenDb, SeenError};
use crate::time::Timestamp;

impl<D: Disk, B: SeenDb> StoreEngine<D, B> {
    /// Raises the floor, on disk, for a set that was made again from a journal which does not hold everything any
    /// more: it is complete only for what was created after the journal's oldest record, give or take the clocks of
    /// publishers.
    fn raise_floor(&mut self) -> Result<Timestamp, StoreError> {
        let mut floor = self.floor();
        if !self.journal.is_complete() {
            let oldest = self.journal.ends().oldest;
            let oldest = if oldest == Timestamp(0) { self.journal.ledger().steady } else { oldest };
            floor = floor.max(oldest.plus_ms(CREATED_AHEAD_ACCEPTED_MS));
        }
        self.note_first(floor)?;
        Ok(floor)
    }

    /// Notes what the next start must know of the seen set, if that is flushed.
    pub(super) fn note_first(&mut self, floor: Timestamp) -> Result<(), AppendError> {
        let lacks = self.journal.broken(self.seen.unreadable().iter().cloned().flatten());
        let ledger = self.journal.ledger();
        let mut notes = Vec::new();
        if !lacks.is_empty() {
            notes = ledger.lose(&lacks, ledger.steady);
        }
        if ledger.floor < Some(floor) {
            notes.push(Note::Floor(floor));
        }
        self.lacks = lacks;
        if !notes.is_empty() {
            self.journal.append(notes.into_iter().map(NewRecord::Note).collect())?;
        }
        Ok(())
    }

    /// Returns the time from which on the seen set is complete.
    pub fn floor(&self) -> Timestamp {
        self.journal.ledger().floor.unwrap_or_default()
    }

    /// Makes again a part that is broken. Returns false while it must not be used: there is no room for the floor of
    /// the seen set ([`Self::settle`] tries again). Only for the appender, between its batches, and while no flush
    /// runs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remake(&mut self, broken: Derived) -> Result<bool, StoreError> {
        match broken {
            Derived::Links => self.links.rebuild(&self.journal, Emptied::Corrupt)?,
            Derived::Seen if self.unsettled.is_none() => {
                self.unsettled = Some(self.seen.rebuild(&self.journal, Emptied::Corrupt)?);
            }
            Derived::Seen => {}
        }
        self.settle()
    }

    /// Raises the floor for a seen set that was made again, and lets it be used. Returns false if there is no room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle(&mut self) -> Result<bool, StoreError> {
        let Some(ids) = self.unsettled else { return Ok(true) };
        if !self.config.checks.floor_first {
            self.begin_flush().run()?;
        }
        let floor = match self.raise_floor() {
            Err(error) if error.is_full() => return Ok(false),
            floor => floor?,
        };
        self.unsettled = None;
        self.problems.push(StoreProblem::SeenRebuilt { ids, floor });
        match self.begin_flush().run() {
            Ok(flushed) => self.flushed(flushed),
            // Until there is room it is made again at each start.
            Err(fault) if fault.error.is_full() => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(true)
    }

    /// Returns the entries that the seen set lacks, since they cannot be read: the core must know of them before it
    /// takes another copy.
    pub fn take_lacks(&mut self) -> Vec<BrokenEntry> {
        std::mem::take(&mut self.lacks)
    }

    /// Returns true if the seen set may be asked, and flushed.
    pub fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    /// Returns the segments that retention would give up now.
    pub fn due(&self, now: Option<Timestamp>) -> Option<Retirement> {
        self.journal.due(now)
    }

    /// Returns true if the derived data must be flushed before `retirement` may go.
    pub fn must_flush_before(&self, retirement: &Retirement) -> bool {
        self.seen.covered_seq().min(self.links.covered_seq()) < retirement.last_seq()
    }

    /// Begins to make seen set and link index durable; [`Self::flushed`] says that it ran.
    pub fn begin_flush(&mut self) -> DerivedFlush {
        let (log_id, floor) = (self.journal.log_id(), self.floor());
        let (seen, seen_covers) = self.seen.begin_flush(log_id, floor);
        let (links, links_cover) = self.links.begin_flush(log_id, floor);
        DerivedFlush { seen, links, covers: Flushed { seen: seen_covers, links: links_cover } }
    }

    pub fn flushed(&mut self, flushed: Flushed) {
        self.seen.flushed(flushed.seen);
        self.links.flushed(flushed.links);
    }

    /// Returns true if there is something that a flush would make durable.
    pub fn is_dirty(&self) -> bool {
        self.is_settled() && (self.seen.is_dirty() || self.links.is_dirty())
    }

    pub fn flush_is_due(&self) -> bool {
        self.is_settled() && (self.seen.flush_is_due() || self.links.flush_is_due())
    }

    /// Gives up what was counted, and forgets the identities below the floor.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn retire(&mut self, retirement: Retirement) -> Result<Retired, AppendError> {
        let (ends, missing) = self.journal.retire(retirement)?;
        Ok(Retired { ends, missing })
    }

    /// Forgets days wholly below the floor, unless it rose because the seen set was made again: an entry that the
    /// journal holds is found even if it is old, or a line that is submitted again would be taken again. Only for the
    /// appender, between its batches.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(&mut self) -> Result<(), StoreError> {
        if !self.settle()? {
            return Ok(());
        }
        let kept_from = self.journal.ledger().steady.minus_ms(self.config.seen_keep_ms());
        let day = self.floor().min(kept_from).day();
        self.links.remove_below(day)?;
        self.links.shrink()?;
        Ok(self.seen.remove_below(day)?)
    }

    /// Counts the entries between a consumer's position and the oldest one still held, once: nobody had counted them
    /// when the journal's oldest segments went, as they do when an operator moves them away. If a consumer does not get
    /// what this node published, that is counted, too: nobody can say what lay in segments that are gone.
    pub(super) fn count_below_floor(&mut self) -> Result<Vec<(ConsumerName, u64)>, AppendError> {
        let to = self.journal.floor().seq;
        let consumers = self.journal.ledger().consumers.iter();
        let lost = consumers.filter(|(_, position)| position.seq < to);
        let lost: Vec<_> = lost.map(|(consumer, position)| (consumer.clone(), to - position.seq)).collect();
        let note = |(consumer, count): &(ConsumerName, u64)| {
            NewRecord::Note(Note::Missing { consumer: consumer.clone(), to, count: *count })
        };
        match lost.is_empty() {
            true => {}
            false => drop(self.journal.append(lost.iter().map(note).collect())?),
        }
        Ok(lost)
    }

    /// Runs retention, all at once. `now` is steady time, `None` while nothing may expire by age. If the disk is full,
    /// nothing is given up.
    ///
    /// # Errors
    /// [`StoreError`]: the node must stop.
    pub fn expire(&mut self, now: Option<Timestamp>) -> Result<Option<Retired>, StoreError> {
        self.forget()?;
        let Some(mut retirement) = self.due(now) else { return Ok(None) };
        if self.must_flush_before(&retirement) {
            match self.flush() {
                Err(error) if error.is_full() => return Ok(None),
                flushed => flushed?,
            }
        }
        let disk = Arc::clone(self.journal.disk());
        retirement.count(&*disk, &self.config.own)?;
        match self.retire(retirement) {
            Ok(retired) => Ok(Some(retired)),
            Err(AppendError::Full) => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Makes seen set and link index durable up to the end of the journal. If one is broken, it is made again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if !self.settle()? {
            return Err(StoreError::Full);
        }
        match self.begin_flush().run() {
            Ok(flushed) => self.flushed(flushed),
            Err(FlushFault { of, error: SeenError::Corrupt { .. } }) => {
                if !self.remake(of)? {
                    return Err(StoreError::Full);
                }
            }
            Err(fault) => return Err(fault.into()),
        }
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
