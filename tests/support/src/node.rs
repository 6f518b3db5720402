//! One node as an operator has it: a directory made by `intelmesh init`, a process that can be started, stopped
//! and killed, and its command line. It deliberately never looks into what the node keeps for itself.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::pipeline::Submitter;
pub use crate::ports::{free_port, own_loopback};
use crate::toml_lines;
use crate::wait::wait_for;

const READY: Duration = Duration::from_secs(30);
const STOPPED: Duration = Duration::from_secs(20);
const COMMAND: Duration = Duration::from_secs(60);
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where a node's sockets are: what a thread needs while another one kills and starts the node.
#[derive(Clone)]
pub struct Doors {
    dir: PathBuf,
}

impl Doors {
    /// A connection to one of the sockets, however long their path.
    pub fn socket(&self, name: &str) -> io::Result<UnixStream> {
        let path = self.dir.join("run").join(name);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return UnixStream::connect(path);
        }
        let run = File::open(self.dir.join("run"))?;
        UnixStream::connect(format!("/proc/self/fd/{}/{name}", run.as_raw_fd()))
    }
}

/// A node and, while it runs, its process; killed when dropped.
pub struct Node {
    name: String,
    doors: Doors,
    port: u16,
    /// Holds the log, and the node's directory unless that was given.
    home: TempDir,
    env: Vec<(String, OsString)>,
    /// Put before the command: `strace`, `nsenter`.
    prefix: Vec<OsString>,
    child: Option<Child>,
    /// The line for the safe that `init` printed.
    revocation: String,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program under test: beside the folder that this test's own file lies in.
pub fn binary() -> PathBuf {
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("intelmesh"));
    let path = std::env::var_os("CARGO_BIN_EXE_intelmesh").map(PathBuf::from).or_else(built);
    path.filter(|path| path.exists()).expect("the program `intelmesh` is built beside the tests")
}

impl Node {
    /// A new node in a directory of its own.
    pub fn init(name: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let dir = home.path().join(name);
        Self::init_at(home, name, dir)
    }

    /// A new node in `parent`, which outlives it (another file system, a long path).
    pub fn init_in(parent: &Path, name: &str) -> Self {
        Self::init_at(TempDir::new().expect("a temporary directory"), name, parent.join(name))
    }

    fn init_at(home: TempDir, name: &str, dir: PathBuf) -> Self {
        let port = free_port();
        let mut node = Self {
            name: name.to_owned(),
            doors: Doors { dir },
            port,
            home,
            env: Vec::new(),
            prefix: Vec::new(),
            child: None,
            revocation: String::new(),
        };
        let address = node.address();
        let args = ["init", &node.dir_text(), "--name", name, "--listen", &address, "--advertise", &address];
        let said = run(Command::new(binary()).args(args), "");
        let line = said.stderr.lines().find(|line| line.starts_with("intelmesh-revocation:"));
        node.revocation = line.unwrap_or_default().to_owned();
        said.done();
        node
    }

    /// A second node with the same name and keys in another directory, listening elsewhere. Not running yet.
    pub fn twin(&self) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let dir = home.path().join(&self.name);
        copy_dir(&self.doors.dir, &dir);
        let port = free_port();
        let mut twin = Self {
            name: self.name.clone(),
            doors: Doors { dir },
            port,
            home,
            env: Vec::new(),
            prefix: Vec::new(),
            child: None,
            revocation: self.revocation.clone(),
        };
        twin.edit("intelmesh.toml", |text| {
            text.replace(&format!("tcp/{}", self.port), &format!("tcp/{port}"))
        });
        twin
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn dir(&self) -> &Path {
        &self.doors.dir
    }

    fn dir_text(&self) -> String {
        self.doors.dir.to_str().expect("a directory in UTF-8").to_owned()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, as a multiaddr.
    pub fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// An environment variable of the process from its next start on.
    pub fn set_env(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.retain(|(held, _)| held != name);
        self.env.push((name.to_owned(), value.into()));
    }

    pub fn unset_env(&mut self, name: &str) {
        self.env.retain(|(held, _)| held != name);
    }

    /// What its operator keeps in the safe.
    pub fn revocation(&self) -> String {
        self.revocation.clone()
    }

    /// What stands before the command from its next start on.
    pub fn set_prefix(&mut self, prefix: &[&str]) {
        self.prefix = prefix.iter().map(OsString::from).collect();
    }

    /// The node's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Starts it and waits for its `ready` line.
    pub fn start(&mut self) {
        let ready = self.start_unready();
        let line = ready.recv_timeout(READY).unwrap_or_else(|error| {
            panic!("{} did not get ready ({error}):\n{}", self.name, self.log_tail());
        });
        assert!(
            line.starts_with(&format!("ready {} /", self.name)),
            "{} said {line:?}\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Starts it and waits for nothing; its lines of stdout come through the channel.
    pub fn start_unready(&mut self) -> mpsc::Receiver<String> {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut words = self.prefix.clone();
        words.extend([binary().into(), "run".into(), "-C".into(), self.doors.dir.clone().into()]);
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the node can be spawned");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        self.child = Some(child);
        let (told, ready) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).for_each(|line| drop(told.try_send(line)))
        });
        ready
    }

    /// True until the process has ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("the child can be asked").is_none())
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the node runs");
        child.kill().expect("the node can be killed");
        child.wait().expect("the node can be waited for");
    }

    /// SIGTERM, and waits for exit code 0.
    pub fn stop(&mut self) {
        let code = self.terminate();
        assert_eq!(code, Some(0), "{} after SIGTERM:\n{}", self.name, self.log_tail());
    }

    /// SIGTERM, and waits for the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.wait_exit()
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("the node runs");
        let what = format!("{} ends", self.name);
        wait_for(&what, STOPPED, || child.try_wait().expect("the child can be asked")).code()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the node can be signalled");
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// The command line with `-C DIR`; fails the test unless it exits 0.
    pub fn cli(&self, args: &[&str]) -> String {
        self.say(args, "").done()
    }

    /// The command line with `-C DIR` and something on stdin.
    pub fn say(&self, args: &[&str], stdin: &str) -> Said {
        let env = self.env.iter().map(|(name, value)| (name, value));
        run(Command::new(binary()).args(args).arg("-C").arg(&self.doors.dir).envs(env), stdin)
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.cli(&["status", "--json"])).expect("status prints JSON")
    }

    /// What `status` says of one peer; `Null` where it does not know it.
    pub fn peer(&self, peer: &str) -> Value {
        find(&self.status()["peers"], peer)
    }

    /// What `status` says of one consumer.
    pub fn consumer(&self, consumer: &str) -> Value {
        find(&self.status()["consumers"], consumer)
    }

    /// One number of one peer, by its JSON pointer: `/received/accepted`.
    pub fn count(&self, peer: &str, pointer: &str) -> u64 {
        self.peer(peer).pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    pub fn connected(&self, peer: &str) -> bool {
        self.peer(peer)["connected"] == true
    }

    /// True where `health` has a reason with this code.
    pub fn complains(&self, code: &str) -> bool {
        let status = self.status();
        status["health"].as_array().is_some_and(|reasons| reasons.iter().any(|reason| reason["code"] == code))
    }

    /// Foreign events stored since the start.
    pub fn accepted(&self) -> u64 {
        let status = self.status();
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        peers.iter().filter_map(|peer| peer["received"]["accepted"].as_u64()).sum()
    }

    /// Submits all lines over one connection and gives their answers, in order.
    pub fn submit(&self, lines: &[String]) -> Vec<Value> {
        let submitter = Submitter::connect(self).expect("in.sock can be connected to");
        let (mut writer, mut answers) = submitter.split();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                lines.chunks(64).try_for_each(|some| writer.write_all((some.join("\n") + "\n").as_bytes()))
            });
            (0..lines.len())
                .map(|at| {
                    let answer = answers.next_answer().expect("in.sock answers");
                    answer.unwrap_or_else(|| {
                        panic!("{} answered only {at} of {} lines", self.name, lines.len())
                    })
                })
                .collect()
        })
    }

    /// Submits all lines, none of which may be refused, and gives their full names.
    pub fn publish(&self, lines: &[String]) -> Vec<String> {
        let answers = self.submit(lines);
        let id = |answer: &Value| answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        answers.iter().map(id).collect()
    }

    /// Changes one of its files as an editor does: a new file put in the old one's place.
    pub fn edit(&mut self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.doors.dir.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let new = path.with_extension("new");
        fs::write(&new, change(text)).expect("a file can be written");
        fs::rename(&new, &path).expect("a file can be replaced");
    }

    /// Sets one key of `intelmesh.toml`.
    pub fn configure(&mut self, section: &str, key: &str, value: &str) {
        self.edit("intelmesh.toml", |text| toml_lines::set(&text, section, key, value));
    }

    /// Sets one key of a peer's file.
    pub fn configure_peer(&mut self, peer: &str, section: &str, key: &str, value: &str) {
        self.edit(&format!("peers/{peer}.toml"), |text| toml_lines::set(&text, section, key, value));
    }

    /// True where the peer's file has addresses.
    pub fn dials(&self, peer: &str) -> bool {
        let text = fs::read_to_string(self.doors.dir.join(format!("peers/{peer}.toml"))).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("addresses")).unwrap_or_default();
        line.contains("/tcp/") || line.trim_end().ends_with('[')
    }

    /// Puts its whole directory back to a copy made by [`copy_dir`]. It must not run.
    pub fn put_back(&mut self, copy: &Path) {
        assert!(self.child.is_none(), "{} runs", self.name);
        fs::remove_dir_all(self.dir()).expect("a directory can be removed");
        copy_dir(copy, self.dir());
    }

    /// Removes all that is in `journal/`, as an operator may. It must not run.
    pub fn empty_journal(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let journal = self.dir().join("journal");
        fs::remove_dir_all(&journal)
            .and_then(|()| fs::create_dir(&journal))
            .expect("a journal can be emptied");
    }

    /// `invite`.
    pub fn invite(&self) -> String {
        self.cli(&["invite"]).trim().to_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// All that it said on stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Deref for Node {
    type Target = Doors;

    fn deref(&self) -> &Doors {
        &self.doors
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} in {}\n{}", self.name, self.doors.dir.display(), self.log_tail());
        }
    }
}

/// Both trust each other and dial each other.
pub fn pair(a: &Node, b: &Node) {
    trust(a, b, true);
    trust(b, a, true);
}

/// `who` trusts `whom`: as a neighbour, or as a publisher whose events come through others.
pub fn trust(who: &Node, whom: &Node, neighbour: bool) {
    trust_by(who, &whom.invite(), neighbour);
}

/// The same, by an invitation that is at hand.
pub fn trust_by(who: &Node, invitation: &str, neighbour: bool) {
    let mut args = vec!["peer", "add", invitation, "--yes"];
    if !neighbour {
        args.push("--publisher-only");
    }
    who.cli(&args);
}

impl Said {
    /// What it printed, where it exited 0.
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }
}

pub(crate) fn find(list: &Value, name: &str) -> Value {
    let items = list.as_array().cloned().unwrap_or_default();
    items.into_iter().find(|item| item["name"] == name).unwrap_or_default()
}

/// Runs a command to its end, at most a minute.
fn run(command: &mut Command, stdin: &str) -> Said {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let (mut input, mut output, mut errors) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(stdin.as_bytes()));
        let stdout = scope.spawn(move || read_all(&mut output));
        let stderr = scope.spawn(move || read_all(&mut errors));
        let status = wait_for(&shown, COMMAND, || child.try_wait().expect("a child can be asked"));
        let code = status.code().unwrap_or(-1);
        Said { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    })
}

fn read_all(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("output in UTF-8");
    text
}

/// Copies a node's directory as `cp -a` does, but sockets; files that vanish while it runs are left out.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            copy_dir(&source, &target);
        } else if kind.is_file() {
            match fs::copy(&source, &target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    panic!("{}: {error}", source.display())
                }
                _ => {}
            }
        }
    }
    let mode = fs::metadata(from).map(|held| held.permissions());
    mode.and_then(|mode| fs::set_permissions(to, mode)).expect("permissions can be kept");
}
