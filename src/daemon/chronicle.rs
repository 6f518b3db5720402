//! What happened, as the core tells it: one line of log each, and what status remembers of it. Payloads and
//! secrets never come here.

use std::collections::{BTreeMap, VecDeque};

use crate::identity::{EventId, PublisherName};
use crate::protocol::io::{Event, LossCause, Outcome};
use crate::record::ConsumerName;
use crate::status::{HealthCode, Problem};
use crate::time::{Now, Tick, Timestamp};

/// Errors that merely happened, kept for status.
const ERRORS_MAX: usize = 32;
/// The same line is logged at most once in this time, per peer and reason, in ms.
const LOG_EVERY_MS: u64 = 10_000;
/// Peers and reasons whose lines are held back at the same time.
const SUPPRESSED_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub struct Chronicle {
    errors: VecDeque<Problem>,
    pub missing_at: BTreeMap<PublisherName, Timestamp>,
    pub consumer_missing_at: BTreeMap<ConsumerName, Timestamp>,
    pub equivocations: BTreeMap<PublisherName, (u64, Timestamp, Option<EventId>)>,
    suppressed: BTreeMap<(PublisherName, &'static str), (Tick, u64)>,
    /// A full disk is told again after this.
    full_told_until: Tick,
}

impl Chronicle {
    pub fn problem(&mut self, at: Timestamp, what: String, hint: Option<String>) {
        tracing::warn!("{what}");
        self.remember(at, what, hint);
    }

    fn remember(&mut self, at: Timestamp, what: String, hint: Option<String>) {
        self.errors.retain(|known| known.what != what);
        self.errors.push_front(Problem { at, what, hint, code: None });
        self.errors.truncate(ERRORS_MAX);
    }

    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.errors.iter()
    }

    pub fn record(&mut self, event: Event, now: Now) {
        match event {
            Event::Envelope { id, source, outcome, bytes } => {
                let outcome = match outcome {
                    Outcome::Accepted => "accepted",
                    Outcome::Refused => "refused",
                };
                let (publisher, source) = (&id.publisher, source.as_ref().map_or("-", |name| name.as_str()));
                tracing::debug!(outcome, id = %id.uuid, %publisher, source, bytes);
            }
            Event::NotTaken { peer, seq, code, detail } => {
                if let Some(suppressed) = self.may_log(&peer, code.as_str(), now.tick) {
                    tracing::warn!(outcome = "rejected", %peer, seq, reason = code.as_str(), detail, suppressed);
                    let what = format!("{peer}: entry {seq} rejected: {} {detail}", code.as_str());
                    self.remember(now.wall, what.trim_end().to_owned(), None);
                }
            }
            Event::Equivocation { publisher, id, source } => self.on_equivocation(publisher, id, source, now),
            Event::Missing { peer, count } => {
                self.missing_at.insert(peer.clone(), now.wall);
                self.problem(
                    now.wall,
                    format!("{peer}: {count} entries are missing: its journal no longer holds them"),
                    None,
                );
            }
            Event::ConsumerMissing { consumer, count, cause } => {
                self.consumer_missing_at.insert(consumer.clone(), now.wall);
                let (why, hint) = match cause {
                    LossCause::Retention => {
                        ("retention took", "raise keep_bytes or keep_days, or read in time")
                    }
                    LossCause::Damage => {
                        ("damage of the journal took", "see \"A damaged journal\" in OPERATING.md")
                    }
                };
                let what = format!("consumer {consumer}: {why} {count} entries that it had not acknowledged");
                self.problem(now.wall, what, Some(hint.into()));
            }
            Event::NotStored { failure } => {
                if now.tick >= self.full_told_until {
                    self.full_told_until = now.tick.plus_ms(LOG_EVERY_MS);
                    self.problem(
                        now.wall,
                        format!("nothing can be stored: {failure:?}"),
                        Some("free some space".into()),
                    );
                }
            }
            Event::PeerUp { peer } => tracing::info!(%peer, "connected"),
            Event::PeerDown { peer, cause } => tracing::info!(%peer, cause, "disconnected"),
            Event::FeedUp { peer, role } => tracing::info!(%peer, ?role, "feed up"),
            Event::FeedDown { peer, cause, .. } => {
                if let Some(suppressed) = self.may_log(&peer, "feed_down", now.tick) {
                    tracing::info!(%peer, cause, suppressed, "feed down");
                }
            }
            Event::FeedResumes { peer, after } => tracing::debug!(%peer, after, "the feed goes on"),
            Event::ClockOff { wall, steady } => {
                let what = format!(
                    "the clock says {wall}, but by the time that went by it should be {steady}: nothing expires"
                );
                self.problem(now.wall, what, Some("set the clock, or: intelmesh clock accept".into()));
            }
            Event::ClockOk => tracing::info!("the clock is right again"),
            Event::KeyStatement { .. } | Event::StatementRefused { .. } => self.record_statement(event, now),
            Event::Repair { peer, cause } => tracing::info!(%peer, cause, "repair"),
        }
    }

    fn record_statement(&mut self, event: Event, now: Now) {
        match event {
            Event::KeyStatement { publisher, serial, revoked: true } => {
                let what = format!(
                    "{publisher}: its key is revoked (statement {serial}): nothing that it signs is taken any more"
                );
                let hint = format!(
                    "ask {publisher}; what waits: intelmesh feed show; intelmesh event release|drop {publisher}"
                );
                self.problem(now.wall, what, Some(hint));
            }
            Event::KeyStatement { publisher, serial, .. } => {
                tracing::info!(%publisher, serial, "key statement");
            }
            Event::StatementRefused { peer, why } => {
                if let Some(suppressed) = self.may_log(&peer, "statement_refused", now.tick) {
                    tracing::warn!(%peer, why, suppressed, "a key statement was refused");
                    self.remember(now.wall, format!("{peer}: a key statement was refused: {why}"), None);
                }
            }
            _ => {}
        }
    }

    fn on_equivocation(
        &mut self,
        publisher: PublisherName,
        id: EventId,
        source: Option<PublisherName>,
        now: Now,
    ) {
        let (count, last, latest) =
            self.equivocations.entry(publisher.clone()).or_insert((0, now.wall, None));
        (*count, *last, *latest) = (*count + 1, now.wall, Some(id.clone()));
        let source = source.map_or_else(|| "this node".to_owned(), |name| name.to_string());
        self.problem(
            now.wall,
            format!("{publisher} signed two different events as {id} (the second came from {source}): the first one stays"),
            Some("ask the publisher: a copied key, or a restored node".into()),
        );
    }

    /// How many lines were held back, where one may be logged now.
    fn may_log(&mut self, peer: &PublisherName, reason: &'static str, now: Tick) -> Option<u64> {
        if self.suppressed.len() >= SUPPRESSED_MAX {
            self.suppressed.clear();
        }
        let (next, held) = self.suppressed.entry((peer.clone(), reason)).or_insert((now, 0));
        if now < *next {
            *held += 1;
            return None;
        }
        *next = now.plus_ms(LOG_EVERY_MS);
        Some(std::mem::take(held))
    }

    /// Problems that last, as status shows them before those that happened.
    pub fn lasting(at: Timestamp, what: String, hint: Option<String>) -> Problem {
        Problem { at, what, hint, code: Some(HealthCode::ConfigBad) }
    }
}
