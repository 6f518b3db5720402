//! A file beside the segments that names the newest of them, and the positions of consumers: the journal alone cannot
//! tell that its newest segment was moved away, and the positions would go with it. Written durably before the first
//! record of a segment, and again when positions have moved for some batches.

use std::collections::BTreeMap;
use std::io;

use super::disk::Disk;
use super::disk::NEW_SUFFIX;
use super::error::JournalError;
use super::format::FileFormat;

use crate::identity::LogId;
use crate::record::bytes::{RecordGlance, encode_note, glance};
use crate::record::{ConsumerName, Ledger, Position};

pub(crate) const FILE: &str = "newest";

pub(crate) const FORMAT: FileFormat = FileFormat::new(*b"imeshnw", 1, "that file");

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub log_id: LogId,
    /// First seq of the newest segment.
    pub first: u64,
    /// The last seq when this was written.
    pub last: u64,
    pub consumers: BTreeMap<ConsumerName, Position>,
    /// The highest that a consumer had, or has.
    pub generation: u64,
}

impl Newest {
    /// Reads the file; `None` if there is none, or if its CRC is wrong: it only proves what it can.
    ///
    /// # Errors
    /// [`JournalError`]: another version wrote it, or the disk fails.
    pub(crate) fn read(disk: &impl Disk) -> Result<Option<Self>, JournalError> {
        let len = match disk.len(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            len => usize::try_from(len.map_err(JournalError::io(FILE))?).unwrap_or(usize::MAX),
        };
        let bytes = disk.read(FILE, 0, len).map_err(JournalError::io(FILE))?;
        let sound = FORMAT.check(&format!("journal/{FILE}"), &bytes).map_err(JournalError::Format)?;
        Ok(Self::decode(&bytes).filter(|_| sound))
    }

    /// Replaces the file, durably.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn write(&self, disk: &impl Disk) -> io::Result<()> {
        let new = format!("{FILE}{NEW_SUFFIX}");
        disk.create(&new)?;
        disk.write(&new, 0, &self.encode())?;
        disk.publish(&new, FILE)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = FORMAT.magic().to_vec();
        out.extend_from_slice(&self.log_id.0);
        for number in [self.first, self.last] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        let (consumers, generation) = (self.consumers.clone(), self.generation);
        let ledger = Ledger { consumers, generation, ..Ledger::default() };
        for note in ledger.positions() {
            let mut record = Vec::new();
            encode_note(&note, &mut record);
            out.extend_from_slice(&(record.len() as u16).to_be_bytes());
            out.extend_from_slice(&record);
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(file: &[u8]) -> Option<Self> {
        let (content, crc) = file.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (_, rest) = content.split_first_chunk::<8>()?;
        let (log_id, rest) = rest.split_first_chunk::<16>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (last, mut rest) = rest.split_first_chunk::<8>()?;
        let mut ledger = Ledger::default();
        while let Some((len, behind)) = rest.split_first_chunk::<2>() {
            let (record, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into())?;
            let Ok(RecordGlance::Note(note)) = glance(record) else { return None };
            ledger.apply(&note);
            rest = behind;
        }
        Some(Self {
            log_id: LogId(*log_id),
            first: u64::from_be_bytes(*first),
            last: u64::from_be_bytes(*last),
            consumers: ledger.consumers,
            generation: ledger.generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory_disk::MemoryDisk;

    #[test]
    fn what_is_written_reads_back_and_nothing_shorter_does() {
        let at = |seq, missing| Position { seq, own: true, missing, generation: missing };
        let name = |text| ConsumerName::parse(text).unwrap();
        let consumers = [(name("soc"), at(7, 2)), (name("siem"), at(0, 3)), (name("new"), at(0, 0))].into();
        let newest = Newest { log_id: LogId([2; 16]), first: 5, last: 9, consumers, generation: 4 };
        let disk = MemoryDisk::default();
        assert_eq!(Newest::read(&disk).unwrap(), None);
        newest.write(&disk).unwrap();
        disk.crash(0);
        assert_eq!(Newest::read(&disk).unwrap(), Some(newest.clone()));
        let bytes = newest.encode();
        assert!((0..bytes.len()).all(|cut| Newest::decode(&bytes[..cut]).is_none()));
        disk.put(FILE, [b"imeshnw2", &bytes[8..]].concat());
        assert!(matches!(Newest::read(&disk), Err(JournalError::Format(_))));
    }
}
