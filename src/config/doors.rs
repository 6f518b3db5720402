//! The doors to the local pipeline, `[[submit]]` and `[[consumer]]` of `intelmesh.toml` (contract §4): where
//! each listens or connects, what it adds to events on their way in, and in which form they leave. Whether
//! the other side is there is not asked here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::filters::{FileLists, filter};
use super::node::{checked, tlp};
use super::problem::Fault;
use super::reading::{At, Report, Section};
use crate::envelope::IdScheme;
use crate::filter::Filter;
use crate::format::{Form, MultipleValues, StripRule};
use crate::identity::PublisherName;
use crate::limits::{ALLOWED_NETWORKS_MAX, DOORS_MAX, RECIPIENTS_MAX, SEPARATOR_BYTES_MAX, STRIP_RULES_MAX};
use crate::policy::Tlp;
use crate::protocol::io::From;
use crate::record::ConsumerName;

pub(super) const SUBMIT_KEYS: &[&str] = &[
    "name",
    "from",
    "listen",
    "allow",
    "separator",
    "url",
    "queue",
    "password_file",
    "ca_file",
    "tlp",
    "to",
    "ids",
    "strip",
    "republish",
    "multiple_values",
    "multiple_values_max",
];
pub(super) const CONSUMER_KEYS: &[&str] = &[
    "name",
    "to",
    "connect",
    "separator",
    "url",
    "queue",
    "queue_max",
    "password_file",
    "ca_file",
    "form",
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

/// How long a Redis queue may grow where nothing is said.
pub const QUEUE_MAX_DEFAULT: u64 = 10_000;

/// All doors of one node, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorConfigs {
    pub submits: Vec<SubmitDoor>,
    pub consumers: Vec<ConsumerDoor>,
}

/// `[[submit]]`: events of the pipeline come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitDoor {
    /// Names the door in status, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub from: SubmitFrom,
    pub adds: DoorAdds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitFrom {
    /// `run/in.sock`, which is always there; such a section says what it adds.
    Socket,
    IntelMqTcp(TcpIn),
    IntelMqRedis(RedisQueue),
}

/// We are the collector: IntelMQ's TCP output connects here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpIn {
    pub listen: SocketAddr,
    /// Who may connect; empty: this machine.
    pub allow: Vec<IpNet>,
    /// Ends each event, instead of a length before it.
    pub separator: Option<String>,
}

/// A queue of a bot of IntelMQ's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisQueue {
    /// `redis://`, `rediss://`, `redis+unix://` or `unix:`, with the database and perhaps a password in it.
    pub url: String,
    pub queue: String,
    /// Holds the password, so that it need not stand in the configuration.
    pub password_file: Option<PathBuf>,
    /// Certificates that the server's is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// What a door adds to each event, or takes off, on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorAdds {
    pub tlp: Option<Tlp>,
    pub to: Vec<PublisherName>,
    pub ids: Option<IdScheme>,
    /// `None`: the default list of IntelMQ's doors, nothing at the socket.
    pub strip: Option<Vec<StripRule>>,
    pub republish: bool,
    pub multiple_values: MultipleValues,
}

/// `[[consumer]]`: accepted events are handed to the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDoor {
    /// Names its position in the journal, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub to: ConsumerTo,
    pub form: ConsumerForm,
    /// Where it begins while it has no position; `None`: with the earliest.
    pub from: Option<From>,
    /// Also what this node is the publisher of.
    pub own: bool,
    pub filter: Option<Arc<Filter>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerTo {
    /// We are the output: connects to IntelMQ's TCP collector.
    IntelMqTcp { connect: String, separator: Option<String> },
    /// Pushes into a bot's queue, and waits while that is longer than `queue_max`.
    IntelMqRedis { queue: RedisQueue, queue_max: u64 },
}

/// How events leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerForm {
    pub form: Form,
    pub with_type: bool,
    /// Adds `extra.intelmesh.*`, by which a loop through the pipeline is noticed.
    pub annotate: bool,
    /// Sets aside what would have to be adapted.
    pub strict: bool,
    /// The sender's `time.observation` and `feed.*` replace the receiver's.
    pub sender_feed: SenderFeed,
    /// The receiver's field list; `None`: IntelMQ 3.5.0's.
    pub harmonization: Option<PathBuf>,
    /// Plain events say what withdraws or replaces them.
    pub relation_fields: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderFeed {
    #[default]
    Replace,
    Keep,
}

/// Reads both lists of `top`. What is wrong goes into `report`.
pub(super) fn doors(dir: &Path, lists: &Path, top: &Section<'_, '_>, report: &mut Report) -> DoorConfigs {
    let mut reading = Reading { dir, lists: FileLists::new(lists), names: Vec::new() };
    let submits = top.sections("submit", SUBMIT_KEYS, report);
    let consumers = top.sections("consumer", CONSUMER_KEYS, report);
    let beyond = submits.iter().map(|at| at.line).chain(consumers.iter().map(|at| at.line)).nth(DOORS_MAX);
    if let Some(line) = beyond {
        let (value, wanted) = (format!("door {}", DOORS_MAX + 1), "one of 64 doors at most");
        report.fault(line, Fault::Value { key: "submit".into(), value, wanted });
        return DoorConfigs::default();
    }
    // Names that are given come first: a default gives way to them.
    let consumers = consumers.iter().filter_map(|at| reading.consumer(at, report)).collect();
    let submits: Vec<_> = submits.iter().filter_map(|at| reading.submit(at, report)).collect();
    let submits = submits.into_iter().filter_map(|door| reading.named(door, report)).collect();
    DoorConfigs { submits, consumers }
}

struct Reading<'d> {
    dir: &'d Path,
    lists: FileLists,
    names: Vec<ConsumerName>,
}

/// A door whose default name is still to be found.
struct Unnamed {
    given: Option<ConsumerName>,
    kind: &'static str,
    line: usize,
    from: SubmitFrom,
    adds: DoorAdds,
}

impl Reading<'_> {
    fn submit(&mut self, at: &At<Section<'_, '_>>, report: &mut Report) -> Option<Unnamed> {
        let (line, table) = (at.line, &at.value);
        let given = match table.text("name", report) {
            Some(name) => Some(self.name(name, report)?),
            None => None,
        };
        let adds = adds(table, report);
        let hint = "from = \"intelmq-tcp\", \"intelmq-redis\" or \"socket\"";
        let Some(from) = table.text("from", report) else {
            missing(line, "from", hint, report);
            return None;
        };
        let (kind, from) = match from.value {
            "socket" => {
                only(table, &[], &["listen", "allow", "separator"], "at the socket", report);
                only(table, &[], REDIS_KEYS, "at the socket", report);
                ("socket", Some(SubmitFrom::Socket))
            }
            "intelmq-tcp" => {
                only(table, &[], REDIS_KEYS, "from intelmq-tcp", report);
                ("intelmq-tcp", tcp_in(table, line, report).map(SubmitFrom::IntelMqTcp))
            }
            "intelmq-redis" => {
                only(table, &[], &["listen", "allow", "separator"], "from intelmq-redis", report);
                let queue = self.redis_queue(table, line, report);
                ("intelmq-redis", queue.map(SubmitFrom::IntelMqRedis))
            }
            _ => {
                let wanted = "\"intelmq-tcp\", \"intelmq-redis\" or \"socket\"";
                refuse("from", from, wanted, report);
                return None;
            }
        };
        Some(Unnamed { given, kind, line, from: from?, adds })
    }

    /// Gives a door its name: its own, or that of its kind with a number from the second on.
    fn named(&mut self, door: Unnamed, report: &mut Report) -> Option<SubmitDoor> {
        let Unnamed { given, kind, line, from, adds } = door;
        if from == SubmitFrom::Socket && given.is_some() {
            let way = "at the socket".to_owned();
            report.fault(line, Fault::NotOfDoor { key: "name", way });
            return None;
        }
        let name = match given {
            Some(name) => name,
            None => {
                let numbered = |number: usize| match number {
                    1 => kind.to_owned(),
                    _ => format!("{kind}-{number}"),
                };
                let free =
                    (1..).map(numbered).find(|name| self.names.iter().all(|known| known.as_str() != name));
                let name = ConsumerName::parse(&free?).ok()?;
                if from == SubmitFrom::Socket && name.as_str() != kind {
                    report.fault(line, Fault::DoorName(kind.to_owned()));
                    return None;
                }
                self.names.push(name.clone());
                name
            }
        };
        Some(SubmitDoor { name, from, adds })
    }

    fn name(&mut self, at: At<&str>, report: &mut Report) -> Option<ConsumerName> {
        let line = at.line;
        let name = checked(at, "name", ConsumerName::parse, report)?;
        if self.names.contains(&name) {
            report.fault(line, Fault::DoorName(name.to_string()));
            return None;
        }
        self.names.push(name.clone());
        Some(name)
    }

    fn consumer(&mut self, at: &At<Section<'_, '_>>, report: &mut Report) -> Option<ConsumerDoor> {
        let (line, table) = (at.line, &at.value);
        let filter = filter(table, "filter", &self.lists, report);
        let name = match table.text("name", report) {
            Some(name) => self.name(name, report),
            None => {
                missing(line, "name", "name = \"pipeline\": its position is kept under this name", report);
                None
            }
        };
        let form = self.form(table, report);
        let own = table.flag("own", report).unwrap_or(false);
        let from = from(table, report);
        let hint = "to = \"intelmq-tcp\" or \"intelmq-redis\"";
        let Some(to) = table.text("to", report) else {
            missing(line, "to", hint, report);
            return None;
        };
        let to = match to.value {
            "intelmq-tcp" => {
                only(table, &["queue_max"], REDIS_KEYS, "to intelmq-tcp", report);
                tcp_out(table, line, report)
            }
            "intelmq-redis" => {
                only(table, &["connect"], &["separator"], "to intelmq-redis", report);
                let queue = self.redis_queue(table, line, report);
                let queue_max = positive(table, "queue_max", QUEUE_MAX_DEFAULT, u64::MAX, report);
                queue.map(|queue| ConsumerTo::IntelMqRedis { queue, queue_max })
            }
            _ => {
                refuse("to", to, "\"intelmq-tcp\" or \"intelmq-redis\"", report);
                None
            }
        };
        Some(ConsumerDoor { name: name?, to: to?, form: form?, from, own, filter })
    }

    fn form(&self, table: &Section<'_, '_>, report: &mut Report) -> Option<ConsumerForm> {
        let form = match table.text("form", report) {
            None => Some(Form::Plain),
            Some(at) => {
                let form = Form::parse(at.value);
                if form.is_none() {
                    refuse("form", at, "\"plain\", \"iep04\" or \"ail\"", report);
                }
                form
            }
        };
        let sender_feed = match table.text("sender_feed", report) {
            None => SenderFeed::default(),
            Some(At { value: "replace", .. }) => SenderFeed::Replace,
            Some(At { value: "keep", .. }) => SenderFeed::Keep,
            Some(at) => {
                refuse("sender_feed", at, "\"replace\" or \"keep\"", report);
                return None;
            }
        };
        let mut flag = |key, default| table.flag(key, report).unwrap_or(default);
        Some(ConsumerForm {
            with_type: flag("type", false),
            annotate: flag("annotate", true),
            strict: flag("strict", false),
            relation_fields: flag("relation_fields", false),
            harmonization: table.text("harmonization", report).map(|at| self.dir.join(at.value)),
            form: form?,
            sender_feed,
        })
    }

    fn redis_queue(&self, table: &Section<'_, '_>, line: usize, report: &mut Report) -> Option<RedisQueue> {
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
                Some(at.value.to_owned())
            }
            Some(at) => {
                // Not shown: there may be a password in it.
                let at = At { line: at.line, value: at.value.split([':', '/']).next().unwrap_or_default() };
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
        Some(RedisQueue { url: url?, queue: queue?, password_file, ca_file })
    }
}

const REDIS_KEYS: &[&str] = &["url", "queue", "password_file", "ca_file"];
const REDIS_SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix:"];

/// What belongs to another kind of door is a slip: it would do nothing here.
fn only(
    table: &Section<'_, '_>,
    one: &'static [&'static str],
    more: &'static [&'static str],
    way: &str,
    report: &mut Report,
) {
    for key in one.iter().chain(more).filter(|key| table.has(key)) {
        let line = table.line(key, report);
        report.fault(line, Fault::NotOfDoor { key, way: way.to_owned() });
    }
}

fn missing(line: usize, key: &'static str, hint: &'static str, report: &mut Report) {
    report.fault(line, Fault::Missing { key, hint });
}

fn refuse(key: &str, at: At<&str>, wanted: &'static str, report: &mut Report) {
    let value = at.value.chars().take(120).collect();
    report.fault(at.line, Fault::Value { key: key.to_owned(), value, wanted });
}

fn positive(table: &Section<'_, '_>, key: &str, default: u64, most: u64, report: &mut Report) -> u64 {
    match table.number(key, report) {
        None => default,
        Some(at) if (1..=most).contains(&at.value) => at.value,
        Some(at) => {
            let (value, wanted) = (at.value.to_string(), "a number from 1 to what this key may be");
            report.fault(at.line, Fault::Value { key: key.to_owned(), value, wanted });
            default
        }
    }
}

fn tcp_in(table: &Section<'_, '_>, line: usize, report: &mut Report) -> Option<TcpIn> {
    let allow = networks(table, report);
    let separator = separator(table, report);
    let listen = match table.text("listen", report) {
        None => {
            missing(
                line,
                "listen",
                "listen = \"127.0.0.1:5000\": where IntelMQ's TCP output connects",
                report,
            );
            return None;
        }
        Some(at) => match at.value.parse::<SocketAddr>() {
            Ok(listen) => At { line: at.line, value: listen },
            Err(_) => {
                refuse("listen", at, "an address and a port, like \"127.0.0.1:5000\"", report);
                return None;
            }
        },
    };
    if !listen.value.ip().is_loopback() && allow.is_empty() {
        report.fault(listen.line, Fault::OpenDoor(listen.value));
        return None;
    }
    Some(TcpIn { listen: listen.value, allow, separator })
}

fn networks(table: &Section<'_, '_>, report: &mut Report) -> Vec<IpNet> {
    let texts = if table.has("allow") { table.texts("allow", report) } else { None }.unwrap_or_default();
    let mut networks = Vec::with_capacity(texts.len().min(ALLOWED_NETWORKS_MAX));
    for at in texts {
        let network = at.value.parse::<IpNet>().ok();
        let network = network.or_else(|| at.value.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        match network {
            Some(_) if networks.len() >= ALLOWED_NETWORKS_MAX => {
                refuse("allow", at, "one of 64 networks at most", report);
                break;
            }
            Some(network) => networks.push(network),
            None => refuse("allow", at, "a network, like \"192.0.2.0/24\"", report),
        }
    }
    networks
}

fn separator(table: &Section<'_, '_>, report: &mut Report) -> Option<String> {
    let at = table.text("separator", report)?;
    if (1..=SEPARATOR_BYTES_MAX).contains(&at.value.len()) {
        return Some(at.value.to_owned());
    }
    refuse("separator", at, "1 to 8 bytes, like \"\\n\"", report);
    None
}

fn tcp_out(table: &Section<'_, '_>, line: usize, report: &mut Report) -> Option<ConsumerTo> {
    let separator = separator(table, report);
    let Some(at) = table.text("connect", report) else {
        let hint = "connect = \"127.0.0.1:5001\": where IntelMQ's TCP collector listens";
        missing(line, "connect", hint, report);
        return None;
    };
    let port =
        at.value.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Some(ConsumerTo::IntelMqTcp { connect: at.value.to_owned(), separator }),
        _ => {
            refuse("connect", at, "a host and a port, like \"127.0.0.1:5001\"", report);
            None
        }
    }
}

fn from(table: &Section<'_, '_>, report: &mut Report) -> Option<From> {
    if !table.has("from") {
        return None;
    }
    if !table.is_text("from") {
        return table.number("from", report).map(|at| From::Seq(at.value));
    }
    let at = table.text("from", report)?;
    let from = From::parse(at.value);
    if from.is_none() {
        refuse("from", at, "\"earliest\", \"now\", a seq or an RFC 3339 time", report);
    }
    from
}

fn adds(table: &Section<'_, '_>, report: &mut Report) -> DoorAdds {
    let ids = table.text("ids", report).and_then(|at| match at.value {
        "random" => Some(IdScheme::Random),
        "content" => Some(IdScheme::Content),
        "body" => Some(IdScheme::Body),
        _ => {
            refuse("ids", at, "\"random\", \"content\" or \"body\"", report);
            None
        }
    });
    DoorAdds {
        tlp: tlp(table, "tlp", report),
        to: recipients(table, report),
        ids,
        strip: strip(table, report),
        republish: table.flag("republish", report).unwrap_or(false),
        multiple_values: multiple_values(table, report),
    }
}

fn strip(table: &Section<'_, '_>, report: &mut Report) -> Option<Vec<StripRule>> {
    if !table.has("strip") {
        return None;
    }
    let texts = table.texts("strip", report)?;
    if let Some(beyond) = texts.get(STRIP_RULES_MAX) {
        refuse("strip", beyond.clone(), "one of 64 fields at most", report);
    }
    let mut rules = Vec::with_capacity(texts.len().min(STRIP_RULES_MAX));
    for at in texts {
        match StripRule::parse(at.value) {
            Ok(rule) => rules.push(rule),
            Err(fault) => report.fault(at.line, Fault::Strip(fault)),
        }
    }
    Some(rules)
}

fn recipients(table: &Section<'_, '_>, report: &mut Report) -> Vec<PublisherName> {
    let texts = if table.has("to") { table.texts("to", report) } else { None }.unwrap_or_default();
    if let Some(beyond) = texts.get(RECIPIENTS_MAX) {
        refuse("to", beyond.clone(), "one of 256 recipients at most", report);
    }
    texts.into_iter().filter_map(|at| checked(at, "to", PublisherName::parse, report)).collect()
}

fn multiple_values(table: &Section<'_, '_>, report: &mut Report) -> MultipleValues {
    let most = u64::from(MultipleValues::MOST);
    let most = positive(table, "multiple_values_max", most, most, report);
    match table.text("multiple_values", report) {
        None | Some(At { value: "refuse", .. }) => MultipleValues::Refuse,
        Some(At { value: "explode", .. }) => {
            MultipleValues::Explode { most: u16::try_from(most).unwrap_or(MultipleValues::MOST) }
        }
        Some(at) => {
            refuse("multiple_values", at, "\"refuse\" or \"explode\"", report);
            MultipleValues::Refuse
        }
    }
}

#[cfg(test)]
mod tests;
