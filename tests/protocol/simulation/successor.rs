//! Federations of two versions: some nodes speak as a successor of this version would, with more fields, frames,
//! numbers, keys and header entries than this version knows. Nothing is lost or repeated, either way.

use super::*;
use intelmesh::Entry;
use std::sync::Arc;

fn with(plan: SimPlan, successors: &[usize]) -> SimPlan {
    SimPlan { successors: successors.to_vec(), ..plan }
}

/// What a node holds of `publisher`.
fn held(world: &SimWorld, node: usize, publisher: usize) -> Vec<Arc<Entry>> {
    let name = &world.machines[publisher].name;
    let held = world.journal_of(node).unwrap();
    held.into_iter().filter(|entry| entry.envelope.publisher() == name).collect()
}

#[test]
fn two_versions_in_one_federation_lose_and_repeat_nothing() {
    let trouble = Trouble { faults: 6, restores: true, ..Trouble::default() };
    for seed in seeds(12, 6) {
        run(with(troubled(seed, 2, Topology::Mesh, trouble), &[(seed % 2) as usize]));
        run(with(troubled(seed, 3, Topology::Chain, trouble), &[1]));
        run(with(troubled(seed, 3, Topology::Chain, trouble), &[0, 2]));
        run(with(troubled(seed, 3, Topology::Mesh, trouble), &[0]));
    }
    let trouble = Trouble { faults: 6, retires: true, ..Trouble::default() };
    for seed in seeds(4, 2) {
        run(with(troubled(seed, 3, Topology::Mesh, trouble), &[1]));
    }
}

#[test]
fn seven_nodes_of_which_three_are_newer_survive_everything() {
    let trouble = Trouble { faults: 10, restores: true, ..Trouble::default() };
    for seed in seeds(2, 1) {
        run(with(troubled(seed, 7, Topology::Ring, trouble), &[0, 2, 5]));
        run(with(troubled(seed, 7, Topology::Mesh, trouble), &[1, 3, 6]));
    }
}

/// The newer nodes hear each other through an older one, whole.
#[test]
fn version_1_relays_byte_for_byte_what_it_does_not_understand() {
    for seed in seeds(2, 1) {
        let plan = submissions(SimPlan::new(seed, 3, Topology::Chain), 8, 30, Tlp::Green, 100);
        let world = run(with(plan, &[0, 2]));
        for (publisher, reader) in [(0, 2), (2, 0)] {
            let (relayed, read) = (held(&world, 1, publisher), held(&world, reader, publisher));
            assert_eq!((relayed.len(), read.len()), (8, 8), "seed {seed}");
            for entry in read {
                assert_eq!(entry.envelope.core().extensions.len(), 2);
                let relay = relayed.iter().find(|other| other.envelope.key() == entry.envelope.key());
                assert_eq!(entry.envelope.bytes(), relay.unwrap().envelope.bytes(), "seed {seed}");
                assert_eq!(entry.envelope.key_id().as_bytes().len(), 32);
            }
        }
    }
}

/// A newer node on the way adds itself to a header that nobody signs, an older one does not: two forms of one event
/// meet, and the first one counts.
#[test]
fn what_a_newer_relay_attests_makes_no_second_event() {
    let mut attested = 0;
    for seed in 1..=6 {
        let plan = submissions(SimPlan::new(seed, 4, Topology::Ring), 6, 30, Tlp::Green, 100);
        let world = run(with(plan, &[1]));
        assert_eq!(world.union().len(), 24, "seed {seed}");
        let own = held(&world, 0, 0);
        for entry in held(&world, 2, 0) {
            let original = own.iter().find(|other| other.envelope.key() == entry.envelope.key()).unwrap();
            assert_eq!(original.digest(), entry.digest(), "seed {seed}");
            attested += usize::from(original.envelope.bytes() != entry.envelope.bytes());
        }
    }
    println!("{attested} of 36 came first by the newer relay");
    assert!((1..36).contains(&attested), "both forms come first now and then: {attested}");
}
