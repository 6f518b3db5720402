//! Reports of the transport, and orders to it. It decides nothing.

use super::{Role, StreamId};
use crate::identity::PublisherName;
use crate::wire::WireFrame;
use crate::wire::frame::encoded_len;

/// A report of the transport.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum TransportInput {
    /// The first connection to `peer` stands, in whichever direction it was dialled.
    Connected { peer: PublisherName, address: String },
    /// The last connection to `peer` is gone. Its streams were reported closed before.
    Disconnected { peer: PublisherName, cause: String },
    /// A dial failed; answers [`TransportOutput::Dial`] (which is otherwise answered by `Connected`).
    DialFailed { peer: PublisherName, failure: DialFailure },
    /// A feed stream stands. Answers [`TransportOutput::OpenFeed`], or the peer opened one.
    FeedOpened { peer: PublisherName, stream: StreamId, role: Role },
    /// [`TransportOutput::OpenFeed`] failed.
    FeedNotOpened { peer: PublisherName, cause: String },
    /// The frames read from `stream`: at least one. Nothing more is read until [`TransportOutput::Resume`].
    Frames { stream: StreamId, frames: Vec<WireFrame> },
    /// `bytes` sent on `stream` have left; [`SEND_QUEUE_BYTES`](crate::limits::SEND_QUEUE_BYTES) bounds the rest.
    Sent { stream: StreamId, bytes: usize },
    /// `stream` ended or broke, or its bytes were no frames. Not said of a stream closed by
    /// [`TransportOutput::CloseFeed`].
    FeedClosed { stream: StreamId, cause: String },
}

/// An order to the transport.
#[derive(Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum TransportOutput {
    /// Connect to `peer` at any of its configured addresses.
    Dial { peer: PublisherName },
    /// Close all connections to `peer` at once.
    Disconnect { peer: PublisherName },
    /// Open a feed stream to `peer`, as receiver.
    OpenFeed { peer: PublisherName },
    /// `bytes` is the size of `frame` on the wire: [`TransportInput::Sent`] reports it.
    Send { stream: StreamId, frame: WireFrame, bytes: usize },
    /// Go on reading `stream`.
    Resume { stream: StreamId },
    /// Send what was queued, then close `stream`. It is forgotten here already.
    CloseFeed { stream: StreamId },
}

impl TransportOutput {
    /// Sizes `frame`, which no other place does again on its way out.
    pub fn send(stream: StreamId, frame: WireFrame) -> Self {
        let bytes = encoded_len(&frame);
        Self::Send { stream, frame, bytes }
    }
}

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum DialFailure {
    /// No address answered; the last cause.
    Unreachable(String),
    /// Somebody with another key answers at `address`: `peer_key_changed`.
    OtherKey { address: String, key: String },
    /// We proved our key and were turned away: are we on their list?
    TurnedAway(String),
}
