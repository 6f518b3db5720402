//! Filters of peers and consumers: they let events through or not, and a change of the file cures what was not wanted.

use std::sync::Arc;

use super::bench::*;
use crate::envelope::{Core, IdScheme};
use crate::filter::{Filter, NoLists};
use crate::identity::{EventId, EventKey, ProjectName};
use crate::limits::TWINS_MAX;
use crate::policy::{Peer, Tlp};
use crate::protocol::Input;
use crate::protocol::io::{ConsumerId, ConsumerRequest, DoorInput, Role, StartPosition};
use crate::record::{Entry, Ledger, Twin};
use crate::wire::{Mark, Skip, VerdictCode, WireFrame};

fn filter(source: &str) -> Option<Arc<Filter>> {
    Some(Arc::new(Filter::compile(source, &NoLists).unwrap()))
}

fn sharing(source: &str) -> Peer {
    let mut peer = peer("cert-ee");
    peer.share.filter = filter(source);
    peer
}

fn receiving(source: &str) -> Peer {
    let mut peer = peer("cert-ee");
    peer.receive.filter = filter(source);
    peer
}

fn labelled(nth: u8, tlp: Tlp) -> Core {
    Core { tlp, ..core("cert-at", nth) }
}

fn handed_for(bench: &mut Bench, source: Option<&str>) -> Vec<EventKey> {
    bench.handed.clear();
    let filter = source.and_then(filter);
    let request =
        ConsumerRequest { name: None, from: Some(StartPosition::Earliest), own: true, acks: false, filter };
    bench.input(Input::Door(DoorInput::ConsumerOpened { consumer: ConsumerId(9), request }));
    bench.input(Input::Door(DoorInput::ConsumerGone { consumer: ConsumerId(9) }));
    bench.handed.clone()
}

#[test]
fn what_share_does_not_admit_is_withheld_with_its_reason_and_never_offered() {
    let mut bench = Bench::with(vec![sharing(r#"event["extra.nth"] >= 2"#)], Ledger::default());
    bench.sending("cert-ee");
    for nth in 1..=3 {
        bench.submit(nth.into(), core("cert-at", nth));
    }
    bench.submit(4, Core { body: crate::envelope::Body::Plain("{}".into()), ..core("cert-at", 4) });
    assert_eq!(bench.shown(), (vec![2, 3], vec![]));
    let view = bench.node.view();
    let sent = &view.peers[0].status.sent;
    assert_eq!((sent.withheld_why["filter"], sent.withheld_why["filter_failed"]), (1, 1));
    assert_eq!(sent.filter_failing.as_ref().unwrap().what, "no key \"extra.nth\"");

    bench.trust([sharing("true")]);
    assert_eq!(bench.node.view().peers[0].status.sent.filter_failing, None, "another filter, another count");
}

#[test]
fn to_its_own_publisher_an_event_is_offered_whatever_the_filter_says() {
    let mut bench = Bench::with(vec![sharing("false"), peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![carrier(1, &["cert-ee", "cert-pl"], signed(core("cert-ee", 1)))]);
    bench.sending("cert-ee");
    assert_eq!(bench.shown().1, vec![1]);
}

#[test]
fn what_receive_does_not_admit_is_not_wanted_until_the_file_says_otherwise() {
    let wanted = r#"event["extra.nth"] == 2 && meta.source == "cert-ee""#;
    let mut bench = Bench::with(vec![receiving(wanted)], Ledger::default());
    let stream = bench.receiving("cert-ee");
    for nth in 1..=2 {
        bench.frames(stream, vec![carrier(nth.into(), &["cert-ee"], signed(core("cert-ee", nth)))]);
    }
    assert_eq!(bench.verdicts(), [(1, VerdictCode::NotWanted)]);
    assert_eq!((bench.journal.len(), bench.cursor("cert-ee")), (1, 2));
    assert_eq!(bench.ledger.feeds[&name("cert-ee")].rejected[0].reason, VerdictCode::NotWanted);

    bench.trust([receiving("true")]);
    assert!(bench.closed.contains(&stream), "it subscribes again, from before what was not wanted");
}

/// The sender's retention has taken it when the file changes. A place that stayed would be asked for with each
/// SUBSCRIBE, and would keep the feed from being read again for anything else: it would subscribe for ever.
#[test]
fn rejected_entry_that_is_gone_is_asked_for_once() {
    let mut bench = Bench::with(vec![receiving("false")], Ledger::default());
    let stream = bench.receiving("cert-ee");
    for nth in 1..=3 {
        bench.frames(stream, vec![carrier(nth.into(), &["cert-ee"], signed(core("cert-ee", nth)))]);
    }
    bench.trust([receiving("true")]);
    assert!(bench.closed.contains(&stream));

    let stream = bench.opened("cert-ee", Role::Receiver);
    let WireFrame::Hello(mut hello) = hello("cert-ee", 2) else { panic!("not HELLO") };
    hello.first_seq = 3;
    let skip = Skip { to: Mark { seq: 2, check: check(2) }, dropped: 2 };
    bench.frames(stream, vec![WireFrame::Hello(hello), WireFrame::Skip(skip)]);
    bench.frames(stream, vec![carrier(3, &["cert-ee"], signed(core("cert-ee", 3)))]);
    bench.pass(1_000);
    assert_eq!((bench.journal.len(), bench.cursor("cert-ee")), (1, 3));
    assert!(bench.ledger.feeds[&name("cert-ee")].rejected.is_empty());
}

#[test]
fn what_is_our_own_comes_back_whatever_the_filter_says() {
    let mut bench = Bench::with(vec![receiving("false")], Ledger::default());
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-at", "cert-ee"], signed(core("cert-at", 1)))]);
    assert_eq!((bench.verdicts(), bench.journal.len()), (vec![], 1));
}

/// Only the oldest of many are named, so the connection remembers whether a later one was handed off.
#[test]
fn a_content_that_many_publish_is_handed_off_once() {
    let mut bench = Bench::new();
    let count = TWINS_MAX as u8 + 4;
    for nth in 1..=count {
        // Those that are named are all CLEAR, and so is every second one behind them.
        let tlp = if nth > TWINS_MAX as u8 && nth % 2 == 0 { Tlp::Green } else { Tlp::Clear };
        bench.submit(nth.into(), Core { ids: IdScheme::Content, ..labelled(nth, tlp) });
    }
    let content = bench.journal[0].envelope.id().uuid;
    let all = bench.journal.clone();
    for (nth, entry) in all.iter().enumerate() {
        let twins = all[..nth.min(TWINS_MAX)].iter();
        let twins = twins.map(|twin| Twin { seq: twin.seq, id: twin.envelope.id().clone() }).collect();
        let mut core = entry.envelope.core().clone();
        core.id =
            EventId { project: ProjectName::parse(&format!("p{nth}")).unwrap(), uuid: content, ..core.id };
        let envelope = signer("cert-at").sign(core).unwrap().envelope().clone();
        bench.journal[nth] = Arc::new(Entry { twins, envelope, ..(**entry).clone() });
    }
    let key = |bench: &Bench, nth: usize| bench.journal[nth - 1].envelope.key();
    let first_green = key(&bench, TWINS_MAX + 2);
    assert_eq!(handed_for(&mut bench, Some(r#"meta.tlp == "GREEN""#)), [first_green]);
    let first = key(&bench, 1);
    assert_eq!(handed_for(&mut bench, Some(r#"meta.tlp in ["CLEAR", "GREEN"]"#)), [first]);
    assert_eq!(handed_for(&mut bench, None), [first]);
}

#[test]
fn of_two_events_with_one_content_a_consumer_gets_the_first_that_its_filter_admits() {
    let mut bench = Bench::new();
    for (nth, tlp) in [(1, Tlp::Clear), (2, Tlp::Green)] {
        bench.submit(nth.into(), Core { ids: IdScheme::Content, ..labelled(nth, tlp) });
    }
    let first = bench.journal[0].clone();
    let twin = Twin { seq: 1, id: first.envelope.id().clone() };
    bench.journal[1] = Arc::new(Entry { twins: vec![twin], ..(*bench.journal[1]).clone() });
    let (one, two) = (first.envelope.key(), bench.journal[1].envelope.key());
    for (source, want) in [
        (None, vec![one]),
        (Some(r#"meta.tlp == "GREEN""#), vec![two]),
        (Some(r#"meta.tlp in ["CLEAR", "GREEN"]"#), vec![one]),
        (Some(r#"event["extra.nth"] < 9"#), vec![one]),
        (Some(r#"event["none"] == 1"#), vec![]),
    ] {
        assert_eq!(handed_for(&mut bench, source), want, "{source:?}");
    }
    let tally = bench.node.view().handoffs;
    assert_eq!((tally.filtered, tally.filter_failed), (1, 2));
}
