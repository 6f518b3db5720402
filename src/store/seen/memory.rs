//! A seen set in memory that forgets, in a crash, what was not flushed. For tests and the simulator; it
//! deliberately keeps no days apart but to forget them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Covered, Emptied, Flush, SeenDb, SeenError, SeenId};
use crate::identity::{CoreDigest, EventKey};

#[derive(Clone, Debug, Default)]
struct Ids {
    by_key: BTreeMap<EventKey, SeenId>,
    covered: Option<Covered>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    flushed: Ids,
    now: Ids,
    /// What is on disk cannot be read.
    damaged: bool,
}

/// Shared by its clones; [`MemorySeen::snapshot`] makes one that is not.
#[derive(Clone, Debug, Default)]
pub struct MemorySeen(Arc<Mutex<Inner>>);

impl MemorySeen {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    pub fn restore(&self, backup: &Self) {
        let copy = backup.inner().clone();
        *self.inner() = copy;
    }

    /// The process ends: what was not flushed is forgotten.
    pub fn crash(&self) {
        let mut inner = self.inner();
        inner.now = inner.flushed.clone();
    }

    /// From now on the disk does not give back what was written.
    pub fn damage(&self) {
        self.inner().damaged = true;
    }

    /// Every identity held now.
    pub fn keys(&self) -> Vec<EventKey> {
        self.inner().now.by_key.keys().copied().collect()
    }
}

impl SeenDb for MemorySeen {
    fn covered(&mut self) -> Result<Option<Covered>, SeenError> {
        Ok(self.inner().now.covered)
    }

    fn find(&mut self, key: &EventKey) -> Result<Option<CoreDigest>, SeenError> {
        if self.inner().damaged {
            return Err(SeenError::Corrupt { file: "seen".into(), what: "damaged".into() });
        }
        Ok(self.inner().now.by_key.get(key).map(|id| id.digest))
    }

    fn find_all_in_memory(&self, keys: &[EventKey]) -> Option<Vec<Option<CoreDigest>>> {
        let inner = self.inner();
        if inner.damaged {
            return None;
        }
        Some(keys.iter().map(|key| inner.now.by_key.get(key).map(|id| id.digest)).collect())
    }

    fn insert(&mut self, id: SeenId) {
        self.inner().now.by_key.entry(id.key).or_insert(id);
    }

    fn begin_flush(&mut self, covered: Covered) -> Flush {
        let shared = self.clone();
        let mut ids = self.inner().now.clone();
        ids.covered = Some(covered);
        Box::new(move || {
            let mut inner = shared.inner();
            inner.now.covered = ids.covered;
            inner.flushed = ids;
            Ok(())
        })
    }

    fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        let mut inner = self.inner();
        inner.now.by_key.retain(|_, id| id.day >= day);
        inner.flushed.by_key.retain(|_, id| id.day >= day);
        Ok(())
    }

    fn empty(&mut self, _why: Emptied) -> Result<(), SeenError> {
        *self.inner() = Inner::default();
        Ok(())
    }

    fn size(&self) -> (u64, u64) {
        let ids = self.inner().now.by_key.len() as u64;
        (ids, ids * 48)
    }
}
