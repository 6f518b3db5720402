//! Consumers that end, and events that are withdrawn: verbs that act at once on a running node.

use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::shape::mesh;
use support::{Consumer, Handed, Node, Redis, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn published(node: &Node, count: usize) -> Vec<String> {
    let lines: Vec<String> = (0..count).map(|number| made(number, 300)).collect();
    node.publish(&lines)
}

fn read_all(node: &Node, count: usize) {
    let mut soc = Consumer::open(node, &json!({"consumer": "soc", "own": true}));
    let handed = soc.take(count);
    soc.ack(handed.last().unwrap().seq).unwrap();
    soc.finish();
}

#[test]
fn a_removed_consumer_is_gone_and_begins_anew() {
    let mut node = Node::init("cert-at");
    node.start();
    published(&node, 5);
    read_all(&node, 5);
    let listed = node.cli(&["consumer", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("soc  ") && line.contains(" 5 ")), "{listed}");
    let shown = node.cli(&["consumer", "show", "soc"]);
    assert!(shown.contains("position   5 of 5, 0 to read"), "{shown}");

    // A reader that is connected is turned away with the reason.
    let mut reading = Consumer::open(&node, &json!({"consumer": "soc", "own": true}));
    wait_until("it is connected", SOON, || node.consumer("soc")["connected"] == true);
    node.cli(&["consumer", "remove", "soc"]);
    let line = reading.next_raw().unwrap().expect("a reason");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["code"], "removed", "{line}");
    wait_until("it is gone", SOON, || node.consumer("soc") == Value::Null);
    let unknown = node.say(&["consumer", "remove", "soc"], "");
    assert_eq!((unknown.code, unknown.stderr.contains("no consumer \"soc\"")), (1, true), "{unknown:?}");
    node.restart();
    assert_eq!(node.consumer("soc"), Value::Null, "a restart does not bring it back");
    read_all(&node, 5);
}

/// Programs read the answers of verbs as well: one line of JSON, of which the first key names the form.
#[test]
fn verbs_that_ask_the_node_answer_in_json() {
    let mut node = Node::init("cert-at");
    node.start();
    published(&node, 1);
    read_all(&node, 1);
    for (verb, schema) in [
        ("consumer list", "intelmesh.consumers/1"),
        ("consumer show soc", "intelmesh.consumer/1"),
        ("event waiting", "intelmesh.waiting/1"),
        ("feed show", "intelmesh.feed/1"),
        ("status", "intelmesh.status/1"),
    ] {
        let args: Vec<&str> = verb.split(' ').chain(["--json"]).collect();
        let text = node.cli(&args);
        assert!(text.starts_with(&format!("{{\"schema\":\"{schema}\",")), "{verb}: {text}");
        assert_eq!(text.lines().count(), 1, "{verb}");
        serde_json::from_str::<Value>(&text).unwrap();
    }
}

#[test]
fn a_rewound_consumer_gets_everything_after_the_place_again() {
    let mut node = Node::init("cert-at");
    node.start();
    let ids = published(&node, 6);
    read_all(&node, 6);
    for (to, expected) in [("earliest", &ids[..]), ("4", &ids[3..]), ("now", &[])] {
        node.cli(&["consumer", "rewind", "soc", "--to", to]);
        let mut soc = Consumer::open(&node, &json!({"consumer": "soc", "own": true}));
        let got: Vec<String> = soc.rest(Duration::from_millis(500)).iter().map(Handed::id).collect();
        assert_eq!(got, expected, "{to}");
    }
    let bad = node.say(&["consumer", "rewind", "soc", "--to", "yesterday"], "");
    assert_eq!(bad.code, 2, "{bad:?}");
}

/// Whether it is rewound or removed, with its door or without: nothing that was kept beside the queue brings the old place
/// back.
#[test]
fn a_door_hands_over_again_what_it_handed_before_rewinding() {
    let mut redis = Redis::start();
    let mut node = Node::init("cert-at");
    let door = format!(
        "[[consumer]]\nname = \"pipe\"\nto = \"intelmq-redis\"\nurl = \"{}\"\nqueue = \"q\"\nown = true\n",
        redis.url(0)
    );
    node.edit("intelmesh.toml", |text| text + &door);
    node.start();
    published(&node, 3);
    redis.client(0).wait_for_length("q", 3);
    redis.save();
    redis.kill9();
    node.cli(&["consumer", "rewind", "pipe"]);
    node.restart();
    redis.start_again();
    redis.client(0).wait_for_length("q", 6);

    node.edit("intelmesh.toml", |text| text.replace(&door, ""));
    node.cli(&["reload"]);
    node.cli(&["consumer", "remove", "pipe"]);
    node.edit("intelmesh.toml", |text| text + &door);
    node.cli(&["reload"]);
    redis.client(0).wait_for_length("q", 9);
}

/// The place beside the queue says that the receiver has it all; the operator says that it gets it again.
#[test]
fn a_door_that_was_rewound_hands_over_again() {
    let redis = Redis::start();
    let mut node = Node::init("cert-at");
    let url = redis.url(0);
    node.edit("intelmesh.toml", |text| {
        text + &format!("[[consumer]]\nname = \"pipe\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"q\"\nown = true\n")
    });
    node.start();
    published(&node, 3);
    let mut bot = redis.client(0);
    bot.wait_for_length("q", 3);
    node.cli(&["consumer", "rewind", "pipe"]);
    bot.wait_for_length("q", 6);
    let refused = node.say(&["consumer", "remove", "pipe"], "");
    assert_eq!(
        (refused.code, refused.stderr.contains("is a door of intelmesh.toml")),
        (1, true),
        "{refused:?}"
    );
}

#[test]
fn consumers_are_listed_without_a_running_node() {
    let mut node = Node::init("cert-at");
    node.start();
    published(&node, 2);
    read_all(&node, 2);
    node.stop();
    let said = node.say(&["consumer", "list"], "");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.starts_with("no node runs here: positions as of "), "{said:?}");
    assert!(said.stdout.lines().any(|line| line.starts_with("soc  ") && line.contains(" 2 ")), "{said:?}");
}

/// It takes the label of its target, goes to everybody who got that, and says why.
#[test]
fn a_withdrawal_goes_where_its_target_went() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    let answer = at.say(&["submit", "--tlp", "AMBER", "--to", "cert-ee"], &made(1, 300)).done();
    let id = serde_json::from_str::<Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned();
    wait_until("it arrives", SOON, || ee.accepted() == 1);
    let uuid = id.rsplit(':').next().unwrap();
    let by = at.cli(&["event", "withdraw", &uuid[..8], "--reason", "It was a test."]).trim().to_owned();
    wait_until("the withdrawal arrives", SOON, || ee.accepted() == 2);
    let shown =
        |id: &str| -> Value { serde_json::from_str(&ee.cli(&["event", "show", id, "--json"])).unwrap() };
    assert_eq!(shown(&id)["withdrawn_by"], by.as_str());
    let withdrawal = shown(&by);
    assert_eq!((&withdrawal["tlp"], &withdrawal["to"]), (&"AMBER".into(), &json!(["cert-ee"])));
    assert_eq!(withdrawal["payload"], json!({"event_description.text": "It was a test."}));
    let again = at.say(&["event", "withdraw", &id], "");
    assert_eq!((again.code, again.stderr.contains("is withdrawn already")), (1, true), "{again:?}");
    let theirs = ee.say(&["event", "withdraw", &id], "");
    assert_eq!(
        (theirs.code, theirs.stderr.contains("only its publisher can withdraw it")),
        (1, true),
        "{theirs:?}"
    );
}

/// A sealed event is withdrawn by a sealed one: nobody else learns of it.
#[test]
fn a_sealed_event_is_withdrawn_sealed() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (at, ee) = (&nodes[0], &nodes[1]);
    let answer = at.say(&["submit", "--tlp", "RED", "--to", "cert-ee", "--seal"], &made(1, 300)).done();
    let id = serde_json::from_str::<Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned();
    wait_until("it arrives", SOON, || ee.accepted() == 1);
    let by = at.cli(&["event", "withdraw", &id]).trim().to_owned();
    wait_until("the withdrawal arrives", SOON, || ee.accepted() == 2);
    let shown: Value = serde_json::from_str(&ee.cli(&["event", "show", &by, "--json"])).unwrap();
    assert_eq!((&shown["sealed"], &shown["tlp"]), (&true.into(), &"RED".into()), "{shown}");
}
