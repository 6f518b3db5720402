//! Inputs and outputs of the local doors: submissions on one side, consumers on the other. Says nothing of lines.

use std::sync::Arc;

use super::{ConsumerId, Ticket};
use crate::envelope::VerifiedEnvelope;
use crate::filter::Filter;
use crate::identity::EventId;
use crate::policy::ConsumerTerms;
use crate::record::{ConsumerName, Entry};
use crate::time::Timestamp;

/// A submission, or something that a consumer did.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum DoorInput {
    /// A local event, signed. Answered by [`DoorOutput::Submitted`].
    Submit {
        ticket: Ticket,
        envelope: VerifiedEnvelope,
    },
    /// An event that says it was handed to the pipeline before (decisions/0014). Answered by [`DoorOutput::Submitted`].
    SubmitReturned {
        ticket: Ticket,
        id: EventId,
    },
    /// Asks for this event and its ancestors, if they are held. Answered by [`DoorOutput::Recalled`].
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
    /// The client shut its writing side: sync its acks, then answer [`DoorOutput::ConsumerClosed`].
    ConsumerFinished {
        consumer: ConsumerId,
    },
    /// The connection is gone. No answer.
    ConsumerGone {
        consumer: ConsumerId,
    },
}

/// An answer to a submission, or something for a consumer.
#[derive(Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum DoorOutput {
    Submitted {
        ticket: Ticket,
        outcome: Submitted,
    },
    /// The event that [`DoorInput::Recall`] named, then its ancestors by `parent`, as far as they are held; at most
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
    /// Hand these off, in order. Answered by [`DoorInput::ConsumerReady`] once written.
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
}

/// What became of a submission.
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
    /// Nothing was stored: there is no room. It may be submitted again.
    DiskFull,
    /// Nothing was stored: the node stops.
    Stopping,
    /// Nothing was stored: the clock is wrong, and peers would reject the date of the event.
    ClockOff,
    /// Nothing was stored: the keys on disk are older than what this node has published of them.
    KeysStale,
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
    /// Returns what the consumer asks for, as the rule of the hand-off takes it.
    pub fn terms(&self) -> ConsumerTerms<'_> {
        ConsumerTerms { own: self.own, filter: self.filter.as_deref() }
    }
}

/// Where a consumer begins that has no position yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// At the oldest entry of the journal.
    Earliest,
    /// Behind the newest entry.
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
