//! The parts of a MISP event that the door has taken, and the line that is due for a part: none if nothing changed, a new
//! event, one that replaces an earlier one, or one that withdraws it. Nothing is sent here.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::EventListing;
use crate::format::foreign::MispPart;

/// One MISP event as it was when all of its parts were taken.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct EventRecord {
    timestamp: u64,
    published: u64,
    pub parts: BTreeMap<Uuid, PartRecord>,
}

/// The last event of a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PartRecord {
    pub version: Uuid,
    pub id: Uuid,
    pub withdrawn: bool,
}

/// A line for a part, and the record once it is taken.
#[derive(Debug)]
pub(super) struct DueLine {
    pub line: Bytes,
    pub record: PartRecord,
}

impl EventRecord {
    /// Returns true if the event is listed as it was taken.
    pub fn is_as_listed(&self, listing: &EventListing) -> bool {
        (self.timestamp, self.published) == (listing.timestamp, listing.published)
    }

    /// Notes that all parts were taken.
    pub fn is_taken_as(&mut self, listing: &EventListing) {
        (self.timestamp, self.published) = (listing.timestamp, listing.published);
    }
}

impl DueLine {
    /// Returns the line for a part of the MISP event `whole`; `None` if there is nothing to say.
    pub fn of(part: &MispPart, whole: Uuid, known: Option<&PartRecord>) -> Option<Self> {
        match known {
            None if part.deleted => None,
            None => Some(Self::version(part, whole, part.uuid, None)),
            Some(known) if known.version == part.version => None,
            Some(known) if known.withdrawn && part.deleted => None,
            Some(known) if part.deleted => Some(Self::withdrawal(part, known)),
            Some(known) => {
                // An event that was withdrawn is not there any more to be replaced.
                let before = (!known.withdrawn).then_some(known.id);
                Some(Self::version(part, whole, part.later_id, before))
            }
        }
    }

    /// Returns the line for a part of which another version has its id already.
    pub fn after_conflict(part: &MispPart, whole: Uuid) -> Self {
        Self::version(part, whole, part.later_id, Some(part.uuid))
    }

    fn version(part: &MispPart, whole: Uuid, id: Uuid, before: Option<Uuid>) -> Self {
        let mut uuid = json!({"current": id.to_string()});
        if whole != id {
            uuid["parent"] = whole.to_string().into();
        }
        let replaces = before.map(|before| json!({"type": "replaces", "right": before.to_string()}));
        let links: Vec<Value> = replaces.into_iter().collect();
        let meta = json!({"uuid": uuid, "format": "misp", "links": links});
        Self::new(&json!({"meta": meta, "payload": part.message}), part, id, false)
    }

    fn withdrawal(part: &MispPart, known: &PartRecord) -> Self {
        let links = json!([{"type": "withdraws", "right": known.id.to_string()}]);
        let uuid = json!({"current": part.later_id.to_string()});
        let mut meta = json!({"uuid": uuid, "format": "intelmq", "links": links});
        if let Some(tlp) = part.tlp {
            meta["tlp"] = tlp.as_str().into();
        }
        let payload = json!({"event_description.text": "deleted in MISP"});
        Self::new(&json!({"meta": meta, "payload": payload}), part, known.id, true)
    }

    fn new(line: &Value, part: &MispPart, id: Uuid, withdrawn: bool) -> Self {
        let record = PartRecord { version: part.version, id, withdrawn };
        Self { line: line.to_string().into(), record }
    }
}

/// Returns the line that asks whether the event which an object shows is known here.
pub(super) fn question_about(part: &MispPart) -> Option<Bytes> {
    let id = part.shows.as_ref()?.to_string();
    Some(json!({"meta": {"format": "intelmq"}, "payload": {"extra.intelmesh.uuid": id}}).to_string().into())
}
