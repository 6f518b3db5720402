//! Bytes and answers that nobody should send: each door takes them without harm.

mod fail_closed;
mod fuzz;
mod messages;
mod peers;
