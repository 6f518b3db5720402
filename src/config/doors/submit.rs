//! `[[submit]]`: one door into the mesh, as typed.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;

use super::warden::SOURCE_KEYS;
use super::{DoorKind, DoorReading, DoorSection, REDIS_KEYS, all_words, positive, separator, spool_dir};
use crate::config::node::tlp;
use crate::config::peer_file::span;
use crate::config::problem::ConfigFault;
use crate::config::reading::{ConfigReport, TomlSection, checked};
use crate::door::{DoorAdds, SpoolSource, SubmitSettings, SubmitSource, TcpSource, WardenSource};
use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::format::{MultipleValues, StripRule};
use crate::identity::PublisherName;
use crate::limits::{ALLOWED_NETWORKS_MAX, RECIPIENTS_MAX, STRIP_RULES_MAX};
use crate::record::ConsumerName;

/// Time between two questions to a server, in seconds.
const POLL_DEFAULT_S: u64 = 30;

/// The kinds of `from`.
pub(super) const KINDS: &[DoorKind<SubmitSource>] = &[
    DoorKind {
        word: "intelmq-tcp",
        keys: &["listen", "allow", "separator", "answers"],
        read: |_, at, report| tcp_source(at, report).map(SubmitSource::IntelmqTcp),
    },
    DoorKind {
        word: "intelmq-redis",
        keys: REDIS_KEYS,
        read: |reading, at, report| reading.redis_queue(at, report).map(SubmitSource::IntelmqRedis),
    },
    DoorKind {
        word: "spool",
        keys: &["dir", "format"],
        read: |reading, at, report| {
            let dir = spool_dir(reading, at, report);
            let wanted = "\"intelmq\", \"idea\", \"n6\" or \"misp\"";
            let known = ["intelmq", "idea", "n6", "misp"];
            let parse = |text: &str| EventFormat::parse(text).filter(|_| known.contains(&text));
            let format = match at.value.has("format") {
                true => at.value.choice("format", wanted, report, parse),
                false => EventFormat::parse("idea"),
            };
            Some(SubmitSource::Spool(SpoolSource { dir: dir?, format: format? }))
        },
    },
    DoorKind {
        word: "warden",
        keys: SOURCE_KEYS,
        read: |reading, at, report| {
            let server = reading.warden_server(at, report);
            let wanted = "a time of 1s or more, like \"30s\" or \"5m\"";
            let parse = |text: &str| span(text).filter(|seconds| *seconds > 0);
            let poll_s = at.value.choice("poll", wanted, report, parse).unwrap_or(POLL_DEFAULT_S);
            let poll = Duration::from_secs(poll_s);
            Some(SubmitSource::Warden(WardenSource { server: server?, poll }))
        },
    },
    DoorKind { word: "socket", keys: &[], read: |_, _, _| Some(SubmitSource::Socket) },
];
static WORDS: LazyLock<String> = LazyLock::new(|| all_words(KINDS));

/// A door without its default name, which is still to be found.
pub(super) struct Unnamed {
    given: Option<ConsumerName>,
    pub(super) line: usize,
    from: SubmitSource,
    adds: DoorAdds,
}

impl DoorReading<'_> {
    pub(super) fn submit(&mut self, at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<Unnamed> {
        let given = match at.value.text("name", report) {
            Some(name) => Some(self.name(name, report)?),
            None => None,
        };
        let adds = adds(&at.value, report);
        let from =
            self.kind(("from", "from = \"intelmq-tcp\": the kind of the door", &WORDS), KINDS, at, report)?;
        Some(Unnamed { given, line: at.line, from, adds })
    }

    /// Gives a door its name: its own, or that of its kind with a number from the second on.
    pub(super) fn named(&mut self, door: Unnamed, report: &mut ConfigReport) -> Option<SubmitSettings> {
        let Unnamed { given, line, from, adds } = door;
        let kind = from.word();
        if from == SubmitSource::Socket && given.is_some() {
            report.fault(line, ConfigFault::NotOfDoor { key: "name", way: "from socket".to_owned() });
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
                if from == SubmitSource::Socket && name.as_str() != kind {
                    report.fault(line, ConfigFault::DoorName(kind.to_owned()));
                    return None;
                }
                self.names.push(name.clone());
                name
            }
        };
        Some(SubmitSettings { name, from, adds })
    }
}

fn tcp_source(at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<TcpSource> {
    let (line, table) = (at.line, &at.value);
    let allow = networks(table, report);
    let separator = separator(table, report);
    let answers = table.flag("answers", report).unwrap_or(true);
    let Some(at) = table.text("listen", report) else {
        let hint = "listen = \"127.0.0.1:5000\": where IntelMQ's TCP output connects";
        report.missing(line, "listen", hint);
        return None;
    };
    let Ok(listen) = at.value.parse::<SocketAddr>() else {
        report.refuse("listen", &at, "an address and a port, like \"127.0.0.1:5000\"");
        return None;
    };
    if !listen.ip().is_loopback() && allow.is_empty() {
        report.fault(at.line, ConfigFault::OpenDoor(listen));
        return None;
    }
    Some(TcpSource { listen, allow, separator, answers })
}

fn networks(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<IpNet> {
    let most = (ALLOWED_NETWORKS_MAX, "one of 64 networks at most");
    let networks = table.list("allow", most, report, |at, report| {
        let network = at.value.parse().ok();
        let network = network.or_else(|| at.value.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        if network.is_none() {
            report.refuse("allow", &at, "a network, like \"192.0.2.0/24\"");
        }
        network
    });
    networks.unwrap_or_default()
}

fn adds(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> DoorAdds {
    let ids = table.choice("ids", "\"random\", \"content\" or \"body\"", report, IdScheme::parse);
    DoorAdds {
        tlp: tlp(table, "tlp", report),
        to: recipients(table, report),
        ids,
        strip: strip(table, report),
        mask_secrets: table.flag("mask_secrets", report),
        republish: table.flag("republish", report).unwrap_or(false),
        seal: table.flag("seal", report).unwrap_or(false),
        multiple_values: multiple_values(table, report),
        convert: table
            .choice("convert", "\"intelmq\"", report, |text| (text == "intelmq").then_some(()))
            .is_some(),
    }
}

fn strip(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<Vec<StripRule>> {
    let most = (STRIP_RULES_MAX, "one of 64 fields at most");
    table.list("strip", most, report, |at, report| {
        StripRule::parse(at.value).map_err(|fault| report.fault(at.line, ConfigFault::Strip(fault))).ok()
    })
}

fn recipients(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<PublisherName> {
    let most = (RECIPIENTS_MAX, "one of 256 recipients at most");
    let names = table.list("to", most, report, |at, report| checked(at, "to", PublisherName::parse, report));
    names.unwrap_or_default()
}

fn multiple_values(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> MultipleValues {
    let most = u64::from(MultipleValues::MOST);
    let most = positive(table, "multiple_values_max", most, most, report);
    let wanted = "\"refuse\" or \"explode\"";
    let values = table.choice("multiple_values", wanted, report, |word| match word {
        "refuse" => Some(MultipleValues::Refuse),
        "explode" => {
            Some(MultipleValues::Explode { most: u16::try_from(most).unwrap_or(MultipleValues::MOST) })
        }
        _ => None,
    });
    values.unwrap_or_default()
}
