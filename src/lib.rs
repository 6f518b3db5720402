//! intelmesh: a peer-to-peer federation node with which CERTs and CSIRTs exchange incident events directly.
//!
//! The life of an envelope: a local pipeline submits an event at a door (`local`); `format` reads it,
//! `envelope` signs it, `protocol` decides, `store` makes it durable. Every peer that `policy` allows
//! reads it from the journal through a feed (`wire`, `transport`), verifies it against its own trust list,
//! and hands it to its own pipeline. Nothing lost, nothing twice, nothing forged, nothing leaked.
//!
//! Modules in reading order. The first group is the pure core and builds alone (`--no-default-features`).
//! All are private: the names at the end of this file are what a user of the library needs.
//!
//! An event is signed here, and verified and filtered there:
//!
//! ```
//! use ed25519_dalek::SigningKey;
//! use intelmesh::{
//!     Body, Core, ENVELOPE_VERSION, EventFormat, EventType, Filter, FilterFacts, HopPath, IdScheme, NoLists, Signer,
//!     Timestamp, Tlp, UnverifiedEnvelope, check_content,
//! };
//!
//! let key = SigningKey::from_bytes(&[1; 32]);
//! let signed = Signer::new(key.clone()).sign(Core {
//!     version: ENVELOPE_VERSION,
//!     id: "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse()?,
//!     ids: IdScheme::Random,
//!     created: Timestamp(1_794_961_200_000),
//!     expires: None,
//!     event_type: EventType::Event,
//!     format: EventFormat::intelmq(),
//!     tlp: Tlp::Green,
//!     to: Vec::new(),
//!     max_hops: 16,
//!     parent: None,
//!     links: Vec::new(),
//!     ext: None,
//!     body: Body::Plain(r#"{"source.ip":"192.0.2.1"}"#.into()),
//!     extensions: Default::default(),
//! })?;
//!
//! // The other node has these bytes, and the key that it was told on the telephone.
//! let bytes = signed.envelope().bytes().clone();
//! let verified = UnverifiedEnvelope::decode(bytes)?.verify(&key.verifying_key())?;
//! let core = verified.envelope().core();
//! check_content(core)?;
//! let filter = Filter::compile(r#"meta.tlp == "GREEN" && "source.ip" in event"#, &NoLists)?;
//! assert!(filter.admits(&FilterFacts::new(core, &HopPath::default()))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/second_node.rs` runs the protocol itself, [`Node`], without any of our input and output.

// With `sim`, what tests alone reach is public: it needs no documentation.
#![cfg_attr(feature = "sim", allow(missing_docs))]
// Asked of everything at once: tests reach more names than users do.
#![cfg_attr(all(feature = "node", feature = "sim", not(test)), warn(unreachable_pub))]
// The core alone does not use what only adapters need: the whole node shows what nobody uses.
#![cfg_attr(not(feature = "node"), allow(dead_code, unused_imports))]

mod cbor;
mod envelope;
mod event;
mod filter;
mod identity;
mod limits;
mod link;
mod policy;
mod protocol;
mod record;
mod status;
#[cfg(any(feature = "node", feature = "sim"))]
mod store;
mod time;
mod tlp;
mod wire;

#[cfg(feature = "node")]
mod audit;
#[cfg(feature = "node")]
mod cli;
#[cfg(feature = "node")]
mod clock;
#[cfg(feature = "node")]
mod config;
#[cfg(feature = "node")]
mod control;
#[cfg(feature = "node")]
mod daemon;
#[cfg(feature = "node")]
mod door;
#[cfg(feature = "node")]
mod explain;
#[cfg(feature = "node")]
mod files;
#[cfg(feature = "node")]
mod format;
#[cfg(feature = "node")]
mod invitation;
#[cfg(feature = "node")]
mod keyring;
#[cfg(feature = "node")]
mod local;
#[cfg(feature = "node")]
mod metrics;
#[cfg(feature = "node")]
mod ownership;
#[cfg(feature = "node")]
mod resolving;
#[cfg(feature = "node")]
mod terminal;
#[cfg(feature = "node")]
mod transport;
#[cfg(feature = "node")]
mod web;

/// For tests and the simulator.
#[cfg(any(test, feature = "sim"))]
mod fixture;
/// For tests alone.
#[cfg(feature = "sim")]
mod sim;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod testing;

// An event: its names, its content, its links.
pub use event::{BodyError, EventFormat, check_body};
pub use identity::{
    Check, CheckSecret, CoreDigest, EventId, EventKey, HopPath, IdentityError, KeyId, LogId, NodeNames,
    ProjectName, PublisherName, parse_public_key, public_key_text,
};
pub use link::{Link, LinkTarget, Relation};
pub use time::{Now, Tick, Timestamp};

// An envelope: signed and verified, sealed and opened.
pub use envelope::content::BodyIdSecret;
pub use envelope::seal::seal;
pub use envelope::{
    Body, CodecError, ContentError, Core, ENVELOPE_VERSION, Envelope, EventType, IdScheme, KeyUse, OpenError,
    SealError, SealKey, SealOpener, SignatureError, SignedStatement, Signer, StatedKey, Statement,
    UnverifiedEnvelope, VerifiedEnvelope, check_content,
};

// Who may read it and who may send it.
pub use filter::{
    BodyDecoder, Filter, FilterFacts, FilterFailure, FilterFault, FilterList, FilterLists, ListFault, NoLists,
};
pub use policy::{Peer, Rate, Receive, Share, Tlp, TrustList};

// The protocol, without input or output: a node is `Node` and something that obeys it.
pub use protocol::intake::{ToVerify, inspect};
pub use protocol::io::{
    ConsumerId, ConsumerRequest, DialFailure, DoorInput, DoorOutput, Event, JournalReader, OperatorInput,
    Read, Role, StartPosition, StoreInput, StoreOutput, StoreQuestion, StreamId, Submitted, Ticket,
    TransportInput, TransportOutput,
};
pub use protocol::{CoreBounds, CoreConfig, Dialect, Input, Node, Output, Rules};
pub use record::{ConsumerName, Entry, JournalEnds, Ledger, NewCarrier, NewRecord, Note};
pub use wire::frame::{FrameDecoder, FrameError, encode as encode_frame, encoded_len};
pub use wire::{CarrierFrame, FEED_PROTOCOL, FaultCode, Mark, VerdictCode, WireFrame};

/// Runs one command line, as the program `intelmesh` does.
#[cfg(feature = "node")]
pub use cli::main;
