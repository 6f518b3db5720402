//! The doors to IntelMQ and Redis, tested with their real programs.

mod accepts;
mod flow;
mod outputs;
mod poison;
mod redis_doors;
mod returned;
mod tcp_doors;
mod walk;
