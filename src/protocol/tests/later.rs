//! A peer of a later version: this node takes its verdicts, faults and options by their range. If one has no name here,
//! that costs no feed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::bench::*;
use crate::envelope::{Core, Extensions};
use crate::protocol::io::Role;
use crate::protocol::sent::SentException;
use crate::status::PeerFaultKind;
use crate::wire::{
    AckFrame, FaultCode, FaultNumber, Subscribe, VerdictCode, VerdictNumber, Window, WireFrame,
};

fn said(number: u8) -> VerdictNumber {
    VerdictNumber::new(number).unwrap()
}

#[test]
fn verdicts_without_a_name_here_are_counted_and_shown() {
    let mut bench = Bench::new();
    let stream = bench.sending("cert-ee");
    for nth in 1..=3 {
        bench.submit(nth.into(), core("cert-at", nth));
    }
    bench.pass(2_000);
    let window = Window { envelopes: 9, bytes: 1 << 20 };
    let verdicts = vec![(1, said(15)), (2, said(31)), (3, said(200))];
    let ack = AckFrame { seq: 3, window, accepted: 0, refused: 0, rejected: 2, owed: 1, verdicts };
    bench.frames(stream, vec![WireFrame::Ack(Box::new(ack))]);
    assert!(bench.faults().is_empty(), "the feed stands");

    let view = bench.node.view().peers.into_iter().find(|peer| peer.status.name == name("cert-ee")).unwrap();
    let sent = &view.status.sent;
    assert_eq!((sent.rejected, sent.deferred, sent.rejected_why.as_deref()), (2, 1, Some("verdict_200")));
    let of = |seq| view.exceptions.of(seq);
    assert_eq!(of(1), Some(SentException::Deferred(said(15))));
    assert_eq!(of(2), Some(SentException::Rejected(said(31))));
    assert_eq!(of(3), Some(SentException::Rejected(said(200))));
}

#[test]
fn a_fault_without_a_name_here_is_shown_with_its_number() {
    let mut bench = Bench::new();
    let stream = bench.sending("cert-ee");
    let (code, detail) = (FaultNumber::new(99).unwrap(), "a later reason".to_owned());
    bench.frames(stream, vec![WireFrame::Fault { code, detail }]);
    let view = bench.node.view().peers.into_iter().find(|peer| peer.status.name == name("cert-ee")).unwrap();
    let fault = view.status.fault.unwrap();
    assert_eq!((fault.kind, &*fault.what), (PeerFaultKind::FeedClosed, "protocol a later reason"));
    assert_eq!(view.status.last_error.unwrap(), "the peer closed the feed: fault_99 a later reason");
}

#[test]
fn an_unknown_option_of_subscribe_is_refused_or_passed_over_by_its_number() {
    for (number, faults) in [(0, vec![FaultCode::NotBuilt]), (63, vec![FaultCode::NotBuilt]), (64, vec![])] {
        let mut bench = Bench::new();
        bench.connect("cert-ee");
        let stream = bench.greeted("cert-ee", Role::Sender, 2);
        let WireFrame::Subscribe(plain) = subscribe() else { unreachable!("bug: it is a SUBSCRIBE") };
        let options = BTreeMap::from([(number, Bytes::from_static(&[0xf5]))]);
        bench.frames(stream, vec![WireFrame::Subscribe(Subscribe { options, ..plain })]);
        assert_eq!(bench.faults(), faults, "option {number}");
        let resumed = bench.sent.iter().any(|(_, frame)| matches!(frame, WireFrame::Skip(_)));
        assert_eq!(resumed, faults.is_empty(), "option {number}");
    }
}

/// So SUBSCRIBE may depend on what both HELLOs say.
#[test]
fn a_sender_says_hello_before_it_has_read_anything() {
    let mut bench = Bench::new();
    bench.connect("cert-ee");
    let stream = bench.opened("cert-ee", Role::Sender);
    assert!(matches!(&bench.sent[..], [(to, WireFrame::Hello(_))] if *to == stream), "{:?}", bench.sent);
    bench.frames(stream, vec![hello("cert-ee", 2)]);
    bench.pass(10_000);
    bench.frames(stream, vec![subscribe()]);
    assert!(bench.faults().is_empty(), "and it waits for SUBSCRIBE");
    assert!(bench.sent.iter().any(|(_, frame)| matches!(frame, WireFrame::Skip(_))));
}

/// The envelope under another unprotected header, as a later node on its way may send it on.
fn with_unprotected(envelope: &Bytes, header: &[u8]) -> Bytes {
    // Tag, array, the head of 13 bytes, those bytes.
    const AT: usize = 2 + 1 + 13;
    assert_eq!(envelope[AT], 0xa0, "it has none yet");
    [&envelope[..AT], header, &envelope[AT + 1..]].concat().into()
}

#[test]
fn copies_under_other_unprotected_headers_are_stored_once_and_sent_on_as_they_came() {
    let extensions = Extensions::new([(64, &[0x81, 0x05][..])]).unwrap();
    let plain = signed(Core { extensions, ..core("cert-pl", 1) });
    let receipt = with_unprotected(&plain, &[0xa1, 0x19, 0x01, 0x8a, 0x81, 0xf6]);
    let other = with_unprotected(&plain, &[0xa1, 0x19, 0x01, 0x8b, 0xf6]);
    let mut bench = Bench::with(vec![peer("cert-ee"), peer("cert-pl"), peer("cert-lt")], Default::default());
    let from_ee = bench.receiving("cert-ee");
    let from_pl = bench.receiving("cert-pl");
    bench.frames(from_ee, vec![carrier(1, &["cert-pl", "cert-ee"], receipt.clone())]);
    bench.frames(from_pl, vec![carrier(1, &["cert-pl"], other), carrier(2, &["cert-pl"], plain)]);
    assert_eq!(bench.verdicts(), [], "the other copies are refused as held, and are no equivocation");
    assert_eq!(bench.journal.len(), 1);
    assert_eq!(bench.journal[0].envelope.bytes(), &receipt);

    let to_lt = bench.sending("cert-lt");
    bench.pass(2_000);
    let key = bench.journal[0].envelope.key();
    bench.frames(to_lt, vec![WireFrame::Want { seq: 1, key }]);
    let sent = bench.sent.iter().find_map(|(to, frame)| match frame {
        WireFrame::Answer(carrier) | WireFrame::Carrier(carrier) if *to == to_lt => Some(&carrier.envelope),
        _ => None,
    });
    assert_eq!(sent, Some(&receipt), "byte for byte");
}

/// It may verify under a newer program: it is read again then, and the fault is not in its bytes.
#[test]
fn an_envelope_under_an_unknown_algorithm_is_rejected_curably() {
    let mut bytes = signed(core("cert-ee", 1)).to_vec();
    assert_eq!(bytes[5], 0x32, "alg -19");
    bytes[5] = 0x2f;
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-ee"], bytes.into())]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::UnknownVersion)]);
}
