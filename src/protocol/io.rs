//! Inputs and outputs of the core, one small enum for each adapter. Adapters obey outputs and answer with inputs; they
//! decide nothing. Every ticket is answered exactly once, unless said otherwise.

mod door;
mod event;
mod operator;
mod store;
mod transport;

use crate::envelope::VerifiedEnvelope;
use crate::protocol::intake::inspect::ToVerify;
use crate::protocol::intake::reject::Rejection;

pub(crate) use door::ConsumerClosed;
pub use door::{ConsumerRequest, DoorInput, DoorOutput, StartPosition, Submitted};
pub use event::Event;
pub(crate) use event::{EnvelopeOutcome, LossCause};
pub use operator::OperatorInput;
pub(crate) use operator::{CommandRefused, CoreCommand, PositionMove, RewindTo};
pub(crate) use store::StoreFailure;
pub use store::{Read, StoreInput, StoreOutput, StoreQuestion};
pub use transport::{DialFailure, TransportInput, TransportOutput};

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
    /// A connection of the pipeline.
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

/// Something that happened outside.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum Input {
    Transport(TransportInput),
    Store(StoreInput),
    /// The results of the workers, in the order asked (`intake::inspect`).
    Verified {
        ticket: Ticket,
        results: Vec<Result<VerifiedEnvelope, Rejection>>,
    },
    Door(DoorInput),
    Operator(OperatorInput),
}

/// Something to do outside.
#[derive(Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum Output {
    Transport(TransportOutput),
    Store(StoreOutput),
    Ask(StoreQuestion),
    /// Inspect each envelope (`intake::inspect`): signature by one of the keys, body, content id.
    Verify {
        ticket: Ticket,
        envelopes: Vec<ToVerify>,
    },
    Door(DoorOutput),
    /// Answers [`OperatorInput::Command`].
    CommandDone {
        ticket: Ticket,
        result: Result<(), CommandRefused>,
    },
    /// Something happened that the log and the counters should know.
    Event(Event),
}

/// Lifts an enum of one adapter to that of all.
macro_rules! lift {
    ($($part:ident => $all:ident::$variant:ident,)*) => {
        $(impl From<$part> for $all {
            fn from(part: $part) -> Self {
                Self::$variant(part)
            }
        })*
    };
}

lift! {
    TransportInput => Input::Transport,
    StoreInput => Input::Store,
    DoorInput => Input::Door,
    OperatorInput => Input::Operator,
    TransportOutput => Output::Transport,
    StoreOutput => Output::Store,
    StoreQuestion => Output::Ask,
    DoorOutput => Output::Door,
}
