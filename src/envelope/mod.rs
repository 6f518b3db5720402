//! An envelope: the signed thing that carries an event (PROTOCOL.md §2). Bytes become an
//! [`UnverifiedEnvelope`] in `codec`, and then a [`VerifiedEnvelope`] in `sign`. Its fields are private, so a path that
//! skips the check does not compile. Received bytes are kept and never encoded again. This module does not decide who
//! may have an event (that is `policy`) or whether it was seen.

mod canonical;
pub(crate) mod codec;
mod codec_error;
pub(crate) mod content;
mod core_fields;
mod extensions;
pub(crate) mod seal;
pub(crate) mod sign;
pub(crate) mod statement;
#[cfg(feature = "sim")]
pub(crate) mod successor;

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use crate::event::EventFormat;
use crate::identity::{CoreDigest, EventId, EventKey, KeyId, PublisherName};
use crate::link::Link;
use crate::time::Timestamp;
use crate::tlp::Tlp;

pub use codec_error::CodecError;
pub use content::{ContentError, check_content};
pub(crate) use extensions::EXTENSION_KEYS;
pub use extensions::Extensions;
pub use seal::{OpenError, SealError, SealKey, SealOpener};
pub use sign::{SignatureError, Signer};
pub use statement::{KeyUse, SignedStatement, StatedKey, Statement};
pub(crate) use statement::{StatedKeys, StatementBook};

/// The version of the signed core that this node writes.
pub const ENVELOPE_VERSION: u8 = 1;

/// How the UUID was made (PROTOCOL.md §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum IdScheme {
    /// UUIDv4, or the UUID that the pipeline gave.
    Random = 0,
    /// UUIDv8 of the canonical payload, the same at every node; receivers recompute it.
    Content = 1,
    /// UUIDv8 of HMAC-SHA-256 over the body with a secret of the publisher's node.
    Body = 2,
}

impl IdScheme {
    /// Returns its word in `ids`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Content => "content",
            Self::Body => "body",
        }
    }

    /// Returns the scheme of a word of `ids`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Random, Self::Content, Self::Body].into_iter().find(|scheme| scheme.as_str() == text)
    }
}

/// The two types of IntelMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventType {
    /// One event.
    Event = 0,
    /// A report, from which a bot makes events.
    Report = 1,
}

impl EventType {
    /// Returns the type as texts name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Report => "report",
        }
    }
}

/// The signed fields (mirrors PROTOCOL.md §2.3, field by field).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Version of the core, [`ENVELOPE_VERSION`] if this node made it.
    pub version: u8,
    /// The name of the event, everywhere and for good.
    pub id: EventId,
    /// How the UUID of the id was made.
    pub ids: IdScheme,
    /// When the publisher signed it.
    pub created: Timestamp,
    /// After it neither shared nor handed off.
    pub expires: Option<Timestamp>,
    /// Event or report.
    pub event_type: EventType,
    /// The format of the payload.
    pub format: EventFormat,
    /// Who may read it.
    pub tlp: Tlp,
    /// If empty, everyone that policy allows. It narrows, never widens.
    pub to: Vec<PublisherName>,
    /// At most so many nodes pass it on.
    pub max_hops: u8,
    /// The event that it was made from.
    pub parent: Option<EventId>,
    /// Its relations to other events.
    pub links: Vec<Link>,
    /// The non-standardised meta information of IEP04: the text of one JSON object, exactly as given.
    pub ext: Option<Bytes>,
    /// The payload, plain or sealed.
    pub body: Body,
    /// Fields that a later version signs besides.
    pub extensions: Extensions,
}

/// The event itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Exactly as published.
    Plain(Bytes),
    /// A COSE_Encrypt (tag 96); its bytes, tag included. Carried unopened; `seal` opens it for a recipient.
    Sealed(Bytes),
}

impl Body {
    /// Returns whether only recipients can read it.
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    /// Returns the bytes as they were signed.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Plain(bytes) | Self::Sealed(bytes) => bytes,
        }
    }

    /// Returns whether two bodies that this node signed under one id have the same content. Sealing the same content
    /// twice gives different bytes. Of another publisher's sealed bodies only the bytes can be compared.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sealed(one), Self::Sealed(other)) => one == other || seal::same_mark(one, other),
            _ => self == other,
        }
    }
}

/// The content of a sealed body: the payload, and with it the fields that would tell of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedBody {
    pub payload: Bytes,
    pub ext: Option<Bytes>,
    pub links: Vec<Link>,
    pub parent: Option<EventId>,
    pub extensions: Extensions,
}

/// A decoded envelope and the bytes that it came in. Made by `codec` (from bytes) and `sign`.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub(in crate::envelope) bytes: Bytes,
    pub(in crate::envelope) core: Core,
    pub(in crate::envelope) digest: CoreDigest,
    pub(in crate::envelope) key_id: KeyId,
    pub(in crate::envelope) key: EventKey,
}

/// Approximate memory of a link, in bytes: two identities and a type, each text by itself.
const LINK_BYTES: usize = 256;

impl Envelope {
    /// Returns its approximate memory, in bytes. Links take several times their size on the wire.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.core.links.len() * LINK_BYTES
    }

    /// The COSE_Sign1, tag included, as it came. Its unprotected header is neither signed nor part of the digest.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the signed fields.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Returns the name of the event.
    pub fn id(&self) -> &EventId {
        &self.core.id
    }

    /// The name that the signed core gives; proven only in a [`VerifiedEnvelope`].
    pub fn publisher(&self) -> &PublisherName {
        &self.core.id.publisher
    }

    /// Returns the digest of the name.
    pub fn key(&self) -> EventKey {
        self.key
    }

    /// Returns the digest of the signed bytes.
    pub fn digest(&self) -> CoreDigest {
        self.digest
    }

    /// `kid` of the protected header.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }
}

/// A well-formed envelope, and nothing more: its signer has not been checked.
#[derive(Clone, Debug)]
pub struct UnverifiedEnvelope(pub(in crate::envelope) Arc<Envelope>);

impl UnverifiedEnvelope {
    /// Returns the fields, of which nothing is proved.
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }

    /// Returns an envelope that was read back from our own journal with a correct CRC. It was verified before it was
    /// stored.
    pub fn into_stored(self) -> Arc<Envelope> {
        self.0
    }
}

/// Signed by [`signer`](Self::signer). Two makers: [`Signer::sign`] and [`UnverifiedEnvelope::verify`].
#[derive(Clone, Debug)]
pub struct VerifiedEnvelope {
    pub(in crate::envelope) envelope: Arc<Envelope>,
    pub(in crate::envelope) signer: VerifyingKey,
}

impl VerifiedEnvelope {
    /// Returns the fields.
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The key that the signature was checked with.
    pub fn signer(&self) -> &VerifyingKey {
        &self.signer
    }
}
