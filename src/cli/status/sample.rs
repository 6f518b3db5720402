//! A status for the tests of what is drawn from it.

use crate::status::Snapshot;

pub fn snapshot(uptime_s: f64, peers: &[(&str, bool, u64)]) -> Snapshot {
    let peers: Vec<serde_json::Value> = peers
        .iter()
        .map(|(name, connected, accepted)| {
            let (sent, received) = (counters(*accepted), counters(0));
            serde_json::json!({"name": name, "state": "trusted", "verified": true, "connected": connected,
                "sent": sent, "received": received, "last_error": null})
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "schema": "intelmesh.status/1", "name": "cert-at", "peer_id": "-", "key": "-", "version": "0", "uptime_s": uptime_s,
        "ok": true, "health": [], "clock": {"ok": true},
        "journal": {"log_id": "-", "first_seq": 1, "last_seq": 7, "bytes": 1}, "seen": {"ids": 0, "bytes": 0},
        "peers": peers, "consumers": [{"name": "soc", "position": 1, "lag_events": 6, "connected": true, "missing": 0}],
        "strangers": [], "errors": []
    }))
    .unwrap()
}

fn counters(accepted: u64) -> serde_json::Value {
    serde_json::json!({"offered": accepted, "accepted": accepted, "refused": 0, "deferred": 0, "rejected": 0,
        "withheld": 0, "missing": 0, "owed": 0})
}
