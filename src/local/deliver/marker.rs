//! Remembers which entry a receiver took last, beside the journal (`handed/NAME`). A consumer's position becomes
//! durable a moment after the receiver's answer; if the process were killed in between, the receiver would get some
//! entries again. This mark is written with each answer and never synced: it survives the death of the process, which
//! is enough, and costs almost nothing. The journal is asked whether the mark fits it: a restored journal must lose
//! nothing.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::identity::{Check, LogId};
use crate::wire::Mark;

/// An entry of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandedMark {
    pub log_id: LogId,
    pub mark: Mark,
    /// Generation of the consumer's position when the receiver took it.
    pub generation: u64,
}

/// Log id, seq, check and generation, each with a blank or a line end behind it.
const BYTES: usize = 33 + 21 + 33 + 21;

impl HandedMark {
    /// Returns true if it comes first: a later generation is after an earlier one, even if its position went back.
    pub(crate) fn is_before(&self, other: Self) -> bool {
        (self.generation, self.mark.seq) < (other.generation, other.mark.seq)
    }

    /// Returns one line of fixed length.
    pub(crate) fn to_text(self) -> String {
        let Self { log_id, mark: Mark { seq, check }, generation } = self;
        format!("{log_id} {seq:020} {check} {generation:020}\n")
    }

    /// Reads what [`HandedMark::to_text`] wrote; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let log_id = bytes_of(words.next()?)?;
        let seq = words.next()?.parse().ok()?;
        let check = bytes_of(words.next()?)?;
        let generation = words.next()?.parse().ok()?;
        let mark = Mark { seq, check: Check(check) };
        words.next().is_none().then_some(Self { log_id: LogId(log_id), mark, generation })
    }
}

fn bytes_of<const N: usize>(hex: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

/// The file of one consumer.
#[derive(Debug)]
pub(crate) struct HandedFile(File);

impl HandedFile {
    /// # Errors
    /// Returns errors of the file system.
    pub(crate) fn open(dir: &Path, name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(dir.join(name))?;
        Ok(Self(file))
    }

    /// Returns the last written mark, by this process or one before it.
    pub(crate) fn read(&self) -> Option<HandedMark> {
        let mut text = String::new();
        let mut file = &self.0;
        io::Seek::seek(&mut file, io::SeekFrom::Start(0)).ok()?;
        file.take(BYTES as u64).read_to_string(&mut text).ok()?;
        HandedMark::parse(&text)
    }

    /// # Errors
    /// Returns errors of the file system; the mark before it may be lost.
    pub(crate) fn write(&self, mark: HandedMark) -> io::Result<()> {
        self.0.write_all_at(mark.to_text().as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_is_read_again_and_garbage_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = HandedFile::open(&dir.path().join("handed"), "pipeline").unwrap();
        assert_eq!(file.read(), None);
        for seq in [7, u64::MAX, 3] {
            let at = Mark { seq, check: Check([seq as u8; 16]) };
            let mark = HandedMark { log_id: LogId([9; 16]), mark: at, generation: seq };
            assert_eq!(mark.to_text().len(), BYTES);
            file.write(mark).unwrap();
            assert_eq!(file.read(), Some(mark));
            assert_eq!(HandedFile::open(&dir.path().join("handed"), "pipeline").unwrap().read(), Some(mark));
        }
        for text in ["", "x", "00 1 00", &"0".repeat(BYTES)] {
            assert_eq!(HandedMark::parse(text), None);
        }
    }
}
