//! One feed stream at work: reads frames and hands them over, writes what is queued, and says once that the
//! stream is closed. Reading and writing never wait for each other. The core interprets the frames.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use libp2p::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::feed::FeedStream;
use super::queue::{FeedQueue, QueueWork};
use crate::limits::{
    FEED_CLOSE_MS, FEED_DELIVERY_BYTES, FEED_DELIVERY_FRAMES, FEED_READ_BYTES, FEED_WRITE_BYTES,
};
use crate::protocol::io::{Input, StreamId, TransportInput};
use crate::wire::frame::{self, FrameDecoder, FrameError};
use crate::wire::{FaultCode, WireFrame};

const LAST_WORDS: Duration = Duration::from_millis(FEED_CLOSE_MS);

/// When a connection was last heard of, as a number that only grows: of two, the lower was silent longer.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamActivity {
    order: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
}

impl StreamActivity {
    /// For another connection, in the same order.
    pub(crate) fn fresh(&self) -> Self {
        let fresh = Self { order: Arc::clone(&self.order), heard: Arc::default() };
        fresh.touch();
        fresh
    }

    pub(crate) fn touch(&self) {
        self.heard.store(self.order.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

pub(super) struct StreamPump {
    pub id: StreamId,
    pub queue: Arc<FeedQueue>,
    pub answers: mpsc::Sender<Input>,
    pub activity: StreamActivity,
}

enum StreamReadEnd {
    Closed(String),
    BadFrame(FrameError),
}

enum Ended {
    Read(StreamReadEnd),
    Write(io::Result<()>),
    /// Cut, or the time for last words is over.
    Cut,
}

impl StreamPump {
    /// Runs the stream once the core has been told of it, to its end. [`TransportInput::FeedClosed`] is the last that
    /// the core hears of it, unless the core closed it.
    pub(crate) async fn run(self, stream: FeedStream, announced: oneshot::Receiver<()>) {
        if announced.await.is_err() {
            return;
        }
        let FeedStream { stream, token: _counted } = stream;
        let (read_half, write_half) = stream.split();
        let mut reading = pin!(self.read_until_closing(read_half));
        let mut writing = pin!(self.write(write_half));
        let ended = tokio::select! {
            () = self.queue.cut.cancelled() => Ended::Cut,
            end = &mut reading => Ended::Read(end),
            end = &mut writing => Ended::Write(end),
            () = self.last_words() => Ended::Cut,
        };
        match ended {
            Ended::Read(StreamReadEnd::BadFrame(error)) => {
                self.tell_closed(format!("the peer sent what is no frame: {error}")).await;
                let fault = WireFrame::Fault { code: FaultCode::Protocol.into(), detail: error.to_string() };
                let bytes = frame::encoded_len(&fault);
                self.queue.push(fault, bytes);
                self.queue.close();
                // Whether the peer still hears why is up to it.
                let _ = timeout(LAST_WORDS, writing).await;
            }
            Ended::Read(StreamReadEnd::Closed(cause)) => self.tell_closed(cause).await,
            Ended::Write(Ok(())) => {}
            Ended::Write(Err(error)) => {
                // A peer that closes says why just before: what it said may still be there to be read.
                let cause = match timeout(LAST_WORDS, reading).await {
                    Ok(StreamReadEnd::Closed(cause)) => cause,
                    _ => error.to_string(),
                };
                self.tell_closed(cause).await;
            }
            Ended::Cut => self.tell_closed("closed here".to_owned()).await,
        }
    }

    /// Ends a second after the core closed the stream or the connection went away.
    async fn last_words(&self) {
        tokio::select! {
            () = self.queue.closing.cancelled() => {}
            () = self.queue.gone.cancelled() => {}
        }
        sleep(LAST_WORDS).await;
    }

    async fn tell_closed(&self, cause: String) {
        if self.queue.closing.is_cancelled() {
            return;
        }
        let cause = self.queue.cause().unwrap_or(cause);
        // A core that is gone needs no answer.
        let _ =
            self.answers.send(Input::Transport(TransportInput::FeedClosed { stream: self.id, cause })).await;
    }

    async fn read_until_closing(&self, half: ReadHalf<Stream>) -> StreamReadEnd {
        tokio::select! {
            end = self.read(half) => end,
            // The core has forgotten the stream: it wants nothing more of it.
            () = self.queue.closing.cancelled() => std::future::pending().await,
        }
    }

    async fn read(&self, mut half: ReadHalf<Stream>) -> StreamReadEnd {
        let mut buffer = BytesMut::with_capacity(FEED_READ_BYTES);
        let mut decoder = FrameDecoder::default();
        let mut scratch = vec![0; FEED_READ_BYTES];
        loop {
            let (frames, end) = self.gather(&mut half, &mut buffer, &mut decoder, &mut scratch).await;
            if !frames.is_empty()
                && self
                    .answers
                    .send(Input::Transport(TransportInput::Frames { stream: self.id, frames }))
                    .await
                    .is_err()
            {
                return StreamReadEnd::Closed("the node stops".to_owned());
            }
            if let Some(end) = end {
                return end;
            }
            tokio::select! {
                () = self.queue.resumed.notified() => {}
                () = self.queue.gone.cancelled() => return StreamReadEnd::Closed("the connection is gone".to_owned()),
            }
        }
    }

    /// Frames for one delivery: waits for the first one, and for none after it. Also why there will be no more.
    async fn gather(
        &self,
        half: &mut ReadHalf<Stream>,
        buffer: &mut BytesMut,
        decoder: &mut FrameDecoder,
        scratch: &mut [u8],
    ) -> (Vec<WireFrame>, Option<StreamReadEnd>) {
        let mut frames = Vec::new();
        let mut bytes = 0;
        loop {
            while frames.len() < FEED_DELIVERY_FRAMES && bytes < FEED_DELIVERY_BYTES {
                let before = buffer.len();
                match decoder.decode(buffer) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(StreamReadEnd::BadFrame(error))),
                }
                bytes += before - buffer.len();
            }
            if frames.len() >= FEED_DELIVERY_FRAMES || bytes >= FEED_DELIVERY_BYTES {
                return (frames, None);
            }
            let read = match frames.is_empty() {
                true => half.read(scratch).await,
                false => match half.read(scratch).now_or_never() {
                    Some(read) => read,
                    None => return (frames, None),
                },
            };
            match read {
                Ok(0) => return (frames, Some(StreamReadEnd::Closed("the peer closed the feed".to_owned()))),
                Ok(len) => self.on_read(&scratch[..len], buffer),
                Err(error) => return (frames, Some(StreamReadEnd::Closed(error.to_string()))),
            }
        }
    }

    fn on_read(&self, bytes: &[u8], buffer: &mut BytesMut) {
        self.activity.touch();
        buffer.extend_from_slice(bytes);
    }

    /// Writes until the queue is done, then closes. Every write becomes one frame of yamux and one message of
    /// Noise, so small frames are collected (ten times the throughput at 1 KiB).
    async fn write(&self, mut half: WriteHalf<Stream>) -> io::Result<()> {
        let mut out = Vec::new();
        loop {
            let frames = match self.queue.take() {
                QueueWork::Frames(frames) => frames,
                QueueWork::Nothing => {
                    self.queue.work.notified().await;
                    continue;
                }
                QueueWork::Done => return half.close().await,
            };
            out.clear();
            frames.iter().for_each(|frame| frame::encode(frame, &mut out));
            half.write_all(&out).await?;
            if self.queue.is_empty() {
                half.flush().await?;
            }
            if !self.queue.closing.is_cancelled() {
                let _ = self
                    .answers
                    .send(Input::Transport(TransportInput::Sent { stream: self.id, bytes: out.len() }))
                    .await;
            }
            out.shrink_to(2 * FEED_WRITE_BYTES);
        }
    }
}
