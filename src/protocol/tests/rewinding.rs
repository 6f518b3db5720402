//! Rewinding. The generation of a position: acknowledgements from before the operator moved it do not count. A feed is
//! rewound once.

use super::bench::*;
use crate::protocol::Input;
use crate::protocol::io::{
    ConsumerClosed, ConsumerId, ConsumerRequest, CoreCommand, DoorInput, OperatorInput, RewindTo, Role,
    StartPosition, StoreFailure, StoreInput, Ticket, TransportInput,
};
use crate::record::ConsumerName;
use crate::wire::{Mark, Skip, WireFrame};

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

/// The next stream goes on at the cursor, and so does each after it.
#[test]
fn rewound_feed_is_asked_for_once() {
    let mut bench = Bench::new();
    let first = bench.receiving("cert-ee");
    let sent = signed(core("cert-ee", 1));
    bench.frames(first, vec![carrier(1, &["cert-ee"], sent.clone())]);
    let to = RewindTo::Earliest;
    let rewind = CoreCommand::Rewind { ticket: Ticket(1), peer: name("cert-ee"), to };
    bench.input(Input::Operator(OperatorInput::Command(rewind)));
    let mut begun = Vec::new();
    for _ in 0..3 {
        bench.pass(60_000);
        let stream = bench.greeted("cert-ee", Role::Receiver, 2);
        begun.extend(bench.sent.iter().filter_map(|(of, frame)| match frame {
            WireFrame::Subscribe(subscribe) if *of == stream => Some(subscribe.marks[0].seq),
            _ => None,
        }));
        let to = if begun.len() == 1 { Mark::START } else { Mark { seq: 1, check: check(1) } };
        bench.frames(stream, vec![WireFrame::Skip(Skip { to, dropped: 0 })]);
        if begun.len() == 1 {
            bench.frames(stream, vec![carrier(1, &["cert-ee"], sent.clone())]);
        }
        bench.pass(1_000);
        let cause = "closed".to_owned();
        bench.input(Input::Transport(TransportInput::FeedClosed { stream, cause }));
    }
    assert_eq!(begun, [0, 1, 1]);
}
