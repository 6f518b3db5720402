//! Decides which lines of the log are written: a line that repeats itself is written once, and then counted, in one
//! line a minute for each cause. Nothing else is held back. Only the text of a line is looked at, and its field
//! `count`: a line that stands for several is counted so.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::clock;
use crate::time::Tick;

/// The same cause is written at most once in this time, in ms.
const WINDOW_MS: u64 = 60_000;
/// Lines that only inform may come a few times: that a peer comes, goes and comes is three of them.
const INFORMING_AT_ONCE: u64 = 4;
/// Causes that are remembered; beyond them nothing is held back.
const CAUSES_MAX: usize = 4_096;
/// The target of the lines that count, which are never held back themselves.
pub(crate) const SUMMARY: &str = "intelmesh::repeated";
/// The target of the lines about health: each change of it is written.
pub(crate) const HEALTH_LINES: &str = "intelmesh::health";

#[derive(Debug)]
struct RepeatCause {
    /// Its window ends here.
    until: Tick,
    written: u64,
    held: u64,
    /// The last line that was held back.
    text: String,
    level: Level,
}

/// Lines held back for one cause: how often, the last text, and their level.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    times: u64,
    text: String,
    level: Level,
}

/// The causes of the last minute.
#[derive(Debug, Default)]
struct RepeatCauses(BTreeMap<String, RepeatCause>);

impl RepeatCauses {
    /// May this line be written now?
    fn admits(&mut self, line: LogLine, level: Level, now: Tick) -> bool {
        let at_once = if level == Level::INFO { INFORMING_AT_ONCE } else { 1 };
        let key = cause_of(&line.text);
        if let Some(cause) = self.0.get_mut(&key)
            // Lines held back after their window has ended are counted with the rest.
            && (now < cause.until || cause.held > 0)
        {
            if cause.written < at_once {
                cause.written += 1;
                return true;
            }
            cause.held = cause.held.saturating_add(line.times);
            cause.text = line.text;
            return false;
        }
        if self.0.len() < CAUSES_MAX {
            let until = now.plus_ms(WINDOW_MS);
            self.0.insert(key, RepeatCause { until, written: 1, held: 0, text: String::new(), level });
        }
        true
    }

    /// Returns the lines held back in the windows that have ended. Counting goes on.
    fn ended(&mut self, now: Tick) -> Vec<Told> {
        let mut told = Vec::new();
        self.0.retain(|_, cause| {
            if now < cause.until {
                return true;
            }
            if cause.held == 0 {
                return false;
            }
            let (times, text, level) = (cause.held, std::mem::take(&mut cause.text), cause.level);
            told.push(Told { times, text, level });
            (cause.held, cause.until) = (0, now.plus_ms(WINDOW_MS));
            true
        });
        told
    }
}

/// Holds repeated lines back; to be put below the layer that writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RepeatLimiter {
    causes: Arc<Mutex<RepeatCauses>>,
}

impl RepeatLimiter {
    fn causes(&self) -> MutexGuard<'_, RepeatCauses> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the counts that are due, at the level of their lines, so that the same filter applies to both. To be
    /// called about once a second.
    pub(crate) fn tell(&self) {
        let told = self.causes().ended(clock::now().tick);
        for Told { times, text, level } in told {
            let what = format_args!("{times} more like this in the last minute: {text}");
            match level {
                Level::ERROR => tracing::error!(target: SUMMARY, "{what}"),
                Level::WARN => tracing::warn!(target: SUMMARY, "{what}"),
                _ => tracing::info!(target: SUMMARY, "{what}"),
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for RepeatLimiter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if [SUMMARY, HEALTH_LINES].contains(&event.metadata().target()) || level > Level::INFO {
            return true;
        }
        let mut line = LogLine::default();
        event.record(&mut line);
        self.causes().admits(line, level, clock::now().tick)
    }
}

struct LogLine {
    /// Fields included.
    text: String,
    /// How many it stands for.
    times: u64,
}

impl Default for LogLine {
    fn default() -> Self {
        Self { text: String::new(), times: 1 }
    }
}

impl Visit for LogLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "count" {
            self.times = value;
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.text.is_empty() { "" } else { " " };
        // Into a string it never fails.
        let _ = match field.name() {
            "message" => write!(self.text, "{space}{value:?}"),
            name => write!(self.text, "{space}{name}={value:?}"),
        };
    }
}

/// Returns the text with `#` for numbers, times and ids, which vary from line to line. Names and addresses stay.
fn cause_of(line: &str) -> String {
    let mut cause = String::with_capacity(line.len());
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.' {
            word.push(c);
            continue;
        }
        cause.push_str(if varies(&word) { "#" } else { &word });
        word.clear();
        cause.push(c);
    }
    cause
}

/// A number (with its unit), a time, or an id; not `node-1`, `collector2` or `192.0.2.1`.
fn varies(word: &str) -> bool {
    /// A key or a hash in text.
    const LONG: usize = 32;
    /// The first part of a UUID, or a short hash.
    const HEX: usize = 8;
    let word = word.trim_end_matches('.');
    let all = |is: fn(&u8) -> bool| word.bytes().all(|byte| is(&byte));
    if !word.bytes().any(|byte| byte.is_ascii_digit()) || word.parse::<Ipv4Addr>().is_ok() {
        return false;
    }
    let begins = word.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(word.len());
    let is_number =
        begins > 0 && word.len() - begins <= 3 && word[begins..].bytes().all(|b| b.is_ascii_alphabetic());
    let is_time = begins == 4 && word[begins..].starts_with('-') && word.contains('T');
    let is_id = word.len() >= HEX && all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    is_number || is_time || is_id || word.len() >= LONG || all(|byte| byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn line(text: impl Into<String>) -> LogLine {
        LogLine { text: text.into(), times: 1 }
    }

    #[test]
    fn a_cause_is_written_once_and_counted_once_a_minute() {
        let mut causes = RepeatCauses::default();
        let mut admits = |second: u64| {
            let line = line(format!("door q: failed after {second} s"));
            causes.admits(line, Level::WARN, Tick(second * 1_000))
        };
        assert_eq!((0..60).filter(|second| admits(*second)).count(), 1);
        // The window has ended, and nobody has told yet.
        assert!(!admits(60));
        let text = "door q: failed after 60 s".to_owned();
        assert_eq!(causes.ended(Tick(60_000)), [Told { times: 60, text, level: Level::WARN }]);
        // Nothing came since: it is forgotten, and the next one is written at once.
        assert!(causes.ended(Tick(120_000)).is_empty());
        assert!(causes.admits(line("door q: failed after 1 s"), Level::WARN, Tick(121_000)));
    }

    /// The counts appear where their lines would, and a line that stands for many counts as many.
    #[test]
    fn counts_are_told_as_the_lines_would_be() {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        for directives in ["error", "intelmesh::daemon=error"] {
            let (lines, repeats) = (Lines::default(), RepeatLimiter::default());
            let writer = lines.clone();
            let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
            let log = tracing_subscriber::registry()
                .with(crate::daemon::log::env_filter(directives))
                .with(repeats.clone())
                .with(layer);
            tracing::subscriber::with_default(log, || {
                for count in [1_u64, 437, 4_000] {
                    tracing::error!(count, "it failed");
                }
                repeats.causes().0.values_mut().for_each(|cause| cause.until = Tick(0));
                repeats.tell();
            });
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("4437 more like this"), "{directives}: {text}");
        }
    }

    #[test]
    fn other_peers_and_other_words_are_other_causes() {
        let cause = |text| cause_of(text);
        assert_eq!(cause("entry 17 of cert-ee"), cause("entry 4711 of cert-ee"));
        assert_ne!(cause("entry 17 of cert-ee"), cause("entry 17 of cert-pl"));
        for (one, other) in [
            ("cert-n10 is away", "cert-n11 is away"),
            ("peers/node-1.toml:1: unknown key", "peers/node-2.toml:1: unknown key"),
            ("door collector1: refused", "door collector2: refused"),
            ("192.0.2.1:4801 refused", "192.0.2.2:4801 refused"),
        ] {
            assert_ne!(cause(one), cause(other));
        }
        for (one, other) in [
            ("after 59 s", "after 3 s"),
            ("after 59s, 1.5MB.", "after 4s, 20GB."),
            ("192.0.2.1:50123 closed", "192.0.2.1:50124 closed"),
            ("log a1b2c3d4e5f6", "log 0a1b2c3d4e5f"),
        ] {
            assert_eq!(cause(one), cause(other));
        }
        assert_eq!(
            cause("id=0192a3f0-1111-7000-8000-00000000000a at 2026-11-20T10:00:00.123Z"),
            cause("id=0192a3f0-2222-7000-8000-00000000000b at 2026-11-20T10:00:01.000Z")
        );
    }

    #[test]
    fn lines_that_inform_may_come_a_few_times() {
        let mut causes = RepeatCauses::default();
        let written = (0..10).filter(|_| causes.admits(line("c"), Level::INFO, Tick(1))).count() as u64;
        assert_eq!(written, INFORMING_AT_ONCE);
    }
}
