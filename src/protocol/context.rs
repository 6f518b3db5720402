//! The common ground of all links: trust, time, the ledger, the queue to the journal and the outputs. Holds no rule of
//! the protocol.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::identity::{EventKey, PublisherName};
use crate::limits::{OWED_DEFERRED_QUARTERS, OWED_PER_FEED_MAX, SEND_QUEUE_BYTES, WINDOW_ENVELOPES_MAX};
use crate::policy::TrustList;
use crate::protocol::appender::Appender;
use crate::protocol::dialect::Dialect;
use crate::protocol::intake::Intake;
use crate::protocol::io::{Event, Output, StreamId, Ticket};
use crate::protocol::node::statements::StatementSpread;
use crate::protocol::rules::{ProtocolRule, Rules};
use crate::protocol::steady::SteadyClock;
use crate::record::{ConsumerName, JournalEnds, Ledger, Note};
use crate::time::{Now, Tick, Timestamp};
use crate::wire::frame::encoded_len;
use crate::wire::{Mark, WireFrame};

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

#[derive(Debug)]
pub struct CoreContext {
    pub config: CoreConfig,
    pub trust: Arc<TrustList>,
    pub now: Now,
    pub clock: SteadyClock,
    pub rng: StdRng,
    /// As it will be once everything queued is written.
    pub ledger: Ledger,
    /// As it is on disk.
    pub durable: Ledger,
    pub ends: JournalEnds,
    pub appender: Appender,
    pub intake: Intake,
    pub statements: StatementSpread,
    outbox: CoreOutbox,
}

/// Outputs to be handed out, and how many questions were numbered.
#[derive(Debug, Default)]
struct CoreOutbox {
    outputs: VecDeque<Output>,
    tickets: u64,
}

impl CoreContext {
    pub fn new(
        config: CoreConfig,
        trust: Arc<TrustList>,
        ledger: Ledger,
        ends: JournalEnds,
        now: Now,
    ) -> Self {
        let trust = Arc::new((*trust).clone().with_statements(&ledger.statements));
        let clock = SteadyClock::new(ledger.steady, now);
        let rng = StdRng::seed_from_u64(config.seed);
        Self {
            clock,
            rng,
            config,
            trust,
            now,
            durable: ledger.clone(),
            ledger,
            ends,
            appender: Appender::default(),
            intake: Intake::default(),
            statements: StatementSpread::default(),
            outbox: CoreOutbox::default(),
        }
    }

    pub fn on(&self, rule: ProtocolRule) -> bool {
        self.config.rules.on(rule)
    }

    pub fn own_name(&self) -> &PublisherName {
        self.trust.own_name()
    }

    /// Is `name` ours, or was it?
    pub fn is_own(&self, name: &PublisherName) -> bool {
        self.trust.is_own(name)
    }

    pub fn tick(&self) -> Tick {
        self.now.tick
    }

    pub fn steady(&self) -> Timestamp {
        self.clock.at(self.now)
    }

    pub fn ticket(&mut self) -> Ticket {
        self.outbox.tickets += 1;
        Ticket(self.outbox.tickets)
    }

    pub fn emit(&mut self, output: Output) {
        self.outbox.outputs.push_back(output);
    }

    pub fn tell(&mut self, event: Event) {
        self.outbox.outputs.push_back(Output::Event(event));
    }

    pub fn next_output(&mut self) -> Option<Output> {
        self.outbox.outputs.pop_front()
    }

    pub fn note(&mut self, note: Note) {
        self.appender.push_note(note, &mut self.ledger, self.now.tick);
    }

    /// The store has raised the floor below which nothing is taken: its seen set was made again.
    pub fn heed_floor(&mut self, floor: Timestamp) {
        for ledger in [&mut self.ledger, &mut self.durable] {
            ledger.apply(&Note::Floor(floor));
        }
    }

    /// Retention took what lay up to `to`, `count` entries of which were for `consumer`; that is on disk.
    pub fn gave_up(&mut self, consumer: &ConsumerName, to: u64, count: u64) {
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
    pub fn is_released(&self, key: EventKey) -> bool {
        self.ledger.released.contains_key(&key)
    }

    /// Forgets a release, if there is one: the event is stored, or dropped after all.
    pub fn forget_release(&mut self, key: EventKey) {
        if self.is_released(key) {
            self.note(Note::Released { key, at: None });
        }
    }

    pub fn move_cursor(&mut self, peer: &PublisherName, to: Mark) {
        self.appender.move_cursor(peer, to, &mut self.ledger, self.now.tick);
    }

    /// Hands a batch to the store if it is time for one.
    pub fn flush(&mut self) {
        let ticket = &mut self.outbox.tickets;
        let next = || {
            *ticket += 1;
            Ticket(*ticket)
        };
        if let Some(append) = self.appender.flush(&self.ledger, self.config.rules, self.now.tick, next) {
            self.outbox.outputs.push_back(append);
        }
    }
}

/// The way out on one stream: counts how much was sent and has not left yet.
#[derive(Debug)]
pub struct FeedPipe {
    pub stream: StreamId,
    queued: usize,
    room: usize,
    pub last_sent: Tick,
    /// SUBSCRIBE of a node that waits with it for the other HELLO.
    #[cfg(feature = "sim")]
    waiting: Option<WireFrame>,
}

impl FeedPipe {
    pub fn new(stream: StreamId, ground: &CoreContext) -> Self {
        let room = ground.config.bounds.send_queue_bytes;
        Self {
            stream,
            queued: 0,
            room,
            last_sent: ground.tick(),
            #[cfg(feature = "sim")]
            waiting: None,
        }
    }

    pub fn has_room(&self) -> bool {
        self.queued < self.room
    }

    pub fn send(&mut self, frame: WireFrame, ground: &mut CoreContext) {
        let frame = ground.config.dialect.spoken(frame);
        // Exactly what `Sent` will report.
        self.queued += encoded_len(&frame);
        self.last_sent = ground.tick();
        ground.emit(Output::Send { stream: self.stream, frame });
    }

    /// Sends SUBSCRIBE: at once, or after the other side's HELLO, which PROTOCOL.md §5.2 allows.
    pub fn subscribe(&mut self, frame: WireFrame, ground: &mut CoreContext) {
        #[cfg(feature = "sim")]
        if ground.config.dialect.is_successor() {
            self.waiting = Some(frame);
            return;
        }
        self.send(frame, ground);
    }

    /// The other side's HELLO has come.
    pub fn greeted(&mut self, ground: &mut CoreContext) {
        #[cfg(feature = "sim")]
        if let Some(frame) = self.waiting.take() {
            self.send(frame, ground);
        }
        #[cfg(not(feature = "sim"))]
        let _ = ground;
    }

    pub fn left(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
    }
}
