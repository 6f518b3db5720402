//! The faulty vectors around the core: encoding, COSE_Sign1, signature, and the JSON inside.
//! `vector(NAME, LAYER, CODE, COMMENT, BYTES)`.

use super::*;

/// Faults of encoding, which are seen before anything is understood.
pub fn of_bytes() -> Vec<Vector> {
    let good = Pairs::minimal().signed();
    let payload = Pairs::minimal().encode();
    let in_core = |from: &[u8], to: &[u8]| {
        let at = payload.windows(from.len()).position(|window| window == from).unwrap();
        sign(&[&payload[..at], to, &payload[at + from.len()..]].concat())
    };
    let mut twice = Pairs::minimal();
    twice.0.insert(3, (3, text("cert-ee")));
    let mut unordered = Pairs::minimal();
    unordered.0.swap(2, 3);
    let body_head = [&[0x10, 0x58, BODY.len() as u8], BODY.as_bytes()].concat();
    let streamed = [&[0x10, 0x5f, 0x58, BODY.len() as u8], BODY.as_bytes(), &[0xff]].concat();
    let deep = |levels: usize| [&[0xd8, 96], &vec![0x81; levels][..], &[0x00]].concat();
    let too_long = [&[0xd2, 0x84, 0x58, 0x0d], &good[3..]].concat();
    let mut too_large =
        vector("size-too-large", "size", "too_large", "one byte more than ENVELOPE_BYTES_MAX", good.clone());
    too_large.pad = Some(2 * 1024 * 1024 + 64 * 1024 + 1);
    vec![
        too_large,
        vector("cbor-empty", "cbor", "truncated", "no byte at all", Vec::new()),
        vector("cbor-truncated", "cbor", "truncated", "the last byte is missing", good[..good.len() - 1].to_vec()),
        vector("cbor-claimed-length", "cbor", "truncated", "a byte string that claims 2^63 bytes", vec![0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        vector("cbor-trailing-byte", "cbor", "trailing_bytes", "a zero after the envelope", [&good[..], &[0]].concat()),
        vector("cbor-trailing-in-core", "cbor", "trailing_bytes", "a zero after the core, signed", sign(&[&payload[..], &[0]].concat())),
        vector("cbor-long-length", "cbor", "not_shortest", "the protected header's length in two bytes", too_long),
        vector("cbor-long-number", "cbor", "not_shortest", "tlp 1 as 0x1801, signed", in_core(&[0x0a, 0x01], &[0x0a, 0x18, 0x01])),
        vector("cbor-long-number-64", "cbor", "not_shortest", "max_hops 16 in eight bytes, signed", in_core(&[0x0c, 0x10], &[0x0c, 0x1b, 0, 0, 0, 0, 0, 0, 0, 16])),
        vector("cbor-indefinite-array", "cbor", "indefinite", "the array of the COSE_Sign1", [&[0xd2, 0x9f], &good[2..], &[0xff]].concat()),
        vector("cbor-indefinite-bytes", "cbor", "indefinite", "the body in chunks, signed", in_core(&body_head, &streamed)),
        vector("cbor-duplicate-key", "cbor", "duplicate_key", "two publishers in the core, signed", twice.signed()),
        vector("cbor-key-order", "cbor", "key_order", "publisher after project, signed", unordered.signed()),
        vector("cbor-too-deep", "cbor", "too_deep", "16 arrays in a tag in the core's map", Pairs::sealed().with(16, deep(16)).signed()),
        vector("cbor-too-deep-by-far", "cbor", "too_deep", "10,000 arrays in each other: no stack may overflow", [&[0xd2], &vec![0x81; 10_000][..]].concat()),
        vector("cbor-not-utf8", "cbor", "not_utf8", "a publisher whose text is not UTF-8, signed", Pairs::minimal().with(3, vec![0x62, 0xc3, 0x28]).signed()),
        vector("cbor-float", "cbor", "unsupported", "created as a float, signed", Pairs::minimal().with(6, vec![0xf9, 0x3c, 0x00]).signed()),
        vector("cbor-undefined", "cbor", "unsupported", "max_hops undefined, signed", Pairs::minimal().with(12, vec![0xf7]).signed()),
    ]
}

/// Faults of the COSE_Sign1.
pub fn of_cose() -> Vec<Vector> {
    let payload = Pairs::minimal().encode();
    let made = |protected: &[u8], unprotected: &[u8]| {
        tagged(sign1(protected, unprotected, &payload, &signature(protected, CONTEXT, &payload)))
    };
    let kid = KeyId::of(&key().verifying_key());
    let kid = kid.as_bytes();
    let header = |alg: &[u8]| [&[0xa2, 0x01], alg, &[0x04, 0x48], kid].concat();
    let good = sign(&payload);
    let three = list(&[bytes(&protected()), vec![0xa0], bytes(&payload)]);
    let detached = list(&[bytes(&protected()), vec![0xa0], vec![0xf6], bytes(&[1; 64])]);
    let short = sign1(&protected(), &[0xa0], &payload, &signature(&protected(), CONTEXT, &payload)[..63]);
    let large = [&[0xa1, 0x19, 0x01, 0x8a][..], &bytes(&[7; 8193 - 7])].concat();
    let with_kid = [&[0xa1, 0x04, 0x48][..], kid].concat();
    vec![
        vector("cose-no-tag", "cose", "not_sign1", "the array without tag 18", good[1..].to_vec()),
        vector("cose-other-tag", "cose", "not_sign1", "tag 17 (COSE_Mac0)", [&[0xd1], &good[1..]].concat()),
        vector("cose-three-parts", "cose", "not_sign1", "no signature", tagged(three)),
        vector("cose-detached", "cose", "not_sign1", "no payload", tagged(detached)),
        vector("cose-alg-eddsa", "cose", "algorithm", "alg -8 (EdDSA, deprecated), signed so", made(&header(&[0x27]), &[0xa0])),
        vector("cose-alg-es256", "cose", "algorithm", "alg -7 (ES256)", made(&header(&[0x26]), &[0xa0])),
        vector("cose-alg-missing", "cose", "protected_header", "only a kid", made(&[&[0xa1, 0x04, 0x48][..], kid].concat(), &[0xa0])),
        vector("cose-kid-missing", "cose", "protected_header", "only an alg", made(&[0xa1, 0x01, 0x32], &[0xa0])),
        vector("cose-kid-short", "cose", "protected_header", "a kid of 7 bytes", made(&[&[0xa2, 0x01, 0x32, 0x04, 0x47], &kid[..7]].concat(), &[0xa0])),
        vector("cose-kid-33", "cose", "protected_header", "a kid of 33 bytes", under_kid(&[7; 33])),
        vector("cose-kid-unprotected", "cose", "protected_header", "the kid outside of what is signed", made(&[0xa1, 0x01, 0x32], &with_kid)),
        vector("cose-header-extra", "cose", "protected_header", "a third header (content type)", made(&[&[0xa3, 0x01, 0x32, 0x03, 0x00, 0x04, 0x48][..], kid].concat(), &[0xa0])),
        vector("cose-header-critical", "cose", "protected_header", "a critical header that nobody knows", made(&[&[0xa3, 0x01, 0x32, 0x02, 0x81, 0x18, 0x63, 0x04, 0x48][..], kid].concat(), &[0xa0])),
        vector("cose-unprotected-255", "cose", "unprotected_header", "label 255: below those that are passed over", made(&protected(), &[0xa1, 0x18, 0xff, 0xf6])),
        vector("cose-unprotected-text", "cose", "unprotected_header", "a label of text", made(&protected(), &[0xa1, 0x61, 0x78, 0xf6])),
        vector("cose-unprotected-large", "cose", "unprotected_header", "8,193 bytes under label 394", made(&protected(), &large)),
        vector("cose-unprotected", "cose", "unprotected_header", "the unprotected header has a kid too", made(&protected(), &with_kid)),
        vector("cose-signature-short", "cose", "signature_length", "63 bytes", tagged(short)),
    ]
}

/// Faults of the signature and its key.
pub fn of_signature() -> Vec<Vector> {
    let payload = Pairs::minimal().encode();
    let good = sign(&payload);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let under = |context: &[u8]| {
        tagged(sign1(&protected(), &[0xa0], &payload, &signature(&protected(), context, &payload)))
    };
    let mut other = protected();
    other[12] ^= 1;
    let other_kid = tagged(sign1(&other, &[0xa0], &payload, &signature(&other, CONTEXT, &payload)));
    let at_body = good.len() - 70;
    let mut other_32 = KeyId::hash(key().verifying_key().as_bytes());
    other_32[31] ^= 1;
    vec![
        vector("signature-bit-of-core", "signature", "bad_signature", "one bit of the body flipped", flipped(at_body)),
        vector("signature-bit-of-r", "signature", "bad_signature", "one bit of R flipped", flipped(good.len() - 64)),
        vector("signature-bit-of-s", "signature", "bad_signature", "one bit of s flipped", flipped(good.len() - 32)),
        vector("signature-malleable", "signature", "bad_signature", "s + L for s: the same signature to a lax verifier", malleable(&good)),
        vector("signature-other-context", "signature", "bad_signature", "signed for another purpose", under(b"intelmesh/hop/v1")),
        vector("signature-no-context", "signature", "bad_signature", "signed without external_aad", under(b"")),
        vector("signature-other-kid", "signature", "unknown_key", "the right key under another kid", other_kid),
        vector("signature-other-kid-32", "signature", "unknown_key", "a kid of 32 bytes, of which the last one is not the key's", under_kid(&other_32)),
    ]
}

/// The envelope with `s + L` in the place of `s`.
fn malleable(good: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = good.to_vec();
    let start = bytes.len() - 32;
    let mut carry = 0u16;
    for (byte, add) in bytes[start..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    bytes
}

/// Faults of the JSON inside, which only those who can read it see.
pub fn of_content() -> Vec<Vector> {
    let bad = |name, comment, body: &str| vector(name, "content", "bad_body", comment, with_body(body));
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let long_key = format!("{{\"{}\":1}}", "k".repeat(4097));
    let content_id =
        |body: &str| Pairs::minimal().with(5, number(1)).with(16, bytes(body.as_bytes())).signed();
    let not_utf8 = Pairs::minimal().with(16, bytes(b"{\"a\":\"\xff\"}")).signed();
    let ext = |text: &[u8]| Pairs::minimal().with(15, bytes(text)).signed();
    vec![
        bad("content-no-json", "not JSON", "source.ip=192.0.2.1"),
        bad("content-empty", "no byte", ""),
        bad("content-list", "a list", "[{\"a\":1}]"),
        bad("content-two-objects", "two objects", "{\"a\":1}{\"b\":2}"),
        bad("content-duplicate-key", "a key twice", "{\"a\":1,\"a\":2}"),
        bad("content-duplicate-key-escaped", "a key twice, once in escapes", "{\"a\":1,\"\\u0061\":2}"),
        bad("content-duplicate-key-deep", "a key twice, deep inside", "{\"a\":[{\"b\":{\"c\":1,\"d\":2,\"c\":3}}]}"),
        bad("content-nan", "NaN", "{\"a\":NaN}"),
        bad("content-infinity", "-Infinity", "{\"a\":-Infinity}"),
        bad("content-leading-zero", "a number that some readers take as octal", "{\"a\":010}"),
        bad("content-half-surrogate", "half a surrogate pair", "{\"a\":\"\\ud83d\"}"),
        bad("content-control-character", "a raw tab in a string", "{\"a\":\"\t\"}"),
        bad("content-byte-order-mark", "a byte order mark in front", "\u{feff}{\"a\":1}"),
        bad("content-trailing-comma", "a comma too many", "{\"a\":1,}"),
        bad("content-comment", "a comment", "{\"a\":1/**/}"),
        bad("content-too-deep", "65 levels", &nested),
        bad("content-long-key", "a key of 4,097 bytes", &long_key),
        bad("content-line-break", "a line break between tokens, which would end a line at a socket", "{\"a\":1,\n\"b\":2}"),
        bad("content-space-around", "white space in front", " {\"a\":1}"),
        vector("content-not-utf8", "content", "bad_body", "not UTF-8", not_utf8),
        vector("content-ext-duplicate-key", "content", "bad_body", "a key twice in ext", ext(b"{\"a\":1,\"a\":2}")),
        vector("content-ext-list", "content", "bad_body", "ext is a list", ext(b"[]")),
        vector("content-id-mismatch", "content", "content_id_mismatch", "ids = 1, and a UUID that is not made of the payload", content_id(BODY)),
        vector("content-id-number", "content", "content_id_mismatch", "ids = 1, and a number that has no canonical form", content_id("{\"a\":9007199254740993}")),
    ]
}
