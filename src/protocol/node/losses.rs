//! Entries that a read met and that are broken: peers are asked for them again. All their feeds are read again for it,
//! each by a second look, while the cursors stay.

use super::*;
use crate::protocol::receiver::FeedReceiver;
use crate::record::BrokenEntry;

impl Node {
    /// A read met broken entries. Which consumers had them is written down before any other passes them.
    pub(super) fn on_broken(&mut self, broken: Vec<BrokenEntry>) {
        let broken = broken.into_iter().filter(|entry| !self.core.disk.ledger.losses.knows(*entry));
        let broken: Vec<BrokenEntry> = broken.collect();
        if broken.is_empty() {
            return;
        }
        without!(self.core.context, LostAsked => return);
        for entry in &broken {
            self.core.traffic.intake.forget_stored(entry.key);
        }
        let receivers = self.links.values_mut().filter_map(|link| link.receiver.as_mut());
        receivers.for_each(FeedReceiver::more_is_lost);
        for note in self.core.disk.ledger.lose(&broken, self.core.context.steady()) {
            if let Note::Rejected { peer, .. } = &note
                && self.links.contains_key(peer)
            {
                let cause = "entries that cannot be read here are asked for again";
                self.core.traffic.tell(Event::Repair { peer: peer.clone(), cause });
            }
            self.core.note(note);
        }
    }
}
