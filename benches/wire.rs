//! Frames to bytes and back: what each carrier costs the transport of a node, beside its signature.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use intelmesh::testing::{Have, frame::encode, frame::encoded_len};
use intelmesh::{
    CarrierFrame, Check, CoreDigest, EventKey, FrameDecoder, HopPath, PublisherName, Timestamp, WireFrame,
};

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).expect("a name")
}

fn carrier(bytes: usize) -> WireFrame {
    WireFrame::Carrier(CarrierFrame {
        seq: 1_000_000,
        check: Check([7; 16]),
        path: HopPath::new(vec![name("cert-at"), name("cert-ee")]).expect("a path"),
        envelope: Bytes::from(vec![7; bytes]),
    })
}

fn have() -> WireFrame {
    WireFrame::Have(Have {
        seq: 1_000_000,
        check: Check([7; 16]),
        created: Timestamp(1_795_000_000_000),
        publisher: name("cert-at"),
        key: EventKey([7; 16]),
        digest: CoreDigest([7; 32]),
    })
}

fn frames(c: &mut Criterion) {
    for (what, frame) in
        [("carrier 1 KiB", carrier(1024)), ("carrier 64 KiB", carrier(65_536)), ("have", have())]
    {
        let mut group = c.benchmark_group(what);
        group.throughput(Throughput::Bytes(encoded_len(&frame) as u64));
        let mut out = Vec::new();
        group.bench_function("encode", |b| {
            b.iter(|| {
                out.clear();
                encode(black_box(&frame), &mut out);
            });
        });
        group.bench_function("encoded_len", |b| b.iter(|| encoded_len(black_box(&frame))));
        // A hundred frames at once, as a busy stream has them.
        let bytes: Vec<u8> = std::iter::repeat_n(&out[..], 100).flatten().copied().collect();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("decode 100", |b| {
            let drain = |mut buffer: BytesMut| {
                let mut decoder = FrameDecoder::default();
                while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
                    black_box(frame);
                }
            };
            b.iter_batched(|| BytesMut::from(&bytes[..]), drain, BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
