//! Values of meta as typed: how the value of each honoured key can be read. `meta` decides which key has which value.

use std::borrow::Cow;

use crate::envelope::{EventType, IdScheme};
use crate::event::json::{self, JsonKind, JsonMember};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::PublisherName;
use crate::limits::{JSON_DEPTH_MAX, RECIPIENTS_MAX};
use crate::policy::Tlp;

/// One value of the line: its text and its kind.
pub(crate) struct MetaValue<'a> {
    pub text: &'a str,
    pub kind: JsonKind,
}

impl<'a> MetaValue<'a> {
    pub(crate) fn of(text: &'a str, member: &JsonMember<'_>) -> Self {
        Self { text: &text[member.value_at.clone()], kind: member.kind }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// Returns true if it is `null`, an empty text, an empty list or an empty object.
    pub(crate) fn is_empty(&self) -> bool {
        match self.kind {
            JsonKind::Literal => self.is_null(),
            JsonKind::Number => false,
            JsonKind::String | JsonKind::Array | JsonKind::Object => {
                self.text[1..self.text.len() - 1].bytes().all(|byte| byte.is_ascii_whitespace())
            }
        }
    }

    pub(crate) fn string(&self) -> Option<Cow<'a, str>> {
        if self.kind != JsonKind::String {
            return None;
        }
        Some(json::unquoted(self.text))
    }

    pub(crate) fn members(&self) -> Result<Vec<JsonMember<'a>>, SubmitError> {
        Ok(json::scan(self.text.as_bytes(), JSON_DEPTH_MAX)?.members)
    }

    /// Returns at most 60 characters of it, for messages.
    pub(crate) fn shown(&self) -> String {
        self.text.chars().take(60).collect()
    }
}

/// Returns the string that `member` of `text` is.
pub(crate) fn string_of<'a>(text: &'a str, member: &JsonMember<'_>) -> Option<Cow<'a, str>> {
    MetaValue::of(text, member).string()
}

pub(crate) fn event_type(value: &MetaValue<'_>) -> Option<EventType> {
    event_type_of(&value.string()?)
}

/// Returns the type of event or report that a text names, without regard to case.
pub(crate) fn event_type_of(text: &str) -> Option<EventType> {
    match &*text.to_ascii_lowercase() {
        "event" => Some(EventType::Event),
        "report" => Some(EventType::Report),
        _ => None,
    }
}

pub(crate) fn ids(value: &MetaValue<'_>) -> Option<IdScheme> {
    IdScheme::parse(&value.string()?)
}

pub(crate) fn tlp(value: &MetaValue<'_>) -> Result<Tlp, SubmitError> {
    value.string().and_then(|text| Tlp::parse(&text)).ok_or_else(|| {
        SubmitError::new(SubmitCode::BadTlp, format!("meta.tlp: {} is not a known label", value.shown()))
            .hint("write CLEAR, GREEN, AMBER, AMBER+STRICT or RED")
    })
}

/// Reads names, each once. An empty list is refused: it has no recipient, which is hardly intended.
pub(crate) fn recipients(value: &MetaValue<'_>) -> Result<Vec<PublisherName>, SubmitError> {
    // One name needs no list.
    let single = value.string().map(|text| vec![serde_json::Value::from(text.into_owned())]);
    let elements = elements(value).or(single).ok_or_else(|| {
        SubmitError::bad_meta(format!("meta.to: {} is not a name or a list of names", value.shown()))
            .hint("leave `to` out for all recipients that policy allows")
    })?;
    let mut names = Vec::new();
    for element in &elements {
        let text = element.as_str().ok_or_else(|| {
            SubmitError::bad_meta(format!(
                "meta.to: {} is not a name",
                element.to_string().chars().take(60).collect::<String>()
            ))
        })?;
        let name = PublisherName::parse(text)
            .map_err(|fault| SubmitError::new(SubmitCode::UnknownRecipient, format!("meta.to: {fault}")))?;
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() > RECIPIENTS_MAX {
            return Err(SubmitError::bad_meta(format!("meta.to has more than {RECIPIENTS_MAX} names")));
        }
    }
    Ok(names)
}

pub(crate) fn elements(value: &MetaValue<'_>) -> Option<Vec<serde_json::Value>> {
    if value.kind != JsonKind::Array { None } else { serde_json::from_str(value.text).ok() }
}
