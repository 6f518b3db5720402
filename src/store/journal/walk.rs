//! Walks over the carriers of a journal, in order, without decoding them. If a record cannot be read, it alone is
//! passed over: the index says where the next one begins. The caller gets a list of those.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::Journal;
use super::open::indexed_again;
use crate::record::Entry;
use crate::record::bytes::{CarrierHead, RecordError, decode_entry, names_others};
use crate::store::disk::Disk;
use crate::store::error::JournalError;
use crate::store::index::{self, IndexPlace, SegmentSummary};
use crate::store::segment::{self, ScanStep, SegmentPiece, SegmentScan};

/// Seqs whose carriers could not be read, in order.
pub(crate) type Unreadable = Vec<RangeInclusive<u64>>;

fn add(lost: &mut Unreadable, seqs: RangeInclusive<u64>) {
    match lost.last_mut() {
        Some(before) if before.end() + 1 == *seqs.start() => *before = *before.start()..=*seqs.end(),
        _ => lost.push(seqs),
    }
}

/// Returns the place of entry `seq` of a closed segment.
///
/// # Errors
/// [`JournalError`]: neither the index nor the segment says it.
pub(super) fn closed_place(
    disk: &impl Disk,
    summary: &SegmentSummary,
    seq: u64,
) -> Result<IndexPlace, JournalError> {
    index::place_on_disk(disk, summary, seq)
        .or_else(|fault| indexed_again(disk, summary)?.place(seq).ok_or(fault))
}

/// A segment to be walked over.
pub(super) struct SegmentWalk<'a, D, O> {
    pub disk: &'a D,
    pub summary: &'a SegmentSummary,
    pub salt: u32,
    /// Returns the place of the carrier with a seq.
    pub place: O,
}

impl<D: Disk, O: Fn(u64) -> Result<IndexPlace, JournalError>> SegmentWalk<'_, D, O> {
    /// Calls `each` for every carrier from `first` on that can be read; if it refuses one, that cannot be read either.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub(crate) fn from(
        &self,
        first: u64,
        each: &mut impl FnMut(&CarrierHead, &Bytes) -> Result<(), RecordError>,
        lost: &mut Unreadable,
    ) -> Result<(), JournalError> {
        let name = segment::file_name(self.summary.floor.seq + 1);
        let last = self.summary.last.seq;
        let mut next = first.max(self.summary.floor.seq + 1);
        while next <= last {
            let at = match (self.place)(next) {
                Ok(place) => place.offset.into(),
                Err(JournalError::Damaged { .. }) => {
                    add(lost, next..=last);
                    return Ok(());
                }
                Err(fault) => return Err(fault),
            };
            let mut scan = SegmentScan::new(self.disk, &name, self.salt, at);
            let began = next;
            while next <= last && self.take(&mut scan, &mut next, each)? {}
            if next == began {
                // The record at its place is broken, or another.
                add(lost, next..=next);
                next += 1;
            }
        }
        Ok(())
    }

    /// Takes the next record; false if it does not belong there.
    fn take(
        &self,
        scan: &mut SegmentScan<'_, D>,
        next: &mut u64,
        each: &mut impl FnMut(&CarrierHead, &Bytes) -> Result<(), RecordError>,
    ) -> Result<bool, JournalError> {
        let ScanStep::Frame { record, .. } = scan.step()? else { return Ok(false) };
        Ok(match segment::piece(&record) {
            Ok(SegmentPiece::Carrier(head)) if head.mark.seq == *next && each(&head, &record).is_ok() => {
                *next += 1;
                true
            }
            Ok(SegmentPiece::Note(_) | SegmentPiece::Retired(_) | SegmentPiece::Quiet) => true,
            Ok(SegmentPiece::Carrier(_)) | Err(_) => false,
        })
    }
}

impl<D: Disk> Journal<D> {
    /// Passes on the heads of all carriers after `seq`, in order.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub fn heads_after(
        &self,
        seq: u64,
        mut each: impl FnMut(&CarrierHead),
    ) -> Result<Unreadable, JournalError> {
        self.carriers_after(seq, |head, _| {
            each(head);
            Ok(())
        })
    }

    /// Passes on the carriers after `seq` that name other events, in order. The rest is not decoded.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub fn naming_after(&self, seq: u64, mut each: impl FnMut(&Entry)) -> Result<Unreadable, JournalError> {
        self.carriers_after(seq, |_, record| {
            if names_others(record)? {
                each(&decode_entry(record)?);
            }
            Ok(())
        })
    }

    fn carriers_after(
        &self,
        seq: u64,
        mut each: impl FnMut(&CarrierHead, &Bytes) -> Result<(), RecordError>,
    ) -> Result<Unreadable, JournalError> {
        let mut lost = Unreadable::new();
        let closed = self.closed.iter().map(|closed| (&closed.summary, closed.salt));
        for (summary, salt) in closed.chain([(&self.active.index.summary, self.active.header.salt)]) {
            if summary.last.seq > seq {
                let place = |seq| self.place(summary, seq);
                SegmentWalk { disk: &*self.disk, summary, salt, place }.from(
                    seq + 1,
                    &mut each,
                    &mut lost,
                )?;
            }
        }
        Ok(lost)
    }
}
