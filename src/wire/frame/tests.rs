//! Frames and bytes, each way: every fault by its exact error, and properties over random frames and bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::cbor::CborError;
use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::time::Timestamp;
use crate::wire::{
    AckFrame, CarrierFrame, FaultCode, FaultNumber, Have, Hello, Mark, Skip, Subscribe, VerdictNumber, Window,
};

fn one(array: &[u8]) -> Result<Option<WireFrame>, FrameError> {
    FrameDecoder::default().decode_one(&Bytes::copy_from_slice(array))
}

fn decode(buffer: &mut BytesMut) -> Result<Option<WireFrame>, FrameError> {
    FrameDecoder::default().decode(buffer)
}

fn name() -> impl Strategy<Value = PublisherName> {
    "[a-z0-9][a-z0-9-]{0,31}".prop_map(|text| PublisherName::parse(&text).unwrap())
}

fn mark() -> impl Strategy<Value = Mark> {
    any::<(u64, [u8; 16])>().prop_map(|(seq, check)| Mark { seq, check: Check(check) })
}

fn window() -> impl Strategy<Value = Window> {
    any::<(u32, u32)>().prop_map(|(envelopes, bytes)| Window { envelopes, bytes })
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn carrier() -> impl Strategy<Value = CarrierFrame> {
    (mark(), vec(name(), 0..=32), bytes(70_000)).prop_map(|(at, hops, envelope)| CarrierFrame {
        seq: at.seq,
        check: at.check,
        path: HopPath::new(hops).unwrap(),
        envelope,
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        (name(), "[a-zé]{0,32}", (0u8..=1, 1u8..), "[ -~]{0,64}", any::<u64>()),
        (any::<[u8; 16]>(), any::<(u64, u64, u64)>(), vec("[a-z]{0,32}", 0..=32), vec(bytes(100), 0..=16)),
    )
        .prop_map(
            |((name, federation, versions, software, instance), (log_id, seqs, capabilities, keys))| Hello {
                name,
                federation,
                version_min: versions.0,
                version_max: versions.1,
                software,
                instance,
                log_id: LogId(log_id),
                first_seq: seqs.0,
                last_seq: seqs.1,
                now: Timestamp(seqs.2),
                capabilities,
                key_statements: keys,
            },
        )
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let value = vec(any::<u8>(), 0..40).prop_map(|bytes| {
        let mut item = Vec::new();
        crate::cbor::put_bytes(&mut item, &bytes);
        Bytes::from(item)
    });
    let options = proptest::collection::btree_map(any::<u64>(), value, 0..8);
    (option::of(any::<[u8; 16]>()), vec(mark(), 0..=17), any::<bool>(), window(), options).prop_map(
        |(log_id, marks, have_only, window, options)| Subscribe {
            log_id: log_id.map(LogId),
            marks,
            have_only,
            window,
            options,
        },
    )
}

fn have() -> impl Strategy<Value = Have> {
    (mark(), any::<u64>(), name(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
        |(at, created, publisher, key, digest)| Have {
            seq: at.seq,
            check: at.check,
            created: Timestamp(created),
            publisher,
            key: EventKey(key),
            digest: CoreDigest(digest),
        },
    )
}

fn ack() -> impl Strategy<Value = AckFrame> {
    let verdict = (any::<u64>(), (1u8..).prop_map(|number| VerdictNumber::new(number).unwrap()));
    (any::<[u64; 4]>(), window(), any::<u32>(), vec(verdict, 0..100)).prop_map(
        |([seq, accepted, refused, rejected], window, owed, verdicts)| AckFrame {
            seq,
            window,
            accepted,
            refused,
            rejected,
            owed,
            verdicts,
        },
    )
}

fn frame() -> impl Strategy<Value = WireFrame> {
    let fault = ((1u8..).prop_map(|number| FaultNumber::new(number).unwrap()), "[ -~]{0,256}");
    prop_oneof![
        hello().prop_map(|hello| WireFrame::Hello(Box::new(hello))),
        subscribe().prop_map(WireFrame::Subscribe),
        carrier().prop_map(WireFrame::Carrier),
        carrier().prop_map(WireFrame::Answer),
        have().prop_map(WireFrame::Have),
        (mark(), any::<u64>()).prop_map(|(to, dropped)| WireFrame::Skip(Skip { to, dropped })),
        any::<(u64, [u8; 16])>().prop_map(|(seq, key)| WireFrame::Want { seq, key: EventKey(key) }),
        any::<u64>().prop_map(|seq| WireFrame::Gone { seq }),
        ack().prop_map(|ack| WireFrame::Ack(Box::new(ack))),
        (name(), any::<bool>()).prop_map(|(publisher, eager)| WireFrame::Mode { publisher, eager }),
        any::<(u64, u64)>().prop_map(|(seq, at)| WireFrame::Head { seq, stored: Timestamp(at) }),
        any::<u64>().prop_map(|nonce| WireFrame::Ping { nonce }),
        any::<u64>().prop_map(|nonce| WireFrame::Pong { nonce }),
        fault.prop_map(|(code, detail)| WireFrame::Fault { code, detail }),
        bytes(4096).prop_map(WireFrame::KeyStatement),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_encoded_decodes_to_itself(frames in vec(frame(), 1..4)) {
        let mut out = Vec::new();
        for frame in &frames {
            let before = out.len();
            encode(frame, &mut out);
            prop_assert_eq!(encoded_len(frame), out.len() - before);
        }
        let mut buffer = BytesMut::from(&out[..]);
        let mut decoder = FrameDecoder::default();
        for frame in frames {
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(frame)));
        }
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }

    #[test]
    fn any_bytes_decode_or_fail_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
        let mut framed = (bytes.len() as u32).to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        fuzz(&framed);
    }

    #[test]
    fn a_changed_byte_decodes_or_fails_without_panic(frame in frame(), at in any::<usize>(), to in any::<u8>()) {
        let mut out = Vec::new();
        encode(&frame, &mut out);
        let at = at % out.len().min(400);
        out[at] = to;
        fuzz(&out);
    }
}

#[test]
fn the_bytes_of_a_frame_are_fixed() {
    let mut out = Vec::new();
    encode(&WireFrame::Head { seq: 300, stored: Timestamp(24) }, &mut out);
    assert_eq!(out, [0, 0, 0, 7, 0x83, 10, 0x19, 1, 44, 0x18, 24]);
}

#[test]
fn each_fault_of_form_has_its_error() {
    let cases: &[(&str, &[u8], FrameError)] = &[
        ("nothing", &[], CborError::Truncated(0).into()),
        ("no array", &[0x0b], FrameError::Form("frame")),
        ("an empty array", &[0x80], FrameError::Form("frame")),
        ("no type", &[0x81], CborError::Truncated(1).into()),
        ("a field missing", &[0x81, 11], FrameError::Fields { number: 11, fields: 0 }),
        ("a field more", &[0x83, 11, 1, 1], FrameError::Fields { number: 11, fields: 2 }),
        ("cut short", &[0x82, 11, 0x19, 1], CborError::Truncated(3).into()),
        ("bytes behind", &[0x82, 11, 1, 0], CborError::TrailingBytes(1).into()),
        ("a long number", &[0x82, 11, 0x18, 1], CborError::NotShortest(2).into()),
        ("a long type", &[0x82, 0x18, 11, 1], CborError::NotShortest(1).into()),
        ("an indefinite array", &[0x9f, 11, 1, 0xff], CborError::Indefinite(0).into()),
        ("a reserved argument", &[0x82, 11, 0x1c], CborError::Unsupported(2).into()),
        ("text for a number", &[0x82, 11, 0x61, b'a'], FrameError::Form("nonce")),
        ("a lower unknown type", &[0x81, 15], FrameError::UnknownType(15)),
        ("a fault of 0", &[0x83, 13, 0, 0x60], FrameError::Range { what: "fault", number: 0 }),
        (
            "a fault beyond a byte",
            &[0x83, 13, 0x19, 1, 1, 0x60],
            FrameError::Range { what: "fault", number: 257 },
        ),
        (
            "a verdict of 0",
            &[0x88, 8, 5, 0x82, 1, 1, 0, 0, 0, 0, 0x81, 0x82, 5, 0],
            FrameError::Range { what: "verdict", number: 0 },
        ),
        ("HELLO without versions", &[0x83, 0, 0x61, b'a', 0x60], FrameError::Fields { number: 0, fields: 2 }),
        ("options in a list", &[0x86, 1, 0xf6, 0x80, 0xf4, 0x82, 1, 1, 0x80], FrameError::Form("options")),
        (
            "an option twice",
            &[0x86, 1, 0xf6, 0x80, 0xf4, 0x82, 1, 1, 0xa2, 1, 1, 1, 1],
            CborError::DuplicateKey(11).into(),
        ),
        ("no UTF-8", &[0x83, 13, 1, 0x61, 0xff], FrameError::Form("detail")),
        (
            "a name that only reads as one",
            &[0x83, 9, 0x63, b'a', b'_', b'b', 0xf5],
            FrameError::Name { what: "publisher" },
        ),
        ("a bad name", &[0x83, 9, 0x61, b'A', 0xf5], FrameError::Name { what: "publisher" }),
        ("no boolean", &[0x83, 9, 0x61, b'a', 1], FrameError::Form("eager")),
        ("a short key", &[0x83, 5, 1, 0x41, 0], FrameError::Form("key")),
    ];
    for (what, bytes, error) in cases {
        assert_eq!(one(bytes), Err(error.clone()), "{what}");
    }
}

#[test]
fn a_count_or_length_beyond_its_bound_is_refused_before_allocation() {
    let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
    assert_eq!(decode(&mut buffer), Err(FrameError::TooLarge(u32::MAX as usize)));

    // Long enough for the frame's own array to be possible.
    let padded = |array: &[u8]| one(&[array, &[0; 16]].concat());
    let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(one(&huge), Err(FrameError::TooMany { what: "frame", count: u64::MAX, max: 9 }));

    let ack = [0x88, 8, 1, 0x82, 1, 1, 1, 1, 1, 1, 0x99, 0x10, 0x01];
    assert_eq!(padded(&ack), Err(FrameError::TooMany { what: "verdicts", count: 4097, max: 4096 }));

    let options =
        [&[0x86, 1, 0xf6, 0x80, 0xf4, 0x82, 1, 1, 0xa1, 1, 0x59, 0x10, 0x00][..], &[0; 4096]].concat();
    assert_eq!(one(&options), Err(FrameError::TooLong { what: "options", bytes: 4101, max: 4096 }));

    let subscribe = [0x86, 1, 0xf6, 0x92];
    assert_eq!(padded(&subscribe), Err(FrameError::TooMany { what: "marks", count: 18, max: 17 }));

    let detail = [0x83, 13, 1, 0x79, 1, 1];
    assert_eq!(padded(&detail), Err(FrameError::TooLong { what: "detail", bytes: 257, max: 256 }));

    let path = [&[0x85, 2, 1, 0x50][..], &[0; 16], &[0x98, 33]].concat();
    assert_eq!(padded(&path), Err(FrameError::TooMany { what: "path", count: 33, max: 32 }));

    let window = [0x88, 8, 1, 0x82, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(padded(&window), Err(FrameError::Range { what: "window envelopes", number: 1 << 32 }));
}

#[test]
fn an_unknown_type_from_64_on_is_passed_over() {
    let mut buffer = BytesMut::from(&[0, 0, 0, 5, 0x82, 0x18, 64, 0xa0, 0, 0, 0, 0, 3][..]);
    assert_eq!(decode(&mut buffer), Err(CborError::TrailingBytes(1).into()));

    let mut buffer = BytesMut::from(&[0, 0, 0, 4, 0x82, 0x18, 64, 0xa0, 0, 0, 0, 3, 0x82, 11, 7][..]);
    assert_eq!(decode(&mut buffer), Ok(Some(WireFrame::Ping { nonce: 7 })));
}

#[test]
fn what_is_passed_over_may_not_be_nested_deeper_than_16() {
    let nested = |levels: usize| {
        // The frame's own array is the first level, and the innermost array is empty.
        let mut bytes = vec![0x82, 0x18, 64];
        bytes.extend(std::iter::repeat_n(0x81, levels - 2));
        bytes.push(0x80);
        bytes
    };
    assert_eq!(one(&nested(16)), Ok(None));
    assert_eq!(one(&nested(17)), Err(CborError::TooDeep(18).into()));
    assert_eq!(one(&nested(100_000)), Err(CborError::TooDeep(18).into()));
}

#[test]
fn a_frame_is_taken_only_when_it_is_all_there() {
    let mut out = Vec::new();
    encode(&WireFrame::Ping { nonce: 1000 }, &mut out);
    let mut buffer = BytesMut::new();
    for byte in &out[..out.len() - 1] {
        buffer.extend_from_slice(&[*byte]);
        assert_eq!(decode(&mut buffer), Ok(None));
    }
    buffer.extend_from_slice(&out[out.len() - 1..]);
    assert_eq!(decode(&mut buffer), Ok(Some(WireFrame::Ping { nonce: 1000 })));
}

#[test]
fn long_words_of_a_fault_are_cut_between_characters() {
    let mut out = Vec::new();
    encode(&WireFrame::Fault { code: FaultCode::Name.into(), detail: "é".repeat(200) + "x" }, &mut out);
    let Some(WireFrame::Fault { detail, .. }) = decode(&mut BytesMut::from(&out[..])).unwrap() else {
        panic!()
    };
    assert_eq!(detail, "é".repeat(128));
}

#[test]
fn an_envelope_is_a_slice_of_what_was_read() {
    let carrier = CarrierFrame {
        seq: 1,
        check: Check::START,
        path: HopPath::default(),
        envelope: Bytes::from(vec![7; 100]),
    };
    let mut out = Vec::new();
    encode(&WireFrame::Carrier(carrier), &mut out);
    let bytes = Bytes::from(out).slice(LENGTH_BYTES..);
    let Ok(Some(WireFrame::Carrier(carrier))) = FrameDecoder::default().decode_one(&bytes) else { panic!() };
    let range = bytes.as_ptr_range();
    assert!(range.contains(&carrier.envelope.as_ptr()));
}

// --- later versions ---

/// The frame's array with `more` fields at its end.
fn with_more(frame: &WireFrame, more: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    let mut array = bytes[LENGTH_BYTES..].to_vec();
    assert!((0x80..0x97).contains(&array[0]), "an array of less than 23");
    array[0] += 1;
    array.extend_from_slice(more);
    array
}

fn hello_of(version_min: u8, version_max: u8) -> WireFrame {
    let hello = Hello {
        name: PublisherName::parse("cert-ee").unwrap(),
        federation: "test".into(),
        version_min,
        version_max,
        software: "intelmesh 2".into(),
        instance: 1,
        log_id: LogId([1; 16]),
        first_seq: 1,
        last_seq: 1,
        now: Timestamp(1),
        capabilities: vec!["zstd".into(), "batch".into()],
        key_statements: Vec::new(),
    };
    WireFrame::Hello(Box::new(hello))
}

/// One more field, of a type that no frame has today.
const MAP: &[u8] = &[0xa1, 0x18, 99, 0x81, 0xf6];

#[test]
fn a_longer_hello_of_a_common_version_is_read() {
    let hello = hello_of(1, 2);
    assert_eq!(one(&with_more(&hello, MAP)), Ok(Some(hello)));
    let ours = one(&with_more(&hello_of(1, 1), MAP));
    assert_eq!(ours, Err(FrameError::Fields { number: 0, fields: 13 }), "this version has no such field");
}

/// Its other fields may have any form, and what follows it, too: a fault in them would hide the true cause.
#[test]
fn of_a_hello_without_common_version_only_versions_are_read() {
    let mut array = vec![0x86, 0, 0x67];
    array.extend_from_slice(b"cert-ee\x64test\x02\x03\xff");
    let mut buffer = BytesMut::from(&(array.len() as u32).to_be_bytes()[..]);
    buffer.extend_from_slice(&array);
    buffer.extend_from_slice(&[0, 0, 0, 2, 0x81, 63, 0xff, 0xff, 0xff, 0xff]);
    let mut decoder = FrameDecoder::default();
    let decoded = decoder.decode(&mut buffer);
    let Ok(Some(WireFrame::OtherVersion(greeting))) = decoded else { panic!("{decoded:?}") };
    assert_eq!((greeting.version_min, greeting.version_max, greeting.name.as_str()), (2, 3, "cert-ee"));
    assert_eq!(decoder.decode(&mut buffer), Ok(None), "nothing behind it is read");
}

#[test]
fn only_a_newer_peers_frames_may_have_more_fields() {
    let at = Timestamp(1);
    let frames =
        [WireFrame::Head { seq: 1, stored: at }, WireFrame::Gone { seq: 1 }, WireFrame::Ping { nonce: 1 }];
    let mut newer = FrameDecoder::default();
    newer.decode_one(&with_more(&hello_of(1, 2), MAP).into()).unwrap();
    let mut equal = FrameDecoder::default();
    for frame in frames {
        let longer = Bytes::from(with_more(&frame, MAP));
        assert_eq!(newer.decode_one(&longer), Ok(Some(frame.clone())));
        let fault = equal.decode_one(&longer).unwrap_err();
        assert!(matches!(fault, FrameError::Fields { .. }), "{fault}");
    }
    let bad = Bytes::from(with_more(&WireFrame::Ping { nonce: 1 }, &[0x9f, 0xff]));
    assert_eq!(newer.decode_one(&bad), Err(CborError::Indefinite(3).into()), "still one form of CBOR");
}

#[test]
fn verdicts_and_faults_of_a_later_version_are_kept_with_their_numbers() {
    let ack = [0x88, 8, 5, 0x82, 1, 1, 0, 0, 0, 0, 0x81, 0x82, 5, 0x18, 38];
    let Ok(Some(WireFrame::Ack(ack))) = one(&ack) else { panic!("no ACK") };
    assert_eq!(ack.verdicts, [(5, VerdictNumber::new(38).unwrap())]);
    let fault = one(&[0x83, 13, 0x18, 99, 0x61, b'x']);
    assert_eq!(fault, Ok(Some(WireFrame::Fault { code: FaultNumber::new(99).unwrap(), detail: "x".into() })));
}
