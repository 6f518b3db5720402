//! What a consumer at `run/out.sock` can rely on: resuming after its last ack, its form, its own events. It
//! deliberately has one consumer at a time do one thing; consumers under `kill -9` are in `crash.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use support::events::{made, with_meta};
use support::shape::{has_accepted, mesh};
use support::{Consumer, Handed, Node, wait_until};

const QUIET: Duration = Duration::from_millis(500);

/// Two nodes, and `count` events of the first that the second has stored.
fn two_with_events(count: usize) -> (Vec<Node>, Vec<String>) {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let lines: Vec<_> = (0..count).map(|number| made(number, 500)).collect();
    let ids = nodes[0].publish(&lines);
    has_accepted(&nodes[1], count as u64);
    (nodes, ids)
}

fn ids(handed: &[Handed]) -> Vec<String> {
    handed.iter().map(Handed::id).collect()
}

#[test]
fn a_named_consumer_resumes_after_its_last_ack() {
    let (mut nodes, all) = two_with_events(30);
    let node = &mut nodes[1];
    let soc = json!({"consumer": "soc"});

    let mut consumer = Consumer::open(node, &soc);
    let handed = consumer.take(30);
    assert_eq!(ids(&handed), all, "a new name begins with the earliest");
    consumer.ack(handed[9].seq).expect("an ack can be sent");
    drop(consumer);

    wait_until("an ack counts even when the connection breaks", Duration::from_secs(5), || {
        node.consumer("soc")["position"] == handed[9].seq
    });
    let mut consumer = Consumer::open(node, &soc);
    assert_eq!(ids(&consumer.take(20)), all[10..], "it resumes after its ack");
    consumer.ack(handed[14].seq).expect("an ack can be sent");
    consumer.finish();

    node.kill9();
    node.start();
    let mut consumer = Consumer::open(node, &soc);
    assert_eq!(ids(&consumer.take(15)), all[15..], "end of file meant durable");
    consumer.ack(handed[29].seq).expect("an ack can be sent");
    consumer.finish();
    node.restart();
    assert!(Consumer::open(node, &soc).rest(QUIET).is_empty());
    assert_eq!(node.consumer("soc")["lag_events"], 0);
}

#[test]
fn an_ack_of_what_was_not_handed_over_does_not_count() {
    let (nodes, all) = two_with_events(5);
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "soc"}));
    let last = consumer.take(5)[4].seq;
    consumer.ack(last + 1_000).expect("an ack can be sent");
    consumer.finish();
    let lines: Vec<_> = (100..103).map(|number| made(number, 500)).collect();
    let later = nodes[0].publish(&lines);
    has_accepted(&nodes[1], 8);
    let rest = ids(&Consumer::open(&nodes[1], &json!({"consumer": "soc"})).take(3));
    assert!(rest.ends_with(&later) || all.contains(&rest[0]), "nothing after {last} was passed: {rest:?}");
}

#[test]
fn a_consumer_without_acks_moves_as_lines_are_written() {
    let (nodes, all) = two_with_events(10);
    let request = json!({"consumer": "archive", "ack": false});
    let mut consumer = Consumer::open(&nodes[1], &request);
    assert_eq!(ids(&consumer.take(10)), all);
    consumer.finish();
    assert!(Consumer::open(&nodes[1], &request).rest(QUIET).is_empty());
}

/// `from` of a known consumer was ignored without a word.
#[test]
fn a_known_consumer_is_told_that_from_is_ignored() {
    let (nodes, all) = two_with_events(3);
    let mut first = Consumer::open(&nodes[1], &json!({"consumer": "soc", "from": "earliest"}));
    let handed = first.take(2);
    assert_eq!(ids(&handed), all[..2], "no notice for a new one");
    first.ack(handed[1].seq).expect("an ack can be sent");
    first.finish();
    for from in [json!("now"), json!("earliest"), json!(1)] {
        let mut again = Consumer::open(&nodes[1], &json!({"consumer": "soc", "from": from}));
        let line = again.next_raw().expect("a line").expect("a notice");
        let notice: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&notice["code"], &notice["position"]), (&json!("from_ignored"), &json!(handed[1].seq)));
        assert_eq!(ids(&again.take(1)), all[2..]);
    }
    let mut quiet = Consumer::open(&nodes[1], &json!({"consumer": "soc"}));
    assert_eq!(ids(&quiet.take(1)), all[2..], "none if nothing was asked for");
}

#[test]
fn a_name_in_use_is_busy_until_the_older_connection_ends() {
    let (nodes, _) = two_with_events(1);
    let request = json!({"consumer": "soc"});
    let mut first = Consumer::open(&nodes[1], &request);
    first.take(1);
    let mut second = Consumer::open(&nodes[1], &request);
    let refused = second.take_one();
    let line: Value = serde_json::from_str(&refused.line).expect("JSON");
    assert_eq!(line, json!({"error": "consumer \"soc\" is in use", "code": "busy"}));
    assert!(second.rest(QUIET).is_empty());
    drop(first);
    assert_eq!(Consumer::open(&nodes[1], &request).take(1).len(), 1);
}

#[test]
fn own_events_are_handed_off_only_to_who_asks() {
    let (nodes, theirs) = two_with_events(3);
    let own = nodes[1].publish(&[made(50, 500)]);
    let request = |own: bool| json!({"from": "earliest", "own": own});
    let all = Consumer::open(&nodes[1], &request(true)).take(4);
    assert_eq!(ids(&all), [theirs.clone(), own.clone()].concat());
    assert_eq!(all[3].text("/publisher"), "cert-ee");
    assert!(all[3].meta.get("source").is_none() && all[3].meta.get("path").is_none(), "{}", all[3].line);
    let mut others = Consumer::open(&nodes[1], &request(false));
    assert_eq!(ids(&others.take(3)), theirs);
    assert!(others.rest(QUIET).is_empty());
}

#[test]
fn each_form_says_the_same_event_in_its_own_words() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let payload = r#"{"source.ip":"192.0.2.1","extra.big":12345678901234567890,"extra.float":100.0,"extra.text":"\u00e4\/"}"#;
    let meta = json!({"version": 1, "tlp": "clear", "x-origin": "sensor", "ext": {"rtir_id": 12_345}});
    let typed = with_meta(&meta, &payload.replacen('{', r#"{"__type":"Event","#, 1));
    let id = nodes[0].publish(&[typed]).remove(0);
    has_accepted(&nodes[1], 1);
    let open = |form: &str, typed: bool| {
        let request = json!({"from": "earliest", "form": form, "type": typed});
        Consumer::open(&nodes[1], &request).take_one().line
    };

    assert_eq!(open("plain", false), payload, "token for token");
    let plain: Value = serde_json::from_str(&open("plain", true)).expect("JSON");
    assert_eq!(plain["__type"], "Event");

    let full: Value = serde_json::from_str(&open("iep04", false)).expect("JSON");
    assert_eq!(full["meta"]["uuid"]["current"], *id);
    assert_eq!((&full["meta"]["version"], &full["meta"]["tlp"]), (&json!(1), &json!("CLEAR")));
    assert_eq!((&full["meta"]["type"], &full["meta"]["format"]), (&json!("event"), &json!("intelmq")));
    assert_eq!(full["meta"]["ext"]["rtir_id"], 12_345);

    let line = open("ail", false);
    assert!(line.contains(payload), "the payload's text is unchanged: {line}");
    let ail: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(ail["format"], "intelmq");
    assert!(ail["payload"].is_object() && ail["meta"].is_object() && ail["version"].is_number(), "{ail}");
}

#[test]
fn a_form_without_seq_is_acknowledged_by_lines() {
    let (nodes, all) = two_with_events(10);
    let mut consumer = Consumer::open(&nodes[1], &json!({"consumer": "soc", "form": "plain"}));
    consumer.take(10);
    consumer.ack_lines(4).expect("an ack can be sent");
    consumer.finish();
    let rest = Consumer::open(&nodes[1], &json!({"consumer": "soc"})).take(6);
    assert_eq!(ids(&rest), all[4..]);
}

#[test]
fn from_a_seq_begins_with_it_and_from_now_with_what_comes() {
    let (nodes, all) = two_with_events(10);
    let seqs: Vec<_> = Consumer::open(&nodes[1], &json!({"from": "earliest"}))
        .take(10)
        .iter()
        .map(|event| event.seq)
        .collect();
    let mut middle = Consumer::open(&nodes[1], &json!({"from": seqs[6]}));
    assert_eq!(ids(&middle.take(4)), all[6..]);
    let mut live = Consumer::open(&nodes[1], &json!({"from": "now"}));
    assert!(live.rest(QUIET).is_empty());
    let new = nodes[0].publish(&[made(77, 500)]);
    assert_eq!(live.take_one().id(), new[0]);
    for wrong in
        [json!({"from": "yesterday"}), json!({"form": "xml"}), json!({"filter": "true &&"}), json!(7)]
    {
        let refused: Value =
            serde_json::from_str(&Consumer::open(&nodes[1], &wrong).take_one().line).expect("JSON");
        assert!(refused["error"].is_string() && refused["code"].is_string(), "{wrong}: {refused}");
    }
}
