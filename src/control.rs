//! Requests of the command line to a running node, and its replies, on `run/ctl.sock`: one line of JSON each way, then
//! the node closes. Only this program speaks it, so it may change with every version. The JSON forms inside are
//! promised to others ([`Snapshot`], [`EventFacts`], [`FeedFacts`]).

mod consumers;
mod deciding;
mod delivery;
mod dry_run;
mod event_ref;
mod feeds;
mod listing;
mod trace;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::envelope::{Body, Core, OpenError, OpenedBody};
use crate::identity::{EventId, PublisherName};
use crate::link::{Link, LinkTarget};
use crate::record::Entry;
use crate::status::{HealthCode, Snapshot, rfc3339, rfc3339_or_absent};
use crate::time::Timestamp;

pub(crate) use consumers::{CONSUMERS_FILE, CONSUMERS_SCHEMA, ConsumerFact, ConsumerFacts};
pub(crate) use delivery::{DeliveryRecord, DeliveryState, ReaderName};
pub(crate) use feeds::{FeedFacts, FeedInfo, OwedFacts, RejectedFacts, WaitingEvent, WaitingFacts};

pub(crate) use dry_run::{
    LineDryRun, PASSES, RepublishComparison, TRIAL_LAST_DEFAULT, TRIAL_LAST_MAX, TRIAL_SCHEMA,
};
pub(crate) use event_ref::EventRef;
pub(crate) use listing::{
    EventList, EventSubject, LIST_LAST_DEFAULT, LIST_LAST_MAX, LIST_LOOK_MAX, LIST_SCHEMA, ListedEvent,
    ListedRange,
};
pub(crate) use trace::{TRACE_SCHEMA, TraceFacts, TraceOf, TracedEvent, TracedLink};

/// Name and number of the JSON form of one event.
pub(crate) const EVENT_SCHEMA: &str = "intelmesh.event/1";
/// Name and number of the JSON form of the feeds.
pub(crate) const FEED_SCHEMA: &str = "intelmesh.feed/1";
pub(crate) const WAITING_SCHEMA: &str = "intelmesh.waiting/1";

/// One line of a request is never longer, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    Status,
    /// Answered by [`ControlReply::Event`].
    EventShow {
        id: EventRef,
    },
    /// Answered by [`ControlReply::Explained`].
    PeerExplain {
        peer: PublisherName,
        id: EventRef,
    },
    /// The newest events; answered by [`ControlReply::Events`].
    EventList(ListedRange),
    /// Answered by [`ControlReply::Envelope`].
    EventExport {
        id: EventRef,
    },
    /// Answered by [`ControlReply::Trace`].
    EventTrace {
        of: TraceOf,
        /// Links to follow from there, at most.
        depth: u8,
    },
    /// The operator has seen the incidents under this code; answered by [`ControlReply::Acknowledged`].
    Acknowledge {
        code: HealthCode,
    },
    FeedShow,
    FeedRewind {
        peer: PublisherName,
        to: RewindPlace,
    },
    FeedRepair {
        peer: PublisherName,
    },
    /// All consumers with a position; answered by [`ControlReply::Consumers`].
    Consumers,
    ConsumerRemove {
        name: String,
    },
    ConsumerRewind {
        name: String,
        to: ConsumerPlace,
    },
    /// The events that wait for the operator's decision; answered by [`ControlReply::Waiting`].
    EventWaiting,
    ClockAccept,
    /// Accept or drop the events of a publisher that revoked keys signed, or that event alone.
    Decide {
        publisher: PublisherName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        release: bool,
    },
    /// `keys/` changed: sign with what is there now, and show the statement to all peers.
    KeysChanged,
    /// A key statement from elsewhere, in base64: take it as if a peer had shown it.
    Statement {
        cose: String,
    },
    /// Read `intelmesh.toml` again, and put in force what can change while the node runs; answered by
    /// [`ControlReply::Reloaded`].
    Reload,
    /// Read `peers/` again now, and answer [`ControlReply::Done`] once that is in force.
    PeersChanged,
    /// Dial every address of the peer; answered by [`ControlReply::PeerCheck`].
    PeerCheck {
        peer: PublisherName,
    },
    /// Compare this peer file with the one in force, over the last events; answered by [`ControlReply::Trial`].
    PeerTrial {
        /// As the operator named it, for messages; its stem is the peer's name.
        file: String,
        text: String,
        last: u64,
    },
    /// Try the lines again that a door has set aside; answered by [`ControlReply::AsideTried`].
    AsideRetry {
        door: String,
    },
}

/// One answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ControlReply {
    Status(Box<Snapshot>),
    Event(Box<EventFacts>),
    Events(EventList),
    Envelope {
        id: String,
        /// The COSE_Sign1, tag included, in base64.
        cose: String,
    },
    Trace(Box<TraceFacts>),
    Feeds(FeedFacts),
    Consumers(ConsumerFacts),
    Waiting(WaitingFacts),
    PeerCheck(PeerCheck),
    Explained(Box<DeliveryRecord>),
    Trial(Box<LineDryRun>),
    AsideTried(AsideTried),
    Reloaded(ReloadResult),
    /// So many incidents are shown no more.
    Acknowledged {
        incidents: u64,
    },
    /// It was done.
    Done,
    Refused(ControlRefusal),
}

/// Stands between several errors that were found at once, in one [`ControlRefusal`].
pub(crate) const REFUSAL_SEPARATOR: &str = "\nerror: ";

/// The answer is no, or it could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{error}")]
pub struct ControlRefusal {
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// 1: the answer is no; 2: could not.
    pub exit: u8,
}

impl ControlRefusal {
    /// The answer is no: an unknown id or name.
    pub fn no(error: impl Into<String>) -> Self {
        Self { error: error.into(), hint: None, exit: 1 }
    }

    pub fn could_not(error: impl Into<String>) -> Self {
        Self { error: error.into(), hint: None, exit: 2 }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn unknown_event(id: &EventRef) -> Self {
        Self::no(format!("no event {id} in this journal"))
            .hint("it may have been withheld, refused or retired; see intelmesh status")
    }

    pub fn unknown_peer(name: &PublisherName) -> Self {
        Self::no(format!("no peer \"{name}\"")).hint("intelmesh peer list")
    }
}

/// The position from which a feed is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewindPlace {
    Earliest,
    /// Of the peer's journal.
    Seq(u64),
    Time(#[serde(with = "rfc3339")] Timestamp),
}

/// The position from which a consumer reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerPlace {
    Earliest,
    Now,
    /// Of this node's journal: the first that it gets.
    Seq(u64),
    /// The first that was stored here at or after this.
    Time(#[serde(with = "rfc3339")] Timestamp),
}

/// One event, decoded (mirrors `intelmesh.event/1`), as far as this node knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventFacts {
    pub schema: String,
    pub id: String,
    pub publisher: PublisherName,
    /// The peer that handed it to us; absent for our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PublisherName>,
    /// Key id of the signature, in hex.
    pub key: String,
    /// It is in the journal, so its signature was checked.
    pub verified: bool,
    pub seq: u64,
    #[serde(with = "rfc3339")]
    pub arrived: Timestamp,
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339_or_absent")]
    pub expires: Option<Timestamp>,
    #[serde(rename = "type")]
    pub event_type: String,
    pub format: String,
    pub ids: String,
    pub tlp: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<PublisherName>,
    pub max_hops: u8,
    /// `!cert-at!cert-ee`, as it came; empty for our own.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkFacts>,
    /// The event by which its publisher withdrew or replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Box<RawValue>>,
    pub sealed: bool,
    /// The reason why a sealed body cannot be shown here; absent if it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_open: Option<String>,
    /// Size of the envelope, in bytes.
    pub bytes: u64,
    /// SHA-256 of the signed core, in hex.
    pub digest: String,
    /// Exactly as published; absent if it is sealed and cannot be opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// Its deliveries, peers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<DeliveryRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    #[serde(rename = "type")]
    pub relation: String,
    pub right: String,
}

impl From<&Link> for LinkFacts {
    fn from(link: &Link) -> Self {
        let right = match &link.right {
            LinkTarget::Event(id) => id.to_string(),
            LinkTarget::Opaque(text) => text.clone(),
        };
        Self {
            left: link.left.as_ref().map(EventId::to_string),
            relation: link.relation.as_str().to_owned(),
            right,
        }
    }
}

impl From<&Entry> for EventFacts {
    fn from(entry: &Entry) -> Self {
        let envelope = &entry.envelope;
        let core: &Core = envelope.core();
        Self {
            went: Vec::new(),
            schema: EVENT_SCHEMA.to_owned(),
            id: core.id.to_string(),
            publisher: core.id.publisher.clone(),
            source: entry.source().cloned(),
            key: envelope.key_id().to_string(),
            verified: true,
            seq: entry.seq,
            arrived: entry.arrived,
            created: core.created,
            expires: core.expires,
            event_type: core.event_type.as_str().to_owned(),
            format: core.format.to_string(),
            ids: core.ids.as_str().to_owned(),
            tlp: core.tlp.as_str().to_owned(),
            to: core.to.clone(),
            max_hops: core.max_hops,
            path: entry.path.to_string(),
            parent: core.parent.as_ref().map(EventId::to_string),
            links: core.links.iter().map(LinkFacts::from).collect(),
            withdrawn_by: entry.withdrawn_by.as_ref().map(EventId::to_string),
            replaced_by: entry.replaced_by.as_ref().map(EventId::to_string),
            ext: core.ext.as_ref().and_then(|ext| raw(ext)),
            sealed: core.body.is_sealed(),
            cannot_open: None,
            bytes: envelope.bytes().len() as u64,
            digest: envelope.digest().to_string(),
            payload: match &core.body {
                Body::Plain(bytes) => raw(bytes),
                Body::Sealed(_) => None,
            },
        }
    }
}

impl EventFacts {
    /// Adds the result of opening the body: the content for its recipients, the reason for others.
    pub(crate) fn opened(&mut self, opened: Result<OpenedBody, OpenError>) {
        match opened {
            Ok(opened) => {
                self.parent = opened.parent.as_ref().map(EventId::to_string);
                self.links = opened.links.iter().map(LinkFacts::from).collect();
                self.ext = opened.ext.as_ref().and_then(|ext| raw(ext));
                self.payload = raw(&opened.payload);
            }
            Err(fault) => self.cannot_open = Some(fault.to_string()),
        }
    }
}

/// Bytes that were checked to be JSON, as they are.
fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}

/// The results for lines that a door had set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsideTried {
    /// By the node, or by the receiver.
    pub taken: u64,
    /// Again, for the reason that the file says now.
    pub set_aside: u64,
    /// Could not be tried, and stay in place.
    pub kept: u64,
    /// Their events have expired: nobody gets them any more.
    #[serde(default)]
    pub expired: u64,
}

/// The result of reading `intelmesh.toml` again (`intelmesh.reload/1`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReloadResult {
    /// In force now, by key or door.
    pub changed: Vec<String>,
    /// Acts at the next start.
    pub restart: Vec<String>,
    /// Settings that could not be put in force: those before still run.
    pub failed: Vec<String>,
}

/// The result of dialling a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerCheck {
    pub peer: PublisherName,
    pub connected: bool,
    pub addresses: Vec<AddressCheck>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressCheck {
    pub address: String,
    /// That peer, with its key, answered here.
    pub ok: bool,
    /// The result in words.
    pub what: String,
}

/// Reads one line.
///
/// # Errors
/// A refusal with exit 2 that names the fault of the line.
pub fn parse_request(line: &[u8]) -> Result<ControlRequest, ControlRefusal> {
    serde_json::from_slice(line).map_err(|error| {
        ControlRefusal::could_not(format!("the node does not understand this request: {error}"))
            .hint("is the command line of another version than the running node?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_read_back_as_they_were_written() {
        let peer = PublisherName::parse("cert-ee").unwrap();
        for request in [
            ControlRequest::Status,
            ControlRequest::EventShow { id: EventRef::parse("72ddb00c").unwrap() },
            ControlRequest::FeedRewind {
                peer: peer.clone(),
                to: RewindPlace::Time(Timestamp(1_700_000_000_123)),
            },
            ControlRequest::FeedRewind { peer: peer.clone(), to: RewindPlace::Seq(7) },
            ControlRequest::PeerCheck { peer: peer.clone() },
        ] {
            let line = serde_json::to_vec(&request).unwrap();
            assert_eq!(parse_request(&line).unwrap(), request);
        }
        let line =
            serde_json::to_string(&ControlReply::Refused(ControlRefusal::unknown_peer(&peer))).unwrap();
        assert_eq!(
            line,
            r#"{"refused":{"error":"no peer \"cert-ee\"","hint":"intelmesh peer list","exit":1}}"#
        );
    }

    #[test]
    fn a_request_that_is_none_is_refused_with_exit_2() {
        for line in [&b"{}"[..], b"", b"\xff", br#"{"event_show":{"id":"x"}}"#, br#""restart""#] {
            assert_eq!(parse_request(line).unwrap_err().exit, 2);
        }
    }
}
