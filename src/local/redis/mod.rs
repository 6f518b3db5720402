//! The client of Redis, for IntelMQ's queues as its own pipeline class uses them: lists, pushed left and popped right,
//! with `QUEUE-internal` for elements in flight. In reading order: `address` (where), `fault` (faults and their
//! fixes), `connection` (one connection, every answer with a deadline). The doors on both sides of it are
//! `submit::redis` and `deliver::redis`.
//!
//! One server and one reader of each queue: no cluster, no sentinel, as with IntelMQ itself.

mod address;
pub(crate) mod connection;
pub(crate) mod fault;

use crate::door::RedisQueue;

pub(crate) use address::{AddressFault, RedisAddress};
pub(crate) use connection::RedisServer;
pub(crate) use fault::RedisFault;

/// One queue and its server.
#[derive(Clone, Debug)]
pub(crate) struct QueuePlace {
    pub server: RedisServer,
    pub queue: String,
}

impl QueuePlace {
    /// # Errors
    /// Returns [`AddressFault`] if the URL is not one of a Redis.
    pub(crate) fn of(queue: &RedisQueue) -> Result<Self, AddressFault> {
        let RedisQueue { url, queue, password_file, ca_file, .. } = queue.clone();
        Ok(Self {
            server: RedisServer { address: RedisAddress::parse(&url)?, password_file, ca_file },
            queue,
        })
    }
}

/// Prints it as status shows it, without a password.
impl std::fmt::Display for QueuePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.server.address, self.queue)
    }
}

#[cfg(test)]
mod tests;
