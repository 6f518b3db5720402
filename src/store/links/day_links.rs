//! The link index on disk: a sled database for each day of `created` of the carriers, with one key a row, and two
//! filters beside each: what is named there at all, and what is withdrawn or replaced there, so that a hand-off asks
//! no disk. A day in which nothing names anything has no directory. What was inserted since the last flush lives in
//! memory and is made again from the journal. `day_files` has sled's rules; what is inserted when is not decided here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Class, LinkDb, Row, RowKey, rows};
use crate::files;
use crate::identity::{Check, EventKey, LogId};
use crate::store::days::files::{DayFiles, io_error, read_if_there};
use crate::store::days::filter::Filter;
use crate::store::format::Format;
use crate::store::seen::{Covered, Emptied, Flush, SeenError};
use crate::time::Timestamp;
use crate::wire::Mark;

/// Names of a day's filters.
const NAMED: &str = "named";
const TAKEN: &str = "taken";

const COVERED_FILE: &str = "covered";
const COVERED_FORMAT: Format = Format::new(*b"imeshln", 2, "links/");
const DAY_BYTES: usize = 20;

type Rows = BTreeMap<RowKey, Vec<u8>>;

#[derive(Debug, Default)]
struct Day {
    named: Filter,
    taken: Filter,
    /// In no flush yet.
    fresh: Rows,
    /// What a flush that has not yet succeeded writes.
    flushing: Arc<Rows>,
    on_disk: bool,
}

/// What the last flush left: the place of the journal, and for each day how many rows it then had, and how many of
/// them withdraw or replace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    covered: Covered,
    days: BTreeMap<u32, (u64, u64)>,
}

#[derive(Debug)]
pub struct DayLinks {
    dir: PathBuf,
    aside: PathBuf,
    files: Arc<DayFiles>,
    days: BTreeMap<u32, Day>,
    written: Option<Written>,
    writing: Option<Written>,
}

impl DayLinks {
    /// Reads what is covered, and each day's filters, but opens no day whose filters are whole. Where a day is
    /// missing nothing is covered, and all is made again.
    ///
    /// # Errors
    /// [`SeenError::Io`]: the directory cannot be read.
    pub fn open(dir: &Path, aside: &Path) -> Result<Self, SeenError> {
        files::make_dir(dir, 0o700).and_then(|()| files::finish_removing(dir)).map_err(io_error(dir))?;
        let files = Arc::new(DayFiles::new(dir));
        let (dir, aside) = (dir.to_owned(), aside.to_owned());
        let mut db = Self { dir, aside, files, days: BTreeMap::new(), written: None, writing: None };
        let file = read_if_there(&db.dir.join(COVERED_FILE)).map_err(io_error(&db.dir))?;
        let sound = COVERED_FORMAT.check("links/covered", &file)?;
        let Some(written) = decode(&file).filter(|_| sound) else { return Ok(db) };
        for (number, counts) in &written.days {
            let there = db.files.day_dir(*number).is_dir();
            let day = if there { db.open_day(*number, *counts)? } else { None };
            let Some(day) = day else {
                db.days.clear();
                return Ok(db);
            };
            db.days.insert(*number, day);
        }
        for unfinished in db.files.list()? {
            if !written.days.contains_key(&unfinished) {
                db.files.remove(unfinished)?;
            }
        }
        db.written = Some(written);
        Ok(db)
    }

    /// `None` where it cannot be read.
    fn open_day(&self, number: u32, (named, taken): (u64, u64)) -> Result<Option<Day>, SeenError> {
        let mut day = Day { on_disk: true, ..Day::default() };
        let whole = self.files.read_filter(number, NAMED, &mut day.named)? && day.named.ids() >= named;
        let whole_taken = self.files.read_filter(number, TAKEN, &mut day.taken)? || taken == 0;
        if whole && whole_taken && day.taken.ids() >= taken {
            self.files.expect(number, named);
            return Ok(Some(day));
        }
        (day.named, day.taken) = (Filter::default(), Filter::default());
        let scanned =
            self.files.each_between(number, (&[0; rows::KEY_BYTES], &[0xff; rows::KEY_BYTES]), |key, _| {
                if let Ok(key) = key.try_into() {
                    day.remember(key);
                }
                true
            });
        match scanned {
            Err(SeenError::Corrupt { .. }) => Ok(None),
            scanned => scanned.map(|()| (day.named.ids() >= named).then_some(day)),
        }
    }

    fn write_covered(dir: &Path, written: &Written) -> Result<(), SeenError> {
        files::replace(&dir.join(COVERED_FILE), &encode(written), 0o600).map_err(io_error(dir))
    }
}

impl Day {
    fn remember(&mut self, key: &RowKey) {
        let (target, class) = rows::target_of(key);
        self.named.insert(&target);
        if matches!(class, Some(Class::Withdrawn | Class::Replaced)) {
            self.taken.insert(&target);
        }
    }
}

impl LinkDb for DayLinks {
    fn covered(&self) -> Option<Covered> {
        self.written.as_ref().map(|written| written.covered)
    }

    fn insert(&mut self, day: u32, key: RowKey, value: Vec<u8>) {
        let day = self.days.entry(day).or_default();
        if day.fresh.insert(key, value).is_none() {
            day.remember(&key);
        }
    }

    fn days(&self, key: &EventKey) -> Vec<u32> {
        let days = self.days.iter().filter(|(_, day)| day.named.may_hold(key));
        days.map(|(number, _)| *number).collect()
    }

    fn days_that_take_back(&self, key: &EventKey) -> Vec<u32> {
        let days = self.days.iter().filter(|(_, day)| day.taken.may_hold(key));
        days.map(|(number, _)| *number).collect()
    }

    fn rows(
        &mut self,
        day: u32,
        key: &EventKey,
        classes: (Class, Class),
        limit: usize,
    ) -> Result<Vec<Row>, SeenError> {
        let (first, last) = rows::range_of(*key, classes);
        let mut found: BTreeMap<RowKey, Row> = BTreeMap::new();
        let Some(known) = self.days.get(&day) else { return Ok(Vec::new()) };
        for (key, value) in
            known.fresh.range(first..=last).take(limit).chain(known.flushing.range(first..=last).take(limit))
        {
            found.extend(Row::decode(key, value).map(|row| (*key, row)));
        }
        if known.on_disk {
            let mut read = 0;
            self.files.each_between(day, (&first, &last), |key, value| {
                let key = <RowKey>::try_from(key).ok();
                found.extend(key.and_then(|key| Some((key, Row::decode(&key, value)?))));
                read += 1;
                read < limit
            })?;
        }
        Ok(found.into_values().take(limit).collect())
    }

    fn last_row(&mut self, day: u32, key: &EventKey, class: Class) -> Result<Option<Row>, SeenError> {
        let (first, last) = rows::range_of(*key, (class, class));
        let Some(known) = self.days.get(&day) else { return Ok(None) };
        let in_memory = [&known.fresh, &*known.flushing];
        let newest = in_memory.into_iter().filter_map(|rows| rows.range(first..=last).next_back());
        let mut newest = newest.max().and_then(|(key, value)| Row::decode(key, value).map(|row| (*key, row)));
        if known.on_disk
            && let Some((key, value)) = self.files.last_between(day, (&first, &last))?
            && let Ok(key) = <RowKey>::try_from(&*key)
            && newest.as_ref().is_none_or(|(known, _)| *known < key)
        {
            newest = Row::decode(&key, &value).map(|row| (key, row));
        }
        Ok(newest.map(|(_, row)| row))
    }

    fn begin_flush(&mut self, covered: Covered) -> Flush {
        let mut work = Vec::new();
        for (number, day) in &mut self.days {
            if !day.flushing.is_empty() {
                // The last one failed, or was never run.
                day.named.all_changed();
                day.taken.all_changed();
            }
            if !day.fresh.is_empty() {
                Arc::make_mut(&mut day.flushing).append(&mut day.fresh);
            }
            if !day.flushing.is_empty() {
                let filters = [(NAMED, day.named.take_changed()), (TAKEN, day.taken.take_changed())];
                work.push((*number, day.named.ids(), Arc::clone(&day.flushing), filters));
            }
        }
        let counts = self.days.iter().map(|(number, day)| (*number, (day.named.ids(), day.taken.ids())));
        let written = Written { covered, days: counts.collect() };
        self.writing = Some(written.clone());
        let (files, dir) = (Arc::clone(&self.files), self.dir.clone());
        Box::new(move || {
            for (day, ids, rows, filters) in work {
                files.write(day, ids, rows.iter(), &filters)?;
            }
            Self::write_covered(&dir, &written)
        })
    }

    fn flushed(&mut self) {
        for day in self.days.values_mut() {
            day.on_disk |= !day.flushing.is_empty();
            day.flushing = Arc::default();
        }
        self.written = self.writing.take().or(self.written.take());
    }

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        let gone: Vec<u32> = self.days.range(..day).map(|(day, _)| *day).collect();
        if gone.is_empty() {
            return Ok(());
        }
        if let Some(written) = &mut self.written {
            // First: a day that it names and that is missing means that all is made again.
            written.days = written.days.split_off(&day);
            Self::write_covered(&self.dir, written)?;
        }
        for day in gone {
            if self.files.remove(day)? {
                self.days.remove(&day);
            }
        }
        Ok(())
    }

    fn empty(&mut self, why: Emptied) -> Result<(), SeenError> {
        self.days.clear();
        (self.written, self.writing) = (None, None);
        let aside = (why == Emptied::Corrupt).then_some(self.aside.as_path());
        self.files = Arc::new(self.files.replace(aside)?);
        Ok(())
    }
}

fn encode(written: &Written) -> Vec<u8> {
    let mut out = COVERED_FORMAT.magic().to_vec();
    out.extend_from_slice(&written.covered.log_id.0);
    out.extend_from_slice(&written.covered.mark.seq.to_be_bytes());
    out.extend_from_slice(&written.covered.mark.check.0);
    out.extend_from_slice(&written.covered.floor.0.to_be_bytes());
    for (day, (named, taken)) in &written.days {
        out.extend_from_slice(&day.to_be_bytes());
        out.extend_from_slice(&named.to_be_bytes());
        out.extend_from_slice(&taken.to_be_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// `None` for what is torn.
fn decode(file: &[u8]) -> Option<Written> {
    let (content, crc) = file.split_last_chunk::<4>()?;
    let (_, rest) = content.split_first_chunk::<8>()?;
    let (log_id, rest) = rest.split_first_chunk::<16>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<16>()?;
    let (floor, rest) = rest.split_first_chunk::<8>()?;
    let (days, tail) = rest.as_chunks::<DAY_BYTES>();
    if crc32c::crc32c(content) != u32::from_be_bytes(*crc) || !tail.is_empty() {
        return None;
    }
    let mark = Mark { seq: u64::from_be_bytes(*seq), check: Check(*check) };
    let number = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |eight| u64::from_be_bytes(*eight));
    let days = days.iter().map(|day| {
        let at = u32::from_be_bytes([day[0], day[1], day[2], day[3]]);
        (at, (number(&day[4..]), number(&day[12..])))
    });
    let covered = Covered { log_id: LogId(*log_id), mark, floor: Timestamp(u64::from_be_bytes(*floor)) };
    Some(Written { covered, days: days.collect() })
}
