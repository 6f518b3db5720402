//! One IntelMQ instance as its operator has it: a directory with `runtime.yaml`, a Redis of its own, and bots as
//! processes that can be started, killed and asked for their log. IntelMQ comes from PyPI into a virtual
//! environment (`./tests/run tools`); nothing of it is copied here.
//!
//! It deliberately drives the bots' own programs and not `intelmqctl`: what is killed must be the bot.

mod events;
mod flow;

pub use events::{corpus, lines_of, without_annotations};
pub use flow::{
    Receiving, Sending, add_file_output, add_tcp_collector, add_tcp_output, collector_to_file, file_to_output,
};

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::redis::{Redis, RedisClient};
use crate::wait::{wait_for, wait_until};

/// How long a bot may take to be ready: Python imports much, and machines that test are busy.
const READY: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(30);
/// `nobody`: bots refuse to run as root.
const UNPRIVILEGED: &str = "65534";
/// IntelMQ's database for queues.
pub const PIPELINE_DB: u32 = 2;
const PUSHED_AT_ONCE: usize = 500;

/// The Python that has IntelMQ, or the command that installs it.
pub fn python() -> PathBuf {
    let told = std::env::var_os("INTELMESH_INTELMQ_PYTHON").map(PathBuf::from);
    let beside = || {
        let own = std::env::current_exe().ok()?;
        own.ancestors().map(|dir| dir.join("intelmq-venv/bin/python")).find(|path| path.exists())
    };
    told.or_else(beside).filter(|path| path.exists()).expect(
        "this test needs IntelMQ 3.5.0: run `./tests/run tools`, or name a Python that has it in INTELMESH_INTELMQ_PYTHON",
    )
}

/// What stands before a command so that it runs without root's identity, which IntelMQ refuses; nothing where the
/// test itself does. It may still read what only root may, since a checkout and its virtual environment often lie in
/// root's home.
pub fn unprivileged_prefix() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let words = ["setpriv", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
    let ids = [format!("--reuid={UNPRIVILEGED}"), format!("--regid={UNPRIVILEGED}"), "--".to_owned()];
    words.into_iter().map(str::to_owned).chain(ids).collect()
}

/// A command that runs without root's identity.
pub fn unprivileged(program: &Path) -> Command {
    match unprivileged_prefix().split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// An instance; its bots and its Redis are killed when it is dropped.
pub struct IntelMq {
    name: String,
    home: TempDir,
    redis: Redis,
    bots: BTreeMap<String, Value>,
    running: BTreeMap<String, Child>,
}

impl IntelMq {
    /// A new instance without bots; its Redis runs.
    pub fn new(name: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        for dir in ["etc", "var/log", "var/run", "var/lib/bots", "in"] {
            fs::create_dir_all(home.path().join(dir)).expect("a directory can be made");
        }
        let instance = Self {
            name: name.to_owned(),
            redis: Redis::start(),
            home,
            bots: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        instance.install_harmonization();
        instance
    }

    /// The field list that the package brings, as `intelmqsetup` installs it.
    fn install_harmonization(&self) {
        let ask = "import intelmq, os; print(os.path.dirname(intelmq.__file__))";
        let said = Command::new(python()).args(["-c", ask]).output().expect("Python runs");
        let package = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let from = Path::new(&package).join("etc/harmonization.conf");
        fs::copy(&from, self.harmonization())
            .unwrap_or_else(|error| panic!("{} (is IntelMQ installed?): {error}", from.display()));
    }

    pub fn root(&self) -> &Path {
        self.home.path()
    }

    /// Its own `harmonization.conf`.
    pub fn harmonization(&self) -> PathBuf {
        self.root().join("etc/harmonization.conf")
    }

    /// Where its file collector looks.
    pub fn inbox(&self) -> PathBuf {
        self.root().join("in")
    }

    /// Puts a file with these lines before its file collector.
    pub fn deliver(&self, name: &str, lines: &[String]) {
        let new = self.inbox().join(format!("{name}.new"));
        fs::write(&new, lines.join("\n") + "\n").expect("a file can be written");
        fs::rename(&new, new.with_extension("jsonl")).expect("a file can be renamed");
    }

    /// What a file output of that name has written so far.
    pub fn written(&self, bot: &str) -> Vec<Map<String, Value>> {
        lines_of(&self.output_file(bot))
    }

    /// Where a file output of that name writes.
    pub fn output_file(&self, bot: &str) -> PathBuf {
        self.root().join("var/lib/bots").join(format!("{bot}.jsonl"))
    }

    /// A client of its queues.
    pub fn queues(&self) -> RedisClient {
        self.redis.client(PIPELINE_DB)
    }

    /// `redis://…` of its queues.
    pub fn redis_url(&self) -> String {
        self.redis.url(PIPELINE_DB)
    }

    /// Puts a bot into `runtime.yaml`; its source queue is `BOT-queue`.
    pub fn add(&mut self, bot: &str, module: &str, parameters: Value) {
        let entry = json!({ "module": module, "parameters": parameters });
        self.bots.insert(bot.to_owned(), entry);
        self.write_runtime();
    }

    /// `runtime.yaml`. JSON is YAML.
    fn write_runtime(&self) {
        let port = self.redis.port();
        let mut runtime = Map::from_iter(self.bots.clone());
        let global = json!({
            "logging_level": "INFO",
            "logging_path": self.root().join("var/log"),
            "source_pipeline_port": port,
            "destination_pipeline_port": port,
            "statistics_port": port,
            "error_retry_delay": 1,
            "error_max_retries": 3,
        });
        runtime.insert("global".to_owned(), global);
        let text = serde_json::to_string_pretty(&runtime).expect("JSON");
        fs::write(self.root().join("etc/runtime.yaml"), text).expect("a file can be written");
    }

    /// Starts a bot and waits until it says that it is ready.
    pub fn start(&mut self, bot: &str) {
        let before = self.readies(bot);
        self.start_unready(bot);
        let what = format!("bot {bot} of {} is ready", self.name);
        wait_until(&what, READY, || {
            assert!(self.runs(bot), "bot {bot} of {} ended:\n{}", self.name, self.log_tail(bot));
            self.readies(bot) > before
        });
    }

    /// Starts bots at once and waits for all.
    pub fn start_all(&mut self, bots: &[&str]) {
        let before: Vec<_> = bots.iter().map(|bot| self.readies(bot)).collect();
        bots.iter().for_each(|bot| self.start_unready(bot));
        for (bot, before) in bots.iter().zip(before) {
            wait_until(&format!("bot {bot} of {} is ready", self.name), READY, || {
                assert!(self.runs(bot), "bot {bot} of {} ended:\n{}", self.name, self.log_tail(bot));
                self.readies(bot) > before
            });
        }
    }

    fn readies(&self, bot: &str) -> usize {
        self.log(bot).matches("Bot initialization completed").count()
    }

    /// Starts a bot and waits for nothing.
    pub fn start_unready(&mut self, bot: &str) {
        let module = self.bots[bot]["module"].as_str().expect("a module").to_owned();
        let program = python().with_file_name(&module);
        let said = self.root().join("var/log").join(format!("{bot}.out"));
        let said = File::options().create(true).append(true).open(said).expect("a log file");
        let mut command = unprivileged(&program);
        command.arg(bot).current_dir("/").env("INTELMQ_ROOT_DIR", self.root());
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a file")).stderr(said);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let older = self.running.insert(bot.to_owned(), child);
        assert!(older.is_none(), "bot {bot} of {} runs already", self.name);
    }

    /// True until the bot has ended by itself.
    pub fn runs(&mut self, bot: &str) -> bool {
        let child = self.running.get_mut(bot);
        child.is_some_and(|child| child.try_wait().expect("a child can be asked").is_none())
    }

    /// The bots that were started and have not ended.
    pub fn running(&mut self) -> Vec<String> {
        let bots: Vec<_> = self.running.keys().cloned().collect();
        bots.into_iter().filter(|bot| self.runs(bot)).collect()
    }

    /// Fails unless every bot that was started still runs.
    pub fn assert_all_run(&mut self) {
        for bot in self.running.keys().cloned().collect::<Vec<_>>() {
            assert!(self.runs(&bot), "bot {bot} of {} ended:\n{}", self.name, self.log_tail(&bot));
        }
    }

    /// `kill -9`.
    pub fn kill9(&mut self, bot: &str) {
        let mut child = self.running.remove(bot).unwrap_or_else(|| panic!("bot {bot} runs"));
        child.kill().expect("a bot can be killed");
        child.wait().expect("a bot can be waited for");
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self, bot: &str) {
        let mut child = self.running.remove(bot).unwrap_or_else(|| panic!("bot {bot} runs"));
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a bot can be signalled");
        wait_for(&format!("bot {bot} ends"), STOPPED, || child.try_wait().expect("a child can be asked"));
    }

    /// All that a bot logged.
    pub fn log(&self, bot: &str) -> String {
        let file = self.root().join("var/log").join(format!("{bot}.log"));
        fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self, bot: &str) -> String {
        let said = fs::read_to_string(self.root().join("var/log").join(format!("{bot}.out")));
        let log = self.log(bot) + &said.unwrap_or_default();
        let lines: Vec<_> = log.lines().map(|line| line.get(..400).unwrap_or(line)).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// How many messages the bot has taken out of its pipeline as hopeless.
    pub fn dumped(&self, bot: &str) -> usize {
        let file = self.root().join("var/log").join(format!("{bot}.dump"));
        let text = fs::read_to_string(file).unwrap_or_default();
        serde_json::from_str::<Map<String, Value>>(&text).map_or(0, |entries| entries.len())
    }

    /// Puts a message at the end of a queue.
    pub fn push(&self, queue: &str, message: &str) {
        self.queues().push(queue, message);
    }

    /// Puts messages at the end of a queue, in their order.
    pub fn push_all(&self, queue: &str, messages: &[String]) {
        let mut queues = self.queues();
        for some in messages.chunks(PUSHED_AT_ONCE) {
            let mut words: Vec<&[u8]> = vec![b"LPUSH", queue.as_bytes()];
            words.extend(some.iter().map(String::as_bytes));
            queues.command(&words).expect("redis takes messages");
        }
    }

    pub fn length(&self, queue: &str) -> usize {
        usize::try_from(self.queues().length(queue)).expect("a length")
    }

    pub fn clear(&self, queue: &str) {
        self.queues().say(&["DEL", queue]);
    }

    /// Messages in the bot's source queue and in its hands.
    pub fn waiting(&self, bot: &str) -> usize {
        self.length(&format!("{bot}-queue")) + self.length(&format!("{bot}-queue-internal"))
    }
}

impl Drop for IntelMq {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for bot in self.bots.keys() {
                eprintln!("--- bot {bot} of {}\n{}", self.name, self.log_tail(bot));
            }
        }
    }
}
