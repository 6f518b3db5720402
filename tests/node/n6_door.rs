//! The door `n6-stream` with a real RabbitMQ: each message comes once under `kill -9`, what was missed comes over REST,
//! and what the broker refuses is told in words. What a message becomes is tested beside the format.
#![allow(clippy::disallowed_methods, reason = "servers stamp what they have with real time")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Dice, Node, RabbitMq, pace, wait_until};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// n6's REST interface, with the messages of the stream.
struct Rest {
    messages: TempDir,
    port: u16,
    child: Child,
}

impl Rest {
    fn start() -> Self {
        let messages = TempDir::new().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/n6_rest.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(messages.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { messages, port: line.trim().parse().unwrap(), child }
    }

    /// REST has `modified`, and the stream has `type`.
    fn put(&self, message: &Value) {
        let mut message = message.clone();
        message.as_object_mut().unwrap().remove("type");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let date =
            Command::new("date").args(["-u", "-d", &format!("@{now}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
        message["modified"] = String::from_utf8(date.unwrap().stdout).unwrap().trim().into();
        let file = self.messages.path().join("inside.jsonl");
        let mut file = File::options().create(true).append(true).open(file).unwrap();
        file.write_all(format!("{message}\n").as_bytes()).unwrap();
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(number: usize) -> Value {
    json!({"id": format!("{number:032x}"), "source": "hidden.42", "restriction": "public", "confidence": "low",
        "category": "bots", "time": "2026-05-04T10:59:03Z", "type": "event", "address": [{"ip": "192.0.2.1"}]})
}

fn all(node: &Node) -> Vec<Value> {
    let lines = node.cli(&["tail", "--from", "earliest", "--own", "--idle", "1"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn door(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[submit]]\nname = \"{name}\"\nfrom = \"n6-stream\"\nurl = \"{url}\"\npassword_file = \"n6.key\"\n{more}\n"
    )
}

fn is_connected(node: &Node, name: &str) -> bool {
    node.door(name)["submit"]["clients"] == 1
}

#[test]
fn the_stream_of_n6_comes_once_and_its_faults_are_told() {
    let rabbit = RabbitMq::start();
    comes_once_under_kill_9(&rabbit);
    faults_are_told_in_words(&rabbit);
}

/// The queue of a connection ends with it: what came meanwhile is only in REST.
fn comes_once_under_kill_9(rabbit: &RabbitMq) {
    const MESSAGES: usize = 240;
    let mut dice = Dice::announced("--test node n6_door");
    let rest = Rest::start();
    let mut node = Node::init("cert-at");
    fs::write(node.dir().join("n6.key"), "guest\n").unwrap();
    let more = format!(
        "login = \"guest\"\ndestinations = [\"/exchange/amq.topic/inside.*.*.*\"]\nrest_url = \"http://127.0.0.1:{}\"",
        rest.port
    );
    node.add_door(&door("n6", &rabbit.url(), &more));
    node.start();
    let place = node.dir().join("pulled/n6/stream.json");
    wait_until("the door notes its place", PATIENCE, || place.exists());
    for number in 0..MESSAGES {
        let message = message(number);
        rest.put(&message);
        rabbit.publish(&[("inside.bots.hidden.42", message.to_string())]);
        match number % 48 {
            20 => {
                pace(Duration::from_millis(dice.below(150)));
                node.kill9();
            }
            // Nobody hears these but REST.
            26 => {
                if number > 100 {
                    fs::write(rest.messages.path().join("cut"), "").unwrap();
                }
                node.start();
            }
            _ => {}
        }
    }
    wait_until("the door is there again", PATIENCE, || is_connected(&node, "n6"));
    wait_until("a broken answer is told", PATIENCE, || {
        node.door("n6")["last_error"].as_str().is_some_and(|told| told.contains("in the middle of a line"))
    });
    fs::remove_file(rest.messages.path().join("cut")).unwrap();
    let mut times = BTreeMap::<String, u32>::new();
    wait_until("all are there", PATIENCE, || {
        times.clear();
        for event in all(&node) {
            assert_eq!(event["meta"]["format"], "n6", "carried as it came: {event}");
            *times.entry(event["payload"]["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        times.len() == MESSAGES
    });
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    wait_until("it is well", PATIENCE, || node.door("n6")["last_error"].is_null());
    assert_eq!(node.door("n6")["submit"]["rejects"], 0);
}

fn faults_are_told_in_words(rabbit: &RabbitMq) {
    let mut node = Node::init("cert-at");
    fs::write(node.dir().join("n6.key"), "guest").unwrap();
    let (login, place) = ("login = \"guest\"", "destinations = [\"/exchange/amq.topic/threats.*.*.*\"]");
    let trust = format!("ca_file = {:?}\nconvert = \"intelmq\"", rabbit.ca_file());
    node.add_door(&door("tls", &rabbit.tls_url(), &format!("{login}\n{place}\n{trust}")));
    node.add_door(&door("untrusted", &rabbit.tls_url(), &format!("{login}\n{place}")));
    node.add_door(&door("login", &rabbit.url(), &format!("login = \"somebody\"\n{place}")));
    node.add_door(&door(
        "place",
        &rabbit.url(),
        &format!("{login}\ndestinations = [\"/exchange/nowhere/*.*.*.*\"]"),
    ));
    node.add_door(&door("gone", "stomp://127.0.0.1:1", &format!("{login}\n{place}")));
    assert_eq!(node.say(&["check"], "").code, 0);
    node.start();
    for (name, text) in [
        ("untrusted", "ca_file = "),
        ("login", "the broker refuses the login"),
        ("place", "the broker has no such exchange"),
        ("gone", "cannot reach stomp://127.0.0.1:1"),
    ] {
        wait_until(&format!("the fault of door {name} is told"), PATIENCE, || {
            node.door(name)["last_error"].as_str().is_some_and(|told| told.contains(text))
        });
        assert!(!is_connected(&node, name), "{name}");
    }
    wait_until("the door with TLS is there", PATIENCE, || is_connected(&node, "tls"));
    rabbit.publish(&[
        ("threats.bots.hidden.42", message(1).to_string()),
        ("threats.x.y.z", "no JSON\n".to_owned()),
    ]);
    wait_until("both are settled", PATIENCE, || {
        let submit = &node.door("tls")["submit"];
        (submit["accepted"].as_u64(), submit["rejects"].as_u64()) == (Some(1), Some(1))
    });
    let events = all(&node);
    assert_eq!(events[0]["payload"]["classification.type"], "infected-system");
    for url in ["stomp://broker.example:61613", "stomp+ssl://u:pw@broker.example", "http://127.0.0.1"] {
        node.edit("intelmesh.toml", |config| config.replace("stomp://127.0.0.1:1\"", &format!("{url}\"")));
        let said = node.say(&["check"], "");
        let said = said.stdout + &said.stderr;
        assert!(said.contains("stomp:// only to this machine") && !said.contains("pw@"), "{said}");
        node.edit("intelmesh.toml", |config| config.replace(&format!("{url}\""), "stomp://127.0.0.1:1\""));
    }
}
