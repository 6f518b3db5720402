//! Reads JSON text that a scan has passed into values, whatever its numbers are. Nothing is checked again.

use serde_json::{Map, Value};

use super::{JsonKind, JsonToken, JsonTokens, unquoted};
use crate::limits::JSON_DEPTH_MAX;

/// Returns the value that a scanned text is. A number that no type holds becomes the text of its digits.
pub fn value_of(text: &str) -> Value {
    let mut tokens = JsonTokens::of(text);
    tokens.next().map_or(Value::Null, |first| read(first, &mut tokens, 0))
}

fn read(first: JsonToken<'_>, tokens: &mut JsonTokens<'_>, depth: usize) -> Value {
    // No scan lets a deeper text through.
    if depth > JSON_DEPTH_MAX + 2 {
        return Value::Null;
    }
    match first {
        JsonToken::Close => Value::Null,
        JsonToken::Scalar(JsonKind::String, text) => unquoted(text).into_owned().into(),
        JsonToken::Scalar(_, text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        JsonToken::Open(JsonKind::Object) => {
            let mut members = Map::new();
            while let Some(JsonToken::Scalar(_, key)) = tokens.next()
                && let Some(value) = tokens.next()
            {
                members.insert(unquoted(key).into_owned(), read(value, tokens, depth + 1));
            }
            Value::Object(members)
        }
        JsonToken::Open(_) => {
            let mut elements = Vec::new();
            while let Some(token) = tokens.next().filter(|token| *token != JsonToken::Close) {
                elements.push(read(token, tokens, depth + 1));
            }
            Value::Array(elements)
        }
    }
}
