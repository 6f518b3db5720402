//! What the store costs: append in batches with a sync each, read-back from disk, what the link index adds to both,
//! look-up and insert in a seen set of 1 M and of 10 M ids. Prints also how long such a set takes to
//! open and how much memory it then holds. Run
//! with `cargo bench --bench store`; the directory is INTELMESH_BENCH_DIR, or the system's temporary one.
//! Not a comparison with other stores.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use intelmesh::testing::{
    CoveredPlace, DayDb, DayLinks, FileDisk, FreshJournal, Journal, JournalConfig, LinkIndex, SeenDb, SeenId,
};
use intelmesh::{
    Body, Check, CheckSecret, Core, CoreDigest, EventId, EventKey, HopPath, Link, LinkTarget, LogId, Mark,
    NewCarrier, NewRecord, ProjectName, PublisherName, Relation, Signer, Timestamp,
};

const NOW: Timestamp = Timestamp(1_795_514_400_000);
const BATCH: u64 = 256;
const DAYS: u64 = 30;

/// Set for the process that only opens.
const OPEN_ALONE: &str = "INTELMESH_BENCH_OPEN";
const OPEN_IDS: &str = "INTELMESH_BENCH_IDS";

fn bench_dir(name: &str) -> (Option<tempfile::TempDir>, PathBuf) {
    let base = std::env::var_os("INTELMESH_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).expect("a temporary directory");
    let path = dir.path().join(name);
    (Some(dir), path)
}

fn carriers(count: u64) -> Vec<NewRecord> {
    linking(count, |_| Vec::new())
}

fn event_id(n: u64) -> EventId {
    EventId {
        publisher: PublisherName::parse("cert-at").expect("a name"),
        project: ProjectName::parse("intelmq").expect("a name"),
        uuid: uuid::Uuid::from_u128(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(n)),
    }
}

/// Carriers of which the n-th has these links.
fn linking(count: u64, links: impl Fn(u64) -> Vec<(&'static str, u64)>) -> Vec<NewRecord> {
    let signer = Signer::new(intelmesh::testing::fixture::key(7));
    let body = format!("{{\"filler\":\"{}\"}}", "x".repeat(800));
    let link = |(relation, right): (&str, u64)| Link {
        left: None,
        relation: Relation::parse(relation).expect("a relation"),
        right: LinkTarget::Event(event_id(right)),
    };
    let made = (0..count).map(|n| {
        let core = Core {
            id: event_id(n),
            created: NOW,
            links: links(n).into_iter().map(link).collect(),
            body: Body::Plain(body.clone().into()),
            ..intelmesh::testing::fixture::core()
        };
        let envelope = signer.sign(core).expect("a sound core");
        NewRecord::Carrier(NewCarrier { envelope, path: HopPath::default(), arrived: NOW })
    });
    made.collect()
}

fn open_journal(dir: &Path) -> Journal<FileDisk> {
    let disk = Arc::new(FileDisk::open(dir).expect("a directory"));
    let config = JournalConfig { keep_bytes: 20_000_000_000, keep_ms: 30 * 86_400_000 };
    let fresh = FreshJournal { log_id: LogId([1; 16]), salt: 7, check_secret: CheckSecret::new([7; 32]) };
    Journal::open(disk, config, fresh, &[]).expect("a journal").0
}

fn journal(c: &mut Criterion) {
    let (_guard, dir) = bench_dir("journal");
    let records = carriers(BATCH);
    let mut group = c.benchmark_group("journal");
    group.sample_size(20).measurement_time(Duration::from_secs(4)).throughput(Throughput::Elements(BATCH));
    let mut journal = open_journal(&dir);
    group.bench_function("append 256 of 1 KB, synced", |b| {
        b.iter(|| journal.append(records.clone()).expect("appended"));
    });
    let last = journal.last().seq;
    drop(journal);
    let began = Instant::now();
    let journal = open_journal(&dir);
    println!("journal of {last} carriers opens in {:?}", began.elapsed());
    let mut after = 0;
    group.bench_function("read back 256 of 1 KB from disk, verified", |b| {
        b.iter(|| {
            after = if after + 2 * BATCH > last { 0 } else { after + BATCH };
            let read = journal.read(after, 256 * 1024).expect("read");
            black_box(read.entries.len())
        });
    });
    group.finish();
}

/// What the link index adds to storing an event, and to reading one for a consumer.
fn links(c: &mut Criterion) {
    let (_guard, dir) = bench_dir("links");
    let mut group = c.benchmark_group("links");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(BATCH));
    let index = |name: &str, records: Vec<NewRecord>| {
        let mut journal = open_journal(&dir.join(name));
        for batch in records.chunks(BATCH as usize) {
            journal.append(batch.to_vec()).expect("appended");
        }
        let db = DayLinks::open(&dir.join(format!("{name}-links")), &dir.join("aside")).expect("an index");
        let began = Instant::now();
        let index = LinkIndex::open(Box::new(db), &journal, false, u64::MAX).expect("an index");
        println!(
            "link index of {} carriers ({name}) made again in {:?}",
            journal.last().seq,
            began.elapsed()
        );
        (journal, index)
    };
    for (name, of_each) in [("none", 0), ("a parent-like link and a report", 2), ("255 siblings", 255)] {
        let records = linking(BATCH, |n| (0..of_each).map(|nth| ("same-report", 1_000 + n + nth)).collect());
        let (journal, mut index) = index(name, records);
        let mut read = journal.read(0, usize::MAX).expect("read");
        let mut seq = read.entries.len() as u64;
        group.bench_function(BenchmarkId::new("insert 256 events, links of each", name), |b| {
            b.iter(|| {
                for entry in &mut read.entries {
                    seq += 1;
                    Arc::make_mut(entry).seq = seq;
                }
                index.insert_all(read.entries.iter(), journal.last());
                if index.is_over() {
                    let (flush, covered) = index.begin_flush(journal.log_id(), Timestamp(0));
                    flush().expect("flushed");
                    index.flushed(covered);
                }
            });
        });
    }
    let (journal, mut index) = index("withdrawals", linking(100_000, |n| vec![("withdraws", 1_000_000 + n)]));
    let mut read = journal.read(0, 256 * 1024).expect("read");
    read.entries.truncate(BATCH as usize);
    group.bench_function("mark 256 events of which none is withdrawn, beside 100,000 withdrawals", |b| {
        b.iter(|| index.mark(&mut read).expect("asked"));
    });
    group.finish();
}

/// The n-th of many identities, spread over the days.
fn id(n: u64) -> SeenId {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&n.wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes());
    let day = NOW.day() - ((n * DAYS) >> 24) as u32 % DAYS as u32;
    SeenId { day, key: EventKey(key), digest: CoreDigest::of(&n.to_be_bytes()) }
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

fn flush(db: &mut DayDb, seq: u64) {
    let mark = Mark { seq, check: Check::START };
    let covered = CoveredPlace { log_id: LogId([1; 16]), mark, floor: Timestamp(0) };
    db.begin_flush(covered)().expect("flushed");
    db.flushed();
}

/// Opens the seen set in `dir` in a process of its own, so that its memory is nobody else's.
fn measure_open(dir: &Path, ids: u64) {
    let program = std::env::current_exe().expect("this program");
    let ran =
        std::process::Command::new(program).env(OPEN_ALONE, dir).env(OPEN_IDS, ids.to_string()).status();
    assert!(ran.is_ok_and(|status| status.success()), "the opening process failed");
}

fn open_alone(dir: &Path) {
    let ids: u64 = std::env::var(OPEN_IDS).ok().and_then(|ids| ids.parse().ok()).expect("how many ids");
    let began = Instant::now();
    let mut db = DayDb::open(dir, &dir.with_file_name("aside")).expect("a seen set");
    let opened = began.elapsed();
    let opened_mb = resident_mb();
    let known = (0..ids).step_by((ids / 100_000) as usize);
    let keys: Vec<EventKey> = known.map(|n| id(n).key).collect();
    assert!(db.find_all(&keys).expect("asked").iter().all(Option::is_some));
    let after = resident_mb();
    println!(
        "{ids} ids: open in {opened:?}, {opened_mb:.0} MB resident, {after:.0} MB after 100,000 look-ups"
    );
}

fn seen(c: &mut Criterion) {
    for ids in [1_000_000u64, 10_000_000] {
        let (_guard, dir) = bench_dir("seen");
        let aside = dir.with_file_name("aside");
        let mut db = DayDb::open(&dir, &aside).expect("a seen set");
        let began = Instant::now();
        for n in 0..ids {
            db.insert(id(n));
            if n % 131_072 == 131_071 {
                flush(&mut db, n);
            }
        }
        flush(&mut db, ids);
        println!("{ids} ids inserted and flushed in {:?}, {:?} (ids, bytes)", began.elapsed(), db.size());
        drop(db);
        measure_open(&dir, ids);
        let mut db = DayDb::open(&dir, &aside).expect("a seen set");
        let mut group = c.benchmark_group("seen");
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(3))
            .throughput(Throughput::Elements(BATCH));
        let mut n = 0;
        group.bench_function(BenchmarkId::new("look up 256 unknown", ids), |b| {
            b.iter(|| {
                n += BATCH;
                let keys: Vec<EventKey> = (ids + n..ids + n + BATCH).map(|n| id(n << 20).key).collect();
                black_box(db.find_all(&keys).expect("asked"))
            });
        });
        group.bench_function(BenchmarkId::new("look up 256 known", ids), |b| {
            b.iter(|| {
                n = (n + 7 * BATCH) % (ids - BATCH);
                let keys: Vec<EventKey> = (n..n + BATCH).map(|n| id(n).key).collect();
                black_box(db.find_all(&keys).expect("asked"))
            });
        });
        let mut next = ids;
        group.bench_function(BenchmarkId::new("insert 256", ids), |b| {
            b.iter(|| {
                for n in next..next + BATCH {
                    db.insert(SeenId { day: NOW.day(), ..id(n) });
                }
                next += BATCH;
            });
        });
        group.finish();
    }
}

criterion_group!(benches, journal, links, seen);

fn main() {
    match std::env::var_os(OPEN_ALONE) {
        Some(dir) => open_alone(Path::new(&dir)),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
