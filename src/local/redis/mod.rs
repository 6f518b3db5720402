//! IntelMQ's queues in Redis, both ways, as its own pipeline class uses them: lists, pushed left and popped right,
//! with `QUEUE-internal` for what is in flight. In reading order: `address` (where), `tls`, `fault` (what can go
//! wrong, and what to do), `connection` (one connection, every answer with a deadline), `source` (pop and
//! acknowledge), `destination` (push and remember the place in one transaction).
//!
//! One server and one reader of each queue: no cluster, no sentinel, as with IntelMQ itself.

mod address;
mod connection;
mod destination;
mod fault;
mod source;
mod tls;

pub use address::{AddressFault, RedisAddress};
pub use fault::RedisFault;

#[cfg(test)]
mod tests;
