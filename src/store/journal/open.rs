//! Opens a journal: finds out which segments are there, if they follow each other, what the newest one says, and if a
//! broken place is a torn tail or damage.

use std::collections::VecDeque;
use std::sync::Arc;

use super::append::{AppendError, make_segment, write_index};
use super::{ActiveSegment, ClosedSegment, FreshJournal, Journal, JournalConfig, JournalTail, NamedSegment};
use crate::record::{ConsumerName, FeedState, Ledger, Note};
use crate::store::disk::Disk;
use crate::store::disk::NEW_SUFFIX;
use crate::store::error::JournalError;
use crate::store::index::{self, SegmentIndex, SegmentSummary};
use crate::store::newest::Newest;
use crate::store::segment::{self, ScanStep, SegmentHeader, SegmentPiece, SegmentScan};
use crate::wire::Mark;

/// Bytes of closed segments, newest first, that a start reads to find damage; older ones are checked when
/// they are read. A whole start must stay under a second.
const CHECKED_AT_START_BYTES: u64 = 128 * 1024 * 1024;

/// Describes what a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalOpening {
    /// The journal is new, or was emptied: the seen set must be emptied too.
    pub emptied: bool,
    /// Segments were missing: the journal has a new name, and what they held must be taken again.
    pub missing_segments: bool,
    /// The newest segment, or all of them, were moved away: the journal has a new name.
    pub went_back: Option<WentBack>,
    /// A torn tail was cut off: the file and how many bytes of it remain.
    pub cut: Option<(String, u64)>,
    /// Damage in closed segments, of which all but the broken records can be read.
    pub damaged: Vec<String>,
}

/// Describes what a journal lost with its newest segments. If peers still hold such an entry, it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentBack {
    /// It had reached this seq at least.
    pub was: u64,
    /// How many of the entries that are gone each consumer had acknowledged, at least.
    pub had: Vec<(ConsumerName, u64)>,
}

struct ListedSegment {
    header: SegmentHeader,
    start: u64,
    name: String,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal, or makes one with the ledger that `notes` describe.
    ///
    /// # Errors
    /// [`JournalError`]: damage, another version, or the disk; nothing was changed that mattered.
    pub fn open(
        disk: Arc<D>,
        config: JournalConfig,
        fresh: FreshJournal,
        notes: &[Note],
    ) -> Result<(Self, JournalOpening), JournalError> {
        let mut listed = list(&*disk)?;
        let said = Newest::read(&*disk)?;
        let Some(newest) = listed.pop() else {
            return make(disk, config, fresh, notes, said);
        };
        let mut opening = JournalOpening::default();
        let newest_replay = replay(&*disk, newest, true)?;
        let SegmentReplay { active, ledger, oldest, tail, last_batch } = newest_replay;
        if tail != TailState::Nothing {
            disk.truncate(&active.name, active.end).map_err(JournalError::io(&active.name))?;
        }
        if tail == TailState::Torn {
            opening.cut = Some((active.name.clone(), active.end));
        }
        write_again(&*disk, &active, last_batch)?;
        remove_retired(&*disk, &mut listed, oldest)?;
        disk.sync_names().map_err(JournalError::io(""))?;
        let gap = find_gap(&listed, &active.header, oldest);
        let closed = survey_closed(&*disk, &listed, &active.header, &mut opening.damaged)?;
        let dropped = oldest > 1 || !active.header.gaps.is_empty();
        let (named, rewritten, tail) = (NamedSegment::default(), 0, JournalTail::default());
        let mut journal =
            Self { disk, config, fresh, closed, active, ledger, oldest, named, dropped, rewritten, tail };
        let floor = journal.floor().seq;
        journal.ledger.losses.retired(floor);
        if gap.is_some() {
            journal.dropped = true;
            opening.missing_segments = true;
            // The entries of those segments are asked for again: every feed is read from its start.
            journal.ledger.feeds.values_mut().for_each(|feed| *feed = FeedState::default());
        }
        opening.went_back = said.filter(|said| journal.lacks(said)).map(|said| journal.go_back(said));
        if gap.is_some() || opening.went_back.is_some() {
            journal.roll(fresh.log_id, gap).map_err(open_fault)?;
        }
        journal.name_if_room()?;
        Ok((journal, opening))
    }

    /// Returns true if the segment that was the newest is gone. If one has the same place and another log, a start
    /// began it that ended before it could tell.
    fn lacks(&self, said: &Newest) -> bool {
        let (log_id, first) = (self.log_id(), self.active.header.first);
        said.first > first || said.first == first && said.log_id != log_id
    }

    /// Takes the positions of consumers from beside the segments: those in the ledger are older.
    fn go_back(&mut self, said: Newest) -> WentBack {
        let last = self.last().seq;
        let had = said.consumers.iter().filter(|(_, position)| position.seq > last);
        let had = had.map(|(name, position)| (name.clone(), position.seq - last)).collect();
        for (name, position) in &said.consumers {
            let before = self.ledger.consumers.get(name).map_or(0, |position| position.seq);
            self.ledger.losses.acked(name, before, position.seq);
        }
        self.ledger.consumers = said.consumers;
        self.ledger.generation = self.ledger.generation.max(said.generation);
        self.ledger.consumers.values_mut().for_each(|position| position.seq = position.seq.min(last));
        WentBack { was: said.last.max(said.first), had }
    }

    /// Names the newest segment, before anything is written to it. If there is no room, it is tried again then.
    fn name_if_room(&mut self) -> Result<(), JournalError> {
        match self.name_newest(1) {
            Err(AppendError::Failed(error)) => Err(error),
            Ok(()) | Err(AppendError::Full) => Ok(()),
        }
    }
}

fn open_fault(error: AppendError) -> JournalError {
    match error {
        AppendError::Failed(error) => error,
        AppendError::Full => {
            JournalError::Io { file: String::new(), source: std::io::ErrorKind::StorageFull.into() }
        }
    }
}

fn make<D: Disk>(
    disk: Arc<D>,
    config: JournalConfig,
    fresh: FreshJournal,
    notes: &[Note],
    said: Option<Newest>,
) -> Result<(Journal<D>, JournalOpening), JournalError> {
    let mut ledger = Ledger::default();
    notes.iter().for_each(|note| ledger.apply(note));
    let header = SegmentHeader {
        log_id: fresh.log_id,
        first: 1,
        before: Mark::START.check,
        previous: 0,
        oldest: 1,
        gaps: Vec::new(),
        salt: fresh.salt,
        ledger_bytes: 0,
        check_secret: fresh.check_secret,
    };
    let active = make_segment(&*disk, header, &ledger).map_err(open_fault)?;
    let (closed, named, tail) = (VecDeque::new(), NamedSegment::default(), JournalTail::default());
    let (oldest, dropped, rewritten) = (1, false, 0);
    let mut journal =
        Journal { disk, config, fresh, closed, active, ledger, oldest, named, dropped, rewritten, tail };
    let went_back = said.map(|said| journal.go_back(said));
    if went_back.is_some() {
        journal.roll(fresh.log_id, None).map_err(open_fault)?;
    }
    journal.name_if_room()?;
    Ok((journal, JournalOpening { emptied: true, went_back, ..JournalOpening::default() }))
}

/// Returns all segments by first seq, their headers read. Removes files that were being made, and indexes without their
/// segment.
fn list(disk: &impl Disk) -> Result<Vec<ListedSegment>, JournalError> {
    segment::check_formats(disk)?;
    let mut names = disk.list().map_err(JournalError::io(""))?;
    names.sort();
    let mut listed = Vec::new();
    for name in &names {
        let orphan = name.strip_suffix(".idx").is_some_and(|stem| !names.contains(&format!("{stem}.seg")));
        if name.ends_with(NEW_SUFFIX) || orphan {
            disk.remove(name).map_err(JournalError::io(name))?;
        } else if segment::first_of_name(name).is_some() {
            let (header, start) = SegmentHeader::read(disk, name)?;
            listed.push(ListedSegment { header, start, name: name.clone() });
        }
    }
    Ok(listed)
}

struct SegmentReplay {
    active: ActiveSegment,
    ledger: Ledger,
    oldest: u64,
    tail: TailState,
    /// Offset of the last batch.
    last_batch: u64,
}

/// Describes the bytes behind the last whole record. They are cut off, so that exactly what was written is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TailState {
    Nothing,
    /// Zeros that were reserved.
    Reserved,
    Torn,
}

/// Reads a segment whole. If it `is_newest`, there may be a torn tail behind its last whole record.
fn replay(disk: &impl Disk, listed: ListedSegment, is_newest: bool) -> Result<SegmentReplay, JournalError> {
    let ListedSegment { header, start: frames_at, name } = listed;
    let mut ledger = Ledger::default();
    let mut index = SegmentIndex::new(header.floor(), frames_at);
    let mut oldest = header.oldest;
    let mut scan = SegmentScan::new(disk, &name, header.salt, frames_at);
    let start = frames_at + u64::from(header.ledger_bytes);
    let (mut kept, mut carried) = (0, 0);
    let whole = loop {
        match scan.step()? {
            ScanStep::Frame { at, record } => {
                let fault = |what| JournalError::damaged(&name, at, what);
                match segment::piece(&record).map_err(fault)? {
                    SegmentPiece::Carrier(head) => {
                        if head.mark.seq != index.summary.last.seq + 1 {
                            let what =
                                format!("seq {} follows seq {}", head.mark.seq, index.summary.last.seq);
                            return Err(JournalError::damaged(&name, at, what));
                        }
                        index.add(&head, at);
                        carried += scan.at() - at;
                        kept = if at < start { carried } else { kept };
                        ledger.apply_carrier(head.key, head.mark.seq, head.arrived);
                    }
                    SegmentPiece::Note(note) => ledger.apply(&note),
                    SegmentPiece::Retired(first) => oldest = oldest.max(first),
                    SegmentPiece::Quiet => {}
                }
            }
            ScanStep::End => break true,
            // Never cut off as a torn tail: what lies there was perhaps acknowledged.
            ScanStep::BadBlock(error) if is_newest => return Err(JournalError::io(&name)(error)),
            ScanStep::Broken | ScanStep::BadBlock(_) => break false,
        }
    };
    let (end, last_batch) = (scan.at(), u64::from(scan.batch()).max(start));
    index.summary.end = end;
    let damaged = if is_newest { scan.is_damaged()? } else { !whole };
    // Header and ledger were synced before the segment had its name.
    if damaged || end < start {
        return Err(JournalError::damaged(&name, end, "broken record, and not the last"));
    }
    let active =
        ActiveSegment { header, name, index, start, end, kept, carried, reserved: end, unsynced: None };
    let len = disk.len(&active.name).map_err(JournalError::io(&active.name))?;
    let tail = match whole {
        false => TailState::Torn,
        true if len > end => TailState::Reserved,
        true => TailState::Nothing,
    };
    Ok(SegmentReplay { active, ledger, oldest, tail, last_batch })
}

/// Writes the last batch again, over itself, and syncs: the replay may have read it from the cache alone. If a process
/// was killed, it had not synced it; and after a sync that failed, the cache calls clean what it could not write, so
/// that another sync would not write it. Each batch before the last one was synced before that was written.
fn write_again(disk: &impl Disk, active: &ActiveSegment, last_batch: u64) -> Result<(), JournalError> {
    let name = &active.name;
    let len = usize::try_from(active.end.saturating_sub(last_batch)).unwrap_or(usize::MAX);
    let written = if len == 0 {
        Ok(())
    } else {
        disk.read(name, last_batch, len).and_then(|bytes| disk.write(name, last_batch, &bytes))
    };
    written.and_then(|()| disk.sync(name)).map_err(JournalError::io(name))
}

/// Removes segments that were given up but not yet removed.
fn remove_retired(
    disk: &impl Disk,
    listed: &mut Vec<ListedSegment>,
    oldest: u64,
) -> Result<(), JournalError> {
    for gone in listed.extract_if(.., |listed| listed.header.first < oldest) {
        let index = index::file_name(gone.header.first);
        disk.remove(&index).map_err(JournalError::io(&index))?;
        disk.remove(&gone.name).map_err(JournalError::io(&gone.name))?;
    }
    Ok(())
}

/// Returns the first seq of the newest segment with a missing predecessor of which we did not know.
fn find_gap(closed: &[ListedSegment], newest: &SegmentHeader, oldest: u64) -> Option<u64> {
    let headers: Vec<&SegmentHeader> = closed.iter().map(|listed| &listed.header).chain([newest]).collect();
    let known = |first: u64| newest.gaps.contains(&first);
    let inner = headers.windows(2).filter(|pair| pair[1].previous != pair[0].first).map(|pair| pair[1].first);
    let front = headers.first().filter(|first| first.first > oldest).map(|first| first.first);
    inner.chain(front).filter(|first| !known(*first)).max()
}

/// Returns the index of a segment that was read whole, if `next` begins at its end.
fn ends_with(whole: SegmentReplay, next: &SegmentHeader) -> Result<SegmentIndex, JournalError> {
    let ActiveSegment { header, name, index, .. } = whole.active;
    if follows(&index.summary, &header, next) {
        return Ok(index);
    }
    Err(JournalError::damaged(&name, index.summary.end, "records are missing at the end"))
}

/// Describes each closed segment, from its index, or by reading it. The newest are read in any case; damage that costs
/// single records is added to `damaged`.
fn survey_closed(
    disk: &impl Disk,
    listed: &[ListedSegment],
    newest: &SegmentHeader,
    damaged: &mut Vec<String>,
) -> Result<VecDeque<ClosedSegment>, JournalError> {
    let mut closed = VecDeque::with_capacity(listed.len());
    let mut checked = 0;
    let mut next = newest;
    for ListedSegment { header, start, name } in listed.iter().rev() {
        let floor = header.floor();
        let known = index::read_summary(disk, header.first).filter(|(summary, body_crc)| {
            summary.floor == floor
                && follows(summary, header, next)
                && index::is_whole(disk, summary, *body_crc)
        });
        let summary = match known {
            Some((summary, _)) if checked + summary.end > CHECKED_AT_START_BYTES => summary,
            known => {
                let again = ListedSegment { header: header.clone(), start: *start, name: name.clone() };
                match (replay(disk, again, false).and_then(|whole| ends_with(whole, next)), known) {
                    (Ok(index), known) => {
                        if known.map(|(summary, _)| summary) != Some(index.summary) {
                            // Derived: without room for it the segment is read instead, each time.
                            let _ = write_index(disk, &index);
                        }
                        index.summary
                    }
                    // The index says where each record lies: readers pass over those that are broken, alone.
                    (Err(fault @ JournalError::Damaged { .. }), Some((summary, _))) => {
                        damaged.push(fault.to_string());
                        summary
                    }
                    (Err(fault), _) => return Err(fault),
                }
            }
        };
        checked += summary.end;
        closed.push_front(ClosedSegment { summary, salt: header.salt, index_checked: false });
        next = header;
    }
    Ok(closed)
}

/// Makes the index of a closed segment from the segment itself, when its file is missing or broken: the disk may have
/// been full when the segment was closed. Writes it again if there is room now.
///
/// # Errors
/// [`JournalError`]: the segment cannot be read either.
pub(super) fn indexed_again(
    disk: &impl Disk,
    summary: &SegmentSummary,
) -> Result<SegmentIndex, JournalError> {
    let name = segment::file_name(summary.floor.seq + 1);
    let (header, start) = SegmentHeader::read(disk, &name)?;
    let index = replay(disk, ListedSegment { header, start, name }, false)?.active.index;
    let _ = write_index(disk, &index);
    Ok(index)
}

/// Returns true if `next` begins where this segment ends, or if segments between them are missing: then nobody can say.
fn follows(summary: &SegmentSummary, header: &SegmentHeader, next: &SegmentHeader) -> bool {
    next.previous != header.first || summary.last == next.floor()
}
