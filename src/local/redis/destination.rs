//! A queue that a bot of IntelMQ reads. Events and the place in the journal that they reach are written in one
//! transaction, so that a crash at any point neither loses nor repeats one. It is guarded by `WATCH`: a transaction
//! that an older connection had still on its way, or another node with the same name, makes ours fail
//! rather than double. Which events are pushed, and what is skipped after a crash, is the caller's.

use std::fmt;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::connection::Connection;
use super::fault::RedisFault;
use crate::identity::{Check, LogId, PublisherName};
use crate::record::ConsumerName;
use crate::wire::Mark;

/// How far a consumer has got, as it stands in Redis beside its queue: `LOG_ID SEQ CHECK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub log_id: LogId,
    pub mark: Mark,
}

impl Marker {
    /// `None` for whatever we did not write.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(' ');
        let (log_id, seq, check) = (parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let log_id = LogId(hex(log_id)?.try_into().ok()?);
        let mark = Mark { seq: seq.parse().ok()?, check: Check(hex(check)?.try_into().ok()?) };
        parts.next().is_none().then_some(Self { log_id, mark })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.log_id, self.mark.seq, self.mark.check)
    }
}

/// What a queue looks like before a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub marker: Option<Marker>,
    /// Elements in the queue.
    pub holds: u64,
}

pub struct DestinationQueue {
    queue: String,
    /// Where the place is kept: `intelmesh:NODE:CONSUMER:position`.
    key: String,
}

impl DestinationQueue {
    pub fn new(queue: &str, node: &PublisherName, consumer: &ConsumerName) -> Self {
        Self { queue: queue.to_owned(), key: format!("intelmesh:{node}:{consumer}:position") }
    }

    /// Looks at queue and place; from then on a change of the place by anybody makes the next push fail.
    pub async fn look(&self, connection: &mut Connection) -> Result<Look, RedisFault> {
        let mut look = Pipeline::new();
        look.cmd("WATCH").arg(&self.key).ignore().cmd("GET").arg(&self.key).cmd("LLEN").arg(&self.queue);
        let (text, holds): (Option<Vec<u8>>, u64) = connection.pipeline(&look, Duration::ZERO).await?;
        Ok(Look { marker: text.as_deref().and_then(Marker::parse), holds })
    }

    /// Pushes `events` in their order and moves the place behind them; false where the place changed since the
    /// last look: then nothing was done.
    pub async fn push(
        &self,
        events: &[Vec<u8>],
        reached: &Marker,
        connection: &mut Connection,
    ) -> Result<bool, RedisFault> {
        let mut push = Pipeline::new();
        push.atomic();
        if !events.is_empty() {
            push.cmd("LPUSH").arg(&self.queue);
            for event in events {
                push.arg(event.as_slice());
            }
        }
        push.cmd("SET").arg(&self.key).arg(reached.to_string());
        let done: Value = connection.pipeline(&push, Duration::ZERO).await?;
        Ok(done != Value::Nil)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is_one() {
        let mark = Mark { seq: u64::MAX, check: Check([0xab; 8]) };
        let marker = Marker { log_id: LogId([7; 16]), mark };
        let text = marker.to_string();
        assert_eq!(text, format!("{} 18446744073709551615 abababababababab", "07".repeat(16)));
        assert_eq!(Marker::parse(text.as_bytes()), Some(marker));
        for bad in ["", "x", "07 1 ab", &text[1..], &format!("{text} 1"), &text.replace("ab", "AB")] {
            assert_eq!(Marker::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Marker::parse(&[0xff]), None);
    }
}
