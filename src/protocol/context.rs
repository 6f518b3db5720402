//! Shared by the parts of the core: settings, trust and time, fixed while an input is handled, and the journal. Outputs
//! and open questions are in `state`. Functions take the parts that they use. Holds no rule of the protocol.

use std::sync::Arc;

use crate::identity::{EventKey, PublisherName};
use crate::limits::{OWED_DEFERRED_QUARTERS, OWED_PER_FEED_MAX, SEND_QUEUE_BYTES, WINDOW_ENVELOPES_MAX};
use crate::policy::TrustList;
use crate::protocol::appender::Appender;
use crate::protocol::dialect::Dialect;
use crate::protocol::rules::Rules;
use crate::protocol::steady::SteadyClock;
use crate::record::{ConsumerName, JournalEnds, Ledger, Note};
use crate::time::{Now, Tick, Timestamp};
use crate::wire::Mark;

/// Settings that the core gets once.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The federation that both ends of a feed must name.
    pub federation: String,
    /// The program and its version, for HELLO.
    pub software: String,
    /// Random for each start of the process.
    pub instance: u64,
    /// Seeds jitter.
    pub seed: u64,
    /// How long the seen set remembers, in ms: the journal's retention and a day.
    pub seen_keep_ms: u64,
    /// All, but in tests that show what each is for.
    pub rules: Rules,
    /// Bounds of one feed.
    pub bounds: CoreBounds,
    /// The version that is spoken.
    pub dialect: Dialect,
}

/// Bounds of one feed: those of `limits`, unless a simulation makes them small enough to be met.
#[derive(Clone, Copy, Debug)]
pub struct CoreBounds {
    /// Entries that may be owed.
    pub owed: usize,
    /// Entries in order beyond the acknowledged one.
    pub window: u32,
    /// Bytes handed to the transport that have not left.
    pub send_queue_bytes: usize,
}

impl CoreBounds {
    /// How many of the owed places are for entries that wait for a time or a decision.
    pub fn deferred(&self) -> usize {
        self.owed / 4 * OWED_DEFERRED_QUARTERS
    }
}

impl Default for CoreBounds {
    fn default() -> Self {
        Self { owed: OWED_PER_FEED_MAX, window: WINDOW_ENVELOPES_MAX, send_queue_bytes: SEND_QUEUE_BYTES }
    }
}

/// Settings, trust and time. They do not change while one input is handled.
#[derive(Debug)]
pub(crate) struct CoreContext {
    pub config: CoreConfig,
    pub trust: Arc<TrustList>,
    pub now: Now,
    pub clock: SteadyClock,
}

impl CoreContext {
    pub(crate) fn own_name(&self) -> &PublisherName {
        self.trust.own_name()
    }

    /// Is `name` ours, or was it?
    pub(crate) fn is_own(&self, name: &PublisherName) -> bool {
        self.trust.is_own(name)
    }

    pub(crate) fn tick(&self) -> Tick {
        self.now.tick
    }

    pub(crate) fn steady(&self) -> Timestamp {
        self.clock.at(self.now)
    }
}

/// The journal, as the core knows it.
#[derive(Debug)]
pub(crate) struct CoreDisk {
    /// As it will be once everything queued is written.
    pub ledger: Ledger,
    /// As it is on disk.
    pub durable: Ledger,
    pub ends: JournalEnds,
    pub appender: Appender,
}

impl CoreDisk {
    pub(crate) fn new(ledger: Ledger, ends: JournalEnds) -> Self {
        Self { durable: ledger.clone(), ledger, ends, appender: Appender::default() }
    }

    /// Applies `note`, and queues it for the journal.
    pub(crate) fn note(&mut self, note: Note, now: Tick) {
        self.appender.push_note(note, &mut self.ledger, now);
    }

    /// The store has raised the floor below which nothing is taken: its seen set was made again.
    pub(crate) fn heed_floor(&mut self, floor: Timestamp) {
        for ledger in [&mut self.ledger, &mut self.durable] {
            ledger.apply(&Note::Floor(floor));
        }
    }

    /// Retention took what lay up to `to`, `count` entries of which were for `consumer`; that is on disk.
    pub(crate) fn gave_up(&mut self, consumer: &ConsumerName, to: u64, count: u64) {
        self.durable.apply(&Note::Missing { consumer: consumer.clone(), to, count });
        // Records that are still to be written come behind it on disk, too.
        let mut again = Ledger::default();
        again.consumers.extend(self.durable.consumers.get(consumer).map(|at| (consumer.clone(), at.clone())));
        self.appender
            .unwritten()
            .filter(|note| note.consumer() == Some(consumer))
            .for_each(|note| again.apply(note));
        if let (Some(now), Some(again)) =
            (self.ledger.consumers.get_mut(consumer), again.consumers.remove(consumer))
        {
            (now.seq, now.missing) = (now.seq.max(again.seq), again.missing);
        }
    }

    /// Returns whether the operator released this event, although a revoked key signed it.
    pub(crate) fn is_released(&self, key: EventKey) -> bool {
        self.ledger.released.contains_key(&key)
    }

    /// Forgets a release, if there is one: the event is stored, or dropped after all.
    pub(crate) fn forget_release(&mut self, key: EventKey, now: Tick) {
        if self.is_released(key) {
            self.note(Note::Released { key, at: None }, now);
        }
    }

    pub(crate) fn move_cursor(&mut self, peer: &PublisherName, to: Mark, now: Tick) {
        self.appender.move_cursor(peer, to, &mut self.ledger, now);
    }
}
