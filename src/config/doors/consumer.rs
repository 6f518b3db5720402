//! `[[consumer]]`: one door out of the mesh, as typed.

use std::path::PathBuf;

use super::{
    ConsumerDoorSettings, ConsumerForm, ConsumerTo, DoorLine, DoorReading, QUEUE_MAX_DEFAULT, REDIS_KEYS,
    RELATION_KEYS, missing, only, positive, refuse, separator, spool_dir,
};
use crate::config::filters::filter;
use crate::config::problem::ConfigFault;
use crate::config::reading::{ConfigReport, TomlPosition, TomlSection};
use crate::format::DeliveryForm;
use crate::format::foreign::{BodyFormat, is_node_name};
use crate::format::intelmq::{Harmonization, RelationFields, SenderFeed};
use crate::protocol::io::StartPosition;

impl DoorReading<'_> {
    pub(super) fn consumer(
        &mut self,
        at: &TomlPosition<TomlSection<'_, '_>>,
        report: &mut ConfigReport,
    ) -> Option<ConsumerDoorSettings> {
        let (line, table) = (at.line, &at.value);
        let filter = filter(table, "filter", &self.lists, report);
        let filter_line = table.line_where_typed("filter", report).map(DoorLine);
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
        let hint = "to = \"intelmq-tcp\", \"intelmq-redis\" or \"spool\"";
        let Some(to) = table.text("to", report) else {
            missing(line, "to", hint, report);
            return None;
        };
        if to.value != "spool" {
            only(table, &["dir", "node"], &[], "here: it is for a spool", report);
        }
        let to = match to.value {
            "spool" => {
                only(table, &["connect"], &["separator"], "to spool", report);
                only(table, &[], REDIS_KEYS, "to spool", report);
                let dir = spool_dir(self.dir, table, line, report);
                let queue_max = positive(table, "queue_max", QUEUE_MAX_DEFAULT, u64::MAX, report);
                let node = table.text("node", report).map(|at| {
                    if !is_node_name(at.value) {
                        refuse("node", at.clone(), "a name like \"org.example.mesh\"", report);
                    }
                    at.value.to_owned()
                });
                dir.map(|dir| ConsumerTo::Spool { dir, queue_max, node })
            }
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
                refuse("to", to, "\"intelmq-tcp\", \"intelmq-redis\" or \"spool\"", report);
                None
            }
        };
        Some(ConsumerDoorSettings { name: name?, to: to?, form: form?, from, own, filter, filter_line })
    }

    fn form(&self, table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<ConsumerForm> {
        let form = match table.text("form", report) {
            None => Some(DeliveryForm::Plain),
            Some(at) => {
                let form = DeliveryForm::parse(at.value);
                if form.is_none() {
                    refuse("form", at, "\"plain\", \"iep04\" or \"ail\"", report);
                }
                form
            }
        };
        let sender_feed = match table.text("sender_feed", report) {
            None => Some(SenderFeed::default()),
            Some(at) => {
                let choice = SenderFeed::parse(at.value);
                if choice.is_none() {
                    refuse("sender_feed", at, "\"replace\" or \"keep\"", report);
                }
                choice
            }
        };
        let format = table.text("format", report).and_then(|at| {
            let format = BodyFormat::parse(at.value);
            if format.is_none() {
                refuse("format", at, "\"intelmq\", \"idea\" or \"n6\"", report);
            }
            format
        });
        let harmonization = self.harmonization(table, report);
        let annotate = table.flag("annotate", report).unwrap_or(true);
        let relation_fields = relation_fields(table, annotate, report);
        let mut flag = |key, default| table.flag(key, report).unwrap_or(default);
        Some(ConsumerForm {
            with_type: flag("type", false),
            strict: flag("strict", false),
            annotate,
            relation_fields,
            harmonization,
            format,
            form: form?,
            sender_feed: sender_feed?,
        })
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

fn tcp_out(table: &TomlSection<'_, '_>, line: usize, report: &mut ConfigReport) -> Option<ConsumerTo> {
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

fn from(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<StartPosition> {
    if !table.has("from") {
        return None;
    }
    if !table.is_text("from") {
        return table.number("from", report).map(|at| StartPosition::Seq(at.value));
    }
    let at = table.text("from", report)?;
    let from = StartPosition::parse(at.value);
    if from.is_none() {
        refuse("from", at, "\"earliest\", \"now\", a seq or an RFC 3339 time", report);
    }
    from
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
