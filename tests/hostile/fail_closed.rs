//! A producer that forgets, misspells or leaves empty who may have an event gets an error at every door, and nothing of
//! it reaches a peer. Which keys and labels are meant is tested beside the code; here are the doors.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use support::node::free_port;
use support::shape::{start, unstarted_mesh};
use support::{Consumer, Node, Redis, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Lines that an analyst typed, or a script wrote, and that were published as GREEN to everybody.
const TYPED: [(&str, &str); 12] = [
    (r#"{"meta":{"tlp":"AMBER+STRICT","to":["cert-ee"]},"event":{"source.ip":"192.0.2.1"}}"#, "bad_meta"),
    (r#"{"meta":{"TLP":"RED"},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"meta":{"tlpp":"RED"},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"meta":{"To":["cert-ee"]},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"meta":{"recipients":["cert-ee"]},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"meta":{"to":null},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"Meta":{"tlp":"RED"},"payload":{"a":1}}"#, "bad_meta"),
    (r#"{"a":1,"TLP":"RED"}"#, "bad_tlp"),
    (r#"{"a":1,"extra.tlp":"RED"}"#, "bad_tlp"),
    (r#"{"a":1,"tlp":"geheim"}"#, "bad_tlp"),
    (r#"{"meta":{"format":"idea"},"payload":{"ID":"x","TLP":"RED"}}"#, "bad_tlp"),
    (
        r#"{"format":"ail","version":1,"type":"item","meta":{"tags":["tlp:red"]},"payload":{"raw":"eA=="}}"#,
        "bad_tlp",
    ),
];

fn typed() -> String {
    TYPED.iter().map(|(line, _)| format!("{line}\n")).collect()
}

fn codes(text: &str) -> Vec<String> {
    let code = |line: &str| {
        serde_json::from_str::<Value>(line).expect(line)["code"].as_str().expect(line).to_owned()
    };
    text.lines().map(code).collect()
}

fn wanted() -> Vec<String> {
    TYPED.iter().map(|(_, code)| (*code).to_owned()).collect()
}

#[test]
fn the_command_line_refuses_what_was_mistyped() {
    let mut node = Node::init("cert-at");
    node.start();
    let said = node.say(&["submit"], &typed());
    assert_eq!((said.code, codes(&said.stdout)), (1, wanted()));
    assert!(said.stdout.lines().all(|line| line.contains("\"hint\"")), "{}", said.stdout);
    for flags in
        [&["submit", "--dry-run", "--json"][..], &["submit", "--dry-run", "--json", "--tlp", "GREEN"]]
    {
        let said = node.say(flags, &typed());
        assert_eq!((said.code, codes(&said.stdout)), (1, wanted()), "{flags:?}");
    }
    let said = node.say(&["submit", "--tlp", "GREEN"], &typed());
    assert_eq!((said.code, codes(&said.stdout)), (1, wanted()), "a flag hides nothing");

    let line = r#"{"meta":{"campaign":"x","x-own":1},"payload":{"a":1}}"#;
    let answer = node.submit(&[line.to_owned()]).remove(0);
    assert_eq!(answer["ext"], json!(["campaign"]), "{answer}");
    let tried = node.say(&["submit", "--dry-run"], line);
    assert!(tried.stdout.contains("kept as ext without effect: campaign"), "{}", tried.stdout);
    assert_eq!(node.status()["journal"]["last_seq"], 1);
}

#[test]
fn doors_of_intelmq_set_aside_what_was_mistyped() {
    let (redis, port) = (Redis::start(), free_port());
    let mut node = Node::init("cert-at");
    let doors = format!(
        "\n[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n[[submit]]\nfrom = \"intelmq-redis\"\n\
         url = \"{}\"\nqueue = \"q\"\n",
        redis.url(2)
    );
    node.edit("intelmesh.toml", |text| text + &doors);
    node.start();
    let mut queue = redis.client(2);
    TYPED.iter().for_each(|(line, _)| queue.push("q", line));
    let mut bot = wait_for("the door listens", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    for (line, _) in TYPED {
        let length = u32::try_from(line.len()).expect("a short line").to_be_bytes();
        bot.write_all(&[&length[..], line.as_bytes()].concat()).expect("the door reads");
        let mut answer = [0; 2];
        bot.read_exact(&mut answer).expect("the door answers");
    }
    for door in ["intelmq-tcp", "intelmq-redis"] {
        let aside =
            || std::fs::read_to_string(node.dir().join(format!("aside/{door}.jsonl"))).unwrap_or_default();
        wait_until("all are set aside", SOON, || aside().lines().count() == TYPED.len());
        assert_eq!(codes(&aside()), wanted(), "{door}");
    }
    assert_eq!(node.status()["journal"]["last_seq"], 0);
}

/// A peer that may have GREEN gets nothing stricter, wherever the label stands, and recipients that it is not among
/// keep it out.
#[test]
fn labels_of_every_format_hold_at_the_peer() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee"]);
    nodes[0].edit("peers/cert-ee.toml", |text| text.replace("tlp_max = \"AMBER\"", "tlp_max = \"GREEN\""));
    start(&mut nodes);
    let held: Vec<String> = [
        r#"{"meta":{"tags":["tlp:amber"]},"payload":{"a":1}}"#,
        r#"{"meta":{"format":"misp"},"payload":{"Event":{"Tag":[{"name":"tlp:amber"}]}}}"#,
        r#"{"meta":{"format":"n6"},"payload":{"restriction":"need-to-know"}}"#,
        r#"{"meta":{"format":"idea"},"payload":{"ID":"x","TLP":"AMBER"}}"#,
        r#"{"a":2,"extra":{"tlp":"AMBER"}}"#,
    ]
    .map(str::to_owned)
    .into();
    nodes[0].publish(&held);
    let shared = nodes[0].publish(&[r#"{"a":3}"#.to_owned()]);
    let mut consumer = Consumer::open(&nodes[1], &json!({"from": "earliest"}));
    assert_eq!(consumer.take_one().id(), shared[0], "the others stayed at home");
    assert_eq!(nodes[1].accepted(), 1);
}
