//! The records about consumers.

use super::*;

/// Appends the record of a note about a consumer, or about all of them.
pub(super) fn put(out: &mut Vec<u8>, note: &Note) {
    match note {
        Note::Position { consumer, seq, own } => {
            begin(out, kind::POSITION, consumer.as_str());
            put_u64(out, *seq);
            out.push(u8::from(*own));
        }
        Note::Missing { consumer, to, count } => {
            begin(out, kind::MISSING, consumer.as_str());
            put_u64(out, *to);
            put_u64(out, *count);
        }
        Note::Rewound { consumer, seq, generation } => {
            begin(out, kind::REWOUND, consumer.as_str());
            put_u64(out, *seq);
            put_u64(out, *generation);
        }
        Note::ConsumerGone { consumer, generation } => {
            begin(out, kind::CONSUMER_GONE, consumer.as_str());
            put_u64(out, *generation);
        }
        Note::Generation(generation) => {
            out.push(kind::GENERATION);
            put_u64(out, *generation);
        }
        _ => {}
    }
}

pub(super) fn note(number: u8, input: &mut ByteInput<'_>) -> Result<Note, RecordError> {
    if number == kind::GENERATION {
        return Ok(Note::Generation(input.u64()?));
    }
    let (consumer, seq) = (input.consumer()?, input.u64()?);
    Ok(match number {
        kind::POSITION => Note::Position { consumer, seq, own: input.flag()? },
        kind::MISSING => Note::Missing { consumer, to: seq, count: input.u64()? },
        kind::REWOUND => Note::Rewound { consumer, seq, generation: input.u64()? },
        kind::CONSUMER_GONE => Note::ConsumerGone { consumer, generation: seq },
        other => return Err(RecordError::Kind(other)),
    })
}
