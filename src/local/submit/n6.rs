//! The door from n6's stream: takes messages of a broker as they come, and acknowledges each only once the node has it on
//! disk, or has set it aside. The stream keeps nothing for those who are away: after each connection the door asks n6's
//! REST interface for the time between. Frames are `local::stomp`'s, and the questions are `rest`'s.

mod rest;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::asked::AskFault;
use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::pulled::PulledDir;
use super::submission::SubmissionOutcome;
use crate::door::N6Source;
use crate::format::{SubmitCode, SubmitError};
use crate::limits::{RECEIVER_FIRST_MS, RECEIVER_MAX_MS};
use crate::local::framing::{SocketLine, one_line};
use crate::local::http::HttpFault;
use crate::local::pause::GrowingPause;
use crate::local::stomp::connection::{StompConnection, StompServer};
use crate::local::stomp::fault::StompFault;
use crate::local::stomp::frame::StompFrame;
use rest::{N6Rest, RestWindow};

/// Messages of one subscription that are not acknowledged.
const PREFETCH: usize = 256;
/// Bytes of bodies after which a batch ends.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A batch ends if no further message comes for so long.
const BATCH_GAP: Duration = Duration::from_millis(100);
/// Without a message for so long, the door notes how far it is.
const IDLE: Duration = Duration::from_secs(5);
/// The place is written at most so often.
const PLACE_EVERY_S: i64 = 10;
/// Seconds before the end of the last connection that are asked for again: clocks differ, and messages wait at the broker.
const OVERLAP_S: i64 = 600;
const CURSOR: &str = "stream.json";

/// A `[[submit]]` from n6's stream, and its memory.
pub(crate) struct N6Stream {
    pub source: N6Source,
    pub pulled: PulledDir,
}

/// Everything until then was taken, in seconds of this node's clock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StreamPlace {
    url: String,
    destinations: Vec<String>,
    until: i64,
}

struct N6Door {
    stream: N6Stream,
    server: StompServer,
    door: Arc<SubmitDoor>,
    /// Nobody waits for an answer: this never fires.
    gone: CancellationToken,
    /// The time before this connection was asked for.
    is_caught_up: AtomicBool,
}

/// Messages that were read together.
struct MessageBatch {
    messages: Vec<StompFrame>,
    /// The broker had no more.
    is_drained: bool,
}

impl SubmitOpener for N6Stream {
    fn shown(&self) -> String {
        format!("{} {}", self.source.broker.url, self.source.destinations.join(" "))
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let N6Source { broker, login, password_file, ca_file, .. } = self.source.clone();
        let server = StompServer { broker, ca_file, login, password_file };
        let (door, gone) = (door.clone(), CancellationToken::new());
        let tasks = door.tasks.clone();
        let is_caught_up = AtomicBool::new(false);
        tasks.spawn(N6Door { stream: *self, server, door, gone, is_caught_up }.run());
    }
}

impl N6Door {
    /// Connects, and again if the connection ends, until the node stops.
    async fn run(self) {
        let stopping = self.door.stopping.clone();
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, RECEIVER_MAX_MS);
        loop {
            let opening = StompConnection::open(&self.server, &self.stream.source.destinations, PREFETCH);
            let ended = match stopping.run_until_cancelled(opening).await {
                None => return,
                Some(Err(fault)) => Err(fault),
                Some(Ok(mut connection)) => {
                    self.door.counters.came();
                    self.door.counters.well();
                    pause.reset();
                    let ended = self.work(&mut connection).await;
                    self.door.counters.went();
                    ended
                }
            };
            match ended {
                Ok(()) => return,
                Err(fault) => self.door.counters.unreachable(fault.told()),
            }
            if stopping.run_until_cancelled(tokio::time::sleep(pause.next())).await.is_none() {
                return;
            }
        }
    }

    /// Takes messages, and beside them what came while there was no connection. Ends with the connection (an error) or
    /// the node.
    async fn work(&self, connection: &mut StompConnection) -> Result<(), StompFault> {
        self.is_caught_up.store(false, Ordering::Relaxed);
        let began = self.now_s();
        tokio::select! {
            ended = self.take_messages(connection) => ended,
            () = self.catch_up(began) => Ok(()),
        }
    }

    async fn take_messages(&self, connection: &mut StompConnection) -> Result<(), StompFault> {
        let stopping = self.door.stopping.clone();
        let mut noted = 0;
        loop {
            let Some(batch) = stopping.run_until_cancelled(read_batch(connection)).await else {
                return Ok(());
            };
            let read_at = self.now_s();
            let batch = batch?;
            let bodies: Vec<Bytes> =
                batch.messages.iter().map(|message| one_line(message.body.to_vec())).collect();
            let settled = self.settle(&bodies).await;
            for message in &batch.messages[..settled] {
                if let Some(ack) = message.header("ack") {
                    connection.acknowledge(ack).await?;
                }
            }
            if settled < batch.messages.len() {
                return Ok(());
            }
            let is_caught_up = self.is_caught_up.load(Ordering::Relaxed);
            if settled > 0 && is_caught_up {
                self.door.counters.well();
            }
            let is_due = read_at >= noted + PLACE_EVERY_S;
            if batch.is_drained && is_due && is_caught_up {
                self.note_place(read_at);
                noted = read_at;
            }
        }
    }

    /// Submits all, then makes an end of each in order. Returns how many are settled: fewer if the node stops.
    async fn settle(&self, bodies: &[Bytes]) -> usize {
        let lines = bodies.iter().map(SocketLine::of).collect();
        let Some(prepared) = self.door.submitter.prepare(lines).await else { return 0 };
        let mut submissions = Vec::with_capacity(bodies.len());
        for prepared in prepared {
            submissions.push(self.door.submitter.submit(prepared).await);
        }
        for (done, (body, submission)) in bodies.iter().zip(submissions).enumerate() {
            let outcome = match submission.outcome().await {
                // An id of n6 is made of the observation. The stream and REST write one observation differently.
                SubmissionOutcome::Refused(error) if error.code == SubmitCode::IdConflict => {
                    self.door.counters.taken(true);
                    continue;
                }
                outcome => outcome,
            };
            if self.door.settle(body, outcome, &self.gone).await.is_none() {
                return done;
            }
        }
        bodies.len()
    }

    /// Takes what came between the last connection and `began`, and tries until it is done. Then it waits for ever.
    async fn catch_up(&self, began: i64) {
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, 6 * RECEIVER_MAX_MS);
        while let Err(what) = self.try_to_catch_up(began).await {
            self.door.counters.failed(what);
            tokio::time::sleep(pause.next()).await;
        }
        self.is_caught_up.store(true, Ordering::Relaxed);
        self.door.counters.well();
        std::future::pending().await
    }

    async fn try_to_catch_up(&self, began: i64) -> Result<(), String> {
        let source = &self.stream.source;
        let place = self.stream.pulled.read::<StreamPlace>(CURSOR);
        let place = place.map_err(|error| format!("{}: {error}", self.stream.pulled))?;
        let place = place.filter(|place| self.is_ours(place));
        let (Some(place), Some(url)) = (place, &source.rest_url) else { return Ok(()) };
        let rest = N6Rest::of(url, source).map_err(|fault| fault.told())?;
        for resource in source.resources() {
            let (mut from, mut to) = (place.until - OVERLAP_S, began);
            while from < began {
                let window = RestWindow { from, until: (to < began).then_some(to) };
                match rest.messages(resource, &window).await {
                    // Half of the time has about half of the messages.
                    Err(AskFault::Http(
                        HttpFault::TooLarge { .. } | HttpFault::Silent { .. } | HttpFault::Broken { .. },
                    )) if to - from > 1 => to = from + (to - from) / 2,
                    Err(fault) => return Err(fault.told()),
                    Ok(messages) => {
                        if self.settle(&messages).await < messages.len() {
                            return Err(SubmitError::stopping().message);
                        }
                        (from, to) = (to, began);
                    }
                }
            }
        }
        Ok(())
    }

    /// A place at another broker, or of other messages, says nothing.
    fn is_ours(&self, place: &StreamPlace) -> bool {
        let source = &self.stream.source;
        place.url == source.broker.url && place.destinations == source.destinations
    }

    fn note_place(&self, until: i64) {
        let N6Source { broker, destinations, .. } = self.stream.source.clone();
        let place = StreamPlace { url: broker.url, destinations, until };
        if let Err(error) = self.stream.pulled.write(CURSOR, &place) {
            self.door.counters.failed(format!("{}: {error}", self.stream.pulled));
        }
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.door.submitter.now().wall.0 / 1_000).unwrap_or(i64::MAX)
    }
}

/// Reads messages as long as they come one after the other. It may be given up: what was read then is not acknowledged.
async fn read_batch(connection: &mut StompConnection) -> Result<MessageBatch, StompFault> {
    let mut messages = Vec::new();
    let (mut wait, mut bytes) = (IDLE, 0);
    while messages.len() < PREFETCH && bytes < BATCH_BYTES_MAX {
        let Ok(frame) = tokio::time::timeout(wait, connection.next()).await else {
            connection.waited(wait)?;
            break;
        };
        let frame = frame?;
        if frame.command == "MESSAGE" {
            bytes += frame.body.len();
            messages.push(frame);
            wait = BATCH_GAP;
        }
    }
    // With half of its messages acknowledged, the broker would have sent more.
    let is_drained = messages.len() < PREFETCH / 2 && bytes < BATCH_BYTES_MAX;
    Ok(MessageBatch { messages, is_drained })
}
