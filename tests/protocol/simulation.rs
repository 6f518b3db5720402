//! Federations in the simulator: what holds whatever is late, lost, torn or restored. Each run is one seed,
//! printed where it fails, with the command that repeats it. Real sockets and disks are other tests' matter.

mod disks;
mod floods;
mod hunt;
mod plans;
mod rules;
mod successor;

use std::collections::BTreeMap;
use std::sync::Mutex;

use intelmesh::Tlp;
use intelmesh::testing::{PromiseViolation, SimFault, SimPlan, SimWorld, Topology};
use plans::{Trouble, submissions, troubled};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Seeds of one test: always the same ones, and fresh ones from `INTELMESH_SIM_SEED` on (drawn where it is
/// not set). `INTELMESH_SIM_RUNS` multiplies how many; 0 runs the given seed alone.
fn seeds(fixed: u64, fresh: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("INTELMESH_SIM_SEED").unwrap_or_else(|| rand::random::<u64>() >> 16);
    match number("INTELMESH_SIM_RUNS").unwrap_or(1) {
        0 => vec![first],
        times => (1..=fixed * times).chain((0..fresh * times).map(|nth| first.wrapping_add(nth))).collect(),
    }
}

/// What all runs of this process did: federations, crash images, faults by kind.
static DONE: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn attempt(plan: SimPlan) -> Result<SimWorld, PromiseViolation> {
    let mut world = SimWorld::new(plan)?;
    let went = go(&mut world);
    let mut done = DONE.lock().unwrap();
    let counts = &world.witness.counts;
    let faults = counts.faults.iter().map(|(kind, count)| (format!("fault {kind}"), *count));
    let all = [("federations".to_owned(), 1), ("crash images".to_owned(), counts.crash_images)];
    all.into_iter().chain(faults).for_each(|(what, count)| *done.entry(what).or_default() += count);
    went.map(|()| world)
}

fn go(world: &mut SimWorld) -> Result<(), PromiseViolation> {
    let ends = world.plan.ends_ms();
    world.run_until(ends + 1)?;
    world.run_to_rest(400_000)
}

/// The last `lines` of what was said in a run, up to its violation.
fn told(plan: SimPlan, lines: usize) -> String {
    let mut world = SimWorld::new(plan).unwrap();
    world.log = Some(Vec::new());
    let _ = go(&mut world);
    let log = world.log.unwrap();
    let short = |line: &String| line.chars().take(300).collect::<String>();
    let said: Vec<String> = log.iter().filter(|line| !line.contains("Head(")).map(short).collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

fn run(plan: SimPlan) -> SimWorld {
    attempt(plan.clone()).unwrap_or_else(|violation| {
        let (plan, least) = shrunk(plan, violation.clone());
        let faults: Vec<String> = plan.faults.iter().map(|fault| format!("  {fault:?}")).collect();
        let (seed, faults) = (plan.seed, faults.join("\n"));
        let lines = std::env::var("INTELMESH_SIM_TOLD").ok().and_then(|lines| lines.parse().ok());
        let told = lines.map_or(String::new(), |lines| told(plan, lines));
        panic!("{violation}\nrepeat with INTELMESH_SIM_RUNS=0 INTELMESH_SIM_SEED={seed}\nshrunk: {least}\n{faults}\n{told}")
    })
}

/// What sort of violation it is, whatever names and numbers it has.
fn kind(violation: &PromiseViolation) -> String {
    violation.what.chars().filter(|letter| letter.is_alphabetic()).take(18).collect()
}

/// Leaves out whatever is not needed for a violation.
fn shrunk(mut plan: SimPlan, mut violation: PromiseViolation) -> (SimPlan, PromiseViolation) {
    plan.faults.sort_by_key(|(at, _)| *at);
    let mut at = 0;
    while at < plan.faults.len() && plan.nodes < 8 {
        let mut less = plan.clone();
        less.faults.remove(at);
        match attempt(less.clone()) {
            Err(found) if kind(&found) == kind(&violation) => (plan, violation) = (less, found),
            _ => at += 1,
        }
    }
    (plan, violation)
}

#[test]
fn a_pair_in_calm_weather_has_everything() {
    for seed in seeds(4, 1) {
        let world = run(submissions(SimPlan::new(seed, 2, Topology::Mesh), 20, 30, Tlp::Green, 100));
        assert_eq!(world.union().len(), 40);
    }
}

#[test]
fn crashes_cuts_and_partitions_lose_and_repeat_nothing() {
    let trouble = Trouble { faults: 6, ..Trouble::default() };
    for seed in seeds(25, 10) {
        run(troubled(seed, 2, Topology::Mesh, trouble));
        run(troubled(seed, 3, Topology::Chain, trouble));
        run(troubled(seed, 3, Topology::Mesh, trouble));
    }
}

#[test]
fn restored_and_emptied_nodes_get_everything_again_and_their_new_events_reach_everyone() {
    let trouble = Trouble { faults: 6, restores: true, ..Trouble::default() };
    for seed in seeds(25, 10) {
        run(troubled(seed, 2, Topology::Mesh, trouble));
        run(troubled(seed, 3, Topology::Chain, trouble));
        run(troubled(seed, 3, Topology::Mesh, trouble));
    }
}

#[test]
fn what_retention_takes_is_missing_and_nothing_else() {
    let trouble = Trouble { faults: 6, retires: true, ..Trouble::default() };
    for seed in seeds(15, 5) {
        run(troubled(seed, 2, Topology::Mesh, trouble));
        run(troubled(seed, 3, Topology::Mesh, trouble));
    }
}

#[test]
fn seven_nodes_in_a_ring_and_in_a_mesh_survive_everything() {
    let trouble = Trouble { faults: 10, restores: true, ..Trouble::default() };
    for seed in seeds(4, 2) {
        run(troubled(seed, 7, Topology::Ring, trouble));
        run(troubled(seed, 7, Topology::Mesh, trouble));
    }
}

#[test]
fn in_a_settled_mesh_of_60_an_envelope_crosses_little_more_than_59_links() {
    let nodes = 60;
    for seed in seeds(1, 0) {
        let mut plan = SimPlan::new(seed, nodes, Topology::Mesh);
        plan.weather.latency_ms = (2, 60);
        // The first events teach who is eager for whom; then the mesh has settled.
        for node in 0..20 {
            plan = plan.at(3_000 + 40 * node as u64, submit(node, 0));
        }
        let mut world = SimWorld::new(plan).unwrap();
        settle(&mut world, 6_000);
        let before = world.witness.traffic.envelopes();
        println!("while it settled: {:.3} x 59 links", before as f64 / (59 * 20) as f64);
        let now = world.agenda.now;
        for node in 0..40 {
            world.befalls(now + 1_000 + 13 * node as u64, submit(node, 1));
        }
        settle(&mut world, 8_000);
        let crossed = world.witness.traffic.envelopes() - before;
        let ratio = crossed as f64 / (40 * 59) as f64;
        println!("settled: an envelope crosses {ratio:.3} x 59 links");
        assert!(ratio <= 1.2, "an envelope crossed {ratio:.3} x 59 links, seed {seed}");
        assert_eq!(world.union().len(), 60);
    }
}

#[test]
fn a_mesh_of_60_misses_nothing_once_its_partition_heals() {
    let nodes = 60;
    for seed in seeds(1, 1) {
        let mut plan = SimPlan::new(seed, nodes, Topology::Mesh);
        plan.weather.latency_ms = (2, 60);
        for node in 0..10 {
            plan = plan.at(3_000 + 40 * node as u64, submit(6 * node, 0));
        }
        let mut world = SimWorld::new(plan).unwrap();
        settle(&mut world, 6_000);
        let now = world.agenda.now;
        world.befalls(now + 100, SimFault::Partition { below: 25, for_ms: 5_000 });
        world.befalls(now + 300, SimFault::Backup { node: 7, later_ms: 200 });
        world.befalls(now + 1_500, SimFault::Crash { node: 3, down_ms: 2_000 });
        world.befalls(now + 1_600, SimFault::ClockJump { node: 40, by_ms: 36 * 3_600_000 });
        world.befalls(now + 2_500, SimFault::Restore { node: 7 });
        for node in 0..10 {
            world.befalls(now + 1_000 + 70 * node as u64, submit(6 * node + 1, 1));
        }
        settle(&mut world, 12_000);
        assert_eq!(world.union().len(), 20, "seed {seed}");
    }
}

fn submit(node: usize, nth: u64) -> SimFault {
    SimFault::Submit { node, nth, tlp: Tlp::Green, body_bytes: 300 }
}

/// Goes on for `at_least_ms`, and then to rest.
fn settle(world: &mut SimWorld, at_least_ms: u64) {
    let until = world.agenda.now + at_least_ms;
    let found = world.run_until(until).and_then(|()| world.run_to_rest(200_000));
    found.unwrap_or_else(|violation| panic!("{violation}, seed {}", world.plan.seed));
}
