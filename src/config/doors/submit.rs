//! `[[submit]]`: one door into the mesh, as typed.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{
    DoorAdds, DoorReading, REDIS_KEYS, SubmitDoorSettings, SubmitFrom, TcpInSettings, missing, only,
    positive, refuse, separator, spool_dir,
};
use crate::config::node::{checked, tlp};
use crate::config::problem::ConfigFault;
use crate::config::reading::{ConfigReport, TomlPosition, TomlSection};
use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::format::{MultipleValues, StripRule};
use crate::identity::PublisherName;
use crate::limits::{ALLOWED_NETWORKS_MAX, RECIPIENTS_MAX, STRIP_RULES_MAX};
use crate::record::ConsumerName;

/// A door without its default name, which is still to be found.
pub(super) struct Unnamed {
    given: Option<ConsumerName>,
    kind: &'static str,
    pub(super) line: usize,
    from: SubmitFrom,
    adds: DoorAdds,
}

impl DoorReading<'_> {
    pub(super) fn submit(
        &mut self,
        at: &TomlPosition<TomlSection<'_, '_>>,
        report: &mut ConfigReport,
    ) -> Option<Unnamed> {
        let (line, table) = (at.line, &at.value);
        let given = match table.text("name", report) {
            Some(name) => Some(self.name(name, report)?),
            None => None,
        };
        let adds = adds(table, report);
        let hint = "from = \"intelmq-tcp\", \"intelmq-redis\", \"spool\" or \"socket\"";
        let Some(from) = table.text("from", report) else {
            missing(line, "from", hint, report);
            return None;
        };
        if from.value != "spool" {
            only(table, &["dir"], &["format"], "here: it is for a spool", report);
        }
        let (kind, from) = match from.value {
            "spool" => {
                only(table, &[], &["listen", "allow", "separator", "answers"], "from spool", report);
                only(table, &[], REDIS_KEYS, "from spool", report);
                let dir = spool_dir(self.dir, table, line, report);
                let format = spool_format(table, report);
                ("spool", dir.zip(format).map(|(dir, format)| SubmitFrom::Spool { dir, format }))
            }
            "socket" => {
                only(table, &[], &["listen", "allow", "separator", "answers"], "at the socket", report);
                only(table, &[], REDIS_KEYS, "at the socket", report);
                ("socket", Some(SubmitFrom::Socket))
            }
            "intelmq-tcp" => {
                only(table, &[], REDIS_KEYS, "from intelmq-tcp", report);
                ("intelmq-tcp", tcp_in(table, line, report).map(SubmitFrom::IntelMqTcp))
            }
            "intelmq-redis" => {
                only(table, &[], &["listen", "allow", "separator", "answers"], "from intelmq-redis", report);
                let queue = self.redis_queue(table, line, report);
                ("intelmq-redis", queue.map(SubmitFrom::IntelMqRedis))
            }
            _ => {
                let wanted = "\"intelmq-tcp\", \"intelmq-redis\", \"spool\" or \"socket\"";
                refuse("from", from, wanted, report);
                return None;
            }
        };
        Some(Unnamed { given, kind, line, from: from?, adds })
    }

    /// Gives a door its name: its own, or that of its kind with a number from the second on.
    pub(super) fn named(&mut self, door: Unnamed, report: &mut ConfigReport) -> Option<SubmitDoorSettings> {
        let Unnamed { given, kind, line, from, adds } = door;
        if from == SubmitFrom::Socket && given.is_some() {
            let way = "at the socket".to_owned();
            report.fault(line, ConfigFault::NotOfDoor { key: "name", way });
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
                    report.fault(line, ConfigFault::DoorName(kind.to_owned()));
                    return None;
                }
                self.names.push(name.clone());
                name
            }
        };
        Some(SubmitDoorSettings { name, from, adds })
    }
}

fn tcp_in(table: &TomlSection<'_, '_>, line: usize, report: &mut ConfigReport) -> Option<TcpInSettings> {
    let allow = networks(table, report);
    let separator = separator(table, report);
    let answers = table.flag("answers", report).unwrap_or(true);
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
            Ok(listen) => TomlPosition { line: at.line, value: listen },
            Err(_) => {
                refuse("listen", at, "an address and a port, like \"127.0.0.1:5000\"", report);
                return None;
            }
        },
    };
    if !listen.value.ip().is_loopback() && allow.is_empty() {
        report.fault(listen.line, ConfigFault::OpenDoor(listen.value));
        return None;
    }
    Some(TcpInSettings { listen: listen.value, allow, separator, answers })
}

fn networks(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<IpNet> {
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

fn adds(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> DoorAdds {
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
        mask_secrets: table.flag("mask_secrets", report),
        republish: table.flag("republish", report).unwrap_or(false),
        seal: table.flag("seal", report).unwrap_or(false),
        multiple_values: multiple_values(table, report),
        convert: converts(table, report),
    }
}

fn strip(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<Vec<StripRule>> {
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
            Err(fault) => report.fault(at.line, ConfigFault::Strip(fault)),
        }
    }
    Some(rules)
}

fn recipients(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<PublisherName> {
    let texts = if table.has("to") { table.texts("to", report) } else { None }.unwrap_or_default();
    if let Some(beyond) = texts.get(RECIPIENTS_MAX) {
        refuse("to", beyond.clone(), "one of 256 recipients at most", report);
    }
    texts.into_iter().filter_map(|at| checked(at, "to", PublisherName::parse, report)).collect()
}

/// Returns the format of the files: IDEA, unless the door says another.
fn spool_format(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<EventFormat> {
    let Some(at) = table.text("format", report) else { return EventFormat::parse("idea") };
    let known = ["intelmq", "idea", "n6", "misp"].contains(&at.value);
    if !known {
        refuse("format", at, "\"intelmq\", \"idea\", \"n6\" or \"misp\"", report);
        return None;
    }
    EventFormat::parse(at.value)
}

fn converts(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> bool {
    match table.text("convert", report) {
        None => false,
        Some(TomlPosition { value: "intelmq", .. }) => true,
        Some(at) => {
            refuse("convert", at, "\"intelmq\"", report);
            false
        }
    }
}

fn multiple_values(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> MultipleValues {
    let most = u64::from(MultipleValues::MOST);
    let most = positive(table, "multiple_values_max", most, most, report);
    match table.text("multiple_values", report) {
        None | Some(TomlPosition { value: "refuse", .. }) => MultipleValues::Refuse,
        Some(TomlPosition { value: "explode", .. }) => {
            MultipleValues::Explode { most: u16::try_from(most).unwrap_or(MultipleValues::MOST) }
        }
        Some(at) => {
            refuse("multiple_values", at, "\"refuse\" or \"explode\"", report);
            MultipleValues::Refuse
        }
    }
}
