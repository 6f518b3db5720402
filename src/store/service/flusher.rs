//! Makes seen set and link index durable in the background, so that a start has little to read again and retention
//! nothing to wait for. When the disk is full it tries again later: the journal has everything.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::{StoreShared, StoreWrite};
use crate::store::engine::FlushFault;
use crate::store::seen::SeenError;

/// Inserted rows are flushed at the latest after this time.
const FLUSH_EVERY: Duration = Duration::from_secs(60);

/// Runs until nobody asks any more.
pub(super) fn run(shared: &StoreShared, flushes: &Receiver<()>, writes: &SyncSender<StoreWrite>) {
    loop {
        match flushes.recv_timeout(FLUSH_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if !shared.engine().is_dirty() {
            continue;
        }
        match shared.flush() {
            Err(FlushFault { of, error: SeenError::Corrupt { .. } }) => {
                // The writer is not waited for: it may wait for this thread.
                let _ = writes.send(StoreWrite::Remake { of, done: sync_channel(1).0 });
            }
            Err(fault) if !fault.error.is_full() => return shared.fail(fault),
            _ => {}
        }
    }
}
