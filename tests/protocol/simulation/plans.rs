//! Plans that are drawn from a seed: traffic, weather, and what goes wrong.

use super::*;
use intelmesh::CoreBounds;
use intelmesh::testing::{Dates, SeenPart};

pub fn submissions(mut plan: SimPlan, per_node: u64, every_ms: u64, tlp: Tlp, body_bytes: usize) -> SimPlan {
    for node in 0..plan.nodes {
        for nth in 0..per_node {
            let at = 200 + nth * every_ms + 7 * node as u64;
            plan = plan.at(at, SimFault::Submit { node, nth, tlp, body_bytes });
        }
    }
    plan
}

/// What may go wrong in a run.
#[derive(Clone, Copy, Default)]
pub struct Trouble {
    pub faults: usize,
    /// Copies of a directory are put back, or its journal removed.
    pub restores: bool,
    pub retires: bool,
    /// Syncs fail, bits flip, and parts of the seen set are lost.
    pub harms: bool,
}

/// Draws a plan: traffic of both labels, some bounds small, and `trouble`.
pub fn troubled(seed: u64, nodes: usize, topology: Topology, trouble: Trouble) -> SimPlan {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut plan = SimPlan::new(seed, nodes, topology);
    if rng.random_range(0..3) == 0 {
        plan.bounds = CoreBounds {
            owed: rng.random_range(1..6),
            window: rng.random_range(1..8),
            send_queue_bytes: rng.random_range(1..2_000),
        };
        plan.weather.pipe_bytes = rng.random_range(1..2_000);
    }
    plan.weather.latency_ms.1 = rng.random_range(2..200);
    plan.weather.sync_ms.1 = rng.random_range(2..150);
    let body_bytes = if trouble.retires { 40_000 } else { 100 };
    if trouble.retires {
        plan.keep_bytes = 512 * 1024;
    }
    if nodes > 2 && rng.random_range(0..3) == 0 {
        let node = rng.random_range(0..nodes);
        let publisher = (node + rng.random_range(1..nodes)) % nodes;
        plan.peering.later = vec![(node, publisher)];
        plan = plan.at(rng.random_range(300..6_000), SimFault::Trust { node, publisher });
    }
    if trouble.harms && rng.random() {
        plan.dates = Dates::TwoDays;
    }
    for node in 0..nodes {
        for nth in 0..rng.random_range(1..12) {
            let tlp = if rng.random_range(0..4) == 0 { Tlp::Amber } else { Tlp::Green };
            plan = plan.at(rng.random_range(100..5_000), SimFault::Submit { node, nth, tlp, body_bytes });
            if rng.random_range(0..4) == 0 {
                let again = SimFault::SubmitAgain { node, nth };
                let fault = if rng.random() { again } else { SimFault::SubmitOther { node, nth } };
                plan = plan.at(rng.random_range(100..7_000), fault);
            }
        }
    }
    for _ in 0..trouble.faults {
        let at = rng.random_range(100..6_000);
        let node = rng.random_range(0..nodes);
        for (later, fault) in draw(&mut rng, node, nodes, trouble) {
            plan = plan.at(at + later, fault);
        }
    }
    plan
}

fn draw(rng: &mut StdRng, node: usize, nodes: usize, trouble: Trouble) -> Vec<(u64, SimFault)> {
    let other = (node + rng.random_range(1..nodes)) % nodes;
    let for_ms = rng.random_range(1..4_000);
    if trouble.harms && rng.random_range(0..3) == 0 {
        return draw_harm(rng, node, for_ms);
    }
    match rng.random_range(0..12) {
        0..3 => vec![(0, SimFault::Crash { node, down_ms: for_ms / 2 })],
        3 | 4 => vec![(0, SimFault::Cut { a: node, b: other })],
        5 => vec![(0, SimFault::Partition { below: 1 + node % (nodes - 1), for_ms })],
        6 => vec![(0, SimFault::DiskFull { node, for_ms })],
        7 => vec![(0, SimFault::Reconnect { node }), (for_ms, SimFault::StaleAck { node })],
        8 => {
            let by_ms = rng.random_range(1..36) * 3_600_000;
            let back = SimFault::ClockJump { node, by_ms: -by_ms };
            vec![(0, SimFault::ClockJump { node, by_ms }), (for_ms, back)]
        }
        9 if trouble.retires => vec![(0, SimFault::Retire { node })],
        9 | 10 if trouble.restores => {
            let copied = SimFault::Backup { node, later_ms: for_ms / 3 };
            vec![(0, copied), (for_ms, SimFault::Restore { node })]
        }
        11 if trouble.restores => vec![(0, SimFault::Empty { node })],
        _ => vec![
            (0, SimFault::Cut { a: node, b: other }),
            (for_ms, SimFault::Crash { node: other, down_ms: 0 }),
        ],
    }
}

/// What befalls a disk. A sync that failed does harm once the power goes, too.
fn draw_harm(rng: &mut StdRng, node: usize, for_ms: u64) -> Vec<(u64, SimFault)> {
    let part = [SeenPart::All, SeenPart::Day, SeenPart::OlderDay][rng.random_range(0..3)];
    match rng.random_range(0..9) {
        0 | 1 => {
            let down_ms = rng.random_range(1..200);
            let cut = SimFault::Crash { node, down_ms };
            let syncs = rng.random_range(0..6);
            vec![(0, SimFault::SyncFails { node, syncs, down_ms }), (for_ms, cut)]
        }
        2 => vec![(0, SimFault::Kill { node, down_ms: 5 }), (for_ms, SimFault::Crash { node, down_ms: 5 })],
        3 => vec![(0, SimFault::Rot { node }), (for_ms, SimFault::Kill { node, down_ms: 5 })],
        4 => vec![(0, SimFault::Kill { node, down_ms: 0 }), (2, SimFault::Rot { node })],
        5 => vec![(0, SimFault::RotNewest { node })],
        6 => {
            let syncs = rng.random_range(0..6);
            vec![
                (0, SimFault::SyncFails { node, syncs, down_ms: 20 }),
                (0, SimFault::SeenLost { node, part }),
            ]
        }
        7 => vec![(0, SimFault::SeenLost { node, part })],
        _ => vec![(0, SimFault::SeenBroken { node })],
    }
}
