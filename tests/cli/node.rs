//! The command line with real nodes behind it: what is asked is done at once, what is shown is true, and the demo.

mod service;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::events::{made, tokens};
use support::shape::mesh;
use support::{Node, Stopwatch, node, wait_until};

/// Anything that is said to happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn published(node: &Node, numbers: std::ops::Range<usize>) -> Vec<String> {
    let lines: Vec<String> = numbers.map(|number| made(number, 300)).collect();
    node.publish(&lines)
}

fn uuid(id: &str) -> &str {
    id.rsplit(':').next().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_demo_tells_its_story_within_20_seconds_and_leaves_nothing_behind() {
    let place = tempfile::TempDir::new().unwrap();
    let watch = Stopwatch::start();
    let demo = Command::new(node::binary()).arg("demo").env("TMPDIR", place.path()).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{told}{errors}");
    assert!(watch.elapsed() < Duration::from_secs(20), "{:?}", watch.elapsed());
    for word in
        ["!cert-at (10)", "!cert-at!cert-ee (5)", "duplicate", "loop", "\nok: nothing lost, nothing twice"]
    {
        assert!(told.contains(word), "{word} in {told}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn an_event_is_shown_exported_and_verified() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    let line = made(1, 300);
    let id = at.publish(std::slice::from_ref(&line)).remove(0);
    wait_until("cert-ee has it", SOON, || ee.accepted() == 1);
    let facts = json(&ee.cli(&["event", "show", uuid(&id), "--json"]));
    assert_eq!(facts["schema"], "intelmesh.event/1");
    assert_eq!((&facts["id"], &facts["path"]), (&Value::from(id.as_str()), &Value::from("!cert-at")));
    assert_eq!((&facts["publisher"], &facts["source"]), (&Value::from("cert-at"), &Value::from("cert-at")));
    let shown = ee.cli(&["event", "show", &uuid(&id)[..8]]);
    assert!(shown.starts_with(&format!("{id}\n")) && shown.contains("path       !cert-at\n"), "{shown}");
    let payload = shown.lines().find_map(|line| line.strip_prefix("  payload    ")).unwrap();
    assert_eq!(tokens(payload), tokens(&line));

    let file = ee.dir().join("event.cose");
    let path = file.to_str().unwrap();
    assert_eq!(ee.cli(&["event", "export", &id, "--cose", path]), "");
    let said = ee.cli(&["event", "verify", path]);
    let key = at.status()["key"].as_str().unwrap().to_owned();
    assert_eq!(said, format!("ok publisher=cert-at key={key}\n"));
    assert_eq!(ee.cli(&["event", "verify", &id]), said);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let bad = ee.say(&["event", "verify", path], "");
    assert_eq!((bad.code, bad.stdout.starts_with("bad_signature: ")), (1, true), "{bad:?}");

    let unknown = ee.say(&["event", "show", "00000000-0000-4000-8000-000000000000"], "");
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
    assert!(unknown.stderr.starts_with("error: no event 00000000-"), "{unknown:?}");
}

#[test]
fn pausing_resuming_and_removing_a_peer_act_at_once() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    at.cli(&["peer", "pause", "cert-ee"]);
    assert_eq!(at.peer("cert-ee")["state"], "paused");
    wait_until("the line is cut", SOON, || !at.connected("cert-ee") && !ee.connected("cert-at"));
    published(at, 0..3);
    at.cli(&["peer", "resume", "cert-ee"]);
    wait_until("it goes on from where it was", SOON, || ee.accepted() == 3);
    at.cli(&["peer", "remove", "cert-ee"]);
    assert_eq!(at.peer("cert-ee"), Value::Null);
    wait_until("the other side is cut off", SOON, || !ee.connected("cert-at"));
    let listed = json(&at.cli(&["peer", "list", "--json"]));
    assert_eq!(listed["peers"].as_array().map(Vec::len), Some(0), "{listed}");
}

#[test]
fn a_peer_is_dialled_by_the_node_itself() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let check = json(&nodes[0].cli(&["peer", "check", "cert-ee", "--json"]));
    assert_eq!((&check["connected"], &check["addresses"][0]["ok"]), (&true.into(), &true.into()), "{check}");
    let shown = nodes[0].cli(&["peer", "show", "cert-ee"]);
    assert!(shown.contains("\n  connection up since "), "{shown}");
    let ok = nodes[0].say(&["status", "--check"], "");
    assert_eq!(ok.code, 0, "{ok:?}");
    assert!(ok.stdout.starts_with("ok: 1 of 1 peers up"), "{ok:?}");
    let stranger = Node::init("cert-pl");
    let said = nodes[0].say(&["peer", "add", &stranger.invite(), "--yes"], "");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains(&stranger.address()), "{said:?}");
    assert_eq!(nodes[0].peer("cert-pl")["connected"], false);
}

#[test]
fn feeds_are_shown_and_read_again() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    published(at, 0..5);
    wait_until("cert-ee has them", SOON, || ee.accepted() == 5);
    let position = || json(&ee.cli(&["feed", "show", "cert-at", "--json"]))["feeds"][0]["position"].as_u64();
    wait_until("the cursor has passed them", SOON, || position() == Some(5));
    for line in [vec!["rewind", "cert-at", "--to", "earliest"], vec!["repair", "cert-at"]] {
        let before = ee.count("cert-at", "/received/refused");
        ee.cli(&[vec!["feed"], line.clone()].concat());
        let again = || ee.count("cert-at", "/received/refused") >= before + 5;
        wait_until(&format!("all are offered again after {line:?}"), SOON, again);
        wait_until("the cursor is back", SOON, || position() == Some(5));
    }
    assert_eq!(ee.accepted(), 5);
    let unknown = ee.say(&["feed", "rewind", "cert-xx", "--to", "earliest"], "");
    assert_eq!(unknown.code, 1, "{unknown:?}");
}

#[test]
fn a_second_run_and_a_bad_configuration_exit_2() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let second = nodes[0].say(&["run"], "");
    assert_eq!((second.code, second.stdout.as_str()), (2, ""), "{second:?}");
    assert!(second.stderr.contains("error: "), "{second:?}");
    nodes[0].stop();
    nodes[0].edit("intelmesh.toml", |text| format!("frob = 1\n{text}"));
    let bad = nodes[0].say(&["run"], "");
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(bad.stderr.starts_with("error: intelmesh.toml:1: unknown key \"frob\"\nhint: "), "{bad:?}");
    let status = nodes[0].say(&["status"], "");
    assert_eq!(status.code, 2, "{status:?}");
    assert!(status.stderr.starts_with("error: no node runs in "), "{status:?}");
}

#[test]
fn submit_and_tail_carry_labels_and_forms() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    let plain = r#"{"source.ip":"192.0.2.1","n":1.0}"#;
    let with_meta = r#"{"meta":{"tlp":"GREEN"},"payload":{"source.ip":"192.0.2.2"}}"#;
    let lines = format!("{plain}\n{with_meta}\nnonsense\n");
    let said = at.say(&["submit", "--tlp", "AMBER", "--to", "cert-ee"], &lines);
    let answers: Vec<Value> = said.stdout.lines().map(json).collect();
    assert_eq!((said.code, answers.len()), (1, 3), "{said:?}");
    assert_eq!((&answers[2]["code"], &answers[2]["line"]), (&"bad_json".into(), &3.into()), "{said:?}");
    let tail = ee.cli(&["tail", "--consumer", "soc", "--count", "2", "--idle", "10"]);
    for line in tail.lines().map(json) {
        assert_eq!(
            (&line["meta"]["tlp"], &line["meta"]["to"][0]),
            (&"AMBER".into(), &"cert-ee".into()),
            "{line}"
        );
    }
    assert_eq!(ee.consumer("soc")["position"], 2);
    let plain_tail =
        ee.cli(&["tail", "--consumer", "two", "--form", "plain", "--count", "1", "--idle", "10"]);
    assert_eq!(plain_tail, format!("{plain}\n"));
    let refused = ee.say(&["tail", "--filter", "tru"], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(refused.stderr.contains("unknown name \"tru\""), "{refused:?}");
}
