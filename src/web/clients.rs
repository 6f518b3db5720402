//! The clients in force, by the hash of their token, and what each of them did since the start. The files are
//! `config`'s; a change of one counts from the next page of a running stream on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{ClientFile, TokenHash};
use crate::identity::PublisherName;
use crate::limits::{WEB_CLIENT_HELD_KIB_MAX, WEB_REQUESTS_PER_CLIENT_MAX};
use crate::protocol::bucket::TokenBucket;
use crate::status::{ClientStatus, ReadSpan};
use crate::time::{Now, Timestamp};

/// All clients; shared with the loop, which replaces the files.
#[derive(Debug, Default)]
pub(crate) struct ClientTable {
    files: ArcSwap<BTreeMap<TokenHash, Arc<ClientFile>>>,
    activity: Mutex<BTreeMap<PublisherName, Arc<ClientActivity>>>,
}

/// One client since the start, or since it came.
#[derive(Debug)]
pub(super) struct ClientActivity {
    requests: Arc<Semaphore>,
    /// KiB of bodies: see `room`.
    pub held: Arc<Semaphore>,
    bucket: Mutex<Option<TokenBucket>>,
    handed: AtomicU64,
    posted: AtomicU64,
    refused: AtomicU64,
    /// The last piece of the journal that it has read without a gap.
    read: Mutex<Option<ReadSpan>>,
    /// ms since the epoch; 0 if it has not come yet.
    last: AtomicU64,
}

impl Default for ClientActivity {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(WEB_REQUESTS_PER_CLIENT_MAX)),
            held: Arc::new(Semaphore::new(WEB_CLIENT_HELD_KIB_MAX)),
            bucket: Mutex::default(),
            handed: AtomicU64::default(),
            posted: AtomicU64::default(),
            refused: AtomicU64::default(),
            read: Mutex::default(),
            last: AtomicU64::default(),
        }
    }
}

/// The client of one request.
#[derive(Clone, Debug)]
pub(super) struct ClientHandle {
    table: Arc<ClientTable>,
    token: TokenHash,
    pub name: PublisherName,
    pub activity: Arc<ClientActivity>,
}

impl ClientTable {
    /// Puts the files as they are now in force.
    pub(crate) fn replace(&self, files: &[ClientFile]) {
        let by_token = files.iter().map(|file| (file.token_hash, Arc::new(file.clone()))).collect();
        self.files.store(Arc::new(by_token));
        let names: BTreeSet<&PublisherName> = files.iter().map(|file| &file.name).collect();
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.retain(|name, _| names.contains(name));
    }

    /// Returns the client of a token, and notes that it came.
    pub(super) fn of_token(self: &Arc<Self>, token: &str, now: Now) -> Option<ClientHandle> {
        let token = TokenHash::of(token);
        let name = self.files.load().get(&token)?.name.clone();
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        let activity = Arc::clone(activity.entry(name.clone()).or_default());
        activity.last.store(now.wall.0, Ordering::Relaxed);
        Some(ClientHandle { table: Arc::clone(self), token, name, activity })
    }

    /// Returns what each client did, by name.
    pub(crate) fn status(&self) -> Vec<ClientStatus> {
        let activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<Arc<ClientFile>> = self.files.load().values().cloned().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |file: &Arc<ClientFile>| {
            let idle = ClientActivity::default();
            let did = activity.get(&file.name).map_or(&idle, |activity| activity);
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            ClientStatus {
                name: file.name.clone(),
                connected: did.requests.available_permits() < WEB_REQUESTS_PER_CLIENT_MAX,
                last: Some(count(&did.last)).filter(|last| *last > 0).map(Timestamp),
                handed: count(&did.handed),
                posted: count(&did.posted),
                refused: count(&did.refused),
                read: did.read.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            }
        };
        files.iter().map(of).collect()
    }
}

impl ClientHandle {
    /// Returns its file as it is now; `None` if it was removed, or its token changed.
    pub(crate) fn file(&self) -> Option<Arc<ClientFile>> {
        self.table.files.load().get(&self.token).filter(|file| file.name == self.name).cloned()
    }
}

impl ClientActivity {
    /// Returns a place for one more request, if there is one.
    pub(crate) fn request(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.requests).try_acquire_owned().ok()
    }

    /// Notes a page with `lines` events, of the entries in `span`.
    pub(crate) fn count_handed(&self, lines: usize, span: ReadSpan) {
        self.handed.fetch_add(lines as u64, Ordering::Relaxed);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Some(match read.take() {
            Some(before) if before.after <= span.to && span.after <= before.to => {
                ReadSpan { after: before.after.min(span.after), to: before.to.max(span.to) }
            }
            _ => span,
        });
    }

    pub(crate) fn count_posted(&self, taken: u64, refused: u64) {
        self.posted.fetch_add(taken, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    /// Spends `count` events of the client's `rate`.
    ///
    /// # Errors
    /// The seconds to wait, if earlier events have used it up.
    pub(crate) fn spend(&self, file: &ClientFile, count: usize, now: Now) -> Result<(), u64> {
        let Some(rate) = file.receive.rate else { return Ok(()) };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.as_ref().is_none_or(|bucket| bucket.rate() != rate) {
            *bucket = Some(TokenBucket::new(rate, now.tick));
        }
        let Some(bucket) = bucket.as_mut() else { return Ok(()) };
        match bucket.wait_ms(now.tick) {
            0 => {
                bucket.spend(count, now.tick);
                Ok(())
            }
            ms => Err(ms.div_ceil(1_000)),
        }
    }
}
