//! Bounds of the doors that connect to servers: Redis, brokers and a MISP.

use super::LINE_BYTES_MAX;

/// A Redis has this long to take a connection and a login, in ms.
pub const REDIS_CONNECT_MS: u64 = 5_000;

/// A Redis has this long for an answer, in ms, beside what a command waits by itself.
pub const REDIS_ANSWER_MS: u64 = 10_000;

/// One pop waits this long for an element, in ms; then it is asked for again. Whole seconds: older servers know
/// no others.
pub const REDIS_POP_WAIT_MS: u64 = 5_000;

/// Elements of one queue that are moved, or pushed, in one go …
pub const REDIS_BATCH_MAX: usize = 256;
/// … or bytes of them, judged by the largest of the last batch; one element always goes.
pub const REDIS_BATCH_BYTES: usize = 1024 * 1024;
/// A batch has at most so many times what the last one was allowed …
pub const REDIS_BATCH_GROWTH: usize = 4;
/// … and comes in steps of so many elements, since none says beforehand how large it is.
pub const REDIS_STEP_MAX: usize = 32;

/// A connection to a Redis that is not used is tried after this, in ms.
pub const REDIS_QUIET_MS: u64 = 20_000;

/// How long a full queue is left alone before it is looked at again: at first, and at most, in ms.
pub const REDIS_FULL_FIRST_MS: u64 = 50;
pub const REDIS_FULL_MAX_MS: u64 = 1_000;

/// To connect to a broker over STOMP: TLS, login and subscriptions.
pub const STOMP_CONNECT_MS: u64 = 15_000;

/// Between two heartbeats of a connection over STOMP.
pub const STOMP_BEAT_MS: u64 = 10_000;

/// Messages that a broker may send before it grants a subscription, and the bytes of their bodies.
pub(crate) const STOMP_EARLY_MAX: usize = 4_096;
pub(crate) const STOMP_EARLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The command and the headers of a frame of STOMP.
pub const STOMP_HEAD_BYTES_MAX: usize = 64 * 1024;

/// The body of a frame of STOMP: more than a line may have, so that a longer one is set aside, and ends no connection.
pub const STOMP_BODY_BYTES_MAX: usize = 8 * LINE_BYTES_MAX;

/// Destinations of one door from a broker.
pub const DESTINATIONS_MAX: usize = 16;

/// Tags by which a door chooses events of a MISP.
pub const PULL_TAGS_MAX: usize = 64;
