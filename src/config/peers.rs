//! Loads all peer files, and the groups of them, at start and at a reload. If a file is bad, only its peer is left out;
//! a node that runs already keeps the earlier content of that file. If a file is gone, so is its peer. Polled by
//! fingerprint rather than watched: that works on every file system.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;

use super::client_file::{self, ClientFile};
use super::filters::FileLists;
use super::groups::{self, GroupFile};
use super::node::{NodeConfig, NodePaths};
use super::peer_file::PeerFile;
use super::problem::{ConfigFault, ConfigProblem};
use super::reading::{read_listed, toml_paths};
use crate::identity::{NodeNames, PublisherName};
use crate::limits::{LISTS_MAX, PEERS_MAX};
use crate::policy::TrustList;

/// The peers in force, and the problems of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerFiles {
    /// By name.
    pub peers: Vec<PeerFile>,
    /// By name; each of their members is a peer, or this node.
    pub groups: Vec<GroupFile>,
    /// Clients of the HTTP door, by name.
    pub clients: Vec<ClientFile>,
    /// For as long as they last, in the order of file and line.
    pub problems: Vec<ConfigProblem>,
}

/// Equal as long as no file of a directory was touched: name, inode, size and times of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilesFingerprint(Vec<(PathBuf, [i64; 6])>);

impl FilesFingerprint {
    /// Returns the fingerprint of peers, groups and clients, and of the lists that filters may name.
    pub(crate) fn of_agreements(paths: &NodePaths) -> Self {
        let dirs = [&paths.peers, &paths.groups, &paths.clients];
        let [peers, groups, clients] = dirs.map(|dir| toml_paths(dir).unwrap_or_default());
        let lists = std::fs::read_dir(&paths.lists).into_iter().flatten().flatten();
        let lists = lists.map(|entry| entry.path()).take(LISTS_MAX).collect();
        Self::of_files([peers, groups, clients, lists].concat())
    }

    /// Returns the part of the fingerprint that lies in `dir`.
    pub(crate) fn within(&self, dir: &Path) -> Self {
        Self(self.0.iter().filter(|(path, _)| path.starts_with(dir)).cloned().collect())
    }

    /// Returns the fingerprint of `keys/` without reading the content of its files.
    pub(crate) fn of_keys(paths: &NodePaths) -> Self {
        let entries = std::fs::read_dir(&paths.keys).into_iter().flatten().flatten();
        Self::of_files(entries.map(|entry| entry.path()).collect())
    }

    /// Returns the fingerprint of `intelmesh.toml` alone.
    pub(crate) fn of_node_file(dir: &Path) -> Self {
        Self::of_files(vec![dir.join(super::NODE_FILE)])
    }

    fn of_files(paths: Vec<PathBuf>) -> Self {
        let mut files: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let marks = std::fs::metadata(&path).map_or([0; 6], |data| {
                    let (inode, size) = (data.ino().cast_signed(), data.size().cast_signed());
                    [inode, size, data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()]
                });
                (path, marks)
            })
            .collect();
        files.sort();
        Self(files)
    }
}

impl PeerFiles {
    /// Reads `peers/` at start: a bad file leaves out its peer.
    pub(crate) fn load(config: &NodeConfig, own_key: &VerifyingKey) -> Self {
        Self::default().reload(config, own_key)
    }

    /// Reads `peers/` again. If a file is bad, its content in `self` is kept; if the directory can't be read, all are.
    pub(crate) fn reload(&self, config: &NodeConfig, own_key: &VerifyingKey) -> Self {
        let shown = config.paths.peers.strip_prefix(&config.dir).unwrap_or(&config.paths.peers);
        let lists = FileLists::new(&config.paths.lists);
        let mut loading = PeerLoading { own: config.names(), own_key, lists, problems: Vec::new() };
        let paths = match toml_paths(&config.paths.peers) {
            Ok(paths) => paths,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let problem = ConfigProblem::new(shown, 1, ConfigFault::Unreadable(error.to_string()));
                return Self { problems: vec![problem], ..self.clone() };
            }
        };
        let mut files = loading.read_all(&paths, shown, self);
        files.sort_by_key(|file| (!self.runs(file), file.peer.name.clone()));
        let mut peers: Vec<PeerFile> = Vec::with_capacity(files.len());
        for file in files {
            if loading.fits(&file, &peers) {
                peers.push(file);
            }
        }
        peers.sort_by(|a, b| a.peer.name.cmp(&b.peer.name));
        let mut problems = loading.problems;
        let mut files = Self { peers, ..Self::default() };
        let (groups, group_problems) = groups::load(config, &files.peers, &self.groups);
        files.groups = groups;
        let (clients, client_problems) =
            client_file::load(config, &FileLists::new(&config.paths.lists), &self.clients);
        files.clients = clients;
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        // Behind those of peer files, which may be their cause.
        problems.extend(group_problems);
        problems.extend(client_problems);
        Self { problems, ..files }
    }

    pub(crate) fn peer(&self, name: &PublisherName) -> Option<&PeerFile> {
        self.peers.iter().find(|file| file.peer.name == *name)
    }

    /// Those that are not pending.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = &PeerFile> {
        self.peers.iter().filter(|file| !file.pairing.pending)
    }

    pub(crate) fn trust_list(&self, own: NodeNames, own_key: VerifyingKey) -> TrustList {
        let groups = self.groups.iter().map(|group| (group.name.clone(), group.members.clone()));
        TrustList::new(own, own_key, self.trusted().map(|file| file.peer.clone()))
            .with_groups(groups.collect())
    }

    /// Returns whether a file says that this publisher is deliberately not trusted.
    pub(crate) fn ignores(&self, publisher: &PublisherName) -> bool {
        self.peers.iter().any(|file| file.ignore.contains(publisher))
    }

    fn runs(&self, file: &PeerFile) -> bool {
        self.peer(&file.peer.name).is_some_and(|running| running.peer.key == file.peer.key)
    }
}

struct PeerLoading<'a> {
    own: NodeNames,
    own_key: &'a VerifyingKey,
    lists: FileLists,
    problems: Vec<ConfigProblem>,
}

impl PeerLoading<'_> {
    fn read_all(&mut self, paths: &[PathBuf], shown: &Path, before: &PeerFiles) -> Vec<PeerFile> {
        let mut files = Vec::with_capacity(paths.len().min(PEERS_MAX));
        if let Some(path) = paths.get(PEERS_MAX) {
            let file = shown.join(path.file_name().unwrap_or_default());
            self.problems.push(ConfigProblem::new(&file, 1, ConfigFault::TooMany(PEERS_MAX)));
        }
        for path in paths.iter().take(PEERS_MAX) {
            let file = shown.join(path.file_name().unwrap_or_default());
            let Some(text) = read_listed(path) else { continue };
            let parsed = match text {
                Ok(text) => PeerFile::parse_with(&file, &text, &self.lists),
                Err(fault) => Err(vec![ConfigProblem::new(&file, 1, fault)]),
            };
            match parsed {
                Ok(parsed) => files.push(parsed),
                Err(problems) => {
                    self.problems.extend(problems);
                    files.extend(before.peers.iter().find(|kept| kept.file == file).cloned());
                }
            }
        }
        files
    }

    /// Returns false, with a problem, if `file` contradicts this node or a peer that is taken already.
    fn fits(&mut self, file: &PeerFile, taken: &[PeerFile]) -> bool {
        let fault = if file.peer.key == *self.own_key {
            Some(ConfigFault::OwnKey)
        } else if names(file).any(|name| self.own.has(name)) {
            Some(ConfigFault::OwnName)
        } else {
            taken.iter().find_map(|other| clash(file, other))
        };
        match fault {
            Some(fault) => {
                self.problems.push(ConfigProblem::new(&file.file, file.key_line, fault));
                false
            }
            None => true,
        }
    }
}

fn names(file: &PeerFile) -> impl Iterator<Item = &PublisherName> {
    std::iter::once(&file.peer.name).chain(&file.peer.aliases)
}

fn clash(file: &PeerFile, other: &PeerFile) -> Option<ConfigFault> {
    if file.peer.key == other.peer.key {
        return Some(ConfigFault::SameKey(other.file.clone()));
    }
    let shared = names(file).find(|name| names(other).any(|theirs| theirs == *name))?;
    Some(ConfigFault::SameName { name: shared.to_string(), file: other.file.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::public_key_text;

    fn key(seed: u8) -> VerifyingKey {
        crate::fixture::key(seed).verifying_key()
    }

    struct Node {
        dir: tempfile::TempDir,
        config: NodeConfig,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("peers")).unwrap();
            std::fs::write(dir.path().join("intelmesh.toml"), "name = \"us\"").unwrap();
            let config = NodeConfig::load(dir.path()).unwrap();
            Self { dir, config }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir.path().join("peers").join(format!("{name}.toml"))
        }

        fn write(&self, name: &str, seed: u8, rest: &str) {
            let text = format!("key = \"{}\"\n{rest}", public_key_text(&key(seed)));
            std::fs::write(self.file(name), text).unwrap();
        }

        fn load(&self) -> PeerFiles {
            PeerFiles::load(&self.config, &key(1))
        }
    }

    fn names_of(files: &PeerFiles) -> Vec<&str> {
        files.peers.iter().map(|file| file.peer.name.as_str()).collect()
    }

    #[test]
    fn a_bad_file_leaves_out_its_peer_alone_at_start_and_changes_nothing_later() {
        let node = Node::new();
        node.write("a", 2, "");
        node.write("b", 3, "paused = true");
        let good = node.load();
        assert_eq!((names_of(&good), good.problems.len()), (vec!["a", "b"], 0));
        node.write("b", 3, "pausd = false");
        let reloaded = good.reload(&node.config, &key(1));
        assert_eq!(reloaded.peers, good.peers);
        assert_eq!(reloaded.problems[0].to_string(), "peers/b.toml:2: unknown key \"pausd\"");
        assert_eq!(names_of(&node.load()), ["a"]);
        node.write("b", 3, "");
        let mended = reloaded.reload(&node.config, &key(1));
        assert!(mended.problems.is_empty() && !mended.peers[1].peer.paused);
    }

    /// Files that are managed elsewhere and linked: their place was moved, or is not mounted.
    #[test]
    fn a_link_that_leads_nowhere_cuts_no_peer_off() {
        let node = Node::new();
        let target = node.dir.path().join("managed");
        node.write("a", 2, "");
        std::fs::rename(node.file("a"), &target).unwrap();
        std::os::unix::fs::symlink(&target, node.file("a")).unwrap();
        let good = node.load();
        assert_eq!((names_of(&good), good.problems.len()), (vec!["a"], 0));
        std::fs::remove_file(&target).unwrap();
        let reloaded = good.reload(&node.config, &key(1));
        assert_eq!(reloaded.peers, good.peers);
        assert_eq!(
            reloaded.problems[0].to_string(),
            "peers/a.toml:1: cannot be read: the link leads to no file"
        );
    }

    #[test]
    fn a_removed_file_removes_its_peer() {
        let node = Node::new();
        node.write("a", 2, "");
        let before = node.load();
        std::fs::remove_file(node.file("a")).unwrap();
        assert!(before.reload(&node.config, &key(1)).peers.is_empty());
    }

    #[test]
    fn files_that_contradict_us_or_each_other_are_left_out() {
        for (name, seed, rest, want) in [
            ("z", 1, "", "peers/z.toml:1: this is our own key"),
            ("us", 9, "", "peers/us.toml:1: this is our own name"),
            ("z", 9, "aliases = [\"us\"]", "peers/z.toml:1: this is our own name"),
            ("z", 2, "", "peers/z.toml:1: the same key as in peers/a.toml"),
            ("z", 9, "aliases = [\"a\"]", "peers/z.toml:1: \"a\" is a name in peers/a.toml already"),
            ("old", 9, "", "peers/old.toml:1: \"old\" is a name in peers/a.toml already"),
        ] {
            let node = Node::new();
            node.write("a", 2, "aliases = [\"old\"]");
            node.write(name, seed, rest);
            let loaded = node.load();
            assert_eq!(names_of(&loaded), ["a"], "{want}");
            assert_eq!(loaded.problems[0].to_string(), want);
        }
    }

    #[test]
    fn of_two_files_with_one_key_the_running_one_stays() {
        let node = Node::new();
        node.write("z", 2, "");
        let running = node.load();
        node.write("a", 2, "");
        let reloaded = running.reload(&node.config, &key(1));
        assert_eq!(names_of(&reloaded), ["z"]);
        assert_eq!(reloaded.problems[0].to_string(), "peers/a.toml:1: the same key as in peers/z.toml");
    }

    #[test]
    fn the_fingerprint_changes_with_content_and_names_and_not_otherwise() {
        let node = Node::new();
        let peers = node.dir.path().join("peers");
        node.write("a", 2, "");
        let first = FilesFingerprint::of_files(toml_paths(&peers).unwrap_or_default());
        assert_eq!(first, FilesFingerprint::of_files(toml_paths(&peers).unwrap_or_default()));
        node.write("a", 2, "paused = true");
        let second = FilesFingerprint::of_files(toml_paths(&peers).unwrap_or_default());
        assert_ne!(first, second);
        std::fs::write(peers.join(".a.toml.swp"), "").unwrap();
        std::fs::write(peers.join("README.md"), "").unwrap();
        assert_eq!(second, FilesFingerprint::of_files(toml_paths(&peers).unwrap_or_default()));
        std::fs::remove_file(node.file("a")).unwrap();
        assert_ne!(second, FilesFingerprint::of_files(toml_paths(&peers).unwrap_or_default()));
    }
}
