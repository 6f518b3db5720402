//! Doors from and to a Warden server, in front of one that pages, fails, and commits ids out of order.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Node, Warden, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

fn idea(id: u32) -> Value {
    let id = format!("72ddb00c-2d0a-4eea-b7ac-{id:012}");
    json!({"Format": "IDEA0", "ID": id, "DetectTime": "2026-01-01T00:00:00Z", "Category": ["Recon.Scanning"],
        "TLP": "GREEN", "Source": [{"IP4": ["192.0.2.1"]}], "Node": [{"Name": "org.example.other"}]})
}

/// A node with one door to or from `server`.
fn node_at(server: &Warden, door: &str) -> Node {
    let mut node = Node::init("cert-at");
    fs::write(node.dir().join("warden.secret"), format!("{}\n", Warden::SECRET)).unwrap();
    let login =
        format!("url = {:?}\nclient = {:?}\nsecret_file = \"warden.secret\"\n", server.url(), Warden::CLIENT);
    node.add_door(&format!("\n{door}{login}"));
    node.start();
    node
}

/// How often each message is in the node's journal, by its id.
fn taken(node: &Node) -> BTreeMap<String, usize> {
    let lines = node.cli(&["tail", "--from", "earliest", "--own", "--idle", "0.5"]);
    let mut found = BTreeMap::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        *found.entry(line["payload"]["ID"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

fn accepted(node: &Node) -> Value {
    node.door("warden")["submit"]["accepted"].clone()
}

const FROM: &str = "[[submit]]\nfrom = \"warden\"\npoll = \"1s\"\n";

#[test]
fn messages_of_a_server_come_in_once() {
    let server = Warden::start();
    let mut node = node_at(&server, FROM);
    wait_until("the empty server was read", PATIENCE, || node.door("warden")["down"].is_null());
    (1..8).for_each(|id| server.put(idea(id)));
    let mut own = idea(90);
    own["Node"] = json!([{"Name": "org.example.hub"}, {"Name": "ORG.example.node"}]);
    server.put(own);
    let late = server.take_id();
    server.put(idea(8));
    server.put(json!({"Format": "IDEA0", "ID": "bad"}));
    // The same message by way of another client, which wrote itself into it.
    let mut again = idea(3);
    again["Node"] = json!([{"Name": "org.example.hub"}, {"Name": "org.example.other"}]);
    server.put(again);
    server.put(idea(9));
    wait_until("all pages were read", PATIENCE, || accepted(&node) == 9);
    assert_eq!(node.door("warden")["submit"]["rejects"], 1, "{}", node.door("warden"));
    // A message that got its id before the others is committed after they were read.
    server.commit(late, idea(10));
    node.kill9();
    node.start();
    wait_until("the late one came", PATIENCE, || accepted(&node) == 1);
    let found = taken(&node);
    assert_eq!((found.len(), found.values().max()), (10, Some(&1)), "{found:?}");
}

/// The server was set up anew: its ids begin from the front.
#[test]
fn ids_that_went_back_lose_no_message() {
    let server = Warden::start();
    (1..4).for_each(|id| server.put(idea(id)));
    let mut node = node_at(&server, FROM);
    wait_until("all are read", PATIENCE, || accepted(&node) == 3);
    let cursor = node.dir().join("cursors/warden");
    let text = fs::read_to_string(&cursor).unwrap();
    node.stop();
    fs::write(&cursor, text.replace("\"id\":3", "\"id\":70000")).unwrap();
    server.put(idea(4));
    node.start();
    wait_until("the new one came", PATIENCE, || accepted(&node) == 1);
}

#[test]
fn secret_is_never_shown() {
    let server = Warden::start();
    let node = node_at(&server, FROM);
    fs::write(node.dir().join("warden.secret"), "guess-me").unwrap();
    wait_until("it is turned away", PATIENCE, || {
        node.door("warden")["last_error"].as_str().is_some_and(|error| error.contains("403: authenticate"))
    });
    fs::remove_file(node.dir().join("warden.secret")).unwrap();
    assert!(node.say(&["check"], "").stderr.contains("door warden: secret_file"));
    assert!(!node.log().contains("guess-me") && !node.status().to_string().contains("guess-me"));
}

const TO: &str = "[[consumer]]\nname = \"hub\"\nto = \"warden\"\nown = true\n";

#[test]
fn events_reach_a_server_once_and_refused_ones_go_aside() {
    let server = Warden::start();
    server.trouble(1, 0);
    let node = node_at(&server, TO);
    let event = |number: usize| {
        json!({"source.ip": format!("192.0.2.{number}"), "classification.type": "scanner",
            "time.source": "2026-01-01T00:00:00+00:00"})
        .to_string()
    };
    let mut lines: Vec<String> = (0..12).map(event).collect();
    let fragment = json!({"meta": {"format": "idea"}, "payload": {"Format": "IDEA0", "ID": "x"}});
    lines.insert(3, fragment.to_string());
    lines.push(json!({"meta": {"format": "idea"}, "payload": idea(1)}).to_string());
    node.submit(&lines);
    wait_until("the position is at the end", PATIENCE, || node.consumer("hub")["lag_events"] == 0);
    let messages = server.messages();
    let addresses: Vec<&str> = messages.iter().filter_map(|it| it["Source"][0]["IP4"][0].as_str()).collect();
    let expected: Vec<String> = (0..12).map(|number| format!("192.0.2.{number}")).collect();
    assert_eq!(addresses[..12], expected, "each once, in order");
    assert_eq!(messages[12]["Node"][0]["Name"], Warden::CLIENT);
    assert_eq!(messages[12]["Node"][1]["Name"], "org.example.other", "the rest is as it came");
    assert_eq!((messages.len(), server.refused()), (13, 1), "the refused one is not sent again");
    let door = node.door("hub");
    assert_eq!((&door["consumer"]["set_aside"], &door["aside"]["lines"]), (&json!(1), &json!(1)), "{door}");
}

/// Nothing on the server compares: what was on its way comes twice, and no more than that.
#[test]
fn lost_answer_repeats_one_batch_at_most() {
    let server = Warden::start();
    let node = node_at(&server, TO);
    wait_until("it is connected", PATIENCE, || node.door("hub")["consumer"]["connected"] == true);
    server.trouble(0, 1);
    let lines: Vec<String> =
        (1..20).map(|id| json!({"meta": {"format": "idea"}, "payload": idea(id)}).to_string()).collect();
    node.submit(&lines);
    wait_until("the position is at the end", PATIENCE, || node.consumer("hub")["lag_events"] == 0);
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for message in server.messages() {
        *found.entry(message["ID"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let twice = found.values().filter(|count| **count > 1).count();
    assert_eq!(found.len(), 19);
    assert!((1..=5).contains(&twice) && found.values().all(|count| *count <= 2), "{found:?}");
}
