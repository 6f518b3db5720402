//! Sentences of the contract about `status` that no single code has: who is counted, what the numbers come to, and the
//! keys of its JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::shape::{mesh, together};
use support::{Consumer, wait_until};

use super::{SOON, connected, first_line, named, node, well};

/// Its events come through others: it is not dialled, not missed and not counted, and may connect all the same.
#[test]
fn a_publisher_only_peer_is_not_missed_and_may_connect() {
    let (mut a, mut b) = (node("cert-at"), node("cert-ee"));
    a.cli(&["peer", "add", &b.invite(), "--yes", "--publisher-only"]);
    let file = fs::read_to_string(a.dir().join("peers/cert-ee.toml")).unwrap();
    assert!(file.contains("\npublisher_only = true\n"), "{file}");
    b.cli(&["peer", "add", &a.invite(), "--yes", "--no-connect"]);
    a.start();
    b.start();
    assert_eq!(first_line(&a), "ok: 0 of 0 peers up, 0 consumers");
    assert!(!a.dials("cert-ee"));
    named(&b, "no_route", "there is no way to cert-at");
    assert_eq!(first_line(&a), "ok: 0 of 0 peers up, 0 consumers", "though it never connected");
    b.configure_peer("cert-at", "", "addresses", &format!("[\"{}\"]", a.address()));
    wait_until("it connects", SOON, || a.connected("cert-ee"));
    let ids = b.publish(&[made(1, 300)]);
    wait_until("its event arrives", SOON, || a.accepted() == ids.len() as u64);
    b.kill9();
    wait_until("it is gone", SOON, || !a.connected("cert-ee"));
    support::pace(Duration::from_secs(4));
    assert!(first_line(&a).starts_with("ok: 0 of 0 peers up"), "{}", first_line(&a));
}

/// Everybody hands everything to everybody: each event comes to each node on two ways.
#[test]
fn at_rest_the_counters_add_up() {
    const EACH: u64 = 40;
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    for node in &nodes {
        node.publish(&(0..EACH as usize).map(|number| made(number, 300)).collect::<Vec<_>>());
    }
    nodes[0].say(&["submit", "--to", "cert-ee"], &made(99, 300)).done();
    let foreign = [2 * EACH, 2 * EACH + 1, 2 * EACH];
    let settled = |at: usize| {
        let status = nodes[at].status();
        let peers = status["peers"].as_array().unwrap();
        let of = |peer: &Value, way: &str, what: &str| peer[way][what].as_u64().unwrap();
        let sum = |way: &str, what: &str| peers.iter().map(|peer| of(peer, way, what)).sum::<u64>();
        let ends = ["accepted", "refused", "rejected", "missing", "owed"];
        let received = |peer: &Value| ends.iter().map(|what| of(peer, "received", what)).sum::<u64>();
        let sent = |peer: &Value| ends[..3].iter().map(|what| of(peer, "sent", what)).sum::<u64>();
        println!("{status}");
        peers.iter().all(|peer| received(peer) == of(peer, "received", "offered"))
            && peers.iter().all(|peer| sent(peer) == of(peer, "sent", "offered"))
            && sum("received", "accepted") == foreign[at]
            && peers
                .iter()
                .all(|peer| of(peer, "sent", "lag_events") + of(peer, "received", "lag_events") == 0)
    };
    wait_until("all numbers add up", SOON, || (0..3).all(settled));
    let withheld = || nodes[0].count("cert-pl", "/sent/withheld");
    let once = withheld();
    assert!(once >= 1, "the event for cert-ee alone is withheld from cert-pl");
    for verb in ["pause", "resume"] {
        nodes[0].cli(&["peer", verb, "cert-pl"]);
    }
    together(&nodes[0]);
    nodes[0].publish(&[made(100, 300)]);
    wait_until("the feed runs again", SOON, || nodes[2].accepted() == 2 * EACH + 1);
    assert_eq!(withheld(), once, "each event counts once for each peer");
}

/// The sample in CONTRACT.md, key by key.
#[test]
fn status_has_each_key_that_the_contract_shows() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONTRACT.md")).unwrap();
    let begin = text.find("{\"schema\":\"intelmesh.status/1\"").expect("CONTRACT.md has a sample");
    let sample = &text[begin..begin + text[begin..].find("\n```").unwrap()];
    let sample: Value = serde_json::from_str(sample).expect("the sample is JSON");

    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    well(&a);
    b.publish(&[made(1, 300)]);
    a.publish(&[made(2, 300)]);
    let mut pipeline = Consumer::open(&a, &json!({"consumer": "pipeline"}));
    pipeline.take(1);
    let mut stranger = node("cert-xx");
    support::trust(&stranger, &a, true);
    stranger.start();
    fs::write(a.dir().join("peers/cert-pl.toml"), "kee = 1\n").unwrap();
    named(&a, "config_bad", "peers/cert-pl.toml:1: ");
    // What is not known is absent: how far a peer is, while it is away.
    let connected = a.status()["peers"].clone();
    b.kill9();
    wait_until("its absence is told", SOON, || a.complains("peer_silent") || a.complains("peer_down"));
    let peer_entry = |status: &Value| {
        let health = status["health"].as_array().unwrap();
        health.iter().find(|entry| entry["peer"] == "cert-ee").cloned()
    };
    wait_until("the stranger is shown", SOON, || a.status()["strangers"][0]["key"].is_string());
    let mut status = a.status();
    status["health"] = json!([peer_entry(&status).expect("one of the peer")]);
    status["peers"] = connected;
    compare("", &sample, &status);
    assert!(
        status["errors"]
            .as_array()
            .unwrap()
            .iter()
            .any(|error| { error["what"].as_str().unwrap().starts_with("peers/cert-pl.toml:1: ") })
    );
}

fn compare(at: &str, sample: &Value, held: &Value) {
    match sample {
        Value::Object(keys) => {
            for (key, value) in keys {
                let held = held.get(key).unwrap_or_else(|| panic!("{at}/{key} is not in {held}"));
                compare(&format!("{at}/{key}"), value, held);
            }
        }
        Value::Array(items) => compare(&format!("{at}/0"), &items[0], &held[0]),
        Value::Null => {}
        _ => {
            let kinds = |value: &Value| (value.is_string(), value.is_number(), value.is_boolean());
            assert_eq!(kinds(sample), kinds(held), "{at}: {sample} {held}");
        }
    }
}
