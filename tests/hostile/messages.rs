//! Messages of other formats that are made to become large: 1 MiB of them must not take gigabytes. Peers send such
//! bodies too, and filters decode them with the same code. Which messages are refused for their form is tested elsewhere.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Address space of the process. A message of 1 MiB took many times this.
const KIBIBYTES_MAX: usize = 300 * 1024;

/// Converts one message in a process with little memory, and returns what it says.
fn said(format: &str, message: &Value) -> String {
    let text = message.to_string();
    assert!(text.len() <= 1024 * 1024, "{format}: {} bytes", text.len());
    let script = format!("ulimit -v {KIBIBYTES_MAX} && exec \"$0\" convert --from {format} --to intelmq");
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_intelmesh")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{format}: {:?} {stderr}", output.status);
    stderr
}

fn idea(more: Value) -> Value {
    let mut message = json!({"Format": "IDEA0", "ID": "a", "DetectTime": "2026-01-01T00:00:00Z",
        "Category": ["Recon.Scanning"]});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

/// Each event repeats what the message says of all, and each address what its object says.
#[test]
fn large_messages_are_refused_in_little_memory() {
    let addresses = |count: usize| (0..count).map(|at| format!("10.0.{}.{}", at / 250, 1 + at % 250));
    let listed = |count| addresses(count).map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
    let n6 = |more: Value| {
        json!({"id": "392ab73bbe7bcd6a56c84af2234987a4", "source": "a.b", "restriction": "public",
            "confidence": "low", "category": "bots", "time": "2026-01-01T00:00:00Z", "address": listed(250),
            "more": more})
    };
    let attributes = vec![json!({"type": "ip-src", "value": "192.0.2.1"}); 12_000];
    let misp = |more: Value| json!({"Event": {"uuid": "4390fc3f-c753-4a3e-bc83-1b44f24baf75", "info": more, "Attribute": attributes}});
    let mut wide = vec!["10.0.0.1-10.0.0.30"; 25_000];
    wide.extend(vec!["0.0.0.0/0"; 25_000]);
    let pairs: Vec<String> = addresses(16).collect();
    let pairs = json!([{"IP4": pairs}]);
    for (format, message) in [
        ("misp", misp("x".repeat(400_000).into())),
        ("n6", n6("x".repeat(900_000).into())),
        ("n6", n6(vec![json!({"": 0}); 100_000].into())),
        ("idea", idea(json!({"Source": [{"IP4": wide}]}))),
        ("idea", idea(json!({"Note": "x".repeat(1_000_000), "Source": pairs, "Target": pairs}))),
        ("idea", idea(json!({"AltNames": vec!["a"; 200_000], "Source": pairs, "Target": pairs}))),
    ] {
        let said = said(format, &message);
        assert!(said.contains("(multi_value)"), "{format}: {said}");
    }
}
