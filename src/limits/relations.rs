//! Asserts how bounds hang together: if one did not hold, a peer would find it out. Nothing is computed.

use super::*;

const _: () = {
    assert!(
        ENVELOPE_BYTES_MAX >= 2 * LINE_BYTES_MAX + EXT_BYTES_MAX,
        "a sealed line is padded to twice its size"
    );
    assert!(
        ENVELOPE_BYTES_MAX > SEALED_BYTES_MAX + RECIPIENTS_MAX * RECIPIENT_BYTES_MAX + 1024,
        "what is sealed to the most recipients fits"
    );
    assert!(SEALED_BYTES_MIN.is_power_of_two() && SEALED_BYTES_MAX.is_power_of_two());
    assert!(
        FRAME_BYTES_MAX > ENVELOPE_BYTES_MAX + PATH_HOPS_MAX * (NAME_BYTES_MAX + 2),
        "a frame holds envelope and path"
    );
    assert!(EXPLODED_EVENTS_MAX - 1 <= LINKS_MAX, "the largest product has room for its links");
    assert!(LINEAGE_MAX > REPUBLISH_ANCESTORS_MAX, "a lineage that is too long can be seen");
    assert!(EXPLODED_EVENTS_MAX <= u16::MAX as usize, "a door's bound is a u16");
    assert!(WINDOW_BYTES_MAX as usize >= FRAME_BYTES_MAX, "the least window is one frame");
    assert!(
        WINDOW_ENVELOPES_MAX as usize <= OWED_PER_FEED_MAX,
        "every entry of a window may have to be owed"
    );
    assert!(
        SUBMIT_KIB_OUTSTANDING_MAX as usize * 1024 > 2 * LINE_BYTES_MAX,
        "the longest line can always be submitted"
    );
    assert!(TCP_HELD_KIB_MAX as usize * 1024 > 2 * LINE_BYTES_MAX, "the longest frame can always be held");
    assert!(INTAKE_BYTES_MAX > FRAME_BYTES_MAX, "one frame always fits");
    assert!(SEND_QUEUE_FACTOR * SEND_QUEUE_BYTES > FRAME_BYTES_MAX, "one frame always fits the send queue");
    assert!(
        DOOR_PREFIX_PENDING_MAX < DOOR_STRANGERS_PENDING_MAX,
        "one network cannot lock out all strangers"
    );
    assert!(DOOR_ADDRESS_PENDING_MAX < DOOR_KNOWN_PENDING_MAX, "one address cannot lock out all peers");
    assert!(2 * HEAD_EVERY_MS < FEED_SILENT_MS, "a lost HEAD is not yet silence");
    assert!(SEGMENT_BYTES as usize > 8 * FRAME_BYTES_MAX, "a segment holds several of the largest records");
};
