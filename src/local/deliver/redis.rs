//! The door to a queue. It pushes the events that it is given while the queue is short, and pauses when it is not: a
//! queue that no bot reads would fill Redis. The driver decides which events those are, and in which form.

pub(crate) mod destination;

use std::sync::Arc;

use super::marker::HandedMark;
use super::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::limits::{REDIS_FULL_FIRST_MS, REDIS_FULL_MAX_MS};
use crate::local::counters::ConsumerCounters;
use crate::local::pause::GrowingPause;
use crate::local::redis::connection::{RedisConnection, RedisServer};
use crate::local::redis::fault::RedisFault;
use destination::{DestinationQueue, QueueLook};

pub(crate) struct QueueReceiver {
    server: RedisServer,
    queue: DestinationQueue,
    /// Longer the queue does not get by us.
    queue_max: u64,
    counters: Arc<ConsumerCounters>,
    connection: Option<RedisConnection>,
    /// The place beside the queue when we last looked or wrote.
    taken: Option<HandedMark>,
    /// The pauses while there is no room.
    pause: GrowingPause,
}

impl QueueReceiver {
    pub(crate) fn new(
        server: RedisServer,
        queue: DestinationQueue,
        queue_max: u64,
        counters: Arc<ConsumerCounters>,
    ) -> Self {
        let pause = GrowingPause::new(REDIS_FULL_FIRST_MS, REDIS_FULL_MAX_MS);
        Self { server, queue, queue_max, counters, connection: None, taken: None, pause }
    }

    async fn look(&mut self) -> Result<QueueLook, RedisFault> {
        let address = || self.server.address.to_string();
        let lost =
            || RedisFault::Unreachable { address: address(), error: std::io::ErrorKind::NotConnected.into() };
        self.queue.look(self.connection.as_mut().ok_or_else(lost)?).await
    }

    /// Checks that the place beside the queue is the one that we wrote last.
    fn check_place(&self, found: Option<HandedMark>) -> Result<(), RedisFault> {
        match (self.taken, found) {
            (ours, found) if ours == found => Ok(()),
            (Some(_), None) => Err(RedisFault::Emptied),
            (Some(ours), Some(found)) if found.log_id == ours.log_id && found.is_before(ours) => {
                Err(RedisFault::Older { ours: ours.mark.seq, found: found.mark.seq })
            }
            _ => Err(RedisFault::Moved),
        }
    }

    /// Returns how many more the queue takes now.
    async fn room(&mut self) -> Result<usize, RedisFault> {
        let look = self.look().await?;
        self.check_place(look.taken)?;
        // Near the bound it may go either way with each event: that is not worth a word each time.
        if look.holds <= self.queue_max - self.queue_max / 10 {
            self.counters.held(None);
        }
        let room = self.queue_max.saturating_sub(look.holds);
        if room == 0 {
            self.hold(|queue_max, queue| {
                format!("queue \"{queue}\" holds {}, at most {queue_max}", look.holds)
            });
        }
        Ok(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Logs why it waits, once.
    fn hold(&self, why: impl FnOnce(u64, &str) -> String) {
        if !self.counters.is_held() {
            self.counters.held(Some(why(self.queue_max, self.queue.name())));
        }
    }

    /// Pushes the first of `events`, as many as there is room for. If there is none, it pauses and pushes nothing.
    async fn push(&mut self, events: &[PreparedLine]) -> Result<usize, RedisFault> {
        let count = self.room().await?.min(events.len());
        if count > 0 {
            let events = &events[..count];
            let lines: Vec<&[u8]> = events.iter().map(|made| made.line.as_slice()).collect();
            let reached = events.iter().rev().find_map(|made| made.mark);
            match self.push_now(&lines, reached).await {
                Err(full) if full.is_full() => self.hold(|_, _| full.told()),
                pushed => {
                    self.pause.reset();
                    return pushed.map(|()| count);
                }
            }
        }
        tokio::time::sleep(self.pause.next()).await;
        Ok(0)
    }

    async fn push_now(&mut self, lines: &[&[u8]], reached: Option<HandedMark>) -> Result<(), RedisFault> {
        let Some(connection) = self.connection.as_mut() else { return Err(RedisFault::Moved) };
        if !self.queue.push(lines, reached, connection).await? {
            return Err(RedisFault::Moved);
        }
        if reached.is_some() {
            self.taken = reached;
        }
        Ok(())
    }
}

impl DeliveryTarget for QueueReceiver {
    // Both are written in one transaction.
    const KEEPS_PLACE: bool = true;

    async fn connect(&mut self) -> Result<(), ReceiverError> {
        self.connection = None;
        self.connection = Some(RedisConnection::open(&self.server).await?);
        Ok(())
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        self.taken = self.look().await?.taken;
        Ok(self.taken)
    }

    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        Ok(self.push(lines).await?)
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        let taken = self.look().await?.taken;
        self.check_place(taken)?;
        Ok(self.push_now(&[], Some(mark)).await?)
    }

    async fn idle(&mut self) -> ReceiverError {
        // Nothing waits to be handed over.
        self.counters.held(None);
        match &mut self.connection {
            Some(connection) => connection.ended().await.into(),
            None => ReceiverError::Closed,
        }
    }

    fn unfit(&self, _: &[u8]) -> Option<String> {
        None
    }
}
