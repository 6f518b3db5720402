//! Each rule of the feed is needed: with it switched off the simulator finds a violation, in a federation as
//! small as the one in which the model found it; with all rules on the same federations are well.

use super::*;
use intelmesh::testing::ProtocolRule;
use intelmesh::{CoreBounds, Rules};

/// Seeds that are tried until one shows the lack of a rule.
const TRIES: u64 = 150;

pub fn without(rules: &[ProtocolRule], scenario: impl Fn(u64) -> SimPlan) {
    let off = rules.iter().fold(Rules::default(), |off, rule| off.without(*rule));
    let shown = (1..=TRIES).find_map(|seed| {
        let plan = SimPlan { rules: off, ..scenario(seed) };
        attempt(plan).err().map(|violation| (seed, violation))
    });
    let Some((seed, violation)) = shown else {
        panic!("without {rules:?} nothing was found in {TRIES} seeds")
    };
    println!("without {rules:?}, seed {seed}: {violation}");
    for seed in (1..=seed).rev().take(12) {
        run(scenario(seed));
    }
}

/// A second rule that has to be off for the first to be seen does no harm by itself.
fn well_without(rule: ProtocolRule, scenario: impl Fn(u64) -> SimPlan) {
    for seed in 1..=8 {
        run(SimPlan { rules: Rules::default().without(rule), ..scenario(seed) });
    }
}

/// Read from the source: a rule that is added without a test that shows its lack is named here.
#[test]
fn each_rule_is_switched_off_in_a_test() {
    let tests = concat!(include_str!("rules.rs"), include_str!("disks.rs"), include_str!("floods.rs"));
    let calls = tests.replace("well_without(", "").replace("fn ", "");
    let off: String = calls.split("without(").skip(1).filter_map(|call| call.lines().next()).collect();
    let rules = include_str!("../../../src/protocol/rules.rs");
    let members =
        rules.split("pub enum ProtocolRule {").nth(1).and_then(|text| text.split('}').next()).unwrap();
    let names = members.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty());
    let names: Vec<&str> = names.map(|line| line.trim_end_matches(',')).collect();
    assert!(names.len() >= 33, "{names:?}");
    for name in names {
        let is_off = off.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
        assert!(is_off, "no test switches {name} off");
    }
}

fn chance(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ 0x5eed)
}

fn submit(node: usize, nth: u64) -> SimFault {
    SimFault::Submit { node, nth, tlp: Tlp::Green, body_bytes: 10 }
}

fn amber(node: usize, nth: u64) -> SimFault {
    SimFault::Submit { node, nth, tlp: Tlp::Amber, body_bytes: 10 }
}

fn pair(seed: u64) -> SimPlan {
    SimPlan::new(seed, 2, Topology::Mesh)
}

/// Node 0 publishes `count` events before node 1 has ever met it: all of them are offered first.
fn offered(mut plan: SimPlan, count: u64) -> SimPlan {
    plan = plan.at(0, SimFault::Partition { below: 1, for_ms: 1_000 });
    for nth in 0..count {
        plan = plan.at(200 + 20 * nth, submit(0, nth));
    }
    plan
}

/// `node` is put back to a copy from before its peers took what it had, and goes on.
fn restored(mut plan: SimPlan, node: usize, first: SimFault, later: impl Fn(u64) -> SimFault) -> SimPlan {
    let mut rng = chance(plan.seed);
    let copied = rng.random_range(150..900);
    plan = plan.at(copied, SimFault::Backup { node, later_ms: 0 });
    plan = plan.at(copied + rng.random_range(1..100), first);
    let back = copied + rng.random_range(300..1_500);
    plan = plan.at(back, SimFault::Restore { node });
    for nth in 1..4 {
        plan = plan.at(back + rng.random_range(20..600), later(nth));
    }
    plan
}

#[test]
fn the_receiver_is_told_where_the_sender_resumes() {
    without(&[ProtocolRule::ResumeTold], |seed| restored(pair(seed), 0, submit(0, 0), |nth| submit(0, nth)));
}

#[test]
fn debts_of_a_lost_history_go_with_it() {
    let scenario = |seed: u64| {
        let mut rng = chance(seed);
        let mut plan = SimPlan::new(seed, 3, Topology::Chain);
        plan.weather.latency_ms = (200, rng.random_range(1_000..3_000));
        plan = plan.at(100, SimFault::Backup { node: 1, later_ms: 0 });
        plan = plan.at(rng.random_range(100..3_000), submit(0, 0));
        let back = rng.random_range(4_000..16_000);
        plan = plan.at(back, SimFault::Restore { node: 1 });
        plan = plan.at(back, SimFault::Empty { node: 0 });
        (1..4).fold(plan, |plan, nth| plan.at(back + 20 + nth * 20, submit(0, nth)))
    };
    without(&[ProtocolRule::OwedCut, ProtocolRule::VerdictKey], scenario);
    // Either alone is enough.
    well_without(ProtocolRule::OwedCut, scenario);
    well_without(ProtocolRule::VerdictKey, scenario);
}

#[test]
fn a_want_names_the_key_and_share_is_asked_again() {
    without(&[ProtocolRule::WantKey, ProtocolRule::OwedCut], |seed| {
        let mut rng = chance(seed);
        let mut plan = SimPlan::new(seed, 3, Topology::Chain);
        plan.weather.latency_ms = (200, rng.random_range(1_000..3_000));
        plan = plan.at(100, SimFault::Backup { node: 1, later_ms: 0 });
        plan = plan.at(rng.random_range(100..3_000), submit(0, 0));
        let back = rng.random_range(4_000..16_000);
        plan = plan.at(back, SimFault::Restore { node: 1 });
        plan = plan.at(back, SimFault::Empty { node: 0 });
        plan.at(back + 40, amber(0, 1)).at(back + 50, amber(0, 2))
    });
}

#[test]
fn a_want_that_cannot_be_answered_is_answered_with_gone() {
    without(&[ProtocolRule::Gone], |seed| {
        let mut rng = chance(seed);
        let mut plan = pair(seed).at(0, SimFault::Partition { below: 1, for_ms: 1_000 });
        plan.weather.latency_ms = (50, 300);
        plan.keep_bytes = 512 * 1024;
        for nth in 0..4 {
            let fault = SimFault::Submit { node: 0, nth, tlp: Tlp::Green, body_bytes: 70_000 };
            plan = plan.at(200 + 100 * nth, fault);
        }
        plan.at(rng.random_range(1_000..3_000), SimFault::Retire { node: 0 })
    });
}

#[test]
fn back_to_its_source_an_envelope_is_offered() {
    without(&[ProtocolRule::OfferSource], |seed| restored(pair(seed), 0, submit(0, 0), |nth| submit(1, nth)));
}

#[test]
fn amber_can_come_home() {
    without(&[ProtocolRule::HomeLabel], |seed| restored(pair(seed), 0, amber(0, 0), |nth| submit(1, nth)));
}

#[test]
fn home_knows_itself() {
    without(&[ProtocolRule::OwnTrusted], |seed| restored(pair(seed), 0, submit(0, 0), |nth| submit(1, nth)));
}

#[test]
fn what_is_offered_and_not_taken_holds_the_cursor_or_is_owed() {
    without(&[ProtocolRule::HaveOwed], |seed| {
        let mut rng = chance(seed);
        let mut plan = offered(pair(seed), 4);
        plan.weather.latency_ms = (10, 300);
        plan.at(rng.random_range(1_000..3_500), SimFault::Cut { a: 0, b: 1 })
    });
}

#[test]
fn reading_never_waits_for_room_to_write() {
    without(&[ProtocolRule::ReadFree], |seed| {
        let mut plan = offered(pair(seed), 40);
        plan.bounds = CoreBounds { owed: 30, window: 30, send_queue_bytes: 1 };
        plan.weather.pipe_bytes = 1;
        plan
    });
}

#[test]
fn the_window_is_never_more_than_what_can_be_owed() {
    without(&[ProtocolRule::OwedWindow], |seed| {
        let mut plan = offered(pair(seed), 4);
        plan.bounds.owed = 1;
        plan.weather.latency_ms = (900, 1_600);
        plan
    });
}

/// Node 2 comes to trust the publisher behind its relay.
fn cured(seed: u64) -> (SimPlan, u64) {
    let mut rng = chance(seed);
    let mut plan = SimPlan::new(seed, 3, Topology::Chain);
    plan.peering.later = vec![(2, 0)];
    for nth in 0..5 {
        plan = plan.at(200 + 300 * nth, submit(0, nth));
    }
    let at = rng.random_range(700..1_700);
    (plan.at(at, SimFault::Trust { node: 2, publisher: 0 }), at)
}

#[test]
fn whether_a_rejection_is_cured_is_asked_at_every_subscribe() {
    without(&[ProtocolRule::CureLevel], |seed| {
        let (plan, at) = cured(seed);
        plan.at(at + seed % 40, SimFault::Crash { node: 2, down_ms: 10 })
    });
}

#[test]
fn going_back_is_a_new_subscribe() {
    without(&[ProtocolRule::CureResets], |seed| cured(seed).0);
}

/// A pair that exchanges, and node 1 crashes.
fn crashing(seed: u64) -> SimPlan {
    let mut rng = chance(seed);
    let mut plan = pair(seed);
    plan.weather.sync_ms = (5, 60);
    for nth in 0..8 {
        plan = plan.at(200 + 40 * nth, submit(0, nth)).at(210 + 40 * nth, submit(1, nth));
    }
    plan.at(rng.random_range(200..800), SimFault::Crash { node: 1, down_ms: 20 })
}

#[test]
fn the_seen_set_is_never_ahead_of_the_journal() {
    // The place that the seen set names would show it too; without that rule alone all is well here.
    without(&[ProtocolRule::SeenSynced, ProtocolRule::SeenPosition], crashing);
    well_without(ProtocolRule::SeenPosition, crashing);
}

#[test]
fn a_cursor_follows_its_carrier() {
    without(&[ProtocolRule::CarrierFirst], crashing);
}

#[test]
fn the_seen_set_names_what_it_covers() {
    without(&[ProtocolRule::SeenPosition], |seed| {
        let mut rng = chance(seed);
        let copied = rng.random_range(150..700);
        let mut plan =
            pair(seed).at(copied, SimFault::Backup { node: 1, later_ms: rng.random_range(50..800) });
        for nth in 0..6 {
            plan = plan.at(200 + 100 * nth, submit(0, nth)).at(220 + 100 * nth, submit(1, nth));
        }
        plan.at(2_000, SimFault::Restore { node: 1 })
    });
}

#[test]
fn emptying_a_journal_empties_the_seen_set() {
    // A new journal has another name, which the place that the seen set names would show too.
    let emptied = |seed| {
        let plan = (0..3).fold(pair(seed), |plan, nth| plan.at(200 + 50 * nth, submit(0, nth)));
        plan.at(900 + seed, SimFault::Empty { node: 1 })
    };
    without(&[ProtocolRule::EmptyBoth, ProtocolRule::SeenPosition], emptied);
    well_without(ProtocolRule::SeenPosition, emptied);
}

#[test]
fn a_duplicate_is_answered_when_the_first_is_durable() {
    without(&[ProtocolRule::DuplicateSynced], |seed| {
        let mut rng = chance(seed);
        let mut plan = pair(seed);
        plan.weather.sync_ms = (100, 300);
        let at = rng.random_range(300..500);
        let plan = plan.at(at, submit(0, 0)).at(at + 10, SimFault::SubmitAgain { node: 0, nth: 0 });
        plan.at(at + rng.random_range(20..100), SimFault::Crash { node: 0, down_ms: 20 })
    });
}

#[test]
fn an_ack_counts_only_for_what_this_connection_was_handed() {
    without(&[ProtocolRule::AckClamped], |seed| {
        let mut rng = chance(seed);
        let mut plan = pair(seed).at(150, SimFault::Backup { node: 1, later_ms: 0 });
        for nth in 0..4 {
            plan = plan.at(200 + 30 * nth, submit(0, nth));
        }
        plan = plan.at(1_500, SimFault::Restore { node: 1 });
        for nth in 4..8 {
            plan = plan.at(1_530 + 20 * nth, submit(0, nth));
        }
        plan.at(1_500 + rng.random_range(30..500), SimFault::StaleAck { node: 1 })
    });
}

#[test]
fn own_is_decided_by_the_publisher() {
    without(&[ProtocolRule::OwnByPublisher], |seed| {
        restored(pair(seed), 0, submit(0, 0), |nth| submit(1, nth))
    });
}

#[test]
fn what_is_only_asked_for_elsewhere_is_owed() {
    without(&[ProtocolRule::HeldNotInFlight], |seed| {
        let mut plan = SimPlan::new(seed, 3, Topology::Mesh);
        plan = plan.at(0, SimFault::Partition { below: 2, for_ms: 1_500 });
        plan.weather.latency_ms = (20, 300);
        let plan = (0..4).fold(plan, |plan, nth| plan.at(200 + 50 * nth, submit(0, nth)));
        plan.at(1_600 + 20 * seed, SimFault::Cut { a: 0, b: 2 })
    });
}
