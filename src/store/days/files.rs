//! The files of a database with a day in each directory (the seen set's, the link index's), and sled's rules (design §7): a torn snapshot is removed before every open, a
//! flush is followed by a real sync of the database's file, nothing is flushed in the background, the cache
//! is small, few databases are open at a time, and whatever goes wrong inside sled, a panic too, makes the
//! day corrupt and not the node.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::filter::{Filter, LAYERS_MAX};
use crate::files;
use crate::identity::{Check, LogId};
use crate::store::format::Format;
use crate::store::seen::day_db::{Row, block_key};
use crate::store::seen::{Covered, SeenError};
use crate::time::Timestamp;
use crate::wire::Mark;

/// Databases that are open at the same time. One with 600,000 ids holds some 25 MB once it was read all over, and
/// opens in about 10 ms (measured).
const OPEN_DAYS_MAX: usize = 3;

/// sled's cache for each of them, in bytes.
const CACHE_BYTES: u64 = 1024 * 1024;

/// In each database: how many ids the last flush left there, written behind them. sled opens a file of
/// rubbish as an empty database; this tells.
const IDS_KEY: &[u8] = b"ids";

const COVERED_FILE: &str = "covered";
const COVERED_FORMAT: Format = Format::new(*b"imeshsn", 2, "seen/");

/// As the operator knows it: `seen`, `seen/2026-11-24`.
fn label(path: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (own, above) = (name(path).unwrap_or_default(), path.parent().and_then(name));
    match above.filter(|_| day_of_name(&own).is_some()) {
        Some(above) => format!("{above}/{own}"),
        None => own,
    }
}

pub fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SeenError {
    let file = label(path);
    move |source| SeenError::Io { file, source }
}

fn sled_error(dir: &Path) -> impl FnOnce(sled::Error) -> SeenError {
    let file = label(dir);
    move |error| match error {
        sled::Error::Io(source) => SeenError::Io { file, source },
        other => SeenError::Corrupt { file, what: other.to_string() },
    }
}

/// `2026-11-24`.
fn day_name(day: u32) -> String {
    let at = Timestamp(u64::from(day) * 86_400_000).to_string();
    at.split_once('T').map_or(at.clone(), |(day, _)| day.to_owned())
}

fn day_of_name(name: &str) -> Option<u32> {
    Timestamp::parse_rfc3339(&format!("{name}T00:00:00Z")).map(Timestamp::day)
}

type Open = Vec<(u32, Arc<sled::Db>)>;

/// Layers of a filter, each with its number, under the filter's name.
type NamedLayers<'a> = (&'a str, Vec<(usize, Vec<u8>)>);

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
pub struct DayFiles {
    dir: PathBuf,
    /// Used most recently last.
    open: Mutex<Open>,
    /// How many ids each day must hold at least, by its filter.
    expected: Mutex<HashMap<u32, u64>>,
    bytes: AtomicU64,
}

impl DayFiles {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            open: Mutex::default(),
            expected: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    pub fn day_dir(&self, day: u32) -> PathBuf {
        self.dir.join(day_name(day))
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Days that have a directory.
    ///
    /// # Errors
    /// [`SeenError::Io`].
    pub fn list(&self) -> Result<Vec<u32>, SeenError> {
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

    /// Before `day` is opened: it holds at least `ids`.
    pub fn expect(&self, day: u32, ids: u64) {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(day, ids);
    }

    /// The first time that a day is opened: does it hold what its filter says?
    fn check_ids(&self, day: u32, db: &sled::Db) -> Result<(), SeenError> {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&day);
        let Some(expected) = expected else { return Ok(()) };
        let dir = self.day_dir(day);
        let ids = guarded(&dir, || db.get(IDS_KEY).map_err(sled_error(&dir)))?;
        let ids = ids.and_then(|ids| <[u8; 8]>::try_from(ids.as_ref()).ok()).map_or(0, u64::from_be_bytes);
        if ids >= expected {
            return Ok(());
        }
        let what = format!("{ids} ids where its filter has {expected}");
        Err(SeenError::Corrupt { file: label(&dir), what })
    }

    /// The blocks of a prefix, newest first, as long as `wants_more`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub fn each_block(
        &self,
        day: u32,
        prefix: u16,
        mut wants_more: impl FnMut(&[Row]) -> bool,
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

    /// What is stored from `first` to `last`, in order, as long as `wants_more`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub fn each_between(
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

    /// The last that is stored from `first` to `last`.
    ///
    /// # Errors
    /// [`SeenError`], here and below.
    pub fn last_between(&self, day: u32, (first, last): (&[u8], &[u8])) -> Result<Option<Pair>, SeenError> {
        let (db, dir) = (self.db(day)?, self.day_dir(day));
        guarded(&dir, || {
            let pair = db.range(first..=last).next_back().transpose().map_err(sled_error(&dir))?;
            Ok(pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
        })
    }

    pub fn each_row(&self, day: u32, mut each: impl FnMut(&Row)) -> Result<(), SeenError> {
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
    pub fn write<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        day: u32,
        ids: u64,
        pairs: impl Iterator<Item = (K, V)>,
        filters: &[NamedLayers<'_>],
    ) -> Result<(), SeenError> {
        let dir = self.day_dir(day);
        let is_new = !dir.is_dir();
        if is_new {
            files::make_dir(&dir, 0o700).map_err(io_error(&dir))?;
        }
        let db = self.db(day)?;
        let written = guarded(&dir, || {
            for (key, value) in pairs {
                db.insert(key, value.as_ref()).map_err(sled_error(&dir))?;
            }
            db.insert(IDS_KEY, &ids.to_be_bytes()).map_err(sled_error(&dir))?;
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

    /// Reads the layers of one of a day's filters; false where one is missing or torn.
    pub fn read_filter(&self, day: u32, name: &str, filter: &mut Filter) -> Result<bool, SeenError> {
        let dir = self.day_dir(day);
        for nth in 0..LAYERS_MAX {
            match fs::read(dir.join(format!("{name}-{nth}"))) {
                Ok(file) if filter.add_layer(&file) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nth > 0),
                Err(error) => return Err(io_error(&dir)(error)),
            }
        }
        Ok(true)
    }

    /// Closes a day and removes its directory; false while a flush holds it.
    pub fn remove(&self, day: u32) -> Result<bool, SeenError> {
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

    /// Empties the directory, into one below `aside` where that is given.
    pub fn replace(&self, aside: Option<&Path>) -> Result<Self, SeenError> {
        self.opened().clear();
        let dir = &self.dir;
        // First of all: without it nothing else is believed.
        files::remove(&dir.join(COVERED_FILE)).map_err(io_error(dir))?;
        match aside {
            None => files::remove_dir(dir).map_err(io_error(dir))?,
            Some(aside) => {
                files::make_dir(aside, 0o700).map_err(io_error(aside))?;
                let free =
                    (0..).map(|n: u32| aside.join(format!("{}-{n}", label(dir)))).find(|path| !path.exists());
                let to = free.unwrap_or_else(|| aside.join(label(dir)));
                // On another file system it cannot be moved: then it is only removed.
                if files::rename(dir, &to).is_err() {
                    files::remove_dir(dir).map_err(io_error(dir))?;
                }
            }
        }
        files::make_dir(dir, 0o700).map_err(io_error(dir))?;
        Ok(Self::new(dir))
    }

    pub fn write_covered(&self, covered: Covered) -> Result<(), SeenError> {
        let mut bytes = COVERED_FORMAT.magic().to_vec();
        bytes.extend_from_slice(&covered.log_id.0);
        bytes.extend_from_slice(&covered.mark.seq.to_be_bytes());
        bytes.extend_from_slice(&covered.mark.check.0);
        bytes.extend_from_slice(&covered.floor.0.to_be_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        files::replace(&self.dir.join(COVERED_FILE), &bytes, 0o600).map_err(io_error(&self.dir))
    }

    /// Bytes on disk, when they were last measured.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Measures the files; best effort.
    pub fn measure(&self) {
        let days = self.list().unwrap_or_default();
        let files = days.iter().filter_map(|day| fs::read_dir(self.day_dir(*day)).ok()).flatten().flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// What the last finished flush covers; `None` if it is torn or not there.
///
/// # Errors
/// [`SeenError`]: it cannot be read, or another version wrote it.
pub fn read_covered(dir: &Path) -> Result<Option<Covered>, SeenError> {
    let bytes = read_if_there(&dir.join(COVERED_FILE)).map_err(io_error(dir))?;
    let sound = COVERED_FORMAT.check("seen/covered", &bytes)?;
    Ok(decode_covered(&bytes).filter(|_| sound))
}

/// The bytes of a file, none of one that is missing.
pub fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn decode_covered(bytes: &[u8]) -> Option<Covered> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    let (_, rest) = content.split_first_chunk::<8>()?;
    let (log_id, rest) = rest.split_first_chunk::<16>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<16>()?;
    let floor = Timestamp(u64::from_be_bytes(<[u8; 8]>::try_from(rest).ok()?));
    let sound = crc32c::crc32c(content) == u32::from_be_bytes(*crc);
    let mark = Mark { seq: u64::from_be_bytes(*seq), check: Check(*check) };
    sound.then_some(Covered { log_id: LogId(*log_id), mark, floor })
}

fn rows<'a>(dir: &Path, value: &'a [u8]) -> Result<&'a [Row], SeenError> {
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
