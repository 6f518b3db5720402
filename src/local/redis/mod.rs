//! IntelMQ's queues in Redis, both ways, as its own pipeline class uses them: lists, pushed left and popped right,
//! with `QUEUE-internal` for elements in flight. In reading order: `address` (where), `tls`, `fault` (faults and their
//! fixes), `connection` (one connection, every answer with a deadline), `source` (pop and
//! acknowledge) and `submit` (the door from a queue), `destination` (push and remember the place in one transaction)
//! and `receiver` (the door to a queue).
//!
//! One server and one reader of each queue: no cluster, no sentinel, as with IntelMQ itself.

mod address;
mod connection;
mod destination;
mod fault;
mod receiver;
mod source;
mod submit;
mod tls;

use std::path::PathBuf;

pub use address::{AddressFault, RedisAddress};
pub(super) use connection::RedisServer;
pub(super) use destination::DestinationQueue;
pub use fault::RedisFault;
pub(super) use receiver::QueueReceiver;
pub(super) use submit::QueueDoor;

/// A queue of IntelMQ's, as configured.
#[derive(Clone, Debug)]
pub struct RedisQueue {
    pub url: String,
    /// The place in the configuration, for errors.
    pub place: String,
    pub queue: String,
    /// Holds the password, instead of the URL.
    pub password_file: Option<PathBuf>,
    /// Certificates that the server's is checked against, instead of this machine's.
    pub ca_file: Option<PathBuf>,
}

impl RedisQueue {
    pub(super) fn server(&self) -> Result<RedisServer, AddressFault> {
        let address = RedisAddress::parse(&self.url)?;
        Ok(RedisServer { address, password_file: self.password_file.clone(), ca_file: self.ca_file.clone() })
    }

    /// Returns it as status shows it, without a password.
    pub(super) fn shown(&self, server: &RedisServer) -> String {
        format!("{} {}", server.address, self.queue)
    }
}

#[cfg(test)]
mod tests;
