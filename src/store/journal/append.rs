//! Appends in three steps, so that only those wait for the disk that must: [`Journal::begin`] gives seqs and checks,
//! [`JournalBatch::write`] writes and syncs, [`Journal::commit`] lets readers see it. If a batch is not committed,
//! [`Journal::abandon`] cuts it off again.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::{ActiveSegment, ClosedSegment, Journal, NamedSegment};
use crate::envelope::content::is_same_content;
use crate::envelope::{Envelope, IdScheme};
use crate::limits::TWINS_MAX;
use crate::record::bytes::{CarrierHead, encode_entry, encode_note};
use crate::record::{Entry, JournalEnds, Ledger, NewCarrier, NewRecord, Note, Twin};
use crate::store::disk::NEW_SUFFIX;
use crate::store::disk::{Disk, is_full};
use crate::store::error::JournalError;
use crate::store::frame;
use crate::store::index::{self, SegmentIndex};
use crate::store::newest;
use crate::store::segment::{self, SegmentHeader};
use crate::wire::Mark;

/// Room is asked for in steps of this many bytes, or less on a small disk.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

/// After so many batches that moved positions of consumers these are written beside the segments, too.
const MOVED_MAX: u32 = 64;

#[derive(Debug, Error)]
pub enum AppendError {
    /// Nothing was written; it may be tried again when there is room.
    #[error("the disk is full")]
    Full,
    /// The disk cannot be trusted any more: the node must stop.
    #[error(transparent)]
    Failed(#[from] JournalError),
}

impl AppendError {
    fn of(name: &str, error: io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Failed(JournalError::io(name)(error)) }
    }
}

/// Records on their way to the disk.
#[derive(Debug)]
pub struct JournalBatch {
    name: String,
    at: u64,
    bytes: Vec<u8>,
    reserved: u64,
    reserve_to: u64,
    entries: Vec<(Arc<Entry>, u64)>,
    notes: Vec<Note>,
    retired: Option<u64>,
    /// Bytes of its carriers' frames.
    carried: u64,
    last: Mark,
    first_seq: u64,
}

impl JournalBatch {
    /// Returns the seq of its first carrier, or of the next one if it has none.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Returns the heads of its carriers, in order.
    pub fn heads(&self) -> impl Iterator<Item = CarrierHead> {
        self.entries.iter().map(|(entry, _)| CarrierHead::of(entry))
    }

    /// Its carriers, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().map(|(entry, _)| entry)
    }

    /// Returns the end of the journal once it is committed.
    pub fn last(&self) -> Mark {
        self.last
    }

    /// Bytes that go to the disk.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes and syncs. After an error the batch must be abandoned.
    ///
    /// # Errors
    /// [`AppendError::Full`], or `Failed` if write or sync failed otherwise.
    pub fn write(&self, disk: &impl Disk) -> Result<(), AppendError> {
        self.write_unsynced(disk)?;
        disk.sync(&self.name).map_err(|error| AppendError::of(&self.name, error))
    }

    /// Does the first half of [`JournalBatch::write`]: a crash may still lose or tear it.
    ///
    /// # Errors
    /// As [`JournalBatch::write`].
    pub fn write_unsynced(&self, disk: &impl Disk) -> Result<(), AppendError> {
        let fault = |error| AppendError::of(&self.name, error);
        let end = self.at + self.bytes.len() as u64;
        if self.reserve_to > self.reserved
            && let Err(error) = disk.reserve(&self.name, self.reserve_to)
        {
            if !is_full(&error) {
                return Err(fault(error));
            }
            disk.reserve(&self.name, end).map_err(fault)?;
        }
        disk.write(&self.name, self.at, &self.bytes).map_err(fault)
    }

    fn put(&mut self, active: &ActiveSegment, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let offset = self.at + self.bytes.len() as u64;
        let batch = active.unsynced.unwrap_or(self.at) as u32;
        frame::put(&mut self.bytes, active.header.salt, batch, write);
        offset
    }
}

impl<D: Disk> Journal<D> {
    /// Gives each carrier its seq and check, and encodes all in the given order. Begins a new segment if the active one
    /// is full.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was changed.
    pub fn begin(&mut self, records: Vec<NewRecord>) -> Result<JournalBatch, AppendError> {
        let space = self.disk.space().map_err(|error| AppendError::of("", error))?;
        let takes = records.iter().any(|record| matches!(record, NewRecord::Carrier(_)));
        if takes && space.free < space.low_water() {
            return Err(AppendError::Full);
        }
        self.roll_where_full()?;
        self.name_newest(MOVED_MAX)?;
        let mut batch = self.empty_batch();
        for record in records {
            match record {
                NewRecord::Carrier(carrier) => self.put_carrier(&mut batch, carrier)?,
                NewRecord::Note(note) => {
                    batch.put(&self.active, |out| encode_note(&note, out));
                    batch.notes.push(note);
                }
            }
        }
        let step = (space.total / 64).clamp(64 * 1024, RESERVE_BYTES).min(self.config.segment_bytes());
        let end = batch.at + batch.bytes.len() as u64;
        batch.reserve_to = if end > batch.reserved { end + step } else { batch.reserved };
        Ok(batch)
    }

    /// Begins a batch that says that the segments below `first` are given up, with the notes that must precede it.
    pub(super) fn begin_retired(
        &mut self,
        notes: Vec<Note>,
        first: u64,
    ) -> Result<JournalBatch, AppendError> {
        let mut batch = self.begin(notes.into_iter().map(NewRecord::Note).collect())?;
        batch.put(&self.active, |out| segment::encode_retired(first, out));
        batch.retired = Some(first);
        batch.reserve_to = batch.reserve_to.max(batch.at + batch.bytes.len() as u64);
        Ok(batch)
    }

    /// Lets readers see a batch that is on disk.
    pub fn commit(&mut self, batch: JournalBatch) -> JournalEnds {
        // First: a carrier may make up for a loss that is noted in the same batch.
        batch.notes.iter().for_each(|note| self.ledger.apply(note));
        for (entry, offset) in batch.entries {
            self.active.index.add(&CarrierHead::of(&entry), offset);
            self.ledger.apply_carrier(entry.envelope.key(), entry.seq, entry.arrived);
            self.tail.push(entry);
        }
        self.named.moved += u32::from(batch.notes.iter().any(|note| note.consumer().is_some()));
        self.oldest = self.oldest.max(batch.retired.unwrap_or(0));
        self.active.carried += batch.carried;
        self.active.end = batch.at + batch.bytes.len() as u64;
        self.active.reserved = self.active.reserved.max(batch.reserve_to);
        self.active.index.summary.end = self.active.end;
        self.active.unsynced = None;
        self.ends()
    }

    /// Cuts a batch off again if it is not on disk, or only in part.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the content of the disk is not known, the node must stop.
    pub fn abandon(&mut self, batch: &JournalBatch) -> Result<(), JournalError> {
        let name = &batch.name;
        self.disk.truncate(name, batch.at).map_err(JournalError::io(name))?;
        self.disk.sync(name).map_err(JournalError::io(name))?;
        self.active.reserved = batch.at;
        self.active.unsynced = None;
        Ok(())
    }

    /// Does all three steps at once.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of it is in the journal.
    pub fn append(&mut self, records: Vec<NewRecord>) -> Result<(u64, JournalEnds), AppendError> {
        let batch = self.begin(records)?;
        self.finish(batch)
    }

    pub(super) fn finish(&mut self, batch: JournalBatch) -> Result<(u64, JournalEnds), AppendError> {
        let disk = Arc::clone(&self.disk);
        match batch.write(&*disk) {
            Ok(()) => {
                let first = batch.first_seq;
                Ok((first, self.commit(batch)))
            }
            Err(AppendError::Full) => {
                self.abandon(&batch)?;
                Err(AppendError::Full)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Marks, without a sync, that all before was synced. For when nothing waits: if the last batch is damaged, this
    /// tells it from a torn tail. An error means nothing: the mark may be missing.
    pub fn mark_quiet(&mut self) {
        let _ = self.name_newest(1);
        if self.active.unsynced.is_some() || self.active.end == self.active.start {
            return;
        }
        let mut batch = self.empty_batch();
        batch.put(&self.active, segment::encode_quiet);
        if self.disk.write(&batch.name, batch.at, &batch.bytes).is_ok() {
            self.active.unsynced = Some(batch.at);
            self.active.end += batch.bytes.len() as u64;
            self.active.reserved = self.active.reserved.max(self.active.end);
        }
    }

    /// Marks and syncs the end, and gives back what was reserved.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn close(&mut self) -> Result<(), JournalError> {
        self.mark_quiet();
        match self.name_newest(0) {
            Err(AppendError::Failed(error)) => return Err(error),
            Ok(()) | Err(AppendError::Full) => {}
        }
        let name = &self.active.name;
        self.disk.truncate(name, self.active.end).map_err(JournalError::io(name))?;
        self.disk.sync(name).map_err(JournalError::io(name))?;
        self.active.reserved = self.active.end;
        self.active.unsynced = None;
        Ok(())
    }

    fn empty_batch(&self) -> JournalBatch {
        let last = self.last();
        JournalBatch {
            name: self.active.name.clone(),
            at: self.active.end,
            bytes: Vec::new(),
            reserved: self.active.reserved,
            reserve_to: self.active.reserved,
            entries: Vec::new(),
            notes: Vec::new(),
            retired: None,
            carried: 0,
            last,
            first_seq: last.seq + 1,
        }
    }

    fn put_carrier(&self, batch: &mut JournalBatch, carrier: NewCarrier) -> Result<(), AppendError> {
        let envelope = Arc::clone(carrier.envelope.envelope());
        let twins = match envelope.core().ids {
            IdScheme::Content => self.twins(batch, &envelope)?,
            IdScheme::Random | IdScheme::Body => Vec::new(),
        };
        let secret = &self.active.header.check_secret;
        let (seq, check) = (batch.last.seq + 1, secret.check_after(&batch.last.check, &envelope.digest()));
        let NewCarrier { path, arrived, .. } = carrier;
        let entry =
            Entry { seq, check, arrived, path, envelope, twins, withdrawn_by: None, replaced_by: None };
        let before = batch.bytes.len();
        let offset = batch.put(&self.active, |out| encode_entry(&entry, out));
        batch.carried += (batch.bytes.len() - before) as u64;
        batch.last = entry.mark();
        batch.entries.push((Arc::new(entry), offset));
        Ok(())
    }

    /// Returns earlier entries with the same content id, those of the batch included.
    fn twins(&self, batch: &JournalBatch, envelope: &Envelope) -> Result<Vec<Twin>, JournalError> {
        let mut twins = self.stored_twins(envelope, u64::MAX)?;
        let fresh = batch.entries.iter().map(|(entry, _)| entry);
        let fresh = fresh.filter(|entry| is_twin(entry, envelope));
        twins.extend(fresh.map(|entry| Twin { seq: entry.seq, id: entry.envelope.id().clone() }));
        twins.truncate(TWINS_MAX);
        Ok(twins)
    }

    /// Goes on under a new name: seqs behind the end may have been given to other entries, so that no cursor of a
    /// peer may be compared with them.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn begin_log(&mut self) -> Result<(), AppendError> {
        self.roll(self.fresh.log_id, None)
    }

    /// Names the active segment beside the segments, so that a start notices if it was moved away, and the positions
    /// of consumers, if that many batches have moved them.
    ///
    /// # Errors
    /// [`AppendError`]: nothing may be written to a segment that is not named.
    pub(super) fn name_newest(&mut self, moved: u32) -> Result<(), AppendError> {
        let segment = Some((self.log_id(), self.active.header.first));
        if self.named.segment == segment && self.named.moved < moved {
            return Ok(());
        }
        let written = self.newest().write(&*self.disk);
        written.map_err(|error| AppendError::of(newest::FILE, error))?;
        self.named = NamedSegment { segment, moved: 0 };
        Ok(())
    }

    fn roll_where_full(&mut self) -> Result<(), AppendError> {
        let written = self.active.end - self.active.start + self.active.kept;
        if written < self.config.segment_bytes() || self.compact()? {
            return Ok(());
        }
        self.roll(self.active.header.log_id, None)
    }

    /// Closes the active segment and begins the next. One that holds no carrier is replaced.
    pub(super) fn roll(
        &mut self,
        log_id: crate::identity::LogId,
        gap: Option<u64>,
    ) -> Result<(), AppendError> {
        let old = &self.active;
        let empty = old.index.summary.carriers() == 0;
        if !empty {
            // Derived, so that it may fail: without it the segment is read instead.
            let _ = write_index(&*self.disk, &old.index);
            let _ = self.disk.truncate(&old.name, old.end);
            if old.unsynced.is_some() {
                // A quiet mark torn in a segment that is no longer the newest would be damage.
                self.disk.sync(&old.name).map_err(|error| AppendError::of(&old.name, error))?;
            }
        }
        let last = self.last();
        let mut gaps = old.header.gaps.clone();
        gaps.retain(|at| *at >= self.oldest);
        gaps.extend(gap);
        let header = SegmentHeader {
            log_id,
            first: last.seq + 1,
            before: last.check,
            previous: if empty { old.header.previous } else { old.header.first },
            oldest: self.oldest,
            gaps,
            salt: self.fresh.salt,
            ledger_bytes: 0,
            check_secret: old.header.check_secret,
        };
        let active = make_segment(&*self.disk, header, &self.ledger)?;
        let old = std::mem::replace(&mut self.active, active);
        if !empty {
            self.closed.push_back(ClosedSegment {
                summary: old.index.summary,
                salt: old.header.salt,
                index_checked: false,
            });
        }
        Ok(())
    }
}

/// Writes the index beside a segment.
pub(super) fn write_index(disk: &impl Disk, index: &SegmentIndex) -> io::Result<()> {
    let name = index::file_name(index.summary.floor.seq + 1);
    let new = format!("{name}{NEW_SUFFIX}");
    disk.create(&new)?;
    disk.write(&new, 0, &index.encode())?;
    disk.publish(&new, &name)
}

/// Makes a segment that begins with the notes of `ledger`, synced before it has its name.
pub(super) fn make_segment(
    disk: &impl Disk,
    header: SegmentHeader,
    ledger: &Ledger,
) -> Result<ActiveSegment, AppendError> {
    let active = write_segment(disk, header, ledger, &[])?;
    let new = format!("{}{NEW_SUFFIX}", active.name);
    if let Err(error) = disk.publish(&new, &active.name) {
        let _ = disk.remove(&new);
        return Err(AppendError::of(&new, error));
    }
    Ok(active)
}

/// Writes a segment that begins with the notes of `ledger` and with carriers that are `kept`, as a file without its
/// final name, and syncs it.
pub(super) fn write_segment(
    disk: &impl Disk,
    mut header: SegmentHeader,
    ledger: &Ledger,
    kept: &[(CarrierHead, Bytes)],
) -> Result<ActiveSegment, AppendError> {
    let name = segment::file_name(header.first);
    let new = format!("{name}{NEW_SUFFIX}");
    let batch = header.encode().len() as u32;
    let mut frames = Vec::new();
    for note in ledger.notes() {
        frame::put(&mut frames, header.salt, batch, |out| encode_note(&note, out));
    }
    let notes_bytes = frames.len();
    let mut index = SegmentIndex::new(header.floor(), 0);
    for (head, record) in kept {
        index.add(head, u64::from(batch) + frames.len() as u64);
        frame::put(&mut frames, header.salt, batch, |out| out.extend_from_slice(record));
    }
    let kept = (frames.len() - notes_bytes) as u64;
    header.ledger_bytes = frames.len() as u32;
    let mut bytes = header.encode();
    bytes.extend_from_slice(&frames);
    let made = disk.create(&new).and_then(|()| disk.write(&new, 0, &bytes)).and_then(|()| disk.sync(&new));
    if let Err(error) = made {
        let _ = disk.remove(&new);
        return Err(AppendError::of(&new, error));
    }
    let end = bytes.len() as u64;
    index.summary.end = end;
    Ok(ActiveSegment {
        index,
        header,
        name,
        start: end,
        end,
        kept,
        carried: kept,
        reserved: end,
        unsynced: None,
    })
}

/// Returns true if `entry` has the same content as `envelope` under another identity.
pub(super) fn is_twin(entry: &Entry, envelope: &Envelope) -> bool {
    let (other, id) = (entry.envelope.id(), envelope.id());
    let same_id = entry.envelope.core().ids == IdScheme::Content && other.uuid == id.uuid && other != id;
    same_id && is_same_content(&entry.envelope.core().body, &envelope.core().body)
}
