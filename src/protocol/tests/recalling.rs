//! The answer to a door that asks for an event and its ancestors.

use super::bench::*;
use crate::envelope::Core;
use crate::protocol::Input;
use crate::protocol::io::{DoorInput, StoreInput, Ticket};

fn child(nth: u8, parent: u8) -> Core {
    Core { parent: Some(core("cert-at", parent).id), ..core("cert-at", nth) }
}

fn recall(bench: &mut Bench, nth: u8) -> Vec<u8> {
    bench.input(Input::Door(DoorInput::Recall { ticket: Ticket(90), id: core("cert-at", nth).id }));
    let (ticket, lineage) = bench.told.recalled.pop().expect("it is answered at once");
    assert_eq!(ticket, Ticket(90));
    lineage
}

#[test]
fn an_event_is_recalled_with_its_ancestors_as_far_as_they_are_held_and_at_most_five() {
    let mut bench = Bench::new();
    bench.submit(1, core("cert-at", 1));
    for nth in 2..=7 {
        bench.submit(nth.into(), child(nth, nth - 1));
    }
    bench.submit(9, child(9, 8));
    assert_eq!(recall(&mut bench, 1), [1]);
    assert_eq!(recall(&mut bench, 3), [3, 2, 1]);
    assert_eq!(recall(&mut bench, 7), [7, 6, 5, 4, 3]);
    assert_eq!(recall(&mut bench, 9), [9], "its parent is not held");
    assert_eq!(recall(&mut bench, 8), [] as [u8; 0]);
}

#[test]
fn parents_in_a_circle_end_the_lineage() {
    let mut bench = Bench::new();
    bench.submit(1, child(1, 2));
    bench.submit(2, child(2, 1));
    bench.submit(3, child(3, 3));
    assert_eq!(recall(&mut bench, 1), [1, 2]);
    assert_eq!(recall(&mut bench, 3), [3]);
}

#[test]
fn what_was_submitted_a_moment_ago_is_recalled_once_it_is_on_disk() {
    let mut bench = Bench::new();
    bench.held = Some(Vec::new());
    bench.submit(1, core("cert-at", 1));
    bench.input(Input::Door(DoorInput::Recall { ticket: Ticket(90), id: core("cert-at", 1).id }));
    assert!(bench.told.recalled.is_empty());
    bench.release();
    assert_eq!(bench.told.recalled, [(Ticket(90), vec![1])]);
}

#[test]
fn what_could_not_be_stored_is_recalled_as_not_held() {
    let mut bench = Bench::new();
    bench.held = Some(Vec::new());
    bench.submit(1, core("cert-at", 1));
    bench.input(Input::Door(DoorInput::Recall { ticket: Ticket(90), id: core("cert-at", 1).id }));
    let ticket = bench.held.as_ref().and_then(|held| held.first()).expect("an append is open").0;
    bench.input(Input::Store(StoreInput::NotStored {
        ticket,
        failure: crate::protocol::io::StoreFailure::DiskFull,
    }));
    assert_eq!(bench.told.recalled, [(Ticket(90), vec![])]);
}
