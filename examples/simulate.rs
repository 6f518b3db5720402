//! Runs one federation in the simulator: `simulate [SEED [NODES [EVENTS]]]`, a ring whose nodes crash, lose power
//! and are cut off from each other while events are submitted. The same arguments give the same run. Prints what
//! happened; exit code 1 if a promise was broken, which must never be.

use std::error::Error;

use intelmesh::Tlp;
use intelmesh::testing::{SimFault, SimPlan, SimWorld, Topology};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (seed, nodes, events) = (next(1)?, next(5)?.clamp(2, 50), next(200)?);
    let nodes = usize::try_from(nodes)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut plan = SimPlan::new(seed, nodes, Topology::Ring);
    for nth in 0..events {
        let (node, at_ms) = (rng.random_range(0..nodes), rng.random_range(100..10_000));
        plan = plan.at(at_ms, SimFault::Submit { node, nth, tlp: Tlp::Green, body_bytes: 300 });
    }
    for _ in 0..2 * nodes {
        let (node, at_ms, for_ms) =
            (rng.random_range(0..nodes), rng.random_range(100..10_000), rng.random_range(1..3_000));
        let fault = match rng.random_range(0..3) {
            0 => SimFault::Crash { node, down_ms: for_ms },
            1 => SimFault::Kill { node, down_ms: for_ms },
            _ => SimFault::Partition { below: node.max(1), for_ms },
        };
        plan = plan.at(at_ms, fault);
    }
    let ends = plan.ends_ms();
    let mut world = SimWorld::new(plan)?;
    world.run_until(ends + 1)?;
    world.run_to_rest(400_000)?;
    for (fault, count) in &world.witness.counts.faults {
        println!("{fault}: {count}");
    }
    for node in 0..nodes {
        println!("journal of node {node}: {} events", world.journal_of(node)?.len());
    }
    println!("quiet after {} ms of simulated time", world.agenda.now);
    Ok(())
}
