//! Holds the frame codec against `tests/vectors/frame/`: one frame of each type, and frames with one fault.
//! `INTELMESH_WRITE_VECTORS=1 cargo test --test frame_vectors` writes them anew from the list in this file.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use intelmesh::cbor::CborError;
use intelmesh::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use intelmesh::time::Timestamp;
use intelmesh::wire::frame::{FrameError, decode, encode};
use intelmesh::wire::{
    Ack, CarrierFrame, FaultCode, Frame, Have, Hello, Mark, Skip, Subscribe, VerdictCode, Window,
};

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/frame")
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

const AT: Mark = Mark { seq: 300, check: Check([1, 2, 3, 4, 5, 6, 7, 8]) };
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

fn valid() -> Vec<(&'static str, Frame)> {
    let (key, digest, publisher) = (EventKey([3; 16]), CoreDigest([4; 32]), name("cert-at"));
    let log_id = Some(LogId([9; 16]));
    let marks = vec![AT, Mark::START];
    let (Mark { seq, check }, detail) = (AT, "this node stops".into());
    let verdicts = vec![(299, VerdictCode::Rate), (300, VerdictCode::UnknownPublisher)];
    let first = Subscribe { log_id: None, marks: vec![], filter: None, have_only: false, window: WINDOW };
    let again = Subscribe { log_id, marks, filter: None, have_only: true, window: WINDOW };
    vec![
        ("hello", Frame::Hello(Box::new(hello()))),
        ("subscribe-first", Frame::Subscribe(first)),
        ("subscribe-again", Frame::Subscribe(again)),
        ("carrier", Frame::Carrier(carrier())),
        ("have", Frame::Have(Have { seq, check, created: NOW, publisher: publisher.clone(), key, digest })),
        ("skip", Frame::Skip(Skip { to: AT, dropped: 2 })),
        ("want", Frame::Want { seq, key }),
        ("answer", Frame::Answer(carrier())),
        ("gone", Frame::Gone { seq }),
        (
            "ack",
            Frame::Ack(Box::new(Ack {
                seq,
                window: WINDOW,
                accepted: 250,
                refused: 48,
                rejected: 1,
                owed: 1,
                verdicts,
            })),
        ),
        ("mode", Frame::Mode { publisher, eager: true }),
        ("head", Frame::Head { seq, stored: NOW }),
        ("ping", Frame::Ping { nonce: 23 }),
        ("pong", Frame::Pong { nonce: 24 }),
        ("fault", Frame::Fault { code: FaultCode::Stopping, detail }),
        ("key", Frame::KeyStatement(Bytes::from_static(b"reserved"))),
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
        ("text-for-number", "frame", framed(&[0x82, 11, 0x61, b'a'])),
        ("bad-name", "frame", framed(&[0x83, 9, 0x63, b'a', b'_', b'b', 0xf5])),
        ("unknown-fault", "frame", framed(&[0x83, 13, 0x18, 99, 0x60])),
        ("marks-18", "frame", framed(&[&[0x86, 1, 0xf6, 0x92][..], &[0; 16]].concat())),
        ("detail-257", "frame", framed(&[&[0x83, 13, 1, 0x79, 1, 1][..], &[b'a'; 257]].concat())),
    ]
}

/// Name, expected layer and bytes of every file.
fn vectors() -> Vec<(String, &'static str, Vec<u8>)> {
    let encoded = |(name, frame): (&str, Frame)| {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        (format!("ok-{name}"), "ok", bytes)
    };
    let ignorable = [0, 0, 0, 5, 0x83, 0x18, 64, 0xf6, 0x80].to_vec();
    let mut all: Vec<_> = valid().into_iter().map(encoded).collect();
    all.push(("ok-ignorable".to_owned(), "ok", ignorable));
    all.extend(faults().into_iter().map(|(name, layer, bytes)| (name.to_owned(), layer, bytes)));
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

#[test]
fn each_frame_is_taken_or_refused_at_its_layer() {
    let mut frames = valid().into_iter();
    for (name, expect, bytes) in vectors() {
        let decoded = decode(&mut BytesMut::from(&bytes[..]));
        let found = decoded.as_ref().map_or_else(layer, |_| "ok");
        assert_eq!(found, expect, "{name}: {decoded:?}");
        if let Ok(Some(frame)) = decoded {
            assert_eq!(Some(frame), frames.next().map(|(_, frame)| frame), "{name}");
        }
    }
}
