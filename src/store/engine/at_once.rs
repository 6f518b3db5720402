//! The steps of the engine taken at once, as tests and the simulator do. The node takes them one by one, on threads of
//! its own (`store::service`), so that nothing waits for the disk.

use std::sync::Arc;

use super::{Derived, StoreEngine, StoreError};
use crate::identity::{CoreDigest, EventKey};
use crate::protocol::io::Read;
use crate::record::bytes::CarrierHead;
use crate::record::{JournalEnds, NewRecord};
use crate::store::disk::Disk;
use crate::store::journal::{AppendError, JournalBatch};
use crate::store::links::LinkRow;
use crate::store::seen::{Emptied, SeenDb, SeenError};

impl<D: Disk, B: SeenDb> StoreEngine<D, B> {
    /// Appends, syncs and inserts at once. Returns the seq of the first carrier, and the ends after it.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing of it is in the journal. Any other: the node must stop.
    pub fn append(&mut self, records: Vec<NewRecord>) -> Result<(u64, JournalEnds), StoreError> {
        let batch = self.begin(records)?;
        self.insert_unsynced(&batch)?;
        let disk = Arc::clone(self.journal.disk());
        match batch.write(&*disk) {
            Ok(()) => {
                let first = batch.first_seq();
                Ok((first, self.commit(batch)))
            }
            Err(AppendError::Full) => {
                self.journal.abandon(&batch)?;
                Err(StoreError::Full)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// Does the first half of [`Self::append`]: if the power goes, it may still be lost, or torn.
    ///
    /// # Errors
    /// As [`Self::append`].
    #[cfg(feature = "sim")]
    pub fn append_unsynced(&mut self, records: Vec<NewRecord>) -> Result<(), StoreError> {
        let batch = self.begin(records)?;
        self.insert_unsynced(&batch)?;
        let disk = Arc::clone(self.journal.disk());
        Ok(batch.write_unsynced(&*disk)?)
    }

    /// Inserts a batch before it is synced, as the seen set must not do. Simulations without that rule do it.
    fn insert_unsynced(&mut self, batch: &JournalBatch) -> Result<(), StoreError> {
        if !self.config.checks.synced {
            let heads: Vec<CarrierHead> = batch.heads().collect();
            self.seen.insert(&heads);
            self.flush()?;
        }
        Ok(())
    }

    /// Returns the digest under each identity, in the order asked. If an entry was stored, it is found, or was created
    /// before the floor. If the seen set is broken, it is made again first: only for the appender. Others ask
    /// [`Self::try_look_up`].
    ///
    /// # Errors
    /// [`StoreError`]: the seen set failed, and could not be made again.
    pub fn look_up(&mut self, keys: &[EventKey]) -> Result<Vec<Option<CoreDigest>>, StoreError> {
        match self.try_look_up(keys) {
            Err(SeenError::Corrupt { .. }) => match self.remake(Derived::Seen)? {
                true => Ok(self.try_look_up(keys)?),
                false => Err(StoreError::Full),
            },
            found => Ok(found?),
        }
    }

    /// Reads the entries after `after_seq`, as a consumer or the command line sees them: `Journal::read`, with what
    /// was withdrawn and replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&mut self, after_seq: u64, bytes_max: usize) -> Result<Read, StoreError> {
        let mut read = self.journal.read(after_seq, bytes_max)?;
        self.mark(&mut read)?;
        Ok(read)
    }

    /// Adds to the entries that were read the events by which their publishers withdrew or replaced them.
    ///
    /// # Errors
    /// [`StoreError`]: the link index failed, and could not be made again.
    pub fn mark(&mut self, read: &mut Read) -> Result<(), StoreError> {
        match self.links.mark(read) {
            Err(SeenError::Corrupt { .. }) => {
                self.links.rebuild(&self.journal, Emptied::Corrupt)?;
                Ok(self.links.mark(read)?)
            }
            marked => Ok(marked?),
        }
    }

    /// Returns the rows of one day that name `key`; see `LinkIndex::days`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows(&mut self, day: u32, key: &EventKey, limit: usize) -> Result<Vec<LinkRow>, StoreError> {
        match self.links.rows(day, key, limit) {
            Err(SeenError::Corrupt { .. }) => {
                self.links.rebuild(&self.journal, Emptied::Corrupt)?;
                Ok(self.links.rows(day, key, limit)?)
            }
            rows => Ok(rows?),
        }
    }
}
