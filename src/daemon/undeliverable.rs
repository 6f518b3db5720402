//! Finds events of this node that none of their recipients can get any more. A peer was removed before it had read
//! them, or its events now come through others. Relays carry unsealed events only to those named. The findings are kept
//! in `undeliverable.json`, so that a restart forgets none of them. Nothing is sent or dropped here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::daemon::kept_file::{KeptFile, read_small};
use crate::identity::PublisherName;
use crate::policy::TrustList;
use crate::protocol::view::NodeView;
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
/// How often the journal is asked what was taken back, and written down how far peers have read, in ms.
const LOOK_EVERY_MS: u64 = 10_000;
/// How many entries of the journal are looked at for one peer that goes.
const LOOKED_AT_MAX: u64 = 100_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StuckEvent {
    seq: u64,
    id: String,
    to: Vec<PublisherName>,
    #[serde(with = "crate::status::rfc3339")]
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::status::rfc3339_or_absent")]
    expires: Option<Timestamp>,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    stuck: Vec<StuckEvent>,
    /// How far each peer that can be reached has read our journal: the core forgets it when the node stops, and such a
    /// peer may be removed meanwhile.
    read: BTreeMap<PublisherName, u64>,
    /// `read` as it was written last.
    #[serde(skip)]
    written: BTreeMap<PublisherName, u64>,
}

/// The events that are stuck, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct UndeliverableEvents {
    file: KeptFile,
    kept: Arc<Mutex<Kept>>,
    /// When the journal is asked again what was taken back.
    next_look: Tick,
}

/// The entries that a peer had not read when it went: all of ours after `after` up to `last`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnreadEvents {
    pub after: u64,
    pub last: u64,
}

impl Kept {
    /// Notes how far the peers that can be reached have read.
    fn observe(&mut self, view: &NodeView, trust: &TrustList) {
        let renamed = self.read.keys().filter(|name| trust.present_name(name) != *name);
        for old in renamed.cloned().collect::<Vec<_>>() {
            let position = self.read.remove(&old);
            let present = trust.present_name(&old).clone();
            self.read.entry(present).or_insert(position.unwrap_or_default());
        }
        let last = view.ends.last.seq;
        for peer in &view.peers {
            if let Some(known) = self.read.get_mut(&peer.status.name) {
                // Of a journal that was emptied it has not read what comes now.
                *known = peer.status.sent.position.unwrap_or(*known).min(last);
            } else if is_reachable(&peer.status.name, trust) {
                // It is not known what one has that connected before this was written down.
                let never = if peer.status.was_connected { last } else { 0 };
                self.read.insert(peer.status.name.clone(), peer.status.sent.position.unwrap_or(never));
            }
        }
    }

    /// Forgets the peers that cannot be reached any more, and returns the events that the slowest of them has not read.
    fn go(&mut self, trust: &TrustList, last: u64) -> Option<UnreadEvents> {
        let gone = self.read.extract_if(.., |name, _| !is_reachable(name, trust));
        let after = gone.map(|(_, position)| position).min().filter(|after| *after < last)?;
        Some(UnreadEvents { after, last })
    }
}

impl UndeliverableEvents {
    /// Takes up what an earlier process found. A file that cannot be read is as if it were not there.
    pub(crate) fn open(state: &Path) -> Self {
        let file = state.join(FILE);
        let kept: Kept = serde_json::from_slice(&read_small(&file, FILE_BYTES_MAX)).unwrap_or_default();
        Self { file: KeptFile::new(file), kept: Arc::new(Mutex::new(kept)), next_look: Tick(0) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the entries unread by peers that can no longer be reached. `view` is of the time when they could. To be
    /// called at the start, and when `trust` changes.
    pub(crate) fn gone(&self, view: &NodeView, trust: &TrustList) -> Option<UnreadEvents> {
        let mut kept = self.kept();
        kept.observe(view, trust);
        kept.go(trust, view.ends.last.seq)
    }

    /// Looks, away from the loop, for what only peers were to get that can be reached no more.
    pub(crate) fn unreachable(
        &self,
        unread: UnreadEvents,
        store: Arc<Store>,
        trust: Arc<TrustList>,
        own: PublisherName,
        now: Timestamp,
    ) {
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let from = (unread.after + 1).max((unread.last + 1).saturating_sub(LOOKED_AT_MAX));
            let passed = from - (unread.after + 1);
            if passed > 0 {
                tracing::warn!(
                    "{passed} older events were not looked at: a peer that is gone may not have read them"
                );
            }
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

    /// Takes up how far peers have read. Events withdrawn or replaced since then are not stuck any more. To be called
    /// about once a second; looks every few seconds, away from the loop.
    pub(crate) fn look(&mut self, view: &NodeView, trust: &TrustList, store: &Arc<Store>, now: Tick) {
        self.kept().observe(view, trust);
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus_ms(LOOK_EVERY_MS);
        let (is_newer, is_empty) = {
            let kept = self.kept();
            (kept.read != kept.written, kept.stuck.is_empty())
        };
        if is_newer {
            self.keep();
        }
        if is_empty {
            return;
        }
        let (shared, store) = (self.clone(), Arc::clone(store));
        tokio::task::spawn_blocking(move || {
            let seqs: Vec<u64> = shared.kept().stuck.iter().map(|known| known.seq).collect();
            let taken_back = |seq: &u64| {
                let entry = store.entry(*seq).ok().flatten();
                entry.is_some_and(|entry| entry.withdrawn_by.is_some() || entry.replaced_by.is_some())
            };
            let gone: Vec<u64> = seqs.into_iter().filter(taken_back).collect();
            if !gone.is_empty() {
                shared.kept().stuck.retain(|known| !gone.contains(&known.seq));
                shared.keep();
            }
        });
    }

    fn add(&self, entry: &Entry, now: Timestamp) {
        let stuck = &mut self.kept().stuck;
        if stuck.iter().any(|known| known.seq == entry.seq) {
            return;
        }
        let core = entry.envelope.core();
        let (to, expires) = (core.to.clone(), core.expires);
        stuck.push(StuckEvent { seq: entry.seq, id: core.id.to_string(), to, since: now, expires });
        let beyond = stuck.len().saturating_sub(EVENTS_MAX);
        stuck.drain(..beyond);
    }

    fn keep(&self) {
        // Under the lock: an older list never comes behind a newer one.
        let mut kept = self.kept();
        kept.written = kept.read.clone();
        if let Ok(bytes) = serde_json::to_vec(&*kept) {
            self.file.write(bytes);
        }
    }

    /// The process ends.
    pub(crate) fn keep_last(&self) {
        if let Ok(bytes) = serde_json::to_vec(&*self.kept()) {
            self.file.write_last(bytes);
        }
    }

    /// Returns the events still stuck: none that expired, was retired, or has a reachable recipient again.
    pub(crate) fn shown(&self, trust: &TrustList, first_seq: u64, now: Timestamp) -> Option<NotDeliverable> {
        let (shown, changed) = {
            let stuck = &mut self.kept().stuck;
            let before = stuck.len();
            stuck.retain(|known| {
                let past = known.expires.is_some_and(|expires| expires <= now) || known.seq < first_seq;
                !past && !known.to.iter().any(|name| is_reachable(name, trust))
            });
            (shown(stuck), stuck.len() != before)
        };
        if changed {
            self.keep();
        } else {
            self.file.try_again();
        }
        shown
    }
}

fn shown(stuck: &[StuckEvent]) -> Option<NotDeliverable> {
    let newest = stuck.last()?;
    let mut recipients: Vec<PublisherName> = stuck.iter().flat_map(|known| known.to.clone()).collect();
    recipients.sort();
    recipients.dedup();
    let since = stuck.iter().map(|known| known.since).min().unwrap_or(newest.since);
    Some(NotDeliverable { events: stuck.len() as u64, recipients, id: newest.id.clone(), since })
}

/// Returns true if it is ours, unsealed, in force, and for named peers of which none can be reached.
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

/// Returns true if the peer can be reached; one that is only down can. A peer cannot be reached if its events come
/// through others, or if its key is revoked, here or by its own statement.
pub(crate) fn is_reachable(name: &PublisherName, trust: &TrustList) -> bool {
    trust.peer(trust.present_name(name)).is_some_and(|peer| !peer.publisher_only && !peer.revoked)
}
