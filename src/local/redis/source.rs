//! A queue that IntelMQ fills, popped as IntelMQ's own pipeline does: moved from the right of `QUEUE` to the left of
//! `QUEUE-internal`, and taken off the right of that once it is done with. What a crash left there is taken first.
//! For throughput several are in flight; they are acknowledged in order. What becomes of an element is the
//! caller's.

use std::time::Duration;

use bytes::Bytes;
use redis::Pipeline;

use super::connection::Connection;
use super::fault::RedisFault;
use crate::limits::{REDIS_BATCH_BYTES, REDIS_BATCH_MAX, REDIS_POP_WAIT_MS};

/// One element of a list: any bytes.
pub type Element = Bytes;

pub struct SourceQueue {
    queue: String,
    internal: String,
    moves: Moves,
    /// The largest element of the last batch, in bytes: how many of the next may be in flight.
    largest: usize,
}

/// How elements are moved: what the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    /// `BLMOVE`, `LMOVE`: Redis 6.2 and later.
    Lmove,
    /// `BRPOPLPUSH`, `RPOPLPUSH`: before it, and deprecated since.
    Rpoplpush,
}

impl SourceQueue {
    pub fn new(queue: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            internal: format!("{queue}-internal"),
            moves: Moves::Lmove,
            largest: REDIS_BATCH_BYTES,
        }
    }

    /// What an earlier run moved and did not acknowledge, oldest first, some of it: ask again once it is
    /// acknowledged. Empty where nothing is left.
    pub async fn left_over(&mut self, connection: &mut Connection) -> Result<Vec<Element>, RedisFault> {
        let some = -i64::try_from(self.room()).unwrap_or(1);
        let range = redis::cmd("LRANGE").arg(&self.internal).arg(some).arg(-1).to_owned();
        let mut batch: Vec<Element> = connection.query(&range).await?;
        batch.reverse();
        self.measure(&batch);
        Ok(batch)
    }

    /// Moves what is there, oldest first; waits a moment for it, and comes back empty where nothing came.
    pub async fn next(&mut self, connection: &mut Connection) -> Result<Vec<Element>, RedisFault> {
        match self.next_by(self.moves, connection).await {
            Err(fault) if fault.is_unknown_command() && self.moves == Moves::Lmove => {
                self.moves = Moves::Rpoplpush;
                self.next_by(self.moves, connection).await
            }
            batch => batch,
        }
    }

    async fn next_by(
        &mut self,
        moves: Moves,
        connection: &mut Connection,
    ) -> Result<Vec<Element>, RedisFault> {
        let wait = Duration::from_millis(REDIS_POP_WAIT_MS);
        let mut first = Pipeline::new();
        match moves {
            Moves::Lmove => first.cmd("BLMOVE").arg(&self.queue).arg(&self.internal).arg("RIGHT").arg("LEFT"),
            Moves::Rpoplpush => first.cmd("BRPOPLPUSH").arg(&self.queue).arg(&self.internal),
        };
        first.arg(wait.as_secs());
        first.cmd("LLEN").arg(&self.queue);
        let (popped, behind): (Option<Element>, usize) = connection.pipeline(&first, wait).await?;
        let mut batch: Vec<Element> = popped.into_iter().collect();
        let more = behind.min(self.room().saturating_sub(1));
        if more > 0 && !batch.is_empty() {
            self.largest = self.largest.max(batch.iter().map(Bytes::len).max().unwrap_or(0));
            batch.extend(self.move_more(moves, more.min(self.room()), connection).await?);
        }
        self.measure(&batch);
        Ok(batch)
    }

    async fn move_more(
        &self,
        moves: Moves,
        count: usize,
        connection: &mut Connection,
    ) -> Result<Vec<Element>, RedisFault> {
        let mut more = Pipeline::with_capacity(count);
        for _ in 0..count {
            match moves {
                Moves::Lmove => {
                    more.cmd("LMOVE").arg(&self.queue).arg(&self.internal).arg("RIGHT").arg("LEFT")
                }
                Moves::Rpoplpush => more.cmd("RPOPLPUSH").arg(&self.queue).arg(&self.internal),
            };
        }
        let moved: Vec<Option<Element>> = connection.pipeline(&more, Duration::ZERO).await?;
        Ok(moved.into_iter().flatten().collect())
    }

    /// The oldest in flight, which are `done`, are done with.
    ///
    /// # Errors
    /// [`RedisFault::Shared`] where others were there: they are put back.
    pub async fn acknowledge(&self, done: &[Element], connection: &mut Connection) -> Result<(), RedisFault> {
        if done.is_empty() {
            return Ok(());
        }
        let mut pops = Pipeline::with_capacity(done.len());
        for _ in done {
            pops.cmd("RPOP").arg(&self.internal);
        }
        let popped: Vec<Option<Element>> = connection.pipeline(&pops, Duration::ZERO).await?;
        let as_expected = popped.iter().zip(done).all(|(popped, done)| popped.as_ref() == Some(done));
        if as_expected && popped.len() == done.len() {
            return Ok(());
        }
        self.put_back(popped, done, connection).await?;
        Err(RedisFault::Shared(self.internal.clone()))
    }

    /// What was popped and is not ours goes back to where it was.
    async fn put_back(
        &self,
        popped: Vec<Option<Element>>,
        done: &[Element],
        connection: &mut Connection,
    ) -> Result<(), RedisFault> {
        let mut ours: Vec<&Element> = done.iter().collect();
        let mut others = Vec::new();
        for element in popped.into_iter().flatten() {
            match ours.iter().position(|mine| **mine == element) {
                Some(at) => drop(ours.swap_remove(at)),
                None => others.push(element),
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let mut push = redis::cmd("RPUSH");
        push.arg(&self.internal);
        for element in others.iter().rev() {
            push.arg(element.as_ref());
        }
        connection.query(&push).await
    }

    /// How many elements may be in flight.
    fn room(&self) -> usize {
        (REDIS_BATCH_BYTES / self.largest.max(1)).clamp(1, REDIS_BATCH_MAX)
    }

    fn measure(&mut self, batch: &[Element]) {
        if let Some(largest) = batch.iter().map(Bytes::len).max() {
            self.largest = largest;
        }
    }
}
