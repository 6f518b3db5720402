//! `intelmesh.toml`: this node. Read at start and at a reload; settings that `init` marks with (restart) act at the
//! next start. `doors` reads the sections about the pipeline.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::doors::{CONSUMER_KEYS, SUBMIT_KEYS, doors};
use super::problem::{ConfigErrors, ConfigFault, ConfigProblem, KnownKeys};
use super::reading::{ConfigReport, TomlSection, checked, parse, read};
use super::web::{WEB_KEYS, WebSettings, web};
use super::{address, log_level};
use crate::door::DoorSettings;
use crate::format::DoorDefaults;
use crate::identity::{NodeNames, ProjectName, PublisherName};
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
    "metrics",
    "on_health",
];
const JOURNAL_KEYS: &[&str] = &["keep_days", "keep_bytes"];
const METRICS_KEYS: &[&str] = &["listen"];
const PATHS_KEYS: &[&str] = &["state", "run", "keys", "peers", "groups", "lists", "clients"];
static SECTIONS: LazyLock<[KnownKeys; 7]> = LazyLock::new(|| {
    [
        ("", KEYS),
        ("journal", JOURNAL_KEYS),
        ("paths", PATHS_KEYS),
        ("web", WEB_KEYS),
        ("metrics", METRICS_KEYS),
        ("[submit]", &SUBMIT_KEYS),
        ("[consumer]", &CONSUMER_KEYS),
    ]
});
/// Settings of later versions: refused, never ignored.
const LATER: &[&str] = &["seal", "groups"];

/// Value of `listen` if the configuration gives none.
pub(crate) const LISTEN_DEFAULT: &str = "/ip4/0.0.0.0/tcp/4801";
pub(crate) const PROJECT_DEFAULT: &str = "intelmq";
pub(crate) const FEDERATION_DEFAULT: &str = "intelmesh";
pub(crate) const DEFAULT_TLP: Tlp = Tlp::Green;
const METRICS_LISTEN_WANTED: &str = "an IP address with a port, like \"127.0.0.1:4881\"";
/// Value of `listen` in `[metrics]`.
pub(crate) const METRICS_LISTEN_DEFAULT: &str = "127.0.0.1:4881";
const KEEP_DAYS_DEFAULT: u32 = 30;
const KEEP_BYTES_DEFAULT: u64 = 20_000_000_000;
/// A century: longer is a slip.
const KEEP_DAYS_MAX: u64 = 36_500;

/// This node, as its directory says (mirrors `intelmesh.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeConfig {
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
    pub doors: DoorSettings,
    /// The HTTP door; `None`: there is none.
    pub web: Option<WebSettings>,
    /// Where `/metrics` and `/healthz` are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// Program and arguments that run at each change of health; empty if there is none.
    pub on_health: Vec<String>,
}

/// `[journal]`: how much is kept. The limit that is reached first applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalSettings {
    pub keep_days: u32,
    pub keep_bytes: u64,
}

/// `[paths]`: where things lie. Relative ones begin at the node's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodePaths {
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
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    pub(crate) fn seen(&self) -> PathBuf {
        self.state.join("seen")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }
}

impl NodeConfig {
    /// Reads `DIR/intelmesh.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn load(dir: &Path) -> Result<Self, ConfigErrors> {
        let file = dir.join(super::NODE_FILE);
        let text = read(&file).map_err(|fault| {
            let whole = matches!(fault, ConfigFault::NotFound);
            let file = if whole { file.clone() } else { super::NODE_FILE.into() };
            ConfigErrors(vec![ConfigProblem { file, line: (!whole).then_some(1), column: None, fault }])
        })?;
        Self::parse(dir, &text)
    }

    /// Reads the text of a file in `dir`, which need not be there.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn parse(dir: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let mut report = ConfigReport::new(Path::new(super::NODE_FILE), text, &*SECTIONS);
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
        let on_health = on_health(&top, &mut report);
        let metrics = metrics(&top, &mut report);
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
                metrics,
                on_health,
            }),
            _ => {
                report.problems.sort_by_key(|problem| problem.line);
                Err(ConfigErrors(report.problems))
            }
        }
    }

    /// The name of this node, and those that it had.
    pub(crate) fn names(&self) -> NodeNames {
        NodeNames::new(self.name.clone(), self.aliases.clone())
    }

    /// Returns the effects of a door that adds nothing of its own.
    pub(crate) fn door_defaults(&self) -> DoorDefaults {
        DoorDefaults::of(self.name.clone(), self.project.clone(), self.default_tlp)
    }

    /// Returns the addresses for an invitation: `advertise`, else those of `listen` that others could use.
    pub(crate) fn invited_at(&self) -> Vec<String> {
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
    let most = (ALIASES_MAX, "one of 16 aliases at most");
    let names =
        top.list("aliases", most, report, |at, report| checked(at, "aliases", PublisherName::parse, report));
    names.unwrap_or_default()
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
    section.list(key, (ADDRESSES_MAX, "one of 16 addresses at most"), report, |at, report| {
        let address = address::parse(at.value).ok_or(address::WANTED);
        let address = address.and_then(|address| fault(&address).map_or(Ok(address), Err));
        address.map_err(|wanted| report.refuse(key, &at, wanted)).ok()
    })
}

pub(super) fn tlp(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    report: &mut ConfigReport,
) -> Option<Tlp> {
    let wanted = "a known label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED";
    section.choice(key, wanted, report, Tlp::parse)
}

fn log(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<String> {
    top.choice("log", log_level::WANTED, report, log_level::directives)
}

fn journal(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> JournalSettings {
    let mut journal = JournalSettings { keep_days: KEEP_DAYS_DEFAULT, keep_bytes: KEEP_BYTES_DEFAULT };
    let Some(section) = top.section("journal", JOURNAL_KEYS, &[], report) else { return journal };
    if let Some(days) = section.number("keep_days", report) {
        match u32::try_from(days.value) {
            Ok(value) if (1..=KEEP_DAYS_MAX).contains(&days.value) => journal.keep_days = value,
            _ => report.refuse("keep_days", &days, "a number of days from 1 to 36500"),
        }
    }
    let wanted = "a size of 1 MB or more, like \"20GB\"";
    let fits = |bytes: &u64| *bytes >= KEEP_BYTES_MIN;
    if section.is_text("keep_bytes") {
        let size = section.choice("keep_bytes", wanted, report, |text| {
            text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64()).filter(fits)
        });
        journal.keep_bytes = size.unwrap_or(journal.keep_bytes);
    } else if let Some(at) = section.number("keep_bytes", report) {
        match fits(&at.value) {
            true => journal.keep_bytes = at.value,
            false => report.refuse("keep_bytes", &at, wanted),
        }
    }
    journal
}

fn on_health(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<String> {
    let Some(words) = top.texts("on_health", report) else { return Vec::new() };
    match words.first() {
        Some(program) if Path::new(program.value).is_absolute() => {}
        other => {
            let value = other.map_or("[]", |at| at.value).chars().take(80).collect();
            let wanted = "a list of a program, with its whole path, and its arguments";
            report.fault(
                top.line("on_health", report),
                ConfigFault::Value { key: "on_health".into(), value, wanted },
            );
        }
    }
    words.into_iter().map(|at| at.value.to_owned()).collect()
}

/// The section alone opens it at the default.
fn metrics(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<SocketAddr> {
    let section = top.section("metrics", METRICS_KEYS, &[], report)?;
    if !section.has("listen") {
        return METRICS_LISTEN_DEFAULT.parse().ok();
    }
    let parse = |said: &str| said.parse().ok().filter(|at: &SocketAddr| at.port() != 0);
    section.choice("listen", METRICS_LISTEN_WANTED, report, parse)
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
    fn metrics_are_served_on_loopback_unless_told_otherwise() {
        let at =
            |text: &str| NodeConfig::parse(Path::new("d"), &format!("name = \"a\"\n{text}")).unwrap().metrics;
        assert_eq!(at(""), None);
        assert_eq!(at("[metrics]"), METRICS_LISTEN_DEFAULT.parse().ok());
        assert_eq!(at("[metrics]\nlisten = \"[::]:9100\""), "[::]:9100".parse().ok());
        for bad in ["localhost:4881", "127.0.0.1", "127.0.0.1:0"] {
            let text = format!("name = \"a\"\n[metrics]\nlisten = \"{bad}\"");
            let wanted = format!("intelmesh.toml:3: \"listen\": \"{bad}\" is not an IP address with a port");
            assert!(problems(&text)[0].starts_with(&wanted), "{:?}", problems(&text));
        }
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
        let errors = NodeConfig::parse(Path::new("d"), "name = \"a\"\n[groups]\nx = \"y\"").unwrap_err();
        assert_eq!((errors.0[0].code(), errors.0[0].line), (Some("not_built"), Some(2)));
    }

    #[test]
    fn a_missing_file_says_how_to_make_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let errors = NodeConfig::load(dir.path()).unwrap_err();
        assert!(errors.0[0].hint().unwrap().contains("intelmesh init"));
        assert!(errors.to_string().ends_with("intelmesh.toml: no such file"));
    }
}
