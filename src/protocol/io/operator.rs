//! Changes of an operator, by files or by commands. How they are read is not here.

use std::sync::Arc;

use thiserror::Error;

use super::{StartPosition, StoreFailure, Ticket};
use crate::envelope::SignedStatement;
use crate::identity::{EventKey, PublisherName};
use crate::limits::{CLIENT_CONSUMERS_MAX, CONSUMERS_MAX};
use crate::policy::TrustList;
use crate::record::ConsumerName;

/// A change of files, or a command.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum OperatorInput {
    /// `peer` is dialled elsewhere from now on.
    AddressesChanged {
        peer: PublisherName,
    },
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

/// Why a command of the operator's was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandRefused {
    #[error("no peer \"{0}\"")]
    UnknownPeer(PublisherName),
    #[error("no consumer \"{0}\"")]
    UnknownConsumer(ConsumerName),
    #[error(
        "too many consumers: at most {CONSUMERS_MAX} have names here, and {CLIENT_CONSUMERS_MAX} of one client"
    )]
    TooManyConsumers,
    #[error("nothing of {0} waits for a decision")]
    NothingWaits(PublisherName),
    #[error("nothing was changed: {0}")]
    NotStored(StoreFailure),
}

/// Operator's commands. Each is answered by [`Output::CommandDone`](super::Output::CommandDone) with its ticket: `Ok`
/// once its changes are durable.
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
    /// A consumer that is read past the core has everything up to a place. It begins there if it is new.
    PlaceConsumer { ticket: Ticket, name: ConsumerName, to: PositionMove },
    /// The operator says that the wall clock is right.
    AcceptClock { ticket: Ticket },
    /// Close all feeds and say so to the peers; appends go on until they are answered.
    Stop { ticket: Ticket },
}

/// A step of a consumer that is read past the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionMove {
    /// The position that it had when its page was read: if the operator moved or removed it since, that counts.
    pub from: Option<u64>,
    pub seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindTo {
    Earliest,
    /// The sender's seq.
    Seq(u64),
}
