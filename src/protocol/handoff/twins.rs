//! Contents that one connection of a consumer was handed before, under another seq. Forgotten with the connection.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::limits::PASSED_OVER_MAX;

/// Which entries with a content id the filter of a connection passed over.
#[derive(Debug)]
pub(super) struct TwinsPassed {
    /// Nothing is known of the entries up to here.
    known_after: u64,
    passed: BTreeSet<u64>,
    /// Content ids with more earlier entries than are named, one of which the consumer has had.
    crowded: BTreeSet<Uuid>,
}

impl TwinsPassed {
    /// Of a connection that begins behind this entry.
    pub(crate) fn after(known_after: u64) -> Self {
        Self { known_after, passed: BTreeSet::new(), crowded: BTreeSet::new() }
    }

    /// Did the filter admit this entry, as far as is known?
    pub(crate) fn was_admitted(&self, seq: u64) -> bool {
        seq > self.known_after && !self.passed.contains(&seq)
    }

    pub(crate) fn remember(&mut self, seq: u64) {
        self.passed.insert(seq);
        if self.passed.len() > PASSED_OVER_MAX
            && let Some(oldest) = self.passed.pop_first()
        {
            self.known_after = oldest;
        }
    }

    /// Notes one more entry with a crowded content for the consumer. Returns whether it has had that content before.
    pub(crate) fn had_crowded(&mut self, content: Uuid) -> bool {
        let had = !self.crowded.insert(content);
        if self.crowded.len() > PASSED_OVER_MAX {
            self.crowded.pop_first();
        }
        had
    }
}
