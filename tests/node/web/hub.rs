//! The hub story of IEP04 under a model: one node, three clients in Python with `requests` alone, each with another policy.
//! They post and read while one of them, chosen by dice, is killed again and again. In the end each has everything that it
//! may have exactly once, and nothing that it may not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::intelmq::python;
use support::{Dice, pace, wait_until};

use super::http::Web;
use super::labelled;

const ALL: Duration = Duration::from_secs(120);

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hub/client.py")
}

fn client(web: &Web, name: &str, verb: &str, file: &Path) -> Command {
    let mut command = Command::new(python());
    command.arg(script()).args([&web.url(), web.token(name), verb]).arg(file).stderr(Stdio::null());
    command
}

/// Events that a client has saved, with how often.
fn saved(file: &Path) -> BTreeMap<u64, usize> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // What stands behind the last link is cut off at the next start.
    let whole = text.rfind("\n#next ").map_or("", |at| &text[..at]);
    let mut counts = BTreeMap::new();
    for line in whole.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).unwrap();
        *counts.entry(event["payload"]["source.port"].as_u64().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn three_python_clients_get_all_exactly_once() {
    let kills = if std::env::var_os("INTELMESH_LONG").is_some() { 100 } else { 10 };
    let mut dice = Dice::announced("three_python_clients_get_all_exactly_once");
    let clients = [("amber", "AMBER"), ("green", "GREEN"), ("clear", "CLEAR")];
    let web = Web::start(&clients);
    let dir = tempfile::TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);
    let follow = |name: &str| client(&web, name, "follow", &file(name)).spawn().expect("Python runs");
    let mut running: Vec<Child> = clients.iter().map(|(name, _)| follow(name)).collect();
    let mut labels: Vec<usize> = Vec::new();
    for round in 0..kills {
        let lines: Vec<String> = (0..20)
            .map(|_| {
                let label = dice.below(3) as usize;
                labels.push(label);
                labelled(labels.len() - 1, clients[label].1)
            })
            .collect();
        let posted = dir.path().join("posted");
        std::fs::write(&posted, lines.join("\n")).unwrap();
        let poster = clients[dice.below(3) as usize].0;
        assert!(client(&web, poster, "post", &posted).status().unwrap().success(), "round {round}");
        pace(Duration::from_millis(dice.below(150)));
        let victim = dice.below(3) as usize;
        running[victim].kill().unwrap();
        running[victim].wait().unwrap();
        running[victim] = follow(clients[victim].0);
    }
    for (may, (name, _)) in clients.iter().enumerate() {
        // CLEAR is the last of the list, and everybody's.
        let want: BTreeMap<u64, usize> =
            (0..).zip(&labels).filter(|(_, label)| **label >= may).map(|(number, _)| (number, 1)).collect();
        wait_until(&format!("{name} has all"), ALL, || saved(&file(name)).len() >= want.len());
        assert_eq!(saved(&file(name)), want, "{name}");
    }
    running.iter_mut().for_each(|child| drop((child.kill(), child.wait())));
}
