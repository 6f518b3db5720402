//! Which lines of the log are written: what says the same again and again is written once, and then counted, in one
//! line a minute for each cause. Nothing else is held back. Only the text of a line is looked at.

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
const SUMMARY: &str = "intelmesh::repeated";
/// The target of the lines about health: each change of it is written.
pub const HEALTH_LINES: &str = "intelmesh::health";

#[derive(Debug)]
struct Cause {
    /// Its window ends here.
    until: Tick,
    written: u64,
    held: u64,
    /// The last line that was held back.
    text: String,
}

/// The causes of the last minute.
#[derive(Debug, Default)]
struct Causes(BTreeMap<String, Cause>);

impl Causes {
    /// May a line of this cause be written now?
    fn admits(&mut self, key: &str, text: &str, at_once: u64, now: Tick) -> bool {
        if let Some(cause) = self.0.get_mut(key)
            && now < cause.until
        {
            if cause.written < at_once {
                cause.written += 1;
                return true;
            }
            cause.held += 1;
            text.clone_into(&mut cause.text);
            return false;
        }
        if self.0.len() < CAUSES_MAX {
            let cause = Cause { until: now.plus_ms(WINDOW_MS), written: 1, held: 0, text: String::new() };
            self.0.insert(key.to_owned(), cause);
        }
        true
    }

    /// What was held back in the windows that have ended: how often, and its last text. Counting goes on.
    fn ended(&mut self, now: Tick) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        self.0.retain(|_, cause| {
            if now < cause.until {
                return true;
            }
            if cause.held == 0 {
                return false;
            }
            told.push((cause.held, std::mem::take(&mut cause.text)));
            (cause.held, cause.until) = (0, now.plus_ms(WINDOW_MS));
            true
        });
        told
    }
}

/// Holds repeated lines back; to be put below the layer that writes.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    causes: Arc<Mutex<Causes>>,
}

impl Repeats {
    fn causes(&self) -> MutexGuard<'_, Causes> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the counts that are due. To be called about once a second.
    pub fn tell(&self) {
        let told = self.causes().ended(clock::now().tick);
        for (times, text) in told {
            tracing::warn!(target: SUMMARY, "{times} more like this in the last minute: {text}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if [SUMMARY, HEALTH_LINES].contains(&event.metadata().target()) || level > Level::INFO {
            return true;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let at_once = if level == Level::INFO { INFORMING_AT_ONCE } else { 1 };
        self.causes().admits(&cause_of(&line.0), &line.0, at_once, clock::now().tick)
    }
}

/// The text of a line, fields included.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // Into a string it never fails.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}

/// The same text but for numbers, times and ids: what counts from one line to the next. Names and addresses stay.
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
    use super::*;

    #[test]
    fn a_cause_is_written_once_and_counted_once_a_minute() {
        let mut causes = Causes::default();
        let mut line = |second: u64| {
            let text = format!("door q: failed after {second} s");
            causes.admits(&cause_of(&text), &text, 1, Tick(second * 1_000))
        };
        let written = (0..60).filter(|second| line(*second)).count();
        assert_eq!(written, 1);
        assert_eq!(causes.ended(Tick(60_000)), [(59, "door q: failed after 59 s".to_owned())]);
        // Nothing came since: it is forgotten, and the next one is written at once.
        assert!(causes.ended(Tick(120_000)).is_empty());
        assert!(causes.admits("door q: failed after # s", "x", 1, Tick(121_000)));
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
        let mut causes = Causes::default();
        let written = (0..10).filter(|_| causes.admits("c", "c", INFORMING_AT_ONCE, Tick(1))).count() as u64;
        assert_eq!(written, INFORMING_AT_ONCE);
    }
}
