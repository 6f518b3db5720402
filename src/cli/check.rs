//! `check`: everything that is wrong with a node's directory, at once: configuration, keys, peers and who may
//! read or write them. It changes nothing; it prints the line that does.

mod access;
mod filters;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::Serialize;

use super::answer::{CommandAnswer, talk};
use super::failure::{CommandFailure, NO};
use super::place::{NodeDirectory, statement_of};
use crate::config::{
    ConfigErrors, ConfigProblem, JournalSettings, NODE_FILE, NodeConfig, NodePaths, PeerFiles,
};
use crate::daemon;
use crate::door::DoorSettings;
use crate::identity::{ProjectName, PublisherName};
use crate::keyring::{Keyring, KeyringError};
use crate::local::{RedisAddress, group_id};
use crate::ownership;
use crate::policy::Tlp;
use crate::status::bytes_text;

/// One thing to fix, or to think about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct CheckFinding {
    level: FindingLevel,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum FindingLevel {
    Error,
    Warning,
}

#[derive(Default)]
struct CheckFindings(Vec<CheckFinding>);

impl CheckFindings {
    fn error(&mut self, what: impl ToString, hint: Option<String>) {
        self.0.push(CheckFinding { level: FindingLevel::Error, what: what.to_string(), hint });
    }

    fn warning(&mut self, what: impl ToString, hint: impl Into<String>) {
        self.0.push(CheckFinding {
            level: FindingLevel::Warning,
            what: what.to_string(),
            hint: Some(hint.into()),
        });
    }

    fn problem(&mut self, problem: &ConfigProblem) {
        self.error(problem, problem.hint());
    }

    fn count(&self, level: FindingLevel) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

pub(crate) fn check(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    if !place.dir().join(NODE_FILE).exists() {
        // Nothing to look at: the same words as `run`.
        place.config()?;
    }
    let mut found = CheckFindings::default();
    let config = NodeConfig::load(place.dir());
    let account = as_owner(&config, place.dir(), &mut found);
    if let Err(errors) = &config {
        errors.0.iter().for_each(|problem| found.problem(problem));
    }
    let whole = config.is_ok();
    let config = config.unwrap_or_else(|_| fallback(place.dir()));
    let is_theirs = belongs_to_another(&config, &mut found);
    let own_key = if is_theirs { no_key() } else { keys(&config, &mut found) };
    let peers = PeerFiles::load(&config, &own_key);
    peers.problems.iter().for_each(|problem| found.problem(problem));
    writable(&config, &mut found);
    if !is_theirs {
        access::check(&config, account, &mut found);
    }
    if whole {
        settings(&config, &peers, &mut found);
        door_places(&config, &mut found);
        filters::check(&config, &peers, &mut found);
    }
    report(&found, &peers, json)
}

/// Continues as the account that owns `keys/`: root may read everything, but the node may not.
fn as_owner(config: &Result<NodeConfig, ConfigErrors>, dir: &Path, found: &mut CheckFindings) -> u32 {
    let keys = config.as_ref().map_or_else(|_| dir.join("keys"), |config| config.paths.keys.clone());
    let Some((uid, gid)) = ownership::other_owner(&keys) else {
        return rustix::process::geteuid().as_raw();
    };
    if let Err(error) = ownership::become_account(uid, gid) {
        let account = ownership::account(uid);
        found.warning(
            format!(
                "cannot look at the files as the account {account}, who owns {}: {error}",
                keys.display()
            ),
            format!("runuser -u {account} -- intelmesh check -C {}", dir.display()),
        );
    }
    uid
}

/// An account that is neither root nor the node's cannot tell what the node's may read and write: its own permissions
/// say nothing, and must not be "corrected".
fn belongs_to_another(config: &NodeConfig, found: &mut CheckFindings) -> bool {
    let keys = &config.paths.keys;
    let (Ok(data), this) = (fs::metadata(keys), rustix::process::geteuid().as_raw()) else { return false };
    if data.uid() == this {
        return false;
    }
    let (owner, this) = (ownership::account(data.uid()), ownership::account(this));
    found.error(
        format!(
            "{} belongs to the account {owner}, and this is {this}: keys and permissions were not checked",
            keys.display()
        ),
        Some(format!("runuser -u {owner} -- intelmesh check -C {}", config.dir.display())),
    );
    true
}

/// Returns a key that nobody has.
fn no_key() -> VerifyingKey {
    SigningKey::from_bytes(&[1; 32]).verifying_key()
}

/// Returns a configuration with the default places, for the other checks if `intelmesh.toml` cannot be read.
fn fallback(dir: &Path) -> NodeConfig {
    let name = |text| ProjectName::parse(text).unwrap_or_else(|_| unreachable!("a constant name"));
    NodeConfig {
        dir: dir.to_owned(),
        // Nobody's own name: whether a peer has ours is not known now.
        name: PublisherName::parse("0").unwrap_or_else(|_| unreachable!("a constant name")),
        aliases: Vec::new(),
        project: name("0"),
        federation: name("0"),
        listen: Vec::new(),
        advertise: Vec::new(),
        default_tlp: Tlp::Green,
        journal: JournalSettings { keep_days: 1, keep_bytes: 1 },
        paths: NodePaths {
            state: dir.to_owned(),
            run: dir.join("run"),
            keys: dir.join("keys"),
            peers: dir.join("peers"),
            groups: dir.join("groups"),
            lists: dir.join("lists"),
            clients: dir.join("clients"),
        },
        socket_group: None,
        log: None,
        doors: DoorSettings::default(),
        web: None,
        metrics: None,
        on_health: Vec::new(),
    }
}

/// Returns the node's key; if it cannot be read, one that nobody has.
fn keys(config: &NodeConfig, found: &mut CheckFindings) -> VerifyingKey {
    let mut loose = false;
    for entry in fs::read_dir(&config.paths.keys).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        if data.is_file() && data.mode() & 0o077 != 0 {
            loose = true;
            let error = KeyringError::Loose { file: entry.path(), mode: data.mode() & 0o7777 };
            found.error(&error, error.hint());
        }
    }
    if let Some(mode) = mode_of(&config.paths.keys).filter(|mode| mode & 0o077 != 0) {
        let keys = config.paths.keys.display();
        found.warning(
            format!("{keys}: others may look into it (mode {mode:04o})"),
            format!("chmod 700 {keys}"),
        );
    }
    match Keyring::load(&config.paths.keys) {
        Ok(keyring) => {
            let known = statement_of(config, &keyring.public_key());
            if let Err(error) = keyring.check_newest(&config.paths.keys, known.as_ref()) {
                found.error(&error, error.hint());
            }
            keyring.public_key()
        }
        Err(error) => {
            if !(loose && matches!(error, KeyringError::Loose { .. })) {
                found.error(&error, error.hint());
            }
            no_key()
        }
    }
}

/// Checks that others may not write these paths: if they can, they can pose as anyone.
fn writable(config: &NodeConfig, found: &mut CheckFindings) {
    let dirs = [&config.paths.peers, &config.paths.clients];
    let mut paths = vec![config.dir.join(NODE_FILE)];
    paths.extend(dirs.map(Clone::clone));
    let files = dirs.into_iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    paths.extend(
        files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "toml")),
    );
    paths.sort();
    for path in paths {
        let Some(mode) = mode_of(&path) else { continue };
        let shown = path.display();
        if mode & 0o002 != 0 {
            found.error(
                format!("{shown}: everybody may write it (mode {mode:04o})"),
                Some(format!("chmod o-w {shown}")),
            );
        }
    }
    // The sockets themselves are closed to others; who may list them does no harm. Who may write there could put
    // another socket in the place of one.
    if let Some(mode) = mode_of(&config.paths.run).filter(|mode| mode & 0o022 != 0) {
        let run = config.paths.run.display();
        found.warning(
            format!("{run}: others may put sockets there (mode {mode:04o})"),
            format!("chmod go-w {run}"),
        );
    }
}

fn mode_of(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|data| data.mode() & 0o7777)
}

/// Reports addresses of the doors that `run` would refuse, and files that they could not read.
fn door_places(config: &NodeConfig, found: &mut CheckFindings) {
    for (name, queue) in config.doors.redis_queues() {
        if let Err(fault) = RedisAddress::parse(&queue.url) {
            let place = format!("{NODE_FILE}:{}", queue.url_line);
            found.error(format!("{place}: door {name}: url: {fault}"), None);
        }
    }
    for (name, key, file) in config.doors.files() {
        if let Err(error) = fs::File::open(file) {
            let what = format!("{NODE_FILE}: door {name}: {key} {}: {error}", file.display());
            found.error(what, Some("the node's user must be able to read it".into()));
        }
    }
}

fn settings(config: &NodeConfig, peers: &PeerFiles, found: &mut CheckFindings) {
    journal_fits(config, found);
    renamed(config, found);
    if config.invited_at().is_empty() {
        found.warning(
            format!(
                "{}: invitations will have no address: \"listen\" has none that others could use",
                place_of(config, "listen")
            ),
            "advertise = [\"/dns4/mesh.example.org/tcp/4801\"]",
        );
    }
    if config.default_tlp > Tlp::Amber {
        found.warning(
            format!(
                "{}: events without a label get {}, and are refused",
                place_of(config, "default_tlp"),
                config.default_tlp
            ),
            "default_tlp = \"AMBER\" or milder",
        );
    }
    socket_group(config, found);
    for peer in &peers.peers {
        let alone = peer.addresses.is_empty() && !peer.peer.publisher_only && config.invited_at().is_empty();
        if alone {
            found.warning(
                format!(
                    "{}:{}: neither of you can reach the other: no \"addresses\" here, and our invitations have none",
                    peer.file.display(),
                    peer.key_line
                ),
                format!("one of both must open a port: advertise = […] in {NODE_FILE}, or addresses of theirs here"),
            );
        }
    }
}

/// Reports a group that `run` would refuse. An account gives a file only to a group that it is in.
fn socket_group(config: &NodeConfig, found: &mut CheckFindings) {
    let Some(group) = &config.socket_group else { return };
    let place = place_of(config, "socket_group");
    let id = match group_id(group) {
        Ok(id) => id,
        Err(error) => return found.error(format!("{place}: {error}"), error.hint()),
    };
    let (euid, egid) = (rustix::process::geteuid(), rustix::process::getegid().as_raw());
    let groups = rustix::process::getgroups().unwrap_or_default();
    if !euid.is_root() && egid != id && groups.iter().all(|held| held.as_raw() != id) {
        let account = ownership::account(euid.as_raw());
        found.warning(
            format!("{place}: the account {account} is not in the group \"{group}\" by /etc/group, and may not give its sockets to it"),
            format!("usermod -aG {group} {account}, or SupplementaryGroups={group} in the unit"),
        );
    }
}

/// `FILE:LINE` of a key of `intelmesh.toml`, or the first line if a default counts.
fn place_of(config: &NodeConfig, key: &str) -> String {
    let text = fs::read_to_string(config.dir.join(NODE_FILE)).unwrap_or_default();
    let says = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    format!("{NODE_FILE}:{}", text.lines().position(says).map_or(1, |at| at + 1))
}

/// A journal that may grow beyond its file system fills it.
fn journal_fits(config: &NodeConfig, found: &mut CheckFindings) {
    let Ok(space) = rustix::fs::statvfs(&config.paths.state) else { return };
    let total = space.f_blocks.saturating_mul(space.f_frsize);
    let keep = config.journal.keep_bytes;
    if keep > total {
        let (keep, total) = (bytes_text(keep), bytes_text(total));
        let (place, state) = (place_of(config, "keep_bytes"), config.paths.state.display());
        found.warning(
            format!("{place}: keep_bytes is {keep}, and the file system of {state} has {total}"),
            "keep_bytes of at most three quarters of it, with room for seen/ and links/",
        );
    }
}

/// Peers know this node by its name.
fn renamed(config: &NodeConfig, found: &mut CheckFindings) {
    let Some(former) = daemon::former_name(&config.paths.state).filter(|former| *former != config.name)
    else {
        return;
    };
    let (place, name) = (place_of(config, "name"), &config.name);
    found.warning(
        format!("{place}: this node was called \"{former}\" at its last start: peers refuse it as \"{name}\""),
        format!("name = \"{former}\", or tell your peers: mv peers/{former}.toml peers/{name}.toml, aliases = [\"{former}\"]"),
    );
}

fn report(found: &CheckFindings, peers: &PeerFiles, json: bool) -> Result<(), CommandFailure> {
    let (errors, warnings) = (found.count(FindingLevel::Error), found.count(FindingLevel::Warning));
    let mut answer = CommandAnswer::new();
    if json {
        let facts = serde_json::json!({
            "ok": errors == 0,
            "errors": errors,
            "warnings": warnings,
            "findings": found.0,
        });
        answer.object("intelmesh.check/1", &facts)?;
    } else {
        for finding in &found.0 {
            let level = if finding.level == FindingLevel::Error { "error" } else { "warning" };
            talk(format!("{level}: {}", finding.what));
            if let Some(hint) = &finding.hint {
                talk(format!("hint: {hint}"));
            }
        }
        let peers = count(peers.peers.len(), "peer");
        match (errors, warnings) {
            (0, 0) => answer.line(format!("ok: {NODE_FILE}, keys and {peers}"))?,
            (0, _) => {
                answer.line(format!("ok: {NODE_FILE}, keys and {peers}; {}", count(warnings, "warning")))?
            }
            _ => answer.line(format!("{}, {}", count(errors, "error"), count(warnings, "warning")))?,
        }
    }
    answer.flush()?;
    if errors > 0 { Err(CommandFailure::silent(NO)) } else { Ok(()) }
}

fn count(number: usize, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}
