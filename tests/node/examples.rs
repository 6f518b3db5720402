//! The programs in Python of `examples/`, run against a node as a reader would run them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::Node;

fn run(example: &str, arguments: &[&str], stdin: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The consumer is cert-ee's, so the events come over a feed; the second run goes on behind the first.
#[test]
fn python_examples_submit_and_consume() {
    let mut nodes = support::shape::mesh(&["cert-at", "cert-ee"]);
    let [at, ee] = [0, 1].map(|node: usize| nodes[node].dir().to_str().unwrap().to_owned());
    let events =
        "{\"source.ip\":\"192.0.2.1\"}\n\n{\"source.ip\":\"192.0.2.2\"}\n{\"source.ip\":\"192.0.2.3\"}\n";
    let submitted = run("submit.py", &[&at], events);
    assert!(submitted.status.success(), "{submitted:?}");
    let ids = String::from_utf8(submitted.stdout).unwrap();
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 3, "{ids:?}");

    let mut consumed = String::new();
    for count in ["2", "1"] {
        let output = run("consume.py", &[&ee, "soc", count], "");
        assert!(output.status.success(), "{output:?}");
        consumed += &String::from_utf8(output.stdout).unwrap();
    }
    let taken: Vec<&str> = consumed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(taken, ids);

    let refused = run("submit.py", &[&at], "[]\n");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    nodes.iter_mut().for_each(Node::stop);
}
