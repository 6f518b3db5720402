//! What two nodes say to each other on a feed, as values (PROTOCOL.md §4). `frame` turns them into bytes and
//! back, bounded before allocation. What is said when is `protocol`'s.

pub mod frame;

use bytes::Bytes;

use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::time::Timestamp;

/// Wire versions this node speaks, lowest and highest.
pub const WIRE_VERSION_MIN: u8 = 1;
pub const WIRE_VERSION_MAX: u8 = 1;

/// The protocol of a feed, as libp2p negotiates it.
pub const FEED_PROTOCOL: &str = "/intelmesh/feed/1";

/// One frame, in either direction. The receiver opens the stream; both say HELLO first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Hello(Box<Hello>),
    /// Receiver: from here on, please.
    Subscribe(Subscribe),
    /// Sender: an entry in journal order.
    Carrier(CarrierFrame),
    /// Sender: an entry in journal order, offered.
    Have(Have),
    /// Sender: nothing for you up to here. The first frame after SUBSCRIBE says where it resumes.
    Skip(Skip),
    /// Receiver: the entry that was offered or is owed, please.
    Want {
        seq: u64,
        key: EventKey,
    },
    /// Sender: the answer to a WANT. Outside the window.
    Answer(CarrierFrame),
    /// Sender: the answer to a WANT that cannot be had any more.
    Gone {
        seq: u64,
    },
    Ack(Box<Ack>),
    /// Receiver: from now on push, or only offer, what this publisher made.
    Mode {
        publisher: PublisherName,
        eager: bool,
    },
    /// Sender: my last seq and the time when it was stored; `seq` 0 for an empty journal.
    Head {
        seq: u64,
        stored: Timestamp,
    },
    /// Either: are you there? Answered with PONG of the same nonce.
    Ping {
        nonce: u64,
    },
    Pong {
        nonce: u64,
    },
    /// Either: why the stream is closed next.
    Fault {
        code: FaultCode,
        detail: String,
    },
    /// A key statement (PROTOCOL.md §8), of whatever publisher.
    KeyStatement(Bytes),
}

impl Frame {
    /// Its name in PROTOCOL.md §4.2, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "HELLO",
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
        }
    }

    /// About how many bytes it takes on the wire; what windows and queues count.
    pub fn weight(&self) -> usize {
        const SMALL: usize = 64;
        match self {
            Self::Carrier(carrier) | Self::Answer(carrier) => {
                carrier.envelope.len()
                    + SMALL
                    + carrier.path.hops().iter().map(|hop| hop.as_str().len() + 2).sum::<usize>()
            }
            Self::Hello(_) | Self::Subscribe(_) => 1_024,
            Self::Ack(ack) => SMALL + 10 * ack.verdicts.len(),
            Self::KeyStatement(bytes) => bytes.len() + SMALL,
            _ => SMALL,
        }
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
    /// Names of optional abilities; none yet. At most 32 of at most 32 bytes.
    pub capabilities: Vec<String>,
    /// Our own key statement, where there is one (PROTOCOL.md §8). At most 16.
    pub key_statements: Vec<Bytes>,
}

/// A place in a journal, with the check that proves it is the same journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub seq: u64,
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
    /// A CEL filter of the receiver; reserved, must be absent (`not_built`).
    pub filter: Option<String>,
    /// Only offer, whatever is eager: for repairs and for what is read a second time.
    pub have_only: bool,
    pub window: Window,
}

/// What may be sent in order beyond the acknowledged seq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub envelopes: u32,
    pub bytes: u32,
}

/// A carrier on the wire. Its envelope is decoded by the receiver's intake, so that one bad envelope costs
/// one verdict and not the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierFrame {
    pub seq: u64,
    pub check: Check,
    pub path: HopPath,
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
pub struct Ack {
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
    pub verdicts: Vec<(u64, VerdictCode)>,
}

/// Why an entry was deferred (to be asked for again) or rejected (never, or not while trust stands as it
/// is). Numbers are PROTOCOL.md §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum VerdictCode {
    // Deferred.
    InFlight = 1,
    Rate = 2,
    Ahead = 3,
    UnknownKeyStatement = 4,
    KeyRevoked = 5,
    // Rejected for what is in the bytes.
    Malformed = 16,
    BadSignature = 17,
    NameMismatch = 18,
    TooOld = 19,
    TooFarAhead = 20,
    Equivocation = 21,
    ContentIdMismatch = 22,
    BadBody = 23,
    BadPath = 24,
    Expired = 25,
    TooLarge = 26,
    // Rejected, and read again when trust or version changes.
    UnknownPublisher = 32,
    UnknownKey = 33,
    RelayNotAllowed = 34,
    TlpNotAllowed = 35,
    UnknownVersion = 36,
    NotWanted = 37,
}

impl VerdictCode {
    pub const ALL: [Self; 22] = [
        Self::InFlight,
        Self::Rate,
        Self::Ahead,
        Self::UnknownKeyStatement,
        Self::KeyRevoked,
        Self::Malformed,
        Self::BadSignature,
        Self::NameMismatch,
        Self::TooOld,
        Self::TooFarAhead,
        Self::Equivocation,
        Self::ContentIdMismatch,
        Self::BadBody,
        Self::BadPath,
        Self::Expired,
        Self::TooLarge,
        Self::UnknownPublisher,
        Self::UnknownKey,
        Self::RelayNotAllowed,
        Self::TlpNotAllowed,
        Self::UnknownVersion,
        Self::NotWanted,
    ];

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u8 == number)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::Ahead => "ahead",
            Self::UnknownKeyStatement => "unknown_key_statement",
            Self::KeyRevoked => "key_revoked",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::NameMismatch => "name_mismatch",
            Self::TooOld => "too_old",
            Self::TooFarAhead => "too_far_ahead",
            Self::Equivocation => "equivocation",
            Self::ContentIdMismatch => "content_id_mismatch",
            Self::BadBody => "bad_body",
            Self::BadPath => "bad_path",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::UnknownPublisher => "unknown_publisher",
            Self::UnknownKey => "unknown_key",
            Self::RelayNotAllowed => "relay_not_allowed",
            Self::TlpNotAllowed => "tlp_not_allowed",
            Self::UnknownVersion => "unknown_version",
            Self::NotWanted => "not_wanted",
        }
    }

    /// To be asked for again, rather than rejected.
    pub const fn is_deferred(self) -> bool {
        (self as u8) < 16
    }

    /// Rejected, but a change of the trust list or of the version can cure it (design §6.5).
    pub const fn is_curable(self) -> bool {
        (self as u8) >= 32
    }
}

/// Why a stream is closed. Numbers are PROTOCOL.md §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FaultCode {
    /// Bytes that are no frame, or a frame out of turn.
    Protocol = 1,
    /// No version in common.
    Version = 2,
    /// HELLO names another federation.
    Federation = 3,
    /// HELLO's name is not the one that the trust list binds to this key.
    Name = 4,
    /// Another live process runs with this key.
    Cloned = 5,
    /// A newer stream of the same peer replaces this one.
    Replaced = 6,
    /// The peer was paused or removed.
    Paused = 7,
    /// The node stops.
    Stopping = 8,
    /// No frame for 30 s.
    Silent = 9,
    /// SUBSCRIBE asks for something that is not built.
    NotBuilt = 10,
    /// The node cannot store: its disk is full.
    DiskFull = 11,
}

impl FaultCode {
    pub const ALL: [Self; 11] = [
        Self::Protocol,
        Self::Version,
        Self::Federation,
        Self::Name,
        Self::Cloned,
        Self::Replaced,
        Self::Paused,
        Self::Stopping,
        Self::Silent,
        Self::NotBuilt,
        Self::DiskFull,
    ];

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u8 == number)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Version => "version",
            Self::Federation => "federation",
            Self::Name => "name",
            Self::Cloned => "cloned",
            Self::Replaced => "replaced",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Silent => "silent",
            Self::NotBuilt => "not_built",
            Self::DiskFull => "disk_full",
        }
    }
}
