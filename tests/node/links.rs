//! Links between events over real nodes: what a trace shows, in all its forms, and what becomes of an event that its
//! publisher withdraws or replaces. Claims of foreign publishers are played in the store's own tests: no node of ours
//! signs such.

use std::collections::BTreeSet;
use std::fs;

use oxttl::NTriplesParser;
use serde_json::{Value, json};
use support::events::{made, with_meta};
use support::shape::{has_accepted, mesh, together};
use support::{Consumer, Node};

/// A line about event `number` with `meta`.
fn line(number: usize, meta: &Value) -> String {
    with_meta(meta, &made(number, 400))
}

/// The full name that event `n` of `publisher` gets where its line gives the id.
fn name(publisher: &str, n: u32) -> String {
    format!("{publisher}:intelmq:{n:08x}-0000-4000-8000-000000000000")
}

fn given(publisher: &str, n: u32) -> Value {
    json!({"current": name(publisher, n)})
}

fn trace(node: &Node, args: &[&str]) -> Value {
    let answer = node.cli(&[&["event", "trace", "--json"], args].concat());
    let trace: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(trace["schema"], "intelmesh.trace/1");
    trace
}

fn events(trace: &Value) -> BTreeSet<String> {
    let events = trace["events"].as_array().expect("a list");
    events.iter().map(|event| event["id"].as_str().expect("a name").to_owned()).collect()
}

fn has_link(trace: &Value, left: &str, relation: &str, right: &str) -> bool {
    let links = trace["links"].as_array().expect("a list");
    links.iter().any(|link| link["left"] == left && link["type"] == relation && link["right"] == right)
}

/// Of the event with this name, as a new consumer is handed it.
fn handed(node: &Node, id: &str, count: usize) -> support::Handed {
    let handed = Consumer::open(node, &json!({"from": "earliest", "own": true})).take(count);
    handed.into_iter().find(|event| event.id() == id).unwrap_or_else(|| panic!("{id} is not handed off"))
}

/// A report, an event made from it elsewhere, a child of that, and a ticket.
fn family() -> (Vec<Node>, [String; 3]) {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let report = nodes[0].publish(&[line(1, &json!({"version": 1}))]).remove(0);
    has_accepted(&nodes[1], 1);
    let child = nodes[1].publish(&[line(2, &json!({"version": 1, "uuid": {"parent": report}}))]).remove(0);
    has_accepted(&nodes[0], 1);
    let links = json!([
        {"type": "derived-from", "right": child},
        {"type": "alternate", "right": "CESNET-RT#2235"},
        {"type": "same-incident", "right": name("cert-ee", 99)},
    ]);
    let last = nodes[0].publish(&[line(3, &json!({"version": 1, "links": links}))]).remove(0);
    has_accepted(&nodes[1], 2);
    (nodes, [report, child, last])
}

#[test]
fn a_trace_shows_ancestors_descendants_and_related_events_from_wherever_it_begins() {
    let (nodes, [report, child, last]) = family();
    let all = BTreeSet::from([report.clone(), child.clone(), last.clone(), name("cert-ee", 99)]);
    for node in &nodes {
        for id in [&report, &child, &last, &name("cert-ee", 99)] {
            let trace = trace(node, &[id]);
            assert_eq!(events(&trace), all, "from {id}");
            assert!(has_link(&trace, &child, "parent", &report), "{trace}");
            assert!(has_link(&trace, &last, "derived-from", &child), "{trace}");
            assert!(has_link(&trace, &last, "alternate", "CESNET-RT#2235"), "{trace}");
            assert!(trace.get("cut").is_none(), "{trace}");
        }
        let by_ticket = trace(node, &["--alternate", "CESNET-RT#2235"]);
        assert_eq!(events(&by_ticket), all);
    }
    let near = trace(&nodes[0], &[&report, "--depth", "1"]);
    assert_eq!(events(&near), BTreeSet::from([report.clone(), child.clone()]));
    assert_eq!(near["cut"], json!(["depth"]));

    let uuid = child.rsplit(':').next().expect("a UUID");
    let tree = nodes[0].cli(&["event", "trace", &uuid[..13]]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with(&uuid[..8]) && lines[0].contains(" cert-ee "), "{tree}");
    for (section, below) in [("ancestors", "  parent "), ("descendants", "  basis of ")] {
        let at =
            lines.iter().position(|line| *line == section).unwrap_or_else(|| panic!("{section}: {tree}"));
        assert!(lines[at + 1].starts_with(below), "{tree}");
    }
    assert!(tree.contains("    alternate CESNET-RT#2235\n") && tree.contains(" [not held]\n"), "{tree}");
    assert!(nodes[0].cli(&["event", "trace", &child, "--full"]).contains(&report));
}

#[test]
fn a_trace_goes_to_other_programs_as_dot_and_as_triples() {
    let (nodes, [report, child, last]) = family();
    let dot = nodes[0].cli(&["event", "trace", &report, "--dot"]);
    assert!(dot.starts_with("digraph {\n") && dot.ends_with("}\n"), "{dot}");
    assert_eq!(dot.matches(" -> ").count(), 4, "{dot}");
    let text = nodes[0].cli(&["event", "trace", &report, "--ntriples"]);
    let triples: Vec<_> =
        NTriplesParser::new().for_slice(&text).map(|triple| triple.expect("a triple")).collect();
    let has = |subject: &str, predicate: &str, object: String| {
        let subject = format!("<urn:intelmesh:{subject}>");
        let wanted = format!("{subject} <{predicate}> {object}");
        assert!(triples.iter().any(|triple| triple.to_string() == wanted), "{wanted} is not in\n{text}");
    };
    let iri = |id: &str| format!("<urn:intelmesh:{id}>");
    has(&child, "http://www.w3.org/ns/prov#wasDerivedFrom", iri(&report));
    has(&last, "http://purl.org/dc/terms/source", iri(&child));
    has(&last, "http://purl.org/dc/terms/identifier", "\"CESNET-RT#2235\"".to_owned());
    has(&last, "urn:intelmesh:relation:same-incident", iri(&name("cert-ee", 99)));
    has(&child, "http://purl.org/dc/terms/publisher", "\"cert-ee\"".to_owned());
}

#[test]
fn what_nothing_is_known_of_has_no_trace() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    for args in [
        &["event", "trace", &name("cert-ee", 7)][..],
        &["event", "trace", "72ddb00c"],
        &["event", "trace", "--alternate", "CESNET-RT#1"],
    ] {
        let said = nodes[0].say(args, "");
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{args:?}");
        assert!(said.stderr.starts_with("error: no event ") && said.stderr.contains("hint: "), "{said:?}");
    }
    for args in [&["event", "trace"][..], &["event", "trace", "72ddb00c", "--alternate", "x"]] {
        assert_eq!(nodes[0].say(args, "").code, 2, "{args:?}");
    }
}

#[test]
fn events_with_the_same_content_corroborate_each_other() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let same = line(1, &json!({"version": 1, "ids": "content"}));
    let first = nodes[0].publish(std::slice::from_ref(&same)).remove(0);
    has_accepted(&nodes[1], 1);
    let second = nodes[1].publish(&[same]).remove(0);
    has_accepted(&nodes[0], 1);
    for node in &nodes {
        assert!(has_link(&trace(node, &[&first]), &second, "corroborates", &first));
    }
}

/// A target, its withdrawal and replacement, and a target that comes after its withdrawal; 4 events in all.
fn withdrawn() -> (Vec<Node>, [String; 2]) {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let (early, late) = (name("cert-at", 1), name("cert-at", 2));
    let links = json!([{"type": "withdraws", "right": early}, {"type": "withdraws", "right": late}]);
    let replaces = json!([{"type": "replaces", "right": early}]);
    nodes[0].publish(&[
        line(1, &json!({"version": 1, "uuid": given("cert-at", 1)})),
        line(3, &json!({"version": 1, "uuid": given("cert-at", 3), "links": links})),
        line(4, &json!({"version": 1, "uuid": given("cert-at", 4), "links": replaces})),
        line(2, &json!({"version": 1, "uuid": given("cert-at", 2)})),
    ]);
    has_accepted(&nodes[1], 4);
    (nodes, [early, late])
}

fn assert_told(node: &Node, early: &str, late: &str) {
    let (withdrawal, replacement) = (name("cert-at", 3), name("cert-at", 4));
    let told = handed(node, early, 4);
    assert_eq!(told.text("/withdrawn_by"), withdrawal, "{}", told.line);
    assert_eq!(told.text("/replaced_by"), replacement, "{}", told.line);
    let told = handed(node, late, 4);
    assert_eq!((told.text("/withdrawn_by"), told.text("/replaced_by")), (withdrawal.clone(), String::new()));
    let untouched = handed(node, &withdrawal, 4);
    assert!(untouched.meta.get("withdrawn_by").is_none(), "{}", untouched.line);
    let shown: Value = serde_json::from_str(&node.cli(&["event", "show", early, "--json"])).expect("JSON");
    assert_eq!((&shown["withdrawn_by"], &shown["replaced_by"]), (&json!(withdrawal), &json!(replacement)));
    let tree = node.cli(&["event", "trace", early]);
    assert!(
        tree.lines()
            .next()
            .is_some_and(|line| line.contains(" [withdrawn by 00000003] [replaced by 00000004]"))
    );
}

#[test]
fn consumers_learn_of_a_withdrawal_before_and_after_its_target_and_whatever_becomes_of_the_index() {
    let (mut nodes, [early, late]) = withdrawn();
    nodes.iter().for_each(|node| assert_told(node, &early, &late));
    let node = &mut nodes[1];
    node.restart();
    assert_told(node, &early, &late);
    node.kill9();
    node.start();
    assert_told(node, &early, &late);
    for damage in ["links", "links/covered"] {
        node.kill9();
        let path = node.dir().join(damage);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("it was there");
        node.start();
        assert_told(node, &early, &late);
    }
    together(node);
}

#[test]
fn what_takes_back_is_refused_where_it_would_reach_fewer_or_is_another_publishers() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let green = nodes[0].publish(&[line(1, &json!({"version": 1, "tlp": "GREEN"}))]).remove(0);
    let theirs = nodes[1].publish(&[line(2, &json!({"version": 1}))]).remove(0);
    has_accepted(&nodes[0], 1);
    let taking_back = |id: &str, more: Value| {
        let mut meta = json!({"version": 1, "links": [{"type": "withdraws", "right": id}]});
        meta.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        nodes[0].submit(&[line(5, &meta)]).remove(0)
    };
    for (name, answer) in [
        ("a stricter label", taking_back(&green, json!({"tlp": "AMBER"}))),
        ("fewer recipients", taking_back(&green, json!({"tlp": "GREEN", "to": ["cert-ee"]}))),
        ("another's", taking_back(&theirs, json!({}))),
    ] {
        assert_eq!(answer["code"], "bad_meta", "{name}: {answer}");
        assert!(answer["hint"].is_string() || answer["error"].is_string(), "{name}: {answer}");
    }
    let taken = taking_back(&green, json!({"tlp": "GREEN"}));
    assert!(taken["id"].is_string() && taken.get("error").is_none(), "{taken}");
}

/// Nobody has to write meta by hand, or to know an id, to correct an event.
#[test]
fn events_are_linked_and_replaced_without_meta() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let id =
        nodes[0].publish(&[line(1, &json!({"version": 1, "tlp": "AMBER", "to": ["cert-ee"]}))]).remove(0);
    let uuid = id.rsplit(':').next().expect("a UUID");
    let link = format!("same-incident={}", &uuid[..8]);
    let answer = nodes[0].say(&["submit", "--link", &link, "--link", "alternate=RT#1"], &made(2, 300)).done();
    let linked =
        serde_json::from_str::<Value>(&answer).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let new = "{\n  \"source.ip\": \"192.0.2.9\"\n}\n";
    let by = nodes[0].say(&["event", "replace", &id, "-"], new).done().trim().to_owned();
    has_accepted(&nodes[1], 3);
    let shown = |id: &str| -> Value {
        serde_json::from_str(&nodes[1].cli(&["event", "show", id, "--json"])).expect("JSON")
    };
    let links = json!([{"type": "same-incident", "right": id}, {"type": "alternate", "right": "RT#1"}]);
    assert_eq!(shown(&linked)["links"], links);
    let replacement = shown(&by);
    assert_eq!((&replacement["tlp"], &replacement["to"]), (&json!("AMBER"), &json!(["cert-ee"])));
    assert_eq!(replacement["payload"], json!({"source.ip": "192.0.2.9"}));
    assert_eq!(shown(&id)["replaced_by"], by);

    let again = nodes[0].say(&["event", "replace", &id, "-"], new);
    assert_eq!((again.code, again.stderr.contains("is replaced already")), (1, true), "{again:?}");
    let theirs = nodes[1].say(&["event", "replace", &id, "-"], new);
    assert!(theirs.code == 1 && theirs.stderr.contains("only its publisher can replace it"), "{theirs:?}");
    for wrong in ["[]", "{", "{\"meta\":{},\"payload\":{}}"] {
        let refused = nodes[0].say(&["event", "replace", &by, "-"], wrong);
        assert_eq!((refused.code, refused.stderr.contains("hint: give the ")), (2, true), "{refused:?}");
    }
}

#[test]
fn a_list_has_the_newest_events_that_are_asked_for() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let [first, secret] =
        [json!({"version": 1}), json!({"version": 1, "tlp": "AMBER", "to": ["cert-ee"], "seal": true})];
    let mut sent = nodes[0].publish(&[line(1, &first)]);
    sent.extend(
        nodes[0]
            .publish(&[with_meta(&secret, r#"{"source.ip":"192.0.2.9","classification.type":"phishing"}"#)]),
    );
    has_accepted(&nodes[1], 2);
    let listed = |node: &Node, args: &[&str]| -> Vec<Value> {
        let answer = node.cli(&[&["event", "list", "--json"], args].concat());
        let list: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(list["schema"], "intelmesh.events/1");
        list["events"].as_array().expect("a list").clone()
    };
    let ids = |events: Vec<Value>| events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(listed(&nodes[1], &[])), [json!(sent[0]), json!(sent[1])]);
    assert_eq!(ids(listed(&nodes[1], &["--filter", "meta.tlp == \"AMBER\""])), [json!(sent[1])]);
    assert_eq!(listed(&nodes[1], &["--publisher", "cert-ee"]), Vec::<Value>::new());
    let newest = nodes[1].cli(&["event", "list", "--last", "1"]);
    assert!(newest.ends_with("  cert-at          AMBER sealed phishing             192.0.2.9\n"), "{newest}");
    let closed = listed(&nodes[0], &["--last", "1"]);
    assert_eq!(
        (&closed[0]["sealed"], closed[0].get("kind")),
        (&json!(true), None),
        "it is for cert-ee alone"
    );
    let bad = nodes[1].say(&["event", "list", "--filter", "evnt == 1"], "");
    assert!(bad.code == 2 && bad.stderr.starts_with("error: --filter:1:1: unknown name"), "{bad:?}");
}
