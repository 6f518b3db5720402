//! Frames of the watch: their size, their order, and rates over a restart.

use super::*;
use crate::cli::status::sample::snapshot;

#[test]
fn a_hundred_peers_fit_a_small_terminal_worst_first() {
    let names: Vec<String> = (0..100).map(|n| format!("cert-number-{n:03}")).collect();
    let peers: Vec<(&str, bool, u64)> =
        names.iter().map(|name| (name.as_str(), !name.ends_with("42"), 0)).collect();
    let mut rates = RateTable::default();
    let now = snapshot(10.0, &peers);
    rates.observe(&now);
    for (columns, rows) in [(60, 24), (80, 50), (200, 10)] {
        let frame = frame(&now, &rates, columns, rows);
        assert!(frame.lines().count() < rows, "{frame}");
        assert!(frame.lines().all(|line| line.chars().count() <= columns), "{frame}");
        let heads = frame.lines().position(|line| line.starts_with("PEERS")).unwrap();
        assert!(frame.lines().nth(heads + 1).unwrap().contains("cert-number-042  DOWN"), "{frame}");
    }
    assert!(frame(&now, &rates, 80, 24).contains("soc: 6 behind\n"));
}

#[test]
fn rates_are_per_second_and_begin_again_after_a_restart() {
    let mut rates = RateTable::default();
    for (uptime_s, accepted) in [(10.0, 100), (12.0, 120), (14.0, 120)] {
        rates.observe(&snapshot(uptime_s, &[("cert-ee", true, accepted)]));
    }
    let of =
        |rates: &RateTable| rates.peers.values().next().map(|peer| (peer.sent, peer.history.len())).unwrap();
    assert_eq!(of(&rates), (0.0, 2));
    let shown = frame(&snapshot(14.0, &[("cert-ee", true, 120)]), &rates, 80, 24);
    assert!(shown.contains("█▁"), "{shown}");
    rates.observe(&snapshot(1.0, &[("cert-ee", true, 5)]));
    assert_eq!(of(&rates), (0.0, 2), "what was counted before the restart is no rate");
    rates.observe(&snapshot(2.0, &[("cert-ee", true, 9)]));
    assert_eq!(of(&rates), (4.0, 3));
}

/// A second window of the operator's is resized: it is drawn again at once, and asks the node at its next turn.
#[test]
fn a_wake_comes_before_the_next_turn() {
    let (wake, wakes) = mpsc::sync_channel(WAKES_MAX);
    let long = Duration::from_secs(600);
    wake.send(Wake::Resized).unwrap();
    assert_eq!(waited(&wakes, long), Wake::Resized);
    wake.send(Wake::Stop).unwrap();
    assert_eq!(waited(&wakes, long), Wake::Stop);
    assert_eq!(waited(&wakes, Duration::ZERO), Wake::Turn);
    drop(wake);
    assert_eq!(waited(&wakes, long), Wake::Stop);
}
