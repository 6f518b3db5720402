//! The faulty vectors of the signed core: its keys, its fields, and what must hold between them.
//! `vector(NAME, LAYER, CODE, COMMENT, BYTES)`.

use super::*;

/// Faults of the map and its keys.
pub fn of_core() -> Vec<Vector> {
    let with = |key, value| Pairs::minimal().with(key, value).signed();
    let without = |key| Pairs::minimal().without(key).signed();
    let field = |name, comment, key, value| vector(name, "core", "field", comment, with(key, value));
    let mut text_key = Pairs::minimal().encode();
    text_key[0] += 1;
    text_key.extend_from_slice(&[0x61, b'x', 0x00]);
    vec![
        vector("core-not-a-map", "core", "not_a_core", "the payload is the body itself", sign(&list(&[bytes(BODY.as_bytes())]))),
        vector("core-empty-map", "core", "not_a_core", "no key at all", sign(&[0xa0])),
        vector("core-no-version", "core", "not_a_core", "the version is missing", without(1)),
        vector("core-version-2", "core", "unknown_version", "a later version, which a newer node may know", with(1, number(2))),
        vector("core-version-2-other-keys", "core", "unknown_version", "a later version with keys unknown here", Pairs::minimal().with(1, number(2)).with(99, number(0)).signed()),
        field("core-version-0", "0 was never a version", 1, number(0)),
        vector("core-unknown-key", "core", "unknown_key", "key 17", with(17, number(0))),
        vector("core-negative-key", "core", "unknown_key", "key -1", with(-1, number(0))),
        vector("core-text-key", "core", "unknown_key", "key \"x\"", sign(&text_key)),
        vector("core-key-63", "core", "unknown_key", "the last critical key", with(63, number(0))),
        vector("core-key-128", "core", "unknown_key", "the first key beyond extensions", with(128, number(0))),
        field("core-extensions-large", "keys 64 to 127 of 8,193 bytes", 64, bytes(&[7; 8193 - 5])),
        vector("core-no-uuid", "core", "missing", "key 2", without(2)),
        vector("core-no-publisher", "core", "missing", "key 3", without(3)),
        vector("core-no-created", "core", "missing", "key 6", without(6)),
        vector("core-no-tlp", "core", "missing", "key 10: a label is never assumed", without(10)),
        vector("core-no-max-hops", "core", "missing", "key 12", without(12)),
        vector("core-no-body", "core", "missing", "key 16", without(16)),
    ]
}

/// Faults of the values of one field.
pub fn of_fields() -> Vec<Vector> {
    let with = |key, value| Pairs::minimal().with(key, value).signed();
    let field = |name, comment, key, value| vector(name, "core", "field", comment, with(key, value));
    let names = |count: usize| list(&(0..count).map(|n| text(&format!("cert-{n:05}"))).collect::<Vec<_>>());
    vec![
        field("core-uuid-15", "a UUID of 15 bytes", 2, bytes(&UUID[..15])),
        field("core-uuid-text", "the UUID as text", 2, text("72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b")),
        field("core-publisher-upper-case", "Cert-AT", 3, text("Cert-AT")),
        field("core-publisher-underscore", "cert_at: doors read it as cert-at, signed bytes have one spelling", 3, text("cert_at")),
        field("core-publisher-colon", "a name with the separator of full names", 3, text("cert:at")),
        field("core-publisher-33", "33 letters", 3, text(&"a".repeat(33))),
        field("core-publisher-empty", "no letter", 3, text("")),
        field("core-project-dash", "a name that begins with a dash", 4, text("-a")),
        field("core-ids-3", "an id scheme that there is not", 5, number(3)),
        field("core-created-late", "beyond the year 9999", 6, number(253_402_300_800_000)),
        field("core-type-2", "a type that there is not", 8, number(2)),
        field("core-format", "a format with a space", 9, text("intel mq")),
        field("core-tlp-5", "a label that there is not", 10, number(5)),
        field("core-to-empty", "an empty list is left out", 11, list(&[])),
        field("core-to-twice", "a recipient twice", 11, list(&[text("cert-ee"), text("cert-ee")])),
        field("core-to-257", "257 recipients", 11, names(257)),
        field("core-to-claimed", "a list of recipients that is none", 11, number(2)),
        field("core-max-hops-0", "0 hops", 12, number(0)),
        field("core-max-hops-33", "33 hops", 12, number(33)),
        field("core-parent-text", "a parent as text", 13, text("cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b")),
        field("core-ext-large", "32 KiB and one byte", 15, bytes(&vec![b' '; 32 * 1024 + 1])),
        field("core-body-text", "the body as text", 16, text(BODY)),
        field("core-body-other-tag", "tag 97 (COSE_Mac) for a body", 16, Encrypt { tag: 97, ..Encrypt::to_one() }.encode()),
    ]
}

/// Faults between fields, and in links.
pub fn of_relations() -> Vec<Vector> {
    let link = |elements: &[Vec<u8>]| Pairs::minimal().with(14, list(&[list(elements)])).signed();
    let sealed = |key, value| Pairs::sealed().with(key, value).signed();
    vec![
        vector("core-expires-early", "core", "field", "expires at created", Pairs::minimal().with(7, number(1_763_632_800_123)).signed()),
        vector("core-links-empty", "core", "field", "an empty list is left out", Pairs::minimal().with(14, list(&[])).signed()),
        vector("core-link-short", "core", "field", "a link without a right side", link(&[text("related")])),
        vector("core-link-opaque", "core", "field", "`replaces` with an opaque id", link(&[text("replaces"), text("RT#1")])),
        vector("core-link-opaque-257", "core", "field", "an opaque id of 257 bytes", link(&[text("alternate"), text(&"x".repeat(257))])),
        vector("core-link-type", "core", "field", "a type that is no name", link(&[text("same report"), event_id("cert-at")])),
        vector("core-sealed-content-id", "core", "sealed_content_id", "a content id would let a relay confirm a guess", sealed(5, number(1))),
        vector("core-sealed-to-nobody", "core", "sealed_to_nobody", "a sealed body without recipients", Pairs::sealed().without(11).signed()),
        vector("core-sealed-parent", "core", "outside_seal", "a parent beside a sealed body", sealed(13, event_id("cert-ee"))),
        vector("core-sealed-links", "core", "outside_seal", "links beside a sealed body", sealed(14, list(&[list(&[text("related"), event_id("cert-ee")])]))),
        vector("core-sealed-ext", "core", "outside_seal", "ext beside a sealed body", sealed(15, bytes(b"{}"))),
    ]
}

/// Faults of the form of a sealed body, which everybody sees who carries it.
pub fn of_seals() -> Vec<Vector> {
    let sealed = |encrypt: Encrypt| Pairs::sealed().with(16, encrypt.encode()).signed();
    let form = |name, comment, encrypt| vector(name, "core", "sealed_form", comment, sealed(encrypt));
    let one = Encrypt::to_one;
    let named = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| text(&format!("cert-{n:05}"))).collect();
        Pairs::sealed().with(11, list(&names))
    };
    let two = || Encrypt { recipients: vec![recipient(1), recipient(2)], ..one() };
    let same = || Encrypt { recipients: vec![recipient(1), recipient(1)], ..one() };
    let other = |from: &[u8], to: &[u8]| {
        let good = recipient(0x5a);
        let at = good.windows(from.len()).position(|part| part == from).unwrap();
        Encrypt { recipients: vec![[&good[..at], to, &good[at + from.len()..]].concat()], ..one() }
    };
    vec![
        vector("valid-sealed-to-two", "ok", "", "two names, two recipients", named(2).with(16, two().encode()).signed()),
        vector("valid-sealed-kid-twice", "ok", "", "two names under one key id", named(2).with(16, same().encode()).signed()),
        vector("core-sealed-to-fewer", "core", "sealed_recipients", "two names, one recipient", named(2).signed()),
        vector("core-sealed-to-more", "core", "sealed_recipients", "one name, two recipients", sealed(two())),
        form("core-sealed-nobody", "no recipient in the COSE_Encrypt", Encrypt { recipients: Vec::new(), ..one() }),
        form("core-sealed-algorithm", "A128GCM", Encrypt { protected: bytes(&[0xa1, 0x01, 0x01]), ..one() }),
        form("core-sealed-no-iv", "an empty unprotected header", Encrypt { unprotected: vec![0xa0], ..one() }),
        form("core-sealed-iv-11", "an IV of 11 bytes", Encrypt { unprotected: [&[0xa1, 0x05][..], &bytes(&[1; 11])].concat(), ..one() }),
        form("core-sealed-header-more", "a key id beside the IV", Encrypt { unprotected: [&[0xa2, 0x04, 0x41, 0x01, 0x05][..], &bytes(&[1; 12])].concat(), ..one() }),
        form("core-sealed-unpadded", "600 bytes and a tag: no power of two", Encrypt { ciphertext: bytes(&[0x3c; 616]), ..one() }),
        form("core-sealed-short", "256 bytes and a tag: less than the least", Encrypt { ciphertext: bytes(&[0x3c; 272]), ..one() }),
        form("core-sealed-detached", "no ciphertext", Encrypt { ciphertext: vec![0xf6], ..one() }),
        form("core-sealed-key-wrap", "ECDH-ES + A128KW for the recipient", other(&[0x38, 0x1e], &[0x38, 0x1c])),
        form("core-sealed-curve", "an ephemeral key on X448", other(&[0x20, 0x04], &[0x20, 0x05])),
        form("core-sealed-kid-7", "a key id of 7 bytes", other(&[0x48, 0x5a], &[0x47])),
    ]
}
