//! `event list`: events of the journal, each in a few words. The whole of one is `event show`'s.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::PublisherName;
use crate::record::Entry;
use crate::status::rfc3339;
use crate::time::Timestamp;

/// Name and number of the JSON form.
pub(crate) const LIST_SCHEMA: &str = "intelmesh.events/1";
pub(crate) const LIST_LAST_DEFAULT: u64 = 20;
/// Their list stays far below what the command line reads.
pub(crate) const LIST_LAST_MAX: u64 = 2_000;
/// Entries that are looked at for one list: a filter that admits nothing ends within seconds.
pub(crate) const LIST_LOOK_MAX: u64 = 200_000;

/// The fields of IntelMQ that say what an event is about, the most telling first.
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
/// Of one subject, in characters: a URL may have as many as an event.
const SUBJECT_CHARS_MAX: usize = 120;

/// Which events are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRange {
    /// So many, at most: the newest ones.
    pub last: u64,
    /// Of this publisher alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherName>,
    /// In CEL: what it does not admit is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The answer, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventList {
    pub events: Vec<ListedEvent>,
    /// Entries of the journal from the newest one on, whether or not they are listed.
    pub looked_at: u64,
    /// There are older entries, which were not looked at.
    pub more: bool,
    /// Events for which the filter had no result, and the reason of the newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_failed: Option<(u64, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedEvent {
    pub seq: u64,
    pub id: String,
    pub publisher: PublisherName,
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
    pub tlp: String,
    pub sealed: bool,
    /// It was withdrawn or replaced by its publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    #[serde(flatten)]
    pub subject: EventSubject,
}

/// What an event is about, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventSubject {
    /// `classification.type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl EventSubject {
    /// Takes the telling fields of a payload; of another format than IntelMQ's, its first ones.
    pub(crate) fn of(payload: &Map<String, Value>) -> Self {
        let known = SUBJECTS.iter().filter_map(|key| payload.get(*key)).map(plain);
        let mut about: Vec<String> = known.take(SUBJECTS_SHOWN).collect();
        if about.is_empty() {
            let first = payload.iter().take(SUBJECTS_SHOWN);
            about = first.map(|(key, value)| format!("{}={}", cut(key), plain(value))).collect();
        }
        let kind = payload.get("classification.type").and_then(Value::as_str).map(cut);
        Self { kind, about: about.join("  ") }
    }
}

impl ListedEvent {
    /// `payload` is `None` if it cannot be opened here.
    pub(crate) fn of(entry: &Entry, payload: Option<&[u8]>) -> Self {
        let core = entry.envelope.core();
        let payload = payload.and_then(|bytes| serde_json::from_slice(bytes).ok());
        Self {
            seq: entry.seq,
            id: core.id.to_string(),
            publisher: core.id.publisher.clone(),
            created: core.created,
            tlp: core.tlp.as_str().to_owned(),
            sealed: core.body.is_sealed(),
            withdrawn_by: entry.withdrawn_by.as_ref().map(ToString::to_string),
            replaced_by: entry.replaced_by.as_ref().map(ToString::to_string),
            subject: payload.as_ref().map(EventSubject::of).unwrap_or_default(),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| cut(&value.to_string()), cut)
}

fn cut(text: &str) -> String {
    text.chars().take(SUBJECT_CHARS_MAX).collect()
}
