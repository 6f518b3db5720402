//! Reports of the core, for log, counters and status. Nothing is decided by them.

use super::{Role, StoreFailure, StreamId};
use crate::identity::{EventId, PublisherName};
use crate::record::ConsumerName;
use crate::time::Timestamp;
use crate::wire::VerdictCode;

/// A report of the core: each has one cause, one log line and one counter.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum Event {
    PeerUp {
        peer: PublisherName,
    },
    PeerDown {
        peer: PublisherName,
        cause: String,
    },
    FeedUp {
        peer: PublisherName,
        role: Role,
    },
    FeedDown {
        peer: PublisherName,
        stream: StreamId,
        cause: String,
    },
    /// The feed to `peer` goes on behind this seq of ours: entries above it are decided again.
    FeedResumes {
        peer: PublisherName,
        after: u64,
    },
    /// The fate of an envelope.
    Envelope {
        id: EventId,
        source: Option<PublisherName>,
        outcome: EnvelopeOutcome,
        bytes: usize,
    },
    /// An entry of `peer`'s feed was not taken, and why. For `UnknownPublisher` the detail is the publisher's name.
    NotTaken {
        peer: PublisherName,
        seq: u64,
        code: VerdictCode,
        detail: String,
    },
    Equivocation {
        publisher: PublisherName,
        id: EventId,
        source: Option<PublisherName>,
    },
    Missing {
        peer: PublisherName,
        count: u64,
    },
    /// Entries that a consumer had not acknowledged are gone.
    ConsumerMissing {
        consumer: ConsumerName,
        count: u64,
        cause: LossCause,
    },
    /// A receiver lost entries that it had taken: so many of them are handed over again.
    ConsumerAgain {
        consumer: ConsumerName,
        count: u64,
    },
    ClockOff {
        wall: Timestamp,
        steady: Timestamp,
    },
    ClockOk,
    /// A batch could not be written; everything goes on from what is on disk.
    NotStored {
        failure: StoreFailure,
    },
    Repair {
        peer: PublisherName,
        cause: &'static str,
    },
    /// A publisher's keys changed, or are revoked: it acts from now on.
    KeyStatement {
        publisher: PublisherName,
        serial: u64,
        revoked: bool,
    },
    /// `peer` showed a key statement that this node cannot verify.
    StatementRefused {
        peer: PublisherName,
        why: String,
    },
}

/// Why this node no longer has an entry that it stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum LossCause {
    /// It was older than the journal may be, or beyond its size.
    Retention,
    /// Its segment is damaged, or missing.
    Damage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum EnvelopeOutcome {
    Accepted,
    Refused,
}
