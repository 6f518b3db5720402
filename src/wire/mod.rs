//! The messages of two nodes on a feed, as values (PROTOCOL.md §4). `frame` turns them into bytes and back, bounded
//! before allocation. `protocol` decides when each is sent.

mod codes;
pub(crate) mod frame;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::time::Timestamp;

pub use codes::{FaultCode, FaultNumber, VerdictCode, VerdictNumber};

/// Wire versions this node speaks, lowest and highest.
pub(crate) const WIRE_VERSION_MIN: u8 = 1;
pub(crate) const WIRE_VERSION_MAX: u8 = 1;

/// The protocol of a feed, as libp2p negotiates it.
pub const FEED_PROTOCOL: &str = "/intelmesh/feed/1";

/// One frame, in either direction. The receiver opens the stream; both say HELLO first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum WireFrame {
    /// Either: the first frame.
    Hello(Box<Hello>),
    /// HELLO of a node that shares no version with this one: nothing behind its versions was read.
    OtherVersion(Box<FeedGreeting>),
    /// Receiver: from here on, please.
    Subscribe(Subscribe),
    /// Sender: an entry in journal order.
    Carrier(CarrierFrame),
    /// Sender: an entry in journal order, offered.
    Have(Have),
    /// Sender: nothing for you up to here. The first frame after SUBSCRIBE says where it resumes.
    Skip(Skip),
    /// Receiver: the entry that was offered or is owed, please.
    Want { seq: u64, key: EventKey },
    /// Sender: the answer to a WANT. Outside the window.
    Answer(CarrierFrame),
    /// Sender: the answer to a WANT that cannot be had any more.
    Gone { seq: u64 },
    /// Receiver: verdicts, and the window.
    Ack(Box<AckFrame>),
    /// Receiver: from now on push, or only offer, the events of this publisher.
    Mode { publisher: PublisherName, eager: bool },
    /// Sender: my last seq and the time when it was stored; `seq` 0 for an empty journal.
    Head { seq: u64, stored: Timestamp },
    /// Either: are you there? Answered with PONG of the same nonce.
    Ping { nonce: u64 },
    /// Either: the answer to PING.
    Pong { nonce: u64 },
    /// Either: why the stream is closed next.
    Fault { code: FaultNumber, detail: String },
    /// A key statement (PROTOCOL.md §8), of any publisher.
    KeyStatement(Bytes),
    /// For tests: as a stand-in for version 2 says it. Never decoded to.
    #[cfg(feature = "sim")]
    Successor(Box<Self>),
}

impl WireFrame {
    /// Its name in PROTOCOL.md §4.2, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) | Self::OtherVersion(_) => "HELLO",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Carrier(_) => "CARRIER",
            Self::Have(_) => "HAVE",
            Self::Skip(_) => "SKIP",
            Self::Want { .. } => "WANT",
            Self::Answer(_) => "ANSWER",
            Self::Gone { .. } => "GONE",
            Self::Ack(_) => "ACK",
            Self::Mode { .. } => "MODE",
            Self::Head { .. } => "HEAD",
            Self::Ping { .. } => "PING",
            Self::Pong { .. } => "PONG",
            Self::Fault { .. } => "FAULT",
            Self::KeyStatement(_) => "KEY",
            #[cfg(feature = "sim")]
            Self::Successor(frame) => frame.kind(),
        }
    }

    /// Returns the frame that a stand-in for version 2 means by it.
    #[cfg(feature = "sim")]
    pub fn meant(&self) -> &Self {
        if let Self::Successor(frame) = self { frame } else { self }
    }
}

/// The first four fields of HELLO, which no version changes (PROTOCOL.md §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedGreeting {
    pub name: PublisherName,
    pub federation: String,
    pub version_min: u8,
    pub version_max: u8,
}

impl FeedGreeting {
    /// Is there a version that both nodes speak?
    pub const fn shares_version(&self) -> bool {
        self.version_min <= WIRE_VERSION_MAX
            && self.version_max >= WIRE_VERSION_MIN
            && self.version_min <= self.version_max
    }
}

/// The first frame on a stream, both ways (mirrors PROTOCOL.md §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub name: PublisherName,
    pub federation: String,
    pub version_min: u8,
    pub version_max: u8,
    /// The program and its version, for status; at most 64 bytes.
    pub software: String,
    /// Random for each start of the process.
    pub instance: u64,
    pub log_id: LogId,
    pub first_seq: u64,
    pub last_seq: u64,
    pub now: Timestamp,
    /// Features that this node understands beyond its version when it reads; none yet. The other side uses only the
    /// names given here, and ignores names that it does not know. At most 32 of at most 32 bytes.
    pub capabilities: Vec<String>,
    /// Our own key statement, if there is one (PROTOCOL.md §8). At most 16.
    pub key_statements: Vec<Bytes>,
}

/// A place in a journal, with the check that proves it is the same journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its number in the journal of the sender; 0 is before the first.
    pub seq: u64,
    /// The chained check of the journal up to there.
    pub check: Check,
}

impl Mark {
    /// Before the first carrier.
    pub const START: Self = Self { seq: 0, check: Check::START };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Of the sender's journal, as far as the receiver knows it; `None` the first time.
    pub log_id: Option<LogId>,
    /// The cursor first, then older marks at doubling distances; at most 1 + 16.
    pub marks: Vec<Mark>,
    /// Only offer, even if a publisher is eager: for repairs and for entries that are read a second time.
    pub have_only: bool,
    pub window: Window,
    /// Further requests of a later version, by number, each value as CBOR. A sender refuses numbers below
    /// [`Subscribe::OPTIONAL_FROM`] that it does not know and passes over others.
    pub options: BTreeMap<u64, Bytes>,
}

impl Subscribe {
    /// Options of SUBSCRIBE from here on may be passed over (PROTOCOL.md §4.2).
    pub const OPTIONAL_FROM: u64 = 64;

    /// Returns the lowest option that a sender has to know. This version has none.
    pub fn critical_option(&self) -> Option<u64> {
        self.options.keys().next().copied().filter(|number| *number < Self::OPTIONAL_FROM)
    }
}

/// How much may be sent in order beyond the acknowledged seq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub envelopes: u32,
    pub bytes: u32,
}

/// A carrier on the wire. Its envelope is decoded by the receiver's intake, so that one bad envelope costs
/// one verdict and not the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierFrame {
    /// Its number in the journal of the sender.
    pub seq: u64,
    /// The running check after it.
    pub check: Check,
    /// The path that the sender stored, with the sender at its end.
    pub path: HopPath,
    /// The bytes of the envelope, as they were signed.
    pub envelope: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    pub seq: u64,
    pub check: Check,
    pub created: Timestamp,
    pub publisher: PublisherName,
    pub key: EventKey,
    pub digest: CoreDigest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    pub to: Mark,
    /// Entries in the passed range that retention took: they are missing, not withheld.
    pub dropped: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckFrame {
    /// The durable cursor.
    pub seq: u64,
    pub window: Window,
    /// Running counts of this stream.
    pub accepted: u64,
    pub refused: u64,
    pub rejected: u64,
    /// How many entries are owed now.
    pub owed: u32,
    /// The verdict of each entry that was deferred or rejected since the last ACK; at most 4,096.
    pub verdicts: Vec<(u64, VerdictNumber)>,
}
