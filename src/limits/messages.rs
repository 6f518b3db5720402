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
