//! Sealed events between real nodes: who reads them, who only carries them, and that who carries them learns nothing,
//! neither on disk nor in the log nor in memory. What a seal is, byte by byte, is tested beside `envelope::seal`.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::with_meta;
use support::shape::{chain, has_accepted, mesh, start, unstarted_mesh};
use support::{Consumer, Handed, Node, wait_until};

const QUIET: Duration = Duration::from_millis(700);
const SOON: Duration = Duration::from_secs(10);

/// What nobody but the recipients may find.
const SECRETS: [&str; 4] = ["198.51.100.77", "secret-botnet-name", "9876543210", "CESNET-RT#4711"];

fn everything(node: &Node) -> Consumer {
    Consumer::open(node, &json!({"from": "earliest"}))
}

/// A line with all of [`SECRETS`] in it.
fn secret_line(tlp: &str, to: &[&str]) -> String {
    let meta = json!({
        "version": 1, "tlp": tlp, "to": to, "seal": true, "rtir_id": 9_876_543_210_u64,
        "links": [{"type": "alternate", "right": "CESNET-RT#4711"}],
    });
    with_meta(&meta, r#"{"source.ip":"198.51.100.77","malware.name":"secret-botnet-name","extra.ratio":1.0}"#)
}

fn is_opened(event: &Handed) {
    assert_eq!(event.meta["sealed"], true, "{}", event.line);
    assert_eq!(event.meta["ext"]["rtir_id"], 9_876_543_210_u64, "{}", event.line);
    assert_eq!(event.meta["links"][0]["right"], "CESNET-RT#4711", "{}", event.line);
    assert_eq!(
        event.payload,
        r#"{"source.ip":"198.51.100.77","malware.name":"secret-botnet-name","extra.ratio":1.0}"#,
        "token for token"
    );
}

fn shown(node: &Node, id: &str) -> Value {
    serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).expect("JSON")
}

/// Is `needle` in a file below `dir`? Sockets are passed over.
fn on_disk(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).expect("a directory").flatten().any(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            on_disk(&path, needle)
        } else {
            kind.is_file() && contains(&fs::read(&path).unwrap_or_default(), needle)
        }
    })
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|part| part == needle)
}

/// All that a process may write to, as a core file would have it. Needs root: a node keeps its memory from its account.
fn memory_of(node: &Node) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", node.pid())).expect("this test needs root");
    let mut memory = fs::File::open(format!("/proc/{}/mem", node.pid())).expect("this test needs root");
    let mut parts = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (from, until) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, until] = [from, until].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut part = vec![0; (until - from) as usize];
        // Some areas are the kernel's own.
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut part).is_ok() {
            parts.push(part);
        }
    }
    parts
}

#[test]
fn a_relay_carries_what_it_cannot_read_and_nothing_of_it_is_on_its_disk_in_its_log_or_memory() {
    let nodes = chain(&["cert-at", "cert-ee", "cert-pl"]);
    let mut relayed = everything(&nodes[1]);
    let id = nodes[0].publish(&[secret_line("AMBER", &["cert-pl"])]).remove(0);
    let event = everything(&nodes[2]).take_one();
    assert_eq!((event.id(), event.text("/path")), (id.clone(), "!cert-at!cert-ee".to_owned()));
    assert_eq!(event.meta["to"], json!(["cert-pl"]));
    is_opened(&event);

    has_accepted(&nodes[1], 1);
    assert!(relayed.rest(QUIET).is_empty(), "who is no recipient hands nothing off");
    let carried = shown(&nodes[1], &id);
    assert_eq!((&carried["sealed"], &carried["to"]), (&json!(true), &json!(["cert-pl"])));
    assert_eq!(carried["cannot_open"], "not sealed to this node");
    for inside in ["payload", "ext", "links", "parent"] {
        assert!(carried.get(inside).is_none(), "{inside}: {carried}");
    }
    assert!(nodes[1].cli(&["event", "show", &id]).contains("cannot open: not sealed to this node"));

    let memory = memory_of(&nodes[1]);
    let uuid = id.rsplit(':').next().unwrap().replace('-', "");
    let uuid: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&uuid[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert!(memory.iter().any(|part| contains(part, &uuid)), "the dump shows what the relay does hold");
    assert!(on_disk(nodes[1].dir(), &uuid), "and so does its disk");
    for secret in SECRETS {
        assert!(!memory.iter().any(|part| contains(part, secret.as_bytes())), "{secret} is in its memory");
        assert!(!on_disk(nodes[1].dir(), secret.as_bytes()), "{secret} is on its disk");
        assert!(!on_disk(nodes[0].dir(), secret.as_bytes()), "{secret} is on its publisher's disk");
        assert!(!on_disk(nodes[2].dir(), secret.as_bytes()), "{secret} is on its recipient's disk");
        assert!(nodes.iter().all(|node| !node.log().contains(secret)), "{secret} is in a log");
    }
}

#[test]
fn two_sealed_events_of_40_and_400_bytes_have_one_size() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let line = |bytes: usize| format!("{{\"raw\":\"{}\"}}", "A".repeat(bytes - 10));
    let sealed = |bytes| with_meta(&json!({"version": 1, "to": ["cert-ee"], "seal": true}), &line(bytes));
    let ids = nodes[0].publish(&[sealed(40), sealed(400), sealed(900)]);
    let sizes: Vec<u64> = ids.iter().map(|id| shown(&nodes[0], id)["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes[0], sizes[1]);
    assert_eq!(sizes[2], sizes[1] + 512);
    let payloads: Vec<String> =
        everything(&nodes[1]).take(3).into_iter().map(|event| event.payload).collect();
    assert_eq!(payloads, [line(40), line(400), line(900)]);
}

#[test]
fn the_command_line_seals_to_peers_and_to_groups() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let plain = r#"{"source.ip":"198.51.100.77","extra.n":1}"#;
    nodes[0].say(&["submit", "--to", "cert-ee,cert-pl", "--seal"], &format!("{plain}\n")).done();
    for node in &nodes[1..] {
        let event = everything(node).take_one();
        assert_eq!((&event.meta["sealed"], event.payload.as_str()), (&json!(true), plain));
        assert_eq!(event.meta["to"], json!(["cert-ee", "cert-pl"]));
    }

    fs::create_dir_all(nodes[0].dir().join("groups")).unwrap();
    fs::write(nodes[0].dir().join("groups/nordics.toml"), "members = [\"cert-ee\", \"cert-at\"]\n").unwrap();
    let line = with_meta(&json!({"version": 1, "tlp": "RED", "to": ["nordics"], "seal": true}), r#"{"a":2}"#);
    wait_until("the group is in force", SOON, || {
        nodes[0].submit(std::slice::from_ref(&line))[0].get("id").is_some()
    });
    let event = everything(&nodes[1]).take(2).remove(1);
    assert_eq!((&event.meta["tlp"], &event.meta["to"]), (&json!("RED"), &json!(["cert-ee", "cert-at"])));
    // Its own name was in the group: so the publisher can read it back, and only so.
    let mut own = Consumer::open(&nodes[0], &json!({"from": "earliest", "own": true}));
    assert_eq!(own.take_one().payload, r#"{"a":2}"#);
    assert!(own.rest(QUIET).is_empty(), "what was sealed for others cannot be read back");
    assert!(everything(&nodes[2]).take(1).iter().all(|event| event.payload == plain));
    let refused = nodes[0].say(&["submit", "--seal"], "{\"a\":1}\n");
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("bad_meta") && refused.stdout.contains("--to"), "{refused:?}");
    let refused = nodes[0].say(&["submit", "--seal", "--to", "baltics"], "{\"a\":1}\n");
    assert!(refused.stdout.contains("unknown_recipient"), "{refused:?}");
}

#[test]
fn red_is_sent_sealed_by_its_publisher_alone_and_only_to_whom_it_names() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let red = nodes[0].publish(&[secret_line("RED", &["cert-ee"])]).remove(0);
    let strict = nodes[0].publish(&[secret_line("AMBER+STRICT", &["cert-pl"])]).remove(0);
    let near = everything(&nodes[1]).take_one();
    assert_eq!((near.id(), near.text("/path")), (red, "!cert-at".to_owned()));
    is_opened(&near);
    let other = everything(&nodes[2]).take_one();
    assert_eq!((other.id(), other.text("/path")), (strict, "!cert-at".to_owned()));
    for node in &nodes[1..] {
        has_accepted(node, 1);
        assert_eq!(everything(node).rest(QUIET).len(), 1);
    }
    wait_until("both are withheld from whom they do not name", SOON, || {
        nodes[0].count("cert-ee", "/sent/withheld") == 1 && nodes[0].count("cert-pl", "/sent/withheld") == 1
    });
}

#[test]
fn a_peer_that_gets_sealed_events_alone_gets_nothing_else() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes[0].configure_peer("cert-ee", "share", "seal", "true");
    let line = |n: u32| with_meta(&json!({"version": 1, "to": ["cert-ee"]}), &format!("{{\"extra.n\":{n}}}"));
    wait_until("what names it is sealed without being asked", SOON, || {
        let id = nodes[0].publish(&[line(1)]).remove(0);
        shown(&nodes[0], &id)["sealed"] == true
    });
    let open = nodes[0].publish(&[r#"{"extra.n":2}"#.to_owned()]).remove(0);
    wait_until("what is not sealed is withheld", SOON, || nodes[0].count("cert-ee", "/sent/withheld") > 0);
    let sealed = nodes[0].publish(&[line(3)]).remove(0);
    let handed = everything(&nodes[1]).rest(Duration::from_secs(2));
    assert!(handed.iter().any(|event| event.id() == sealed && event.meta["sealed"] == true));
    assert!(!handed.iter().any(|event| event.id() == open), "{handed:?}");
}

#[test]
fn a_door_may_seal_everything_that_comes_through_it() {
    let mut nodes = unstarted_mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let door = "\n[[submit]]\nfrom = \"socket\"\nto = [\"cert-ee\", \"cert-pl\"]\nseal = true\n";
    nodes[0].edit("intelmesh.toml", |text| text + door);
    start(&mut nodes);
    nodes[0].publish(&[r#"{"extra.n":1}"#.to_owned()]);
    nodes[0].publish(&[with_meta(&json!({"version": 1, "to": ["cert-pl"]}), r#"{"extra.n":2}"#)]);
    let ee = everything(&nodes[1]).take_one();
    assert_eq!((&ee.meta["sealed"], ee.payload.as_str()), (&json!(true), r#"{"extra.n":1}"#));
    let pl: Vec<String> = everything(&nodes[2]).take(2).into_iter().map(|event| event.payload).collect();
    assert_eq!(pl, [r#"{"extra.n":1}"#, r#"{"extra.n":2}"#]);
    has_accepted(&nodes[1], 2);
    assert_eq!(everything(&nodes[1]).rest(QUIET).len(), 1, "the other one it only carries");
}

#[test]
fn a_sealed_event_that_comes_again_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let line = |n: u32| {
        let uuid = json!({"current": "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b"});
        let meta = json!({"version": 1, "to": ["cert-ee"], "seal": true, "uuid": uuid});
        with_meta(&meta, &format!("{{\"extra.n\":{n}}}"))
    };
    let answers = nodes[0].submit(&[line(1), line(1), line(2)]);
    assert!(answers[0].get("duplicate").is_none() && answers[0].get("id").is_some(), "{answers:?}");
    assert_eq!(answers[1]["duplicate"], true, "{answers:?}");
    assert_eq!(answers[2]["code"], "id_conflict", "{answers:?}");
    assert_eq!(everything(&nodes[1]).take_one().payload, r#"{"extra.n":1}"#);
}

#[test]
fn what_a_recipient_cannot_open_is_kept_shown_and_counted_and_holds_up_nothing() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    let good_key = fs::read(nodes[1].dir().join("keys/seal.pem")).unwrap();
    let stranger = Node::init("cert-xx");
    nodes[1].stop();
    fs::copy(stranger.dir().join("keys/seal.pem"), nodes[1].dir().join("keys/seal.pem")).unwrap();
    nodes[1].start();
    let mut soc = Consumer::open(&nodes[1], &json!({"consumer": "soc"}));
    let closed = nodes[0].publish(&[secret_line("GREEN", &["cert-ee"])]).remove(0);
    let open = nodes[0].publish(&[r#"{"extra.n":2}"#.to_owned()]).remove(0);
    let event = soc.take_one();
    assert_eq!(event.id(), open, "the one behind it comes");
    soc.ack(event.seq).unwrap();
    let closed_again = nodes[0].publish(&[secret_line("GREEN", &["cert-ee"])]).remove(0);
    wait_until("the consumer is at the end", SOON, || {
        let soc = nodes[1].consumer("soc");
        soc["position"] == 3 && soc["lag_events"] == 0
    });
    let status = nodes[1].status();
    assert_eq!(status["cannot_open"]["count"], 2, "{status}");
    assert_eq!(status["cannot_open"]["id"], closed_again);
    assert!(nodes[1].cli(&["status"]).contains("CANNOT OPEN 2"));
    let shown = shown(&nodes[1], &closed);
    assert!(shown["cannot_open"].as_str().unwrap().contains("which is not in keys/"), "{shown}");
    assert!(nodes[1].log().contains("cannot open") && nodes[1].log().contains(&closed));

    soc.finish();
    nodes[1].stop();
    fs::write(nodes[1].dir().join("keys/seal.pem"), good_key).unwrap();
    nodes[1].start();
    let event = everything(&nodes[1]).take_one();
    assert_eq!(event.id(), closed, "with its key back it is there");
    is_opened(&event);
}
