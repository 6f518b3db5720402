//! The log: plain lines on stderr, what repeats itself counted. How much of it is written can change while the node
//! runs.

use std::io::{self, Write};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::daemon::repeats::Repeats;
use crate::terminal::shown;

/// Overrides what `intelmesh.toml` says.
const LOG_ENV: &str = "INTELMESH_LOG";

type Reload = Box<dyn Fn(EnvFilter) + Send + Sync>;

struct Log {
    repeats: Repeats,
    reload: Reload,
}

/// One for the process: a test may run two nodes in it.
static LOG: OnceLock<Log> = OnceLock::new();

/// Writes each event as one line, whatever others put into it.
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

/// Opens the log. `level` is what `intelmesh.toml` says: a level, or directives like `warn,intelmesh=debug`.
pub fn open(level: Option<&str>) {
    let (filter, ignored) = filter(level);
    let (filter, handle) = reload::Layer::new(filter);
    let repeats = Repeats::default();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(|| SafeLines).with_ansi(false).with_target(false);
    let begun = tracing_subscriber::registry().with(filter).with(repeats.clone()).with(lines).try_init();
    if begun.is_ok() {
        let reload = Box::new(move |filter| drop(handle.reload(filter)));
        let _ = LOG.set(Log { repeats, reload });
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

/// Writes the counts of what was held back. To be called about once a second.
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

fn configured(level: Option<&str>) -> EnvFilter {
    level.and_then(directives).unwrap_or_else(|| EnvFilter::new("warn,intelmesh=info"))
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level is this program's, and the libraries' are kept quiet; else directives are taken as they are. A word that is
/// no level would be taken for the name of a module, and silence everything.
fn directives(said: &str) -> Option<EnvFilter> {
    let word = said.trim().to_lowercase();
    if LEVELS.contains(&word.as_str()) {
        let libraries = if ["debug", "trace", "info"].contains(&word.as_str()) { "warn" } else { &word };
        return Some(EnvFilter::new(format!("{libraries},intelmesh={word}")));
    }
    let is_directive = |part: &str| match part.rsplit_once('=') {
        Some((_, level)) => LEVELS.contains(&level.trim().to_lowercase().as_str()),
        None => LEVELS.contains(&part.trim().to_lowercase().as_str()),
    };
    if !said.split(',').all(is_directive) {
        return None;
    }
    EnvFilter::try_new(said).ok()
}

/// Is this what `log` in `intelmesh.toml` may say?
pub fn is_level(said: &str) -> bool {
    directives(said).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_one() {
        for good in ["info", "DEBUG", "off", "warn,intelmesh=debug", "intelmesh::local=trace,error"] {
            assert!(is_level(good), "{good}");
        }
        for bad in ["verbose", "x", "", "intelmesh=loud", "warn,verbose"] {
            assert!(!is_level(bad), "{bad}");
        }
    }
}
