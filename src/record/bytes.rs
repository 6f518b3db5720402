//! Records as bytes: one byte of kind, then fixed fields, big-endian, each variable one behind its length.
//! Read strictly: a length beyond its bound, an unknown kind or number and a byte too many are errors. The
//! length and CRC around a record are the journal's, and so is the version of this format.

mod consumers;
mod feed;
mod losses;

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use super::{ConsumerName, Entry, Note};
use crate::envelope::statement::{SignedStatement, StatementError};
use crate::envelope::{CodecError, IdScheme, UnverifiedEnvelope};
use crate::identity::{
    Check, CoreDigest, EventKey, HopPath, IdentityError, IdentityKey, LogId, PublisherName,
};
use crate::limits::{ENVELOPE_BYTES_MAX, PATH_HOPS_MAX};
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode};
use feed::{feed, put_feed, put_next, put_owed, put_place, put_publisher};

/// Says why bytes are no record. If their CRC held, this is damage done before they were written, or another version's
/// record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("record ends early")]
    Short,
    #[error("{0} bytes behind the end of the record")]
    Long(usize),
    #[error("no kind of record has the number {0}")]
    Kind(u8),
    #[error("{what} of {value} is out of bounds")]
    Bound { what: &'static str, value: u64 },
    #[error(transparent)]
    Name(#[from] IdentityError),
    #[error(transparent)]
    Envelope(#[from] CodecError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("the envelope is not the one that its record names")]
    OtherEnvelope,
}

/// Kinds of record. A number is never used again for something else.
mod kind {
    pub(crate) const CARRIER: u8 = 1;
    pub(crate) const ADVANCED: u8 = 2;
    pub(crate) const OWED: u8 = 3;
    pub(crate) const SETTLED: u8 = 4;
    pub(crate) const REJECTED: u8 = 5;
    pub(crate) const FEED: u8 = 6;
    pub(crate) const POSITION: u8 = 7;
    pub(crate) const FLOOR: u8 = 8;
    pub(crate) const STEADY: u8 = 9;
    pub(crate) const EQUIVOCATION: u8 = 10;
    pub(crate) const STATEMENT: u8 = 11;
    pub(crate) const MISSING: u8 = 12;
    pub(crate) const READ_AGAIN: u8 = 13;
    pub(crate) const RESUMED: u8 = 14;
    pub(crate) const CONSUMER_GONE: u8 = 15;
    pub(crate) const REWOUND: u8 = 16;
    pub(crate) const RELEASED: u8 = 17;
    pub(crate) const LOST: u8 = 18;
    pub(crate) const GENERATION: u8 = 19;
}

/// The fields of a carrier that the store needs without decoding its envelope: enough for index, seen set and
/// retention, so that a replay costs little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierHead {
    pub mark: Mark,
    pub arrived: Timestamp,
    pub created: Timestamp,
    pub key: EventKey,
    pub digest: CoreDigest,
    pub uuid: Uuid,
    /// `ids` is `content`.
    pub content: bool,
    pub publisher: PublisherName,
}

impl CarrierHead {
    pub fn of(entry: &Entry) -> Self {
        let envelope = &entry.envelope;
        Self {
            mark: entry.mark(),
            arrived: entry.arrived,
            created: envelope.core().created,
            key: envelope.key(),
            digest: envelope.digest(),
            uuid: envelope.id().uuid,
            content: envelope.core().ids == IdScheme::Content,
            publisher: envelope.publisher().clone(),
        }
    }
}

/// A record read as far as a replay needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordGlance {
    Carrier(CarrierHead),
    Note(Note),
}

/// Appends the record of `entry` to `out`.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let head = CarrierHead::of(entry);
    out.reserve(entry.envelope.bytes().len() + 256);
    out.push(kind::CARRIER);
    put_mark(out, head.mark);
    put_u64(out, head.arrived.0);
    put_u64(out, head.created.0);
    out.extend_from_slice(&head.key.0);
    out.extend_from_slice(&head.digest.0);
    out.extend_from_slice(head.uuid.as_bytes());
    out.push(u8::from(head.content));
    put_name(out, head.publisher.as_str());
    out.push(entry.path.len() as u8);
    entry.path.hops().iter().for_each(|hop| put_name(out, hop.as_str()));
    out.extend_from_slice(entry.envelope.bytes());
}

/// Reads a carrier back, its envelope included. `twins` stays empty: that is the index's to say.
///
/// # Errors
/// [`RecordError`]; a note is one too.
pub fn decode_entry(bytes: &Bytes) -> Result<Entry, RecordError> {
    let mut input = ByteInput(bytes);
    match input.u8()? {
        kind::CARRIER => {}
        other => return Err(RecordError::Kind(other)),
    }
    let head = carrier_head(&mut input)?;
    let hops = input.count("hops", PATH_HOPS_MAX, usize::from(input.peek()?), 1)?;
    let path = HopPath::new((0..hops).map(|_| input.name()).collect::<Result<_, _>>()?)?;
    let at = bytes.len() - input.0.len();
    if input.0.len() > ENVELOPE_BYTES_MAX {
        return Err(RecordError::Bound { what: "envelope", value: input.0.len() as u64 });
    }
    let envelope = UnverifiedEnvelope::decode(bytes.slice(at..))?.into_stored();
    let entry = Entry {
        seq: head.mark.seq,
        check: head.mark.check,
        arrived: head.arrived,
        path,
        envelope,
        twins: Vec::new(),
        withdrawn_by: None,
        replaced_by: None,
    };
    if CarrierHead::of(&entry) == head { Ok(entry) } else { Err(RecordError::OtherEnvelope) }
}

/// Returns true if the carrier of this record names another event, by `parent` or a link. Far cheaper than to decode
/// it.
///
/// # Errors
/// [`RecordError`]; a note is one too.
pub(crate) fn names_others(bytes: &[u8]) -> Result<bool, RecordError> {
    let mut input = ByteInput(bytes);
    match input.u8()? {
        kind::CARRIER => {}
        other => return Err(RecordError::Kind(other)),
    }
    carrier_head(&mut input)?;
    let hops = input.count("hops", PATH_HOPS_MAX, usize::from(input.peek()?), 1)?;
    for _ in 0..hops {
        let len = input.u8()?;
        input.take(len.into())?;
    }
    Ok(crate::envelope::codec::names_others(input.0)?)
}

/// Reads a note, or the head of a carrier.
///
/// # Errors
/// [`RecordError`].
pub(crate) fn glance(bytes: &[u8]) -> Result<RecordGlance, RecordError> {
    let mut input = ByteInput(bytes);
    let number = input.u8()?;
    if number == kind::CARRIER {
        return carrier_head(&mut input).map(RecordGlance::Carrier);
    }
    let note = note(number, &mut input)?;
    match input.0.len() {
        0 => Ok(RecordGlance::Note(note)),
        left => Err(RecordError::Long(left)),
    }
}

/// Appends the record of `note` to `out`.
pub fn encode_note(note: &Note, out: &mut Vec<u8>) {
    match note {
        Note::Advanced { peer, to } => {
            begin(out, kind::ADVANCED, peer.as_str());
            put_mark(out, *to);
        }
        Note::Owed { peer, owed } => {
            begin(out, kind::OWED, peer.as_str());
            put_owed(out, owed);
        }
        Note::Settled { peer, seq } => {
            begin(out, kind::SETTLED, peer.as_str());
            put_u64(out, *seq);
        }
        Note::Rejected { peer, place } => {
            begin(out, kind::REJECTED, peer.as_str());
            put_place(out, place);
        }
        Note::ReadAgain { peer, reason, publisher, next } => {
            begin(out, kind::READ_AGAIN, peer.as_str());
            out.push(*reason as u8);
            put_publisher(out, publisher.as_ref());
            put_next(out, *next);
        }
        Note::Resumed { peer, to } => {
            begin(out, kind::RESUMED, peer.as_str());
            put_mark(out, *to);
        }
        Note::Feed { peer, state } => {
            begin(out, kind::FEED, peer.as_str());
            put_feed(out, state);
        }
        Note::Position { .. }
        | Note::Missing { .. }
        | Note::Rewound { .. }
        | Note::ConsumerGone { .. }
        | Note::Generation(_) => consumers::put(out, note),
        Note::Lost { key, loss } => losses::put(out, *key, loss),
        Note::Floor(at) => put_timed(out, kind::FLOOR, *at),
        Note::Steady(at) => put_timed(out, kind::STEADY, *at),
        Note::Equivocation { publisher, key, digest } => {
            begin(out, kind::EQUIVOCATION, publisher.as_str());
            out.extend_from_slice(&key.0);
            out.extend_from_slice(&digest.0);
        }
        Note::Statement(statement) => {
            out.push(kind::STATEMENT);
            out.extend_from_slice(&statement.signer().0);
            out.extend_from_slice(&(statement.bytes().len() as u16).to_be_bytes());
            out.extend_from_slice(statement.bytes());
        }
        Note::Released { key, at } => {
            out.push(kind::RELEASED);
            out.extend_from_slice(&key.0);
            out.push(u8::from(at.is_some()));
            at.iter().for_each(|at| put_u64(out, at.0));
        }
    }
}

/// Begins a note about `name`.
fn begin(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    put_name(out, name);
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_timed(out: &mut Vec<u8>, kind: u8, at: Timestamp) {
    out.push(kind);
    put_u64(out, at.0);
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

fn put_mark(out: &mut Vec<u8>, mark: Mark) {
    put_u64(out, mark.seq);
    out.extend_from_slice(&mark.check.0);
}

/// The bytes that are left to read.
struct ByteInput<'a>(&'a [u8]);

impl<'a> ByteInput<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Short)
    }

    fn peek(&self) -> Result<u8, RecordError> {
        self.0.first().copied().ok_or(RecordError::Short)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.array::<1>()?[0])
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, RecordError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(RecordError::Bound { what: "flag", value: other.into() }),
        }
    }

    /// Passes the `len` bytes of a count that was read as `value`, and refuses one beyond `max`.
    fn count(
        &mut self,
        what: &'static str,
        max: usize,
        value: usize,
        len: usize,
    ) -> Result<usize, RecordError> {
        self.take(len)?;
        if value > max { Err(RecordError::Bound { what, value: value as u64 }) } else { Ok(value) }
    }

    fn name(&mut self) -> Result<PublisherName, RecordError> {
        let len = self.u8()?;
        let text = std::str::from_utf8(self.take(len.into())?)
            .map_err(|_| RecordError::Bound { what: "name", value: len.into() })?;
        let name = PublisherName::parse(text)?;
        // A name that we wrote has one spelling only.
        let same = name.as_str() == text;
        if same { Ok(name) } else { Err(RecordError::Bound { what: "name", value: len.into() }) }
    }

    fn mark(&mut self) -> Result<Mark, RecordError> {
        Ok(Mark { seq: self.u64()?, check: Check(self.array()?) })
    }

    fn reason(&mut self) -> Result<VerdictCode, RecordError> {
        let number = self.u8()?;
        VerdictCode::from_number(number).ok_or(RecordError::Bound { what: "verdict", value: number.into() })
    }

    fn consumer(&mut self) -> Result<ConsumerName, RecordError> {
        let len = self.u8()?;
        let fault = RecordError::Bound { what: "name", value: len.into() };
        let text = std::str::from_utf8(self.take(len.into())?).map_err(|_| fault.clone())?;
        let name = ConsumerName::parse_any(text)?;
        if name.as_str() == text { Ok(name) } else { Err(fault) }
    }
}

fn carrier_head(input: &mut ByteInput<'_>) -> Result<CarrierHead, RecordError> {
    Ok(CarrierHead {
        mark: input.mark()?,
        arrived: Timestamp(input.u64()?),
        created: Timestamp(input.u64()?),
        key: EventKey(input.array()?),
        digest: CoreDigest(input.array()?),
        uuid: Uuid::from_bytes(input.array()?),
        content: input.flag()?,
        publisher: input.name()?,
    })
}

fn note(number: u8, input: &mut ByteInput<'_>) -> Result<Note, RecordError> {
    Ok(match number {
        kind::ADVANCED => Note::Advanced { peer: input.name()?, to: input.mark()? },
        kind::OWED => Note::Owed { peer: input.name()?, owed: input.owed()? },
        kind::SETTLED => Note::Settled { peer: input.name()?, seq: input.u64()? },
        kind::REJECTED => Note::Rejected { peer: input.name()?, place: input.place()? },
        kind::READ_AGAIN => Note::ReadAgain {
            peer: input.name()?,
            reason: input.reason()?,
            publisher: input.publisher()?,
            next: input.next()?,
        },
        kind::RESUMED => Note::Resumed { peer: input.name()?, to: input.mark()? },
        kind::FEED => Note::Feed { peer: input.name()?, state: feed(input)? },
        kind::POSITION | kind::MISSING | kind::REWOUND | kind::CONSUMER_GONE | kind::GENERATION => {
            consumers::note(number, input)?
        }
        kind::LOST => losses::note(input)?,
        kind::FLOOR => Note::Floor(Timestamp(input.u64()?)),
        kind::STEADY => Note::Steady(Timestamp(input.u64()?)),
        kind::EQUIVOCATION => Note::Equivocation {
            publisher: input.name()?,
            key: EventKey(input.array()?),
            digest: CoreDigest(input.array()?),
        },
        kind::STATEMENT => {
            let signer = IdentityKey(input.array()?);
            let len = u16::from_be_bytes(input.array()?);
            Note::Statement(SignedStatement::stored(signer, input.take(len.into())?)?)
        }
        kind::RELEASED => {
            let key = EventKey(input.array()?);
            let at = if input.flag()? { Some(Timestamp(input.u64()?)) } else { None };
            Note::Released { key, at }
        }
        other => return Err(RecordError::Kind(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FeedState, Owed, RejectedPlace, RetryCondition};

    fn notes() -> Vec<Note> {
        let peer = PublisherName::parse("cert-ee").unwrap();
        let mark = Mark { seq: 7, check: Check([1; 16]) };
        let owed = Owed {
            seq: 9,
            key: EventKey([3; 16]),
            digest: CoreDigest([5; 32]),
            publisher: peer.clone(),
            reason: VerdictCode::Ahead,
            retry_at: Timestamp(5),
        };
        let place = RejectedPlace {
            reason: VerdictCode::UnknownKey,
            publisher: None,
            before: mark,
            cure: RetryCondition::Trust([4; 32]),
        };
        let (rate, publisher, at) = (VerdictCode::Rate, Some(peer.clone()), RetryCondition::At(Timestamp(8)));
        let deferred = RejectedPlace { reason: rate, publisher: publisher.clone(), before: mark, cure: at };
        let state = FeedState {
            log_id: Some(LogId([2; 16])),
            cursor: mark,
            marks: vec![Mark::START],
            owed: [owed.clone()].into_iter().collect(),
            rejected: [place.clone(), deferred].into_iter().collect(),
        };
        let consumer = ConsumerName::parse("soc").unwrap();
        vec![
            Note::Advanced { peer: peer.clone(), to: mark },
            Note::Owed { peer: peer.clone(), owed },
            Note::Settled { peer: peer.clone(), seq: 3 },
            Note::Rejected { peer: peer.clone(), place },
            Note::ReadAgain { peer: peer.clone(), reason: rate, publisher, next: Some((mark, at)) },
            Note::ReadAgain { peer: peer.clone(), reason: rate, publisher: None, next: None },
            Note::Resumed { peer: peer.clone(), to: mark },
            Note::Feed { peer: peer.clone(), state },
            Note::Position { consumer: consumer.clone(), seq: 1, own: true },
            Note::Missing { consumer: consumer.clone(), to: 1, count: 2 },
            Note::Rewound { consumer: consumer.clone(), seq: 1, generation: 2 },
            Note::ConsumerGone { consumer, generation: 3 },
            Note::Generation(4),
            Note::Floor(Timestamp(1)),
            Note::Steady(Timestamp(2)),
            Note::Equivocation { publisher: peer, key: EventKey([1; 16]), digest: CoreDigest([2; 32]) },
            Note::Released { key: EventKey([1; 16]), at: Some(Timestamp(3)) },
            Note::Released { key: EventKey([1; 16]), at: None },
        ]
    }

    #[test]
    fn every_note_reads_back_and_nothing_shorter_or_longer_does() {
        for note in notes() {
            let mut bytes = Vec::new();
            encode_note(&note, &mut bytes);
            assert_eq!(glance(&bytes), Ok(RecordGlance::Note(note.clone())));
            for cut in 0..bytes.len() {
                assert!(glance(&bytes[..cut]).is_err(), "{note:?} cut at {cut}");
            }
            bytes.push(0);
            assert_eq!(glance(&bytes), Err(RecordError::Long(1)));
        }
    }

    #[test]
    fn counts_beyond_their_bounds_are_refused_before_anything_is_read() {
        let state = FeedState::default();
        let note = Note::Feed { peer: PublisherName::parse("a").unwrap(), state };
        let mut bytes = Vec::new();
        encode_note(&note, &mut bytes);
        // Kind, name, log_id, cursor: then how many marks.
        let marks_at = 1 + 2 + 17 + 24;
        bytes[marks_at] = 200;
        assert_eq!(glance(&bytes), Err(RecordError::Bound { what: "marks", value: 200 }));
    }
}
