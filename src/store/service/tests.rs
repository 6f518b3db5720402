//! The store on a real directory: requests are answered in order, entries are kept over a stop and a kill, and sled's
//! rules hold. Crashes of the disk itself are tested with the journal.

mod busy;
mod restore;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use super::*;
use crate::identity::EventKey;
use crate::protocol::io::{JournalReader, StoreInput, StoreOutput, StoreQuestion, StreamId};
use crate::record::BrokenEntry;
use crate::store::index::HEAD_BYTES as INDEX_HEAD_BYTES;
use crate::store::testing::{DAY_MS, START, carrier, carrier_of, name, now};

pub(super) struct World {
    pub store: Store,
    pub opened: StoreOpening,
    answers: Receiver<StoreInput>,
}

fn dirs(dir: &Path) -> StoreDirs {
    let below = |name: &str| dir.join(name);
    StoreDirs { journal: below("journal"), seen: below("seen"), links: below("links"), aside: below("aside") }
}

pub(super) fn open_with(dir: &Path, keep_bytes: u64) -> Result<World, StoreError> {
    let config = EngineConfig::new(name("cert-at"), keep_bytes, 30 * DAY_MS);
    let (send, answers) = sync_channel(1024);
    let fatal: Fatal = Arc::new(|error| panic!("the store failed: {error}"));
    let answer: AnswerSink = Arc::new(move |input| drop(send.send(input)));
    let (store, opened) = Store::open(&dirs(dir), config, now(), answer, fatal)?;
    Ok(World { store, opened, answers })
}

pub(super) fn open(dir: &Path) -> World {
    open_with(dir, 1 << 30).unwrap()
}

impl World {
    pub fn next(&self) -> StoreInput {
        self.answers.recv_timeout(Duration::from_secs(20)).expect("an answer within 20 s")
    }

    pub fn append(&self, numbers: std::ops::Range<u64>) {
        let ticket = Ticket(numbers.start);
        let records = numbers.map(carrier).collect();
        self.store.handle(StoreOutput::Append { ticket, records });
        loop {
            match self.next() {
                StoreInput::Stored { ticket: done, .. } if done == ticket => return,
                StoreInput::Retired { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn seen(&self, numbers: std::ops::Range<u64>) -> usize {
        self.look_up(numbers).0
    }

    /// How many of them are held, and the floor that the answer names.
    fn look_up(&self, numbers: std::ops::Range<u64>) -> (usize, Timestamp) {
        let keys: Vec<EventKey> = numbers.map(key).collect();
        self.store.ask(StoreQuestion::LookUp { ticket: Ticket(1), keys });
        loop {
            match self.next() {
                StoreInput::Known { digests, floor, .. } => {
                    return (digests.iter().flatten().count(), floor);
                }
                StoreInput::Retired { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn key(n: u64) -> EventKey {
    carrier_of("cert-at", n, 40, START).envelope.envelope().key()
}

#[test]
fn what_was_answered_as_stored_is_there_after_a_stop_and_after_a_copy_of_a_running_node() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    for n in 0..10 {
        world.append(n * 100..(n + 1) * 100);
    }
    assert_eq!((world.seen(0..1000), world.seen(1000..1100)), (1000, 0));
    // As after a kill: nothing was closed.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    world.store.close();
    for dir in [dir.path(), copy.path()] {
        let world = open(dir);
        assert_eq!(world.opened.problems, []);
        assert_eq!(world.opened.ends.last.seq, 1000);
        assert_eq!((world.seen(0..1000), world.seen(1000..1100)), (1000, 0));
        assert_eq!(world.store.stats().seen_ids, 1000);
    }
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn what_memory_holds_is_answered_at_once_and_what_only_the_disk_holds_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..40);
    let look_up = |numbers: std::ops::Range<u64>| {
        let keys = numbers.map(key).collect();
        StoreQuestion::LookUp { ticket: Ticket(7), keys }
    };
    let reader = JournalReader::Feed(StreamId(1));
    let read = StoreQuestion::Read { reader, after_seq: 10, bytes_max: 1 << 20 };
    match world.store.answer_at_once(&look_up(30..50)) {
        Some(StoreInput::Known { ticket: Ticket(7), digests, .. }) => {
            assert_eq!(
                digests.iter().map(Option::is_some).collect::<Vec<_>>(),
                [[true; 10], [false; 10]].concat()
            );
        }
        other => panic!("{other:?}"),
    }
    match world.store.answer_at_once(&read) {
        Some(StoreInput::Entries { read, .. }) => {
            assert_eq!((read.after.seq, read.entries.len()), (10, 30))
        }
        other => panic!("{other:?}"),
    }
    assert!(world.store.answer_at_once(&look_up(0..1_000)).is_none(), "too many to hold up the caller");
    world.store.close();
    let world = open(dir.path());
    assert!(world.store.answer_at_once(&look_up(30..50)).is_none(), "a filter says perhaps, and no more");
    assert!(world.store.answer_at_once(&look_up(40..50)).is_some(), "no filter says perhaps");
    assert_eq!(world.seen(30..50), 10);
}

#[test]
fn appends_that_wait_together_get_their_seqs_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    for n in 0..50 {
        let records = vec![carrier(2 * n), carrier(2 * n + 1)];
        world.store.handle(StoreOutput::Append { ticket: Ticket(n), records });
    }
    for n in 0..50 {
        match world.next() {
            StoreInput::Stored { ticket, first_seq, ends } => {
                assert_eq!((ticket, first_seq), (Ticket(n), 2 * n + 1));
                assert!(ends.last.seq > first_seq);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn reads_go_from_old_segments_to_the_newest_entry_without_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    world.append(0..500);
    world.store.close();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    world.append(500..1000);
    let reader = JournalReader::Feed(StreamId(1));
    let mut after_seq = 0;
    while after_seq < 1000 {
        world.store.ask(StoreQuestion::Read { reader, after_seq, bytes_max: 20_000 });
        let StoreInput::Entries { read, .. } = world.next() else { panic!("not entries") };
        assert_eq!(read.after.seq, after_seq);
        for entry in read.entries {
            after_seq += 1;
            assert_eq!(entry.seq, after_seq);
        }
    }
}

#[test]
fn a_small_journal_gives_up_its_oldest_segments_and_still_refuses_what_was_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    for n in 0..80 {
        world.append(n * 50..(n + 1) * 50);
    }
    let stats = world.store.stats();
    assert!(stats.ends.floor.seq > 0 && stats.journal_bytes < 1024 * 1024, "{stats:?}");
    assert_eq!(world.seen(0..4000), 4000);
    world.store.close();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    assert_eq!((world.seen(0..4000), world.opened.problems.len()), (4000, 0));
}

#[test]
fn a_torn_snapshot_of_sled_does_not_keep_the_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..100);
    world.store.close();
    let day = dir.path().join("seen/2026-11-24");
    assert!(day.join("db").is_file());
    fs::write(day.join("snap.00000000000FFFFF.generating"), b"torn").unwrap();
    let world = open(dir.path());
    assert_eq!(world.seen(0..100), 100);
    world.append(100..101);
    assert_eq!(world.seen(0..101), 101);
    assert!(!day.join("snap.00000000000FFFFF.generating").exists());
}

#[test]
fn a_broken_seen_set_is_moved_aside_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..100);
    world.store.close();
    overwrite(&dir.path().join("seen/2026-11-24/db"));
    let world = open(dir.path());
    assert_eq!(world.seen(0..100), 100);
    world.append(100..110);
    assert_eq!(world.seen(0..110), 110);
    world.store.close();
    assert!(dir.path().join("aside").is_dir());
    assert_eq!(open(dir.path()).seen(0..110), 110);
}

/// If a set was made again, it lacks all that retention took: the answer that says so names the floor below which
/// nothing is taken, and that is on disk.
#[test]
fn an_answer_after_damage_names_the_raised_floor() {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    (0..80).for_each(|n| world.append(n * 50..(n + 1) * 50));
    world.store.close();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    overwrite(&dir.path().join("seen/2026-11-24/db"));
    let (held, floor) = world.look_up(0..4000);
    assert!(held < 4000 && START < floor, "{held} {floor}");
    assert_eq!(world.store.stats().floor, Some(floor));
    let stats = world.store.stats();
    assert!(matches!(stats.problems[..], [StoreProblem::SeenRebuilt { .. }]), "{:?}", stats.problems);
    let look_up = StoreQuestion::LookUp { ticket: Ticket(2), keys: vec![key(0)] };
    match world.store.answer_at_once(&look_up) {
        Some(StoreInput::Known { floor: at_once, .. }) => assert_eq!(at_once, floor),
        None => assert_eq!(world.look_up(0..1).1, floor),
        other => panic!("{other:?}"),
    }
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    assert_eq!(open_with(copy.path(), 512 * 1024).unwrap().store.stats().floor, Some(floor));
}

/// As long as nobody looks up what lies there, the flusher is the first to meet the damage.
#[test]
fn damage_met_by_a_flush_does_not_stop_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..100);
    world.store.close();
    let world = open(dir.path());
    overwrite(&dir.path().join("seen/2026-11-24/db"));
    world.append(100..200);
    world.store.close();
    let world = open(dir.path());
    assert_eq!((world.seen(0..200), world.opened.ends.last.seq), (200, 200));
}

pub(super) fn overwrite(file: &Path) {
    let len = fs::metadata(file).unwrap().len() as usize;
    fs::write(file, vec![0xa5; len]).unwrap();
}

/// Reads all as one reader does. Returns the seqs that it was given, and how many entries it was told are lost.
fn read_all(world: &World, last: u64) -> (Vec<u64>, u64) {
    let reader = JournalReader::Feed(StreamId(1));
    let (mut after_seq, mut seqs, mut lost) = (0, Vec::new(), 0);
    while after_seq < last {
        world.store.ask(StoreQuestion::Read { reader, after_seq, bytes_max: 20_000 });
        let StoreInput::Entries { read, .. } = world.next() else { panic!("not entries") };
        assert_eq!(read.after.seq, after_seq + read.lost, "all that is passed over is lost");
        lost += read.lost;
        after_seq = read.after.seq;
        for entry in read.entries {
            assert_eq!(entry.seq, after_seq + 1);
            after_seq = entry.seq;
            seqs.push(after_seq);
        }
    }
    (seqs, lost)
}

/// The first closed segment of a node that holds 500 events is damaged after its start.
fn damaged_after_start(damage: impl FnOnce(&mut [u8], &dyn Fn(u64) -> usize)) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    for n in 0..5 {
        world.append(n * 100..(n + 1) * 100);
    }
    world.store.close();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    let segment = dir.path().join("journal/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let offset = |seq| {
        let found = world.store.shared.engine().journal.locate(seq - 1).unwrap().unwrap();
        found.offset() as usize
    };
    damage(&mut bytes, &offset);
    fs::write(&segment, bytes).unwrap();
    (world, dir)
}

#[test]
fn a_broken_record_costs_itself_alone_and_is_counted() {
    let (world, _dir) = damaged_after_start(|bytes, offset| {
        bytes[offset(7) + 20] ^= 1;
        bytes[offset(50) + 20] ^= 1;
        bytes[offset(51) + 20] ^= 1;
    });
    let (seqs, lost) = read_all(&world, 500);
    assert_eq!(seqs, (1..=500).filter(|seq| ![7, 50, 51].contains(seq)).collect::<Vec<_>>());
    assert_eq!(lost, 3);
    assert_eq!(world.store.stats().problems.len(), 3);
    // The index still knows which they are.
    world.store.ask(StoreQuestion::Read {
        reader: JournalReader::Feed(StreamId(1)),
        after_seq: 49,
        bytes_max: 1,
    });
    let StoreInput::Entries { read, .. } = world.next() else { panic!("not entries") };
    let key = |n| carrier_of("cert-at", n, 40, START).envelope.envelope().key();
    assert_eq!(read.broken, [50, 51].map(|seq| BrokenEntry { seq, key: key(seq - 1) }));
    // Nobody else stumbles over it.
    assert!(world.store.entry(50).unwrap().is_none() && world.store.entry(52).unwrap().is_some());
    assert!(
        world.store.fetch(carrier_of("cert-at", 6, 40, START).envelope.envelope().id()).unwrap().is_none()
    );
}

/// Bit rot in an index is no damage of the journal.
#[test]
fn a_wrong_index_costs_no_entry() {
    let (world, dir) = damaged_after_start(|_, _| {});
    let index = dir.path().join("journal/00000000000000000001.idx");
    let mut bytes = fs::read(&index).unwrap();
    bytes[INDEX_HEAD_BYTES + 36 * 20 + 3] ^= 1;
    fs::write(&index, bytes).unwrap();
    assert_eq!(read_all(&world, 500), ((1..=500).collect(), 0));
    assert!(world.store.stats().problems.is_empty());
}

#[test]
fn a_missing_filter_is_made_again_by_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..1000);
    world.store.close();
    fs::remove_file(dir.path().join("seen/2026-11-24/filter-0")).unwrap();
    let world = open(dir.path());
    assert_eq!((world.seen(0..1000), world.seen(1000..2000)), (1000, 0));
}

#[test]
fn a_flipped_bit_in_the_journal_refuses_the_start_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(0..100);
    world.store.close();
    let segment = dir.path().join("journal/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let Err(error) = open_with(dir.path(), 1 << 30) else { panic!("it started") };
    let text = error.to_string();
    assert!(text.starts_with("journal/00000000000000000001.seg: offset "), "{text}");
    // Follow the hint.
    fs::rename(&segment, dir.path().join("moved")).unwrap();
    let world = open(dir.path());
    assert_eq!((world.opened.ends.last.seq, world.seen(0..100)), (0, 0));
}

#[test]
fn ids_of_many_days_and_full_blocks_are_all_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    let days = 12;
    // One prefix holds many blocks only with many ids: enough for some to fill.
    let made = |n: u64| carrier_of("cert-at", n, 1, START.minus_ms((n % days) * DAY_MS));
    for n in 0..20 {
        let records = (n * 200..(n + 1) * 200).map(|n| NewRecord::Carrier(made(n))).collect();
        world.store.handle(StoreOutput::Append { ticket: Ticket(n), records });
        assert!(matches!(world.next(), StoreInput::Stored { .. }));
    }
    assert_eq!(world.seen(0..4000), 4000);
    world.store.close();
    let world = open(dir.path());
    assert_eq!((world.seen(0..4000), world.seen(4000..5000)), (4000, 0));
    assert_eq!(fs::read_dir(dir.path().join("seen")).unwrap().count(), days as usize + 1);
}

/// A segment as version 1 wrote it: magic, version, then the header in a frame with a check of 8 bytes and no secret.
fn segment_of_format_1() -> Vec<u8> {
    let mut out = b"imeshjnl\x01\0\0\0".to_vec();
    crate::store::frame::put(&mut out, 0, 0, |out| {
        out.extend_from_slice(&[9; 16]);
        [1u64, 0, 1].iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&77u32.to_be_bytes());
        out.extend_from_slice(&[0; 5]);
    });
    out
}

/// `covered` as version 1 wrote it, of seen set or link index.
fn covered_of_format_1(magic: &[u8]) -> Vec<u8> {
    let mut out = [magic, &[9; 16], &7u64.to_be_bytes(), &[3; 8]].concat();
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// There is no migration: the operator is told what to move away, and every file stays as it is.
#[test]
fn directory_of_format_1_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["journal", "seen/2026-11-24", "links/2026-11-24", "statements"] {
        fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    let put = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    put("journal/00000000000000000001.seg", segment_of_format_1());
    put("journal/00000000000000000001.idx", b"imeshix1".repeat(10));
    put("journal/00000000000000000008.seg.new", b"unfinished".to_vec());
    put("seen/covered", covered_of_format_1(b"imeshsn1"));
    put("links/covered", covered_of_format_1(b"imeshln1"));
    put("seen/2026-11-24/filter-0", b"imeshfl1".repeat(10));
    put("links/2026-11-24/db", vec![7; 100]);
    let before = files(dir.path());
    let Err(error) = open_with(dir.path(), 1 << 30) else { panic!("it started") };
    assert_eq!(
        error.to_string(),
        "journal/00000000000000000001.seg: format 1 was made before this version of intelmesh, this program reads format 2"
    );
    assert!(error.hint().starts_with("move journal/, seen/ and links/ out of"), "{}", error.hint());
    assert_eq!(files(dir.path()), before);
}

/// Derived data of another version beside a journal of this one, as after half of a directory was restored.
#[test]
fn derived_data_of_other_format_is_refused_and_kept() {
    let cases = [
        ("seen", covered_of_format_1(b"imeshsn1"), "made before", "move seen/ out of"),
        ("seen", covered_of_format_1(b"imeshsn3"), "newer", "run the newer intelmesh"),
        ("links", covered_of_format_1(b"imeshln1"), "made before", "move links/ out of"),
        ("links", covered_of_format_1(b"imeshln3"), "newer", "run the newer intelmesh"),
    ];
    for (sub, covered, whose, hint) in cases {
        let dir = tempfile::tempdir().unwrap();
        let world = open(dir.path());
        world.append(0..10);
        world.store.close();
        fs::write(dir.path().join(sub).join("covered"), covered).unwrap();
        fs::create_dir_all(dir.path().join("links/2026-11-25")).unwrap();
        let before = files(dir.path());
        let Err(error) = open_with(dir.path(), 1 << 30) else { panic!("it started") };
        assert!(error.to_string().contains(whose), "{error}");
        assert!(error.hint().starts_with(hint), "{}", error.hint());
        assert_eq!(files(dir.path()), before, "{sub}");
        // Follow the hint.
        fs::rename(dir.path().join(sub), dir.path().join("moved")).unwrap();
        assert_eq!(open(dir.path()).seen(0..10), 10);
    }
}
