//! Entries that a read met and that are broken: peers are asked for them again, if they are known well enough. All
//! their feeds are read again for it, each by a second look, while the cursors stay.

use super::*;
use crate::limits::READ_AGAIN_MIN_MS;
use crate::record::{BrokenEntry, ConsumerName, Cure, Loss, RejectedPlace};
use crate::wire::Mark;

impl Node {
    /// A read met broken entries: the seen set says whether what is left of them can be believed. Which consumers had
    /// them is asked before any of them passes.
    pub(super) fn on_broken(&mut self, broken: Vec<BrokenEntry>) {
        for entry in broken {
            if !self.ground.ledger.losses.knows(entry.key, entry.seq) {
                let consumers = self.ground.ledger.consumers.iter();
                let had = consumers.filter(|(_, position)| position.seq >= entry.seq);
                let had_by = had.map(|(consumer, _)| consumer.clone()).collect();
                self.ground.intake.ask(Question::Broken { entry, had_by });
            }
        }
    }

    /// What the seen set knows of it. A set that was made again without it knows nothing: then it stays missing.
    pub(super) fn on_known_broken(
        &mut self,
        broken: BrokenEntry,
        had_by: Vec<ConsumerName>,
        known: Option<CoreDigest>,
    ) {
        let BrokenEntry { seq, key, digest } = broken;
        if known != Some(digest) || self.ground.ledger.losses.knows(key, seq) {
            return;
        }
        // A consumer that is named as having had it never gets it again: that must not be on disk before its position.
        for consumer in &had_by {
            if let Some(position) = self.ground.ledger.consumers.get(consumer) {
                let (seq, own) = (position.seq, position.own);
                self.ground.note(Note::Position { consumer: consumer.clone(), seq, own });
            }
        }
        self.ground.note(Note::Lost { key, loss: Loss { seq, digest, had_by, taken: None } });
        if self.ground.ledger.losses.wants(key, digest) {
            self.read_feeds_again();
        }
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
