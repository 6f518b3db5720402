//! The format of CERT Polska's n6: stream and REST events. `decode` and `encode` map messages, `table` has the names.

mod decode;
mod encode;
pub(super) mod table;

use std::borrow::Cow;

use uuid::Uuid;

use super::{DecodedMessage, EncodeOptions, EncodedMessage, EventView, ForeignFormat, JsonObject, NotSent};
use crate::format::event_label::EventLabel;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::policy::Tlp;

/// The format `n6`.
pub(super) struct N6Format;

impl ForeignFormat for N6Format {
    fn name(&self) -> &'static str {
        "n6"
    }

    fn code(&self) -> SubmitCode {
        SubmitCode::BadN6
    }

    /// n6 writes bytes that are not UTF-8 as halves of surrogate pairs, which no strict reader takes. They become the
    /// percent-encoded bytes that they stand for.
    fn readable<'a>(&self, text: &'a str) -> Cow<'a, str> {
        percent_encoded(text)
    }

    fn is_complete(&self, message: &JsonObject) -> bool {
        let needed = ["id", "source", "restriction", "confidence", "category", "time"];
        needed.iter().all(|key| message.contains_key(*key))
    }

    fn labels(&self, message: &JsonObject, found: &mut Vec<EventLabel>) {
        let Some(value) = message.get("restriction").filter(|value| !value.is_null()) else { return };
        found.push(match value.as_str().and_then(read_restriction) {
            Some(tlp) => tlp.into(),
            None => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                EventLabel::unread(&text, "restriction of the payload")
            }
        });
    }

    fn label_member(&self, tlp: Tlp) -> Option<(&'static str, &'static str)> {
        Some(("restriction", written_restriction(tlp)))
    }

    fn decode(&self, message: &JsonObject) -> Result<DecodedMessage, SubmitError> {
        decode::decode(message)
    }

    fn encode(&self, event: &EventView<'_>, _: &EncodeOptions) -> Result<EncodedMessage, NotSent> {
        encode::encode(event)
    }
}

/// Reads the words of n6, two of which are stricter than they sound.
fn read_restriction(word: &str) -> Option<Tlp> {
    match word.to_ascii_lowercase().as_str() {
        "public" => Some(Tlp::Clear),
        "need-to-know" => Some(Tlp::Amber),
        "internal" => Some(Tlp::Red),
        _ => None,
    }
}

/// Returns a word that is never milder than the label.
fn written_restriction(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "public",
        Tlp::Green => "need-to-know",
        Tlp::Amber | Tlp::AmberStrict | Tlp::Red => "internal",
    }
}

/// Returns the UUID of a name inside n6.
fn uuid_of(name: &str) -> Uuid {
    let names = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://n6.cert.pl/");
    Uuid::new_v5(&names, name.as_bytes())
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Replaces `\udc80` to `\udcff` by `%80` to `%FF`, unless it is the second half of a pair.
fn percent_encoded(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    let mut after_high = false;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at..at + 6).unwrap_or("").to_ascii_lowercase();
        let byte = escape.strip_prefix("\\udc").and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let high = ["\\ud8", "\\ud9", "\\uda", "\\udb"].iter().any(|start| escape.starts_with(start));
        let lone = byte.filter(|byte| *byte >= 0x80 && !(after_high && at == 0));
        let length = if escape.starts_with("\\u") { 6 } else { 2 };
        out.push_str(&rest[..at]);
        match lone {
            Some(byte) => out.push_str(&format!("%{byte:02X}")),
            None => out.push_str(rest.get(at..at + length).unwrap_or(&rest[at..])),
        }
        after_high = high;
        rest = rest.get(at + length..).unwrap_or("");
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}
