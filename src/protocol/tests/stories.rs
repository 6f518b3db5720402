//! The traps of the feed model as short stories of the real core. That the simulator would notice the lack of
//! each rule is shown in `tests/protocol/simulation/rules.rs`.

use super::bench::*;
use crate::protocol::Input;
use crate::protocol::io::{DoorInput, Role, Submitted, Ticket, TransportInput};
use crate::wire::frame::encoded_len;
use crate::wire::{Mark, Skip, Subscribe, VerdictCode, Window, WireFrame};

#[test]
fn a_sender_that_resumes_lower_takes_the_cursor_back_and_the_debts_above_it() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let entries = (1..=3).map(|nth| carrier(nth, &["cert-ee"], signed(core("cert-ee", nth as u8))));
    bench.frames(stream, entries.chain([have(4, &core("cert-ee", 9))]).collect());
    bench.pass(2_500);
    assert_eq!((bench.cursor("cert-ee"), bench.owed("cert-ee").len()), (4, 1));
    bench.input(Input::Transport(TransportInput::FeedClosed { stream, cause: "restored".into() }));
    let stream = bench.greeted("cert-ee", Role::Receiver, 2);
    bench.frames(stream, vec![WireFrame::Skip(Skip { to: Mark { seq: 1, check: check(1) }, dropped: 0 })]);
    bench.pass(200);
    assert_eq!((bench.cursor("cert-ee"), bench.owed("cert-ee")), (1, vec![]));
    // Seq 2 is used a second time, and taken.
    bench.frames(stream, vec![carrier(2, &["cert-ee"], signed(core("cert-ee", 7)))]);
    bench.pass(200);
    assert_eq!((bench.cursor("cert-ee"), bench.journal.len()), (2, 4));
}

#[test]
fn gone_settles_a_debt_as_missing() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![have(1, &core("cert-ee", 1))]);
    bench.pass(200);
    assert_eq!(bench.wants(), [1]);
    bench.frames(stream, vec![WireFrame::Gone { seq: 1 }]);
    bench.pass(200);
    assert_eq!((bench.cursor("cert-ee"), bench.node.view().peers[0].status.received.missing), (1, 1));
}

#[test]
fn an_offer_that_is_not_answered_holds_the_cursor_until_it_is_owed_on_disk() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![have(1, &core("cert-ee", 1))]);
    bench.pass(500);
    assert_eq!((bench.cursor("cert-ee"), bench.owed("cert-ee")), (0, vec![]));
    bench.pass(2_500);
    assert_eq!((bench.cursor("cert-ee"), bench.owed("cert-ee")), (1, vec![(1, VerdictCode::InFlight)]));
}

#[test]
fn what_another_peer_is_bringing_is_not_refused() {
    let mut bench = Bench::new();
    let first = bench.receiving("cert-ee");
    let second = bench.receiving("cert-pl");
    bench.frames(first, vec![have(1, &core("cert-ee", 1))]);
    bench.pass(150);
    bench.frames(second, vec![have(1, &core("cert-ee", 1))]);
    bench.pass(150);
    assert_eq!((bench.wants().len(), bench.cursor("cert-pl")), (1, 0), "asked of one, owed to the other");
    bench.input(Input::Transport(TransportInput::FeedClosed { stream: first, cause: "gone".into() }));
    bench.pass(2_500);
    assert_eq!(bench.wants().len(), 2, "now the other is asked");
    bench.frames(second, vec![answer(1, &["cert-ee", "cert-pl"], signed(core("cert-ee", 1)))]);
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
}

#[test]
fn a_duplicate_is_answered_behind_the_first_and_not_before() {
    let mut bench = Bench::new();
    bench.held = Some(Vec::new());
    bench.submit(1, core("cert-at", 1));
    bench.submit(2, core("cert-at", 1));
    assert!(bench.told.submitted.is_empty());
    bench.release();
    assert_eq!(bench.told.submitted, [(Ticket(1), Submitted::Accepted), (Ticket(2), Submitted::Duplicate)]);
}

#[test]
fn own_events_come_home_from_a_peer() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-at", "cert-ee"], signed(core("cert-at", 1)))]);
    bench.pass(200);
    assert_eq!((bench.journal.len(), bench.verdicts()), (1, vec![]));
}

#[test]
fn back_to_its_source_an_entry_is_offered_once_the_connection_is_another() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-ee"], signed(core("cert-ee", 1)))]);
    bench.pass(200);
    bench.input(Input::Transport(TransportInput::FeedClosed { stream, cause: "lost".into() }));
    bench.sent.clear();
    bench.sending("cert-ee");
    bench.pass(200);
    assert_eq!(bench.shown(), (vec![], vec![1]), "offered, and never pushed");
}

#[test]
fn an_identity_that_comes_by_two_paths_at_once_is_stored_once() {
    let mut bench = Bench::new();
    let (first, second) = (bench.receiving("cert-ee"), bench.receiving("cert-pl"));
    bench.held = Some(Vec::new());
    bench.frames(first, vec![carrier(1, &["cert-ee"], signed(core("cert-ee", 1)))]);
    bench.frames(second, vec![carrier(1, &["cert-ee", "cert-pl"], signed(core("cert-ee", 1)))]);
    bench.release();
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
    assert_eq!((bench.cursor("cert-ee"), bench.cursor("cert-pl")), (1, 1));
}

mod interleaved {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::io::{ConsumerId, ConsumerRequest};
    use crate::record::ConsumerName;

    /// Three identities, each by up to two peers, pushed or offered and answered, in any order, with the disk
    /// slow or not, and feeds that break.
    #[derive(Clone, Debug)]
    enum Move {
        Push { peer: usize, nth: u8 },
        Offer { peer: usize, nth: u8 },
        Answer,
        Break { peer: usize },
        Wait(u64),
        HoldDisk,
        ReleaseDisk,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let step = prop_oneof![
            (0..2_usize, 1..4_u8).prop_map(|(peer, nth)| Move::Push { peer, nth }),
            (0..2_usize, 1..4_u8).prop_map(|(peer, nth)| Move::Offer { peer, nth }),
            Just(Move::Answer),
            (0..2_usize).prop_map(|peer| Move::Break { peer }),
            (1..3_000_u64).prop_map(Move::Wait),
            Just(Move::HoldDisk),
            Just(Move::ReleaseDisk),
        ];
        proptest::collection::vec(step, 1..40)
    }

    /// The two peers: their stream and the last seq that each has said, and what it was.
    struct Peers {
        streams: [crate::protocol::io::StreamId; 2],
        said: [Vec<u8>; 2],
        answered: usize,
    }

    const NAMES: [&str; 2] = ["cert-ee", "cert-pl"];

    fn path(peer: usize) -> &'static [&'static str] {
        if peer == 0 { &["cert-ee"] } else { &["cert-ee", "cert-pl"] }
    }

    fn play(bench: &mut Bench, peers: &mut Peers, step: Move) {
        match step {
            Move::Push { peer, nth } | Move::Offer { peer, nth } => {
                peers.said[peer].push(nth);
                let seq = peers.said[peer].len() as u64;
                let core = core("cert-ee", nth);
                let frame = match step {
                    Move::Push { .. } => carrier(seq, path(peer), signed(core)),
                    _ => have(seq, &core),
                };
                bench.frames(peers.streams[peer], vec![frame]);
            }
            Move::Answer => answer_wants(bench, peers),
            Move::Break { peer } => {
                let stream = peers.streams[peer];
                bench.input(Input::Transport(TransportInput::FeedClosed { stream, cause: "broken".into() }));
                let again = bench.greeted(NAMES[peer], Role::Receiver, 2);
                // It resumes where SUBSCRIBE says, and offers again what it said beyond that.
                let subscribe = bench.sent.iter().rev().find_map(|(stream, frame)| match frame {
                    WireFrame::Subscribe(subscribe) if *stream == again => Some(subscribe.marks[0]),
                    _ => None,
                });
                let to = subscribe.unwrap();
                let start = WireFrame::Skip(Skip { to, dropped: 0 });
                let beyond = (1..).zip(&peers.said[peer]).skip(to.seq as usize);
                let offers = beyond.map(|(seq, nth)| have(seq, &core("cert-ee", *nth)));
                bench.frames(again, std::iter::once(start).chain(offers).collect());
                peers.streams[peer] = again;
            }
            Move::Wait(ms) => bench.pass(ms),
            Move::HoldDisk => drop(bench.held.get_or_insert_default()),
            Move::ReleaseDisk => bench.release(),
        }
    }

    fn answer_wants(bench: &mut Bench, peers: &mut Peers) {
        let asked: Vec<_> = bench.sent[peers.answered..].to_vec();
        peers.answered = bench.sent.len();
        for (stream, frame) in asked {
            let Some(peer) = peers.streams.iter().position(|known| *known == stream) else { continue };
            if let WireFrame::Want { seq, .. } = frame {
                let envelope = signed(core("cert-ee", peers.said[peer][seq as usize - 1]));
                bench.frames(stream, vec![answer(seq, path(peer), envelope)]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
        #[test]
        fn for_any_interleaving_of_duplicate_paths_each_identity_is_stored_and_handed_off_once(steps in moves()) {
            let mut bench = Bench::new();
            let streams = [bench.receiving(NAMES[0]), bench.receiving(NAMES[1])];
            let mut peers = Peers { streams, said: [Vec::new(), Vec::new()], answered: 0 };
            let request = ConsumerRequest { name: Some(ConsumerName::parse("soc").unwrap()), from: None, own: false, acks: true, filter: None };
            bench.input(Input::Door(DoorInput::ConsumerOpened { consumer: ConsumerId(1), request }));
            for step in steps {
                play(&mut bench, &mut peers, step);
            }
            bench.release();
            for _ in 0..8 {
                bench.pass(1_000);
                answer_wants(&mut bench, &mut peers);
            }
            bench.pass(200);
            let keys: Vec<_> = bench.journal.iter().map(|entry| entry.envelope.key()).collect();
            let said: std::collections::BTreeSet<_> =
                peers.said.iter().flatten().map(|nth| core("cert-ee", *nth).id.key()).collect();
            let once: std::collections::BTreeSet<_> = keys.iter().copied().collect();
            prop_assert_eq!(keys.len(), once.len(), "stored once");
            prop_assert!(said.is_subset(&once), "all that was shown is held");
            prop_assert_eq!(&bench.handed, &keys, "each is handed off once, in journal order");
            for (peer, name) in NAMES.iter().enumerate() {
                prop_assert_eq!(bench.cursor(name), peers.said[peer].len() as u64);
                prop_assert_eq!(bench.owed(name), vec![]);
            }
        }
    }
}

/// A second implementer counts frames as PROTOCOL.md §4.2 says, with all their bytes. An estimate would send more
/// than such a receiver has room for.
#[test]
fn window_counts_frames_with_all_their_bytes() {
    let mut bench = Bench::new();
    (1..=2).for_each(|nth| bench.submit(u64::from(nth), core("cert-at", nth)));
    bench.connect("cert-ee");
    let stream = bench.greeted("cert-ee", Role::Sender, 2);
    let WireFrame::Subscribe(subscribe) = subscribe() else { unreachable!("bug: it is a SUBSCRIBE") };
    let one_offer = encoded_len(&have(1, &core("cert-at", 1))) as u32;
    let window = Window { envelopes: 100, bytes: 2 * one_offer - 1 };
    bench.frames(stream, vec![WireFrame::Subscribe(Subscribe { have_only: true, window, ..subscribe })]);
    bench.pass(200);
    assert_eq!(bench.shown().1, [1], "two offers are larger than the window");
}
