//! The keys of doors that take from a MISP and from an n6. Nothing is read or connected to here.

use std::time::Duration;

use super::{DoorReading, DoorSection, scheme_of, secret_file, server_url};
use crate::config::peer_file::span;
use crate::config::reading::{ConfigReport, TomlSection};
use crate::door::{BrokerAddress, MispSource, N6Source, ServerUrl};
use crate::limits::{DESTINATIONS_MAX, PULL_TAGS_MAX};

/// Time between two questions to a server, in seconds.
const POLL_DEFAULT_S: u64 = 30;

pub(super) fn misp_source(
    reading: &DoorReading<'_>,
    at: &DoorSection<'_, '_>,
    report: &mut ConfigReport,
) -> Option<MispSource> {
    let url = server_url(("url", "url = \"https://misp.example\": the address of its pages"), at, report);
    let missing = "key_file = \"misp.key\": a file with the key of an account there";
    let key_file = secret_file(reading, ("key_file", missing), at, report);
    let ca_file = at.value.text("ca_file", report).map(|file| reading.dir.join(file.value));
    let most = (PULL_TAGS_MAX, "one of 64 tags at most");
    let tags = at.value.list("tags", most, report, |tag, _| Some(tag.value.to_owned())).unwrap_or_default();
    Some(MispSource { url: url?, key_file: key_file?, ca_file, tags, poll: poll(&at.value, report) })
}

pub(super) fn n6_source(
    reading: &DoorReading<'_>,
    at: &DoorSection<'_, '_>,
    report: &mut ConfigReport,
) -> Option<N6Source> {
    let broker = broker(at, report);
    let missing = "password_file = \"n6.key\": a file with the API key";
    let password_file = secret_file(reading, ("password_file", missing), at, report);
    let ca_file = at.value.text("ca_file", report).map(|file| reading.dir.join(file.value));
    if !at.value.has("login") {
        report.missing(at.line, "login", "login = \"soc@cert.example\": the account at n6");
    }
    let wanted = "the name of an account, on one line";
    let login = at.value.choice("login", wanted, report, |text| {
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
    });
    if !at.value.has("destinations") {
        let hint = "destinations = [\"/exchange/ORGANISATION/*.*.*.*\"]: what to take";
        report.missing(at.line, "destinations", hint);
    }
    let most = (DESTINATIONS_MAX, "one of 16 destinations at most");
    let destinations = at.value.list("destinations", most, report, |place, report| {
        let is_place = place.value.starts_with('/') && !place.value.contains(char::is_control);
        if !is_place {
            report.refuse("destinations", &place, "/exchange/ORGANISATION/RESOURCE.CATEGORY.SOURCE.CHANNEL");
        }
        is_place.then(|| place.value.to_owned())
    });
    let destinations = destinations?;
    if destinations.is_empty() {
        return None;
    }
    let rest_url = match at.value.has("rest_url") {
        true => Some(server_url(("rest_url", ""), at, report)?),
        false => None,
    };
    let (broker, login, password_file) = (broker?, login?, password_file?);
    Some(N6Source { broker, login, password_file, ca_file, destinations, rest_url })
}

/// Returns the address of a broker. A password goes there in the open only on this machine.
fn broker(at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<BrokerAddress> {
    let Some(url) = at.value.text("url", report) else {
        report.missing(at.line, "url", "url = \"stomp+ssl://n6stream.example:61614\": the broker");
        return None;
    };
    let mut kinds = [("stomp+ssl", "https", 61_614), ("stomp", "http", 61_613)].into_iter();
    let broker = kinds.find_map(|(scheme, like, default)| {
        let place = url.value.strip_prefix(scheme)?.strip_prefix("://")?.trim_end_matches('/');
        // A place is written as in any URL, with another port by default.
        let server =
            ServerUrl::parse(&format!("{like}://{place}")).filter(|server| server.path.is_empty())?;
        let port = if place.ends_with(&format!(":{}", server.port)) { server.port } else { default };
        Some(BrokerAddress { url: url.value.to_owned(), host: server.host, port, tls: server.tls })
    });
    if broker.is_none() {
        let wanted = "the beginning of stomp+ssl://HOST[:PORT] (stomp:// only to this machine)";
        report.refuse("url", &scheme_of(&url), wanted);
    }
    broker
}

/// Returns the pause between two questions to a server.
pub(super) fn poll(table: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Duration {
    let wanted = "a time of 1s or more, like \"30s\" or \"5m\"";
    let parse = |text: &str| span(text).filter(|seconds| *seconds > 0);
    Duration::from_secs(table.choice("poll", wanted, report, parse).unwrap_or(POLL_DEFAULT_S))
}
