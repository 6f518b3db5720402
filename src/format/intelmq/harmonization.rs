//! The fields that a receiver knows: those of IntelMQ 3.5.0, or of its own `harmonization.conf`. The door decides when
//! to read the file again; nothing is ever written.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::field::{FieldPattern, IntelmqField};
use super::fields;
use super::kind::FieldKind;
use super::value::FieldValue;
use crate::envelope::EventType;
use crate::event::json::JsonKind;
use crate::limits::{HARMONIZATION_BYTES_MAX, HARMONIZATION_FIELDS_MAX};

/// Why a `harmonization.conf` cannot be used. The operator's.
#[derive(Debug, Error)]
pub enum HarmonizationError {
    #[error("{}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{}: more than {HARMONIZATION_BYTES_MAX} bytes", file.display())]
    TooLarge { file: PathBuf },
    #[error("{}:{}: no JSON: {source}", file.display(), source.line())]
    NoJson { file: PathBuf, source: serde_json::Error },
    /// A list of fields as a whole.
    #[error("{}: {list}: {why}", file.display())]
    List { file: PathBuf, list: &'static str, why: &'static str },
    #[error("{}: {list}: field \"{field}\": {why}", file.display())]
    Field { file: PathBuf, list: &'static str, field: String, why: FieldFault },
}

/// The fault in one field of it.
#[derive(Debug, Error)]
pub enum FieldFault {
    #[error("IntelMQ itself refuses this name")]
    Name,
    #[error("not an object")]
    NotObject,
    #[error("`type` is missing or no string")]
    Type,
    #[error("`length` is no whole number")]
    Length,
    #[error("`{0}` is no string")]
    PatternType(&'static str),
    #[error("both `regex` and `iregex`")]
    TwoPatterns,
    #[error("`{key}`: {source}")]
    Pattern { key: &'static str, source: regex::Error },
    #[error("its length or pattern would refuse what is kept in it")]
    BoundExtra,
}

/// The fields of a receiver's events and reports.
#[derive(Debug)]
pub struct Harmonization {
    event: FieldList,
    report: FieldList,
}

/// The fields of one type.
#[derive(Debug)]
pub(super) struct FieldList {
    fields: HashMap<String, IntelmqField>,
    /// Names of fields that hold a JSON object with fields of its own: `extra`.
    dicts: Vec<String>,
}

impl FieldList {
    fn new(fields: HashMap<String, IntelmqField>) -> Self {
        let dicts = fields.iter().filter(|(_, field)| field.kind == FieldKind::JsonDict);
        let dicts = dicts.map(|(name, _)| name.clone()).collect();
        Self { fields, dicts }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&IntelmqField> {
        self.fields.get(name)
    }

    /// Returns the field that holds `key` as one of its members, or is `key` itself.
    pub(crate) fn dict_of(&self, key: &str) -> Option<&str> {
        let first = key.split('.').next().unwrap_or(key);
        self.dicts.iter().map(String::as_str).find(|name| *name == first)
    }

    /// Returns true if there is a place for members without one of their own.
    pub(crate) fn has_extra(&self) -> bool {
        self.dict_of("extra").is_some()
    }
}

/// Returns true if it has the form of IntelMQ's keys: `^[a-z_][a-z_0-9]+(\.[a-z_0-9]+)*$`.
pub(super) fn is_key(key: &str) -> bool {
    let mut parts = key.split('.');
    let first = parts.next().unwrap_or("");
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'0'..=b'9'))
    };
    first.len() >= 2 && part(first) && !first.starts_with(|c: char| c.is_ascii_digit()) && parts.all(part)
}

/// Returns true for keys like `extra.a.b.a`: IntelMQ makes objects of dots, stops at the first `a`, and blocks all
/// below.
pub(super) fn says_its_end_twice(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(before, end)| before.split('.').any(|part| part == end))
}

impl Harmonization {
    /// Returns the names of an event's fields.
    pub fn event_fields(&self) -> impl Iterator<Item = &str> {
        self.event.fields.keys().map(String::as_str)
    }

    /// Returns true if IntelMQ takes the value at this field of an event as it stands.
    pub fn takes_unchanged(&self, name: &str, value: &Json) -> bool {
        let text = value.to_string();
        let kind = match value {
            Json::Null | Json::Bool(_) => JsonKind::Literal,
            Json::Number(_) => JsonKind::Number,
            Json::String(_) => JsonKind::String,
            Json::Array(_) => JsonKind::Array,
            Json::Object(_) => JsonKind::Object,
        };
        let value = FieldValue::of(&text, kind);
        match self.event.find(name) {
            Some(field) => !value.is_ignored() && field.takes_unchanged(&value),
            None => {
                name.starts_with("extra.")
                    && is_key(name)
                    && !says_its_end_twice(name)
                    && self.event.dict_of(name).is_some()
            }
        }
    }

    /// Returns the list of IntelMQ 3.5.0.
    pub fn intelmq() -> Arc<Self> {
        static SHIPPED: OnceLock<Arc<Harmonization>> = OnceLock::new();
        let shipped =
            || Self { event: FieldList::new(fields::event()), report: FieldList::new(fields::report()) };
        SHIPPED.get_or_init(|| Arc::new(shipped())).clone()
    }

    /// Reads a receiver's own file.
    ///
    /// # Errors
    /// [`HarmonizationError`] with the file and, if one is at fault, the field.
    pub fn load(file: &Path) -> Result<Self, HarmonizationError> {
        let unreadable = |source| HarmonizationError::Unreadable { file: file.to_owned(), source };
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(HARMONIZATION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > HARMONIZATION_BYTES_MAX {
            return Err(HarmonizationError::TooLarge { file: file.to_owned() });
        }
        Self::parse(file, &bytes)
    }

    /// Reads the text of a `harmonization.conf`; `file` is for errors.
    ///
    /// # Errors
    /// The same as [`Self::load`].
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, HarmonizationError> {
        let lists: Map<String, Json> = serde_json::from_slice(bytes)
            .map_err(|source| HarmonizationError::NoJson { file: file.to_owned(), source })?;
        let event = FieldList::new(read_list(file, &lists, "event")?);
        if !event.has_extra() {
            let why = "no field `extra` of type JSONDict: what a receiver does not know has no place";
            return Err(HarmonizationError::List { file: file.to_owned(), list: "event", why });
        }
        let report = read_list(file, &lists, "report")?;
        let report = FieldList::new(if report.is_empty() { report } else { parsed(report, &event) });
        Ok(Self { event, report })
    }

    pub(super) fn of(&self, event_type: EventType) -> &FieldList {
        match event_type {
            EventType::Event => &self.event,
            EventType::Report => &self.report,
        }
    }
}

/// Reads one list; empty if the file has none.
fn read_list(
    file: &Path,
    lists: &Map<String, Json>,
    list: &'static str,
) -> Result<HashMap<String, IntelmqField>, HarmonizationError> {
    let fault = |why| HarmonizationError::List { file: file.to_owned(), list, why };
    let Some(found) = lists.get(list) else { return Ok(HashMap::new()) };
    let found = found.as_object().ok_or(fault("not an object"))?;
    if found.len() > HARMONIZATION_FIELDS_MAX {
        return Err(fault("too many fields"));
    }
    let mut fields = HashMap::with_capacity(found.len());
    for (name, told) in found {
        let field = read_field(name, told, list).map_err(|why| HarmonizationError::Field {
            file: file.to_owned(),
            list,
            field: name.chars().take(120).collect(),
            why,
        })?;
        fields.insert(name.clone(), field);
    }
    Ok(fields)
}

/// Returns the fields of a report that a parser can make an event of: it takes them over under their names.
fn parsed(mut report: HashMap<String, IntelmqField>, event: &FieldList) -> HashMap<String, IntelmqField> {
    report.retain(|name, _| event.find(name).is_some());
    for (name, field) in &event.fields {
        if let Some(found) = report.get_mut(name) {
            found.also = Some(Box::new(field.clone()));
        } else if event.dict_of(name).is_some_and(|dict| report.contains_key(dict)) {
            report.insert(name.clone(), field.clone());
        }
    }
    report
}

fn read_field(name: &str, told: &Json, list: &str) -> Result<IntelmqField, FieldFault> {
    if !is_key(name) {
        return Err(FieldFault::Name);
    }
    let told = told.as_object().ok_or(FieldFault::NotObject)?;
    let kind = FieldKind::parse(told.get("type").and_then(Json::as_str).ok_or(FieldFault::Type)?);
    // IntelMQ reads it so, for the files of its first versions.
    let kind =
        if (name, kind, list) == ("extra", FieldKind::Json, "event") { FieldKind::JsonDict } else { kind };
    let length = match told.get("length") {
        None => None,
        Some(length) => {
            let length = length.as_u64().and_then(|length| usize::try_from(length).ok());
            Some(length.ok_or(FieldFault::Length)?)
        }
    };
    let pattern = match (pattern(told, "regex")?, pattern(told, "iregex")?) {
        (Some(_), Some(_)) => return Err(FieldFault::TwoPatterns),
        (one, other) => one.or(other),
    };
    if kind == FieldKind::JsonDict && (length.is_some() || pattern.is_some()) {
        return Err(FieldFault::BoundExtra);
    }
    Ok(IntelmqField { kind, length, pattern, also: None })
}

fn pattern(told: &Map<String, Json>, key: &'static str) -> Result<Option<FieldPattern>, FieldFault> {
    let Some(text) = told.get(key) else { return Ok(None) };
    let text = text.as_str().ok_or(FieldFault::PatternType(key))?;
    FieldPattern::parse(text, key == "iregex").map(Some).map_err(|source| FieldFault::Pattern { key, source })
}
