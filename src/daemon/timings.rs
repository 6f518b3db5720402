//! Measures how long batches take to reach the disk, and how old events are by then. It sees the outputs to the store
//! and the answers, and changes neither.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::identity::PublisherName;
use crate::metrics::NodeTimings;
use crate::protocol::Input;
use crate::protocol::io::{StoreInput, Ticket};
use crate::record::NewRecord;
use crate::time::{Tick, Timestamp};

#[derive(Debug)]
pub(crate) struct StoreTimings {
    timings: Arc<Mutex<NodeTimings>>,
    /// Batches without an answer. As many as the core lets the store have.
    pending: BTreeMap<Ticket, PendingBatch>,
}

#[derive(Debug)]
struct PendingBatch {
    since: Tick,
    /// Source and creation of each event from a peer.
    events: Vec<(PublisherName, Timestamp)>,
    entries: usize,
}

impl StoreTimings {
    pub(crate) fn new(timings: Arc<Mutex<NodeTimings>>) -> Self {
        Self { timings, pending: BTreeMap::new() }
    }

    pub(crate) fn on_append(&mut self, ticket: Ticket, records: &[NewRecord]) {
        let carriers = records.iter().filter_map(|record| match record {
            NewRecord::Carrier(carrier) => Some(carrier),
            NewRecord::Note(_) => None,
        });
        let events = carriers
            .filter_map(|carrier| {
                Some((carrier.path.last()?.clone(), carrier.envelope.envelope().core().created))
            })
            .collect();
        let since = clock::now().tick;
        self.pending.insert(ticket, PendingBatch { since, events, entries: records.len() });
    }

    pub(crate) fn on_answer(&mut self, input: &Input) {
        match input {
            Input::Store(StoreInput::Stored { ticket, .. }) => self.stored(*ticket),
            Input::Store(StoreInput::NotStored { ticket, .. }) => {
                self.pending.remove(ticket);
            }
            _ => {}
        }
    }

    fn stored(&mut self, ticket: Ticket) {
        let Some(batch) = self.pending.remove(&ticket) else { return };
        let now = clock::now();
        let mut timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        timings.append.observe(now.tick.since_ms(batch.since) as f64 / 1_000.0);
        timings.batch.observe(batch.entries as f64);
        for (source, created) in &batch.events {
            timings.observe_delivery(source, now.wall.since_ms(*created) as f64 / 1_000.0);
        }
    }
}
