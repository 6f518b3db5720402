//! Frames that a peer should not send. Each has its named verdict or fault, and costs one entry and not the feed if
//! possible. None stands in the way of the true thing.

use bytes::Bytes;

use super::bench::*;
use crate::envelope::{Body, Core};
use crate::identity::EventKey;
use crate::limits::{ANSWER_LATE_MS, RECONNECT_MAX_MS};
use crate::policy::{Peer, Rate, Tlp};
use crate::protocol::io::{Event, Role};
use crate::record::Ledger;
use crate::time::Timestamp;
use crate::wire::{AckFrame, FaultCode, FeedGreeting, Hello, Mark, Skip, VerdictCode, Window, WireFrame};

const HOUR_MS: u64 = 3_600_000;

/// Returns the verdicts that `cert-ee` gets on one entry.
fn verdict_of(path: &[&str], envelope: Bytes) -> Vec<(u64, VerdictCode)> {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, path, envelope)]);
    let verdicts = bench.verdicts();
    assert_eq!(bench.cursor("cert-ee"), 1, "one bad entry holds nothing up");
    assert!(bench.faults().is_empty(), "one bad entry costs one verdict and not the stream");
    verdicts
}

/// The store made its seen set again while the node ran: its answer "not held" holds from a later floor on.
#[test]
fn a_floor_that_an_answer_names_is_judged_by() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.ledger.floor = Some(Timestamp(WALL + 1));
    bench.frames(stream, vec![carrier(1, &["cert-ee"], signed(core("cert-ee", 1)))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::TooOld)]);
}

#[test]
fn each_fault_of_an_entry_has_its_own_verdict() {
    let flipped = |mut bytes: Vec<u8>, at: usize| {
        let at = if at == 0 { bytes.len() - 1 } else { at };
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let good = signed(core("cert-ee", 1));
    let named = signer("cert-pl").sign(core("cert-ee", 1)).unwrap().envelope().bytes().clone();
    let other_key = signer("cert-xx").sign(core("cert-ee", 1)).unwrap().envelope().bytes().clone();
    let created = |at| Core { created: Timestamp(at), ..core("cert-ee", 1) };
    let doubled = Body::Plain(Bytes::from_static(b"{\"a\":1,\"a\":2}"));
    let cases: [(&str, &[&str], Bytes, Option<VerdictCode>); 12] = [
        ("the true one", &["cert-ee"], good.clone(), None),
        ("a path that ends with another", &["cert-ee", "cert-pl"], good.clone(), Some(VerdictCode::BadPath)),
        ("no path", &[], good.clone(), Some(VerdictCode::BadPath)),
        ("a flipped signature", &["cert-ee"], flipped(good.to_vec(), 0), Some(VerdictCode::BadSignature)),
        ("no envelope", &["cert-ee"], Bytes::from_static(b"\x00"), Some(VerdictCode::Malformed)),
        ("cut short", &["cert-ee"], good.slice(..good.len() - 1), Some(VerdictCode::Malformed)),
        ("another's key under this name", &["cert-ee"], named, Some(VerdictCode::NameMismatch)),
        ("an unknown key under this name", &["cert-ee"], other_key, Some(VerdictCode::UnknownKey)),
        ("a stranger", &["cert-ee"], signed(core("cert-xx", 1)), Some(VerdictCode::UnknownPublisher)),
        ("far ahead", &["cert-ee"], signed(created(WALL + 25 * HOUR_MS)), Some(VerdictCode::TooFarAhead)),
        (
            "below the floor",
            &["cert-ee"],
            signed(created(WALL - 40 * 24 * HOUR_MS)),
            Some(VerdictCode::TooOld),
        ),
        (
            "a key twice in the body",
            &["cert-ee"],
            signed(Core { body: doubled, ..core("cert-ee", 1) }),
            Some(VerdictCode::BadBody),
        ),
    ];
    for (what, path, envelope, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|code| (1, code)).collect();
        assert_eq!(verdict_of(path, envelope), expected, "{what}");
    }
}

#[test]
fn a_forged_envelope_does_not_block_the_true_one() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let mut forged = signed(core("cert-pl", 1)).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let (forged, truth) = (carrier(1, &["cert-ee"], forged.into()), signed(core("cert-pl", 1)));
    bench.frames(stream, vec![forged, carrier(2, &["cert-pl", "cert-ee"], truth)]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::BadSignature)]);
    assert_eq!(bench.journal.len(), 1);
}

#[test]
fn the_first_of_two_cores_under_one_identity_wins_and_the_other_is_shown() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let other = Core { body: Body::Plain(Bytes::from_static(b"{\"b\":2}")), ..core("cert-ee", 1) };
    let again = Core { created: Timestamp(WALL + 5), ..core("cert-ee", 1) };
    bench.frames(stream, vec![carrier(1, &["cert-ee"], signed(core("cert-ee", 1)))]);
    bench.pass(200);
    bench.frames(stream, vec![carrier(2, &["cert-ee"], signed(other.clone()))]);
    assert_eq!(bench.verdicts(), [(2, VerdictCode::Equivocation)]);
    assert!(bench.events.iter().any(|event| matches!(event, Event::Equivocation { .. })));
    bench.frames(stream, vec![carrier(3, &["cert-ee"], signed(again))]);
    assert_eq!(bench.verdicts().len(), 1, "the same body signed again is refused, no equivocation");
    assert_eq!((bench.journal.len(), bench.cursor("cert-ee")), (1, 3));
    // Once it is known to have lost it is not asked for again.
    bench.frames(stream, vec![have(4, &other)]);
    bench.pass(3_000);
    assert_eq!((bench.wants(), bench.cursor("cert-ee")), (Vec::new(), 4));
}

#[test]
fn what_is_dated_ahead_is_owed_until_its_time() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let ahead = signed(Core { created: Timestamp(WALL + HOUR_MS), ..core("cert-ee", 1) });
    bench.frames(stream, vec![carrier(1, &["cert-ee"], ahead.clone())]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::Ahead)]);
    assert_eq!(bench.owed("cert-ee"), [(1, VerdictCode::Ahead)]);
    while bench.wants().is_empty() {
        bench.pass(20_000);
        bench.frames(stream, vec![WireFrame::Ping { nonce: 1 }]);
    }
    let waited = bench.now.wall.since_ms(Timestamp(WALL));
    assert!((50 * 60_000..52 * 60_000).contains(&waited), "asked again after {waited} ms");
    bench.frames(stream, vec![answer(1, &["cert-ee"], ahead)]);
    bench.pass(200);
    assert_eq!((bench.journal.len(), bench.owed("cert-ee")), (1, vec![]));
}

#[test]
fn a_frame_out_of_turn_closes_its_stream_with_a_fault_that_names_it() {
    let (entry, want) = (have(1, &core("cert-ee", 1)), WireFrame::Want { seq: 1, key: EventKey([0; 16]) });
    let dropped = WireFrame::Skip(Skip { to: Mark { seq: 3, check: check(3) }, dropped: 4 });
    let cases: [(&str, Role, Vec<WireFrame>); 9] = [
        ("4 dropped between 0 and 3", Role::Receiver, vec![hello("cert-ee", 2), start(), dropped]),
        ("HEAD before HELLO", Role::Receiver, vec![WireFrame::Head { seq: 1, stored: Timestamp(1) }]),
        ("a second HELLO", Role::Receiver, vec![hello("cert-ee", 2), hello("cert-ee", 2)]),
        ("entry 1 before the first SKIP", Role::Receiver, vec![hello("cert-ee", 2), entry.clone()]),
        (
            "entry 1; expected a seq above 1",
            Role::Receiver,
            vec![hello("cert-ee", 2), start(), entry.clone(), entry],
        ),
        ("SKIP 0; expected a seq above 0", Role::Receiver, vec![hello("cert-ee", 2), start(), start()]),
        ("WANT from the sender of a feed", Role::Receiver, vec![hello("cert-ee", 2), start(), want.clone()]),
        ("ACK before SUBSCRIBE", Role::Sender, vec![hello("cert-ee", 2), acknowledged(0), subscribe()]),
        (
            "WANT of seq 1; this stream has reached 0",
            Role::Sender,
            vec![hello("cert-ee", 2), subscribe(), want],
        ),
    ];
    for (detail, role, frames) in cases {
        let mut bench = Bench::new();
        bench.connect("cert-ee");
        let stream = bench.opened("cert-ee", role);
        bench.frames(stream, frames);
        let said = bench.sent.iter().filter_map(|(_, frame)| match frame {
            WireFrame::Fault { code, detail } => Some((code.handled_as(), detail.as_str())),
            _ => None,
        });
        assert_eq!(said.collect::<Vec<_>>(), [(FaultCode::Protocol, detail)]);
        assert_eq!(bench.closed, [stream], "{detail}");
    }
}

/// Whether the store has answered by then is chance: an ACK is read after the place that it speaks of was told.
#[test]
fn an_ack_behind_subscribe_is_judged_the_same_however_long_marks_take() {
    for (seq, faults) in [(0, vec![]), (1, vec![FaultCode::Protocol])] {
        for together in [true, false] {
            let mut bench = Bench::new();
            bench.connect("cert-ee");
            let stream = bench.greeted("cert-ee", Role::Sender, 2);
            if together {
                bench.frames(stream, vec![subscribe(), acknowledged(seq), WireFrame::Ping { nonce: 7 }]);
            } else {
                bench.frames(stream, vec![subscribe()]);
                bench.frames(stream, vec![acknowledged(seq), WireFrame::Ping { nonce: 7 }]);
            }
            assert_eq!(bench.faults(), faults, "ACK of {seq}, in one delivery: {together}");
            let ponged = bench.sent.iter().any(|(_, frame)| *frame == WireFrame::Pong { nonce: 7 });
            assert_eq!(ponged, faults.is_empty(), "what came behind it is read, too");
        }
    }
}

fn acknowledged(seq: u64) -> WireFrame {
    let (window, rest) = (Window { envelopes: 9, bytes: 9 }, AckFrame::default());
    WireFrame::Ack(Box::new(AckFrame { seq, window, ..rest }))
}

fn start() -> WireFrame {
    WireFrame::Skip(Skip { to: Mark::START, dropped: 0 })
}

#[test]
fn a_hello_of_another_federation_version_or_name_is_a_named_fault() {
    let altered = |alter: fn(&mut Hello)| {
        let WireFrame::Hello(mut hello) = hello("cert-ee", 2) else { unreachable!("bug: it is a HELLO") };
        alter(&mut hello);
        WireFrame::Hello(hello)
    };
    let later = |name| FeedGreeting { name, federation: "test".into(), version_min: 2, version_max: 3 };
    let cases = [
        (altered(|hello| hello.federation = "other".into()), FaultCode::Federation),
        (WireFrame::OtherVersion(Box::new(later(name("cert-ee")))), FaultCode::Version),
        (altered(|hello| hello.name = name("cert-pl")), FaultCode::Name),
    ];
    for (frame, fault) in cases {
        for role in [Role::Receiver, Role::Sender] {
            let mut bench = Bench::new();
            bench.connect("cert-ee");
            let stream = bench.opened("cert-ee", role);
            bench.frames(stream, vec![frame.clone()]);
            assert_eq!((bench.faults(), bench.closed.clone()), (vec![fault], vec![stream]));
        }
    }
}

#[test]
fn a_second_live_process_with_one_key_is_refused_and_shown_as_cloned() {
    let mut bench = Bench::new();
    let first = bench.receiving("cert-ee");
    bench.sent.clear();
    bench.greeted("cert-ee", Role::Sender, 3);
    let probes: Vec<u64> = bench
        .sent
        .iter()
        .filter_map(|(stream, frame)| match frame {
            WireFrame::Ping { nonce } if *stream == first => Some(*nonce),
            _ => None,
        })
        .collect();
    assert_eq!(probes.len(), 1, "the older stream is probed");
    bench.frames(first, vec![WireFrame::Pong { nonce: probes[0] }]);
    assert_eq!(bench.faults(), [FaultCode::Cloned]);
    assert!(bench.is_cloned());
    assert!(bench.node.view().peers[0].receives, "the older feed goes on");
}

#[test]
fn a_restarted_peer_is_let_in_when_its_older_stream_does_not_answer() {
    let mut bench = Bench::new();
    bench.receiving("cert-ee");
    bench.greeted("cert-ee", Role::Sender, 3);
    bench.pass(5_100);
    assert_eq!(bench.faults(), [FaultCode::Replaced]);
    assert!(!bench.is_cloned());
}

#[test]
fn relay_false_is_cured_by_a_change_of_the_file() {
    let mut silent = peer("cert-ee");
    silent.receive.relay = false;
    let mut bench = Bench::with(vec![silent, peer("cert-pl")], Ledger::default());
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-pl", "cert-ee"], signed(core("cert-pl", 1)))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::RelayNotAllowed)]);
    let open = [peer("cert-ee"), peer("cert-pl")];
    bench.sent.clear();
    bench.trust(open);
    assert_eq!(bench.faults(), [FaultCode::Replaced], "what was rejected for it is read again");
    bench.sent.clear();
    bench.opened("cert-ee", Role::Receiver);
    let subscribes = bench.sent.iter().find_map(|(_, frame)| match frame {
        WireFrame::Subscribe(subscribe) => Some(subscribe.clone()),
        _ => None,
    });
    let subscribe = subscribes.unwrap();
    assert_eq!((subscribe.marks[0], subscribe.have_only), (Mark::START, true));
}

#[test]
fn a_rate_per_publisher_owes_and_takes_later() {
    let mut slow: Peer = peer("cert-ee");
    slow.receive.rate_per_publisher = Some(Rate { per_second: 2 });
    let mut bench = Bench::with(vec![slow], Ledger::default());
    let stream = bench.receiving("cert-ee");
    let carriers = (1..=4).map(|nth| carrier(nth, &["cert-ee"], signed(core("cert-ee", nth as u8))));
    bench.frames(stream, carriers.collect());
    assert_eq!(bench.verdicts(), [(3, VerdictCode::Rate), (4, VerdictCode::Rate)]);
    assert_eq!((bench.journal.len(), bench.cursor("cert-ee")), (2, 4), "the cursor goes on");
    bench.pass(1_500);
    assert_eq!(bench.wants(), [3, 4]);
    let answers = (3..=4).map(|nth| answer(nth, &["cert-ee"], signed(core("cert-ee", nth as u8))));
    bench.frames(stream, answers.collect());
    bench.pass(200);
    assert_eq!((bench.journal.len(), bench.owed("cert-ee")), (4, Vec::new()));
}

#[test]
fn answers_that_nobody_asked_for_are_not_read() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![answer(1, &["cert-ee"], signed(core("cert-ee", 1)))]);
    assert!(bench.journal.is_empty() && bench.verdicts().is_empty());
}

#[test]
fn amber_goes_one_hop_and_to_narrows() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let amber = Core { tlp: Tlp::Amber, ..core("cert-ee", 1) };
    bench.frames(stream, vec![carrier(1, &["cert-ee"], signed(amber))]);
    bench.submit(1, Core { to: vec![name("cert-ee")], ..core("cert-at", 2) });
    bench.submit(2, Core { tlp: Tlp::Amber, ..core("cert-at", 3) });
    bench.pass(200);
    bench.sent.clear();
    bench.sending("cert-pl");
    bench.pass(200);
    assert_eq!(bench.shown(), (vec![], vec![3]), "of three it may have our own AMBER alone");
}

#[test]
fn the_window_of_a_receiver_is_respected() {
    let mut bench = Bench::new();
    for nth in 1..=5 {
        bench.submit(u64::from(nth), core("cert-at", nth));
    }
    let stream = bench.sending("cert-pl");
    bench.sent.clear();
    let window = Window { envelopes: 2, bytes: 1 << 20 };
    bench.frames(stream, vec![WireFrame::Ack(Box::new(AckFrame { seq: 5, window, ..AckFrame::default() }))]);
    for nth in 6..=9 {
        bench.submit(u64::from(nth), core("cert-at", nth));
    }
    bench.pass(200);
    assert_eq!(bench.shown().0, [6, 7]);
    bench.frames(stream, vec![WireFrame::Ack(Box::new(AckFrame { seq: 7, window, ..AckFrame::default() }))]);
    assert_eq!(bench.shown().0, [6, 7, 8, 9]);
    bench.frames(stream, vec![WireFrame::Ack(Box::new(AckFrame { seq: 99, window, ..AckFrame::default() }))]);
    assert_eq!(bench.faults(), [FaultCode::Protocol], "more was acknowledged than sent");
}

#[test]
fn a_sender_that_goes_beyond_its_window_is_out_of_turn() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    // Offered and never brought each of them has to be owed: there is no place for more.
    let offer = |nth: u64| {
        let mut core = core("cert-ee", 1);
        core.id.uuid = uuid::Uuid::from_u128(u128::from(nth) << 80 | 4 << 76 | 2 << 62);
        have(nth, &core)
    };
    let most = crate::limits::OWED_PER_FEED_MAX as u64;
    bench.frames(stream, (1..=most).map(offer).collect());
    // They are owed at the rate of a peer that does not answer.
    bench.pass(22_000);
    assert_eq!((bench.owed("cert-ee").len() as u64, bench.faults()), (most, Vec::new()));
    bench.frames(stream, vec![offer(most + 1)]);
    bench.pass(200);
    assert_eq!(bench.faults(), [FaultCode::Protocol]);
    assert_eq!(bench.owed("cert-ee").len() as u64, most, "what a start can read again");
}

#[test]
fn an_answer_with_another_key_is_out_of_turn() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![have(1, &core("cert-ee", 1))]);
    bench.pass(200);
    assert_eq!(bench.wants().len(), 1);
    bench.frames(stream, vec![answer(1, &["cert-ee"], signed(core("cert-ee", 2)))]);
    assert_eq!(bench.faults(), [FaultCode::Protocol]);
    assert!(bench.journal.is_empty());
}

#[test]
fn a_holder_that_does_not_answer_is_not_asked_again_before_the_next() {
    let mut bench = Bench::new();
    let (silent, other) = (bench.receiving("cert-ee"), bench.receiving("cert-pl"));
    let wanted = core("cert-pl", 1);
    bench.frames(silent, vec![have(1, &wanted)]);
    bench.pass(150);
    bench.frames(other, vec![have(1, &wanted)]);
    // It offers it again and again, each time at another place, and never answers.
    for nth in 2..6 {
        bench.frames(silent, vec![have(nth, &wanted)]);
        bench.pass(600);
    }
    let asked = bench.sent.iter().filter(|(_, frame)| matches!(frame, WireFrame::Want { .. }));
    let asked: Vec<_> = asked.map(|(stream, _)| *stream).collect();
    assert_eq!(asked, [silent, other]);
}

#[test]
fn what_a_peer_says_of_its_counts_is_no_sum_that_overflows() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let stream = bench.sending("cert-ee");
        let ack = AckFrame {
            seq: 0,
            window: Window { envelopes: u32::MAX, bytes: u32::MAX },
            accepted: u64::MAX,
            refused: u64::MAX,
            rejected: u64::MAX,
            owed: u32::MAX,
            verdicts: Vec::new(),
        };
        bench.frames(stream, vec![WireFrame::Ack(Box::new(ack))]);
        bench.frames(stream, vec![WireFrame::Want { seq: 0, key: EventKey::default() }]);
    }
    assert_eq!(bench.faults(), [FaultCode::Protocol; 3], "there is no entry 0");
    assert!(bench.node.view().peers.iter().any(|peer| peer.status.sent.offered >= u64::MAX >> 8));
}

/// A peer can say nothing of entries that were never named to it, or else it could fill the status page with them.
#[test]
fn verdicts_of_entries_never_named_are_out_of_turn() {
    for (seq, fault) in [(0, true), (3, true), (u64::MAX, true), (1, false), (2, false)] {
        let mut bench = Bench::new();
        bench.submit(1, core("cert-at", 1));
        bench.submit(2, core("cert-at", 2));
        let stream = bench.sending("cert-pl");
        bench.pass(200);
        let window = Window { envelopes: 9, bytes: 1 << 20 };
        let verdicts = vec![(seq, VerdictCode::BadSignature.into())];
        let ack = AckFrame { seq: 2, window, rejected: 4_096, verdicts, ..AckFrame::default() };
        bench.frames(stream, vec![WireFrame::Ack(Box::new(ack))]);
        let expected = if fault { vec![FaultCode::Protocol] } else { Vec::new() };
        let view = bench.node.view();
        let sent = &view.peers.iter().find(|peer| peer.status.name == name("cert-pl")).unwrap().status.sent;
        assert_eq!((bench.faults(), sent.rejected), (expected, u64::from(!fault)), "seq {seq}");
    }
}

/// A WANT of 30 bytes makes us read what it asks for, and one with a wrong key costs its sender time.
#[test]
fn wants_read_what_they_ask_for_and_wrong_keys_wait() {
    let mut bench = Bench::new();
    for nth in 1..=40 {
        bench.submit(u64::from(nth), core("cert-at", nth));
    }
    let stream = bench.sending("cert-pl");
    bench.pass(200);
    bench.counts.reads.clear();
    let want = |seq: u64| WireFrame::Want { seq, key: core("cert-at", seq as u8).id.key() };
    bench.frames(stream, vec![want(30)]);
    assert_eq!(bench.counts.reads, [0], "one entry alone");
    bench.frames(stream, vec![want(1), want(2), want(3)]);
    assert_eq!(bench.counts.reads, [0, 64 * 1024], "three in a row at once");
    bench.counts.reads.clear();
    bench.sent.clear();
    bench.frames(stream, (0..1_000).map(|_| WireFrame::Want { seq: 7, key: EventKey([1; 16]) }).collect());
    bench.frames(stream, vec![want(8)]);
    bench.pass(2_000);
    let gone = bench.sent.iter().filter(|(_, frame)| matches!(frame, WireFrame::Gone { seq: 7 })).count();
    assert!((25..=35).contains(&gone), "{gone} answers in two seconds");
    assert!(bench.faults().is_empty());
}

/// It would keep its own feed open and useless for ever. Its owed entries are asked for on the next, later each time.
#[test]
fn unanswered_wants_close_a_feed_ever_later() {
    let mut bench = Bench::new();
    bench.connect("cert-ee");
    for nth in 1..=8 {
        let stream = bench.greeted("cert-ee", Role::Receiver, 2);
        let mark = |seq| Mark { seq, check: check(seq) };
        let resumes = if nth == 1 { Mark::START } else { mark(1) };
        bench.frames(stream, vec![WireFrame::Skip(Skip { to: resumes, dropped: 0 })]);
        if nth == 1 {
            bench.frames(stream, vec![have(1, &core("cert-ee", 1))]);
        }
        let began = bench.now.tick;
        for _ in 0..ANSWER_LATE_MS / 1_000 + 5 {
            if bench.faults().len() == nth {
                break;
            }
            bench.frames(stream, vec![WireFrame::Head { seq: 1, stored: Timestamp(WALL) }]);
            bench.pass(1_000);
        }
        assert_eq!(bench.faults().len(), nth, "the feed is closed");
        let (closed, wanted) = (bench.now.tick, bench.counts.feeds_wanted.len());
        assert!((ANSWER_LATE_MS..ANSWER_LATE_MS + 5_000).contains(&closed.since_ms(began)), "{closed:?}");
        assert_eq!((bench.faults()[nth - 1], bench.wants()), (FaultCode::Silent, vec![1; nth]));
        bench.pass(RECONNECT_MAX_MS + 1_000);
        let pause = bench.counts.feeds_wanted[wanted].since_ms(closed);
        assert!(nth < 7 || pause >= RECONNECT_MAX_MS / 10 - 1_000, "{pause} ms after {nth} times");
    }
}

/// Each answer counts: a peer may take its time over many.
#[test]
fn feed_whose_wants_are_answered_slowly_stays_open() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, (1..=4).map(|seq| have(seq, &core("cert-ee", seq as u8))).collect());
    for seq in 1..=4 {
        for _ in 0..ANSWER_LATE_MS / 20_000 - 1 {
            bench.frames(stream, vec![WireFrame::Head { seq: 4, stored: Timestamp(WALL) }]);
            bench.pass(20_000);
        }
        bench.frames(stream, vec![answer(seq, &["cert-ee"], signed(core("cert-ee", seq as u8)))]);
    }
    assert_eq!((bench.faults(), bench.journal.len()), (Vec::new(), 4));
}
