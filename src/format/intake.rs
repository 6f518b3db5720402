//! One line of a local pipeline becomes a draft of a signed core (contract §1, design §5.2 and §5.4b): its
//! form, its label, its id, and its payload without what we added at a hand-off before. Chance and time come
//! in as values; whether an id was seen before is asked by the caller.

use std::ops::Range;

use bytes::Bytes;
use uuid::Uuid;

use super::edit;
use super::meta::{Meta, MetaReader, string_of};
use super::refusal::{SubmitCode, SubmitError};
use crate::envelope::content::{BodyIdSecret, content_uuid};
use crate::envelope::{Body, Core, ENVELOPE_VERSION, EventType, IdScheme};
use crate::event::json::{self, Kind, Member, Scan};
use crate::event::{self, Format};
use crate::identity::{EventId, ProjectName, PublisherName};
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX, MAX_HOPS_DEFAULT};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// What a door adds to each line that comes through it.
#[derive(Clone, Debug)]
pub struct Door {
    pub publisher: PublisherName,
    pub project: ProjectName,
    /// The label where a line and the door give none.
    pub default_tlp: Tlp,
    /// The least label at this door.
    pub tlp: Option<Tlp>,
    /// Recipients that narrow those of a line; empty: no narrowing.
    pub to: Vec<PublisherName>,
    /// How ids are made where a line says nothing.
    pub ids: IdScheme,
}

/// What became of a line.
#[derive(Debug)]
pub enum Intake {
    New(Box<Draft>),
    Returned(Returned),
}

/// A line about an event that has an id already, which this node did not just give: a `duplicate` where that
/// is in the seen set, and else refused.
#[derive(Debug)]
pub struct Returned {
    pub id: EventId,
    unseen: SubmitError,
}

impl Returned {
    /// The answer where the id was not seen.
    pub fn unseen(self) -> SubmitError {
        self.unseen
    }
}

/// What chance, time and `keys/` give to a core.
#[derive(Debug)]
pub struct Made<'a> {
    pub now: Timestamp,
    /// A fresh UUIDv4; used where nothing else gives the id.
    pub random: Uuid,
    pub secret: &'a BodyIdSecret,
}

/// A line as read, without its id and time.
#[derive(Debug)]
pub struct Draft {
    meta: Meta,
    door: Door,
    format: Format,
    event_type: EventType,
    tlp: Tlp,
    to: Vec<PublisherName>,
    payload: String,
}

/// Reads one line (or frame, or queue element).
///
/// # Errors
/// [`SubmitError`] with one of the contract's codes; nothing was kept.
pub fn intake(line: &[u8], door: &Door) -> Result<Intake, SubmitError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(SubmitError::line_too_large());
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(SubmitError::new(SubmitCode::Empty, "nothing there"));
    }
    // Of form (b) the payload may have all the levels for itself.
    let scan = json::scan(line, JSON_DEPTH_MAX + 2)?;
    if scan.kind != Kind::Object {
        return Err(SubmitError::new(SubmitCode::NotObject, "not one JSON object"));
    }
    // It is UTF-8: the scan has seen to it.
    let text = std::str::from_utf8(line).unwrap_or_default();
    let reader = MetaReader::new(&door.publisher, &door.project);
    match scan.members.iter().find(|member| member.key == "payload") {
        None if scan.depth > JSON_DEPTH_MAX => {
            Err(json::JsonError::TooDeep { at: 0, max: JSON_DEPTH_MAX }.into())
        }
        None => read_event(Meta::default(), text, &scan, door),
        Some(payload) if payload.kind != Kind::Object => {
            Err(SubmitError::new(SubmitCode::NotObject, "the payload is no JSON object"))
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

fn read_event(meta: Meta, text: &str, scan: &Scan<'_>, door: &Door) -> Result<Intake, SubmitError> {
    let traces = Traces::find(text, scan)?;
    if let Some(uuid) = &traces.uuid {
        // What cannot be an id was never seen.
        let unseen = SubmitError::not_seen(&uuid.chars().take(120).collect::<String>());
        return match uuid.parse() {
            Ok(id) => Ok(Intake::Returned(Returned { id, unseen })),
            Err(_) => Err(unseen),
        };
    }
    if let Some(id) = meta.current.as_ref().filter(|id| id.publisher != door.publisher) {
        return Ok(Intake::Returned(Returned { id: id.clone(), unseen: SubmitError::not_ours(id) }));
    }
    let format = meta.format.clone().unwrap_or_else(Format::intelmq);
    check_single_values(scan, &format)?;
    let tlp = label(&meta, text, scan, door)?;
    let to = narrowed(&meta.to, &door.to)?;
    let event_type = meta.event_type.or_else(|| type_of(text, &scan.members)).unwrap_or(EventType::Event);
    let payload = payload_without(text, scan, traces)?;
    Ok(Intake::New(Box::new(Draft { meta, door: door.clone(), format, event_type, tlp, to, payload })))
}

/// What IntelMQ's `__type` says. Its other values (`Message`) are events.
fn type_of(text: &str, members: &[Member<'_>]) -> Option<EventType> {
    let member = members.iter().find(|member| member.key == "__type")?;
    let report = string_of(text, member).is_some_and(|name| name.eq_ignore_ascii_case("report"));
    Some(if report { EventType::Report } else { EventType::Event })
}

fn check_single_values(scan: &Scan<'_>, format: &Format) -> Result<(), SubmitError> {
    if *format != Format::intelmq() {
        return Ok(());
    }
    let below_extra = |key: &str| key == "extra" || key.starts_with("extra.");
    match scan.members.iter().find(|member| member.kind == Kind::Array && !below_extra(&member.key)) {
        Some(member) => Err(SubmitError::multi_value(&member.key, format)),
        None => Ok(()),
    }
}

/// The strictest label that meta, payload or door give (design §8).
fn label(meta: &Meta, text: &str, scan: &Scan<'_>, door: &Door) -> Result<Tlp, SubmitError> {
    let own = scan.members.iter().find(|member| member.key == "tlp");
    let own = own.filter(|member| &text[member.value_at.clone()] != "null");
    let own =
        own.map(|member| string_of(text, member).and_then(|label| Tlp::parse(&label)).unwrap_or(Tlp::Red));
    let given = [meta.tlp, own, door.tlp].into_iter().flatten().max();
    let tlp = given.unwrap_or(door.default_tlp);
    if tlp >= Tlp::AmberStrict { Err(SubmitError::goes_to_nobody(tlp)) } else { Ok(tlp) }
}

/// Recipients of the line and of the door: where both say some, those that both say.
fn narrowed(line: &[PublisherName], door: &[PublisherName]) -> Result<Vec<PublisherName>, SubmitError> {
    if line.is_empty() || door.is_empty() {
        return Ok([line, door].concat());
    }
    let both: Vec<_> = line.iter().filter(|name| door.contains(name)).cloned().collect();
    if both.is_empty() {
        return Err(SubmitError::bad_meta("`to` of the event and of the door have no name in common"));
    }
    Ok(both)
}

/// What a hand-off to IntelMQ left in the event: `extra.intelmesh.*`, in each way that IntelMQ writes `extra`.
#[derive(Default)]
struct Traces {
    uuid: Option<String>,
    cuts: Vec<Range<usize>>,
}

/// Is `key` the trace `name`, or below it?
fn below(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Traces {
    fn find(text: &str, scan: &Scan<'_>) -> Result<Self, SubmitError> {
        let mut traces = Self::default();
        let gone = |member: &Member<'_>| member.key == "__type" || below(&member.key, "extra.intelmesh");
        traces.cuts = edit::cuts(&scan.members, gone);
        for member in scan.members.iter().filter(|member| member.key.starts_with("extra")) {
            let value = &text[member.value_at.clone()];
            match &*member.key {
                "extra.intelmesh.uuid" => traces.found(string_of(text, member), value),
                "extra.intelmesh" if member.kind == Kind::Object => {
                    let inner = json::scan(value.as_bytes(), JSON_DEPTH_MAX)?;
                    traces.look_in(value, &inner, "");
                }
                "extra" if member.kind == Kind::Object => {
                    let inner = json::scan(value.as_bytes(), JSON_DEPTH_MAX)?;
                    traces.look_in_extra(value, &inner)?;
                    let cuts = edit::cuts(&inner.members, |member| below(&member.key, "intelmesh"));
                    let start = member.value_at.start;
                    traces.cuts.extend(cuts.into_iter().map(|cut| start + cut.start..start + cut.end));
                }
                "extra" => {
                    // IntelMQ also takes `extra` as a string that holds JSON.
                    let inside = string_of(text, member).unwrap_or_default();
                    if let Ok(inner) = json::scan(inside.as_bytes(), JSON_DEPTH_MAX) {
                        traces.look_in_extra(&inside, &inner)?;
                    }
                }
                _ => {}
            }
        }
        traces.cuts.sort_unstable_by_key(|cut| cut.start);
        Ok(traces)
    }

    fn look_in_extra(&mut self, extra: &str, scan: &Scan<'_>) -> Result<(), SubmitError> {
        self.look_in(extra, scan, "intelmesh.");
        let nested =
            scan.members.iter().find(|member| member.key == "intelmesh" && member.kind == Kind::Object);
        if let Some(member) = nested {
            let value = &extra[member.value_at.clone()];
            self.look_in(value, &json::scan(value.as_bytes(), JSON_DEPTH_MAX)?, "");
        }
        Ok(())
    }

    fn look_in(&mut self, text: &str, scan: &Scan<'_>, prefix: &str) {
        let uuid = scan.members.iter().find(|member| member.key.strip_prefix(prefix) == Some("uuid"));
        if let Some(member) = uuid {
            self.found(string_of(text, member), &text[member.value_at.clone()]);
        }
    }

    fn found(&mut self, string: Option<std::borrow::Cow<'_, str>>, value: &str) {
        if value != "null" {
            self.uuid.get_or_insert(string.map_or_else(|| value.to_owned(), std::borrow::Cow::into_owned));
        }
    }
}

fn payload_without(text: &str, scan: &Scan<'_>, traces: Traces) -> Result<String, SubmitError> {
    let start = scan.value_at.start;
    let cuts: Vec<_> = traces.cuts.iter().map(|cut| cut.start - start..cut.end - start).collect();
    let payload = edit::copy_without(&text.as_bytes()[scan.value_at.clone()], &cuts);
    if payload[1..payload.len() - 1].iter().all(u8::is_ascii_whitespace) {
        return Err(SubmitError::new(SubmitCode::Empty, "the event has no fields"));
    }
    // Cuts begin and end at quotes, commas and digits: it is UTF-8 still.
    String::from_utf8(payload).map_err(|_| SubmitError::new(SubmitCode::BadJson, "not UTF-8"))
}

impl Draft {
    /// Whom it is for; empty: all whom policy allows. The door checks that they are peers.
    pub fn to(&self) -> &[PublisherName] {
        &self.to
    }

    /// The core to be signed.
    ///
    /// # Errors
    /// `bad_id` where the id given is not the one that `ids` makes, `bad_number` where none can be made,
    /// `bad_meta` for an `expires` that has passed.
    pub fn into_core(self, made: &Made<'_>) -> Result<Core, SubmitError> {
        event::check_body(self.payload.as_bytes())?;
        if self.meta.expires.is_some_and(|expires| expires <= made.now) {
            return Err(SubmitError::bad_meta("meta.expires has passed already"));
        }
        let (ids, id) = self.id(made)?;
        Ok(Core {
            version: ENVELOPE_VERSION,
            id,
            ids,
            created: made.now,
            expires: self.meta.expires,
            event_type: self.event_type,
            format: self.format,
            tlp: self.tlp,
            to: self.to,
            max_hops: MAX_HOPS_DEFAULT,
            parent: self.meta.parent,
            links: self.meta.links,
            ext: self.meta.ext,
            body: Body::Plain(Bytes::from(self.payload)),
        })
    }

    fn id(&self, made: &Made<'_>) -> Result<(IdScheme, EventId), SubmitError> {
        let own = |uuid| EventId {
            publisher: self.door.publisher.clone(),
            project: self.door.project.clone(),
            uuid,
        };
        let scheme = self.meta.ids.unwrap_or(self.door.ids);
        let uuid = match scheme {
            IdScheme::Random => made.random,
            IdScheme::Body => made.secret.uuid_of(self.payload.as_bytes()),
            IdScheme::Content => content_uuid(&self.payload).map_err(|fault| {
                SubmitError::new(SubmitCode::BadNumber, format!("a content id over {fault}"))
            })?,
        };
        match &self.meta.current {
            None => Ok((scheme, own(uuid))),
            Some(given) if given.uuid == uuid => Ok((scheme, given.clone())),
            // An id that is given needs no scheme, unless the line itself asks for one.
            Some(given) if self.meta.ids.is_none() || scheme == IdScheme::Random => {
                Ok((IdScheme::Random, given.clone()))
            }
            Some(given) => {
                Err(SubmitError::bad_id(format!("{given} is not the id of this payload, which is {uuid}"))
                    .hint("leave `uuid.current` out, or `ids`"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
