//! The index of one segment: where each seq begins, what its check and its key are, and which carriers have a UUID. In
//! memory for the segment that is written, beside each closed one in a file of its own, which is derived: if it is
//! missing or wrong it is made again from the segment. An index is right about an entry even if that entry is broken.
//! Nothing here decides what is kept.

use std::collections::BTreeSet;

use bytes::Bytes;
use uuid::Uuid;

use super::disk::Disk;
use super::error::JournalError;
use super::format::FileFormat;
use crate::identity::{Check, EventKey};
use crate::record::bytes::CarrierHead;
use crate::time::Timestamp;
use crate::wire::Mark;

/// The format that stands at the start of an index.
pub(crate) const FORMAT: FileFormat = FileFormat::new(*b"imeshix", 3, "that file");

pub(super) const HEAD_BYTES: usize = 96;
const PLACE_BYTES: usize = 36;
const ROW_BYTES: usize = 20;

/// Rows of the UUID table that one step of a search reads.
const ROWS_AT_ONCE: usize = 128;

/// Returns the name of the index beside the segment with this first seq.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.idx")
}

/// Describes a segment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    /// Seq before its first carrier, and the check there.
    pub floor: Mark,
    pub last: Mark,
    /// Bytes of the segment that hold frames.
    pub end: u64,
    /// Arrival of its first and its latest carrier; 0 if it has none.
    pub oldest: Timestamp,
    pub newest: Timestamp,
    /// How many of its carriers have a content id.
    pub content: u32,
}

impl SegmentSummary {
    pub(crate) fn empty(floor: Mark, end: u64) -> Self {
        Self { floor, last: floor, end, oldest: Timestamp(0), newest: Timestamp(0), content: 0 }
    }

    pub(crate) fn carriers(&self) -> u64 {
        self.last.seq - self.floor.seq
    }

    pub(crate) fn holds(&self, seq: u64) -> bool {
        seq > self.floor.seq && seq <= self.last.seq
    }

    fn add(&mut self, head: &CarrierHead) {
        if self.carriers() == 0 {
            self.oldest = head.arrived;
        }
        self.last = head.mark;
        self.newest = self.newest.max(head.arrived);
        self.content += u32::from(head.content);
    }
}

/// Describes one carrier without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexPlace {
    /// Offset of its frame, in bytes from the start of its segment.
    pub offset: u32,
    /// The running check after it.
    pub check: Check,
    pub key: EventKey,
}

impl IndexPlace {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.check.0);
        out.extend_from_slice(&self.key.0);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<16>()?;
        let key = rest.try_into().ok()?;
        Some(Self { offset: u32::from_be_bytes(*offset), check: Check(*check), key: EventKey(key) })
    }
}

/// The index of a segment, whole, in memory.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIndex {
    pub summary: SegmentSummary,
    places: Vec<IndexPlace>,
    uuids: BTreeSet<(Uuid, u64)>,
}

impl SegmentIndex {
    pub(crate) fn new(floor: Mark, end: u64) -> Self {
        Self { summary: SegmentSummary::empty(floor, end), places: Vec::new(), uuids: BTreeSet::new() }
    }

    /// Adds a carrier; the next one begins at `offset`.
    pub(crate) fn add(&mut self, head: &CarrierHead, offset: u64) {
        self.summary.add(head);
        self.places.push(IndexPlace { offset: offset as u32, check: head.mark.check, key: head.key });
        self.uuids.insert((head.uuid, head.mark.seq));
    }

    pub(crate) fn place(&self, seq: u64) -> Option<IndexPlace> {
        let nth = usize::try_from(seq.checked_sub(self.summary.floor.seq + 1)?).ok()?;
        self.places.get(nth).copied()
    }

    /// Returns the seqs of carriers with a UUID from `low` to `high`, both included; at most `limit`.
    pub(crate) fn between(&self, low: Uuid, high: Uuid, limit: usize) -> Vec<u64> {
        self.uuids.range((low, 0)..=(high, u64::MAX)).take(limit).map(|(_, seq)| *seq).collect()
    }

    /// Encodes the file of this index.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.places.len() * (PLACE_BYTES + ROW_BYTES));
        self.places.iter().for_each(|place| place.put(&mut body));
        for (uuid, seq) in &self.uuids {
            body.extend_from_slice(uuid.as_bytes());
            body.extend_from_slice(&((seq - self.summary.floor.seq) as u32).to_be_bytes());
        }
        let mut out = head(&self.summary, crc32c::crc32c(&body));
        out.extend_from_slice(&body);
        out
    }
}

fn head(summary: &SegmentSummary, body_crc: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(&FORMAT.magic());
    for mark in [summary.floor, summary.last] {
        out.extend_from_slice(&mark.seq.to_be_bytes());
        out.extend_from_slice(&mark.check.0);
    }
    for number in [summary.end, summary.oldest.0, summary.newest.0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&summary.content.to_be_bytes());
    out.extend_from_slice(&body_crc.to_be_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out.resize(HEAD_BYTES, 0);
    out
}

/// Reads the summary in the index beside a segment; `None` if that is missing, torn or another version's.
pub(crate) fn read_summary(disk: &impl Disk, first: u64) -> Option<(SegmentSummary, u32)> {
    let bytes = disk.read(&file_name(first), 0, HEAD_BYTES).ok()?;
    let bytes: [u8; HEAD_BYTES] = bytes.as_ref().try_into().ok()?;
    let number =
        |at: usize| bytes[at..at + 8].first_chunk::<8>().map_or(0, |eight| u64::from_be_bytes(*eight));
    let check = |at: usize| Check(bytes[at..at + 16].first_chunk().copied().unwrap_or_default());
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let summary = SegmentSummary {
        floor: Mark { seq: number(8), check: check(16) },
        last: Mark { seq: number(32), check: check(40) },
        end: number(56),
        oldest: Timestamp(number(64)),
        newest: Timestamp(number(72)),
        content: word(80),
    };
    let body_crc = word(84);
    let sound = summary.last.seq >= summary.floor.seq && head(&summary, body_crc) == bytes;
    sound.then_some((summary, body_crc))
}

/// Checks if the rest of the file is as its head says. Costs a read of the whole.
pub(crate) fn is_whole(disk: &impl Disk, summary: &SegmentSummary, body_crc: u32) -> bool {
    let len = summary.carriers() as usize * (PLACE_BYTES + ROW_BYTES);
    let body = disk.read(&file_name(summary.floor.seq + 1), HEAD_BYTES as u64, len);
    body.is_ok_and(|body| body.len() == len && crc32c::crc32c(&body) == body_crc)
}

/// As [`SegmentIndex::place`], in the index of a closed segment that holds `seq`.
///
/// # Errors
/// [`JournalError`].
pub(crate) fn place_on_disk(
    disk: &impl Disk,
    summary: &SegmentSummary,
    seq: u64,
) -> Result<IndexPlace, JournalError> {
    let name = file_name(summary.floor.seq + 1);
    let at = HEAD_BYTES as u64 + (seq - summary.floor.seq - 1) * PLACE_BYTES as u64;
    let bytes = disk.read(&name, at, PLACE_BYTES).map_err(JournalError::io(&name))?;
    IndexPlace::parse(&bytes).ok_or_else(|| JournalError::damaged(&name, at, "cut short"))
}

/// As [`SegmentIndex::between`], in the index of a closed segment.
///
/// # Errors
/// [`JournalError`].
pub(crate) fn between_on_disk(
    disk: &impl Disk,
    summary: &SegmentSummary,
    (low, high): (Uuid, Uuid),
    limit: usize,
) -> Result<Vec<u64>, JournalError> {
    let table = IndexTable { disk, summary: *summary, name: file_name(summary.floor.seq + 1) };
    let mut seqs = Vec::new();
    let mut row = table.lower_bound(low)?;
    while row < table.rows() && seqs.len() < limit {
        let rows = table.read(row, ROWS_AT_ONCE)?;
        let (chunks, _) = rows.as_chunks::<ROW_BYTES>();
        if chunks.is_empty() {
            break;
        }
        for chunk in chunks {
            if uuid_of(chunk) > high || seqs.len() >= limit {
                return Ok(seqs);
            }
            let delta = u32::from_be_bytes([chunk[16], chunk[17], chunk[18], chunk[19]]);
            seqs.push(summary.floor.seq + u64::from(delta));
        }
        row += chunks.len();
    }
    Ok(seqs)
}

fn uuid_of(row: &[u8; ROW_BYTES]) -> Uuid {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&row[..16]);
    Uuid::from_bytes(uuid)
}

/// The sorted (UUID, seq) table of an index file.
struct IndexTable<'a, D> {
    disk: &'a D,
    summary: SegmentSummary,
    name: String,
}

impl<D: Disk> IndexTable<'_, D> {
    fn rows(&self) -> usize {
        self.summary.carriers() as usize
    }

    fn read(&self, row: usize, rows: usize) -> Result<Bytes, JournalError> {
        let at = HEAD_BYTES + self.rows() * PLACE_BYTES + row * ROW_BYTES;
        let rows = rows.min(self.rows() - row);
        self.disk.read(&self.name, at as u64, rows * ROW_BYTES).map_err(JournalError::io(&self.name))
    }

    /// Returns the first row with a UUID that is not below `low`.
    fn lower_bound(&self, low: Uuid) -> Result<usize, JournalError> {
        let (mut from, mut to) = (0, self.rows());
        while from < to {
            let middle = from + (to - from) / 2;
            let row = self.read(middle, 1)?;
            let below = row.first_chunk::<ROW_BYTES>().is_some_and(|row| uuid_of(row) < low);
            if below { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }
}
