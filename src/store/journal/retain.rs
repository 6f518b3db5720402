//! Gives up the oldest segments, by age and by size: whole ones, never the active one. Entries that consumers had not
//! read are counted first, and the counts go to disk before anything is removed. The caller must have synced the seen
//! set past a segment.

use bytes::Bytes;

use crate::identity::PublisherName;
use crate::record::bytes::CarrierHead;
use crate::record::{ConsumerName, JournalEnds, Note, Position};
use crate::store::disk::Disk;
use crate::store::error::JournalError;
use crate::store::index;
use crate::store::segment;
use crate::time::Timestamp;

use super::walk::{SegmentWalk, closed_place};
use super::{AppendError, ClosedSegment, Journal};

/// Segments to be given up.
#[derive(Clone, Debug)]
pub struct Retirement {
    segments: Vec<ClosedSegment>,
    /// The position of each consumer that has not read them all.
    behind: Vec<(ConsumerName, Position)>,
    /// Of each of them, how many entries it loses.
    missing: Vec<u64>,
}

impl Retirement {
    /// Returns the last seq that goes: the seen set must be synced up to it.
    pub fn last_seq(&self) -> u64 {
        self.segments.last().map_or(0, |closed| closed.summary.last.seq)
    }

    /// Takes entries that `own` published out of the count, for consumers that do not get them. If an entry cannot be
    /// read, it is taken for another's.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn count(&mut self, disk: &impl Disk, own: &PublisherName) -> Result<(), JournalError> {
        let without_own = self.behind.iter().filter(|(_, position)| !position.own);
        let Some(lowest) = without_own.map(|(_, position)| position.seq).min() else { return Ok(()) };
        for ClosedSegment { summary, salt, .. } in
            self.segments.iter().filter(|closed| closed.summary.last.seq > lowest)
        {
            let place = |seq| closed_place(disk, summary, seq);
            let mut each = |head: &CarrierHead, _: &Bytes| {
                for ((_, position), missing) in self.behind.iter().zip(&mut self.missing) {
                    if head.mark.seq > position.seq && !position.own && head.publisher == *own {
                        *missing -= 1;
                    }
                }
                Ok(())
            };
            SegmentWalk { disk, summary, salt: *salt, place }.from(lowest + 1, &mut each, &mut Vec::new())?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        let to = self.last_seq();
        let lost = self.behind.iter().zip(&self.missing);
        lost.map(|((consumer, _), count)| Note::Missing { consumer: consumer.clone(), to, count: *count })
            .collect()
    }
}

impl<D: Disk> Journal<D> {
    /// Sets the bounds of retention from now on.
    pub fn keep(&mut self, keep_bytes: u64, keep_ms: u64) {
        (self.config.keep_bytes, self.config.keep_ms) = (keep_bytes, keep_ms);
    }

    /// Returns true if more is kept than may be, and if there is something to give up.
    pub fn is_over_size(&self) -> bool {
        !self.closed.is_empty() && self.bytes() > self.config.keep_bytes
    }

    /// Returns the segments that retention would give up now; `now` is steady time, `None` while nothing may expire by
    /// age.
    pub fn due(&self, now: Option<Timestamp>) -> Option<Retirement> {
        let horizon = now.map(|now| now.minus_ms(self.config.keep_ms));
        let mut bytes = self.bytes();
        let mut count = 0;
        for ClosedSegment { summary, .. } in &self.closed {
            let old = horizon.is_some_and(|horizon| summary.newest < horizon);
            if !old && bytes <= self.config.keep_bytes {
                break;
            }
            bytes -= summary.end;
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let segments: Vec<ClosedSegment> = self.closed.iter().take(count).copied().collect();
        let last = segments.last().map_or(0, |closed| closed.summary.last.seq);
        let consumers = self.ledger.consumers.iter().filter(|(_, position)| position.seq < last);
        let behind: Vec<_> = consumers.map(|(name, position)| (name.clone(), position.clone())).collect();
        let missing = behind.iter().map(|(_, position)| last.saturating_sub(position.seq)).collect();
        Some(Retirement { segments, behind, missing })
    }

    /// Puts on disk what was counted, then removes the segments. Returns what each consumer lost.
    ///
    /// # Errors
    /// [`AppendError::Full`]: nothing was given up. [`AppendError::Failed`]: the node must stop.
    pub fn retire(
        &mut self,
        retirement: Retirement,
    ) -> Result<(JournalEnds, Vec<(ConsumerName, u64)>), AppendError> {
        let batch = self.begin_retired(retirement.notes(), retirement.last_seq() + 1)?;
        self.finish(batch)?;
        self.dropped = true;
        for gone in &retirement.segments {
            self.closed.pop_front_if(|closed| closed.first() == gone.first());
            let index = index::file_name(gone.first());
            let name = segment::file_name(gone.first());
            self.disk.remove(&index).map_err(JournalError::io(&index))?;
            self.disk.remove(&name).map_err(JournalError::io(&name))?;
        }
        self.disk.sync_names().map_err(JournalError::io(""))?;
        self.ledger.losses.retired(self.floor().seq);
        let missing = retirement.behind.into_iter().map(|(name, _)| name).zip(retirement.missing);
        Ok((self.ends(), missing.collect()))
    }
}
