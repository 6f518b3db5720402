//! A seen set in memory that forgets, in a crash, all that was not flushed, and that can lose parts as a directory of
//! files can. For tests and the simulator; it keeps the contract of the real one (the place that a flush covered, how
//! many ids each day had), and not its files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CoveredPlace, Emptied, Flush, SeenDb, SeenError, SeenId};
use crate::identity::{CoreDigest, EventKey};

#[derive(Clone, Debug, Default)]
struct Ids {
    by_key: BTreeMap<EventKey, SeenId>,
    covered: Option<CoveredPlace>,
    /// Ids of each day, as the flush that wrote `covered` counted them.
    counted: BTreeMap<u32, usize>,
}

impl Ids {
    fn count(&self) -> BTreeMap<u32, usize> {
        let mut counted = BTreeMap::new();
        self.by_key.values().for_each(|id| *counted.entry(id.day).or_default() += 1);
        counted
    }

    fn lacks_some(&self) -> bool {
        let there = self.count();
        self.counted.iter().any(|(day, ids)| there.get(day).is_none_or(|there| there < ids))
    }

    fn remove_below(&mut self, day: u32) {
        self.by_key.retain(|_, id| id.day >= day);
        self.counted = self.counted.split_off(&day);
    }
}

#[derive(Clone, Debug, Default)]
struct SeenInner {
    flushed: Ids,
    /// The ids that the flush before wrote.
    older: Ids,
    now: Ids,
    /// The ids on disk cannot be read.
    damaged: bool,
    /// Tests alone: it believes `covered` even if the days hold less.
    uncounted: bool,
}

/// Shared by its clones; [`MemorySeen::snapshot`] makes one that is not.
#[derive(Clone, Debug, Default)]
pub struct MemorySeen(Arc<Mutex<SeenInner>>);

impl MemorySeen {
    fn inner(&self) -> MutexGuard<'_, SeenInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    pub fn restore(&self, backup: &Self) {
        let copy = backup.inner().clone();
        *self.inner() = copy;
    }

    /// Ends the process: if an id was not flushed, it is forgotten.
    pub fn crash(&self) {
        let mut inner = self.inner();
        inner.now = inner.flushed.clone();
    }

    /// Damages the disk: from now on it does not give back the ids written.
    pub fn damage(&self) {
        self.inner().damaged = true;
    }

    /// Loses the files of one day, or puts them back to the flush before the last (`older`). Only while no process
    /// runs.
    pub fn lose_day(&self, day: u32, older: bool) {
        let inner = &mut *self.inner();
        inner.flushed.by_key.retain(|_, id| id.day != day);
        if older {
            let put_back = inner.older.by_key.iter().filter(|(_, id)| id.day == day);
            inner.flushed.by_key.extend(put_back);
        }
        inner.now = inner.flushed.clone();
    }

    /// Tests alone: whether the ids of each day are compared with what the last flush counted.
    pub fn set_counted(&self, counted: bool) {
        self.inner().uncounted = !counted;
    }

    /// Returns the days of which something is on disk.
    pub fn days(&self) -> Vec<u32> {
        self.inner().flushed.count().into_keys().collect()
    }

    /// Returns every identity held now.
    pub fn keys(&self) -> Vec<EventKey> {
        self.inner().now.by_key.keys().copied().collect()
    }
}

fn corrupt(what: &str) -> SeenError {
    SeenError::Corrupt { file: "seen".into(), what: what.into() }
}

impl SeenDb for MemorySeen {
    fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError> {
        let inner = self.inner();
        if !inner.uncounted && inner.now.lacks_some() {
            return Err(corrupt("ids are missing"));
        }
        Ok(inner.now.covered)
    }

    fn find(&mut self, key: &EventKey) -> Result<Option<CoreDigest>, SeenError> {
        let inner = self.inner();
        if inner.damaged {
            return Err(corrupt("damaged"));
        }
        Ok(inner.now.by_key.get(key).map(|id| id.digest))
    }

    fn find_all_in_memory(&self, keys: &[EventKey]) -> Option<Vec<Option<CoreDigest>>> {
        let inner = self.inner();
        let find = |key| inner.now.by_key.get(key).map(|id| id.digest);
        (!inner.damaged).then(|| keys.iter().map(find).collect())
    }

    fn insert(&mut self, id: SeenId) {
        self.inner().now.by_key.entry(id.key).or_insert(id);
    }

    fn begin_flush(&mut self, covered: CoveredPlace) -> Flush {
        let shared = self.clone();
        let mut ids = self.inner().now.clone();
        ids.covered = Some(covered);
        ids.counted = ids.count();
        Box::new(move || {
            let mut inner = shared.inner();
            inner.now.covered = ids.covered;
            inner.older = std::mem::replace(&mut inner.flushed, ids);
            Ok(())
        })
    }

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        let inner = &mut *self.inner();
        let all = [&mut inner.now, &mut inner.flushed, &mut inner.older];
        all.into_iter().for_each(|ids| ids.remove_below(day));
        Ok(())
    }

    fn empty(&mut self, _why: Emptied) -> Result<(), SeenError> {
        let uncounted = self.inner().uncounted;
        *self.inner() = SeenInner { uncounted, ..SeenInner::default() };
        Ok(())
    }

    fn size(&self) -> (u64, u64) {
        let ids = self.inner().now.by_key.len() as u64;
        (ids, ids * 48)
    }
}
