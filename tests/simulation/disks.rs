//! What disks do to journals and to what is derived from them: each scenario is well, whatever its seed.

use super::*;
use intelmesh::protocol::Rule;
use intelmesh::sim::{Dates, SeenPart};
use rules::without;

fn chance(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ 0xd15c)
}

/// Node 0 publishes 20 events of `body_bytes`, the others take them; a segment holds 64 KiB.
fn published(seed: u64, nodes: usize, topology: Topology, body_bytes: usize) -> Plan {
    let mut plan = Plan::new(seed, nodes, topology);
    plan.keep_bytes = 512 * 1024;
    for nth in 0..20 {
        let fault = Fault::Submit { node: 0, nth, tlp: Tlp::Green, body_bytes };
        plan = plan.at(200 + 40 * nth, fault);
    }
    plan
}

fn submit(node: usize, nth: u64) -> Fault {
    Fault::Submit { node, nth, tlp: Tlp::Green, body_bytes: 100 }
}

/// A seen set is made again, which lacks what retention took. The start dies before the floor is on disk, and the
/// power takes what the cache knew of it.
pub fn floor_is_late(seed: u64) -> Plan {
    let (at, syncs) = (1_500 + chance(seed).random_range(0..200), seed % 3);
    let plan = published(seed, 2, Topology::Mesh, 40_000).at(at, Fault::Retire { node: 1 });
    let plan = plan.at(at + 100, Fault::SyncFails { node: 1, syncs, down_ms: 50 });
    let plan = plan.at(at + 100, Fault::SeenLost { node: 1, part: SeenPart::All });
    plan.at(at + 140, Fault::Crash { node: 1, down_ms: 20 })
}

/// The same while the node runs.
pub fn seen_breaks(seed: u64) -> Plan {
    let at = 1_500 + chance(seed).random_range(0..200);
    let plan = published(seed, 2, Topology::Mesh, 40_000).at(at, Fault::Retire { node: 1 });
    let plan = plan.at(at + 100, Fault::SeenBroken { node: 1 });
    (20..24).fold(plan, |plan, nth| plan.at(at + 110 + 40 * nth, submit(0, nth)))
}

/// One day of a seen set is lost, or put back to an older state.
pub fn seen_in_parts(seed: u64) -> Plan {
    let part = if seed.is_multiple_of(2) { SeenPart::Day } else { SeenPart::OlderDay };
    let mut plan = Plan { dates: Dates::Days(3), ..Plan::new(seed, 2, Topology::Mesh) };
    for nth in 0..30 {
        plan = plan.at(200 + 50 * nth, submit(0, nth));
    }
    plan.at(chance(seed).random_range(1_000..2_000), Fault::SeenLost { node: 1, part })
}

/// A sync fails, the node is started again over what the cache says, goes on, and the power goes.
pub fn sync_fails(seed: u64) -> Plan {
    let (mut rng, node) = (chance(seed), (seed % 2) as usize);
    let mut plan = Plan::new(seed, 2, Topology::Mesh);
    for nth in 0..30 {
        plan = plan.at(200 + 50 * nth, submit(0, nth)).at(220 + 50 * nth, submit(1, nth));
    }
    let at = rng.random_range(300..1_200);
    let down_ms = rng.random_range(1..100);
    let plan = plan.at(at, Fault::SyncFails { node, syncs: 0, down_ms });
    plan.at(at + down_ms + rng.random_range(20..400), Fault::Crash { node, down_ms: 20 })
}

fn all_are_well(scenario: fn(u64) -> Plan) {
    for seed in seeds(30, 10) {
        run(scenario(seed));
    }
}

#[test]
fn floor_is_on_disk_before_a_seen_set_is_believed() {
    all_are_well(floor_is_late);
    without(&[Rule::FloorFirst], floor_is_late);
}

#[test]
fn seen_set_that_breaks_answers_only_above_its_floor() {
    all_are_well(seen_breaks);
}

#[test]
fn seen_set_that_lacks_a_day_is_made_again() {
    all_are_well(seen_in_parts);
    without(&[Rule::SeenCounted], seen_in_parts);
}

#[test]
fn start_after_a_failed_sync_shows_only_what_is_on_disk() {
    all_are_well(sync_fails);
}
