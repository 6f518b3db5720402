//! The cost of one event in each conversion, and of a content filter over a carried body.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use intelmesh::testing::{Extensions, LineConversion, carried_events};
use intelmesh::{
    Body, BodyDecoder, Core, ENVELOPE_VERSION, EventFormat, EventType, Filter, FilterFacts, FilterList,
    FilterLists, HopPath, IdScheme, ListFault, NoLists, Timestamp, Tlp,
};

const NOW: Timestamp = Timestamp(1_767_312_000_000);

const INTELMQ: &str = r#"{"classification.type":"scanner","source.ip":"192.0.2.1","source.port":4444,"destination.ip":"198.51.100.7","destination.port":22,"protocol.transport":"tcp","protocol.application":"ssh","time.source":"2026-01-01T00:00:00+00:00","time.observation":"2026-01-01T00:00:00+00:00","feed.accuracy":80.0,"malware.hash.md5":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#;

fn conversion(from: &str, to: &str) -> LineConversion {
    let format = |name: &str| EventFormat::parse(name).expect("a format");
    LineConversion::new(&format(from), &format(to), false, NOW).expect("a conversion")
}

fn message(format: &str) -> String {
    conversion("intelmq", format).line(INTELMQ.as_bytes()).expect("an event").lines.remove(0)
}

fn conversions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convert");
    for format in ["idea", "n6", "misp"] {
        let message = message(format);
        for (from, to, line) in [(format, "intelmq", message.as_str()), ("intelmq", format, INTELMQ)] {
            let conversion = conversion(from, to);
            group.bench_function(format!("{from} to {to}"), |bencher| {
                bencher.iter(|| conversion.line(black_box(line.as_bytes())).expect("a conversion"));
            });
        }
    }
    group.finish();
}

fn core(format: &str, body: &str) -> Core {
    Core {
        version: ENVELOPE_VERSION,
        id: "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().expect("a full name"),
        ids: IdScheme::Random,
        created: NOW,
        expires: None,
        event_type: EventType::Event,
        format: EventFormat::parse(format).expect("a format"),
        tlp: Tlp::Green,
        to: Vec::new(),
        max_hops: 16,
        parent: None,
        links: Vec::new(),
        ext: None,
        body: Body::Plain(Bytes::copy_from_slice(body.as_bytes())),
        extensions: Extensions::default(),
    }
}

struct WithDecoder;

impl FilterLists for WithDecoder {
    fn list(&self, name: &str) -> Result<std::sync::Arc<FilterList>, ListFault> {
        NoLists.list(name)
    }

    fn decoder(&self) -> Option<BodyDecoder> {
        Some(carried_events)
    }
}

/// Of more bodies than are remembered, each is decoded when its turn comes.
fn filters(criterion: &mut Criterion) {
    let filter = Filter::compile(r#"event["source.ip"] == "192.0.2.1""#, &WithDecoder).expect("a filter");
    let path = HopPath::default();
    let mut group = criterion.benchmark_group("content filter");
    for format in ["intelmq", "idea", "n6"] {
        let body = if format == "intelmq" { INTELMQ.to_owned() } else { message(format) };
        let cores: Vec<Core> =
            (1000..1064).map(|port| core(format, &body.replace("4444", &port.to_string()))).collect();
        let mut cores = cores.iter().cycle();
        group.bench_function(format, |bencher| {
            bencher.iter(|| {
                let core = black_box(cores.next().expect("a core"));
                filter.admits(&FilterFacts::new(core, &path)).expect("an answer")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, conversions, filters);
criterion_main!(benches);
