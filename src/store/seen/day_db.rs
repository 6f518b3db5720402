//! The seen set on disk: a sled database for each day of `created` (decisions/0023), in blocks of up to 64 sorted
//! ids, with a filter beside each. Ids inserted since the last flush live in memory and are made again from the
//! journal after a crash. A flush writes the blocks, syncs them, writes the filters, and then the place that all this
//! covers. `days` has the files, and sled's rules. When something is inserted is not decided here.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::{CoveredPlace, Emptied, Flush, SeenDb, SeenError, SeenId};
use crate::identity::{CoreDigest, EventKey};
use crate::store::days::block::{BlockName, ROW_BYTES, SeenRow, block_key};
use crate::store::days::day_set::DaySet;
use crate::store::days::files::{DayFiles, DayKind};
use crate::store::days::filter::BloomLayers;
use crate::store::format::FileFormat;

/// Ids in one block: 3 KB, so that a leaf of sled stays far from its blobs.
pub(crate) const BLOCK_IDS: usize = 64;

/// Number of days, from the newest back, of which open blocks stay in memory after a flush and are filled further.
const HOT_DAYS: usize = 3;

/// Name of a day's filter.
const FILTER: &str = "filter";

const KIND: DayKind =
    DayKind { name: "seen", format: FileFormat::new(*b"imeshsn", 2, "seen/"), filters: &[FILTER] };

#[derive(Debug)]
struct Block {
    number: u32,
    rows: Vec<SeenRow>,
    dirty: bool,
}

impl Block {
    fn new(number: u32) -> Self {
        Self { number, rows: Vec::new(), dirty: false }
    }
}

#[derive(Debug, Default)]
struct SeenDay {
    filter: BloomLayers,
    /// The last block of each prefix that was inserted to.
    open: HashMap<u16, Block>,
    /// Blocks that became full and are in no flush yet.
    full: BTreeMap<BlockName, Vec<SeenRow>>,
    /// Blocks of a flush that has not yet succeeded.
    flushing: BTreeMap<BlockName, Arc<Vec<SeenRow>>>,
    /// A flush has written some of it.
    on_disk: bool,
}

#[derive(Debug)]
pub struct DayDb(DaySet<SeenDay>);

impl DayDb {
    /// Reads what is covered, and each day's filter, but opens no day.
    ///
    /// # Errors
    /// [`SeenError::Io`]: the directory cannot be read.
    pub fn open(dir: &Path, aside: &Path) -> Result<Self, SeenError> {
        let scan = |files: &DayFiles, day| {
            let mut filter = BloomLayers::default();
            files.each_row(day, |row| filter.insert(&key_of(row)))?;
            Ok(vec![filter])
        };
        let restore = |mut filters: Vec<BloomLayers>| {
            let filter = filters.pop().unwrap_or_default();
            SeenDay { filter, on_disk: true, ..SeenDay::default() }
        };
        DaySet::open(dir, aside, KIND, scan, restore).map(Self)
    }
}

fn prefix_of(key: &EventKey) -> u16 {
    u16::from_be_bytes([key.0[0], key.0[1]]) >> 4
}

pub(crate) fn key_of(row: &SeenRow) -> EventKey {
    let mut key = [0; 16];
    key.copy_from_slice(&row[..16]);
    EventKey(key)
}

/// Returns the digest under `key` in sorted rows.
fn in_rows(rows: &[SeenRow], key: &EventKey) -> Option<CoreDigest> {
    let at = rows.binary_search_by(|row| row[..16].cmp(&key.0)).ok()?;
    rows[at].last_chunk::<32>().map(|digest| CoreDigest(*digest))
}

impl SeenDay {
    fn in_memory(&self, key: &EventKey) -> Option<CoreDigest> {
        let prefix = prefix_of(key);
        let all = (prefix, 0)..=(prefix, u32::MAX);
        let open = self.open.get(&prefix).and_then(|block| in_rows(&block.rows, key));
        let full = || self.full.range(all.clone()).find_map(|(_, rows)| in_rows(rows, key));
        let flushing = || self.flushing.range(all.clone()).find_map(|(_, rows)| in_rows(rows, key));
        open.or_else(full).or_else(flushing)
    }

    /// Returns the blocks to write: those that changed, and those that the last flush failed to write.
    fn take_dirty(&mut self) -> Vec<(BlockName, Arc<Vec<SeenRow>>)> {
        if !self.flushing.is_empty() {
            self.filter.all_changed();
        }
        for (name, rows) in std::mem::take(&mut self.full) {
            self.flushing.insert(name, Arc::new(rows));
        }
        for (prefix, block) in self.open.iter_mut().filter(|(_, block)| block.dirty) {
            block.dirty = false;
            self.flushing.insert((*prefix, block.number), Arc::new(block.rows.clone()));
        }
        self.flushing.iter().map(|(name, rows)| (*name, Arc::clone(rows))).collect()
    }
}

impl SeenDb for DayDb {
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError> {
        self.0.covered()
    }

    fn find(&mut self, key: &EventKey) -> Result<Option<CoreDigest>, SeenError> {
        Ok(self.find_all(std::slice::from_ref(key))?.pop().flatten())
    }

    /// Searches day by day, so that each has to be opened only once, in any order of the keys.
    fn find_all(&mut self, keys: &[EventKey]) -> Result<Vec<Option<CoreDigest>>, SeenError> {
        let mut found = vec![None; keys.len()];
        // If an identity is known already, it is mostly young.
        for (number, day) in self.0.days.iter().rev() {
            for (key, found) in keys.iter().zip(&mut found) {
                if found.is_some() || !day.filter.may_hold(key) {
                    continue;
                }
                *found = day.in_memory(key);
                if found.is_none() && day.on_disk {
                    self.0.files.each_block(*number, prefix_of(key), |rows| {
                        *found = in_rows(rows, key);
                        found.is_none()
                    })?;
                }
            }
        }
        Ok(found)
    }

    fn find_all_in_memory(&self, keys: &[EventKey]) -> Option<Vec<Option<CoreDigest>>> {
        let mut found = vec![None; keys.len()];
        for day in self.0.days.values().rev() {
            for (key, found) in keys.iter().zip(&mut found) {
                if found.is_some() || !day.filter.may_hold(key) {
                    continue;
                }
                *found = day.in_memory(key);
                if found.is_none() && day.on_disk {
                    return None;
                }
            }
        }
        Some(found)
    }

    fn insert(&mut self, id: SeenId) {
        let day = self.0.days.entry(id.day).or_default();
        let prefix = prefix_of(&id.key);
        // A number that no block has which an earlier flush finished; if an unfinished one left blocks, they are not
        // covered, and come again.
        let fresh = day.filter.ids() as u32;
        let block = day.open.entry(prefix).or_insert_with(|| Block::new(fresh));
        if block.rows.len() >= BLOCK_IDS {
            let full = std::mem::replace(block, Block::new(fresh));
            // One that is not dirty is in a flush, or on disk.
            if full.dirty {
                day.full.insert((prefix, full.number), full.rows);
            }
        }
        let mut row = [0; ROW_BYTES];
        row[..16].copy_from_slice(&id.key.0);
        row[16..].copy_from_slice(&id.digest.0);
        let at = block.rows.partition_point(|known| known[..16] < row[..16]);
        block.rows.insert(at, row);
        block.dirty = true;
        day.filter.insert(&id.key);
    }

    fn begin_flush(&mut self, covered: CoveredPlace) -> Flush {
        let mut work = Vec::new();
        for (number, day) in &mut self.0.days {
            let blocks = day.take_dirty();
            let layers = day.filter.take_changed(self.0.files.making());
            if !blocks.is_empty() || !layers.is_empty() {
                work.push((*number, day.filter.ids(), blocks, layers));
            }
        }
        let counts = self.0.days.iter().map(|(number, day)| (*number, vec![day.filter.ids()])).collect();
        let files = Arc::clone(&self.0.files);
        Box::new(move || {
            for (day, ids, blocks, layers) in work {
                let pairs = blocks.iter().map(|(name, rows)| (block_key(*name), rows.as_flattened()));
                files.write(day, ids, pairs, &[(FILTER, layers)])?;
            }
            files.write_manifest(covered, counts)
        })
    }

    fn flushed(&mut self) {
        let hot: Vec<u32> = self.0.days.keys().rev().take(HOT_DAYS).copied().collect();
        for (number, day) in &mut self.0.days {
            day.on_disk |= !day.flushing.is_empty();
            day.flushing.clear();
            if !hot.contains(number) {
                day.open.retain(|_, block| block.dirty);
            }
        }
    }

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        self.0.remove_below(day)
    }

    fn empty(&mut self, why: Emptied) -> Result<(), SeenError> {
        self.0.empty(why)
    }

    fn size(&self) -> (u64, u64) {
        (self.0.days.values().map(|day| day.filter.ids()).sum(), self.0.files.bytes())
    }
}
