//! What one event costs a processor in the core: from a line at a door to a signed envelope, from received
//! bytes to a verified one, and to a line for the pipeline. `cargo bench --bench envelope`.
//! No disk, no network and no threads: those are in `store`, `wire` and `relay`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use intelmesh::testing::{Carried, DeliveryForm, DoorDefaults, HandOff, IdInputs, ParsedSubmission, intake};
use intelmesh::{
    BodyIdSecret, Core, HopPath, IdScheme, ProjectName, PublisherName, SealKey, SealOpener, Signer,
    Timestamp, Tlp, TrustList, UnverifiedEnvelope, check_content, seal,
};

const LINE_BYTES: usize = 1_024;

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).expect("a name")
}

fn door(ids: IdScheme) -> DoorDefaults {
    DoorDefaults {
        ids,
        ..DoorDefaults::of(name("cert-at"), ProjectName::parse("intelmq").expect("a name"), Tlp::Green)
    }
}

fn core_of(line: &[u8], door: &DoorDefaults, secret: &BodyIdSecret) -> Core {
    let Ok(ParsedSubmission::New(draft)) = intake(line, door) else {
        panic!("the bench's own line is sound")
    };
    let random = uuid::Uuid::from_u128(0x72dd_b00c_2d0a_4eea_b7ac_ae12_2b8e_6c3b);
    let key = intelmesh::testing::fixture::key(7).verifying_key();
    let draft = draft.address(&TrustList::new(name("cert-at"), key, [])).expect("no recipients");
    let made = IdInputs { now: Timestamp(1_795_514_400_000), random, secret };
    draft.into_core(&made, &mut rand::rng()).expect("a sound core")
}

fn envelopes(c: &mut Criterion) {
    let line = support::events::made(17, LINE_BYTES).into_bytes();
    let secret = BodyIdSecret::new([7; 32]);
    let signer = Signer::new(intelmesh::testing::fixture::key(7));
    let mut group = c.benchmark_group("envelope of 1 KiB");
    group.throughput(Throughput::Elements(1));

    for (what, ids) in
        [("random", IdScheme::Random), ("body", IdScheme::Body), ("content", IdScheme::Content)]
    {
        let door = door(ids);
        group.bench_function(format!("intake of a line, {what} id"), |b| {
            b.iter(|| core_of(black_box(&line), &door, &secret));
        });
    }
    let core = core_of(&line, &door(IdScheme::Random), &secret);
    group.bench_function("sign", |b| {
        b.iter_batched(|| core.clone(), |core| signer.sign(core).expect("sound"), BatchSize::SmallInput);
    });

    let signed = signer.sign(core).expect("sound");
    let bytes: Bytes = signed.envelope().bytes().clone();
    let decoded = || UnverifiedEnvelope::decode(bytes.clone()).expect("our own");
    group.bench_function("decode", |b| b.iter(decoded));
    group.bench_function("verify_strict", |b| {
        let key = signer.verifying_key();
        let verify = |envelope: UnverifiedEnvelope| envelope.verify(&key).expect("our own");
        b.iter_batched(decoded, verify, BatchSize::SmallInput);
    });
    group.bench_function("check_content", |b| {
        b.iter(|| check_content(black_box(signed.envelope().core())).expect("our own"));
    });

    let path = HopPath::new(vec![name("cert-at")]).expect("a path");
    for form in DeliveryForm::ALL {
        let hand_off = HandOff { form, with_type: false, format: None };
        let mut out = Vec::new();
        group.bench_function(format!("hand-off as {}", form.as_str()), |b| {
            b.iter(|| {
                out.clear();
                hand_off.write_line(&Carried::new(17, &path, black_box(signed.envelope())), &mut out)
            });
        });
    }
    group.finish();
}

/// What sealing adds at the publisher, for each recipient, and opening at a recipient.
fn seals(c: &mut Criterion) {
    let line = support::events::made(17, LINE_BYTES).into_bytes();
    let secret = BodyIdSecret::new([7; 32]);
    let signer = Signer::new(intelmesh::testing::fixture::key(7));
    let core = core_of(&line, &door(IdScheme::Random), &secret);
    let mut group = c.benchmark_group("seal of 1 KiB");
    group.throughput(Throughput::Elements(1));
    for recipients in [1u8, 3, 16] {
        let keys: Vec<SealKey> = (1..=recipients).map(|nth| SealKey::of(&[nth; 32].into())).collect();
        let to = (1..=recipients).map(|nth| name(&format!("cert-{nth}"))).collect();
        let core = Core { to, ..core.clone() };
        group.bench_function(format!("seal to {recipients}"), |b| {
            let seal = |core| seal(core, &keys, &secret, &mut rand::rng()).expect("sound");
            b.iter_batched(|| core.clone(), seal, BatchSize::SmallInput);
        });
        if recipients == 3 {
            let core = seal(core, &keys, &secret, &mut rand::rng()).expect("sound");
            let signed = signer.sign(core).expect("sound");
            let opener = SealOpener::new(name("cert-2"), [[2; 32].into()]);
            group.bench_function("open", |b| {
                b.iter(|| opener.open(black_box(signed.envelope())).expect("sealed for it"));
            });
            let bytes: Bytes = signed.envelope().bytes().clone();
            group.bench_function("decode, sealed to 3", |b| {
                b.iter(|| UnverifiedEnvelope::decode(bytes.clone()).expect("our own"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, envelopes, seals);
criterion_main!(benches);
