//! The doors to the local pipeline, `[[submit]]` and `[[consumer]]` of `intelmesh.toml` (CONTRACT.md §4). Each has an
//! address to listen on or to connect to, fields that it adds to incoming events, and a form in which events leave.
//! This module does not check if the other side is there.

mod consumer;
mod odds;
mod submit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::filters::FileLists;
use super::node::checked;
use super::problem::ConfigFault;
use super::reading::{ConfigReport, TomlPosition, TomlSection};
use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::filter::Filter;
use crate::format::foreign::BodyFormat;
use crate::format::intelmq::{RelationFields, SenderFeed};
use crate::format::{DeliveryForm, MultipleValues, StripRule};
use crate::identity::PublisherName;
use crate::limits::{DOORS_MAX, SEPARATOR_BYTES_MAX};
use crate::policy::Tlp;
use crate::protocol::io::StartPosition;
use crate::record::ConsumerName;

pub(super) const SUBMIT_KEYS: &[&str] = &[
    "name",
    "from",
    "listen",
    "allow",
    "separator",
    "answers",
    "dir",
    "format",
    "url",
    "queue",
    "password_file",
    "ca_file",
    "tlp",
    "to",
    "ids",
    "strip",
    "mask_secrets",
    "republish",
    "seal",
    "multiple_values",
    "multiple_values_max",
    "convert",
];
pub(super) const CONSUMER_KEYS: &[&str] = &[
    "name",
    "to",
    "connect",
    "dir",
    "node",
    "separator",
    "url",
    "queue",
    "queue_max",
    "password_file",
    "ca_file",
    "form",
    "format",
    "type",
    "annotate",
    "strict",
    "sender_feed",
    "harmonization",
    "relation_fields",
    "own",
    "from",
    "filter",
];

pub(super) const RELATION_KEYS: &[&str] = &["withdraws", "replaces", "withdrawn_by", "replaced_by"];

/// Maximum length of a Redis queue if the configuration gives none.
pub const QUEUE_MAX_DEFAULT: u64 = 10_000;

/// A line of `intelmesh.toml`, for messages. A door that moved to another one is the same door: so all lines are equal.
#[derive(Clone, Copy, Debug)]
pub struct DoorLine(pub usize);

impl PartialEq for DoorLine {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for DoorLine {}

impl std::fmt::Display for DoorLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// All doors of one node, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorConfigs {
    pub submits: Vec<SubmitDoorSettings>,
    pub consumers: Vec<ConsumerDoorSettings>,
}

impl DoorConfigs {
    /// Of all doors.
    pub fn names(&self) -> impl Iterator<Item = &ConsumerName> {
        let submits = self.submits.iter().map(|door| &door.name);
        submits.chain(self.consumers.iter().map(|door| &door.name))
    }
}

/// `[[submit]]`: events of the pipeline come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitDoorSettings {
    /// Names the door in status, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub from: SubmitFrom,
    pub adds: DoorAdds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitFrom {
    /// `run/in.sock`, which is always there; such a section says what it adds.
    Socket,
    IntelMqTcp(TcpInSettings),
    IntelMqRedis(RedisQueueSettings),
    /// A directory as Warden's filer uses it, with messages of this format.
    Spool {
        dir: PathBuf,
        format: EventFormat,
    },
}

/// We are the collector: IntelMQ's TCP output connects here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpInSettings {
    pub listen: SocketAddr,
    /// Networks that may connect; empty: this machine.
    pub allow: Vec<IpNet>,
    /// Ends each event, instead of a length before it.
    pub separator: Option<String>,
    /// False: the sender reads no `Ok`.
    pub answers: bool,
}

/// A queue of a bot of IntelMQ's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisQueueSettings {
    /// `redis://`, `rediss://`, `redis+unix://` or `unix:`, with the database and perhaps a password in it.
    pub url: String,
    /// The line of `intelmesh.toml` that says so.
    pub url_line: DoorLine,
    pub queue: String,
    /// Holds the password, so that it need not stand in the configuration.
    pub password_file: Option<PathBuf>,
    /// Certificates that the server's is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Changes of a door to each event on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorAdds {
    pub tlp: Option<Tlp>,
    pub to: Vec<PublisherName>,
    pub ids: Option<IdScheme>,
    /// `None`: the default list of IntelMQ's doors, nothing at the socket.
    pub strip: Option<Vec<StripRule>>,
    /// `None`: as `strip`, at IntelMQ's doors and not at the socket.
    pub mask_secrets: Option<bool>,
    pub republish: bool,
    /// Everything is sealed to its recipients.
    pub seal: bool,
    pub multiple_values: MultipleValues,
    /// Messages of other formats become IntelMQ events before they are signed.
    pub convert: bool,
}

/// `[[consumer]]`: accepted events are handed to the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDoorSettings {
    /// Names its position in the journal, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub to: ConsumerTo,
    pub form: ConsumerForm,
    /// Start position while it has none of its own; `None`: the earliest event.
    pub from: Option<StartPosition>,
    /// Also events that this node published.
    pub own: bool,
    pub filter: Option<Arc<Filter>>,
    /// Line of the filter.
    pub filter_line: Option<DoorLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerTo {
    /// We are the output: connects to IntelMQ's TCP collector.
    IntelMqTcp { connect: String, separator: Option<String> },
    /// Pushes into a bot's queue, and waits while that is longer than `queue_max`.
    IntelMqRedis { queue: RedisQueueSettings, queue_max: u64 },
    /// Writes files, and waits while `incoming` has `queue_max`.
    Spool { dir: PathBuf, queue_max: u64, node: Option<String> },
}

/// How events leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerForm {
    pub form: DeliveryForm,
    /// Bodies of another format are converted to this one.
    pub format: Option<BodyFormat>,
    pub with_type: bool,
    /// Adds `extra.intelmesh.*`, by which a loop through the pipeline is noticed.
    pub annotate: bool,
    /// Sets aside events that would have to be adapted.
    pub strict: bool,
    /// The sender's `time.observation` and `feed.*` replace the receiver's.
    pub sender_feed: SenderFeed,
    /// The receiver's field list; `None`: IntelMQ 3.5.0's.
    pub harmonization: Option<PathBuf>,
    /// The fields of plain events that say which event withdraws or replaces which.
    pub relation_fields: RelationFields,
}

/// Reads both lists of `top`, of a node that listens to peers on `listen`. Problems go into `report`.
pub(super) fn doors(
    (dir, lists): (&Path, &Path),
    listen: &[String],
    top: &TomlSection<'_, '_>,
    report: &mut ConfigReport,
) -> DoorConfigs {
    let mut reading = DoorReading { dir, lists: FileLists::new(lists), names: Vec::new() };
    let submits = top.sections("submit", SUBMIT_KEYS, report);
    let consumers = top.sections("consumer", CONSUMER_KEYS, report);
    let beyond = submits.iter().map(|at| at.line).chain(consumers.iter().map(|at| at.line)).nth(DOORS_MAX);
    if let Some(line) = beyond {
        let (value, wanted) = (format!("door {}", DOORS_MAX + 1), "one of 64 doors at most");
        report.fault(line, ConfigFault::Value { key: "submit".into(), value, wanted });
        return DoorConfigs::default();
    }
    // Names that are given come first: a default gives way to them.
    let consumers = consumers.iter().filter_map(|at| Some((at.line, reading.consumer(at, report)?)));
    let consumers: Vec<_> = consumers.collect();
    let submits: Vec<_> = submits.iter().filter_map(|at| reading.submit(at, report)).collect();
    let submits = submits.into_iter().filter_map(|door| Some((door.line, reading.named(door, report)?)));
    let submits: Vec<_> = submits.collect();
    for (line, fault) in odds::at_odds(&submits, &consumers, listen) {
        report.fault(line, fault);
    }
    DoorConfigs {
        submits: submits.into_iter().map(|(_, door)| door).collect(),
        consumers: consumers.into_iter().map(|(_, door)| door).collect(),
    }
}

struct DoorReading<'d> {
    dir: &'d Path,
    lists: FileLists,
    names: Vec<ConsumerName>,
}

impl DoorReading<'_> {
    fn name(&mut self, at: TomlPosition<&str>, report: &mut ConfigReport) -> Option<ConsumerName> {
        let line = at.line;
        let name = checked(at, "name", ConsumerName::parse, report)?;
        if self.names.contains(&name) {
            report.fault(line, ConfigFault::DoorName(name.to_string()));
            return None;
        }
        self.names.push(name.clone());
        Some(name)
    }

    fn redis_queue(
        &self,
        table: &TomlSection<'_, '_>,
        line: usize,
        report: &mut ConfigReport,
    ) -> Option<RedisQueueSettings> {
        let url = match table.text("url", report) {
            None => {
                missing(
                    line,
                    "url",
                    "url = \"redis://127.0.0.1:6379/2\": where IntelMQ keeps its queues",
                    report,
                );
                None
            }
            Some(at) if REDIS_SCHEMES.iter().any(|scheme| at.value.starts_with(scheme)) => {
                Some((at.line, at.value.to_owned()))
            }
            Some(at) => {
                // Not shown: there may be a password in it.
                let at = TomlPosition {
                    line: at.line,
                    value: at.value.split([':', '/']).next().unwrap_or_default(),
                };
                refuse("url", at, "the beginning of redis://, rediss://, redis+unix:// or unix:", report);
                None
            }
        };
        let queue = match table.text("queue", report) {
            Some(at) if !at.value.is_empty() => Some(at.value.to_owned()),
            Some(at) => {
                refuse("queue", at, "the name of a queue", report);
                None
            }
            None => {
                missing(
                    line,
                    "queue",
                    "queue = \"BOT-queue\": the bot's source or destination queue",
                    report,
                );
                None
            }
        };
        let mut path = |key| table.text(key, report).map(|at| self.dir.join(at.value));
        let (password_file, ca_file) = (path("password_file"), path("ca_file"));
        let (url_line, url) = url?;
        let url_line = DoorLine(url_line);
        Some(RedisQueueSettings { url, url_line, queue: queue?, password_file, ca_file })
    }
}

/// Returns the directory of a spool.
fn spool_dir(
    base: &Path,
    table: &TomlSection<'_, '_>,
    line: usize,
    report: &mut ConfigReport,
) -> Option<PathBuf> {
    match table.text("dir", report) {
        Some(at) if !at.value.is_empty() => Some(base.join(at.value)),
        Some(at) => {
            refuse("dir", at, "the name of a directory", report);
            None
        }
        None => {
            let hint = "dir = \"/var/spool/warden\": the directory with temp, incoming and errors";
            missing(line, "dir", hint, report);
            None
        }
    }
}

const REDIS_KEYS: &[&str] = &["url", "queue", "password_file", "ca_file"];
const REDIS_SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix:"];

/// Refuses settings of another kind of door: they would do nothing here.
fn only(
    table: &TomlSection<'_, '_>,
    one: &'static [&'static str],
    more: &'static [&'static str],
    way: &str,
    report: &mut ConfigReport,
) {
    for key in one.iter().chain(more).filter(|key| table.has(key)) {
        let line = table.line(key, report);
        report.fault(line, ConfigFault::NotOfDoor { key, way: way.to_owned() });
    }
}

fn missing(line: usize, key: &'static str, hint: &'static str, report: &mut ConfigReport) {
    report.fault(line, ConfigFault::Missing { key, hint });
}

fn refuse(key: &str, at: TomlPosition<&str>, wanted: &'static str, report: &mut ConfigReport) {
    let value = at.value.chars().take(120).collect();
    report.fault(at.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
}

fn positive(
    table: &TomlSection<'_, '_>,
    key: &str,
    default: u64,
    most: u64,
    report: &mut ConfigReport,
) -> u64 {
    match table.number(key, report) {
        None => default,
        Some(at) if (1..=most).contains(&at.value) => at.value,
        Some(at) => {
            let (value, wanted) = (at.value.to_string(), "a number from 1 to what this key may be");
            report.fault(at.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
            default
        }
    }
}

fn separator(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<String> {
    let at = table.text("separator", report)?;
    if (1..=SEPARATOR_BYTES_MAX).contains(&at.value.len()) {
        return Some(at.value.to_owned());
    }
    refuse("separator", at, "1 to 8 bytes, like \"\\n\"", report);
    None
}

#[cfg(test)]
mod tests;
