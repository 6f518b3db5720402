//! An envelope: the signed thing that carries an event (PROTOCOL.md §2). Bytes become an
//! [`UnverifiedEnvelope`] in `codec`, and then a [`VerifiedEnvelope`] in `sign`. Its fields are private, so a path that
//! skips the check does not compile. Received bytes are kept and never encoded again. This module does not decide who
//! may have an event (that is `policy`) or whether it was seen.

mod canonical;
pub mod codec;
mod codec_error;
pub mod content;
mod core_fields;
mod extensions;
pub mod seal;
pub mod sign;
pub mod statement;
#[cfg(feature = "sim")]
pub mod successor;

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
pub use extensions::{EXTENSION_KEYS, Extensions};
pub use seal::{OpenError, SealError, SealKey, SealOpener};
pub use sign::{SignatureError, Signer};
pub use statement::{KeyUse, SignedStatement, StatedKey, StatedKeys, Statement, StatementBook};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventType {
    Event = 0,
    Report = 1,
}

impl EventType {
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
    pub version: u8,
    pub id: EventId,
    pub ids: IdScheme,
    pub created: Timestamp,
    /// After it neither shared nor handed off.
    pub expires: Option<Timestamp>,
    pub event_type: EventType,
    pub format: EventFormat,
    pub tlp: Tlp,
    /// If empty, everyone that policy allows. It narrows, never widens.
    pub to: Vec<PublisherName>,
    pub max_hops: u8,
    pub parent: Option<EventId>,
    pub links: Vec<Link>,
    /// The non-standardised meta information of IEP04: the text of one JSON object, exactly as given.
    pub ext: Option<Bytes>,
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
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

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

    pub fn core(&self) -> &Core {
        &self.core
    }

    pub fn id(&self) -> &EventId {
        &self.core.id
    }

    /// The name that the signed core gives; proven only in a [`VerifiedEnvelope`].
    pub fn publisher(&self) -> &PublisherName {
        &self.core.id.publisher
    }

    pub fn key(&self) -> EventKey {
        self.key
    }

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
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The key that the signature was checked with.
    pub fn signer(&self) -> &VerifyingKey {
        &self.signer
    }
}
