//! Tests what a start may believe of the cache: after a kill, after a sync that failed, and if nothing can be reserved.
//! Torn and scattered writes are tested in `tests`, whole runs in `store::crash_images`.

use super::tests::{Memory, TINY, fill, open_with, segment_names, seqs};
use super::{AppendError, JournalConfig};
use crate::record::NewRecord;
use crate::store::memory_disk::MemoryDisk;
use crate::store::testing::{START, carrier, carrier_of};

/// With and without room that is reserved: the two leave other tails.
fn disks() -> [MemoryDisk; 2] {
    let bare = MemoryDisk::default();
    bare.set_cannot_reserve(true);
    [MemoryDisk::default(), bare]
}

fn open(disk: &MemoryDisk, n: u8) -> Memory {
    open_with(disk, TINY, n).unwrap().0
}

/// The process is killed between `write` and `fdatasync`: the bytes are whole, in the cache and on no disk. The next
/// start shows them, so that a line that is submitted again is answered as a duplicate.
#[test]
fn shown_at_open_survives_power_cut() {
    for disk in disks() {
        let mut journal = open(&disk, 1);
        journal.append(vec![carrier(1)]).unwrap();
        journal.begin(vec![carrier(2)]).unwrap().write_unsynced(&disk).unwrap();
        drop(journal);
        let shown = seqs(&open(&disk, 2));
        assert_eq!(shown, [1, 2]);
        disk.crash(0);
        assert_eq!(seqs(&open(&disk, 3)), shown);
    }
}

/// After EIO the cache keeps the bytes and calls them clean (Rebello et al., ATC 2020): another sync succeeds without
/// writing them. The node stops, is started again, shows the batch and appends behind it; then the power goes.
#[test]
fn restart_after_failed_sync_loses_nothing() {
    for (disk, quiet) in disks().into_iter().chain(disks()).zip([false, false, true, true]) {
        let mut journal = open(&disk, 1);
        journal.append(vec![carrier(1)]).unwrap();
        if quiet {
            journal.mark_quiet();
        }
        disk.set_fail_sync(true);
        assert!(journal.append(vec![carrier(2)]).is_err(), "the node stops");
        drop(journal);
        disk.set_fail_sync(false);
        let mut journal = open(&disk, 2);
        assert_eq!(seqs(&journal), [1, 2], "the cache shows it");
        journal.append(vec![carrier(3)]).unwrap();
        drop(journal);
        disk.crash(0);
        assert_eq!(seqs(&open(&disk, 3)), [1, 2, 3], "quiet: {quiet}");
    }
}

/// A block of the medium goes bad below one record of an old segment. The others are read, and the node goes on.
#[test]
fn a_bad_block_costs_one_record() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk, 1);
    fill(&mut journal, 1..1000);
    drop(journal);
    let journal = open(&disk, 2);
    let located = journal.locate(6).unwrap().unwrap();
    let name = segment_names(&disk).remove(0);
    disk.set_bad_block(&name, located.offset() as usize + 20, usize::MAX);
    assert!(seqs(&journal).into_iter().eq((1..1000).filter(|seq| *seq != 7)));
    let read = journal.read(6, 0).unwrap();
    assert_eq!((read.lost, read.broken[0].seq), (1, 7));
    assert!(journal.entry(7).unwrap().is_none() && journal.entry(8).unwrap().is_some());
    assert_eq!(journal.heads_after(0, |_| {}).unwrap(), [7..=7]);
}

/// A disk tries for seconds before it gives up a block: the records before it must not each meet it.
#[test]
fn records_before_a_bad_block_are_read_without_it() {
    let disk = MemoryDisk::default();
    fill(&mut open(&disk, 1), 1..1000);
    let journal = open(&disk, 2);
    let located = journal.locate(99).unwrap().unwrap();
    disk.set_bad_block(&segment_names(&disk)[0], located.offset() as usize + 20, usize::MAX);
    assert_eq!(journal.heads_after(0, |_| {}).unwrap(), [100..=100]);
    assert!(disk.failed_reads() < 40, "{} reads met it", disk.failed_reads());
}

/// A path to the disk fails and comes back during the start. What lies there was acknowledged: the start refuses, or
/// shows all of it.
#[test]
fn bad_block_at_a_start_is_no_torn_tail() {
    let disk = MemoryDisk::default();
    fill(&mut open(&disk, 1), 1..400);
    let last = {
        let journal = open(&disk, 2);
        journal.locate(398).unwrap().unwrap().offset() as usize
    };
    let name = segment_names(&disk).pop().unwrap();
    for reads in 1.. {
        let disk = disk.snapshot();
        disk.set_bad_block(&name, last + 20, reads);
        match open_with(&disk, TINY, 3) {
            Ok((journal, _)) => assert_eq!(journal.last().seq, 399, "it came back after {reads} reads"),
            Err(_) if disk.failed_reads() < reads => break,
            Err(_) => {}
        }
    }
}

/// The name of a segment is as much a part of an answer as its bytes.
#[test]
fn names_are_durable_before_first_answer() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk, 1);
    journal.append((0..600).map(carrier).collect()).unwrap();
    journal.append(vec![carrier(600)]).unwrap();
    drop(journal);
    disk.crash(0);
    assert_eq!(seqs(&open(&disk, 2)).len(), 601);
}

/// Three segments are kept.
const SMALL: JournalConfig = JournalConfig { keep_bytes: 160 * 1024, ..TINY };

fn large(n: u64) -> Vec<NewRecord> {
    vec![NewRecord::Carrier(carrier_of("cert-at", n, 16_000, START.plus_ms(n)))]
}

/// Appends up to 20 events, full segments and retention among them, until a sync fails. Returns how many were
/// acknowledged.
fn acknowledged(disk: &MemoryDisk) -> u64 {
    let Ok((mut journal, _)) = open_with(disk, SMALL, 1) else { return 0 };
    for n in 1..=20 {
        if journal.append(large(n)).is_err() {
            return n - 1;
        }
        if n % 3 == 0 {
            journal.mark_quiet();
        }
        let retired: Result<_, AppendError> =
            journal.due(None).map_or(Ok(()), |due| journal.retire(due).map(drop));
        if retired.is_err() {
            return n;
        }
    }
    20
}

/// Every sync of a run fails once; the node is started again, with the content of the cache, and goes on; then the
/// power goes, and each subset of the unsynced changes that lacks or keeps one or two reaches the disk.
#[test]
fn any_failed_sync_then_any_power_cut_loses_nothing() {
    let (mut failed, mut images) = (0, 0);
    for (sync, bare) in (0..).flat_map(|sync| [(sync, false), (sync, true)]) {
        let disk = MemoryDisk::default();
        disk.set_cannot_reserve(bare);
        disk.fail_sync_after(Some(sync));
        let before = acknowledged(&disk);
        disk.set_fail_sync(false);
        let (mut journal, _) = open_with(&disk, SMALL, 2).unwrap();
        let shown = journal.last().seq;
        assert!(shown >= before, "{shown} of {before}");
        journal.append(large(shown + 1)).unwrap();
        journal.begin(large(shown + 2)).unwrap().write_unsynced(&disk).unwrap();
        drop(journal);
        let changes = disk.unsynced_changes();
        let pairs = (0..changes).flat_map(|one| (one..changes).map(move |two| [one, two]));
        for [one, two] in pairs {
            for keeps in [true, false] {
                let cut = disk.snapshot();
                cut.power_cut(
                    |nth, bytes| if (nth == one || nth == two) == keeps { bytes.max(1) } else { 0 },
                );
                let found =
                    open_with(&cut, SMALL, 3).map(|(journal, _)| (journal.last().seq, seqs(&journal)));
                let (last, held) = found.unwrap_or_else(|error| panic!("sync {} failed: {error}", sync));
                assert!(
                    last > shown,
                    "sync {} failed: {} was acknowledged, {last} is there",
                    sync,
                    shown + 1
                );
                assert!(held.windows(2).all(|pair| pair[1] == pair[0] + 1), "{held:?}");
                images += 1;
            }
        }
        failed += 1;
        if before == 20 {
            break;
        }
    }
    eprintln!("{failed} failed syncs, {images} crash images");
    assert!(failed > 60, "{failed}");
}
