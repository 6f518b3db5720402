//! How soon a node with many seen ids is ready, and what it then holds: a directory of a real node whose seen
//! set gets 10 M ids over 30 days, opened by a real process. `cargo bench --bench start`; `START_IDS` changes the
//! count.
//!
//! The ids are put into the database directly, as if retention had taken their entries: the journal stays
//! small. It deliberately asserts nothing: figures belong into docs/PERFORMANCE.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::time::{Duration, Instant, SystemTime};

use intelmesh::testing::{CoveredPlace, DayDb, SeenDb, SeenId};
use intelmesh::{CoreDigest, EventKey, Timestamp};
use support::Node;
use support::events::made;
use support::system::memory;

const MEBIBYTE: f64 = 1024.0 * 1024.0;
const DAYS: u64 = 30;
const FLUSH_EVERY: u64 = 128 * 1024;
const OPENINGS: usize = 3;

fn row(what: &str, figure: &str, target: &str) {
    println!("| {what:<44} | {figure:<28} | {target:<14} |");
}

fn main() {
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    let ids = std::env::var("START_IDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let mut node = Node::init("cert-at");
    node.start();
    node.publish(&[made(0, 1_024)]);
    node.stop();
    fill(&node, ids);
    row("a node with many seen ids", "figure", "target");
    row("---", "---", "---");
    for nth in 1..=OPENINGS {
        let began = Instant::now();
        node.start();
        let ready = began.elapsed();
        let held = node.status()["seen"]["ids"].as_u64().unwrap_or_default();
        assert!(held > ids, "the seen set was opened, and not made again: {held} ids");
        row(
            &format!("{ids} ids, start {nth}: spawned to `ready`"),
            &format!("{:.0} ms", ready.as_secs_f64() * 1e3),
            "under 1 s",
        );
        resident("  resident when ready", &node);
        let lines: Vec<String> = (0..20_000).map(|number| made(nth * 100_000 + number, 1_024)).collect();
        let began = Instant::now();
        node.publish(&lines);
        let each = began.elapsed() / lines.len() as u32;
        resident(&format!("  resident after 20,000 events ({each:?} each)"), &node);
        row("  peak", &format!("{:.1} MiB", memory(node.pid(), "VmHWM") as f64 / MEBIBYTE), "");
        node.stop();
    }
}

fn resident(what: &str, node: &Node) {
    row(what, &format!("{:.1} MiB", memory(node.pid(), "VmRSS") as f64 / MEBIBYTE), "under 150 MB");
}

/// Inserts `ids`, and leaves what the database covers as the node wrote it.
fn fill(node: &Node, ids: u64) {
    let (seen, aside) = (node.dir().join("seen"), node.dir().join("aside"));
    let mut db = DayDb::open(&seen, &aside).expect("a seen set");
    let covered = db.covered().expect("readable").expect("the node has stopped cleanly");
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let today = Timestamp(since_1970.as_millis() as u64).day();
    let began = Instant::now();
    for number in 0..ids {
        db.insert(id(number, today - (number * DAYS / ids) as u32));
        if number % FLUSH_EVERY == FLUSH_EVERY - 1 {
            flush(&mut db, covered);
        }
    }
    flush(&mut db, covered);
    let (held, bytes) = db.size();
    println!("{held} ids in {:?}, {:.0} MiB on disk", began.elapsed(), bytes as f64 / MEBIBYTE);
}

fn flush(db: &mut DayDb, covered: CoveredPlace) {
    db.begin_flush(covered)().expect("flushed");
    db.flushed();
}

/// As random as a digest.
fn id(number: u64, day: u32) -> SeenId {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&number.wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes());
    SeenId { day, key: EventKey(key), digest: CoreDigest::of(&number.to_be_bytes()) }
}
