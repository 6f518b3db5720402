//! The requests to one MISP and its answers, as far as the door reads them. Windows and records are not known here.

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::door::MispSource;
use crate::identity::parse_uuid;
use crate::limits::HTTP_ANSWER_BYTES_MAX;
use crate::local::http::{self, HttpAnswer, HttpFault};
use crate::local::{secret, tls};

/// A MISP that answers to this key.
pub(super) struct MispServer {
    client: Client,
    base: String,
    key: Zeroizing<String>,
}

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
    /// Reads the key and the trust, which may have changed.
    pub fn of(source: &MispSource) -> Result<Self, HttpFault> {
        let file = &source.key_file;
        let key = secret::read(file).map_err(|error| HttpFault::SecretFile {
            key: "key_file",
            file: file.clone(),
            error,
        })?;
        let client = http::client(tls::trusting(source.ca_file.as_deref())?)?;
        Ok(Self { client, base: source.url.trim_end_matches('/').to_owned(), key })
    }

    /// Returns the server's clock in seconds. Windows in the time of this machine would lose events if both differ.
    pub async fn clock(&self) -> Result<u64, HttpFault> {
        let answer = self.ask("servers/getVersion", None).await?;
        let date = answer.date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let seconds = date.and_then(|date| u64::try_from(date.timestamp().as_second()).ok());
        seconds.ok_or_else(|| self.unusable("has no date: expected a header \"Date\""))
    }

    /// Returns the events of a window, earliest first, at most `limit`: what they say about themselves, without content.
    pub async fn list(
        &self,
        window: &PublishedWindow<'_>,
        limit: u64,
    ) -> Result<Vec<EventListing>, HttpFault> {
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
    pub async fn event(&self, uuid: Uuid) -> Result<Option<Map<String, Value>>, HttpFault> {
        let deleted_too = json!({"deleted": [0, 1]});
        match self.ask(&format!("events/view/{uuid}"), Some(&deleted_too)).await {
            Ok(answer) => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| self.unusable(&format!("is no event: {error}"))),
            Err(HttpFault::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn ask(&self, path: &str, question: Option<&Value>) -> Result<HttpAnswer, HttpFault> {
        let url = format!("{}/{path}", self.base);
        let request = match question {
            None => self.client.get(url),
            Some(question) => self.client.post(url).json(question),
        };
        let request = request.header("Authorization", self.key.as_str()).header("Accept", "application/json");
        http::ask(&self.base, request, HTTP_ANSWER_BYTES_MAX).await
    }

    fn unusable(&self, what: &str) -> HttpFault {
        HttpFault::Unusable { server: self.base.clone(), what: what.to_owned() }
    }
}

/// MISP writes most numbers as text.
fn seconds_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
