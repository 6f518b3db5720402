//! The parts of a MISP event that the door has taken, and the lines that are due for a part: none if nothing changed, a
//! new event, one that replaces an earlier one, or one that withdraws it. Nothing is sent here.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::EventListing;
use crate::format::foreign::MispPart;
use crate::policy::Tlp;

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
    /// `None`: that of the door.
    tlp: Option<String>,
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
    pub(crate) fn is_as_listed(&self, listing: &EventListing) -> bool {
        (self.timestamp, self.published) == (listing.timestamp, listing.published)
    }

    /// Notes that all parts were taken.
    pub(crate) fn is_taken_as(&mut self, listing: &EventListing) {
        (self.timestamp, self.published) = (listing.timestamp, listing.published);
    }
}

impl PartRecord {
    /// Returns the record of an event that another door took: it is not there to be replaced or withdrawn here.
    pub(crate) fn never_sent(self) -> Self {
        Self { withdrawn: true, ..self }
    }

    /// Returns true if the part is stricter now, or may be: the label of the door is not known here.
    fn is_milder_than(&self, part: &MispPart) -> bool {
        match (self.tlp.as_deref().and_then(Tlp::parse), part.tlp) {
            (Some(then), Some(now)) => then < now,
            (then, now) => then != now,
        }
    }
}

impl DueLine {
    /// Returns the lines for a part of the MISP event `whole`; none if there is nothing to say.
    pub(crate) fn of(part: &MispPart, whole: Uuid, known: Option<&PartRecord>) -> Vec<Self> {
        match known {
            None if part.deleted => Vec::new(),
            None => vec![Self::version(part, whole, part.uuid, None)],
            Some(known) if known.version == part.version => Vec::new(),
            Some(known) if known.withdrawn && part.deleted => Vec::new(),
            Some(known) if part.deleted => vec![Self::withdrawal(part, known)],
            // An event that was withdrawn is not there any more to be replaced.
            Some(known) if known.withdrawn => vec![Self::version(part, whole, part.later_id, None)],
            Some(known) if !known.is_milder_than(part) => {
                vec![Self::version(part, whole, part.later_id, Some(known.id))]
            }
            // A stricter event would not reach all who have the one that it replaces.
            Some(known) => {
                vec![Self::withdrawal(part, known), Self::version(part, whole, part.later_id, None)]
            }
        }
    }

    /// Returns the line for a part whose id another event has already.
    pub(crate) fn after_conflict(part: &MispPart, whole: Uuid) -> Self {
        Self::version(part, whole, part.later_id, None)
    }

    fn version(part: &MispPart, whole: Uuid, id: Uuid, before: Option<Uuid>) -> Self {
        let mut uuid = json!({"current": id.to_string()});
        if whole != id {
            uuid["parent"] = whole.to_string().into();
        }
        let mut meta = json!({"uuid": uuid, "format": "misp"});
        // The part alone may not show all labels of the whole.
        if let Some(tlp) = part.tlp {
            meta["tlp"] = tlp.as_str().into();
        }
        if let Some(before) = before {
            meta["links"] = json!([{"type": "replaces", "right": before.to_string()}]);
        }
        Self::new(&json!({"meta": meta, "payload": part.message}), part, id, false)
    }

    fn withdrawal(part: &MispPart, known: &PartRecord) -> Self {
        let links = json!([{"type": "withdraws", "right": known.id.to_string()}]);
        let uuid = json!({"current": Uuid::new_v5(&known.id, b"withdrawn").to_string()});
        let mut meta = json!({"uuid": uuid, "format": "intelmq", "links": links});
        if let Some(tlp) = &known.tlp {
            meta["tlp"] = tlp.as_str().into();
        }
        let why = if part.deleted { "deleted in MISP" } else { "it has another label in MISP now" };
        let payload = json!({"event_description.text": why});
        Self::new(&json!({"meta": meta, "payload": payload}), part, known.id, true)
    }

    fn new(line: &Value, part: &MispPart, id: Uuid, withdrawn: bool) -> Self {
        let tlp = part.tlp.map(|tlp| tlp.as_str().to_owned());
        let record = PartRecord { version: part.version, id, tlp, withdrawn };
        Self { line: line.to_string().into(), record }
    }
}

/// Returns the line that asks whether the event which an object shows is known here.
pub(super) fn question_about(part: &MispPart) -> Option<Bytes> {
    let id = part.shows.as_ref()?.to_string();
    Some(json!({"meta": {"format": "intelmq"}, "payload": {"extra.intelmesh.uuid": id}}).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::foreign::take_misp_apart;

    fn part(value: &str, deleted: bool) -> MispPart {
        let text = json!({"Event": {"uuid": "b0c63d16-c237-5786-a151-b7cc906314ec", "Attribute": [{
            "uuid": "e8aca276-d8d7-5649-88be-3bce383fa416", "type": "ip-src", "category": "Network activity",
            "value": value, "timestamp": "1767225605", "deleted": deleted,
        }]}});
        take_misp_apart(text.as_object().unwrap()).unwrap().parts.remove(0)
    }

    /// An author in MISP can give an object the UUID of any event of this node.
    #[test]
    fn event_of_another_door_is_never_taken_back() {
        let first = part("192.0.2.1", false);
        let whole = Uuid::nil();
        let sent = DueLine::of(&first, whole, None).remove(0).record;
        let lines = |known: &PartRecord, part: &MispPart| {
            let lines = DueLine::of(part, whole, Some(known));
            lines.iter().map(|due| String::from_utf8(due.line.to_vec()).unwrap()).collect::<String>()
        };
        assert!(lines(&sent, &part("192.0.2.2", false)).contains("replaces"));
        let seen = sent.never_sent();
        for later in [part("192.0.2.2", false), part("192.0.2.1", true)] {
            let lines = lines(&seen, &later);
            assert!(!lines.contains("replaces") && !lines.contains("withdraws"), "{lines}");
        }
        let conflict = DueLine::after_conflict(&part("192.0.2.2", false), whole);
        assert!(!String::from_utf8(conflict.line.to_vec()).unwrap().contains("replaces"));
    }
}
