//! The node's directory, and the doors of a running node in it. Knows where things lie; reads no event.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::VerifyingKey;

use super::answer::talk;
use super::failure::CommandFailure;
use crate::audit::{self, AuditDecision, AuditedAction};
use crate::clock;
use crate::config::{self, NodeConfig, PeerFiles};
use crate::control::{ControlReply, ControlRequest};
use crate::daemon;
use crate::envelope::SignedStatement;
use crate::identity::PublisherName;
use crate::keyring::Keyring;
use crate::policy::TrustList;

/// The longest answer on `ctl.sock`: the status of a thousand peers stays far below, and an envelope of
/// [`crate::limits::ENVELOPE_BYTES_MAX`] in base64 fits. In bytes.
const REPLY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long an answer may take: `peer check` dials every address for 3 s. In seconds.
const REPLY_WAIT_S: u64 = 120;

/// Names the node's directory if no flag does.
const DIR_ENV: &str = "INTELMESH_DIR";
/// Names the directory of the sockets, for accounts that may not read the configuration.
const RUN_ENV: &str = "INTELMESH_RUN";
/// The directory of a node by contrib/README.md, and that of its sockets.
pub(crate) const PACKAGED_DIR: &str = "/etc/intelmesh";
pub(crate) const PACKAGED_RUN: &str = "/run/intelmesh";
pub(crate) const PACKAGED_STATE: &str = "/var/lib/intelmesh";

/// Returns `here`, or `packaged` if only that can be a node. Members of `socket_group` may not look into the packaged
/// directory: that it is there is enough. A current directory that this account may not look into is not passed over:
/// the verb says that it cannot be read.
fn default_dir<'a>(here: &'a Path, packaged: &'a Path) -> &'a Path {
    let may_be_node = here.join(config::NODE_FILE).try_exists().unwrap_or(true);
    if may_be_node || !packaged.is_dir() { here } else { packaged }
}

/// Somebody who stands in another directory has to see which node is meant.
fn dir_in_use() -> PathBuf {
    let here = Path::new(".");
    let dir = default_dir(here, Path::new(PACKAGED_DIR));
    if dir != here {
        talk(format!("using {}: the current directory is not a node", dir.display()));
    }
    dir.to_owned()
}

/// A node's directory, as the operator named it.
#[derive(Clone, Debug)]
pub(crate) struct NodeDirectory {
    dir: PathBuf,
}

impl NodeDirectory {
    /// `-C` wins over the verb's own DIR, and both over `INTELMESH_DIR`; without any it is the current directory, or that
    /// of the package if the current one is not a node.
    pub(crate) fn find(flag: Option<PathBuf>, own: Option<PathBuf>) -> Self {
        let named = || std::env::var_os(DIR_ENV).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let given = flag.or(own).or_else(named).unwrap_or_else(dir_in_use);
        Self { dir: config::node_dir(&given) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// # Errors
    /// Everything that is wrong with `intelmesh.toml`, at once.
    pub(crate) fn config(&self) -> Result<NodeConfig, CommandFailure> {
        NodeConfig::load(&self.dir).map_err(CommandFailure::from)
    }

    pub(crate) fn keyring(&self, config: &NodeConfig) -> Result<Keyring, CommandFailure> {
        Keyring::load(&config.paths.keys).map_err(CommandFailure::from)
    }

    /// Loads the peers with good files, and the problems of the others.
    pub(crate) fn peers(&self, config: &NodeConfig) -> Result<PeerFiles, CommandFailure> {
        Ok(PeerFiles::load(config, &self.keyring(config)?.public_key()))
    }

    pub(crate) fn trust(&self) -> Result<TrustList, CommandFailure> {
        let config = self.config()?;
        let own_key = self.keyring(&config)?.public_key();
        let trust = PeerFiles::load(&config, &own_key).trust_list(config.names(), own_key);
        let known = daemon::copies(&config.paths.state, |name| trust.identity_key(name).copied());
        Ok(trust.with_statements(&known))
    }

    /// Writes a decision of the operator into `audit.jsonl`. It is done already: if it cannot be recorded, a message
    /// says so.
    pub(crate) fn audit(
        &self,
        config: &NodeConfig,
        what: AuditedAction,
        peer: Option<&PublisherName>,
        how: &str,
    ) {
        self.audit_in(&config.paths.state, what, peer, how);
    }

    fn audit_in(&self, state: &Path, what: AuditedAction, peer: Option<&PublisherName>, how: &str) {
        let decision = AuditDecision { at: clock::now().wall, what, who: audit::who(), peer, how };
        if let Err(error) = audit::append(state, &decision) {
            let file = state.join(audit::AUDIT_FILE);
            talk(format!("warning: {}: {error}: this decision is not written down", file.display()));
        }
    }

    /// The same, if nothing else was asked of the configuration. Without one, the file is in the node's directory.
    pub(crate) fn audit_here(&self, what: AuditedAction, peer: Option<&PublisherName>, how: &str) {
        let state =
            NodeConfig::load(&self.dir).map_or_else(|_| self.dir.clone(), |config| config.paths.state);
        self.audit_in(&state, what, peer, how);
    }

    /// Returns the directory of the sockets. A configuration that is broken, or that this account may not read, must
    /// not hide a running node: then it is the default, or that of the package.
    fn run_dir(&self) -> PathBuf {
        if let Some(run) = std::env::var_os(RUN_ENV).filter(|run| !run.is_empty()) {
            return PathBuf::from(run);
        }
        match NodeConfig::load(&self.dir) {
            Ok(config) => config.paths.run,
            Err(_) => run_without_config(&self.dir),
        }
    }

    /// Connects to `in.sock`, `out.sock` or `ctl.sock` of the running node.
    ///
    /// # Errors
    /// Exit 2 if no node runs.
    pub(crate) fn connect(&self, socket: &str) -> Result<UnixStream, CommandFailure> {
        let path = self.run_dir().join(socket);
        crate::local::connect(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                self.no_node()
            }
            io::ErrorKind::PermissionDenied => CommandFailure::could_not(format!("{}: {error}", path.display()))
                .hint("run this as the node's account, or as a member of socket_group (see docs/howto/let-accounts-use-a-node.md)"),
            _ => CommandFailure::could_not(format!("{}: {error}", path.display())),
        })
    }

    fn no_node(&self) -> CommandFailure {
        let dir = self.dir.display();
        let failure = CommandFailure::could_not(format!("no node runs in {dir}"));
        if let Err(errors) = NodeConfig::load(&self.dir)
            && let Some(first) =
                errors.0.iter().find(|problem| !matches!(problem.fault, config::ConfigFault::NotFound))
        {
            return failure.hint(format!("{first}: intelmesh check -C {dir}"));
        }
        if self.dir.join(config::NODE_FILE).is_file() {
            failure.hint(format!("intelmesh run -C {dir}, or: systemctl status intelmesh"))
        } else {
            failure.hint("name the node's directory: -C DIR, or INTELMESH_DIR")
        }
    }

    /// Asks the running node one question.
    ///
    /// # Errors
    /// Exit 2 if no node runs or it does not answer; if the node refuses, the exit code of its refusal.
    pub(crate) fn ask(&self, request: &ControlRequest) -> Result<ControlReply, CommandFailure> {
        let mut stream = self.connect("ctl.sock")?;
        let broken = |error: io::Error| CommandFailure::could_not(format!("ctl.sock: {error}"));
        let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into()))?;
        line.push(b'\n');
        stream.set_read_timeout(Some(Duration::from_secs(1))).map_err(broken)?;
        stream.write_all(&line).map_err(broken)?;
        let answer = read_answer(stream).map_err(broken)?;
        if answer.is_empty() {
            return Err(CommandFailure::could_not("the node closed ctl.sock without an answer")
                .hint("is it stopping? see its log"));
        }
        match serde_json::from_slice(&answer) {
            Ok(ControlReply::Refused(refusal)) => Err(refusal.into()),
            Ok(reply) => Ok(reply),
            Err(error) => {
                Err(CommandFailure::could_not(format!("the node's answer cannot be read: {error}"))
                    .hint("is the command line of another version than the running node?"))
            }
        }
    }

    /// Asks the running node to do something.
    pub(crate) fn order(&self, request: &ControlRequest) -> Result<(), CommandFailure> {
        match self.ask(request)? {
            ControlReply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks like `ask`, but gives `None` if no node runs.
    pub(crate) fn ask_if_running(
        &self,
        request: &ControlRequest,
    ) -> Result<Option<ControlReply>, CommandFailure> {
        match self.connect("ctl.sock") {
            Ok(_) => self.ask(request).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Returns the directory of the sockets if the configuration cannot be used: it has a mistake, or an account of the
/// pipeline may not read it. Neither hides a node that runs.
fn run_without_config(dir: &Path) -> PathBuf {
    if dir == Path::new(PACKAGED_DIR) { PathBuf::from(PACKAGED_RUN) } else { dir.join("run") }
}

/// Reads one line. During long work a terminal shows that it goes on; bytes read before a second is over are kept.
fn read_answer(stream: UnixStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream.take(REPLY_BYTES_MAX));
    let mut answer = Vec::new();
    let mut progress = ProgressLine::default();
    loop {
        match reader.read_until(b'\n', &mut answer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && progress.seconds < REPLY_WAIT_S => {
                progress.pass_second();
            }
            read => return read.map(|_| answer),
        }
    }
}

/// One line of a terminal that counts seconds, and is gone at the end.
#[derive(Default)]
struct ProgressLine {
    seconds: u64,
}

impl ProgressLine {
    fn pass_second(&mut self) {
        self.seconds += 1;
        self.draw(&format!("the node works on it: {} s", self.seconds));
    }

    fn draw(&self, text: &str) {
        let mut talk = io::stderr().lock();
        if talk.is_terminal() {
            let _ = write!(talk, "\r\u{1b}[K{text}").and_then(|()| talk.flush());
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.seconds > 0 {
            self.draw("");
        }
    }
}

/// Returns the last key statement of `identity` that the node applied, from its record; `None` if nothing is known.
pub(crate) fn statement_of(config: &NodeConfig, identity: &VerifyingKey) -> Option<SignedStatement> {
    let known = daemon::copies(&config.paths.state, |_| Some(*identity));
    known.of(identity).map(|stated| stated.latest().clone())
}

/// Asks the running node, and gives the content of the one reply that fits.
macro_rules! ask_for {
    ($place:expr, $request:expr, $reply:ident) => {
        match $place.ask(&$request)? {
            crate::control::ControlReply::$reply(content) => content,
            other => return Err(crate::cli::place::unexpected(&other)),
        }
    };
}
pub(crate) use ask_for;

/// Returns the failure for a reply that does not fit the request: the versions differ.
pub(crate) fn unexpected(reply: &ControlReply) -> CommandFailure {
    let shown: String = format!("{reply:?}").chars().take(80).collect();
    CommandFailure::could_not(format!("the node answered something else: {shown}"))
        .hint("is the command line of another version than the running node?")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to itself stands for a directory that this account may not enter: root may enter all.
    #[test]
    fn the_current_directory_comes_before_the_packaged_one() {
        let place = tempfile::TempDir::new().unwrap();
        let [node, empty, packaged, closed] =
            ["node", "empty", "packaged", "closed"].map(|name| place.path().join(name));
        for dir in [&node, &empty, &packaged] {
            std::fs::create_dir(dir).unwrap();
        }
        std::fs::write(node.join(config::NODE_FILE), "").unwrap();
        std::os::unix::fs::symlink(&closed, &closed).unwrap();
        assert_eq!(default_dir(&node, &packaged), node);
        assert_eq!(default_dir(&empty, &packaged), packaged);
        assert_eq!(default_dir(&closed, &packaged), closed, "it cannot be read, and that is said");
        assert_eq!(default_dir(&empty, &place.path().join("none")), empty);
    }

    #[test]
    fn a_broken_configuration_hides_no_running_node() {
        for (dir, run) in
            [("/etc/intelmesh", "/run/intelmesh"), ("/srv/mesh", "/srv/mesh/run"), (".", "./run")]
        {
            assert_eq!(run_without_config(Path::new(dir)), Path::new(run));
        }
    }
}
