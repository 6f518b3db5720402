//! Entries stored here that can no longer be read: each consumer that had not acknowledged them is told how many, once.

use super::bench::*;
use crate::envelope::Core;
use crate::protocol::Input;
use crate::protocol::io::{
    ConsumerId, ConsumerRequest, DoorInput, Event, LossCause, Role, StoreFailure, StoreInput, StreamId,
};
use crate::record::{ConsumerName, JournalEnds, Note};
use crate::wire::{Mark, Skip, WireFrame};

const SOC: ConsumerId = ConsumerId(1);

fn soc() -> ConsumerName {
    ConsumerName::parse("soc").unwrap()
}

/// Three events, of which the second can no longer be read; the consumer was handed the other two.
fn with_a_hole() -> Bench {
    let mut bench = Bench::new();
    (1..=3).for_each(|nth| bench.submit(nth.into(), core("cert-at", nth)));
    bench.journal.remove(1);
    opened(&mut bench, SOC);
    assert_eq!(bench.handed.len(), 2);
    bench
}

fn opened(bench: &mut Bench, consumer: ConsumerId) {
    let request = ConsumerRequest { name: Some(soc()), from: None, own: true, acks: true, filter: None };
    bench.input(Input::Door(DoorInput::ConsumerOpened { consumer, request }));
}

/// Position and missing as the node shows them, and as they are on disk.
fn position(bench: &mut Bench) -> [(u64, u64); 2] {
    bench.pass(2_000);
    let shown = bench.node.view().consumers[0].status.clone();
    let written = &bench.ledger.consumers[&soc()];
    [(shown.position, shown.missing), (written.seq, written.missing)]
}

#[test]
fn what_cannot_be_read_is_missing_once_passed() {
    let mut bench = with_a_hole();
    assert_eq!(position(&mut bench), [(0, 0); 2], "it is still to be acknowledged what lies before");
    bench.input(Input::Door(DoorInput::ConsumerGone { consumer: SOC }));
    opened(&mut bench, ConsumerId(2));
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: ConsumerId(2), seq: 1 }));
    assert_eq!(position(&mut bench), [(1, 0); 2]);
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: ConsumerId(2), seq: 3 }));
    assert_eq!(position(&mut bench), [(3, 1); 2], "met by both connections, counted once");
    let told =
        |event: &Event| matches!(event, Event::ConsumerMissing { count: 1, cause: LossCause::Damage, .. });
    assert_eq!(bench.events.iter().filter(|event| told(event)).count(), 1);
}

/// Retention counts all entries that were not acknowledged, with those that could not be read.
#[test]
fn what_retention_took_is_not_counted_again() {
    let mut bench = with_a_hole();
    let ends = JournalEnds { floor: bench.journal[1].mark(), ..ends(&bench.journal) };
    bench.ledger.apply(&Note::Missing { consumer: soc(), to: 3, count: 3 });
    bench.input(Input::Store(StoreInput::Retired { ends, missing: vec![(soc(), 3)] }));
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: SOC, seq: 3 }));
    assert_eq!(position(&mut bench), [(3, 3); 2]);
}

/// The acknowledgement was on its way to the disk when retention counted what lies behind the one before.
#[test]
fn what_is_shown_is_what_a_restart_finds() {
    let mut bench = with_a_hole();
    bench.held = Some(Vec::new());
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: SOC, seq: 3 }));
    bench.pass(2_000);
    let before = bench.journal[0].mark();
    let ends = JournalEnds { floor: Mark { seq: 2, ..before }, ..ends(&bench.journal) };
    bench.ledger.apply(&Note::Missing { consumer: soc(), to: 2, count: 2 });
    bench.input(Input::Store(StoreInput::Retired { ends, missing: vec![(soc(), 2)] }));
    bench.release();
    assert_eq!(position(&mut bench), [(3, 2); 2]);
}

fn consumer(bench: &mut Bench, id: u64, name: &str) {
    let name = Some(ConsumerName::parse(name).unwrap());
    let request = ConsumerRequest { name, from: None, own: true, acks: true, filter: None };
    bench.input(Input::Door(DoorInput::ConsumerOpened { consumer: ConsumerId(id), request }));
}

/// cert-ee holds what this node got from it: three entries.
fn with_three_received() -> (Bench, StreamId, Vec<Core>) {
    let mut bench = Bench::new();
    let entries: Vec<_> = (1..=3).map(|nth| core("cert-ee", nth)).collect();
    let stream = bench.receiving("cert-ee");
    let carriers = (1..).zip(&entries).map(|(seq, core)| carrier(seq, &["cert-ee"], signed(core.clone())));
    bench.frames(stream, carriers.collect());
    bench.pass(200);
    (bench, stream, entries)
}

/// The feed is read again from its start, and gives the second entry.
fn the_second_comes_again(bench: &mut Bench, stream: StreamId, entries: &[Core]) -> StreamId {
    bench.pass(6_000);
    assert!(bench.closed.contains(&stream));
    let again = bench.greeted("cert-ee", Role::Receiver, 2);
    bench.frames(again, vec![WireFrame::Skip(Skip { to: Mark::START, dropped: 0 })]);
    bench.sent.clear();
    bench.frames(again, (1..).zip(entries).map(|(seq, core)| have(seq, core)).collect());
    bench.pass(100);
    assert_eq!((bench.wants(), bench.cursor("cert-ee")), (vec![2], 3), "it alone, and the cursor stays");
    bench.handed.clear();
    bench.frames(again, vec![answer(2, &["cert-ee"], signed(entries[1].clone()))]);
    bench.pass(200);
    again
}

/// One of the entries breaks after one consumer had it, and before another did.
#[test]
fn a_lost_entry_is_asked_for_again_for_who_missed_it() {
    let (mut bench, stream, entries) = with_three_received();
    let lost = entries[1].id.key();
    consumer(&mut bench, 1, "soc");
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: ConsumerId(1), seq: 3 }));
    bench.pass(200);
    bench.damage(2);
    bench.handed.clear();
    consumer(&mut bench, 2, "siem");
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: ConsumerId(2), seq: 3 }));
    assert_eq!(bench.handed, [entries[0].id.key(), entries[2].id.key()]);
    let again = the_second_comes_again(&mut bench, stream, &entries);
    assert_eq!(bench.handed, [lost], "to the one that missed it, and not again to the other");
    assert_eq!((bench.journal.last().unwrap().seq, bench.owed("cert-ee")), (4, vec![]));
    assert!(bench.closed.contains(&again), "it goes on in order");
    // A start knows it all: neither is it asked for again, nor handed again.
    let peers = vec![peer("cert-ee"), peer("cert-pl")];
    let (ledger, journal, seen) = (bench.ledger.clone(), bench.journal.clone(), bench.seen.clone());
    let mut started = Bench::started(peers, ledger, journal, seen);
    consumer(&mut started, 1, "soc");
    started.pass(200);
    assert_eq!(started.handed, []);
    let stream = started.receiving("cert-ee");
    started.frames(stream, vec![have(4, &entries[1])]);
    started.pass(3_000);
    assert_eq!((started.wants(), started.cursor("cert-ee")), (vec![], 4));
}

/// It broke after it was handed over, and before that was acknowledged.
#[test]
fn a_copy_is_not_for_connections_that_had_the_entry() {
    let (mut bench, stream, entries) = with_three_received();
    consumer(&mut bench, 1, "soc");
    bench.damage(2);
    consumer(&mut bench, 2, "siem");
    the_second_comes_again(&mut bench, stream, &entries);
    assert_eq!(bench.handed, [entries[1].id.key()], "to the other alone");
    bench.input(Input::Door(DoorInput::ConsumerAcked { consumer: ConsumerId(1), seq: 3 }));
    bench.pass(2_000);
    assert_eq!(bench.ledger.consumers[&soc()].missing, 0);
}

/// No later read meets what was broken, if its reader has passed it.
#[test]
fn a_loss_that_was_not_stored_is_noted_again() {
    let (mut bench, _, entries) = with_three_received();
    bench.damage(2);
    bench.held = Some(Vec::new());
    consumer(&mut bench, 1, "soc");
    bench.pass(200);
    let (ticket, _) = bench.held.take().unwrap().remove(0);
    bench.input(Input::Store(StoreInput::NotStored { ticket, failure: StoreFailure::DiskFull }));
    assert!(!bench.ledger.losses.wants(entries[1].id.key()));
    assert_eq!(bench.counts.heard, 1, "before the next append");
    bench.pass(10_000);
    assert!(bench.ledger.losses.wants(entries[1].id.key()));
}
