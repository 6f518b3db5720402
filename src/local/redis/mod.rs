//! The client of Redis, for IntelMQ's queues as its own pipeline class uses them: lists, pushed left and popped right,
//! with `QUEUE-internal` for elements in flight. In reading order: `address` (where), `tls`, `fault` (faults and their
//! fixes), `connection` (one connection, every answer with a deadline). The doors on both sides of it are
//! `submit::redis` and `deliver::redis`.
//!
//! One server and one reader of each queue: no cluster, no sentinel, as with IntelMQ itself.

mod address;
pub(crate) mod connection;
pub(crate) mod fault;
mod tls;

use std::path::PathBuf;

pub use address::{AddressFault, RedisAddress};
pub(crate) use connection::RedisServer;
pub use fault::RedisFault;

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
