//! `in.sock` as a pipeline sees it.

use std::io::BufRead as _;

use serde_json::{Value, json};

use super::*;
use crate::protocol::io::DoorOutput;

/// What `in.sock` answers to `text`, then the end of the connection.
fn answers(node: &Node, text: &str) -> Vec<Value> {
    let mut client = node.connect("in.sock");
    client.send(text);
    client.finish();
    client.rest().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_line_gets_its_answer_in_order_and_blank_ones_none() {
    let node = Node::start();
    let got = answers(&node, "{\"a\":1}\n\nnonsense\r\n  \n{\"b\":2}");
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got[0]["id"].as_str().unwrap().starts_with("cert-at:intelmq:"));
    assert_eq!(got[0].as_object().unwrap().len(), 1);
    assert_eq!((got[1]["code"].as_str(), got[1]["line"].as_u64()), (Some("bad_json"), Some(3)));
    assert_eq!(got[2]["id"].as_str().unwrap(), node.core(|core| core.submitted[1].id().to_string()));
}

#[test]
fn every_fault_of_a_line_has_its_code() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let id = "{\"meta\":{\"uuid\":{\"current\":\"x\"}},\"payload\":{\"a\":1}}";
    let to = "{\"meta\":{\"to\":[\"cert-xx\"]},\"payload\":{\"a\":1}}";
    let seal = "{\"meta\":{\"seal\":true},\"payload\":{\"a\":1}}";
    for (line, code) in [
        ("{", "bad_json"),
        ("[]", "not_object"),
        ("{}", "empty"),
        ("{\"a\":1,\"\\u0061\":2}", "duplicate_key"),
        ("{\"a\":NaN}", "bad_number"),
        (deep.as_str(), "too_deep"),
        ("{\"meta\":{\"version\":\"x\"},\"payload\":{\"a\":1}}", "bad_meta"),
        (id, "bad_id"),
        ("{\"tlp\":\"RED\",\"a\":1}", "bad_tlp"),
        (to, "unknown_recipient"),
        ("{\"source.ip\":[\"192.0.2.1\"]}", "multi_value"),
        (seal, "bad_meta"),
        ("{\"a\":1,\"extra.intelmesh.uuid\":\"nonsense\"}", "foreign_event"),
    ] {
        let node = Node::start();
        let got = answers(&node, line);
        assert_eq!(
            (got[0]["code"].as_str(), got[0]["line"].as_u64()),
            (Some(code), Some(1)),
            "{line}: {got:?}"
        );
        assert!(!got[0]["error"].as_str().unwrap().is_empty() && got[0].get("retry").is_none());
        assert_eq!(node.core(|core| core.submitted.len()), 0, "{line}");
    }
}

#[test]
fn an_overlong_line_gets_one_error_and_the_connection_goes_on() {
    let node = Node::start();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(3 * 1024 * 1024));
    let got = answers(&node, &format!("{long}\n{{\"b\":2}}\n{long}"));
    let codes: Vec<_> = got.iter().map(|answer| (answer["code"].as_str(), answer["line"].as_u64())).collect();
    assert_eq!(codes, [(Some("too_large"), Some(1)), (None, None), (Some("too_large"), Some(3))]);
}

#[test]
fn what_the_core_says_is_what_the_client_hears() {
    for (outcome, code, retry) in [
        (Submitted::Duplicate, None, false),
        (Submitted::Conflict, Some("id_conflict"), false),
        (Submitted::DiskFull, Some("disk_full"), true),
        (Submitted::Stopping, Some("stopping"), true),
        (Submitted::ClockOff, Some("clock_off"), true),
        (Submitted::KeysStale, Some("keys_stale"), true),
    ] {
        let node = Node::start();
        node.core(|core| core.outcome = Some(outcome));
        let got = &answers(&node, "{\"a\":1}\n")[0];
        assert_eq!(got["code"].as_str(), code, "{got}");
        assert_eq!(got["retry"].as_bool().unwrap_or(false), retry, "{got}");
        assert_eq!(got["duplicate"].as_bool(), code.is_none().then_some(true), "{got}");
    }
}

#[test]
fn what_was_handed_to_the_pipeline_before_is_known_or_foreign() {
    let id = "cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
    let line = format!("{{\"a\":1,\"extra.intelmesh.uuid\":\"{id}\"}}");
    let node = Node::start();
    assert_eq!(answers(&node, &line), [json!({"id": id, "duplicate": true})]);
    node.core(|core| core.outcome = Some(Submitted::Foreign));
    assert_eq!(answers(&node, &line)[0]["code"], "foreign_event");
    assert_eq!(node.core(|core| core.returned.len()), 2);
}

#[test]
fn an_answer_is_given_only_once_the_core_has_it_and_earlier_ones_do_not_wait() {
    let node = Node::start();
    let mut client = node.connect("in.sock");
    client.send("{\"a\":1}\n");
    assert!(client.json()["id"].is_string());
    node.core(|core| core.holding = true);
    client.send("{\"a\":2}\nnonsense\n");
    node.wait_until("the second is submitted", |core| core.held.len() == 1);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.reader.fill_buf().is_err(), "no answer before the core's");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for (ticket, outcome) in node.core(|core| core.held.drain(..).collect::<Vec<_>>()) {
        node.doors.handle(DoorOutput::Submitted { ticket, outcome });
    }
    assert!(client.json()["id"].is_string());
    assert_eq!(client.json()["line"], 3);
}

#[test]
fn no_more_lines_are_taken_than_the_window_allows() {
    let node = Node::start();
    node.core(|core| core.holding = true);
    let mut client = node.connect("in.sock");
    let lines = 3 * crate::limits::SUBMIT_LINES_OUTSTANDING_MAX;
    client.send(&"{\"a\":1}\n".repeat(lines));
    client.finish();
    let window = crate::limits::SUBMIT_LINES_OUTSTANDING_MAX;
    node.wait_until("the window fills", |core| core.held.len() >= window);
    assert!(node.core(|core| core.held.len()) <= window + 3, "one is written, one is on its way");
    node.core(|core| core.holding = false);
    for (ticket, outcome) in node.core(|core| core.held.drain(..).collect::<Vec<_>>()) {
        node.doors.handle(DoorOutput::Submitted { ticket, outcome });
    }
    assert_eq!(client.rest().lines().count(), lines);
}

#[test]
fn what_a_client_sent_before_it_went_away_is_submitted() {
    let node = Node::start();
    let mut client = node.connect("in.sock");
    client.send(&"{\"a\":1}\n".repeat(500));
    drop(client);
    node.wait_until("all are submitted", |core| core.submitted.len() == 500);
}
