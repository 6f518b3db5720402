//! The fields of IntelMQ 3.5.0 as a table of our own: kinds, lengths and patterns, as in its shipped
//! `harmonization.conf`. A receiver's own file is read elsewhere.

use std::collections::HashMap;

use super::field::{FieldPattern, IntelmqField};
use super::kind::FieldKind;

/// Fields of an event that do not stand on one side.
const EVENT: &[(FieldKind, &[&str])] = &[
    (
        FieldKind::Text,
        &[
            "classification.identifier",
            "comment",
            "constituency",
            "event_description.target",
            "event_description.text",
            "malware.hash.md5",
            "malware.hash.sha1",
            "malware.hash.sha256",
            "malware.version",
            "product.full_name",
            "status",
        ],
    ),
    (
        FieldKind::Lowercase,
        &[
            "malware.name",
            "misp.attribute_uuid",
            "misp.event_uuid",
            "product.name",
            "product.vendor",
            "product.version",
            "product.vulnerabilities",
            "protocol.application",
            "protocol.transport",
            "severity",
        ],
    ),
    (FieldKind::Uppercase, &["event_hash", "source.geolocation.cymru_cc", "source.geolocation.geoip_cc"]),
    (FieldKind::Url, &["event_description.url", "screenshot_url"]),
    (FieldKind::Moment, &["time.source"]),
    (FieldKind::Json, &["output"]),
    (FieldKind::Taxonomy, &["classification.taxonomy"]),
    (FieldKind::Type, &["classification.type"]),
    (FieldKind::Tlp, &["tlp"]),
];

/// Fields of reports, all of which events have as well.
const REPORT: &[(FieldKind, &[&str])] = &[
    (FieldKind::Text, &["feed.code", "feed.documentation", "feed.name", "feed.provider"]),
    (FieldKind::Url, &["feed.url"]),
    (FieldKind::Accuracy, &["feed.accuracy"]),
    (FieldKind::Integer, &["rtir_id"]),
    (FieldKind::Moment, &["time.observation"]),
    (FieldKind::Base64, &["raw"]),
    (FieldKind::JsonDict, &["extra"]),
];

/// Fields below `source.` and below `destination.`.
const SIDE: &[(FieldKind, &[&str])] = &[
    (
        FieldKind::Text,
        &[
            "account",
            "as_name",
            "geolocation.city",
            "geolocation.country",
            "geolocation.region",
            "geolocation.state",
            "local_hostname",
            "urlpath",
        ],
    ),
    (FieldKind::Lowercase, &["abuse_contact"]),
    (FieldKind::Uppercase, &["geolocation.cc"]),
    (FieldKind::Integer, &["port"]),
    (FieldKind::Asn, &["asn"]),
    (FieldKind::Float, &["geolocation.latitude", "geolocation.longitude"]),
    (FieldKind::Boolean, &["tor_node"]),
    (FieldKind::Address, &["ip", "local_ip"]),
    (FieldKind::Network, &["network"]),
    (FieldKind::Host, &["domain_suffix", "fqdn", "reverse_dns"]),
    (FieldKind::Url, &["url"]),
    (FieldKind::Moment, &["allocated"]),
    (FieldKind::Registry, &["registry"]),
];

const LENGTHS: &[(&str, usize)] = &[
    ("classification.taxonomy", 100),
    ("destination.geolocation.cc", 2),
    ("destination.registry", 7),
    ("event_hash", 40),
    ("feed.code", 100),
    ("malware.hash.md5", 200),
    ("malware.hash.sha1", 200),
    ("malware.hash.sha256", 200),
    ("misp.attribute_uuid", 36),
    ("misp.event_uuid", 36),
    ("protocol.application", 100),
    ("protocol.transport", 11),
    ("severity", 10),
    ("source.geolocation.cc", 2),
    ("source.geolocation.cymru_cc", 2),
    ("source.geolocation.geoip_cc", 2),
    ("source.port", 5),
    ("source.registry", 7),
];

const PATTERNS: &[(&str, FieldPattern)] = &[
    ("destination.fqdn", FieldPattern::NoDotAtEnd),
    ("destination.geolocation.cc", FieldPattern::TwoLettersOrDigits),
    ("destination.reverse_dns", FieldPattern::NoDotAtEnd),
    ("event_hash", FieldPattern::HashDigits),
    ("malware.hash.md5", FieldPattern::Printable),
    ("malware.hash.sha1", FieldPattern::Printable),
    ("malware.hash.sha256", FieldPattern::Printable),
    ("malware.name", FieldPattern::Printable),
    ("malware.version", FieldPattern::Printable),
    ("misp.attribute_uuid", FieldPattern::LikeUuid),
    ("misp.event_uuid", FieldPattern::LikeUuid),
    ("protocol.application", FieldPattern::Printable),
    ("protocol.transport", FieldPattern::OneOf(TRANSPORTS)),
    ("severity", FieldPattern::OneOf(&["critical", "high", "medium", "low", "info", "undefined"])),
    ("source.fqdn", FieldPattern::NoDotAtEnd),
    ("source.geolocation.cc", FieldPattern::TwoLettersOrDigits),
    ("source.geolocation.cymru_cc", FieldPattern::TwoLettersOrDigits),
    ("source.geolocation.geoip_cc", FieldPattern::TwoLettersOrDigits),
    ("source.reverse_dns", FieldPattern::NoDotAtEnd),
];

/// Names of `protocol.transport`.
#[rustfmt::skip]
const TRANSPORTS: &[&str] = &[
    "3pc", "a/n", "ah", "argus", "aris", "ax.25", "bbn-rcc", "bna", "br-sat-mon", "cbt", "cftp",
    "chaos", "compaq-peer", "cphb", "cpnx", "crdup", "crtp", "dcn", "ddp", "ddx", "dgp", "divert",
    "egp", "eigrp", "emcon", "encap", "esp", "etherip", "fc", "fire", "ggp", "gmtp", "gre", "hmp",
    "i-nlsp", "iatp", "icmp", "idpr", "idpr-cmtp", "idrp", "ifmp", "igmp", "igp", "il", "ip",
    "ipcomp", "ipcv", "ipencap", "ipip", "iplt", "ippc", "ipv6", "ipv6-frag", "ipv6-icmp",
    "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ipx-in-ip", "irtp", "isis", "iso-ip", "iso-tp4",
    "kryptolan", "l2tp", "larp", "leaf-1", "leaf-2", "merit-inp", "mfe-nsp", "mhrp", "micp",
    "mobile", "mtp", "mux", "narp", "netblt", "nsfnet-igp", "nvp", "nvp-ii", "ospf", "pgm", "pim",
    "pipe", "pnni", "prm", "ptp", "pup", "pvp", "qnx", "rdp", "rsvp", "rvd", "sat-expak", "sat-mon",
    "scc-sp", "scps", "sctp", "sdrp", "secure-vmtp", "sep", "skip", "sm", "smp", "snp",
    "sprite-rpc", "sps", "srp", "sscopmce", "st", "st2", "sun-nd", "swipe", "tcf", "tcp", "tlsp",
    "tp++", "trunk-1", "trunk-2", "ttp", "udp", "uti", "vines", "visa", "vmtp", "vrrp", "wb-expak",
    "wb-mon", "wsn", "xnet", "xns-idp", "xtp",
];

/// Returns the 89 fields of an event.
pub(super) fn event() -> HashMap<String, IntelmqField> {
    let mut fields = report();
    fields.extend(named(EVENT, ""));
    fields.extend(named(SIDE, "source."));
    fields.extend(named(SIDE, "destination."));
    bound(&mut fields);
    fields
}

/// Returns the 10 fields of a report.
pub(super) fn report() -> HashMap<String, IntelmqField> {
    let mut fields = named(REPORT, "").collect();
    bound(&mut fields);
    fields
}

fn named(
    table: &'static [(FieldKind, &[&str])],
    side: &'static str,
) -> impl Iterator<Item = (String, IntelmqField)> {
    table.iter().flat_map(move |(kind, names)| {
        names.iter().map(move |name| {
            (format!("{side}{name}"), IntelmqField { kind: *kind, length: None, pattern: None, also: None })
        })
    })
}

fn bound(fields: &mut HashMap<String, IntelmqField>) {
    for (name, length) in LENGTHS {
        if let Some(field) = fields.get_mut(*name) {
            field.length = Some(*length);
        }
    }
    for (name, pattern) in PATTERNS {
        if let Some(field) = fields.get_mut(*name) {
            field.pattern = Some(pattern.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_as_many_fields_as_intelmq_ships() {
        assert_eq!((event().len(), report().len()), (89, 10));
        let known = event();
        let names = LENGTHS.iter().map(|(name, _)| name).chain(PATTERNS.iter().map(|(name, _)| name));
        assert!(names.into_iter().all(|name| known.contains_key(*name)));
    }
}
