//! The link index on disk: a sled database for each day of `created` of the carriers, with one key a row, and two
//! filters beside each: all that is named there, and all that is withdrawn or replaced there, so that a hand-off asks
//! no disk. If nothing in a day names anything, it has no directory. Rows inserted since the last flush live in memory
//! and are made again from the journal. `days` has the files, and sled's rules; the caller decides when rows are
//! inserted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{LinkClass, LinkDb, LinkRow, RowKey, rows};
use crate::identity::EventKey;
use crate::store::days::day_set::DaySet;
use crate::store::days::files::{DayFiles, DayKind};
use crate::store::days::filter::BloomLayers;
use crate::store::format::FileFormat;
use crate::store::seen::{CoveredPlace, Emptied, Flush, SeenError};

/// Names of a day's filters.
const NAMED: &str = "named";
const TAKEN: &str = "taken";

const KIND: DayKind =
    DayKind { name: "links", format: FileFormat::new(*b"imeshln", 2, "links/"), filters: &[NAMED, TAKEN] };

type Rows = BTreeMap<RowKey, Vec<u8>>;

#[derive(Debug, Default)]
struct LinkDay {
    named: BloomLayers,
    taken: BloomLayers,
    /// In no flush yet.
    fresh: Rows,
    /// Rows of a flush that has not yet succeeded.
    flushing: Arc<Rows>,
    on_disk: bool,
}

#[derive(Debug)]
pub struct DayLinks(DaySet<LinkDay>);

impl DayLinks {
    /// Reads the covered place, and each day's filters, but opens no day if its filters are whole.
    ///
    /// # Errors
    /// [`SeenError::Io`]: the directory cannot be read.
    pub fn open(dir: &Path, aside: &Path) -> Result<Self, SeenError> {
        let scan = |files: &DayFiles, number| {
            let mut day = LinkDay::default();
            let all = (&[0; rows::KEY_BYTES][..], &[0xff; rows::KEY_BYTES][..]);
            files.each_between(number, all, |key, _| {
                if let Ok(key) = key.try_into() {
                    day.remember(key);
                }
                true
            })?;
            Ok(vec![day.named, day.taken])
        };
        let restore = |filters: Vec<BloomLayers>| {
            let mut filters = filters.into_iter();
            let (named, taken) = (filters.next().unwrap_or_default(), filters.next().unwrap_or_default());
            LinkDay { named, taken, on_disk: true, ..LinkDay::default() }
        };
        DaySet::open(dir, aside, KIND, scan, restore).map(Self)
    }
}

impl LinkDay {
    fn remember(&mut self, key: &RowKey) {
        let (target, class) = rows::target_of(key);
        self.named.insert(&target);
        if matches!(class, Some(LinkClass::Withdrawn | LinkClass::Replaced)) {
            self.taken.insert(&target);
        }
    }
}

impl LinkDb for DayLinks {
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError> {
        self.0.covered()
    }

    fn insert(&mut self, day: u32, key: RowKey, value: Vec<u8>) {
        let day = self.0.days.entry(day).or_default();
        if day.fresh.insert(key, value).is_none() {
            day.remember(&key);
        }
    }

    fn days(&self, key: &EventKey) -> Vec<u32> {
        let days = self.0.days.iter().filter(|(_, day)| day.named.may_hold(key));
        days.map(|(number, _)| *number).collect()
    }

    fn days_that_take_back(&self, key: &EventKey) -> Vec<u32> {
        let days = self.0.days.iter().filter(|(_, day)| day.taken.may_hold(key));
        days.map(|(number, _)| *number).collect()
    }

    fn rows(
        &mut self,
        day: u32,
        key: &EventKey,
        classes: (LinkClass, LinkClass),
        limit: usize,
    ) -> Result<Vec<LinkRow>, SeenError> {
        let (first, last) = rows::range_of(*key, classes);
        let mut found: BTreeMap<RowKey, LinkRow> = BTreeMap::new();
        let Some(known) = self.0.days.get(&day) else { return Ok(Vec::new()) };
        for (key, value) in
            known.fresh.range(first..=last).take(limit).chain(known.flushing.range(first..=last).take(limit))
        {
            found.extend(LinkRow::decode(key, value).map(|row| (*key, row)));
        }
        if known.on_disk {
            let mut read = 0;
            self.0.files.each_between(day, (&first, &last), |key, value| {
                let key = <RowKey>::try_from(key).ok();
                found.extend(key.and_then(|key| Some((key, LinkRow::decode(&key, value)?))));
                read += 1;
                read < limit
            })?;
        }
        Ok(found.into_values().take(limit).collect())
    }

    fn last_row(&mut self, day: u32, key: &EventKey, class: LinkClass) -> Result<Option<LinkRow>, SeenError> {
        let (first, last) = rows::range_of(*key, (class, class));
        let Some(known) = self.0.days.get(&day) else { return Ok(None) };
        let in_memory = [&known.fresh, &*known.flushing];
        let newest = in_memory.into_iter().filter_map(|rows| rows.range(first..=last).next_back());
        let mut newest =
            newest.max().and_then(|(key, value)| LinkRow::decode(key, value).map(|row| (*key, row)));
        if known.on_disk
            && let Some((key, value)) = self.0.files.last_between(day, (&first, &last))?
            && let Ok(key) = <RowKey>::try_from(&*key)
            && newest.as_ref().is_none_or(|(known, _)| *known < key)
        {
            newest = LinkRow::decode(&key, &value).map(|row| (key, row));
        }
        Ok(newest.map(|(_, row)| row))
    }

    fn begin_flush(&mut self, covered: CoveredPlace) -> Flush {
        let mut work = Vec::new();
        for (number, day) in &mut self.0.days {
            if !day.flushing.is_empty() {
                // The last one failed, or was never run.
                day.named.all_changed();
                day.taken.all_changed();
            }
            if !day.fresh.is_empty() {
                Arc::make_mut(&mut day.flushing).append(&mut day.fresh);
            }
            if !day.flushing.is_empty() {
                let making = self.0.files.making();
                let filters =
                    [(NAMED, day.named.take_changed(making)), (TAKEN, day.taken.take_changed(making))];
                work.push((*number, day.named.ids(), Arc::clone(&day.flushing), filters));
            }
        }
        let counts = |day: &LinkDay| vec![day.named.ids(), day.taken.ids()];
        let counts = self.0.days.iter().map(|(number, day)| (*number, counts(day))).collect();
        let files = Arc::clone(&self.0.files);
        Box::new(move || {
            for (day, ids, rows, filters) in work {
                files.write(day, ids, rows.iter(), &filters)?;
            }
            files.write_manifest(covered, counts)
        })
    }

    fn flushed(&mut self) {
        for day in self.0.days.values_mut() {
            day.on_disk |= !day.flushing.is_empty();
            day.flushing = Arc::default();
        }
    }

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        self.0.remove_below(day)
    }

    fn size(&self) -> (u64, Option<(u32, u32)>) {
        (
            self.0.files.bytes(),
            self.0.days.keys().next().copied().zip(self.0.days.keys().next_back().copied()),
        )
    }

    fn empty(&mut self, why: Emptied) -> Result<(), SeenError> {
        self.0.empty(why)
    }
}
