//! Converts one line of a local file from one format to another, without a node: it publishes nothing, so a label that
//! may go to nobody is no error here. Files and reports to people are the command line's.

use serde_json::{Value, json};
use uuid::Uuid;

use super::codec::read_object;
use super::text_of;
use super::{
    ConversionReport, DecodedEvent, EncodeOptions, EventView, ForeignFormat, ForeignLink, JsonObject,
    decode_text, encode_event, foreign_format,
};
use crate::envelope::content::content_uuid;
use crate::event::EventFormat;
use crate::event::json::{self, JsonError, JsonRead};
use crate::format::door::DoorDefaults;
use crate::format::event_label::EventLabel;
use crate::format::label::LabelPayload;
use crate::format::meta::{EventMeta, MetaReader, Names};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::{EventId, HopPath, ProjectName, PublisherName};
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};
use crate::link::{Link, LinkTarget, Relation};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// Stands for the publisher of a bare UUID; it is not written.
const NOBODY: &str = "unknown";

/// A conversion of lines.
#[derive(Debug)]
pub struct LineConversion {
    from: EventFormat,
    to: EventFormat,
    /// Lines with meta and payload; else the payload alone.
    with_meta: bool,
    options: EncodeOptions,
    /// The date of events that have none.
    now: Timestamp,
    nobody: DoorDefaults,
}

/// The lines that one line became.
#[derive(Debug, Default)]
pub struct ConvertedLine {
    pub lines: Vec<String>,
    pub report: ConversionReport,
    /// A consumer of the node would not send some of them, for this reason.
    pub withheld: Option<String>,
}

/// A flat event and what its line says about it.
struct EventParts {
    meta: EventMeta,
    payload: JsonObject,
    created: Timestamp,
    path: HopPath,
    /// None if nothing gives one.
    tlp: Option<Tlp>,
}

impl LineConversion {
    /// Returns the conversion; `None` if one of the formats cannot be converted.
    pub fn new(from: &EventFormat, to: &EventFormat, with_meta: bool, now: Timestamp) -> Option<Self> {
        let known = |format: &EventFormat| {
            *format == EventFormat::intelmq() || foreign_format(format.as_str()).is_some()
        };
        let publisher = PublisherName::parse(NOBODY).ok()?;
        let nobody = DoorDefaults::of(publisher, ProjectName::parse("intelmq").ok()?, Tlp::Clear);
        let options = EncodeOptions { node: None, raw: true };
        (known(from) && known(to)).then(|| Self {
            from: from.clone(),
            to: to.clone(),
            with_meta,
            options,
            now,
            nobody,
        })
    }

    /// Converts one line.
    ///
    /// # Errors
    /// [`SubmitError`] as a door would answer it; nothing of the line was converted.
    pub fn line(&self, line: &[u8]) -> Result<ConvertedLine, SubmitError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(SubmitError::line_too_large());
        }
        let line = std::str::from_utf8(line).map_err(|fault| JsonError::NotUtf8(fault.valid_up_to()))?;
        let mut out = ConvertedLine::default();
        let events = self.read(line, &mut out.report)?;
        for event in events {
            match foreign_format(self.to.as_str()) {
                None if self.with_meta => {
                    let payload = event.payload.clone();
                    out.lines.push(self.written(&event, payload));
                }
                None => out.lines.push(self.written(&event, event.plain())),
                Some(format) => self.encode(format, &event, &mut out)?,
            }
        }
        Ok(out)
    }

    fn names(&self) -> Names<'_> {
        Names { publisher: &self.nobody.publisher, project: &self.nobody.project }
    }

    /// Returns the flat events of a line.
    fn read(&self, line: &str, report: &mut ConversionReport) -> Result<Vec<EventParts>, SubmitError> {
        let readable = foreign_format(self.from.as_str()).map(|format| format.readable(line));
        let line = readable.as_deref().unwrap_or(line);
        let scan = json::scan(line.as_bytes(), JSON_DEPTH_MAX + 2)?;
        let payload = scan.members.iter().find(|member| member.key == "payload");
        let (mut meta, text) = match payload {
            None => (EventMeta::default(), line),
            Some(payload) => {
                let meta = MetaReader::new(self.names()).read(line, &scan.members)?;
                (meta, &line[payload.value_at.clone()])
            }
        };
        if let Some(format) = meta.format.as_ref().filter(|format| **format != self.from) {
            return Err(SubmitError::bad_meta(format!(
                "meta.format: \"{format}\": expected \"{}\"",
                self.from
            ))
            .hint("give --from the format of the payloads"));
        }
        let inside = json::scan(text.as_bytes(), JSON_DEPTH_MAX)?;
        let labels = |text, members| LabelPayload { text, members, explodes: false, message: None };
        let label = |labels| EventLabel::given(&meta, &labels, &self.nobody).map(|label| label.tlp);
        let (created, path) = self.dates(line, payload.is_some());
        let parts = |meta, payload, tlp| EventParts { meta, payload, created, path: path.clone(), tlp };
        let Some(format) = foreign_format(self.from.as_str()) else {
            let label = label(labels(text, &inside.members));
            return Ok(vec![parts(meta, read_object(text)?, label)]);
        };
        let decoded = decode_text(format, text)?;
        report.extend(decoded.report);
        let of_message = decoded.label.map(|label| label.tlp).max(label(labels("{}", &[])));
        meta.links.extend(self.signed(&decoded.links));
        let single = decoded.events.len() == 1;
        let siblings: Vec<Uuid> = decoded.events.iter().filter_map(|event| event.uuid).collect();
        let events = decoded.events.into_iter().map(|event| {
            let tlp = event.label.as_ref().map(|label| label.tlp).max(of_message);
            let meta = self.meta_of(&meta, &event, (decoded.uuid, single), &siblings);
            parts(meta, event.payload, tlp)
        });
        Ok(events.collect())
    }

    /// Returns the date and way of a line that has meta; both are only shown.
    fn dates(&self, line: &str, has_meta: bool) -> (Timestamp, HopPath) {
        let none = (self.now, HopPath::default());
        let Some(JsonRead { value: line, .. }) = has_meta.then(|| json::value_of(line)).flatten() else {
            return none;
        };
        let text = |key: &str| line.get("meta").and_then(|meta| meta.get(key)).and_then(Value::as_str);
        let created = text("created").and_then(Timestamp::parse_rfc3339).unwrap_or(self.now);
        let hops = text("path").unwrap_or_default().split('!').filter_map(|hop| hop.parse().ok()).collect();
        (created, HopPath::new(hops).unwrap_or_default())
    }

    fn signed(&self, links: &[ForeignLink]) -> impl Iterator<Item = Link> {
        links.iter().filter_map(|link| link.signed_by(&self.nobody.publisher, &self.nobody.project))
    }

    /// Returns the meta of one event of a message.
    fn meta_of(
        &self,
        line: &EventMeta,
        event: &DecodedEvent,
        (message, single): (Option<Uuid>, bool),
        siblings: &[Uuid],
    ) -> EventMeta {
        let id = |uuid| EventId {
            publisher: self.nobody.publisher.clone(),
            project: self.nobody.project.clone(),
            uuid,
        };
        let mut meta = line.clone();
        meta.links.extend(self.signed(&event.links));
        if single {
            meta.current = meta.current.or(event.uuid.or(message).map(id));
            return meta;
        }
        // The message is a name for all of its events.
        meta.parent = meta.current.take().or(meta.parent).or(message.map(id));
        meta.current = event.uuid.map(id);
        let others = siblings.iter().filter(|other| Some(**other) != event.uuid);
        meta.links.extend(others.filter_map(|other| {
            Some(Link {
                left: None,
                relation: Relation::parse("same-report")?,
                right: LinkTarget::Event(id(*other)),
            })
        }));
        meta
    }

    fn encode(
        &self,
        format: &dyn ForeignFormat,
        event: &EventParts,
        out: &mut ConvertedLine,
    ) -> Result<(), SubmitError> {
        let known = event.meta.current.as_ref();
        let uuid = match known {
            Some(id) => id.uuid,
            None => content_uuid(&text_of(&event.payload))
                .map_err(|fault| SubmitError::new(SubmitCode::BadNumber, format!("an id over {fault}")))?,
        };
        let view = EventView {
            payload: &event.payload,
            id: known.filter(|id| id.publisher != self.nobody.publisher),
            uuid,
            created: event.created,
            tlp: event.tlp,
            parent: event.meta.parent.as_ref(),
            links: &event.meta.links,
            path: &event.path,
        };
        match encode_event(format, &view, &self.options) {
            Err(fault) => out.withheld = Some(fault.to_string()),
            Ok(encoded) => {
                out.report.extend(encoded.report);
                out.withheld = out.withheld.take().or(encoded.withheld.map(str::to_owned));
                out.lines.push(self.written(event, encoded.message));
            }
        }
        Ok(())
    }

    fn written(&self, event: &EventParts, payload: JsonObject) -> String {
        if !self.with_meta {
            return text_of(&payload);
        }
        let mut meta = JsonObject::new();
        meta.insert("version".to_owned(), 1.into());
        let ids = [("current", &event.meta.current), ("parent", &event.meta.parent)];
        let ids: JsonObject = ids
            .into_iter()
            .filter_map(|(key, id)| Some((key.to_owned(), self.id_text(id.as_ref()?).into())))
            .collect();
        if !ids.is_empty() {
            meta.insert("uuid".to_owned(), ids.into());
        }
        meta.insert("type".to_owned(), "event".into());
        meta.insert("format".to_owned(), self.to.as_str().into());
        if let Some(tlp) = event.tlp {
            meta.insert("tlp".to_owned(), tlp.as_str().into());
        }
        let links: Vec<Value> = event.meta.links.iter().map(|link| self.link_text(link)).collect();
        if !links.is_empty() {
            meta.insert("links".to_owned(), links.into());
        }
        json!({"meta": meta, "payload": payload}).to_string()
    }

    fn id_text(&self, id: &EventId) -> String {
        if id.publisher == self.nobody.publisher { id.uuid.to_string() } else { id.to_string() }
    }

    fn link_text(&self, link: &Link) -> Value {
        let right = match &link.right {
            LinkTarget::Event(id) => self.id_text(id),
            LinkTarget::Opaque(name) => name.clone(),
        };
        match &link.left {
            None => json!({"type": link.relation.as_str(), "right": right}),
            Some(left) => {
                json!({"type": link.relation.as_str(), "right": right, "left": self.id_text(left)})
            }
        }
    }
}

impl EventParts {
    /// Returns the payload with its label.
    fn plain(&self) -> JsonObject {
        let mut payload = self.payload.clone();
        put_label(&mut payload, self.tlp);
        payload
    }
}

/// Puts the label into the payload, unless that has a stricter one. IntelMQ has the four labels of TLP 1.0: it gets the
/// next stricter one.
pub(crate) fn put_label(payload: &mut JsonObject, tlp: Option<Tlp>) {
    let Some(tlp) = tlp else { return };
    let tlp = match payload.get("tlp") {
        None | Some(Value::Null) => tlp,
        Some(own) => match own.as_str().and_then(Tlp::parse) {
            Some(own) if own >= tlp => return,
            Some(_) => tlp,
            // Its author meant to restrict something.
            None => Tlp::Red,
        },
    };
    let word = match tlp {
        Tlp::Clear => "WHITE",
        Tlp::Green => "GREEN",
        Tlp::Amber => "AMBER",
        Tlp::AmberStrict | Tlp::Red => "RED",
    };
    payload.insert("tlp".to_owned(), word.into());
}
