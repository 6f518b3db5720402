//! A node, and a peer, that had another name before: we are cert-at and were cert-old, cert-est was cert-ee.

use std::sync::Arc;

use super::bench::*;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::seal::seal;
use crate::envelope::{Core, SealKey};
use crate::identity::{EventKey, NodeNames};
use crate::policy::{Peer, Rate, Receive, Tlp, TrustList};
use crate::protocol::Input;
use crate::protocol::io::{ConsumerId, ConsumerRequest, DoorInput, OperatorInput, StartPosition};
use crate::record::Ledger;
use crate::wire::VerdictCode;

fn renamed() -> Peer {
    Peer { name: name("cert-est"), aliases: vec![name("cert-ee")], ..peer("cert-ee") }
}

/// A bench that knows both old names.
fn bench() -> Bench {
    let mut bench = Bench::with(vec![renamed(), peer("cert-pl")], Ledger::default());
    rename(&mut bench, [renamed(), peer("cert-pl")]);
    bench
}

fn rename(bench: &mut Bench, peers: impl IntoIterator<Item = Peer>) {
    let own = NodeNames::new(name("cert-at"), vec![name("cert-old")]);
    let list = TrustList::new(own, signer("cert-at").verifying_key(), peers);
    bench.input(Input::Operator(OperatorInput::Trust(Arc::new(list))));
}

/// A consumer that gets what others publish, from the beginning.
fn consume(bench: &mut Bench) {
    let from = Some(StartPosition::Earliest);
    let request = ConsumerRequest { name: None, from, own: false, acks: false, filter: None };
    bench.input(Input::Door(DoorInput::ConsumerOpened { consumer: ConsumerId(9), request }));
}

/// The `nth` event of cert-pl, sealed to that name.
fn sealed_to(nth: u8, to: &str) -> Core {
    let plain = Core { to: vec![name(to)], tlp: Tlp::AmberStrict, ..core("cert-pl", nth) };
    let (key, secret) = (SealKey::of(&[nth; 32].into()), BodyIdSecret::new([7; 32]));
    seal(plain, &[key], &secret, &mut rand::rng()).unwrap()
}

#[test]
fn what_is_sealed_to_our_old_name_is_handed_off() {
    let mut bench = bench();
    let stream = bench.receiving("cert-pl");
    for (nth, to) in [(1, "cert-old"), (2, "cert-lv"), (3, "cert-at")] {
        bench.frames(stream, vec![carrier(nth.into(), &["cert-pl"], signed(sealed_to(nth, to)))]);
    }
    bench.pass(200);
    assert_eq!(bench.journal.len(), 3);
    let all: Vec<EventKey> = bench.journal.iter().map(|entry| entry.envelope.key()).collect();
    consume(&mut bench);
    assert_eq!(bench.handed, [all[0], all[2]]);
    let tally = bench.node.view().handoffs;
    assert_eq!((tally.handed, tally.sealed_for_others), (2, 1), "what is passed over is counted");
}

/// Published before the rename, it waits in the journal for cert-ee, which is cert-est now.
#[test]
fn what_names_a_peer_by_its_old_name_is_sent() {
    let mut bench = bench();
    bench.submit(1, Core { to: vec![name("cert-ee")], ..core("cert-at", 1) });
    bench.submit(2, Core { to: vec![name("cert-lv")], ..core("cert-at", 2) });
    bench.sending("cert-est");
    bench.pass(200);
    assert_eq!(bench.shown(), (vec![], vec![1]), "offered, as all that was there before the feed");
}

#[test]
fn what_we_published_under_our_old_name_is_ours() {
    let mut bench = bench();
    bench.sending("cert-est");
    let ours = by_us(1);
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![carrier(1, &["cert-old", "cert-pl"], ours)]);
    assert_eq!((bench.verdicts(), bench.journal.len()), (vec![], 1), "it comes home");
    consume(&mut bench);
    assert!(bench.handed.is_empty(), "and no consumer gets its own node's events unasked");
    assert_eq!(bench.shown(), (vec![1], vec![]), "it is pushed as our own, AMBER included");
}

/// Else a publisher has as many rates as names.
#[test]
fn names_of_one_publisher_share_its_rate() {
    let limited = Receive { rate_per_publisher: Some(Rate { per_second: 1 }), ..Receive::default() };
    let mut bench = bench();
    rename(&mut bench, [renamed(), Peer { receive: limited, ..peer("cert-pl") }]);
    let stream = bench.receiving("cert-pl");
    let of = |publisher: &str, nth: u8| {
        let envelope = signer("cert-ee").sign(core(publisher, nth)).unwrap();
        carrier(nth.into(), &[publisher, "cert-pl"], envelope.envelope().bytes().clone())
    };
    bench.frames(stream, vec![of("cert-est", 1), of("cert-ee", 2)]);
    assert_eq!(bench.verdicts(), [(2, VerdictCode::Rate)]);
}

fn by_us(nth: u8) -> bytes::Bytes {
    let core = Core { tlp: Tlp::Amber, ..core("cert-old", nth) };
    signer("cert-at").sign(core).unwrap().envelope().bytes().clone()
}
