//! One line for each event, for people: when, from whom, how it is labelled, its kind, and what it is about.

use serde_json::{Map, Value};

/// What an event of IntelMQ is about, the most telling first.
const SUBJECTS: [&str; 10] = [
    "source.url",
    "source.fqdn",
    "source.ip",
    "source.network",
    "source.account",
    "source.asn",
    "destination.fqdn",
    "destination.ip",
    "malware.name",
    "malware.hash.sha256",
];
/// Subjects that are shown of one event.
const SUBJECTS_SHOWN: usize = 3;

/// Returns the line for an event of form `iep04`; another line stays as it is.
pub fn line(json: &[u8]) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(json) else {
        return String::from_utf8_lossy(json).trim_end().to_owned();
    };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let created = text("/meta/created");
    let time = created.get(..19).unwrap_or(created).replace('T', " ");
    let sealed = event.pointer("/meta/sealed") == Some(&Value::Bool(true));
    let label = if sealed { format!("{} sealed", text("/meta/tlp")) } else { text("/meta/tlp").to_owned() };
    let payload = event.get("payload").and_then(Value::as_object);
    let kind = payload.and_then(|fields| fields.get("classification.type")).and_then(Value::as_str);
    let about = payload.map(about).unwrap_or_default();
    let id = text("/meta/uuid/current").rsplit(':').next().unwrap_or("-");
    let id = id.get(..8).unwrap_or(id);
    format!("{time}Z  {id}  {:16} {label:12} {:20} {about}", text("/meta/publisher"), kind.unwrap_or("-"))
}

/// The subjects that it has; of another format its first fields.
fn about(payload: &Map<String, Value>) -> String {
    let known: Vec<String> = SUBJECTS.iter().filter_map(|key| payload.get(*key)).map(plain).collect();
    if !known.is_empty() {
        return known.into_iter().take(SUBJECTS_SHOWN).collect::<Vec<_>>().join("  ");
    }
    let first = payload.iter().take(SUBJECTS_SHOWN).map(|(key, value)| format!("{key}={}", plain(value)));
    first.collect::<Vec<_>>().join("  ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_what_and_nothing_else() {
        let event =
            br#"{"seq":1,"meta":{"uuid":{"current":"cert-ee:intelmq:0192a0b1-1111"},"publisher":"cert-ee",
            "created":"2026-11-20T10:00:00.123Z","tlp":"AMBER","sealed":true},
            "payload":{"classification.type":"phishing","source.ip":"192.0.2.1","source.url":"http://x/"}}"#;
        assert_eq!(
            line(event),
            "2026-11-20 10:00:00Z  0192a0b1  cert-ee          AMBER sealed phishing             http://x/  192.0.2.1"
        );
        assert!(line(br#"{"meta":{},"payload":{"a":1,"b":{"c":2}}}"#).ends_with("a=1  b={\"c\":2}"));
        assert_eq!(line(b"no json\n"), "no json");
    }
}
