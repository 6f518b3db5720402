//! A door that IntelMQ's TCP output takes for a TCP collector of IntelMQ's (3.5.0): it connects, sends an
//! event, waits for the two bytes `Ok`, and sends the same again until it gets them. They are written only
//! once the event is durable, and nothing else ever is. Many bots at once, each answered in its own order;
//! frames that come together are made durable together.
//!
//! Senders of lines seldom read answers. One that closes with answers unread resets the connection, and its kernel
//! throws away what it had not sent yet. So at a door with a separator `Ok` goes only to a sender that waits for it
//! (`turns`), and events from another are kept even when the node stops.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::submission::{Submission, SubmissionOutcome};
use super::turns::SubmitTurns;
use crate::door::TcpSource;
use crate::format::SubmitError;
use crate::limits::{
    ANSWERS_UNREAD_BYTES_MAX, DOOR_RETRY_MS, LINE_BYTES_MAX, SUBMIT_BATCH_BYTES_MAX, SUBMIT_BATCH_LINES_MAX,
    SUBMIT_LINES_OUTSTANDING_MAX, TCP_CONNECTIONS_MAX, TCP_HELD_KIB_MAX,
};
use crate::local::framing::TcpMessage;
use crate::local::framing::length::Lengths;
use crate::local::framing::reader::{FrameReader, Framing};
use crate::local::framing::separator::Separated;

const OK: &[u8; 2] = b"Ok";

/// Answers of one write: less than the smallest segment, so that none is cut in two.
const ANSWERS_BYTES: usize = 512;

/// Answers to a client that has gone are tried for this long.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// When the door ends, it reads on for this long if a sender waits for no answer: events may still be on their way. It
/// stops then even if more comes.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(300);

impl TcpSource {
    fn turns(&self) -> SubmitTurns {
        match (&self.separator, self.answers) {
            (_, false) => SubmitTurns::unanswered(),
            (None, true) => SubmitTurns::answered(),
            (Some(_), true) => SubmitTurns::unknown(),
        }
    }

    fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        if self.allow.is_empty() {
            from.is_loopback()
        } else {
            self.allow.iter().any(|net| net.contains(&from))
        }
    }
}

impl SubmitOpener for TcpSource {
    fn shown(&self) -> String {
        self.listen.to_string()
    }

    fn listens_on(&self) -> Option<SocketAddr> {
        Some(self.listen)
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, listening: Option<&Arc<Listening>>) {
        if let Some(listening) = listening {
            door.tasks.spawn(Arc::new(TcpDoor::new(*self, door.clone())).serve(listening.clone()));
        }
    }
}

/// The door, listening.
pub(crate) struct TcpDoor {
    place: TcpSource,
    door: Arc<SubmitDoor>,
    clients: Mutex<HashMap<u64, Client>>,
    held: Arc<Semaphore>,
}

/// A connection, as the others see it.
struct Client {
    /// In ms of the monotonic clock.
    heard: Arc<AtomicU64>,
    end: CancellationToken,
}

/// The place of an answer in the order of frames.
struct TcpSlot {
    frame: TcpMessage,
    submission: Submission,
    _held: OwnedSemaphorePermit,
}

type TcpReader = FrameReader<OwnedReadHalf>;

impl TcpDoor {
    pub(crate) fn new(place: TcpSource, door: Arc<SubmitDoor>) -> Self {
        let held = Arc::new(Semaphore::new(TCP_HELD_KIB_MAX as usize));
        Self { place, door, clients: Mutex::default(), held }
    }

    /// Listens as soon as the port is free, and accepts until the door ends. Until then the door is down.
    pub(crate) async fn serve(self: Arc<Self>, listening: Arc<Listening>) {
        let stopping = self.door.stopping.clone();
        let listener = loop {
            match listening.listener() {
                Ok(listener) => break listener,
                Err(error) => {
                    let what = format!("cannot listen on {}: {error}", listening.at);
                    self.door.counters.unreachable(what);
                }
            }
            let pause = tokio::time::sleep(Duration::from_millis(DOOR_RETRY_MS));
            if stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
        };
        self.door.counters.well();
        let mut next = 0;
        while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((_, from)) if !self.place.admits(from.ip()) => {
                    self.door.counters.failed(format!("{} is in no network of `allow`", from.ip()));
                }
                Ok((stream, _)) => {
                    next += 1;
                    let client = self.admit(next);
                    let shared = self.clone();
                    self.door.tasks.spawn(async move {
                        shared.door.counters.came();
                        shared.converse(stream, &client).await;
                        shared.door.counters.went();
                        shared.clients().remove(&next);
                    });
                }
                Err(error) => {
                    tracing::warn!(door = self.door.name, %error, "cannot accept");
                    crate::local::pace().await;
                }
            }
        }
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.door.submitter.now().tick.0
    }

    /// Makes room if it is needed: the client that was silent longest goes, and a bot just connects again.
    fn admit(&self, number: u64) -> Client {
        let end = self.door.stopping.child_token();
        let client = || Client { heard: Arc::new(AtomicU64::new(self.now_ms())), end: end.clone() };
        let mut clients = self.clients();
        while clients.len() >= TCP_CONNECTIONS_MAX {
            let silent = clients.iter().min_by_key(|(_, client)| client.heard.load(Ordering::Relaxed));
            let Some(number) = silent.map(|(number, _)| *number) else { break };
            if let Some(silent) = clients.remove(&number) {
                silent.end.cancel();
            }
        }
        let ours = client();
        clients.insert(number, Client { heard: ours.heard.clone(), end: ours.end.clone() });
        ours
    }

    async fn converse(&self, stream: TcpStream, client: &Client) {
        // Without it the second of two answers would wait for the client's acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let (reading, writing) = stream.into_split();
        let framing = match &self.place.separator {
            None => Framing::Length(Lengths::default()),
            Some(separator) => {
                let end = Bytes::copy_from_slice(separator.as_bytes());
                Framing::Separator(Separated::new(LINE_BYTES_MAX, end))
            }
        };
        let reader = FrameReader::new(reading, framing);
        let (slots, ordered) = mpsc::channel(SUBMIT_LINES_OUTSTANDING_MAX);
        let gone = CancellationToken::new();
        let turns = self.place.turns();
        let read = async {
            self.read(reader, slots, client, &turns).await;
            gone.cancel();
        };
        tokio::join!(read, self.answer(ordered, writing, &gone, &turns));
    }

    /// Returns the next frame; `None` when the node stops or makes room. A sender that waits for no answer sends
    /// nothing again: frames that it has sent are read before, for as long as `last` lasts, which begins with the end.
    async fn next_frame(
        reader: &mut TcpReader,
        client: &Client,
        turns: &SubmitTurns,
        last: &mut Option<Pin<Box<Sleep>>>,
    ) -> Option<io::Result<Option<TcpMessage>>> {
        match client.end.run_until_cancelled(reader.frame()).await {
            None if turns.waits_for_nothing() => {
                let last = last.get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_LINES_WITHIN)));
                tokio::select! {
                    // The time first: a sender that always has a next frame ends as well.
                    biased;
                    () = last.as_mut() => None,
                    read = reader.frame() => Some(read),
                }
            }
            read => read,
        }
    }

    /// Reads until the client's end, the node's, or the connection's: lines before that are submitted all the same.
    async fn read(
        &self,
        mut reader: TcpReader,
        slots: mpsc::Sender<TcpSlot>,
        client: &Client,
        turns: &SubmitTurns,
    ) {
        let mut last = None;
        loop {
            let first = match Self::next_frame(&mut reader, client, turns, &mut last).await {
                Some(Ok(Some(first))) => first,
                Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return self
                        .door
                        .counters
                        .failed("a client went inside an event: nothing of it was taken".into());
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset && turns.had_answers() => {
                    return self.door.counters.failed(
                        "a client closed with an Ok unread: what it had not sent by then is lost (answers = false sends none)"
                            .into(),
                    );
                }
                _ => return,
            };
            client.heard.store(self.now_ms(), Ordering::Relaxed);
            let frames = gathered(first, &mut reader);
            turns.read(frames.len() as u64, reader.is_ahead());
            if client.end.is_cancelled() && turns.waits_for_nothing() {
                // The core takes nothing more, and there is little time: they are only kept.
                for frame in frames {
                    let Some(_held) = self.hold(&frame).await else { return };
                    let submission = Submission::refused(SubmitError::stopping());
                    if slots.send(TcpSlot { frame, submission, _held }).await.is_err() {
                        return;
                    }
                }
                continue;
            }
            let Some(prepared) =
                self.door.submitter.prepare(frames.iter().map(TcpMessage::line).collect()).await
            else {
                return;
            };
            for (frame, prepared) in frames.into_iter().zip(prepared) {
                let Some(_held) = self.hold(&frame).await else { return };
                let submission = self.door.submitter.submit(prepared).await;
                if slots.send(TcpSlot { frame, submission, _held }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Waits for room for the kept bytes of a frame.
    async fn hold(&self, frame: &TcpMessage) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(frame.bytes().len() / 1024).unwrap_or(u32::MAX).saturating_add(1);
        self.held.clone().acquire_many_owned(kib.min(TCP_HELD_KIB_MAX)).await.ok()
    }

    /// Answers frames in their order. If one gets no answer, it is the last: the bot sends it again.
    async fn answer(
        &self,
        mut slots: mpsc::Receiver<TcpSlot>,
        writing: OwnedWriteHalf,
        gone: &CancellationToken,
        turns: &SubmitTurns,
    ) {
        let mut out = TcpAnswers { writing, bytes: Vec::new(), unread: false };
        let never = CancellationToken::new();
        loop {
            let mut slot = match slots.try_recv() {
                Ok(slot) => slot,
                Err(_) => match out.write_until(slots.recv()).await {
                    Some(slot) => slot,
                    None => break,
                },
            };
            let outcome = match slot.submission.at_once() {
                Some(outcome) => outcome,
                None => out.write_until(slot.submission.outcome()).await,
            };
            let TcpSlot { frame, _held, .. } = slot;
            // A sender that waits for no answer does not send it again either.
            let waits = if turns.waits_for_nothing() { &never } else { gone };
            if !out.write_until(self.settled(&frame, outcome, waits)).await {
                if turns.waits_for_nothing() {
                    return self.keep_rest(frame, slots).await;
                }
                slots.close();
                return;
            }
            let first = turns.first_answer_due();
            tokio::pin!(first);
            if out.write_until(first).await {
                out.push();
            }
            turns.answered_one();
        }
        let _ = tokio::time::timeout(LAST_ANSWERS_WITHIN, out.finish()).await;
    }

    /// Keeps, when the node stops, the rest from a sender that waits for nothing, many at once.
    async fn keep_rest(&self, first: TcpMessage, mut slots: mpsc::Receiver<TcpSlot>) {
        let mut kept = vec![first.bytes().clone()];
        let gone = CancellationToken::new();
        gone.cancel();
        loop {
            let bytes: usize = kept.iter().map(Bytes::len).sum();
            let room = kept.len() < SUBMIT_LINES_OUTSTANDING_MAX && bytes < SUBMIT_BATCH_BYTES_MAX;
            let next = if room { slots.try_recv().ok() } else { None };
            let slot = match next {
                Some(slot) => slot,
                None => {
                    if !kept.is_empty() {
                        self.door.keep_for_later(&kept).await;
                        kept.clear();
                    }
                    let Some(slot) = slots.recv().await else { return };
                    slot
                }
            };
            let TcpSlot { frame, submission, .. } = slot;
            match submission.outcome().await {
                SubmissionOutcome::Refused(error) if error.code.retry() => kept.push(frame.bytes().clone()),
                outcome => {
                    self.settled(&frame, outcome, &gone).await;
                }
            }
        }
    }

    async fn settled(
        &self,
        frame: &TcpMessage,
        outcome: SubmissionOutcome,
        gone: &CancellationToken,
    ) -> bool {
        match frame {
            TcpMessage::Whole(line) => self.door.settle(line, outcome, gone).await.is_some(),
            TcpMessage::TooLong { bytes, head } => self.door.set_aside_long(*bytes, head, gone).await,
        }
    }
}

/// Returns `first` and the frames that are there already behind it.
fn gathered(first: TcpMessage, reader: &mut TcpReader) -> Vec<TcpMessage> {
    let mut bytes = first.bytes().len();
    let mut frames = vec![first];
    while frames.len() < SUBMIT_BATCH_LINES_MAX && bytes < SUBMIT_BATCH_BYTES_MAX {
        let Some(frame) = reader.frame_at_hand() else { break };
        bytes += frame.bytes().len();
        frames.push(frame);
    }
    frames
}

/// The writing side. If a client reads no answers (`counterpart_is_intelmq: false`), it is not waited for.
struct TcpAnswers {
    writing: OwnedWriteHalf,
    bytes: Vec<u8>,
    /// It has left too many unread.
    unread: bool,
}

impl TcpAnswers {
    fn push(&mut self) {
        if self.unread {
            return;
        }
        self.bytes.extend_from_slice(OK);
        if self.bytes.len() > ANSWERS_UNREAD_BYTES_MAX {
            self.unread = true;
            self.bytes.clear();
        } else if self.bytes.len().is_multiple_of(ANSWERS_BYTES) {
            self.write();
        }
    }

    /// Writes as much as the socket takes now.
    fn write(&mut self) {
        while !self.bytes.is_empty() {
            let most = self.bytes.len().min(ANSWERS_BYTES);
            match self.writing.try_write(&self.bytes[..most]) {
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // It is gone: the lines that it sent are submitted all the same.
                    self.unread = true;
                    self.bytes.clear();
                }
            }
        }
    }

    /// Writes while it waits for `what`.
    async fn write_until<T>(&mut self, what: impl Future<Output = T>) -> T {
        self.write();
        tokio::pin!(what);
        loop {
            if self.bytes.is_empty() {
                return what.await;
            }
            tokio::select! {
                biased;
                done = &mut what => return done,
                _ = self.writing.writable() => self.write(),
            }
        }
    }

    async fn finish(&mut self) {
        self.write();
        while !self.bytes.is_empty() && self.writing.writable().await.is_ok() {
            self.write();
        }
    }
}
