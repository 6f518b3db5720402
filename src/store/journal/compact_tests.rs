//! Notes do not take the place of entries, and a reader that was on its way finds them where they lie now.
//! `store::crash_images` tests power cuts.

use super::tests::{TINY, open_with};
use crate::record::{ConsumerName, NewRecord, Note};
use crate::store::memory_disk::MemoryDisk;
use crate::store::testing::{START, foreign};

/// Otherwise notes would fill the journal, and retention would take unread entries for them.
#[test]
fn notes_take_no_room_from_entries() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    let keep = journal.config.keep_bytes;
    let consumer = ConsumerName::parse("soc").unwrap();
    let note = |seq| NewRecord::Note(Note::Position { consumer: consumer.clone(), seq, own: true });
    let mut written = 0;
    for nth in 1.. {
        let mut records: Vec<_> = (0..200).map(|at| note(200 * nth + at)).collect();
        records.push(foreign(nth));
        let batch = journal.begin(records).unwrap();
        written += batch.len() as u64;
        batch.write(&disk).unwrap();
        journal.commit(batch);
        assert!(journal.due(None).is_none(), "{nth} entries, {written} of {keep} bytes");
        if written > 3 * keep {
            break;
        }
    }
    let before = journal.read(0, usize::MAX).unwrap().entries;
    assert_eq!(before.len() as u64, journal.last().seq);
    let (ledger, ends) = (journal.ledger().clone(), journal.ends());
    drop(journal);
    let (journal, _) = open_with(&disk, TINY, 2).unwrap();
    assert_eq!((journal.ledger(), journal.ends()), (&ledger, ends));
    let mut after = 0;
    while after < journal.last().seq {
        for entry in journal.read(after, 64 * 1024).unwrap().entries {
            assert_eq!((entry.seq, entry.check), (after + 1, before[after as usize].check));
            after += 1;
        }
    }
}

/// A reader finds an entry, and reads only after the segment was written anew.
#[test]
fn entry_that_moved_under_a_reader_is_not_damage() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    let note = || NewRecord::Note(Note::Steady(START));
    journal.append((0..50).map(|_| note()).chain((1..=3).map(foreign)).collect()).unwrap();
    let located = journal.locate(1).unwrap().unwrap();
    while journal.rewritten == 0 {
        journal.append((0..500).map(|_| note()).collect()).unwrap();
    }
    assert!(located.read(&disk, 1).is_err(), "something else lies there");
    assert_eq!(journal.pass(&located), 1, "it is looked for again");
    assert_eq!(journal.locate(1).unwrap().unwrap().read(&disk, 1).unwrap().entries[0].seq, 2);
}
