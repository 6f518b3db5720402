//! The fuzz smoke: bytes that were valid a moment ago, changed at random, at every door that reads what others
//! wrote. No door may panic, and what it accepts must come out as it went in. A run ends after
//! `INTELMESH_FUZZ_SECONDS` for each door (2 by default); `INTELMESH_FUZZ_SEED` repeats one.
//!
//! It measures no coverage and keeps no corpus: a coverage-guided fuzzer needs another toolchain.
#![allow(clippy::disallowed_methods, reason = "a fuzz run ends after real time")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use intelmesh::testing::{
    Carried, CoreDraft, DeliveryForm, DoorDefaults, FeedState, HandOff, Have, IdInputs, Invitation, JsonKind,
    LineConversion, MultipleValues, ParsedSubmission, PeerFile, Skip, Subscribe, Window, bytes::decode_entry,
    bytes::encode_entry, bytes::encode_note, frame::encode, frame::fuzz as fuzz_frames, http::read_request,
    intake, parse_request, piece,
};
use intelmesh::{
    Body, BodyIdSecret, CarrierFrame, Check, Core, CoreDigest, Entry, EventFormat, EventKey, HopPath, LogId,
    Mark, Note, Peer, ProjectName, PublisherName, SealKey, SealOpener, Signer, Timestamp, Tlp, TrustList,
    UnverifiedEnvelope, WireFrame, check_body, check_content,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Inputs grow by what is spliced into them; beyond this they are cut. In bytes.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that parsers stumble over.
const ODD: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\\ud800",
    b"\\u0000",
    b"1e999",
    b"-0",
    b"NaN",
    b"{\"a\":1,\"a\":2}",
    b"[[[[[[[[",
    b"\x9f",
    b"\xbf",
    b"\x5f",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd2",
    b"extra.intelmesh.uuid",
];

/// Runs `door` on changed `samples` until the time is up.
fn smoke(door_name: &str, samples: &[Vec<u8>], mut door: impl FnMut(&[u8])) {
    let seconds =
        std::env::var("INTELMESH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let seed = std::env::var("INTELMESH_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!(
        "seed {seed}: INTELMESH_FUZZ_SEED={seed} cargo test --profile ci --all-features --test hostile {door_name}"
    );
    let mut rng = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut runs = 0u64;
    samples.iter().for_each(|sample| door(sample));
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..256 {
            door(&changed(samples, &mut rng));
        }
        runs += 256;
    }
    println!("{door_name}: {runs} inputs in {seconds} s");
}

/// One sample with a few random changes.
fn changed(samples: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = samples[rng.random_range(0..samples.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let to = (at + rng.random_range(0..=16)).min(bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, ODD[rng.random_range(0..ODD.len())].iter().copied())),
            4 => {
                let copy = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            5 => bytes.truncate(at),
            _ => {
                let other = &samples[rng.random_range(0..samples.len())];
                let from = rng.random_range(0..=other.len());
                let until = (from + rng.random_range(0..=64)).min(other.len());
                drop(bytes.splice(at..to, other[from..until].iter().copied()));
            }
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn door() -> DoorDefaults {
    DoorDefaults::of(name("cert-at"), ProjectName::parse("intelmq").unwrap(), Tlp::Green)
}

/// What is sealed goes to cert-ee, whose sealing secret is 32 times 9.
fn trust() -> TrustList {
    let seal = Some(SealKey::of(&[9; 32].into()));
    let peer =
        Peer { seal, ..Peer::new(name("cert-ee"), intelmesh::testing::fixture::key(4).verifying_key()) };
    TrustList::new(name("cert-at"), signer().verifying_key(), [peer])
}

/// The project's own samples, and the forms around them.
fn lines() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            lines.extend(std::fs::read_to_string(path).unwrap().lines().map(|line| line.as_bytes().to_vec()));
        }
    }
    assert!(!lines.is_empty(), "tests/samples holds no events");
    let uuid = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    lines.push(format!(r#"{{"meta":{{"version":1,"uuid":{{"current":"{uuid}","parent":"{uuid}"}},"tlp":"AMBER","to":["cert-ee"],"links":[{{"type":"related","right":"{uuid}"}}],"x-a":[1,{{"b":null}}]}},"payload":{{"source.ip":"192.0.2.1"}}}}"#).into_bytes());
    lines.push(format!(r#"{{"meta":{{"seal":true,"to":["cert-ee"],"tlp":"RED","uuid":{{"parent":"{uuid}"}},"links":[{{"type":"alternate","right":"RT#1"}}],"rtir_id":12345}},"payload":{{"source.ip":"192.0.2.1"}}}}"#).into_bytes());
    lines.push(format!(r#"{{"format":"intelmq","version":1,"type":"event","meta":{{"uuid":"{uuid}","tags":["a"]}},"payload":{{"extra.intelmesh.uuid":"{uuid}"}}}}"#).into_bytes());
    lines
}

fn cores() -> Vec<Core> {
    let secret = BodyIdSecret::new([7; 32]);
    let made =
        IdInputs { now: Timestamp(1_700_000_000_000), random: uuid::Uuid::from_u128(5), secret: &secret };
    let drafts = lines().into_iter().filter_map(|line| match intake(&line, &door()) {
        Ok(ParsedSubmission::New(draft)) => Some(draft),
        _ => None,
    });
    let mut chance = StdRng::seed_from_u64(3);
    let core =
        |draft: Box<CoreDraft>| draft.address(&trust()).unwrap().into_core(&made, &mut chance).unwrap();
    drafts.map(core).collect()
}

fn signer() -> Signer {
    Signer::new(intelmesh::testing::fixture::key(3))
}

fn opener() -> SealOpener {
    SealOpener::new(name("cert-ee"), [[9; 32].into()])
}

fn envelopes() -> Vec<Vec<u8>> {
    let signer = signer();
    cores().into_iter().map(|core| signer.sign(core).unwrap().envelope().bytes().to_vec()).collect()
}

fn path() -> HopPath {
    HopPath::new(vec![name("cert-at"), name("cert-ee")]).unwrap()
}

#[test]
fn lines_at_in_sock() {
    let (door, secret) = (door(), BodyIdSecret::new([7; 32]));
    let (signer, trust) = (signer(), trust());
    let mut chance = StdRng::seed_from_u64(3);
    smoke("lines_at_in_sock", &lines(), |line| {
        let _ = check_body(line);
        let Ok(ParsedSubmission::New(draft)) = intake(line, &door) else { return };
        let made =
            IdInputs { now: Timestamp(1_700_000_000_000), random: uuid::Uuid::from_u128(5), secret: &secret };
        let Ok(draft) = draft.address(&trust) else { return };
        let Ok(core) = draft.into_core(&made, &mut chance) else { return };
        let Ok(envelope) = signer.sign(core) else { return };
        check_content(envelope.envelope().core()).expect("bug: a door accepted what intake refuses");
        let mut out = Vec::new();
        for form in [DeliveryForm::Iep04, DeliveryForm::Plain, DeliveryForm::Ail] {
            HandOff { form, with_type: true, format: None }
                .write_line(&Carried::new(1, &path(), envelope.envelope()), &mut out);
        }
    });
}

/// Messages of other systems. Whole events or a refusal come out, and an event goes back into each format with its
/// label or a stricter one.
#[test]
fn messages_of_other_formats() {
    let now = Timestamp(1_767_312_000_000);
    let format = |name: &str| EventFormat::parse(name).unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/formats");
    for name in ["idea", "n6", "misp"] {
        let text = std::fs::read_to_string(dir.join(format!("{name}.jsonl"))).unwrap();
        let vectors = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let message = |vector: serde_json::Value| match vector["raw_json"].as_str() {
            Some(text) => text.to_owned(),
            None if name == "misp" => vector["expect"]["event"].to_string(),
            None if vector["dir"] == "out" => vector["expect"].to_string(),
            None => vector[name].to_string(),
        };
        let samples: Vec<Vec<u8>> = vectors.map(|vector| message(vector).into_bytes()).collect();
        let decoding = LineConversion::new(&format(name), &format("intelmq"), false, now).unwrap();
        smoke("messages_of_other_formats", &samples, |line| {
            let Ok(decoded) = decoding.line(line) else { return };
            for event in decoded.lines {
                check_body(event.as_bytes()).expect("bug: a decoder wrote what no door takes");
                let event: serde_json::Value = serde_json::from_str(&event).unwrap();
                // No label is milder than any.
                let label = event["tlp"].as_str().and_then(Tlp::parse);
                for to in ["idea", "n6", "misp"] {
                    let encoding = LineConversion::new(&format("intelmq"), &format(to), false, now).unwrap();
                    let back = LineConversion::new(&format(to), &format("intelmq"), false, now).unwrap();
                    let encoded = encoding.line(event.to_string().as_bytes()).expect("an event is an event");
                    for message in encoded.lines {
                        let back =
                            back.line(message.as_bytes()).expect("bug: an encoder wrote what is refused");
                        let back: serde_json::Value = serde_json::from_str(&back.lines[0]).unwrap();
                        let tlp = back["tlp"].as_str().and_then(Tlp::parse);
                        assert!(tlp >= label, "{name} {to}: {label:?} became {tlp:?}");
                    }
                }
            }
        });
    }
}

/// Lines that a door to IntelMQ takes apart, strips or publishes again.
fn local_lines() -> Vec<Vec<u8>> {
    let uuid = "cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    let mut lines = lines();
    lines.extend([
        br#"{"source.ip": ["127.0.0.1", "127.0.0.2"], "source.fqdn": ["example.com", "ex\u00e4mple.org", "example.com"], "rtir_id":[1,2]}"#.to_vec(),
        br#"{"a":[1,1.0,null,"]"],"feed.url":["file:///srv/in","http://example.com"],"extra":{"file_name":"x","tags":[1]}}"#.to_vec(),
        br#"{"source.ip":"192.0.2.1","extra":"{\"file_name\": \"\\u00fc.csv\", \"b\": [1, \"\ud83d\ude00\"]}","feed":{"url":"FILE:x"}}"#.to_vec(),
        format!(r#"{{"source.ip":"192.0.2.1","extra.intelmesh.uuid":"{uuid}","extra.intelmesh.path":"!cert-ee"}}"#).into_bytes(),
    ]);
    lines
}

/// Each value that comes out stands in the line as it is, but for secrets that were masked in it.
fn assert_tokens_of(line: &[u8], core: &Core) {
    let Body::Plain(body) = &core.body else { return };
    let line = String::from_utf8_lossy(line).replace(['\n', '\r'], "");
    for member in check_body(body).expect("bug: a door makes a body that it would refuse").members {
        let token = std::str::from_utf8(&body[member.value_at.clone()]).unwrap();
        let whole = member.kind != JsonKind::Object && !member.key.starts_with("extra");
        let kept = token.split("***").all(|part| line.contains(part));
        assert!(!whole || kept, "bug: {token} was not in the line");
    }
}

#[test]
fn lines_at_a_door_to_intelmq() {
    let multiple_values = MultipleValues::Explode { most: MultipleValues::MOST };
    let door = DoorDefaults { republish: true, multiple_values, ..door().at_intelmq() };
    let ids = |cores: &[Core]| cores.iter().map(|core| core.id.clone()).collect::<Vec<_>>();
    let (signer, secret, trust) = (signer(), BodyIdSecret::new([7; 32]), trust());
    let mut chance = StdRng::seed_from_u64(3);
    let held = Core { parent: None, links: Vec::new(), ..cores().remove(0) };
    let held = Core { id: "cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().unwrap(), ..held };
    smoke("lines_at_a_door_to_intelmq", &local_lines(), |line| {
        let made = |random| {
            let random = uuid::Uuid::from_u128(random);
            IdInputs { now: Timestamp(1_700_000_000_000), random, secret: &secret }
        };
        let cores = match intake(line, &door) {
            Ok(ParsedSubmission::New(draft)) => {
                let draft = draft.address(&trust);
                draft.and_then(|draft| draft.into_core(&made(5), &mut chance)).into_iter().collect()
            }
            Ok(ParsedSubmission::Child(child)) => {
                let draft = child.into_draft(&[&held], &trust).and_then(|draft| draft.address(&trust));
                draft.and_then(|draft| draft.into_core(&made(5), &mut chance)).into_iter().collect()
            }
            Ok(ParsedSubmission::Exploded(exploded)) => {
                let Ok(exploded) = exploded.address(&trust) else { return };
                let Ok(siblings) = exploded.into_cores(&made(5), &mut chance) else { return };
                let Ok(ParsedSubmission::Exploded(again)) = intake(line, &door) else {
                    panic!("bug: another fate")
                };
                let again = again.address(&trust).unwrap().into_cores(&made(6), &mut chance).unwrap();
                assert_eq!((&again.parent, ids(&again.cores)), (&siblings.parent, ids(&siblings.cores)));
                siblings.cores
            }
            Ok(ParsedSubmission::Returned(_)) | Err(_) => Vec::new(),
        };
        for core in cores {
            assert_tokens_of(line, &core);
            let Ok(envelope) = signer.sign(core) else { continue };
            check_content(envelope.envelope().core()).expect("bug: a door accepted what intake refuses");
        }
    });
}

#[test]
fn envelopes_of_a_peer() {
    let key = signer().verifying_key();
    smoke("envelopes_of_a_peer", &envelopes(), |bytes| {
        let Ok(envelope) = UnverifiedEnvelope::decode(Bytes::copy_from_slice(bytes)) else { return };
        assert_eq!(envelope.envelope().bytes(), bytes);
        let _ = check_content(envelope.envelope().core());
        let _ = opener().open(envelope.envelope());
        if bytes.len() < 4_096 {
            let _ = envelope.verify(&key);
        }
    });
}

#[test]
fn frames_of_a_peer() {
    let place = Mark { seq: 9, check: Check([1; 16]) };
    let window = Window { envelopes: 10, bytes: 1 << 20 };
    let mut frames = vec![
        WireFrame::Subscribe(Subscribe {
            log_id: Some(LogId([2; 16])),
            marks: vec![place, Mark::START],
            have_only: true,
            window,
            options: [(64, Bytes::from_static(&[0x81, 0xf6]))].into(),
        }),
        WireFrame::Skip(Skip { to: place, dropped: 3 }),
        WireFrame::Want { seq: 5, key: EventKey([1; 16]) },
        WireFrame::Mode { publisher: name("cert-at"), eager: false },
        WireFrame::Head { seq: 5, stored: Timestamp(1) },
        WireFrame::Have(Have {
            seq: 10,
            check: Check([3; 16]),
            created: Timestamp(4),
            publisher: name("cert-at"),
            key: EventKey([5; 16]),
            digest: CoreDigest([6; 32]),
        }),
    ];
    for envelope in envelopes() {
        let (seq, check, path, envelope) = (11, Check([7; 16]), path(), Bytes::from(envelope));
        frames.push(WireFrame::Carrier(CarrierFrame { seq, check, path, envelope }));
    }
    let samples: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut bytes = Vec::new();
            encode(frame, &mut bytes);
            bytes
        })
        .collect();
    smoke("frames_of_a_peer", &samples, fuzz_frames);
}

#[test]
fn records_of_the_journal() {
    let mut samples = Vec::new();
    for envelope in envelopes() {
        let envelope = UnverifiedEnvelope::decode(Bytes::from(envelope)).unwrap();
        let entry = Entry {
            seq: 4,
            check: Check([1; 16]),
            arrived: Timestamp(9),
            path: path(),
            envelope: envelope.into_stored(),
            twins: Vec::new(),
            withdrawn_by: None,
            replaced_by: None,
        };
        let mut bytes = Vec::new();
        encode_entry(&entry, &mut bytes);
        samples.push(bytes);
    }
    let mut note = Vec::new();
    encode_note(&Note::Feed { peer: name("cert-ee"), state: FeedState::default() }, &mut note);
    samples.push(note);
    smoke("records_of_the_journal", &samples, |bytes| {
        let _ = piece(bytes);
        if let Ok(entry) = decode_entry(&Bytes::copy_from_slice(bytes)) {
            let mut out = Vec::new();
            encode_entry(&entry, &mut out);
            assert_eq!(out, bytes, "bug: an entry encodes to other bytes than it came from");
        }
    });
}

#[test]
fn requests_of_http_clients() {
    let cursor = format!("{}.17.{}", "0a".repeat(16), "0b".repeat(16));
    let targets = [
        format!(
            "/v1/events?after={cursor}&limit=7&filter=event%5B%22source.ip%22%5D%20%3D%3D%20%22x%22&type=report"
        ),
        "/v1/events?after=2026-01-01T00:00:00%2B01:00&wait=5&form=plain&consumer=soc".to_owned(),
        cursor,
        "Bearer intelmesh_x".to_owned(),
        "gzip;q=0.5, zstd;q=0, identity".to_owned(),
        "application/json; charset=utf-8".to_owned(),
    ];
    let bodies = [&b"{\"a\":1e2}\n\n{\"b\":[1]}\n"[..], b"[{\"a\":1},{\"b\":[]},3]", b"{\"a\":1}"];
    let pairs = targets.iter().flat_map(|target| bodies.iter().map(move |body| (target, body)));
    let samples: Vec<Vec<u8>> =
        pairs.map(|(target, body)| [target.as_bytes(), b"\n", body].concat()).collect();
    smoke("requests_of_http_clients", &samples, read_request);
}

#[test]
fn files_and_texts_of_the_operator() {
    let key = intelmesh::testing::fixture::key(3);
    let public = intelmesh::public_key_text(&key.verifying_key());
    let file = format!(
        "key = \"{public}\"\naddresses = [ \"/dns4/mesh.cert.ee/tcp/4801\" ]\naliases = [\"old\"]\npaused = false\n\
         [share]\ntlp_max = \"AMBER\"\n[receive]\nrelay = true\nrate = \"100/s\"\n"
    );
    let invitation = Invitation {
        name: name("cert-ee"),
        federation: ProjectName::parse("intelmesh").unwrap(),
        key: key.verifying_key(),
        seal: [9; 32],
        addresses: vec!["/dns4/mesh.cert.ee/tcp/4801".to_owned()],
        expires: Timestamp(1_800_000_000_000),
    };
    let request = br#"{"feed_rewind":{"peer":"cert-ee","to":{"seq":4}}}"#.to_vec();
    let samples = vec![file.into_bytes(), invitation.make(&key).unwrap().into_bytes(), request];
    smoke("files_and_texts_of_the_operator", &samples, |bytes| {
        let _ = parse_request(bytes);
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = PeerFile::parse(Path::new("peers/cert-ee.toml"), text);
            let _ = Invitation::parse(text, Timestamp(1_700_000_000_000));
        }
    });
}
