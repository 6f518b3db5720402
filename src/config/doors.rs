//! The doors to the local pipeline, `[[submit]]` and `[[consumer]]` of `intelmesh.toml` (CONTRACT.md §4). Each has an
//! address to listen on or to connect to, fields that it adds to incoming events, and a form in which events leave.
//! This module does not check if the other side is there.

mod consumer;
mod odds;
mod submit;
mod warden;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::filters::FileLists;
use super::problem::ConfigFault;
use super::reading::{ConfigReport, TomlPosition, TomlSection, checked};
use crate::door::{DoorLine, DoorSettings, RedisQueue};
use crate::limits::{DOORS_MAX, SEPARATOR_BYTES_MAX};
use crate::record::ConsumerName;

/// Keys that a `[[submit]]` of any kind may have.
const SUBMIT_SHARED: &[&str] = &[
    "name",
    "from",
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
/// Keys that a `[[consumer]]` of any kind may have.
const CONSUMER_SHARED: &[&str] = &[
    "name",
    "to",
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
const RELATION_KEYS: &[&str] = &["withdraws", "replaces", "withdrawn_by", "replaced_by"];
const REDIS_KEYS: &[&str] = &["url", "queue", "password_file", "ca_file"];
const REDIS_SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix:"];

pub(super) static SUBMIT_KEYS: LazyLock<Vec<&str>> = LazyLock::new(|| all_keys(SUBMIT_SHARED, submit::KINDS));
pub(super) static CONSUMER_KEYS: LazyLock<Vec<&str>> =
    LazyLock::new(|| all_keys(CONSUMER_SHARED, consumer::KINDS));

/// Maximum length of a Redis queue if the configuration gives none.
const QUEUE_MAX_DEFAULT: u64 = 10_000;

type DoorSection<'a, 'i> = TomlPosition<TomlSection<'a, 'i>>;

/// One kind of door as an operator types it: its word, the keys of its own, and their reader.
struct DoorKind<T> {
    word: &'static str,
    keys: &'static [&'static str],
    read: fn(&DoorReading<'_>, &DoorSection<'_, '_>, &mut ConfigReport) -> Option<T>,
}

fn all_keys<T>(shared: &[&'static str], kinds: &[DoorKind<T>]) -> Vec<&'static str> {
    let own: BTreeSet<_> = kinds.iter().flat_map(|kind| kind.keys).copied().collect();
    shared.iter().copied().chain(own).collect()
}

/// Returns the words of all kinds, as messages list them.
fn all_words<T>(kinds: &[DoorKind<T>]) -> String {
    let words: Vec<_> = kinds.iter().map(|kind| format!("\"{}\"", kind.word)).collect();
    words.join(" or ")
}

/// Reads both lists of `top`, of a node that listens to peers on `listen`. Problems go into `report`.
pub(super) fn doors(
    (dir, lists): (&Path, &Path),
    listen: &[String],
    top: &TomlSection<'_, '_>,
    report: &mut ConfigReport,
) -> DoorSettings {
    let mut reading = DoorReading { dir, lists: FileLists::new(lists), names: Vec::new() };
    let submits = top.sections("submit", &SUBMIT_KEYS, report);
    let consumers = top.sections("consumer", &CONSUMER_KEYS, report);
    let beyond = submits.iter().map(|at| at.line).chain(consumers.iter().map(|at| at.line)).nth(DOORS_MAX);
    if let Some(line) = beyond {
        let value = format!("door {}", DOORS_MAX + 1);
        report.refuse("submit", &TomlPosition { line, value }, "one of 64 doors at most");
        return DoorSettings::default();
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
    DoorSettings {
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

    /// Reads which kind of door `at` is, and the keys of that kind. Keys of other kinds are refused: they would do
    /// nothing here.
    fn kind<T>(
        &self,
        (key, example, wanted): (&'static str, &'static str, &'static str),
        kinds: &'static [DoorKind<T>],
        at: &DoorSection<'_, '_>,
        report: &mut ConfigReport,
    ) -> Option<T> {
        let Some(word) = at.value.text(key, report) else {
            report.missing(at.line, key, example);
            return None;
        };
        let Some(kind) = kinds.iter().find(|kind| kind.word == word.value) else {
            report.refuse(key, &word, wanted);
            return None;
        };
        let others: BTreeSet<_> = kinds.iter().flat_map(|other| other.keys).copied().collect();
        for own in others.into_iter().filter(|own| !kind.keys.contains(own) && at.value.has(own)) {
            let way = format!("{key} {}", kind.word);
            report.fault(at.value.line(own, report), ConfigFault::NotOfDoor { key: own, way });
        }
        (kind.read)(self, at, report)
    }

    fn redis_queue(&self, at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<RedisQueue> {
        let (line, table) = (at.line, &at.value);
        let url = match table.text("url", report) {
            None => {
                let hint = "url = \"redis://127.0.0.1:6379/2\": where IntelMQ keeps its queues";
                report.missing(line, "url", hint);
                None
            }
            Some(at) if REDIS_SCHEMES.iter().any(|scheme| at.value.starts_with(scheme)) => {
                Some((at.value.to_owned(), DoorLine(at.line)))
            }
            Some(at) => {
                // Not shown: there may be a password in it.
                let value = at.value.split([':', '/']).next().unwrap_or_default();
                let wanted = "the beginning of redis://, rediss://, redis+unix:// or unix:";
                report.refuse("url", &TomlPosition { line: at.line, value }, wanted);
                None
            }
        };
        if !table.has("queue") {
            let hint = "queue = \"BOT-queue\": the bot's source or destination queue";
            report.missing(line, "queue", hint);
        }
        let queue = table.choice("queue", "the name of a queue", report, |text| {
            (!text.is_empty()).then(|| text.to_owned())
        });
        let mut path = |key| table.text(key, report).map(|at| self.dir.join(at.value));
        let (password_file, ca_file) = (path("password_file"), path("ca_file"));
        let (url, url_line) = url?;
        Some(RedisQueue { url, url_line, queue: queue?, password_file, ca_file })
    }
}

/// Returns the directory of a spool.
fn spool_dir(
    reading: &DoorReading<'_>,
    at: &DoorSection<'_, '_>,
    report: &mut ConfigReport,
) -> Option<PathBuf> {
    if !at.value.has("dir") {
        let hint = "dir = \"/var/spool/warden\": the directory with temp, incoming and errors";
        report.missing(at.line, "dir", hint);
    }
    at.value.choice("dir", "the name of a directory", report, |text| {
        (!text.is_empty()).then(|| reading.dir.join(text))
    })
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
            report.refuse(key, &at, "a number from 1 to what this key may be");
            default
        }
    }
}

fn separator(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<String> {
    table.choice("separator", "1 to 8 bytes, like \"\\n\"", report, |text| {
        (1..=SEPARATOR_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests;
