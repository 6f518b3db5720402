//! A MISP feed at the three moments of its vectors, which PyMISP reads, and who may change what in it.

use super::*;
use crate::format::foreign::feed::{
    FeedChange, FeedEvent, FeedIdentity, event_uuid, interval_start, read_line,
};
use crate::identity::PublisherName;

fn identity() -> FeedIdentity {
    FeedIdentity {
        org: "CERT Example".to_owned(),
        org_uuid: "b89da4c2-0f74-11ea-96a1-6fa873a0eb4d".parse().unwrap(),
        interval_ms: 3_600_000,
    }
}

fn change(line: &Value) -> FeedChange {
    read_line(line.to_string().as_bytes(), Timestamp(0)).unwrap_or_else(|fault| panic!("{line}: {fault}"))
}

#[test]
fn a_feed_is_that_of_the_vectors() {
    let publisher: PublisherName = "cert-at".parse().unwrap();
    let mut feed: Option<FeedEvent> = None;
    for vector in MISP.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let now = Timestamp(vector["now"].as_u64().unwrap() * 1_000);
        let start = interval_start(&identity(), now);
        let feed = feed.get_or_insert_with(|| FeedEvent::new(&identity(), &publisher, start, Tlp::Green));
        for envelope in vector["envelopes"].as_array().unwrap() {
            let FeedChange { object, taken_back } = change(envelope);
            let object = object.unwrap();
            taken_back.iter().for_each(|name| feed.delete(name, now));
            let is_there = feed.objects().any(|(uuid, _)| uuid == object.uuid);
            if !is_there {
                feed.add(object);
            }
        }
        feed.stamp(now);
        let (case, expect) = (&vector["name"], &vector["expect"]);
        let event: Value = serde_json::from_slice(&feed.to_text()).unwrap();
        assert!(same(&event, &expect["event"]), "{case}\n{event}\n{}", expect["event"]);
        let uuid = event_uuid(&publisher, start, Tlp::Green).to_string();
        assert!(same(&feed.manifest(), &expect["manifest"][&uuid]), "{case}\n{}", feed.manifest());
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let hashes = feed.hashes().lines().map(str::to_owned).collect();
        let wanted =
            expect["hashes"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        assert_eq!(sorted(hashes), sorted(wanted.collect()), "{case}");
    }
    let mut feed = feed.unwrap();
    let time = |feed: &FeedEvent| feed.manifest()["timestamp"].as_u64().unwrap();
    let before = time(&feed);
    feed.stamp(Timestamp(0));
    assert_eq!(time(&feed), before + 1, "time grows, even if the clock goes back");
}

fn line(meta: Value, payload: Value) -> Value {
    let mut line = json!({"meta": {"uuid": {"current": "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b"},
        "created": "2026-01-01T00:00:05Z", "tlp": "GREEN"}, "payload": payload});
    line["meta"].as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
    line
}

#[test]
fn only_a_publisher_takes_its_events_back() {
    let other = |publisher: &str| format!("{publisher}:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c");
    let links = |kind: &str, publisher: &str| json!({"links": [{"type": kind, "right": other(publisher)}]});
    let about = json!({"source.ip": "192.0.2.1"});
    for (kind, publisher, taken) in [
        ("withdraws", "cert-at", true),
        ("replaces", "cert-at", true),
        ("related", "cert-at", false),
        ("withdraws", "cert-ee", false),
    ] {
        let change = change(&line(links(kind, publisher), about.clone()));
        assert_eq!(change.taken_back.len(), usize::from(taken), "{kind} {publisher}");
        assert!(change.object.is_some());
    }
    let bare = change(&line(links("withdraws", "cert-at"), json!({"event_description.text": "a test"})));
    assert!(bare.object.is_none(), "it says no more than that");
    let gone = change(&line(json!({"withdrawn_by": other("cert-at")}), about));
    assert!(gone.object.is_none() && gone.taken_back.len() == 1);
}

/// The lines of one message share an id; MISP would take their objects for one.
#[test]
fn parts_of_a_message_are_objects_of_their_own() {
    let part = |part: &str| {
        let payload = json!({"source.ip": "192.0.2.1", "extra.intelmesh.part": part});
        change(&line(json!({}), payload)).object.unwrap()
    };
    let (one, two) = (part("1/2"), part("2/2"));
    assert_ne!(one.uuid, two.uuid);
    assert_eq!(one.name, two.name, "one withdrawal takes back both");
    let mut feed = FeedEvent::new(&identity(), &"cert-at".parse().unwrap(), Timestamp(0), one.label);
    feed.add(one);
    feed.add(two);
    let text = String::from_utf8(feed.to_text()).unwrap();
    let uuids: Vec<&str> = text.match_indices("\"uuid\":\"").map(|(at, _)| &text[at + 8..at + 44]).collect();
    let distinct: std::collections::BTreeSet<_> = uuids.iter().collect();
    assert_eq!(distinct.len(), uuids.len(), "{text}");
}

#[test]
fn the_label_of_an_object_is_the_strictest() {
    let labelled =
        |meta: &str, payload: Value| change(&line(json!({"tlp": meta}), payload)).object.unwrap().label;
    assert_eq!(labelled("GREEN", json!({"source.ip": "192.0.2.1"})), Tlp::Green);
    assert_eq!(labelled("GREEN", json!({"source.ip": "192.0.2.1", "extra.tlp": "RED"})), Tlp::Red);
    assert_eq!(labelled("AMBER+STRICT", json!({"source.ip": "192.0.2.1"})), Tlp::AmberStrict);
}
