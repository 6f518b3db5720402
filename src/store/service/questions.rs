//! Answers the questions of the command line to the store, past the core: entries, and events that name them. The
//! engine is held for one disk at a time, so that a long question holds up nobody.

use std::sync::Arc;

use super::remake::asked;
use super::{Store, reader};
use crate::identity::{EventId, EventKey};
use crate::protocol::io::{Read, StoreInput};
use crate::record::Entry;
use crate::store::engine::{Derived, StoreError};
use crate::store::links::LinkRow;

/// Entries that a prefix of a UUID may find.
const FOUND_MAX: usize = 100;

impl Store {
    /// Returns entries with a UUID that begins with `prefix`, of 8 or more hexadecimal digits; at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn find(&self, prefix: &str) -> Result<Vec<Arc<Entry>>, StoreError> {
        let search = self.shared.engine().journal.search_for_prefix(prefix, FOUND_MAX);
        let Some(search) = search else { return Ok(Vec::new()) };
        let found: Result<Vec<_>, _> = reader::found(&self.shared, search)?.collect();
        self.marked(found?.into_iter().flatten().collect())
    }

    /// Returns the stored envelope of an identity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn fetch(&self, id: &EventId) -> Result<Option<Arc<Entry>>, StoreError> {
        let found = reader::fetch(&self.shared, id)?;
        Ok(self.marked(found.into_iter().collect())?.pop())
    }

    /// Returns the entry with this seq.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn entry(&self, seq: u64) -> Result<Option<Arc<Entry>>, StoreError> {
        let found = self.shared.engine().journal.entry(seq)?;
        Ok(self.marked(found.into_iter().collect())?.pop())
    }

    /// Reads the entries after `after_seq` as the core does for a consumer: at most `bytes_max`, but at least one entry if
    /// there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn read_after(&self, after_seq: u64, bytes_max: usize) -> Result<Read, StoreError> {
        let mut read = reader::read(&self.shared, after_seq, bytes_max)?;
        if !read.broken.is_empty() {
            self.shared.answer(StoreInput::Broken(std::mem::take(&mut read.broken)));
        }
        asked(&self.shared, &self.writes, Derived::Links, |engine| engine.links.mark(&mut read))?;
        Ok(read)
    }

    fn marked(&self, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut read = Read { entries, ..Read::default() };
        asked(&self.shared, &self.writes, Derived::Links, |engine| engine.links.mark(&mut read))?;
        Ok(read.entries)
    }

    /// Returns the events that name each of `keys`, held or not: at most `limit` rows for each and each day of the
    /// index, and true if there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn naming(
        &self,
        keys: &[EventKey],
        limit: usize,
    ) -> Result<(Vec<(EventKey, LinkRow)>, bool), StoreError> {
        let days = self.shared.engine().links.days(keys);
        let (mut found, mut more) = (Vec::new(), false);
        for (day, keys) in days {
            for key in keys {
                let rows = asked(&self.shared, &self.writes, Derived::Links, |engine| {
                    engine.links.rows(day, &key, limit + 1)
                })?;
                let rows = rows.unwrap_or_default();
                more |= rows.len() > limit;
                found.extend(rows.into_iter().take(limit).map(|row| (key, row)));
            }
        }
        Ok((found, more))
    }
}
