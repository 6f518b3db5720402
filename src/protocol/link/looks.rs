//! When a feed is read again for what was deferred: not so often that what is new waits for it.

use super::*;
use crate::limits::{READ_AGAIN_MIN_MS, READ_AGAIN_REST};

/// A look that broke off is not begun anew before this, in ms: first the feed goes on.
const BROKEN_LOOK_REST_MS: u64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Looks {
    not_before: Tick,
    began: Tick,
}

impl Looks {
    pub(crate) fn are_allowed(&self, now: Tick) -> bool {
        now >= self.not_before
    }

    pub(crate) fn begin(&mut self, now: Tick) {
        self.began = now;
        self.not_before = now.plus_ms(BROKEN_LOOK_REST_MS);
    }

    fn end(&mut self, now: Tick) {
        let rest = (READ_AGAIN_REST * now.since_ms(self.began)).max(READ_AGAIN_MIN_MS);
        self.not_before = now.plus_ms(rest);
    }
}

impl PeerSession {
    /// Begins a look that is due, and goes on in order after one that is over: both by a new SUBSCRIBE.
    pub(super) fn look_again(&mut self, core: &mut CoreState) {
        let now = core.context.tick();
        let Some(receiver) = &self.receiver else { return };
        if receiver.is_look_over() {
            self.looks.end(now);
            self.subscribe_again(None, core);
        } else if self.next_look(&core.context, &core.disk).is_some_and(|at| at <= now) {
            self.subscribe_again(None, core);
        }
    }

    pub(super) fn next_look(&self, context: &CoreContext, disk: &CoreDisk) -> Option<Tick> {
        let at = self.receiver.as_ref()?.next_look(&self.peer.name, context, disk)?;
        Some(at.max(self.looks.not_before))
    }
}
