//! The record of an entry that can no longer be read.

use super::*;
use crate::limits::CONSUMERS_MAX;
use crate::record::Loss;

pub(super) fn put(out: &mut Vec<u8>, key: EventKey, loss: &Loss) {
    out.push(kind::LOST);
    out.extend_from_slice(&key.0);
    put_u64(out, loss.seq);
    out.extend_from_slice(&loss.digest.0);
    // No entry has seq 0.
    put_u64(out, loss.taken.unwrap_or(0));
    out.extend_from_slice(&(loss.had_by.len() as u16).to_be_bytes());
    loss.had_by.iter().for_each(|consumer| put_name(out, consumer.as_str()));
}

pub(super) fn note(input: &mut Input<'_>) -> Result<Note, RecordError> {
    let (key, seq, digest) = (EventKey(input.array()?), input.u64()?, CoreDigest(input.array()?));
    let taken = Some(input.u64()?).filter(|seq| *seq > 0);
    let count = input.0.first_chunk::<2>().map(|two| u16::from_be_bytes(*two)).ok_or(RecordError::Short)?;
    // Those that had it twice may have been two sets of consumers.
    let count = input.count("consumers", 2 * CONSUMERS_MAX, count.into(), 2)?;
    let had_by = (0..count).map(|_| input.consumer()).collect::<Result<_, _>>()?;
    Ok(Note::Lost { key, loss: Loss { seq, digest, had_by, taken } })
}
