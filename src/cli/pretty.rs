//! Each event for people: when, from whom, how it is labelled, its kind, and what it is about. One aligned line, or two
//! on a terminal that is too narrow for the columns.

use serde_json::Value;

use crate::control::EventSubject;

/// The columns before the subject have 86 characters: with fewer than these the subject would be cut off.
const ONE_LINE_COLUMNS: usize = 120;

/// The parts of one event that people are shown.
pub(crate) struct EventRow<'a> {
    /// RFC 3339, in UTC.
    pub created: &'a str,
    /// The full name.
    pub id: &'a str,
    pub publisher: &'a str,
    pub tlp: &'a str,
    pub sealed: bool,
    pub subject: EventSubject,
}

impl EventRow<'_> {
    /// `width` is that of the terminal.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let time = self.created.get(..19).unwrap_or(self.created).replace('T', " ");
        let uuid = self.id.rsplit(':').next().unwrap_or("-");
        let id = uuid.get(..8).unwrap_or(uuid);
        let label = if self.sealed { format!("{} sealed", self.tlp) } else { self.tlp.to_owned() };
        let (publisher, about) = (self.publisher, &self.subject.about);
        let kind = self.subject.kind.as_deref().unwrap_or("-");
        if width.is_none_or(|width| width >= ONE_LINE_COLUMNS) {
            return vec![format!("{time}Z  {id}  {publisher:16} {label:12} {kind:20} {about}")];
        }
        vec![format!("{time}Z  {id}  {publisher}  {label}"), format!("  {kind}  {about}")]
    }
}

/// Returns the lines for an event of form `iep04`; another line stays as it is.
pub(crate) fn lines(json: &[u8], width: Option<usize>) -> Vec<String> {
    let Ok(event) = serde_json::from_slice::<Value>(json) else {
        return vec![String::from_utf8_lossy(json).trim_end().to_owned()];
    };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let payload = event.get("payload").and_then(Value::as_object);
    let row = EventRow {
        created: text("/meta/created"),
        id: text("/meta/uuid/current"),
        publisher: text("/meta/publisher"),
        tlp: text("/meta/tlp"),
        sealed: event.pointer("/meta/sealed") == Some(&Value::Bool(true)),
        subject: payload.map(EventSubject::of).unwrap_or_default(),
    };
    row.lines(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_when_who_what_and_nothing_else() {
        let event =
            br#"{"seq":1,"meta":{"uuid":{"current":"cert-ee:intelmq:0192a0b1-1111"},"publisher":"cert-ee",
            "created":"2026-11-20T10:00:00.123Z","tlp":"AMBER","sealed":true},
            "payload":{"classification.type":"phishing","source.ip":"192.0.2.1","source.url":"http://x/"}}"#;
        let (one, about) = ("2026-11-20 10:00:00Z  0192a0b1  cert-ee", "http://x/  192.0.2.1");
        let wide = format!("{one}          AMBER sealed phishing             {about}");
        assert_eq!(lines(event, None), [wide.as_str()]);
        assert_eq!(lines(event, Some(120)), [wide]);
        assert!(
            lines(br#"{"meta":{},"payload":{"a":1,"b":{"c":2}}}"#, None)[0].ends_with("a=1  b={\"c\":2}")
        );
        assert_eq!(lines(b"no json\n", Some(60)), ["no json"]);
        // At 80 columns the subject began behind the edge.
        for width in [60, 80] {
            let narrow = lines(event, Some(width));
            assert_eq!(narrow, [format!("{one}  AMBER sealed"), format!("  phishing  {about}")]);
            assert!(narrow.iter().all(|line| line.len() <= width));
        }
    }
}
