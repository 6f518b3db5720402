//! The writer holds the engine while it makes derived data again. The node's loop asks meanwhile, and goes on.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::open;

#[test]
fn node_waits_for_no_busy_store() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.append(1..3);
    let arrived = world.store.arrived_if_free(2).expect("the store is free");
    assert!(arrived.is_some());
    let (done, asked) = sync_channel(1);
    std::thread::scope(|scope| {
        let busy = world.store.shared.engine();
        scope.spawn(|| {
            let known = (world.store.arrived_if_free(2), world.store.stats_if_free().is_some());
            world.store.keep(1 << 20, 1);
            done.send(known).unwrap();
        });
        let asked = asked.recv_timeout(Duration::from_secs(10));
        drop(busy);
        assert_eq!(asked, Ok((None, false)));
    });
}
