//! Makes seen set and link index durable in the background, so that a start has little to read again and retention
//! nothing to wait for. When the disk is full it tries again later: the journal has everything.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Shared;

/// What was inserted is flushed at the latest after this time.
const FLUSH_EVERY: Duration = Duration::from_secs(60);

/// Runs until nobody asks any more.
pub(super) fn run(shared: &Shared, flushes: &Receiver<()>) {
    loop {
        match flushes.recv_timeout(FLUSH_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if !shared.engine().is_dirty() {
            continue;
        }
        if let Err(error) = shared.flush()
            && !error.is_full()
        {
            return shared.fail(error);
        }
    }
}
