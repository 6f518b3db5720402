//! One peer or publisher that sends too much, wrong or wrongly dated things: it is bounded, and nobody else waits.

use super::*;

/// A publisher that was put back signs other bodies under the same ids: each node keeps what it had, and says so.
#[test]
fn two_bodies_under_one_id_are_shown() {
    for seed in seeds(6, 2) {
        let mut plan = Plan::new(seed, 3, Topology::Mesh);
        plan = plan.at(150, Fault::Backup { node: 1, later_ms: 0 });
        plan = plan.at(200, Fault::Partition { below: 2, for_ms: 690 }).at(300, submit(1, 0));
        plan = plan.at(891, Fault::Partition { below: 1, for_ms: 3_000 });
        plan = plan.at(900, Fault::Restore { node: 1 }).at(1_000, Fault::SubmitOther { node: 1, nth: 0 });
        let world = run(plan);
        assert!(world.witness.counts.equivocations > 0, "seed {seed}");
    }
}
