//! Finds entries by identity. The journal gives a list of indexes ([`Journal::search`], cheap), and those of closed
//! segments are then read without it ([`Search::run`]): there may be hundreds of them.

use std::io;

use uuid::Uuid;

use super::Journal;
use super::open::indexed_again;
use crate::identity::EventId;
use crate::store::disk::Disk;
use crate::store::error::JournalError;
use crate::store::index::{self, SegmentSummary};

/// Seqs of carriers with such a UUID, newest segment first.
#[derive(Clone, Debug)]
pub struct Search {
    range: (Uuid, Uuid),
    limit: usize,
    /// From the segment that is written.
    seqs: Vec<u64>,
    /// Newest first.
    closed: Vec<SegmentSummary>,
}

impl Search {
    /// Looks through the closed segments. One that retention took meanwhile holds nothing.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn run(self, disk: &impl Disk) -> Result<Vec<u64>, JournalError> {
        let Self { range, limit, mut seqs, closed } = self;
        for summary in &closed {
            if seqs.len() >= limit {
                break;
            }
            let found = seqs_in(disk, summary, range, limit - seqs.len());
            match found {
                Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                found => seqs.extend(found?),
            }
        }
        Ok(seqs)
    }
}

/// Seqs of carriers with such a UUID in one closed segment, at most `limit`.
///
/// # Errors
/// [`JournalError`].
pub(super) fn seqs_in(
    disk: &impl Disk,
    summary: &SegmentSummary,
    range: (Uuid, Uuid),
    limit: usize,
) -> Result<Vec<u64>, JournalError> {
    let found = index::between_on_disk(disk, summary, range, limit);
    found.or_else(|_| Ok(indexed_again(disk, summary)?.between(range.0, range.1, limit)))
}

impl<D: Disk> Journal<D> {
    /// Returns the search for UUIDs from `low` to `high`, both included.
    pub fn search(&self, low: Uuid, high: Uuid, limit: usize) -> Search {
        let seqs = self.active.index.between(low, high, limit);
        let closed = self.closed.iter().rev().map(|closed| closed.summary);
        Search { range: (low, high), limit, seqs, closed: closed.collect() }
    }

    /// Returns the search for entry `id`.
    pub fn search_for(&self, id: &EventId) -> Search {
        self.search(id.uuid, id.uuid, usize::MAX)
    }

    /// Returns the stored envelope of an identity: the latest, if there are two.
    ///
    /// # Errors
    /// [`JournalError`].
    #[cfg(any(test, feature = "sim"))]
    pub fn fetch(&self, id: &EventId) -> Result<Option<std::sync::Arc<crate::record::Entry>>, JournalError> {
        for seq in self.search_for(id).run(&*self.disk)? {
            if let Some(entry) = self.entry(seq)?
                && entry.envelope.id() == id
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Returns the search for UUIDs that begin with these hexadecimal digits (dashes are passed over); `None` if they
    /// are not a prefix of 8 or more.
    pub fn search_for_prefix(&self, prefix: &str, limit: usize) -> Option<Search> {
        let (low, high) = prefix_range(prefix)?;
        Some(self.search(low, high, limit))
    }
}

/// Returns the lowest and the highest UUID that begin with these digits.
fn prefix_range(prefix: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    if !(8..=32).contains(&digits.len()) {
        return None;
    }
    let low = u128::from_str_radix(&format!("{digits:0<32}"), 16).ok()?;
    let high = u128::from_str_radix(&format!("{digits:f<32}"), 16).ok()?;
    (!digits.contains('+')).then(|| (Uuid::from_u128(low), Uuid::from_u128(high)))
}
