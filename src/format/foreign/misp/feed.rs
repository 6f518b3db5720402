//! The events of a MISP feed: each has the objects of one interval with one label (FORMATS.md). What was withdrawn or
//! replaced becomes a deletion, since MISP keeps what is left out. Directories and clocks are not here.

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use uuid::Uuid;

use super::encode::tag;
use super::uuid_of;
use crate::event::EventFormat;
use crate::event::json::value_of;
use crate::format::foreign::convert::LineConversion;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::{EventId, PublisherName};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// Types of attributes that MISP never correlates.
const UNCORRELATED: [&str; 7] = ["datetime", "boolean", "float", "integer", "port", "counter", "comment"];

/// A feed as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedIdentity {
    pub org: String,
    pub org_uuid: Uuid,
    pub interval_ms: u64,
}

/// The change that one line makes in a feed.
#[derive(Debug)]
pub(crate) struct FeedChange {
    pub object: Option<FeedObject>,
    /// Names of events whose objects are deleted.
    pub taken_back: Vec<String>,
}

/// The object of one event, or of one part of it.
#[derive(Debug)]
pub(crate) struct FeedObject {
    /// The full name of the event.
    pub name: String,
    pub uuid: Uuid,
    pub label: Tlp,
    value: Value,
}

impl FeedObject {
    /// Takes a UUID of its own: an event of another publisher has the one that it would have.
    #[must_use]
    pub(crate) fn renamed(mut self) -> Self {
        self.uuid = uuid_of(&format!("{} {}", self.name, self.uuid));
        self.value["uuid"] = self.uuid.to_string().into();
        self
    }
}

/// Reads a line with meta and an event of IntelMQ.
///
/// # Errors
/// [`SubmitError`] if it has no object of MISP.
pub(crate) fn read_line(line: &[u8], now: Timestamp) -> Result<FeedChange, SubmitError> {
    let odd = || SubmitError::new(SubmitCode::BadMeta, "not a line with meta and an event of IntelMQ");
    let text = std::str::from_utf8(line).map_err(|_| odd())?;
    let mut line = value_of(text).ok_or_else(odd)?.value;
    let name = line["meta"]["uuid"]["current"].as_str().unwrap_or_default();
    let id: EventId = name.parse().map_err(|_| odd())?;
    let name = name.to_owned();
    let mut taken_back: Vec<String> = links_back(&line["meta"], &id).collect();
    let is_over = ["withdrawn_by", "replaced_by"].iter().any(|key| line["meta"][*key].is_string());
    let fields = line["payload"].as_object().ok_or_else(odd)?;
    let says_more = fields.keys().any(|key| key != "event_description.text" && key != "tlp");
    if is_over {
        taken_back.push(name);
        return Ok(FeedChange { object: None, taken_back });
    }
    if !taken_back.is_empty() && !says_more {
        return Ok(FeedChange { object: None, taken_back });
    }
    // The parts of a message share its name, and must not share the UUIDs that are made from it.
    if let Some(part) = fields.get("extra.intelmesh.part").and_then(Value::as_str) {
        let uuid = Uuid::new_v5(&id.uuid, part.as_bytes());
        line["meta"]["uuid"]["current"] = EventId { uuid, ..id }.to_string().into();
    }
    let format = |name: &str| EventFormat::parse(name).ok_or_else(odd);
    let conversion =
        LineConversion::new(&format("intelmq")?, &format("misp")?, false, now).ok_or_else(odd)?;
    let converted = conversion.line(line.to_string().as_bytes())?;
    let message = converted.lines.first().ok_or_else(odd)?;
    let message: Value = serde_json::from_str(message).map_err(|_| odd())?;
    let event = &message["Event"];
    // Without a label it is not known how far it may go.
    let label = event["Tag"][0]["name"].as_str().and_then(Tlp::parse).unwrap_or(Tlp::Red);
    let mut value = event["Object"][0].clone();
    value["comment"] = name.clone().into();
    let uuid = value["uuid"].as_str().and_then(|text| text.parse().ok()).ok_or_else(odd)?;
    Ok(FeedChange { object: Some(FeedObject { name, uuid, label, value }), taken_back })
}

/// Returns the names of events of the same publisher that this one withdraws or replaces.
fn links_back<'a>(meta: &'a Value, id: &'a EventId) -> impl Iterator<Item = String> + 'a {
    let own = move |text: &str| text.parse::<EventId>().is_ok_and(|other| other.publisher == id.publisher);
    meta["links"].as_array().into_iter().flatten().filter_map(move |link| {
        let takes_back = matches!(link["type"].as_str(), Some("withdraws" | "replaces"));
        let is_of_this =
            link["left"].as_str().is_none_or(|left| left.parse().is_ok_and(|left: EventId| left == *id));
        let right = link["right"].as_str().filter(|right| own(right))?;
        (takes_back && is_of_this).then(|| right.to_owned())
    })
}

/// Returns the begin of the interval that `now` is in.
pub(crate) fn interval_start(identity: &FeedIdentity, now: Timestamp) -> Timestamp {
    Timestamp(now.0 - now.0 % identity.interval_ms.max(1))
}

/// Returns the UUID of an event of the feed.
pub(crate) fn event_uuid(publisher: &PublisherName, start: Timestamp, label: Tlp) -> Uuid {
    uuid_of(&format!("{publisher} feed {} {label}", seconds_of(start)))
}

fn seconds_of(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// An event of a feed: the text of one file.
#[derive(Clone, Debug)]
pub(crate) struct FeedEvent(Value);

impl FeedEvent {
    /// Returns the event of an interval, without objects.
    pub(crate) fn new(
        identity: &FeedIdentity,
        publisher: &PublisherName,
        start: Timestamp,
        label: Tlp,
    ) -> Self {
        let (from, to) = (seconds_of(start), seconds_of(start.plus_ms(identity.interval_ms)));
        let mut tag = tag(label);
        tag["local"] = false.into();
        tag["relationship_type"] = "".into();
        Self(json!({"Event": {
            "uuid": event_uuid(publisher, start, label).to_string(),
            "info": format!("intelmesh {publisher} {from} - {to} TLP:{label}"),
            "date": from.get(..10).unwrap_or_default(),
            "timestamp": "0",
            "publish_timestamp": "0",
            "published": true,
            "analysis": "2",
            "threat_level_id": "4",
            "extends_uuid": "",
            "protected": false,
            "Orgc": {"name": identity.org, "uuid": identity.org_uuid.to_string()},
            "Tag": [tag],
            "Object": [],
        }}))
    }

    /// Reads the text of a file; `None` if it is not one of a feed.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(text).ok()?;
        (event["Event"]["uuid"].is_string() && event["Event"]["Object"].is_array()).then_some(Self(event))
    }

    pub(crate) fn to_text(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// Returns the UUID and the name of each object.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (Uuid, &str)> {
        self.0["Event"]["Object"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|object| Some((object["uuid"].as_str()?.parse().ok()?, object["comment"].as_str()?)))
    }

    /// Adds an object that is not there.
    pub(crate) fn add(&mut self, object: FeedObject) {
        if let Some(objects) = self.0["Event"]["Object"].as_array_mut() {
            objects.push(object.value);
        }
    }

    /// Marks the objects of a name as deleted, which MISP sees by their newer timestamps.
    pub(crate) fn delete(&mut self, name: &str, now: Timestamp) {
        for object in self.0["Event"]["Object"].as_array_mut().into_iter().flatten() {
            if object["comment"] != name || object["deleted"] == true {
                continue;
            }
            let time = (now.0 / 1_000).max(number(&object["timestamp"]) + 1).to_string();
            let mark = |value: &mut Value| {
                value["deleted"] = true.into();
                value["timestamp"] = time.clone().into();
            };
            object["Attribute"].as_array_mut().into_iter().flatten().for_each(mark);
            mark(object);
        }
    }

    /// Gives it a later time than it had, and than its objects have: MISP takes nothing else.
    pub(crate) fn stamp(&mut self, now: Timestamp) {
        let event = &mut self.0["Event"];
        let objects = event["Object"].as_array().into_iter().flatten();
        let newest = objects.map(|object| number(&object["timestamp"])).max().unwrap_or(0);
        let time = (now.0 / 1_000).max(number(&event["timestamp"]) + 1).max(newest).to_string();
        event["timestamp"] = time.clone().into();
        event["publish_timestamp"] = time.into();
    }

    /// Returns its entry in the manifest.
    pub(crate) fn manifest(&self) -> Value {
        let event = &self.0["Event"];
        let [analysis, threat, time] =
            ["analysis", "threat_level_id", "timestamp"].map(|key| number(&event[key]));
        json!({"Orgc": event["Orgc"], "Tag": event["Tag"], "info": event["info"], "date": event["date"],
            "analysis": analysis, "threat_level_id": threat, "timestamp": time})
    }

    /// Returns its lines in `hashes.csv`, from which MISP fills its correlation cache.
    pub(crate) fn hashes(&self) -> String {
        let event = &self.0["Event"];
        let uuid = event["uuid"].as_str().unwrap_or_default();
        let objects = event["Object"].as_array().into_iter().flatten();
        let attributes = objects.flat_map(|object| object["Attribute"].as_array().into_iter().flatten());
        let live = attributes.filter(|attribute| {
            attribute["deleted"] != true
                && attribute["type"].as_str().is_some_and(|kind| !UNCORRELATED.contains(&kind))
        });
        let hash = |attribute: &Value| {
            let value = attribute["value"].as_str().unwrap_or_default();
            format!("{},{uuid}\n", data_encoding::HEXLOWER.encode(&Md5::digest(value.as_bytes())))
        };
        live.map(hash).collect()
    }
}
