//! Encoding and decoding against each other, against ciborium and coset as oracles, and under damage. Faults
//! one by one are in `tests/vectors/`.

use bytes::Bytes;
use coset::TaggedCborSerializable as _;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Body, EventType, Extensions, IdScheme, Signer};
use super::*;
use crate::cbor::CborError;
use crate::event::EventFormat;
use crate::identity::{EventId, KeyId, ProjectName, PublisherName};
use crate::link::{Link, LinkTarget, Relation};
use crate::time::Timestamp;
use crate::tlp::Tlp;

fn signer() -> Signer {
    Signer::new(crate::fixture::key(7))
}

fn name() -> impl Strategy<Value = PublisherName> {
    "[a-z0-9][a-z0-9-]{0,31}".prop_map(|text| PublisherName::parse(&text).unwrap())
}

fn event_id() -> impl Strategy<Value = EventId> {
    (name(), name(), any::<u128>()).prop_map(|(publisher, project, uuid)| EventId {
        publisher,
        project: ProjectName::parse(project.as_str()).unwrap(),
        uuid: Uuid::from_u128(uuid),
    })
}

fn link() -> impl Strategy<Value = Link> {
    let right = prop_oneof![
        event_id().prop_map(|id| ("related", LinkTarget::Event(id))),
        ".{1,40}".prop_map(|text| ("alternate", LinkTarget::Opaque(text))),
    ];
    (prop::option::of(event_id()), right).prop_map(|(left, (relation, right))| Link {
        left,
        relation: Relation::parse(relation).unwrap(),
        right,
    })
}

fn core() -> impl Strategy<Value = Core> {
    let scalars =
        (0..=crate::limits::TIME_MS_MAX - 1, prop::option::of(1..1_000_000u64), 0u8..=4, 1u8..=32, 0u8..=2);
    let lists = (prop::collection::btree_set(name(), 0..4), prop::collection::vec(link(), 0..3));
    let later = prop::collection::btree_map(64u8..=127, ".{0,40}", 0..4);
    let body = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| Body::Plain(bytes.into())),
        1 => Just(Body::Sealed(Bytes::new())),
    ];
    (
        event_id(),
        scalars,
        lists,
        prop::option::of(event_id()),
        prop::option::of(".{0,40}"),
        body,
        (any::<bool>(), later),
    )
        .prop_map(
            |(
                id,
                (created, expires, tlp, max_hops, ids),
                (to, links),
                parent,
                ext,
                body,
                (report, later),
            )| {
                let sealed = body.is_sealed();
                let ids = [IdScheme::Random, IdScheme::Content, IdScheme::Body][usize::from(ids)];
                let mut to: Vec<_> = to.into_iter().collect();
                if sealed && to.is_empty() {
                    to.push(id.publisher.clone());
                }
                let recipients = to.len() as u8;
                Core {
                    version: 1,
                    ids: if sealed { IdScheme::Random } else { ids },
                    created: Timestamp(created),
                    expires: expires
                        .map(|later| Timestamp((created + later).min(crate::limits::TIME_MS_MAX))),
                    event_type: if report { EventType::Report } else { EventType::Event },
                    format: EventFormat::parse(id.project.as_str()).unwrap(),
                    tlp: Tlp::from_number(tlp).unwrap(),
                    to,
                    max_hops,
                    parent: parent.filter(|_| !sealed),
                    links: if sealed { Vec::new() } else { links },
                    ext: ext.filter(|_| !sealed).map(Bytes::from),
                    body: if sealed { Body::Sealed(sealed_form(recipients)) } else { body },
                    extensions: extensions(&later),
                    id,
                }
            },
        )
}

fn extensions(texts: &std::collections::BTreeMap<u8, String>) -> Extensions {
    let items: Vec<(u8, Vec<u8>)> = texts
        .iter()
        .map(|(key, text)| {
            let mut item = Vec::new();
            cbor::put_text(&mut item, text);
            (*key, item)
        })
        .collect();
    Extensions::new(items.iter().map(|(key, item)| (*key, &item[..]))).unwrap()
}

/// The form of a seal that opens for nobody.
fn sealed_form(recipients: u8) -> Bytes {
    use super::super::seal::form::{WrappedKey, encode};
    let wrapped =
        |nth| WrappedKey { key_id: KeyId::of_public(&[nth; 32]), ephemeral: [nth; 32], wrapped: [nth; 40] };
    encode(&[9; 12], &[8; 528], &(0..recipients).map(wrapped).collect::<Vec<_>>()).into()
}

fn example() -> Core {
    Core { body: Body::Plain(Bytes::from_static(br#"{"source.ip":"192.0.2.1"}"#)), ..crate::fixture::core() }
}

#[test]
fn what_is_signed_here_is_a_cose_sign1_to_coset_too() {
    let signed = signer().sign(example()).unwrap();
    let bytes = signed.envelope().bytes();
    let sign1 = coset::CoseSign1::from_tagged_slice(bytes).unwrap();
    assert_eq!(sign1.protected.header.alg, Some(coset::Algorithm::Assigned(coset::iana::Algorithm::Ed25519)));
    assert_eq!(sign1.protected.header.key_id, signed.envelope().key_id().as_bytes());
    sign1
        .verify_signature(super::super::sign::ENVELOPE_CONTEXT, |signature, message| {
            let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
            signer().verifying_key().verify_strict(message, &signature)
        })
        .unwrap();
    assert_eq!(&sign1.to_tagged_vec().unwrap(), bytes);
}

#[test]
fn a_flipped_bit_in_any_byte_is_refused() {
    let bytes = signer().sign(example()).unwrap().envelope().bytes().to_vec();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << bit;
            let verified = UnverifiedEnvelope::decode(damaged.into())
                .ok()
                .and_then(|envelope| envelope.verify(&signer().verifying_key()).ok());
            assert!(verified.is_none(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn a_cut_or_extended_envelope_is_refused() {
    let bytes = signer().sign(example()).unwrap().envelope().bytes().clone();
    for len in 0..bytes.len() {
        assert!(UnverifiedEnvelope::decode(bytes.slice(..len)).is_err(), "{len} bytes");
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert_eq!(UnverifiedEnvelope::decode(longer.into()).unwrap_err(), CborError::TrailingBytes(1).into());
}

#[test]
fn another_key_is_told_from_a_bad_signature() {
    let bytes = signer().sign(example()).unwrap().envelope().bytes().clone();
    let decoded = UnverifiedEnvelope::decode(bytes).unwrap();
    let other = crate::fixture::key(8).verifying_key();
    let fault = decoded.verify(&other).unwrap_err();
    assert!(matches!(fault, super::super::SignatureError::OtherKey { .. }), "{fault}");
}

#[test]
fn a_core_beyond_a_bound_is_not_signed() {
    let long = |len: usize| Bytes::from(vec![b' '; len]);
    for (what, core) in [
        ("hops", Core { max_hops: 0, ..example() }),
        ("hops", Core { max_hops: 33, ..example() }),
        ("time", Core { created: Timestamp(u64::MAX), ..example() }),
        ("expires", Core { expires: Some(example().created), ..example() }),
        ("to", Core { to: vec![example().id.publisher; 2], ..example() }),
        ("ext", Core { ext: Some(long(crate::limits::EXT_BYTES_MAX + 1)), ..example() }),
        ("body", Core { body: Body::Plain(long(crate::limits::LINE_BYTES_MAX + 1)), ..example() }),
        ("version", Core { version: 2, ..example() }),
    ] {
        assert!(signer().sign(core).is_err(), "{what}");
    }
}

#[test]
fn extensions_have_their_keys_form_and_bound() {
    type Entries<'a> = &'a [(u8, &'a [u8])];
    let of = |entries: Entries<'_>| Extensions::new(entries.iter().copied());
    let long = |len: u16| [&[0x59][..], &len.to_be_bytes(), &vec![7; len.into()]].concat();
    let most = crate::limits::EXTENSIONS_BYTES_MAX as u16 - 5;
    for entries in [&[(64, &[0xf6][..]), (127, &[0xa0])][..], &[(100, &long(most))]] {
        let core = Core { extensions: of(entries).unwrap(), ..example() };
        let signed = signer().sign(core.clone()).unwrap();
        let decoded = UnverifiedEnvelope::decode(signed.envelope().bytes().clone()).unwrap();
        assert_eq!(decoded.envelope().core(), &core);
    }
    let faults: [(&str, Entries<'_>); 6] = [
        ("critical", &[(63, &[0xf6])]),
        ("beyond the range", &[(128, &[0xf6])]),
        ("out of order", &[(65, &[0xf6]), (64, &[0xf6])]),
        ("a float", &[(64, &[0xf9, 0x3c, 0x00])]),
        ("two items", &[(64, &[0xf6, 0xf6])]),
        ("too large", &[(64, &long(most + 1))]),
    ];
    for (what, entries) in faults {
        assert!(of(entries).is_err(), "{what}");
    }
}

/// The same core, signature and protected header under another unprotected header.
fn with_unprotected(signed: &[u8], unprotected: &[u8]) -> Bytes {
    let parts = EnvelopeParts::read(signed).unwrap();
    encode_sign1(parts.protected, unprotected, parts.payload, &parts.signature).into()
}

#[test]
fn copies_with_other_unprotected_headers_are_one_event() {
    let signed = signer().sign(example()).unwrap();
    let most = crate::limits::UNPROTECTED_BYTES_MAX as u16 - 7;
    let receipt = [&[0xa1, 0x19, 0x01, 0x8a, 0x59][..], &most.to_be_bytes(), &vec![7; most.into()]].concat();
    // Labels 65535 and -65537, the ends of what is allowed.
    let ends = [0xa2, 0x19, 0xff, 0xff, 0xf6, 0x3a, 0x00, 0x01, 0x00, 0x00, 0x81, 0xf6];
    for unprotected in [&receipt[..], &ends, &[0xa0]] {
        let bytes = with_unprotected(signed.envelope().bytes(), unprotected);
        let decoded = UnverifiedEnvelope::decode(bytes.clone()).unwrap();
        assert_eq!(decoded.envelope().bytes(), &bytes, "kept as it came");
        assert_eq!(decoded.envelope().digest(), signed.envelope().digest());
        assert_eq!(decoded.envelope().key(), signed.envelope().key());
        assert!(decoded.verify(&signer().verifying_key()).is_ok());
    }
}

#[test]
fn what_only_a_protected_header_may_say_is_refused_outside() {
    let signed = signer().sign(example()).unwrap();
    let long = crate::limits::UNPROTECTED_BYTES_MAX as u16 - 6;
    let too_large =
        [&[0xa1, 0x19, 0x01, 0x8a, 0x59][..], &long.to_be_bytes(), &vec![7; long.into()]].concat();
    let cases: [(&str, &[u8]); 7] = [
        ("alg", &[0xa1, 0x01, 0x32]),
        ("kid", &[0xa1, 0x04, 0x41, 0x00]),
        ("label 255", &[0xa1, 0x18, 0xff, 0xf6]),
        ("label 65536", &[0xa1, 0x1a, 0x00, 0x01, 0x00, 0x00, 0xf6]),
        ("label -1", &[0xa1, 0x20, 0xf6]),
        ("a label of text", &[0xa1, 0x61, b'x', 0xf6]),
        ("too large", &too_large),
    ];
    for (what, unprotected) in cases {
        let bytes = with_unprotected(signed.envelope().bytes(), unprotected);
        let fault = UnverifiedEnvelope::decode(bytes).unwrap_err();
        assert_eq!(fault, CodecError::UnprotectedHeader, "{what}");
    }
}

#[test]
fn memory_is_not_taken_for_lengths_that_are_only_claimed() {
    for claim in [
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\x00\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let fault = UnverifiedEnvelope::decode(Bytes::from(claim)).unwrap_err();
        assert!(matches!(fault, CodecError::Cbor(CborError::Truncated(_))), "{fault}");
    }
}

/// Decodes with ciborium and encodes again: the result equals the input if that was in the one encoding.
fn through_ciborium(bytes: &[u8]) -> Option<Vec<u8>> {
    let value: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(bytes, 64).ok()?;
    let mut out = Vec::new();
    ciborium::into_writer(&value, &mut out).ok()?;
    Some(out)
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_signed(core in core()) {
        let signed = signer().sign(core.clone()).unwrap();
        let bytes = signed.envelope().bytes().clone();
        let decoded = UnverifiedEnvelope::decode(bytes.clone()).unwrap();
        prop_assert_eq!(decoded.envelope().core(), &core);
        prop_assert_eq!(decoded.envelope().digest(), signed.envelope().digest());
        let verified = decoded.verify(&signer().verifying_key()).unwrap();
        prop_assert_eq!(verified.envelope().bytes(), &bytes);
        prop_assert_eq!(through_ciborium(&bytes).unwrap(), &bytes[..]);
        let payload = encode_core(&core);
        prop_assert_eq!(through_ciborium(&payload).unwrap(), payload);
    }

    #[test]
    fn damage_is_refused_or_leaves_the_one_encoding(core in core(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut payload = encode_core(&core);
        let at = at.index(payload.len());
        payload[at] = byte;
        if let Ok(read) = core_fields::decode(&Bytes::from(payload.clone())) {
            prop_assert_eq!(encode_core(&read), payload);
        }
    }
}

#[test]
fn a_key_id_has_8_to_32_bytes_of_the_hash() {
    let signed = signer().sign(example()).unwrap();
    let parts = EnvelopeParts::read(signed.envelope().bytes()).unwrap();
    let key = crate::fixture::key(7);
    let hash = KeyId::hash(key.verifying_key().as_bytes());
    let under = |kid: &[u8]| {
        let mut protected = vec![0xa2, 0x01, 0x32, 0x04];
        cbor::put_bytes(&mut protected, kid);
        let message =
            super::super::sign::to_be_signed(super::super::sign::ENVELOPE_CONTEXT, &protected, parts.payload);
        let signature = ed25519_dalek::Signer::sign(&key, &message).to_bytes();
        let bytes = encode_sign1(&protected, UNPROTECTED_EMPTY, parts.payload, &signature);
        UnverifiedEnvelope::decode(bytes.into())
    };
    for len in 8..=32 {
        let decoded = under(&hash[..len]).unwrap();
        assert_eq!(decoded.envelope().digest(), signed.envelope().digest(), "one event");
        assert!(decoded.verify(&key.verifying_key()).is_ok(), "{len} bytes");
        let mut other = hash;
        other[len - 1] ^= 1;
        let fault = under(&other[..len]).unwrap().verify(&key.verifying_key()).unwrap_err();
        assert!(matches!(fault, super::super::SignatureError::OtherKey { .. }), "{len} bytes: {fault}");
    }
    for kid in [&hash[..7], &[7; 33]] {
        assert_eq!(under(kid).unwrap_err(), CodecError::ProtectedHeader);
    }
}

/// This version accepts the whole envelope of a stand-in for version 2.
#[test]
fn an_envelope_of_the_successor_is_carried_whole() {
    let successor = signer().as_successor();
    let signed = successor.sign(example()).unwrap();
    let bytes = signed.envelope().bytes();
    let decoded = UnverifiedEnvelope::decode(bytes.clone()).unwrap();
    assert_eq!((decoded.envelope().core().extensions.len(), decoded.envelope().bytes()), (2, bytes));
    assert!(EnvelopeParts::read(bytes).unwrap().unprotected.len() > 40, "a receipt");
    assert!(decoded.verify(&signer().verifying_key()).is_ok());
    let hop = PublisherName::parse("cert-ee").unwrap();
    let mut attested = bytes.clone();
    for _ in 0..3 {
        attested = super::super::successor::attested(&attested, std::slice::from_ref(&hop));
    }
    assert_eq!(attested.len(), bytes.len() + 5 + 1 + 8, "one attestation stands there, not three");
    let decoded = UnverifiedEnvelope::decode(attested).unwrap();
    assert_eq!(decoded.envelope().digest(), signed.envelope().digest());
    assert!(decoded.verify(&signer().verifying_key()).is_ok());
}
