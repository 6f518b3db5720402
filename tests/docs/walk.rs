//! The walks of the README and the tutorial, word for word: their shell lines, with this build of the program and two
//! free ports.
//! The one thing added is a wait for `ready`, which a reader does with their eyes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// The lines of the shell blocks in `text`.
fn shell_lines(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// The section of `document` below the heading that begins with `heading`.
fn section(document: &str, heading: &str) -> String {
    let lines = document.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    lines.take_while(|line| !line.starts_with("## ")).map(|line| format!("{line}\n")).collect()
}

fn two_free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (bind(), bind());
    (one.local_addr().unwrap().port(), two.local_addr().unwrap().port())
}

/// The shell lines of `text` as one script, with ports of its own. A node in the background is waited for.
fn script(text: &str) -> String {
    let (at, ee) = two_free_ports();
    let mut script = String::from("set -eumo pipefail\n");
    for line in shell_lines(text) {
        if line.starts_with("cargo install") {
            continue;
        }
        let line = line.replace("tcp/4801", &format!("tcp/{at}")).replace("tcp/4802", &format!("tcp/{ee}"));
        if line.ends_with('&') {
            let node = line.trim_end_matches('&').trim_end().rsplit(' ').next().unwrap().to_owned();
            let line = line.trim_end_matches('&');
            script += &format!("rm -f {node}.out\n{line} > {node}.out 2>> {node}.err &\n");
            script +=
                &format!("for n in $(seq 200); do grep -qs '^ready ' {node}.out && break; sleep 0.1; done\n");
        } else {
            script += &format!("echo '$ {}' >&2\n{line}\n", line.replace('\'', "'\\''"));
        }
    }
    script + "wait\n"
}

/// Runs the shell lines of `text` in an empty directory and returns what they print.
fn walk(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_intelmesh")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = script(text);
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(dir.path())
        .env("PATH", path)
        .env("HOME", dir.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let logs: String = ["at", "ee"]
        .iter()
        .map(|node| {
            fs::read_to_string(dir.path().join("mesh").join(format!("{node}.err"))).unwrap_or_default()
        })
        .collect();
    assert!(
        output.status.success(),
        "{script}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n--- logs\n{logs}"
    );
    stdout.into_owned()
}

#[test]
fn the_walk_of_the_readme_works_as_written() {
    let stdout = walk(&section(&super::read("README.md"), "## Two peered nodes"));
    assert!(stdout.contains(r#""source.ip":"192.0.2.1""#), "the event did not arrive:\n{stdout}");
    assert!(stdout.lines().any(|line| line.starts_with("ok: ")), "status is not ok:\n{stdout}");
}

#[test]
fn the_tutorial_works_as_written() {
    let stdout = walk(&super::read("docs/TUTORIAL.md"));
    let arrived = |event: &str| stdout.lines().any(|line| line.contains(event) && line.contains(r#""seq":"#));
    for event in 1..=4 {
        assert!(arrived(&format!("192.0.2.{event}")), "event {event} did not arrive:\n{stdout}");
    }
    assert!(stdout.contains(r#""sealed":true"#), "nothing was sealed:\n{stdout}");
    assert!(stdout.lines().any(|line| line.starts_with("ok: ")), "status is not ok:\n{stdout}");
}
