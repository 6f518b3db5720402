//! One peer or publisher that sends too much, wrong or wrongly dated things: it is bounded, and nobody else waits.
//! With the rule switched off that bounds it, the same check fails.

use super::*;
use intelmesh::testing::{Dates, Flood, Lie, ProtocolRule};
use intelmesh::{CoreBounds, PublisherName, Rate, Receive, Rules};

const HOUR_MS: u64 = 3_600_000;

type Check = fn(&SimWorld) -> Result<(), String>;

fn holds(scenario: impl Fn(u64) -> SimPlan, seeds: Vec<u64>, check: Check) {
    for seed in seeds {
        check(&run(scenario(seed))).unwrap_or_else(|what| panic!("{what}, seed {seed}"));
    }
}

/// Without `rule` the check fails, or something worse is found.
fn fails_without(rule: ProtocolRule, scenario: impl Fn(u64) -> SimPlan, check: Check) {
    let found = (1..=5).find_map(|seed| {
        let plan = SimPlan { rules: Rules::default().without(rule), ..scenario(seed) };
        let went = attempt(plan).map_err(|violation| violation.to_string());
        Some((seed, went.and_then(|world| check(&world)).err()?))
    });
    let (seed, what) = found.unwrap_or_else(|| panic!("without {rule:?} nothing was found"));
    println!("without {rule:?}, seed {seed}: {what}");
}

/// What `from` published and `to` did not have within two seconds of when it was stored at its publisher.
fn in_time(world: &SimWorld, (from, to): (usize, usize)) -> Result<(), String> {
    let (source, sink) = (&world.witness.nodes[from].since, &world.witness.nodes[to].since);
    let mut own = source.iter().filter(|(key, _)| world.witness.publishers.get(key) == Some(&from));
    let late = own.find(|(key, at)| sink.get(key).is_none_or(|came| *came > **at + 2_000));
    match late {
        Some((key, at)) => Err(format!("{key:?} was stored at {at} ms, and came {:?}", sink.get(key))),
        None => Ok(()),
    }
}

/// When `node` stored what `publisher` made, in order.
fn times(world: &SimWorld, publisher: usize, node: usize) -> Vec<u64> {
    let stored = world.witness.nodes[node].since.iter();
    let stored = stored.filter(|(key, _)| world.witness.publishers.get(key) == Some(&publisher));
    let mut times: Vec<u64> = stored.map(|(_, at)| *at).collect();
    times.sort_unstable();
    times
}

fn all_came(world: &SimWorld, (from, to): (usize, usize), count: usize) -> Result<(), String> {
    match times(world, from, to).len() {
        came if came == count => Ok(()),
        came => Err(format!("{came} of {count} came from {from} to {to}")),
    }
}

/// Node 0 floods node 2 through node 1, which is taken 10 events a second of each publisher from.
fn flooding(seed: u64) -> SimPlan {
    let mut plan = SimPlan::new(seed, 3, Topology::Chain);
    plan.bounds = CoreBounds { owed: 64, ..CoreBounds::default() };
    let receive = Receive { rate_per_publisher: Some(Rate { per_second: 10 }), ..Receive::default() };
    plan.peering.receives = vec![(2, 1, receive)];
    plan.consumers = false;
    for nth in 0..300 {
        plan = plan.at(1_000 + 2 * nth, SimFault::Submit { node: 0, nth, tlp: Tlp::Green, body_bytes: 10 });
    }
    for nth in 0..30 {
        plan = plan.at(1_000 + 400 * nth, submit(1, nth));
    }
    plan
}

#[test]
fn publisher_beyond_its_rate_holds_up_nobody_else() {
    let check: Check = |world| in_time(world, (1, 2)).and_then(|()| all_came(world, (0, 2), 300));
    holds(flooding, seeds(4, 2), check);
    fails_without(ProtocolRule::OwedShare, flooding, check);
    fails_without(ProtocolRule::ReadAgain, flooding, check);
}

/// Also of what is offered rather than pushed: what relays have.
#[test]
fn publisher_is_taken_at_its_rate_and_no_faster() {
    let check: Check = |world| {
        let times = times(world, 0, 2);
        let most = |at: u64| 10 + 10 * (at - times[0] + 1_000) / 1_000;
        match times.iter().enumerate().find(|(nth, at)| *nth as u64 > most(**at)) {
            Some((nth, at)) => Err(format!("{nth} events within {} ms at 10/s", at - times[0])),
            None => Ok(()),
        }
    };
    holds(flooding, seeds(4, 2), check);
    fails_without(ProtocolRule::RateAsked, flooding, check);
}

/// The clocks of `fast` nodes are two hours ahead, and they date by them what they publish.
fn ahead(seed: u64, fast: &[usize]) -> SimPlan {
    let mut plan = SimPlan { dates: Dates::ByClock, ..SimPlan::new(seed, 3, Topology::Chain) };
    plan.bounds = CoreBounds { owed: 64, ..CoreBounds::default() };
    for node in fast.iter().copied() {
        plan = plan.at(0, SimFault::ClockJump { node, by_ms: 2 * HOUR_MS as i64 });
    }
    // Until what is dated ahead is due.
    plan.at(2 * HOUR_MS, SimFault::Reconnect { node: 2 })
}

/// What is dated ahead is asked for in its time, not every two seconds.
#[test]
fn deferred_entry_crosses_the_link_twice_at_most() {
    let scenario =
        |seed| (0..10).fold(ahead(seed, &[0, 1]), |plan, nth| plan.at(1_000 + 50 * nth, submit(0, nth)));
    let check: Check = |world| match world.witness.answers.values().max() {
        Some(times) if *times > 2 => Err(format!("an entry crossed the link {times} times")),
        _ => all_came(world, (0, 2), 10),
    };
    holds(scenario, seeds(2, 1), check);
}

/// A hub takes local time for UTC: its own events wait two hours, and what it relays does not.
#[test]
fn hub_whose_clock_is_fast_holds_up_nobody_else() {
    let scenario = |seed| {
        let plan = (0..200).fold(ahead(seed, &[1]), |plan, nth| plan.at(1_000 + 5 * nth, submit(1, nth)));
        (0..20).fold(plan, |plan, nth| plan.at(1_000 + 400 * nth, submit(0, nth)))
    };
    let check: Check = |world| {
        in_time(world, (0, 2)).and_then(|()| all_came(world, (1, 2), 200))?;
        match times(world, 1, 2).first() {
            Some(first) if *first < HOUR_MS => Err(format!("dated two hours ahead, and taken at {first} ms")),
            _ => Ok(()),
        }
    };
    holds(scenario, seeds(2, 1), check);
    fails_without(ProtocolRule::OwedShare, scenario, check);
}

/// Node 1 lies to node 0, which allows it `rate` envelopes a second; node 2 publishes meanwhile.
fn lied_to(seed: u64, flood: Flood, rate: Option<Rate>) -> SimPlan {
    let mut plan = SimPlan::new(seed, 3, Topology::Star);
    plan.peering.receives = vec![(0, 1, Receive { rate, ..Receive::default() })];
    plan.peering.liars = vec![(1, flood)];
    (0..30).fold(plan, |plan, nth| plan.at(1_000 + 200 * nth, submit(2, nth)))
}

/// The journal takes little for what is no event.
fn notes_are_few(world: &SimWorld) -> Result<(), String> {
    let process = world.machines[0].process.as_ref();
    let (notes, bytes) = process.map(|it| (it.notes, it.engine.journal.bytes())).unwrap_or_default();
    match notes < 1_000 && bytes < 100_000 {
        true => in_time(world, (2, 0)),
        false => Err(format!("{notes} notes, {bytes} bytes of journal")),
    }
}

fn little_is_told(world: &SimWorld) -> Result<(), String> {
    match world.witness.counts.told.get(&0).copied().unwrap_or_default() {
        told if told < 1_000 => notes_are_few(world),
        told => Err(format!("{told} events told")),
    }
}

/// Offers, skips, statements and what is gone are within the rate of the peer that sends them. So is what it is asked
/// for: a peer that settles nothing is asked once for what it offers, and stops only its own feed.
#[test]
fn lying_peer_costs_no_more_than_its_rate() {
    let check: Check = |world| {
        let asked = world.machines[1].liar.as_ref().map_or(0, |liar| liar.asked);
        match asked <= 10 + world.agenda.now / 1_000 {
            true => little_is_told(world),
            false => Err(format!("asked {asked} times in {} ms at 1/s", world.agenda.now)),
        }
    };
    for lie in [Lie::Offers, Lie::Gone, Lie::Silent, Lie::Skips, Lie::Statements] {
        println!("{lie:?}");
        let flood = Flood { lie, frames: 200, rounds: 100 };
        holds(|seed| lied_to(seed, flood, Some(Rate { per_second: 1 })), seeds(2, 1), check);
    }
}

/// Also of a peer without a rate: a note that changes nothing is not written.
#[test]
fn rejected_offers_cost_the_journal_next_to_nothing() {
    let scenario = |seed| lied_to(seed, Flood { lie: Lie::Offers, frames: 200, rounds: 100 }, None);
    holds(scenario, seeds(2, 1), notes_are_few);
    fails_without(ProtocolRule::NotesOnChange, scenario, notes_are_few);
}

/// An offer does not say that the event is dated ahead: it is fetched to see that, and then left alone.
#[test]
fn misdated_offer_is_fetched_once() {
    let scenario = |seed| {
        let plan = lied_to(seed, Flood { lie: Lie::Dated, frames: 1, rounds: 20 }, None);
        plan.at(60_000, SimFault::Reconnect { node: 0 })
    };
    let check: Check = |world| match world.machines[1].liar.as_ref().map(|liar| (liar.sent, liar.asked)) {
        Some((sent, asked)) if sent == 20 && asked == sent => notes_are_few(world),
        counts => Err(format!("offered and asked for: {counts:?}")),
    };
    holds(scenario, seeds(2, 1), check);
    fails_without(ProtocolRule::OneDue, scenario, check);
}

/// Who answers our NTP moves the clock by less than an hour, again and again.
#[test]
fn clock_that_walks_in_small_steps_gives_up_nothing() {
    let scenario = |seed| {
        let mut plan = SimPlan::new(seed, 2, Topology::Mesh);
        plan = (0..4).fold(plan, |plan, nth| plan.at(1_000 + 100 * nth, submit(0, nth)));
        for step in 1..=800 {
            plan = plan.at(32_000 * step, SimFault::ClockJump { node: 1, by_ms: 59 * 60_000 });
        }
        plan.at(32_000 * 802, submit(0, 4))
    };
    holds(scenario, seeds(1, 1), |world| match world.witness.nodes[1].dropped.len() {
        0 => all_came(world, (0, 1), 5),
        given_up => Err(format!("{given_up} entries of today were given up")),
    });
}

#[test]
fn what_names_a_peer_by_its_alias_reaches_it() {
    let scenario = |seed| {
        let mut plan = SimPlan::new(seed, 3, Topology::Star);
        let old = PublisherName::parse("cert-old").unwrap();
        plan.peering.aliases = vec![(1, old.clone())];
        plan.at(1_000, SimFault::SubmitTo { node: 0, nth: 0, to: old })
    };
    holds(scenario, seeds(2, 1), |world| {
        all_came(world, (0, 1), 1).and_then(|()| all_came(world, (0, 2), 0))
    });
}

/// A publisher that was put back signs other bodies under the same ids: each node keeps what it had, and says so.
#[test]
fn two_bodies_under_one_id_are_shown() {
    let scenario = |seed| {
        let mut plan = SimPlan::new(seed, 3, Topology::Mesh);
        plan = plan.at(150, SimFault::Backup { node: 1, later_ms: 0 });
        plan = plan.at(200, SimFault::Partition { below: 2, for_ms: 690 }).at(300, submit(1, 0));
        plan = plan.at(891, SimFault::Partition { below: 1, for_ms: 3_000 });
        plan.at(900, SimFault::Restore { node: 1 }).at(1_000, SimFault::SubmitOther { node: 1, nth: 0 })
    };
    holds(scenario, seeds(6, 2), |world| match world.witness.counts.equivocations {
        0 => Err("nobody shows the second body".into()),
        _ => Ok(()),
    });
}
