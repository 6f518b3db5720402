//! The frame around each record in a segment: u32 length, u32 CRC-32C, u32 batch, then the record, numbers
//! little-endian. A batch is what one `fdatasync` made durable, named by its offset in the segment. If the batch of a
//! whole frame begins behind a broken place, this place was once whole, so that it is damage and not a torn tail (of
//! which a disk may keep the later sectors and lose the earlier). The CRC begins with the segment's secret salt, so
//! that nobody can publish bytes that look like records. Which frames there are is not known here.

/// Bytes of a frame before its record.
pub(crate) const FRAME_HEAD_BYTES: usize = 12;

/// The largest record: the largest envelope with its path, or a feed's state with all that it is owed.
pub(crate) const RECORD_BYTES_MAX: usize = crate::limits::FRAME_BYTES_MAX;

/// How often CRCs over all that lies behind a broken place are computed, at most.
const CRC_PASSES: usize = 16;

/// A whole frame that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundFrame {
    pub batch: u32,
    /// Length of its record, which begins [`FRAME_HEAD_BYTES`] behind the start of the frame.
    pub record_bytes: usize,
}

impl FoundFrame {
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.record_bytes
    }
}

/// Describes the bytes at a place where a frame should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameLook {
    Whole(FoundFrame),
    /// Nothing was written here: the end of the file, or reserved zeros.
    End,
    /// The frame goes on beyond the bytes at hand: this many are needed.
    Needs(usize),
    Broken,
}

/// Appends a frame. `write` appends its record.
pub(crate) fn put(out: &mut Vec<u8>, salt: u32, batch: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&batch.to_le_bytes());
    write(out);
    let len = (out.len() - start - FRAME_HEAD_BYTES) as u32;
    let crc = crc(salt, &len.to_le_bytes(), &out[start + 8..]);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Looks at the start of `bytes`.
pub(crate) fn look(bytes: &[u8], salt: u32) -> FrameLook {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
        return if bytes.iter().all(|b| *b == 0) {
            FrameLook::End
        } else {
            FrameLook::Needs(FRAME_HEAD_BYTES)
        };
    };
    if head.iter().all(|b| *b == 0) {
        return FrameLook::End;
    }
    let record_bytes = word(head, 0) as usize;
    if record_bytes == 0 || record_bytes > RECORD_BYTES_MAX {
        return FrameLook::Broken;
    }
    let found = FoundFrame { batch: word(head, 8), record_bytes };
    let Some(frame) = bytes.get(..found.frame_bytes()) else {
        return FrameLook::Needs(found.frame_bytes());
    };
    if crc(salt, &frame[..4], &frame[8..]) == word(head, 4) {
        FrameLook::Whole(found)
    } else {
        FrameLook::Broken
    }
}

/// Returns true if there is a whole frame of a batch that began behind the broken place at offset `at`, where `bytes`
/// begins.
///
/// The first frame of a batch names its own offset, which a publisher cannot foresee: those are looked at first, then
/// all others. Each pass computes CRCs over at most `CRC_PASSES` times what is there, or else an envelope full of
/// lengths that lie could keep a start busy for hours.
pub(crate) fn holds_later(bytes: &[u8], salt: u32, at: u64) -> bool {
    let begins = |batch: u64, here: u64| batch == here && batch > at;
    let belongs = |batch: u64, here: u64| batch > at && batch <= here;
    any_whole(bytes, salt, at, begins) || any_whole(bytes, salt, at, belongs)
}

/// Returns true if there is a whole frame with a batch and a place for which `fits` holds.
fn any_whole(bytes: &[u8], salt: u32, at: u64, fits: impl Fn(u64, u64) -> bool) -> bool {
    let mut left = bytes.len().max(RECORD_BYTES_MAX) * CRC_PASSES;
    // Cheap tests first: this runs at every byte behind a broken record.
    (0..without_zeros(bytes).len()).any(|ahead| {
        let rest = &bytes[ahead..];
        if rest.len() < FRAME_HEAD_BYTES || !fits(word(rest, 8).into(), at + ahead as u64) {
            return false;
        }
        let len = word(rest, 0) as usize;
        if len > RECORD_BYTES_MAX || len > rest.len() {
            return false;
        }
        if left == 0 {
            return false;
        }
        left = left.saturating_sub(len.max(1));
        matches!(look(rest, salt), FrameLook::Whole(_))
    })
}

/// Cuts off what was only reserved: a fast pass over it, as the slow one looks at every byte.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut written = bytes;
    while let Some((rest, last)) = written.split_last_chunk::<4096>() {
        if *last != ZEROS {
            break;
        }
        written = rest;
    }
    written
}

fn crc(salt: u32, len: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, len), rest)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(record: &[u8], batch: u32) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 7, batch, |out| out.extend_from_slice(record));
        out
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let whole = framed(b"a record", 3);
        assert_eq!(look(&whole, 7), FrameLook::Whole(FoundFrame { batch: 3, record_bytes: 8 }));
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(look(&bad, 7), FrameLook::Whole(_)), "bit {bit}");
        }
    }

    #[test]
    fn bytes_that_look_like_a_record_of_another_segment_are_none() {
        assert_eq!(look(&framed(b"a record", 3), 8), FrameLook::Broken);
    }

    #[test]
    fn a_later_batch_is_found_behind_any_rubbish_and_the_same_batch_is_not() {
        let mut bytes = vec![0xff; 37];
        bytes.extend(framed(b"a record", 1037));
        assert!(holds_later(&bytes, 7, 1000));
        assert!(!holds_later(&bytes, 7, 1037));
    }

    /// An envelope full of lengths that lie would have each of them checked to its end. A batch that began behind it is
    /// found all the same, by its first frame.
    #[test]
    fn lengths_that_lie_are_checked_up_to_a_bound() {
        let lie = [&(1u32 << 20).to_le_bytes()[..], &[9; 4], &1001u32.to_le_bytes()].concat();
        let lies = lie.repeat(1 << 17);
        let behind = |batch: u32| [&lies[..], &framed(b"a record", batch)].concat();
        assert!(!holds_later(&behind(1001), 7, 1000), "nothing is left to check it with");
        assert!(holds_later(&behind(1000 + lies.len() as u32), 7, 1000));
    }
}
