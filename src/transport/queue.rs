//! Shared by the senders on a feed stream and the task that writes it: frames that wait, and the signals to
//! go on reading, to close, and to cut. Bounded in bytes; beyond it the stream is cut, for the
//! core never hands over that much.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::limits::{FEED_WRITE_BYTES, SEND_QUEUE_BYTES, SEND_QUEUE_FACTOR};
use crate::wire::WireFrame;

#[derive(Default)]
struct WaitingFrame {
    /// Each with its size on the wire.
    frames: VecDeque<(WireFrame, usize)>,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct FeedQueue {
    waiting: Mutex<WaitingFrame>,
    pub work: Notify,
    pub resumed: Notify,
    /// Queued frames still go out, then the stream is closed.
    pub closing: CancellationToken,
    /// The connection is gone: frames already read may still be handed over, but nothing is awaited any more.
    pub gone: CancellationToken,
    /// The stream ends now.
    pub cut: CancellationToken,
    cause: OnceLock<String>,
}

/// The next work of the writer.
pub(super) enum QueueWork {
    Frames(Vec<WireFrame>),
    Nothing,
    /// Nothing is left, and nothing will come.
    Done,
}

impl FeedQueue {
    fn waiting(&self) -> MutexGuard<'_, WaitingFrame> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, frame: WireFrame, len: usize) {
        let mut waiting = self.waiting();
        if waiting.bytes + len > SEND_QUEUE_FACTOR * SEND_QUEUE_BYTES {
            drop(waiting);
            return self
                .cut(format!("more than {SEND_QUEUE_FACTOR} x {SEND_QUEUE_BYTES} bytes wait to be sent"));
        }
        waiting.bytes += len;
        waiting.frames.push_back((frame, len));
        if waiting.frames.len() == 1 {
            self.work.notify_one();
        }
    }

    /// Takes what makes one good write: at least one frame, then as many as bring it over the least size.
    pub(crate) fn take(&self) -> QueueWork {
        let mut waiting = self.waiting();
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < FEED_WRITE_BYTES
            && let Some((frame, len)) = waiting.frames.pop_front()
        {
            bytes += len;
            frames.push(frame);
        }
        waiting.bytes -= bytes;
        match frames.is_empty() {
            false => QueueWork::Frames(frames),
            true if self.closing.is_cancelled() => QueueWork::Done,
            true => QueueWork::Nothing,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().frames.is_empty()
    }

    pub(crate) fn resume(&self) {
        self.resumed.notify_one();
    }

    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.work.notify_one();
    }

    /// The first cause is kept.
    pub(crate) fn cut(&self, cause: String) {
        let _ = self.cause.set(cause);
        self.cut.cancel();
    }

    pub(crate) fn connection_gone(&self, cause: &str) {
        let _ = self.cause.set(cause.to_owned());
        self.gone.cancel();
    }

    pub(crate) fn cause(&self) -> Option<String> {
        self.cause.get().cloned()
    }
}
