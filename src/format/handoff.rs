//! Writes one stored event as a line for a local pipeline (CONTRACT.md §2). The payload and `ext` are copied byte for
//! byte. It is decided before which events and fields a consumer may see.

mod ail;

use std::io::Write as _;

use bytes::Bytes;

use crate::envelope::{Body, Core, Envelope, EventType, OpenedBody};
use crate::event::check_body;
use crate::format::foreign::{BodyFormat, BodyRule, ConvertedBody, NotConverted, convert_body};
use crate::identity::{EventId, HopPath};
use crate::link::{Link, LinkTarget};
use ail::AilPlaces;

/// The shape of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryForm {
    /// `{"seq":…,"meta":{…},"payload":{…}}`, IEP04's draft: form (b).
    #[default]
    Iep04,
    /// The payload alone: form (a).
    Plain,
    /// AIL exchange format, which IEP04 was decided on: form (c).
    Ail,
}

impl DeliveryForm {
    pub const ALL: [Self; 3] = [Self::Iep04, Self::Plain, Self::Ail];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iep04 => "iep04",
            Self::Plain => "plain",
            Self::Ail => "ail",
        }
    }
}

/// How a consumer wants its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandOff {
    pub form: DeliveryForm,
    /// Bodies of another format are converted to this one.
    pub format: Option<BodyFormat>,
    /// Adds IntelMQ's `__type` at the top level.
    pub with_type: bool,
}

/// A stored event and this node's knowledge about it, ready to be handed off.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    pub seq: u64,
    pub path: &'a HopPath,
    pub envelope: &'a Envelope,
    /// The content that was sealed, if the body is sealed and this node may read it.
    pub opened: Option<&'a OpenedBody>,
    /// A later event of the same publisher takes it back (decisions/0013) …
    pub withdrawn_by: Option<&'a EventId>,
    /// … or stands in its place.
    pub replaced_by: Option<&'a EventId>,
    /// The body to hand off instead of the signed one.
    pub converted: Option<&'a ConvertedBody>,
}

impl<'a> Carried<'a> {
    pub fn new(seq: u64, path: &'a HopPath, envelope: &'a Envelope) -> Self {
        Self { seq, path, envelope, opened: None, withdrawn_by: None, replaced_by: None, converted: None }
    }

    pub fn core(&self) -> &'a Core {
        self.envelope.core()
    }

    /// Returns the event itself; `None` if its body is sealed and was not opened.
    pub fn payload(&self) -> Option<&'a Bytes> {
        if let Some(converted) = self.converted {
            return Some(&converted.payload);
        }
        match (&self.core().body, self.opened) {
            (Body::Plain(payload), _) => Some(payload),
            (Body::Sealed(_), Some(opened)) => Some(&opened.payload),
            (Body::Sealed(_), None) => None,
        }
    }

    /// Returns the format of [`Self::payload`].
    pub fn format(&self) -> &'a str {
        self.converted.map_or_else(|| self.core().format.as_str(), |converted| converted.format.as_str())
    }

    /// Returns the parent. If the body is sealed, parent, links and ext are inside it (decisions/0012).
    pub fn parent(&self) -> Option<&'a EventId> {
        self.sealed_inside().map_or(self.core().parent.as_ref(), |opened| opened.parent.as_ref())
    }

    pub fn links(&self) -> &'a [Link] {
        self.sealed_inside().map_or(&self.core().links, |opened| &opened.links)
    }

    pub fn ext(&self) -> Option<&'a Bytes> {
        self.sealed_inside().map_or(self.core().ext.as_ref(), |opened| opened.ext.as_ref())
    }

    fn sealed_inside(&self) -> Option<&'a OpenedBody> {
        self.opened.filter(|_| self.core().body.is_sealed())
    }
}

impl HandOff {
    /// Appends the lines of a stored event, each with its line break, and returns their number: 0 if its body is sealed
    /// and cannot be opened here, and more than 1 if a message became several events.
    ///
    /// # Errors
    /// [`NotConverted`] if the body has no form in the format that was asked for; nothing was appended.
    pub fn write_lines(self, carried: &Carried<'_>, out: &mut Vec<u8>) -> Result<usize, NotConverted> {
        let bodies = match self.format {
            Some(wanted) => {
                let labelled = self.form == DeliveryForm::Plain;
                convert_body(carried, BodyRule { wanted, labelled, node: None })?
            }
            None => None,
        };
        let Some(bodies) = bodies else {
            let written = self.write_line(carried, out);
            if written {
                out.push(b'\n');
            }
            return Ok(usize::from(written));
        };
        for body in &bodies {
            self.write_line(&Carried { converted: Some(&body.with_part()), ..*carried }, out);
            out.push(b'\n');
        }
        Ok(bodies.len())
    }

    /// Appends the line of a stored event, without a line break. Returns false if its body is sealed and cannot be
    /// opened here: then there is nothing to hand off.
    pub fn write_line(self, carried: &Carried<'_>, out: &mut Vec<u8>) -> bool {
        let core = carried.core();
        let Some(payload) = carried.payload() else {
            return false;
        };
        out.reserve(payload.len() + 512);
        match self.form {
            DeliveryForm::Plain => {
                out.extend_from_slice(payload);
                if self.with_type && !has_type(payload) {
                    out.pop();
                    let first = payload[1..payload.len() - 1].iter().all(u8::is_ascii_whitespace);
                    put(
                        out,
                        format_args!("{}{}}}", if first { "" } else { "," }, type_member(core.event_type)),
                    );
                }
                return true;
            }
            DeliveryForm::Iep04 => {
                put(
                    out,
                    format_args!(
                        "{{\"seq\":{},\"meta\":{{\"version\":1,\"uuid\":{{\"current\":\"{}\"",
                        carried.seq, core.id
                    ),
                );
                if let Some(parent) = carried.parent() {
                    put(out, format_args!(",\"parent\":\"{parent}\""));
                }
                put(
                    out,
                    format_args!(
                        "}},\"type\":\"{}\",\"format\":\"{}\"",
                        core.event_type.as_str(),
                        carried.format()
                    ),
                );
                put_carried(out, carried);
                put_known(out, carried);
                if let Some(ext) = carried.ext() {
                    out.extend_from_slice(b",\"ext\":");
                    out.extend_from_slice(ext);
                }
            }
            DeliveryForm::Ail => put_ail(out, carried),
        }
        out.extend_from_slice(b"},\"payload\":");
        out.extend_from_slice(payload);
        if self.with_type {
            put(out, format_args!(",{}", type_member(core.event_type)));
        }
        out.push(b'}');
        true
    }
}

/// Returns true if the payload has a type: a publisher elsewhere may have left one in.
fn has_type(payload: &[u8]) -> bool {
    check_body(payload).is_ok_and(|scan| scan.members.iter().any(|member| member.key == "__type"))
}

pub(super) const fn type_member(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Event => "\"__type\":\"Event\"",
        EventType::Report => "\"__type\":\"Report\"",
    }
}

/// Writes the format of the signed body, if the line has another, and which one of its events this is.
fn put_carried(out: &mut Vec<u8>, carried: &Carried<'_>) {
    if let Some(converted) = carried.converted {
        put(out, format_args!(",\"carried\":\"{}\"", carried.core().format));
        if let Some(part) = &converted.part {
            put(out, format_args!(",\"part\":\"{part}\""));
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// Writes form (c) up to its meta, with members that came in this form at their places.
fn put_ail(out: &mut Vec<u8>, carried: &Carried<'_>) {
    let core = carried.core();
    let places = AilPlaces::of(carried.ext().map(|ext| &**ext), core.event_type);
    put(out, format_args!("{{\"format\":\"{}\",\"version\":{}", carried.format(), places.version));
    match places.kind {
        Some(kind) => put(out, format_args!(",\"type\":{kind}")),
        None => put(out, format_args!(",\"type\":\"{}\"", core.event_type.as_str())),
    }
    put(out, format_args!(",\"meta\":{{\"uuid\":\"{}\"", core.id));
    put_carried(out, carried);
    if let Some(parent) = carried.parent() {
        put(out, format_args!(",\"parent\":\"{parent}\""));
    }
    put_known(out, carried);
    places.in_meta().for_each(|member| put(out, format_args!(",{member}")));
    for (index, member) in places.below_ext().enumerate() {
        put(out, format_args!("{}{member}", if index == 0 { ",\"ext\":{" } else { "," }));
    }
    if places.below_ext().next().is_some() {
        out.push(b'}');
    }
}

/// Writes the members of meta that both forms have; names need no escapes.
fn put_known(out: &mut Vec<u8>, carried: &Carried<'_>) {
    let (core, path) = (carried.core(), carried.path);
    put(out, format_args!(",\"publisher\":\"{}\"", core.id.publisher));
    if let Some(source) = path.last() {
        put(out, format_args!(",\"source\":\"{source}\""));
    }
    put(out, format_args!(",\"created\":\"{}\"", core.created));
    if let Some(expires) = core.expires {
        put(out, format_args!(",\"expires\":\"{expires}\""));
    }
    put(out, format_args!(",\"tlp\":\"{}\"", core.tlp));
    if !path.is_empty() {
        put(out, format_args!(",\"path\":\"{path}\""));
    }
    for (index, name) in core.to.iter().enumerate() {
        put(out, format_args!("{}\"{name}\"", if index == 0 { ",\"to\":[" } else { "," }));
    }
    if !core.to.is_empty() {
        out.push(b']');
    }
    if core.body.is_sealed() {
        out.extend_from_slice(b",\"sealed\":true");
    }
    for (key, id) in [("withdrawn_by", carried.withdrawn_by), ("replaced_by", carried.replaced_by)] {
        if let Some(id) = id {
            put(out, format_args!(",\"{key}\":\"{id}\""));
        }
    }
    for (index, link) in carried.links().iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"links\":[" } else { b"," });
        put_link(out, link);
    }
    if !carried.links().is_empty() {
        out.push(b']');
    }
}

fn put_link(out: &mut Vec<u8>, link: &Link) {
    put(out, format_args!("{{\"type\":\"{}\",\"right\":", link.relation.as_str()));
    match &link.right {
        LinkTarget::Event(id) => put(out, format_args!("\"{id}\"")),
        LinkTarget::Opaque(text) => put(out, format_args!("{}", serde_json::Value::from(text.as_str()))),
    }
    if let Some(left) = &link.left {
        put(out, format_args!(",\"left\":\"{left}\""));
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests;
