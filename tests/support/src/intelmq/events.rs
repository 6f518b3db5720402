//! Real events for real bots, and reading back what a bot wrote. Events are made at test time by IntelMQ's own
//! parsers, so that nothing of its licence enters this project.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Map, Value};

use super::{python, unprivileged};

/// What our hand-off adds to an event.
const ANNOTATION: &str = "extra.intelmesh.";

/// `count` different events from IntelMQ's own parsers, one flat JSON text each.
pub fn corpus(count: usize) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/intelmq_events.py");
    let mut command = unprivileged(&python());
    command.arg("-B").arg(script).arg(count.to_string()).current_dir("/").stdin(Stdio::null());
    let said = command.output().expect("Python runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).expect("JSON in UTF-8");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count);
    println!("{count} events from the parsers of IntelMQ");
    lines
}

/// The events that a file output has written in full so far.
pub fn lines_of(file: &Path) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The event without what our hand-off adds.
pub fn without_annotations(event: &Map<String, Value>) -> Map<String, Value> {
    event
        .iter()
        .filter(|(key, _)| !key.starts_with(ANNOTATION))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
