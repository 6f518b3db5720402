//! Compares the journal with a list as its model: after any operations, and whenever the power goes, it holds what it
//! acknowledged, in order. Single faults are tested in `tests`.

use proptest::prelude::*;

use super::tests::{TINY, open_with, seqs};
use crate::store::memory_disk::MemoryDisk;
use crate::store::testing::{START, carrier};

#[derive(Clone, Debug)]
enum Op {
    Append(u8),
    Crash(u16),
    Reopen,
    Quiet,
    Full(u8),
    Retire,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u8..40).prop_map(Op::Append),
        2 => any::<u16>().prop_map(Op::Crash),
        1 => Just(Op::Reopen),
        1 => Just(Op::Quiet),
        1 => (0u8..6).prop_map(Op::Full),
        1 => Just(Op::Retire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_journal_holds_what_it_acknowledged_in_order(ops in prop::collection::vec(op(), 1..40)) {
        let disk = MemoryDisk::default();
        let mut journal = open_with(&disk, TINY, 1).unwrap().0;
        // The model: number of the event at each seq from 1 on.
        let mut model: Vec<u64> = Vec::new();
        let mut next = 0;
        for op in ops {
            match op {
                Op::Append(count) => {
                    let numbers: Vec<u64> = (next..next + u64::from(count)).collect();
                    next += u64::from(count);
                    journal.append(numbers.iter().map(|n| carrier(*n)).collect()).unwrap();
                    model.extend(numbers);
                }
                Op::Crash(keep) => {
                    let batch = journal.begin((next..next + 20).map(carrier).collect()).unwrap();
                    batch.write_unsynced(&disk).unwrap();
                    disk.crash(usize::from(keep) % (batch.len() * 2));
                    journal = open_with(&disk, TINY, 2).unwrap().0;
                    // A prefix of the unacknowledged entries may be there.
                    let more = journal.last().seq - model.len() as u64;
                    prop_assert!(more <= 20);
                    model.extend(next..next + more);
                    next += 20;
                }
                Op::Reopen => {
                    journal.close().unwrap();
                    journal = open_with(&disk, TINY, 3).unwrap().0;
                }
                Op::Quiet => journal.mark_quiet(),
                Op::Full(ops) => {
                    disk.fill_after(Some(ops.into()));
                    let numbers: Vec<u64> = (next..next + 3).collect();
                    next += 3;
                    if journal.append(numbers.iter().map(|n| carrier(*n)).collect()).is_ok() {
                        model.extend(numbers);
                    }
                    disk.fill_after(None);
                }
                Op::Retire => {
                    if let Some(retirement) = journal.due(None) {
                        journal.retire(retirement).unwrap();
                    }
                }
            }
            prop_assert_eq!(journal.last().seq, model.len() as u64);
            let floor = journal.floor().seq;
            prop_assert_eq!(seqs(&journal), (floor + 1..=model.len() as u64).collect::<Vec<_>>());
            let read = journal.read(floor, usize::MAX).unwrap();
            for entry in read.entries {
                let n = model[entry.seq as usize - 1];
                prop_assert_eq!(entry.arrived, START.plus_ms(n));
            }
        }
    }
}
