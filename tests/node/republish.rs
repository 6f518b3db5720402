//! Events that went through a pipeline and are published again as children of themselves, between real nodes:
//! for no wider audience, and never in a circle, whether their ancestry can be read by all or is sealed.
//! Which child may be made is tested case by case beside `format::republish`.

use serde_json::{Value, json};
use support::events::with_meta;
use support::shape::{start, unstarted_mesh};
use support::{Consumer, Node};

/// Nodes that know each other, each with a socket that publishes again.
fn republishing(names: &[&str]) -> Vec<Node> {
    let mut nodes = unstarted_mesh(names);
    for node in &mut nodes {
        node.edit("intelmesh.toml", |text| text + "\n[[submit]]\nfrom = \"socket\"\nrepublish = true\n");
    }
    start(&mut nodes);
    nodes
}

/// The answer to an event that was handed off as `id`, enriched by the pipeline of `node`.
fn enriched(node: &Node, id: &str, tlp: &str) -> Value {
    let line = json!({"source.ip": "192.0.2.1", "source.asn": 64496, "tlp": tlp, "extra.intelmesh.uuid": id});
    node.submit(&[line.to_string()]).remove(0)
}

fn assert_circle(answer: &Value) {
    assert_eq!(answer["code"], "foreign_event", "{answer}");
    assert!(answer["error"].as_str().is_some_and(|text| text.contains("circle")), "{answer}");
}

#[test]
fn an_enriched_event_is_a_child_with_its_parents_label_and_does_not_come_round() {
    let nodes = republishing(&["cert-at", "cert-ee"]);
    let meta = json!({"version": 1, "tlp": "AMBER"});
    let published = nodes[0].publish(&[with_meta(&meta, r#"{"source.ip":"192.0.2.1"}"#)]).remove(0);
    let event = Consumer::open(&nodes[1], &json!({"from": "earliest"})).take_one();
    assert_eq!(event.id(), published);
    let child = enriched(&nodes[1], &event.id(), "GREEN");
    assert!(child["id"].as_str().is_some_and(|id| id.starts_with("cert-ee:intelmq:")), "{child}");
    let back = Consumer::open(&nodes[0], &json!({"from": "earliest"})).take_one();
    assert_eq!((back.text("/uuid/parent"), back.text("/tlp")), (published, "AMBER".to_owned()));
    assert!(!back.payload.contains("intelmesh"), "{}", back.payload);
    assert_circle(&enriched(&nodes[0], &back.id(), "AMBER"));
    let unknown = event.id().replace("cert-at:", "cert-lv:");
    assert_eq!(enriched(&nodes[1], &unknown, "GREEN")["code"], "foreign_event");
}

#[test]
fn a_circle_is_seen_through_ancestors_that_are_sealed() {
    let names = ["cert-at", "cert-ee", "cert-pl"];
    let nodes = republishing(&names);
    let meta = json!({"version": 1, "to": names, "seal": true});
    nodes[0].publish(&[with_meta(&meta, r#"{"source.ip":"192.0.2.1"}"#)]);
    let event = Consumer::open(&nodes[1], &json!({"from": "earliest"})).take_one();
    let child = enriched(&nodes[1], &event.id(), "GREEN");
    assert!(child["id"].is_string(), "{child}");
    let mut at_pl = Consumer::open(&nodes[2], &json!({"from": "earliest"}));
    let child =
        at_pl.take(2).into_iter().find(|event| event.meta["publisher"] == "cert-ee").expect("the child");
    assert_eq!(child.meta["sealed"], true, "what is made of sealed events is sealed: {}", child.line);
    let grandchild = enriched(&nodes[2], &child.id(), "GREEN");
    assert!(grandchild["id"].is_string(), "{grandchild}");
    let mut at_at = Consumer::open(&nodes[0], &json!({"from": "earliest"}));
    let back = at_at.take(2).into_iter().find(|event| event.meta["publisher"] == "cert-pl").expect("it");
    assert_circle(&enriched(&nodes[0], &back.id(), "GREEN"));
}
