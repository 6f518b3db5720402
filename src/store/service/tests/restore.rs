//! The state of `seen/` after a restore, a copy of a running node, or a disk that lost some of it: if less is there
//! than a flush said, it is never believed.

use std::fs;
use std::path::Path;

use super::*;
use crate::protocol::io::{StoreInput, StoreOutput, StoreQuestion};
use crate::store::testing::{DAY_MS, START, carrier_of};

const DAY: &str = "seen/2026-11-24";

/// A node with 200 events, 100 of which were there when the copy of its day was taken.
struct Copied {
    dir: tempfile::TempDir,
    older: tempfile::TempDir,
}

fn copied() -> Copied {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = open(dir.path());
    world.append(0..100);
    world.store.close();
    copy_dir(&dir.path().join(DAY), older.path());
    let world = open(dir.path());
    world.append(100..200);
    world.store.close();
    Copied { dir, older }
}

fn replace_dir(dir: &Path, with: &Path) {
    fs::remove_dir_all(dir).unwrap();
    copy_dir(with, dir);
}

/// The parts that a start finds are whole, but not of one time.
fn assert_made_again(dir: &Path) {
    let world = open(dir);
    assert_eq!((world.opened.ends.last.seq, world.seen(0..200)), (200, 200));
    assert!(
        matches!(world.opened.problems[..], [StoreProblem::SeenRebuilt { .. }]),
        "{:?}",
        world.opened.problems
    );
    world.store.close();
    let world = open(dir);
    assert_eq!((world.seen(0..200), world.opened.problems.len()), (200, 0), "once");
}

/// A tool copies the files of a running node in the order of their names; a flush runs behind the first.
#[test]
fn a_day_older_than_the_manifest_is_noticed() {
    let Copied { dir, older } = copied();
    replace_dir(&dir.path().join(DAY), older.path());
    assert_made_again(dir.path());
}

#[test]
fn a_database_older_than_its_filter_is_noticed() {
    let Copied { dir, older } = copied();
    let filter = fs::read(dir.path().join(DAY).join("filter-0")).unwrap();
    replace_dir(&dir.path().join(DAY), older.path());
    fs::write(dir.path().join(DAY).join("filter-0"), filter).unwrap();
    let world = open(dir.path());
    assert_eq!(world.seen(0..200), 200);
}

#[test]
fn a_day_whose_directory_is_gone_is_noticed() {
    let Copied { dir, .. } = copied();
    fs::remove_dir_all(dir.path().join(DAY)).unwrap();
    assert_made_again(dir.path());
}

/// Without its filter a day is scanned; this one cannot be, and an empty filter would never ask it.
#[test]
fn a_broken_day_without_its_filter_is_noticed() {
    let Copied { dir, .. } = copied();
    overwrite(&dir.path().join(DAY).join("db"));
    fs::remove_file(dir.path().join(DAY).join("filter-0")).unwrap();
    assert_made_again(dir.path());
}

/// The set was made again since, from a journal that had given up some: it has fewer ids than the copy of the day.
#[test]
fn a_day_of_an_earlier_making_is_noticed() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    (0..40).for_each(|n| world.append(n * 50..(n + 1) * 50));
    world.store.close();
    copy_dir(&dir.path().join(DAY), older.path());
    fs::remove_file(dir.path().join("seen/covered")).unwrap();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    let floor = world.opened.ends.floor.seq;
    assert!(floor > 100, "{floor}");
    world.append(2_000..2_050);
    world.store.close();
    replace_dir(&dir.path().join(DAY), older.path());
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    assert_eq!(world.seen(2_000..2_050), 50);
}

/// Each broken set may be as large as a good one.
#[test]
fn one_broken_seen_set_is_kept_and_no_more() {
    let Copied { dir, .. } = copied();
    for _ in 0..3 {
        fs::remove_dir_all(dir.path().join(DAY)).unwrap();
        assert_made_again(dir.path());
    }
    let names: Vec<_> =
        fs::read_dir(dir.path().join("aside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["seen"]);
}

/// The power goes, or the disk fails, while the directory of a forgotten day is being removed.
#[test]
fn a_day_that_is_half_removed_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    let old =
        (0..50).map(|n| NewRecord::Carrier(carrier_of("cert-at", 1_000 + n, 40, START.minus_ms(DAY_MS))));
    world.store.handle(StoreOutput::Append { ticket: Ticket(1), records: old.collect() });
    assert!(matches!(world.next(), StoreInput::Stored { .. }));
    world.append(0..100);
    world.store.close();
    let gone = dir.path().join("seen/2026-11-23");
    let kept = tempfile::tempdir().unwrap();
    copy_dir(&gone, kept.path());
    let world = open(dir.path());
    // A flush that began before writes now.
    let flush = world.store.shared.engine().begin_flush();
    world.store.shared.engine().seen.remove_below(START.day()).unwrap();
    assert!(!gone.exists());
    flush.run().unwrap();
    world.store.close();
    let world = open(dir.path());
    assert_eq!(
        (world.seen(0..100), world.opened.problems.len()),
        (100, 0),
        "the flush does not name it again"
    );
    world.store.close();
    copy_dir(kept.path(), &gone);
    fs::remove_file(gone.join("db")).unwrap();
    let world = open(dir.path());
    assert_eq!((world.seen(0..100), world.opened.problems.len()), (100, 0));
    assert!(!gone.exists());
}

/// Its seen set is lost, too, and made again from what can be read. The core is told what it lacks before it is
/// answered, or else it would take a copy as a new entry.
#[test]
fn a_broken_record_does_not_keep_a_node_from_starting() {
    let (world, dir) = damaged_after_start(|bytes, offset| bytes[offset(7) + 20] ^= 1);
    let lacks = [BrokenEntry { seq: 7, key: key(6) }];
    assert_eq!(read_all(&world, 500).1, 1);
    overwrite(&dir.path().join("seen/2026-11-24/db"));
    world.store.ask(StoreQuestion::LookUp { ticket: Ticket(1), keys: (0..500).map(key).collect() });
    assert!(matches!(world.next(), StoreInput::Broken(broken) if broken == lacks));
    let StoreInput::Known { digests, .. } = world.next() else { panic!("not what is known") };
    assert_eq!(digests.iter().flatten().count(), 499);
    world.store.close();
    let world = open_with(dir.path(), 512 * 1024).unwrap();
    assert!(world.opened.ledger.losses.wants(key(6)));
}

/// Once the set is flushed, the next start does not meet the broken entry.
#[test]
fn losses_are_on_disk_before_a_seen_set_is_believed() {
    let (world, dir) = damaged_after_start(|bytes, offset| bytes[offset(7) + 20] ^= 1);
    world.store.close();
    fs::remove_dir_all(dir.path().join("seen")).unwrap();
    for start in ["makes the set again", "believes it"] {
        let world = open_with(dir.path(), 512 * 1024).unwrap();
        assert!(world.opened.ledger.losses.wants(key(6)), "the start that {start}");
    }
}
