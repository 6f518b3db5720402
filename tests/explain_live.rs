//! Who gets an event and why not, as an operator asks it of a running node and before anything is sent. The wording of
//! each reason is `explain`'s own tests.
#![cfg(feature = "node")]

use std::time::Duration;

use serde_json::Value;
use support::events::made;
use support::shape::{mesh, together};
use support::{Node, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn went(node: &Node, id: &str, peer: &str) -> Value {
    let event: Value = serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).unwrap();
    event["went"].as_array().unwrap().iter().find(|went| went["peer"] == peer).unwrap().clone()
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
