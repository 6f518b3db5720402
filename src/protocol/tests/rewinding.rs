//! The generation of a position: acknowledgements from before the operator moved the position do not count.

use super::bench::*;
use crate::protocol::Input;
use crate::protocol::io::{
    ConsumerClosed, ConsumerId, ConsumerRequest, CoreCommand, DoorInput, OperatorInput, StartPosition,
    StoreFailure, StoreInput, Ticket,
};
use crate::record::ConsumerName;

fn soc() -> ConsumerName {
    ConsumerName::parse("soc").unwrap()
}

fn open(bench: &mut Bench, nth: u64) -> ConsumerId {
    let (consumer, filter) = (ConsumerId(nth), None);
    let request = ConsumerRequest { name: Some(soc()), from: None, own: true, acks: true, filter };
    bench.input(Input::Door(DoorInput::ConsumerOpened { consumer, request }));
    consumer
}

fn rewind(bench: &mut Bench) {
    let ticket = Ticket(1 << 63);
    bench.input(Input::Operator(OperatorInput::Command(CoreCommand::RewindConsumer {
        ticket,
        name: soc(),
        to: StartPosition::Earliest,
    })));
}

/// A consumer that was handed and acknowledged three events, on disk.
fn acknowledged() -> Bench {
    let mut bench = Bench::new();
    (1..=3).for_each(|nth| bench.submit(nth.into(), core("cert-at", nth)));
    let consumer = open(&mut bench, 1);
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer, seq: 3 }));
    bench.pass(2_000);
    assert_eq!((bench.handed.len(), bench.ledger.consumers[&soc()].seq), (3, 3));
    bench
}

#[test]
fn rewound_or_removed_consumer_begins_another_generation() {
    let mut bench = acknowledged();
    rewind(&mut bench);
    let _ = open(&mut bench, 2);
    assert_eq!(bench.handed.len(), 6);
    let remove = CoreCommand::RemoveConsumer { ticket: Ticket(1 << 63), name: soc() };
    bench.input(Input::Operator(OperatorInput::Command(remove)));
    let _ = open(&mut bench, 3);
    bench.pass(2_000);
    assert_eq!((bench.handed.len(), &bench.told.began[..]), (9, &[0, 1, 2][..]));
    let mut again = Bench::started(Vec::new(), bench.ledger, bench.journal, bench.seen);
    let _ = open(&mut again, 1);
    assert_eq!(again.told.began, [2], "a restart does not change it");
}

/// A crash would bring the generation before it back, and the next one would have the same number.
#[test]
fn rewound_consumer_is_handed_nothing_before_that_is_durable() {
    let mut bench = acknowledged();
    bench.held = Some(Vec::new());
    rewind(&mut bench);
    let _ = open(&mut bench, 2);
    bench.pass(2_000);
    assert_eq!(bench.handed.len(), 3);
    bench.release();
    assert_eq!(bench.handed.len(), 6);
}

#[test]
fn rewinding_that_could_not_be_stored_did_not_happen() {
    let mut bench = acknowledged();
    bench.held = Some(Vec::new());
    rewind(&mut bench);
    let consumer = open(&mut bench, 2);
    bench.pass(2_000);
    let held = bench.held.take().expect("appends are held");
    let ticket = held.first().expect("an append is open").0;
    bench.input(Input::Store(StoreInput::NotStored { ticket, failure: StoreFailure::DiskFull }));
    assert!(bench.told.consumers_closed.contains(&(consumer, ConsumerClosed::Rewound)));
    let _ = open(&mut bench, 3);
    // Nothing is stored for a while.
    bench.pass(60_000);
    bench.submit(4, core("cert-at", 4));
    bench.pass(2_000);
    assert_eq!(
        (bench.handed.len(), &bench.told.began[..]),
        (4, &[0, 1, 0][..]),
        "it goes on behind the third"
    );
}
