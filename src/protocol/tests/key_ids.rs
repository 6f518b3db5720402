//! A key id finds keys and proves nothing. Here the ids of keys collide, as an attacker with 2^64 steps makes them:
//! what one key said or signed is never taken for another's.

use super::bench::*;
use super::keys::{by, is_revoked, keyed, relayed, revoked, shown, stated};
use crate::envelope::Core;
use crate::identity::KeyId;
use crate::identity::colliding::WeakIds;
use crate::policy::Standing;
use crate::protocol::io::{StoreInput, StoreQuestion, TransportInput};
use crate::protocol::{Input, Output, intake};
use crate::record::Ledger;
use crate::time::Timestamp;
use crate::wire::{VerdictCode, WireFrame};

/// The name of another key with the id of `of`'s.
fn twin(of: &str) -> String {
    let id = |of: &str| KeyId::of(&signing_key(of).verifying_key());
    let found = (0..100_000).map(|n| format!("twin-{n}")).find(|name| id(name) == id(of)).unwrap();
    assert_ne!(signing_key(&found), signing_key(of));
    found
}

fn standing(bench: &Bench, of: &str, key: &str) -> Option<Standing> {
    bench.node.trust().standing(&name(of), &signing_key(key).verifying_key(), Timestamp(WALL))
}

/// A peer with an identity key of our own key id states keys and revokes itself: nothing of that is about us.
#[test]
fn statement_of_key_with_our_id_is_not_ours() {
    let _weak = WeakIds::begin();
    let thief = twin("cert-at");
    let mut bench = Bench::with(vec![keyed("cert-ee", &thief), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![shown(&stated(&thief, "cert-ee", 1, &[&thief, "stolen"]))]);
    assert_eq!(standing(&bench, "cert-at", "stolen"), None, "it does not sign in our name");
    assert_eq!(standing(&bench, "cert-at", "cert-at"), Some(Standing::Good));
    assert_eq!(standing(&bench, "cert-ee", "stolen"), Some(Standing::Good));
    bench.frames(stream, vec![shown(&revoked(&thief, "cert-ee"))]);
    assert_eq!(standing(&bench, "cert-at", "cert-at"), Some(Standing::Good), "nor does it revoke us");
    assert!(bench.node.own_statement().is_none());
}

/// A removed peer's statement is kept for ever. If a later peer has a key with the same id, it is free.
#[test]
fn later_peer_with_colliding_id_inherits_no_statement() {
    let _weak = WeakIds::begin();
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![shown(&stated("cert-ee", "cert-ee", 9, &["cert-ee", "stolen"]))]);
    bench.frames(stream, vec![shown(&revoked("cert-ee", "cert-ee"))]);
    let later = twin("cert-ee");
    bench.trust([keyed("cert-lv", &later), peer("cert-pl")]);
    assert!(!is_revoked(&bench, "cert-lv"));
    assert_eq!(standing(&bench, "cert-lv", &later), Some(Standing::Good));
    assert_eq!(standing(&bench, "cert-lv", "stolen"), None);
    // Its own statement, with a lower serial, counts and is shown.
    let own = stated(&later, "cert-lv", 1, &[&later, "fresh"]);
    bench.frames(stream, vec![shown(&own)]);
    assert_eq!(standing(&bench, "cert-lv", "fresh"), Some(Standing::Good));
}

/// Two peers with one key id: the signature tells which peer signed.
#[test]
fn each_of_two_keys_with_one_id_signs_for_its_owner() {
    let _weak = WeakIds::begin();
    let other = twin("cert-ee");
    let mut bench =
        Bench::with(vec![peer("cert-ee"), keyed("cert-lv", &other), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    let of = |publisher: &str, nth: u8, key: &str| {
        carrier(u64::from(nth), &[publisher, "cert-pl"], by(key, core(publisher, nth)))
    };
    bench.frames(stream, vec![of("cert-ee", 1, "cert-ee"), of("cert-lv", 2, &other)]);
    bench.frames(stream, vec![of("cert-ee", 3, &other), of("cert-lv", 4, "cert-ee")]);
    assert_eq!(bench.verdicts(), [(3, VerdictCode::BadSignature), (4, VerdictCode::BadSignature)]);
    assert_eq!(bench.journal.len(), 2);
}

/// If a publisher makes two keys with one id, it harms no node, itself included.
#[test]
fn both_keys_of_publisher_with_one_id_are_tried() {
    let _weak = WeakIds::begin();
    let second = twin("cert-ee");
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![shown(&stated("cert-ee", "cert-ee", 1, &["cert-ee", &second]))]);
    let older = Core { created: Timestamp(WALL - 10), ..core("cert-ee", 1) };
    bench.frames(stream, vec![carrier(1, &["cert-ee", "cert-pl"], by("cert-ee", older))]);
    bench.frames(stream, vec![relayed(2, &second), relayed(3, "cert-ee")]);
    assert_eq!(bench.verdicts(), [(3, VerdictCode::UnknownKey)], "retired before it was created");
    assert_eq!(bench.journal.len(), 2);
}

/// Somebody made a key with the id of a key that cert-ee is about to state: events of cert-ee wait for that statement,
/// and are not lost for good.
#[test]
fn unknown_key_with_id_of_another_peer_stays_curable() {
    let _weak = WeakIds::begin();
    let next = twin("cert-lv");
    let mut bench = Bench::with(vec![peer("cert-ee"), peer("cert-lv"), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![relayed(1, &next)]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::UnknownKey)]);
    // An event that the other peer did sign is bound to another name for good.
    bench.frames(stream, vec![relayed(2, "cert-lv")]);
    assert_eq!(bench.verdicts().last(), Some(&(2, VerdictCode::NameMismatch)));
    bench.frames(stream, vec![shown(&stated("cert-ee", "cert-ee", 1, &["cert-ee", &next]))]);
    let again = bench.sent.iter().any(|(_, frame)| matches!(frame, WireFrame::Subscribe(it) if it.have_only));
    assert!(again, "the feed is read again from there");
}

/// The same, and the statement comes while the workers try the key of the other peer.
#[test]
fn key_that_comes_during_the_check_is_tried_too() {
    let _weak = WeakIds::begin();
    let next = twin("cert-lv");
    let mut bench = Bench::with(vec![peer("cert-ee"), peer("cert-lv"), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    bench.node.handle_input(TransportInput::Frames { stream, frames: vec![relayed(1, &next)] }, bench.now);
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
                let results = envelopes.into_iter().map(|(it, keys)| intake::inspect(it, &keys)).collect();
                verified = Some(Input::Verified { ticket, results });
            }
            _ => {}
        }
    }
    bench.frames(stream, vec![shown(&stated("cert-ee", "cert-ee", 1, &["cert-ee", &next]))]);
    bench.input(verified.expect("it went to the workers"));
    bench.pass(200);
    assert_eq!((bench.verdicts(), bench.journal.len()), (vec![], 1));
}
