//! Events to send: real ones where they lie beside the checkout, the project's own samples else, and made
//! ones of a given size for volume. It deliberately parses nothing: an event is its JSON text.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// `count` events as IntelMQ's parsers make them, one JSON text each, repeated where there are fewer. Says
/// on stdout where they come from.
pub fn real(count: usize) -> Vec<String> {
    let (from, lines) = shared().or_else(samples).unwrap_or_else(|| {
        ("the generator".to_owned(), (0..200).map(|number| made(number, 1_200)).collect())
    });
    println!("{count} events from {from} ({} different)", lines.len().min(count));
    lines.iter().cycle().take(count).cloned().collect()
}

/// Events of the folder that `INTELMESH_SHARED` names, else of `../shared` beside the checkout.
fn shared() -> Option<(String, Vec<String>)> {
    let folder = std::env::var_os("INTELMESH_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let file = folder.join("data/events.jsonl");
    Some((file.display().to_string(), json_lines(&file)?))
}

fn samples() -> Option<(String, Vec<String>)> {
    let folder = root().join("tests/samples");
    let mut files: Vec<_> = std::fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let lines: Vec<_> = files.iter().filter_map(|file| json_lines(file)).flatten().collect();
    (!lines.is_empty()).then(|| (folder.display().to_string(), lines))
}

fn json_lines(file: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    let flat = |line: &&str| line.starts_with('{') && !line.contains("\"payload\"");
    Some(text.lines().filter(flat).map(str::to_owned).collect())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Event number `number`, padded through its `raw` to about `bytes`.
pub fn made(number: usize, bytes: usize) -> String {
    let octet = |shift: u32| (number >> shift) & 0xff;
    let head = format!(
        concat!(
            r#"{{"feed.name": "Open-Resolver", "feed.provider": "Shadow Example", "feed.accuracy": 100.0, "#,
            r#""classification.taxonomy": "vulnerable", "classification.type": "vulnerable-system", "#,
            r#""classification.identifier": "dns-open-resolver", "time.source": "2026-11-20T07:{:02}:{:02}+00:00", "#,
            r#""time.observation": "2026-11-20T10:00:00+00:00", "source.ip": "198.{}.{}.{}", "source.port": 53, "#,
            r#""source.asn": {}, "source.geolocation.cc": "EE", "source.reverse_dns": "host-{number}.example.net", "#,
            r#""protocol.transport": "udp", "protocol.application": "dns", "extra.amplification": 1.380, "#,
            r#""extra.tag": "openresolver", "extra.number": {number}, "raw": ""#,
        ),
        number / 60 % 60,
        number % 60,
        octet(16),
        octet(8),
        octet(0),
        64_512 + number % 1_000,
        number = number,
    );
    let padding = bytes.saturating_sub(head.len() + 2);
    let raw: String = (0..padding)
        .map(|at| char::from(b'A' + (((at * 7 + number) ^ (at >> 3) ^ (number >> 4)) % 26) as u8))
        .collect();
    head + &raw + "\"}"
}

/// IEP04's form (b) around `payload`.
pub fn with_meta(meta: &Value, payload: &str) -> String {
    format!(r#"{{"meta":{meta},"payload":{payload}}}"#)
}

/// The JSON text without white space between its tokens, so that texts compare token for token.
pub fn tokens(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&letter| {
            let keep = inside || !letter.is_ascii_whitespace();
            if letter == '"' && !escaped {
                inside = !inside;
            }
            escaped = inside && letter == '\\' && !escaped;
            keep
        })
        .collect()
}
