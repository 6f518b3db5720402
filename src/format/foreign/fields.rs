//! Reads the fields of a flat event for an encoder, and notes which of them found no place.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::JsonObject;
use super::report::ConversionReport;

/// The payload of one event, and the fields that were read.
pub(super) struct FieldReader<'a> {
    payload: &'a JsonObject,
    taken: BTreeSet<String>,
    /// The name below `extra` of the format's own members.
    format: &'static str,
    /// The members below `extra.FORMAT`.
    kept: Cow<'a, JsonObject>,
    pub report: ConversionReport,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(payload: &'a JsonObject, format: &'static str) -> Self {
        let (report, taken) = (ConversionReport::default(), BTreeSet::new());
        Self { payload, taken, format, kept: kept_below(payload, format), report }
    }

    /// Returns a value that finds a place now.
    pub(crate) fn take(&mut self, field: &str) -> Option<&'a Value> {
        let value = self.payload.get(field).filter(|value| !value.is_null())?;
        self.taken.insert(field.to_owned());
        Some(value)
    }

    /// Returns a text that finds a place now.
    pub(crate) fn take_text(&mut self, field: &str) -> Option<&'a str> {
        let text = self.payload.get(field)?.as_str().filter(|text| !text.is_empty())?;
        self.taken.insert(field.to_owned());
        Some(text)
    }

    /// Returns a value without saying that it finds a place.
    pub(crate) fn peek(&self, field: &str) -> Option<&'a Value> {
        self.payload.get(field)
    }

    /// Returns a member below `extra.FORMAT`.
    pub(crate) fn kept(&self, name: &str) -> Option<&Value> {
        self.kept.get(name)
    }

    pub(crate) fn all_kept(&self) -> &JsonObject {
        &self.kept
    }

    /// Returns the notes, with one for each field that was not read.
    pub(crate) fn into_report(mut self, why: &'static str) -> ConversionReport {
        let own = format!("extra.{}", self.format);
        let is_ours = |key: &str| key == own || key.starts_with(&format!("{own}."));
        for key in self.payload.keys().filter(|key| !self.taken.contains(*key) && !is_ours(key)) {
            // The label has a place of its own, and the class follows from the type.
            let elsewhere = matches!(key.as_str(), "tlp" | "classification.taxonomy" | "__type");
            if !elsewhere && !key.starts_with("extra.intelmesh.") {
                self.report.lost(key.as_str(), why);
            }
        }
        self.report
    }
}

/// Collects the members below `extra.FORMAT`: IntelMQ has them as one object, inside `extra`, or flat with dots.
fn kept_below<'a>(payload: &'a JsonObject, format: &str) -> Cow<'a, JsonObject> {
    let name = format!("extra.{format}");
    if let Some(Value::Object(kept)) = payload.get(&name) {
        return Cow::Borrowed(kept);
    }
    if let Some(Value::Object(kept)) = payload.get("extra").and_then(|extra| extra.get(format)) {
        return Cow::Borrowed(kept);
    }
    let prefix = format!("{name}.");
    let mut kept = JsonObject::new();
    for (key, value) in payload {
        let Some(rest) = key.strip_prefix(&prefix) else { continue };
        match rest.split_once('.') {
            None => _ = kept.insert(rest.to_owned(), value.clone()),
            // IntelMQ flattens objects two levels deep at most here: `extra.idea.source.Type`.
            Some((outer, inner)) => {
                let object = kept.entry(outer).or_insert_with(|| Value::Object(JsonObject::new()));
                if let Some(object) = object.as_object_mut() {
                    object.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
    Cow::Owned(kept)
}
