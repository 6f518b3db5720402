//! Makes the vectors of envelopes: a valid one, and from it others with one fault each, signed again where the
//! fault is not in the signature. The key is derived from a text that is public.

use ed25519_dalek::{Signer as _, SigningKey};
use intelmesh::testing::cbor;
use intelmesh::{KeyId, public_key_text};
use sha2::{Digest as _, Sha256};

// One vector a line.
#[rustfmt::skip]
#[path = "core_faults.rs"]
mod core_faults;
#[rustfmt::skip]
#[path = "faults.rs"]
mod faults;
#[path = "sealed.rs"]
pub mod sealed;

const CONTEXT: &[u8] = b"intelmesh/envelope/v1";
const BODY: &str = r#"{"source.ip":"192.0.2.1","classification.type":"phishing"}"#;
const UUID: [u8; 16] =
    [0x72, 0xdd, 0xb0, 0x0c, 0x2d, 0x0a, 0x4e, 0xea, 0xb7, 0xac, 0xae, 0x12, 0x2b, 0x8e, 0x6c, 0x3b];

/// One file.
pub struct Vector {
    pub name: &'static str,
    /// `ok`, or the layer that refuses it.
    expect: &'static str,
    code: &'static str,
    comment: &'static str,
    bytes: Vec<u8>,
    /// Zeros follow up to this many bytes.
    pad: Option<usize>,
}

impl Vector {
    pub fn text(&self) -> String {
        let mut text = format!("expect: {}\n", self.expect);
        if self.expect != "ok" {
            text += &format!("code: {}\n", self.code);
        }
        text += &format!("comment: {}\nkey: {}\n", self.comment, public_key_text(&key().verifying_key()));
        if self.name == "valid-sealed-opens" {
            sealed::HEADERS.iter().for_each(|(key, value)| text += &format!("{key}: {value}\n"));
        }
        if let Some(pad) = self.pad {
            text += &format!("pad: {pad}\n");
        }
        text += "\n";
        for line in self.bytes.chunks(48) {
            text += &data_encoding::HEXLOWER.encode(line);
            text += "\n";
        }
        text
    }
}

pub fn key() -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest("intelmesh test vectors").into())
}

/// All of them, valid ones first.
pub fn vectors() -> Vec<Vector> {
    let mut all = valid();
    all.extend(of_later_versions());
    all.push(sealed::opens());
    all.extend(faults::of_bytes());
    all.extend(faults::of_cose());
    all.extend(core_faults::of_core());
    all.extend(core_faults::of_fields());
    all.extend(core_faults::of_relations());
    all.extend(core_faults::of_seals());
    all.extend(faults::of_signature());
    all.extend(faults::of_content());
    all
}

fn vector(
    name: &'static str,
    expect: &'static str,
    code: &'static str,
    comment: &'static str,
    bytes: Vec<u8>,
) -> Vector {
    Vector { name, expect, code, comment, bytes, pad: None }
}

/// A core as encoded pairs, in order, so that each can be replaced, doubled or left out.
#[derive(Clone)]
struct Pairs(Vec<(i64, Vec<u8>)>);

impl Pairs {
    fn minimal() -> Self {
        Self(vec![
            (1, number(1)),
            (2, bytes(&UUID)),
            (3, text("cert-at")),
            (4, text("intelmq")),
            (5, number(0)),
            (6, number(1_763_632_800_123)),
            (8, number(0)),
            (9, text("intelmq")),
            (10, number(1)),
            (12, number(16)),
            (16, bytes(BODY.as_bytes())),
        ])
    }

    fn sealed() -> Self {
        Self::minimal().with(11, list(&[text("cert-ee")])).with(16, Encrypt::to_one().encode())
    }

    fn with(mut self, key: i64, value: Vec<u8>) -> Self {
        self.0.retain(|(other, _)| *other != key);
        let at = self.0.partition_point(|(other, _)| key < 0 || (0..key).contains(other));
        self.0.insert(at, (key, value));
        self
    }

    fn without(mut self, key: i64) -> Self {
        self.0.retain(|(other, _)| *other != key);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_map(&mut out, self.0.len());
        for (key, value) in &self.0 {
            match key {
                0.. => cbor::put_unsigned(&mut out, key.unsigned_abs()),
                _ => cbor::put_head(&mut out, cbor::MajorType::Negative, (-1 - key).unsigned_abs()),
            }
            out.extend_from_slice(value);
        }
        out
    }

    fn signed(&self) -> Vec<u8> {
        sign(&self.encode())
    }
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_unsigned(&mut out, value);
    out
}

fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_text(&mut out, value);
    out
}

fn bytes(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_bytes(&mut out, value);
    out
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_array(&mut out, elements.len());
    out.extend(elements.concat());
    out
}

fn event_id(publisher: &str) -> Vec<u8> {
    list(&[text(publisher), text("intelmq"), bytes(&UUID)])
}

/// A COSE_Encrypt from its encoded parts; with tag 96 it has the form that a body may have.
struct Encrypt {
    tag: u8,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    ciphertext: Vec<u8>,
    recipients: Vec<Vec<u8>>,
}

impl Encrypt {
    /// Sealed to one recipient, with bytes that open for nobody.
    fn to_one() -> Self {
        Self {
            tag: 96,
            protected: bytes(&[0xa1, 0x01, 0x03]),
            unprotected: [&[0xa1, 0x05][..], &bytes(&[0x01; 12])].concat(),
            ciphertext: bytes(&[0x3c; 512 + 16]),
            recipients: vec![recipient(0x5a)],
        }
    }

    fn encode(&self) -> Vec<u8> {
        let parts =
            [&self.protected, &self.unprotected, &self.ciphertext, &list(&self.recipients)].map(Clone::clone);
        [vec![0xd8, self.tag], list(&parts)].concat()
    }
}

/// A recipient whose bytes are all `filled`.
fn recipient(filled: u8) -> Vec<u8> {
    recipient_under(&[filled; 8], filled)
}

fn recipient_under(kid: &[u8], filled: u8) -> Vec<u8> {
    let key = [&[0xa3, 0x01, 0x01, 0x20, 0x04, 0x21][..], &bytes(&[filled; 32])].concat();
    let header = [&[0xa2, 0x04][..], &bytes(kid), &[0x20], &key].concat();
    list(&[bytes(&[0xa1, 0x01, 0x38, 0x1e]), header, bytes(&[filled; 40])])
}

fn protected() -> Vec<u8> {
    [&[0xa2, 0x01, 0x32, 0x04, 0x48], KeyId::of(&key().verifying_key()).as_bytes()].concat()
}

/// A COSE_Sign1 from its encoded parts, not yet tagged.
fn sign1(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    list(&[bytes(protected), unprotected.to_vec(), bytes(payload), bytes(signature)])
}

fn tagged(inner: Vec<u8>) -> Vec<u8> {
    [vec![0xd2], inner].concat()
}

fn signature(protected: &[u8], context: &[u8], payload: &[u8]) -> Vec<u8> {
    let message = list(&[text("Signature1"), bytes(protected), bytes(context), bytes(payload)]);
    key().sign(&message).to_bytes().to_vec()
}

/// An envelope over `payload`, right in all but perhaps the payload.
fn sign(payload: &[u8]) -> Vec<u8> {
    tagged(sign1(&protected(), &[0xa0], payload, &signature(&protected(), CONTEXT, payload)))
}

/// The envelope of the minimal core under another kid.
fn under_kid(kid: &[u8]) -> Vec<u8> {
    let header = [&[0xa2, 0x01, 0x32, 0x04], &bytes(kid)[..]].concat();
    let payload = Pairs::minimal().encode();
    tagged(sign1(&header, &[0xa0], &payload, &signature(&header, CONTEXT, &payload)))
}

/// The envelope of the minimal core under another unprotected header.
fn with_unprotected(header: &[u8]) -> Vec<u8> {
    let payload = Pairs::minimal().encode();
    tagged(sign1(&protected(), header, &payload, &signature(&protected(), CONTEXT, &payload)))
}

/// An envelope of a body, right in all but perhaps the body.
fn with_body(body: &str) -> Vec<u8> {
    Pairs::minimal().with(16, bytes(body.as_bytes())).signed()
}

/// The UUIDv8 of a hash's first bytes.
fn uuid_v8(hash: &[u8]) -> [u8; 16] {
    let mut uuid: [u8; 16] = hash[..16].try_into().unwrap();
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

fn valid() -> Vec<Vector> {
    let canonical = r#"{"classification.type":"phishing","source.ip":"192.0.2.1"}"#;
    let content = Pairs::minimal().with(2, bytes(&uuid_v8(&Sha256::digest(canonical)))).with(5, number(1));
    let link = list(&[text("same-report"), event_id("cert-at")]);
    let alternate = list(&[text("alternate"), text("CESNET-RT#2235"), event_id("cert-ee")]);
    let full = Pairs::minimal()
        .with(5, number(2))
        .with(7, number(1_863_632_800_123))
        .with(8, number(1))
        .with(10, number(2))
        .with(11, list(&[text("cert-pl"), text("cert-ee")]))
        .with(13, event_id("cert-ee"))
        .with(14, list(&[link, alternate]))
        .with(15, bytes(br#"{"rtir_id":12345,"x-local":[1.0,{"a":null}]}"#));
    let odd = r#"{"a":100,"b":100.0,"c":1e400,"d":9007199254740993,"e":"\u00e9\ud83d\ude00","":[{"":{}}], "z" : null}"#;
    vec![
        vector("valid", "ok", "", "no optional key", Pairs::minimal().signed()),
        vector("valid-full", "ok", "", "every optional key; ids = 2 (body)", full.signed()),
        vector(
            "valid-content-id",
            "ok",
            "",
            "ids = 1; the UUID is made of the canonical payload",
            content.signed(),
        ),
        vector(
            "valid-sealed",
            "ok",
            "",
            "the form of a COSE_Encrypt for a body; it opens for nobody",
            Pairs::sealed().signed(),
        ),
        vector(
            "valid-body",
            "ok",
            "",
            "numbers and escapes that a reader may not change; white space inside",
            with_body(odd),
        ),
        vector(
            "valid-empty-body",
            "ok",
            "",
            "doors refuse an event without fields, peers do not",
            with_body("{}"),
        ),
        vector(
            "valid-red",
            "ok",
            "",
            "whether a label may travel is policy, not form",
            Pairs::minimal().with(10, number(4)).signed(),
        ),
    ]
}

/// What later versions may put into an envelope, and this one carries.
fn of_later_versions() -> Vec<Vector> {
    let hash = KeyId::hash(key().verifying_key().as_bytes());
    let mut sealed = Encrypt::to_one();
    sealed.recipients = vec![recipient_under(&[0x5a; 32], 0x5a)];
    let sealed = Pairs::sealed().with(16, sealed.encode());
    vec![
        vector("valid-kid-9", "ok", "", "a kid of 9 bytes", under_kid(&hash[..9])),
        vector("valid-kid-32", "ok", "", "a kid of 32 bytes: the whole hash", under_kid(&hash)),
        vector("valid-sealed-kid-32", "ok", "", "a recipient's kid of 32 bytes", sealed.signed()),
        vector(
            "valid-extensions",
            "ok",
            "",
            "keys 64 and 127 of a later version: signed, kept and relayed",
            Pairs::minimal().with(64, list(&[number(5)])).with(127, vec![0xa1, 0x01, 0xf6]).signed(),
        ),
        vector(
            "valid-unprotected",
            "ok",
            "",
            "a receipt (394) in the unprotected header: passed over, kept and relayed, not signed",
            with_unprotected(&[&[0xa1, 0x19, 0x01, 0x8a][..], &list(&[bytes(&[7; 40])])].concat()),
        ),
        vector(
            "valid-unprotected-ends",
            "ok",
            "",
            "labels 65535 and -65537, the ends of what is passed over there",
            with_unprotected(&[0xa2, 0x19, 0xff, 0xff, 0xf6, 0x3a, 0x00, 0x01, 0x00, 0x00, 0x81, 0xf6]),
        ),
    ]
}
