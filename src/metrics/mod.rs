//! Metrics in the text form of Prometheus: the facts of a [`Snapshot`], under the words of `status`, and how long things
//! took. `serve` offers them over HTTP. Nothing here collects a fact, and no label holds text from outside: labels are
//! names from configuration, and closed lists.
//!
//! In reading order: `text` (the form), `histogram`, `families` (what is shown of a snapshot), `process`, `serve`.

mod families;
mod histogram;
mod process;
mod serve;
mod text;

use std::collections::BTreeMap;

use crate::identity::PublisherName;
use crate::status::Snapshot;

pub(crate) use histogram::Histogram;
pub(crate) use serve::{MetricsSource, routes, serve};
use text::{Kind, MetricsText};

/// From a millisecond to a disk that hangs.
const APPEND_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// From one entry to the largest batch.
const BATCH_ENTRIES: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];
/// From a live feed to one that was away for a day.
const DELIVERY_SECONDS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0];

/// How long things took since the start of the node.
#[derive(Clone, Debug)]
pub(crate) struct NodeTimings {
    /// From the hand-over of a batch to the store until it is on disk, in seconds.
    pub append: Histogram,
    /// Entries in such a batch.
    pub batch: Histogram,
    /// By source: from `created` of an event to its being on disk here, in seconds.
    delivery: BTreeMap<PublisherName, Histogram>,
}

impl Default for NodeTimings {
    fn default() -> Self {
        let (append, batch) = (Histogram::new(APPEND_SECONDS), Histogram::new(BATCH_ENTRIES));
        Self { append, batch, delivery: BTreeMap::new() }
    }
}

impl NodeTimings {
    pub(crate) fn observe_delivery(&mut self, source: &PublisherName, seconds: f64) {
        // Only the first event of a source copies its name.
        if let Some(known) = self.delivery.get_mut(source) {
            return known.observe(seconds);
        }
        let mut new = Histogram::new(DELIVERY_SECONDS);
        new.observe(seconds);
        self.delivery.insert(source.clone(), new);
    }

    /// Drops the figures of sources that are no longer peers.
    pub(crate) fn retain_peers(&mut self, snapshot: &Snapshot) {
        self.delivery.retain(|name, _| snapshot.peers.iter().any(|peer| peer.name == *name));
    }
}

/// Returns the answer to `GET /metrics`.
pub(crate) fn render(snapshot: &Snapshot, timings: &NodeTimings) -> String {
    let mut text = MetricsText::default();
    families::write(&mut text, snapshot);
    text.family(
        "intelmesh_journal_append_seconds",
        Kind::Histogram,
        "Time to write one batch to the journal and sync it",
    );
    text.histogram(&[], &timings.append);
    text.family("intelmesh_journal_batch_entries", Kind::Histogram, "Entries in one batch of the journal");
    text.histogram(&[], &timings.batch);
    text.family(
        "intelmesh_delivery_age_seconds",
        Kind::Histogram,
        "Age of an accepted event, from its creation until it was on disk here",
    );
    let unseen = Histogram::new(DELIVERY_SECONDS);
    for peer in &snapshot.peers {
        text.histogram(&[("peer", peer.name.as_str())], timings.delivery.get(&peer.name).unwrap_or(&unseen));
    }
    process::write(&mut text, snapshot.uptime_s);
    text.into_string()
}
