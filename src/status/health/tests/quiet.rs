//! Peers that are connected and send nothing.

use super::*;

/// Connected and working, but its pipeline is dead; the warning says whom to call.
#[test]
fn a_peer_that_sends_nothing_is_silent() {
    let silent = |last_ms: u64| {
        let peer = PeerStatus {
            expect_every_s: Some(3_600),
            last_event: ago(last_ms),
            contact: Some("+372 555 0100".to_owned()),
            ..peer("cert-ee")
        };
        derive(&Snapshot { peers: vec![peer], ..facts() }, &HealthThresholds::default(), NOW)
    };
    assert_eq!(silent(3_599_999), []);
    let [found] = silent(7_200_000).try_into().unwrap();
    assert_eq!((found.code, found.since), (HealthCode::PeerSilent, ago(7_200_000)));
    let words = "cert-ee is connected, but has sent no event for 2 h 0 m; its file expects one every 1 h 0 m";
    assert_eq!(found.what, words);
    assert!(found.hint.ends_with("; contact: +372 555 0100"), "{}", found.hint);
}
