//! The way out on one stream: what was sent and has not left. What is sent is decided elsewhere.

use crate::protocol::context::CoreContext;
use crate::protocol::io::{StreamId, TransportOutput};
use crate::protocol::state::Traffic;
use crate::time::Tick;
use crate::wire::WireFrame;
use crate::wire::frame::encoded_len;

/// Returns `frame` as this node sends it, with its size on the wire. Nothing sizes it again on its way out.
pub(crate) fn sized(frame: WireFrame, context: &CoreContext) -> (WireFrame, usize) {
    let frame = context.config.dialect.spoken(frame);
    let bytes = encoded_len(&frame);
    (frame, bytes)
}

/// The way out on one stream: counts how much was sent and has not left yet.
#[derive(Debug)]
pub(crate) struct FeedPipe {
    pub stream: StreamId,
    queued: usize,
    room: usize,
    pub last_sent: Tick,
    /// SUBSCRIBE of a node that waits with it for the other HELLO.
    #[cfg(feature = "sim")]
    waiting: Option<WireFrame>,
}

impl FeedPipe {
    pub(crate) fn new(stream: StreamId, context: &CoreContext) -> Self {
        let room = context.config.bounds.send_queue_bytes;
        Self {
            stream,
            queued: 0,
            room,
            last_sent: context.tick(),
            #[cfg(feature = "sim")]
            waiting: None,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queued < self.room
    }

    pub(crate) fn send(&mut self, frame: WireFrame, context: &CoreContext, traffic: &mut Traffic) {
        self.send_sized(sized(frame, context), context, traffic);
    }

    pub(crate) fn send_sized(
        &mut self,
        (frame, bytes): (WireFrame, usize),
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        self.queued += bytes;
        self.last_sent = context.tick();
        traffic.emit(TransportOutput::Send { stream: self.stream, frame, bytes });
    }

    /// Sends SUBSCRIBE: at once, or after the other side's HELLO, which PROTOCOL.md §5.2 allows.
    pub(crate) fn subscribe(&mut self, frame: WireFrame, context: &CoreContext, traffic: &mut Traffic) {
        #[cfg(feature = "sim")]
        if context.config.dialect.is_successor() {
            self.waiting = Some(frame);
            return;
        }
        self.send(frame, context, traffic);
    }

    /// The other side's HELLO has come.
    pub(crate) fn greeted(&mut self, context: &CoreContext, traffic: &mut Traffic) {
        #[cfg(feature = "sim")]
        if let Some(frame) = self.waiting.take() {
            self.send(frame, context, traffic);
        }
        #[cfg(not(feature = "sim"))]
        let _ = (context, traffic);
    }

    pub(crate) fn left(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
    }
}
