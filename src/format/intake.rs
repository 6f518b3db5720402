//! Reads one line of a local pipeline into a draft of a signed core, or several (CONTRACT.md §1, decisions/0007):
//! its form, its label, and its payload without members that stay at home. Chance and time are not asked here; the
//! caller asks whether an id was seen.

use std::ops::Range;

use super::door::{DoorDefaults, MultipleValues};
use super::draft::CoreDraft;
use super::edit;
use super::explode;
use super::label::{EventLabel, LabelPayload};
use super::meta::{EventMeta, MetaReader, Names, check_plain, string_of};
use super::pasted;
use super::posted_by::posted_by;
use super::refusal::{SubmitCode, SubmitError};
use super::republish::ChildEvent;
use super::secrets::{MASK, secret_places};
use super::siblings::ExplodedEvent;
use super::strip::Leaving;
use crate::envelope::EventType;
use crate::event::EventFormat;
use crate::event::json::{self, JsonKind, JsonMember, JsonScan};
use crate::identity::EventId;
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};
use crate::policy::Tlp;

/// The outcome of a line, which is answered once in any case.
#[derive(Debug)]
pub enum ParsedSubmission {
    New(Box<CoreDraft>),
    /// Several events, which are accepted one by one; the line is answered with the id of their parent.
    Exploded(Box<ExplodedEvent>),
    /// An event that was handed off before, at a door that publishes such again: a draft once its lineage
    /// is known.
    Child(Box<ChildEvent>),
    Returned(Returned),
}

/// A line about an event that has an id already, which this node did not just give: a `duplicate` if that is in the
/// seen set, and else refused.
#[derive(Debug)]
pub struct Returned {
    pub id: EventId,
    unseen: SubmitError,
    unknown: Vec<String>,
}

impl ParsedSubmission {
    /// Keys of meta that mean nothing here and were kept: the answer names them.
    pub fn unknown_keys(&self) -> &[String] {
        match self {
            Self::New(draft) => &draft.meta.unknown,
            Self::Exploded(exploded) => exploded.unknown_keys(),
            Self::Child(child) => child.unknown_keys(),
            Self::Returned(returned) => &returned.unknown,
        }
    }
}

impl Returned {
    /// Returns the answer if the id was not seen.
    pub fn unseen(&self) -> SubmitError {
        self.unseen.clone()
    }
}

/// Reads one line (or frame, or queue element).
///
/// # Errors
/// [`SubmitError`] with one of the contract's codes; nothing was kept.
pub fn intake(line: &[u8], door: &DoorDefaults) -> Result<ParsedSubmission, SubmitError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(SubmitError::line_too_large());
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(SubmitError::new(SubmitCode::Empty, "nothing there"));
    }
    // Of form (b) the payload may have all the levels for itself.
    let scan = json::scan(line, JSON_DEPTH_MAX + 2).map_err(|fault| pasted::explain(line, fault.into()))?;
    if scan.kind != JsonKind::Object {
        return Err(pasted::explain(line, SubmitError::new(SubmitCode::NotObject, "not a JSON object")));
    }
    // It is UTF-8: the scan has seen to it.
    let text = std::str::from_utf8(line).unwrap_or_default();
    let reader = MetaReader::new(Names { publisher: &door.publisher, project: &door.project });
    match scan.members.iter().find(|member| member.key == "payload") {
        None if scan.depth > JSON_DEPTH_MAX => {
            Err(json::JsonError::TooDeep { at: 0, max: JSON_DEPTH_MAX }.into())
        }
        None => {
            check_plain(&scan.members)?;
            read_event(EventMeta::default(), text, &scan, door)
        }
        Some(payload) if payload.kind != JsonKind::Object => {
            Err(SubmitError::new(SubmitCode::NotObject, "the payload is not a JSON object"))
        }
        Some(payload) => {
            let mut meta = reader.read(text, &scan.members)?;
            if meta.event_type.is_none() {
                meta.event_type = type_of(text, &scan.members);
            }
            let text = &text[payload.value_at.clone()];
            read_event(meta, text, &json::scan(text.as_bytes(), JSON_DEPTH_MAX)?, door)
        }
    }
}

fn read_event(
    mut meta: EventMeta,
    text: &str,
    scan: &JsonScan<'_>,
    door: &DoorDefaults,
) -> Result<ParsedSubmission, SubmitError> {
    if let Some(client) = &door.client {
        meta.ext = Some(posted_by(meta.ext.as_ref(), client)?);
    }
    let leaving = Leaving::find(text, scan, &door.strip)?;
    let of: Option<EventId> = match &leaving.uuid {
        Some(uuid) => Some(uuid.parse().map_err(|_| {
            // If it cannot be an id, it was never seen.
            SubmitError::not_seen(&uuid.chars().take(120).collect::<String>())
        })?),
        None => None,
    };
    if let Some(id) = of.as_ref().filter(|_| !door.republish) {
        return Ok(ParsedSubmission::Returned(Returned {
            id: id.clone(),
            unseen: SubmitError::not_seen(&id.to_string()),
            unknown: meta.unknown,
        }));
    }
    if let Some(id) = meta.current.as_ref().filter(|id| id.publisher != door.publisher) {
        let unseen = SubmitError::not_ours(id);
        return Ok(ParsedSubmission::Returned(Returned { id: id.clone(), unseen, unknown: meta.unknown }));
    }
    let format = meta.format.clone().unwrap_or_else(EventFormat::intelmq);
    let list = scan.members.iter().find(|member| explode::is_list(member) && leaving.keeps(member));
    let event_type = meta.event_type.or_else(|| type_of(text, &scan.members)).unwrap_or(EventType::Event);
    let draft = CoreDraft {
        publisher: door.publisher.clone(),
        project: door.project.clone(),
        ids: meta.ids.unwrap_or(door.ids),
        to: meta.to.clone(),
        door_to: door.to.clone(),
        seal: meta.seal || door.seal,
        // The strictest, until it is read.
        label: Tlp::Red.into(),
        payload: published(text, scan, &leaving, door)?,
        meta,
        format,
        event_type,
    };
    if let Some(list) = list.filter(|_| draft.format == EventFormat::intelmq()) {
        let MultipleValues::Explode { most } = door.multiple_values else {
            return Err(SubmitError::multi_value(&list.key, &draft.format));
        };
        if of.is_some() {
            return Err(SubmitError::multi_value_again(&list.key));
        }
        let whole = LabelPayload { format: &draft.format, text, members: &scan.members, explodes: true };
        // A member that stays at home has its label all the same.
        let whole =
            EventLabel::of(&draft.meta, &whole, &DoorDefaults { default_tlp: Tlp::Clear, ..door.clone() });
        return exploded(draft, &whole, usize::from(most), door);
    }
    let payload = LabelPayload { format: &draft.format, text, members: &scan.members, explodes: false };
    let label = EventLabel::of(&draft.meta, &payload, door);
    let draft = CoreDraft { label: allowed(label, &draft.meta, door)?, ..draft };
    Ok(match of {
        Some(of) => ParsedSubmission::Child(Box::new(ChildEvent::new(of, draft))),
        None => ParsedSubmission::New(Box::new(draft)),
    })
}

/// Takes the lists of `whole` apart.
fn exploded(
    mut whole: CoreDraft,
    label: &EventLabel,
    most: usize,
    door: &DoorDefaults,
) -> Result<ParsedSubmission, SubmitError> {
    let scan = json::scan(whole.payload.as_bytes(), JSON_DEPTH_MAX)?;
    let lists: Vec<&JsonMember<'_>> = scan.members.iter().filter(|member| explode::is_list(member)).collect();
    let texts = explode::product(&whole.payload, &lists, most)?;
    let mut drafts = Vec::with_capacity(texts.len());
    for text in texts {
        let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
        // A rule about a value has now one to look at.
        let payload = published(&text, &scan, &Leaving::find(&text, &scan, &door.strip)?, door)?;
        let own =
            LabelPayload { format: &whole.format, text: &text, members: &scan.members, explodes: false };
        let label = EventLabel::of(&whole.meta, &own, door).stricter(label.clone());
        drafts.push(CoreDraft { label: allowed(label, &whole.meta, door)?, payload, ..whole.clone() });
    }
    Ok(match drafts.len() {
        1 => ParsedSubmission::New(Box::new(drafts.remove(0))),
        _ => {
            let strictest = drafts.iter().map(|draft| &draft.label).max_by_key(|label| label.tlp);
            whole.label = strictest.unwrap_or(&whole.label).clone();
            ParsedSubmission::Exploded(Box::new(ExplodedEvent::new(whole, drafts)?))
        }
    })
}

/// Returns the type that IntelMQ's `__type` gives. Its other values (`Message`) are events.
fn type_of(text: &str, members: &[JsonMember<'_>]) -> Option<EventType> {
    let member = members.iter().find(|member| member.key == "__type")?;
    let report = string_of(text, member).is_some_and(|name| name.eq_ignore_ascii_case("report"));
    Some(if report { EventType::Report } else { EventType::Event })
}

/// Refuses a label that goes to nobody, unless the event may be sealed: that is known once it is addressed.
fn allowed(label: EventLabel, meta: &EventMeta, door: &DoorDefaults) -> Result<EventLabel, SubmitError> {
    let sealable = meta.seal || door.seal || !meta.to.is_empty() || !door.to.is_empty();
    if label.tlp >= Tlp::AmberStrict && !sealable { Err(label.goes_to_nobody()) } else { Ok(label) }
}

/// Returns the payload without the members that leave it, and with its secrets masked if the door says so.
fn published(
    text: &str,
    scan: &JsonScan<'_>,
    leaving: &Leaving,
    door: &DoorDefaults,
) -> Result<String, SubmitError> {
    let (start, text) = (scan.value_at.start, &text[scan.value_at.clone()]);
    let cuts = leaving.cuts.iter().map(|cut| cut.start - start..cut.end - start);
    let mut edits: Vec<_> = cuts.map(|cut| (cut, "")).collect();
    if door.mask_secrets {
        let stays = |secret: &Range<usize>| {
            let before = edits.partition_point(|(cut, _)| cut.end <= secret.start);
            edits.get(before).is_none_or(|(cut, _)| secret.end <= cut.start)
        };
        let secrets: Vec<_> = secret_places(text).into_iter().filter(stays).collect();
        edits.extend(secrets.into_iter().map(|secret| (secret, MASK)));
        edits.sort_unstable_by_key(|(place, _)| place.start);
    }
    let payload = edit::copy_edited(text.as_bytes(), &edits);
    if payload[1..payload.len() - 1].iter().all(u8::is_ascii_whitespace) {
        return Err(SubmitError::new(SubmitCode::Empty, "the event has no fields"));
    }
    // Places begin and end between characters: it is UTF-8 still.
    String::from_utf8(payload).map_err(|_| SubmitError::new(SubmitCode::BadJson, "not UTF-8"))
}

#[cfg(test)]
mod tests;
