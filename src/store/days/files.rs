//! The files of a database with a day in each directory, and sled's rules (decisions/0023): a torn snapshot is removed
//! before every open, a flush is followed by a real sync of the database's file, nothing is flushed in the background,
//! the cache is small, and few databases are open at a time. If anything goes wrong inside sled, a panic too, the day
//! is corrupt and not the node. A day is in the manifest as long as it is there, and out of it before it goes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::{SeenRow, block_key};
use super::filter::{BloomLayers, LAYERS_MAX};
use super::manifest::{DayCounts, DayManifest};
use super::names::{day_name, day_of_name, io_error, label, read_if_there, sled_error};
use crate::files;
use crate::store::format::FileFormat;
use crate::store::seen::{CoveredPlace, SeenError};

/// Databases that are open at the same time. One with 600,000 ids holds some 25 MB once it was read all over, and
/// opens in about 10 ms (measured).
const OPEN_DAYS_MAX: usize = 3;

/// sled's cache for each of them, in bytes.
const CACHE_BYTES: u64 = 1024 * 1024;

/// In each database: how many ids the last flush left there, written behind them, and of which making of the database
/// they are. sled opens a file of rubbish as an empty database; this tells.
const IDS_KEY: &[u8] = b"ids";

const COVERED_FILE: &str = "covered";

/// One kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DayKind {
    /// The name of its directory.
    pub name: &'static str,
    pub format: FileFormat,
    /// The names of each day's filters. The first has all ids.
    pub filters: &'static [&'static str],
}

/// The state that an earlier process left: the place that is covered, and each day's filters.
#[derive(Debug)]
pub(crate) struct Left {
    pub covered: CoveredPlace,
    pub days: BTreeMap<u32, Vec<BloomLayers>>,
}

/// The manifest on disk, and the day before which all are forgotten.
#[derive(Debug, Default)]
struct WrittenFile {
    manifest: Option<DayManifest>,
    below: u32,
}

type Open = Vec<(u32, Arc<sled::Db>)>;

/// Layers of a filter, each with its number, under the filter's name.
type NamedLayers<'a> = (&'a str, Vec<(usize, Vec<u8>)>);

/// A key and its value.
type DayPair = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
pub(crate) struct DayFiles {
    dir: PathBuf,
    kind: DayKind,
    /// Of this database, since it was made from nothing.
    making: u64,
    /// Used most recently last.
    open: Mutex<Open>,
    /// How many ids each day must hold at least, by its filter.
    expected: Mutex<HashMap<u32, u64>>,
    written: Mutex<WrittenFile>,
    bytes: AtomicU64,
}

impl DayFiles {
    /// Reads the manifest, and opens no day.
    ///
    /// # Errors
    /// [`SeenError`]: it cannot be read, or another version wrote it. If it is torn or missing, it counts as none.
    pub(crate) fn open(dir: &Path, kind: DayKind) -> Result<Self, SeenError> {
        files::make_dir(dir, 0o700).and_then(|()| files::finish_removing(dir)).map_err(io_error(dir))?;
        let file = read_if_there(&dir.join(COVERED_FILE)).map_err(io_error(dir))?;
        let sound = kind.format.check(&format!("{}/{COVERED_FILE}", kind.name), &file)?;
        let manifest = DayManifest::decode(&file, kind.filters.len()).filter(|_| sound);
        Ok(Self::with(dir, kind, manifest))
    }

    fn with(dir: &Path, kind: DayKind, manifest: Option<DayManifest>) -> Self {
        Self {
            dir: dir.to_owned(),
            kind,
            making: manifest.as_ref().map_or_else(rand::random, |manifest| manifest.making),
            open: Mutex::default(),
            expected: Mutex::default(),
            written: Mutex::new(WrittenFile { manifest, below: 0 }),
            bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn making(&self) -> u64 {
        self.making
    }

    /// Returns the state that the last finished flush left; `None` if no flush was ever finished. If one of a day's
    /// filters is missing or torn, `scan` makes them again from the rows. Files of unfinished flushes are removed.
    ///
    /// # Errors
    /// [`SeenError::Corrupt`]: less is there than the manifest says.
    pub(crate) fn left(
        &self,
        scan: impl Fn(u32) -> Result<Vec<BloomLayers>, SeenError>,
    ) -> Result<Option<Left>, SeenError> {
        let Some(manifest) = self.written().manifest.clone() else { return Ok(None) };
        let mut days = BTreeMap::new();
        for (day, counts) in &manifest.days {
            days.insert(*day, self.filters(*day, counts, &scan)?);
        }
        for unfinished in self.list()? {
            if !days.contains_key(&unfinished) {
                self.remove(unfinished)?;
            }
        }
        self.measure();
        Ok(Some(Left { covered: manifest.covered, days }))
    }

    fn filters(
        &self,
        day: u32,
        counts: &DayCounts,
        scan: impl Fn(u32) -> Result<Vec<BloomLayers>, SeenError>,
    ) -> Result<Vec<BloomLayers>, SeenError> {
        let dir = self.day_dir(day);
        let corrupt = |what: String| SeenError::Corrupt { file: label(&dir), what };
        if !dir.is_dir() {
            return Err(corrupt("it is missing".into()));
        }
        self.expect(day, counts.first().copied().unwrap_or(0));
        let mut filters = Vec::new();
        for (name, count) in self.kind.filters.iter().zip(counts) {
            let mut filter = BloomLayers::default();
            if self.read_filter(day, name, &mut filter)? && filter.ids() >= *count {
                filters.push(filter);
            }
        }
        if filters.len() < counts.len() {
            filters = scan(day)?;
        }
        match filters.iter().zip(counts).find(|(filter, count)| filter.ids() < **count) {
            None => Ok(filters),
            Some((filter, count)) => Err(corrupt(format!("{} ids where a flush left {count}", filter.ids()))),
        }
    }

    fn written(&self) -> std::sync::MutexGuard<'_, WrittenFile> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn day_dir(&self, day: u32) -> PathBuf {
        self.dir.join(day_name(day))
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Days that have a directory.
    ///
    /// # Errors
    /// [`SeenError::Io`].
    fn list(&self) -> Result<Vec<u32>, SeenError> {
        let mut days = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io_error(&self.dir))? {
            let entry = entry.map_err(io_error(&self.dir))?;
            days.extend(entry.file_name().to_str().and_then(day_of_name));
        }
        Ok(days)
    }

    fn db(&self, day: u32) -> Result<Arc<sled::Db>, SeenError> {
        let mut open = self.opened();
        if let Some(nth) = open.iter().position(|(known, _)| *known == day) {
            let found = open.remove(nth);
            let db = Arc::clone(&found.1);
            open.push(found);
            return Ok(db);
        }
        // One that a flush still holds cannot be opened again before it is let go.
        while open.len() >= OPEN_DAYS_MAX
            && let Some(idle) = open.iter().position(|(_, db)| Arc::strong_count(db) == 1)
        {
            open.remove(idle);
        }
        let db = Arc::new(open_sled(&self.day_dir(day))?);
        self.check_ids(day, &db)?;
        open.push((day, Arc::clone(&db)));
        Ok(db)
    }

    /// Remembers, before `day` is opened, that it holds at least `ids`.
    fn expect(&self, day: u32, ids: u64) {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(day, ids);
    }

    /// Checks, the first time that a day is opened, if it holds at least as many ids as the manifest says.
    fn check_ids(&self, day: u32, db: &sled::Db) -> Result<(), SeenError> {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&day);
        let Some(expected) = expected else { return Ok(()) };
        let dir = self.day_dir(day);
        let ids = guarded(&dir, || db.get(IDS_KEY).map_err(sled_error(&dir)))?;
        let ids = ids.and_then(|ids| <[u8; 16]>::try_from(ids.as_ref()).ok()).map(u128::from_be_bytes);
        match ids.map(|both| ((both >> 64) as u64, both as u64)) {
            Some((ids, making)) if ids >= expected && making == self.making => Ok(()),
            found => {
                let ids = found.map_or(0, |(ids, _)| ids);
                let what = format!("{ids} ids where a flush left {expected}, or of another making");
                Err(SeenError::Corrupt { file: label(&dir), what })
            }
        }
    }

    /// Passes on the blocks of a prefix, newest first, as long as `wants_more`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub(crate) fn each_block(
        &self,
        day: u32,
        prefix: u16,
        mut wants_more: impl FnMut(&[SeenRow]) -> bool,
    ) -> Result<(), SeenError> {
        let (db, dir) = (self.db(day)?, self.day_dir(day));
        guarded(&dir, || {
            for block in db.range(block_key((prefix, 0))..=block_key((prefix, u32::MAX))).rev() {
                let (_, value) = block.map_err(sled_error(&dir))?;
                if !wants_more(rows(&dir, &value)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `wants_more` with each row from `first` to `last`, in order, as long as it returns true.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub(crate) fn each_between(
        &self,
        day: u32,
        (first, last): (&[u8], &[u8]),
        mut wants_more: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), SeenError> {
        let (db, dir) = (self.db(day)?, self.day_dir(day));
        guarded(&dir, || {
            for pair in db.range(first..=last) {
                let (key, value) = pair.map_err(sled_error(&dir))?;
                if !wants_more(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Returns the last row that is stored from `first` to `last`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub(crate) fn last_between(
        &self,
        day: u32,
        (first, last): (&[u8], &[u8]),
    ) -> Result<Option<DayPair>, SeenError> {
        let (db, dir) = (self.db(day)?, self.day_dir(day));
        guarded(&dir, || {
            let pair = db.range(first..=last).next_back().transpose().map_err(sled_error(&dir))?;
            Ok(pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
        })
    }

    pub(crate) fn each_row(&self, day: u32, mut each: impl FnMut(&SeenRow)) -> Result<(), SeenError> {
        let (db, dir) = (self.db(day)?, self.day_dir(day));
        guarded(&dir, || {
            for block in db.iter() {
                let (key, value) = block.map_err(sled_error(&dir))?;
                if key != IDS_KEY {
                    rows(&dir, &value)?.iter().for_each(&mut each);
                }
            }
            Ok(())
        })
    }

    /// Writes pairs and filter layers (`NAME-n`) of a day that then holds `ids`, and returns when they are on disk.
    pub(crate) fn write<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        day: u32,
        ids: u64,
        pairs: impl Iterator<Item = (K, V)>,
        filters: &[NamedLayers<'_>],
    ) -> Result<(), SeenError> {
        let dir = self.day_dir(day);
        if day < self.written().below {
            return Ok(());
        }
        let is_new = !dir.is_dir();
        if is_new {
            files::make_dir(&dir, 0o700).map_err(io_error(&dir))?;
        }
        let db = self.db(day)?;
        let written = guarded(&dir, || {
            for (key, value) in pairs {
                db.insert(key, value.as_ref()).map_err(sled_error(&dir))?;
            }
            let both = u128::from(ids) << 64 | u128::from(self.making);
            db.insert(IDS_KEY, &both.to_be_bytes()).map_err(sled_error(&dir))?;
            // sled's flush is no fsync; the sync below is.
            db.flush().map(drop).map_err(sled_error(&dir))
        });
        if let Err(error) = written {
            // sled remembers its first error for ever; opened again it may do better.
            self.opened().retain(|(open, _)| *open != day);
            return Err(error);
        }
        let file = dir.join("db");
        files::sync_bytes(&file).map_err(io_error(&dir))?;
        if is_new {
            files::sync_names(&dir).map_err(io_error(&dir))?;
        }
        for (name, layers) in filters {
            for (nth, bytes) in layers {
                let file = dir.join(format!("{name}-{nth}"));
                files::replace(&file, bytes, 0o600).map_err(io_error(&dir))?;
            }
        }
        Ok(())
    }

    /// Reads the layers of one of a day's filters, as many as there are. Returns false if one is torn.
    fn read_filter(&self, day: u32, name: &str, filter: &mut BloomLayers) -> Result<bool, SeenError> {
        let dir = self.day_dir(day);
        for nth in 0..LAYERS_MAX {
            match fs::read(dir.join(format!("{name}-{nth}"))) {
                Ok(file) if filter.add_layer(&file, self.making) => {}
                Ok(_) => return Ok(false),
                // One without ids has no file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(io_error(&dir)(error)),
            }
        }
        Ok(true)
    }

    /// Forgets the days before `day`, in the manifest first: a start that found one there and not on disk would take it
    /// for damage. Returns which of `days` are gone; one that a flush holds goes the next time.
    pub(crate) fn forget_below(
        &self,
        day: u32,
        days: impl Iterator<Item = u32>,
    ) -> Result<Vec<u32>, SeenError> {
        let mut written = self.written();
        written.below = written.below.max(day);
        if let Some(manifest) = &mut written.manifest
            && manifest.days.range(..day).next().is_some()
        {
            manifest.days = manifest.days.split_off(&day);
            self.put_manifest(manifest)?;
        }
        drop(written);
        let mut gone = Vec::new();
        for old in days.filter(|old| *old < day) {
            if self.remove(old)? {
                gone.push(old);
            }
        }
        if !gone.is_empty() {
            self.measure();
        }
        Ok(gone)
    }

    /// Closes a day and removes its directory. Returns false if a flush holds it.
    fn remove(&self, day: u32) -> Result<bool, SeenError> {
        let mut open = self.opened();
        if let Some(nth) = open.iter().position(|(known, _)| *known == day) {
            if Arc::strong_count(&open[nth].1) > 1 {
                return Ok(false);
            }
            open.remove(nth);
        }
        let dir = self.day_dir(day);
        files::remove_dir(&dir).map(|()| true).map_err(io_error(&dir))
    }

    /// Empties the directory. If `aside` is given, the content becomes `aside/NAME`, in the place of an earlier one:
    /// one is enough to find out what happened, and all of them could fill the disk.
    pub(crate) fn replace(&self, aside: Option<&Path>) -> Result<Self, SeenError> {
        self.opened().clear();
        let dir = &self.dir;
        // First of all: without it nothing else is believed.
        files::remove(&dir.join(COVERED_FILE)).map_err(io_error(dir))?;
        if let Some(aside) = aside {
            let to = aside.join(self.kind.name);
            files::make_dir(aside, 0o700).and_then(|()| files::remove_dir(&to)).map_err(io_error(aside))?;
            // On another file system it cannot be moved: then it is only removed.
            let _ = files::rename(dir, &to);
        }
        files::remove_dir(dir).and_then(|()| files::make_dir(dir, 0o700)).map_err(io_error(dir))?;
        Ok(Self::with(dir, self.kind, None))
    }

    /// Writes the manifest when all that it names is on disk: from now on a start believes it.
    pub(crate) fn write_manifest(
        &self,
        covered: CoveredPlace,
        days: BTreeMap<u32, DayCounts>,
    ) -> Result<(), SeenError> {
        let mut written = self.written();
        let days = days.into_iter().filter(|(day, _)| *day >= written.below).collect();
        let manifest = DayManifest { covered, making: self.making, days };
        self.put_manifest(&manifest)?;
        written.manifest = Some(manifest);
        drop(written);
        self.measure();
        Ok(())
    }

    fn put_manifest(&self, manifest: &DayManifest) -> Result<(), SeenError> {
        let bytes = manifest.encode(&self.kind.format);
        files::replace(&self.dir.join(COVERED_FILE), &bytes, 0o600).map_err(io_error(&self.dir))
    }

    /// Bytes on disk, when they were last measured.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Measures the files; best effort.
    fn measure(&self) {
        let days = self.list().unwrap_or_default();
        let files = days.iter().filter_map(|day| fs::read_dir(self.day_dir(*day)).ok()).flatten().flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

fn rows<'a>(dir: &Path, value: &'a [u8]) -> Result<&'a [SeenRow], SeenError> {
    let (rows, rest) = value.as_chunks();
    if rest.is_empty() {
        return Ok(rows);
    }
    Err(SeenError::Corrupt { file: label(dir), what: format!("a block of {} bytes", value.len()) })
}

fn open_sled(dir: &Path) -> Result<sled::Db, SeenError> {
    if dir.is_dir() {
        for entry in fs::read_dir(dir).map_err(io_error(dir))?.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
                files::remove(&entry.path()).map_err(io_error(dir))?;
            }
        }
    }
    guarded(dir, || {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        config.open().map_err(sled_error(dir))
    })
}

/// Runs sled; a panic inside it means that the day is corrupt.
fn guarded<T>(dir: &Path, run: impl FnOnce() -> Result<T, SeenError>) -> Result<T, SeenError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(SeenError::Corrupt { file: label(dir), what: "sled cannot read it".to_owned() })
    })
}
