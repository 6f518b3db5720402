//! Events between real nodes: what goes in at one socket comes out at the others', once, unchanged, and with a
//! true path. It deliberately kills nobody and restores nothing: see `crash.rs` and `restore.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use support::events::{made, real, tokens, with_meta};
use support::shape::{chain, has_accepted, mesh, unstarted_mesh};
use support::system::Network;
use support::{Consumer, Node, wait_until};

/// Long enough for what must not come to come.
const QUIET: Duration = Duration::from_millis(700);

fn everything(node: &Node) -> Consumer {
    Consumer::open(node, &json!({"from": "earliest"}))
}

#[test]
fn two_thousand_real_events_come_out_token_for_token() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let sent = real(2_000);
    let ids = nodes[0].publish(&sent);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2_000, "every event has a name of its own");
    let expected: BTreeMap<_, _> = ids.into_iter().zip(sent).collect();

    let handed = everything(&nodes[1]).take(2_000);
    for event in &handed {
        let sent = expected.get(&event.id()).unwrap_or_else(|| panic!("nobody sent {}", event.line));
        assert_eq!(tokens(&event.payload), tokens(sent), "{}", event.id());
    }
    let names: BTreeSet<_> = handed.iter().map(support::Handed::id).collect();
    assert_eq!(names.len(), 2_000, "each once");

    let mut plain = Consumer::open(&nodes[1], &json!({"from": "earliest", "form": "plain"}));
    for (line, event) in plain.take(2_000).iter().zip(&handed) {
        assert_eq!(line.line, event.payload, "form plain is exactly the payload, in the same order");
    }
}

#[test]
fn a_triangle_hands_each_event_to_each_other_node_exactly_once() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let mut consumers: Vec<_> = nodes.iter().map(everything).collect();
    let published: Vec<BTreeSet<String>> = std::thread::scope(|scope| {
        let publish = |at: usize| {
            let node = &nodes[at];
            let lines: Vec<_> = (0..300).map(|number| made(at * 1_000 + number, 900)).collect();
            scope.spawn(move || node.publish(&lines).into_iter().collect())
        };
        let threads: Vec<_> = (0..3).map(publish).collect();
        threads.into_iter().map(|thread| thread.join().expect("a publisher")).collect()
    });

    for (at, consumer) in consumers.iter_mut().enumerate() {
        let handed: Vec<_> = consumer.take(600).iter().map(support::Handed::id).collect();
        let names: BTreeSet<_> = handed.iter().cloned().collect();
        let others: BTreeSet<_> =
            (0..3).filter(|&other| other != at).flat_map(|other| published[other].clone()).collect();
        assert_eq!(
            names,
            others,
            "{} gets what the others published, and nothing of its own",
            nodes[at].name()
        );
        assert_eq!(handed.len(), names.len(), "each once");
    }
    nodes.iter().for_each(|node| has_accepted(node, 600));
    for consumer in &mut consumers {
        assert!(consumer.rest(QUIET).is_empty(), "nothing comes twice");
    }
}

#[test]
fn a_chain_relays_with_a_true_hop_path() {
    let nodes = chain(&["cert-at", "cert-ee", "cert-pl"]);
    let ids = nodes[0].publish(&[made(1, 900)]);

    let near = everything(&nodes[1]).take_one();
    assert_eq!((near.id(), near.text("/path")), (ids[0].clone(), "!cert-at".to_owned()));
    let far = everything(&nodes[2]).take_one();
    assert_eq!((far.id(), far.text("/path")), (ids[0].clone(), "!cert-at!cert-ee".to_owned()));
    assert_eq!((far.text("/publisher"), far.text("/source")), ("cert-at".to_owned(), "cert-ee".to_owned()));

    assert!(everything(&nodes[0]).rest(QUIET).is_empty(), "nobody gets back its own");
    assert_eq!(nodes[0].accepted(), 0);
}

#[test]
fn amber_travels_one_hop_and_green_travels_on() {
    let nodes = chain(&["cert-at", "cert-ee", "cert-pl"]);
    let amber = with_meta(&json!({"version": 1, "tlp": "AMBER"}), &made(1, 600));
    let ids = nodes[0].publish(&[amber, made(2, 600)]);

    let near: BTreeSet<_> = everything(&nodes[1]).take(2).iter().map(support::Handed::id).collect();
    assert_eq!(near, ids.iter().cloned().collect());
    let mut end = everything(&nodes[2]);
    assert_eq!(end.take_one().id(), ids[1], "only the green one goes on");
    assert!(end.rest(QUIET).is_empty());
    wait_until("what was kept back is counted", Duration::from_secs(10), || {
        nodes[1].count("cert-pl", "/sent/withheld") == 1
    });
}

#[test]
fn recipients_narrow_the_audience() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    let narrowed = with_meta(&json!({"version": 1, "to": ["cert-ee"]}), &made(1, 600));
    let ids = nodes[0].publish(&[narrowed, made(2, 600)]);

    let mut named = everything(&nodes[1]);
    let handed = named.take(2);
    let narrow = handed.iter().find(|event| event.id() == ids[0]).expect("the recipient gets it");
    assert_eq!(narrow.meta["to"], json!(["cert-ee"]));
    let mut other = everything(&nodes[2]);
    assert_eq!(other.take_one().id(), ids[1], "who is not named gets only the open one");
    assert!(other.rest(QUIET).is_empty());

    let unknown = with_meta(&json!({"version": 1, "to": ["cert-xx"]}), &made(3, 600));
    assert_eq!(nodes[0].submit(&[unknown])[0]["code"], "unknown_recipient");
}

#[test]
fn a_pipeline_that_submits_what_it_was_handed_is_answered_duplicate() {
    let nodes = mesh(&["cert-at", "cert-ee"]);
    let ids = nodes[0].publish(&[made(1, 600)]);
    let handed = everything(&nodes[1]).take_one();
    assert_eq!(handed.id(), ids[0]);

    let enriched = format!(r#"{{"source.ip":"192.0.2.7","extra.intelmesh.uuid":"{}"}}"#, ids[0]);
    let never_seen = enriched.replace(&ids[0], "cert-at:intelmq:00000000-0000-4000-8000-000000000000");
    let under_its_name = with_meta(&json!({"version": 1, "uuid": {"current": ids[0]}}), &handed.payload);
    let answers = nodes[1].submit(&[enriched.clone(), never_seen, handed.line, under_its_name]);
    for at in [0, 2, 3] {
        assert_eq!(answers[at], json!({"id": ids[0], "duplicate": true}), "line {at}");
    }
    assert_eq!(answers[1]["code"], "foreign_event");
    assert_eq!(
        nodes[0].submit(&[enriched])[0],
        json!({"id": ids[0], "duplicate": true}),
        "at its publisher too"
    );
    let stranger =
        json!({"version": 1, "uuid": {"current": "cert-xx:intelmq:00000000-0000-4000-8000-000000000000"}});
    assert_eq!(nodes[1].submit(&[with_meta(&stranger, &made(1, 300))])[0]["code"], "bad_id");
}

#[test]
fn a_node_works_in_a_very_long_directory() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let deep = place.path().join("d".repeat(90)).join("e".repeat(90));
    std::fs::create_dir_all(&deep).expect("a directory can be made");
    let mut node = Node::init_in(&deep, "cert-at");
    node.start();
    let ids = node.publish(&[made(1, 300)]);
    let handed = Consumer::open(&node, &json!({"from": "earliest", "own": true})).take_one();
    assert_eq!(handed.id(), ids[0]);
    let said = node.say(&["submit", "-"], &made(2, 300));
    assert_eq!((said.code, node.status()["journal"]["last_seq"].as_u64()), (0, Some(2)), "{said:?}");
    node.stop();
}

/// Issue 3: what crosses the links of a settled full mesh, measured between real processes.
#[test]
fn seven_nodes_in_full_mesh_get_each_event_once_over_few_links() {
    const NODES: usize = 7;
    const EACH: usize = 200;
    const BYTES: usize = 4_000;
    let names: Vec<_> = (0..NODES).map(|number| format!("cert-{number}")).collect();
    let mut nodes = unstarted_mesh(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let network = Network::new();
    if let Some(network) = &network {
        nodes.iter_mut().for_each(|node| network.hold(node));
    }
    support::shape::start(&mut nodes);

    let round = |first: usize| {
        for (at, node) in nodes.iter().enumerate() {
            let lines: Vec<_> = (0..EACH).map(|number| made(first + at * EACH + number, BYTES)).collect();
            lines.chunks(20).for_each(|some| drop(node.publish(some)));
        }
    };
    round(0);
    let others = ((NODES - 1) * EACH) as u64;
    nodes.iter().for_each(|node| has_accepted(node, others));
    let before = network.as_ref().map(Network::bytes);
    round(NODES * EACH);
    nodes.iter().for_each(|node| has_accepted(node, 2 * others));

    let deliveries = (NODES * (NODES - 1) * EACH) as f64;
    match (network, before) {
        (Some(network), Some(before)) => {
            let crossed = (network.bytes() - before) as f64;
            let ratio = crossed / (deliveries * BYTES as f64);
            println!(
                "settled mesh of {NODES}: {crossed:.0} bytes crossed, {ratio:.3} x payload x {}",
                NODES - 1
            );
            assert!(
                ratio < 1.5,
                "an envelope crosses hardly more links than it must (all bytes, headers and HAVE too)"
            );
        }
        _ => println!("settled mesh of {NODES}: bytes not measured, a network of its own needs root"),
    }
    for node in &nodes {
        let handed = everything(node).take(2 * others as usize);
        let ids: BTreeSet<_> = handed.iter().map(support::Handed::id).collect();
        assert_eq!(ids.len(), handed.len(), "{}: each once", node.name());
    }
}
