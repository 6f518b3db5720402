//! Fields that stay at home: a door takes them out of an event before it is signed. This file has the rules as an
//! operator writes them; `search` finds the parts of a payload that they name.

mod search;

use std::fmt;

use thiserror::Error;

use crate::limits::STRIP_RULE_BYTES_MAX;

pub(crate) use search::RemovedParts;

/// A field that stays at home, as an operator writes it: `rtir_id` (the field, and all below it), `extra.*` (only what
/// is below), `feed.url=file:*` (if the value begins so, without regard to case), `feed.name=internal` (if it is that).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripRule {
    path: String,
    /// False for `extra.*`.
    itself: bool,
    value: Option<ValueRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueRule {
    Is(String),
    Begins(String),
}

/// The operator's fault in a list of fields.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is not a field to strip")]
pub struct StripRuleError(String);

impl StripRuleError {
    pub fn hint(&self) -> &'static str {
        "a field as \"extra.file_name\", \"extra.*\" for all below it, or \"feed.url=file:*\" for its values that begin so"
    }
}

impl StripRule {
    /// # Errors
    /// [`StripRuleError`].
    pub fn parse(text: &str) -> Result<Self, StripRuleError> {
        let fault = || StripRuleError(text.chars().take(80).collect());
        if text.len() > STRIP_RULE_BYTES_MAX {
            return Err(fault());
        }
        let (field, value) = match text.split_once('=') {
            Some((field, value)) => (field, Some(value)),
            None => (text, None),
        };
        let (path, itself) = field.strip_suffix(".*").map_or((field, true), |path| (path, false));
        let odd = |char: char| char == '*' || char.is_whitespace() || char.is_control();
        if path.split('.').any(|part| part.is_empty() || part.contains(odd)) || (value.is_some() && !itself) {
            return Err(fault());
        }
        let value = value.map(|value| match value.strip_suffix('*') {
            Some(prefix) => ValueRule::Begins(prefix.to_owned()),
            None => ValueRule::Is(value.to_owned()),
        });
        Ok(Self { path: path.to_owned(), itself, value })
    }

    /// The fields that stay at home at doors to IntelMQ if they configure nothing else. `extra.certbund` has names and
    /// addresses of people that the CERT writes to (intelmq-certbund-contact).
    pub const INTELMQ_DEFAULTS: [&str; 4] =
        ["rtir_id", "extra.file_name", "feed.url=file:*", "extra.certbund"];

    /// Other fields of IntelMQ that are often local, for the operator to choose from.
    pub const OFTEN_LOCAL: [&str; 18] = [
        "classification.identifier",
        "comment",
        "constituency",
        "destination.abuse_contact",
        "event_hash",
        "extra.recipient_address",
        "extra.source_contacts",
        "extra.ticket_number",
        "feed.code",
        "feed.documentation",
        "feed.url",
        "misp.attribute_uuid",
        "misp.event_uuid",
        "output",
        "screenshot_url",
        "severity",
        "source.abuse_contact",
        "status",
    ];

    pub fn intelmq_defaults() -> Vec<Self> {
        Self::INTELMQ_DEFAULTS.iter().filter_map(|text| Self::parse(text).ok()).collect()
    }

    fn matches(&self, path: &str, value: impl FnOnce() -> Option<String>) -> bool {
        match &self.value {
            None => below(path, &self.path) && (self.itself || path.len() > self.path.len()),
            Some(rule) => path == self.path && value().is_some_and(|value| rule.matches(&value)),
        }
    }

    /// Returns true if something below `path` may match.
    fn reaches_below(&self, path: &str) -> bool {
        is_above(path, &self.path) || (!self.itself && path == self.path)
    }
}

impl fmt::Display for StripRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.itself { "" } else { ".*" };
        match &self.value {
            None => write!(f, "{}{all}", self.path),
            Some(ValueRule::Is(value)) => write!(f, "{}={value}", self.path),
            Some(ValueRule::Begins(prefix)) => write!(f, "{}={prefix}*", self.path),
        }
    }
}

impl ValueRule {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            // Schemes of URLs have no case.
            Self::Begins(prefix) => {
                value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
        }
    }
}

/// Returns true if `path` is the field `name`, or below it.
fn below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns true if `name` is below `path`, and not that itself.
fn is_above(path: &str, name: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
