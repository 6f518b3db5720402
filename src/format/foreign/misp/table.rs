//! The names of MISP and those of IntelMQ, as data: the relations of the object template `intelmq_event` (version 5)
//! with the type, category and flags of their attributes, loose attributes, and link types.

/// The attributes of some fields.
pub(crate) struct AttributeKind {
    pub misp_type: &'static str,
    pub category: &'static str,
    /// Detection systems act on it. Never for destinations: a victim is not put on a list.
    pub to_ids: bool,
    pub uncorrelated: bool,
    pub fields: &'static [&'static str],
}

#[rustfmt::skip]
pub(crate) const ATTRIBUTES: &[AttributeKind] = &[
    AttributeKind {
        misp_type: "text", category: "Other", to_ids: false, uncorrelated: false,
        fields: &[
            "classification.identifier", "classification.taxonomy", "classification.type", "comment",
            "destination.abuse_contact", "destination.account", "destination.as_name",
            "destination.domain_suffix", "destination.geolocation.cc", "destination.geolocation.city",
            "destination.geolocation.country", "destination.geolocation.region",
            "destination.geolocation.state", "destination.registry", "destination.reverse_dns",
            "destination.urlpath", "event_description.target", "event_description.text", "event_hash",
            "extra", "feed.code", "feed.documentation", "feed.name", "feed.provider", "malware.name",
            "malware.version", "misp.attribute_uuid", "misp.event_uuid", "output", "protocol.application",
            "protocol.transport", "raw", "source.abuse_contact", "source.account", "source.as_name",
            "source.domain_suffix", "source.geolocation.cc", "source.geolocation.city",
            "source.geolocation.country", "source.geolocation.cymru_cc", "source.geolocation.geoip_cc",
            "source.geolocation.region", "source.geolocation.state", "source.registry",
            "source.reverse_dns", "source.urlpath", "status", "tlp",
        ],
    },
    AttributeKind {
        misp_type: "datetime", category: "Other", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.allocated", "source.allocated",
        ],
    },
    AttributeKind {
        misp_type: "AS", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.asn", "source.asn",
        ],
    },
    AttributeKind {
        misp_type: "domain", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.fqdn",
        ],
    },
    AttributeKind {
        misp_type: "float", category: "Other", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.geolocation.latitude", "destination.geolocation.longitude", "feed.accuracy",
            "source.geolocation.latitude", "source.geolocation.longitude",
        ],
    },
    AttributeKind {
        misp_type: "ip-dst", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.ip", "destination.local_ip", "destination.network",
        ],
    },
    AttributeKind {
        misp_type: "hostname", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.local_hostname", "source.local_hostname",
        ],
    },
    AttributeKind {
        misp_type: "port", category: "Network activity", to_ids: false, uncorrelated: true,
        fields: &[
            "destination.port", "source.port",
        ],
    },
    AttributeKind {
        misp_type: "boolean", category: "Other", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.tor_node", "source.tor_node",
        ],
    },
    AttributeKind {
        misp_type: "url", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "destination.url", "feed.url",
        ],
    },
    AttributeKind {
        misp_type: "url", category: "Network activity", to_ids: true, uncorrelated: false,
        fields: &[
            "event_description.url", "screenshot_url", "source.url",
        ],
    },
    AttributeKind {
        misp_type: "md5", category: "Payload delivery", to_ids: true, uncorrelated: false,
        fields: &[
            "malware.hash.md5",
        ],
    },
    AttributeKind {
        misp_type: "sha1", category: "Payload delivery", to_ids: true, uncorrelated: false,
        fields: &[
            "malware.hash.sha1",
        ],
    },
    AttributeKind {
        misp_type: "sha256", category: "Payload delivery", to_ids: true, uncorrelated: false,
        fields: &[
            "malware.hash.sha256",
        ],
    },
    AttributeKind {
        misp_type: "integer", category: "Other", to_ids: false, uncorrelated: false,
        fields: &[
            "rtir_id",
        ],
    },
    AttributeKind {
        misp_type: "domain", category: "Network activity", to_ids: true, uncorrelated: false,
        fields: &[
            "source.fqdn",
        ],
    },
    AttributeKind {
        misp_type: "ip-src", category: "Network activity", to_ids: true, uncorrelated: false,
        fields: &[
            "source.ip", "source.network",
        ],
    },
    AttributeKind {
        misp_type: "ip-src", category: "Network activity", to_ids: false, uncorrelated: false,
        fields: &[
            "source.local_ip",
        ],
    },
    AttributeKind {
        misp_type: "datetime", category: "Other", to_ids: false, uncorrelated: true,
        fields: &[
            "time.observation", "time.source",
        ],
    },
];

/// (type of a loose attribute, fields of the parts of its value, which `|` separates).
pub(crate) const LOOSE: &[(&str, &[&str])] = &[
    ("ip-src", &["source.ip"]),
    ("ip-dst", &["destination.ip"]),
    ("ip-src|port", &["source.ip", "source.port"]),
    ("ip-dst|port", &["destination.ip", "destination.port"]),
    ("domain", &["source.fqdn"]),
    ("domain|ip", &["source.fqdn", "source.ip"]),
    ("hostname", &["source.fqdn"]),
    ("hostname|port", &["source.fqdn", "source.port"]),
    ("url", &["source.url"]),
    ("md5", &["malware.hash.md5"]),
    ("sha1", &["malware.hash.sha1"]),
    ("sha256", &["malware.hash.sha256"]),
    ("email-src", &["source.account"]),
    ("AS", &["source.asn"]),
];

/// (type of a reference, link), for references that no node of ours wrote.
pub(crate) const REFERENCES: &[(&str, &str)] =
    &[("child-of", "derived-from"), ("derived-from", "derived-from"), ("duplicate-of", "corroborates")];
