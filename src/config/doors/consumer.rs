//! `[[consumer]]`: one door out of the mesh, as typed.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::warden::SERVER_KEYS;
use super::{
    DoorKind, DoorReading, DoorSection, QUEUE_MAX_DEFAULT, RELATION_KEYS, all_words, positive, separator,
    spool_dir,
};
use crate::config::filters::filter;
use crate::config::problem::ConfigFault;
use crate::config::reading::{ConfigReport, TomlSection};
use crate::door::{
    ConsumerForm, ConsumerSettings, ConsumerTarget, DoorLine, FeedTarget, SpoolTarget, TcpTarget,
};
use crate::format::DeliveryForm;
use crate::format::foreign::feed::FeedIdentity;
use crate::format::foreign::{BodyFormat, is_node_name};
use crate::format::intelmq::{Harmonization, RelationFields, SenderFeed};
use crate::identity::parse_uuid;
use crate::limits::{FEED_INTERVAL_MS_DEFAULT, FEED_INTERVAL_MS_MAX, FEED_INTERVAL_MS_MIN};
use crate::protocol::io::StartPosition;

/// The kinds of `to`.
pub(super) const KINDS: &[DoorKind<ConsumerTarget>] = &[
    DoorKind {
        word: "intelmq-tcp",
        keys: &["connect", "separator"],
        read: |_, at, report| tcp_target(at, report).map(ConsumerTarget::IntelmqTcp),
    },
    DoorKind {
        word: "intelmq-redis",
        keys: &["url", "queue", "password_file", "ca_file", "queue_max"],
        read: |reading, at, report| {
            let queue = reading.redis_queue(at, report);
            let queue_max = positive(&at.value, "queue_max", QUEUE_MAX_DEFAULT, u64::MAX, report);
            Some(ConsumerTarget::IntelmqRedis { queue: queue?, queue_max })
        },
    },
    DoorKind {
        word: "spool",
        keys: &["dir", "queue_max", "node"],
        read: |reading, at, report| {
            let dir = spool_dir(reading, at, report);
            let queue_max = positive(&at.value, "queue_max", QUEUE_MAX_DEFAULT, u64::MAX, report);
            let wanted = "a name like \"org.example.mesh\"";
            let node =
                at.value.choice("node", wanted, report, |text| is_node_name(text).then(|| text.to_owned()));
            Some(ConsumerTarget::Spool(SpoolTarget { dir: dir?, queue_max, node }))
        },
    },
    DoorKind {
        word: "misp-feed",
        keys: &["dir", "org", "org_uuid", "interval"],
        read: |reading, at, report| feed_target(reading, at, report).map(ConsumerTarget::MispFeed),
    },
    DoorKind {
        word: "warden",
        keys: SERVER_KEYS,
        read: |reading, at, report| {
            // It takes messages of IDEA, and nothing around them.
            at.value.choice("format", "\"idea\"", report, |text| (text == "idea").then_some(()));
            at.value.choice("form", "\"plain\"", report, |text| (text == "plain").then_some(()));
            reading.warden_server(at, report).map(ConsumerTarget::Warden)
        },
    },
];
static WORDS: LazyLock<String> = LazyLock::new(|| all_words(KINDS));

impl DoorReading<'_> {
    pub(super) fn consumer(
        &mut self,
        at: &DoorSection<'_, '_>,
        report: &mut ConfigReport,
    ) -> Option<ConsumerSettings> {
        let (line, table) = (at.line, &at.value);
        let filter = filter(table, "filter", &self.lists, report);
        let filter_line = table.line_where_typed("filter", report).map(DoorLine);
        let name = match table.text("name", report) {
            Some(name) => self.name(name, report),
            None => {
                report.missing(line, "name", "name = \"pipeline\": its position is kept under this name");
                None
            }
        };
        let form = self.form(table, report);
        let own = table.flag("own", report).unwrap_or(false);
        let from = from(table, report);
        let to = self.kind(("to", "to = \"intelmq-tcp\": the kind of the door", &WORDS), KINDS, at, report);
        Some(ConsumerSettings { name: name?, to: to?, form, from, own, filter, filter_line })
    }

    fn form(&self, table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> ConsumerForm {
        let wanted = "\"plain\", \"iep04\" or \"ail\"";
        let form = table.choice("form", wanted, report, DeliveryForm::parse);
        let wanted = "\"intelmq\", \"idea\" or \"n6\"";
        let format = table.choice("format", wanted, report, BodyFormat::parse);
        let wanted = "\"replace\" or \"keep\"";
        let sender_feed = table.choice("sender_feed", wanted, report, SenderFeed::parse);
        let harmonization = self.harmonization(table, report);
        let annotate = table.flag("annotate", report).unwrap_or(true);
        ConsumerForm {
            form: form.unwrap_or(DeliveryForm::Plain),
            format,
            sender_feed: sender_feed.unwrap_or_default(),
            with_type: table.flag("type", report).unwrap_or(false),
            strict: table.flag("strict", report).unwrap_or(false),
            annotate,
            relation_fields: relation_fields(table, annotate, report),
            harmonization,
        }
    }

    /// The receiver's field list, which must be one now.
    fn harmonization(&self, table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<PathBuf> {
        let at = table.text("harmonization", report)?;
        let file = self.dir.join(at.value);
        if let Err(fault) = Harmonization::load(&file) {
            report.fault(at.line, ConfigFault::Harmonization(fault.to_string()));
        }
        Some(file)
    }
}

/// Returns the feed of a door. Its organisation needs a UUID that stays the same for ever, so there is no default.
fn feed_target(
    reading: &DoorReading<'_>,
    at: &DoorSection<'_, '_>,
    report: &mut ConfigReport,
) -> Option<FeedTarget> {
    for (key, hint) in [
        ("dir", "dir = \"/srv/misp-feed\": the directory that MISP reads"),
        ("org", "org = \"CERT Example\": the name of your organisation in MISP"),
        ("org_uuid", "org_uuid = \"…\": the UUID of your organisation in MISP"),
    ] {
        if !at.value.has(key) {
            report.missing(at.line, key, hint);
        }
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let dir = at.value.choice("dir", "the name of a directory", report, text);
    let org = at.value.choice("org", "the name of an organisation", report, text);
    let org_uuid = at.value.choice("org_uuid", "a UUID of version 1 to 7", report, |text| {
        parse_uuid(text).ok().filter(|uuid| (1..=7).contains(&uuid.get_version_num()))
    });
    let wanted = "a time from \"1m\" to \"24h\", like \"1h\"";
    let interval = at.value.choice("interval", wanted, report, |text| {
        let ms = u64::try_from(text.parse::<jiff::SignedDuration>().ok()?.as_millis()).ok()?;
        (FEED_INTERVAL_MS_MIN..=FEED_INTERVAL_MS_MAX).contains(&ms).then_some(ms)
    });
    let interval_ms = interval.unwrap_or(FEED_INTERVAL_MS_DEFAULT);
    let identity = FeedIdentity { org: org?, org_uuid: org_uuid?, interval_ms };
    Some(FeedTarget { dir: reading.dir.join(dir?), identity })
}

fn tcp_target(at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<TcpTarget> {
    let separator = separator(&at.value, report);
    let Some(connect) = at.value.text("connect", report) else {
        let hint = "connect = \"127.0.0.1:5001\": where IntelMQ's TCP collector listens";
        report.missing(at.line, "connect", hint);
        return None;
    };
    let host_and_port = connect.value.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if !host_and_port.is_some_and(|(_, port)| matches!(port.parse::<u16>(), Ok(1..))) {
        report.refuse("connect", &connect, "a host and a port, like \"127.0.0.1:5001\"");
        return None;
    }
    Some(TcpTarget { connect: connect.value.to_owned(), separator })
}

fn from(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<StartPosition> {
    if !table.has("from") {
        return None;
    }
    if !table.is_text("from") {
        return table.number("from", report).map(|at| StartPosition::Seq(at.value));
    }
    let wanted = "\"earliest\", \"now\", a seq or an RFC 3339 time";
    table.choice("from", wanted, report, StartPosition::parse)
}

/// `false`, or the names of fields; those left out keep theirs, an empty one tells nothing. Without annotations
/// there are none of ours, unless they are named.
fn relation_fields(table: &TomlSection<'_, '_>, annotate: bool, report: &mut ConfigReport) -> RelationFields {
    let none = || RelationFields::new("", "", "", "").unwrap_or_default();
    if !table.has("relation_fields") {
        return if annotate { RelationFields::default() } else { none() };
    }
    if table.is_flag("relation_fields") {
        let told = table.flag("relation_fields", report).unwrap_or(true);
        return if told { RelationFields::default() } else { none() };
    }
    let line = table.line("relation_fields", report);
    let Some(names) = table.section("relation_fields", RELATION_KEYS, &[], report) else { return none() };
    let mut name = |key: &str| match names.text(key, report) {
        Some(at) => at.value.to_owned(),
        None if annotate => format!("extra.intelmesh.{key}"),
        None => String::new(),
    };
    let [withdraws, replaces] = ["withdraws", "replaces"].map(&mut name);
    let [withdrawn_by, replaced_by] = ["withdrawn_by", "replaced_by"].map(&mut name);
    RelationFields::new(&withdraws, &replaces, &withdrawn_by, &replaced_by).unwrap_or_else(|fault| {
        report.fault(line, ConfigFault::RelationFields(fault));
        none()
    })
}
