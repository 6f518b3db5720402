//! The requests to one MISP and its answers, as far as the door reads them. Windows and records are not known here.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::door::MispSource;
use crate::identity::parse_uuid;
use crate::local::http::{HttpAnswer, HttpServer};
use crate::local::submit::asked::{AskFault, ask, read_secret};

/// A MISP that answers to this key.
pub(super) struct MispServer(HttpServer);

/// A MISP event as lists name it.
#[derive(Debug, Clone)]
pub(super) struct EventListing {
    pub uuid: Uuid,
    pub timestamp: u64,
    pub published: u64,
}

#[derive(Deserialize)]
struct ListAnswer {
    response: Vec<ListedEvent>,
}

#[derive(Deserialize)]
struct ListedEvent {
    #[serde(rename = "Event")]
    event: Map<String, Value>,
}

/// The events that were published in a part of time, both ends included, in seconds.
pub(super) struct PublishedWindow<'a> {
    pub from: u64,
    pub to: u64,
    pub tags: &'a [String],
}

impl MispServer {
    /// Reads the key, which may have changed. MISP wants it bare.
    pub(crate) fn of(source: &MispSource) -> Result<Self, AskFault> {
        let authorization = Some(read_secret("key_file", &source.key_file)?);
        let (url, ca_file) = (source.url.clone(), source.ca_file.clone());
        Ok(Self(HttpServer { url, ca_file, identity: None, authorization }))
    }

    /// Returns the server's clock in seconds. Windows in the time of this machine would lose events if both differ.
    pub(crate) async fn clock(&self) -> Result<u64, AskFault> {
        let answer = self.ask("servers/getVersion", None).await?;
        let date = answer.date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let seconds = date.and_then(|date| u64::try_from(date.timestamp().as_second()).ok());
        seconds.ok_or_else(|| self.unusable("has no date: expected a header \"Date\""))
    }

    /// Returns the events of a window, earliest first, at most `limit`: what they say about themselves, without content.
    pub(crate) async fn list(
        &self,
        window: &PublishedWindow<'_>,
        limit: u64,
    ) -> Result<Vec<EventListing>, AskFault> {
        let mut question = json!({
            "returnFormat": "json", "metadata": 1, "published": 1, "limit": limit, "page": 1,
            "publish_timestamp": [window.from.to_string(), window.to.to_string()],
            // Without an order, pages of MISP come in none.
            "order": "Event.publish_timestamp asc",
        });
        if !window.tags.is_empty() {
            question["tags"] = json!(window.tags);
        }
        let answer = self.ask("events/restSearch", Some(&question)).await?;
        let list: ListAnswer = serde_json::from_slice(&answer.body)
            .map_err(|error| self.unusable(&format!("is no list of events: {error}")))?;
        let listing = |listed: &ListedEvent| {
            let uuid = parse_uuid(listed.event.get("uuid")?.as_str()?).ok()?;
            let number = |key: &str| seconds_of(listed.event.get(key)?);
            Some(EventListing {
                uuid,
                timestamp: number("timestamp")?,
                published: number("publish_timestamp")?,
            })
        };
        let all: Option<Vec<_>> = list.response.iter().map(listing).collect();
        all.ok_or_else(|| self.unusable("lists an event without uuid, timestamp or publish_timestamp"))
    }

    /// Returns one event with what was deleted inside; `None` if it is gone. One request each: a list of events with
    /// their content would be as long as all of them.
    pub(crate) async fn event(&self, uuid: Uuid) -> Result<Option<Map<String, Value>>, AskFault> {
        let deleted_too = json!({"deleted": [0, 1]});
        match self.ask(&format!("events/view/{uuid}"), Some(&deleted_too)).await {
            Ok(answer) => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| self.unusable(&format!("is no event: {error}"))),
            Err(AskFault::Status { status: 404, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn ask(&self, path: &str, question: Option<&Value>) -> Result<HttpAnswer, AskFault> {
        ask(&self.0, path, question.map(Value::to_string)).await
    }

    fn unusable(&self, what: &str) -> AskFault {
        AskFault::Unusable { server: self.0.url.to_string(), what: what.to_owned() }
    }
}

/// MISP writes most numbers as text.
fn seconds_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
