//! The bodies of a stored event in the format that a consumer asked for: a carried message decoded, or an event
//! encoded. The journal keeps the body as it was signed.

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use super::codec::read_object;
use super::convert::put_label;
use super::text_of;
use super::{
    EncodeOptions, EventView, ForeignFormat, ForeignMessage, JsonObject, decode_text, encode_event,
    foreign_format,
};
use crate::envelope::Core;
use crate::event::EventFormat;
use crate::event::json::{self, JsonKind};
use crate::format::edit;
use crate::format::event_label::EventLabel;
use crate::format::handoff::Carried;
use crate::format::refusal::SubmitError;
use crate::limits::JSON_DEPTH_MAX;
use crate::policy::Tlp;

/// A format that a consumer may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    Intelmq,
    Idea,
    N6,
}

impl BodyFormat {
    pub const ALL: [Self; 3] = [Self::Intelmq, Self::Idea, Self::N6];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intelmq => "intelmq",
            Self::Idea => "idea",
            Self::N6 => "n6",
        }
    }
}

/// A body in another format than the signed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertedBody {
    pub format: BodyFormat,
    pub payload: Bytes,
    /// Which one of how many, if the message became several events.
    pub part: Option<String>,
}

impl ConvertedBody {
    /// Returns it with its part as a member of an event of IntelMQ. Messages of other systems have no place for it, and
    /// each has an id of its own.
    #[must_use]
    pub fn with_part(&self) -> Self {
        let is_event = self.format == BodyFormat::Intelmq && self.payload.len() > 2;
        let Some(part) = self.part.as_ref().filter(|_| is_event) else { return self.clone() };
        let mut payload = self.payload[..self.payload.len() - 1].to_vec();
        payload.extend_from_slice(format!(",\"extra.intelmesh.part\":\"{part}\"}}").as_bytes());
        Self { payload: payload.into(), ..self.clone() }
    }
}

/// Why a body has no form in the format that was asked for. The event stays in the journal, and others get it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{why}")]
pub struct NotConverted {
    pub code: &'static str,
    pub why: String,
}

/// How bodies are converted for a consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyRule<'a> {
    pub wanted: BodyFormat,
    /// Events of IntelMQ have the label in `tlp`.
    pub labelled: bool,
    /// The name of this node in the other system, which is written into messages of IDEA.
    pub node: Option<&'a str>,
}

/// Returns the bodies by `rule`; `None` if the signed body goes as it is, or cannot be read here.
///
/// # Errors
/// [`NotConverted`] if the body cannot be decoded, or the format has no message for the event.
pub(crate) fn convert_body(
    carried: &Carried<'_>,
    rule: BodyRule<'_>,
) -> Result<Option<Vec<ConvertedBody>>, NotConverted> {
    let BodyRule { wanted, labelled, node } = rule;
    let own = &carried.core().format;
    let Some(payload) = carried.payload() else { return Ok(None) };
    let text = std::str::from_utf8(payload).unwrap_or_default();
    if own.as_str() == wanted.as_str() {
        let Some(format) = foreign_format(own.as_str()) else { return Ok(None) };
        let labelled = with_label(format, text, carried.core().tlp)?;
        let passed = node
            .filter(|_| wanted == BodyFormat::Idea)
            .and_then(|node| with_node(labelled.as_deref().unwrap_or(text), node));
        let body = |text: String| ConvertedBody { format: wanted, payload: text.into(), part: None };
        return Ok(passed.or(labelled).map(|text| vec![body(text)]));
    }
    let events = flat_events(carried.core(), text)?;
    let count = events.len();
    let bodies = events.into_iter().enumerate().map(|(at, (mut event, tlp))| {
        let part = (count > 1).then(|| format!("{}/{count}", at + 1));
        let payload = match foreign_format(wanted.as_str()) {
            None => {
                // A line with meta has the envelope's label there.
                if labelled || tlp > carried.core().tlp {
                    put_label(&mut event, Some(tlp));
                }
                text_of(&event)
            }
            Some(format) => encoded(format, carried, (&event, tlp), (part.as_deref(), node))?,
        };
        Ok(ConvertedBody { format: wanted, payload: payload.into(), part })
    });
    bodies.collect::<Result<_, _>>().map(Some)
}

/// Returns a message with the strictest label of envelope and body in the place of its format, and all else token for
/// token; `None` if that place has it.
fn with_label(
    format: &'static dyn ForeignFormat,
    text: &str,
    tlp: Tlp,
) -> Result<Option<String>, NotConverted> {
    let refused = |fault: SubmitError| NotConverted { code: fault.code.as_str(), why: fault.message };
    let message = ForeignMessage::read(format, text).map_err(refused)?;
    let mut found = Vec::new();
    message.labels(&mut found);
    let all = found.iter().map(|label| label.tlp).fold(tlp, Tlp::max);
    let own = message.own_label();
    if own.as_ref().map_or(Tlp::Clear, |label| label.tlp) >= all && own.is_none_or(|label| label.is_read()) {
        return Ok(None);
    }
    let Some((key, value)) = format.label_member(all) else { return Ok(None) };
    let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX).map_err(|fault| refused(fault.into()))?;
    let cuts = edit::cuts(&scan.members, |member| member.key.eq_ignore_ascii_case(key));
    let rest = edit::copy_without(text.as_bytes(), &cuts);
    // Cuts begin and end between characters.
    let rest = String::from_utf8_lossy(&rest);
    let inside = rest.trim_start().strip_prefix('{').unwrap_or_default();
    let comma = if inside.trim() == "}" { "" } else { "," };
    Ok(Some(format!("{{\"{key}\":\"{value}\"{comma}{inside}")))
}

/// Returns a message of IDEA with this node before all others, and all else token for token; `None` if its list of nodes
/// is not one.
fn with_node(text: &str, node: &str) -> Option<String> {
    let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX).ok()?;
    let own = format!("{{\"Name\":\"{node}\",\"Type\":[\"Relay\"],\"SW\":[\"intelmesh\"]}}");
    let (before, after, added) = match scan.members.iter().find(|member| member.key == "Node") {
        Some(member) if member.kind == JsonKind::Array => {
            let at = member.value_at.start + 1;
            let is_empty = text[at..member.value_at.end - 1].trim().is_empty();
            (&text[..at], &text[at..], if is_empty { own } else { format!("{own},") })
        }
        Some(_) => return None,
        None => {
            let at = scan.value_at.start + 1;
            let comma = if scan.members.is_empty() { "" } else { "," };
            (&text[..at], &text[at..], format!("\"Node\":[{own}]{comma}"))
        }
    };
    Some(format!("{before}{added}{after}"))
}

/// Returns the body as flat events, each with the strictest label of envelope and body.
fn flat_events(core: &Core, text: &str) -> Result<Vec<(JsonObject, Tlp)>, NotConverted> {
    let strictest = |labels: [Option<&EventLabel>; 2]| {
        labels.into_iter().flatten().map(|label| label.tlp).fold(core.tlp, Tlp::max)
    };
    let own = &core.format;
    let read = match foreign_format(own.as_str()) {
        Some(format) => decode_text(format, text).map(|decoded| {
            let of_all = decoded.label.as_ref();
            let events = decoded.events.into_iter();
            events.map(|event| (event.payload, strictest([event.label.as_ref(), of_all]))).collect()
        }),
        None if *own == EventFormat::intelmq() => read_object(text)
            .map(|event| vec![(event, strictest([EventLabel::of_payload(text).as_ref(), None]))]),
        None => {
            let why = format!("format \"{own}\" cannot be decoded");
            return Err(NotConverted { code: "format", why });
        }
    };
    read.map_err(|fault| NotConverted { code: fault.code.as_str(), why: fault.message })
}

fn encoded(
    format: &dyn ForeignFormat,
    carried: &Carried<'_>,
    (event, tlp): (&JsonObject, Tlp),
    (part, node): (Option<&str>, Option<&str>),
) -> Result<String, NotConverted> {
    let core = carried.core();
    // Messages of several parts must not share one name in the other system.
    let uuid = part.map_or(core.id.uuid, |part| Uuid::new_v5(&core.id.uuid, part.as_bytes()));
    let view = EventView {
        payload: event,
        id: Some(&core.id),
        uuid,
        created: core.created,
        tlp: Some(tlp),
        parent: carried.parent(),
        links: carried.links(),
        path: carried.path,
    };
    let not_sent = |why: String| NotConverted { code: "not_sent", why };
    let options = EncodeOptions { node: node.map(str::to_owned), raw: false };
    let encoded = encode_event(format, &view, &options).map_err(|fault| not_sent(fault.to_string()))?;
    match encoded.withheld {
        Some(why) => Err(not_sent(why.to_owned())),
        None => Ok(text_of(&encoded.message)),
    }
}
