//! Why a submitted line is refused, in the closed list of codes that local pipelines know (CONTRACT.md §3). `envelope`
//! lists the faults of a peer's envelope.

use std::fmt;

use thiserror::Error;

use crate::envelope::CodecError;
use crate::event::json::JsonError;
use crate::event::{BodyError, EventFormat};
use crate::identity::{EventId, PublisherName};
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX, REPUBLISH_ANCESTORS_MAX};

/// The codes of `in.sock`'s answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubmitCode {
    ForeignEvent,
    BadJson,
    NotObject,
    Empty,
    DuplicateKey,
    BadNumber,
    TooLarge,
    TooDeep,
    BadMeta,
    BadId,
    IdConflict,
    BadTlp,
    UnknownRecipient,
    MultiValue,
    NotDeliverable,
    BadIdea,
    BadN6,
    BadMisp,
    /// The policy of a client of the HTTP door does not admit the event.
    Forbidden,
    DiskFull,
    Stopping,
    ClockOff,
    KeysStale,
}

impl SubmitCode {
    #[cfg(any(test, feature = "sim"))]
    pub const ALL: [Self; 23] = [
        Self::ForeignEvent,
        Self::BadJson,
        Self::NotObject,
        Self::Empty,
        Self::DuplicateKey,
        Self::BadNumber,
        Self::TooLarge,
        Self::TooDeep,
        Self::BadMeta,
        Self::BadId,
        Self::IdConflict,
        Self::BadTlp,
        Self::UnknownRecipient,
        Self::MultiValue,
        Self::NotDeliverable,
        Self::BadIdea,
        Self::BadN6,
        Self::BadMisp,
        Self::Forbidden,
        Self::DiskFull,
        Self::Stopping,
        Self::ClockOff,
        Self::KeysStale,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForeignEvent => "foreign_event",
            Self::BadJson => "bad_json",
            Self::NotObject => "not_object",
            Self::Empty => "empty",
            Self::DuplicateKey => "duplicate_key",
            Self::BadNumber => "bad_number",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::BadMeta => "bad_meta",
            Self::BadId => "bad_id",
            Self::IdConflict => "id_conflict",
            Self::BadTlp => "bad_tlp",
            Self::UnknownRecipient => "unknown_recipient",
            Self::MultiValue => "multi_value",
            Self::NotDeliverable => "not_deliverable",
            Self::BadIdea => "bad_idea",
            Self::BadN6 => "bad_n6",
            Self::BadMisp => "bad_misp",
            Self::Forbidden => "forbidden",
            Self::DiskFull => "disk_full",
            Self::Stopping => "stopping",
            Self::ClockOff => "clock_off",
            Self::KeysStale => "keys_stale",
        }
    }

    /// Returns true if the same line can be taken later.
    pub const fn retry(self) -> bool {
        matches!(self, Self::DiskFull | Self::Stopping | Self::ClockOff | Self::KeysStale)
    }
}

impl fmt::Display for SubmitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused line: nothing of it was kept. The submitter's fault, but for the codes that say `retry`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct SubmitError {
    pub code: SubmitCode,
    pub message: String,
    /// The fix, if there is one.
    pub hint: Option<&'static str>,
}

impl SubmitError {
    pub fn new(code: SubmitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Refuses a line beyond the limit, which a door need not have read whole.
    pub fn line_too_large() -> Self {
        Self::new(SubmitCode::TooLarge, format!("the line has more than {LINE_BYTES_MAX} bytes"))
    }

    /// Returns the refusal if `name` is not a peer of this node: the event could never reach it.
    pub fn unknown_recipient(name: &PublisherName) -> Self {
        Self::new(
            SubmitCode::UnknownRecipient,
            format!("\"{name}\" in `to` is neither a peer of this node nor a group"),
        )
        .hint("`intelmesh peer list` shows the names; groups are files in groups/")
    }

    /// Refuses an id that another body of this publisher has.
    pub fn id_conflict(id: &EventId) -> Self {
        Self::new(SubmitCode::IdConflict, format!("{id} is there already, with another content"))
            .hint("give the new event an id of its own, and link it with `replaces`")
    }

    /// Refuses to withdraw or replace an event that the client did not post, or that is no longer held.
    pub fn not_posted_by_client(target: &EventId) -> Self {
        Self::new(SubmitCode::Forbidden, format!("this client may not take back {target}"))
            .hint("a client takes back only events that it posted itself, while this node holds them")
    }

    /// Refuses an event that the client's `[receive] where` does not admit.
    pub fn forbidden() -> Self {
        Self::new(SubmitCode::Forbidden, "this client may not post such an event")
            .hint("its file in clients/ says which: [receive] where")
    }

    pub fn disk_full() -> Self {
        Self::new(SubmitCode::DiskFull, "the node's disk is full").hint("submit it again once there is room")
    }

    pub fn stopping() -> Self {
        Self::new(SubmitCode::Stopping, "the node is stopping").hint("submit it again once it runs")
    }

    /// Returns the refusal if the date of an event would be wrong, and peers would reject it for good.
    pub fn clock_off() -> Self {
        Self::new(SubmitCode::ClockOff, "the node's clock is wrong: peers would reject the event's date")
            .hint("correct the clock of the machine; if it is right, confirm it: intelmesh clock accept")
    }

    /// Returns the refusal if peers reject signatures by the keys on disk.
    pub fn keys_stale() -> Self {
        Self::new(
            SubmitCode::KeysStale,
            "the keys on disk are older than what this node published about them: peers would reject the event",
        )
        .hint("put the newest keys/ back, or make new keys: intelmesh key rotate")
    }

    /// Returns the refusal if none of the recipients can ever get it.
    pub(super) fn not_deliverable(names: &[PublisherName]) -> Self {
        let names: Vec<String> = names.iter().take(8).map(|name| format!("\"{name}\"")).collect();
        let what = format!(
            "no recipient can be reached: this node has no connection to {}, and relays carry such an event only sealed",
            names.join(", ")
        );
        Self::new(SubmitCode::NotDeliverable, what)
            .hint("seal it (--seal, or \"seal\":true in meta), or pair with them directly")
    }

    pub(super) fn bad_meta(message: impl Into<String>) -> Self {
        Self::new(SubmitCode::BadMeta, message)
    }

    /// Refuses the unknown `key`, which looks like the control key `control`, or like `meta` or `payload`.
    pub(super) fn resembles(key: &str, control: &'static str) -> Self {
        let shown: String = key.chars().take(80).collect();
        let hint = match control {
            "tlp" => "did you mean \"tlp\"?",
            "to" => "did you mean \"to\"?",
            "seal" => "did you mean \"seal\"?",
            "expires" => "did you mean \"expires\"?",
            "links" => "did you mean \"links\"?",
            "ids" => "did you mean \"ids\"?",
            "uuid" => "did you mean \"uuid\"?",
            "meta" => "did you mean \"meta\"?",
            _ => "did you mean \"payload\"?",
        };
        Self::bad_meta(format!("unknown key \"{shown}\": it looks like \"{control}\"")).hint(hint)
    }

    /// Returns the refusal if a key that decides about the event has no value.
    pub(super) fn no_value(key: &str, shown: &str) -> Self {
        if key == "to" {
            return Self::bad_meta(format!(
                "meta.to: {shown} names no recipient, or none that --to names too"
            ))
            .hint("leave `to` out for all recipients that policy allows");
        }
        Self::bad_meta(format!("meta.{key}: {shown} has no value")).hint("leave the key out instead")
    }

    /// Notes that the line is of a version of meta that is newer than those understood here.
    pub(super) fn in_version(self, version: &str) -> Self {
        let shown: String = version.chars().take(20).collect();
        let message = format!("{} (meta.version is {shown}, this node understands 1 and 2)", self.message);
        Self { message, ..self }
    }

    pub(super) fn bad_id(message: impl Into<String>) -> Self {
        Self::new(SubmitCode::BadId, message)
    }

    pub(super) fn not_seen(id: &str) -> Self {
        Self::new(
            SubmitCode::ForeignEvent,
            format!("it was handed off before as {id}, which is not known here"),
        )
        .hint("remove `extra.intelmesh.uuid` only if the event is really new")
    }

    pub(super) fn not_ours(id: &EventId) -> Self {
        Self::bad_id(format!("{id} is an id of another publisher"))
            .hint("name it in `uuid.parent` or in `links`, and leave `uuid.current` out")
    }

    /// Returns the refusal if `publisher` is in the ancestry of the event that it would publish.
    pub(super) fn comes_back(id: &EventId, publisher: &PublisherName) -> Self {
        Self::new(
            SubmitCode::ForeignEvent,
            format!("{id} was made from an event of {publisher}, and is not published in a circle"),
        )
    }

    pub(super) fn lineage_too_long(id: &EventId) -> Self {
        Self::new(
            SubmitCode::ForeignEvent,
            format!(
                "{id} was published again too often: a child may have {REPUBLISH_ANCESTORS_MAX} ancestors"
            ),
        )
    }

    /// Refuses several values again: `republish` makes one child.
    pub(super) fn multi_value_again(key: &str) -> Self {
        Self::new(
            SubmitCode::MultiValue,
            format!("\"{key}\" is a list in an event that was handed off before"),
        )
        .hint("give it one value, or put the list below `extra`")
    }

    pub(super) fn multi_value(key: &str, format: &EventFormat) -> Self {
        Self::new(SubmitCode::MultiValue, format!("\"{key}\" is a list, which format {format} does not have"))
            .hint("submit one event for each value and link them, or put the list below `extra`")
    }
}

impl From<JsonError> for SubmitError {
    fn from(fault: JsonError) -> Self {
        let code = match fault {
            JsonError::NotUtf8(_) | JsonError::Syntax(_) | JsonError::Surrogate(_) => SubmitCode::BadJson,
            JsonError::DuplicateKey { .. } => SubmitCode::DuplicateKey,
            JsonError::NotFinite(_) => SubmitCode::BadNumber,
            JsonError::TooDeep { .. } => {
                return Self::new(SubmitCode::TooDeep, format!("more than {JSON_DEPTH_MAX} levels"));
            }
            JsonError::KeyTooLong(_) => SubmitCode::TooLarge,
        };
        Self::new(code, fault.to_string())
    }
}

impl From<BodyError> for SubmitError {
    fn from(fault: BodyError) -> Self {
        match fault {
            BodyError::TooLarge(_) => Self::line_too_large(),
            BodyError::Json(fault) => fault.into(),
            BodyError::NotObject => Self::new(SubmitCode::NotObject, "not one JSON object"),
            BodyError::NotOneLine => Self::new(SubmitCode::BadJson, fault.to_string()),
        }
    }
}

/// Converts a fault that a door's checks let through and the signed core does not take: a bound of PROTOCOL.md §2.3.
impl From<CodecError> for SubmitError {
    fn from(fault: CodecError) -> Self {
        let code = match fault {
            CodecError::TooLarge(_) => SubmitCode::TooLarge,
            _ => SubmitCode::BadMeta,
        };
        Self::new(code, fault.to_string())
    }
}
