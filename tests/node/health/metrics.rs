//! `/metrics` and `/healthz` of a real node, read as Prometheus does, and checked with its own `promtool`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use intelmesh::testing::HealthCode;
use serde_json::json;
use support::events::made;
use support::{Node, free_port, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn serving(name: &str) -> (Node, u16) {
    let (mut node, port) = (super::node(name), free_port());
    node.edit("intelmesh.toml", |text| format!("{text}[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    (node, port)
}

/// Status and body of `GET path`; `None` if nobody listens.
fn get(port: u16, path: &str, host: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Some((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

fn scrape(port: u16) -> String {
    let (status, text) = get(port, "/metrics", "localhost").expect("it listens");
    assert_eq!(status, 200, "{text}");
    text
}

fn promtool(args: &[&str], stdin: &str) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is installed: apt install prometheus");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "promtool {args:?}: {done:?}\n{stdin}");
}

fn contrib(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(file)).unwrap()
}

/// The names of our families in `text`.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("intelmesh_") || word.starts_with("process_"));
    ours.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

/// The figures are those of `status`, each health code has a sample, and no label comes from outside.
#[test]
fn metrics_say_what_status_says() {
    let ((mut at, port), (mut ee, theirs)) = (serving("cert-at"), serving("cert-ee"));
    support::pair(&at, &ee);
    at.start();
    ee.start();
    support::shape::together(&at);
    at.publish(&(1..=3).map(|number| made(number, 300)).collect::<Vec<_>>());
    let delivered = "intelmesh_envelopes_total{peer=\"cert-ee\",direction=\"sent\",outcome=\"accepted\"} 3\n";
    wait_until("cert-ee has them", SOON, || scrape(port).contains(delivered));
    let text = scrape(port);
    promtool(&["check", "metrics"], &text);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("intelmesh_") || line.starts_with("process_"), "{line}");
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        assert!(!labels.contains("12D3") && !labels.contains("/ip4/"), "an address or a key: {line}");
    }
    for wanted in [
        "intelmesh_peer_connected{peer=\"cert-ee\"} 1\n",
        "intelmesh_peer_watched{peer=\"cert-ee\"} 1\n",
        "intelmesh_journal_last_seq 3\n",
        "intelmesh_delivery_age_seconds_count{peer=\"cert-ee\"} 0\n",
        "intelmesh_journal_append_seconds_bucket{le=\"+Inf\"} ",
        "intelmesh_build_info{version=\"",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(scrape(theirs).contains("intelmesh_delivery_age_seconds_count{peer=\"cert-at\"} 3\n"));
    ee.kill9();
    let down = "intelmesh_health{code=\"peer_down\",peer=\"cert-ee\",door=\"\",consumer=\"\"} 1\n";
    wait_until("it is missed", super::SOON, || scrape(port).contains(down));
    let text = scrape(port);
    let codes: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("intelmesh_health{code=\"")?.split('"').next())
        .collect();
    assert_eq!(codes.len(), 23, "{codes:?}");
}

/// Every name that the dashboard and the rules use exists, and `promtool` reads the rules.
#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let (mut node, port) = serving("cert-at");
    node.start();
    let exist = names_in(&scrape(port));
    let alerts = contrib("alerts.yml");
    promtool(&["check", "rules", concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/alerts.yml")], "");
    let critical = HealthCode::ALL.into_iter().filter(|code| code.is_critical()).map(HealthCode::as_str);
    let critical = format!("code=~\"{}\"", critical.collect::<Vec<_>>().join("|"));
    assert!(alerts.contains(&critical), "what Nagios calls critical is critical here too: {critical}");
    let dashboard = contrib("grafana/intelmesh.json");
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    for (file, text) in [("alerts.yml", &alerts), ("grafana/intelmesh.json", &dashboard)] {
        let unknown: Vec<String> = names_in(text).difference(&exist).cloned().collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}");
    }
}

/// A peer that is paused, and a publisher that is heard through others, counted as away.
#[test]
fn alerts_leave_out_peers_that_need_not_connect() {
    let of = |family: &str, peer: &str, value: u8| {
        let name = format!("intelmesh_peer_{family}{{instance=\"a\",peer=\"{peer}\"}}");
        json!({"series": name, "values": format!("{value}+0x30")})
    };
    let case = |cert_ee: u8, expected: serde_json::Value| {
        let input = json!([
            of("connected", "cert-ee", cert_ee),
            of("watched", "cert-ee", 1),
            of("connected", "cert-lt-paused", 0),
            of("watched", "cert-lt-paused", 0),
            of("connected", "cert-lv-publisher-only", 0),
            of("watched", "cert-lv-publisher-only", 0),
        ]);
        let asked =
            json!({"eval_time": "30m", "alertname": "IntelmeshMostPeersAway", "exp_alerts": expected});
        json!({"interval": "1m", "input_series": input, "alert_rule_test": [asked]})
    };
    let annotations = json!({"summary": "a: most peers are away", "description":
        "Look at the network of this machine first: more than half of the peers that it watches are not connected."});
    let alert =
        json!([{"exp_labels": {"severity": "critical", "instance": "a"}, "exp_annotations": annotations}]);
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/alerts.yml");
    let tests = json!({"rule_files": [rules], "evaluation_interval": "1m",
        "tests": [case(1, json!([])), case(0, alert)]});
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("tests.yml");
    fs::write(&file, tests.to_string()).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()], "");
}

/// Only names of this machine are answered on loopback, only two paths exist, and a stopping node is not healthy.
#[test]
fn healthz_is_for_this_machine_and_ends_with_the_node() {
    let (mut node, port) = serving("cert-at");
    node.start();
    assert_eq!(get(port, "/healthz", "127.0.0.1"), Some((200, "ok\n".to_owned())));
    assert_eq!(get(port, "/healthz", "evil.example.org").unwrap().0, 421);
    assert_eq!(get(port, "/", "localhost").unwrap().0, 404);
    node.stop();
    assert_eq!(get(port, "/healthz", "localhost"), None);
}

/// Monitoring is no reason not to exchange events: the node runs, says so, and takes the port when it is free.
#[test]
fn a_taken_metrics_port_does_not_stop_the_node() {
    let (mut node, port) = serving("cert-at");
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    node.start();
    wait_until("status says so", SOON, || node.complains("config_bad"));
    let words = format!("[metrics] cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(node.status()["health"].to_string().contains(&words), "{}", node.status()["health"]);
    drop(taken);
    wait_until("it is tried again", SOON, || !node.complains("config_bad"));
    assert_eq!(get(port, "/healthz", "localhost"), Some((200, "ok\n".to_owned())));
}
