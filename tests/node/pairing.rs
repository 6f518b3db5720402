//! How two operators come to trust each other, and what is written down of it: pending, trusted, verified, and
//! `audit.jsonl`. What a trusted peer may have is `trust.rs`'s.

use std::time::Duration;

use intelmesh::Timestamp;
use intelmesh::testing::Invitation;
use serde_json::Value;
use support::events::made;
use support::shape::{TOGETHER, mesh};
use support::{Node, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn audited(node: &Node) -> Vec<Value> {
    let text = std::fs::read_to_string(node.dir().join("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn has(node: &Node, what: &str, peer: &str) -> bool {
    audited(node).iter().any(|line| line["what"] == what && line["peer"] == peer)
}

#[test]
fn a_peer_added_unseen_is_trusted_but_unverified_until_the_words_were_compared() {
    let (mut a, b) = (Node::init("cert-at"), Node::init("cert-ee"));
    let invitation = b.cli(&["invite"]);
    a.cli(&["peer", "add", invitation.trim(), "--yes", "--no-connect"]);
    a.start();
    let peer = |node: &Node| node.status()["peers"][0].clone();
    assert_eq!(peer(&a)["state"], "trusted");
    assert_eq!(peer(&a)["verified"], false);

    let asked = a.say(&["peer", "verify", "cert-ee"], "n\n");
    assert_eq!(asked.code, 1, "{asked:?}");
    assert_eq!(peer(&a)["verified"], false, "no is no");
    let nobody = a.say(&["peer", "verify", "cert-ee"], "");
    assert_eq!(nobody.code, 2, "{nobody:?}");

    let said = a.say(&["peer", "verify", "cert-ee"], "y\n");
    assert_eq!(said.code, 0, "{said:?}");
    let words = |node: &Node| {
        let keys: Value = serde_json::from_str(&node.cli(&["key", "show", "--json"])).unwrap();
        keys["words"].as_str().unwrap().to_owned()
    };
    let shown = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for node in [&a, &b] {
        assert_eq!(words(node).split(' ').count(), 10);
        assert!(shown.contains(&words(node)), "both fingerprints are shown: {}", said.stderr);
    }
    wait_until("it is verified", SOON, || peer(&a)["verified"] == true);
    let shown: Value = serde_json::from_str(&a.cli(&["peer", "show", "cert-ee", "--json"])).unwrap();
    assert!(shown["peer"]["verified_at"].is_string() && shown["peer"]["verified_by"].is_string());
    assert!(has(&a, "peer_added", "cert-ee") && has(&a, "peer_verified", "cert-ee"));
    wait_until("the node saw the file change", SOON, || has(&a, "peer_file_changed", "cert-ee"));
    assert_eq!(a.say(&["peer", "verify", "nobody", "--yes"], "").code, 1);
}

#[test]
fn a_pending_peer_exchanges_nothing_before_it_is_verified() {
    let (mut a, mut b) = (Node::init("cert-at"), Node::init("cert-ee"));
    for (here, there) in [(&a, &b), (&b, &a)] {
        let invitation = there.cli(&["invite"]);
        let flag = if here.name() == "cert-at" { "--pending" } else { "--yes" };
        here.cli(&["peer", "add", invitation.trim(), flag]);
    }
    a.start();
    b.start();
    b.publish(&[made(1, 500)]);
    assert!(a.cli(&["peer", "list"]).contains("pending"));
    wait_until("the pending peer knocked, and was turned away", SOON, || {
        a.status()["strangers"].as_array().is_some_and(|list| !list.is_empty())
    });
    assert_eq!(a.accepted(), 0);
    a.cli(&["peer", "verify", "cert-ee", "--yes"]);
    wait_until("what waited came", SOON, || a.accepted() == 1);
    wait_until("it is no stranger any more", SOON, || a.status()["strangers"].as_array().unwrap().is_empty());
}

#[test]
fn an_invitation_for_anothers_alias_is_refused() {
    let (mut at, gov, ee) = (Node::init("cert-at"), Node::init("govcert"), Node::init("cert-ee"));
    at.cli(&["peer", "add", &gov.invite(), "--yes"]);
    at.edit("peers/govcert.toml", |text| text.replace("aliases = []", "aliases = [\"cert-ee\"]"));
    let said = at.say(&["peer", "add", &ee.invite(), "--yes"], "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("\"cert-ee\" is an alias of govcert in peers/govcert.toml"), "{said:?}");
    assert!(said.stderr.contains("hint: "), "{said:?}");
    assert!(!at.dir().join("peers/cert-ee.toml").exists());
    assert!(!has(&at, "peer_added", "cert-ee"));
}

#[test]
fn an_invitation_with_a_weak_sealing_key_is_refused() {
    let at = Node::init("cert-at");
    let key = intelmesh::testing::fixture::key(7);
    let invitation = Invitation {
        name: "cert-ee".parse().unwrap(),
        federation: "intelmesh".parse().unwrap(),
        key: key.verifying_key(),
        seal: [0; 32],
        addresses: Vec::new(),
        expires: Timestamp(u64::MAX / 2),
    };
    let said = at.say(&["peer", "add", &invitation.make(&key).unwrap(), "--yes"], "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("sealing key in the invitation is weak"), "{said:?}");
    assert!(!at.dir().join("peers/cert-ee.toml").exists());
}

#[test]
fn a_key_that_the_operator_revoked_is_not_added_again_unasked() {
    let (mut at, ee) = (Node::init("cert-at"), Node::init("cert-ee"));
    let invitation = ee.invite();
    at.cli(&["peer", "add", &invitation, "--yes"]);
    at.cli(&["key", "revoke", "cert-ee", "--yes"]);
    let refused = |node: &Node, file: &str| {
        let said = node.say(&["peer", "add", &invitation, "--yes"], "");
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains("this key was revoked here") && said.stderr.contains(file), "{said:?}");
        assert!(said.stderr.contains("take that line out"), "how to undo it: {said:?}");
    };
    refused(&at, "peers/cert-ee.toml:");
    let removed = at.say(&["peer", "remove", "cert-ee"], "");
    assert!(removed.code == 0 && removed.stderr.contains("peers/revoked.txt"), "{removed:?}");
    refused(&at, "peers/revoked.txt:");
    assert!(!at.dir().join("peers/cert-ee.toml").exists());

    // A node of the same name with another key is somebody to pair with; what was revoked stays so.
    let anew = Node::init("cert-ee");
    at.cli(&["peer", "add", &anew.invite(), "--yes"]);
    refused(&at, "peers/revoked.txt:");
    at.cli(&["peer", "remove", "cert-ee"]);
    assert!(at.cli(&["check"]).starts_with("ok: "), "the list is no peer file");

    at.edit("peers/revoked.txt", |text| {
        text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    });
    at.cli(&["peer", "add", &invitation, "--yes"]);
    assert!(at.cli(&["peer", "list"]).contains("trusted"));
}

/// The partner has a new name: its file here was renamed by hand, and its aliases edited.
#[test]
fn the_feeds_of_a_renamed_peer_go_on() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[1].publish(&[made(1, 300)]);
    wait_until("it arrives", SOON, || nodes[0].accepted() == 1);
    // The files that the test keeps beside a node are named for its first name.
    nodes[1].edit("intelmesh.toml", |text| {
        text.replace("\nname = \"cert-ee\"", "\nname = \"cert-eesti\"\naliases = [\"cert-ee\"]")
    });
    nodes[1].stop();
    let ready = nodes[1].start_unready();
    assert!(ready.recv_timeout(TOGETHER).is_ok_and(|line| line.starts_with("ready cert-eesti ")));
    nodes[0].cli(&["peer", "rename", "cert-ee", "cert-eesti"]);
    wait_until("they are connected again", TOGETHER, || nodes[0].connected("cert-eesti"));
    nodes[1].publish(&[made(2, 300)]);
    nodes[0].publish(&[made(3, 300)]);
    let last = |node: &Node| node.status()["journal"]["last_seq"].as_u64();
    wait_until("both have all", SOON, || nodes.iter().all(|node| last(node) == Some(3)));
    let listed: Value = serde_json::from_str(&nodes[0].cli(&["event", "list", "--json"])).unwrap();
    let theirs = listed["events"].as_array().unwrap().iter().filter(|event| event["publisher"] != "cert-at");
    assert_eq!(theirs.count(), 2, "{listed}");
    assert!(has(&nodes[0], "peer_renamed", "cert-eesti"));
    let well = || nodes[0].say(&["status", "--check"], "").stdout.starts_with("ok: 1 of 1");
    wait_until("all is well", TOGETHER, well);
}
