//! The names of IDEA0 and those of IntelMQ, as data. How values are read is `decode`'s and `encode`'s.

/// (key of a message, field).
pub(crate) const TOP_TEXTS: &[(&str, &str)] =
    &[("Description", "event_description.text"), ("Note", "comment")];

/// (key of a message, name below `extra.idea`): times without a field.
pub(crate) const OTHER_TIMES: &[(&str, &str)] = &[
    ("CreateTime", "create_time"),
    ("CeaseTime", "cease_time"),
    ("WinStartTime", "win_start_time"),
    ("WinEndTime", "win_end_time"),
];

/// (key of a message, name below `extra.idea`): counts.
pub(crate) const COUNTS: &[(&str, &str)] = &[
    ("ConnCount", "conn_count"),
    ("FlowCount", "flow_count"),
    ("PacketCount", "packet_count"),
    ("ByteCount", "byte_count"),
];

/// (key of a side, field below `source.` or `destination.`): lists, of which the field has the first.
pub(crate) const SIDE_LISTS: &[(&str, &str)] = &[
    ("Hostname", "fqdn"),
    ("URL", "url"),
    ("ASN", "asn"),
    ("Port", "port"),
    ("PTR", "reverse_dns"),
    ("LocalIP4", "local_ip"),
    ("LocalIP6", "local_ip"),
    ("LocalHostname", "local_hostname"),
    ("Email", "account"),
    ("Account", "account"),
];

/// (prefix of a reference, field): the rest of the reference is the value, percent-encoded.
pub(crate) const REFS: &[(&str, &str)] = &[
    ("malid:", "classification.identifier"),
    ("urn:intelmq:feed:", "feed.code"),
    ("urn:intelmq:misp-event:", "misp.event_uuid"),
    ("urn:intelmq:misp-attribute:", "misp.attribute_uuid"),
    ("urn:intelmq:screenshot:", "screenshot_url"),
];

/// The same as IntelMQ's expert writes them, which the schema refuses.
pub(crate) const REFS_OF_INTELMQ: &[(&str, &str)] = &[
    ("intelmq_feed:", "feed.code"),
    ("misp_event:", "misp.event_uuid"),
    ("misp_attr:", "misp.attribute_uuid"),
];

/// (prefix of a hash, field).
pub(crate) const HASHES: &[(&str, &str)] =
    &[("md5:", "malware.hash.md5"), ("sha1:", "malware.hash.sha1"), ("sha256:", "malware.hash.sha256")];

/// (category, `classification.type`); `None` if the type of the source decides.
pub(crate) const CATEGORY_TO_TYPE: &[(&str, Option<&str>)] = &[
    ("Abusive", Some("harmful-speech")),
    ("Abusive.Spam", Some("spam")),
    ("Abusive.Harassment", Some("harmful-speech")),
    ("Abusive.Child", Some("violence")),
    ("Abusive.Sexual", Some("violence")),
    ("Abusive.Violence", Some("violence")),
    ("Malware", None),
    ("Malware.Virus", None),
    ("Malware.Worm", None),
    ("Malware.Trojan", None),
    ("Malware.Spyware", None),
    ("Malware.Dialer", None),
    ("Malware.Rootkit", None),
    ("Recon", Some("scanner")),
    ("Recon.Scanning", Some("scanner")),
    ("Recon.Sniffing", Some("sniffing")),
    ("Recon.SocialEngineering", Some("social-engineering")),
    ("Recon.Searching", Some("scanner")),
    ("Attempt", Some("ids-alert")),
    ("Attempt.Exploit", Some("ids-alert")),
    ("Attempt.Login", Some("brute-force")),
    ("Attempt.NewSignature", Some("exploit")),
    ("Intrusion", Some("system-compromise")),
    ("Intrusion.AdminCompromise", Some("privileged-account-compromise")),
    ("Intrusion.UserCompromise", Some("unprivileged-account-compromise")),
    ("Intrusion.AppCompromise", Some("application-compromise")),
    ("Intrusion.Botnet", None),
    ("Availability", Some("dos")),
    ("Availability.DoS", Some("dos")),
    ("Availability.DDoS", Some("ddos")),
    ("Availability.Sabotage", Some("sabotage")),
    ("Availability.Outage", Some("outage")),
    ("Information", Some("data-leak")),
    ("Information.UnauthorizedAccess", Some("unauthorised-information-access")),
    ("Information.UnauthorizedModification", Some("unauthorised-information-modification")),
    ("Fraud", Some("masquerade")),
    ("Fraud.UnauthorizedUsage", Some("unauthorized-use-of-resources")),
    ("Fraud.Copyright", Some("copyright")),
    ("Fraud.Masquerade", Some("masquerade")),
    ("Fraud.Phishing", Some("phishing")),
    ("Fraud.Scam", Some("masquerade")),
    ("Vulnerable", Some("vulnerable-system")),
    ("Vulnerable.Open", Some("potentially-unwanted-accessible")),
    ("Vulnerable.Config", Some("vulnerable-system")),
    ("Anomaly", Some("undetermined")),
    ("Anomaly.Traffic", Some("undetermined")),
    ("Anomaly.Connection", Some("undetermined")),
    ("Anomaly.Protocol", Some("undetermined")),
    ("Anomaly.System", Some("undetermined")),
    ("Anomaly.Application", Some("undetermined")),
    ("Anomaly.Behaviour", Some("undetermined")),
    ("Other", Some("undetermined")),
    ("Test", Some("test")),
];

/// (type of a source, `classification.type`).
pub(crate) const SOURCE_TYPE_TO_TYPE: &[(&str, &str)] = &[
    ("CC", "c2-server"),
    ("MalwareConf", "malware-configuration"),
    ("Malware", "malware-distribution"),
    ("DGA", "dga-domain"),
    ("Proxy", "proxy"),
    ("Tor", "tor"),
    ("Phishing", "phishing"),
];

/// (`classification.type`, category).
pub(crate) const TYPE_TO_CATEGORY: &[(&str, &str)] = &[
    ("phishing", "Fraud.Phishing"),
    ("ddos", "Availability.DDoS"),
    ("spam", "Abusive.Spam"),
    ("scanner", "Recon.Scanning"),
    ("infected-system", "Malware"),
    ("malware-configuration", "Malware"),
    ("c2-server", "Intrusion.Botnet"),
    ("exploit", "Attempt.Exploit"),
    ("brute-force", "Attempt.Login"),
    ("ids-alert", "Attempt.Exploit"),
    ("system-compromise", "Intrusion.AdminCompromise"),
    ("blacklist", "Other"),
    ("dga-domain", "Anomaly.Behaviour"),
    ("proxy", "Vulnerable.Config"),
    ("data-leak", "Information"),
    ("tor", "Other"),
    ("other", "Other"),
    ("undetermined", "Other"),
    ("test", "Test"),
    ("violence", "Abusive.Violence"),
    ("data-loss", "Information"),
    ("burglary", "Intrusion"),
    ("weak-crypto", "Vulnerable.Config"),
    ("unauthorised-information-access", "Information.UnauthorizedAccess"),
    ("privileged-account-compromise", "Intrusion.AdminCompromise"),
    ("potentially-unwanted-accessible", "Vulnerable.Open"),
    ("application-compromise", "Intrusion.AppCompromise"),
    ("unauthorized-use-of-resources", "Fraud.UnauthorizedUsage"),
    ("masquerade", "Fraud.Scam"),
    ("harmful-speech", "Abusive.Harassment"),
    ("unprivileged-account-compromise", "Intrusion.UserCompromise"),
    ("social-engineering", "Recon.SocialEngineering"),
    ("dos", "Availability.DoS"),
    ("information-disclosure", "Information.UnauthorizedAccess"),
    ("sniffing", "Recon.Sniffing"),
    ("vulnerable-system", "Vulnerable.Config"),
    ("unauthorised-information-modification", "Information.UnauthorizedModification"),
    ("sabotage", "Availability.Sabotage"),
    ("malware-distribution", "Malware"),
    ("outage", "Availability.Outage"),
    ("ddos-amplifier", "Intrusion.Botnet"),
    ("copyright", "Fraud.Copyright"),
    ("misconfiguration", "Availability.Outage"),
    ("malware", "Malware"),
];

/// (`classification.type`, type of a source).
pub(crate) const TYPE_TO_SOURCE_TYPE: &[(&str, &str)] = &[
    ("phishing", "Phishing"),
    ("malware-configuration", "MalwareConf"),
    ("c2-server", "CC"),
    ("dga-domain", "DGA"),
    ("proxy", "Proxy"),
    ("tor", "Tor"),
    ("malware-distribution", "Malware"),
];

/// Returns what `table` has for `name`.
pub(crate) fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
