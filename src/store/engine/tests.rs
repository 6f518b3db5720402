//! Journal and seen set together, over a disk and a database that crash, are put back and emptied: each stored entry is
//! seen, and nothing is seen that was not stored.

use super::*;
use crate::limits::CREATED_AHEAD_ACCEPTED_MS;
use crate::store::links::LinkDb;
use crate::store::links::memory::MemoryLinks;
use crate::store::memory_disk::MemoryDisk;
use crate::store::seen::memory::MemorySeen;
use crate::store::testing::{DAY_MS, START, carrier, carrier_of, foreign, fresh, name, now};
use crate::time::Tick;

struct World {
    disk: MemoryDisk,
    seen: MemorySeen,
    config: EngineConfig,
}

type Memory = StoreEngine<MemoryDisk, MemorySeen>;

impl World {
    fn new(keep_bytes: u64) -> Self {
        let config = EngineConfig::new(name("cert-at"), keep_bytes, 30 * DAY_MS);
        Self { disk: MemoryDisk::default(), seen: MemorySeen::default(), config }
    }

    fn open(&self, n: u8) -> (Memory, StoreOpening) {
        self.open_at(n, now())
    }

    fn open_at(&self, n: u8, now: Now) -> (Memory, StoreOpening) {
        let disk = Arc::new(self.disk.clone());
        StoreEngine::open(
            disk,
            (self.seen.clone(), Box::<MemoryLinks>::default()),
            self.config.clone(),
            fresh(n),
            now,
        )
        .unwrap()
    }

    fn backup(&self) -> Self {
        Self { disk: self.disk.snapshot(), seen: self.seen.snapshot(), config: self.config.clone() }
    }

    fn crash(&self) {
        self.disk.crash(0);
        self.seen.crash();
    }

    fn empty_journal(&self) {
        for name in self.disk.list().unwrap() {
            self.disk.remove(&name).unwrap();
        }
        self.disk.sync_names().unwrap();
    }
}

fn key(n: u64) -> EventKey {
    carrier_of("cert-at", n, 40, START).envelope.envelope().key()
}

fn seen(engine: &mut Memory, numbers: std::ops::Range<u64>) -> Vec<bool> {
    let keys: Vec<EventKey> = numbers.map(key).collect();
    engine.look_up(&keys).unwrap().iter().map(Option::is_some).collect()
}

fn append(engine: &mut Memory, numbers: std::ops::Range<u64>) {
    for n in numbers {
        engine.append(vec![carrier(n)]).unwrap();
    }
}

#[test]
fn what_is_stored_is_seen_at_once_and_after_a_crash_that_forgot_the_seen_set() {
    let world = World::new(1 << 30);
    let (mut engine, opened) = world.open(1);
    assert_eq!(opened.ledger.floor, Some(START.minus_ms(31 * DAY_MS)));
    append(&mut engine, 0..50);
    engine.flush().unwrap();
    append(&mut engine, 50..100);
    assert!(seen(&mut engine, 0..100).iter().all(|held| *held));
    assert_eq!(seen(&mut engine, 100..101), [false]);
    drop(engine);
    world.crash();
    let (mut engine, opened) = world.open(2);
    assert_eq!(opened.problems, []);
    assert!(seen(&mut engine, 0..100).iter().all(|held| *held));
    assert_eq!(opened.ledger.floor, Some(START.minus_ms(31 * DAY_MS)), "the floor does not move");
}

#[test]
fn a_seen_set_that_knows_more_than_a_restored_journal_is_made_again() {
    let world = World::new(1 << 30);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..50);
    let backup = world.backup();
    append(&mut engine, 50..60);
    engine.close().unwrap();
    drop(engine);
    world.disk.restore(&backup.disk);
    let (mut engine, opened) = world.open(2);
    assert!(seen(&mut engine, 0..50).iter().all(|held| *held));
    assert!(seen(&mut engine, 50..60).iter().all(|held| !held), "they can be taken again");
    assert_eq!(opened.ledger.floor, Some(START.minus_ms(31 * DAY_MS)), "nothing was ever dropped");
}

#[test]
fn emptying_the_journal_empties_the_seen_set() {
    let world = World::new(1 << 30);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..50);
    engine.close().unwrap();
    let old = engine.journal.log_id();
    drop(engine);
    world.empty_journal();
    let (mut engine, _) = world.open(2);
    assert_ne!(engine.journal.log_id(), old);
    assert!(seen(&mut engine, 0..50).iter().all(|held| !held));
}

#[test]
fn what_retention_took_is_still_seen_and_a_rebuilt_set_says_from_when_on_it_is_complete() {
    let world = World::new(512 * 1024);
    let (mut engine, _) = world.open(1);
    for n in 0..4000 {
        engine.append(vec![carrier(n)]).unwrap();
        engine.expire(None).unwrap();
    }
    assert!(engine.journal.floor().seq > 1000);
    assert!(seen(&mut engine, 0..4000).iter().all(|held| *held));
    drop(engine);
    world.crash();
    let (mut engine, opened) = world.open(2);
    assert!(
        seen(&mut engine, 0..4000).iter().all(|held| *held),
        "segments go only when the set is synced past them"
    );
    assert_eq!(opened.problems, []);
    drop(engine);
    world.seen.restore(&MemorySeen::default());
    let (engine, opened) = world.open(3);
    let floor = opened.ends.oldest.plus_ms(CREATED_AHEAD_ACCEPTED_MS);
    assert_eq!(engine.journal.ledger().floor, Some(floor));
    assert!(matches!(opened.problems[..], [StoreProblem::SeenRebuilt { .. }]), "{:?}", opened.problems);
}

/// 4,000 events in a journal that holds about the last 1,000; the seen set is flushed.
fn beyond_retention(world: &World) -> Memory {
    let (mut engine, _) = world.open(1);
    for n in 0..4000 {
        engine.append(vec![carrier(n)]).unwrap();
        engine.expire(None).unwrap();
    }
    assert!(engine.journal.floor().seq > 1000);
    engine.flush().unwrap();
    engine
}

/// Returns true if the first event is refused, as seen or as too old.
fn first_is_refused(engine: &mut Memory) -> bool {
    seen(engine, 0..1)[0] || START < engine.floor()
}

/// `seen/` was lost, and the power goes (or the disk fails) after the set was made again, before its floor was synced.
#[test]
fn a_remade_seen_set_is_distrusted_before_its_floor() {
    let world = World::new(512 * 1024);
    beyond_retention(&world).close().unwrap();
    world.seen.restore(&MemorySeen::default());
    world.disk.set_fail_sync(true);
    let parts = (world.seen.clone(), Box::<MemoryLinks>::default() as Box<dyn LinkDb>);
    assert!(
        StoreEngine::open(Arc::new(world.disk.clone()), parts, world.config.clone(), fresh(2), now())
            .is_err()
    );
    world.disk.set_fail_sync(false);
    world.crash();
    let (mut engine, opened) = world.open(3);
    assert!(first_is_refused(&mut engine), "{:?}", opened.problems);
}

/// The look-up that meets the damage is the first that could say "not held" of an entry that retention took.
#[test]
fn damage_met_while_running_raises_the_floor_first() {
    let world = World::new(512 * 1024);
    let mut engine = beyond_retention(&world);
    world.seen.damage();
    assert!(first_is_refused(&mut engine));
    assert!(matches!(engine.take_problems()[..], [StoreProblem::SeenRebuilt { .. }]));
    drop(engine);
    world.crash();
    assert!(first_is_refused(&mut world.open(2).0), "and so it stays after a crash");
}

/// The set is in memory, and there is no room for the note that says how far back it is complete.
#[test]
fn without_room_for_the_floor_nobody_is_answered() {
    let world = World::new(512 * 1024);
    let mut engine = beyond_retention(&world);
    world.seen.damage();
    world.disk.fill_after(Some(0));
    assert!(engine.look_up(&[key(0)]).unwrap_err().is_full());
    assert!(engine.try_look_up(&[key(0)]).is_err());
    assert!(!engine.is_dirty(), "nothing is flushed that a start would believe");
    world.disk.fill_after(None);
    assert!(engine.settle().unwrap());
    assert!(first_is_refused(&mut engine));
}

/// The journal was put back to a copy from before the set was made again: same log, and the covered place agrees.
#[test]
fn an_older_journal_learns_the_floor_from_the_seen_set() {
    let world = World::new(512 * 1024);
    beyond_retention(&world).close().unwrap();
    let older = world.disk.snapshot();
    let (mut engine, _) = world.open(2);
    world.seen.damage();
    assert!(first_is_refused(&mut engine));
    drop(engine);
    world.disk.restore(&older);
    let (mut engine, _) = world.open(3);
    assert!(first_is_refused(&mut engine));
}

fn soc() -> ConsumerName {
    ConsumerName::parse("soc").unwrap()
}

fn position(engine: &Memory) -> (u64, u64) {
    let position = &engine.journal.ledger().consumers[&soc()];
    (position.seq, position.missing)
}

/// The core hands over a position that the consumer had acknowledged, before it hears what retention took.
#[test]
fn a_later_position_does_not_take_back_what_is_missing() {
    let world = World::new(512 * 1024);
    let (mut engine, _) = world.open(1);
    let at = |seq| NewRecord::Note(Note::Position { consumer: soc(), seq, own: true });
    engine.append(vec![at(0)]).unwrap();
    append(&mut engine, 0..4000);
    let retired = engine.expire(None).unwrap().unwrap();
    let floor = engine.journal.floor().seq;
    assert_eq!(retired.missing, [(soc(), floor)]);
    engine.append(vec![at(10)]).unwrap();
    assert_eq!(position(&engine), (floor, floor));
    drop(engine);
    world.crash();
    let (engine, opened) = world.open(2);
    assert_eq!((position(&engine), opened.missing), ((floor, floor), vec![]));
}

/// As the hint for damage says.
fn move_newest_away(world: &World) {
    let names = world.disk.list().unwrap();
    let newest = names.into_iter().filter(|name| name.ends_with(".seg")).max().unwrap();
    world.disk.remove(&newest).unwrap();
    world.disk.sync_names().unwrap();
}

fn acked(seq: u64) -> NewRecord {
    NewRecord::Note(Note::Position { consumer: soc(), seq, own: true })
}

/// No flush ever ran, the power went, and in the segment there is one entry, or none: the file beside it proves it.
#[test]
fn a_newest_segment_moved_away_is_noticed_however_young() {
    let world = World::new(1 << 20);
    let (mut engine, _) = world.open(1);
    let segments = |world: &World| world.disk.list().unwrap().iter().filter(|n| n.ends_with(".seg")).count();
    let mut n = 0;
    while segments(&world) < 2 {
        append(&mut engine, n..n + 1);
        n += 1;
    }
    drop(engine);
    world.crash();
    move_newest_away(&world);
    let (mut engine, opened) = world.open(2);
    assert_eq!(opened.problems, [StoreProblem::WentBack { last: n - 1, was: n }]);
    assert_eq!(opened.ends.log_id, fresh(2).log_id);
    assert_eq!(seen(&mut engine, n - 1..n), [false], "it can be taken again");
    // The first batch of the next segment finds no room for its proof: nothing may be written then.
    while segments(&world) < 3 {
        world.disk.fill_after(Some(5));
        let full = engine.append(vec![carrier(n)]).is_err();
        world.disk.fill_after(None);
        if full {
            engine.append(vec![carrier(n)]).unwrap();
        }
        n += 1;
    }
    drop(engine);
    world.crash();
    move_newest_away(&world);
    assert!(matches!(world.open(3).1.problems[..], [StoreProblem::WentBack { .. }]));
}

/// Positions and what is missing do not go back with the segment, and what comes again is counted.
#[test]
fn positions_survive_a_newest_segment_moved_away() {
    let world = World::new(1 << 20);
    let (mut engine, _) = world.open(1);
    let siem = ConsumerName::parse("siem").unwrap();
    let of_siem = |seq| NewRecord::Note(Note::Position { consumer: siem.clone(), seq, own: true });
    engine.append(vec![acked(3), of_siem(0)]).unwrap();
    append(&mut engine, 0..1500);
    let missing = Note::Missing { consumer: soc(), to: 1480, count: 7 };
    engine.append(vec![NewRecord::Note(missing), acked(1490), of_siem(600)]).unwrap();
    engine.journal.mark_quiet();
    drop(engine);
    world.crash();
    move_newest_away(&world);
    let (engine, opened) = world.open(2);
    let last = opened.ends.last.seq;
    assert!((601..1490).contains(&last));
    let had = StoreProblem::HadMore { consumer: soc(), count: 1490 - last };
    assert_eq!(opened.problems, [StoreProblem::WentBack { last, was: 1500 }, had]);
    assert_eq!(position(&engine), (last, 7));
    assert_eq!(engine.journal.ledger().consumers[&siem].seq, 600);
    drop(engine);
    world.crash();
    let (engine, opened) = world.open(3);
    assert_eq!((position(&engine), opened.problems), ((last, 7), vec![]));
}

/// A young journal has but one.
#[test]
fn the_only_segment_moved_away_is_told_too() {
    let world = World::new(1 << 20);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..5);
    let missing = NewRecord::Note(Note::Missing { consumer: soc(), to: 2, count: 2 });
    engine.append(vec![missing, acked(4)]).unwrap();
    engine.close().unwrap();
    drop(engine);
    move_newest_away(&world);
    let (engine, opened) = world.open(2);
    let had = StoreProblem::HadMore { consumer: soc(), count: 4 };
    assert_eq!(opened.problems, [StoreProblem::WentBack { last: 0, was: 5 }, had]);
    assert_eq!(position(&engine), (0, 2));
    drop(engine);
    world.crash();
    let (engine, opened) = world.open(3);
    assert_eq!((position(&engine), opened.problems), ((0, 2), vec![]));
}

/// An operator moved the newest segment away, as the hint says: its seqs were given to entries that are gone.
#[test]
fn a_newest_segment_moved_away_is_told_and_begins_a_log() {
    let world = World::new(1 << 20);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..1500);
    engine.close().unwrap();
    let log_id = engine.journal.log_id();
    drop(engine);
    move_newest_away(&world);
    let (mut engine, opened) = world.open(2);
    let last = opened.ends.last.seq;
    assert!((1..1500).contains(&last));
    assert_eq!(opened.problems, [StoreProblem::WentBack { last, was: 1500 }]);
    assert!(opened.problems[0].lasts() && opened.ends.log_id != log_id);
    assert_eq!(seen(&mut engine, last..last + 1), [false], "it can be taken again");
    drop(engine);
    world.crash();
    assert_eq!(world.open(3).1.problems, [], "told once, and then it is the journal");
}

/// An operator moved the oldest segment away: nobody has counted yet what it held.
#[test]
fn a_start_counts_once_what_lies_below_the_floor() {
    let world = World::new(2 << 20);
    let (mut engine, _) = world.open(1);
    engine.append(vec![NewRecord::Note(Note::Position { consumer: soc(), seq: 10, own: true })]).unwrap();
    append(&mut engine, 0..4000);
    engine.close().unwrap();
    drop(engine);
    world.disk.remove(&crate::store::segment::file_name(1)).unwrap();
    let (engine, opened) = world.open(2);
    let floor = engine.journal.floor().seq;
    assert!(floor > 10);
    assert_eq!(opened.missing, [(soc(), floor - 10, LossCause::Damage)]);
    assert_eq!(position(&engine), (floor, floor - 10));
    drop(engine);
    let (engine, opened) = world.open(3);
    assert_eq!((position(&engine), opened.missing), ((floor, floor - 10), vec![]));
}

#[test]
fn a_start_drops_what_is_too_old_unless_the_clock_has_jumped() {
    let world = World::new(512 * 1024);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..1000);
    drop(engine);
    let later = Now { tick: Tick(0), wall: START.plus_ms(31 * DAY_MS) };
    let (mut engine, opened) = world.open_at(2, later);
    assert_eq!(opened.ends.floor.seq, 0, "31 days in one step is a jump until somebody confirms it");
    engine.append(vec![NewRecord::Note(Note::Steady(later.wall))]).unwrap();
    drop(engine);
    let (_, opened) = world.open_at(3, later);
    assert!(opened.ends.floor.seq > 0);
}

#[test]
fn days_below_the_floor_are_forgotten() {
    let world = World::new(1 << 30);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..5);
    let floor = START.plus_ms(2 * DAY_MS);
    let steady = Note::Steady(floor.plus_ms(engine.config.seen_keep_ms()));
    engine.append(vec![NewRecord::Note(steady), NewRecord::Note(Note::Floor(floor))]).unwrap();
    engine.expire(None).unwrap();
    assert!(seen(&mut engine, 0..5).iter().all(|held| !held));
}

#[test]
fn a_full_disk_leaves_nothing_seen_that_is_not_stored() {
    for ops in 0..12 {
        let world = World::new(512 * 1024);
        let (mut engine, _) = world.open(1);
        append(&mut engine, 0..3);
        world.disk.fill_after(Some(ops));
        let mut stored = vec![true; 3];
        for n in 3..12 {
            match engine.append(vec![carrier(n)]) {
                Ok(_) => stored.push(true),
                Err(StoreError::Full) => stored.push(false),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen(&mut engine, 0..12), stored);
        world.disk.fill_after(None);
        engine.append(vec![foreign(1)]).unwrap();
        world.crash();
        assert_eq!(seen(&mut world.open(2).0, 0..12), stored);
    }
}

/// A full disk kept the index of a segment from being written. Nothing says which of its entries broke: a seen set without
/// that entry would let it in again.
#[test]
fn seen_set_is_not_made_without_unknown_entries() {
    let world = World::new(512 * 1024);
    let (mut engine, _) = world.open(1);
    append(&mut engine, 0..500);
    let files = world.disk.list().unwrap();
    let first = files.iter().filter(|name| name.ends_with(".seg")).min().unwrap();
    let mut bytes = world.disk.content(first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.disk.put(first, bytes);
    assert!(engine.remake(Derived::Seen).unwrap(), "the index says which one it is");
    world.disk.remove(&first.replace(".seg", ".idx")).unwrap();
    let remade = engine.remake(Derived::Seen);
    assert!(matches!(remade, Err(StoreError::Journal(JournalError::Damaged { .. }))), "{remade:?}");
}
