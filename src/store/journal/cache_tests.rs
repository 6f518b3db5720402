//! What a start may believe of the cache: after a kill, after a sync that failed, and where nothing can be reserved.
//! Torn and scattered writes are tested in `tests`, whole runs in `store::crash_images`.

use super::tests::{Memory, TINY, open_with, seqs};
use crate::store::memory_disk::MemoryDisk;
use crate::store::testing::carrier;

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
