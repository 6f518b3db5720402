//! Meta information of a line, IEP04's and AIL's: honoured members become typed here, members that we write ourselves
//! are passed over, and all the rest is kept as `ext` under its own name (CONTRACT.md §1). `intake` decides what
//! follows from it.

mod links;
mod resemblance;
mod values;

use bytes::Bytes;

use super::edit;
use super::refusal::{SubmitCode, SubmitError};
use crate::envelope::{EventType, IdScheme};
use crate::event::EventFormat;
use crate::event::json::{self, JsonKind, JsonMember};
use crate::identity::{EventId, PublisherName};
use crate::limits::{EXT_BYTES_MAX, JSON_DEPTH_MAX, LINKS_MAX};
use crate::link::Link;
use crate::policy::Tlp;
use crate::time::Timestamp;
pub(crate) use links::Names;
use resemblance::{is_its_own_type, is_private, resembled_key};
use values::{MetaValue, elements, event_type, ids, recipients, tlp};
pub(crate) use values::{event_type_of, string_of};

/// Statements of a line about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventMeta {
    pub current: Option<EventId>,
    pub parent: Option<EventId>,
    pub event_type: Option<EventType>,
    pub format: Option<EventFormat>,
    pub tlp: Option<Tlp>,
    /// Peers and groups. Empty if the line names none.
    pub to: Vec<PublisherName>,
    /// True if it is to be sealed to them.
    pub seal: bool,
    pub expires: Option<Timestamp>,
    pub links: Vec<Link>,
    pub ids: Option<IdScheme>,
    pub ext: Option<Bytes>,
    /// Keys of `ext` that stood in meta or beside it and mean nothing here: the answer names them.
    pub unknown: Vec<String>,
}

impl EventMeta {
    /// Calls `with` with each tag that is a label, or was to be one.
    pub(crate) fn tag_labels(&self, with: &mut impl FnMut(&str)) {
        let Some(ext) = self.ext.as_deref().and_then(|ext| std::str::from_utf8(ext).ok()) else { return };
        for member in json::members(ext).iter().filter(|member| member.key.eq_ignore_ascii_case("tags")) {
            let text = &ext[member.value_at.clone()];
            match json::value_of(text) {
                Some(tags) => each_label(&tags.value, with),
                None => with(text),
            }
        }
    }
}

/// Walks a tag, a list of tags, or tags as objects with a name.
fn each_label(tags: &serde_json::Value, with: &mut impl FnMut(&str)) {
    match tags {
        serde_json::Value::String(tag) if begins_with_tlp(tag) => with(tag),
        serde_json::Value::Array(tags) => tags.iter().for_each(|tag| each_label(tag, with)),
        serde_json::Value::Object(tag) => tag.values().for_each(|tag| each_label(tag, with)),
        _ => {}
    }
}

/// Members that this node writes itself, and ignores when they come in.
const WRITTEN_HERE: [&str; 8] =
    ["publisher", "source", "created", "path", "sealed", "seq", "withdrawn_by", "replaced_by"];

/// Members that have an effect in meta, and would be missed if they stand beside it.
const ACTS_IN_META: [&str; 8] = ["uuid", "tlp", "to", "seal", "expires", "links", "ids", "ext"];

/// Keys that are left out if there is nothing to say: an empty value is an error, because it widens who may have it.
const NEVER_EMPTY: [&str; 7] = ["tlp", "to", "seal", "expires", "links", "ids", "uuid"];

/// The newest version of meta that is understood whole: AIL's example has 2, everything else 1.
const VERSION_KNOWN: [&str; 2] = ["1", "2"];

/// Members beside `payload` that are not kept: meta itself, and those that have a meaning there.
const BESIDE_META: [&str; 6] = ["meta", "payload", "format", "version", "type", "__type"];

/// Reads meta, with the names that a bare UUID gets.
pub(crate) struct MetaReader<'a> {
    names: Names<'a>,
    meta: EventMeta,
    /// The id and links in the places that IEP04's drafts gave them.
    draft_id: Option<EventId>,
    draft_links: Vec<Link>,
    /// A version that is not known here.
    newer: Option<String>,
    /// Members kept as `ext`: key and value as they stand in the line.
    kept: Vec<(String, String)>,
    /// Form (c): AIL's places for format, version, type and parent.
    ail: bool,
}

impl<'a> MetaReader<'a> {
    pub(crate) fn new(names: Names<'a>) -> Self {
        Self {
            names,
            meta: EventMeta::default(),
            draft_id: None,
            draft_links: Vec::new(),
            newer: None,
            kept: Vec::new(),
            ail: false,
        }
    }

    /// Reads the members beside `payload` of form (b) or (c), from the text `line`.
    ///
    /// # Errors
    /// The first member that has a meaning and cannot be read; if meta is newer than the versions known here, the
    /// message says so.
    pub(crate) fn read(mut self, line: &str, members: &[JsonMember<'_>]) -> Result<EventMeta, SubmitError> {
        self.ail = members.iter().any(|member| member.key == "format");
        let meta =
            members.iter().find(|member| member.key == "meta").map(|member| MetaValue::of(line, member));
        let inside = match &meta {
            None => Vec::new(),
            Some(meta) if meta.is_null() => Vec::new(),
            Some(meta) if meta.kind == JsonKind::Object => meta.members()?,
            Some(meta) => {
                return Err(SubmitError::bad_meta(format!("meta: {} is not an object", meta.shown())));
            }
        };
        let inside: Vec<_> = inside.iter().filter_map(|member| Some((member, meta.as_ref()?.text))).collect();
        let version = |(member, text): (&JsonMember<'_>, &str)| {
            (member.key == "version").then(|| text[member.value_at.clone()].to_owned())
        };
        let beside = members.iter().map(|member| (member, line)).filter(|_| self.ail);
        let version = beside.chain(inside.iter().copied()).find_map(version);
        self.read_all(line, members, &inside).map_err(|fault| match version {
            Some(version) if !VERSION_KNOWN.contains(&&*version) => fault.in_version(&version),
            _ => fault,
        })
    }

    fn read_all(
        mut self,
        line: &str,
        members: &[JsonMember<'_>],
        inside: &[(&JsonMember<'_>, &str)],
    ) -> Result<EventMeta, SubmitError> {
        for (member, text) in inside {
            let key = &text[member.key_at.clone()];
            self.read_one(&member.key, key, &MetaValue::of(text, member))?;
        }
        for member in members {
            let (key, value) = (&line[member.key_at.clone()], MetaValue::of(line, member));
            match &*member.key {
                // They win over those in meta.
                "format" if self.ail => self.read_one("format", key, &value)?,
                "version" if self.ail => {
                    self.read_one("version", key, &value)?;
                    // It comes out in its place again.
                    self.newer = (value.text != "1").then(|| value.text.to_owned());
                }
                "type" if self.ail => self.read_ail_type(key, &value)?,
                "type" if self.meta.event_type.is_none() => self.meta.event_type = event_type(&value),
                known if ACTS_IN_META.contains(&known) => {
                    return Err(SubmitError::bad_meta(format!("\"{known}\" stands beside meta"))
                        .hint("it belongs into meta"));
                }
                known if BESIDE_META.contains(&known) || WRITTEN_HERE.contains(&known) => {}
                unknown => {
                    check_case(unknown)?;
                    self.keep_unknown(unknown, key, &value)?;
                }
            }
        }
        self.meta.current = self.meta.current.take().or(self.draft_id.take());
        let given = self.meta.links.len();
        self.draft_links.retain(|link| !self.meta.links[..given].contains(link));
        self.meta.links.append(&mut self.draft_links);
        if self.meta.links.len() > LINKS_MAX {
            return Err(SubmitError::bad_meta(format!("meta has more than {LINKS_MAX} links")));
        }
        if let Some(version) = self.newer.take()
            && !self.kept.iter().any(|(key, _)| key == "\"version\"")
        {
            self.keep("\"version\"", &version);
        }
        self.meta.ext = ext_of(&self.kept)?;
        Ok(self.meta)
    }

    fn read_one(&mut self, key: &str, key_text: &str, value: &MetaValue<'_>) -> Result<(), SubmitError> {
        if WRITTEN_HERE.contains(&key) {
            return Ok(());
        }
        if NEVER_EMPTY.contains(&key) && value.is_empty() {
            return Err(SubmitError::no_value(key, &value.shown()));
        }
        if value.is_null() && ["type", "format", "ext", "parent"].contains(&key) {
            return Ok(());
        }
        let fault = || SubmitError::bad_meta(format!("meta.{key}: {} is not understood", value.shown()));
        match key {
            "version" if VERSION_KNOWN.contains(&value.text) => {}
            // Some of it may not be understood here: a node that does understand it must know.
            "version" if value.kind == JsonKind::Number => self.newer = Some(value.text.to_owned()),
            "version" => {
                return Err(SubmitError::bad_meta(format!(
                    "meta.version: {} is not a number",
                    value.shown()
                )));
            }
            "uuid" => self.read_uuid(value)?,
            "parent" if self.ail => self.meta.parent = Some(self.event_id("parent", value)?),
            "type" => {
                self.meta.event_type =
                    Some(event_type(value).ok_or_else(|| fault().hint("event or report"))?);
            }
            "format" => {
                let format = value.string().and_then(|text| EventFormat::parse(&text));
                let hint = "intelmq, idea, n6, misp, or another name of 1 to 32 of a-z, 0-9 and \"-\"";
                self.meta.format = Some(format.ok_or_else(|| fault().hint(hint))?);
            }
            "tlp" => self.meta.tlp = Some(tlp(value)?),
            "to" => self.meta.to = recipients(value)?,
            "seal" if value.text == "false" => {}
            "seal" if value.text == "true" => self.meta.seal = true,
            "expires" => {
                let expires = value.string().and_then(|text| Timestamp::parse_rfc3339(&text));
                let hint = "an RFC 3339 time with its offset, as 2026-11-20T10:00:00Z";
                self.meta.expires = Some(expires.ok_or_else(|| fault().hint(hint))?);
            }
            "links" | "ids" if !is_its_own_type(key, value) => self.keep_as_unknown(key, key_text, value),
            "links" => self.meta.links.extend(links::read(value, self.names)?),
            "ids" => self.meta.ids = Some(ids(value).ok_or_else(|| fault().hint("random, content or body"))?),
            "ext" if value.kind == JsonKind::Object => {
                for member in value.members()? {
                    self.keep(&value.text[member.key_at.clone()], &value.text[member.value_at.clone()]);
                }
            }
            "seal" => return Err(fault().hint("true or false, without quotes")),
            "ext" => return Err(fault().hint("an object, as {\"rtir_id\":12345}")),
            _ => {
                if let Some(key) = key.strip_prefix("intelmq:") {
                    self.read_draft(key, value);
                }
                self.keep_unknown(key, key_text, value)?;
            }
        }
        Ok(())
    }

    /// Keeps a member that means nothing here, unless it looks as if it was to mean something.
    fn keep_unknown(&mut self, key: &str, key_text: &str, value: &MetaValue<'_>) -> Result<(), SubmitError> {
        if let Some(control) = resembled_key(key, value) {
            return Err(SubmitError::resembles(key, control));
        }
        self.keep_as_unknown(key, key_text, value);
        Ok(())
    }

    fn keep_as_unknown(&mut self, key: &str, key_text: &str, value: &MetaValue<'_>) {
        if !is_private(key) {
            self.meta.unknown.push(key.to_owned());
        }
        self.keep(key_text, value.text);
    }

    /// Reads AIL's type. It has types of its own (`item`, `screenshot`): such an event travels as one of type `event`.
    fn read_ail_type(&mut self, key_text: &str, value: &MetaValue<'_>) -> Result<(), SubmitError> {
        self.meta.event_type = match event_type(value) {
            None if value.is_null() => return Ok(()),
            None if value.kind == JsonKind::String => {
                self.keep(key_text, value.text);
                Some(EventType::Event)
            }
            None => {
                let what = format!("type: {} is not understood", value.shown());
                return Err(SubmitError::bad_meta(what).hint("write a text, as \"event\" or \"item\""));
            }
            known => known,
        };
        Ok(())
    }

    /// Reads members that IEP04's drafts had in other places, if they are understood; they are kept as `ext` as well.
    fn read_draft(&mut self, key: &str, value: &MetaValue<'_>) {
        match key {
            "uuid" | "id" => {
                let id = value.string().and_then(|text| self.names.event(&text));
                self.draft_id = self.draft_id.take().or(id);
            }
            _ => self.draft_links.extend(links::read_draft(key, value, self.names)),
        }
    }

    fn keep(&mut self, key_text: &str, value_text: &str) {
        self.kept.push((key_text.to_owned(), value_text.to_owned()));
    }

    /// Reads IEP04's `{"current": …, "parent": …}`, or AIL's plain UUID.
    fn read_uuid(&mut self, value: &MetaValue<'_>) -> Result<(), SubmitError> {
        if value.kind != JsonKind::Object {
            self.meta.current = Some(self.event_id("uuid", value)?);
            return Ok(());
        }
        for member in value.members()? {
            let inner = MetaValue::of(value.text, &member);
            match &*member.key {
                _ if inner.is_null() => {}
                "current" => self.meta.current = Some(self.event_id("uuid.current", &inner)?),
                "parent" => self.meta.parent = Some(self.event_id("uuid.parent", &inner)?),
                key => {
                    self.read_draft(key, &inner);
                    let key = format!("uuid.{key}");
                    self.keep_as_unknown(&key, &serde_json::Value::from(&*key).to_string(), &inner);
                }
            }
        }
        Ok(())
    }

    /// Reads a full name, or a bare UUID of this node's own.
    fn event_id(&self, place: &str, value: &MetaValue<'_>) -> Result<EventId, SubmitError> {
        let text = value.string().ok_or_else(|| {
            SubmitError::bad_id(format!("meta.{place}: {} is neither a UUID nor a full name", value.shown()))
        })?;
        self.names.event(&text).ok_or_else(|| {
            let shown: String = text.chars().take(120).collect();
            SubmitError::bad_id(format!("meta.{place}: \"{shown}\" is neither a UUID nor a full name"))
                .hint("a UUID as 72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b, or publisher:project:UUID")
        })
    }
}

/// Refuses members at the top of a line that belong in `meta` or `payload`. A key `payload` makes an event of the
/// object below it, so a line without it that has `meta` would be published whole, with its meta as fields.
///
/// # Errors
/// `bad_meta`.
pub(crate) fn check_plain(members: &[JsonMember<'_>]) -> Result<(), SubmitError> {
    members.iter().try_for_each(|member| check_case(&member.key))?;
    if members.iter().any(|member| member.key == "meta") {
        return Err(SubmitError::bad_meta("the line has \"meta\", and no \"payload\"")
            .hint("put the event below \"payload\": {\"meta\":{…},\"payload\":{…}}"));
    }
    Ok(())
}

/// Refuses a key that is `meta` or `payload` in other letters.
fn check_case(key: &str) -> Result<(), SubmitError> {
    let meant = ["meta", "payload"].into_iter().find(|known| key.eq_ignore_ascii_case(known));
    meant.filter(|known| key != *known).map_or(Ok(()), |known| Err(SubmitError::resembles(key, known)))
}

/// Returns true if `member` of `text` would be kept as it is if it stood in meta of form (c).
pub(crate) fn is_kept_in_meta(text: &str, member: &JsonMember<'_>) -> bool {
    let key = &*member.key;
    let acts = ["version", "type", "format", "parent", "carried", "part"].contains(&key)
        || ACTS_IN_META.contains(&key)
        || WRITTEN_HERE.contains(&key);
    !acts && resembled_key(key, &MetaValue::of(text, member)).is_none()
}

/// Returns one object of all that is kept, each value as it was given.
fn ext_of(kept: &[(String, String)]) -> Result<Option<Bytes>, SubmitError> {
    if kept.is_empty() {
        return Ok(None);
    }
    let members: Vec<String> = kept.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    let text = format!("{{{}}}", members.join(","));
    let text = edit::copy_without(text.as_bytes(), &[]);
    if text.len() > EXT_BYTES_MAX {
        let message =
            format!("ext and what is not known of meta: {} bytes, at most {EXT_BYTES_MAX}", text.len());
        return Err(SubmitError::new(SubmitCode::TooLarge, message));
    }
    match json::scan(&text, JSON_DEPTH_MAX) {
        Ok(_) => Ok(Some(text.into())),
        Err(json::JsonError::DuplicateKey { key }) => Err(SubmitError::bad_meta(format!(
            "\"{key}\" stands twice in meta, meta.ext and what is beside meta"
        ))),
        Err(fault) => Err(fault.into()),
    }
}

/// Returns true if a text begins as a label of the Traffic Light Protocol does.
pub(crate) fn begins_with_tlp(text: &str) -> bool {
    text.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("tlp:"))
}

#[cfg(test)]
mod tests;
