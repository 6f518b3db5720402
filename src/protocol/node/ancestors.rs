//! Fetches an event for a door that is about to sign another that names it, with its ancestors by `parent` (decisions/0013,
//! decisions/0014). Asked in turn with submissions, so that earlier submissions are found. The door decides label,
//! recipients and the check of the ancestry.

use super::*;
use crate::identity::EventId;
use crate::limits::LINEAGE_MAX;
use crate::protocol::io::{DoorOutput, StoreQuestion};

/// Lineages that are being read.
#[derive(Debug, Default)]
pub(super) struct AncestorFetches {
    reading: BTreeMap<Ticket, EventLineage>,
    /// The event asked for is accepted, and on its way to the disk.
    parked: Vec<(Ticket, EventId)>,
}

#[derive(Debug)]
struct EventLineage {
    /// The door's.
    ticket: Ticket,
    entries: Vec<Arc<Entry>>,
}

impl AncestorFetches {
    pub(super) fn is_idle(&self) -> bool {
        self.reading.is_empty() && self.parked.is_empty()
    }
}

impl Node {
    /// The seen set says whether `id` was ever accepted.
    pub(super) fn on_known_recall(&mut self, ticket: Ticket, id: EventId, known: Option<CoreDigest>) {
        if self.core.traffic.intake.is_being_stored(id.key()) {
            self.recalls.parked.push((ticket, id));
        } else if self.held(id.key(), known).is_some() {
            self.read_ancestor(EventLineage { ticket, entries: Vec::new() }, id);
        } else {
            self.core.traffic.emit(DoorOutput::Recalled { ticket, lineage: Vec::new() });
        }
    }

    /// Reads the events that waited for a batch, when it was stored or was not: each is found or not.
    pub(super) fn recall_parked(&mut self) {
        for (ticket, id) in std::mem::take(&mut self.recalls.parked) {
            if self.core.traffic.intake.is_being_stored(id.key()) {
                self.recalls.parked.push((ticket, id));
            } else {
                self.read_ancestor(EventLineage { ticket, entries: Vec::new() }, id);
            }
        }
    }

    fn read_ancestor(&mut self, lineage: EventLineage, id: EventId) {
        let ticket = self.core.traffic.ticket();
        self.recalls.reading.insert(ticket, lineage);
        self.core.traffic.emit(StoreQuestion::Fetch { ticket, id });
    }

    /// Answers a fetch that was made here.
    pub(super) fn on_recalled(&mut self, ticket: Ticket, entry: Option<Arc<Entry>>) {
        let Some(mut lineage) = self.recalls.reading.remove(&ticket) else { return };
        let parent = entry.as_ref().and_then(|entry| entry.envelope.core().parent.clone());
        lineage.entries.extend(entry);
        let met = |id: &EventId| lineage.entries.iter().any(|entry| entry.envelope.id() == id);
        match parent {
            Some(parent) if lineage.entries.len() < LINEAGE_MAX && !met(&parent) => {
                self.read_ancestor(lineage, parent);
            }
            _ => {
                self.core
                    .traffic
                    .emit(DoorOutput::Recalled { ticket: lineage.ticket, lineage: lineage.entries });
            }
        }
    }
}
