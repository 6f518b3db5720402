//! An id is a promise: an event that every peer would reject for good is not accepted in the first place.

use super::bench::*;
use crate::envelope::{Core, KeyUse, SignedStatement, StatedKey, Statement};
use crate::protocol::Input;
use crate::protocol::io::{DoorInput, OperatorInput, Submitted, Ticket};
use crate::time::{Now, Timestamp};

const DAY_MS: u64 = 86_400_000;

fn outcome(bench: &mut Bench, ticket: u64, core: Core) -> Submitted {
    bench.submit(ticket, core);
    let told = bench.told.submitted.iter().find(|(answered, _)| *answered == Ticket(ticket));
    told.map(|(_, outcome)| outcome.clone()).expect("it is answered at once")
}

#[test]
fn new_events_wait_while_the_clock_is_wrong() {
    let mut bench = Bench::new();
    let dated = |nth: u8, wall: u64| Core { created: Timestamp(wall), ..core("cert-at", nth) };
    assert_eq!(outcome(&mut bench, 1, dated(1, WALL)), Submitted::Accepted);
    let right = bench.now.wall;
    for (ticket, wrong) in [(2, 600_000), (4, WALL + 2 * DAY_MS)] {
        bench.now = Now { wall: Timestamp(wrong), ..bench.now };
        assert_eq!(outcome(&mut bench, ticket, dated(2, wrong)), Submitted::ClockOff);
        assert_eq!(outcome(&mut bench, ticket + 1, dated(1, WALL)), Submitted::Duplicate, "it is there");
    }
    bench.now = Now { wall: right, ..bench.now };
    assert_eq!(outcome(&mut bench, 6, dated(2, 600_000)), Submitted::ClockOff, "signed before it was right");
    assert_eq!(outcome(&mut bench, 7, dated(2, right.0)), Submitted::Accepted);
    assert_eq!(bench.journal.len(), 2);
}

#[test]
fn new_events_wait_while_the_keys_are_old() {
    let mut bench = Bench::new();
    let key = |of: &str, not_after| StatedKey {
        usage: KeyUse::Sign,
        key: signing_key(of).verifying_key().to_bytes(),
        not_before: Timestamp(0),
        not_after,
        compromised: false,
    };
    let keys = vec![key("cert-at", Some(Timestamp(WALL - 1))), key("newer", None)];
    let statement = Statement { publisher: name("cert-at"), serial: 2, keys, revoked: false };
    let statement = SignedStatement::sign(statement, &signing_key("cert-at")).unwrap();
    assert_eq!(outcome(&mut bench, 1, core("cert-at", 1)), Submitted::Accepted);
    bench.input(Input::Operator(OperatorInput::OwnStatement(statement)));
    assert_eq!(outcome(&mut bench, 2, core("cert-at", 2)), Submitted::KeysStale);
    let envelope = signer("newer").sign(core("cert-at", 2)).unwrap();
    bench.input(Input::Door(DoorInput::Submit { ticket: Ticket(3), envelope }));
    assert_eq!(bench.told.submitted.last(), Some(&(Ticket(3), Submitted::Accepted)));
}
