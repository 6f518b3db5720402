//! The signed core as a map with integer keys (PROTOCOL.md §2.3): its numbers, bounds and the relations between fields.
//! The same checks apply when a core is read and when it is signed. The content of a body is not checked.

use bytes::Bytes;
use uuid::Uuid;

use super::seal::form::{SealedBody, TAG_ENCRYPT};
use super::{Body, CodecError, Core, ENVELOPE_VERSION, EXTENSION_KEYS, EventType, Extensions, IdScheme};
use crate::cbor::{self, CborReader, MajorType};
use crate::event::EventFormat;
use crate::identity::{EventId, ProjectName, PublisherName};
use crate::limits::{
    EXT_BYTES_MAX, LINE_BYTES_MAX, LINK_OPAQUE_BYTES_MAX, LINKS_MAX, PATH_HOPS_MAX, RECIPIENTS_MAX,
    TIME_MS_MAX,
};
use crate::link::{Link, LinkTarget, Relation};
use crate::time::Timestamp;
use crate::tlp::Tlp;

/// The keys of the map.
pub(super) mod key {
    pub(crate) const VERSION: i64 = 1;
    pub(crate) const UUID: i64 = 2;
    pub(crate) const PUBLISHER: i64 = 3;
    pub(crate) const PROJECT: i64 = 4;
    pub(crate) const IDS: i64 = 5;
    pub(crate) const CREATED: i64 = 6;
    pub(crate) const EXPIRES: i64 = 7;
    pub(crate) const TYPE: i64 = 8;
    pub(crate) const FORMAT: i64 = 9;
    pub(crate) const TLP: i64 = 10;
    pub(crate) const TO: i64 = 11;
    pub(crate) const MAX_HOPS: i64 = 12;
    pub(crate) const PARENT: i64 = 13;
    pub(crate) const LINKS: i64 = 14;
    pub(crate) const EXT: i64 = 15;
    pub(crate) const BODY: i64 = 16;
}

pub(super) fn wrong(field: &'static str, why: &'static str) -> CodecError {
    CodecError::Field { field, why }
}

/// Returns whether there is a parent or a link. The keys stand in ascending order.
#[cfg(any(feature = "node", feature = "sim"))]
pub(super) fn names_others(payload: &[u8]) -> Result<bool, CodecError> {
    let mut reader = CborReader::new(payload);
    for _ in 0..reader.map().map_err(|_| CodecError::NotACore)? {
        match reader.integer()? {
            key::PARENT | key::LINKS => return Ok(true),
            later if later > key::LINKS => break,
            _ => reader.skip_item()?,
        };
    }
    Ok(false)
}

/// The fields of a core that have been read so far (mirrors PROTOCOL.md §2.3).
#[derive(Default)]
struct CoreFields {
    uuid: Option<Uuid>,
    publisher: Option<PublisherName>,
    project: Option<ProjectName>,
    ids: Option<IdScheme>,
    created: Option<Timestamp>,
    expires: Option<Timestamp>,
    event_type: Option<EventType>,
    format: Option<EventFormat>,
    tlp: Option<Tlp>,
    to: Vec<PublisherName>,
    max_hops: Option<u8>,
    parent: Option<EventId>,
    links: Vec<Link>,
    ext: Option<Bytes>,
    body: Option<Body>,
    extensions: Extensions,
}

/// Reads a core; `ext`, body and extensions stay slices of `payload`.
pub(super) fn decode(payload: &Bytes) -> Result<Core, CodecError> {
    let mut reader = CborReader::of_one_item(payload)?;
    let pairs = reader.map().map_err(|_| CodecError::NotACore)?;
    if pairs == 0 || reader.integer() != Ok(key::VERSION) {
        return Err(CodecError::NotACore);
    }
    let version = reader.unsigned().map_err(|_| wrong("version", "not a number"))?;
    if version > u64::from(ENVELOPE_VERSION) {
        return Err(CodecError::UnknownVersion(version));
    }
    if version == 0 {
        return Err(wrong("version", "0 was never one"));
    }
    let mut fields = CoreFields::default();
    for read in 1..pairs {
        let before = reader.clone();
        let key = reader.integer().map_err(|_| CodecError::UnknownKey(-1))?;
        if EXTENSION_KEYS.contains(&key) {
            // Keys ascend, so none of this version follows.
            fields.extensions = Extensions::read(before, payload, pairs - read)?;
            break;
        }
        fields.read(key, &mut reader, payload)?;
    }
    let core = fields.into_core()?;
    check(&core)?;
    Ok(core)
}

impl CoreFields {
    fn read(&mut self, key: i64, reader: &mut CborReader<'_>, payload: &Bytes) -> Result<(), CodecError> {
        match key {
            key::UUID => self.uuid = Some(uuid(reader, "uuid")?),
            key::PUBLISHER => self.publisher = Some(publisher(reader, "publisher")?),
            key::PROJECT => self.project = Some(project(reader, "project")?),
            key::IDS => self.ids = Some(ids(number(reader, "ids")?)?),
            key::CREATED => self.created = Some(Timestamp(number(reader, "created")?)),
            key::EXPIRES => self.expires = Some(Timestamp(number(reader, "expires")?)),
            key::TYPE => self.event_type = Some(event_type(number(reader, "type")?)?),
            key::FORMAT => self.format = Some(format(reader)?),
            key::TLP => self.tlp = Some(tlp(number(reader, "tlp")?)?),
            key::TO => self.to = to(reader)?,
            key::MAX_HOPS => {
                let hops = number(reader, "max_hops")?;
                self.max_hops = Some(u8::try_from(hops).map_err(|_| wrong("max_hops", "not 1 to 32"))?);
            }
            key::PARENT => self.parent = Some(event_id(reader, "parent")?),
            key::LINKS => self.links = links(reader)?,
            key::EXT => {
                let ext = reader.bytes().map_err(|_| wrong("ext", "not bytes"))?;
                self.ext = Some(payload.slice_ref(ext));
            }
            key::BODY => self.body = Some(body(reader, payload)?),
            _ => return Err(CodecError::UnknownKey(key)),
        }
        Ok(())
    }

    fn into_core(self) -> Result<Core, CodecError> {
        let missing = CodecError::Missing;
        Ok(Core {
            version: ENVELOPE_VERSION,
            id: EventId {
                uuid: self.uuid.ok_or(missing("uuid"))?,
                publisher: self.publisher.ok_or(missing("publisher"))?,
                project: self.project.ok_or(missing("project"))?,
            },
            ids: self.ids.ok_or(missing("ids"))?,
            created: self.created.ok_or(missing("created"))?,
            expires: self.expires,
            event_type: self.event_type.ok_or(missing("type"))?,
            format: self.format.ok_or(missing("format"))?,
            tlp: self.tlp.ok_or(missing("tlp"))?,
            to: self.to,
            max_hops: self.max_hops.ok_or(missing("max_hops"))?,
            parent: self.parent,
            links: self.links,
            ext: self.ext,
            body: self.body.ok_or(missing("body"))?,
            extensions: self.extensions,
        })
    }
}

fn number(reader: &mut CborReader<'_>, field: &'static str) -> Result<u64, CodecError> {
    reader.unsigned().map_err(|_| wrong(field, "not a number"))
}

fn text<'a>(reader: &mut CborReader<'a>, field: &'static str) -> Result<&'a str, CodecError> {
    reader.text().map_err(|_| wrong(field, "not text"))
}

fn uuid(reader: &mut CborReader<'_>, field: &'static str) -> Result<Uuid, CodecError> {
    let bytes = reader.bytes().map_err(|_| wrong(field, "not bytes"))?;
    Uuid::from_slice(bytes).map_err(|_| wrong(field, "not 16 bytes"))
}

/// A name as it must stand in signed bytes: the one spelling, without the `_` that doors forgive.
fn publisher(reader: &mut CborReader<'_>, field: &'static str) -> Result<PublisherName, CodecError> {
    let text = text(reader, field)?;
    PublisherName::parse(text).ok().filter(|name| name.as_str() == text).ok_or(wrong(field, "not a name"))
}

fn project(reader: &mut CborReader<'_>, field: &'static str) -> Result<ProjectName, CodecError> {
    let text = text(reader, field)?;
    ProjectName::parse(text).ok().filter(|name| name.as_str() == text).ok_or(wrong(field, "not a name"))
}

fn format(reader: &mut CborReader<'_>) -> Result<EventFormat, CodecError> {
    let text = text(reader, "format")?;
    EventFormat::parse(text).filter(|name| name.as_str() == text).ok_or(wrong("format", "not a name"))
}

fn ids(number: u64) -> Result<IdScheme, CodecError> {
    match number {
        0 => Ok(IdScheme::Random),
        1 => Ok(IdScheme::Content),
        2 => Ok(IdScheme::Body),
        _ => Err(wrong("ids", "not 0, 1 or 2")),
    }
}

fn event_type(number: u64) -> Result<EventType, CodecError> {
    match number {
        0 => Ok(EventType::Event),
        1 => Ok(EventType::Report),
        _ => Err(wrong("type", "not 0 or 1")),
    }
}

fn tlp(number: u64) -> Result<Tlp, CodecError> {
    u8::try_from(number).ok().and_then(Tlp::from_number).ok_or(wrong("tlp", "not 0 to 4"))
}

fn to(reader: &mut CborReader<'_>) -> Result<Vec<PublisherName>, CodecError> {
    let len = length(reader, "to", RECIPIENTS_MAX)?;
    (0..len).map(|_| publisher(reader, "to")).collect()
}

pub(super) fn links(reader: &mut CborReader<'_>) -> Result<Vec<Link>, CodecError> {
    let len = length(reader, "links", LINKS_MAX)?;
    (0..len).map(|_| link(reader)).collect()
}

/// The length of a list that has at least one element: an empty one is left out.
fn length(reader: &mut CborReader<'_>, field: &'static str, max: usize) -> Result<usize, CodecError> {
    let len = reader.array().map_err(|_| wrong(field, "not a list"))?;
    match usize::try_from(len) {
        Ok(len) if (1..=max).contains(&len) => Ok(len),
        Ok(0) => Err(wrong(field, "present and empty")),
        _ => Err(wrong(field, "too many")),
    }
}

pub(super) fn event_id(reader: &mut CborReader<'_>, field: &'static str) -> Result<EventId, CodecError> {
    if reader.array() != Ok(3) {
        return Err(wrong(field, "not [publisher, project, uuid]"));
    }
    Ok(EventId {
        publisher: publisher(reader, field)?,
        project: project(reader, field)?,
        uuid: uuid(reader, field)?,
    })
}

/// `[type, right]` or `[type, right, left]`.
fn link(reader: &mut CborReader<'_>) -> Result<Link, CodecError> {
    let len = reader.array().map_err(|_| wrong("links", "a link is no list"))?;
    if !(2..=3).contains(&len) {
        return Err(wrong("links", "a link is not [type, right, ? left]"));
    }
    let name = text(reader, "links")?;
    let relation = Relation::parse(name).filter(|relation| relation.as_str() == name);
    let relation = relation.ok_or(wrong("links", "not a type of link"))?;
    let right = match reader.peek() {
        Ok(MajorType::Text) => LinkTarget::Opaque(text(reader, "links")?.to_owned()),
        _ => LinkTarget::Event(event_id(reader, "links")?),
    };
    let left = if len == 3 { Some(event_id(reader, "links")?) } else { None };
    Ok(Link { left, relation, right })
}

/// A byte string, or a COSE_Encrypt, which is carried unopened but must have its form.
fn body(reader: &mut CborReader<'_>, payload: &Bytes) -> Result<Body, CodecError> {
    if reader.peek() == Ok(MajorType::Bytes) {
        return Ok(Body::Plain(payload.slice_ref(reader.bytes()?)));
    }
    if reader.clone().tag() != Ok(TAG_ENCRYPT) {
        return Err(wrong("body", "neither bytes nor a COSE_Encrypt"));
    }
    Ok(Body::Sealed(payload.slice_ref(reader.skip_item()?)))
}

/// Bounds and relations of a core, on both ways.
pub(super) fn check(core: &Core) -> Result<(), CodecError> {
    if core.version != ENVELOPE_VERSION {
        return Err(CodecError::UnknownVersion(core.version.into()));
    }
    if core.created.0 > TIME_MS_MAX {
        return Err(wrong("created", "beyond the year 9999"));
    }
    if core.expires.is_some_and(|expires| expires.0 > TIME_MS_MAX || expires <= core.created) {
        return Err(wrong("expires", "not after created, or beyond the year 9999"));
    }
    if core.max_hops == 0 || usize::from(core.max_hops) > PATH_HOPS_MAX {
        return Err(wrong("max_hops", "not 1 to 32"));
    }
    check_to(&core.to)?;
    check_links(&core.links)?;
    core.extensions.check()?;
    if core.ext.as_ref().is_some_and(|ext| ext.len() > EXT_BYTES_MAX) {
        return Err(wrong("ext", "too large"));
    }
    match &core.body {
        Body::Plain(bytes) if bytes.len() > LINE_BYTES_MAX => Err(wrong("body", "too large")),
        Body::Plain(_) => Ok(()),
        Body::Sealed(item) => check_sealed(core, item),
    }
}

fn check_to(to: &[PublisherName]) -> Result<(), CodecError> {
    if to.len() > RECIPIENTS_MAX {
        return Err(wrong("to", "too many"));
    }
    let mut sorted: Vec<_> = to.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(wrong("to", "a name twice")),
        false => Ok(()),
    }
}

pub(super) fn check_links(links: &[Link]) -> Result<(), CodecError> {
    if links.len() > LINKS_MAX {
        return Err(wrong("links", "too many"));
    }
    for link in links {
        if let LinkTarget::Opaque(text) = &link.right {
            if text.is_empty() || text.len() > LINK_OPAQUE_BYTES_MAX {
                return Err(wrong("links", "an opaque id is not 1 to 256 bytes"));
            }
            if link.relation.needs_event() {
                return Err(wrong("links", "this type of link points at an event"));
            }
        }
    }
    Ok(())
}

/// Relays must not read what is sealed, so nothing of it may stand beside the seal (PROTOCOL.md §2.6).
fn check_sealed(core: &Core, item: &[u8]) -> Result<(), CodecError> {
    if core.ids == IdScheme::Content {
        return Err(CodecError::SealedContentId);
    }
    if core.to.is_empty() {
        return Err(CodecError::SealedToNobody);
    }
    let outside =
        [("parent", core.parent.is_some()), ("links", !core.links.is_empty()), ("ext", core.ext.is_some())];
    if let Some((field, _)) = outside.into_iter().find(|(_, stands)| *stands) {
        return Err(CodecError::OutsideSeal(field));
    }
    // PROTOCOL.md §2.6: only the names in `to` may open it.
    match SealedBody::read(item)?.recipients.len() {
        count if count == core.to.len() => Ok(()),
        count => Err(CodecError::SealedRecipients { named: core.to.len(), sealed: count }),
    }
}

/// Writes a core in its one encoding; optional fields without a value are left out.
pub(super) fn encode(core: &Core) -> Vec<u8> {
    let ext = core.ext.as_ref();
    let mut out = Vec::with_capacity(core.body.bytes().len() + ext.map_or(0, Bytes::len) + 256);
    cbor::put_map(&mut out, pairs_beside_body(core) + 1);
    put_beside_body(&mut out, core);
    put_key(&mut out, key::BODY);
    match &core.body {
        Body::Plain(bytes) => cbor::put_bytes(&mut out, bytes),
        Body::Sealed(item) => out.extend_from_slice(item),
    }
    out.extend_from_slice(core.extensions.bytes());
    out
}

/// The map of every field but the body, to which a seal is bound (PROTOCOL.md §2.6).
pub(super) fn put_map_beside_body(out: &mut Vec<u8>, core: &Core) {
    cbor::put_map(out, pairs_beside_body(core));
    put_beside_body(out, core);
    out.extend_from_slice(core.extensions.bytes());
}

fn pairs_beside_body(core: &Core) -> usize {
    let optional = [
        core.expires.is_some(),
        !core.to.is_empty(),
        core.parent.is_some(),
        !core.links.is_empty(),
        core.ext.is_some(),
    ];
    10 + optional.into_iter().filter(|present| *present).count() + core.extensions.len()
}

fn put_beside_body(out: &mut Vec<u8>, core: &Core) {
    put_number(out, key::VERSION, core.version.into());
    put_key(out, key::UUID);
    cbor::put_bytes(out, core.id.uuid.as_bytes());
    put_key(out, key::PUBLISHER);
    cbor::put_text(out, core.id.publisher.as_str());
    put_key(out, key::PROJECT);
    cbor::put_text(out, core.id.project.as_str());
    put_number(out, key::IDS, core.ids as u64);
    put_number(out, key::CREATED, core.created.0);
    if let Some(expires) = core.expires {
        put_number(out, key::EXPIRES, expires.0);
    }
    put_number(out, key::TYPE, core.event_type as u64);
    put_key(out, key::FORMAT);
    cbor::put_text(out, core.format.as_str());
    put_number(out, key::TLP, core.tlp as u64);
    put_optional(out, core);
}

fn put_optional(out: &mut Vec<u8>, core: &Core) {
    if !core.to.is_empty() {
        put_key(out, key::TO);
        cbor::put_array(out, core.to.len());
        core.to.iter().for_each(|name| cbor::put_text(out, name.as_str()));
    }
    put_number(out, key::MAX_HOPS, core.max_hops.into());
    put_context(out, core.parent.as_ref(), &core.links, core.ext.as_ref());
}

/// Parent, links and ext, as they stand in a core and inside a seal.
pub(super) fn put_context(out: &mut Vec<u8>, parent: Option<&EventId>, links: &[Link], ext: Option<&Bytes>) {
    if let Some(parent) = parent {
        put_key(out, key::PARENT);
        put_event_id(out, parent);
    }
    if !links.is_empty() {
        put_key(out, key::LINKS);
        cbor::put_array(out, links.len());
        links.iter().for_each(|link| put_link(out, link));
    }
    if let Some(ext) = ext {
        put_key(out, key::EXT);
        cbor::put_bytes(out, ext);
    }
}

pub(super) fn put_key(out: &mut Vec<u8>, key: i64) {
    cbor::put_unsigned(out, key.unsigned_abs());
}

fn put_number(out: &mut Vec<u8>, key: i64, value: u64) {
    put_key(out, key);
    cbor::put_unsigned(out, value);
}

fn put_event_id(out: &mut Vec<u8>, id: &EventId) {
    cbor::put_array(out, 3);
    cbor::put_text(out, id.publisher.as_str());
    cbor::put_text(out, id.project.as_str());
    cbor::put_bytes(out, id.uuid.as_bytes());
}

fn put_link(out: &mut Vec<u8>, link: &Link) {
    cbor::put_array(out, 2 + usize::from(link.left.is_some()));
    cbor::put_text(out, link.relation.as_str());
    match &link.right {
        LinkTarget::Event(id) => put_event_id(out, id),
        LinkTarget::Opaque(text) => cbor::put_text(out, text),
    }
    if let Some(left) = &link.left {
        put_event_id(out, left);
    }
}
