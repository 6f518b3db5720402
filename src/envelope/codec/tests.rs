//! Encoding and decoding against each other, against ciborium and coset as oracles, and under damage. Faults
//! one by one are in `tests/vectors/`.

use bytes::Bytes;
use coset::TaggedCborSerializable as _;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Body, EventType, IdScheme, Signer};
use super::*;
use crate::event::Format;
use crate::identity::{EventId, KeyId, ProjectName, PublisherName};
use crate::link::{Link, LinkTarget, Relation};
use crate::time::Timestamp;
use crate::tlp::Tlp;

fn signer() -> Signer {
    Signer::new(SigningKey::from_bytes(&[7; 32]))
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
        any::<bool>(),
    )
        .prop_map(
            |(id, (created, expires, tlp, max_hops, ids), (to, links), parent, ext, body, report)| {
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
                    format: Format::parse(id.project.as_str()).unwrap(),
                    tlp: Tlp::from_number(tlp).unwrap(),
                    to,
                    max_hops,
                    parent: parent.filter(|_| !sealed),
                    links: if sealed { Vec::new() } else { links },
                    ext: ext.filter(|_| !sealed).map(Bytes::from),
                    body: if sealed { Body::Sealed(sealed_form(recipients)) } else { body },
                    id,
                }
            },
        )
}

/// The form of a seal that opens for nobody.
fn sealed_form(recipients: u8) -> Bytes {
    use super::super::seal::form::{Wrapped, encode};
    let wrapped = |nth| Wrapped { key_id: KeyId([nth; 8]), ephemeral: [nth; 32], wrapped: [nth; 40] };
    encode(&[9; 12], &[8; 528], &(0..recipients).map(wrapped).collect::<Vec<_>>()).into()
}

fn example() -> Core {
    Core {
        version: 1,
        id: "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().unwrap(),
        ids: IdScheme::Random,
        created: Timestamp(1_763_632_800_123),
        expires: None,
        event_type: EventType::Event,
        format: Format::intelmq(),
        tlp: Tlp::Green,
        to: Vec::new(),
        max_hops: 16,
        parent: None,
        links: Vec::new(),
        ext: None,
        body: Body::Plain(Bytes::from_static(br#"{"source.ip":"192.0.2.1"}"#)),
    }
}

#[test]
fn what_is_signed_here_is_a_cose_sign1_to_coset_too() {
    let signed = signer().sign(example()).unwrap();
    let bytes = signed.envelope().bytes();
    let sign1 = coset::CoseSign1::from_tagged_slice(bytes).unwrap();
    assert_eq!(sign1.protected.header.alg, Some(coset::Algorithm::Assigned(coset::iana::Algorithm::Ed25519)));
    assert_eq!(sign1.protected.header.key_id, signed.envelope().key_id().0);
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
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
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

/// Reads with ciborium and writes again: equal to the input where it was in the one encoding.
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
