//! Reads one line of a local pipeline into a draft of a signed core, or several (CONTRACT.md §1, decisions/0007):
//! its form, its label, and its payload without members that stay at home. Chance and time are not asked here; the
//! caller asks whether an id was seen.

use uuid::Uuid;

use super::door::{DoorDefaults, MultipleValues};
use super::draft::CoreDraft;
use super::event_label::EventLabel;
use super::explode;
use super::foreign::{DecodedMessage, ForeignMessage, foreign_format};
use super::label::LabelPayload;
use super::meta::{EventMeta, MetaReader, Names, check_plain, string_of};
use super::pasted;
use super::payload::CheckedPayload;
use super::posted_by::posted_by;
use super::refusal::{SubmitCode, SubmitError};
use super::republish::ChildEvent;
use super::siblings::ExplodedEvent;
use super::strip::RemovedParts;
use crate::envelope::EventType;
use crate::event::EventFormat;
use crate::event::json::{self, JsonError, JsonKind, JsonMember, JsonScan};
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
    /// Returns true if the line or the door asks for a seal.
    pub fn asks_for_seal(&self) -> bool {
        match self {
            Self::New(draft) => draft.seal,
            Self::Exploded(exploded) => exploded.asks_for_seal(),
            Self::Child(_) | Self::Returned(_) => false,
        }
    }

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
    let readable = readable_at(line, door);
    let line = readable.as_deref().unwrap_or(line);
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
    let reader = MetaReader::new(Names { publisher: &door.publisher, project: &door.project });
    match scan.members.iter().find(|member| member.key == "payload") {
        None => {
            check_depth(&scan)?;
            check_plain(&scan.members)?;
            read_event(EventMeta::default(), &scan, door)
        }
        Some(payload) if payload.kind != JsonKind::Object => {
            Err(SubmitError::new(SubmitCode::NotObject, "the payload is not a JSON object"))
        }
        Some(payload) => {
            let mut meta = reader.read(scan.text, &scan.members)?;
            if meta.event_type.is_none() {
                meta.event_type = type_of(&scan);
            }
            let payload = scan.inside(payload);
            check_depth(&payload)?;
            read_event(meta, &payload, door)
        }
    }
}

/// Returns the text of a line for a strict reader, if the door's format has texts that such a reader refuses.
fn readable_at(line: &[u8], door: &DoorDefaults) -> Option<Vec<u8>> {
    let format = foreign_format(door.messages.format.as_ref()?.as_str())?;
    Some(format.readable(std::str::from_utf8(line).ok()?).into_owned().into_bytes())
}

fn check_depth(scan: &JsonScan<'_>) -> Result<(), JsonError> {
    match scan.depth > JSON_DEPTH_MAX {
        true => Err(JsonError::TooDeep { at: 0, max: JSON_DEPTH_MAX }),
        false => Ok(()),
    }
}

/// Returns `meta` with what the door knows better: the format, and the client that posts.
fn at_door(meta: EventMeta, door: &DoorDefaults) -> Result<EventMeta, SubmitError> {
    let format = meta.format.clone().or_else(|| door.messages.format.clone());
    let ext = match &door.client {
        Some(client) => Some(posted_by(meta.ext.as_ref(), client)?),
        None => meta.ext.clone(),
    };
    Ok(EventMeta { format, ext, ..meta })
}

fn read_event(
    meta: EventMeta,
    scan: &JsonScan<'_>,
    door: &DoorDefaults,
) -> Result<ParsedSubmission, SubmitError> {
    let mut meta = at_door(meta, door)?;
    let foreign = meta.format.as_ref().and_then(|format| foreign_format(format.as_str()));
    let message = foreign.map(|format| ForeignMessage::read(format, scan.text)).transpose()?;
    let mut broken = None;
    if let Some(message) = &message {
        if door.messages.convert {
            return converted(meta, message.decode()?, door);
        }
        broken = read_carried(message, &mut meta, door);
    }
    let removed = RemovedParts::find(scan, &door.removal.strip)?;
    let of = handed_before(removed.uuid.as_deref())?;
    if let Some(id) = of.as_ref().filter(|_| !door.republish) {
        return Ok(returned(id, SubmitError::not_seen(&id.to_string()), &meta));
    }
    if let Some(id) = meta.current.as_ref().filter(|id| id.publisher != door.publisher) {
        return Ok(returned(id, SubmitError::not_ours(id), &meta));
    }
    let format = meta.format.clone().unwrap_or_else(EventFormat::intelmq);
    let list = scan.members.iter().find(|member| explode::is_list(member) && removed.keeps(member));
    let event_type = meta.event_type.or_else(|| type_of(scan)).unwrap_or(EventType::Event);
    let draft = CoreDraft {
        publisher: door.publisher.clone(),
        project: door.project.clone(),
        ids: meta.ids.unwrap_or(door.ids),
        to: meta.to.clone(),
        door_to: door.to.clone(),
        seal: meta.seal || door.seal,
        // The strictest, until it is read.
        label: Tlp::Red.into(),
        payload: CheckedPayload::of(scan, &removed, door)?,
        meta,
        format,
        event_type,
    };
    let payload = |explodes| LabelPayload {
        text: scan.text,
        members: &scan.members,
        explodes,
        message: message.as_ref(),
    };
    if let Some(list) = list.filter(|_| draft.format == EventFormat::intelmq()) {
        let MultipleValues::Explode { most } = door.multiple_values else {
            return Err(SubmitError::multi_value(&list.key, &draft.format));
        };
        if of.is_some() {
            return Err(SubmitError::multi_value_again(&list.key));
        }
        // A member that stays at home has its label all the same.
        let unlabelled = DoorDefaults { default_tlp: Tlp::Clear, ..door.clone() };
        let whole = EventLabel::of(&draft.meta, &payload(true), &unlabelled);
        return exploded(draft, &whole, usize::from(most), door);
    }
    let label = EventLabel::of(&draft.meta, &payload(false), door);
    let draft = CoreDraft { label: allowed(label, &draft.meta, door)?, ..draft };
    if let Some(fault) = broken {
        return Err(fault);
    }
    Ok(match of {
        Some(of) => ParsedSubmission::Child(Box::new(ChildEvent::new(of, draft))),
        None => ParsedSubmission::New(Box::new(draft)),
    })
}

fn returned(id: &EventId, unseen: SubmitError, meta: &EventMeta) -> ParsedSubmission {
    ParsedSubmission::Returned(Returned { id: id.clone(), unseen, unknown: meta.unknown.clone() })
}

/// Returns the id under which an event was handed off before.
fn handed_before(uuid: Option<&str>) -> Result<Option<EventId>, SubmitError> {
    let Some(uuid) = uuid else { return Ok(None) };
    // If it cannot be an id, it was never seen.
    let unseen = |_| SubmitError::not_seen(&uuid.chars().take(120).collect::<String>());
    uuid.parse().map(Some).map_err(unseen)
}

/// Decodes a message that is carried, and returns the rule of its format that it breaks. A door that knows the format
/// takes the id and the links of each message, and refuses fragments too.
fn read_carried(message: &ForeignMessage, meta: &mut EventMeta, door: &DoorDefaults) -> Option<SubmitError> {
    let is_known = door.messages.format.is_some();
    if !is_known && !message.is_complete() {
        return None;
    }
    match message.decode() {
        Ok(decoded) if is_known => {
            let own = |uuid: Uuid| EventId {
                publisher: door.publisher.clone(),
                project: door.project.clone(),
                uuid,
            };
            meta.current = meta.current.take().or_else(|| decoded.uuid.map(own));
            let first = decoded.events.first().map(|event| event.links.as_slice()).unwrap_or_default();
            let links = decoded.links.iter().chain(first);
            meta.links.extend(links.filter_map(|link| link.signed_by(&door.publisher, &door.project)));
            None
        }
        // Numbers that cannot be converted are carried all the same, and so are messages with many addresses.
        Err(fault) if fault.code == message.format().code() => Some(fault),
        _ => None,
    }
}

/// Returns the events of a message that the door converts. Each is read as one that came in IntelMQ's format.
fn converted(
    meta: EventMeta,
    decoded: DecodedMessage,
    door: &DoorDefaults,
) -> Result<ParsedSubmission, SubmitError> {
    let own = |uuid: Uuid| EventId { publisher: door.publisher.clone(), project: door.project.clone(), uuid };
    let single = decoded.events.len() == 1;
    if let Some(id) = meta.current.as_ref().filter(|id| id.publisher != door.publisher) {
        return Ok(returned(id, SubmitError::not_ours(id), &meta));
    }
    let message = meta.current.clone().or_else(|| decoded.uuid.map(own));
    let mut drafts = Vec::with_capacity(decoded.events.len());
    for event in decoded.events {
        let mut meta = EventMeta { format: Some(EventFormat::intelmq()), ..meta.clone() };
        meta.current = if single { message.clone() } else { event.uuid.map(own) };
        let links = decoded.links.iter().chain(&event.links);
        meta.links.extend(links.filter_map(|link| link.signed_by(&door.publisher, &door.project)));
        let label = EventLabel::strictest(event.label.into_iter().chain(decoded.label.clone()));
        let text = serde_json::Value::Object(event.payload).to_string();
        let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
        let of_message =
            DoorDefaults { tlp: label.as_ref().map(|label| label.tlp).max(door.tlp), ..door.clone() };
        // The label says itself which text could not be read.
        let draft = match read_event(meta, &scan, &of_message) {
            Ok(ParsedSubmission::New(draft)) => draft,
            Err(fault) if fault.code == SubmitCode::BadTlp => {
                return Err(label.map_or(fault, |label| label.goes_to_nobody()));
            }
            Err(fault) => return Err(fault),
            // The answer to one event would stand for all of them.
            Ok(_) => {
                return Err(SubmitError::bad_id(
                    "an event of the message says that it was handed off before",
                ));
            }
        };
        drafts.push(*draft);
    }
    if single && let Some(draft) = drafts.pop() {
        return Ok(ParsedSubmission::New(Box::new(draft)));
    }
    let Some(first) = drafts.first() else {
        return Err(SubmitError::new(SubmitCode::Empty, "the message has no event"));
    };
    let strictest = drafts.iter().map(|draft| &draft.label).max_by_key(|label| label.tlp);
    let label = strictest.unwrap_or(&first.label).clone();
    let meta = EventMeta { current: message, ..meta };
    let whole = CoreDraft { meta, label, ..first.clone() };
    Ok(ParsedSubmission::Exploded(Box::new(ExplodedEvent::of_message(whole, drafts)?)))
}

/// Takes the lists of `whole` apart.
fn exploded(
    mut whole: CoreDraft,
    label: &EventLabel,
    most: usize,
    door: &DoorDefaults,
) -> Result<ParsedSubmission, SubmitError> {
    let members = json::members(whole.payload.as_str());
    let lists: Vec<&JsonMember<'_>> = members.iter().filter(|member| explode::is_list(member)).collect();
    let texts = explode::product(whole.payload.as_str(), &lists, most)?;
    let mut drafts = Vec::with_capacity(texts.len());
    for text in texts {
        let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
        // A rule about a value has now one to look at.
        let payload = CheckedPayload::of(&scan, &RemovedParts::find(&scan, &door.removal.strip)?, door)?;
        let own = LabelPayload { text: &text, members: &scan.members, explodes: false, message: None };
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
fn type_of(scan: &JsonScan<'_>) -> Option<EventType> {
    let member = scan.members.iter().find(|member| member.key == "__type")?;
    let report = string_of(scan.text, member).is_some_and(|name| name.eq_ignore_ascii_case("report"));
    Some(if report { EventType::Report } else { EventType::Event })
}

/// Refuses a label that goes to nobody, unless the event may be sealed: that is known once it is addressed.
fn allowed(label: EventLabel, meta: &EventMeta, door: &DoorDefaults) -> Result<EventLabel, SubmitError> {
    let sealable = meta.seal || door.seal || !meta.to.is_empty() || !door.to.is_empty();
    if label.tlp >= Tlp::AmberStrict && !sealable { Err(label.goes_to_nobody()) } else { Ok(label) }
}

#[cfg(test)]
mod tests;
