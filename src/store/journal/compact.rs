//! Writes the active segment anew with its carriers alone: the ledger at its beginning replaces its notes. A peer can
//! make this node write notes, which would otherwise take the place of entries in `keep_bytes`. Closed segments are
//! never changed: carriers take at least half of the bytes that were written to each of them.

use bytes::Bytes;

use super::append::write_segment;
use super::walk::{SegmentWalk, Unreadable};
use super::{AppendError, Journal};
use crate::record::bytes::CarrierHead;
use crate::store::disk::Disk;
use crate::store::disk::NEW_SUFFIX;
use crate::store::error::JournalError;
use crate::store::segment::SegmentHeader;

impl<D: Disk> Journal<D> {
    /// Writes the active segment anew, if its carriers take less than half of the size that a segment may have. Returns
    /// false if it stays as it is: it is to be closed then.
    ///
    /// # Errors
    /// [`AppendError::Failed`]: which of both files the disk holds is not known, the node must stop.
    pub(super) fn compact(&mut self) -> Result<bool, AppendError> {
        let old = &self.active;
        let few = old.carried < self.config.segment_bytes() / 2;
        if !few || old.index.summary.carriers() == 0 {
            return Ok(false);
        }
        let Some(kept) = self.carriers_of_active() else { return Ok(false) };
        let header = SegmentHeader { oldest: self.oldest, salt: self.fresh.salt, ..old.header.clone() };
        let Ok(active) = write_segment(&*self.disk, header, &self.ledger, &kept) else { return Ok(false) };
        // Both files say the same: after a power cut either may have the name.
        let new = format!("{}{NEW_SUFFIX}", active.name);
        let named = self.disk.rename(&new, &active.name).and_then(|()| self.disk.sync_names());
        named.map_err(JournalError::io(&active.name))?;
        self.active = active;
        self.rewritten += 1;
        Ok(true)
    }

    /// Returns the carriers of the active segment; `None` if one of them cannot be read.
    fn carriers_of_active(&self) -> Option<Vec<(CarrierHead, Bytes)>> {
        let (summary, salt) = (&self.active.index.summary, self.active.header.salt);
        let (mut kept, mut lost) = (Vec::new(), Unreadable::new());
        let mut each = |head: &CarrierHead, record: &Bytes| {
            kept.push((head.clone(), Bytes::copy_from_slice(record)));
            Ok(())
        };
        let place = |seq| self.place(summary, seq);
        let walk = SegmentWalk { disk: &*self.disk, summary, salt, place };
        walk.from(summary.floor.seq + 1, &mut each, &mut lost).ok()?;
        lost.is_empty().then_some(kept)
    }
}
