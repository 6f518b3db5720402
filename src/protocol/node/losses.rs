//! Entries that a read met and that are broken: peers are asked for them again. All their feeds are read again for it,
//! each by a second look, while the cursors stay.

use std::collections::BTreeSet;

use super::*;
use crate::limits::READ_AGAIN_MIN_MS;
use crate::record::{BrokenEntry, ConsumerName, Cure, Loss, RejectedPlace};
use crate::wire::Mark;

impl Node {
    /// A read met broken entries. Which consumers had them is written down before any other passes them.
    pub(super) fn on_broken(&mut self, broken: Vec<BrokenEntry>) {
        let broken = broken.into_iter().filter(|entry| !self.ground.ledger.losses.knows(*entry));
        let broken: Vec<BrokenEntry> = broken.collect();
        if broken.is_empty() || !self.ground.on(Rule::LostAsked) {
            return;
        }
        for BrokenEntry { seq, key } in broken {
            let loss = Loss { seq, had_by: self.had_by(seq), taken: None };
            self.ground.note(Note::Lost { key, loss });
            self.ground.intake.forget_stored(key);
        }
        self.read_feeds_again();
    }

    fn had_by(&self, seq: u64) -> BTreeSet<ConsumerName> {
        let consumers = self.ground.ledger.consumers.iter();
        consumers.filter(|(_, position)| position.seq >= seq).map(|(name, _)| name.clone()).collect()
    }

    fn read_feeds_again(&mut self) {
        let cure = Cure::At(self.ground.steady().plus_ms(READ_AGAIN_MIN_MS));
        let place =
            RejectedPlace { reason: VerdictCode::InFlight, publisher: None, before: Mark::START, cure };
        let feeds = self.ground.ledger.feeds.iter();
        let feeds = feeds.filter(|(peer, state)| {
            self.links.contains_key(*peer) && state.log_id.is_some() && state.rejected.changes(&place)
        });
        for peer in feeds.map(|(peer, _)| peer.clone()).collect::<Vec<_>>() {
            let cause = "entries that cannot be read here are asked for again";
            self.ground.tell(Event::Repair { peer: peer.clone(), cause });
            self.ground.note(Note::Rejected { peer, place: place.clone() });
        }
    }
}
