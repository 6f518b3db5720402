//! Inputs and outputs of the core. Adapters obey outputs and answer with inputs; they decide nothing. Every ticket is
//! answered exactly once, unless said otherwise.

mod event;

use std::sync::Arc;

use crate::envelope::{SignedStatement, VerifiedEnvelope};
use crate::filter::Filter;
use crate::identity::{CoreDigest, EventId, EventKey, PublisherName};
use crate::policy::{ConsumerTerms, TrustList};
use crate::protocol::intake::ToVerify;
use crate::record::{BrokenEntry, ConsumerName, Entry, JournalEnds, NewRecord};
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode, WireFrame};

pub use event::{EnvelopeOutcome, Event, LossCause};

/// A number that an answer carries back; made by the core, or for submissions by the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One feed stream, in either role; made by the transport, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One consumer's connection; made by the door, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// A reader of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JournalReader {
    /// The sending end of a feed.
    Feed(StreamId),
    Consumer(ConsumerId),
}

/// Which end of a feed we are on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We opened it, and take.
    Receiver,
    /// The peer opened it, and we give.
    Sender,
}

#[derive(Clone, Debug)]
pub enum Input {
    // --- transport ---
    /// The first connection to `peer` stands, in whichever direction it was dialled.
    Connected {
        peer: PublisherName,
        address: String,
    },
    /// The last connection to `peer` is gone. Its streams were reported closed before.
    Disconnected {
        peer: PublisherName,
        cause: String,
    },
    /// A dial failed; answers [`Output::Dial`] (which is otherwise answered by `Connected`).
    DialFailed {
        peer: PublisherName,
        failure: DialFailure,
    },
    /// A feed stream stands. Answers [`Output::OpenFeed`], or the peer opened one.
    FeedOpened {
        peer: PublisherName,
        stream: StreamId,
        role: Role,
    },
    /// [`Output::OpenFeed`] failed.
    FeedNotOpened {
        peer: PublisherName,
        cause: String,
    },
    /// The frames read from `stream`: at least one. Nothing more is read until [`Output::Resume`].
    Frames {
        stream: StreamId,
        frames: Vec<WireFrame>,
    },
    /// `bytes` sent on `stream` have left; [`SEND_QUEUE_BYTES`](crate::limits::SEND_QUEUE_BYTES) bounds the rest.
    Sent {
        stream: StreamId,
        bytes: usize,
    },
    /// `stream` ended or broke, or its bytes were no frames. Not said of a stream closed by [`Output::CloseFeed`].
    FeedClosed {
        stream: StreamId,
        cause: String,
    },

    // --- store and workers ---
    /// A batch is on disk (`fdatasync` done). Its carriers got consecutive seqs from `first_seq` on, in
    /// their order; `ends` is the journal after it.
    Stored {
        ticket: Ticket,
        first_seq: u64,
        ends: JournalEnds,
    },
    /// Nothing of the batch is in the journal, nor of any that was handed over after it before this answer.
    NotStored {
        ticket: Ticket,
        failure: StoreFailure,
    },
    /// The digests in the seen set for the keys asked for, in that order; answers come in the order of the questions.
    /// The set is complete for events created from `floor` on, on disk: it may have risen since the last answer.
    Known {
        ticket: Ticket,
        digests: Vec<Option<CoreDigest>>,
        floor: Timestamp,
    },
    /// The entries that were read, in order. Empty if nothing is left up to the synced end.
    Entries {
        reader: JournalReader,
        read: Read,
    },
    /// The stored envelope of an identity, if the journal still holds it.
    Fetched {
        ticket: Ticket,
        entry: Option<Arc<Entry>>,
    },
    /// The results of the workers, in the order asked (`intake::inspect`).
    Verified {
        ticket: Ticket,
        results: Vec<Result<VerifiedEnvelope, VerdictCode>>,
    },
    /// The newest of the marks asked about that agrees with this journal.
    MarksChecked {
        ticket: Ticket,
        agrees: Option<Mark>,
    },
    /// Retention removed segments: the journal now begins at `ends.first_seq`. The losses of each consumer are already
    /// counted and on disk.
    Retired {
        ends: JournalEnds,
        missing: Vec<(ConsumerName, u64)>,
    },

    // --- doors ---
    /// A local event, signed. Answered by [`Output::Submitted`].
    Submit {
        ticket: Ticket,
        envelope: VerifiedEnvelope,
    },
    /// An event that says it was handed to the pipeline before (decisions/0014). Answered by [`Output::Submitted`].
    SubmitReturned {
        ticket: Ticket,
        id: EventId,
    },
    /// Asks for this event and its ancestors, if they are held. Answered by [`Output::Recalled`].
    Recall {
        ticket: Ticket,
        id: EventId,
    },
    ConsumerOpened {
        consumer: ConsumerId,
        request: ConsumerRequest,
    },
    /// The same if the receiver holds nothing beyond `holds`: entries that it lost are handed over again.
    ConsumerOpenedAt {
        consumer: ConsumerId,
        request: ConsumerRequest,
        holds: u64,
    },
    /// Everything handed to this connection has been written out; it takes more.
    ConsumerReady {
        consumer: ConsumerId,
    },
    /// All up to `seq` that this connection was handed is done with.
    ConsumerAcked {
        consumer: ConsumerId,
        seq: u64,
    },
    /// The client shut its writing side: sync its acks, then answer [`Output::ConsumerClosed`].
    ConsumerFinished {
        consumer: ConsumerId,
    },
    /// The connection is gone. No answer.
    ConsumerGone {
        consumer: ConsumerId,
    },

    // --- operator ---
    /// `peer` is dialled elsewhere from now on.
    AddressesChanged {
        peer: PublisherName,
    },
    /// Entries that cannot be read, and that the seen set lacks for it.
    Broken(Vec<BrokenEntry>),
    /// For so long the seen set is complete from now on.
    SeenKept {
        seen_keep_ms: u64,
    },
    /// The trust list changed.
    Trust(Arc<TrustList>),
    /// A key statement that did not come from a peer, verified: this node's own, or one that an operator brought.
    OwnStatement(SignedStatement),
    Command(CoreCommand),
}

/// The result of one read of the journal.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Where the read began: the place asked for, or a later one if retention took the entries there or they are lost.
    pub after: Mark,
    /// How many of the entries before that place, behind the one asked for, this journal should hold and cannot read.
    pub lost: u64,
    /// Those of which the index knows the key, up to a bound.
    pub broken: Vec<BrokenEntry>,
    pub entries: Vec<Arc<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// No address answered; the last cause.
    Unreachable(String),
    /// Somebody with another key answers at `address`: `peer_key_changed`.
    OtherKey { address: String, key: String },
    /// We proved our key and were turned away: are we on their list?
    TurnedAway(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    DiskFull,
    /// The store is closing.
    Stopping,
}

impl std::fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full",
            Self::Stopping => "the node is stopping",
        })
    }
}

/// Operator's commands. Each is answered by [`Output::CommandDone`] with its ticket: `Ok` once its changes are durable.
#[derive(Clone, Debug)]
pub enum CoreCommand {
    /// Ask `peer` again for everything after a place (`None`: from its journal's start).
    Rewind { ticket: Ticket, peer: PublisherName, to: RewindTo },
    /// Read the whole journal of `peer` again, in HAVE mode.
    Repair { ticket: Ticket, peer: PublisherName },
    /// Takes events that revoked keys of `publisher` signed (`key`: that one alone) after all, or drops them for good.
    Decide { ticket: Ticket, publisher: PublisherName, key: Option<EventKey>, release: bool },
    /// Forget a consumer: its connection ends, and it has no position any more.
    RemoveConsumer { ticket: Ticket, name: ConsumerName },
    /// Hand everything after a place to a consumer again, or pass over all before it; its connection ends.
    RewindConsumer { ticket: Ticket, name: ConsumerName, to: StartPosition },
    /// A consumer that is read past the core has everything up to `seq`. It begins there if it is new.
    PlaceConsumer { ticket: Ticket, name: ConsumerName, seq: u64 },
    /// The operator says that the wall clock is right.
    AcceptClock { ticket: Ticket },
    /// Close all feeds and say so to the peers; appends go on until they are answered.
    Stop { ticket: Ticket },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindTo {
    Earliest,
    /// The sender's seq.
    Seq(u64),
}

/// The request of a consumer (CONTRACT.md §3), read and checked by the door.
#[derive(Clone, Debug)]
pub struct ConsumerRequest {
    /// Its name, if it has one: it resumes after its last ack.
    pub name: Option<ConsumerName>,
    /// Ignored if the consumer has a position; `None`: `now`, for a new named consumer `earliest`.
    pub from: Option<StartPosition>,
    /// Also events that this node is the publisher of.
    pub own: bool,
    /// It moves by acks; false: as lines are written.
    pub acks: bool,
    /// If it does not admit an entry, the entry is passed over.
    pub filter: Option<Arc<Filter>>,
}

impl ConsumerRequest {
    pub fn terms(&self) -> ConsumerTerms<'_> {
        ConsumerTerms { own: self.own, filter: self.filter.as_deref() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPosition {
    Earliest,
    Now,
    /// Begins with this seq itself.
    Seq(u64),
    /// The first entry stored here at or after this time; the door has turned it into a seq if it could.
    Time(Timestamp),
}

impl StartPosition {
    /// Reads `earliest`, `now`, a seq or an RFC 3339 time.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "earliest" => Some(Self::Earliest),
            "now" => Some(Self::Now),
            other => match other.parse() {
                Ok(seq) => Some(Self::Seq(seq)),
                Err(_) => Timestamp::parse_rfc3339(other).map(Self::Time),
            },
        }
    }
}

#[derive(Debug)]
pub enum Output {
    // --- transport ---
    /// Connect to `peer` at any of its configured addresses.
    Dial {
        peer: PublisherName,
    },
    /// Close all connections to `peer` at once.
    Disconnect {
        peer: PublisherName,
    },
    /// Open a feed stream to `peer`, as receiver.
    OpenFeed {
        peer: PublisherName,
    },
    Send {
        stream: StreamId,
        frame: WireFrame,
    },
    /// Go on reading `stream`.
    Resume {
        stream: StreamId,
    },
    /// Send what was queued, then close `stream`. It is forgotten here already.
    CloseFeed {
        stream: StreamId,
    },

    // --- store and workers ---
    /// Append in this order, sync, answer [`Input::Stored`] or [`Input::NotStored`].
    Append {
        ticket: Ticket,
        records: Vec<NewRecord>,
    },
    /// Ask the seen set. By identity alone.
    LookUp {
        ticket: Ticket,
        keys: Vec<EventKey>,
    },
    /// Read what follows `after_seq`, at most `bytes_max` but at least one entry; answered by [`Input::Entries`].
    Read {
        reader: JournalReader,
        after_seq: u64,
        bytes_max: usize,
    },
    /// Find the stored envelope of an identity.
    Fetch {
        ticket: Ticket,
        id: EventId,
    },
    /// Which of these marks, newest first, agrees with this journal? One agrees if its seq lies between the floor and
    /// the last entry and its check is the journal's there.
    CheckMarks {
        ticket: Ticket,
        marks: Vec<Mark>,
    },
    /// Inspect each envelope (`intake::inspect`): signature by one of the keys, body, content id.
    Verify {
        ticket: Ticket,
        envelopes: Vec<ToVerify>,
    },
    /// Steady time, for what expires: `None` while the clock is not to be trusted, and nothing may expire.
    Expire {
        now: Option<Timestamp>,
    },

    // --- doors ---
    Submitted {
        ticket: Ticket,
        outcome: Submitted,
    },
    /// The event that [`Input::Recall`] named, then its ancestors by `parent`, as far as they are held; at most
    /// [`LINEAGE_MAX`](crate::limits::LINEAGE_MAX), each once. Empty if the event itself is not held.
    Recalled {
        ticket: Ticket,
        lineage: Vec<Arc<Entry>>,
    },
    /// A connection with a name has begun, under this generation of its position.
    ConsumerBegan {
        consumer: ConsumerId,
        generation: u64,
    },
    /// Hand these off, in order. Answered by [`Input::ConsumerReady`] once written.
    HandOff {
        consumer: ConsumerId,
        entries: Vec<Arc<Entry>>,
    },
    /// `from` of the request is not used: this consumer goes on after its position. Comes before any entry.
    FromIgnored {
        consumer: ConsumerId,
        position: u64,
    },
    /// The connection ends: its request was refused, or its acks are durable.
    ConsumerClosed {
        consumer: ConsumerId,
        why: ConsumerClosed,
    },

    // --- operator ---
    CommandDone {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// Something happened that the log and the counters should know.
    Event(Event),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is on disk under its own id.
    Accepted,
    /// The same id with the same body is on disk already.
    Duplicate,
    /// The same id with another body is there: `id_conflict`.
    Conflict,
    /// It came from the mesh, and this node does not know it: `foreign_event`.
    Foreign,
    DiskFull,
    Stopping,
    /// The clock is wrong, or the keys are older than what this node published about them.
    ClockOff,
    KeysStale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerClosed {
    /// Another connection has the name: `busy`.
    Busy,
    /// Too many named consumers.
    TooMany,
    /// The operator removed the consumer of its name.
    Removed,
    /// The operator moved the position of its name.
    Rewound,
    /// Its acks are on disk.
    Synced,
    Stopping,
}
