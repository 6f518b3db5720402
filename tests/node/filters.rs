//! Filters in running nodes: what is shared, what is taken, what a consumer gets, and what status says where a filter
//! has no answer. It deliberately leaves what an expression means to the tests of `filter`.

use std::time::Duration;

use serde_json::{Value, json};
use support::shape::{has_accepted, mesh, start, unstarted_mesh};
use support::{Consumer, Handed, Node, wait_until};

/// Peer files act within 1 s (CONTRACT.md §5.3); the rest is for a machine under load.
const RELOAD: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(700);

/// An event of a country; of none where it is empty.
fn of(number: usize, country: &str) -> String {
    match country {
        "" => json!({"source.ip": format!("192.0.2.{number}")}).to_string(),
        country => json!({
            "source.ip": format!("192.0.2.{number}"),
            "source.geolocation.cc": country,
            "source.asn": 64_496 + number,
        })
        .to_string(),
    }
}

fn events() -> Vec<String> {
    ["EE", "AT", "EE", "", "AT", "EE"]
        .iter()
        .enumerate()
        .map(|(number, country)| of(number, country))
        .collect()
}

fn why(node: &Node, peer: &str, reason: &str) -> u64 {
    node.count(peer, &format!("/sent/withheld_why/{reason}"))
}

fn health(node: &Node, code: &str) -> Value {
    let status = node.status();
    let reasons = status["health"].as_array().cloned().unwrap_or_default();
    reasons.into_iter().find(|reason| reason["code"] == code).unwrap_or_default()
}

fn countries(handed: &[Handed]) -> Vec<String> {
    let country = |one: &Handed| {
        let payload: Value = serde_json::from_str(&one.payload).unwrap();
        payload["source.geolocation.cc"].as_str().unwrap_or_default().to_owned()
    };
    handed.iter().map(country).collect()
}

#[test]
fn what_share_does_not_admit_stays_and_what_it_has_no_answer_for_too() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[0].configure_peer("cert-ee", "share", "where", "'event[\"source.geolocation.cc\"] == \"EE\"'");
    start(&mut nodes);
    nodes[0].publish(&events());
    has_accepted(&nodes[1], 3);
    wait_until("all were looked at", SOON, || nodes[0].count("cert-ee", "/sent/withheld") == 3);
    assert_eq!((why(&nodes[0], "cert-ee", "filter"), why(&nodes[0], "cert-ee", "filter_failed")), (2, 1));
    let failing = health(&nodes[0], "filter_failing");
    assert_eq!(failing["peer"], "cert-ee");
    let what = failing["what"].as_str().unwrap_or_default();
    assert_eq!(
        what,
        "peers/cert-ee.toml, [share] where: no answer for 1 event: no key \"source.geolocation.cc\""
    );

    nodes[0].configure_peer("cert-ee", "share", "where", "'country(event, [\"EE\", \"AT\"])'");
    wait_until("a mended filter is no longer failing", RELOAD, || !nodes[0].complains("filter_failing"));
    nodes[1].cli(&["feed", "rewind", "cert-at", "--to", "earliest"]);
    has_accepted(&nodes[1], 5);
    let mut consumer = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    let mut got = countries(&consumer.rest(QUIET));
    got.sort();
    assert_eq!(got, ["AT", "AT", "EE", "EE", "EE"], "each once, and the one without a country never");
}

#[test]
fn what_receive_does_not_admit_is_not_taken_and_comes_once_the_file_says_so() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[1].configure_peer(
        "cert-at",
        "receive",
        "where",
        "'country(event, \"EE\") && meta.tlp == \"GREEN\"'",
    );
    start(&mut nodes);
    nodes[0].publish(&events());
    has_accepted(&nodes[1], 3);
    wait_until("the others are not wanted", SOON, || nodes[1].count("cert-at", "/received/rejected") == 3);
    wait_until("the sender knows", SOON, || nodes[0].count("cert-ee", "/sent/rejected") == 3);
    assert!(!nodes[0].complains("rejected_by_peer"), "nothing is wrong with what is not wanted");
    let feeds = nodes[1].cli(&["feed", "show", "--json"]);
    assert!(feeds.contains("not_wanted"), "{feeds}");

    nodes[1].configure_peer("cert-at", "receive", "where", "'meta.publisher == \"cert-at\"'");
    has_accepted(&nodes[1], 6);
    let mut consumer = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    assert_eq!(consumer.rest(QUIET).len(), 6, "each once");
    let received = &nodes[1].peer("cert-at")["received"];
    assert_eq!(received["owed"], 0, "{received}");
}

#[test]
fn a_consumer_gets_what_its_filter_admits_and_its_position_passes_the_rest() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[0].publish(&events());
    has_accepted(&nodes[1], 6);
    let mut refused =
        Consumer::try_open(&nodes[1], &json!({"filter": "event[\"a\"] = 1"})).expect("out.sock takes it");
    let line = refused.next_raw().unwrap().expect("an answer");
    let error: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(error["code"], "bad_filter", "{line}");
    assert!(error["error"].as_str().is_some_and(|what| what.starts_with("\"filter\":1:12: ")), "{line}");
    assert_eq!(refused.next_raw().unwrap(), None, "and it is closed");

    let filter = "event[\"source.geolocation.cc\"] == \"EE\" && meta.source == \"cert-at\"";
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "soc", "filter": filter}));
    let handed = consumer.rest(QUIET);
    assert_eq!(countries(&handed), ["EE", "EE", "EE"]);
    consumer.ack(handed[2].seq).unwrap();
    wait_until("the position passes what was not for it", SOON, || nodes[1].consumer("soc")["position"] == 6);
    let failing = health(&nodes[1], "filter_failing");
    assert_eq!(failing["consumer"], "soc", "{failing}");
    consumer.finish();
    let mut again = Consumer::open(&nodes[1], &json!({"consumer": "soc", "filter": "true"}));
    nodes[0].publish(&[of(9, "LV")]);
    assert_eq!(countries(&again.take(1)), ["LV"]);
    assert!(!nodes[1].complains("filter_failing"), "another filter, another count");
    let tail = nodes[1].cli(&[
        "tail",
        "--from",
        "earliest",
        "--form",
        "plain",
        "--filter",
        "country(event, \"LV\")",
        "--count",
        "1",
        "--idle",
        "10",
    ]);
    assert_eq!(tail, format!("{}\n", of(9, "LV")));
}

#[test]
fn a_list_acts_when_its_file_changes() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    let lists = nodes[1].dir().join("lists");
    std::fs::write(lists.join("asns.txt"), "64496\n").unwrap();
    nodes[1].configure_peer("cert-at", "receive", "where", "'asn_in(event, \"asns.txt\")'");
    start(&mut nodes);
    nodes[0].publish(&[of(0, "EE"), of(1, "EE"), of(2, "EE")]);
    has_accepted(&nodes[1], 1);
    std::fs::write(lists.join("asns.new"), "AS64496\nAS64498 # new\n").unwrap();
    std::fs::rename(lists.join("asns.new"), lists.join("asns.txt")).unwrap();
    has_accepted(&nodes[1], 2);
    std::fs::remove_file(lists.join("asns.txt")).unwrap();
    wait_until("a list that is gone is named", RELOAD, || nodes[1].complains("config_bad"));
    nodes[0].publish(&[of(2, "LV")]);
    has_accepted(&nodes[1], 3);
}

#[test]
fn a_changed_peer_file_is_tried_before_it_is_put_in_place() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let ids = nodes[0].publish(&events());
    nodes[1].publish(&[of(7, "EE"), of(8, "AT")]);
    has_accepted(&nodes[0], 2);
    let file = std::fs::read_to_string(nodes[0].dir().join("peers/cert-ee.toml")).unwrap();
    let trial = nodes[0].dir().join("cert-ee.toml");
    let filters = "[share]\nwhere = 'event[\"source.geolocation.cc\"] == \"EE\"'\n[receive]\nwhere = 'country(event, \"AT\")'\n";
    let bare: String =
        file.lines().filter(|line| !line.starts_with('[')).map(|line| format!("{line}\n")).collect();
    let top: String = bare
        .lines()
        .take_while(|line| !line.starts_with("tlp_max"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&trial, format!("{top}{filters}")).unwrap();
    let path = trial.to_str().unwrap();

    let told = nodes[0].cli(&["peer", "check", "--dry-run", path]);
    for line in [
        "cert-ee: 8 events, seq 1 to 8",
        "[share] shared now 6, then 3",
        "  held back then: 2 filter",
        "  held back then: 1 filter_failed",
        "  filter_failed: 1 no key \"source.geolocation.cc\"",
        "[receive] received now 2, then 1",
    ] {
        assert!(told.lines().any(|said| said == line), "{line} in {told}");
    }
    assert!(told.contains(&format!("held back (filter) then: {} {}", ids[4], ids[1])), "{told}");
    let json: Value =
        serde_json::from_str(&nodes[0].cli(&["peer", "check", "--json", "--dry-run", path, "--last", "2"]))
            .unwrap();
    assert_eq!(
        (&json["schema"], &json["first_seq"], &json["last_seq"]),
        (&json!("intelmesh.peer-trial/1"), &json!(7), &json!(8))
    );

    std::fs::write(&trial, format!("{top}[share]\nwhere = 'evnt == 1'\n")).unwrap();
    let refused = nodes[0].say(&["peer", "check", "--dry-run", path], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    let line = top.lines().count() + 2;
    let wanted =
        format!("error: {path}:{line}:10: \"where\": unknown name \"evnt\"\nhint: did you mean \"event\"?\n");
    assert_eq!(refused.stderr, wanted);
    assert_eq!(nodes[0].count("cert-ee", "/sent/withheld"), 0, "nothing was put in place");

    std::fs::write(nodes[0].dir().join("peers/cert-ee.toml"), format!("{top}[share]\nwhere = 'evnt == 1'\n"))
        .unwrap();
    let checked = nodes[0].say(&["check"], "");
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(
        checked.stderr.contains(&format!("peers/cert-ee.toml:{line}:10: \"where\": unknown name")),
        "{checked:?}"
    );
    wait_until("status names it", RELOAD, || nodes[0].complains("config_bad"));
    assert!(nodes[0].connected("cert-ee"), "and keeps what the file said before");
}
