//! The journal (decisions/0022): an append-only log of carriers and notes in segment files, each beginning
//! with all current positions. Opening it replays the newest segment, cuts a torn tail, and tells damage from
//! it. `append` writes, `read` finds and reads, `retain` gives up the oldest segments. One appender at a time;
//! nothing here waits, locks or knows the seen set.

mod append;
#[cfg(test)]
mod cache_tests;
mod compact;
#[cfg(test)]
mod compact_tests;
mod find;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod model_tests;
mod open;
mod read;
mod retain;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;

use super::disk::Disk;
use super::index::{SegmentIndex, SegmentSummary};
use super::newest::Newest;
use super::segment::SegmentHeader;
use crate::identity::{CheckSecret, LogId};
use crate::limits::SEGMENT_BYTES;
use crate::record::{Entry, JournalEnds, Ledger};
use crate::time::Timestamp;
use crate::wire::Mark;

pub(crate) use append::{AppendError, JournalBatch};
pub(crate) use find::Search;
pub(crate) use open::WentBack;
pub(crate) use read::FoundEntries;
pub(crate) use retain::Retirement;
pub(crate) use walk::Unreadable;

/// Bytes of entries that are kept in memory for readers at the end of the journal.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The operator's choices.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// All segments together hold about this much at most, in bytes; the active one is never given up.
    pub keep_bytes: u64,
    /// Entries older than this are given up, in ms from their arrival.
    pub keep_ms: u64,
}

impl JournalConfig {
    /// Returns an eighth of what is kept, so that retention takes little at a time.
    pub fn segment_bytes(&self) -> u64 {
        (self.keep_bytes / 8).clamp(64 * 1024, SEGMENT_BYTES)
    }
}

/// Chance, made by the caller for each start.
#[derive(Clone, Copy, Debug)]
pub struct FreshJournal {
    /// The name of the journal if one has to be made anew.
    pub log_id: LogId,
    /// Begins the CRCs of segments made from now on; it stays secret.
    pub salt: u32,
    /// The secret of the checks if the journal has to be made anew.
    pub check_secret: CheckSecret,
}

/// A segment that is no longer written.
#[derive(Clone, Copy, Debug)]
struct ClosedSegment {
    summary: SegmentSummary,
    salt: u32,
    /// The index beside it was read whole since the start, or is not worth reading again.
    index_checked: bool,
}

impl ClosedSegment {
    fn first(&self) -> u64 {
        self.summary.floor.seq + 1
    }
}

/// The segment that is written.
#[derive(Debug)]
struct ActiveSegment {
    header: SegmentHeader,
    name: String,
    index: SegmentIndex,
    /// End of header, ledger and the carriers that were kept with it.
    start: u64,
    /// Bytes of those carriers' frames, and of all carriers' frames.
    kept: u64,
    carried: u64,
    /// Offset of the next frame.
    end: u64,
    /// Room up to here was asked for.
    reserved: u64,
    /// Offset of a quiet mark that no sync has covered yet.
    unsynced: Option<u64>,
}

/// Says how much of the journal's state stands in the file beside its segments ([`Newest`]).
#[derive(Clone, Copy, Debug, Default)]
struct NamedSegment {
    /// The newest segment: without that nothing is written to it.
    segment: Option<(LogId, u64)>,
    /// Batches since then that moved positions.
    moved: u32,
}

#[derive(Debug)]
pub struct Journal<D> {
    disk: Arc<D>,
    config: JournalConfig,
    fresh: FreshJournal,
    /// Oldest first.
    closed: VecDeque<ClosedSegment>,
    active: ActiveSegment,
    ledger: Ledger,
    /// Segments below this first seq were given up.
    oldest: u64,
    named: NamedSegment,
    /// Ever gave up or lost something: the seen set may hold what is no longer here.
    dropped: bool,
    /// How often the active segment was written anew: places that were located before are not valid any more.
    rewritten: u64,
    tail: JournalTail,
}

impl<D: Disk> Journal<D> {
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn log_id(&self) -> LogId {
        self.active.header.log_id
    }

    /// Returns the newest synced carrier.
    pub fn last(&self) -> Mark {
        self.active.index.summary.last
    }

    /// Returns the place before the oldest carrier still held.
    pub fn floor(&self) -> Mark {
        self.closed.front().map_or(self.active.index.summary.floor, |closed| closed.summary.floor)
    }

    /// Returns true if nothing was ever given up, cut out or lost: every carrier that this journal ever held is in it.
    pub fn is_complete(&self) -> bool {
        !self.dropped
    }

    pub fn ends(&self) -> JournalEnds {
        let with_carriers = || self.summaries().filter(|summary| summary.carriers() > 0);
        JournalEnds {
            log_id: self.log_id(),
            floor: self.floor(),
            last: self.last(),
            newest: with_carriers().map(|summary| summary.newest).max().unwrap_or_default(),
            oldest: with_carriers().next().map_or(Timestamp(0), |summary| summary.oldest),
        }
    }

    /// Bytes of all segments, without their indexes and what is reserved.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.summary.end).sum::<u64>() + self.active.end
    }

    pub fn disk(&self) -> &Arc<D> {
        &self.disk
    }

    /// Returns the content that the file beside the segments should have.
    fn newest(&self) -> Newest {
        let (log_id, first) = (self.log_id(), self.active.header.first);
        let (consumers, generation) = (self.ledger.consumers.clone(), self.ledger.generation);
        Newest { log_id, first, last: self.last().seq, consumers, generation }
    }

    fn summaries(&self) -> impl Iterator<Item = &SegmentSummary> {
        self.closed.iter().map(|closed| &closed.summary).chain([&self.active.index.summary])
    }
}

/// The newest entries, in memory, in order and without holes.
#[derive(Debug, Default)]
struct JournalTail {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl JournalTail {
    fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        while self.bytes > TAIL_BYTES_MAX
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= weight(&oldest);
        }
    }

    /// Returns the index of the entry with this seq.
    fn position(&self, seq: u64) -> Option<usize> {
        let nth = usize::try_from(seq.checked_sub(self.entries.front()?.seq)?).ok()?;
        (nth < self.entries.len()).then_some(nth)
    }
}

/// Bytes that an entry counts for, in a read and in memory.
fn weight(entry: &Entry) -> usize {
    entry.envelope.weight() + 256
}
