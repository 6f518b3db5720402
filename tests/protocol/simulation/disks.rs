//! What disks do to journals and to what is derived from them: each scenario is well, whatever its seed.

use super::*;
use intelmesh::testing::{Dates, ProtocolRule, SeenPart};
use rules::without;

fn chance(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ 0xd15c)
}

/// Node 0 publishes 20 events of `body_bytes`, the others take them; a segment holds 64 KiB.
fn published(seed: u64, nodes: usize, topology: Topology, body_bytes: usize) -> SimPlan {
    let mut plan = SimPlan::new(seed, nodes, topology);
    plan.keep_bytes = 512 * 1024;
    for nth in 0..20 {
        let fault = SimFault::Submit { node: 0, nth, tlp: Tlp::Green, body_bytes };
        plan = plan.at(200 + 40 * nth, fault);
    }
    plan
}

fn submit(node: usize, nth: u64) -> SimFault {
    SimFault::Submit { node, nth, tlp: Tlp::Green, body_bytes: 100 }
}

/// A seen set is made again, which lacks what retention took. The start dies before the floor is on disk, and the
/// power takes what the cache knew of it.
pub fn floor_is_late(seed: u64) -> SimPlan {
    let (at, syncs) = (1_500 + chance(seed).random_range(0..200), seed % 6);
    let plan = published(seed, 2, Topology::Mesh, 40_000).at(at, SimFault::Retire { node: 1 });
    let plan = plan.at(at + 100, SimFault::SyncFails { node: 1, syncs, down_ms: 50 });
    let plan = plan.at(at + 100, SimFault::SeenLost { node: 1, part: SeenPart::All });
    plan.at(at + 140, SimFault::Crash { node: 1, down_ms: 20 })
}

/// The same while the node runs.
pub fn seen_breaks(seed: u64) -> SimPlan {
    let at = 1_500 + chance(seed).random_range(0..200);
    let plan = published(seed, 2, Topology::Mesh, 40_000).at(at, SimFault::Retire { node: 1 });
    let plan = plan.at(at + 100, SimFault::SeenBroken { node: 1 });
    (20..24).fold(plan, |plan, nth| plan.at(at + 110 + 40 * nth, submit(0, nth)))
}

/// One day of a seen set is lost, or put back to an older state.
pub fn seen_in_parts(seed: u64) -> SimPlan {
    let part = if seed.is_multiple_of(2) { SeenPart::Day } else { SeenPart::OlderDay };
    let mut plan = SimPlan { dates: Dates::TwoDays, ..SimPlan::new(seed, 2, Topology::Mesh) };
    for nth in 0..30 {
        plan = plan.at(200 + 50 * nth, submit(0, nth));
    }
    plan.at(chance(seed).random_range(1_000..2_000), SimFault::SeenLost { node: 1, part })
}

/// A seen set is made again with a floor above what the journal still holds, and the pipeline submits that again.
pub fn submitted_again(seed: u64) -> SimPlan {
    let mut plan = SimPlan { dates: Dates::TwoDays, ..published(seed, 2, Topology::Mesh, 40_000) };
    plan = plan.at(1_500, SimFault::Retire { node: 0 });
    for nth in 20..26 {
        plan = plan
            .at(1_600 + 20 * nth, submit(0, nth))
            .at(2_600 + 20 * nth, SimFault::SubmitAgain { node: 0, nth });
    }
    plan.at(2_400 + chance(seed).random_range(0..200), SimFault::SeenLost { node: 0, part: SeenPart::All })
}

/// A sync fails, the node is started again over what the cache says, goes on, and the power goes.
pub fn sync_fails(seed: u64) -> SimPlan {
    let (mut rng, node) = (chance(seed), (seed % 2) as usize);
    let mut plan = SimPlan::new(seed, 2, Topology::Mesh);
    for nth in 0..30 {
        plan = plan.at(200 + 50 * nth, submit(0, nth)).at(220 + 50 * nth, submit(1, nth));
    }
    let at = rng.random_range(300..1_200);
    let down_ms = rng.random_range(1..100);
    let plan = plan.at(at, SimFault::SyncFails { node, syncs: 0, down_ms });
    plan.at(at + down_ms + rng.random_range(20..400), SimFault::Crash { node, down_ms: 20 })
}

/// Retention takes what a consumer has not acknowledged, while it acknowledges, and the power goes.
pub fn position_races_retention(seed: u64) -> SimPlan {
    let mut rng = chance(seed);
    let mut plan = published(seed, 2, Topology::Mesh, 40_000);
    plan.weather.sync_ms = (20, 60);
    let from = rng.random_range(400..1_000);
    for _ in 0..6 {
        plan = plan.at(from + rng.random_range(0..400), SimFault::Retire { node: 1 });
    }
    plan.at(from + rng.random_range(0..500), SimFault::Crash { node: 1, down_ms: 20 })
}

/// An old segment is damaged behind a start: consumer and feed meet it as they read on from the disk.
pub fn old_segment_rots(seed: u64) -> SimPlan {
    let mut rng = chance(seed);
    let mut plan = published(seed, 3, Topology::Chain, 15_000).at(0, SimFault::Acks { node: 1, on: false });
    plan = plan.at(0, SimFault::Partition { below: 2, for_ms: 3_000 });
    plan = plan.at(2_000, SimFault::Kill { node: 1, down_ms: 0 });
    for _ in 0..rng.random_range(1..4) {
        plan = plan.at(2_000 + rng.random_range(1..30), SimFault::Rot { node: 1 });
    }
    plan.at(2_500, SimFault::Acks { node: 1, on: true })
}

/// The newest segment is damaged, and the operator does what the hint says.
pub fn newest_segment_rots(seed: u64) -> SimPlan {
    let plan = published(seed, 2, Topology::Mesh, 12_000);
    let at = chance(seed).random_range(600..1_500);
    let plan = plan.at(at, SimFault::RotNewest { node: 1 });
    (20..24).fold(plan, |plan, nth| plan.at(1_600 + 40 * nth, submit(0, nth)))
}

/// The power goes while segments begin.
pub fn power_goes_as_segments_begin(seed: u64) -> SimPlan {
    let at = chance(seed).random_range(300..1_100);
    let plan = published(seed, 2, Topology::Mesh, 40_000);
    plan.at(at, SimFault::Crash { node: (seed % 2) as usize, down_ms: 20 })
}

fn all_are_well(scenario: fn(u64) -> SimPlan) {
    for seed in seeds(30, 10) {
        run(scenario(seed));
    }
}

#[test]
fn floor_is_on_disk_before_a_seen_set_is_believed() {
    all_are_well(floor_is_late);
    without(&[ProtocolRule::FloorFirst], floor_is_late);
}

#[test]
fn seen_set_that_breaks_answers_only_above_its_floor() {
    all_are_well(seen_breaks);
}

#[test]
fn remade_seen_set_knows_all_that_the_journal_holds() {
    all_are_well(submitted_again);
}

#[test]
fn seen_set_that_lacks_a_day_is_made_again() {
    all_are_well(seen_in_parts);
    without(&[ProtocolRule::SeenCounted], seen_in_parts);
}

#[test]
fn start_after_a_failed_sync_shows_only_what_is_on_disk() {
    all_are_well(sync_fails);
    without(&[ProtocolRule::WrittenAgain], sync_fails);
}

#[test]
fn missing_entries_stay_counted_over_a_crash() {
    all_are_well(position_races_retention);
    without(&[ProtocolRule::PositionsRise], position_races_retention);
}

#[test]
fn damaged_entries_come_again_from_peers() {
    all_are_well(old_segment_rots);
    without(&[ProtocolRule::LossCounted], old_segment_rots);
    without(&[ProtocolRule::LostAsked], old_segment_rots);
}

#[test]
fn segment_has_its_name_before_it_is_answered_for() {
    all_are_well(power_goes_as_segments_begin);
    without(&[ProtocolRule::NamesSynced], power_goes_as_segments_begin);
}

#[test]
fn journal_whose_end_is_gone_says_so() {
    all_are_well(newest_segment_rots);
    without(&[ProtocolRule::NewestNamed], newest_segment_rots);
}
