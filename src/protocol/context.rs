//! What the parts of the core share, in three: what holds while an input is handled, the journal, and what is under
//! way. Functions take those that they use. Holds no rule of the protocol.

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
use crate::protocol::io::{Event, Output, StreamId, Ticket, TransportOutput};
use crate::protocol::rules::{Rules, without};
use crate::protocol::statements::StatementSpread;
use crate::protocol::steady::SteadyClock;
use crate::record::{ConsumerName, JournalEnds, Ledger, Note};
use crate::time::{Now, Tick, Timestamp};
use crate::wire::frame::encoded_len;
use crate::wire::{Mark, WireFrame};

/// Settings that the core gets once.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    pub federation: String,
    /// The program and its version, for HELLO.
    pub software: String,
    /// Random for each start of the process.
    pub instance: u64,
    /// Seeds jitter.
    pub seed: u64,
    /// How long the seen set remembers, in ms: the journal's retention and a day.
    pub seen_keep_ms: u64,
    pub rules: Rules,
    pub bounds: CoreBounds,
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

/// What holds while one input is handled: settings, trust and time.
#[derive(Debug)]
pub struct CoreContext {
    pub config: CoreConfig,
    pub trust: Arc<TrustList>,
    pub now: Now,
    pub clock: SteadyClock,
}

impl CoreContext {
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
}

/// The journal, as the core knows it.
#[derive(Debug)]
pub struct CoreDisk {
    /// As it will be once everything queued is written.
    pub ledger: Ledger,
    /// As it is on disk.
    pub durable: Ledger,
    pub ends: JournalEnds,
    pub appender: Appender,
}

impl CoreDisk {
    pub fn new(ledger: Ledger, ends: JournalEnds) -> Self {
        Self { durable: ledger.clone(), ledger, ends, appender: Appender::default() }
    }

    /// Applies `note`, and queues it for the journal.
    pub fn note(&mut self, note: Note, now: Tick) {
        self.appender.push_note(note, &mut self.ledger, now);
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
    pub fn forget_release(&mut self, key: EventKey, now: Tick) {
        if self.is_released(key) {
            self.note(Note::Released { key, at: None }, now);
        }
    }

    pub fn move_cursor(&mut self, peer: &PublisherName, to: Mark, now: Tick) {
        self.appender.move_cursor(peer, to, &mut self.ledger, now);
    }
}

/// What is under way: outputs to be handed out, and what came and waits for an answer.
#[derive(Debug)]
pub struct Traffic {
    outputs: VecDeque<Output>,
    /// How many questions were numbered.
    tickets: u64,
    pub intake: Intake,
    pub statements: StatementSpread,
    /// For jitter.
    pub rng: StdRng,
}

impl Traffic {
    pub fn new(seed: u64) -> Self {
        Self {
            outputs: VecDeque::new(),
            tickets: 0,
            intake: Intake::default(),
            statements: StatementSpread::default(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub fn emit(&mut self, output: impl Into<Output>) {
        self.outputs.push_back(output.into());
    }

    pub fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// All three, for functions that use all of them.
#[derive(Debug)]
pub struct CoreState {
    pub context: CoreContext,
    pub disk: CoreDisk,
    pub traffic: Traffic,
}

impl CoreState {
    pub fn new(
        config: CoreConfig,
        trust: Arc<TrustList>,
        ledger: Ledger,
        ends: JournalEnds,
        now: Now,
    ) -> Self {
        let trust = Arc::new((*trust).clone().with_statements(&ledger.statements));
        let clock = SteadyClock::new(ledger.steady, now);
        let traffic = Traffic::new(config.seed);
        let disk = CoreDisk::new(ledger, ends);
        Self { context: CoreContext { config, trust, now, clock }, disk, traffic }
    }

    pub fn note(&mut self, note: Note) {
        self.disk.note(note, self.context.tick());
    }

    pub fn forget_release(&mut self, key: EventKey) {
        self.disk.forget_release(key, self.context.tick());
    }

    /// Hands a batch to the store if it is time for one.
    pub fn flush(&mut self) {
        let Self { context, disk, traffic } = self;
        let append = disk.appender.flush(&disk.ledger, context.tick(), || traffic.ticket());
        let Some(append) = append else { return };
        without!(context, CarrierFirst => return traffic.emit(notes_first(append)));
        traffic.emit(append);
    }
}

/// The batch with its notes before its carriers (only without rule `CarrierFirst`).
#[cfg(feature = "sim")]
fn notes_first(mut append: crate::protocol::io::StoreOutput) -> crate::protocol::io::StoreOutput {
    use crate::protocol::io::StoreOutput;
    use crate::record::NewRecord;
    if let StoreOutput::Append { records, .. } = &mut append {
        records.sort_by_key(|record| matches!(record, NewRecord::Carrier(_)));
    }
    append
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
    pub fn new(stream: StreamId, context: &CoreContext) -> Self {
        let room = context.config.bounds.send_queue_bytes;
        Self {
            stream,
            queued: 0,
            room,
            last_sent: context.tick(),
            #[cfg(feature = "sim")]
            waiting: None,
        }
    }

    pub fn has_room(&self) -> bool {
        self.queued < self.room
    }

    pub fn send(&mut self, frame: WireFrame, context: &CoreContext, traffic: &mut Traffic) {
        let frame = context.config.dialect.spoken(frame);
        let bytes = encoded_len(&frame);
        self.queued += bytes;
        self.last_sent = context.tick();
        traffic.emit(TransportOutput::Send { stream: self.stream, frame, bytes });
    }

    /// Sends SUBSCRIBE: at once, or after the other side's HELLO, which PROTOCOL.md §5.2 allows.
    pub fn subscribe(&mut self, frame: WireFrame, context: &CoreContext, traffic: &mut Traffic) {
        #[cfg(feature = "sim")]
        if context.config.dialect.is_successor() {
            self.waiting = Some(frame);
            return;
        }
        self.send(frame, context, traffic);
    }

    /// The other side's HELLO has come.
    pub fn greeted(&mut self, context: &CoreContext, traffic: &mut Traffic) {
        #[cfg(feature = "sim")]
        if let Some(frame) = self.waiting.take() {
            self.send(frame, context, traffic);
        }
        #[cfg(not(feature = "sim"))]
        let _ = (context, traffic);
    }

    pub fn left(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
    }
}
