//! Pops a queue that IntelMQ fills, as IntelMQ's own pipeline does: an element moves from the right of `QUEUE` to the
//! left of `QUEUE-internal`, and is taken off the right of that once it is done with. Elements that a crash left there
//! are taken first. For throughput several are in flight; they are acknowledged in order. The caller decides what
//! becomes of an element.

use std::time::Duration;

use bytes::Bytes;
use redis::Pipeline;

use crate::limits::{
    REDIS_BATCH_BYTES, REDIS_BATCH_GROWTH, REDIS_BATCH_MAX, REDIS_POP_WAIT_MS, REDIS_STEP_MAX,
};
use crate::local::redis::connection::RedisConnection;
use crate::local::redis::fault::RedisFault;

/// One element of a list: any bytes.
pub(crate) type QueueElement = Bytes;

pub(crate) struct SourceQueue {
    queue: String,
    internal: String,
    moves: Moves,
    /// How many elements of the next batch may be in flight. Their size is known only once they are here.
    room: usize,
}

/// How elements are moved: commands that the server supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    /// `BLMOVE`, `LMOVE`: Redis 6.2 and later.
    Lmove,
    /// `BRPOPLPUSH`, `RPOPLPUSH`: before it, and deprecated since.
    Rpoplpush,
}

impl SourceQueue {
    pub(crate) fn new(queue: &str) -> Self {
        Self { queue: queue.to_owned(), internal: format!("{queue}-internal"), moves: Moves::Lmove, room: 1 }
    }

    /// Returns some elements that an earlier run moved and did not acknowledge, oldest first. Ask again once they are
    /// acknowledged. Empty if nothing is left.
    pub(crate) async fn left_over(
        &mut self,
        connection: &mut RedisConnection,
    ) -> Result<Vec<QueueElement>, RedisFault> {
        let mut batch: Vec<QueueElement> = Vec::new();
        while let Some(some) = self.step(&batch) {
            let from = batch.len() + some;
            let mut range = redis::cmd("LRANGE");
            range.arg(&self.internal).arg(-signed(from)).arg(-signed(batch.len()) - 1);
            let mut part: Vec<QueueElement> = connection.query(&range).await?;
            part.reverse();
            let was_all = part.len() < some;
            batch.extend(part);
            if was_all {
                break;
            }
        }
        self.measure(&batch);
        Ok(batch)
    }

    /// Moves the elements that are there, oldest first. Waits a moment for them, and returns none if nothing came.
    pub(crate) async fn next(
        &mut self,
        connection: &mut RedisConnection,
    ) -> Result<Vec<QueueElement>, RedisFault> {
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
        connection: &mut RedisConnection,
    ) -> Result<Vec<QueueElement>, RedisFault> {
        let wait = Duration::from_millis(REDIS_POP_WAIT_MS);
        let mut first = Pipeline::new();
        match moves {
            Moves::Lmove => first.cmd("BLMOVE").arg(&self.queue).arg(&self.internal).arg("RIGHT").arg("LEFT"),
            Moves::Rpoplpush => first.cmd("BRPOPLPUSH").arg(&self.queue).arg(&self.internal),
        };
        first.arg(wait.as_secs());
        first.cmd("LLEN").arg(&self.queue);
        let (popped, behind): (Option<QueueElement>, usize) = connection.pipeline(&first, wait).await?;
        let mut batch: Vec<QueueElement> = popped.into_iter().collect();
        let mut behind = if batch.is_empty() { 0 } else { behind };
        while let Some(some) = self.step(&batch).filter(|_| behind > 0) {
            let moved = self.move_more(moves, some.min(behind), connection).await?;
            behind = if moved.is_empty() { 0 } else { behind.saturating_sub(moved.len()) };
            batch.extend(moved);
        }
        self.measure(&batch);
        Ok(batch)
    }

    async fn move_more(
        &self,
        moves: Moves,
        count: usize,
        connection: &mut RedisConnection,
    ) -> Result<Vec<QueueElement>, RedisFault> {
        let mut more = Pipeline::with_capacity(count);
        for _ in 0..count {
            match moves {
                Moves::Lmove => {
                    more.cmd("LMOVE").arg(&self.queue).arg(&self.internal).arg("RIGHT").arg("LEFT")
                }
                Moves::Rpoplpush => more.cmd("RPOPLPUSH").arg(&self.queue).arg(&self.internal),
            };
        }
        let moved: Vec<Option<QueueElement>> = connection.pipeline(&more, Duration::ZERO).await?;
        Ok(moved.into_iter().flatten().collect())
    }

    /// Takes off `done`, the oldest in flight, which are done with. Each is removed by its value, so that no other
    /// element there is taken by mistake.
    ///
    /// # Errors
    /// Returns [`RedisFault::Shared`] if others were there, or took ours.
    pub(crate) async fn acknowledge(
        &self,
        done: &[QueueElement],
        connection: &mut RedisConnection,
    ) -> Result<(), RedisFault> {
        let Some(first) = done.first() else { return Ok(()) };
        let oldest = redis::cmd("LINDEX").arg(&self.internal).arg(-1).to_owned();
        if connection.query::<Option<QueueElement>>(&oldest).await?.as_ref() != Some(first) {
            return Err(RedisFault::Shared(self.internal.clone()));
        }
        let mut removals = Pipeline::with_capacity(done.len());
        for element in done {
            removals.cmd("LREM").arg(&self.internal).arg(-1).arg(element.as_ref());
        }
        let removed: Vec<u64> = connection.pipeline(&removals, Duration::ZERO).await?;
        if removed.contains(&0) {
            return Err(RedisFault::Shared(self.internal.clone()));
        }
        Ok(())
    }

    /// Returns how many elements may join `batch` now; `None` if it is full, or heavy enough.
    fn step(&self, batch: &[QueueElement]) -> Option<usize> {
        let bytes: usize = batch.iter().map(Bytes::len).sum();
        let more = self.room.saturating_sub(batch.len()).min(REDIS_STEP_MAX);
        (more > 0 && bytes < REDIS_BATCH_BYTES).then_some(more)
    }

    /// Grows gently, and falls at once: one small element does not show the size of those behind it.
    fn measure(&mut self, batch: &[QueueElement]) {
        if let Some(largest) = batch.iter().map(Bytes::len).max() {
            let by_weight = REDIS_BATCH_BYTES / largest.max(1);
            self.room = (self.room * REDIS_BATCH_GROWTH).min(by_weight).clamp(1, REDIS_BATCH_MAX);
        }
    }

    /// Begins with one element again, if something went wrong: perhaps there was too much.
    pub(crate) fn forget_sizes(&mut self) {
        self.room = 1;
    }
}

/// Places of a list, from its end.
fn signed(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
