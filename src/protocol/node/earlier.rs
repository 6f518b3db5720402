//! Handles steady time that was put back, because the clock was ahead when it began: no entry waits longer for it.

use super::*;
use crate::record::{Owed, RejectedPlace, RetryCondition};

impl Node {
    /// Moves the times of owed entries, and of places to be read again, so that they are due as soon as before.
    pub(super) fn follow_clock_back(&mut self) {
        let back = self.core.context.clock.take_put_back();
        if back == 0 {
            return;
        }
        let steady = self.core.context.steady();
        let (mut owed, mut places) = (Vec::new(), Vec::new());
        for (peer, state) in &self.core.disk.ledger.feeds {
            let entries = state.owed.values().filter(|entry| entry.retry_at > steady);
            let earlier = |entry: &Owed| Owed { retry_at: entry.retry_at.minus_ms(back), ..entry.clone() };
            owed.extend(entries.map(|entry| (peer.clone(), earlier(entry))));
            for place in state.rejected.iter() {
                if let RetryCondition::At(at) = place.cure
                    && at > steady
                {
                    let cure = RetryCondition::At(at.minus_ms(back));
                    places.push((peer.clone(), RejectedPlace { cure, ..place.clone() }));
                }
            }
        }
        for (peer, place) in places {
            self.core.note(Note::Rejected { peer, place });
        }
        for (peer, entry) in owed {
            self.with_link(&peer, |link, core| link.owe_again(entry, core));
        }
    }
}
