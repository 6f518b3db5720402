//! The effect of key statements on a running core: which of them count for which peer, and which take nothing from
//! others. Also which entries wait for the operator. `envelope` tests their bytes, and which of two is kept.

use bytes::Bytes;

use super::bench::*;
use crate::envelope::{Core, KeyUse, SealKey, SignedStatement, StatedKey, Statement, StatementBook};
use crate::identity::KeyId;
use crate::policy::{Peer, TrustList};
use crate::protocol::intake;
use crate::protocol::io::{
    CommandRefused, CoreCommand, Event, OperatorInput, StoreFailure, StoreInput, StoreQuestion, StreamId,
    Ticket, TransportInput,
};
use crate::protocol::{Input, Output};
use crate::record::Ledger;
use crate::time::Timestamp;
use crate::wire::{VerdictCode, WireFrame};

/// Returns the statement of key `identity` on its keys as `publisher`: the last one signs, those before did.
pub fn stated(identity: &str, publisher: &str, serial: u64, keys: &[&str]) -> SignedStatement {
    let stated = |(at, of): (usize, &&str)| StatedKey {
        usage: KeyUse::Sign,
        key: signing_key(of).verifying_key().to_bytes(),
        not_before: Timestamp(0),
        not_after: (at + 1 < keys.len()).then_some(Timestamp(WALL - 1)),
        compromised: false,
    };
    let keys = keys.iter().enumerate().map(stated).collect();
    let statement = Statement { publisher: name(publisher), serial, keys, revoked: false };
    SignedStatement::sign(statement, &signing_key(identity)).unwrap()
}

pub fn revoked(identity: &str, publisher: &str) -> SignedStatement {
    let statement =
        Statement { publisher: name(publisher), serial: u64::MAX, keys: Vec::new(), revoked: true };
    SignedStatement::sign(statement, &signing_key(identity)).unwrap()
}

pub fn shown(statement: &SignedStatement) -> WireFrame {
    WireFrame::KeyStatement(statement.bytes().clone())
}

pub fn by(key: &str, core: Core) -> Bytes {
    signer(key).sign(core).unwrap().envelope().bytes().clone()
}

/// The `nth` event of cert-ee, signed by `key`, as cert-pl hands it on.
pub fn relayed(nth: u8, key: &str) -> WireFrame {
    carrier(u64::from(nth), &["cert-ee", "cert-pl"], by(key, core("cert-ee", nth)))
}

pub fn keyed(of: &str, key: &str) -> Peer {
    Peer { key: signing_key(key).verifying_key(), ..peer(of) }
}

pub fn is_revoked(bench: &Bench, of: &str) -> bool {
    bench.node.revoked().any(|revoked| *revoked == name(of))
}

/// Returns the state that a restart finds.
fn replayed(ledger: &Ledger) -> Ledger {
    let mut rebuilt = Ledger::default();
    ledger.notes().iter().for_each(|note| rebuilt.apply(note));
    assert_eq!(rebuilt, *ledger);
    rebuilt
}

#[test]
fn a_new_pairing_under_an_old_name_owes_nothing_to_the_old_key() {
    let rotated = stated("cert-ee", "cert-ee", 50, &["cert-ee", "thief"]);
    for old in [rotated, revoked("cert-ee", "cert-ee")] {
        let mut bench = Bench::new();
        let stream = bench.receiving("cert-pl");
        bench.frames(stream, vec![shown(&old)]);
        let paired = [keyed("cert-ee", "new"), peer("cert-pl")];
        bench.trust(paired.clone());
        assert!(!is_revoked(&bench, "cert-ee"));
        bench.frames(stream, vec![relayed(1, "new")]);
        // Its own count, and their serials begin anew.
        let own = stated("new", "cert-ee", 1, &["new", "new-sign"]);
        bench.frames(stream, vec![shown(&own), relayed(2, "new-sign")]);
        bench.pass(200);
        assert_eq!(bench.journal.len(), 2, "what the new keys signed is taken");
        bench.frames(stream, vec![relayed(3, "cert-ee"), relayed(4, "thief")]);
        assert_eq!(bench.verdicts(), [(3, VerdictCode::UnknownKey), (4, VerdictCode::UnknownKey)]);

        let mut again = Bench::with(paired.to_vec(), replayed(&bench.ledger));
        assert!(!is_revoked(&again, "cert-ee"), "nor after a restart");
        again.sending("cert-pl");
        let told = again.sent.iter().filter(|(_, frame)| matches!(frame, WireFrame::KeyStatement(_)));
        let told: Vec<_> = told.map(|(_, frame)| frame.clone()).collect();
        assert_eq!(told, [shown(&own)], "and nobody is shown what the old key said");
        bench.trust([peer("cert-ee"), peer("cert-pl")]);
        assert_eq!(is_revoked(&bench, "cert-ee"), old.statement().revoked, "the old key stays what it was");
    }
}

#[test]
fn a_statement_that_names_anothers_key_takes_nothing_from_its_owner() {
    let mut bench = Bench::with(vec![peer("cert-ee"), peer("cert-lv"), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    // cert-ee comes before them all, and we come last.
    let greedy = stated("cert-ee", "cert-ee", 1, &["cert-at", "cert-pl", "cert-ee"]);
    bench.frames(stream, vec![shown(&greedy)]);
    let own = by("cert-at", core("cert-at", 2));
    let mismatched = by("cert-pl", core("cert-lv", 3));
    bench.frames(
        stream,
        vec![
            carrier(1, &["cert-pl"], by("cert-pl", core("cert-pl", 1))),
            carrier(2, &["cert-at", "cert-pl"], own),
            carrier(3, &["cert-lv", "cert-pl"], mismatched),
        ],
    );
    assert_eq!(bench.verdicts(), [(3, VerdictCode::NameMismatch)]);
    assert_eq!(bench.journal.len(), 2);
}

#[test]
fn a_stated_sealing_key_that_came_with_anothers_invitation_is_passed_over() {
    let seal = |of: u8| SealKey::of(&[of; 32].into());
    let says = |of: &str, key: SealKey| {
        let key = StatedKey {
            usage: KeyUse::Seal,
            key: *key.as_bytes(),
            not_before: Timestamp(0),
            not_after: None,
            compromised: false,
        };
        let statement = Statement { publisher: name(of), serial: 1, keys: vec![key], revoked: false };
        SignedStatement::sign(statement, &signing_key(of)).unwrap()
    };
    let sealing = |of: &str, key| Peer { seal: Some(seal(key)), ..peer(of) };
    let peers = [sealing("cert-ee", 1), sealing("cert-lv", 2), sealing("cert-pl", 3)];
    let list = TrustList::new(name("cert-at"), signer("cert-at").verifying_key(), peers);
    let list = list.with_own_seal(seal(9));
    let mut book = StatementBook::default();
    book.take(says("cert-ee", seal(3)));
    book.take(says("cert-lv", seal(9)));
    book.take(says("cert-pl", seal(5)));
    let list = list.with_statements(&book);
    let known = |of: &str| list.seal_key(&name(of));
    assert_eq!(known("cert-ee"), Some(seal(1)), "cert-pl's");
    assert_eq!(known("cert-lv"), Some(seal(2)), "ours");
    assert_eq!((known("cert-pl"), known("cert-at")), (Some(seal(5)), Some(seal(9))));
}

fn release(bench: &mut Bench, stream: StreamId, entry: &WireFrame) {
    let command =
        CoreCommand::Decide { ticket: Ticket(1 << 63), publisher: name("cert-ee"), key: None, release: true };
    bench.sent.clear();
    bench.input(Input::Operator(OperatorInput::Command(command)));
    bench.pass(200);
    assert_eq!(bench.wants(), [1]);
    let WireFrame::Carrier(carried) = entry.clone() else { unreachable!("bug: it is a carrier") };
    bench.frames(stream, vec![WireFrame::Answer(carried)]);
    bench.pass(200);
}

#[test]
fn what_a_rotated_and_then_revoked_publisher_signed_waits_and_can_be_released() {
    let rotated = stated("cert-ee", "cert-ee", 1, &["cert-ee", "sign"]);
    let last = revoked("cert-ee", "cert-ee");
    for was_there in [true, false] {
        let mut bench = Bench::new();
        let stream = bench.receiving("cert-pl");
        if was_there {
            bench.frames(stream, vec![shown(&rotated)]);
        }
        let entry = relayed(1, "sign");
        bench.frames(stream, vec![shown(&last), entry.clone()]);
        assert_eq!(bench.verdicts(), [(1, VerdictCode::KeyRevoked)]);
        if !was_there {
            // If a signature cannot be checked, the entry waits on, until a peer shows the earlier statement.
            release(&mut bench, stream, &entry);
            assert_eq!((bench.journal.len(), bench.owed("cert-pl").len()), (0, 1));
            bench.frames(stream, vec![shown(&rotated)]);
            assert!(is_revoked(&bench, "cert-ee"));
        }
        release(&mut bench, stream, &entry);
        assert_eq!((bench.journal.len(), bench.owed("cert-pl").len()), (1, 0));

        // If a peer is told of it here, it is told of both, in their order.
        let mut again = Bench::with(vec![peer("cert-ee"), peer("cert-pl")], replayed(&bench.ledger));
        again.sending("cert-pl");
        let told = again.sent.iter().filter(|(_, frame)| matches!(frame, WireFrame::KeyStatement(_)));
        let told: Vec<_> = told.map(|(_, frame)| frame.clone()).collect();
        assert_eq!(told, [shown(&rotated), shown(&last)]);
    }
}

/// The peer answers only after this node was started again.
#[test]
fn what_was_released_is_taken_after_a_crash() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![shown(&revoked("cert-ee", "cert-ee")), relayed(1, "cert-ee")]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::KeyRevoked)]);
    let decide = |ticket, release| {
        Input::Operator(OperatorInput::Command(CoreCommand::Decide {
            ticket: Ticket(ticket),
            publisher: name("cert-ee"),
            key: None,
            release,
        }))
    };
    bench.held = Some(Vec::new());
    bench.input(decide(1, true));
    assert_eq!(bench.told.done, [], "nothing is promised before it is on disk");
    bench.release();
    assert_eq!(bench.told.done, [(Ticket(1), Ok(()))]);

    let peers = || vec![peer("cert-ee"), peer("cert-pl")];
    let mut again = Bench::with(peers(), replayed(&bench.ledger));
    let stream = again.receiving_at("cert-pl", 1);
    again.pass(200);
    assert_eq!(again.wants(), [1]);
    let WireFrame::Carrier(carried) = relayed(1, "cert-ee") else { unreachable!("bug: it is a carrier") };
    again.frames(stream, vec![WireFrame::Answer(carried)]);
    again.pass(200);
    assert_eq!((again.journal.len(), again.owed("cert-pl").len()), (1, 0));
    assert!(again.ledger.released.is_empty(), "it is taken: nothing more is remembered");

    let mut dropped = Bench::with(peers(), replayed(&bench.ledger));
    dropped.held = Some(Vec::new());
    dropped.input(decide(2, false));
    assert_eq!(dropped.told.done, []);
    dropped.release();
    assert_eq!(dropped.told.done, [(Ticket(2), Ok(()))]);
    assert!(dropped.ledger.released.is_empty() && dropped.owed("cert-pl").is_empty());
}

#[test]
fn clock_is_accepted_on_disk_before_the_answer() {
    let mut bench = Bench::new();
    bench.held = Some(Vec::new());
    bench.input(Input::Operator(OperatorInput::Command(CoreCommand::AcceptClock { ticket: Ticket(1) })));
    assert_eq!(bench.told.done, []);
    let (ticket, _) = bench.held.as_mut().unwrap().remove(0);
    bench.input(Input::Store(StoreInput::NotStored { ticket, failure: StoreFailure::DiskFull }));
    assert_eq!(bench.told.done, [(Ticket(1), Err(CommandRefused::NotStored(StoreFailure::DiskFull)))]);
}

/// An update of a publisher must not raise an alarm at its peers.
#[test]
fn statement_of_later_version_is_passed_over_in_silence() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let known = stated("cert-ee", "cert-ee", 1, &["cert-ee"]);
    let mut later = known.bytes().to_vec();
    let version =
        later.windows(3).position(|part| part == [0x85, 0x01, 0x67]).expect("five fields, version 1");
    later[version + 1] = 2;
    let mut with_use = known.statement().clone();
    with_use.keys.push(StatedKey { usage: KeyUse::Other(2), key: [9; 32], ..with_use.keys[0].clone() });
    let with_use = SignedStatement::sign(with_use, &signing_key("cert-ee")).unwrap();
    bench.frames(stream, vec![WireFrame::KeyStatement(later.into()), shown(&with_use)]);
    bench.pass(200);
    assert!(!bench.events.iter().any(|event| matches!(event, Event::StatementRefused { .. })));
    let kept =
        bench.ledger.statements.of(&signer("cert-ee").verifying_key()).map(|stated| stated.latest().clone());
    assert_eq!(kept, Some(with_use), "kept and passed on whole, with the use that is not known here");
    bench.frames(stream, vec![carrier(1, &["cert-ee"], by("cert-ee", core("cert-ee", 1)))]);
    assert_eq!((bench.verdicts(), bench.journal.len()), (vec![], 1), "its other keys count");
}

#[test]
fn a_statement_under_an_alias_counts_and_a_renamed_file_forgets_no_revocation() {
    let renamed = |aliases| Peer { aliases, ..keyed("austria", "cert-ee") };
    let known_as = renamed(vec![name("cert-ee")]);
    let mut bench = Bench::with(vec![known_as, peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    let rotated = stated("cert-ee", "cert-ee", 1, &["cert-ee", "sign"]);
    bench.frames(stream, vec![shown(&rotated), relayed(1, "sign")]);
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
    bench.frames(stream, vec![shown(&revoked("cert-ee", "cert-ee"))]);
    bench.pass(200);
    assert!(is_revoked(&bench, "austria"));

    // Our operator may call the peer by any name: the key is revoked.
    for (called, file) in [
        ("cert-ee", peer("cert-ee")),
        ("austria", renamed(vec![name("cert-ee")])),
        ("austria", renamed(Vec::new())),
    ] {
        bench.trust([file.clone(), peer("cert-pl")]);
        assert!(is_revoked(&bench, called), "{called}");
        let again = Bench::with(vec![file, peer("cert-pl")], replayed(&bench.ledger));
        assert!(is_revoked(&again, called), "{called}");
    }
    let later = stated("cert-ee", "austria", 7, &["cert-ee", "more"]);
    bench.frames(stream, vec![shown(&later)]);
    assert!(is_revoked(&bench, "austria"), "nor does a statement of another name bring it back");
}

#[test]
fn what_is_at_the_workers_when_its_key_is_revoked_is_not_stored() {
    for at_once in [false, true] {
        let mut bench = Bench::new();
        let stream = bench.receiving("cert-pl");
        bench
            .node
            .handle_input(TransportInput::Frames { stream, frames: vec![relayed(1, "cert-ee")] }, bench.now);
        let mut verified = None;
        while let Some(output) = bench.node.poll_output() {
            match output {
                Output::Ask(StoreQuestion::LookUp { ticket, keys }) => {
                    let digests = vec![None; keys.len()];
                    bench
                        .node
                        .handle_input(StoreInput::Known { ticket, digests, floor: Timestamp(0) }, bench.now);
                }
                Output::Verify { ticket, envelopes } => {
                    let results =
                        envelopes.into_iter().map(|(it, keys)| intake::inspect(it, &keys)).collect();
                    verified = Some(Input::Verified { ticket, results });
                }
                _ => {}
            }
        }
        let heard = Input::Transport(TransportInput::Frames {
            stream,
            frames: vec![shown(&revoked("cert-ee", "cert-ee"))],
        });
        let verified = verified.expect("it went to the workers");
        if at_once {
            bench.node.handle_inputs([heard, verified], bench.now);
        } else {
            bench.input(heard);
            bench.input(verified);
        }
        assert_eq!(bench.verdicts(), [(1, VerdictCode::KeyRevoked)]);
        assert!(bench.journal.is_empty());
        let trusted = bench.node.trust();
        let key = KeyId::of(&signing_key("cert-ee").verifying_key());
        assert!(matches!(
            trusted.keys_of(&name("cert-ee"), key, Timestamp(WALL)),
            Err(crate::policy::KeyFault::Revoked(keys)) if keys.len() == 1
        ));
    }
}

#[test]
fn statements_that_change_no_key_leave_every_feed_standing() {
    let mut bench = Bench::new();
    let shower = bench.receiving("cert-ee");
    let other = bench.receiving("cert-pl");
    // A rejection that trust may cure: each change of trust reads this feed again.
    bench.frames(other, vec![carrier(1, &["cert-pl"], by("cert-xx", core("cert-pl", 1)))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::UnknownKey)]);
    bench.frames(shower, vec![shown(&stated("cert-ee", "cert-ee", 1, &["cert-ee"]))]);
    bench.pass(1_000);
    let before = bench.closed.len();
    for serial in 2..200 {
        bench.frames(shower, vec![shown(&stated("cert-ee", "cert-ee", serial, &["cert-ee"]))]);
        bench.pass(50);
    }
    assert_eq!(bench.closed.len(), before, "no feed was cut off for them");
    let identity = signer("cert-ee").verifying_key();
    let serial = |bench: &Bench| bench.ledger.statements.of(&identity).unwrap().latest().statement().serial;
    assert_eq!(serial(&bench), 8, "so many are kept in ten minutes");
    bench.pass(10 * 60 * 1_000);
    let shower = bench.receiving("cert-ee");
    bench.frames(shower, vec![shown(&stated("cert-ee", "cert-ee", 300, &["cert-ee"]))]);
    bench.pass(200);
    assert_eq!(serial(&bench), 300);
    bench.frames(shower, vec![shown(&revoked("cert-ee", "cert-ee"))]);
    bench.pass(200);
    assert!(is_revoked(&bench, "cert-ee"), "a revocation always counts");
}
