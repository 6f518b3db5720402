//! The fields of each frame, in their order on the wire (PROTOCOL.md §4.2; messages.cddl). Writing and
//! reading stand beside each other. Nothing here knows the length before a frame.

use super::super::{
    Ack, CarrierFrame, FaultCode, Frame, Have, Hello, Mark, Skip, Subscribe, VerdictCode, Window,
};
use super::reader::Reader;
use super::{FrameError, number};
use crate::cbor::{Sink, put_array, put_boolean, put_bytes, put_null, put_text, put_unsigned};
use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::limits::{
    CAPABILITIES_MAX, CAPABILITY_BYTES_MAX, CURSOR_MARKS_MAX, DETAIL_BYTES_MAX, ENVELOPE_BYTES_MAX,
    FEDERATION_BYTES_MAX, FILTER_BYTES_MAX, FRAME_BYTES_MAX, KEY_STATEMENT_BYTES_MAX, KEY_STATEMENTS_MAX,
    NAME_BYTES_MAX, OWED_PER_FEED_MAX, PATH_HOPS_MAX, SOFTWARE_BYTES_MAX,
};
use crate::time::Timestamp;

pub(super) fn write(frame: &Frame, out: &mut impl Sink) {
    match frame {
        Frame::Hello(hello) => write_hello(hello, out),
        Frame::Subscribe(subscribe) => write_subscribe(subscribe, out),
        Frame::Carrier(carrier) => write_carrier(number::CARRIER, carrier, out),
        Frame::Have(have) => write_have(have, out),
        Frame::Skip(skip) => {
            numbers(number::SKIP, 4, &[skip.to.seq], out);
            put_bytes(out, &skip.to.check.0);
            put_unsigned(out, skip.dropped);
        }
        Frame::Want { seq, key } => {
            numbers(number::WANT, 3, &[*seq], out);
            put_bytes(out, &key.0);
        }
        Frame::Answer(carrier) => write_carrier(number::ANSWER, carrier, out),
        Frame::Gone { seq } => numbers(number::GONE, 2, &[*seq], out),
        Frame::Ack(ack) => write_ack(ack, out),
        Frame::Mode { publisher, eager } => {
            numbers(number::MODE, 3, &[], out);
            put_text(out, publisher.as_str());
            put_boolean(out, *eager);
        }
        Frame::Head { seq, stored } => numbers(number::HEAD, 3, &[*seq, stored.0], out),
        Frame::Ping { nonce } => numbers(number::PING, 2, &[*nonce], out),
        Frame::Pong { nonce } => numbers(number::PONG, 2, &[*nonce], out),
        Frame::Fault { code, detail } => {
            numbers(number::FAULT, 3, &[*code as u64], out);
            put_text(out, &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]);
        }
        Frame::KeyStatement(statement) => {
            numbers(number::KEY, 2, &[], out);
            put_bytes(out, statement);
        }
    }
}

pub(super) fn read(number: u64, fields: usize, frame: &mut Reader<'_>) -> Result<Frame, FrameError> {
    let expect = |count| {
        if fields == count { Ok(()) } else { Err(FrameError::Fields { number, fields }) }
    };
    match number {
        number::HELLO => expect(12).and_then(|()| read_hello(frame)).map(Box::new).map(Frame::Hello),
        number::SUBSCRIBE => expect(5).and_then(|()| read_subscribe(frame)).map(Frame::Subscribe),
        number::CARRIER => expect(4).and_then(|()| read_carrier(frame)).map(Frame::Carrier),
        number::HAVE => expect(6).and_then(|()| read_have(frame)).map(Frame::Have),
        number::SKIP => {
            expect(3)?;
            Ok(Frame::Skip(Skip { to: read_mark(frame)?, dropped: frame.unsigned("dropped")? }))
        }
        number::WANT => {
            expect(2)?;
            Ok(Frame::Want { seq: frame.unsigned("seq")?, key: EventKey(frame.array_of("key")?) })
        }
        number::ANSWER => expect(4).and_then(|()| read_carrier(frame)).map(Frame::Answer),
        number::GONE => expect(1).and_then(|()| Ok(Frame::Gone { seq: frame.unsigned("seq")? })),
        number::ACK => expect(7).and_then(|()| read_ack(frame)).map(Box::new).map(Frame::Ack),
        number::MODE => {
            expect(2)?;
            Ok(Frame::Mode { publisher: read_name("publisher", frame)?, eager: frame.boolean("eager")? })
        }
        number::HEAD => {
            expect(2)?;
            Ok(Frame::Head { seq: frame.unsigned("seq")?, stored: Timestamp(frame.unsigned("stored")?) })
        }
        number::PING => expect(1).and_then(|()| Ok(Frame::Ping { nonce: frame.unsigned("nonce")? })),
        number::PONG => expect(1).and_then(|()| Ok(Frame::Pong { nonce: frame.unsigned("nonce")? })),
        number::FAULT => expect(2).and_then(|()| read_fault(frame)),
        number::KEY => {
            expect(1)?;
            frame.bytes(KEY_STATEMENT_BYTES_MAX, "key statement").map(Frame::KeyStatement)
        }
        _ => Err(FrameError::UnknownType(number)),
    }
}

/// The frame's array of `items` with its type and the numbers that follow it.
fn numbers(number: u64, items: usize, following: &[u64], out: &mut impl Sink) {
    put_array(out, items);
    put_unsigned(out, number);
    following.iter().for_each(|number| put_unsigned(out, *number));
}

fn write_hello(hello: &Hello, out: &mut impl Sink) {
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

fn read_hello(frame: &mut Reader<'_>) -> Result<Hello, FrameError> {
    Ok(Hello {
        name: read_name("name", frame)?,
        federation: frame.text(FEDERATION_BYTES_MAX, "federation")?.to_owned(),
        version_min: frame.number("version_min")?,
        version_max: frame.number("version_max")?,
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

fn write_subscribe(subscribe: &Subscribe, out: &mut impl Sink) {
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
    match &subscribe.filter {
        Some(filter) => put_text(out, filter),
        None => put_null(out),
    }
    put_boolean(out, subscribe.have_only);
    write_window(subscribe.window, out);
}

fn read_subscribe(frame: &mut Reader<'_>) -> Result<Subscribe, FrameError> {
    Ok(Subscribe {
        log_id: if frame.null() { None } else { Some(LogId(frame.array_of("log_id")?)) },
        marks: {
            let count = frame.array(1 + CURSOR_MARKS_MAX, "marks")?;
            let mut mark = || frame.tuple(2, "mark").and_then(|()| read_mark(frame));
            (0..count).map(|_| mark()).collect::<Result<_, _>>()?
        },
        filter: if frame.null() { None } else { Some(frame.text(FILTER_BYTES_MAX, "filter")?.to_owned()) },
        have_only: frame.boolean("have_only")?,
        window: read_window(frame)?,
    })
}

fn write_carrier(number: u64, carrier: &CarrierFrame, out: &mut impl Sink) {
    numbers(number, 5, &[carrier.seq], out);
    put_bytes(out, &carrier.check.0);
    put_array(out, carrier.path.len());
    carrier.path.hops().iter().for_each(|hop| put_text(out, hop.as_str()));
    put_bytes(out, &carrier.envelope);
}

fn read_carrier(frame: &mut Reader<'_>) -> Result<CarrierFrame, FrameError> {
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

fn write_have(have: &Have, out: &mut impl Sink) {
    numbers(number::HAVE, 7, &[have.seq], out);
    put_bytes(out, &have.check.0);
    put_unsigned(out, have.created.0);
    put_text(out, have.publisher.as_str());
    put_bytes(out, &have.key.0);
    put_bytes(out, &have.digest.0);
}

fn read_have(frame: &mut Reader<'_>) -> Result<Have, FrameError> {
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

fn write_ack(ack: &Ack, out: &mut impl Sink) {
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
        put_unsigned(out, *code as u64);
    }
}

fn read_ack(frame: &mut Reader<'_>) -> Result<Ack, FrameError> {
    Ok(Ack {
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

fn read_verdict(frame: &mut Reader<'_>) -> Result<(u64, VerdictCode), FrameError> {
    frame.tuple(2, "verdict")?;
    let seq = frame.unsigned("seq")?;
    let number = frame.unsigned("verdict")?;
    let code = u8::try_from(number).ok().and_then(VerdictCode::from_number);
    Ok((seq, code.ok_or(FrameError::UnknownCode { what: "verdict", number })?))
}

fn read_fault(frame: &mut Reader<'_>) -> Result<Frame, FrameError> {
    let number = frame.unsigned("fault")?;
    let code = u8::try_from(number).ok().and_then(FaultCode::from_number);
    Ok(Frame::Fault {
        code: code.ok_or(FrameError::UnknownCode { what: "fault", number })?,
        detail: frame.text(DETAIL_BYTES_MAX, "detail")?.to_owned(),
    })
}

fn write_window(window: Window, out: &mut impl Sink) {
    put_array(out, 2);
    put_unsigned(out, window.envelopes.into());
    put_unsigned(out, window.bytes.into());
}

fn read_window(frame: &mut Reader<'_>) -> Result<Window, FrameError> {
    frame.tuple(2, "window")?;
    Ok(Window { envelopes: frame.number("window envelopes")?, bytes: frame.number("window bytes")? })
}

fn read_mark(frame: &mut Reader<'_>) -> Result<Mark, FrameError> {
    Ok(Mark { seq: frame.unsigned("seq")?, check: Check(frame.array_of("check")?) })
}

/// A name in its one form: what only reads as a name (`cert_at`) is none on the wire.
fn read_name(what: &'static str, frame: &mut Reader<'_>) -> Result<PublisherName, FrameError> {
    let text = frame.text(NAME_BYTES_MAX, what)?;
    match PublisherName::parse(text) {
        Ok(name) if name.as_str() == text => Ok(name),
        _ => Err(FrameError::Name { what }),
    }
}
