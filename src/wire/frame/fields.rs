//! The fields of each frame, in their order on the wire (PROTOCOL.md §4.2; messages.cddl). Writing and
//! reading stand beside each other. Nothing here knows the length before a frame.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{
    AckFrame, CarrierFrame, FaultNumber, FeedGreeting, Have, Hello, Mark, Skip, Subscribe, VerdictNumber,
    Window, WireFrame,
};
use super::reader::FieldReader;
use super::{FrameError, number};
use crate::cbor::{
    self, ByteSink, put_array, put_boolean, put_bytes, put_map, put_null, put_text, put_unsigned,
};
use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::limits::{
    CAPABILITIES_MAX, CAPABILITY_BYTES_MAX, CURSOR_MARKS_MAX, DETAIL_BYTES_MAX, ENVELOPE_BYTES_MAX,
    FEDERATION_BYTES_MAX, FRAME_BYTES_MAX, KEY_STATEMENT_BYTES_MAX, KEY_STATEMENTS_MAX, NAME_BYTES_MAX,
    OWED_PER_FEED_MAX, PATH_HOPS_MAX, SOFTWARE_BYTES_MAX, SUBSCRIBE_OPTIONS_BYTES_MAX,
};
use crate::time::Timestamp;

pub(super) fn write(frame: &WireFrame, out: &mut impl ByteSink) {
    match frame {
        WireFrame::Hello(hello) => write_hello(hello, out),
        WireFrame::OtherVersion(greeting) => {
            numbers(number::HELLO, 5, &[], out);
            write_greeting(greeting, out);
        }
        WireFrame::Subscribe(subscribe) => write_subscribe(subscribe, out),
        WireFrame::Carrier(carrier) => write_carrier(number::CARRIER, carrier, out),
        WireFrame::Have(have) => write_have(have, out),
        WireFrame::Skip(skip) => {
            numbers(number::SKIP, 4, &[skip.to.seq], out);
            put_bytes(out, &skip.to.check.0);
            put_unsigned(out, skip.dropped);
        }
        WireFrame::Want { seq, key } => {
            numbers(number::WANT, 3, &[*seq], out);
            put_bytes(out, &key.0);
        }
        WireFrame::Answer(carrier) => write_carrier(number::ANSWER, carrier, out),
        WireFrame::Gone { seq } => numbers(number::GONE, 2, &[*seq], out),
        WireFrame::Ack(ack) => write_ack(ack, out),
        WireFrame::Mode { publisher, eager } => {
            numbers(number::MODE, 3, &[], out);
            put_text(out, publisher.as_str());
            put_boolean(out, *eager);
        }
        WireFrame::Head { seq, stored } => numbers(number::HEAD, 3, &[*seq, stored.0], out),
        WireFrame::Ping { nonce } => numbers(number::PING, 2, &[*nonce], out),
        WireFrame::Pong { nonce } => numbers(number::PONG, 2, &[*nonce], out),
        WireFrame::Fault { code, detail } => {
            numbers(number::FAULT, 3, &[code.number().into()], out);
            put_text(out, &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]);
        }
        WireFrame::KeyStatement(statement) => {
            numbers(number::KEY, 2, &[], out);
            put_bytes(out, statement);
        }
        #[cfg(feature = "sim")]
        WireFrame::Successor(frame) => write(frame, out),
    }
}

/// How many fields each type has in this version, its number not counted; `None` for an unknown type.
pub(super) const fn count(number: u64) -> Option<usize> {
    Some(match number {
        number::HELLO => 12,
        number::ACK => 7,
        number::HAVE => 6,
        number::SUBSCRIBE => 5,
        number::CARRIER | number::ANSWER => 4,
        number::SKIP => 3,
        number::WANT | number::MODE | number::HEAD | number::FAULT => 2,
        number::GONE | number::PING | number::PONG | number::KEY => 1,
        _ => return None,
    })
}

/// Reads the known fields of a frame; its type has been found to be known.
pub(super) fn read(number: u64, frame: &mut FieldReader<'_>) -> Result<WireFrame, FrameError> {
    Ok(match number {
        number::HELLO => WireFrame::Hello(Box::new(read_hello(frame)?)),
        number::SUBSCRIBE => WireFrame::Subscribe(read_subscribe(frame)?),
        number::CARRIER => WireFrame::Carrier(read_carrier(frame)?),
        number::HAVE => WireFrame::Have(read_have(frame)?),
        number::SKIP => WireFrame::Skip(Skip { to: read_mark(frame)?, dropped: frame.unsigned("dropped")? }),
        number::WANT => {
            WireFrame::Want { seq: frame.unsigned("seq")?, key: EventKey(frame.array_of("key")?) }
        }
        number::ANSWER => WireFrame::Answer(read_carrier(frame)?),
        number::GONE => WireFrame::Gone { seq: frame.unsigned("seq")? },
        number::ACK => WireFrame::Ack(Box::new(read_ack(frame)?)),
        number::MODE => {
            WireFrame::Mode { publisher: read_name("publisher", frame)?, eager: frame.boolean("eager")? }
        }
        number::HEAD => {
            WireFrame::Head { seq: frame.unsigned("seq")?, stored: Timestamp(frame.unsigned("stored")?) }
        }
        number::PING => WireFrame::Ping { nonce: frame.unsigned("nonce")? },
        number::PONG => WireFrame::Pong { nonce: frame.unsigned("nonce")? },
        number::FAULT => read_fault(frame)?,
        number::KEY => WireFrame::KeyStatement(frame.bytes(KEY_STATEMENT_BYTES_MAX, "key statement")?),
        _ => return Err(FrameError::UnknownType(number)),
    })
}

/// The frame's array of `items` with its type and the numbers that follow it.
fn numbers(number: u64, items: usize, following: &[u64], out: &mut impl ByteSink) {
    put_array(out, items);
    put_unsigned(out, number);
    following.iter().for_each(|number| put_unsigned(out, *number));
}

/// Reads the fields of HELLO that every version has.
pub(super) fn read_greeting(frame: &mut FieldReader<'_>) -> Result<FeedGreeting, FrameError> {
    Ok(FeedGreeting {
        name: read_name("name", frame)?,
        federation: frame.text(FEDERATION_BYTES_MAX, "federation")?.to_owned(),
        version_min: frame.number("version_min")?,
        version_max: frame.number("version_max")?,
    })
}

fn write_greeting(greeting: &FeedGreeting, out: &mut impl ByteSink) {
    put_text(out, greeting.name.as_str());
    put_text(out, &greeting.federation);
    put_unsigned(out, greeting.version_min.into());
    put_unsigned(out, greeting.version_max.into());
}

fn write_hello(hello: &Hello, out: &mut impl ByteSink) {
    numbers(number::HELLO, 13, &[], out);
    put_text(out, hello.name.as_str());
    put_text(out, &hello.federation);
    put_unsigned(out, hello.version_min.into());
    put_unsigned(out, hello.version_max.into());
    put_text(out, &hello.software);
    put_unsigned(out, hello.instance);
    put_bytes(out, &hello.log_id.0);
    put_unsigned(out, hello.first_seq);
    put_unsigned(out, hello.last_seq);
    put_unsigned(out, hello.now.0);
    put_array(out, hello.capabilities.len());
    hello.capabilities.iter().for_each(|capability| put_text(out, capability));
    put_array(out, hello.key_statements.len());
    hello.key_statements.iter().for_each(|statement| put_bytes(out, statement));
}

fn read_hello(frame: &mut FieldReader<'_>) -> Result<Hello, FrameError> {
    let FeedGreeting { name, federation, version_min, version_max } = read_greeting(frame)?;
    Ok(Hello {
        name,
        federation,
        version_min,
        version_max,
        software: frame.text(SOFTWARE_BYTES_MAX, "software")?.to_owned(),
        instance: frame.unsigned("instance")?,
        log_id: LogId(frame.array_of("log_id")?),
        first_seq: frame.unsigned("first_seq")?,
        last_seq: frame.unsigned("last_seq")?,
        now: Timestamp(frame.unsigned("now")?),
        capabilities: {
            let count = frame.array(CAPABILITIES_MAX, "capabilities")?;
            let mut capability = || frame.text(CAPABILITY_BYTES_MAX, "capability").map(str::to_owned);
            (0..count).map(|_| capability()).collect::<Result<_, _>>()?
        },
        key_statements: {
            let count = frame.array(KEY_STATEMENTS_MAX, "key statements")?;
            let mut statement = || frame.bytes(KEY_STATEMENT_BYTES_MAX, "key statement");
            (0..count).map(|_| statement()).collect::<Result<_, _>>()?
        },
    })
}

fn write_subscribe(subscribe: &Subscribe, out: &mut impl ByteSink) {
    numbers(number::SUBSCRIBE, 6, &[], out);
    match subscribe.log_id {
        Some(log_id) => put_bytes(out, &log_id.0),
        None => put_null(out),
    }
    put_array(out, subscribe.marks.len());
    for mark in &subscribe.marks {
        put_array(out, 2);
        put_unsigned(out, mark.seq);
        put_bytes(out, &mark.check.0);
    }
    put_boolean(out, subscribe.have_only);
    write_window(subscribe.window, out);
    put_map(out, subscribe.options.len());
    for (number, value) in &subscribe.options {
        put_unsigned(out, *number);
        out.put(value);
    }
}

fn read_subscribe(frame: &mut FieldReader<'_>) -> Result<Subscribe, FrameError> {
    Ok(Subscribe {
        log_id: if frame.null() { None } else { Some(LogId(frame.array_of("log_id")?)) },
        marks: {
            let count = frame.array(1 + CURSOR_MARKS_MAX, "marks")?;
            let mut mark = || frame.tuple(2, "mark").and_then(|()| read_mark(frame));
            (0..count).map(|_| mark()).collect::<Result<_, _>>()?
        },
        have_only: frame.boolean("have_only")?,
        window: read_window(frame)?,
        options: read_options(frame)?,
    })
}

/// A map from numbers to items of any type; order and depth are checked as it is taken.
fn read_options(frame: &mut FieldReader<'_>) -> Result<BTreeMap<u64, Bytes>, FrameError> {
    let map = frame.item(SUBSCRIBE_OPTIONS_BYTES_MAX, "options")?;
    let form = |_| FrameError::Form("options");
    let mut items = cbor::CborReader::new(&map);
    let pairs = items.map().map_err(form)?;
    (0..pairs).map(|_| Ok((items.unsigned().map_err(form)?, map.slice_ref(items.skip_item()?)))).collect()
}

fn write_carrier(number: u64, carrier: &CarrierFrame, out: &mut impl ByteSink) {
    numbers(number, 5, &[carrier.seq], out);
    put_bytes(out, &carrier.check.0);
    put_array(out, carrier.path.len());
    carrier.path.hops().iter().for_each(|hop| put_text(out, hop.as_str()));
    put_bytes(out, &carrier.envelope);
}

fn read_carrier(frame: &mut FieldReader<'_>) -> Result<CarrierFrame, FrameError> {
    let to = read_mark(frame)?;
    let count = frame.array(PATH_HOPS_MAX, "path")?;
    let hops = (0..count).map(|_| read_name("hop", frame)).collect::<Result<_, _>>()?;
    Ok(CarrierFrame {
        seq: to.seq,
        check: to.check,
        path: HopPath::new(hops).map_err(|_| FrameError::Form("path"))?,
        // Beyond ENVELOPE_BYTES_MAX it is the envelope's fault, not the stream's: intake gives the verdict.
        envelope: frame.bytes(FRAME_BYTES_MAX, "envelope")?,
    })
}

const _: () = assert!(ENVELOPE_BYTES_MAX < FRAME_BYTES_MAX);

fn write_have(have: &Have, out: &mut impl ByteSink) {
    numbers(number::HAVE, 7, &[have.seq], out);
    put_bytes(out, &have.check.0);
    put_unsigned(out, have.created.0);
    put_text(out, have.publisher.as_str());
    put_bytes(out, &have.key.0);
    put_bytes(out, &have.digest.0);
}

fn read_have(frame: &mut FieldReader<'_>) -> Result<Have, FrameError> {
    let Mark { seq, check } = read_mark(frame)?;
    Ok(Have {
        seq,
        check,
        created: Timestamp(frame.unsigned("created")?),
        publisher: read_name("publisher", frame)?,
        key: EventKey(frame.array_of("key")?),
        digest: CoreDigest(frame.array_of("digest")?),
    })
}

fn write_ack(ack: &AckFrame, out: &mut impl ByteSink) {
    numbers(number::ACK, 8, &[ack.seq], out);
    write_window(ack.window, out);
    put_unsigned(out, ack.accepted);
    put_unsigned(out, ack.refused);
    put_unsigned(out, ack.rejected);
    put_unsigned(out, ack.owed.into());
    put_array(out, ack.verdicts.len());
    for (seq, code) in &ack.verdicts {
        put_array(out, 2);
        put_unsigned(out, *seq);
        put_unsigned(out, code.number().into());
    }
}

fn read_ack(frame: &mut FieldReader<'_>) -> Result<AckFrame, FrameError> {
    Ok(AckFrame {
        seq: frame.unsigned("seq")?,
        window: read_window(frame)?,
        accepted: frame.unsigned("accepted")?,
        refused: frame.unsigned("refused")?,
        rejected: frame.unsigned("rejected")?,
        owed: frame.number("owed")?,
        verdicts: {
            let count = frame.array(OWED_PER_FEED_MAX, "verdicts")?;
            (0..count).map(|_| read_verdict(frame)).collect::<Result<_, _>>()?
        },
    })
}

fn read_verdict(frame: &mut FieldReader<'_>) -> Result<(u64, VerdictNumber), FrameError> {
    frame.tuple(2, "verdict")?;
    let (seq, number) = (frame.unsigned("seq")?, frame.number("verdict")?);
    Ok((seq, VerdictNumber::new(number).ok_or(FrameError::Range { what: "verdict", number: 0 })?))
}

fn read_fault(frame: &mut FieldReader<'_>) -> Result<WireFrame, FrameError> {
    let number = frame.number("fault")?;
    let code = FaultNumber::new(number).ok_or(FrameError::Range { what: "fault", number: 0 })?;
    Ok(WireFrame::Fault { code, detail: frame.text(DETAIL_BYTES_MAX, "detail")?.to_owned() })
}

fn write_window(window: Window, out: &mut impl ByteSink) {
    put_array(out, 2);
    put_unsigned(out, window.envelopes.into());
    put_unsigned(out, window.bytes.into());
}

fn read_window(frame: &mut FieldReader<'_>) -> Result<Window, FrameError> {
    frame.tuple(2, "window")?;
    Ok(Window { envelopes: frame.number("window envelopes")?, bytes: frame.number("window bytes")? })
}

fn read_mark(frame: &mut FieldReader<'_>) -> Result<Mark, FrameError> {
    Ok(Mark { seq: frame.unsigned("seq")?, check: Check(frame.array_of("check")?) })
}

/// Reads a name in its one form: if a text only parses as a name (`cert_at`), it is rejected on the wire.
fn read_name(what: &'static str, frame: &mut FieldReader<'_>) -> Result<PublisherName, FrameError> {
    let text = frame.text(NAME_BYTES_MAX, what)?;
    match PublisherName::parse(text) {
        Ok(name) if name.as_str() == text => Ok(name),
        _ => Err(FrameError::Name { what }),
    }
}
