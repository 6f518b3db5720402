//! `clients/NAME.toml`: one client of the HTTP door, validated as a whole. Its token is not here, only the hash of it.
//! The policy has the form of a peer's; a client has no key, so nothing can be sealed to it.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::filters::filter;
use super::node::NodeConfig;
use super::peer_file::{RuleLines, rate, share};
use super::problem::{ConfigFault, ConfigProblem, KnownKeys};
use super::reading::{ConfigReport, TomlSection, parse, read_listed, toml_paths};
use crate::filter::FilterLists;
use crate::identity::PublisherName;
use crate::limits::CLIENTS_MAX;
use crate::policy::{Receive, Share};

const KEYS: &[&str] = &["token_hash", "added", "added_by", "share", "receive"];
const SHARE_KEYS: &[&str] = &["tlp_max", "seal", "where"];
const RECEIVE_KEYS: &[&str] = &["accept", "relay", "rate", "where"];
const SECTIONS: &[KnownKeys] = &[("", KEYS), ("share", SHARE_KEYS), ("receive", RECEIVE_KEYS)];

/// The beginning of a hash in a file: another method would begin otherwise.
const HASH_SCHEME: &str = "sha256:";

/// The hash of a token. A token has 256 random bits, so it needs no salt and no slow hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(HASH_SCHEME)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{HASH_SCHEME}{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// The content of a client's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFile {
    pub name: PublisherName,
    pub token_hash: TokenHash,
    /// From us to the client.
    pub share: Share,
    /// From the client to us; `relay` has no effect, because a client cannot post events of other publishers.
    pub receive: Receive,
    /// True if the client may post events.
    pub accept: bool,
    /// As shown: relative to the node's directory.
    pub file: PathBuf,
    pub lines: RuleLines,
}

impl ClientFile {
    /// Reads one file's text; `file` is its name as shown, and its stem is the client's name.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn parse(
        file: &Path,
        text: &str,
        lists: &dyn FilterLists,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let mut report = ConfigReport::new(file, text, SECTIONS);
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = PublisherName::parse(&stem).ok().filter(|name| name.as_str() == stem);
        if name.is_none() {
            report.fault(1, ConfigFault::ClientName(stem.chars().take(80).collect()));
        }
        let table = parse(text, &mut report);
        if !report.problems.is_empty() {
            return Err(report.problems);
        }
        let top = TomlSection::open(table.get_ref(), KEYS, &[], &mut report);
        let token_hash = token_hash(&top, &mut report);
        let lines = RuleLines::of_share(&top, &report);
        let share = share(&top, SHARE_KEYS, &[], lists, &mut report);
        let mut receive = Receive::default();
        let mut accept = true;
        if let Some(section) = top.section("receive", RECEIVE_KEYS, &[], &mut report) {
            accept = section.flag("accept", &mut report).unwrap_or(accept);
            receive.relay = section.flag("relay", &mut report).unwrap_or(receive.relay);
            receive.rate = rate(&section, "rate", &mut report);
            receive.filter = filter(&section, "where", lists, &mut report);
        }
        match (name, token_hash) {
            (Some(name), Some(token_hash)) if report.problems.is_empty() => {
                Ok(Self { name, token_hash, share, receive, accept, file: file.to_owned(), lines })
            }
            _ => {
                report.problems.sort_by_key(|problem| problem.line);
                Err(report.problems)
            }
        }
    }
}

fn token_hash(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<TokenHash> {
    let Some(at) = top.text("token_hash", report) else {
        if report.problems.is_empty() {
            let hint = "intelmesh client add NAME writes it, and prints the token";
            report.fault(1, ConfigFault::Missing { key: "token_hash", hint });
        }
        return None;
    };
    let hash = TokenHash::parse(at.value);
    if hash.is_none() {
        let wanted = "\"sha256:\" and 64 hexadecimal digits";
        // Not shown: it may be the token itself.
        report.fault(at.line, ConfigFault::Value { key: "token_hash".into(), value: "…".into(), wanted });
    }
    hash
}

/// Loads all clients, and the problems of their files. If a file is bad, the client keeps its content of `before`.
pub(super) fn load(
    config: &NodeConfig,
    lists: &dyn FilterLists,
    before: &[ClientFile],
) -> (Vec<ClientFile>, Vec<ConfigProblem>) {
    let dir = &config.paths.clients;
    let shown = dir.strip_prefix(&config.dir).unwrap_or(dir);
    let mut problems = Vec::new();
    let paths = match toml_paths(dir) {
        Ok(paths) => paths,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            problems.push(ConfigProblem::new(shown, 1, ConfigFault::Unreadable(error.to_string())));
            return (before.to_vec(), problems);
        }
    };
    if let Some(path) = paths.get(CLIENTS_MAX) {
        let file = shown.join(path.file_name().unwrap_or_default());
        problems.push(ConfigProblem::new(&file, 1, ConfigFault::TooManyClients(CLIENTS_MAX)));
    }
    let mut clients: Vec<ClientFile> = Vec::new();
    for path in paths.iter().take(CLIENTS_MAX) {
        let file = shown.join(path.file_name().unwrap_or_default());
        let Some(text) = read_listed(path) else { continue };
        let parsed = match text {
            Ok(text) => ClientFile::parse(&file, &text, lists),
            Err(fault) => Err(vec![ConfigProblem::new(&file, 1, fault)]),
        };
        let client = parsed.map_or_else(
            |faults| {
                problems.extend(faults);
                before.iter().find(|kept| kept.file == file).cloned()
            },
            Some,
        );
        let Some(client) = client else { continue };
        match clients.iter().find(|other| other.token_hash == client.token_hash) {
            // One token is one client: or else its policy would depend on the order of files.
            Some(other) => {
                let fault = ConfigFault::SameToken(other.file.clone());
                problems.push(ConfigProblem::new(&client.file, 1, fault));
            }
            None => clients.push(client),
        }
    }
    (clients, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::NoLists;
    use crate::policy::{Rate, Tlp};

    fn parsed(text: &str) -> Result<ClientFile, Vec<String>> {
        let text = text.replace("HASH", &TokenHash::of("token").to_string());
        let shown = |problems: Vec<ConfigProblem>| problems.iter().map(ConfigProblem::to_string).collect();
        ClientFile::parse(Path::new("clients/soc.toml"), &text, &NoLists).map_err(shown)
    }

    #[test]
    fn a_hash_is_enough_and_all_keys_are_read() {
        let bare = parsed("token_hash = \"HASH\"").unwrap();
        assert_eq!((bare.name.as_str(), bare.accept, bare.share.tlp_max), ("soc", true, Tlp::Amber));
        assert_eq!(bare.token_hash, TokenHash::of("token"));
        let full = parsed(
            "token_hash = \"HASH\"\n[share]\ntlp_max = \"GREEN\"\nwhere = 'true'\n\
             [receive]\naccept = false\nrate = \"5/s\"",
        )
        .unwrap();
        assert_eq!((full.accept, full.share.tlp_max, full.lines.tlp_max), (false, Tlp::Green, Some(3)));
        assert_eq!(full.receive.rate, Some(Rate { per_second: 5 }));
    }

    #[test]
    fn each_slip_has_its_line_and_no_token_is_shown() {
        for (text, want) in [
            ("", "clients/soc.toml:1: \"token_hash\" is missing"),
            (
                "token_hash = \"s3cret\"",
                "clients/soc.toml:1: \"token_hash\": \"…\" is not \"sha256:\" and 64 hexadecimal digits",
            ),
            (
                "token_hash = \"HASH\"\n[share]\ntlp-max = \"RED\"",
                "clients/soc.toml:3: unknown key \"tlp-max\"",
            ),
            (
                "token_hash = \"HASH\"\n[receive]\naccept = 1",
                "clients/soc.toml:3: \"accept\" must be true or false",
            ),
            ("key = \"x\"\ntoken_hash = \"HASH\"", "clients/soc.toml:1: unknown key \"key\""),
        ] {
            let problems = parsed(text).expect_err(text);
            assert!(problems[0].starts_with(want), "{text}: {problems:?}");
        }
    }
}
