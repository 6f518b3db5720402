//! Reads JSON text that a scan has passed into values, whatever its numbers are. Nothing is checked again.

use serde_json::{Map, Value};

use super::{JsonKind, JsonToken, JsonTokens, unquoted};
use crate::limits::{JSON_DEPTH_MAX, MESSAGE_VALUES_MAX};

/// A JSON text as values.
#[derive(Clone, Debug)]
pub(crate) struct JsonRead {
    pub value: Value,
    /// The first number that no type holds. In `value` it is the text of its digits.
    pub odd_number: Option<String>,
}

/// Returns the value that a scanned text is; `None` if it has more than [`MESSAGE_VALUES_MAX`] values.
pub(crate) fn value_of(text: &str) -> Option<JsonRead> {
    if count_values(text) > MESSAGE_VALUES_MAX {
        return None;
    }
    let mut reader = ValueReader { tokens: JsonTokens::of(text), odd_number: None };
    let value = reader.tokens.next().map_or(Value::Null, |first| reader.read(first, 0));
    Some(JsonRead { value, odd_number: reader.odd_number })
}

/// Returns the number of values in a scanned text. Keys are counted too.
pub(crate) fn count_values(text: &str) -> usize {
    JsonTokens::of(text).filter(|token| *token != JsonToken::Close).count()
}

struct ValueReader<'a> {
    tokens: JsonTokens<'a>,
    odd_number: Option<String>,
}

impl<'a> ValueReader<'a> {
    fn read(&mut self, first: JsonToken<'a>, depth: usize) -> Value {
        // No scan lets a deeper text through.
        if depth > JSON_DEPTH_MAX + 2 {
            return Value::Null;
        }
        match first {
            JsonToken::Close => Value::Null,
            JsonToken::Scalar(JsonKind::String, text) => unquoted(text).into_owned().into(),
            JsonToken::Scalar(_, text) => serde_json::from_str(text).unwrap_or_else(|_| {
                self.odd_number.get_or_insert_with(|| text.to_owned());
                text.into()
            }),
            JsonToken::Open(JsonKind::Object) => {
                let mut members = Map::new();
                while let Some(JsonToken::Scalar(_, key)) = self.tokens.next()
                    && let Some(value) = self.tokens.next()
                {
                    let value = self.read(value, depth + 1);
                    members.insert(unquoted(key).into_owned(), value);
                }
                Value::Object(members)
            }
            JsonToken::Open(_) => {
                let mut elements = Vec::new();
                while let Some(token) = self.tokens.next().filter(|token| *token != JsonToken::Close) {
                    elements.push(self.read(token, depth + 1));
                }
                Value::Array(elements)
            }
        }
    }
}
