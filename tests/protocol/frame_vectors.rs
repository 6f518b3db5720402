//! Holds the frame codec against `tests/vectors/frame/`: one frame of each type, and frames with one fault.
//! `INTELMESH_WRITE_VECTORS=1 cargo test --test frame_vectors` writes them anew from the list in this file.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use intelmesh::testing::{
    AckFrame, CborError, FaultNumber, Have, Hello, Skip, Subscribe, VerdictNumber, Window, frame::encode,
};
use intelmesh::{
    CarrierFrame, Check, CoreDigest, EventKey, FaultCode, FrameDecoder, FrameError, HopPath, LogId, Mark,
    PublisherName, Timestamp, VerdictCode, WireFrame,
};

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/frame")
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

const AT: Mark = Mark { seq: 300, check: Check([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]) };
const NOW: Timestamp = Timestamp(1_795_000_000_123);
const WINDOW: Window = Window { envelopes: 4096, bytes: 16 * 1024 * 1024 };

/// A whole envelope, from its own vectors, so that it can be checked as one.
fn envelope() -> Bytes {
    let text = std::fs::read_to_string(place().with_file_name("envelope").join("valid-body.txt"));
    let text = text.unwrap_or_default();
    let hex: String = text.split_once("\n\n").map_or("", |parts| parts.1).split_whitespace().collect();
    HEXLOWER.decode(hex.as_bytes()).unwrap().into()
}

fn carrier() -> CarrierFrame {
    let path = HopPath::new(vec![name("cert-at"), name("cert-ee")]).unwrap();
    CarrierFrame { seq: AT.seq, check: AT.check, path, envelope: envelope() }
}

fn hello() -> Hello {
    Hello {
        name: name("cert-at"),
        federation: "csirts-network".into(),
        version_min: 1,
        version_max: 1,
        software: "intelmesh 0.1.0".into(),
        instance: u64::MAX,
        log_id: LogId([9; 16]),
        first_seq: 1,
        last_seq: 300,
        now: NOW,
        capabilities: vec!["zstd".into()],
        key_statements: vec![Bytes::from_static(b"reserved")],
    }
}

fn subscribe(log_id: Option<LogId>, marks: Vec<Mark>, have_only: bool) -> Subscribe {
    Subscribe { log_id, marks, have_only, window: WINDOW, options: Default::default() }
}

fn valid() -> Vec<(&'static str, WireFrame)> {
    let (key, digest, publisher) = (EventKey([3; 16]), CoreDigest([4; 32]), name("cert-at"));
    let log_id = Some(LogId([9; 16]));
    let marks = vec![AT, Mark::START];
    let (Mark { seq, check }, detail) = (AT, "this node stops".into());
    let verdicts = vec![(299, VerdictCode::Rate.into()), (300, VerdictCode::UnknownPublisher.into())];
    let ack = AckFrame { seq, window: WINDOW, accepted: 250, refused: 48, rejected: 1, owed: 1, verdicts };
    let later = AckFrame { verdicts: vec![(300, VerdictNumber::new(38).unwrap())], ..ack.clone() };
    let first = subscribe(None, vec![], false);
    let again = subscribe(log_id, marks, true);
    let asking = Subscribe { options: [(64, Bytes::from_static(&[0x61, b'x']))].into(), ..first.clone() };
    vec![
        ("hello", WireFrame::Hello(Box::new(hello()))),
        ("subscribe-first", WireFrame::Subscribe(first)),
        ("subscribe-again", WireFrame::Subscribe(again)),
        ("subscribe-option", WireFrame::Subscribe(asking)),
        ("carrier", WireFrame::Carrier(carrier())),
        (
            "have",
            WireFrame::Have(Have { seq, check, created: NOW, publisher: publisher.clone(), key, digest }),
        ),
        ("skip", WireFrame::Skip(Skip { to: AT, dropped: 2 })),
        ("want", WireFrame::Want { seq, key }),
        ("answer", WireFrame::Answer(carrier())),
        ("gone", WireFrame::Gone { seq }),
        ("ack", WireFrame::Ack(Box::new(ack))),
        ("ack-verdict-later", WireFrame::Ack(Box::new(later))),
        ("mode", WireFrame::Mode { publisher, eager: true }),
        ("head", WireFrame::Head { seq, stored: NOW }),
        ("ping", WireFrame::Ping { nonce: 23 }),
        ("pong", WireFrame::Pong { nonce: 24 }),
        ("fault", WireFrame::Fault { code: FaultCode::Stopping.into(), detail }),
        (
            "fault-later",
            WireFrame::Fault { code: FaultNumber::new(99).unwrap(), detail: "a later reason".into() },
        ),
        ("key", WireFrame::KeyStatement(Bytes::from_static(b"reserved"))),
    ]
}

/// Bytes of the array alone, or of a length that is the fault.
fn faults() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let framed = |array: &[u8]| [&(array.len() as u32).to_be_bytes()[..], array].concat();
    let deep = [&[0x82, 0x18, 64][..], &[0x81; 16], &[0]].concat();
    vec![
        ("too-large", "size", vec![0x00, 0x21, 0x10, 0x01]),
        ("truncated", "cbor", framed(&[0x82, 11, 0x19, 1])),
        ("long-number", "cbor", framed(&[0x82, 11, 0x18, 1])),
        ("indefinite", "cbor", framed(&[0x9f, 11, 1, 0xff])),
        ("trailing", "cbor", framed(&[0x82, 11, 1, 0])),
        ("too-deep", "depth", framed(&deep)),
        ("unknown-type", "frame", framed(&[0x81, 15])),
        ("field-missing", "frame", framed(&[0x81, 11])),
        ("field-more", "frame", framed(&[0x83, 11, 1, 1])),
        ("field-more-in-hello", "frame", longer(&WireFrame::Hello(Box::new(hello())))),
        ("text-for-number", "frame", framed(&[0x82, 11, 0x61, b'a'])),
        ("bad-name", "frame", framed(&[0x83, 9, 0x63, b'a', b'_', b'b', 0xf5])),
        ("fault-0", "frame", framed(&[0x83, 13, 0, 0x60])),
        ("verdict-0", "frame", framed(&[0x88, 8, 5, 0x82, 1, 1, 0, 0, 0, 0, 0x81, 0x82, 5, 0])),
        ("marks-18", "frame", encoded(&WireFrame::Subscribe(subscribe(None, vec![AT; 18], false)))),
        ("detail-257", "frame", framed(&[&[0x83, 13, 1, 0x79, 1, 1][..], &[b'a'; 257]].concat())),
    ]
}

fn encoded(frame: &WireFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes
}

/// The frame with a field behind those of this version.
fn longer(frame: &WireFrame) -> Vec<u8> {
    let mut array = encoded(frame).split_off(4);
    array[0] += 1;
    array.extend_from_slice(&[0xa1, 0x01, 0x81, 0xf6]);
    [&(array.len() as u32).to_be_bytes()[..], &array].concat()
}

/// What later versions may say, and what comes of it; some are several frames of one stream.
fn later() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let newer = longer(&WireFrame::Hello(Box::new(Hello { version_max: 2, ..hello() })));
    let ping = longer(&WireFrame::Ping { nonce: 23 });
    let other = [0x86, 0, 0x61, b'b', 0x61, b'c', 2, 3, 0xf6];
    let other = [&(other.len() as u32).to_be_bytes()[..], &other].concat();
    let critical =
        Subscribe { options: [(1, Bytes::from_static(&[0xf5]))].into(), ..subscribe(None, vec![], false) };
    let ignorable = [0, 0, 0, 5, 0x83, 0x18, 64, 0xf6, 0x80].to_vec();
    vec![
        ("ok-ignorable", "ok", ignorable),
        ("ok-hello-later", "ok", newer.clone()),
        ("ok-field-after-hello-later", "ok", [newer, ping].concat()),
        ("hello-other", "version", other),
        ("subscribe-critical-option", "not_built", encoded(&WireFrame::Subscribe(critical))),
    ]
}

/// Name, expected layer and bytes of every file.
fn vectors() -> Vec<(String, &'static str, Vec<u8>)> {
    let ok = |(name, frame): (&str, WireFrame)| (format!("ok-{name}"), "ok", encoded(&frame));
    let mut all: Vec<_> = valid().into_iter().map(ok).collect();
    let others = later().into_iter().chain(faults());
    all.extend(others.map(|(name, layer, bytes)| (name.to_owned(), layer, bytes)));
    all
}

fn text((_, expect, bytes): &(String, &'static str, Vec<u8>)) -> String {
    let lines = bytes.chunks(48).map(|line| HEXLOWER.encode(line) + "\n");
    format!("expect: {expect}\nkind: frame\n\n{}", lines.collect::<String>())
}

fn layer(fault: &FrameError) -> &'static str {
    match fault {
        FrameError::TooLarge(_) => "size",
        FrameError::Cbor(CborError::TooDeep(_)) => "depth",
        FrameError::Cbor(_) => "cbor",
        _ => "frame",
    }
}

#[test]
fn the_files_are_what_this_node_writes() {
    let write = std::env::var_os("INTELMESH_WRITE_VECTORS").is_some();
    for vector in vectors() {
        let path = place().join(&vector.0).with_extension("txt");
        if write {
            std::fs::create_dir_all(place()).unwrap();
            std::fs::write(&path, text(&vector)).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(file, text(&vector), "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(place()).unwrap().count(), vectors().len(), "a file too many");
}

/// Reads all frames of one file, as those of one stream.
fn judge(bytes: &[u8]) -> Result<Vec<WireFrame>, &'static str> {
    let (mut decoder, mut buffer) = (FrameDecoder::default(), BytesMut::from(bytes));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut buffer).map_err(|fault| layer(&fault))? {
        match &frame {
            WireFrame::OtherVersion(_) => return Err("version"),
            WireFrame::Subscribe(subscribe) if subscribe.critical_option().is_some() => {
                return Err("not_built");
            }
            _ => frames.push(frame),
        }
    }
    Ok(frames)
}

#[test]
fn each_frame_is_taken_or_refused_at_its_layer() {
    let mut frames = valid().into_iter();
    for (name, expect, bytes) in vectors() {
        let found = judge(&bytes);
        assert_eq!(found.as_ref().map_or_else(|layer| *layer, |_| "ok"), expect, "{name}");
        if let Some((_, frame)) = frames.next() {
            assert_eq!(found, Ok(vec![frame]), "{name}");
        }
    }
}
