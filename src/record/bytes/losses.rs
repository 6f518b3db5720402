//! The record of an entry that can no longer be read.

use super::*;
use crate::limits::CONSUMERS_MAX;
use crate::record::Loss;

pub(super) fn put(out: &mut Vec<u8>, key: EventKey, loss: &Loss) {
    out.push(kind::LOST);
    out.extend_from_slice(&key.0);
    put_u64(out, loss.seq);
    // No entry has seq 0.
    put_u64(out, loss.taken.unwrap_or(0));
    out.extend_from_slice(&(loss.had_by.len() as u16).to_be_bytes());
    loss.had_by.iter().for_each(|consumer| put_name(out, consumer.as_str()));
}

pub(super) fn note(input: &mut ByteInput<'_>) -> Result<Note, RecordError> {
    let (key, seq) = (EventKey(input.array()?), input.u64()?);
    let taken = Some(input.u64()?).filter(|seq| *seq > 0);
    let count = u16::from_be_bytes(input.array()?);
    let count = input.count("consumers", CONSUMERS_MAX, count.into(), 0)?;
    let had_by = (0..count).map(|_| input.consumer()).collect::<Result<_, _>>()?;
    Ok(Note::Lost { key, loss: Loss { seq, had_by, taken } })
}
