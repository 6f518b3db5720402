//! The test vectors of envelopes: each file of `tests/vectors/envelope/` gives exactly what its header says.
//! `INTELMESH_WRITE_VECTORS=1 cargo test --all-features --test protocol vectors::` writes them anew from `tests/vectors/generate.rs`.
//! Frames have vectors of their own, elsewhere.

#[path = "../vectors/generate.rs"]
mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use intelmesh::{
    CodecError, ContentError, PublisherName, SealOpener, SignatureError, UnverifiedEnvelope, check_content,
    parse_public_key,
};

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/envelope")
}

/// What this node says to bytes: (layer, code).
fn judge(bytes: Bytes, key: &VerifyingKey) -> (&'static str, &'static str) {
    let decoded = match UnverifiedEnvelope::decode(bytes) {
        Ok(decoded) => decoded,
        Err(fault) => return (layer(&fault), fault.code()),
    };
    let verified = match decoded.verify(key) {
        Ok(verified) => verified,
        Err(SignatureError::Invalid) => return ("signature", "bad_signature"),
        Err(SignatureError::OtherKey { .. }) => return ("signature", "unknown_key"),
    };
    match check_content(verified.envelope().core()) {
        Ok(()) => ("ok", "ok"),
        Err(ContentError::Body(_) | ContentError::Ext(_)) => ("content", "bad_body"),
        Err(ContentError::IdMismatch { .. } | ContentError::Number(_)) => ("content", "content_id_mismatch"),
    }
}

fn layer(fault: &CodecError) -> &'static str {
    match fault {
        CodecError::TooLarge(_) => "size",
        CodecError::Cbor(_) => "cbor",
        CodecError::NotSign1
        | CodecError::Algorithm(_)
        | CodecError::ProtectedHeader
        | CodecError::UnprotectedHeader
        | CodecError::SignatureLength(_) => "cose",
        _ => "core",
    }
}

fn parse(text: &str) -> (BTreeMap<&str, &str>, Vec<u8>) {
    let (header, body) = text.split_once("\n\n").expect("a header, a blank line and the bytes");
    let fields: BTreeMap<_, _> = header.lines().filter_map(|line| line.split_once(": ")).collect();
    let digits: String = body.split_whitespace().collect();
    let mut bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap();
    if let Some(pad) = fields.get("pad") {
        bytes.resize(pad.parse().unwrap(), 0);
    }
    (fields, bytes)
}

/// Where the header has a recipient's secret, what is inside is what it says.
fn opens(fields: &BTreeMap<&str, &str>, text: &str) {
    let Some(name) = fields.get("opens-for") else { return };
    let envelope = UnverifiedEnvelope::decode(parse(text).1.into()).unwrap();
    let secret: [u8; 32] =
        data_encoding::HEXLOWER.decode(fields["secret"].as_bytes()).unwrap().try_into().unwrap();
    let opener = SealOpener::new(PublisherName::parse(name).unwrap(), [secret.into()]);
    let opened = opener.open(envelope.envelope()).unwrap();
    assert_eq!(opened.payload, fields["inside"]);
    assert_eq!((opened.ext.unwrap().as_ref(), opened.links.len()), (&br#"{"rtir_id":12345}"#[..], 1));
}

#[test]
fn each_vector_gives_what_its_header_says() {
    if std::env::var_os("INTELMESH_WRITE_VECTORS").is_some() {
        let _ = std::fs::remove_dir_all(place());
        std::fs::create_dir_all(place()).unwrap();
        for vector in generate::vectors() {
            std::fs::write(place().join(format!("{}.txt", vector.name)), vector.text()).unwrap();
        }
    }
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(place()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (fields, bytes) = parse(&text);
        let found = judge(bytes.into(), &parse_public_key(fields["key"]).unwrap());
        if (fields["expect"], fields.get("code").copied().unwrap_or("ok")) != found {
            faults.push(format!("{name}: {found:?}"));
        }
        opens(&fields, &text);
        names.insert(name);
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let vectors = generate::vectors();
    let written: BTreeSet<_> = vectors.iter().map(|vector| vector.name.to_owned()).collect();
    assert_eq!(names, written, "files and generator differ: see the head of tests/protocol/vectors.rs");
    for vector in vectors {
        let text = std::fs::read_to_string(place().join(format!("{}.txt", vector.name))).unwrap();
        assert_eq!(text, vector.text(), "{}", vector.name);
    }
}
