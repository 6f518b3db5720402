//! The records of the journal (decisions/0001): carriers, and between them the cursors of feeds, positions of consumers
//! and marks of time. `bytes` turns records into bytes; `ledger` is the state that remains when they are replayed.
//! Nothing here touches a disk.

#[cfg(any(feature = "node", feature = "sim"))]
pub(crate) mod bytes;
mod consumer_name;
pub(crate) mod feed_state;
pub(crate) mod ledger;
pub(crate) mod losses;
pub(crate) mod owed;
pub(crate) mod rejected;

use std::sync::Arc;

use crate::envelope::{Envelope, SignedStatement, VerifiedEnvelope};
use crate::identity::{Check, CoreDigest, EventId, EventKey, HopPath, LogId, PublisherName};
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode};

pub use consumer_name::ConsumerName;
pub use feed_state::FeedState;
pub use ledger::Ledger;
pub(crate) use ledger::Position;
pub(crate) use losses::{BrokenEntry, Loss, Losses};
pub(crate) use owed::{Owed, OwedEntries};
pub(crate) use rejected::{RejectedPlace, RejectedPlaces, RetryCondition};

/// A record that the core asks the store to append, in the order given, as one batch.
#[derive(Clone, Debug)]
pub enum NewRecord {
    /// An envelope with its path.
    Carrier(NewCarrier),
    /// A note for the ledger.
    Note(Note),
}

/// A carrier to be appended. The store gives it its seq and check.
#[derive(Clone, Debug)]
pub struct NewCarrier {
    /// The envelope, proved.
    pub envelope: VerifiedEnvelope,
    /// As it came, ending with the source; empty for a local submission.
    pub path: HopPath,
    /// Steady time of its arrival.
    pub arrived: Timestamp,
}

/// Everything in the journal that is no carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum Note {
    /// A feed's cursor moved forward.
    Advanced { peer: PublisherName, to: Mark },
    /// An entry that the cursor passes is still to be taken.
    Owed { peer: PublisherName, owed: Owed },
    /// It was taken, or is missing, or was rejected.
    Settled { peer: PublisherName, seq: u64 },
    /// An entry was rejected for a reason that can be cured, or deferred without an owed place.
    Rejected { peer: PublisherName, place: RejectedPlace },
    /// The feed was read again from the place of this reason and publisher: it moves to `next`, or is done with.
    ReadAgain {
        peer: PublisherName,
        reason: VerdictCode,
        publisher: Option<PublisherName>,
        next: Option<(Mark, RetryCondition)>,
    },
    /// The feed resumes at `to`, in the log that is known: entries remembered above it are dropped.
    Resumed { peer: PublisherName, to: Mark },
    /// The whole state of a feed, replacing what was there: of a new log, and at each segment's start.
    Feed { peer: PublisherName, state: FeedState },
    /// A consumer has got to `seq`; lower than what is known changes nothing.
    Position { consumer: ConsumerName, seq: u64, own: bool },
    /// Entries up to `to` are gone, `count` of them for a consumer that had not acknowledged them. Changes nothing if
    /// its position is there already.
    Missing { consumer: ConsumerName, to: u64, count: u64 },
    /// The operator moved the position of a consumer, in any direction.
    Rewound { consumer: ConsumerName, seq: u64, generation: u64 },
    /// A consumer was removed: it has no position any more.
    ConsumerGone { consumer: ConsumerName, generation: u64 },
    /// The highest generation of a position, at each segment's start.
    Generation(u64),
    /// An entry can no longer be read, and is asked for again.
    Lost { key: EventKey, loss: Loss },
    /// `seen_floor` rose to this.
    Floor(Timestamp),
    /// Steady time reached this.
    Steady(Timestamp),
    /// Two cores under one identity; `digest` is the one that was not stored.
    Equivocation { publisher: PublisherName, key: EventKey, digest: CoreDigest },
    /// A publisher's statement of its keys; verified before it was written.
    Statement(SignedStatement),
    /// The operator lets an event in that a revoked key signed, at this steady time. If `None`, it is stored or dropped
    /// now.
    Released { key: EventKey, at: Option<Timestamp> },
}

impl Note {
    /// Returns the consumer that it is about.
    pub fn consumer(&self) -> Option<&ConsumerName> {
        match self {
            Self::Position { consumer, .. }
            | Self::Missing { consumer, .. }
            | Self::Rewound { consumer, .. }
            | Self::ConsumerGone { consumer, .. } => Some(consumer),
            _ => None,
        }
    }
}

/// A stored carrier, as readers see it. Only synced entries are ever handed out.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in this journal.
    pub seq: u64,
    /// The running check after this carrier.
    pub check: Check,
    /// When this node stored it.
    pub arrived: Timestamp,
    /// The nodes that it came through.
    pub path: HopPath,
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// Earlier entries with the same content id, of any publisher; empty unless `ids` is `content`.
    pub twins: Vec<Twin>,
    /// The event by which its publisher withdrew it, and the newest that replaces it, as far as known when this was
    /// read for a consumer or the command line; a feed does not ask.
    pub withdrawn_by: Option<EventId>,
    /// The event that replaces it.
    pub replaced_by: Option<EventId>,
}

/// An earlier entry with the same content id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    pub seq: u64,
    pub id: EventId,
}

impl Entry {
    /// Returns the peer that handed it over; `None` if it was submitted here.
    pub fn source(&self) -> Option<&PublisherName> {
        self.path.last()
    }

    /// Returns the digest of the signed bytes.
    pub fn digest(&self) -> CoreDigest {
        self.envelope.digest()
    }

    /// Returns its place in the journal.
    pub fn mark(&self) -> Mark {
        Mark { seq: self.seq, check: self.check }
    }
}

/// The beginning and the end of a journal: HELLO states them, and a cursor is compared with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEnds {
    /// Drawn when the journal was made.
    pub log_id: LogId,
    /// The place before the oldest carrier still held: `floor.seq + 1` is the first seq.
    pub floor: Mark,
    /// The newest synced carrier; `Mark::START` if there was never one.
    pub last: Mark,
    /// Arrival of the newest and the oldest carrier.
    pub newest: Timestamp,
    /// Arrival of the oldest carrier.
    pub oldest: Timestamp,
}

impl JournalEnds {
    /// Returns the seq of the oldest carrier still held; `last.seq + 1` if there is none.
    pub fn first_seq(&self) -> u64 {
        self.floor.seq + 1
    }
}

/// A reason for which the lowest rejected place of a feed is kept.
#[cfg(any(feature = "node", feature = "sim"))]
pub(crate) const CURABLE_REASONS: [VerdictCode; 7] = [
    VerdictCode::UnknownPublisher,
    VerdictCode::UnknownKey,
    VerdictCode::RelayNotAllowed,
    VerdictCode::TlpNotAllowed,
    VerdictCode::UnknownVersion,
    VerdictCode::NotWanted,
    VerdictCode::NameMismatch,
];
