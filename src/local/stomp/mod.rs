//! The client of a broker that speaks STOMP 1.2: `frame` has its bytes, `connection` the handshake, heartbeats and
//! subscriptions, `fault` what goes wrong, in words. It never connects again by itself, and sends nothing but
//! subscriptions and acknowledgements.

pub(crate) mod connection;
pub(crate) mod fault;
pub(crate) mod frame;
