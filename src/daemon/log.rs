//! The log: lines on stderr, as text, JSON or for journald, with repeated lines counted. Its level can change while the
//! node runs.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::log_level;
use crate::daemon::repeats::{RepeatLimiter, SUMMARY};
use crate::terminal::shown;

/// Overrides what `intelmesh.toml` says.
const LOG_ENV: &str = "INTELMESH_LOG";
/// `text` (default), `json` or `journald`.
const FORMAT_ENV: &str = "INTELMESH_LOG_FORMAT";

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

/// The priority of syslog before each line, for journald; it has times of its own.
struct JournaldLines;

impl<S, N> FormatEvent<S, N> for JournaldLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Opens the log. `level` are the directives of `intelmesh.toml`.
pub(crate) fn open(level: Option<&str>) {
    let (filter, ignored) = filter(level);
    let (filter, handle) = reload::Layer::new(filter);
    let repeats = RepeatLimiter::default();
    let format = std::env::var(FORMAT_ENV).unwrap_or_default();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(|| SafeLines).with_ansi(false).with_target(false);
    let lines = match format.as_str() {
        // The text escapes what a terminal obeys as JSON does: it stays the same value.
        "json" => lines.json().flatten_event(true).boxed(),
        "journald" => lines.event_format(JournaldLines).boxed(),
        _ => lines.boxed(),
    };
    let begun = tracing_subscriber::registry().with(filter).with(repeats.clone()).with(lines).try_init();
    if begun.is_ok() {
        let reload = Box::new(move |filter| drop(handle.reload(filter)));
        let _ = LOG.set(NodeLog { repeats, reload });
    }
    warn_of(ignored);
    if !["", "text", "json", "journald"].contains(&format.as_str()) {
        tracing::warn!("{FORMAT_ENV}=\"{format}\" is not a format: use text, json or journald; text is used");
    }
}

/// `intelmesh.toml` was read again.
pub(crate) fn set_level(level: Option<&str>) {
    let (filter, ignored) = filter(level);
    if let Some(log) = LOG.get() {
        (log.reload)(filter);
    }
    warn_of(ignored);
}

/// Writes how often lines were held back. To be called about once a second.
pub(crate) fn tell_repeats() {
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
pub(crate) fn env_filter(directives: &str) -> EnvFilter {
    EnvFilter::new(format!("{directives},{SUMMARY}=trace"))
}

fn directives(said: &str) -> Option<EnvFilter> {
    log_level::directives(said).map(|directives| env_filter(&directives))
}
