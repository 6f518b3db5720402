//! Frames as a stand-in for version 2 frames them, for tests: each with fields behind those of version 1, and behind
//! each one a frame of a type that may be ignored. It promises nothing about the true version 2.

use super::{LENGTH_BYTES, WireFrame};

/// Two fields: a map, and a text.
const FIELDS: &[u8] = &[0xa1, 0x18, 0x63, 0x81, 0xf6, 0x61, b'2'];
/// `[64, {}, [null]]` with its length.
const IGNORABLE: &[u8] = &[0, 0, 0, 6, 0x83, 0x18, 64, 0xa0, 0x81, 0xf6];

/// Appends what stands for `frame`.
pub(super) fn encode(frame: &WireFrame, out: &mut Vec<u8>) {
    let start = out.len();
    super::encode(frame, out);
    // No frame of version 1 has so many fields that the head of its array would grow.
    out[start + LENGTH_BYTES] += 2;
    out.extend_from_slice(FIELDS);
    let len = out.len() - start - LENGTH_BYTES;
    out[start..start + LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    out.extend_from_slice(IGNORABLE);
}

pub(super) fn encoded_len(frame: &WireFrame) -> usize {
    super::encoded_len(frame) + FIELDS.len() + IGNORABLE.len()
}
