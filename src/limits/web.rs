//! The bounds of the HTTP door, and of `[metrics]`. What is beyond them is refused, or waits, before any work is done.

/// Connections to the HTTP door at a time; more wait in the socket.
pub const WEB_CONNECTIONS_MAX: usize = 512;

/// Those of one address (IPv6: one /64); one more is closed at once.
pub const WEB_CONNECTIONS_PER_ADDRESS_MAX: usize = WEB_CONNECTIONS_MAX / 2;

/// Requests of one client at a time, streams and long polls among them; one more is `rate_limited`.
pub const WEB_REQUESTS_PER_CLIENT_MAX: usize = 16;

/// The head of a request as hyper buffers it, in bytes. Beyond it the connection ends with a bare 431.
pub const WEB_BUFFER_BYTES: usize = 64 * 1024;

/// All headers of one request, and its path and query, in bytes. Longer is refused before anything is read.
pub const WEB_HEAD_BYTES_MAX: usize = 16 * 1024;
pub const WEB_URI_BYTES_MAX: usize = 16 * 1024;

/// KiB of bodies that the HTTP door holds, over all connections. Beyond it requests wait.
pub const WEB_HELD_KIB_MAX: usize = 128 * 1024;

/// Those of one client: one that reads slowly must not take the room of all others.
pub const WEB_CLIENT_HELD_KIB_MAX: usize = 32 * 1024;

/// Consumers of one client with a kept position.
pub const CLIENT_CONSUMERS_MAX: usize = 16;

/// Threads that read the journal for HTTP clients: a part of those for what blocks.
pub const WEB_READERS_MAX: usize = 4;

/// Names of this node in `[web] names`.
pub const WEB_NAMES_MAX: usize = 16;

/// Events of one page …
pub const PAGE_LINES_MAX: usize = 1_000;
/// … and bytes, after which no other event is added …
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// … and envelopes that are looked at for it, in bytes: a page of a narrow filter may have fewer events than there are.
pub const PAGE_SCAN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// After so many ms a page with a filter ends where it is, and the client asks on.
pub(crate) const PAGE_WITHIN_MS: u64 = 500;

/// Envelopes that one request for counts looks at, in bytes.
pub const STATS_SCAN_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long a client may keep a full page, in s: a year, as good as for ever.
pub const PAGE_AGE_S: u64 = 31_536_000;

/// How long a request may wait for an event, in s.
pub const POLL_S_MAX: u64 = 60;

/// The body of one POST, in bytes, and the events in it.
pub const POST_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const POST_LINES_MAX: usize = 20_000;

/// Clients with a file in `clients/`.
pub const CLIENTS_MAX: usize = 1_024;

/// Connections to `[metrics]` at once; more wait. A scraper needs one.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
