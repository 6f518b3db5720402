//! What a filter costs for one event: compiling it once, asking it each time. Events are IntelMQ's shape; what a
//! consumer does with the answer is not measured.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use intelmesh::{Body, Core, Filter, FilterFacts, FilterList, HopPath, PublisherName, Timestamp};

const EVENT: &str = r#"{"classification.taxonomy":"malicious-code","classification.type":"infected-system","event_description.text":"Avalanche sinkhole","feed.accuracy":100.0,"feed.name":"Botnet drones","feed.provider":"Example","feed.url":"https://feeds.example.org/drones","malware.name":"avalanche","protocol.application":"http","protocol.transport":"tcp","raw":"ImFzbiIsImdlbyIsInRpbWVzdGFtcCIsImlwIiwicG9ydCIsInR5cGUi","source.abuse_contact":"abuse@example.at","source.asn":64496,"source.as_name":"EXAMPLE-AS","source.fqdn":"host7.example.at","source.geolocation.cc":"AT","source.geolocation.city":"Wien","source.ip":"192.0.2.7","source.port":51000,"time.observation":"2026-11-20T10:00:00+00:00","time.source":"2026-11-20T09:58:12+00:00"}"#;

const FILTERS: [(&str, &str); 8] = [
    ("meta", r#"meta.publisher != "cert-pl""#),
    ("country", r#"event["source.geolocation.cc"] == "EE""#),
    ("countries", r#"event["source.geolocation.cc"] in ["EE", "LV", "LT", "FI", "SE", "NO", "DK", "AT"]"#),
    ("network", r#"cidr(event["source.ip"], ["198.51.100.0/24", "192.0.2.0/24"])"#),
    (
        "constituency",
        r#"cidr_in(event, "networks.txt") || asn_in(event, "asns.txt") || under(event, "example.at")"#,
    ),
    ("pattern", r#"event["feed.url"].matches("^https://[^/]*\\.example\\.(org|net)/")"#),
    (
        "typical",
        r#"meta.tlp in ["CLEAR", "GREEN"] && classified(event, ["malicious-code", "vulnerable"]) && country(event, "AT") && !("source.abuse_contact" in event && event["source.abuse_contact"] == "")"#,
    ),
    ("keys", r#"event.exists(key, key.startsWith("malware."))"#),
];

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).expect("a name")
}

fn core() -> Core {
    Core {
        created: Timestamp(1_700_000_000_123),
        body: Body::Plain(bytes::Bytes::from_static(EVENT.as_bytes())),
        ..intelmesh::testing::fixture::core()
    }
}

fn lists() -> BTreeMap<String, Arc<FilterList>> {
    let networks: String = (0..20_000u32).map(|n| format!("10.{}.{}.0/24\n", n / 256, n % 256)).collect();
    let numbers: String = (0..20_000u32).map(|n| format!("{}\n", 100_000 + n)).collect();
    [("networks.txt", networks), ("asns.txt", numbers)]
        .map(|(name, text)| (name.to_owned(), Arc::new(FilterList::parse(&text).expect("a list"))))
        .into()
}

fn benches(criterion: &mut Criterion) {
    let (core, lists) = (core(), lists());
    let path = HopPath::new(vec![name("cert-at")]).expect("a path");
    let mut group = criterion.benchmark_group("filter");
    group.sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, source) in FILTERS {
        let filter = Filter::compile(source, &lists).expect("a filter");
        group.bench_function(name, |bencher| {
            bencher.iter(|| filter.admits(&FilterFacts::new(black_box(&core), &path)).expect("an answer"));
        });
    }
    let filters: Vec<_> =
        FILTERS.map(|(_, source)| Filter::compile(source, &lists).expect("a filter")).into();
    group.bench_function("all eight over one reading", |bencher| {
        bencher.iter(|| {
            let facts = FilterFacts::new(black_box(&core), &path);
            filters.iter().filter(|filter| filter.admits(&facts) == Ok(true)).count()
        });
    });
    group.bench_function("compile", |bencher| {
        bencher.iter(|| Filter::compile(black_box(FILTERS[6].1), &lists))
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
