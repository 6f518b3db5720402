//! Events of this node that none of their recipients can get any more: a peer was removed, or became one whose events
//! come through others, before it had read them, and relays carry unsealed events to nobody but those named. What is
//! found is kept in `undeliverable.json`, so that a restart forgets none of it. Nothing is sent or dropped here.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::daemon::kept_file::KeptFile;
use crate::identity::PublisherName;
use crate::policy::TrustList;
use crate::record::Entry;
use crate::status::NotDeliverable;
use crate::store::Store;
use crate::time::{Tick, Timestamp};

/// Below the state directory.
const FILE: &str = "undeliverable.json";
/// Events that are remembered; the oldest go first.
const EVENTS_MAX: usize = 1_000;
/// No file with so many bytes is read: it is not ours.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often the journal is asked what was taken back, in ms.
const LOOK_EVERY_MS: u64 = 10_000;
/// How many entries of the journal are looked at for one peer that goes.
const LOOKED_AT_MAX: u64 = 100_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stuck {
    seq: u64,
    id: String,
    to: Vec<PublisherName>,
    #[serde(with = "crate::status::rfc3339")]
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::status::rfc3339_or_absent")]
    expires: Option<Timestamp>,
}

/// What is stuck, as far as it is known.
#[derive(Clone, Debug)]
pub struct Undeliverable {
    file: KeptFile,
    stuck: Arc<Mutex<Vec<Stuck>>>,
    /// When the journal is asked again what was taken back.
    next_look: Tick,
}

/// What a peer that goes has not read: all of ours after `after` up to `last`.
pub struct Unread {
    pub after: u64,
    pub last: u64,
}

impl Undeliverable {
    /// Takes up what an earlier process found. A file that cannot be read is as if it were not there.
    pub fn open(state: &Path) -> Self {
        let file = state.join(FILE);
        let small = fs::metadata(&file).is_ok_and(|data| data.len() <= FILE_BYTES_MAX);
        let text = if small { fs::read(&file).unwrap_or_default() } else { Vec::new() };
        let stuck: Vec<Stuck> = serde_json::from_slice(&text).unwrap_or_default();
        Self { file: KeptFile::new(file), stuck: Arc::new(Mutex::new(stuck)), next_look: Tick(0) }
    }

    fn stuck(&self) -> MutexGuard<'_, Vec<Stuck>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Peers can be reached no more. Looks, away from the loop, for what only they were to get.
    pub fn unreachable(
        &self,
        unread: Unread,
        store: Arc<Store>,
        trust: Arc<TrustList>,
        own: PublisherName,
        now: Timestamp,
    ) {
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let from = (unread.after + 1).max((unread.last + 1).saturating_sub(LOOKED_AT_MAX));
            for seq in from..=unread.last {
                // Retention may have taken it meanwhile.
                let Ok(Some(entry)) = store.entry(seq) else { continue };
                if reaches_nobody(&entry, &trust, &own, now) {
                    shared.add(&entry, now);
                }
            }
            shared.keep();
        });
    }

    /// What was withdrawn or replaced since is not stuck any more. To be called about once a second; looks every few
    /// seconds, away from the loop.
    pub fn look(&mut self, store: &Arc<Store>, now: Tick) {
        if now < self.next_look || self.stuck().is_empty() {
            return;
        }
        self.next_look = now.plus_ms(LOOK_EVERY_MS);
        let (shared, store) = (self.clone(), Arc::clone(store));
        tokio::task::spawn_blocking(move || {
            let seqs: Vec<u64> = shared.stuck().iter().map(|known| known.seq).collect();
            let taken_back = |seq: &u64| {
                let entry = store.entry(*seq).ok().flatten();
                entry.is_some_and(|entry| entry.withdrawn_by.is_some() || entry.replaced_by.is_some())
            };
            let gone: Vec<u64> = seqs.into_iter().filter(taken_back).collect();
            if !gone.is_empty() {
                shared.stuck().retain(|known| !gone.contains(&known.seq));
                shared.keep();
            }
        });
    }

    fn add(&self, entry: &Entry, now: Timestamp) {
        let mut stuck = self.stuck();
        if stuck.iter().any(|known| known.seq == entry.seq) {
            return;
        }
        let core = entry.envelope.core();
        let (to, expires) = (core.to.clone(), core.expires);
        stuck.push(Stuck { seq: entry.seq, id: core.id.to_string(), to, since: now, expires });
        let beyond = stuck.len().saturating_sub(EVENTS_MAX);
        stuck.drain(..beyond);
    }

    fn keep(&self) {
        // Under the lock: an older list never comes behind a newer one.
        let stuck = self.stuck();
        if let Ok(bytes) = serde_json::to_vec(&*stuck) {
            self.file.write(bytes);
        }
    }

    /// What is still stuck: not what has expired, was retired, or has a recipient again that can be reached.
    pub fn shown(&self, trust: &TrustList, first_seq: u64, now: Timestamp) -> Option<NotDeliverable> {
        let (newest, shown, changed) = {
            let mut stuck = self.stuck();
            let before = stuck.len();
            stuck.retain(|known| {
                let past = known.expires.is_some_and(|expires| expires <= now) || known.seq < first_seq;
                !past && !known.to.iter().any(|name| is_reachable(name, trust))
            });
            (stuck.last().cloned(), shown(&stuck), stuck.len() != before)
        };
        if changed {
            self.keep();
        } else {
            self.file.try_again();
        }
        newest.and(shown)
    }
}

fn shown(stuck: &[Stuck]) -> Option<NotDeliverable> {
    let newest = stuck.last()?;
    let mut recipients: Vec<PublisherName> = stuck.iter().flat_map(|known| known.to.clone()).collect();
    recipients.sort();
    recipients.dedup();
    let since = stuck.iter().map(|known| known.since).min().unwrap_or(newest.since);
    Some(NotDeliverable { events: stuck.len() as u64, recipients, id: newest.id.clone(), since })
}

/// Is it ours, unsealed, in force, and for named peers of which none can be reached?
fn reaches_nobody(entry: &Entry, trust: &TrustList, own: &PublisherName, now: Timestamp) -> bool {
    let core = entry.envelope.core();
    let over = core.expires.is_some_and(|expires| expires <= now);
    let taken_back = entry.withdrawn_by.is_some() || entry.replaced_by.is_some();
    // What only takes back tells nobody anything new.
    let takes_back = core.links.iter().any(|link| link.relation.takes_back());
    core.id.publisher == *own
        && !takes_back
        && !core.body.is_sealed()
        && !core.to.is_empty()
        && !over
        && !taken_back
        && !core.to.iter().any(|name| name == own || is_reachable(name, trust))
}

/// A peer that is only down can be reached. One whose events come through others cannot, nor one whose key is revoked,
/// here or by its own statement.
pub fn is_reachable(name: &PublisherName, trust: &TrustList) -> bool {
    trust.peer(trust.present_name(name)).is_some_and(|peer| !peer.publisher_only && !peer.revoked)
}
