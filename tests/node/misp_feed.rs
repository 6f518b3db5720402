//! The door that writes a MISP feed, at a running node. The form of the feed is judged by others in
//! `tests/interop/misp_feed.py`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Node, wait_until};

const SOON: Duration = Duration::from_secs(60);

fn feed_node() -> Node {
    let mut node = Node::init("cert-at");
    node.edit("intelmesh.toml", |text| {
        format!(
            "{text}\n[[consumer]]\nname = \"misp\"\nto = \"misp-feed\"\ndir = \"feed\"\norg = \"CERT Example\"\n\
             org_uuid = \"b89da4c2-0f74-11ea-96a1-6fa873a0eb4d\"\ninterval = \"24h\"\nown = true\n"
        )
    });
    node.start();
    node
}

fn event(ip: &str, tlp: &str) -> String {
    json!({"meta": {"tlp": tlp}, "payload": {"classification.type": "scanner", "source.ip": ip}}).to_string()
}

/// The objects of a feed, and the time of its newest event.
fn read(dir: &Path) -> (Vec<Value>, u64) {
    let Ok(manifest) = fs::read(dir.join("manifest.json")) else { return (Vec::new(), 0) };
    let manifest: Value = serde_json::from_slice(&manifest).expect("a whole manifest");
    let mut objects = Vec::new();
    let mut newest = 0;
    for (uuid, entry) in manifest.as_object().expect("an object") {
        let text = fs::read(dir.join(format!("{uuid}.json"))).expect("the manifest comes after the files");
        let event: Value = serde_json::from_slice(&text).expect("a whole file");
        objects.extend(event["Event"]["Object"].as_array().expect("a list").clone());
        newest = newest.max(entry["timestamp"].as_u64().expect("a number"));
    }
    (objects, newest)
}

fn live(dir: &Path) -> Vec<String> {
    let objects = read(dir).0.into_iter().filter(|object| object["deleted"] != true);
    objects.map(|object| object["comment"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_feed_has_each_event_once_and_forgets_none_withdrawn() {
    let mut node = feed_node();
    let feed = node.dir().join("feed");
    let ids = node.publish(&[event("192.0.2.1", "GREEN"), event("192.0.2.2", "GREEN")]);
    wait_until("both are in the feed", SOON, || live(&feed).len() == 2);
    let first = read(&feed).1;
    let strict = node.publish(&[event("192.0.2.3", "AMBER")]);
    wait_until("the restricted feed has it", SOON, || live(&feed.join("restricted")) == strict);
    assert_eq!(live(&feed).len(), 2, "AMBER is not in the open feed");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&feed.join("restricted")) & 0o007, 0);
    assert_eq!(mode(&feed.join("restricted/manifest.json")) & 0o007, 0);
    node.kill9();
    node.start();
    let more = node.publish(&[event("192.0.2.4", "GREEN")]);
    wait_until("the third is there", SOON, || live(&feed).contains(&more[0]));
    assert_eq!(live(&feed).len(), 3, "each of them once");
    node.cli(&["event", "withdraw", &ids[0]]);
    wait_until("it is deleted", SOON, || !live(&feed).contains(&ids[0]));
    assert_eq!(live(&feed).len(), 2, "the withdrawal makes no object");
    let (objects, newest) = read(&feed);
    assert!(newest > first, "{newest} {first}");
    let gone =
        objects.iter().find(|object| object["comment"] == ids[0].as_str()).expect("it stays, as deleted");
    assert!(gone["Attribute"].as_array().unwrap().iter().all(|attribute| attribute["deleted"] == true));
}

/// A crash may come between a file and the lists.
#[test]
fn lost_lists_are_made_again_from_the_files() {
    let mut node = feed_node();
    let feed = node.dir().join("feed");
    node.publish(&[event("192.0.2.1", "GREEN")]);
    wait_until("it is in the feed", SOON, || live(&feed).len() == 1);
    let text = |name: &str| fs::read_to_string(feed.join(name)).unwrap();
    let before = (text("manifest.json"), text("hashes.csv"));
    node.kill9();
    fs::remove_file(feed.join("manifest.json")).unwrap();
    fs::remove_file(feed.join("hashes.csv")).unwrap();
    node.start();
    wait_until("the lists are back", SOON, || feed.join("manifest.json").exists());
    assert_eq!((text("manifest.json"), text("hashes.csv")), before);
}
