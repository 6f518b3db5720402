//! Lets threads that must not append ask the parts derived from the journal. If one is broken, the writer makes it
//! again, and raises the floor of the seen set before anybody is answered.

use std::sync::mpsc::{SyncSender, sync_channel};

use super::{StoreShared, StoreWrite};
use crate::store::engine::{Derived, StoreEngine, StoreError};
use crate::store::file_disk::FileDisk;
use crate::store::seen::SeenError;
use crate::store::seen::day_db::DayDb;

/// Times that one question finds something broken before the node gives up.
const ATTEMPTS_MAX: usize = 4;

/// Returns the answer of `ask`, which asks `of`. `None` when the store is closing.
pub(super) fn asked<T>(
    shared: &StoreShared,
    writes: &SyncSender<StoreWrite>,
    of: Derived,
    mut ask: impl FnMut(&mut StoreEngine<FileDisk, DayDb>) -> Result<T, SeenError>,
) -> Result<Option<T>, StoreError> {
    let mut attempts = 0;
    loop {
        let answer = ask(&mut shared.engine());
        attempts += 1;
        match answer {
            Err(SeenError::Corrupt { .. }) if attempts < ATTEMPTS_MAX => {
                let (done, waits) = sync_channel(1);
                if writes.send(StoreWrite::Remake { of, done }).is_err() || waits.recv().is_err() {
                    return Ok(None);
                }
            }
            answer => return Ok(Some(answer?)),
        }
    }
}
