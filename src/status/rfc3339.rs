//! Times in JSON are RFC 3339.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::time::Timestamp;

pub(crate) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text)
        .ok_or_else(|| D::Error::custom(format!("\"{text}\" is not an RFC 3339 time")))
}
