//! An incident event as parsed: its checked body and the name of its format. The pipelines know the meaning of the
//! fields, and bytes of a body are never changed here.

pub(crate) mod json;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};
use json::{JsonError, JsonKind, JsonScan};

/// Name of a body's format: `intelmq`, `idea`, `n6`, `misp`, or another short name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventFormat(Arc<str>);

impl EventFormat {
    /// Reads a name of 1 to 32 of `a-z`, `0-9` and `-`.
    pub fn parse(text: &str) -> Option<Self> {
        crate::identity::ProjectName::parse(text).ok().map(|name| Self(name.as_str().into()))
    }

    /// Returns the format of IntelMQ.
    pub fn intelmq() -> Self {
        Self("intelmq".into())
    }

    /// Returns the format as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why bytes are not a body: two readers could read them differently, or not at all. The publisher's fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than a line may be.
    #[error("{0} bytes, more than {LINE_BYTES_MAX}")]
    TooLarge(usize),
    /// It is not JSON, or JSON that two readers may understand differently.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is JSON, and not an object.
    #[error("not one JSON object")]
    NotObject,
    /// It is not in the form in which it is handed off.
    #[error("white space around the object or a line break in it")]
    NotOneLine,
}

impl BodyError {
    /// Describes the fault and its place, without a key of the body: nothing of a sealed body is logged or shown.
    pub fn without_content(&self) -> String {
        match self {
            Self::Json(JsonError::DuplicateKey { .. }) => "a key stands twice in one object".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Checks that `bytes` are one JSON object that every reader reads alike, on one line (PROTOCOL.md §2.4),
/// and returns the places of its members.
///
/// # Errors
/// The first [`BodyError`].
pub fn check_body(bytes: &[u8]) -> Result<JsonScan<'_>, BodyError> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(BodyError::TooLarge(bytes.len()));
    }
    let scan = json::scan(bytes, JSON_DEPTH_MAX)?;
    if scan.kind != JsonKind::Object {
        return Err(BodyError::NotObject);
    }
    // A line break inside would end the line of every socket it is written to.
    if scan.value_at != (0..bytes.len()) || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Err(BodyError::NotOneLine);
    }
    Ok(scan)
}
