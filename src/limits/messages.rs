//! Bounds of one line or message that becomes several events. Nothing is computed.

/// Events that one line with multiple values may become (IEP03); a door may allow fewer. Each of them has a
/// link to each other one.
pub const EXPLODED_EVENTS_MAX: usize = 256;

/// All events of one such line together, in bytes of JSON. Beyond it the line is refused.
pub const EXPLODED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// JSON values of one message of another format, and of all events that it becomes. A small value takes about 100 times
/// the memory of its text, so bytes alone would not bound it. Beyond it the message is not decoded; the largest
/// messages of the field have 50,000.
pub const MESSAGE_VALUES_MAX: usize = 128 * 1024;

/// Decoded messages that are kept for the filters of other peers and consumers, and their bytes. Beyond it the oldest
/// goes, and is decoded again if a filter asks for it.
pub const RECENT_MESSAGES_MAX: usize = 32;
pub const RECENT_MESSAGES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Interval of one event in a MISP feed, in ms. A shorter one makes many small events; a longer one makes files that are
/// written anew for each change.
pub const FEED_INTERVAL_MS_DEFAULT: u64 = 60 * 60 * 1_000;
pub const FEED_INTERVAL_MS_MIN: u64 = 60 * 1_000;
pub const FEED_INTERVAL_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Events stay in a MISP feed for so long after their last change, in ms: a later withdrawal finds no object there.
pub const FEED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Pause between two writes of a MISP feed at most, in ms: an event is in it at most 10 s after it came (CONTRACT.md §4).
pub const FEED_PAUSE_MAX_MS: u64 = 5_000;
