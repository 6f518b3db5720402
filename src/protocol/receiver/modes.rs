//! Decides which publishers are eager at a receiver: Plumtree's prune and graft (decisions/0019). A matter of bytes
//! alone: nothing is lost or repeated by any choice made here.

use super::*;

impl FeedReceiver {
    /// An envelope came by push and was held already: after three in a row its publisher is lazy here,
    /// unless this is its last eager source.
    pub(crate) fn pushed_duplicate(
        &mut self,
        publisher: &PublisherName,
        other_eager: bool,
        is_own: bool,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        let count = self.modes.duplicates_in_row.entry(publisher.clone()).or_default();
        *count += 1;
        if *count >= LAZY_AFTER_DUPLICATES && other_eager && self.is_eager(publisher, is_own) {
            self.modes.duplicates_in_row.remove(publisher);
            self.set_mode(publisher, false, context, traffic);
        }
    }

    pub(crate) fn pushed_news(&mut self, publisher: &PublisherName) {
        self.modes.duplicates_in_row.remove(publisher);
    }

    /// A WANT was answered with news: its publisher is eager here from now on.
    pub(crate) fn answered_news(
        &mut self,
        seq: u64,
        publisher: &PublisherName,
        is_own: bool,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        if seq > self.modes.repair_until && !self.is_eager(publisher, is_own) {
            self.set_mode(publisher, true, context, traffic);
        }
    }

    pub(super) fn set_mode(
        &mut self,
        publisher: &PublisherName,
        eager: bool,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        self.modes.eager.insert(publisher.clone(), eager);
        self.pipe.send(WireFrame::Mode { publisher: publisher.clone(), eager }, context, traffic);
    }

    /// Does the peer push what `publisher` made? `is_own`: the peer is that publisher.
    pub(crate) fn is_eager(&self, publisher: &PublisherName, is_own: bool) -> bool {
        self.live && self.modes.eager.get(publisher).copied().unwrap_or(is_own)
    }
}
