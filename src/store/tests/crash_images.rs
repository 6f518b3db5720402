//! Crash images: every operation on files of a run of the real store is recorded, then each image that a power cut may
//! leave of it is opened and compared with a list as the model. The
//! operations themselves have their images in `files`, failed syncs theirs in `journal`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::files::recorder::{CrashImage, DiskOp, each_image, lay_out, note, record};
use crate::identity::EventKey;
use crate::record::{ConsumerName, NewRecord, Note};
use crate::store::engine::{EngineConfig, StoreEngine, StoreError, StoreOpening, StoreProblem};
use crate::store::file_disk::FileDisk;
use crate::store::links::day_links::DayLinks;
use crate::store::seen::day_db::DayDb;
use crate::store::testing::{DAY_MS, START, carrier_of, fresh, id_of, linking, name, now};
use crate::time::Timestamp;

type RealEngine = StoreEngine<FileDisk, DayDb>;

/// Three segments are kept.
const KEEP_BYTES: u64 = 160 * 1024;

/// The seq that the consumer had read and acknowledged when everything began.
const ACKED: u64 = 2;

fn open(dir: &Path) -> Result<(RealEngine, StoreOpening), StoreError> {
    let below = |name: &str| dir.join(name);
    let disk = FileDisk::open(&below("journal")).map_err(crate::store::JournalError::io(""))?;
    let seen = DayDb::open(&below("seen"), &below("aside"))?;
    let links = Box::new(DayLinks::open(&below("links"), &below("aside"))?);
    let config = EngineConfig::new(name("cert-at"), KEEP_BYTES, 30 * DAY_MS);
    StoreEngine::open(Arc::new(disk), (seen, links), config, fresh(1), now())
}

/// Each event has its own minute and 8 KiB; each seventh is small, and withdraws the one before it.
fn made(n: u64) -> NewRecord {
    match n % 7 {
        0 => linking("cert-at", n, &[("withdraws", id_of("cert-at", n - 1))]),
        _ => NewRecord::Carrier(carrier_of("cert-at", n, 8_000, created(n))),
    }
}

fn created(n: u64) -> Timestamp {
    if n.is_multiple_of(7) { START.plus_ms(n) } else { START.plus_ms(n * 60_000) }
}

fn soc() -> ConsumerName {
    ConsumerName::parse("soc").unwrap()
}

fn position(seq: u64) -> NewRecord {
    NewRecord::Note(Note::Position { consumer: soc(), seq, own: true })
}

/// Appends the events `numbers` one by one; each is told when it is acknowledged.
fn append(engine: &mut RealEngine, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        engine.append(vec![made(n)]).unwrap();
        note(|| DiskOp::Told(n));
    }
}

/// Notes until a segment is full of them, and is written anew.
fn flood(engine: &mut RealEngine) {
    let shrank = (0..20).any(|_| {
        let before = engine.journal.bytes();
        engine.append((0..400).map(|_| position(ACKED)).collect()).unwrap();
        engine.journal.bytes() < before
    });
    assert!(shrank, "the segment was written anew, without the notes");
}

/// Batches, quiet marks, full segments, flushes, retention, a seen set that is made again, a stop.
pub fn run(dir: &Path, rounds: u64) {
    let (mut engine, _) = open(dir).unwrap();
    engine.append(vec![position(ACKED)]).unwrap();
    append(&mut engine, 1..=5);
    engine.journal.mark_quiet();
    append(&mut engine, 6..=7);
    engine.flush().unwrap();
    engine.append((8..=12).map(made).collect()).unwrap();
    note(|| DiskOp::Told(12));
    engine.flush().unwrap();
    append(&mut engine, 13..=30);
    engine.expire(None).unwrap();
    // Handed over by a core that had not yet been told what the consumer lost.
    engine.append(vec![position(ACKED)]).unwrap();
    append(&mut engine, 31..=34);
    engine.close().unwrap();
    drop(engine);
    // The operator's hand: the seen set has to be made again from a journal that retention has cut.
    fs::remove_dir_all(dir.join("seen")).unwrap();
    note(|| DiskOp::RemoveTree(dir.join("seen")));
    note(|| DiskOp::SyncNames(dir.to_owned()));
    let (mut engine, _) = open(dir).unwrap();
    append(&mut engine, 35..=36);
    engine.flush().unwrap();
    flood(&mut engine);
    append(&mut engine, 37..=37);
    flood(&mut engine);
    append(&mut engine, 38..=50);
    for first in (2..rounds).map(|round| 36 + (round - 1) * 14 + 1) {
        append(&mut engine, first..=first + 6);
        engine.journal.mark_quiet();
        engine.expire(None).unwrap();
        append(&mut engine, first + 7..=first + 13);
        engine.flush().unwrap();
    }
    engine.close().unwrap();
}

/// Checks a directory after a power cut, when all up to `last` had been acknowledged.
fn check(dir: &Path, last: u64) -> Result<(), String> {
    let (mut engine, opened) = open(dir).map_err(|error| format!("it does not start: {error}"))?;
    if let Some(problem) = opened.problems.iter().find(|it| matches!(it, StoreProblem::WentBack { .. })) {
        return Err(format!("nothing was moved away: {problem}"));
    }
    let (floor, end) = (engine.journal.floor().seq, engine.journal.last().seq);
    if end < last {
        return Err(format!("event {last} was acknowledged, and the journal ends at {end}"));
    }
    let mut after = floor;
    while after < end {
        let read = engine.read(after, 64 * 1024).map_err(|error| format!("behind {after}: {error}"))?;
        for entry in read.entries {
            after += 1;
            let withdrawn = after % 7 == 6 && after < end;
            if entry.seq != after || entry.envelope.id() != &id_of("cert-at", after) {
                return Err(format!("entry {} where event {after} should be", entry.seq));
            }
            if withdrawn != entry.withdrawn_by.is_some() {
                return Err(format!("event {after} of {end}: withdrawn by {:?}", entry.withdrawn_by));
            }
        }
    }
    if let Some(position) = engine.journal.ledger().consumers.get(&soc()) {
        let gone = floor.saturating_sub(ACKED);
        if position.missing != gone {
            return Err(format!("{gone} entries are gone unread, {} are counted", position.missing));
        }
    } else if last > 0 {
        return Err("the position of the consumer is lost".into());
    }
    let keys: Vec<EventKey> = (1..=end).map(|n| id_of("cert-at", n).key()).collect();
    let seen = engine.look_up(&keys).map_err(|error| format!("the seen set: {error}"))?;
    let taken_again = (1..=end).zip(seen).find(|(n, seen)| seen.is_none() && created(*n) >= engine.floor());
    match taken_again {
        Some((n, _)) => Err(format!("event {n} would be taken again: the floor is {}", engine.floor())),
        None => Ok(()),
    }
}

/// How often the run goes on with what it does.
fn rounds() -> u64 {
    if std::env::var_os("INTELMESH_LONG").is_some() { 8 } else { 1 }
}

/// In memory, if this machine has such a place: the images need not reach a disk.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Counts the images that were opened, and their faults.
#[derive(Default)]
pub struct Looked {
    pub opened: usize,
    faults: BTreeMap<String, usize>,
}

impl Looked {
    pub fn at(&mut self, image: &CrashImage, last: u64) {
        let dir = scratch();
        lay_out(image, dir.path());
        self.opened += 1;
        if let Err(fault) = check(dir.path(), last) {
            *self.faults.entry(fault).or_default() += 1;
        }
    }

    pub fn report(self, images: usize) {
        eprintln!("{images} crash images, {} of them opened", self.opened);
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, times)| format!("{times} x {fault}")).collect();
        assert!(faults.is_empty(), "of {} images:\n{}", self.opened, faults.join("\n"));
    }
}

#[test]
fn every_crash_image_holds_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let ops = record(|| run(dir.path(), rounds()));
    let mut looked = Looked::default();
    let images =
        each_image(dir.path(), &ops, |image, told| looked.at(image, told.last().copied().unwrap_or(0)));
    looked.report(images);
}
