//! The manifest of a database with a day in each directory (`covered`). A flush writes it last: the place of the
//! journal that it covers, and how many ids the filters of each day then had. If less is there, a missing day too, that
//! is damage: a copy of a running node, or a restore of some files, may hold days that are older than this.

use std::collections::BTreeMap;

use crate::identity::{Check, LogId};
use crate::store::format::FileFormat;
use crate::store::seen::CoveredPlace;
use crate::time::Timestamp;
use crate::wire::Mark;

/// Counts of one day, one for each of its filters.
pub(crate) type DayCounts = Vec<u64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DayManifest {
    pub covered: CoveredPlace,
    /// Random for each time that the database is made from nothing: files of an earlier one are told from these,
    /// though they may have more ids.
    pub making: u64,
    pub days: BTreeMap<u32, DayCounts>,
}

impl DayManifest {
    pub(crate) fn encode(&self, format: &FileFormat) -> Vec<u8> {
        let CoveredPlace { log_id, mark, floor } = self.covered;
        let mut out = format.magic().to_vec();
        out.extend_from_slice(&log_id.0);
        out.extend_from_slice(&mark.check.0);
        for number in [mark.seq, floor.0, self.making] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for (day, counts) in &self.days {
            out.extend_from_slice(&day.to_be_bytes());
            counts.iter().for_each(|count| out.extend_from_slice(&count.to_be_bytes()));
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads one of days with so many filters, behind its magic; `None` for what is torn.
    pub(crate) fn decode(file: &[u8], filters: usize) -> Option<Self> {
        let (content, crc) = file.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (_, rest) = content.split_first_chunk::<8>()?;
        let (log_id, rest) = rest.split_first_chunk::<16>()?;
        let (check, rest) = rest.split_first_chunk::<16>()?;
        let (seq, rest) = number(rest)?;
        let (floor, rest) = number(rest)?;
        let (making, mut rest) = number(rest)?;
        let mut days = BTreeMap::new();
        while !rest.is_empty() {
            let (day, mut behind) = rest.split_first_chunk::<4>()?;
            let mut counts = DayCounts::new();
            for _ in 0..filters {
                let (count, next) = number(behind)?;
                counts.push(count);
                behind = next;
            }
            days.insert(u32::from_be_bytes(*day), counts);
            rest = behind;
        }
        let mark = Mark { seq, check: Check(*check) };
        let covered = CoveredPlace { log_id: LogId(*log_id), mark, floor: Timestamp(floor) };
        Some(Self { covered, making, days })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_nothing_shorter_does() {
        let mark = Mark { seq: 7, check: Check([3; 16]) };
        let covered = CoveredPlace { log_id: LogId([2; 16]), mark, floor: Timestamp(5) };
        let days = [(20_000, vec![3, 0]), (20_001, vec![1, 1])].into();
        let manifest = DayManifest { covered, making: 9, days };
        let bytes = manifest.encode(&FileFormat::new(*b"imeshxy", 2, "xy/"));
        assert_eq!(DayManifest::decode(&bytes, 2), Some(manifest));
        assert!((0..bytes.len()).all(|cut| DayManifest::decode(&bytes[..cut], 2).is_none()));
    }
}
