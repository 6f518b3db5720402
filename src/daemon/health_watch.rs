//! Health over time: one line of log for each change of it, since when each reason stands, and `incidents.json`,
//! which keeps incidents over a restart. The problems themselves are derived in `status`.

use std::path::Path;

use crate::daemon::kept_file::{KeptFile, read_small};
use crate::daemon::on_health::{HealthChange, HealthHook};
use crate::daemon::repeats::HEALTH_LINES;
use crate::identity::PublisherName;
use crate::status::incidents::{Acknowledged, is_same};
use crate::status::{HealthCode, HealthItem, HealthThresholds, Incidents, Snapshot};
use crate::time::Timestamp;

/// Below the state directory.
const FILE: &str = "incidents.json";
/// No file with so many bytes is read: it is not ours.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct HealthWatch {
    thresholds: HealthThresholds,
    incidents: Incidents,
    file: KeptFile,
    /// The content of the file, now or soon.
    written: Incidents,
    /// As it was logged last.
    logged: Vec<HealthItem>,
    hook: Option<HealthHook>,
}

impl HealthWatch {
    /// Takes up what an earlier process kept in `state`. A file that cannot be read is as if it were not there.
    pub(crate) fn open(state: &Path, hook: Option<HealthHook>) -> Self {
        let file = state.join(FILE);
        let written: Incidents =
            serde_json::from_slice(&read_small(&file, FILE_BYTES_MAX)).unwrap_or_default();
        let incidents = written.clone().carried_over();
        let file = KeptFile::new(file);
        Self { thresholds: thresholds(), incidents, file, written, logged: Vec::new(), hook }
    }

    /// Writes `health` and `ok` of `snapshot`, and logs what has changed since the last time.
    pub(crate) fn judge(&mut self, snapshot: &mut Snapshot, now: Timestamp) {
        let (peers, consumers) = (&snapshot.peers, &snapshot.consumers);
        self.incidents.forget(|old| {
            let peer_gone = old.peer.as_ref().is_some_and(|name| peers.iter().all(|peer| peer.name != *name));
            let named = |name: &String| consumers.iter().any(|consumer| consumer.name == *name);
            let consumer_gone = old.consumer.as_ref().is_some_and(|name| !named(name));
            old.code != HealthCode::Equivocation && (peer_gone || consumer_gone)
        });
        snapshot.judge(&self.thresholds, &mut self.incidents, now);
        for health in snapshot.health.iter_mut().filter(|health| health.since.is_none()) {
            let known = self.logged.iter().find(|known| is_same(known, health));
            health.since = Some(known.and_then(|known| known.since).unwrap_or(now));
        }
        self.log(&snapshot.health);
        self.keep();
    }

    fn log(&mut self, health: &[HealthItem]) {
        for new in health.iter().filter(|new| !self.logged.iter().any(|old| is_same(old, new))) {
            let (peer, door, consumer) = subjects(new);
            let (code, state) = (new.code.as_str(), HealthChange::Begins.as_str());
            tracing::warn!(target: HEALTH_LINES, health = code, state, peer, door, consumer, "{}; {}", new.what, new.hint);
            self.tell_hook(new, HealthChange::Begins);
        }
        for old in self.logged.iter().filter(|old| !health.iter().any(|new| is_same(old, new))) {
            let (peer, door, consumer) = subjects(old);
            let (code, state) = (old.code.as_str(), HealthChange::Ends.as_str());
            tracing::info!(target: HEALTH_LINES, health = code, state, peer, door, consumer, "{}", old.what);
            self.tell_hook(old, HealthChange::Ends);
        }
        self.logged = health.to_vec();
    }

    fn tell_hook(&self, health: &HealthItem, change: HealthChange) {
        if let Some(hook) = &self.hook {
            hook.tell(health, change);
        }
    }

    fn keep(&mut self) {
        if self.incidents == self.written {
            return self.file.try_again();
        }
        if let Ok(bytes) = serde_json::to_vec(&self.incidents) {
            self.file.write(bytes);
        }
        self.written = self.incidents.clone();
    }

    /// The process ends.
    pub(crate) fn keep_last(&self) {
        if let Ok(bytes) = serde_json::to_vec(&self.incidents) {
            self.file.write_last(bytes);
        }
    }

    /// The operator has seen what is shown under `code`.
    pub(crate) fn acknowledge(
        &mut self,
        code: HealthCode,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Acknowledged {
        let done = self.incidents.acknowledge(code, &snapshot.health, now);
        self.judge(snapshot, now);
        done
    }
}

/// Peer, door and consumer: fields of the line.
fn subjects(health: &HealthItem) -> (Option<&str>, Option<&str>, Option<&str>) {
    let peer = health.peer.as_ref().map(PublisherName::as_str);
    (peer, health.door.as_deref(), health.consumer.as_deref())
}

/// Returns the thresholds. Tests with real nodes divide them by `INTELMESH_TEST_HEALTH_DIVISOR`; shipped binaries do
/// not read it.
fn thresholds() -> HealthThresholds {
    let thresholds = HealthThresholds::default();
    #[cfg(feature = "sim")]
    if let Some(by) = std::env::var("INTELMESH_TEST_HEALTH_DIVISOR").ok().and_then(|by| by.parse().ok()) {
        return thresholds.divided_by(by);
    }
    thresholds
}
