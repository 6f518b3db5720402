//! Builds a flat IntelMQ event: a value goes to its field only if IntelMQ takes it there as it stands, and otherwise
//! below `extra.FORMAT`. The meaning of values is the formats'.

use std::sync::Arc;

use serde_json::Value;

use super::JsonObject;
use super::report::ConversionReport;
use crate::format::intelmq::Harmonization;

/// An event under construction.
#[derive(Clone, Debug)]
pub(super) struct FlatEvent {
    fields: Arc<Harmonization>,
    payload: JsonObject,
    extra: JsonObject,
    format: &'static str,
}

impl FlatEvent {
    pub(crate) fn new(format: &'static str) -> Self {
        let (payload, extra) = (JsonObject::new(), JsonObject::new());
        Self { fields: Harmonization::intelmq(), payload, extra, format }
    }

    /// Puts a value at a free field. Returns false, and keeps nothing, if the field has a value or IntelMQ would not
    /// take this one as it stands.
    pub(crate) fn put(&mut self, field: &str, value: impl Into<Value>) -> bool {
        let value = value.into();
        let taken = !self.payload.contains_key(field) && self.fields.takes_unchanged(field, &value);
        if taken {
            self.payload.insert(field.to_owned(), value);
        }
        taken
    }

    /// Puts a value at a field, or else below `extra.FORMAT` under `name`.
    pub(crate) fn put_or_keep(
        &mut self,
        field: &str,
        value: impl Into<Value>,
        name: &str,
        report: &mut ConversionReport,
    ) {
        let value = value.into();
        if !self.put(field, value.clone()) {
            report.moved(name, format!("extra.{}.{name}", self.format));
            self.keep(name, value);
        }
    }

    /// Keeps a value below `extra.FORMAT`.
    pub(crate) fn keep(&mut self, name: &str, value: impl Into<Value>) {
        self.extra.insert(name.to_owned(), value.into());
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.payload.contains_key(field)
    }

    /// Returns the payload, with everything kept as one object.
    pub(crate) fn into_payload(mut self) -> JsonObject {
        if !self.extra.is_empty() {
            self.payload.insert(format!("extra.{}", self.format), Value::Object(self.extra));
        }
        self.payload
    }
}
