//! Room for what requests hold: threads that read the journal, and memory of bodies. A request waits for its place before
//! any work is done for it; its place is free again when the body is written, or the connection is gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::clients::ClientActivity;
use super::problem::Problem;
use crate::limits::{PAGE_BYTES_MAX, WEB_CLIENT_HELD_KIB_MAX, WEB_HELD_KIB_MAX, WEB_READERS_MAX};

pub(super) struct WebRoom {
    readers: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

/// Room for a body, in KiB: among those of its client, and among all.
pub(super) struct HeldRoom([OwnedSemaphorePermit; 2]);

impl WebRoom {
    pub(crate) fn new() -> Self {
        Self {
            readers: Arc::new(Semaphore::new(WEB_READERS_MAX)),
            held: Arc::new(Semaphore::new(WEB_HELD_KIB_MAX)),
        }
    }

    /// Waits for room for a body of at most `bytes`.
    pub(crate) async fn hold(&self, client: &ClientActivity, bytes: usize) -> Result<HeldRoom, Problem> {
        let kib = kib(bytes).min(u32::try_from(WEB_CLIENT_HELD_KIB_MAX).unwrap_or(u32::MAX));
        let hold = |room: &Arc<Semaphore>| Arc::clone(room).acquire_many_owned(kib);
        // The client's first: while it waits for itself, it takes nothing of the others.
        let own = hold(&client.held).await.map_err(|_| Problem::stopping())?;
        let all = hold(&self.held).await.map_err(|_| Problem::stopping())?;
        Ok(HeldRoom([own, all]))
    }

    /// Runs `work`, which may block, on one of a few threads.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let reader = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| Problem::stopping())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(reader);
            done
        });
        done.await.map_err(|_| Problem::stopping())?
    }
}

/// Gives back what a body of `bytes` does not need of its room.
pub(super) fn shrink(room: &mut HeldRoom, bytes: usize) {
    for permit in &mut room.0 {
        let spare = permit.num_permits().saturating_sub(kib(bytes) as usize);
        drop(permit.split(spare));
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1)
}

/// The room of a page before its length is known.
pub(super) const PAGE_ROOM_BYTES: usize = PAGE_BYTES_MAX + 1024 * 1024;
