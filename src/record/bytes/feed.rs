//! The record of a feed's state: cursor and marks, owed entries, and the place from which it is read again. Bounds are
//! checked before anything is read by them.

use super::*;
use crate::limits::{CURSOR_MARKS_MAX, OWED_PER_FEED_MAX};
use crate::record::rejected::REJECTED_PLACES_MAX;
use crate::record::{FeedState, Owed, RejectedPlace, RetryCondition};

pub(super) fn put_owed(out: &mut Vec<u8>, owed: &Owed) {
    put_u64(out, owed.seq);
    out.extend_from_slice(&owed.key.0);
    out.extend_from_slice(&owed.digest.0);
    put_name(out, owed.publisher.as_str());
    out.push(owed.reason as u8);
    put_u64(out, owed.retry_at.0);
}

pub(super) fn put_place(out: &mut Vec<u8>, place: &RejectedPlace) {
    out.push(place.reason as u8);
    put_publisher(out, place.publisher.as_ref());
    put_mark(out, place.before);
    put_cure(out, place.cure);
}

/// Appends an empty name if there is no publisher. A valid name is never empty.
pub(super) fn put_publisher(out: &mut Vec<u8>, publisher: Option<&PublisherName>) {
    put_name(out, publisher.map_or("", |publisher| publisher.as_str()));
}

/// Appends the place where a feed is read again next, if there is one.
pub(super) fn put_next(out: &mut Vec<u8>, next: Option<(Mark, RetryCondition)>) {
    out.push(u8::from(next.is_some()));
    if let Some((before, cure)) = next {
        put_mark(out, before);
        put_cure(out, cure);
    }
}

fn put_cure(out: &mut Vec<u8>, cure: RetryCondition) {
    match cure {
        RetryCondition::Trust(digest) => {
            out.push(0);
            out.extend_from_slice(&digest);
        }
        RetryCondition::At(at) => {
            out.push(1);
            put_u64(out, at.0);
        }
    }
}

pub(super) fn put_feed(out: &mut Vec<u8>, state: &FeedState) {
    out.push(u8::from(state.log_id.is_some()));
    out.extend_from_slice(&state.log_id.unwrap_or_default().0);
    put_mark(out, state.cursor);
    out.push(state.marks.len() as u8);
    state.marks.iter().for_each(|mark| put_mark(out, *mark));
    out.push(state.rejected.len() as u8);
    state.rejected.iter().for_each(|place| put_place(out, place));
    out.extend_from_slice(&(state.owed.len() as u16).to_be_bytes());
    state.owed.values().for_each(|owed| put_owed(out, owed));
}

impl ByteInput<'_> {
    pub(super) fn owed(&mut self) -> Result<Owed, RecordError> {
        Ok(Owed {
            seq: self.u64()?,
            key: EventKey(self.array()?),
            digest: CoreDigest(self.array()?),
            publisher: self.name()?,
            reason: self.reason()?,
            retry_at: Timestamp(self.u64()?),
        })
    }

    pub(super) fn place(&mut self) -> Result<RejectedPlace, RecordError> {
        Ok(RejectedPlace {
            reason: self.reason()?,
            publisher: self.publisher()?,
            before: self.mark()?,
            cure: self.cure()?,
        })
    }

    pub(super) fn publisher(&mut self) -> Result<Option<PublisherName>, RecordError> {
        match self.peek()? {
            0 => self.take(1).map(|_| None),
            _ => self.name().map(Some),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<(Mark, RetryCondition)>, RecordError> {
        Ok(match self.flag()? {
            true => Some((self.mark()?, self.cure()?)),
            false => None,
        })
    }

    fn cure(&mut self) -> Result<RetryCondition, RecordError> {
        Ok(match self.flag()? {
            false => RetryCondition::Trust(self.array()?),
            true => RetryCondition::At(Timestamp(self.u64()?)),
        })
    }
}

pub(super) fn feed(input: &mut ByteInput<'_>) -> Result<FeedState, RecordError> {
    let known = input.flag()?;
    let log_id = LogId(input.array()?);
    let cursor = input.mark()?;
    let marks = input.count("marks", CURSOR_MARKS_MAX, input.peek()?.into(), 1)?;
    let marks = (0..marks).map(|_| input.mark()).collect::<Result<Vec<_>, _>>()?;
    let rejected = input.count("rejected places", REJECTED_PLACES_MAX, input.peek()?.into(), 1)?;
    let rejected = (0..rejected).map(|_| input.place()).collect::<Result<_, _>>()?;
    let count = input.0.first_chunk::<2>().map(|two| u16::from_be_bytes(*two)).ok_or(RecordError::Short)?;
    let count = input.count("owed entries", OWED_PER_FEED_MAX, count.into(), 2)?;
    let owed = (0..count).map(|_| input.owed()).collect::<Result<_, _>>()?;
    Ok(FeedState { log_id: known.then_some(log_id), cursor, marks, owed, rejected })
}
