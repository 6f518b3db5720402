//! The door from a queue: takes elements as a bot does, and acknowledges each only once the node has it on disk, or
//! has set it aside. A crash between the two brings it again, which its id shows. It knows neither what an event
//! is nor how Redis is spoken to.

pub(crate) mod source;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use crate::limits::{ASIDE_ELEMENT_BYTES_MAX, RECEIVER_FIRST_MS, RECEIVER_MAX_MS};
use crate::local::framing::HEAD_BYTES;
use crate::local::framing::SocketLine;
use crate::local::pause::GrowingPause;
use crate::local::redis::QueuePlace;
use crate::local::redis::connection::{RedisConnection, RedisServer};
use crate::local::redis::fault::RedisFault;
use source::{QueueElement, SourceQueue};

struct QueueDoor {
    server: RedisServer,
    queue: SourceQueue,
    door: Arc<SubmitDoor>,
    /// The sender of an element waits for no answer: this never fires.
    gone: CancellationToken,
}

/// The outcome of a batch.
enum RedisBatch {
    Settled,
    /// The node stops, and elements that are not settled stay in flight.
    Stopping,
}

impl SubmitOpener for QueuePlace {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let queue = SourceQueue::new(&self.queue);
        let gone = CancellationToken::new();
        door.tasks.spawn(QueueDoor { server: self.server, queue, door: door.clone(), gone }.run());
    }
}

impl QueueDoor {
    /// Connects, and again if the connection ends, until the node stops.
    async fn run(mut self) {
        let stopping = self.door.stopping.clone();
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, RECEIVER_MAX_MS);
        while let Some(opened) = stopping.run_until_cancelled(RedisConnection::open(&self.server)).await {
            let fault = match opened {
                Err(fault) => fault,
                Ok(mut connection) => {
                    self.door.counters.came();
                    let ended = self.take(&mut connection, &mut pause).await;
                    self.door.counters.went();
                    match ended {
                        Ok(()) => return,
                        Err(fault) => fault,
                    }
                }
            };
            self.door.counters.unreachable(fault.told());
            self.queue.forget_sizes();
            if stopping.run_until_cancelled(tokio::time::sleep(pause.next())).await.is_none() {
                return;
            }
        }
    }

    /// Takes elements until the connection breaks (an error) or the node stops. Elements that an earlier run left come
    /// first, so that acknowledgements take the right ones.
    async fn take(
        &mut self,
        connection: &mut RedisConnection,
        pause: &mut GrowingPause,
    ) -> Result<(), RedisFault> {
        let stopping = self.door.stopping.clone();
        let mut left_over = true;
        loop {
            let batch = async {
                if left_over {
                    self.queue.left_over(connection).await
                } else {
                    self.queue.next(connection).await
                }
            };
            let Some(batch) = stopping.run_until_cancelled(batch).await else { return Ok(()) };
            let batch = batch?;
            // The server does what is asked of it.
            pause.reset();
            self.door.counters.well();
            left_over &= !batch.is_empty();
            if let RedisBatch::Stopping = self.settle(&batch, connection).await? {
                return Ok(());
            }
        }
    }

    async fn settle(
        &self,
        batch: &[QueueElement],
        connection: &mut RedisConnection,
    ) -> Result<RedisBatch, RedisFault> {
        let lines = batch.iter().map(SocketLine::of).collect();
        let Some(prepared) = self.door.submitter.prepare(lines).await else {
            return Ok(RedisBatch::Stopping);
        };
        let mut submissions = Vec::with_capacity(batch.len());
        for prepared in prepared {
            submissions.push(self.door.submitter.submit(prepared).await);
        }
        let mut done = 0;
        for (element, submission) in batch.iter().zip(submissions) {
            // The bot that left it there has it no more.
            let settled = if element.len() > ASIDE_ELEMENT_BYTES_MAX {
                let head = element.slice(..HEAD_BYTES);
                self.door.set_aside_long(element.len() as u64, &head, &self.gone).await
            } else {
                self.door.settle(element, submission.outcome().await, &self.gone).await.is_some()
            };
            if !settled {
                break;
            }
            done += 1;
        }
        self.queue.acknowledge(&batch[..done], connection).await?;
        Ok(if done == batch.len() { RedisBatch::Settled } else { RedisBatch::Stopping })
    }
}
