//! `out.sock` as a consumer sees it.

use serde_json::json;

use super::*;

#[test]
fn events_come_as_lines_and_acks_go_back() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    node.wait_until("it opened", |core| core.told == ["opened Some(\"soc\")"]);
    node.hand_off(&[3, 5]);
    let first = client.json();
    assert_eq!((&first["seq"], &first["payload"]), (&json!(3), &json!({"extra.seq": 3})));
    assert_eq!(client.json()["meta"]["path"], "!cert-ee");
    node.wait_until("it is ready", |core| core.told.iter().any(|told| told == "ready"));
    client.send("{\"ack\":3}\n{\"ack\":99}\n");
    node.wait_until("no ack counts beyond what was handed", |core| core.told.last().unwrap() == "acked 5");
    client.finish();
    assert_eq!(client.rest(), "", "the end of file says that acks are durable");
    node.wait_until("it is gone", |core| core.told.ends_with(&["finished".into(), "gone".into()]));
}

#[test]
fn in_plain_form_lines_are_counted() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\",\"form\":\"plain\",\"type\":true}\n");
    node.wait_until("it opened", |core| !core.told.is_empty());
    node.hand_off(&[3, 5, 9]);
    assert_eq!(client.line(), "{\"extra.seq\":3,\"__type\":\"Event\"}\n");
    client.line();
    client.send("{\"ack_lines\":2}\n");
    node.wait_until("the second line was seq 5", |core| core.told.last().unwrap() == "acked 5");
}

#[test]
fn acks_count_even_where_the_connection_broke_after_them() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    node.wait_until("it opened", |core| !core.told.is_empty());
    node.hand_off(&(1..2_000).collect::<Vec<_>>());
    client.line();
    client.send("{\"ack\":1}\n");
    drop(client);
    node.wait_until("the ack came", |core| core.told.iter().any(|told| told == "acked 1"));
    node.wait_until("it is gone", |core| core.told.ends_with(&["finished".into(), "gone".into()]));
}

#[test]
fn a_bad_request_gets_one_line_and_the_end() {
    for (request, code) in [
        ("{\"filter\":\"evnt\"}", "bad_filter"),
        ("{\"form\":\"xml\"}", "bad_request"),
        ("nonsense", "bad_request"),
        ("", "bad_request"),
    ] {
        let node = Node::start();
        let mut client = node.connect("out.sock");
        client.send(&format!("{request}\n"));
        let refused = client.json();
        assert_eq!(refused["code"], code, "{request}");
        assert_eq!(client.rest(), "");
        assert!(node.core(|core| core.told.is_empty()));
    }
}

#[test]
fn a_name_in_use_is_busy_and_a_bad_ack_ends_the_connection() {
    let node = Node::start();
    node.core(|core| core.turn_away = Some(ConsumerClosed::Busy));
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    assert_eq!(client.json(), json!({"error": "consumer \"soc\" is in use", "code": "busy"}));
    assert_eq!(client.rest(), "");
    node.core(|core| core.turn_away = None);
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\nthanks\n");
    assert_eq!(client.json()["code"], "bad_request");
    assert_eq!(client.rest(), "");
}

#[test]
fn an_end_of_file_that_does_not_mean_durable_says_so_first() {
    let node = Node::start();
    node.core(|core| core.farewell = Some(ConsumerClosed::Stopping));
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\"}\n");
    client.finish();
    let said = client.json();
    assert_eq!((&said["code"], &said["retry"]), (&json!("stopping"), &json!(true)));
}

/// An ack counted before the lines of its entry were given, and those that were still here were lost.
#[test]
fn an_ack_counts_for_entries_whose_lines_were_all_given() {
    let node = Node::start();
    let mut client = node.connect("out.sock");
    client.send("{\"consumer\":\"soc\",\"format\":\"intelmq\"}\n");
    node.wait_until("it opened", |core| !core.told.is_empty());
    let sources: Vec<String> = (0..200).map(|host| format!("192.0.2.{host}")).collect();
    let message = json!({"meta": {"format": "idea"}, "payload": {"Format": "IDEA0", "ID": "a", "Category": [],
        "DetectTime": "2026-01-01T00:00:00Z", "Note": "n".repeat(20_000), "Source": [{"IP4": sources}]}});
    let entries = vec![Arc::new(entry(3)), Arc::new(entry_of(4, &message.to_string()))];
    node.doors.handle(DoorOutput::HandOff { consumer: ConsumerId(0), entries });
    assert_eq!(client.json()["seq"], 3);
    assert_eq!(client.json()["seq"], 4, "one of two hundred");
    client.send("{\"ack\":4}\n");
    client.finish();
    node.wait_until("it is gone", |core| core.told.last().unwrap() == "gone");
    assert_eq!(node.core(|core| core.told[1..].to_vec()), ["acked 3", "finished", "gone"]);
}
