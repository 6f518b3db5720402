//! Codes about peers: connections, feeds, names, keys and trust.

use std::fs;
use std::time::Duration;

use support::events::{made, with_meta};
use support::node::copy_dir;
use support::shape::together;
use support::{Node, trust, wait_until};

use super::{SOON, connected, dropped, first_line, logged, named, node, well, worst};

/// Two nodes behind firewalls, neither of which has an address of the other.
#[test]
fn a_peer_without_any_address_is_no_route() {
    let (mut a, mut b) = (node("cert-at"), node("cert-ee"));
    a.cli(&["peer", "add", &b.invite(), "--yes", "--no-connect"]);
    b.cli(&["peer", "add", &a.invite(), "--yes", "--no-connect"]);
    a.start();
    b.start();
    assert!(first_line(&a).starts_with("starting: 1 of 1 peers"), "{}", first_line(&a));
    assert_eq!(a.say(&["status", "--check"], "").code, 0, "a node that starts is not unwell");
    named(&a, "no_route", "there is no way to cert-ee");
    named(&b, "no_route", "there is no way to cert-at");
    b.configure_peer("cert-at", "", "addresses", &format!("[\"{}\"]", a.address()));
    well(&a);
    logged(&a, "no_route");
    // It has connected once: from now on it is missed, though it cannot be dialled.
    b.stop();
    named(&a, "peer_down", "cert-ee has been down");
    assert!(!a.dials("cert-ee"));
}

/// A peer is down whoever dials; until then it is silent.
#[test]
fn a_peer_that_went_away_is_silent_and_then_down() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    well(&a);
    b.kill9();
    wait_until("status is not ok any more", SOON, || !first_line(&a).starts_with("ok"));
    named(&a, "peer_down", "cert-ee has been down");
    b.start();
    well(&a);
    logged(&a, "peer_down");
}

/// A process that is stopped keeps its connections open, and says nothing.
#[test]
fn a_peer_that_hangs_is_named_before_a_minute() {
    let [a, b] = connected(["cert-at", "cert-ee"]);
    well(&a);
    b.signal(rustix::process::Signal::STOP);
    let watch = support::Stopwatch::start();
    a.publish(&[made(1, 300)]);
    wait_until("the peer is named", SOON, || {
        let health = worst(&a);
        ["peer_silent", "feed_lagging", "peer_down"].iter().any(|code| health["code"] == *code)
    });
    assert!(watch.elapsed() < Duration::from_secs(40), "{:?}", watch.elapsed());
    b.signal(rustix::process::Signal::CONT);
    well(&a);
}

/// Our file has another name than the peer gives: it is we who refuse, and both names are said.
#[test]
fn a_file_with_another_name_is_a_name_mismatch_on_both_sides() {
    let [a, b] = connected(["cert-at", "cert-ee"]);
    well(&a);
    let peers = a.dir().join("peers");
    fs::rename(peers.join("cert-ee.toml"), peers.join("cert-estonia.toml")).unwrap();
    let entry = named(&a, "name_mismatch", "cert-estonia calls itself \"cert-ee\"");
    assert!(
        first_line(&a).contains("peer rename cert-estonia cert-ee, or add aliases"),
        "{}",
        first_line(&a)
    );
    assert_eq!(entry["side"], "here");
    let entry = named(&b, "name_mismatch", "cert-at knows us by another name than \"cert-ee\"");
    assert_eq!(entry["side"], "there");
    let text = fs::read_to_string(peers.join("cert-estonia.toml")).unwrap();
    fs::write(peers.join("cert-estonia.toml"), text.replace("aliases = []", "aliases = [\"cert-ee\"]"))
        .unwrap();
    well(&a);
    well(&b);
}

/// The name in intelmesh.toml was changed: the node starts, keeps its journal, and says so until it was seen.
#[test]
fn a_node_with_a_new_name_starts_and_says_so() {
    let mut a = node("cert-at");
    a.start();
    a.publish(&[made(1, 300)]);
    a.stop();
    a.edit("intelmesh.toml", |text| text.replace("name = \"cert-at\"", "name = \"cert-austria\""));
    let ready = a.start_unready();
    assert!(ready.recv_timeout(SOON).unwrap().starts_with("ready cert-austria "));
    named(&a, "name_mismatch", "was called \"cert-at\" at its last start");
    assert_eq!(a.status()["journal"]["last_seq"], 1, "its journal stays");
    assert!(a.cli(&["status", "--ack", "name_mismatch"]).contains("1 acknowledged"));
    dropped(&a, "name_mismatch");
}

/// cert-pl does not trust cert-ee, whose events come to it through cert-at. It can act; the relay cannot.
#[test]
fn an_unknown_publisher_is_told_at_the_receiver_and_not_at_the_relay() {
    let (mut ee, mut at, mut pl) = (node("cert-ee"), node("cert-at"), node("cert-pl"));
    support::pair(&ee, &at);
    support::pair(&at, &pl);
    for one in [&mut ee, &mut at, &mut pl] {
        one.start();
    }
    together(&at);
    let lines: Vec<String> = (0..3).map(|number| made(number, 300)).collect();
    ee.publish(&lines);
    named(&pl, "unknown_publisher", "cert-ee (3 events)");
    assert_eq!(pl.status()["unknown_publishers"][0]["through"][0], "cert-at");
    assert!(!at.complains("rejected_by_peer"), "{}", at.status()["health"]);
    pl.configure_peer("cert-at", "receive", "ignore", "[\"cert-ee\"]");
    well(&pl);
    assert_eq!(pl.status()["unknown_publishers"][0]["ignored"], true, "counted all the same");
    pl.configure_peer("cert-at", "receive", "ignore", "[]");
    named(&pl, "unknown_publisher", "cert-ee");
    trust(&pl, &ee, false);
    well(&pl);
    wait_until("what was rejected is taken", SOON, || pl.accepted() == 3);
}

#[test]
fn a_peer_that_does_not_know_us_rejects_us_until_it_does() {
    let (mut a, mut b) = (node("cert-at"), node("cert-ee"));
    trust(&a, &b, true);
    a.start();
    b.start();
    named(&a, "rejected_by_peer", "cert-ee refuses our connection");
    let seen = a.say(&["status", "--ack", "rejected_by_peer"], "");
    assert_eq!(seen.code, 1, "that is a state, and lasts: {seen:?}");
    trust(&b, &a, true);
    well(&a);
}

#[test]
fn another_federation_is_a_version_skew() {
    let (mut a, mut b) = (node("cert-at"), node("cert-ee"));
    support::pair(&a, &b);
    b.edit("intelmesh.toml", |text| {
        text.replace("# federation = \"intelmesh\"", "federation = \"elsewhere\"")
    });
    a.start();
    b.start();
    named(&a, "version_skew", "cert-ee has no version or not the federation's name in common");
    b.stop();
    b.edit("intelmesh.toml", |text| text.replace("federation = \"elsewhere\"", "federation = \"intelmesh\""));
    b.start();
    well(&a);
}

#[test]
fn another_key_at_an_address_is_named_until_the_right_one_answers() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    b.stop();
    let mut impostor = node("cert-ee");
    impostor.edit("intelmesh.toml", |text| {
        let theirs = format!("tcp/{}", b.port());
        text.lines()
            .map(|line| match line.strip_prefix("listen = ") {
                Some(_) => format!("listen = [\"/ip4/127.0.0.1/{theirs}\"]\n"),
                None => format!("{line}\n"),
            })
            .collect()
    });
    trust(&impostor, &a, false);
    drop(impostor.start_unready());
    named(&a, "peer_key_changed", "cert-ee: another key (ed25519:");
    impostor.kill9();
    b.start();
    well(&a);
}

/// A copied machine, and then its original ends: the warning keeps its words, and ends with its cause.
#[test]
fn a_second_process_with_one_key_is_cloned_until_one_ends() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    well(&a);
    let mut copy = b.twin();
    super::quicken(&mut copy);
    copy.start();
    named(&a, "cloned", "cert-ee: two running nodes use its key");
    named(&copy, "cloned", "cert-at is connected to another running node with our key");
    b.stop();
    well(&copy);
    well(&a);
    logged(&a, "cloned");
}

/// keys/ was put back to an older copy; a peer knows what this node has said since.
#[test]
fn keys_that_are_older_than_their_statement_are_stale_until_replaced() {
    let [mut a, b] = connected(["cert-at", "cert-ee"]);
    let place = tempfile::TempDir::new().unwrap();
    let (old, new) = (place.path().join("old"), place.path().join("new"));
    a.stop();
    copy_dir(a.dir(), &old);
    a.start();
    together(&a);
    a.cli(&["key", "rotate", "--yes"]);
    wait_until("the peer has heard of it", SOON, || {
        b.say(&["peer", "show", "cert-at"], "").stdout.contains("statement  1")
    });
    a.stop();
    copy_dir(&a.dir().join("keys"), &new);
    a.put_back(&old);
    a.start();
    named(&a, "keys_stale", "peers reject what is signed here");
    fs::remove_dir_all(a.dir().join("keys")).unwrap();
    copy_dir(&new, &a.dir().join("keys"));
    dropped(&a, "keys_stale");
}

/// Two nodes that share a key sign two events under one id. The incident is kept over a restart, until it was seen.
#[test]
fn equivocation_is_an_incident_that_a_restart_does_not_forget() {
    const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    let [mut a, mut b] = connected(["cert-at", "cert-ee"]);
    let named_event = |number| {
        let meta = serde_json::json!({"version": 1, "uuid": {"current": UUID}});
        with_meta(&meta, &made(number, 300))
    };
    let mut copy = b.twin();
    b.publish(&[named_event(1)]);
    wait_until("it arrives", SOON, || a.accepted() == 1);
    b.stop();
    copy.start();
    copy.publish(&[named_event(2)]);
    wait_until("equivocation is told", SOON, || a.complains("equivocation"));
    a.restart();
    named(&a, "equivocation", "cert-ee signed");
    a.cli(&["status", "--ack", "equivocation"]);
    assert!(!a.complains("equivocation"), "{}", a.status()["health"]);
    a.restart();
    together(&a);
    assert!(!a.complains("equivocation"), "what was seen stays seen");
}

/// The only recipient goes before it has read the event, which no relay may carry.
#[test]
fn events_whose_recipients_are_gone_are_not_deliverable() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    let invitation = b.invite();
    b.stop();
    a.say(&["submit", "--to", "cert-ee"], &made(1, 300)).done();
    a.cli(&["peer", "remove", "cert-ee"]);
    named(&a, "not_deliverable", "1 event for cert-ee reach nobody");
    a.cli(&["peer", "add", &invitation, "--yes"]);
    dropped(&a, "not_deliverable");
    b.start();
    wait_until("it arrives after all", SOON, || b.accepted() == 1);
}

/// How far the peer had read is known over restarts, and also if it goes while the node is stopped.
#[test]
fn a_restart_hides_no_event_that_reaches_nobody() {
    for removed_while_stopped in [false, true] {
        let [mut a, mut b] = connected(["cert-at", "cert-ee"]);
        b.stop();
        a.say(&["submit", "--to", "cert-ee"], &made(1, 300)).done();
        if removed_while_stopped {
            a.stop();
            a.cli(&["peer", "remove", "cert-ee"]);
            a.start();
        } else {
            a.restart();
            a.cli(&["peer", "remove", "cert-ee"]);
        }
        named(&a, "not_deliverable", "1 event for cert-ee reach nobody");
    }
}

/// Nobody removed it: its own statement, which its operator had in the safe, ends its key.
#[test]
fn events_for_a_peer_that_revoked_itself_are_not_deliverable() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    let place = tempfile::TempDir::new().unwrap();
    let statement = place.path().join("statement");
    fs::write(&statement, b.revocation()).unwrap();
    b.stop();
    a.say(&["submit", "--to", "cert-ee"], &made(1, 300)).done();
    a.cli(&["key", "revoke", "--statement", statement.to_str().unwrap(), "--yes"]);
    wait_until("it is told", SOON, || a.complains("not_deliverable"));
}

/// The remedy of the runbook: it takes the event back, though those whom it was for are no peers any more.
#[test]
fn an_event_for_a_removed_peer_is_withdrawn() {
    let [a, mut b] = connected(["cert-at", "cert-ee"]);
    b.stop();
    let answer = a.say(&["submit", "--to", "cert-ee"], &made(1, 300)).done();
    let id = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned();
    a.cli(&["peer", "remove", "cert-ee"]);
    named(&a, "not_deliverable", "1 event for cert-ee reach nobody");
    // A name that the target did not have is refused as ever.
    let links = serde_json::json!([{"type": "withdraws", "right": id}]);
    for to in [&["cert-ee", "cert-xx"][..], &["cert-xx"]] {
        let meta = serde_json::json!({"version": 1, "to": to, "links": links});
        let refused = a.say(&["submit"], &with_meta(&meta, &made(2, 300)));
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    a.cli(&["event", "withdraw", &id]);
    dropped(&a, "not_deliverable");
}

/// The peer comes back some time after our own restart: what waits for it is as old as it was.
#[test]
fn what_waits_for_a_peer_is_as_old_after_a_restart() {
    let [mut a, mut b] = connected(["cert-at", "cert-ee"]);
    b.stop();
    b.configure_peer("cert-at", "receive", "rate", "\"1/s\"");
    a.publish(&(0..40).map(|number| made(number, 300)).collect::<Vec<_>>());
    support::pace(Duration::from_secs(12));
    a.restart();
    support::pace(Duration::from_secs(3));
    b.start();
    wait_until("the lag is known", SOON, || a.peer("cert-ee")["sent"]["lag_s"].is_number());
    let lag_s = a.peer("cert-ee")["sent"]["lag_s"].as_f64().unwrap();
    assert!(lag_s > 12.0, "{lag_s}: {}", a.peer("cert-ee"));
}

#[test]
fn a_feed_that_is_not_read_is_lagging_until_it_is() {
    let [mut a, b] = connected(["cert-at", "cert-ee"]);
    well(&b);
    // A receiver that reads slowly does not know what waits for it; the sender does.
    a.configure_peer("cert-ee", "receive", "rate", "\"1/s\"");
    wait_until("the file acts", SOON, || a.log().contains("peer files read"));
    let lines: Vec<String> = (0..60).map(|number| made(number, 300)).collect();
    b.publish(&lines);
    named(&b, "feed_lagging", "cert-at is ");
    a.configure_peer("cert-ee", "receive", "rate", "\"1000/s\"");
    well(&b);
    assert_eq!(a.accepted(), 60);
}

/// A corrected address is dialled at once, whatever was waited for at the old one.
#[test]
fn a_corrected_address_is_dialled_at_once() {
    let (mut a, mut b) = (node("cert-at"), node("cert-ee"));
    support::pair(&a, &b);
    a.configure_peer("cert-ee", "", "addresses", "[\"/ip4/127.0.0.1/tcp/1\"]");
    b.configure_peer("cert-at", "", "addresses", "[]");
    a.start();
    b.start();
    named(&a, "peer_down", "cert-ee has been down");
    // By now the pause between two attempts is long.
    support::pace(Duration::from_secs(20));
    let watch = support::Stopwatch::start();
    a.configure_peer("cert-ee", "", "addresses", &format!("[\"{}\"]", b.address()));
    wait_until("it is connected", SOON, || a.connected("cert-ee"));
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
}

/// Of a node's own life the log has a line each.
#[test]
fn start_and_stop_are_lines_of_the_log() {
    let mut a: Node = node("cert-at");
    a.start();
    a.publish(&[made(1, 300)]);
    a.stop();
    a.start();
    let log = a.log();
    let line = |word: &str| log.lines().rfind(|line| line.contains(word)).map(str::to_owned);
    let started = line("started").unwrap_or_else(|| panic!("{log}"));
    for part in ["version=", "name=cert-at", "listening=", "last_seq=1", "peers=0", "doors=\"none\""] {
        assert!(started.contains(part), "{part} in {started}");
    }
    let stopped = line("stopped").unwrap_or_else(|| panic!("{log}"));
    assert!(stopped.contains("last_seq=1"), "{stopped}");
}
