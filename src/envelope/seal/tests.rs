//! Seals, and what must not open.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::envelope::{EventType, IdScheme, Signer, UnverifiedEnvelope};
use crate::identity::{EventId, ProjectName, PublisherName};
use crate::limits::{LINE_BYTES_MAX, LINKS_MAX, RECIPIENTS_MAX, SEALED_BYTES_MAX};
use crate::link::{Link, LinkTarget, Relation};
use crate::time::Timestamp;
use crate::tlp::Tlp;

const EVENT: &str = r#"{"source.ip":"192.0.2.1","extra.ratio":100.0}"#;

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn secret(of: u8) -> StaticSecret {
    StaticSecret::from([of; 32])
}

fn key(of: u8) -> SealKey {
    SealKey::of(&secret(of))
}

fn opener(of: &str, keys: &[u8]) -> SealOpener {
    SealOpener::new(name(of), keys.iter().map(|key| secret(*key)))
}

fn id(nth: u8) -> EventId {
    let project = ProjectName::parse("intelmq").unwrap();
    EventId { publisher: name("cert-at"), project, uuid: uuid::Uuid::from_bytes([nth; 16]) }
}

/// For cert-ee (key 2) and cert-pl (key 3).
fn core(payload: &str) -> Core {
    let alternate = Relation::parse("alternate").unwrap();
    Core {
        id: id(1),
        tlp: Tlp::Red,
        to: vec![name("cert-ee"), name("cert-pl")],
        parent: Some(id(9)),
        links: vec![Link {
            left: None,
            relation: alternate,
            right: LinkTarget::Opaque("CESNET-RT#2235".into()),
        }],
        ext: Some(Bytes::from_static(br#"{"rtir_id":12345}"#)),
        body: Body::Plain(Bytes::copy_from_slice(payload.as_bytes())),
        ..crate::fixture::core()
    }
}

fn sealed(core: Core) -> Core {
    sealed_to(core, &[key(2), key(3)])
}

fn sealed_to(core: Core, keys: &[SealKey]) -> Core {
    seal(core, keys, &BodyIdSecret::new([7; 32]), &mut rand::rng()).unwrap()
}

fn signed(core: Core) -> Envelope {
    let signer = Signer::new(crate::fixture::key(5));
    let bytes = signer.sign(core).unwrap().envelope().bytes().clone();
    Envelope::clone(UnverifiedEnvelope::decode(bytes).unwrap().envelope())
}

#[test]
fn every_recipient_opens_what_was_sealed_and_nothing_of_it_stands_outside() {
    let plain = core(EVENT);
    let envelope = signed(sealed(plain.clone()));
    for opener in [opener("cert-ee", &[2]), opener("cert-pl", &[3]), opener("cert-pl", &[8, 3])] {
        let opened = opener.open(&envelope).unwrap();
        assert_eq!(opened.payload, EVENT);
        assert_eq!(
            (opened.ext, opened.links, opened.parent),
            (plain.ext.clone(), plain.links.clone(), plain.parent.clone())
        );
    }
    let bytes = String::from_utf8_lossy(envelope.bytes()).into_owned();
    for inside in ["192.0.2.1", "12345", "CESNET", "parent"] {
        assert!(!bytes.contains(inside), "{inside}");
    }
    let outside = envelope.core();
    assert!(outside.ext.is_none() && outside.links.is_empty() && outside.parent.is_none());
}

#[test]
fn who_is_no_recipient_or_has_another_key_cannot_open() {
    let envelope = signed(sealed(core(EVENT)));
    assert_eq!(opener("cert-fr", &[2]).open(&envelope), Err(OpenError::NotRecipient));
    assert_eq!(opener("cert-ee", &[4]).open(&envelope), Err(OpenError::OtherKey(key(2).key_id())));
    assert_eq!(opener("cert-ee", &[3]).open(&envelope), Err(OpenError::OtherKey(key(2).key_id())));
    assert_eq!(opener("cert-ee", &[2]).open(&signed(core(EVENT))), Err(OpenError::NotSealed));
    assert!(!opener("cert-fr", &[2]).is_recipient(envelope.core()));
    assert!(opener("cert-ee", &[]).is_recipient(envelope.core()));
}

#[test]
fn a_seal_belongs_to_every_field_beside_it() {
    let good = sealed(core(EVENT));
    let changes: [fn(&mut Core); 10] = [
        |core| core.id.uuid = uuid::Uuid::from_bytes([2; 16]),
        |core| core.id.publisher = PublisherName::parse("cert-fr").unwrap(),
        |core| core.id.project = ProjectName::parse("rt").unwrap(),
        |core| core.ids = IdScheme::Body,
        |core| core.created.0 += 1,
        |core| core.expires = Some(Timestamp(core.created.0 + 1)),
        |core| core.event_type = EventType::Report,
        |core| core.tlp = Tlp::Amber,
        |core| core.to[1] = PublisherName::parse("cert-fr").unwrap(),
        |core| core.max_hops = 3,
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(opener("cert-ee", &[2]).open(&signed(changed)), Err(OpenError::Content), "change {nth}");
    }
    assert!(opener("cert-ee", &[2]).open(&signed(good)).is_ok());
}

#[test]
fn recipients_that_are_swapped_or_taken_from_another_envelope_do_not_open() {
    let good = sealed(core(EVENT));
    let swapped = Core { to: vec![name("cert-pl"), name("cert-ee")], ..good.clone() };
    assert_eq!(opener("cert-ee", &[2]).open(&signed(swapped)), Err(OpenError::OtherKey(key(3).key_id())));
    let other = sealed(core(EVENT));
    let (Body::Sealed(one), Body::Sealed(two)) = (&good.body, &other.body) else { panic!("not sealed") };
    let (one, two) = (SealedBody::read(one).unwrap(), SealedBody::read(two).unwrap());
    let wrapped = |recipient: &form::SealRecipient<'_>| form::WrappedKey {
        key_id: recipient.key_id,
        ephemeral: *recipient.ephemeral,
        wrapped: *recipient.wrapped,
    };
    let mixed = form::encode(one.iv, one.ciphertext, &two.recipients.iter().map(wrapped).collect::<Vec<_>>());
    let forged = Core { body: Body::Sealed(mixed.into()), ..good.clone() };
    assert_eq!(opener("cert-ee", &[2]).open(&signed(forged)), Err(OpenError::Content));
    let mut recipients: Vec<_> = one.recipients.iter().map(wrapped).collect();
    recipients[0].wrapped[7] ^= 1;
    let broken = form::encode(one.iv, one.ciphertext, &recipients);
    let broken = Core { body: Body::Sealed(broken.into()), ..good.clone() };
    assert_eq!(opener("cert-ee", &[2]).open(&signed(broken)), Err(OpenError::Key));
    // A point of small order: everybody would know the secret.
    recipients[0].ephemeral = [0; 32];
    let weak = form::encode(one.iv, one.ciphertext, &recipients);
    assert_eq!(
        opener("cert-ee", &[2]).open(&signed(Core { body: Body::Sealed(weak.into()), ..good })),
        Err(OpenError::Key)
    );
}

#[test]
fn the_number_of_recipients_is_that_of_the_names() {
    let signer = Signer::new(crate::fixture::key(5));
    for to in [vec![name("cert-ee")], vec![name("cert-ee"), name("cert-pl"), name("cert-fr")]] {
        let named = to.len();
        let fault = signer.sign(Core { to, ..sealed(core(EVENT)) }).unwrap_err();
        assert_eq!(fault, CodecError::SealedRecipients { named, sealed: 2 });
    }
    let few = seal(core(EVENT), &[key(2)], &BodyIdSecret::new([7; 32]), &mut rand::rng());
    assert_eq!(few.unwrap_err(), SealError::Keys { named: 2, keys: 1 });
    let twice = seal(sealed(core(EVENT)), &[key(2), key(3)], &BodyIdSecret::new([7; 32]), &mut rand::rng());
    assert_eq!(twice.unwrap_err(), SealError::Twice);
}

/// Recipients find their place by name, so the form allows two names with one key.
#[test]
fn two_recipients_under_one_key_id_both_open() {
    let envelope = signed(sealed_to(core(EVENT), &[key(2), key(2)]));
    for name in ["cert-ee", "cert-pl"] {
        assert_eq!(opener(name, &[2]).open(&envelope).unwrap().payload, EVENT, "{name}");
    }
    assert_eq!(opener("cert-lv", &[2]).open(&envelope).unwrap_err(), OpenError::NotRecipient);
}

#[test]
fn events_of_40_and_of_400_bytes_have_the_same_size() {
    let of = |bytes: usize| {
        let line = format!("{{\"raw\":\"{}\"}}", "A".repeat(bytes - 10));
        assert_eq!(line.len(), bytes);
        let bare = Core { ext: None, links: Vec::new(), parent: None, ..core(&line) };
        signed(sealed(bare)).bytes().len()
    };
    assert_eq!(of(40), of(400));
    assert_eq!(of(40) + 512, of(600));
    assert_eq!(of(600), of(1000));
}

#[test]
fn the_longest_line_is_sealed_to_the_most_recipients_with_all_beside_it() {
    let line = format!("{{\"raw\":\"{}\"}}", "A".repeat(LINE_BYTES_MAX - 10));
    let mut most = core(&line);
    most.to = (0..RECIPIENTS_MAX).map(|nth| name(&format!("{nth:032}"))).collect();
    most.links = vec![most.links[0].clone(); LINKS_MAX];
    most.ext = Some(Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(32_000))));
    let mut seeds = StdRng::seed_from_u64(4);
    let secrets: Vec<_> = (0..RECIPIENTS_MAX).map(|_| StaticSecret::random_from_rng(&mut seeds)).collect();
    let keys: Vec<_> = secrets.iter().map(SealKey::of).collect();
    let envelope = signed(sealed_to(most, &keys));
    let Body::Sealed(item) = &envelope.core().body else { panic!("not sealed") };
    assert_eq!(SealedBody::read(item).unwrap().ciphertext.len(), SEALED_BYTES_MAX + TAG_BYTES);
    let last =
        SealOpener::new(name(&format!("{:032}", RECIPIENTS_MAX - 1)), secrets.into_iter().rev().take(1));
    assert_eq!(last.open(&envelope).unwrap().payload, line);
}

#[test]
fn the_publisher_knows_again_what_it_sealed_and_nobody_else_can_tell() {
    let (one, again) = (sealed(core(EVENT)), sealed(core(EVENT)));
    assert_ne!(one.body, again.body);
    assert!(one.body.says_the_same(&again.body));
    let other = sealed(core(r#"{"source.ip":"192.0.2.2","extra.ratio":100.0}"#));
    assert!(!one.body.says_the_same(&other.body));
    let elsewhere = sealed(Core { id: id(2), ..core(EVENT) });
    assert!(!one.body.says_the_same(&elsewhere.body), "the mark is of this id");
    assert!(!one.body.says_the_same(&core(EVENT).body));
}

#[test]
fn a_sealing_key_is_read_back_from_its_text_and_weak_ones_are_refused() {
    let good = key(4);
    assert_eq!(SealKey::parse(&good.to_string()), Ok(good));
    for text in ["", "x25519:", "x25519:AAAA", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(SealKey::parse(text), Err(SealKeyError::Form(text.into())));
    }
    let one = [&[1][..], &[0; 31]].concat().try_into().unwrap();
    assert_eq!(SealKey::new([0; 32]), Err(SealKeyError::Weak));
    assert_eq!(SealKey::new(one), Err(SealKeyError::Weak));
}

/// What a dishonest publisher may have sealed: each is stored and carried, and opens for nobody.
#[test]
fn what_is_inside_is_checked_as_at_a_door() {
    let content = |text: Vec<u8>| {
        let mut text = text;
        text.resize(text.len().max(512).next_power_of_two(), 0);
        inside::decode(&Bytes::from(text))
    };
    let map = |body: &str| {
        let mut out = Vec::new();
        cbor::put_map(&mut out, 1);
        cbor::put_unsigned(&mut out, 16);
        cbor::put_bytes(&mut out, body.as_bytes());
        out
    };
    assert_eq!(content(map("{}")).unwrap().payload, "{}");
    for body in [r#"{"a":1,"a":2}"#, "[]", "{\"a\":\n1}", "{", r#"{"a":NaN}"#] {
        assert!(matches!(content(map(body)), Err(OpenError::Json { part: "body", .. })), "{body}");
    }
    let mut unpadded = map("{}");
    assert!(matches!(inside::decode(&Bytes::from(unpadded.clone())), Err(OpenError::Inside(_))));
    unpadded.resize(1024, 0);
    assert!(
        matches!(inside::decode(&Bytes::from(unpadded.clone())), Err(OpenError::Inside(_))),
        "padded twice"
    );
    unpadded.truncate(512);
    unpadded[511] = 1;
    assert!(
        matches!(inside::decode(&Bytes::from(unpadded)), Err(OpenError::Inside(_))),
        "padding that says something"
    );
    for other in
        [vec![0xa0], vec![0x80], vec![0xa1, 0x01, 0x01], vec![0xa1, 0x10, 0x61, b'a'], vec![0xff], Vec::new()]
    {
        assert!(matches!(content(other.clone()), Err(OpenError::Inside(_))), "{other:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_named_without_its_content() {
    for (payload, want) in [
        (r#"{"victim-bank":1,"victim-bank":2}"#, "the sealed body: a key stands twice in one object"),
        (r#"{"a":{"victim-bank":1,"victim-bank":2}}"#, "the sealed body: a key stands twice in one object"),
        (r#"{"victim-bank":nope}"#, "the sealed body: no JSON at byte 15"),
        (r#"["victim-bank"]"#, "the sealed body: not one JSON object"),
    ] {
        let fault = opener("cert-ee", &[2]).open(&signed(sealed(core(payload)))).unwrap_err();
        assert_eq!((fault.to_string().as_str(), fault.code()), (want, "bad_body"));
    }
    let mut beside = core(EVENT);
    beside.ext = Some(Bytes::from_static(br#"{"victim-bank":1,"victim-bank":2}"#));
    let fault = opener("cert-ee", &[2]).open(&signed(sealed(beside))).unwrap_err();
    assert_eq!(fault.to_string(), "the sealed ext: a key stands twice in one object");
}

/// What a later version signs beside a seal belongs to it, and what it puts inside costs an older recipient nothing.
#[test]
fn extensions_beside_a_seal_are_bound_to_it_and_inside_are_passed_over() {
    let of = |key, item: &'static [u8]| Extensions::new([(key, item)]).unwrap();
    let beside = Core { extensions: of(64, &[0x81, 0x05]), ..core(EVENT) };
    let good = sealed(beside);
    assert_eq!(opener("cert-ee", &[2]).open(&signed(good.clone())).unwrap().payload, EVENT);
    let other = Core { extensions: of(64, &[0x81, 0x06]), ..good.clone() };
    assert_eq!(opener("cert-ee", &[2]).open(&signed(other.clone())), Err(OpenError::Content));
    let without = Core { extensions: Extensions::default(), ..good };
    assert_eq!(opener("cert-ee", &[2]).open(&signed(without.clone())), Err(OpenError::Content));

    let opened = OpenedBody {
        payload: Bytes::from_static(EVENT.as_bytes()),
        ext: None,
        links: Vec::new(),
        parent: None,
        extensions: of(127, &[0xa1, 0x01, 0xf6]),
    };
    let text = inside::encode(&opened).unwrap();
    assert_eq!(inside::decode(&Bytes::from(text)), Ok(opened));
}
