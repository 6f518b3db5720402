//! `groups/NAME.toml`: one name for several peers, which stands for them in `to` when an event is signed. Its members
//! are compared with the peers each time one of the files changes. `policy` decides which peer gets which event.

use std::path::{Path, PathBuf};

use super::node::NodeConfig;
use super::peer_file::PeerFile;
use super::problem::{ConfigFault, ConfigProblem, KnownKeys};
use super::reading::{ConfigReport, TomlPosition, TomlSection, checked, parse, read_listed, toml_paths};
use crate::identity::PublisherName;
use crate::limits::{GROUPS_MAX, RECIPIENTS_MAX};

const KEYS: &[&str] = &["members"];
const SECTIONS: &[KnownKeys] = &[("", KEYS)];

/// The content of a group file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupFile {
    pub name: PublisherName,
    /// Peers, and perhaps this node; each once.
    pub members: Vec<PublisherName>,
    /// As shown: relative to the node's directory.
    pub file: PathBuf,
    /// The line of each member.
    lines: Vec<usize>,
}

impl GroupFile {
    /// Reads one file's text; `file` is its name as shown, and its stem is the group's name.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Vec<ConfigProblem>> {
        let mut report = ConfigReport::new(file, text, SECTIONS);
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = PublisherName::parse(&stem).ok().filter(|name| name.as_str() == stem);
        if name.is_none() {
            report.fault(1, ConfigFault::GroupName(stem.chars().take(80).collect()));
        }
        let table = parse(text, &mut report);
        if !report.problems.is_empty() {
            return Err(report.problems);
        }
        let top = TomlSection::open(table.get_ref(), KEYS, &[], &mut report);
        let texts = top.texts("members", &mut report);
        let line = top.line("members", &report);
        let (members, lines) = members(texts, line, &mut report);
        match name {
            Some(name) if report.problems.is_empty() => {
                Ok(Self { name, members, file: file.to_owned(), lines })
            }
            _ => Err(report.problems),
        }
    }
}

fn members(
    texts: Option<Vec<TomlPosition<&str>>>,
    line: usize,
    report: &mut ConfigReport,
) -> (Vec<PublisherName>, Vec<usize>) {
    let given = texts.is_some();
    let texts = texts.unwrap_or_default();
    if texts.is_empty() && report.problems.is_empty() {
        let hint = "members = [\"cert-ee\", \"cert-pl\"]: the names of peers";
        let fault = if given {
            ConfigFault::Empty { key: "members", hint }
        } else {
            ConfigFault::Missing { key: "members", hint }
        };
        report.fault(line, fault);
    }
    if let Some(beyond) = texts.get(RECIPIENTS_MAX) {
        report.refuse("members", beyond, "one of 256 members at most");
    }
    let (mut names, mut lines) = (Vec::new(), Vec::new());
    for at in texts {
        let line = at.line;
        if let Some(name) = checked(at, "members", PublisherName::parse, report)
            && !names.contains(&name)
        {
            names.push(name);
            lines.push(line);
        }
    }
    (names, lines)
}

/// Loads all groups with members that are peers in `files`, and the problems of the others. If a file cannot be read,
/// the group keeps its content of `before`.
pub(super) fn load(
    config: &NodeConfig,
    files: &[PeerFile],
    before: &[GroupFile],
) -> (Vec<GroupFile>, Vec<ConfigProblem>) {
    let dir = &config.paths.groups;
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
    if let Some(path) = paths.get(GROUPS_MAX) {
        let file = shown.join(path.file_name().unwrap_or_default());
        problems.push(ConfigProblem::new(&file, 1, ConfigFault::TooManyGroups(GROUPS_MAX)));
    }
    let mut groups = Vec::new();
    for path in paths.iter().take(GROUPS_MAX) {
        let file = shown.join(path.file_name().unwrap_or_default());
        let Some(text) = read_listed(path) else { continue };
        let parsed = match text {
            Ok(text) => GroupFile::parse(&file, &text),
            Err(fault) => Err(vec![ConfigProblem::new(&file, 1, fault)]),
        };
        let group = parsed.map_or_else(
            |faults| {
                problems.extend(faults);
                before.iter().find(|kept| kept.file == file).cloned()
            },
            Some,
        );
        groups.extend(group.filter(|group| fits(group, config, files, &mut problems)));
    }
    (groups, problems)
}

/// Returns false, and adds problems, if its name is taken or a member is unknown.
fn fits(
    group: &GroupFile,
    config: &NodeConfig,
    files: &[PeerFile],
    problems: &mut Vec<ConfigProblem>,
) -> bool {
    let count = problems.len();
    if config.names().has(&group.name) {
        problems.push(ConfigProblem::new(&group.file, 1, ConfigFault::OwnName));
    }
    let clash = files.iter().find(|file| file.peer.has_name(&group.name));
    if let Some(peer) = clash {
        let fault = ConfigFault::SameName { name: group.name.to_string(), file: peer.file.clone() };
        problems.push(ConfigProblem::new(&group.file, 1, fault));
    }
    for (member, line) in group.members.iter().zip(&group.lines) {
        if !config.names().has(member)
            && !files.iter().any(|file| !file.pairing.pending && file.peer.has_name(member))
        {
            let (value, wanted) = (member.to_string(), "the name of a peer");
            problems.push(ConfigProblem::new(
                &group.file,
                *line,
                ConfigFault::Value { key: "members".into(), value, wanted },
            ));
        }
    }
    problems.len() == count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PeerFiles;
    use crate::identity::public_key_text;

    fn node(files: &[(&str, &str)]) -> (tempfile::TempDir, NodeConfig) {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["peers", "groups"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("intelmesh.toml"), "name = \"us\"").unwrap();
        for (seed, name) in [(2, "a"), (3, "b")] {
            let key = crate::fixture::key(seed).verifying_key();
            let text = format!("key = \"{}\"\naliases = [\"old-{name}\"]", public_key_text(&key));
            std::fs::write(dir.path().join(format!("peers/{name}.toml")), text).unwrap();
        }
        for (name, text) in files {
            std::fs::write(dir.path().join(format!("groups/{name}.toml")), text).unwrap();
        }
        let config = NodeConfig::load(dir.path()).unwrap();
        (dir, config)
    }

    fn loaded(config: &NodeConfig, before: &PeerFiles) -> PeerFiles {
        before.reload(config, &crate::fixture::key(1).verifying_key())
    }

    #[test]
    fn a_group_names_peers_and_perhaps_ourselves() {
        let (_dir, config) = node(&[("nordics", "members = [\"a\", \"us\",\n \"b\", \"a\"]")]);
        let files = loaded(&config, &PeerFiles::default());
        assert!(files.problems.is_empty(), "{:?}", files.problems);
        let members: Vec<&str> = files.groups[0].members.iter().map(PublisherName::as_str).collect();
        assert_eq!(members, ["a", "us", "b"]);
    }

    #[test]
    fn each_slip_has_its_line_and_leaves_out_that_group() {
        for (name, text, want) in [
            ("g", "", "groups/g.toml:1: \"members\" is missing"),
            ("g", "\nmembers = []", "groups/g.toml:2: \"members\" is empty"),
            ("g", "members = \"a\"", "groups/g.toml:1: \"members\" must be a list of strings"),
            (
                "g",
                "members = [\"a\",\n\"c\"]",
                "groups/g.toml:2: \"members\": \"c\" is not the name of a peer",
            ),
            ("g", "members = [\"A B\"]", "groups/g.toml:1: \"members\":"),
            ("g", "membrs = [\"a\"]", "groups/g.toml:1: unknown key \"membrs\""),
            ("a", "members = [\"b\"]", "groups/a.toml:1: \"a\" is a name in peers/a.toml already"),
            (
                "old-b",
                "members = [\"a\"]",
                "groups/old-b.toml:1: \"old-b\" is a name in peers/b.toml already",
            ),
            ("us", "members = [\"a\"]", "groups/us.toml:1: this is our own name"),
            (
                "No_Name",
                "members = [\"a\"]",
                "groups/No_Name.toml:1: \"No_Name\" is not a valid name for a group",
            ),
        ] {
            let (_dir, config) = node(&[(name, text), ("good", "members = [\"a\"]")]);
            let files = loaded(&config, &PeerFiles::default());
            assert!(files.problems[0].to_string().starts_with(want), "{text}: {:?}", files.problems);
            assert_eq!(files.groups.len(), 1, "{text}");
        }
    }

    /// One bad peer file makes its groups bad as well: the cause is told first.
    #[test]
    fn a_bad_peer_file_is_told_before_the_groups_that_name_it() {
        let (dir, config) = node(&[("g", "members = [\"a\"]")]);
        std::fs::write(dir.path().join("peers/a.toml"), "kee = 1\n").unwrap();
        let problems = loaded(&config, &PeerFiles::default()).problems;
        assert!(problems[0].to_string().starts_with("peers/a.toml:1:"), "{problems:?}");
        assert!(problems.last().unwrap().to_string().starts_with("groups/g.toml:1:"), "{problems:?}");
    }

    #[test]
    fn a_reload_keeps_what_a_bad_file_said_and_drops_what_names_nobody_any_more() {
        let (dir, config) = node(&[("g", "members = [\"a\", \"b\"]")]);
        let good = loaded(&config, &PeerFiles::default());
        std::fs::write(dir.path().join("groups/g.toml"), "members = ").unwrap();
        let kept = loaded(&config, &good);
        assert_eq!((kept.groups.len(), kept.problems.len()), (1, 1));
        std::fs::remove_file(dir.path().join("peers/b.toml")).unwrap();
        assert!(loaded(&config, &kept).groups.is_empty());
        std::fs::remove_file(dir.path().join("groups/g.toml")).unwrap();
        assert!(loaded(&config, &kept).problems.is_empty());
    }
}
