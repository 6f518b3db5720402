//! `intelmesh.toml`: this node. Read at start and at a reload; settings that `init` marks with (restart) act at the
//! next start. `doors` reads the sections about the pipeline.

use std::path::{Path, PathBuf};

use super::doors::{CONSUMER_KEYS, DoorConfigs, SUBMIT_KEYS, doors};
use super::problem::{ConfigErrors, ConfigFault, ConfigProblem, KnownKeys};
use super::reading::{ConfigReport, TomlPosition, TomlSection, parse, read};
use super::web::{WEB_KEYS, WebSettings, web};
use super::{address, log_level};
use crate::identity::{IdentityError, NodeNames, ProjectName, PublisherName};
use crate::limits::{ADDRESSES_MAX, ALIASES_MAX, KEEP_BYTES_MIN};
use crate::policy::Tlp;

const KEYS: &[&str] = &[
    "name",
    "aliases",
    "project",
    "federation",
    "listen",
    "advertise",
    "default_tlp",
    "socket_group",
    "log",
    "journal",
    "paths",
    "submit",
    "consumer",
    "web",
];
const JOURNAL_KEYS: &[&str] = &["keep_days", "keep_bytes"];
const PATHS_KEYS: &[&str] = &["state", "run", "keys", "peers", "groups", "lists", "clients"];
const SECTIONS: &[KnownKeys] = &[
    ("", KEYS),
    ("journal", JOURNAL_KEYS),
    ("paths", PATHS_KEYS),
    ("[submit]", SUBMIT_KEYS),
    ("[consumer]", CONSUMER_KEYS),
    ("web", WEB_KEYS),
];
/// Settings of later versions: refused, never ignored.
const LATER: &[&str] = &["seal", "groups", "metrics"];

/// Value of `listen` if the configuration gives none.
pub const LISTEN_DEFAULT: &str = "/ip4/0.0.0.0/tcp/4801";
pub const PROJECT_DEFAULT: &str = "intelmq";
pub const FEDERATION_DEFAULT: &str = "intelmesh";
pub const DEFAULT_TLP: Tlp = Tlp::Green;
const KEEP_DAYS_DEFAULT: u32 = 30;
const KEEP_BYTES_DEFAULT: u64 = 20_000_000_000;
/// A century: longer is a slip.
const KEEP_DAYS_MAX: u64 = 36_500;

/// This node, as its directory says (mirrors `intelmesh.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The node's directory, as it was given.
    pub dir: PathBuf,
    pub name: PublisherName,
    /// Names that this node had before. An event that names one of them is for this node, or from it.
    pub aliases: Vec<PublisherName>,
    /// The project of events that name none.
    pub project: ProjectName,
    /// Peers of another federation are refused by name.
    pub federation: ProjectName,
    /// Where peers reach us; none is allowed: then we only dial.
    pub listen: Vec<String>,
    /// The addresses in invitations, instead of `listen`.
    pub advertise: Vec<String>,
    /// The label of an event that has none.
    pub default_tlp: Tlp,
    pub journal: JournalSettings,
    pub paths: NodePaths,
    /// Members of this group may use the sockets beside the owner.
    pub socket_group: Option<String>,
    /// How much is logged: the directives of `log_level`.
    pub log: Option<String>,
    pub doors: DoorConfigs,
    /// The HTTP door; `None`: there is none.
    pub web: Option<WebSettings>,
}

/// `[journal]`: how much is kept. The limit that is reached first applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    pub keep_days: u32,
    pub keep_bytes: u64,
}

/// `[paths]`: where things lie. Relative ones begin at the node's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePaths {
    /// Holds `journal/`, `seen/`, `aside/` and `audit.jsonl`.
    pub state: PathBuf,
    /// Sockets and lock; may be emptied when the node stops.
    pub run: PathBuf,
    pub keys: PathBuf,
    pub peers: PathBuf,
    pub groups: PathBuf,
    /// The lists that filters name.
    pub lists: PathBuf,
    /// The clients of the HTTP door.
    pub clients: PathBuf,
}

impl NodePaths {
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    pub fn seen(&self) -> PathBuf {
        self.state.join("seen")
    }

    pub fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }
}

impl NodeConfig {
    /// Reads `DIR/intelmesh.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(dir: &Path) -> Result<Self, ConfigErrors> {
        let file = dir.join(super::NODE_FILE);
        let text = read(&file).map_err(|fault| {
            let whole = matches!(fault, ConfigFault::NotFound);
            let file = if whole { file.clone() } else { super::NODE_FILE.into() };
            ConfigErrors(vec![ConfigProblem { file, line: (!whole).then_some(1), column: None, fault }])
        })?;
        Self::parse(dir, &text)
    }

    pub(super) fn parse(dir: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let mut report = ConfigReport::new(Path::new(super::NODE_FILE), text, SECTIONS);
        let table = parse(text, &mut report);
        if !report.problems.is_empty() {
            return Err(ConfigErrors(report.problems));
        }
        let top = TomlSection::open(table.get_ref(), KEYS, LATER, &mut report);
        let name = name_of(&top, &mut report);
        let aliases = aliases(&top, &mut report);
        let project = project_name(&top, "project", PROJECT_DEFAULT, &mut report);
        let federation = project_name(&top, "federation", FEDERATION_DEFAULT, &mut report);
        let listen =
            addresses(&top, "listen", &mut report).unwrap_or_else(|| vec![LISTEN_DEFAULT.to_owned()]);
        let advertise = addresses(&top, "advertise", &mut report).unwrap_or_default();
        let default_tlp = tlp(&top, "default_tlp", &mut report).unwrap_or(DEFAULT_TLP);
        let journal = journal(&top, &mut report);
        let paths = paths(dir, &top, &mut report);
        let socket_group = top.text("socket_group", &mut report).map(|at| at.value.to_owned());
        let log = log(&top, &mut report);
        let doors = doors((dir, &paths.lists), &listen, &top, &mut report);
        let web = web(dir, &top, &mut report);
        match (name, project, federation) {
            (Some(name), Some(project), Some(federation)) if report.problems.is_empty() => Ok(Self {
                dir: dir.to_owned(),
                name,
                aliases,
                project,
                federation,
                listen,
                advertise,
                default_tlp,
                journal,
                paths,
                socket_group,
                log,
                doors,
                web,
            }),
            _ => {
                report.problems.sort_by_key(|problem| problem.line);
                Err(ConfigErrors(report.problems))
            }
        }
    }

    /// The name of this node, and those that it had.
    pub fn names(&self) -> NodeNames {
        NodeNames::new(self.name.clone(), self.aliases.clone())
    }

    /// Returns the addresses for an invitation: `advertise`, else those of `listen` that others could use.
    pub fn invited_at(&self) -> Vec<String> {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        self.listen.iter().filter(|address| !address::is_wildcard(address)).cloned().collect()
    }
}

fn name_of(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<PublisherName> {
    let hint = "name = \"cert-at\": who this node is to others";
    let Some(at) = top.text("name", report) else {
        if report.problems.is_empty() {
            report.fault(1, ConfigFault::Missing { key: "name", hint });
        }
        return None;
    };
    checked(at, "name", PublisherName::parse, report)
}

/// Old names, of this node or of a peer.
pub(super) fn aliases(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<PublisherName> {
    let texts = top.texts("aliases", report).unwrap_or_default();
    if let Some(beyond) = texts.get(ALIASES_MAX) {
        let (value, wanted) = (beyond.value.chars().take(80).collect(), "one of 16 aliases at most");
        report.fault(beyond.line, ConfigFault::Value { key: "aliases".into(), value, wanted });
    }
    let parsed = texts.into_iter().filter_map(|at| checked(at, "aliases", PublisherName::parse, report));
    parsed.collect()
}

fn project_name(
    top: &TomlSection<'_, '_>,
    key: &'static str,
    default: &str,
    report: &mut ConfigReport,
) -> Option<ProjectName> {
    match top.text(key, report) {
        Some(at) => checked(at, key, ProjectName::parse, report),
        None => ProjectName::parse(default).ok(),
    }
}

pub(super) fn checked<T>(
    at: TomlPosition<&str>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, IdentityError>,
    report: &mut ConfigReport,
) -> Option<T> {
    parse(at.value).map_err(|fault| report.fault(at.line, ConfigFault::Identity { key, fault })).ok()
}

/// Reads the addresses on which this node listens, or those of its invitations.
fn addresses(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    report: &mut ConfigReport,
) -> Option<Vec<String>> {
    addresses_that(section, key, report, |_| None)
}

/// Reads the addresses at which a peer is dialled: an address needs a port and cannot mean all interfaces.
pub(super) fn dialled(section: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<Vec<String>> {
    addresses_that(section, "addresses", report, |address| {
        address::is_wildcard(address).then_some(address::DIALLED)
    })
}

fn addresses_that(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    report: &mut ConfigReport,
    fault: impl Fn(&str) -> Option<&'static str>,
) -> Option<Vec<String>> {
    let texts = section.texts(key, report)?;
    if let Some(beyond) = texts.get(ADDRESSES_MAX) {
        let (value, wanted) = (beyond.value.to_owned(), "one of 16 addresses at most");
        report.fault(beyond.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
    }
    let mut addresses = Vec::with_capacity(texts.len().min(ADDRESSES_MAX));
    for at in texts {
        let address = address::parse(at.value).ok_or(address::WANTED);
        match address.and_then(|address| fault(&address).map_or(Ok(address), Err)) {
            Ok(address) => addresses.push(address),
            Err(wanted) => {
                let value = at.value.chars().take(120).collect();
                report.fault(at.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
            }
        }
    }
    Some(addresses)
}

pub(super) fn tlp(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    report: &mut ConfigReport,
) -> Option<Tlp> {
    let at = section.text(key, report)?;
    let label = Tlp::parse(at.value);
    if label.is_none() {
        let value = at.value.chars().take(80).collect();
        let wanted = "a known label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED";
        report.fault(at.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
    }
    label
}

fn log(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<String> {
    let at = top.text("log", report)?;
    let directives = log_level::directives(at.value);
    if directives.is_none() {
        let value = at.value.chars().take(80).collect();
        report.fault(at.line, ConfigFault::Value { key: "log".to_owned(), value, wanted: log_level::WANTED });
    }
    directives
}

fn journal(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> JournalSettings {
    let mut journal = JournalSettings { keep_days: KEEP_DAYS_DEFAULT, keep_bytes: KEEP_BYTES_DEFAULT };
    let Some(section) = top.section("journal", JOURNAL_KEYS, &[], report) else { return journal };
    if let Some(days) = section.number("keep_days", report) {
        match u32::try_from(days.value) {
            Ok(value) if (1..=KEEP_DAYS_MAX).contains(&days.value) => journal.keep_days = value,
            _ => {
                let (value, wanted) = (days.value.to_string(), "a number of days from 1 to 36500");
                report.fault(days.line, ConfigFault::Value { key: "keep_days".into(), value, wanted });
            }
        }
    }
    if section.is_text("keep_bytes") {
        if let Some(at) = section.text("keep_bytes", report) {
            let size = at.value.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64());
            keep_bytes(TomlPosition { line: at.line, value: size }, at.value, &mut journal, report);
        }
    } else if let Some(at) = section.number("keep_bytes", report) {
        let typed = at.value.to_string();
        keep_bytes(TomlPosition { line: at.line, value: Some(at.value) }, &typed, &mut journal, report);
    }
    journal
}

fn keep_bytes(
    size: TomlPosition<Option<u64>>,
    typed: &str,
    journal: &mut JournalSettings,
    report: &mut ConfigReport,
) {
    match size.value {
        Some(bytes) if bytes >= KEEP_BYTES_MIN => journal.keep_bytes = bytes,
        _ => {
            let value = typed.chars().take(80).collect();
            let wanted = "a size of 1 MB or more, like \"20GB\"";
            report.fault(size.line, ConfigFault::Value { key: "keep_bytes".into(), value, wanted });
        }
    }
}

fn paths(dir: &Path, top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> NodePaths {
    let section = top.section("paths", PATHS_KEYS, &[], report);
    let mut path = |key: &str, default: PathBuf| match &section {
        Some(section) => section.text(key, report).map_or(default, |at| dir.join(at.value)),
        None => default,
    };
    NodePaths {
        state: path("state", dir.to_owned()),
        run: path("run", dir.join("run")),
        keys: path("keys", dir.join("keys")),
        peers: path("peers", dir.join("peers")),
        groups: path("groups", dir.join("groups")),
        lists: path("lists", dir.join("lists")),
        clients: path("clients", dir.join("clients")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let errors = NodeConfig::parse(Path::new("d"), text).expect_err(text);
        errors.0.iter().map(|problem| format!("{problem} | {}", problem.hint().unwrap_or_default())).collect()
    }

    #[test]
    fn a_name_is_enough() {
        let config = NodeConfig::parse(Path::new("d"), "name = \"cert_at\"").unwrap();
        assert_eq!(config.name.as_str(), "cert-at");
        assert_eq!((config.project.as_str(), config.federation.as_str()), ("intelmq", "intelmesh"));
        assert_eq!(config.listen, [LISTEN_DEFAULT]);
        assert_eq!(config.journal, JournalSettings { keep_days: 30, keep_bytes: 20_000_000_000 });
        assert_eq!(config.paths.run, Path::new("d/run"));
        assert_eq!(config.paths.journal(), Path::new("d/journal"));
        assert!(config.invited_at().is_empty(), "wildcards are never advertised");
    }

    #[test]
    fn paths_may_move_and_sizes_have_units() {
        let text =
            "name = \"a\"\n[journal]\nkeep_bytes = \"2MB\"\n[paths]\nrun = \"/run/intelmesh\"\nstate = \"s\"";
        let config = NodeConfig::parse(Path::new("d"), text).unwrap();
        assert_eq!(config.journal.keep_bytes, 2_000_000);
        assert_eq!(config.paths.run, Path::new("/run/intelmesh"));
        assert_eq!(config.paths.seen(), Path::new("d/s/seen"));
    }

    #[test]
    fn every_slip_is_named_with_its_line_and_what_was_probably_meant() {
        assert_eq!(
            problems("name = \"a\"\ndefault-tlp = \"GREEN\"\nlisten = [\"x\"]\n[journal]\nkeep_dais = 3\n"),
            [
                "intelmesh.toml:2: unknown key \"default-tlp\" | did you mean \"default_tlp\"?".to_owned(),
                format!("intelmesh.toml:3: \"listen\": \"x\" is not {} | ", address::WANTED),
                "intelmesh.toml:5: unknown key \"keep_dais\" | did you mean \"keep_days\"?".to_owned(),
            ]
        );
        assert!(problems("\nname = 3")[0].starts_with("intelmesh.toml:2: \"name\" must be a string, not "));
        assert!(problems("name = \"a\"\nname = \"b\"")[0].starts_with("intelmesh.toml:2:"));
        assert!(problems("")[0].starts_with("intelmesh.toml:1: \"name\" is missing"));
        assert!(
            problems("name = \"a\"\ndefault_tlp = \"BLUE\"")[0]
                .starts_with("intelmesh.toml:2: \"default_tlp\"")
        );
    }

    #[test]
    fn what_is_not_built_is_refused_and_never_ignored() {
        for text in ["[metrics]\nlisten = \"y\""] {
            let errors = NodeConfig::parse(Path::new("d"), &format!("name = \"a\"\n{text}")).unwrap_err();
            assert_eq!((errors.0[0].code(), errors.0[0].line), (Some("not_built"), Some(2)), "{text}");
        }
    }

    #[test]
    fn a_missing_file_says_how_to_make_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let errors = NodeConfig::load(dir.path()).unwrap_err();
        assert!(errors.0[0].hint().unwrap().contains("intelmesh init"));
        assert!(errors.to_string().ends_with("intelmesh.toml: no such file"));
    }
}
