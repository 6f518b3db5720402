//! The long run: federations with fresh seeds and all faults for as long as is asked for. `./tests/run long` gives it
//! half an hour. A plain run only repeats the seeds that found something, so that it says the same each time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use intelmesh::testing::clock;

/// Draws a federation with everything that can go wrong in it.
fn wild(seed: u64) -> SimPlan {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x0017_11d0);
    let nodes = rng.random_range(2..6);
    let topologies = [Topology::Mesh, Topology::Chain, Topology::Ring, Topology::Star];
    let topology = topologies[rng.random_range(0..topologies.len())].clone();
    let trouble = Trouble {
        faults: rng.random_range(1..12),
        restores: rng.random(),
        retires: rng.random(),
        harms: rng.random(),
    };
    troubled(seed, nodes, topology, trouble)
}

/// How long it goes on: `INTELMESH_SIM_SECONDS`, 0 if that is not set.
fn seconds() -> u64 {
    std::env::var("INTELMESH_SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Each of them showed a fault of the node, or of the witness.
#[test]
fn seeds_that_found_a_fault_hold_now() {
    for seed in [
        862_214_386,
        1_884_097_421_389,
        20_110_740_126_421,
        40_339_684_183_510,
        54_054_672_876_550,
        57_232_009_971_015,
        57_232_009_971_019,
        62_227_981_875_777,
        71_509_476_512_224,
        72_506_534_382_833,
        91_719_678_213_163,
        94_740_542_677_175,
        103_788_918_179_117,
        126_987_058_184_532,
        128_672_229_803_400,
        128_737_018_276_031,
        140_109_445_412_393,
        141_031_473_200_803,
        161_921_075_779_767,
        174_743_269_922_817,
        190_975_377_513_113,
        192_060_291_739_364,
        242_606_521_191_469,
        244_124_754_491_724,
        256_305_856_560_783,
        257_361_347_225_080,
        266_636_479_953_459,
    ] {
        run(wild(seed));
    }
}

#[test]
fn hunt_with_fresh_seeds_finds_no_violation() {
    let first = seeds(0, 1)[0];
    println!(
        "seed {first}: INTELMESH_SIM_RUNS=0 INTELMESH_SIM_SEED={first} cargo test --profile ci --all-features --test protocol hunt"
    );
    if std::env::var("INTELMESH_SIM_RUNS").as_deref() == Ok("0") {
        run(wild(first));
        return;
    }
    let (until, nth) = (clock::now().tick.plus_ms(1_000 * seconds()), AtomicU64::new(0));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if std::env::var_os("INTELMESH_LONG").is_some() { cores } else { 1 };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while clock::now().tick < until {
                    run(wild(first.wrapping_add(nth.fetch_add(1, Ordering::Relaxed))));
                }
            });
        }
    });
    for (what, count) in DONE.lock().unwrap().iter() {
        println!("{what}: {count}");
    }
}
