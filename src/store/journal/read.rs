//! Finds and reads entries. The newest come from memory; the rest is located first ([`Journal::locate`], cheap) and
//! then read and checked ([`Located::read`]) without the journal, so that a reader of old segments holds up nobody. The
//! disk is believed only if the CRC holds.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::append::is_twin;
use super::find::seqs_in;
use super::open::indexed_again;
use super::walk::{Unreadable, closed_place};
use super::{Journal, weight};
use crate::envelope::{Envelope, IdScheme};
use crate::identity::{Check, EventKey};
use crate::limits::{LOSSES_MAX, TWINS_MAX};
use crate::protocol::io::Read;
use crate::record::bytes::decode_entry;
use crate::record::{BrokenEntry, Entry, Twin};
use crate::store::disk::Disk;
use crate::store::error::JournalError;
use crate::store::index::{self, IndexPlace, SegmentSummary};
use crate::store::seen::CoveredPlace;
use crate::store::segment::{self, ScanStep, SegmentPiece, SegmentScan};
use crate::time::Timestamp;
use crate::wire::Mark;

/// Entries with one UUID that are looked at for twins: those of other schemes count, too.
const TWIN_CANDIDATES_MAX: usize = 4 * TWINS_MAX;

/// The place of entries on disk.
#[derive(Clone, Debug)]
pub struct Located {
    name: String,
    salt: u32,
    /// Frames from that of the first entry to the end of the segment.
    bytes: Range<u64>,
    /// The place before the first entry.
    before: Mark,
    /// How often the active segment had been written anew.
    rewritten: u64,
}

impl Located {
    /// Returns the seq of the first entry that a read returns.
    pub fn first_seq(&self) -> u64 {
        self.before.seq + 1
    }

    /// Returns the offset of its frame, in bytes from the start of its segment.
    #[cfg(test)]
    pub fn offset(&self) -> u64 {
        self.bytes.start
    }

    /// Reads on until there are `bytes_max`, at least one entry, or the segment ends.
    ///
    /// # Errors
    /// [`JournalError`]: the first entry itself is damaged, or (`Io`, not found) retention was faster: locate again.
    pub fn read(&self, disk: &impl Disk, bytes_max: usize) -> Result<Read, JournalError> {
        let mut scan = SegmentScan::new(disk, &self.name, self.salt, self.bytes.start);
        let mut read = Read { after: self.before, ..Read::default() };
        let mut bytes = 0;
        while scan.at() < self.bytes.end && (bytes < bytes_max || read.entries.is_empty()) {
            let at = scan.at();
            let next = self.first_seq() + read.entries.len() as u64;
            let taken = match scan.step()? {
                ScanStep::Frame { record, .. } => self.take(&record, at, next),
                ScanStep::End | ScanStep::Broken | ScanStep::BadBlock(_) => {
                    Err(JournalError::damaged(&self.name, at, "broken record"))
                }
            };
            match taken {
                Ok(Some(entry)) => {
                    bytes += weight(&entry);
                    read.entries.push(entry);
                }
                Ok(None) => {}
                Err(fault) if read.entries.is_empty() => return Err(fault),
                // The entries before are good; the reader comes back for the rest and meets the damage.
                Err(_) => break,
            }
        }
        Ok(read)
    }

    /// Returns the entry `next`, if `record` is an entry; then it must be that one.
    fn take(&self, record: &Bytes, at: u64, next: u64) -> Result<Option<Arc<Entry>>, JournalError> {
        let fault = |what| JournalError::damaged(&self.name, at, what);
        match segment::piece(record).map_err(fault)? {
            SegmentPiece::Carrier(head) if head.mark.seq == next => {
                let entry = decode_entry(record);
                let entry = entry.map_err(|what| JournalError::damaged(&self.name, at, what))?;
                Ok(Some(Arc::new(entry)))
            }
            SegmentPiece::Carrier(head) => {
                let what = format!("seq {} in the place of seq {next}", head.mark.seq);
                Err(JournalError::damaged(&self.name, at, what))
            }
            SegmentPiece::Note(_) | SegmentPiece::Retired(_) | SegmentPiece::Quiet => Ok(None),
        }
    }
}

/// The place from which the next read returns entries.
#[derive(Debug)]
pub enum FoundEntries {
    InMemory(Read),
    OnDisk(Located),
}

impl<D: Disk> Journal<D> {
    /// Reads the entries after `after_seq`: at most `bytes_max`, but at least one entry if there is one. If an entry is
    /// damaged, it is passed over, and counted.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    #[cfg(any(test, feature = "sim"))]
    pub fn read(&self, after_seq: u64, bytes_max: usize) -> Result<Read, JournalError> {
        let mut after = after_seq;
        loop {
            let located = match self.find(after, bytes_max)? {
                FoundEntries::InMemory(read) => return Ok(self.counted(read, after_seq)),
                FoundEntries::OnDisk(located) => located,
            };
            match located.read(&*self.disk, bytes_max) {
                Err(JournalError::Damaged { .. }) => after = located.first_seq(),
                read => {
                    let mut read = self.counted(read?, after_seq);
                    self.add_twins(&mut read)?;
                    return Ok(read);
                }
            }
        }
    }

    /// Finds the entries after `after_seq`. If neither segment nor index tell a place, it is passed over.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub fn find(&self, after_seq: u64, bytes_max: usize) -> Result<FoundEntries, JournalError> {
        let mut after = after_seq;
        loop {
            if let Some(read) = self.read_tail(after, bytes_max) {
                return Ok(FoundEntries::InMemory(read));
            }
            match self.locate(after) {
                Ok(Some(located)) => return Ok(FoundEntries::OnDisk(located)),
                Ok(None) => {
                    return Ok(FoundEntries::InMemory(Read { after: self.last(), ..Read::default() }));
                }
                Err(fault @ JournalError::Damaged { .. }) => {
                    let (summary, _) = self.segment_with(after + 1).ok_or(fault)?;
                    after = summary.last.seq;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Returns the seq to go on after, when the first entry at `located` turned out to be damaged: behind it, unless it
    /// lies elsewhere by now, or its index was wrong and is made again now.
    pub fn pass(&mut self, located: &Located) -> u64 {
        let seq = located.first_seq();
        if located.rewritten != self.rewritten {
            return seq - 1;
        }
        let nth = self.closed.partition_point(|closed| closed.summary.last.seq < seq);
        if let Some(closed) = self.closed.get_mut(nth).filter(|closed| !closed.index_checked) {
            closed.index_checked = true;
            let summary = closed.summary;
            let wrong = index::read_summary(&*self.disk, summary.floor.seq + 1)
                .is_none_or(|(_, body_crc)| !index::is_whole(&*self.disk, &summary, body_crc));
            if wrong && indexed_again(&*self.disk, &summary).is_ok() {
                return seq - 1;
            }
        }
        seq
    }

    /// Adds how many entries behind `after_seq` the read had to pass over, and which. Retention itself counts those
    /// that it took.
    pub fn counted(&self, mut read: Read, after_seq: u64) -> Read {
        let from = after_seq.max(self.floor().seq);
        read.lost = read.after.seq.saturating_sub(from);
        read.broken = self.broken(from + 1..=read.after.seq);
        read
    }

    /// Returns those of the unreadable entries `seqs` of which the index knows the key, up to a bound.
    pub fn broken(&self, seqs: impl IntoIterator<Item = u64>) -> Vec<BrokenEntry> {
        let seqs = seqs.into_iter().filter_map(|seq| Some(BrokenEntry { seq, key: self.key_of(seq)? }));
        seqs.filter(|entry| !self.ledger.losses.knows(*entry)).take(LOSSES_MAX).collect()
    }

    /// Returns the key of entry `seq`, which the index knows even if the entry is broken.
    fn key_of(&self, seq: u64) -> Option<EventKey> {
        let (summary, _) = self.segment_with(seq).filter(|(summary, _)| summary.holds(seq))?;
        self.place(&summary, seq).ok().map(|place| place.key)
    }

    /// Reads the same from memory alone; `None` if the disk is needed.
    pub fn read_tail(&self, after_seq: u64, bytes_max: usize) -> Option<Read> {
        if after_seq >= self.last().seq {
            return Some(Read { after: self.last(), ..Read::default() });
        }
        let start = after_seq.max(self.floor().seq);
        // The entry before is needed too, for its check.
        let (before, from) = match self.tail.position(start) {
            Some(nth) => (self.tail.entries[nth].mark(), nth + 1),
            None if self.floor().seq == start => (self.floor(), self.tail.position(start + 1)?),
            None => return None,
        };
        let mut read = Read { after: before, ..Read::default() };
        let mut bytes = 0;
        for entry in self.tail.entries.range(from..) {
            if bytes >= bytes_max && !read.entries.is_empty() {
                break;
            }
            bytes += weight(entry);
            read.entries.push(Arc::clone(entry));
        }
        Some(read)
    }

    /// Locates the entries after `after_seq`; `None` at the end.
    ///
    /// # Errors
    /// [`JournalError`]: the index of a closed segment cannot be read.
    pub fn locate(&self, after_seq: u64) -> Result<Option<Located>, JournalError> {
        let Some((summary, salt)) = self.segment_with(after_seq.saturating_add(1)) else {
            return Ok(None);
        };
        let first_seq = (after_seq + 1).max(summary.floor.seq + 1);
        let from = self.place(&summary, first_seq)?.offset.into();
        let before = self.mark_at(&summary, first_seq - 1)?;
        let name = segment::file_name(summary.floor.seq + 1);
        Ok(Some(Located { name, salt, bytes: from..summary.end, before, rewritten: self.rewritten }))
    }

    /// Returns the place behind entry `seq`, in the segment of `summary` or at its start.
    fn mark_at(&self, summary: &SegmentSummary, seq: u64) -> Result<Mark, JournalError> {
        if seq == summary.floor.seq {
            return Ok(summary.floor);
        }
        Ok(Mark { seq, check: self.place(summary, seq)?.check })
    }

    /// Returns the segment with this seq, or if none has it the next one with carriers.
    fn segment_with(&self, seq: u64) -> Option<(SegmentSummary, u32)> {
        let nth = self.closed.partition_point(|closed| closed.summary.last.seq < seq);
        let closed = self.closed.get(nth).map(|closed| (closed.summary, closed.salt));
        let active = (self.active.index.summary, self.active.header.salt);
        closed.or(Some(active)).filter(|(summary, _)| summary.last.seq >= seq && summary.carriers() > 0)
    }

    /// Returns the index row of entry `seq`, which the segment of `summary` holds.
    pub(super) fn place(&self, summary: &SegmentSummary, seq: u64) -> Result<IndexPlace, JournalError> {
        match self.active.index.place(seq) {
            Some(place) => Ok(place),
            None => closed_place(&*self.disk, summary, seq),
        }
    }

    /// Checks that the index knows each of the entries that cannot be read. If it does not, nothing says which entries
    /// they were, and a seen set that lacks them would let them in again.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], as at a start: the segment has to be moved aside.
    pub fn check_known(&self, unreadable: &Unreadable) -> Result<(), JournalError> {
        for seq in unreadable.iter().cloned().flatten() {
            if let Some((summary, _)) = self.segment_with(seq) {
                self.place(&summary, seq)?;
            }
        }
        Ok(())
    }

    /// Returns the seq of the first entry stored at or after `at`; one past the last if there is none.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn seq_at(&self, at: Timestamp) -> Result<u64, JournalError> {
        let holds = |summary: &&SegmentSummary| summary.carriers() > 0 && summary.newest >= at;
        let Some(summary) = self.summaries().find(holds) else { return Ok(self.last().seq + 1) };
        let mut found = None;
        self.heads_after(summary.floor.seq, |head| {
            if found.is_none() && head.arrived >= at {
                found = Some(head.mark.seq);
            }
        })?;
        Ok(found.unwrap_or(self.last().seq + 1))
    }

    /// Returns the check at `seq`; `None` if the journal does not hold that place any more, or not yet, or its index is
    /// gone.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn check_at(&self, seq: u64) -> Result<Option<Check>, JournalError> {
        let ends = self.summaries().flat_map(|summary| [summary.floor, summary.last]);
        if let Some(mark) = ends.into_iter().find(|mark| mark.seq == seq) {
            return Ok(Some(mark.check));
        }
        let Some((summary, _)) = self.segment_with(seq).filter(|(summary, _)| summary.holds(seq)) else {
            return Ok(None);
        };
        match self.place(&summary, seq) {
            Err(JournalError::Damaged { .. }) => Ok(None),
            place => Ok(Some(place?.check)),
        }
    }

    /// Returns true if the covered place is a place of this journal.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn agrees(&self, covered: &CoveredPlace) -> Result<bool, JournalError> {
        let CoveredPlace { log_id, mark, .. } = covered;
        Ok(*log_id == self.log_id() && self.check_at(mark.seq)? == Some(mark.check))
    }

    /// Returns the newest of `marks` that agrees with this journal: its seq lies between floor and end, and its check
    /// is the journal's there.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn newest_agreeing(&self, marks: &[Mark]) -> Result<Option<Mark>, JournalError> {
        let mut newest: Option<Mark> = None;
        for mark in marks {
            let newer = newest.is_none_or(|newest| mark.seq > newest.seq);
            if newer && mark.seq >= self.floor().seq && self.check_at(mark.seq)? == Some(mark.check) {
                newest = Some(*mark);
            }
        }
        Ok(newest)
    }

    /// Returns the entry with this seq, if it can be read.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub fn entry(&self, seq: u64) -> Result<Option<Arc<Entry>>, JournalError> {
        let Some(entry) = self.raw_entry(seq)? else { return Ok(None) };
        let mut read = Read { entries: vec![entry], ..Read::default() };
        self.add_twins(&mut read)?;
        Ok(read.entries.pop())
    }

    /// Returns the oldest entries before `below` with the content of `envelope`, at most [`TWINS_MAX`].
    pub(super) fn stored_twins(&self, envelope: &Envelope, below: u64) -> Result<Vec<Twin>, JournalError> {
        let uuid = envelope.id().uuid;
        let mut seqs = Vec::new();
        for closed in self.closed.iter().filter(|closed| closed.summary.content > 0) {
            let left = TWIN_CANDIDATES_MAX - seqs.len();
            seqs.extend(seqs_in(&*self.disk, &closed.summary, (uuid, uuid), left)?);
            if seqs.len() >= TWIN_CANDIDATES_MAX {
                break;
            }
        }
        seqs.extend(self.active.index.between(uuid, uuid, TWIN_CANDIDATES_MAX - seqs.len()));
        seqs.retain(|seq| *seq < below);
        seqs.sort_unstable();
        let mut twins = Vec::new();
        for seq in seqs {
            if twins.len() == TWINS_MAX {
                break;
            }
            let entry = self.raw_entry(seq)?.filter(|entry| is_twin(entry, envelope));
            twins.extend(entry.map(|entry| Twin { seq, id: entry.envelope.id().clone() }));
        }
        Ok(twins)
    }

    /// Returns the same as [`Self::entry`], but without its twins if it comes from disk.
    fn raw_entry(&self, seq: u64) -> Result<Option<Arc<Entry>>, JournalError> {
        if let Some(nth) = self.tail.position(seq) {
            return Ok(Some(Arc::clone(&self.tail.entries[nth])));
        }
        let read = match seq.checked_sub(1).map(|before| self.locate(before)).transpose()?.flatten() {
            Some(located) => located.read(&*self.disk, 0),
            None => return Ok(None),
        };
        match read {
            Err(JournalError::Damaged { .. }) => Ok(None),
            read => Ok(read?.entries.into_iter().next().filter(|entry| entry.seq == seq)),
        }
    }

    /// Names the twins of entries that were read from disk.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn add_twins(&self, read: &mut Read) -> Result<(), JournalError> {
        for entry in &mut read.entries {
            if entry.envelope.core().ids == IdScheme::Content {
                let twins = self.stored_twins(&entry.envelope, entry.seq)?;
                Arc::make_mut(entry).twins = twins;
            }
        }
        Ok(())
    }
}
