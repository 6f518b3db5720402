//! Facts about the delivery of one event to each peer and consumer.

use serde::{Deserialize, Serialize};

use crate::identity::PublisherName;
use crate::status::rfc3339_or_absent;
use crate::time::Timestamp;

/// The reader of the journal that an event is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReaderName {
    Peer(PublisherName),
    Consumer(String),
    /// Of the HTTP door.
    Client(PublisherName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    Acknowledged,
    HasIt,
    NotYet,
    Withheld,
    /// No connection with the peer may stand.
    Cut,
    Rejected,
    Deferred,
    /// A consumer's position has passed it, or a feed has, and the rules of its time are not all known.
    Passed,
}

impl DeliveryState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::HasIt => "has_it",
            Self::NotYet => "not_yet",
            Self::Withheld => "withheld",
            Self::Cut => "cut",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Passed => "passed",
        }
    }
}

/// The delivery of one event to one peer or one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryRecord {
    #[serde(flatten)]
    pub reader: ReaderName,
    pub state: DeliveryState,
    /// When that was known; absent if it happened before this node started to watch.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub by: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The rule that decides, with file and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The rule is an older one than the file has now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rules_of: bool,
}

impl DeliveryRecord {
    pub(crate) const fn new(reader: ReaderName, state: DeliveryState) -> Self {
        Self { reader, state, by: None, why: None, rule: None, remedy: None, rules_of: false }
    }

    /// On one line, for people.
    pub(crate) fn line(&self) -> String {
        let who = match &self.reader {
            ReaderName::Peer(name) => name.to_string(),
            ReaderName::Consumer(name) => format!("consumer {name}"),
            ReaderName::Client(name) => format!("client {name}"),
        };
        let by = self.by.map(|at| format!(" by {at}")).unwrap_or_default();
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let old = if self.rules_of { " (the rules of its time)" } else { "" };
        let rule = self.rule.as_ref().map(|rule| format!("; {rule}{old}")).unwrap_or_default();
        format!("{who} {}{by}{why}{rule}", self.state.as_str())
    }
}
