//! Entries that cannot be taken yet: one publisher's never stop a feed, none is lost, and each is fetched once, when it
//! is due. Each offer of a peer counts against its rate.

use super::bench::*;
use crate::envelope::Core;
use crate::identity::{CoreDigest, EventKey};
use crate::policy::{Peer, Rate};
use crate::protocol::Input;
use crate::protocol::io::{CoreCommand, OperatorInput, Role, Ticket, TransportInput};
use crate::record::Ledger;
use crate::time::Timestamp;
use crate::wire::{Have, Mark, Skip, VerdictCode, WireFrame};

const HOUR_MS: u64 = 3_600_000;

/// The `n`th event of `publisher`.
fn numbered(publisher: &str, n: u64) -> Core {
    let mut core = core(publisher, 1);
    core.id.uuid = uuid::Builder::from_random_bytes(u128::from(n).to_be_bytes()).into_uuid();
    core
}

/// cert-at, which takes `per_second` of each publisher that comes by cert-ee.
fn limited(per_second: u32) -> Bench {
    let mut ee = peer("cert-ee");
    ee.receive.rate_per_publisher = Some(Rate { per_second });
    Bench::with(vec![ee, peer("cert-pl")], Ledger::default())
}

/// The peer file has no `rate`, and the peer answers no WANT.
#[test]
fn peer_that_does_not_answer_makes_few_notes_a_second() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.pass(200);
    bench.frames(stream, (1..=3_000).map(|n| have(n, &numbered("cert-ee", n))).collect());
    bench.pass(900);
    let before = bench.counts.noted;
    bench.pass(5_000);
    let (noted, owed) = (bench.counts.noted - before, bench.owed("cert-ee").len());
    assert!(
        (1_000..1_250).contains(&owed) && noted < owed + 150,
        "{owed} owed, {noted} notes in five seconds"
    );
    assert!(bench.cursor("cert-ee") <= owed as u64, "the cursor waits for the others");
    bench.pass(10_000);
    assert_eq!((bench.owed("cert-ee").len(), bench.cursor("cert-ee")), (3_000, 3_000), "none is forgotten");
}

/// Each is dated a little less far ahead than the one before. The date of an offer is not signed.
#[test]
fn offers_dated_ever_less_ahead_make_few_notes() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let offer =
        |n: u64| have(n, &Core { created: Timestamp(WALL + 20 * HOUR_MS - n), ..numbered("cert-ee", n) });
    let mut next = 1;
    while bench.owed("cert-ee").len() < 1_536 {
        bench.frames(stream, (next..next + 256).map(offer).collect());
        next += 256;
        bench.pass(100);
    }
    let before = bench.counts.noted;
    for _ in 0..20 {
        bench.frames(stream, (next..next + 256).map(offer).collect());
        next += 256;
        bench.pass(100);
    }
    assert!(bench.faults().is_empty());
    let noted = bench.counts.noted - before;
    assert!(noted < 100, "{noted} notes for 5,120 offers that found no place");
}

/// The journal of cert-ee, as it sends it: offers what is read again, pushes the rest, and answers each WANT.
struct Relay {
    journal: Vec<Core>,
    /// How often each entry was sent whole.
    sent: Vec<u32>,
    stream: crate::protocol::io::StreamId,
    position: u64,
    /// Below it entries are offered.
    offered_until: u64,
    /// How many of the bench's frames were looked at.
    read: usize,
}

impl Relay {
    fn new(bench: &mut Bench, journal: Vec<Core>) -> Self {
        let stream = bench.receiving("cert-ee");
        let sent = vec![0; journal.len() + 1];
        Self { journal, sent, stream, position: 0, offered_until: 0, read: bench.sent.len() }
    }

    fn carried(&mut self, seq: u64) -> bytes::Bytes {
        self.sent[seq as usize] += 1;
        signed(self.journal[seq as usize - 1].clone())
    }

    fn path(&self, seq: u64) -> Vec<&'static str> {
        let foreign = self.journal[seq as usize - 1].id.publisher.as_str() == "cert-pl";
        if foreign { vec!["cert-pl", "cert-ee"] } else { vec!["cert-ee"] }
    }

    /// As many entries in order as one delivery has.
    fn go_on(&mut self, bench: &mut Bench) {
        let last = (self.position + 256).min(self.journal.len() as u64);
        let mut frames = Vec::new();
        for seq in self.position + 1..=last {
            let path = self.path(seq);
            frames.push(match seq <= self.offered_until {
                true => have(seq, &self.journal[seq as usize - 1]),
                false => carrier(seq, &path, self.carried(seq)),
            });
        }
        self.position = last;
        if !frames.is_empty() {
            bench.frames(self.stream, frames);
        }
    }

    /// Answers requests, and opens the stream again if it was closed.
    fn answer(&mut self, bench: &mut Bench) {
        if bench.closed.contains(&self.stream) {
            self.stream = bench.greeted("cert-ee", Role::Receiver, 2);
            let said = bench.sent.iter().rev().find_map(|(_, frame)| match frame {
                WireFrame::Subscribe(subscribe) => Some((subscribe.marks[0], subscribe.have_only)),
                _ => None,
            });
            let (to, have_only) = said.unwrap();
            self.position = to.seq;
            self.offered_until = if have_only { self.journal.len() as u64 } else { 0 };
            self.read = bench.sent.len();
            bench.frames(self.stream, vec![WireFrame::Skip(Skip { to, dropped: 0 })]);
        }
        let asked: Vec<u64> = bench.sent[self.read..]
            .iter()
            .filter_map(|(_, frame)| match frame {
                WireFrame::Want { seq, .. } => Some(*seq),
                _ => None,
            })
            .collect();
        self.read = bench.sent.len();
        assert!(asked.iter().all(|seq| *seq <= self.position), "{asked:?} asked for at {}", self.position);
        let mut frames = Vec::new();
        for seq in asked {
            let path = self.path(seq);
            frames.push(answer(seq, &path, self.carried(seq)));
        }
        frames.push(WireFrame::Head { seq: self.journal.len() as u64, stored: Timestamp(WALL) });
        bench.frames(self.stream, frames);
    }

    fn run(&mut self, bench: &mut Bench, ms: u64) {
        for _ in 0..ms / 100 {
            self.answer(bench);
            self.go_on(bench);
            bench.pass(100);
        }
    }
}

fn window(bench: &Bench) -> u32 {
    let windows = bench.sent.iter().rev().find_map(|(_, frame)| match frame {
        WireFrame::Ack(ack) => Some(ack.window.envelopes),
        _ => None,
    });
    windows.unwrap()
}

fn held(bench: &Bench, of: &str) -> usize {
    bench.journal.iter().filter(|entry| entry.envelope.publisher().as_str() == of).count()
}

/// A relay hands over 6,000 events of a publisher beyond its rate, and then one of its own: that one comes at once, and
/// the others in their time, each fetched once more and none twice.
#[test]
fn a_publisher_beyond_its_rate_holds_up_nobody_and_loses_nothing() {
    let mut bench = limited(100);
    let flood = (1..=6_000).map(|n| numbered("cert-pl", n));
    let journal: Vec<Core> = flood.chain([numbered("cert-ee", 1)]).collect();
    let mut relay = Relay::new(&mut bench, journal);
    relay.run(&mut bench, 3_000);
    assert_eq!(
        held(&bench, "cert-ee"),
        1,
        "the relay's own event waits behind {} owed",
        bench.owed("cert-ee").len()
    );
    assert!(window(&bench) > 0);
    assert!(held(&bench, "cert-pl") < 600, "more than 100 a second");
    relay.run(&mut bench, 70_000);
    assert_eq!((held(&bench, "cert-pl"), bench.owed("cert-ee")), (6_000, Vec::new()));
    assert_eq!(bench.cursor("cert-ee"), 6_001);
    assert_eq!(relay.sent.iter().max(), Some(&2), "once in order, and once when it was due");
    assert!(bench.faults().iter().all(|fault| *fault == crate::wire::FaultCode::Replaced));
    assert!(bench.ledger.feeds[&name("cert-ee")].rejected.is_empty());
}

/// The same if a hub takes local time for UTC: its events wait two hours, but events that it relays do not.
#[test]
fn a_hub_whose_clock_is_fast_holds_up_nobody_and_loses_nothing() {
    let mut bench = Bench::new();
    let ahead =
        (1..=6_000).map(|n| Core { created: Timestamp(WALL + 2 * HOUR_MS), ..numbered("cert-ee", n) });
    let journal: Vec<Core> = ahead.chain([numbered("cert-pl", 1)]).collect();
    let mut relay = Relay::new(&mut bench, journal);
    relay.run(&mut bench, 3_000);
    assert_eq!((held(&bench, "cert-pl"), held(&bench, "cert-ee")), (1, 0));
    assert!(window(&bench) > 0);
    let noted = bench.counts.noted;
    for _ in 0..112 {
        relay.answer(&mut bench);
        bench.pass(20_000);
        relay.answer(&mut bench);
        bench.pass(20_000);
        relay.answer(&mut bench);
        bench.pass(20_000);
    }
    relay.run(&mut bench, 120_000);
    assert_eq!((held(&bench, "cert-ee"), bench.owed("cert-ee")), (6_000, Vec::new()));
    assert_eq!(relay.sent.iter().max(), Some(&2), "once in order, and once when it was due");
    assert!(bench.counts.noted - noted < 40_000, "{} notes", bench.counts.noted - noted);
}

/// Publishers beyond their rate share the owed places; one that is only a little beyond is not behind the others.
#[test]
fn a_publisher_a_little_beyond_its_rate_does_not_wait_for_a_flood() {
    let mut bench = limited(10);
    let flood = (1..=5_000).map(|n| numbered("cert-pl", n));
    let journal: Vec<Core> = flood.chain((1..=40).map(|n| numbered("cert-ee", n))).collect();
    let mut relay = Relay::new(&mut bench, journal);
    relay.run(&mut bench, 6_000);
    assert_eq!(held(&bench, "cert-ee"), 40, "ten at once, and ten a second");
}

/// The node starts again while it owes, and while a place is to be read again.
#[test]
fn what_found_no_owed_place_is_read_again_after_a_start() {
    let mut bench = limited(500);
    let mut relay = Relay::new(&mut bench, (1..=6_000).map(|n| numbered("cert-pl", n)).collect());
    relay.run(&mut bench, 3_000);
    let feed = &bench.ledger.feeds[&name("cert-ee")];
    assert!(!feed.rejected.is_empty() && !feed.owed.is_empty(), "{:?}", feed.rejected);
    let mut ee = peer("cert-ee");
    ee.receive.rate_per_publisher = Some(Rate { per_second: 500 });
    let (ledger, journal, seen) = (bench.ledger.clone(), bench.journal.clone(), bench.seen.clone());
    let mut again = Bench::started(vec![ee, peer("cert-pl")], ledger, journal, seen);
    again.connect("cert-ee");
    // Its first stream breaks off at once; the relay opens the next.
    relay.stream = again.opened("cert-ee", Role::Receiver);
    again.closed.push(relay.stream);
    again.input(Input::Transport(TransportInput::FeedClosed { stream: relay.stream, cause: "test".into() }));
    relay.run(&mut again, 40_000);
    assert_eq!((held(&again, "cert-pl"), again.owed("cert-ee").len()), (6_000, 0));
    assert_eq!(again.cursor("cert-ee"), 6_000);
}

/// HAVE, WANT, ANSWER is the usual way of relayed events: the rate holds for it too.
#[test]
fn a_rate_per_publisher_holds_for_what_is_offered() {
    let mut bench = limited(10);
    let mut relay = Relay::new(&mut bench, (1..=500).map(|n| numbered("cert-pl", n)).collect());
    relay.offered_until = 500;
    relay.run(&mut bench, 5_000);
    let taken = held(&bench, "cert-pl");
    assert!((50..=65).contains(&taken), "{taken} within 5 s at 10/s");
    relay.run(&mut bench, 46_000);
    assert_eq!((held(&bench, "cert-pl"), relay.sent.iter().max()), (500, Some(&1)));
}

/// The clock was six hours ahead when the node began, and is put right.
#[test]
fn what_is_owed_is_due_although_time_goes_back() {
    let mut bench = limited(10);
    let old = |n| Core { created: Timestamp(WALL - 7 * HOUR_MS), ..numbered("cert-pl", n) };
    let mut relay = Relay::new(&mut bench, (1..=500).map(old).collect());
    relay.offered_until = 500;
    relay.run(&mut bench, 5_000);
    bench.now.wall = Timestamp(bench.now.wall.0 - 6 * HOUR_MS);
    bench.input(Input::Operator(OperatorInput::Command(CoreCommand::AcceptClock { ticket: Ticket(1) })));
    relay.run(&mut bench, 46_000);
    assert_eq!((held(&bench, "cert-pl"), bench.owed("cert-ee").len()), (500, 0));
}

#[test]
fn what_is_deferred_after_an_offer_is_fetched_once_when_due() {
    let mut bench = Bench::new();
    let ahead = Core { created: Timestamp(WALL + HOUR_MS), ..core("cert-ee", 1) };
    // The date that the peer says is only a hint: here it says none.
    let WireFrame::Have(offer) = have(1, &ahead) else { unreachable!("bug: it is a HAVE") };
    for created in [ahead.created, Timestamp(WALL)] {
        let mut bench = Bench::new();
        let mut relay = Relay::new(&mut bench, vec![ahead.clone()]);
        relay.position = 1;
        bench.frames(relay.stream, vec![WireFrame::Have(Have { created, ..offer.clone() })]);
        let (noted, expected) = (bench.counts.noted, u32::from(created != ahead.created));
        for _ in 0..140 {
            relay.answer(&mut bench);
            bench.pass(20_000);
        }
        assert_eq!(relay.sent[1], expected, "before its time");
        assert!(
            bench.counts.noted - noted < 110,
            "{} notes, the clock's own among them",
            bench.counts.noted - noted
        );
        for _ in 0..30 {
            relay.answer(&mut bench);
            bench.pass(20_000);
        }
        assert_eq!((bench.journal.len(), relay.sent[1]), (1, expected + 1));
    }
    bench.pass(1);
}

/// 600 offers that are never answered: no more than 512 are asked for at once, and all are owed.
#[test]
fn offers_that_are_not_answered_are_owed_beyond_what_may_be_asked() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, (1..=600).map(|n| have(n, &numbered("cert-ee", n))).collect());
    bench.pass(4_000);
    assert_eq!((bench.wants().len(), bench.owed("cert-ee").len(), bench.cursor("cert-ee")), (512, 600, 600));
}

fn offer_of_nobody(seq: u64) -> WireFrame {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seq.to_be_bytes());
    let (created, publisher, digest) = (Timestamp(WALL), name("nobody"), CoreDigest([0; 32]));
    WireFrame::Have(Have { seq, check: check(seq), created, publisher, key: EventKey(key), digest })
}

#[test]
fn offers_that_are_refused_cost_the_journal_next_to_nothing() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let noted = bench.counts.noted;
    for first in (1..=50_000).step_by(1_000) {
        bench.frames(stream, (first..first + 1_000).map(offer_of_nobody).collect());
        bench.pass(60);
    }
    assert_eq!(bench.cursor("cert-ee"), 50_000);
    assert!(
        bench.counts.noted - noted < 110,
        "{} notes: one place, and the cursor of each batch",
        bench.counts.noted - noted
    );
}

/// Offers, gaps and statements cost a peer its `rate`, as carriers do.
#[test]
fn offers_and_gaps_beyond_the_rate_are_not_read() {
    let of_kind = |what: &str, n: u64| match what {
        "offers" => offer_of_nobody(n),
        "gaps" => WireFrame::Skip(Skip { to: Mark { seq: n, check: check(n) }, dropped: 1 }),
        _ => WireFrame::KeyStatement(bytes::Bytes::from_static(b"none")),
    };
    for what in ["offers", "gaps", "statements"] {
        let mut ee: Peer = peer("cert-ee");
        ee.receive.rate = Some(Rate { per_second: 10 });
        let mut bench = Bench::with(vec![ee, peer("cert-pl")], Ledger::default());
        let stream = bench.receiving("cert-ee");
        let before = bench.events.len();
        bench.frames(stream, (1..=1_000).map(|n| of_kind(what, n)).collect());
        bench.pass(2_000);
        let (told, cursor) = (bench.events.len() - before, bench.cursor("cert-ee"));
        assert!(told <= 35 && cursor <= 35, "{what}: {told} events, cursor {cursor}");
        assert!(told > 0 && bench.faults().is_empty(), "{what}");
    }
}

/// If the operator releases or drops entries, that makes room for those that found none.
#[test]
fn what_a_revoked_key_signed_and_found_no_place_is_read_again_after_a_decision() {
    use crate::protocol::io::{CoreCommand, Input, Ticket};
    let revoked = Peer { revoked: true, ..peer("cert-pl") };
    let mut bench = Bench::with(vec![peer("cert-ee"), revoked], Ledger::default());
    let mut relay = Relay::new(&mut bench, (1..=2_000).map(|n| numbered("cert-pl", n)).collect());
    relay.run(&mut bench, 10_000);
    let waiting = |bench: &Bench| {
        let owed = bench.owed("cert-ee");
        owed.iter().filter(|(_, reason)| *reason == VerdictCode::KeyRevoked).count()
    };
    assert_eq!(
        waiting(&bench),
        1_536,
        "a share of the places; the feed goes on: {}",
        bench.cursor("cert-ee")
    );
    let command =
        CoreCommand::Decide { ticket: Ticket(1), publisher: name("cert-pl"), key: None, release: true };
    bench.input(Input::Operator(OperatorInput::Command(command)));
    relay.run(&mut bench, 30_000);
    assert_eq!((held(&bench, "cert-pl"), waiting(&bench)), (1_536, 464));
    let command =
        CoreCommand::Decide { ticket: Ticket(2), publisher: name("cert-pl"), key: None, release: true };
    bench.input(Input::Operator(OperatorInput::Command(command)));
    relay.run(&mut bench, 10_000);
    assert_eq!((held(&bench, "cert-pl"), waiting(&bench)), (2_000, 0));
}

/// An event under an old name of a peer, which the operator adds later.
#[test]
fn a_name_that_did_not_match_is_cured_by_a_change_of_trust() {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    let old_name = signer("cert-pl").sign(core("cert-old", 1)).unwrap().envelope().bytes().clone();
    let named = [peer("cert-ee"), Peer { aliases: vec![name("cert-old")], ..peer("cert-pl") }];
    bench.frames(stream, vec![carrier(1, &["cert-old", "cert-ee"], old_name.clone())]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::NameMismatch)]);
    bench.trust(named);
    let stream = bench.greeted("cert-ee", Role::Receiver, 2);
    bench.frames(stream, vec![WireFrame::Skip(Skip { to: Mark::START, dropped: 0 })]);
    bench.frames(stream, vec![carrier(1, &["cert-old", "cert-ee"], old_name)]);
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
}
