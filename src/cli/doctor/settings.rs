//! The operator's files as a stranger may read them. Only values of settings that are known and never secret are printed;
//! comments are left out, and a URL keeps its scheme, host and port. It does not judge if a setting is correct.

use toml_edit::{DocumentMut, Item, Table, Value};

use crate::terminal::shown;

/// Stands for a value that is not printed.
const MASK: &str = "***";
/// Tables of the node's file and of peer files.
const SECTIONS: [&str; 8] = ["journal", "paths", "web", "metrics", "submit", "consumer", "share", "receive"];
/// Settings without a secret. The rest is masked: a wrong or misplaced name may stand before a password.
const OPEN: [&str; 76] = [
    "name",
    "aliases",
    "project",
    "federation",
    "listen",
    "advertise",
    "default_tlp",
    "socket_group",
    "log",
    "on_health",
    "keep_days",
    "keep_bytes",
    "state",
    "run",
    "keys",
    "peers",
    "groups",
    "lists",
    "clients",
    "tls_cert",
    "tls_key",
    "names",
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
    "form",
    "format",
    "type",
    "annotate",
    "strict",
    "sender_feed",
    "harmonization",
    "relation_fields",
    "withdraws",
    "replaces",
    "withdrawn_by",
    "replaced_by",
    "own",
    "filter",
    "url",
    "queue",
    "queue_max",
    "password_file",
    "ca_file",
    "connect",
    "separator",
    "allow",
    "answers",
    "dir",
    "members",
    "addresses",
    "publisher_only",
    "paused",
    "pending",
    "revoked",
    "verified",
    "added",
    "added_by",
    "verified_at",
    "verified_by",
    "contact",
    "expect_every",
    "tlp_max",
    "where",
    "relay",
    "ignore",
    "rate",
    "rate_per_publisher",
];

/// Returns the settings of a file, one a line. If it does not parse, only names of known settings are left.
pub(crate) fn without_secrets(text: &str) -> String {
    match text.parse::<DocumentMut>() {
        Ok(document) => {
            let mut lines = Vec::new();
            table(document.as_table(), "", true, &mut lines);
            lines.join("\n")
        }
        Err(_) => text.lines().filter_map(known_name).collect::<Vec<_>>().join("\n"),
    }
}

/// The values of a table stand before the tables in it.
fn table(of: &Table, path: &str, is_known: bool, lines: &mut Vec<String>) {
    for (key, item) in of.iter() {
        if let Item::Value(value) = item {
            lines.push(format!("{} = {}", shown(key), setting(key, value, is_known)));
        }
    }
    for (key, item) in of.iter() {
        let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let is_known = is_known && (SECTIONS.contains(&key) || key == "relation_fields");
        let tables: Vec<&Table> = match item {
            Item::Table(only) => vec![only],
            Item::ArrayOfTables(several) => several.iter().collect(),
            Item::None | Item::Value(_) => continue,
        };
        for one in tables {
            lines.push(format!("[{}]", shown(&inner)));
            table(one, &inner, is_known, lines);
        }
    }
}

fn setting(key: &str, value: &Value, is_known: bool) -> String {
    match (is_known, key, value) {
        // A URL of another form is not understood.
        (true, "url", Value::String(url)) => quoted(&open_url(url.value())),
        // Arguments may be tokens.
        (true, "on_health", Value::Array(command)) => {
            let program = command.get(0).map(open_value).into_iter();
            let rest = command.iter().skip(1).map(|_| quoted(MASK));
            format!("[{}]", program.chain(rest).collect::<Vec<_>>().join(", "))
        }
        (true, "url" | "on_health", _) => quoted(MASK),
        (true, key, value) if OPEN.contains(&key) || SECTIONS.contains(&key) => open_value(value),
        _ => quoted(MASK),
    }
}

fn open_value(value: &Value) -> String {
    match value {
        Value::String(text) if text.value().contains("://") => quoted(&open_url(text.value())),
        Value::String(text) => quoted(text.value()),
        Value::Integer(number) => number.value().to_string(),
        Value::Float(number) => number.value().to_string(),
        Value::Boolean(flag) => flag.value().to_string(),
        Value::Datetime(time) => time.value().to_string(),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(open_value).collect::<Vec<_>>().join(", "))
        }
        Value::InlineTable(values) => {
            let settings = values.get_values().into_iter().filter_map(|(path, value)| {
                let key = path.last()?.get();
                Some(format!("{} = {}", shown(key), setting(key, value, path.len() == 1)))
            });
            format!("{{ {} }}", settings.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Scheme, host and port. An `@` after the host may be a part of the password: then no host is printed.
fn open_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return MASK.to_owned();
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if after.contains('@') || !is_host(host) {
        return format!("{scheme}://{MASK}");
    }
    let user = if host.len() < authority.len() { "***@" } else { "" };
    let path = if after.len() > 1 { "/***" } else { "" };
    format!("{scheme}://{user}{host}{path}")
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "1"),
    };
    let is_name = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_good = in_brackets
        .map_or_else(|| !host.is_empty() && is_name(host), |ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    is_good && port.parse::<u16>().is_ok()
}

/// The name of a setting or section, if it is one of ours.
fn known_name(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(section) = line.strip_prefix('[') {
        let name = section.split(']').next()?.trim_start_matches('[').trim();
        return SECTIONS.contains(&name).then(|| format!("[{name}]"));
    }
    let key = line.split_once('=')?.0.trim();
    OPEN.contains(&key).then(|| format!("{key} = {MASK}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passwords stand in URLs with any characters, in comments, and below names that are wrong or elsewhere.
    #[test]
    fn no_form_of_a_secret_is_printed() {
        for line in [
            "url = \"redis://:it's-LEAK@h\"",
            "url = \"redis://:a/LEAK@h\"",
            "url = \"redis://:LEAK blank@h\"",
            "url = \"redis://:a@LEAK/b@h\"",
            "url = \"redis://h/?password=LEAK\"",
            "url = \"redis://:LEAK\"",
            "url = \"unix:/run/redis.sock?password=LEAK\"",
            "url = [\"redis://:LEAK@h\"]",
            "url = \"redis://:a@h\" # before: redis://:LEAK@h",
            "contact = \"https://us:LEAK@h\"",
            "key = \"LEAK\"",
            "passwd = \"LEAK\"",
            "auth = { password = \"LEAK\" }",
            "auth.name = \"LEAK\"",
            "filter = { password = \"LEAK\" }",
            "listen = [\n# LEAK\n\"a\"]",
            "on_health = [\"/bin/mail\", \"--token=LEAK\"]",
            "[auth]\nname = \"LEAK\"",
            "url = \"redis://:LEAK@h",
            "\"\"\"\nLEAK = 1",
        ] {
            for section in ["", "[[consumer]]\n", "[metrics]\n", "[[broken\n"] {
                let text = format!("{section}{line}\n");
                assert!(!without_secrets(&text).contains("LEAK"), "{text}: {}", without_secrets(&text));
            }
        }
    }

    #[test]
    fn settings_without_secrets_are_printed() {
        let text = "name = \"cert-at\"\nlisten = ['/ip4/0.0.0.0/tcp/1', \"b\"]\n[journal]\nkeep_days = 3\n\
                    [[consumer]]\nurl = \"rediss://u:p@[::1]:6379/2\"\npassword_file = \"/run/secret\"\n";
        let shown = "name = \"cert-at\"\nlisten = [\"/ip4/0.0.0.0/tcp/1\", \"b\"]\n[journal]\nkeep_days = 3\n\
                     [consumer]\nurl = \"rediss://***@[::1]:6379/***\"\npassword_file = \"/run/secret\"";
        assert_eq!(without_secrets(text), shown);
        assert_eq!(
            without_secrets("name = \"cert-at\"\n[journal]\nkeep_days ="),
            "name = ***\n[journal]\nkeep_days = ***"
        );
        let table = "relation_fields = { replaces = \"extra.r\" }";
        assert_eq!(without_secrets(table), table);
    }
}
