//! The rules about peers: the causes that stop their feeds, whether they are there, and how far their feeds are behind.

use super::{
    HealthCode, HealthFinding, HealthRules, SILENT_SHOWN_AFTER_MS, events, filter_failing, span_text,
};
use crate::limits::CLOCK_SKEW_SHOWN_MS;
use crate::status::{FeedSide, HealthItem, PeerFault, PeerFaultKind, PeerState, PeerStatus};

impl HealthRules<'_> {
    pub(super) fn peer(&self, peer: &PeerStatus, found: &mut Vec<HealthItem>) {
        if let Some(fault) = &peer.fault {
            found.extend(self.fault(peer, fault));
        }
        skew(peer, found);
        incidents(peer, found);
        // Its events come through others: whether it connects and reads is its own matter.
        if peer.state != PeerState::Trusted || peer.publisher_only {
            return;
        }
        if !peer.connected {
            found.extend(self.away(peer));
        } else {
            found.extend(self.stands(peer).or_else(|| self.sends_nothing(peer)));
            self.lags(peer, found);
        }
        if self.is_retention_short(peer.sent.lag_events) {
            let what = format!("retention will soon drop what {} has not read", peer.name);
            let hint = "raise keep_bytes in intelmesh.toml, or bring the peer back";
            found.push(HealthFinding::new(HealthCode::RetentionShort, what, hint).peer(&peer.name).done());
        }
    }

    fn fault(&self, peer: &PeerStatus, fault: &PeerFault) -> Option<HealthItem> {
        let name = &peer.name;
        let said = if fault.what.is_empty() { String::new() } else { format!(" ({})", fault.what) };
        let (code, what, hint) = match (&fault.kind, fault.side) {
            (PeerFaultKind::PeerKeyChanged { key, address }, _) => (
                HealthCode::PeerKeyChanged,
                format!("{name}: another key ({key}) answers at {address}"),
                format!("ask {name} by another way; a new key is a new pairing (peer remove, peer add)"),
            ),
            (PeerFaultKind::Cloned, FeedSide::Here) => (
                HealthCode::Cloned,
                format!("{name}: two running nodes use its key; the second one is refused"),
                format!("ask {name} to stop one of the two"),
            ),
            (PeerFaultKind::Cloned, FeedSide::There) => (
                HealthCode::Cloned,
                format!("{name} is connected to another running node with our key, and refuses this one"),
                "stop one of the two nodes".to_owned(),
            ),
            (PeerFaultKind::NameMismatch { called: Some(called) }, _) => (
                HealthCode::NameMismatch,
                format!("{name} calls itself \"{called}\", and our file for it is peers/{name}.toml"),
                format!("intelmesh peer rename {name} {called}, or add aliases = [\"{called}\"] to its file"),
            ),
            (PeerFaultKind::NameMismatch { called: None }, _) => (
                HealthCode::NameMismatch,
                format!(
                    "{name} knows us by another name than \"{}\", and refuses this one{said}",
                    self.facts.name
                ),
                format!("ask {name} to rename its peer file for us, or to add our name to its aliases"),
            ),
            (PeerFaultKind::VersionSkew, _) => (
                HealthCode::VersionSkew,
                format!("{name} has no version or not the federation's name in common with us{said}"),
                "compare versions and the federation's name".to_owned(),
            ),
            (PeerFaultKind::RejectedByPeer, _) => (
                HealthCode::RejectedByPeer,
                format!("{name} refuses our connection{said}"),
                format!("ask {name} whether our invitation was added, and not paused"),
            ),
            (PeerFaultKind::DiskFull, _) => (
                HealthCode::FeedLagging,
                format!("{name} has taken nothing for {}: its disk is full", self.for_long(fault.since)),
                format!("tell {name}; what it misses waits here"),
            ),
            (PeerFaultKind::FeedClosed, side) => {
                if !self.lasts(fault.since, self.thresholds.stands_ms) {
                    return None;
                }
                let who = if side == FeedSide::Here { "this node" } else { "the peer" };
                (
                    HealthCode::FeedLagging,
                    format!("{who} closes the feed with {name} again and again{said}"),
                    format!("compare versions with {name}; intelmesh peer show {name}"),
                )
            }
        };
        Some(HealthFinding::new(code, what, hint).peer(name).side(fault.side).since(fault.since).done())
    }

    /// Not connected. Said only if no fault explains it already.
    fn away(&self, peer: &PeerStatus) -> Option<HealthItem> {
        if peer.fault.is_some() || self.facts.starts(self.thresholds) {
            return None;
        }
        let name = &peer.name;
        if peer.addresses.is_empty() && !peer.was_connected {
            let what =
                format!("there is no way to {name}: we have no address of it, and it never connected to us");
            let hint = format!(
                "one of both must be reachable: ask {name} for its address, or give it an invitation with ours"
            );
            return Some(
                HealthFinding::new(HealthCode::NoRoute, what, hint).peer(name).since(peer.since).done(),
            );
        }
        let since = peer.since?;
        let cause = peer.down_cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let span = self.for_long(since);
        let finding = if self.lasts(since, self.thresholds.down_ms) {
            let hint = match peer.addresses.is_empty() {
                true => format!("ask {name} whether its node runs: it connects to us"),
                false => format!("intelmesh peer check {name}"),
            };
            HealthFinding::new(HealthCode::PeerDown, format!("{name} has been down for {span}{cause}"), hint)
        } else {
            let what = match peer.was_connected {
                true => format!("{name} was connected until {span} ago{cause}"),
                false => format!("{name} has been a peer for {span} and is not connected yet{cause}"),
            };
            HealthFinding::new(HealthCode::PeerSilent, what, format!("wait, or: intelmesh peer check {name}"))
        };
        Some(finding.peer(name).since(since).done())
    }

    /// Connected, and nothing moves.
    fn stands(&self, peer: &PeerStatus) -> Option<HealthItem> {
        let (name, hint) = (&peer.name, format!("intelmesh peer check {}", peer.name));
        if peer.fault.is_some() {
            return None;
        }
        let heard = peer.last_frame.max(peer.since);
        if let Some(heard) = heard.filter(|heard| self.lasts(*heard, SILENT_SHOWN_AFTER_MS)) {
            let what = format!("{name} is connected, but has been silent for {}", self.for_long(heard));
            return Some(
                HealthFinding::new(HealthCode::PeerSilent, what, hint).peer(name).since(heard).done(),
            );
        }
        // If our own disk is full, that is the cause, and it is reported elsewhere.
        let full = self.facts.disk.as_ref().is_some_and(|disk| disk.full);
        let since =
            peer.stands_since.filter(|since| !full && self.lasts(*since, self.thresholds.stands_ms))?;
        let cause = peer.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let what =
            format!("{name} is connected, but its feed has not run for {}{cause}", self.for_long(since));
        Some(HealthFinding::new(HealthCode::PeerSilent, what, hint).peer(name).since(since).done())
    }

    /// All works, and yet no event comes: something is wrong behind the peer's node.
    fn sends_nothing(&self, peer: &PeerStatus) -> Option<HealthItem> {
        let every_s = peer.expect_every_s?;
        let last = peer.last_event.filter(|last| self.lasts(*last, every_s * 1_000))?;
        let (name, every) = (&peer.name, span_text(every_s));
        let what = format!(
            "{name} is connected, but has sent no event for {}; its file expects one every {every}",
            self.for_long(last)
        );
        let hint =
            format!("ask {name} whether its pipeline runs, or change expect_every in peers/{name}.toml");
        Some(HealthFinding::new(HealthCode::PeerSilent, what, hint).peer(name).since(last).done())
    }

    fn lags(&self, peer: &PeerStatus, found: &mut Vec<HealthItem>) {
        // The cause that stops its feeds is reported already.
        if peer.fault.is_some() {
            return;
        }
        let name = &peer.name;
        for (side, way, lag_s, lag) in [
            (FeedSide::There, "behind us", peer.sent.lag_s, peer.sent.lag_events),
            (FeedSide::Here, "ahead of us", peer.received.lag_s, peer.received.lag_events),
        ] {
            let Some(lag_s) = lag_s.filter(|lag_s| *lag_s >= self.thresholds.lag_s) else { continue };
            let much = lag.map(|lag| format!(", {}", events(lag))).unwrap_or_default();
            let what = format!("{name} is {} {way}{much}", span_text(lag_s as u64));
            let finding =
                HealthFinding::new(HealthCode::FeedLagging, what, format!("intelmesh feed show {name}"));
            let since = self.now.minus_ms((lag_s * 1000.0) as u64);
            found.push(finding.peer(name).side(side).since(since).done());
        }
    }
}

fn skew(peer: &PeerStatus, found: &mut Vec<HealthItem>) {
    let Some(skew) = peer.skew_ms.filter(|skew| skew.unsigned_abs() > CLOCK_SKEW_SHOWN_MS) else { return };
    let way = if skew > 0 { "ahead of" } else { "behind" };
    let what = format!("the clock of {} is {} {way} ours", peer.name, span_text(skew.unsigned_abs() / 1000));
    let finding = HealthFinding::new(HealthCode::ClockOff, what, "compare both clocks (chronyc tracking)");
    found.push(finding.peer(&peer.name).done());
}

/// Adds the incidents of a peer, in any state that it has now.
fn incidents(peer: &PeerStatus, found: &mut Vec<HealthItem>) {
    let name = &peer.name;
    for (section, failing) in
        [("share", &peer.sent.filter_failing), ("receive", &peer.received.filter_failing)]
    {
        if let Some(failing) = failing {
            let place = format!("peers/{name}.toml, [{section}] where");
            found.push(filter_failing(&place, failing).peer(name).done());
        }
    }
    if let Some(at) = peer.sent.rejected_at {
        let why = peer.sent.rejected_why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let what =
            format!("{name} rejected {} of ours or relayed by us{why}", events(peer.sent.rejected_wrongly));
        let finding =
            HealthFinding::new(HealthCode::RejectedByPeer, what, format!("intelmesh peer show {name}"));
        found.push(finding.peer(name).side(FeedSide::There).happened(at).done());
    }
    if let Some(at) = peer.received.missing_at {
        let what = format!(
            "{} of {name} are missing: its journal no longer holds them",
            events(peer.received.missing)
        );
        let finding =
            HealthFinding::new(HealthCode::FeedMissing, what, format!("intelmesh feed repair {name}"));
        found.push(finding.peer(name).happened(at).done());
    }
}
