//! A queue that a bot of IntelMQ reads. Events and the place in the journal that they reach are written in one
//! transaction, so that a crash at any point neither loses nor repeats one. It is guarded by `WATCH`: a transaction
//! that an older connection had still on its way, or another node with the same name, makes ours fail rather than
//! double. The caller decides which events are pushed, and which are skipped after a crash.

use std::time::Duration;

use redis::{Pipeline, Value};

use crate::identity::PublisherName;
use crate::local::deliver::marker::HandedMark;
use crate::local::redis::connection::RedisConnection;
use crate::local::redis::fault::RedisFault;

/// The state of a queue before a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLook {
    /// The last event that was pushed, by the place beside the queue; `None` if we did not write it.
    pub taken: Option<HandedMark>,
    /// Elements in the queue.
    pub holds: u64,
}

pub(crate) struct DestinationQueue {
    queue: String,
    /// The key that holds the place: `intelmesh:NODE:CONSUMER:position`.
    key: String,
}

impl DestinationQueue {
    pub(crate) fn new(queue: &str, node: &PublisherName, consumer: &str) -> Self {
        Self { queue: queue.to_owned(), key: format!("intelmesh:{node}:{consumer}:position") }
    }

    pub(crate) fn name(&self) -> &str {
        &self.queue
    }

    /// Looks at queue and place; from then on a change of the place by anybody makes the next push fail.
    pub(crate) async fn look(&self, connection: &mut RedisConnection) -> Result<QueueLook, RedisFault> {
        let mut look = Pipeline::new();
        look.cmd("WATCH").arg(&self.key).ignore().cmd("GET").arg(&self.key).cmd("LLEN").arg(&self.queue);
        let (text, holds): (Option<Vec<u8>>, u64) = connection.pipeline(&look, Duration::ZERO).await?;
        Ok(QueueLook {
            taken: text.as_deref().and_then(|text| HandedMark::parse(std::str::from_utf8(text).ok()?)),
            holds,
        })
    }

    /// Pushes `events` in their order and moves the place behind them. Returns false, and does nothing, if the place
    /// changed since the last look. Without `reached` the place stays.
    pub(crate) async fn push(
        &self,
        events: &[&[u8]],
        reached: Option<HandedMark>,
        connection: &mut RedisConnection,
    ) -> Result<bool, RedisFault> {
        let mut push = Pipeline::new();
        push.atomic();
        if !events.is_empty() {
            push.cmd("LPUSH").arg(&self.queue).arg(events);
        }
        if let Some(HandedMark { log_id, mark, generation }) = reached {
            push.cmd("SET").arg(&self.key).arg(format!("{log_id} {} {} {generation}", mark.seq, mark.check));
        }
        if push.is_empty() {
            return Ok(true);
        }
        let done: Value = connection.pipeline(&push, Duration::ZERO).await?;
        Ok(done != Value::Nil)
    }
}
