//! The journal on a disk that tears, loses, fills up and flips bits, compared with a list as the model.
//! Seen set and threads are tested beside their own code.

use std::sync::Arc;

use uuid::Uuid;

use super::open::JournalOpening;
use super::*;
use crate::envelope::IdScheme;
use crate::identity::{Check, CoreDigest, EventId, EventKey, ProjectName, PublisherName};
use crate::record::{ConsumerName, FeedState, Loss, NewRecord, Note, Owed, RejectedPlace, RetryCondition};
use crate::store::error::JournalError;
use crate::store::memory_disk::MemoryDisk;
use crate::store::segment;
use crate::store::testing::{START, carrier, carrier_of, carrier_with, foreign, fresh, name};
use crate::wire::VerdictCode;

const SMALL: JournalConfig = JournalConfig { keep_bytes: 1 << 40, keep_ms: 30 * 86_400_000 };
/// Segments of 64 KiB.
pub(super) const TINY: JournalConfig = JournalConfig { keep_bytes: 512 * 1024, keep_ms: 30 * 86_400_000 };

pub(super) type Memory = Journal<MemoryDisk>;

pub(super) fn open_with(
    disk: &MemoryDisk,
    config: JournalConfig,
    n: u8,
) -> Result<(Memory, JournalOpening), JournalError> {
    Journal::open(Arc::new(disk.clone()), config, fresh(n), &[Note::Floor(START)])
}

fn open(disk: &MemoryDisk) -> Memory {
    open_with(disk, SMALL, 1).unwrap().0
}

pub(super) fn fill(journal: &mut Memory, numbers: std::ops::Range<u64>) {
    for n in numbers {
        journal.append(vec![carrier(n)]).unwrap();
    }
}

pub(super) fn seqs(journal: &Memory) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut after = 0;
    loop {
        let read = journal.read(after, 10_000).unwrap();
        let Some(last) = read.entries.last() else { return seqs };
        after = last.seq;
        seqs.extend(read.entries.iter().map(|entry| entry.seq));
    }
}

pub(super) fn segment_names(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

fn lost() -> Loss {
    let had_by = ["siem", "soc"].map(|name| ConsumerName::parse(name).unwrap()).into();
    Loss { seq: 4, had_by, taken: Some(9) }
}

fn every_note() -> Vec<Note> {
    let peer = name("cert-ee");
    let mark = |seq: u64| Mark { seq, check: Check([seq as u8; 16]) };
    let owed = |seq| Owed {
        seq,
        key: EventKey([3; 16]),
        digest: CoreDigest([5; 32]),
        publisher: name("cert-pl"),
        reason: VerdictCode::Rate,
        retry_at: START,
    };
    let place = RejectedPlace {
        reason: VerdictCode::UnknownPublisher,
        publisher: None,
        before: mark(4),
        cure: RetryCondition::Trust([1; 32]),
    };
    let mut state = FeedState { log_id: Some(LogId([9; 16])), ..FeedState::default() };
    (1..50).for_each(|seq| state.advance(mark(seq)));
    state.owed.insert(owed(40));
    state.rejected.add(place.clone());
    let consumer = ConsumerName::parse("soc").unwrap();
    vec![
        Note::Feed { peer: peer.clone(), state },
        Note::Advanced { peer: peer.clone(), to: mark(77) },
        Note::Owed { peer: peer.clone(), owed: owed(70) },
        Note::Owed { peer: peer.clone(), owed: owed(71) },
        Note::Settled { peer: peer.clone(), seq: 71 },
        Note::Rejected { peer: peer.clone(), place },
        Note::Missing { consumer: consumer.clone(), to: 3, count: 2 },
        Note::Lost { key: EventKey([3; 16]), loss: lost() },
        Note::Position { consumer, seq: 3, own: true },
        Note::Floor(START.plus_ms(5)),
        Note::Steady(START.plus_ms(6)),
        Note::Equivocation { publisher: peer, key: EventKey([1; 16]), digest: CoreDigest([2; 32]) },
    ]
}

#[test]
fn what_was_appended_is_read_back_after_a_start_byte_for_byte() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk);
    journal.append((1..=20).map(foreign).collect()).unwrap();
    journal.append(every_note().into_iter().map(NewRecord::Note).collect()).unwrap();
    let before = journal.read(0, usize::MAX).unwrap().entries;
    let (ledger, ends) = (journal.ledger().clone(), journal.ends());
    drop(journal);
    let (journal, opening) = open_with(&disk, SMALL, 2).unwrap();
    assert!(!opening.emptied && !opening.missing_segments);
    assert_eq!((journal.ledger(), journal.ends()), (&ledger, ends));
    let after = journal.read(0, usize::MAX).unwrap();
    assert_eq!(after.after, Mark::START);
    assert_eq!(after.entries.len(), 20);
    for (old, new) in before.iter().zip(&after.entries) {
        assert_eq!((old.mark(), old.arrived, &old.path), (new.mark(), new.arrived, &new.path));
        assert_eq!(old.envelope.bytes(), new.envelope.bytes());
    }
}

#[test]
fn a_new_segment_begins_with_all_positions_and_the_old_one_gets_its_index() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    journal.append(every_note().into_iter().map(NewRecord::Note).collect()).unwrap();
    let ledger = journal.ledger().clone();
    fill(&mut journal, 0..1000);
    let names = segment_names(&disk);
    assert!(names.len() > 2, "{names:?}");
    // Only the newest is needed for the ledger.
    let newest = MemoryDisk::default();
    let last = names.last().unwrap();
    newest.put(last, disk.content(last).unwrap());
    let (alone, opening) = open_with(&newest, TINY, 2).unwrap();
    assert!(opening.missing_segments);
    assert_eq!(alone.ledger().consumers, ledger.consumers);
    assert_eq!(seqs(&journal), (1..=1000).collect::<Vec<_>>());
    drop(journal);
    for name in disk.list().unwrap().iter().filter(|name| name.ends_with(".idx")) {
        disk.remove(name).unwrap();
    }
    let journal = open_with(&disk, TINY, 2).unwrap().0;
    assert_eq!(seqs(&journal), (1..=1000).collect::<Vec<_>>(), "indexes are made again");
}

#[test]
fn a_tail_cut_at_any_byte_leaves_what_was_synced_and_the_journal_goes_on() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..3);
    let batch = journal.begin(vec![carrier(3), NewRecord::Note(Note::Floor(START.plus_ms(9))), carrier(4)]);
    let batch = batch.unwrap();
    let before = disk.snapshot();
    batch.write_unsynced(&before).unwrap();
    for keep in 0..=batch.len() {
        let torn = before.snapshot();
        torn.crash(keep);
        let (mut journal, _) = open_with(&torn, TINY, 2).unwrap();
        let held = seqs(&journal);
        assert!(held.starts_with(&[1, 2, 3]), "{keep}: {held:?}");
        assert_eq!(held.len() == 5, keep == batch.len(), "{keep}: {held:?}");
        journal.append(vec![carrier(9)]).unwrap();
        drop(journal);
        let again = open_with(&torn, TINY, 3).unwrap().0;
        assert_eq!(seqs(&again).len(), held.len() + 1, "{keep}");
    }
}

#[test]
fn a_tail_of_which_only_some_sectors_were_kept_is_a_tail_and_no_damage() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..3);
    journal.mark_quiet();
    let batch = journal.begin((3..40).map(carrier).collect()).unwrap();
    batch.write_unsynced(&disk).unwrap();
    let mut state = 12345u64;
    for _ in 0..100 {
        let torn = disk.snapshot();
        torn.crash_scattered(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 63 == 0
        });
        let journal = open_with(&torn, TINY, 2).unwrap().0;
        assert!(seqs(&journal).starts_with(&[1, 2, 3]));
    }
}

#[test]
fn a_flipped_bit_before_the_last_batch_is_refused_with_file_and_offset() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk);
    fill(&mut journal, 0..4);
    let synced = journal.active.end;
    fill(&mut journal, 4..5);
    drop(journal);
    let name = segment_names(&disk)[0].clone();
    let whole = disk.content(&name).unwrap();
    for at in 0..synced as usize {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        disk.put(&name, bad);
        let error = open_with(&disk, SMALL, 2).expect_err(&format!("byte {at}"));
        let text = error.to_string();
        assert!(text.starts_with(&format!("journal/{name}: ")), "{text}");
        assert!(error.hint().contains(&name) || matches!(error, JournalError::Format(_)), "{}", error.hint());
    }
}

#[test]
fn after_a_close_a_flipped_bit_anywhere_is_refused() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk);
    journal.append((0..5).map(carrier).collect()).unwrap();
    let end = journal.active.end;
    journal.close().unwrap();
    let name = segment_names(&disk)[0].clone();
    let whole = disk.content(&name).unwrap();
    for at in 0..end as usize {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        disk.put(&name, bad);
        assert!(open_with(&disk, SMALL, 2).is_err(), "byte {at}");
    }
}

#[test]
fn damage_in_an_older_segment_is_named_and_costs_one_record() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..1000);
    drop(journal);
    let name = segment_names(&disk)[1].clone();
    let mut bad = disk.content(&name).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    disk.put(&name, bad);
    let (journal, opening) = open_with(&disk, TINY, 2).unwrap();
    assert!(opening.damaged[0].starts_with(&format!("journal/{name}: offset ")), "{:?}", opening.damaged);
    let found = seqs(&journal);
    assert_eq!(found.len(), 999);
    let lost = (1..).zip(&found).find(|(seq, found)| seq != *found).unwrap().0;
    assert_eq!(journal.read(lost - 1, 1).unwrap().lost, 1);
    drop(journal);
    disk.remove(&name.replace(".seg", ".idx")).unwrap();
    let error = open_with(&disk, TINY, 3).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { file, .. } if *file == name),
        "without an index: {error}"
    );
}

#[test]
fn a_missing_segment_makes_a_new_log_which_begins_every_feed_again() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    journal.append(every_note().into_iter().map(NewRecord::Note).collect()).unwrap();
    fill(&mut journal, 0..1000);
    drop(journal);
    for nth in [0, 1] {
        let disk = disk.snapshot();
        disk.remove(&segment_names(&disk)[nth]).unwrap();
        let (journal, opening) = open_with(&disk, TINY, 2).unwrap();
        assert!(opening.missing_segments && !journal.is_complete());
        assert_eq!(journal.log_id(), LogId([2; 16]));
        assert!(journal.ledger().feeds.values().all(|feed| *feed == FeedState::default()));
        let held = seqs(&journal);
        assert!(held.len() < 1000 && held.last() == Some(&1000), "{}", held.len());
        drop(journal);
        // Known from now on.
        let (mut journal, opening) = open_with(&disk, TINY, 3).unwrap();
        assert!(!opening.missing_segments && !journal.is_complete());
        assert_eq!((journal.log_id(), seqs(&journal).len()), (LogId([2; 16]), held.len()));
        fill(&mut journal, 2000..2500);
        drop(journal);
        assert!(!open_with(&disk, TINY, 4).unwrap().1.missing_segments);
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_goes_on_when_there_is_room() {
    for ops in 0..30 {
        let disk = MemoryDisk::default();
        let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
        // Close to the end of a segment, so that making the next one is among what fails.
        while journal.active.end - journal.active.start < TINY.segment_bytes() - 2_000 {
            fill(&mut journal, 0..1);
        }
        let mut held = journal.last().seq;
        disk.fill_after(Some(ops));
        for n in 0..20 {
            match journal.append(vec![carrier(n), carrier(n + 100)]) {
                Ok(_) => held += 2,
                Err(AppendError::Full) => {}
                Err(error) => panic!("{ops}: {error}"),
            }
            assert_eq!(journal.last().seq, held);
        }
        disk.fill_after(None);
        journal.append(vec![carrier(7)]).unwrap();
        disk.crash(0);
        let journal = open_with(&disk, TINY, 2).unwrap().0;
        assert_eq!(seqs(&journal), (1..=held + 1).collect::<Vec<_>>(), "{ops}");
    }
}

#[test]
fn below_the_low_water_mark_positions_are_still_taken_and_events_are_not() {
    let disk = MemoryDisk::default();
    disk.set_capacity(Some(1024 * 1024));
    let (mut journal, _) = open_with(&disk, SMALL, 1).unwrap();
    while journal.append(vec![carrier(0)]).is_ok() {}
    let consumer = ConsumerName::parse("soc").unwrap();
    let note = NewRecord::Note(Note::Position { consumer, seq: 1, own: false });
    journal.append(vec![note]).unwrap();
}

#[test]
fn an_index_that_a_full_disk_did_not_take_is_read_from_its_segment() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..1000);
    let id = journal.entry(3).unwrap().unwrap().envelope.id().clone();
    for name in disk.list().unwrap().iter().filter(|name| name.ends_with(".idx")) {
        disk.remove(name).unwrap();
    }
    disk.fill_after(Some(0));
    assert_eq!(seqs(&journal), (1..=1000).collect::<Vec<_>>());
    assert_eq!(journal.fetch(&id).unwrap().unwrap().seq, 3);
    disk.fill_after(None);
    assert_eq!(journal.fetch(&id).unwrap().unwrap().seq, 3);
    assert!(disk.list().unwrap().iter().any(|name| name.ends_with(".idx")), "it is written again");
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemoryDisk::default();
    let mut journal = open(&disk);
    disk.set_fail_sync(true);
    assert!(matches!(journal.append(vec![carrier(1)]), Err(AppendError::Failed(_))));
}

#[test]
fn marks_agree_where_the_history_is_the_same() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..500);
    let backup = disk.snapshot();
    fill(&mut journal, 500..1000);
    let marks: Vec<Mark> = [1000, 700, 501, 500, 499, 1]
        .into_iter()
        .filter_map(|seq| Some(journal.entry(seq).ok()??.mark()))
        .collect();
    assert_eq!(journal.newest_agreeing(&marks).unwrap(), Some(marks[0]));
    let (mut restored, _) = open_with(&backup, TINY, 2).unwrap();
    assert_eq!(restored.newest_agreeing(&marks).unwrap(), Some(marks[3]));
    fill(&mut restored, 5_000..5_600);
    assert_eq!(restored.newest_agreeing(&marks).unwrap(), Some(marks[3]), "the same seqs, another history");
    assert_eq!(restored.newest_agreeing(&[Mark::START]).unwrap(), Some(Mark::START));
    let ahead = Mark { seq: 9_999, check: Check([1; 16]) };
    assert_eq!(restored.newest_agreeing(&[ahead]).unwrap(), None);
}

#[test]
fn an_event_is_found_by_its_name_and_by_the_beginning_of_its_uuid() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..1000);
    for seq in [1, 2, 400, 999, 1000] {
        let id = journal.entry(seq).unwrap().unwrap().envelope.id().clone();
        assert_eq!(journal.fetch(&id).unwrap().unwrap().seq, seq);
        let text = id.uuid.to_string();
        let search = journal.search_for_prefix(&text[..13], 10).unwrap();
        assert_eq!(search.run(&disk).unwrap(), [seq]);
        let other = EventId { publisher: name("cert-pl"), ..id };
        assert!(journal.fetch(&other).unwrap().is_none());
    }
    assert!(journal.search_for_prefix("1234", 10).is_none());
}

#[test]
fn entries_with_the_same_content_id_name_the_earlier_ones() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    let project = ProjectName::parse("intelmq").unwrap();
    let append = |journal: &mut Memory, publisher: &str, n: u64| {
        let id = EventId { publisher: name(publisher), project: project.clone(), uuid: Uuid::from_u128(7) };
        let carrier = carrier_with(id, IdScheme::Content, n, 10, START);
        journal.append(vec![NewRecord::Carrier(carrier)]).unwrap().0
    };
    append(&mut journal, "cert-at", 1);
    append(&mut journal, "cert-ee", 1);
    // Another content under that id, which takes 2^61 tries to find.
    append(&mut journal, "cert-lv", 2);
    fill(&mut journal, 0..1000);
    let seq = append(&mut journal, "cert-pl", 1);
    let twins = |journal: &Memory, seq| -> Vec<u64> {
        journal.entry(seq).unwrap().unwrap().twins.iter().map(|twin| twin.seq).collect()
    };
    assert_eq!(twins(&journal, seq), [1, 2]);
    let journal = open_with(&disk, TINY, 2).unwrap().0;
    let all = [1, 2, 3, seq].map(|seq| twins(&journal, seq));
    assert_eq!(all, [vec![], vec![1], vec![], vec![1, 2]]);
}

#[test]
fn retention_by_size_counts_what_each_consumer_loses() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    let position = |text: &str, own| {
        let consumer = ConsumerName::parse(text).unwrap();
        NewRecord::Note(Note::Position { consumer, seq: 10, own })
    };
    journal.append(vec![position("all", true), position("foreign", false)]).unwrap();
    for n in 0..4000 {
        journal.append(vec![if n % 4 == 0 { foreign(n) } else { carrier(n) }]).unwrap();
        if let Some(mut retirement) = journal.due(None) {
            retirement.count(&disk, &PublisherName::parse("cert-at").unwrap()).unwrap();
            journal.retire(retirement).unwrap();
        }
    }
    assert!(journal.bytes() <= TINY.keep_bytes + TINY.segment_bytes());
    let floor = journal.floor().seq;
    let missing = |text: &str| journal.ledger().consumers[&ConsumerName::parse(text).unwrap()].missing;
    let foreigns = (11..=floor).filter(|seq| (seq - 1) % 4 == 0).count() as u64;
    assert_eq!((missing("all"), missing("foreign")), (floor - 10, foreigns));
    assert_eq!(journal.read(0, 0).unwrap().after, journal.floor());
    let ledger = journal.ledger().clone();
    let (journal, opening) = open_with(&disk, TINY, 2).unwrap();
    assert!(!opening.missing_segments && !journal.is_complete());
    assert_eq!((journal.ledger(), journal.floor().seq), (&ledger, floor));
}

#[test]
fn retention_by_age_needs_a_trusted_clock() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..1000);
    assert!(journal.due(None).is_none());
    assert!(journal.due(Some(START.plus_ms(TINY.keep_ms))).is_none());
    let due = journal.due(Some(START.plus_ms(TINY.keep_ms + 2_000))).unwrap();
    assert!(due.last_seq() < 1000, "the active segment stays");
}

#[test]
fn a_time_is_turned_into_the_seq_of_the_first_entry_stored_then() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..1000);
    let at = |ms| journal.seq_at(START.plus_ms(ms)).unwrap();
    assert_eq!((at(0), at(500), at(999), at(1000)), (1, 501, 1000, 1001));
}

#[test]
fn the_largest_record_fits_a_small_segment() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    for n in 0..3 {
        let large = carrier_of("cert-ee", n, 1024 * 1024 - 100, START);
        journal.append(vec![NewRecord::Carrier(large)]).unwrap();
    }
    let journal = open_with(&disk, TINY, 2).unwrap().0;
    assert_eq!(seqs(&journal), [1, 2, 3]);
}

/// A peer that was told to pass over it and reconnects exactly there goes on there.
#[test]
fn a_broken_entry_is_still_a_place_to_resume_at() {
    let disk = MemoryDisk::default();
    fill(&mut open_with(&disk, TINY, 1).unwrap().0, 0..1000);
    let (journal, _) = open_with(&disk, TINY, 2).unwrap();
    let mark = journal.read(6, 0).unwrap().entries[0].mark();
    let name = segment::file_name(1);
    let mut bytes = disk.content(&name).unwrap();
    bytes[journal.locate(6).unwrap().unwrap().offset() as usize + 20] ^= 1;
    disk.put(&name, bytes);
    let read = journal.read(6, 0).unwrap();
    assert_eq!((read.after, read.lost), (mark, 1));
    assert_eq!(journal.newest_agreeing(&[mark]).unwrap(), Some(mark));
}
