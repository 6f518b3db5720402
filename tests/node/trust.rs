//! Whom a running node believes, and how fast it changes its mind: peer files added, changed, broken and removed
//! under real processes. It deliberately leaves the table of labels to the tests of `policy`.

use std::time::Duration;

use serde_json::json;
use support::events::made;
use support::shape::{has_accepted, mesh, together};
use support::{Consumer, Node, Stopwatch, pair, trust, wait_until};

/// Peer files act within 1 s (CONTRACT.md §5.3); the rest is for a machine under load.
const RELOAD: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(700);

#[test]
fn trust_added_later_brings_what_was_rejected_for_it() {
    let (mut a, mut b, mut c) = (Node::init("cert-at"), Node::init("cert-ee"), Node::init("cert-pl"));
    pair(&a, &b);
    pair(&b, &c);
    for node in [&mut a, &mut b, &mut c] {
        node.start();
    }
    [&a, &b, &c].into_iter().for_each(together);
    let early = a.publish(&(0..20).map(|number| made(number, 500)).collect::<Vec<_>>());
    let near = b.publish(&[made(100, 500)]);

    let mut consumer = Consumer::open(&c, &json!({"from": "earliest"}));
    assert_eq!(consumer.take_one().id(), near[0], "what is of a trusted publisher passes");
    wait_until("the others are rejected", SOON, || c.count("cert-ee", "/received/rejected") == 20);
    assert_eq!(c.accepted(), 1);

    trust(&c, &a, false);
    let mut late: Vec<_> = consumer.take(20).iter().map(support::Handed::id).collect();
    late.sort();
    let mut expected = early;
    expected.sort();
    assert_eq!(late, expected, "nobody had to ask again");
    assert!(consumer.rest(QUIET).is_empty());
}

#[test]
fn a_removed_peer_is_cut_at_once_and_comes_back_without_loss() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let before = nodes[0].publish(&[made(1, 500)]);
    has_accepted(&nodes[1], 1);

    let watch = Stopwatch::start();
    nodes[1].cli(&["peer", "remove", "cert-at"]);
    wait_until("the other side sees the cut", RELOAD, || !nodes[0].connected("cert-ee"));
    println!("cut after {:?}", watch.elapsed());
    let after = nodes[0].publish(&[made(2, 500)]);
    let mut consumer = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    let handed: Vec<_> = consumer.rest(QUIET).iter().map(support::Handed::id).collect();
    assert_eq!(handed, before, "what was accepted stays; nothing new comes");

    trust(&nodes[1], &nodes[0], true);
    assert_eq!(consumer.take_one().id(), after[0]);
    assert!(consumer.rest(QUIET).is_empty(), "the cursor was kept");
}

#[test]
fn a_peer_file_acts_within_a_second_and_a_bad_one_keeps_what_runs() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[0].configure_peer("cert-ee", "share", "tlp_max", "\"CLEAR\"");
    let withheld = |nodes: &[Node]| nodes[0].count("cert-ee", "/sent/withheld");
    let mut number = 0;
    let watch = Stopwatch::start();
    wait_until("a stricter label keeps events back", RELOAD, || {
        number += 1;
        nodes[0].publish(&[made(number, 300)]);
        withheld(&nodes) > 0
    });
    println!("acted after {:?}", watch.elapsed());
    let passed = number as u64 - withheld(&nodes);
    has_accepted(&nodes[1], passed);

    nodes[0].edit("peers/cert-ee.toml", |text| format!("{text}\n[receive]\ntlp-max = 3\n"));
    wait_until("a bad file is named", RELOAD, || nodes[0].complains("config_bad"));
    let errors = nodes[0].status()["errors"].to_string();
    assert!(errors.contains("peers/cert-ee.toml:"), "{errors}");
    assert!(nodes[0].connected("cert-ee"), "the running set stays");

    nodes[0].edit("peers/cert-ee.toml", |text| {
        let end = text.rfind("\n[receive]\ntlp-max").expect("what was added");
        text[..end].replace("tlp_max = \"CLEAR\"", "tlp_max = \"GREEN\"")
    });
    wait_until("a good file ends the complaint", RELOAD, || !nodes[0].complains("config_bad"));
    let last = nodes[0].publish(&[made(9_999, 300)]);
    let handed = Consumer::open(&nodes[1], &json!({"from": "earliest"})).take(passed as usize + 1);
    assert_eq!(
        handed.last().map(support::Handed::id),
        last.first().cloned(),
        "changes of [share] act from now on"
    );
}

#[test]
fn a_configuration_that_would_not_start_again_is_named_while_the_node_runs() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[0].edit("intelmesh.toml", |text| format!("default-tlp = \"GREEN\"\n{text}"));
    wait_until("the file is named", RELOAD, || nodes[0].complains("config_bad"));
    let what = nodes[0].status()["errors"][0]["what"].to_string();
    assert!(what.starts_with("\"intelmesh.toml:1: unknown key"), "{what}");
    nodes[0].edit("intelmesh.toml", |text| text.replacen("default-tlp = \"GREEN\"\n", "", 1));
    wait_until("a good file ends the complaint", RELOAD, || !nodes[0].complains("config_bad"));
}

#[test]
fn a_paused_peer_costs_one_cursor() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[1].cli(&["peer", "pause", "cert-at"]);
    wait_until("no connection", RELOAD, || !nodes[0].connected("cert-ee"));
    let ids = nodes[0].publish(&(0..50).map(|number| made(number, 300)).collect::<Vec<_>>());
    assert_eq!(nodes[1].accepted(), 0);
    nodes[1].cli(&["peer", "resume", "cert-at"]);
    let handed = Consumer::open(&nodes[1], &json!({"from": "earliest"})).take(50);
    assert_eq!(handed.iter().map(support::Handed::id).collect::<Vec<_>>(), ids);
}

#[test]
fn a_stranger_is_turned_away_and_shown() {
    let (mut a, mut b) = (Node::init("cert-at"), Node::init("cert-xx"));
    trust(&b, &a, true);
    a.start();
    b.start();
    b.publish(&[made(1, 300)]);
    wait_until("the stranger is shown", SOON, || {
        a.status()["strangers"].as_array().is_some_and(|strangers| !strangers.is_empty())
    });
    let (ours, theirs) = (a.status(), b.status());
    assert_eq!(ours["strangers"][0]["key"], theirs["key"], "by the key that it proved");
    assert_eq!((ours["journal"]["last_seq"].as_u64(), b.connected("cert-at")), (Some(0), false));
    wait_until("the stranger is told", SOON, || b.peer("cert-at")["last_error"].is_string());
}

#[test]
fn a_peer_whose_key_changed_is_a_hard_stop() {
    let (mut a, mut b) = (Node::init("cert-at"), Node::init("cert-ee"));
    pair(&a, &b);
    let port = b.port();
    let mut impostor = Node::init("cert-ee");
    impostor.edit("intelmesh.toml", |text| {
        text.replace(&format!("tcp/{}", text_port(&text)), &format!("tcp/{port}"))
    });
    trust(&impostor, &a, false);
    a.start();
    b.start();
    together(&a);
    b.stop();
    impostor.start();
    wait_until("the change is named", Duration::from_secs(60), || a.complains("peer_key_changed"));
    assert!(!a.connected("cert-ee"));
}

/// The port in the first multiaddr of a file.
fn text_port(text: &str) -> String {
    let rest = text.split("/tcp/").nth(1).expect("an address");
    rest.chars().take_while(char::is_ascii_digit).collect()
}
