//! Records to be written to the journal, in order, and everything that waits for them to be durable. Group commit:
//! while batches are being synced, records gather for the next one. Cursors and positions are written once a batch,
//! behind the carriers that they speak of (rule `CarrierFirst`).

use std::collections::{BTreeSet, VecDeque};

use crate::identity::{EventKey, PublisherName};
use crate::limits::{ACK_DELAY_MS, APPENDS_OUTSTANDING_MAX};
use crate::protocol::io::{ConsumerId, StoreOutput, StreamId, Ticket};
use crate::record::{ConsumerName, Ledger, NewCarrier, NewRecord, Note};
use crate::time::Tick;
use crate::wire::Mark;

/// Records that gather for one batch before feeds are read on.
const QUEUED_MAX: usize = 8_192;

/// Memory in bytes that carriers, gathering or being written, may take before feeds wait. This is twice what one read
/// of a feed may bring. Local submissions do not wait.
const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Appender {
    queued: Vec<NewRecord>,
    /// The batch that is being gathered, with everything that waits for it.
    gathering: AppendBatch,
    outstanding: VecDeque<AppendBatch>,
    moved_cursors: BTreeSet<PublisherName>,
    moved_positions: BTreeSet<ConsumerName>,
    /// Carriers or something that is waited for: no reason to gather longer.
    urgent: bool,
    /// When the oldest note that is not urgent came.
    lazy_since: Option<Tick>,
}

/// One append, with everything that waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppendBatch {
    pub ticket: Option<Ticket>,
    pub carriers: Vec<AppendedRecords>,
    /// Memory that their envelopes take, in bytes.
    bytes: usize,
    /// In the order written, for the durable ledger.
    pub notes: Vec<Note>,
    /// Submissions that this batch answers: its own ones, and duplicates of its entries.
    pub submissions: Vec<(Ticket, bool)>,
    /// Consumers' connections that end once it is durable.
    pub closing: Vec<ConsumerId>,
    /// Commands of the operator that are answered once it is durable.
    pub commands: Vec<Ticket>,
}

#[derive(Clone, Debug)]
pub(crate) struct AppendedRecords {
    pub key: EventKey,
    /// The peer that handed it over, and on which stream; `None` if it was submitted here.
    pub source: Option<(PublisherName, StreamId)>,
}

impl Appender {
    /// `source` is as in [`AppendedRecords`].
    pub(crate) fn push_carrier(&mut self, carrier: NewCarrier, source: Option<(PublisherName, StreamId)>) {
        let envelope = carrier.envelope.envelope();
        self.gathering.bytes += envelope.weight();
        self.gathering.carriers.push(AppendedRecords { key: envelope.key(), source });
        self.queued.push(NewRecord::Carrier(carrier));
        self.urgent = true;
    }

    /// Applies `note` to `ledger` and queues it.
    pub(crate) fn push_note(&mut self, note: Note, ledger: &mut Ledger, now: Tick) {
        ledger.apply(&note);
        self.gathering.notes.push(note.clone());
        self.queued.push(NewRecord::Note(note));
        self.lazy_since.get_or_insert(now);
    }

    /// The cursor of `peer` moves to `to`; written with the next batch.
    pub(crate) fn move_cursor(&mut self, peer: &PublisherName, to: Mark, ledger: &mut Ledger, now: Tick) {
        ledger.apply(&Note::Advanced { peer: peer.clone(), to });
        self.moved_cursors.insert(peer.clone());
        self.lazy_since.get_or_insert(now);
    }

    /// The position of `consumer` in `ledger` has moved; written with the next batch.
    pub(crate) fn moved_position(&mut self, consumer: &ConsumerName, now: Tick) {
        self.moved_positions.insert(consumer.clone());
        self.lazy_since.get_or_insert(now);
    }

    /// The command `ticket` is answered when everything pushed so far is durable.
    pub(crate) fn answer_command(&mut self, ticket: Ticket) {
        self.gathering.commands.push(ticket);
        self.urgent = true;
    }

    /// `ticket` is answered when everything pushed so far is durable.
    pub(crate) fn answer_submission(&mut self, ticket: Ticket, duplicate: bool) {
        self.gathering.submissions.push((ticket, duplicate));
        self.urgent = true;
    }

    /// Answers `ticket` when the append that holds `key` is durable. Returns false if no append holds it.
    pub(crate) fn answer_with(&mut self, ticket: Ticket, key: EventKey) -> bool {
        let batches = std::iter::once(&mut self.gathering).chain(&mut self.outstanding);
        for batch in batches {
            if batch.carriers.iter().any(|carrier| carrier.key == key) {
                batch.submissions.push((ticket, true));
                return true;
            }
        }
        false
    }

    /// `consumer`'s connection ends when everything pushed so far is durable.
    pub(crate) fn close_consumer(&mut self, consumer: ConsumerId) {
        self.gathering.closing.push(consumer);
        self.urgent = true;
    }

    fn has_something(&self) -> bool {
        !self.queued.is_empty()
            || !self.moved_cursors.is_empty()
            || !self.moved_positions.is_empty()
            || !self.gathering.submissions.is_empty()
            || !self.gathering.closing.is_empty()
            || !self.gathering.commands.is_empty()
    }

    /// Returns the next batch if it is time for one.
    pub(crate) fn flush(
        &mut self,
        ledger: &Ledger,
        now: Tick,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<StoreOutput> {
        let due = self.urgent || self.lazy_since.is_some_and(|since| now >= since.plus_ms(ACK_DELAY_MS / 2));
        if !due || !self.has_something() || self.outstanding.len() >= APPENDS_OUTSTANDING_MAX {
            return None;
        }
        let mut moved = Vec::new();
        for peer in std::mem::take(&mut self.moved_cursors) {
            if let Some(feed) = ledger.feeds.get(&peer) {
                moved.push(Note::Advanced { peer, to: feed.cursor });
            }
        }
        for consumer in std::mem::take(&mut self.moved_positions) {
            if let Some(position) = ledger.consumers.get(&consumer) {
                moved.push(Note::Position { consumer, seq: position.seq, own: position.own });
            }
        }
        let mut batch = std::mem::take(&mut self.gathering);
        let mut records = std::mem::take(&mut self.queued);
        records.extend(moved.iter().cloned().map(NewRecord::Note));
        batch.notes.extend(moved);
        let ticket = ticket();
        batch.ticket = Some(ticket);
        self.outstanding.push_back(batch);
        self.urgent = false;
        self.lazy_since = None;
        Some(StoreOutput::Append { ticket, records })
    }

    /// When `flush` should be asked again, if nothing else happens.
    pub(crate) fn timeout(&self) -> Option<Tick> {
        if self.outstanding.len() >= APPENDS_OUTSTANDING_MAX {
            return None;
        }
        self.lazy_since.map(|since| since.plus_ms(ACK_DELAY_MS / 2))
    }

    /// The batch of `ticket` is answered. `None` for one that had failed with an earlier one.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<AppendBatch> {
        let first = self.outstanding.front().is_some_and(|batch| batch.ticket == Some(ticket));
        if first { self.outstanding.pop_front() } else { None }
    }

    /// The notes that are gathered or outstanding, in the order in which they are written.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = &Note> {
        self.outstanding.iter().chain([&self.gathering]).flat_map(|batch| &batch.notes)
    }

    /// Returns all that is gathered or outstanding: nothing of it will be written.
    pub(crate) fn drop_all(&mut self) -> Vec<AppendBatch> {
        self.queued.clear();
        self.moved_cursors.clear();
        self.moved_positions.clear();
        self.urgent = false;
        self.lazy_since = None;
        let mut batches: Vec<AppendBatch> = self.outstanding.drain(..).collect();
        batches.push(std::mem::take(&mut self.gathering));
        batches
    }

    /// Is there room for more carriers of peers before a batch was written?
    pub(crate) fn has_room(&self) -> bool {
        let batches = self.outstanding.iter().chain([&self.gathering]);
        self.queued.len() < QUEUED_MAX && batches.map(|batch| batch.bytes).sum::<usize>() < QUEUED_BYTES_MAX
    }

    /// Nothing is queued and everything is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.is_empty() && !self.has_something()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{START, carrier_of};

    /// A peer sends large events faster than the disk takes them.
    #[test]
    fn carriers_that_wait_are_bounded_in_bytes() {
        let (mut appender, mut ledger) = (Appender::default(), Ledger::default());
        let mut sent = 0;
        while appender.has_room() {
            appender.push_carrier(carrier_of("cert-ee", sent, 1_000_000, START), None);
            sent += 1;
        }
        assert!((16..=18).contains(&sent), "{sent} of a MB each");
        let now = Tick::default();
        let output = appender.flush(&ledger, now, || Ticket(1));
        assert!(output.is_some() && !appender.has_room(), "they are still to be written");
        assert!(appender.answered(Ticket(1)).is_some() && appender.has_room());
        appender.push_note(Note::Steady(START), &mut ledger, now);
        assert!(appender.has_room());
    }
}
