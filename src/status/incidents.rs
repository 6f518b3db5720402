//! Incidents, which are shown for a day or until the operator has seen them, unlike states that last.
//! A restart of the node forgets none of it. Reads and writes no file; the daemon keeps this value on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::health::INCIDENT_SHOWN_MS;
use super::{HealthCode, HealthItem};
use crate::time::Timestamp;

/// Incidents that are kept beyond those that were derived last; one for each peer, consumer and code.
const CARRIED_MAX: usize = 1_024;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incidents {
    /// As they were shown last.
    shown: Vec<HealthItem>,
    /// The operator has seen every incident up to then.
    acknowledged: BTreeMap<HealthCode, Timestamp>,
    /// `shown` is what an earlier process left: nothing was derived by this one yet.
    #[serde(skip)]
    carried: Vec<HealthItem>,
}

/// The result of the operator's `status --ack CODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// So many incidents are not shown any more.
    Incidents(usize),
    /// There is nothing under this code.
    Nothing,
    /// A state is shown under this code: it ends with its cause, and no sooner.
    State,
}

impl Incidents {
    /// Returns the incidents for a new process. Rejects of doors are left out: they lie on disk, and are read from
    /// there.
    pub(crate) fn carried_over(self) -> Self {
        let on_disk = |found: &&HealthItem| found.code == HealthCode::DoorRejects;
        let carried = self.shown.iter().filter(|found| !on_disk(found)).cloned().collect();
        Self { carried, ..self }
    }

    /// Returns the items of `derived` (worst first) to show, with those that an earlier process showed.
    pub(crate) fn take_up(&mut self, derived: Vec<HealthItem>, now: Timestamp) -> Vec<HealthItem> {
        let mut health: Vec<HealthItem> =
            derived.into_iter().filter(|found| self.is_shown(found, now)).collect();
        // What this process knows of is not carried any more: it ends with what this process knows.
        self.carried.retain(|old| !health.iter().any(|new| is_same(old, new)));
        let carried: Vec<HealthItem> =
            self.carried.iter().filter(|old| self.is_shown(old, now)).cloned().collect();
        self.carried.clone_from(&carried);
        health.extend(carried);
        health.sort_by_key(|found| found.code);
        self.shown = health.iter().filter(|found| found.incident).take(CARRIED_MAX).cloned().collect();
        health
    }

    fn is_shown(&self, found: &HealthItem, now: Timestamp) -> bool {
        let Some(at) = found.since.filter(|_| found.incident) else { return true };
        let seen = self.acknowledged.get(&found.code).is_some_and(|acknowledged| at <= *acknowledged);
        !seen && now.since_ms(at) < INCIDENT_SHOWN_MS
    }

    /// The operator has seen what stands in `health` under `code`.
    pub(crate) fn acknowledge(
        &mut self,
        code: HealthCode,
        health: &[HealthItem],
        now: Timestamp,
    ) -> Acknowledged {
        let of_code = || health.iter().filter(|found| found.code == code);
        let incidents = of_code().filter(|found| found.incident).count();
        if incidents == 0 {
            return if of_code().next().is_some() { Acknowledged::State } else { Acknowledged::Nothing };
        }
        // A peer's clock may have dated it ahead of ours.
        let newest = of_code().filter_map(|found| found.since).max().unwrap_or(now);
        self.acknowledged.insert(code, newest.max(now));
        Acknowledged::Incidents(incidents)
    }

    /// Forgets items about a consumer or a peer that is gone.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&HealthItem) -> bool) {
        self.carried.retain(|old| !is_gone(old));
    }
}

/// Returns true if both are about the same thing.
pub(crate) fn is_same(one: &HealthItem, other: &HealthItem) -> bool {
    (one.code, &one.peer, &one.consumer, &one.door, one.side)
        == (other.code, &other.peer, &other.consumer, &other.door, other.side)
        && one.incident == other.incident
        && place_of(one) == place_of(other)
}

/// The file, or the section of it, that a text of these codes begins with: two bad files are two reasons.
fn place_of(health: &HealthItem) -> Option<&str> {
    let has_place = matches!(health.code, HealthCode::ConfigBad | HealthCode::FilterFailing);
    has_place.then(|| health.what.split(':').next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::FeedSide;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn found(code: HealthCode, ago_ms: u64, incident: bool) -> HealthItem {
        HealthItem {
            code,
            peer: None,
            consumer: None,
            door: None,
            side: None,
            since: Some(NOW.minus_ms(ago_ms)),
            incident,
            what: "it happened".into(),
            hint: "look".into(),
        }
    }

    #[test]
    fn an_incident_is_shown_for_a_day_or_until_it_was_seen() {
        let mut incidents = Incidents::default();
        let new = || vec![found(HealthCode::FeedMissing, 1, true)];
        assert_eq!(incidents.take_up(new(), NOW).len(), 1);
        assert!(
            incidents.take_up(vec![found(HealthCode::FeedMissing, INCIDENT_SHOWN_MS, true)], NOW).is_empty()
        );
        let shown = incidents.take_up(new(), NOW);
        let seen = incidents.acknowledge(HealthCode::FeedMissing, &shown, NOW);
        assert_eq!(seen, Acknowledged::Incidents(1));
        assert!(incidents.take_up(new(), NOW).is_empty());
        let again = HealthItem { since: Some(NOW.plus_ms(1)), ..found(HealthCode::FeedMissing, 0, true) };
        assert_eq!(incidents.take_up(vec![again], NOW).len(), 1, "what happens later is another one");
    }

    /// Each of them begins and ends on its own.
    #[test]
    fn two_files_sections_or_directions_are_two_reasons() {
        let bad = |what: &str| HealthItem { what: what.into(), ..found(HealthCode::ConfigBad, 1, false) };
        assert!(is_same(&bad("peers/a.toml:1: unknown key"), &bad("peers/a.toml:7: no name")));
        assert!(!is_same(&bad("peers/a.toml:1: unknown key"), &bad("peers/b.toml:1: unknown key")));
        let failing =
            |what: &str| HealthItem { what: what.into(), ..found(HealthCode::FilterFailing, 1, true) };
        let share = failing("peers/a.toml, [share] where: no answer for 1 event: x");
        assert!(is_same(&share, &failing("peers/a.toml, [share] where: no answer for 2 events: y")));
        assert!(!is_same(&share, &failing("peers/a.toml, [receive] where: no answer for 1 event: x")));
        let lags = |side| HealthItem { side: Some(side), ..found(HealthCode::FeedLagging, 1, false) };
        assert!(!is_same(&lags(FeedSide::Here), &lags(FeedSide::There)));
    }

    #[test]
    fn what_lasts_is_not_acknowledged_away() {
        let mut incidents = Incidents::default();
        let shown = incidents.take_up(vec![found(HealthCode::PeerDown, 1, false)], NOW);
        assert_eq!(incidents.acknowledge(HealthCode::PeerDown, &shown, NOW), Acknowledged::State);
        assert_eq!(incidents.acknowledge(HealthCode::DiskLow, &shown, NOW), Acknowledged::Nothing);
        assert_eq!(incidents.take_up(shown, NOW).len(), 1);
    }

    #[test]
    fn a_restart_forgets_no_incident_and_keeps_no_state() {
        let mut before = Incidents::default();
        let all = vec![
            found(HealthCode::RejectedByPeer, 5, true),
            found(HealthCode::PeerDown, 5, false),
            // A start finds it on disk, if it is still there.
            found(HealthCode::DoorRejects, 5, true),
        ];
        before.take_up(all, NOW);
        let text = serde_json::to_string(&before).unwrap();
        let mut after: Incidents = serde_json::from_str::<Incidents>(&text).unwrap().carried_over();
        let shown = after.take_up(Vec::new(), NOW);
        assert_eq!(shown.iter().map(|found| found.code).collect::<Vec<_>>(), [HealthCode::RejectedByPeer]);
        // Once this process knows of it, it ends with what this process knows.
        after.take_up(vec![found(HealthCode::RejectedByPeer, 1, true)], NOW);
        assert!(after.take_up(Vec::new(), NOW).is_empty());
    }
}
