//! Who gets an event and why not, as an operator asks it of a running node and before anything is sent. The wording of
//! each reason is `explain`'s own tests.

use std::time::Duration;

use serde_json::{Value, json};
use support::events::{made, with_meta};
use support::shape::{has_accepted, mesh, start, together, unstarted_mesh};
use support::system::timestamp_in;
use support::{Consumer, Node, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn went(node: &Node, id: &str, peer: &str) -> Value {
    let event: Value = serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).unwrap();
    event["went"].as_array().unwrap().iter().find(|went| went["peer"] == peer).unwrap().clone()
}

fn consumer_went(node: &Node, id: &str, consumer: &str) -> Value {
    let event: Value = serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).unwrap();
    let mut went = event["went"].as_array().unwrap().iter();
    went.find(|went| went["consumer"] == consumer).cloned().unwrap_or_default()
}

/// The state, and the beginning of why.
fn is(went: &Value, state: &str, why: &str) -> bool {
    went["state"] == state && went["why"].as_str().unwrap_or_default().starts_with(why)
}

fn of_country(number: usize, country: &str) -> String {
    json!({"source.ip": format!("192.0.2.{number}"), "source.geolocation.cc": country}).to_string()
}

fn amber(number: usize) -> String {
    format!("{{\"meta\":{{\"tlp\":\"AMBER\"}},\"payload\":{}}}", made(number, 200))
}

#[test]
fn an_event_says_where_it_went_and_why_not_by_the_rules_of_its_time() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    nodes.iter().for_each(together);
    nodes[0].configure_peer("cert-ee", "share", "tlp_max", "\"GREEN\"");
    let kept =
        |node: &Node| std::fs::read_to_string(node.dir().join("rules/cert-ee.jsonl")).unwrap_or_default();
    wait_until("the new rule is in force", SOON, || kept(&nodes[0]).contains("GREEN"));

    let trial = nodes[0].say(&["submit", "--dry-run", "--json"], &format!("{}\nnonsense\n", amber(0)));
    assert_eq!(trial.code, 1, "a line that would be refused: {trial:?}");
    let lines: Vec<Value> = trial.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["peers"][0]["outcome"], "withheld", "{trial:?}");
    assert_eq!(lines[0]["peers"][0]["reason"], "tlp_max");
    let rule = lines[0]["peers"][0]["rule"].as_str().unwrap();
    let line: usize = rule.split(':').nth(1).unwrap().parse().expect("FILE:LINE: …");
    let file = std::fs::read_to_string(nodes[0].dir().join("peers/cert-ee.toml")).unwrap();
    assert_eq!(file.lines().nth(line - 1), Some("tlp_max = \"GREEN\""), "{rule}");
    assert_eq!(lines[0]["peers"][1]["outcome"], "shared");
    assert_eq!(lines[1]["code"], "bad_json");
    assert_eq!(nodes[1].accepted(), 0, "nothing was sent");

    let id = nodes[0].publish(&[amber(0)]).remove(0);
    wait_until("who may have it has it", SOON, || went(&nodes[0], &id, "cert-pl")["state"] == "acknowledged");
    let held = went(&nodes[0], &id, "cert-ee");
    assert_eq!((&held["state"], &held["why"]), (&"withheld".into(), &"tlp_max".into()), "{held}");

    // The rule is relaxed: it acts from now on, and what was decided before is explained by what held then.
    wait_until("its feed has passed it", SOON, || nodes[0].count("cert-ee", "/sent/lag_events") == 0);
    nodes[0].configure_peer("cert-ee", "share", "tlp_max", "\"AMBER\"");
    wait_until("it is in force", SOON, || kept(&nodes[0]).lines().count() == 3);
    let held = went(&nodes[0], &id, "cert-ee");
    assert_eq!((&held["state"], &held["rules_of"]), (&"withheld".into(), &true.into()), "{held}");
    let later = nodes[0].publish(&[amber(1)]).remove(0);
    wait_until("the next one goes", SOON, || went(&nodes[0], &later, "cert-ee")["state"] == "acknowledged");

    nodes[2].stop();
    let missed = nodes[0].publish(&[amber(2)]).remove(0);
    wait_until("it is down", SOON, || !nodes[0].connected("cert-pl"));
    let waits = went(&nodes[0], &missed, "cert-pl");
    assert_eq!(waits["state"], "not_yet", "{waits}");
    assert!(waits["why"].as_str().unwrap().starts_with("down since "), "{waits}");

    let said = nodes[0].cli(&["peer", "explain", "cert-ee", &id]);
    assert!(said.contains("withheld: tlp_max") && said.contains("to change that: "), "{said}");
    assert_eq!(nodes[0].say(&["peer", "explain", "nobody", &id], "").code, 1);
    assert_eq!(went(&nodes[1], &later, "cert-at")["state"], "has_it");
    let relayed = went(&nodes[1], &later, "cert-pl");
    assert_eq!(relayed["why"], "tlp_hop", "AMBER travels one hop: {relayed}");
}

#[test]
fn what_a_peer_does_not_want_is_rejected_until_it_is_taken() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[1].configure_peer("cert-at", "receive", "where", "'country(event, \"EE\")'");
    start(&mut nodes);
    let ids = nodes[0].publish(&[of_country(1, "EE"), of_country(2, "LV")]);
    wait_until("it is known that the second is not wanted", SOON, || {
        is(&went(&nodes[0], &ids[1], "cert-ee"), "rejected", "not_wanted: ")
    });
    wait_until("the first has arrived", SOON, || {
        went(&nodes[0], &ids[0], "cert-ee")["state"] == "acknowledged"
    });
    let first = went(&nodes[0], &ids[0], "cert-ee");
    assert_eq!(first["why"], Value::Null, "nothing is in doubt: {first}");
    let said = nodes[0].cli(&["peer", "explain", "cert-ee", &ids[1]]);
    assert!(said.contains("rejected") && said.contains("to change that: they decide"), "{said}");

    nodes[1].configure_peer("cert-at", "receive", "where", "'country(event, [\"EE\", \"LV\"])'");
    has_accepted(&nodes[1], 2);
    wait_until("it is no exception any more", SOON, || {
        went(&nodes[0], &ids[1], "cert-ee")["state"] == "acknowledged"
    });
}

#[test]
fn what_waits_at_a_peer_for_its_operator_is_deferred_and_not_acknowledged() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    nodes.iter().for_each(together);
    nodes[2].cli(&["key", "revoke", "cert-at", "--yes"]);
    wait_until("it is cut", SOON, || !nodes[0].connected("cert-pl"));
    let ids = nodes[0].publish(&[made(1, 300), made(2, 300)]);
    has_accepted(&nodes[1], 2);
    wait_until("the relay knows that they wait", SOON, || {
        ids.iter().all(|id| is(&went(&nodes[1], id, "cert-pl"), "deferred", "key_revoked: "))
    });
    nodes[2].cli(&["event", "release", &ids[0]]);
    wait_until("one was taken after all", SOON, || {
        went(&nodes[1], &ids[0], "cert-pl")["state"] == "acknowledged"
    });
    assert_eq!(went(&nodes[1], &ids[1], "cert-pl")["state"], "deferred", "the other waits on");
    nodes[2].cli(&["event", "drop", &ids[1]]);
    wait_until("it waits no more, and nobody says that it was taken", SOON, || {
        let went = went(&nodes[1], &ids[1], "cert-pl");
        went["state"] == "deferred" && went["why"].as_str().unwrap().contains("it waits there no more")
    });
}

#[test]
fn a_peer_that_revoked_its_own_key_is_cut_in_every_answer_and_what_it_got_before_stays_so() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let before = nodes[1].publish(&[made(1, 300)]).remove(0);
    wait_until("it has it", SOON, || went(&nodes[1], &before, "cert-at")["state"] == "acknowledged");
    nodes[0].cli(&["key", "revoke", "--yes"]);
    wait_until("everybody heard", SOON, || nodes[1].peer("cert-at")["state"] == "revoked");
    let after = nodes[1].publish(&[made(2, 300)]).remove(0);
    let cut = went(&nodes[1], &after, "cert-at");
    assert!(is(&cut, "cut", "revoked"), "{cut}");
    assert_eq!(cut["rule"], "cert-at revoked its own key");
    assert_eq!(went(&nodes[1], &before, "cert-at")["state"], "acknowledged");
    wait_until("the files say it too", SOON, || {
        let trial = nodes[1].say(&["submit", "--dry-run", "--json"], &made(3, 300)).done();
        let trial: Value = serde_json::from_str(&trial).unwrap();
        trial["peers"][0]["outcome"] == "cut" && trial["peers"][0]["rule"] == cut["rule"]
    });

    // Its file says nothing of that, and a new one could not change it.
    let file = nodes[1].dir().join("peers/cert-at.toml");
    let told = nodes[1].cli(&["peer", "check", "--dry-run", file.to_str().unwrap()]);
    assert!(
        told.contains("[share] shared now 0, then 0") && told.contains("held back then: 2 cut"),
        "{told}"
    );
}

#[test]
fn a_peer_file_that_cuts_its_peer_off_would_share_nothing() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[0].publish(&[made(1, 300)]);
    let file = std::fs::read_to_string(nodes[0].dir().join("peers/cert-ee.toml")).unwrap();
    let given = nodes[0].dir().join("cert-ee.toml");
    for flag in ["paused", "pending", "revoked"] {
        let others: Vec<&str> = file.lines().filter(|line| !line.starts_with(flag)).collect();
        std::fs::write(&given, format!("{flag} = true\n{}\n", others.join("\n"))).unwrap();
        let told = nodes[0].cli(&["peer", "check", "--dry-run", given.to_str().unwrap()]);
        assert!(told.contains("[share] shared now 1, then 0"), "{flag}: {told}");
        assert!(told.contains("  held back then: 1 cut"), "{flag}: {told}");
    }
}

#[test]
fn what_expired_while_its_peer_was_down_was_withheld_and_what_went_before_was_not() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let soon = timestamp_in(12);
    let expiring = |number| with_meta(&json!({"version": 1, "expires": soon}), &made(number, 300));
    let early = nodes[0].publish(&[expiring(1)]).remove(0);
    wait_until("it went in time", SOON, || went(&nodes[0], &early, "cert-ee")["state"] == "acknowledged");
    nodes[1].stop();
    let late = nodes[0].publish(&[expiring(2)]).remove(0);
    wait_until("it expires", SOON, || is(&went(&nodes[0], &late, "cert-ee"), "withheld", "expired"));
    nodes[1].start();
    let next = nodes[0].publish(&[made(3, 300)]).remove(0);
    wait_until("its feed passes it", SOON, || went(&nodes[0], &next, "cert-ee")["state"] == "acknowledged");
    let late = went(&nodes[0], &late, "cert-ee");
    assert!(is(&late, "withheld", "expired"), "{late}");
    assert_eq!(went(&nodes[0], &early, "cert-ee")["state"], "acknowledged");
}

#[test]
fn what_went_out_after_a_rewind_is_acknowledged_and_a_broken_file_is_no_rule_of_any_time() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let kept =
        |node: &Node| std::fs::read_to_string(node.dir().join("rules/cert-ee.jsonl")).unwrap_or_default();
    nodes[0].configure_peer("cert-ee", "share", "tlp_max", "\"GREEN\"");
    wait_until("the rule is in force", SOON, || kept(&nodes[0]).contains("GREEN"));
    let id = nodes[0].publish(&[amber(1)]).remove(0);
    wait_until("its feed has passed it", SOON, || nodes[0].count("cert-ee", "/sent/lag_events") == 0);
    assert!(is(&went(&nodes[0], &id, "cert-ee"), "withheld", "tlp_max"));

    nodes[0].edit("peers/cert-ee.toml", |text| format!("nonsense = 1\n{text}"));
    wait_until("it is broken", SOON, || nodes[0].complains("config_bad"));
    nodes[0].edit("peers/cert-ee.toml", |text| text.replace("nonsense = 1\n", "").replace("GREEN", "AMBER"));
    let of_its_time = || went(&nodes[0], &id, "cert-ee")["rules_of"] == true;
    wait_until("the wider rule is in force, and it was held back by the one before", SOON, of_its_time);
    assert!(!kept(&nodes[0]).contains("nonsense"), "{}", kept(&nodes[0]));
    let held = went(&nodes[0], &id, "cert-ee");
    assert_eq!(held["why"], "tlp_max", "{held}");

    nodes[1].cli(&["feed", "rewind", "cert-at", "--to", "earliest"]);
    has_accepted(&nodes[1], 1);
    wait_until("it is acknowledged", SOON, || went(&nodes[0], &id, "cert-ee")["state"] == "acknowledged");
    let now = went(&nodes[0], &id, "cert-ee");
    assert_eq!(now["rules_of"], Value::Null, "by the rules of now: {now}");
}

#[test]
fn of_a_consumer_its_own_filter_is_told_or_that_nobody_here_knows_it() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let door = format!(
        "\n[[consumer]]\nname = \"pipeline\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:{}\"\n\
         filter = 'country(event, \"EE\")'\n",
        support::node::free_port()
    );
    nodes[1].edit("intelmesh.toml", |text| text + &door);
    let text = std::fs::read_to_string(nodes[1].dir().join("intelmesh.toml")).unwrap();
    let line = text.lines().position(|line| line.starts_with("filter")).unwrap() + 1;
    start(&mut nodes);
    let ids = nodes[0].publish(&[of_country(1, "EE"), of_country(2, "LV")]);
    has_accepted(&nodes[1], 2);
    wait_until("the door is known", SOON, || !consumer_went(&nodes[1], &ids[0], "pipeline").is_null());
    let held = consumer_went(&nodes[1], &ids[1], "pipeline");
    assert!(is(&held, "withheld", "filter"), "{held}");
    assert_eq!(held["rule"], format!("intelmesh.toml:{line}: filter does not admit it"));
    assert_eq!(consumer_went(&nodes[1], &ids[0], "pipeline")["state"], "not_yet", "nobody listens there");

    let request = json!({"consumer": "soc", "filter": "country(event, \"LV\")"});
    let mut soc = Consumer::open(&nodes[1], &request);
    let handed = soc.take_one();
    soc.ack(handed.seq).unwrap();
    let lv = handed.id();
    let ee = ids.iter().find(|id| **id != lv).unwrap();
    wait_until("its position has passed", SOON, || consumer_went(&nodes[1], &lv, "soc")["state"] == "passed");
    let held = consumer_went(&nodes[1], ee, "soc");
    assert_eq!(held["rule"], "the filter of its connection does not admit it", "{held}");
    soc.finish();
    wait_until("nobody knows its filter any more", SOON, || {
        is(&consumer_went(&nodes[1], ee, "soc"), "passed", "its filter is not known")
    });
}
