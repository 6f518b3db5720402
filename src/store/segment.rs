//! One segment file of the journal: its name, its header, and reading it frame by frame. A segment appears
//! under its name only when its header and the notes behind it are synced, so that a broken header is always
//! damage. Which segments there are, and what follows from it, is `journal`'s.

use std::io;

use bytes::Bytes;

use super::disk::{Disk, is_bad_block};
use super::error::JournalError;
use super::format::OtherFormat;
use super::frame::{self, FrameLook};
use super::index;
use super::newest;
use crate::identity::{Check, CheckSecret, LogId};
use crate::record::Note;
use crate::record::bytes::{CarrierHead, RecordError, RecordGlance, glance};
use crate::wire::Mark;

/// The first bytes of every segment.
const MAGIC: &[u8; 8] = b"imeshjnl";

/// The version of everything in a segment. Any other is refused, and left as it is.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// Magic and version, before the first frame.
pub(crate) const PREFIX_BYTES: usize = 12;

/// Number of places with a predecessor known to be missing; if there are more, the older are forgotten.
pub(crate) const GAPS_MAX: usize = 64;

const WINDOW_BYTES: usize = 1024 * 1024;

/// The journal's own records, between carriers and notes.
mod kind {
    pub(crate) const RETIRED: u8 = 0xf0;
    pub(crate) const QUIET: u8 = 0xf1;
}

/// A record, as far as a replay looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentPiece {
    Carrier(CarrierHead),
    Note(Note),
    /// Segments below this first seq were given up, and are removed if they are still there.
    Retired(u64),
    /// Nothing was waiting: proves that what lies before it was synced.
    Quiet,
}

/// # Errors
/// [`RecordError`].
pub fn piece(record: &[u8]) -> Result<SegmentPiece, RecordError> {
    match record.split_first() {
        Some((&kind::RETIRED, rest)) => {
            let rest = <[u8; 8]>::try_from(rest).map_err(|_| RecordError::Short)?;
            Ok(SegmentPiece::Retired(u64::from_be_bytes(rest)))
        }
        Some((&kind::QUIET, [])) => Ok(SegmentPiece::Quiet),
        _ => Ok(match glance(record)? {
            RecordGlance::Carrier(head) => SegmentPiece::Carrier(head),
            RecordGlance::Note(note) => SegmentPiece::Note(note),
        }),
    }
}

pub(crate) fn encode_retired(first: u64, out: &mut Vec<u8>) {
    out.push(kind::RETIRED);
    out.extend_from_slice(&first.to_be_bytes());
}

pub(crate) fn encode_quiet(out: &mut Vec<u8>) {
    out.push(kind::QUIET);
}

/// Returns the name of the segment that begins with the carrier of this seq.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// Returns the seq in a segment's name; `None` for other files.
pub(crate) fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub log_id: LogId,
    /// Seq of its first carrier.
    pub first: u64,
    /// The check before that carrier.
    pub before: Check,
    /// First seq of the segment before it; 0 if there is none.
    pub previous: u64,
    /// First seq of the oldest segment that was kept when this one was made.
    pub oldest: u64,
    /// First seqs of segments that are known to lack their predecessor.
    pub gaps: Vec<u64>,
    /// Secret; begins the CRC of every frame behind the header.
    pub salt: u32,
    /// Bytes of frames behind the header that were synced with it: the ledger, and carriers that were kept.
    pub ledger_bytes: u32,
    /// Of the whole journal: each new segment has a copy.
    pub check_secret: CheckSecret,
}

impl SegmentHeader {
    pub(crate) fn floor(&self) -> Mark {
        Mark { seq: self.first - 1, check: self.before }
    }

    /// Encodes prefix and header frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        frame::put(&mut out, 0, 0, |out| {
            out.extend_from_slice(&self.log_id.0);
            for number in [self.first, self.previous, self.oldest] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            out.extend_from_slice(&self.before.0);
            out.extend_from_slice(&self.salt.to_be_bytes());
            out.extend_from_slice(&self.ledger_bytes.to_be_bytes());
            out.extend_from_slice(self.check_secret.bytes());
            out.push(self.gaps.len().min(GAPS_MAX) as u8);
            let newest = self.gaps.iter().skip(self.gaps.len().saturating_sub(GAPS_MAX));
            newest.for_each(|gap| out.extend_from_slice(&gap.to_be_bytes()));
        });
        out
    }

    /// Reads the header of a segment; also returns the offset of its frames.
    ///
    /// # Errors
    /// [`JournalError`]: a segment without a whole header is damaged.
    pub(crate) fn read(disk: &impl Disk, name: &str) -> Result<(Self, u64), JournalError> {
        let bytes = disk.read(name, 0, 4096).map_err(JournalError::io(name))?;
        let rest = behind_prefix(name, &bytes)?;
        let FrameLook::Whole(found) = frame::look(rest, 0) else {
            return Err(JournalError::damaged(name, PREFIX_BYTES as u64, "the header is broken"));
        };
        let header = Self::decode(&rest[frame::FRAME_HEAD_BYTES..found.frame_bytes()]);
        let header = header.filter(|header| header.first >= 1 && Some(header.first) == first_of_name(name));
        let header = header.ok_or_else(|| {
            JournalError::damaged(name, PREFIX_BYTES as u64, "the header is not of this file")
        })?;
        Ok((header, (PREFIX_BYTES + found.frame_bytes()) as u64))
    }

    fn decode(record: &[u8]) -> Option<Self> {
        let (log_id, rest) = record.split_first_chunk::<16>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (previous, rest) = rest.split_first_chunk::<8>()?;
        let (oldest, rest) = rest.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<16>()?;
        let (salt, rest) = rest.split_first_chunk::<4>()?;
        let (ledger_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (check_secret, rest) = rest.split_first_chunk::<32>()?;
        let (count, rest) = rest.split_first()?;
        if rest.len() != usize::from(*count) * 8 || usize::from(*count) > GAPS_MAX {
            return None;
        }
        let (gaps, _) = rest.as_chunks::<8>();
        Some(Self {
            log_id: LogId(*log_id),
            first: u64::from_be_bytes(*first),
            before: Check(*before),
            previous: u64::from_be_bytes(*previous),
            oldest: u64::from_be_bytes(*oldest),
            gaps: gaps.iter().map(|gap| u64::from_be_bytes(*gap)).collect(),
            salt: u32::from_be_bytes(*salt),
            ledger_bytes: u32::from_be_bytes(*ledger_bytes),
            check_secret: CheckSecret::new(*check_secret),
        })
    }
}

/// Returns what follows magic and version. The version comes before any CRC: a later version may frame its header in
/// another way.
fn behind_prefix<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], JournalError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(JournalError::damaged(name, 0, "no header"));
    };
    if &prefix[..8] != MAGIC {
        return Err(JournalError::damaged(name, 0, "not a segment of a journal"));
    }
    let found = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    if found == FORMAT_VERSION {
        return Ok(rest);
    }
    let file = format!("journal/{name}");
    Err(JournalError::Format(OtherFormat { file, found, reads: FORMAT_VERSION, derived: None }))
}

/// Refuses a directory with a segment or an index of another version, before anything in it is changed.
///
/// # Errors
/// [`JournalError`].
pub(crate) fn check_formats(disk: &impl Disk) -> Result<(), JournalError> {
    let names = disk.list().map_err(JournalError::io(""))?;
    let start = |name: &str, len| disk.read(name, 0, len).map_err(JournalError::io(name));
    for name in names.iter().filter(|name| first_of_name(name).is_some()) {
        behind_prefix(name, &start(name, PREFIX_BYTES)?)?;
    }
    for name in &names {
        let format = match name.as_str() {
            newest::FILE => newest::FORMAT,
            name if name.ends_with(".idx") => index::FORMAT,
            _ => continue,
        };
        let checked = format.check(&format!("journal/{name}"), &start(name, 8)?);
        checked.map_err(JournalError::Format)?;
    }
    Ok(())
}

/// The next step of a scan.
#[derive(Debug)]
pub(crate) enum ScanStep {
    Frame {
        at: u64,
        record: Bytes,
    },
    /// Nothing was written behind the last frame.
    End,
    /// No whole frame, but bytes.
    Broken,
    /// The disk cannot give the bytes of the next frame.
    BadBlock(io::Error),
}

/// Reads a segment's frames in order, through a window.
pub(crate) struct SegmentScan<'a, D> {
    disk: &'a D,
    name: &'a str,
    salt: u32,
    window: Bytes,
    window_at: u64,
    window_bytes: usize,
    at: u64,
    batch: u32,
}

impl<'a, D: Disk> SegmentScan<'a, D> {
    pub(crate) fn new(disk: &'a D, name: &'a str, salt: u32, at: u64) -> Self {
        Self {
            disk,
            name,
            salt,
            window: Bytes::new(),
            window_at: at,
            window_bytes: WINDOW_BYTES,
            at,
            batch: 0,
        }
    }

    /// Returns the offset of the next frame.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the batch of the frame that was read last, which is the offset of that batch.
    pub(crate) fn batch(&self) -> u32 {
        self.batch
    }

    /// # Errors
    /// [`JournalError::Io`] alone.
    pub(crate) fn step(&mut self) -> Result<ScanStep, JournalError> {
        let mut least = 0;
        loop {
            let skip = (self.at - self.window_at) as usize;
            let rest = self.window.slice(skip.min(self.window.len())..);
            match frame::look(&rest, self.salt) {
                FrameLook::Whole(found) if found.batch >= self.batch && u64::from(found.batch) <= self.at => {
                    let record = rest.slice(frame::FRAME_HEAD_BYTES..found.frame_bytes());
                    let at = self.at;
                    self.at += found.frame_bytes() as u64;
                    self.batch = found.batch;
                    return Ok(ScanStep::Frame { at, record });
                }
                FrameLook::Whole(_) | FrameLook::Broken => return Ok(ScanStep::Broken),
                FrameLook::End if rest.len() >= frame::FRAME_HEAD_BYTES => return Ok(ScanStep::End),
                FrameLook::End if least > 0 => return Ok(ScanStep::End),
                FrameLook::Needs(bytes) if least >= bytes => return Ok(ScanStep::Broken),
                FrameLook::End => least = frame::FRAME_HEAD_BYTES,
                FrameLook::Needs(bytes) => least = bytes,
            }
            match self.fill(least) {
                Err(error) if is_bad_block(&error) => return Ok(ScanStep::BadBlock(error)),
                filled => filled.map_err(JournalError::io(self.name))?,
            }
        }
    }

    /// Reads the window anew. Before a bad block windows get smaller, down to the `least` bytes of one record: it costs
    /// no other one, and few reads that fail, each of which a disk tries for seconds.
    fn fill(&mut self, least: usize) -> io::Result<()> {
        loop {
            match self.disk.read(self.name, self.at, least.max(self.window_bytes)) {
                Err(error) if is_bad_block(&error) && self.window_bytes > least => self.window_bytes /= 2,
                window => {
                    self.window = window?;
                    self.window_at = self.at;
                    return Ok(());
                }
            }
        }
    }

    /// Returns true if, after [`ScanStep::End`] or [`ScanStep::Broken`], a whole frame of a later batch follows. Then
    /// this place was once whole.
    ///
    /// # Errors
    /// [`JournalError::Io`] alone.
    pub(crate) fn is_damaged(&self) -> Result<bool, JournalError> {
        let end = self.disk.len(self.name).map_err(JournalError::io(self.name))?;
        let rest = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let rest = self.disk.read(self.name, self.at, rest).map_err(JournalError::io(self.name))?;
        Ok(frame::holds_later(&rest, self.salt, self.at))
    }
}
