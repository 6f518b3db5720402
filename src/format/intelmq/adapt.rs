//! Adapts each member of an event that a receiver would not take as it stands (docs/INTELMQ.md has the rules as a
//! table). Nothing is written here; `extra` and nested objects have files of their own.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;

use super::harmonization::FieldList;
use super::kind::FieldKind;
use super::value::{FieldValue, has_sound_numbers};
use crate::event::json::{JsonKind, JsonMember, JsonScan};
use crate::limits::ADAPTED_NAME_CHARS_MAX;
use crate::policy::Tlp;

/// Why a member does not go as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The receiver has no such field.
    Unknown,
    /// A value that its field refuses, or that stops IntelMQ.
    Value,
    /// A key that IntelMQ refuses in `extra`.
    Key,
    /// An object instead of a field name with dots.
    Nested,
    /// Two members that IntelMQ would put in one place.
    Clash,
    /// A label that IntelMQ does not know.
    Label,
    /// `raw` that is not base64.
    Raw,
    /// A number that Python cannot read, or writes as invalid JSON.
    Number,
    /// A name that only a hand-off writes.
    Reserved,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "not a field of the receiver",
            Self::Value => "a value that its field refuses",
            Self::Key => "a key that IntelMQ refuses in extra",
            Self::Nested => "an object where fields have dots",
            Self::Clash => "in one place with another member",
            Self::Label => "a label that IntelMQ does not know",
            Self::Raw => "not base64",
            Self::Number => "a number that Python cannot hold",
            Self::Reserved => "a name that is written at the hand-off only",
        })
    }
}

/// The adapted members of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptedEvent {
    /// Members of it.
    pub members: usize,
    /// The name of the first, cut if it is long, and why.
    pub field: String,
    pub why: Unfit,
}

impl fmt::Display for AdaptedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.field, self.why)?;
        match self.members - 1 {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// An event and its receiver's fields.
pub(super) struct Subject<'a> {
    pub text: &'a str,
    pub scan: &'a JsonScan<'a>,
    pub fields: &'a FieldList,
    /// The sender's `feed.*` and `time.observation` make place for the receiver's.
    pub keeps_feed: bool,
    /// Names outside of `extra.intelmesh` that the hand-off writes itself.
    pub ours: &'a [&'a str],
}

/// How to write the event.
#[derive(Default)]
pub(super) struct AdaptPlan<'a> {
    /// Offsets of the keys of members that are not copied, ascending.
    pub gone: Vec<usize>,
    /// Members that stand in for them: key and JSON text.
    pub put: Vec<(String, Cow<'a, str>)>,
    /// Members of `extra.intelmesh.moved`.
    pub moved: Vec<(String, Cow<'a, str>)>,
    /// Fields that the receiver will see, of those that it knows.
    pub kept: usize,
    pub adapted: Option<AdaptedEvent>,
}

impl<'a> AdaptPlan<'a> {
    pub(crate) fn of(subject: &Subject<'a>) -> Self {
        let mut plan = Self::default();
        let mut has_extra = false;
        for member in &subject.scan.members {
            if subject.fields.dict_of(&member.key).is_some() {
                has_extra = true;
            } else {
                plan.member(subject, member);
            }
        }
        if has_extra {
            plan.dicts(subject);
            plan.gone.sort_unstable();
        }
        plan
    }

    fn member(&mut self, subject: &Subject<'a>, member: &JsonMember<'_>) {
        if member.key == "__type" {
            // The hand-off adds the type if it is wanted.
            self.gone.push(member.key_at.start);
            return;
        }
        let text = &subject.text[member.value_at.clone()];
        let value = FieldValue::of(text, member.kind);
        if value.is_ignored() {
            return;
        }
        if !is_sound(text, member.kind) {
            return self.moves(member, text, Unfit::Number);
        }
        if subject.ours.contains(&&*member.key) {
            return self.moves(member, text, Unfit::Reserved);
        }
        let Some(field) = subject.fields.find(&member.key) else {
            return match member.kind {
                JsonKind::Object => self.nested(subject, member, Unfit::Nested),
                _ => self.moves(member, text, Unfit::Unknown),
            };
        };
        if let Some(key) = subject.feed_key(&member.key) {
            self.kept += 1;
            self.gone.push(member.key_at.start);
            self.put.push((key, text.into()));
        } else if field.accepts(&value) {
            self.kept += 1;
        } else {
            match (field.kind, &value) {
                (FieldKind::Tlp, _) => self.label(member, text, &value),
                (FieldKind::Base64, FieldValue::Text(raw)) => {
                    self.kept += 1;
                    self.note(&member.key, Unfit::Raw);
                    self.gone.push(member.key_at.start);
                    let encoded = format!("\"{}\"", BASE64.encode(raw.as_bytes()));
                    self.put.push((member.key.clone().into_owned(), encoded.into()));
                }
                _ if member.kind == JsonKind::Object => self.nested(subject, member, Unfit::Value),
                _ => self.moves(member, text, Unfit::Value),
            }
        }
    }

    /// Adapts a label to the nearest that IntelMQ knows and that is not milder; the old one is kept.
    fn label(&mut self, member: &JsonMember<'_>, text: &'a str, value: &FieldValue<'_>) {
        let label = match value {
            FieldValue::Text(label) => Tlp::parse(label),
            _ => None,
        };
        let nearest = match label {
            Some(Tlp::Clear) => "\"WHITE\"",
            Some(Tlp::Green) => "\"GREEN\"",
            Some(Tlp::Amber) => "\"AMBER\"",
            Some(Tlp::AmberStrict | Tlp::Red) | None => "\"RED\"",
        };
        if matches!(label, None | Some(Tlp::AmberStrict)) {
            self.moves(member, text, Unfit::Label);
        } else {
            self.note(&member.key, Unfit::Label);
            self.gone.push(member.key_at.start);
        }
        self.kept += 1;
        self.put.push((member.key.clone().into_owned(), nearest.into()));
    }

    /// Takes a member out and keeps it under its own name.
    pub(crate) fn moves(&mut self, member: &JsonMember<'_>, text: &'a str, why: Unfit) {
        self.note(&member.key, why);
        self.gone.push(member.key_at.start);
        self.moved.push((member.key.clone().into_owned(), as_python_reads(text.into(), member.kind)));
    }

    pub(crate) fn note(&mut self, field: &str, why: Unfit) {
        match &mut self.adapted {
            Some(adapted) => adapted.members += 1,
            None => {
                let field = field.chars().take(ADAPTED_NAME_CHARS_MAX).collect();
                self.adapted = Some(AdaptedEvent { members: 1, field, why });
            }
        }
    }
}

impl Subject<'_> {
    /// Returns the new key of a field of the sender's feed, if the receiver keeps its own.
    pub(crate) fn feed_key(&self, key: &str) -> Option<String> {
        match key {
            _ if !self.keeps_feed => None,
            "time.observation" => Some("extra.intelmesh.time_observation".to_owned()),
            _ => key.strip_prefix("feed.").map(|name| format!("extra.intelmesh.feed.{name}")),
        }
    }
}

pub(super) fn is_sound(text: &str, kind: JsonKind) -> bool {
    !matches!(kind, JsonKind::Number | JsonKind::Object | JsonKind::Array) || has_sound_numbers(text)
}

/// Returns JSON text that Python reads: itself, or a string of it.
pub(super) fn as_python_reads(text: Cow<'_, str>, kind: JsonKind) -> Cow<'_, str> {
    if is_sound(&text, kind) { text } else { serde_json::Value::from(text).to_string().into() }
}
