//! The import table of the house: which module of `src/` may name which. It is kept by hand, because it is
//! a decision; a new module starts with a line here.

/// (module, what it may name). Order is reading order, from the ground up.
pub const MAY_NAME: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("time", &["limits"]),
    ("tlp", &[]),
    ("cbor", &["limits"]),
    ("identity", &["limits"]),
    ("event", &["limits", "identity"]),
    ("link", &["limits", "time", "identity", "event"]),
    ("envelope", &["limits", "cbor", "time", "tlp", "identity", "event", "link"]),
    ("filter", &["limits", "time", "tlp", "identity", "link", "envelope"]),
    ("format", &["limits", "time", "identity", "event", "link", "envelope", "policy"]),
    ("policy", &["limits", "time", "tlp", "identity", "event", "link", "envelope", "filter"]),
    ("wire", &["limits", "cbor", "time", "identity", "event", "link", "envelope", "policy"]),
    ("record", &["limits", "time", "identity", "event", "link", "envelope", "policy", "wire"]),
    ("protocol", PURE),
    (
        "door",
        &["limits", "identity", "event", "envelope", "filter", "format", "policy", "record", "protocol"],
    ),
    ("terminal", &[]),
    ("status", PURE),
    ("clock", &["limits", "time"]),
    ("ownership", &[]),
    ("control", ADAPTER),
    ("invitation", &["limits", "time", "identity"]),
    ("explain", &["time", "identity", "event", "envelope", "policy", "config"]),
    ("files", &["ownership"]),
    ("resolving", &[]),
    ("audit", &["time", "identity", "ownership", "status", "files"]),
    ("store", ADAPTER),
    ("transport", ADAPTER),
    ("local", ADAPTER),
    // It stands above both: it reads the one and uses the doors of the other, for clients.
    ("web", WEB),
    ("keyring", ADAPTER),
    ("metrics", &["limits", "time", "identity", "status", "clock"]),
    ("config", ADAPTER),
    // The simulator recovers with the store's own replay of the journal's real bytes.
    ("sim", SIMULATOR),
    ("daemon", EVERYTHING_BELOW_CLI),
    ("cli", EVERYTHING_BELOW_MAIN),
    ("fixture", &["time", "event", "envelope", "policy"]),
    ("lib", &[]),
    ("main", &["cli"]),
];

const PURE: &[&str] = &[
    "limits", "time", "identity", "event", "link", "envelope", "filter", "format", "policy", "wire",
    "record", "status", "terminal",
];

const ADAPTER: &[&str] = &[
    "limits",
    "time",
    "identity",
    "event",
    "link",
    "envelope",
    "filter",
    "format",
    "policy",
    "wire",
    "record",
    "protocol",
    "door",
    "status",
    "clock",
    "control",
    "ownership",
    "files",
    "resolving",
];

const WEB: &[&str] = &[
    "limits", "time", "identity", "event", "envelope", "filter", "format", "policy", "wire", "record",
    "protocol", "status", "clock", "control", "config", "store", "local", "metrics",
];

const SIMULATOR: &[&str] = &[
    "limits", "time", "identity", "event", "link", "envelope", "filter", "format", "policy", "wire",
    "record", "protocol", "status", "store",
];

const EVERYTHING_BELOW_CLI: &[&str] = &[
    "limits",
    "time",
    "identity",
    "event",
    "link",
    "envelope",
    "filter",
    "format",
    "policy",
    "wire",
    "record",
    "protocol",
    "door",
    "status",
    "clock",
    "ownership",
    "terminal",
    "control",
    "audit",
    "files",
    "resolving",
    "explain",
    "invitation",
    "store",
    "transport",
    "local",
    "keyring",
    "config",
    "web",
    "metrics",
];

const EVERYTHING_BELOW_MAIN: &[&str] = &[
    "limits",
    "time",
    "identity",
    "event",
    "link",
    "envelope",
    "filter",
    "format",
    "policy",
    "wire",
    "record",
    "protocol",
    "door",
    "status",
    "clock",
    "ownership",
    "terminal",
    "control",
    "audit",
    "files",
    "resolving",
    "explain",
    "invitation",
    "store",
    "transport",
    "local",
    "keyring",
    "config",
    "metrics",
    "daemon",
];

/// Of `protocol`, adapters see the vocabulary of its inputs and outputs alone.
pub const PROTOCOL_FOR_ADAPTERS: &str = "io";

pub const ADAPTERS: &[&str] = &["door", "store", "transport", "local", "keyring", "config"];

/// (crate, the modules that may know it).
pub const CRATES: &[(&str, &[&str])] = &[
    ("libp2p", &["transport"]),
    ("sled", &["store"]),
    ("fastbloom", &["store"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["cli", "status"]),
    ("anyhow", &["cli", "daemon", "main"]),
    ("toml", &["config", "cli"]),
    ("toml_edit", &["config", "cli"]),
    ("pkcs8", &["keyring", "cli"]),
    ("x25519_dalek", &["keyring", "cli", "envelope"]),
    ("aes_gcm", &["envelope"]),
    ("aes_kw", &["envelope"]),
    ("hkdf", &["envelope"]),
    ("cel", &["filter"]),
    ("regex", &["filter", "format"]),
    ("ipnet", &["filter", "door", "config"]),
    ("redis", &["local"]),
    ("axum", &["metrics", "web"]),
    ("hyper", &["metrics", "web", "local"]),
    ("hyper_util", &["metrics", "web", "local"]),
    ("flate2", &["web"]),
    ("zstd", &["web"]),
    ("rustls", &["local", "web"]),
    ("rustls_native_certs", &["local"]),
    ("tokio_rustls", &["local", "web"]),
    ("petgraph", &["cli"]),
    ("oxrdf", &["cli"]),
    ("oxttl", &["cli"]),
];

/// (word, what the project says instead, what is not meant by it).
pub const BANNED_WORDS: &[(&str, &str)] = &[
    ("origin", "publisher"),
    ("origins", "publishers"),
    ("upstream", "source"),
    ("dedup", "seen set"),
    ("blocked", "withheld"),
];

/// Modules where a `message` would be an envelope or a frame.
pub const NO_MESSAGES: &[&str] = &["protocol", "wire", "record"];

/// Modules whose types are doors, and may derive Serialize and Deserialize.
/// `time` is a number of milliseconds in every one of them.
pub const DOORS: &[&str] = &[
    "time", "status", "control", "audit", "explain", "local", "config", "cli", "format", "keyring", "daemon",
];

/// Names of modules that say nothing.
pub const NO_MODULE: &[&str] = &["util", "utils", "common", "types", "helpers", "misc"];

/// What `code` names of this crate: `(line, module, what follows)`, from `crate::x::y` and `crate::{x, y::z}`.
pub fn named_in(code: &str, crate_word: &str) -> Vec<(usize, String, String)> {
    let mut named = Vec::new();
    let mut from = 0;
    let needle = format!("{crate_word}::");
    while let Some(found) = code[from..].find(&needle) {
        let start = from + found;
        from = start + needle.len();
        let before = code[..start].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' || before == ':' {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let rest = &code[from..];
        if rest.starts_with('{') {
            named.extend(group(rest).into_iter().map(|path| split_path(line, &path)));
        } else {
            let path: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || "_:{".contains(*c)).collect();
            named.push(split_path(line, &path));
        }
    }
    named
}

/// The paths in `{a, b::c, d::{e, f}}`, one for each at the top.
fn group(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut paths = vec![String::new()];
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => paths.push(String::new()),
            _ if depth >= 1 => paths.last_mut().unwrap().push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    paths.iter().map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).collect()
}

fn split_path(line: usize, path: &str) -> (usize, String, String) {
    let (module, rest) = path.split_once("::").unwrap_or((path, ""));
    let rest: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (line, module.trim().to_owned(), rest)
}
