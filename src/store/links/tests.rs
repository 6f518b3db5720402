//! An event that names another is found again, held or not, on disk as in memory, even after damage to the index.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::day_links::DayLinks;
use super::memory::MemoryLinks;
use super::*;
use crate::link::{Link, LinkTarget, Relation};
use crate::record::NewRecord;
use crate::store::engine::{EngineConfig, StoreEngine};
use crate::store::memory_disk::MemoryDisk;
use crate::store::seen::memory::MemorySeen;
use crate::store::testing::{
    DAY_MS, START, carrier, core_with, foreign, fresh, id_of, linking, name, now, signed,
};

type Memory = StoreEngine<MemoryDisk, MemorySeen>;

struct World {
    disk: MemoryDisk,
    seen: MemorySeen,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { disk: MemoryDisk::default(), seen: MemorySeen::default(), dir }
    }

    fn open_with(&self, links: Box<dyn LinkDb>) -> Memory {
        let config = EngineConfig::new(name("cert-at"), 1 << 30, 30 * DAY_MS);
        let disk = Arc::new(self.disk.clone());
        StoreEngine::open(disk, (self.seen.clone(), links), config, fresh(1), now()).unwrap().0
    }

    fn open(&self) -> Memory {
        self.open_with(Box::new(DayLinks::open(&self.links(), &self.dir.path().join("aside")).unwrap()))
    }

    fn links(&self) -> std::path::PathBuf {
        self.dir.path().join("links")
    }

    fn day(&self) -> std::path::PathBuf {
        self.links().join("2026-11-24")
    }
}

fn append(engine: &mut Memory, record: NewRecord) -> u64 {
    engine.append(vec![record]).unwrap().0
}

/// Returns (relation, who, seq) of everything that names `id`, in the order of the index.
fn naming(engine: &mut Memory, key: EventKey) -> Vec<(String, EventId, u64)> {
    let mut found = Vec::new();
    for day in engine.links.days(&[key]).into_keys() {
        found.extend(engine.rows(day, &key, 100).unwrap());
    }
    found.into_iter().map(|row| (row.relation.as_str().to_owned(), row.by, row.seq)).collect()
}

/// By what a consumer learns that the entry is withdrawn, and replaced.
fn taken_back(engine: &mut Memory, seq: u64) -> (Option<EventId>, Option<EventId>) {
    let read = engine.read(seq - 1, 1).unwrap();
    (read.entries[0].withdrawn_by.clone(), read.entries[0].replaced_by.clone())
}

fn ee(n: u64) -> EventId {
    id_of("cert-ee", n)
}

#[test]
fn parents_links_explicit_lefts_and_opaque_ids_are_found_by_what_they_name() {
    let world = World::new();
    let mut engine = world.open();
    append(&mut engine, carrier(1));
    let mut core = core_with(ee(2), crate::envelope::IdScheme::Random, 2, 10, START);
    core.parent = Some(ee(7));
    core.links = vec![
        Link {
            left: None,
            relation: Relation::parse("alternate").unwrap(),
            right: LinkTarget::Opaque("CESNET-RT#2235".into()),
        },
        Link {
            left: Some(ee(8)),
            relation: Relation::parse("made-up").unwrap(),
            right: LinkTarget::Event(ee(9)),
        },
    ];
    append(&mut engine, NewRecord::Carrier(signed(core, START)));
    let row = |relation: &str, by| vec![(relation.to_owned(), by, 2)];
    assert_eq!(naming(&mut engine, ee(7).key()), row("parent", ee(2)));
    assert_eq!(naming(&mut engine, opaque_key("CESNET-RT#2235")), row("alternate", ee(2)));
    assert_eq!(naming(&mut engine, ee(9).key()), row("made-up", ee(8)));
    assert_eq!(
        naming(&mut engine, ee(8).key()),
        row("made-up", ee(2)),
        "named as the left side by its carrier"
    );
    assert_eq!(naming(&mut engine, ee(2).key()), []);
}

#[test]
fn a_withdrawal_counts_whether_it_comes_before_its_target_or_after_it_and_only_from_its_publisher() {
    let world = World::new();
    let mut engine = world.open();
    let before = append(&mut engine, foreign(1));
    append(&mut engine, linking("cert-ee", 101, &[("withdraws", ee(1)), ("withdraws", ee(2))]));
    let after = append(&mut engine, foreign(2));
    let of_another = append(&mut engine, foreign(3));
    append(&mut engine, linking("cert-pl", 102, &[("withdraws", ee(3)), ("replaces", ee(3))]));
    let itself = append(&mut engine, linking("cert-ee", 4, &[("withdraws", ee(4))]));
    for _ in 0..2 {
        assert_eq!(taken_back(&mut engine, before), (Some(ee(101)), None));
        assert_eq!(taken_back(&mut engine, after), (Some(ee(101)), None));
        assert_eq!(taken_back(&mut engine, of_another), (None, None));
        assert_eq!(taken_back(&mut engine, itself), (None, None));
        engine.flush().unwrap();
    }
    assert_eq!(naming(&mut engine, ee(3).key()).len(), 2, "the claim of another is known all the same");
}

#[test]
fn the_first_withdrawal_and_the_newest_replacement_are_told() {
    let world = World::new();
    let mut engine = world.open();
    let seq = append(&mut engine, foreign(1));
    for n in 101..=103 {
        append(&mut engine, linking("cert-ee", n, &[("replaces", ee(1)), ("withdraws", ee(1))]));
        engine.flush().unwrap();
    }
    assert_eq!(taken_back(&mut engine, seq), (Some(ee(101)), Some(ee(103))));
}

#[test]
fn the_newest_of_three_hundred_replacements_is_told() {
    let (on_disk, in_memory) = (World::new(), World::new());
    for mut engine in [on_disk.open(), in_memory.open_with(Box::<MemoryLinks>::default())] {
        let seq = append(&mut engine, foreign(1));
        for n in 101..=400 {
            append(&mut engine, linking("cert-ee", n, &[("replaces", ee(1))]));
            if n % 150 == 0 {
                assert_eq!(taken_back(&mut engine, seq), (None, Some(ee(n))), "not flushed");
                engine.flush().unwrap();
            }
        }
        assert_eq!(taken_back(&mut engine, seq), (None, Some(ee(400))));
        engine.flush().unwrap();
        assert_eq!(taken_back(&mut engine, seq), (None, Some(ee(400))));
    }
}

/// 40 targets, each withdrawn, over two flushes; the last ones in no flush.
fn filled(world: &World) -> Memory {
    let mut engine = world.open();
    for n in 1..=40 {
        append(&mut engine, foreign(n));
        append(&mut engine, linking("cert-ee", 100 + n, &[("withdraws", ee(n))]));
        if n % 15 == 0 {
            engine.flush().unwrap();
        }
    }
    engine
}

fn assert_whole(engine: &mut Memory) {
    for n in 1..=40 {
        assert_eq!(taken_back(engine, 2 * n - 1), (Some(ee(100 + n)), None), "{n}");
        assert_eq!(naming(engine, ee(n).key()).len(), 1, "{n}");
    }
}

#[test]
fn what_a_crash_left_out_of_the_index_comes_again_from_the_journal() {
    let world = World::new();
    drop(filled(&world));
    let mut engine = world.open();
    assert_whole(&mut engine);
    engine.close().unwrap();
    drop(engine);
    assert_whole(&mut world.open());
}

fn after_damage(damage: impl FnOnce(&World)) {
    let world = World::new();
    let mut engine = filled(&world);
    engine.close().unwrap();
    drop(engine);
    damage(&world);
    let mut engine = world.open();
    assert_whole(&mut engine);
    append(&mut engine, linking("cert-ee", 300, &[("withdraws", ee(301))]));
    let late = append(&mut engine, foreign(301));
    engine.close().unwrap();
    drop(engine);
    let mut engine = world.open();
    assert_whole(&mut engine);
    assert_eq!(taken_back(&mut engine, late), (Some(ee(300)), None));
}

#[test]
fn an_index_that_is_missing_in_whole_or_in_part_is_made_again() {
    after_damage(|world| fs::remove_dir_all(world.links()).unwrap());
    after_damage(|world| fs::remove_dir_all(world.day()).unwrap());
    after_damage(|world| fs::remove_file(world.links().join("covered")).unwrap());
    after_damage(|world| fs::remove_file(world.day().join("taken-0")).unwrap());
    after_damage(|world| fs::remove_file(world.day().join("named-0")).unwrap());
    after_damage(|world| overwrite(&world.links().join("covered")));
    after_damage(|world| overwrite(&world.day().join("taken-0")));
}

#[test]
fn a_broken_database_is_moved_aside_and_the_index_made_again() {
    after_damage(|world| overwrite(&world.day().join("db")));
}

fn overwrite(file: &Path) {
    let len = fs::metadata(file).unwrap().len() as usize;
    fs::write(file, vec![0xa5; len]).unwrap();
}

#[test]
fn an_index_of_another_journal_is_made_again() {
    let world = World::new();
    let mut engine = filled(&world);
    engine.close().unwrap();
    drop(engine);
    let other = World { disk: MemoryDisk::default(), seen: MemorySeen::default(), dir: world.dir };
    let mut engine = other.open();
    let seq = append(&mut engine, foreign(1));
    assert_eq!(taken_back(&mut engine, seq), (None, None));
}

#[test]
fn a_day_below_the_floor_is_forgotten_and_its_directory_goes() {
    let world = World::new();
    let mut engine = filled(&world);
    engine.flush().unwrap();
    let day = START.day();
    engine.links.remove_below(day).unwrap();
    assert!(world.day().is_dir());
    engine.links.remove_below(day + 1).unwrap();
    assert!(!world.day().exists());
    assert_eq!(naming(&mut engine, ee(1).key()), []);
    let covered = DayLinks::open(&world.links(), &world.dir.path().join("aside")).unwrap().covered().unwrap();
    assert_eq!(covered.map(|covered| covered.mark), Some(engine.journal.last()), "nothing is made again");
}

/// Each of 60 events has 256 links: more rows than one publisher may have in a day.
#[test]
fn one_publisher_cannot_fill_the_index() {
    let world = World::new();
    let disk = Arc::new(world.disk.clone());
    let config = EngineConfig::new(name("cert-at"), 1 << 20, 30 * DAY_MS);
    let share = config.link_bytes() / ROW_BYTES / SHARE_OF_PUBLISHER;
    let links = Box::<MemoryLinks>::default();
    let mut engine =
        StoreEngine::open(disk, (world.seen.clone(), links as _), config, fresh(1), now()).unwrap().0;
    for n in 1..=60 {
        let targets: Vec<_> = (0..256).map(|nth| ("related", id_of("cert-xx", n * 1000 + nth))).collect();
        append(&mut engine, linking("cert-pl", n, &targets));
    }
    assert!(engine.links.db.size().0 / ROW_BYTES <= share);
    append(&mut engine, linking("cert-ee", 101, &[("withdraws", ee(1))]));
    let seq = append(&mut engine, foreign(1));
    assert_eq!(taken_back(&mut engine, seq), (Some(ee(101)), None), "others are indexed all the same");
}

#[test]
fn the_oldest_days_go_when_the_index_is_too_large() {
    let world = World::new();
    let mut engine = world.open();
    for (n, days) in [(1, 2), (2, 1), (3, 0)] {
        let mut core =
            core_with(ee(100 + n), crate::envelope::IdScheme::Random, n, 10, START.minus_ms(days * DAY_MS));
        core.parent = Some(ee(n));
        append(&mut engine, NewRecord::Carrier(signed(core, START)));
    }
    engine.flush().unwrap();
    engine.links.bytes_max = 1;
    engine.forget().unwrap();
    let named: Vec<usize> = (1..=3).map(|n| naming(&mut engine, ee(n).key()).len()).collect();
    assert_eq!(named, [0, 0, 1]);
    assert!(world.day().is_dir() && !world.links().join("2026-11-22").exists());
    append(&mut engine, linking("cert-ee", 200, &[("related", ee(4))]));
    assert_eq!(naming(&mut engine, ee(4).key()), [], "the newest day is full");
}

#[test]
fn events_without_links_leave_no_directory() {
    let world = World::new();
    let mut engine = world.open();
    for n in 1..50 {
        append(&mut engine, carrier(n));
    }
    engine.close().unwrap();
    let names: Vec<_> =
        fs::read_dir(world.links()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["covered"]);
}

#[test]
fn the_index_on_disk_says_what_the_one_in_memory_says() {
    let (on_disk, in_memory) = (World::new(), World::new());
    let mut engines = [on_disk.open(), in_memory.open_with(Box::<MemoryLinks>::default())];
    let mut dice = 0x9e37_79b9_u64;
    for n in 0..300 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let relation = ["withdraws", "replaces", "related", "same-report"][(dice >> 33) as usize % 4];
        let publisher = ["cert-ee", "cert-pl"][(dice >> 40) as usize % 2];
        let links = [(relation, ee((dice >> 45) % 20)), ("related", ee((dice >> 50) % 20))];
        for engine in &mut engines {
            append(engine, linking(publisher, 100 + n, &links));
            if dice >> 58 == 0 {
                engine.flush().unwrap();
            }
        }
    }
    for n in 0..20 {
        let [on_disk, in_memory] = &mut engines;
        assert_eq!(naming(on_disk, ee(n).key()), naming(in_memory, ee(n).key()), "{n}");
    }
    assert!(engines[0].links.days(&[ee(1).key()]).contains_key(&START.day()));
}
