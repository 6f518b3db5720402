//! Observes the progress of each reader once a second: how long it has been behind, since when a feed does not run
//! although its peer is connected, and when a peer last rejected something.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::lag::LagWatch;
use crate::identity::PublisherName;
use crate::protocol::view::{NodeView, PeerView};
use crate::record::ConsumerName;
use crate::time::{Now, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct LagTable {
    sent: BTreeMap<PublisherName, (LagWatch, f64)>,
    received: BTreeMap<PublisherName, (LagWatch, f64)>,
    consumers: BTreeMap<ConsumerName, (LagWatch, f64)>,
    /// How many entries each peer had rejected when it last rejected one, and when that was seen.
    rejections: BTreeMap<PublisherName, (u64, Timestamp)>,
    stands: BTreeMap<PublisherName, Timestamp>,
    /// How many events each peer had sent when the last one came, and when that was seen.
    events: BTreeMap<PublisherName, (u64, Timestamp)>,
    /// The peers of the first look; `None` before it. Readers that come later have no past.
    at_start: Option<BTreeSet<PublisherName>>,
}

impl LagTable {
    /// To be called about once a second, and before a snapshot. `arrived` says when an entry of our journal was stored,
    /// if it is held. `None`: it cannot say so now.
    pub(crate) fn observe(
        &mut self,
        view: &NodeView,
        now: Now,
        arrived: impl Fn(u64) -> Option<Option<Timestamp>>,
    ) {
        let last = view.ends.last.seq;
        let age_of = |position: u64| {
            let oldest = (position + 1).max(view.ends.first_seq());
            Some(arrived(oldest)?.map_or(0, |at| now.wall.since_ms(at)))
        };
        let begun = self.at_start.is_some();
        let names = || view.peers.iter().map(|peer| peer.status.name.clone()).collect();
        let at_start = self.at_start.take().unwrap_or_else(names);
        for peer in &view.peers {
            let (name, sent, received) = (&peer.status.name, &peer.status.sent, &peer.status.received);
            if let Some(position) = sent.position {
                let (watch, lag_s) = self.sent.entry(name.clone()).or_default();
                *lag_s = watch.observe_first(position, last, now.tick, || age_of(position));
            } else if !at_start.contains(name)
                && !self.sent.contains_key(name)
                && !self.received.contains_key(name)
            {
                // It became a peer since the start: what it reads of our past is no lag of before.
                self.sent.insert(name.clone(), (level(now), 0.0));
            }
            if let (Some(lag), Some(position)) = (received.lag_events, received.position) {
                let (watch, lag_s) = self.received.entry(name.clone()).or_default();
                let newest = || head_age(peer, now).filter(|_| at_start.contains(name)).unwrap_or(0);
                *lag_s = watch.observe_first(position, position + lag, now.tick, || Some(newest()));
            }
            self.observe_peer(peer, now);
        }
        for consumer in &view.consumers {
            let position = consumer.status.position;
            let is_new = begun && !self.consumers.contains_key(&consumer.name);
            let (watch, lag_s) = self.consumers.entry(consumer.name.clone()).or_default();
            let age = || if is_new { Some(0) } else { age_of(position) };
            *lag_s = watch.observe_first(position, last, now.tick, age);
        }
        self.at_start = Some(at_start);
        self.forget(view);
    }

    fn observe_peer(&mut self, peer: &PeerView, now: Now) {
        let name = &peer.status.name;
        let (count, at) = self.rejections.entry(name.clone()).or_default();
        // What the peer's own policy does not want is no fault.
        let faults = peer.status.sent.rejected_wrongly;
        if faults > *count {
            *at = now.wall;
        }
        // They begin anew with another key.
        *count = faults;
        let received = &peer.status.received;
        let count = received.accepted + received.refused + received.rejected;
        let (known, at) = self.events.entry(name.clone()).or_insert((count, now.wall));
        if count > *known {
            *at = now.wall;
        }
        *known = count;
        if peer.status.connected && !(peer.sends && peer.receives) {
            self.stands.entry(name.clone()).or_insert(now.wall);
        } else {
            self.stands.remove(name);
        }
    }

    fn forget(&mut self, view: &NodeView) {
        let is_peer = |name: &PublisherName| view.peers.iter().any(|peer| peer.status.name == *name);
        self.sent.retain(|name, _| is_peer(name));
        self.received.retain(|name, _| is_peer(name));
        self.rejections.retain(|name, _| is_peer(name));
        self.events.retain(|name, _| is_peer(name));
        self.stands.retain(|name, _| is_peer(name));
        self.consumers.retain(|name, _| view.consumers.iter().any(|consumer| consumer.name == *name));
    }

    pub(crate) fn sent(&self, peer: &PublisherName) -> Option<f64> {
        self.sent.get(peer).map(|(_, lag_s)| *lag_s)
    }

    pub(crate) fn received(&self, peer: &PublisherName) -> Option<f64> {
        self.received.get(peer).map(|(_, lag_s)| *lag_s)
    }

    pub(crate) fn consumer(&self, name: &ConsumerName) -> Option<f64> {
        self.consumers.get(name).map(|(_, lag_s)| *lag_s)
    }

    pub(crate) fn rejected_at(&self, peer: &PublisherName) -> Option<Timestamp> {
        self.rejections.get(peer).filter(|(count, _)| *count > 0).map(|(_, at)| *at)
    }

    pub(crate) fn last_event(&self, peer: &PublisherName) -> Option<Timestamp> {
        self.events.get(peer).map(|(_, at)| *at)
    }

    /// Since when one of both feeds does not run, although the peer is connected.
    pub(crate) fn stands_since(&self, peer: &PublisherName) -> Option<Timestamp> {
        self.stands.get(peer).copied()
    }
}

/// A watch that has seen its reader level.
fn level(now: Now) -> LagWatch {
    let mut watch = LagWatch::default();
    watch.observe(0, 0, now.tick);
    watch
}

/// Returns how long ago the peer stored its newest entry, by our clock, in ms. The oldest that we lack is no newer.
fn head_age(peer: &PeerView, now: Now) -> Option<u64> {
    let stored = peer.head_stored?;
    let skew = peer.status.skew_ms.unwrap_or(0);
    let by_ours = Timestamp(stored.0.saturating_add_signed(-skew));
    Some(now.wall.since_ms(by_ours))
}
