//! The demo's nodes: real processes of this very program, with directories of their own. They are killed when
//! the demo ends, however it ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::clock;
use crate::status::Snapshot;

/// How long anything may take before the demo has failed, in ms.
const PATIENCE_MS: u64 = 12_000;

/// All running processes, so that a signal can end them too.
#[derive(Clone, Default)]
pub(crate) struct DemoProcesses(Arc<Mutex<ProcessFamily>>);

#[derive(Default)]
struct ProcessFamily {
    running: Vec<Child>,
    /// The demo is over: nothing is started any more.
    over: bool,
}

impl DemoProcesses {
    fn lock(&self) -> MutexGuard<'_, ProcessFamily> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kill_all(&self) {
        let mut family = self.lock();
        family.over = true;
        for mut child in family.running.drain(..) {
            // One that ended already needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Started under the lock, so that none is ever left running.
    fn spawn(&self, command: &mut Command) -> Result<(u32, ChildStdout)> {
        let mut family = self.lock();
        ensure!(!family.over, "the demo is over");
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let id = child.id();
        family.running.push(child);
        Ok((id, stdout))
    }

    /// SIGKILL: no time to say goodbye, or to sync.
    fn kill(&self, id: u32) -> Result<()> {
        let mut family = self.lock();
        let at = family.running.iter().position(|child| child.id() == id).context("no such process")?;
        let mut child = family.running.swap_remove(at);
        let killed = child.kill();
        child.wait()?;
        Ok(killed?)
    }
}

pub(crate) struct DemoNode {
    pub name: &'static str,
    pub address: String,
    dir: PathBuf,
    log: PathBuf,
    program: PathBuf,
    children: DemoProcesses,
    process: Option<u32>,
}

/// The parts of a handed-off event that the demo looks at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HandedOff {
    pub meta: HandedMeta,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HandedMeta {
    pub uuid: HandedId,
    pub publisher: String,
    pub path: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HandedId {
    pub current: String,
}

/// The answer of `in.sock` to one line.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answered {
    pub id: Option<String>,
    #[serde(default)]
    pub duplicate: bool,
    pub error: Option<String>,
}

/// A port below those that the kernel gives to outgoing connections, so that it is still free when a node that
/// was killed comes back. Free now; nobody is likely to take it in the second until the node does.
fn free_port() -> Result<u16> {
    (0..100)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port on loopback")
}

impl DemoNode {
    /// Makes a node below `root` that listens on a free port of loopback.
    pub(crate) fn init(root: &Path, name: &'static str, children: &DemoProcesses) -> Result<Self> {
        let address = format!("/ip4/127.0.0.1/tcp/{}", free_port()?);
        let node = Self {
            name,
            address,
            dir: root.join(name),
            log: root.join(format!("{name}.log")),
            program: std::env::current_exe().context("where is this program?")?,
            children: children.clone(),
            process: None,
        };
        let dir = node.dir.to_string_lossy().into_owned();
        node.call(&["init", &dir, "--name", name, "--listen", &node.address], "")?;
        Ok(node)
    }

    /// Starts it, and waits until all its doors are open.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(["run", "-C"]).arg(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let (process, stdout) = self.children.spawn(&mut command)?;
        self.process = Some(process);
        let (told, ready) = mpsc::sync_channel(1);
        thread::spawn(move || {
            // Read to the end, so that the node is never stopped by a full pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = told.try_send(line);
            }
        });
        let line = ready
            .recv_timeout(Duration::from_millis(PATIENCE_MS))
            .with_context(|| self.excuse("did not start"))?;
        ensure!(
            line.starts_with(&format!("ready {} ", self.name)),
            "{}: \"{line}\" is not \"ready\"",
            self.name
        );
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        self.children.kill(process)
    }

    /// A verb of this program for this node, with its stdout.
    pub(crate) fn call(&self, args: &[&str], stdin: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).arg("-C").arg(&self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("no stdin")?;
        let text = stdin.to_owned();
        // A verb that does not want its stdin closes it; that is its right.
        let writer = thread::spawn(move || drop(input.write_all(text.as_bytes())));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("intelmesh {} at {}: {}\n{said}{errors}", args.join(" "), self.name, output.status)
    }

    pub(crate) fn submit(&self, lines: &str) -> Result<Vec<Answered>> {
        let said = self.call(&["submit"], lines)?;
        said.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// The next `count` events that its pipeline gets.
    pub(crate) fn receive(&self, count: usize) -> Result<Vec<HandedOff>> {
        let idle = (PATIENCE_MS / 1000).to_string();
        let said = self
            .call(&["tail", "--consumer", "pipeline", "--count", &count.to_string(), "--idle", &idle], "")?;
        let events: Vec<HandedOff> = said
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect::<Result<_>>()?;
        ensure!(events.len() == count, "{} got {} events, not {count}", self.name, events.len());
        Ok(events)
    }

    /// Counts the lines that still come within half a second. None should.
    pub(crate) fn receive_rest(&self) -> Result<usize> {
        Ok(self.call(&["tail", "--consumer", "pipeline", "--idle", "0.5"], "")?.lines().count())
    }

    pub(crate) fn status(&self) -> Result<Snapshot> {
        Ok(serde_json::from_str(&self.call(&["status", "--json"], "")?)?)
    }

    /// Asks for the status until it is as it should be.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        mut holds: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot> {
        let start = clock::now().tick;
        loop {
            let snapshot = self.status()?;
            if holds(&snapshot) {
                return Ok(snapshot);
            }
            let shown = || serde_json::to_string(&snapshot).unwrap_or_default();
            if clock::now().tick.since_ms(start) > PATIENCE_MS {
                bail!("{}: {what}: not within {PATIENCE_MS} ms; its status: {}", self.name, shown());
            }
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn excuse(&self, what: &str) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        format!(
            "{} {what}; the end of its log:\n{}",
            self.name,
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }
}
