//! Reads the members of a message by the type that its format gives them. A member of another type is a fault of the
//! whole message.

use serde_json::Value;

use super::JsonObject;
use crate::format::refusal::{SubmitCode, SubmitError};

/// Characters of a value that a message quotes.
const SHOWN_CHARS: usize = 60;

/// A message, or an object inside one, with its place for errors.
#[derive(Clone, Copy)]
pub(super) struct MessagePart<'a> {
    pub members: &'a JsonObject,
    pub place: &'a str,
    pub code: SubmitCode,
}

impl<'a> MessagePart<'a> {
    /// Returns the refusal for the value at `key`.
    pub(crate) fn fault(&self, key: &str, value: &Value, expected: &str) -> SubmitError {
        let shown: String = value.to_string().chars().take(SHOWN_CHARS).collect();
        SubmitError::new(self.code, format!("{}{key}: {shown}: expected {expected}", self.place))
    }

    /// Returns the refusal if `key` has no value.
    pub(crate) fn missing(&self, key: &str) -> SubmitError {
        SubmitError::new(self.code, format!("{}{key} is missing", self.place))
    }

    /// Returns a string; `None` if it is missing.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, SubmitError> {
        match self.members.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.fault(key, other, "a string")),
        }
    }

    pub(crate) fn required(&self, key: &str) -> Result<&'a str, SubmitError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// Returns the elements of a list; none if it is missing.
    pub(crate) fn list(&self, key: &str) -> Result<&'a [Value], SubmitError> {
        match self.members.get(key) {
            None => Ok(&[]),
            Some(Value::Array(elements)) => Ok(elements),
            Some(other) => Err(self.fault(key, other, "a list")),
        }
    }

    /// Returns the strings of a list.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&'a str>, SubmitError> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| self.fault(key, value, "a string"));
        self.list(key)?.iter().map(text).collect()
    }

    /// Returns the objects of a list.
    pub(crate) fn objects(&self, key: &str) -> Result<Vec<&'a JsonObject>, SubmitError> {
        let object = |value: &'a Value| value.as_object().ok_or_else(|| self.fault(key, value, "an object"));
        self.list(key)?.iter().map(object).collect()
    }
}

/// Returns the digits of a number that is written as one, or as text.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
        _ => None,
    }
}
