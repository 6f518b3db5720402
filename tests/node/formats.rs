//! Messages of other systems through running nodes: carried or converted, decoded at the hand-off, and from one spool
//! to another under `kill -9`. What each member becomes is tested beside the formats.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Consumer, Dice, Node, pace, wait_until};

fn idea(id: &str, sources: &[&str]) -> Value {
    json!({"Format": "IDEA0", "ID": id, "DetectTime": "2026-01-01T00:00:00Z", "Category": ["Recon.Scanning"],
        "TLP": "GREEN", "AltNames": ["RT#1"], "Source": [{"IP4": sources}]})
}

fn carried(message: &Value) -> String {
    json!({"meta": {"format": "idea"}, "payload": message}).to_string()
}

const PATIENCE: Duration = Duration::from_secs(60);

const ID: &str = "4390fc3f-c753-4a3e-bc83-1b44f24baf75";

/// A node with doors; `text` goes behind its configuration.
fn node_with(text: &str) -> Node {
    let mut node = Node::init("cert-at");
    node.edit("intelmesh.toml", |config| format!("{config}\n{text}"));
    node.start();
    node
}

fn tail(node: &Node, arguments: &[&str]) -> Vec<Value> {
    let all = [&["tail", "--from", "earliest", "--own", "--idle", "1"], arguments].concat();
    node.cli(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn carried_messages_are_decoded_for_those_who_ask() {
    let node = node_with("");
    let answers = node.submit(&[carried(&idea("a", &["192.0.2.1", "192.0.2.2", "192.0.2.3"]))]);
    assert!(answers[0]["id"].is_string(), "{answers:?}");
    let as_signed = tail(&node, &[]);
    assert_eq!(as_signed.len(), 1);
    assert_eq!(as_signed[0]["meta"]["format"], "idea");
    assert!(as_signed[0]["meta"]["carried"].is_null());
    let lines = tail(&node, &["--format", "intelmq"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(
            (&line["seq"], &line["meta"]["uuid"]),
            (&as_signed[0]["seq"], &as_signed[0]["meta"]["uuid"])
        );
        assert_eq!(
            (line["meta"]["format"].as_str(), line["meta"]["carried"].as_str()),
            (Some("intelmq"), Some("idea"))
        );
        assert_eq!(line["payload"]["source.ip"], format!("192.0.2.{}", at + 1));
        assert_eq!(line["payload"]["extra.intelmesh.part"], format!("{}/3", at + 1));
    }
    let plain = tail(&node, &["--format", "intelmq", "--form", "plain"]);
    assert_eq!(plain[2]["tlp"], "GREEN");
    node.submit(&["{\"classification.type\":\"phishing\",\"source.ip\":\"192.0.2.9\"}".to_owned()]);
    let encoded = tail(&node, &["--format", "n6", "--form", "plain"]);
    assert_eq!(encoded.last().unwrap()["category"], "phish");
}

/// A message of n6 has no key for the part: it stood in the message all the same.
#[test]
fn parts_stand_in_meta_and_messages_stay_valid() {
    let node = node_with("");
    node.submit(&[carried(&idea("a", &["192.0.2.1", "192.0.2.2", "192.0.2.3"]))]);
    let lines = tail(&node, &["--format", "n6"]);
    let parts: Vec<&str> = lines.iter().map(|line| line["meta"]["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["1/3", "2/3", "3/3"]);
    let mut ids = BTreeSet::new();
    for line in &lines {
        assert!(line["payload"].as_object().unwrap().keys().all(|key| !key.contains("intelmesh")), "{line}");
        ids.insert(line["payload"]["id"].as_str().unwrap());
    }
    assert_eq!(ids.len(), 3, "each message has its own id");
    let ail = tail(&node, &["--format", "intelmq", "--form", "ail"]);
    assert_eq!(ail[1]["meta"]["part"], "2/3");
    assert_eq!(ail[1]["payload"]["extra.intelmesh.part"], "2/3");
}

/// Without meta these events look like lines of the node.
#[test]
fn events_that_look_like_notices_are_printed() {
    let node = node_with("");
    let events = [
        json!({"notice": "n", "code": "bad_idea", "seq": 1, "id": "i"}),
        json!({"notice": "n", "code": "from_ignored", "position": 1}),
        json!({"error": "e", "code": "busy"}),
    ];
    node.submit(&events.each_ref().map(Value::to_string));
    let shown = tail(&node, &["--form", "plain"]);
    assert_eq!(shown, events);
    let seen = tail(&node, &["--form", "plain", "--format", "intelmq", "--consumer", "soc"]);
    assert_eq!(seen, events);
    assert_eq!(node.consumer("soc")["lag_events"], 0);
}

#[test]
fn events_that_are_not_converted_are_counted_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("out");
    let door = format!("[[consumer]]\nname = \"filer\"\nto = \"spool\"\ndir = {dir:?}\nown = true\n");
    let node = node_with(&door);
    let fragment = carried(&json!({"Format": "IDEA0", "ID": "x"}));
    node.submit(&[fragment, json!({"meta": {"format": "n6"}, "payload": {"id": "x"}}).to_string()]);
    node.submit(&[carried(&idea("a", &["192.0.2.1"]))]);
    for _ in 0..2 {
        let lines = tail(&node, &["--format", "intelmq", "--consumer", "soc"]);
        assert!(lines.len() <= 1, "{lines:?}");
        node.cli(&["consumer", "rewind", "soc", "--to", "earliest"]);
    }
    let soc = node.consumer("soc");
    assert_eq!(soc["not_converted"]["count"], 2, "each once: {soc}");
    assert!(soc["not_converted"]["reason"].as_str().unwrap().starts_with("bad_n6: "), "{soc}");
    wait_until("the door is at the end", PATIENCE, || node.consumer("filer")["lag_events"] == 0);
    assert_eq!(
        node.consumer("filer")["not_converted"]["count"],
        1,
        "a fragment of its own format goes as it is"
    );
    assert!(node.cli(&["status"]).contains("soc: 2 events not converted"));
}

/// Two of three lines acknowledged are none: after a crash all three come again.
#[test]
fn a_position_passes_when_all_lines_of_a_seq_are_acknowledged() {
    let mut node = node_with("");
    node.submit(&[carried(&idea("a", &["192.0.2.1", "192.0.2.2", "192.0.2.3"]))]);
    let request = json!({"consumer": "soc", "own": true, "form": "plain", "format": "intelmq"});
    let lines = |consumer: &mut Consumer| -> Vec<String> {
        consumer.take(3).into_iter().map(|handed| handed.line).collect()
    };
    let mut consumer = Consumer::open(&node, &request);
    let first = lines(&mut consumer);
    consumer.ack_lines(2).unwrap();
    consumer.finish();
    node.kill9();
    node.start();
    let mut consumer = Consumer::open(&node, &request);
    assert_eq!(lines(&mut consumer), first);
    consumer.ack_lines(3).unwrap();
    consumer.finish();
    assert_eq!(node.consumer("soc")["lag_events"], 0);
}

#[test]
fn bodies_that_break_their_format_are_refused_with_its_code() {
    let node = node_with("");
    let misp = json!({"Event": {"uuid": "no", "info": "x"}});
    let lines = [
        carried(&json!({"Format": "IDEA1", "ID": "x", "DetectTime": "2026-01-01T00:00:00Z", "Category": []})),
        json!({"meta": {"format": "n6"}, "payload": {"id": "x", "source": "a.b", "restriction": "public",
            "confidence": "low", "category": "bots", "time": "2026-01-01T00:00:00Z"}})
        .to_string(),
        json!({"meta": {"format": "misp"}, "payload": misp}).to_string(),
        carried(&idea(ID, &["192.0.2.256"])),
    ];
    let answers = node.submit(&lines);
    let codes: Vec<&str> = answers.iter().map(|answer| answer["code"].as_str().unwrap_or_default()).collect();
    assert_eq!(codes, ["bad_idea", "bad_n6", "bad_misp", "bad_idea"]);
    let fragment = carried(&json!({"Format": "IDEA0", "ID": "x"}));
    assert!(node.submit(&[fragment])[0]["id"].is_string(), "a fragment is carried unread");
    let converting = node_with("[[submit]]\nfrom = \"socket\"\nconvert = \"intelmq\"\n");
    assert_eq!(converting.submit(&[carried(&json!({"Format": "IDEA0", "ID": "x"}))])[0]["code"], "bad_idea");
}

/// A filter sees the events of a carried message, and not its own shape.
#[test]
fn filters_see_carried_messages_decoded() {
    let node = node_with("");
    node.submit(&[carried(&idea(ID, &["192.0.2.1", "192.0.2.2"])), carried(&idea("b", &["198.51.100.1"]))]);
    let admitted = tail(&node, &["--filter", "event[\"source.ip\"] == \"192.0.2.2\""]);
    assert_eq!(admitted.len(), 1);
    assert_eq!(admitted[0]["payload"]["ID"], ID);
    assert_eq!(tail(&node, &["--filter", "event[\"classification.type\"] == \"scanner\""]).len(), 2);
}

#[test]
fn a_door_that_converts_publishes_linked_events() {
    let node = node_with("[[submit]]\nfrom = \"socket\"\nconvert = \"intelmq\"\n");
    let message = carried(&idea(ID, &["192.0.2.1", "192.0.2.2"]));
    let answer = &node.submit(std::slice::from_ref(&message))[0];
    assert_eq!(answer["id"], format!("cert-at:intelmq:{ID}"), "the message is the name of both");
    assert_eq!(node.submit(&[message])[0]["duplicate"], true);
    let events = tail(&node, &[]);
    assert_eq!(events.len(), 2);
    for (at, event) in events.iter().enumerate() {
        let other = &events[1 - at]["meta"]["uuid"]["current"];
        assert_eq!(event["meta"]["uuid"]["parent"], answer["id"]);
        let links = event["meta"]["links"].as_array().unwrap();
        assert!(links.contains(&json!({"type": "same-report", "right": other})), "{links:?}");
        assert!(links.contains(&json!({"type": "alternate", "right": "RT#1"})), "{links:?}");
        assert_eq!((&event["meta"]["format"], &event["meta"]["tlp"]), (&json!("intelmq"), &json!("GREEN")));
    }
}

fn files(dir: &Path) -> BTreeSet<String> {
    let found = fs::read_dir(dir).into_iter().flatten();
    found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Puts a file there as a filer does.
fn put(spool: &Path, name: &str, text: &str) {
    fs::write(spool.join("temp").join(name), text).unwrap();
    fs::rename(spool.join("temp").join(name), spool.join("incoming").join(name)).unwrap();
}

/// `kill -9` at random moments between two spools: each message arrives once, and each that is refused has a reason.
#[test]
fn spools_lose_nothing_and_repeat_nothing_under_kill_9() {
    const MESSAGES: usize = 120;
    let mut dice = Dice::announced("--test formats_live spools");
    let home = tempfile::tempdir().unwrap();
    let (came, goes) = (home.path().join("in"), home.path().join("out"));
    for dir in ["temp", "incoming", "errors"] {
        fs::create_dir_all(came.join(dir)).unwrap();
    }
    let doors = format!(
        "[[submit]]\nfrom = \"spool\"\ndir = {came:?}\n[[consumer]]\nname = \"filer\"\nto = \"spool\"\ndir = {goes:?}\nown = true\n"
    );
    let mut node = node_with(&doors);
    let mut taken = BTreeSet::new();
    let mut read = Vec::new();
    let collect = |read: &mut Vec<String>| {
        for name in files(&goes.join("incoming")) {
            let file = goes.join("incoming").join(&name);
            let message: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            assert_eq!(message["Node"][0]["Name"], "at.cert.intelmesh", "{message}");
            assert_eq!(message["AltNames"], json!(["RT#1"]), "carried as it came: {message}");
            read.push(message["ID"].as_str().unwrap().to_owned());
            fs::remove_file(file).unwrap();
        }
    };
    for number in 0..MESSAGES {
        let id = dice.uuid();
        put(&came, &format!("{number:04}.idea"), &idea(&id, &["192.0.2.1"]).to_string());
        taken.insert(id);
        if number % 20 == 7 {
            pace(Duration::from_millis(dice.below(120)));
            node.kill9();
            node.start();
        }
        if number % 9 == 0 {
            collect(&mut read);
        }
    }
    put(&came, "bad.idea", "{\"Format\":\"IDEA0\"}");
    wait_until("all files are taken", PATIENCE, || {
        files(&came.join("incoming")).is_empty() && files(&came.join("temp")).is_empty()
    });
    wait_until("all messages are out", PATIENCE, || {
        collect(&mut read);
        read.iter().collect::<BTreeSet<_>>().len() == MESSAGES
    });
    assert_eq!(read.iter().cloned().collect::<BTreeSet<_>>(), taken);
    // A file that its reader had taken before the mark was written comes once more: one for each kill at most.
    assert!(read.len() <= MESSAGES + 7 * 256, "{} of {MESSAGES}", read.len());
    assert_eq!(
        files(&came.join("errors")),
        BTreeSet::from(["bad.idea".to_owned(), "bad.idea.why".to_owned()])
    );
    let why = fs::read_to_string(came.join("errors/bad.idea.why")).unwrap();
    assert!(why.starts_with("bad_idea: "), "{why}");
}
