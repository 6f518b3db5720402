//! The log: plain lines on stderr, with repeated lines counted. Its level can change while the node runs.

use std::io::{self, Write};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::log_level;
use crate::daemon::repeats::{RepeatLimiter, SUMMARY};
use crate::terminal::shown;

/// Overrides what `intelmesh.toml` says.
const LOG_ENV: &str = "INTELMESH_LOG";

type LogReload = Box<dyn Fn(EnvFilter) + Send + Sync>;

struct NodeLog {
    repeats: RepeatLimiter,
    reload: LogReload,
}

/// One for the process: a test may run two nodes in it.
static LOG: OnceLock<NodeLog> = OnceLock::new();

/// Writes each event as one line, even if its text from outside has line ends or control characters.
struct SafeLines;

impl Write for SafeLines {
    /// The layer writes an event at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = shown(text.strip_suffix('\n').unwrap_or(&text)).into_owned();
        io::stderr().lock().write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Opens the log. `level` are the directives of `intelmesh.toml`.
pub fn open(level: Option<&str>) {
    let (filter, ignored) = filter(level);
    let (filter, handle) = reload::Layer::new(filter);
    let repeats = RepeatLimiter::default();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(|| SafeLines).with_ansi(false).with_target(false);
    let begun = tracing_subscriber::registry().with(filter).with(repeats.clone()).with(lines).try_init();
    if begun.is_ok() {
        let reload = Box::new(move |filter| drop(handle.reload(filter)));
        let _ = LOG.set(NodeLog { repeats, reload });
    }
    warn_of(ignored);
}

/// `intelmesh.toml` was read again.
pub fn set_level(level: Option<&str>) {
    let (filter, ignored) = filter(level);
    if let Some(log) = LOG.get() {
        (log.reload)(filter);
    }
    warn_of(ignored);
}

/// Writes how often lines were held back. To be called about once a second.
pub fn tell_repeats() {
    if let Some(log) = LOG.get() {
        log.repeats.tell();
    }
}

fn warn_of(ignored: Option<String>) {
    if let Some(said) = ignored {
        tracing::warn!(
            "{LOG_ENV}=\"{said}\" is not a level: use error, warn, info, debug or trace; info is used"
        );
    }
}

/// The filter in force, and what of the environment could not be used.
fn filter(level: Option<&str>) -> (EnvFilter, Option<String>) {
    let said = std::env::var(LOG_ENV).ok().filter(|said| !said.is_empty());
    match said.as_deref().map(directives) {
        Some(Some(filter)) => (filter, None),
        Some(None) => (configured(level), said),
        None => (configured(level), None),
    }
}

fn configured(directives: Option<&str>) -> EnvFilter {
    env_filter(directives.unwrap_or("warn,intelmesh=info"))
}

/// The counts of lines that were held back have the level of those lines: they are wanted if the lines are.
pub fn env_filter(directives: &str) -> EnvFilter {
    EnvFilter::new(format!("{directives},{SUMMARY}=trace"))
}

fn directives(said: &str) -> Option<EnvFilter> {
    log_level::directives(said).map(|directives| env_filter(&directives))
}
