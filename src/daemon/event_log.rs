//! Records the core's events: one line of log each (repeated ones are counted by `repeats`), and the incidents that
//! status remembers. Payloads and secrets never come here.

use std::collections::{BTreeMap, VecDeque};

use crate::daemon::log_limit::LogLimit;
use crate::daemon::unknown::UnknownPublishers;
use crate::identity::{EventId, PublisherName};
use crate::protocol::io::{EnvelopeOutcome, Event, LossCause, Role, StoreFailure};
use crate::record::ConsumerName;
use crate::status::{HealthCode, ShownProblem};
use crate::time::{Now, Timestamp};
use crate::wire::VerdictCode;

/// Errors that merely happened, kept for status.
const ERRORS_MAX: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct EventLog {
    errors: VecDeque<ShownProblem>,
    pub missing_at: BTreeMap<PublisherName, Timestamp>,
    pub consumer_missing_at: BTreeMap<ConsumerName, Timestamp>,
    pub equivocations: BTreeMap<PublisherName, (u64, Timestamp, Option<EventId>)>,
    limit: LogLimit,
    pub unknown: UnknownPublishers,
}

impl EventLog {
    fn problem(&mut self, at: Timestamp, what: String, hint: Option<String>) {
        tracing::warn!("{what}");
        self.remember(at, what, hint);
    }

    /// The same, `count` times, as the log's limit says.
    fn problems(&mut self, count: u64, at: Timestamp, what: String, hint: Option<&str>) {
        tracing::warn!(count, "{what}");
        self.remember(at, what, hint.map(str::to_owned));
    }

    fn remember(&mut self, at: Timestamp, what: String, hint: Option<String>) {
        self.errors.retain(|known| known.what != what);
        self.errors.push_front(ShownProblem { at, what, hint, code: None });
        self.errors.truncate(ERRORS_MAX);
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = &ShownProblem> {
        self.errors.iter()
    }

    /// Logs how many lines were held back, if no later line has said so. To be called every second or so.
    pub(crate) fn tell_held_back(&mut self, now: Now) {
        for (name, kind, count) in self.limit.take_due(now.tick) {
            tracing::warn!(%name, kind, count, "the same happened again");
        }
    }

    pub(crate) fn record(&mut self, event: Event, now: Now) {
        match event {
            Event::Envelope { id, source, outcome, bytes } => {
                let outcome = match outcome {
                    EnvelopeOutcome::Accepted => "accepted",
                    EnvelopeOutcome::Refused => "refused",
                };
                let (publisher, source) = (&id.publisher, source.as_ref().map_or("-", |name| name.as_str()));
                tracing::debug!(outcome, id = %id.uuid, %publisher, source, bytes);
            }
            Event::NotTaken { peer, seq, code, detail } => {
                if code == VerdictCode::UnknownPublisher
                    && let Ok(publisher) = PublisherName::parse(&detail)
                {
                    self.unknown.met(publisher, peer.clone(), seq, now.wall);
                }
                if let Some(count) = self.limit.allow(peer.as_str(), code.as_str(), 1, now.tick) {
                    tracing::warn!(outcome = "rejected", %peer, seq, reason = code.as_str(), detail, count);
                    if code != VerdictCode::UnknownPublisher {
                        let what = format!("{peer}: entries rejected: {} {detail}", code.as_str());
                        self.remember(now.wall, what.trim_end().to_owned(), None);
                    }
                }
            }
            Event::Equivocation { publisher, id, source } => self.on_equivocation(publisher, id, source, now),
            Event::Missing { .. } | Event::ConsumerMissing { .. } => self.record_missing(event, now),
            Event::ConsumerAgain { consumer, count } => {
                let what = format!(
                    "consumer {consumer}: its receiver lost {count} entries that it had taken: they are handed over again"
                );
                self.problem(now.wall, what, None);
            }
            Event::NotStored { failure } => {
                if let Some(count) = self.limit.allow("", "not_stored", 1, now.tick) {
                    let (what, hint) = match failure {
                        StoreFailure::DiskFull => {
                            ("the journal cannot grow: the disk is full", "free some space")
                        }
                        StoreFailure::Stopping => {
                            ("the journal is closed: the node is stopping", "start it again")
                        }
                    };
                    self.problems(count, now.wall, what.to_owned(), Some(hint));
                }
            }
            Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::FeedUp { .. }
            | Event::FeedDown { .. }
            | Event::FeedResumes { .. }
            | Event::Repair { .. } => self.record_contact(event, now),
            Event::ClockOff { wall, steady } => {
                let what = format!(
                    "the clock says {wall}, but by the time that went by it should be {steady}: nothing expires"
                );
                self.problem(now.wall, what, Some("set the clock, or: intelmesh clock accept".into()));
            }
            Event::ClockOk => tracing::info!("the clock is right again"),
            Event::KeyStatement { .. } | Event::StatementRefused { .. } => self.record_statement(event, now),
        }
    }

    /// Connections and feeds come and go as a peer likes: each kind has its turn.
    fn record_contact(&mut self, event: Event, now: Now) {
        match event {
            Event::PeerUp { peer } => {
                if let Some(count) = self.limit.allow(peer.as_str(), "connected", 1, now.tick) {
                    tracing::info!(%peer, count, "connected");
                }
            }
            Event::PeerDown { peer, cause } => {
                if let Some(count) = self.limit.allow(peer.as_str(), "disconnected", 1, now.tick) {
                    tracing::info!(%peer, cause, count, "disconnected");
                }
            }
            Event::FeedUp { peer, role } => {
                let kind = match role {
                    Role::Receiver => "feed_up_from",
                    Role::Sender => "feed_up_to",
                };
                if let Some(count) = self.limit.allow(peer.as_str(), kind, 1, now.tick) {
                    tracing::info!(%peer, ?role, count, "feed up");
                }
            }
            Event::FeedDown { peer, cause, .. } => {
                if let Some(count) = self.limit.allow(peer.as_str(), "feed_down", 1, now.tick) {
                    tracing::info!(%peer, cause, count, "feed down");
                }
            }
            Event::Repair { peer, cause } => {
                if let Some(count) = self.limit.allow(peer.as_str(), "repair", 1, now.tick) {
                    tracing::info!(%peer, cause, count, "repair");
                }
            }
            Event::FeedResumes { peer, after } => tracing::debug!(%peer, after, "the feed goes on"),
            _ => {}
        }
    }

    fn record_missing(&mut self, event: Event, now: Now) {
        match event {
            Event::Missing { peer, count } => {
                self.missing_at.insert(peer.clone(), now.wall);
                if let Some(count) = self.limit.allow(peer.as_str(), "missing", count, now.tick) {
                    let what =
                        format!("{peer}: {count} entries are missing: its journal no longer holds them");
                    self.problems(count, now.wall, what, None);
                }
            }
            Event::ConsumerMissing { consumer, count, cause } => {
                self.consumer_missing_at.insert(consumer.clone(), now.wall);
                let (kind, why, hint) = match cause {
                    LossCause::Retention => {
                        ("retired", "retention took", "raise keep_bytes or keep_days, or read in time")
                    }
                    LossCause::Damage => {
                        ("damaged", "damage of the journal took", "see docs/howto/repair-damage.md")
                    }
                };
                if let Some(count) = self.limit.allow(consumer.as_str(), kind, count, now.tick) {
                    let what =
                        format!("consumer {consumer}: {why} {count} entries that it had not acknowledged");
                    self.problems(count, now.wall, what, Some(hint));
                }
            }
            _ => {}
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
                if let Some(count) = self.limit.allow(publisher.as_str(), "key_statement", 1, now.tick) {
                    tracing::info!(%publisher, serial, count, "key statement");
                }
            }
            Event::StatementRefused { peer, why } => {
                if let Some(count) = self.limit.allow(peer.as_str(), "statement_refused", 1, now.tick) {
                    tracing::warn!(%peer, why, count, "a key statement was refused");
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
        let Some(count) = self.limit.allow(publisher.as_str(), "equivocation", 1, now.tick) else { return };
        let source = source.map_or_else(|| "this node".to_owned(), |name| name.to_string());
        self.problems(
            count,
            now.wall,
            format!("{publisher} signed two different events as {id} (the second came from {source}): the first one stays"),
            Some("ask the publisher: a copied key, or a restored node"),
        );
    }

    /// Problems that last, as status shows them before those that happened.
    pub(crate) fn lasting(at: Timestamp, what: String, hint: Option<String>) -> ShownProblem {
        ShownProblem { at, what, hint, code: Some(HealthCode::ConfigBad) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ProjectName;
    use crate::protocol::io::StreamId;
    use crate::time::Tick;
    use crate::wire::VerdictCode;

    /// The text that reaches a log, to count its lines.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn every_event_of_a_peer() -> Vec<Event> {
        let peer = PublisherName::parse("cert-ee").unwrap();
        let publisher = peer.clone();
        let project = ProjectName::parse("intelmq").unwrap();
        let id = EventId { publisher: peer.clone(), project, uuid: uuid::Uuid::from_u128(7) };
        let cause = "whatever".to_owned();
        vec![
            Event::NotTaken {
                peer: peer.clone(),
                seq: 1,
                code: VerdictCode::Malformed,
                detail: cause.clone(),
            },
            Event::Equivocation { publisher: peer.clone(), id, source: Some(peer.clone()) },
            Event::Missing { peer: peer.clone(), count: 1 },
            Event::PeerUp { peer: peer.clone() },
            Event::PeerDown { peer: peer.clone(), cause: cause.clone() },
            Event::FeedUp { peer: peer.clone(), role: Role::Receiver },
            Event::FeedUp { peer: peer.clone(), role: Role::Sender },
            Event::FeedDown { peer: peer.clone(), stream: StreamId(1), cause: cause.clone() },
            Event::Repair { peer: peer.clone(), cause: "a reason" },
            Event::KeyStatement { publisher, serial: 1, revoked: false },
            Event::StatementRefused { peer, why: cause },
        ]
    }

    /// A peer that does the same again and again has a line for each kind of it in ten seconds, and its number.
    #[test]
    fn a_peer_has_one_line_for_each_kind_in_ten_seconds() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let mut chronicle = EventLog::default();
        let at = |ms: u64| Now { tick: Tick(ms), wall: Timestamp(ms) };
        tracing::subscriber::with_default(log, || {
            for _ in 0..20_000 {
                every_event_of_a_peer().into_iter().for_each(|event| chronicle.record(event, at(1)));
            }
            chronicle.tell_held_back(at(10_001));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let kinds = every_event_of_a_peer().len();
        assert_eq!(text.lines().count(), 2 * kinds, "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("count=19999")).count(), kinds, "{text}");
        assert_eq!(chronicle.equivocations.values().map(|(count, ..)| *count).sum::<u64>(), 20_000);
        assert!(chronicle.errors().count() <= kinds);
    }
}
