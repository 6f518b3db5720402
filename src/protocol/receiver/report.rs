//! The receiver's reports to its sender: the ACK with the durable cursor, the window, running counts and verdicts. When
//! the cursor moves is not decided here.

use super::*;
use crate::limits::{ACK_DELAY_MS, OWED_PER_FEED_MAX};
use crate::record::Ledger;
use crate::wire::{AckFrame, VerdictNumber};

/// An ACK for this many entries does not wait for more.
const ACK_AT_ONCE: u64 = 64;

/// The contents of the next ACK.
#[derive(Debug, Default)]
pub(super) struct AckReport {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) rejected: u64,
    verdicts: Vec<(u64, VerdictNumber)>,
    /// The place where the feed began on this stream.
    pub(super) resumed: u64,
    /// The durable cursor and window that were said last.
    said: (u64, Window),
    pub(super) due: Option<Tick>,
}

impl AckReport {
    /// Nothing is said yet but the window of SUBSCRIBE.
    pub(super) fn after(window: Window) -> Self {
        Self { said: (0, window), ..Self::default() }
    }
}

impl FeedReceiver {
    pub(crate) fn report_accepted(&mut self) {
        self.report.accepted += 1;
    }

    pub(super) fn report_verdict(&mut self, seq: u64, code: VerdictCode) {
        if self.report.verdicts.len() < OWED_PER_FEED_MAX {
            self.report.verdicts.push((seq, code.into()));
        }
    }

    pub(super) fn report_soon(&mut self, now: Tick) {
        self.report.due.get_or_insert(now.plus_ms(ACK_DELAY_MS / 2));
    }

    /// Sends ACK if one is due, or if the feed was silent for long (PROTOCOL.md §5).
    pub(super) fn acknowledge(
        &mut self,
        peer: &PublisherName,
        context: &CoreContext,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) {
        let now = context.tick();
        let durable =
            disk.durable.feeds.get(peer).filter(|state| state.log_id == disk.ledger.feeds[peer].log_id);
        let state = &disk.ledger.feeds[peer];
        let durable = match durable.map_or(0, |state| state.cursor.seq).min(self.received.seq) {
            // The cursor was taken back, and that is not on disk yet: later entries are not stored.
            ahead if ahead > state.cursor.seq => self.report.resumed.min(state.cursor.seq),
            durable => self.look.as_ref().map_or(durable, |look| durable.min(look.passed())),
        };
        let window = window(state, context);
        let (said, said_window) = self.report.said;
        if durable != said || (said_window.envelopes == 0 && window.envelopes > 0) {
            self.report_soon(now);
        }
        let silent = now >= self.pipe.last_sent.plus_ms(HEAD_EVERY_MS);
        if !(silent || self.report.due.is_some_and(|due| now >= due)) || !self.pipe.has_room() {
            return;
        }
        let ack = AckFrame {
            seq: durable,
            window,
            accepted: self.report.accepted,
            refused: self.report.refused,
            rejected: self.report.rejected,
            owed: u32::try_from(state.owed.len()).unwrap_or(u32::MAX),
            verdicts: std::mem::take(&mut self.report.verdicts),
        };
        self.report.said = (durable, window);
        self.report.due = None;
        self.pipe.send(WireFrame::Ack(Box::new(ack)), context, traffic);
    }

    /// The durable cursor moved so far that the sender may be waiting: acknowledge at once.
    pub(crate) fn on_stored(&mut self, peer: &PublisherName, durable: &Ledger, now: Tick) {
        let Some(state) = durable.feeds.get(peer).filter(|_| self.look.is_none()) else { return };
        let ahead = state.cursor.seq.saturating_sub(self.report.said.0);
        if ahead >= ACK_AT_ONCE {
            self.report.due = Some(self.report.due.map_or(now, |due| due.min(now)));
        } else if ahead > 0 {
            self.report_soon(now);
        }
    }
}
