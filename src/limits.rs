//! Every bound of the node, with its unit in the name; `relations` asserts at compile time how they hang
//! together. No other module invents a number that a peer, a file or a socket could reach.

mod messages;
mod relations;
mod web;
pub use web::*;

pub use messages::*;

/// One line (frame, queue element) of local input. Longer is `too_large`. Fixed by the contract with
/// local pipelines.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Objects and arrays inside each other in a JSON body. Deeper is `too_deep`.
pub const JSON_DEPTH_MAX: usize = 64;

/// One key of a JSON object, unescaped. Longer is `too_large`: no pipeline of the field has longer ones.
pub const JSON_KEY_BYTES_MAX: usize = 4 * 1024;

/// A whole COSE_Sign1: one line, padded to the next power of two when sealed, and 64 KiB for the rest
/// of the signed core. Every node must agree (PROTOCOL.md §2).
pub const ENVELOPE_BYTES_MAX: usize = 2 * 1024 * 1024 + 64 * 1024;

/// Keys 64 to 127 of one core, in bytes of CBOR. All nodes must agree; more is a fault.
pub const EXTENSIONS_BYTES_MAX: usize = 8 * 1024;

/// The unprotected header of one envelope, in bytes of CBOR. All nodes must agree; more is a fault. A publisher
/// leaves room for it below [`ENVELOPE_BYTES_MAX`].
pub const UNPROTECTED_BYTES_MAX: usize = 8 * 1024;

/// One frame of a feed: an envelope, its hop path and the framing around them (PROTOCOL.md §4).
pub const FRAME_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 4 * 1024;

/// Maps and arrays inside each other in what a peer sends. Deeper is malformed.
pub const CBOR_DEPTH_MAX: usize = 16;

/// Nodes in a hop path. If there are more, the envelope is rejected: 32 hops are a loop, not a federation.
pub const PATH_HOPS_MAX: usize = 32;

/// `max_hops` of an envelope if its publisher says nothing.
pub const MAX_HOPS_DEFAULT: u8 = 16;

/// Bytes of a publisher's or project's name: `[a-z0-9][a-z0-9-]{0,31}`.
pub const NAME_BYTES_MAX: usize = 32;

/// Keys that one signature is tried with. Five of one publisher that agree in 8 bytes of their hashes take it 2^51
/// steps.
pub const CANDIDATE_KEYS_MAX: usize = 4;

/// Recipients named in `to` of one envelope.
pub const RECIPIENTS_MAX: usize = 256;

/// A sealed body is padded to a power of two, at least this many bytes: short events look alike.
pub const SEALED_BYTES_MIN: usize = 512;
/// … and at most this many: the longest line and the fields sealed beside it.
pub const SEALED_BYTES_MAX: usize = 2 * LINE_BYTES_MAX;
/// Bytes that one recipient costs in an envelope at most: its name and its wrapped key.
pub const RECIPIENT_BYTES_MAX: usize = NAME_BYTES_MAX + 2 + 102;

/// Sealed bodies of one batch that are opened at the hand-off; if there are more, they are opened on a worker. Each
/// takes about 0.1 ms.
pub const OPEN_HERE_MAX: usize = 2;

/// Links of one envelope.
pub const LINKS_MAX: usize = 256;

/// An opaque id that a link points at (`CESNET-RT#2235`), in bytes.
pub const LINK_OPAQUE_BYTES_MAX: usize = 256;

/// Events of one recalled lineage: one and four ancestors. A child of a deeper ancestry is refused (decisions/0014).
pub const LINEAGE_MAX: usize = 5;

/// Ancestors of an event that was handed off and is published again (decisions/0014), itself counted.
pub const REPUBLISH_ANCESTORS_MAX: usize = 4;

/// Fields that a door strips, and the bytes of one such rule.
pub const STRIP_RULES_MAX: usize = 64;
pub const STRIP_RULE_BYTES_MAX: usize = 256;

/// Events of one `event trace` …
pub const TRACE_EVENTS_MAX: usize = 500;
/// … links between them …
pub const TRACE_LINKS_MAX: usize = 2_000;
/// … and links to one of them that are looked at, for each day of the index. It says what it left out.
pub const TRACE_NAMING_MAX: usize = 500;

/// Links that `event trace` follows at most from its start.
pub const TRACE_DEPTH_MAX: u8 = 64;

/// The last millisecond of the year 9999, the last that RFC 3339 can write. If a time is later, the envelope is
/// malformed.
pub const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// `ext` of one envelope, as JSON text.
pub const EXT_BYTES_MAX: usize = 32 * 1024;

/// Entries of one feed that are owed: passed by the cursor, still to be taken (decisions/0018). The window
/// that a receiver grants never exceeds what is free of these.
pub const OWED_PER_FEED_MAX: usize = 4_096;

/// So many of the owed places, in quarters, are for entries that wait for a time or a decision; the rest keeps the feed
/// going. Among them each reason and publisher has a share; if an entry finds no place, it is read again later.
pub const OWED_DEFERRED_QUARTERS: usize = 3;

/// Publishers of one feed for which the place is kept from which their deferred entries are read again; all others
/// share one.
pub const PUBLISHER_PLACES_MAX: usize = 64;

/// A feed is read again for deferred entries at the earliest after this, in ms …
pub const READ_AGAIN_MIN_MS: u64 = 5_000;
/// … and after this many times what the last time took, so that what is new never waits long for it.
pub const READ_AGAIN_REST: u64 = 8;

/// Entries that one peer was not given or did not take of which it is remembered why, for `event show`.
pub const EXCEPTIONS_PER_PEER_MAX: usize = 1_024;

/// Entries in order that a sender may have sent beyond the last acknowledged one.
pub const WINDOW_ENVELOPES_MAX: u32 = 4_096;

/// Bytes of frames in order that a sender may have sent beyond the last acknowledged one.
pub const WINDOW_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// A federation's name in HELLO and invitation, in bytes. Longer is a fault.
pub const FEDERATION_BYTES_MAX: usize = 64;

/// Program and version in HELLO, in bytes. Longer is a fault.
pub const SOFTWARE_BYTES_MAX: usize = 64;

/// Abilities named in HELLO, and the bytes of each. More is a fault.
pub const CAPABILITIES_MAX: usize = 32;
pub const CAPABILITY_BYTES_MAX: usize = 32;

/// Key statements in HELLO, and the bytes of each (also of the KEY frame). More is a fault.
pub const KEY_STATEMENTS_MAX: usize = 16;
pub const KEY_STATEMENT_BYTES_MAX: usize = 4 * 1024;
/// Statements learnt at once and not yet passed on; the rest is learnt when it is shown again.
pub const STATEMENTS_NEWS_MAX: usize = 256;
/// Keys that one statement names: those in use, and of those retired the newest that there is room for.
pub const STATED_KEYS_MAX: usize = 48;

/// All options of a SUBSCRIBE, in bytes of CBOR. Both sides must agree; more is a fault.
pub const SUBSCRIBE_OPTIONS_BYTES_MAX: usize = 4 * 1024;

/// A filter, of a file or a consumer, in bytes. Longer is a fault.
pub const FILTER_BYTES_MAX: usize = 4 * 1024;

/// Parts of a filter (names, constants, operators), how deep they are nested, and how deep its loops.
pub const FILTER_NODES_MAX: usize = 512;
pub const FILTER_DEPTH_MAX: usize = 40;
pub const FILTER_LOOPS_MAX: usize = 3;

/// Fields of an event in one list that a filter writes.
pub const FILTER_LIST_FIELDS_MAX: usize = 16;

/// The automaton of one pattern of a filter, in bytes.
pub const FILTER_PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A text that a filter puts together, in bytes. Longer fails.
pub const FILTER_TEXT_BYTES_MAX: usize = 4 * 1024;

/// Cost of one filter on one envelope at most: parts looked at, each times the KiB of the envelope. About 20 ms; all
/// parts of the largest filter over the largest envelope are within it. Beyond it the filter fails.
pub const FILTER_STEPS_MAX: u64 = 4 * 1024 * 1024;

/// Entries with a content id that a consumer's filter passed over, remembered for each connection: of a later one
/// with the same content it is known whether the consumer has it.
pub const PASSED_OVER_MAX: usize = 4_096;

/// Earlier entries with the same content that are named to a consumer, oldest first. If there are more, the consumer's
/// connection remembers which content it has had.
pub const TWINS_MAX: usize = 16;

/// The stack that a filter is read on, in bytes.
pub const FILTER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Files of `lists/` that are looked at for changes.
pub const LISTS_MAX: usize = 256;

/// Entries of one list in `lists/`, and bytes of its file.
pub const FILTER_LIST_ENTRIES_MAX: usize = 200_000;
pub const FILTER_LIST_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The words of a FAULT, in bytes. The encoder cuts what is longer; on the wire it is a fault itself.
pub const DETAIL_BYTES_MAX: usize = 256;

/// Older places that a receiver adds to its cursor, at doubling distances (PROTOCOL.md §5.2).
pub const CURSOR_MARKS_MAX: usize = 16;

/// WANTs of one feed that wait for their answer.
pub const WANTS_IN_FLIGHT_MAX: usize = 512;

/// How long a receiver waits for an eager copy before it answers a HAVE with a WANT, in ms.
pub const WANT_DELAY_MS: u64 = 100;

/// After this an entry that was asked for is asked of the next holder, in ms.
pub const IN_FLIGHT_EXPIRES_MS: u64 = 2_000;

/// A feed on which something was asked for and nothing is answered for this long is closed, in ms: longer than what may
/// be pushed before the answer takes on a slow line.
pub const ANSWER_LATE_MS: u64 = 300_000;

/// An entry that was offered and not taken for this long becomes owed on disk, so that the cursor can pass, in ms.
pub const OFFERED_HOLD_MS: u64 = 1_000;

/// A sender says SKIP after at most this many entries that are not for the peer …
pub const SKIP_SCANNED_MAX: u64 = 1_024;
/// … or after this time, in ms.
pub const SKIP_EVERY_MS: u64 = 1_000;

/// A sender says HEAD at least this often, in ms.
pub const HEAD_EVERY_MS: u64 = 10_000;

/// A feed without a frame for this long is closed and dialled again, in ms.
pub const FEED_SILENT_MS: u64 = 30_000;

/// How long an older stream of the same key has to answer before a second instance replaces it, in ms.
pub const CLONE_PROBE_MS: u64 = 5_000;

/// A second process with one key is told this long after it was refused last, in ms: twice the time after which a
/// silent feed is closed, so that the pause between two of its attempts does not end the warning.
pub const CLONE_SHOWN_MS: u64 = 2 * FEED_SILENT_MS;

/// An ACK leaves at most this long after the durable cursor moved, in ms.
pub const ACK_DELAY_MS: u64 = 100;

/// Reconnecting: the first delay and the largest, in ms, with full jitter between.
pub const RECONNECT_FIRST_MS: u64 = 1_000;
pub const RECONNECT_MAX_MS: u64 = 60_000;

/// Duplicates in a row after which a (peer, publisher) becomes lazy.
pub const LAZY_AFTER_DUPLICATES: u32 = 3;

/// Bytes that the core hands to the transport of one stream before it waits for room.
pub const SEND_QUEUE_BYTES: usize = 1024 * 1024;

/// Bytes of envelopes of one feed between decode and `Stored`. Beyond it the feed is not read.
pub const INTAKE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that one read of the journal returns at most (but always at least one entry).
pub const READ_BYTES: usize = 512 * 1024;

/// Journal appends that wait for their `Stored` at the same time: one being synced, one being filled.
pub const APPENDS_OUTSTANDING_MAX: usize = 2;

/// `created` this far ahead is accepted at once, in ms (clocks differ).
pub const CREATED_AHEAD_ACCEPTED_MS: u64 = 10 * 60 * 1000;
/// `created` up to this far ahead is owed until its time; beyond it is rejected, in ms.
pub const CREATED_AHEAD_OWED_MS: u64 = 24 * 60 * 60 * 1000;

/// A day, in ms: the unit of `keep_days`.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The seen set is kept this much longer than the journal, in ms.
pub const SEEN_BEYOND_JOURNAL_MS: u64 = DAY_MS;

/// Wall clock and steady time may differ this much before nothing expires any more, in ms.
pub const CLOCK_JUMP_MS: u64 = 60 * 60 * 1000;
/// Steady time may go ahead of the monotonic clock by this much since the wall clock was last confirmed, in ms …
pub const CLOCK_GAIN_MS: u64 = 10 * 60 * 1000;
/// … and by this much more for each day: cheap oscillators drift by seconds a day. Beyond it nothing expires.
pub const CLOCK_GAIN_DAILY_MS: u64 = 2 * 60 * 1000;
/// A peer's HELLO time within this of our wall clock confirms it, in ms.
pub const CLOCK_AGREES_MS: u64 = 10 * 60 * 1000;
/// Skew to a peer above this shows in status, in ms.
pub const CLOCK_SKEW_SHOWN_MS: u64 = 60 * 1000;

/// Proofs of equivocation kept for each publisher; further ones are counted.
pub const EQUIVOCATION_PROOFS_MAX: usize = 100;

/// Entries that can no longer be read here and are asked for again, until retention passes them. A broken sector takes
/// a few; of more the rest is missing.
pub const LOSSES_MAX: usize = 256;

/// Peers with a file in `peers/`.
pub const PEERS_MAX: usize = 1_024;

/// Groups with a file in `groups/`.
pub const GROUPS_MAX: usize = 256;

/// Named consumers with a kept position.
pub const CONSUMERS_MAX: usize = 1_024;

/// Strangers remembered for `status`; the one seen longest ago is forgotten first.
pub const STRANGERS_MAX: usize = 64;

/// A whole handshake, from the socket to the muxer, in ms. A silent or dripping socket goes after it.
pub const HANDSHAKE_MS: u64 = 5_000;

/// Closing a connection takes at most this, in ms; if something is still to be sent then, it is lost.
pub const CONNECTION_CLOSE_MS: u64 = 1_000;

/// A connection without a stream is closed after this, in ms.
pub const CONNECTION_IDLE_MS: u64 = 30_000;

/// Connections that stand to one peer: both may have dialled at once. One more replaces the one that was
/// silent longest.
pub const CONNECTIONS_PER_PEER_MAX: usize = 2;

/// Streams of one connection, both directions together, as yamux counts them.
pub const MUXER_STREAMS_MAX: usize = 32;

/// Feed streams that a peer may have open on one connection: one, and what a restart leaves behind.
pub const FEEDS_PER_CONNECTION_MAX: usize = 4;

/// When the core has closed a stream, its queue has this long to leave, in ms.
pub const FEED_CLOSE_MS: u64 = 1_000;

/// Frames, and bytes of frames, that are handed to the core at once.
pub const FEED_DELIVERY_FRAMES: usize = 256;
pub const FEED_DELIVERY_BYTES: usize = 256 * 1024;

/// One read of a feed stream, in bytes.
pub const FEED_READ_BYTES: usize = 32 * 1024;

/// Queued frames are collected up to this before they are written, in bytes: every write has the price of a
/// yamux frame and a Noise message.
pub const FEED_WRITE_BYTES: usize = 64 * 1024;

/// A stream with more than this many times [`SEND_QUEUE_BYTES`] waiting is cut: the core keeps to one.
pub const SEND_QUEUE_FACTOR: usize = 4;

/// Messages of the transport to the core that it has not sent yet. While it is full nothing new is taken from the
/// network.
pub const OUTBOX_MAX: usize = 1_024;

/// Orders of the core to the transport that wait: dial, disconnect, open a feed, for each peer.
pub const TRANSPORT_COMMANDS_MAX: usize = 4 * PEERS_MAX;

/// Addresses of one peer that are dialled; further ones are ignored.
pub const PEER_ADDRESSES_MAX: usize = 16;

/// Listening on an address has come up after this, or counts as failed, in ms.
pub const LISTEN_MS: u64 = 5_000;

/// Stopping the transport takes at most this, in ms: last frames, then the connections.
pub const TRANSPORT_STOP_MS: u64 = 2_000;

/// `peer check` waits this long for an address, in ms.
pub const PEER_CHECK_MS: u64 = 3_000;

/// Strangers' sockets in the handshake at once: all together, and of one network (/24, /48).
pub const DOOR_STRANGERS_PENDING_MAX: usize = 32;
pub const DOOR_PREFIX_PENDING_MAX: usize = 8;
/// Strangers' connections from one network: a second, and in a burst.
pub const DOOR_PREFIX_PER_SECOND: u64 = 2;
pub const DOOR_PREFIX_BURST: u64 = 10;

/// Sockets from addresses of peers in the handshake at once: all together, and from one address. Several
/// peers may sit behind one address, and so may strangers.
pub const DOOR_KNOWN_PENDING_MAX: usize = 512;
pub const DOOR_ADDRESS_PENDING_MAX: usize = 64;
/// Connections from one address of a peer: a second, and in a burst.
pub const DOOR_ADDRESS_PER_SECOND: u64 = 50;
pub const DOOR_ADDRESS_BURST: u64 = 100;

/// Networks and addresses with counted connections; full allowances are forgotten first.
pub const DOOR_BUCKETS_MAX: usize = 4_096;

/// Addresses remembered because an allowed key came from there; the oldest is forgotten first.
pub const DOOR_LEARNED_MAX: usize = 2 * PEERS_MAX;

/// Size of a journal segment, in bytes. Retention works in whole segments. A smaller `keep_bytes` makes smaller ones.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// One file of the operator's, in bytes: `intelmesh.toml` or a peer file. Longer is no such file.
pub const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Addresses of one peer, and of this node, in files and invitations.
pub const ADDRESSES_MAX: usize = 16;

/// Old names of one peer.
pub const ALIASES_MAX: usize = 16;

/// Publishers that one peer file ignores. An operator's list; beyond it the file is refused.
pub const IGNORED_MAX: usize = 256;

/// The least `keep_bytes`, in bytes: less holds nobody up for a moment.
pub const KEEP_BYTES_MIN: u64 = 1_000_000;

/// One address of an invitation, in bytes.
pub const INVITATION_ADDRESS_BYTES_MAX: usize = 255;

/// An invitation, in characters: names, two keys, a signature and 16 of the longest addresses fit.
pub const INVITATION_CHARS_MAX: usize = 8 * 1024;

/// A file of keys/, in bytes: a PEM of 32 bytes of key has 119.
pub const KEY_FILE_BYTES_MAX: usize = 4 * 1024;

/// Bytes that one door has set aside and nobody has seen to. Beyond it the door takes nothing more.
pub const ASIDE_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Connections to one TCP door at a time; one more replaces the one that was silent longest.
pub const TCP_CONNECTIONS_MAX: usize = 128;

/// KiB of events that one TCP door holds until they are answered, over all connections. Beyond it no more is read.
pub const TCP_HELD_KIB_MAX: u32 = 64 * 1024;

/// Bytes of `Ok` that a client may leave unread; after that it gets none, and is only read.
pub const ANSWERS_UNREAD_BYTES_MAX: usize = 64 * 1024;

/// A door tries again after this if the answer was `retry`, in ms.
pub const DOOR_RETRY_MS: u64 = 1_000;

/// Reconnecting to a local receiver: the first delay and the largest, in ms, with full jitter between.
pub const RECEIVER_FIRST_MS: u64 = 200;
pub const RECEIVER_MAX_MS: u64 = 10_000;

/// Connecting to a local receiver takes at most this, in ms: as long as IntelMQ's own bots wait. One that has not
/// answered for so long is waited for all the same, and said to be held.
pub const RECEIVER_PATIENCE_MS: u64 = 15_000;

/// A connection to a local receiver is probed after so many quiet seconds …
pub const RECEIVER_PROBE_S: u64 = 15;
/// … and ended if its machine has acknowledged nothing for this long, in ms.
pub const RECEIVER_DEAD_MS: u32 = 60_000;

/// Doors in `intelmesh.toml`, both ways together.
pub const DOORS_MAX: usize = 64;

/// Networks that may use one door of ours.
pub const ALLOWED_NETWORKS_MAX: usize = 64;

/// Bytes that end an event at a door without lengths.
pub const SEPARATOR_BYTES_MAX: usize = 8;

/// Connections to one local socket at a time; the next waits to be accepted.
pub const DOOR_CONNECTIONS_MAX: usize = 64;

/// Lines of one submitting connection that are read and not yet answered. Beyond it no more is read.
pub const SUBMIT_LINES_OUTSTANDING_MAX: usize = 1_024;

/// KiB of submitted lines, over all connections, that the core has not answered yet.
pub const SUBMIT_KIB_OUTSTANDING_MAX: u32 = 32 * 1024;

/// Lines that are read, checked and signed in one go …
pub const SUBMIT_BATCH_LINES_MAX: usize = 256;
/// … or bytes of them.
pub const SUBMIT_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A consumer's request, or one of its acknowledgements, in bytes.
pub const CONSUMER_LINE_BYTES_MAX: usize = 64 * 1024;

/// Runs of consecutive seqs that a connection remembers to understand `ack_lines`. Beyond it nothing more
/// is handed to it before it acknowledges.
pub const UNACKED_RUNS_MAX: usize = 65_536;

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

/// An element of a queue that is set aside whole, in bytes: nobody else has it. Of a longer one the beginning is kept.
pub const ASIDE_ELEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to a Redis that is not used is tried after this, in ms.
pub const REDIS_QUIET_MS: u64 = 20_000;

/// How long a full queue is left alone before it is looked at again: at first, and at most, in ms.
pub const REDIS_FULL_FIRST_MS: u64 = 50;
pub const REDIS_FULL_MAX_MS: u64 = 1_000;

/// An event as a door hands it to IntelMQ, in bytes: a line with longer field names, and with fields that were added.
/// If it is larger, the event is set aside.
pub const HANDED_BYTES_MAX: usize = 4 * LINE_BYTES_MAX;

/// A receiver's `harmonization.conf`, in bytes; IntelMQ's own has 24 KB. Longer is an error of the operator's.
pub const HARMONIZATION_BYTES_MAX: u64 = 1024 * 1024;
/// Fields in one list of it …
pub const HARMONIZATION_FIELDS_MAX: usize = 4_096;
/// … and bytes of memory that one compiled pattern of it may take.
pub const HARMONIZATION_PATTERN_BYTES_MAX: usize = 256 * 1024;

/// Digits of an integer that Python reads: `sys.int_info` of all versions since 3.11. An event with a longer one
/// stops a bot for good.
pub const PYTHON_INT_DIGITS_MAX: usize = 4_300;

/// Levels at which fields are looked for in an object; IntelMQ's own have 3.
pub const NESTED_FIELD_LEVELS_MAX: usize = 8;

/// Characters of a field's name in a reason.
pub const ADAPTED_NAME_CHARS_MAX: usize = 120;
