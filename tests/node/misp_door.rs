//! The door `misp` with a stand-in of MISP: each part of an event comes once, changes replace, deletions withdraw, under
//! `kill -9` too. What a part becomes is tested beside the format.
#![allow(clippy::disallowed_methods, reason = "servers stamp what they have with real time")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Dice, Node, pace, wait_until};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

struct Misp {
    events: TempDir,
    port: u16,
    child: Child,
}

impl Misp {
    fn start() -> Self {
        let events = TempDir::new().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/misp_standin.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(events.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { events, port: line.trim().parse().unwrap(), child }
    }

    /// Publishes an event, or publishes it again, 10 s ago: the door leaves the last seconds to its next round.
    fn publish(&self, mut event: Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        event["publish_timestamp"] = (now - 10).to_string().into();
        event["published"] = true.into();
        self.put(&event);
    }

    fn put(&self, event: &Value) {
        let file = self.events.path().join(format!("{}.json", event["uuid"].as_str().unwrap()));
        let unfinished = file.with_extension("new");
        fs::write(&unfinished, json!({"Event": event}).to_string()).unwrap();
        fs::rename(unfinished, file).unwrap();
    }

    /// A node with the door, which asks each second.
    fn node(&self, more: &str) -> Node {
        let mut node = Node::init("cert-at");
        fs::write(node.dir().join("misp.key"), "a".repeat(40) + "\n").unwrap();
        let door = format!(
            "[[submit]]\nfrom = \"misp\"\nurl = \"http://127.0.0.1:{}\"\nkey_file = \"misp.key\"\npoll = \"1s\"\n{more}",
            self.port
        );
        node.add_door(&door);
        node
    }
}

impl Drop for Misp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn uuid(number: u32) -> String {
    format!("b0c63d16-c237-4786-a151-{number:012}")
}

fn address(number: u32, ip: &str, stamp: &str) -> Value {
    json!({"uuid": uuid(number), "type": "ip-src", "category": "Network activity", "to_ids": true, "value": ip,
        "timestamp": stamp, "deleted": false, "comment": ""})
}

fn all(node: &Node) -> Vec<Value> {
    let lines = node.cli(&["tail", "--from", "earliest", "--own", "--idle", "1"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn await_events(node: &Node, count: u64) -> Vec<Value> {
    wait_until("the events are there", PATIENCE, || {
        node.door("misp")["submit"]["accepted"].as_u64() >= Some(count)
    });
    all(node)
}

fn id(number: u32) -> String {
    format!("cert-at:intelmq:{}", uuid(number))
}

#[test]
fn parts_come_once_and_changes_replace_them() {
    let misp = Misp::start();
    let mut event = json!({"uuid": uuid(1), "info": "Botnet", "timestamp": "100", "Orgc": {"name": "CERT Example"},
        "Tag": [{"name": "tlp:green"}, {"name": "rsit:malicious-code=\"c2-server\""}],
        "Attribute": [address(2, "192.0.2.1", "100"), address(3, "192.0.2.2", "100"),
            {"uuid": uuid(4), "type": "text", "value": "prose"}],
        "Object": [{"uuid": uuid(5), "name": "intelmq_event", "timestamp": "100",
            "Attribute": [{"object_relation": "source.fqdn", "type": "domain", "value": "c2.example"}],
            "ObjectReference": [{"referenced_uuid": uuid(2), "relationship_type": "derived-from"}]}]});
    misp.publish(event.clone());
    let mut node = misp.node("");
    node.start();
    let events = await_events(&node, 3);
    let named = |name: String| events.iter().find(|event| event["meta"]["uuid"]["current"] == name).unwrap();
    let (first, object) = (named(id(2)), named(id(5)));
    assert_eq!(first["payload"]["source.ip"], "192.0.2.1");
    assert_eq!(first["payload"]["classification.type"], "c2-server");
    assert_eq!((&first["meta"]["tlp"], &first["meta"]["uuid"]["parent"]), (&json!("GREEN"), &json!(id(1))));
    assert_eq!(object["payload"]["source.fqdn"], "c2.example");
    assert_eq!(object["meta"]["links"], json!([{"type": "derived-from", "right": id(2)}]));

    event["Attribute"][0]["value"] = "192.0.2.77".into();
    event["Attribute"][0]["timestamp"] = "200".into();
    event["Attribute"][1]["deleted"] = true.into();
    event["timestamp"] = "200".into();
    event["info"] = "Botnet, renamed".into();
    misp.publish(event.clone());
    let events = await_events(&node, 5);
    assert_eq!(events.len(), 5, "the object did not change: {events:#?}");
    let later = |relation: &str| {
        let links = |event: &&Value| event["meta"]["links"][0]["type"] == relation;
        events.iter().find(links).unwrap_or_else(|| panic!("no event {relation}: {events:#?}"))
    };
    assert_eq!(later("replaces")["payload"]["source.ip"], "192.0.2.77");
    assert_eq!(later("replaces")["meta"]["links"][0]["right"], id(2));
    assert_eq!(later("withdraws")["meta"]["links"][0]["right"], id(3));

    event["Tag"][0]["name"] = "tlp:amber".into();
    event["timestamp"] = "300".into();
    misp.publish(event.clone());
    let events = await_events(&node, 9);
    let labels: Vec<_> = events[5..].iter().map(|event| event["meta"]["tlp"].as_str().unwrap()).collect();
    assert_eq!(
        labels,
        ["GREEN", "AMBER", "GREEN", "AMBER"],
        "withdrawn for those who have it, then for fewer"
    );
    assert_eq!(events[7]["meta"]["links"], json!([{"type": "withdraws", "right": id(5)}]));

    // Without its memory the door takes all of it again: known events are duplicates.
    node.stop();
    fs::remove_dir_all(node.dir().join("pulled")).unwrap();
    node.start();
    wait_until("it asks again", PATIENCE, || node.door("misp")["submit"]["duplicates"].as_u64() >= Some(2));
    assert_eq!(all(&node).len(), 9);
}

/// All were published in one second, more than one list holds: pages by number or by time alone would lose some.
#[test]
fn events_of_one_second_come_once_under_kill_9() {
    const EVENTS: u32 = 620;
    let mut dice = Dice::announced("--test node misp_door");
    let misp = Misp::start();
    for number in 0..EVENTS {
        let attributes =
            json!([address(2 * number + 1, "192.0.2.1", "1"), address(2 * number + 2, "192.0.2.2", "1")]);
        misp.put(&json!({"uuid": uuid(10_000 + number), "info": "x", "timestamp": "1", "publish_timestamp": "1790000000",
            "Tag": [{"name": "tlp:clear"}], "Attribute": attributes}));
    }
    let mut node = misp.node("");
    node.start();
    for _ in 0..5 {
        pace(Duration::from_millis(300 + dice.below(900)));
        node.kill9();
        node.start();
    }
    misp.publish(json!({"uuid": uuid(20_000), "info": "last", "timestamp": "1",
        "Attribute": [address(9_999, "192.0.2.3", "1")]}));
    let last = node.dir().join(format!("pulled/misp/{}.json", uuid(20_000)));
    wait_until("the last one is taken", PATIENCE, || last.exists());
    let mut times = BTreeMap::<String, u32>::new();
    for event in all(&node) {
        *times.entry(event["meta"]["uuid"]["current"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let missing: Vec<_> = (1..=2 * EVENTS).map(id).filter(|id| !times.contains_key(id)).collect();
    assert!(missing.is_empty() && times.len() == 2 * EVENTS as usize + 1, "{missing:?}, {} ids", times.len());
    assert!(times.values().all(|times| *times == 1));
}

#[test]
fn answers_that_break_off_lose_nothing() {
    let misp = Misp::start();
    fs::write(misp.events.path().join("cut"), "").unwrap();
    for number in 0..6 {
        misp.publish(json!({"uuid": uuid(100 + number), "info": "x", "timestamp": "1",
            "Attribute": [address(number + 1, "192.0.2.1", "1")]}));
    }
    let mut node = misp.node("");
    node.start();
    wait_until("the door says so", PATIENCE, || told(&node).contains(" broke: "));
    fs::remove_file(misp.events.path().join("cut")).unwrap();
    await_events(&node, 6);
    wait_until("it is well", PATIENCE, || node.door("misp")["last_error"].is_null());
    assert_eq!(all(&node).len(), 6);
}

fn told(node: &Node) -> String {
    node.door("misp")["last_error"].as_str().unwrap_or_default().to_owned()
}

/// An object with the name of an event that is here already came to MISP from a feed of this mesh.
#[test]
fn events_that_came_from_here_do_not_come_back() {
    let misp = Misp::start();
    let mut node = misp.node("");
    node.start();
    let own =
        node.publish(&["{\"classification.type\":\"phishing\",\"source.ip\":\"192.0.2.9\"}".to_owned()]);
    let object = |number: u32, name: &str| {
        json!({"uuid": uuid(number), "name": "intelmq_event", "comment": name, "timestamp": "1",
            "Attribute": [{"object_relation": "source.ip", "type": "ip-src", "value": "192.0.2.9"}]})
    };
    let unknown = "cert-pl:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    misp.publish(json!({"uuid": uuid(1), "info": "a feed", "timestamp": "1",
        "Object": [object(2, &own[0]), object(3, unknown)]}));
    let events = await_events(&node, 1);
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(events[1]["meta"]["uuid"]["current"], id(3));
    assert_eq!(events[1]["meta"]["links"], json!([{"type": "alternate", "right": unknown}]));
}

#[test]
fn faults_of_misp_are_told_in_words() {
    let misp = Misp::start();
    fs::write(misp.events.path().join("refuse"), "").unwrap();
    let mut node = misp.node("[[submit]]\nname = \"gone\"\nfrom = \"misp\"\nurl = \"https://127.0.0.1:1\"\nkey_file = \"none.key\"\n");
    let said = node.say(&["check"], "");
    assert!(
        said.stdout.contains("door gone: key_file") || said.stderr.contains("door gone: key_file"),
        "{said:?}"
    );
    fs::write(node.dir().join("none.key"), "x").unwrap();
    node.start();
    let refused = "answered 403: {\"name\": \"Authentication failed.\"";
    wait_until("the refusal is told", PATIENCE, || told(&node).contains(refused));
    assert!(told(&node).contains("the server refuses this key"), "{}", told(&node));
    wait_until("the address is told", PATIENCE, || {
        let door = node.door("gone");
        door["last_error"].as_str().is_some_and(|told| told.starts_with("cannot reach https://127.0.0.1:1"))
    });
    let leaked = [node.log(), node.cli(&["status", "--json"])].concat();
    assert!(!leaked.contains(&"a".repeat(40)), "the key is shown");
    for (url, text) in [
        ("http://misp.example", "http:// only to this machine"),
        ("https://u:pw@misp.example", "https://HOST[:PORT]"),
    ] {
        node.edit("intelmesh.toml", |config| config.replace("https://127.0.0.1:1", url));
        let said = node.say(&["check"], "");
        let said = said.stdout + &said.stderr;
        assert!(said.contains(text) && !said.contains("pw@"), "{said}");
        node.edit("intelmesh.toml", |config| config.replace(url, "https://127.0.0.1:1"));
    }
}
