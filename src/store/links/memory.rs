//! A link index in memory, which a start makes again from the journal. For tests and the simulator.

use std::collections::BTreeMap;

use super::{LinkClass, LinkDb, LinkRow, RowKey, rows};
use crate::identity::EventKey;
use crate::store::seen::{CoveredPlace, Emptied, Flush, SeenError};

#[derive(Debug, Default)]
pub(crate) struct MemoryLinks {
    days: BTreeMap<u32, BTreeMap<RowKey, Vec<u8>>>,
}

impl LinkDb for MemoryLinks {
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError> {
        Ok(None)
    }

    fn insert(&mut self, day: u32, key: RowKey, value: Vec<u8>) {
        self.days.entry(day).or_default().insert(key, value);
    }

    fn days(&self, key: &EventKey) -> Vec<u32> {
        let (first, last) = rows::range_of(*key, (LinkClass::Withdrawn, LinkClass::Left));
        let named = self.days.iter().filter(|(_, rows)| rows.range(first..=last).next().is_some());
        named.map(|(day, _)| *day).collect()
    }

    fn days_that_take_back(&self, key: &EventKey) -> Vec<u32> {
        let (first, last) = rows::range_of(*key, (LinkClass::Withdrawn, LinkClass::Replaced));
        let named = self.days.iter().filter(|(_, rows)| rows.range(first..=last).next().is_some());
        named.map(|(day, _)| *day).collect()
    }

    fn rows(
        &mut self,
        day: u32,
        key: &EventKey,
        classes: (LinkClass, LinkClass),
        limit: usize,
    ) -> Result<Vec<LinkRow>, SeenError> {
        let (first, last) = rows::range_of(*key, classes);
        let day = self.days.get(&day).into_iter().flat_map(|rows| rows.range(first..=last));
        Ok(day.filter_map(|(key, value)| LinkRow::decode(key, value)).take(limit).collect())
    }

    fn last_row(&mut self, day: u32, key: &EventKey, class: LinkClass) -> Result<Option<LinkRow>, SeenError> {
        let (first, last) = rows::range_of(*key, (class, class));
        let found = self.days.get(&day).and_then(|rows| rows.range(first..=last).next_back());
        Ok(found.and_then(|(key, value)| LinkRow::decode(key, value)))
    }

    fn begin_flush(&mut self, _covered: CoveredPlace) -> Flush {
        Box::new(|| Ok(()))
    }

    fn flushed(&mut self) {}

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        self.days = self.days.split_off(&day);
        Ok(())
    }

    fn size(&self) -> (u64, Option<(u32, u32)>) {
        let bytes = self.days.values().map(|rows| rows.len() as u64 * super::ROW_BYTES).sum();
        (bytes, self.days.keys().next().copied().zip(self.days.keys().next_back().copied()))
    }

    fn empty(&mut self, _why: Emptied) -> Result<(), SeenError> {
        self.days.clear();
        Ok(())
    }
}
