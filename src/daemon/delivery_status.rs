//! Reports for each peer and consumer whether it has an event, by when, or why not. `explain` gives the
//! policy's decision and the core gives each reader's position; both are only put together here.

use std::collections::{BTreeMap, VecDeque};

use crate::config::{ClientFile, PeerFile};
use crate::control::{DeliveryRecord, DeliveryState, ReaderName};
use crate::daemon::rules_log::{RulesLog, RulesThen};
use crate::daemon::verdict_words::words;
use crate::door::ConsumerSettings;
use crate::explain::{self, Explanation, RuleOutcome};
use crate::identity::{NodeNames, PublisherName};
use crate::policy::{TrustList, WithheldReason};
use crate::protocol::sent::SentException;
use crate::protocol::view::{NodeView, PeerView};
use crate::record::{ConsumerName, Entry};
use crate::status::ClientStatus;
use crate::time::Timestamp;
use crate::wire::VerdictNumber;

mod clients;
mod consumers;

/// Places of one reader that are remembered with their time; the older half of them ever farther apart.
const TIMES_MAX: usize = 512;

/// When each reader had got how far, since the start.
#[derive(Debug, Default)]
pub(crate) struct ReadTimes {
    peers: BTreeMap<PublisherName, VecDeque<(u64, Timestamp)>>,
    consumers: BTreeMap<ConsumerName, VecDeque<(u64, Timestamp)>>,
}

impl ReadTimes {
    /// Notes that the feed of a peer resumes after `after`: it passes the entries above that again, at another time.
    pub(crate) fn resumed(&mut self, peer: &PublisherName, after: u64, now: Timestamp) {
        let times = self.peers.entry(peer.clone()).or_default();
        times.retain(|(position, _)| *position <= after);
        note(times, after, now);
    }

    /// To be called about once a second.
    pub(crate) fn observe(&mut self, view: &NodeView, now: Timestamp) {
        for peer in &view.peers {
            if let Some(position) = peer.status.sent.position {
                note(self.peers.entry(peer.status.name.clone()).or_default(), position, now);
            }
        }
        for consumer in &view.consumers {
            note(self.consumers.entry(consumer.name.clone()).or_default(), consumer.status.position, now);
        }
        self.peers.retain(|name, _| view.peers.iter().any(|peer| peer.status.name == *name));
        self.consumers.retain(|name, _| view.consumers.iter().any(|consumer| consumer.name == *name));
    }
}

fn note(times: &mut VecDeque<(u64, Timestamp)>, position: u64, now: Timestamp) {
    if times.back().is_some_and(|(known, _)| *known >= position) {
        return;
    }
    times.push_back((position, now));
    if times.len() > TIMES_MAX {
        let mut nth = 0;
        times.retain(|_| {
            nth += 1;
            nth > TIMES_MAX / 2 || nth % 2 == 1
        });
    }
}

/// Returns when the reader was first known to have passed `seq`; `None` if it had passed it before this was noted.
fn passed_by(times: Option<&VecDeque<(u64, Timestamp)>>, seq: u64) -> Option<Timestamp> {
    let times = times?;
    let first = times.front().is_some_and(|(position, _)| *position >= seq);
    let at = times.iter().find(|(position, _)| *position >= seq).map(|(_, at)| *at);
    at.filter(|_| !first)
}

/// The sources of an answer.
pub(crate) struct DeliverySources<'a> {
    pub view: &'a NodeView,
    pub files: &'a [PeerFile],
    pub own: NodeNames,
    /// Of `intelmesh.toml`.
    pub doors: &'a [ConsumerSettings],
    pub trust: &'a TrustList,
    pub times: &'a ReadTimes,
    pub rules: &'a RulesLog,
    pub clients: &'a [ClientFile],
    pub client_status: Vec<ClientStatus>,
    pub now: Timestamp,
}

/// Everybody who might have `entry`, peers first.
pub(crate) fn delivery_status(entry: &Entry, sources: &DeliverySources<'_>) -> Vec<DeliveryRecord> {
    let peers = sources.files.iter().map(|file| peer(entry, file, sources));
    let consumers = sources.view.consumers.iter().map(|at| consumers::consumer(entry, at, sources));
    let clients = sources.clients.iter().map(|file| clients::client(entry, file, sources));
    peers.chain(consumers).chain(clients).collect()
}

fn peer(entry: &Entry, file: &PeerFile, sources: &DeliverySources<'_>) -> DeliveryRecord {
    let name = &file.peer.name;
    let record = |state| DeliveryRecord::new(ReaderName::Peer(name.clone()), state);
    if let Some(why) = has_it(file, entry.envelope.publisher(), entry.source()) {
        return DeliveryRecord { why: Some(why.to_owned()), ..record(DeliveryState::HasIt) };
    }
    let live = sources.view.peers.iter().find(|peer| peer.status.name == *name);
    let passed = live.filter(|live| live.status.sent.position.is_some_and(|position| position >= entry.seq));
    // The peer's answer is decisive: the event was sent, so no rule can have held it back.
    let mut went = if let Some(answered) = live.and_then(|live| answered(live.exceptions.of(entry.seq)?)) {
        let (state, why, remedy) = answered;
        DeliveryRecord { why: Some(why), remedy: Some(remedy.to_owned()), ..record(state) }
    } else if let Some(live) = passed {
        decided(entry, file, live, sources, record(DeliveryState::Passed))
    } else {
        let file = explain::standing(file, sources.trust);
        let explained = explained(entry, &file, sources.now, sources);
        let waits = (DeliveryState::NotYet, Some(waits(live, entry.seq)));
        by_rule(explained, waits, record(DeliveryState::NotYet))
    };
    use DeliveryState::{Acknowledged, Deferred, Rejected};
    if passed.is_some() && matches!(went.state, Acknowledged | Rejected | Deferred) {
        went.by = passed_by(sources.times.peers.get(name), entry.seq);
    }
    went
}

/// Completes `record` by the rule that decides; `shared` is its state, with the reason, if the rule lets it pass.
fn by_rule(
    explained: Explanation,
    shared: (DeliveryState, Option<String>),
    record: DeliveryRecord,
) -> DeliveryRecord {
    let why = explained.outcome.reason().map(str::to_owned);
    let (state, why) = match explained.outcome {
        RuleOutcome::Shared => shared,
        RuleOutcome::Withheld(_) => (DeliveryState::Withheld, why),
        RuleOutcome::Cut(_) => (DeliveryState::Cut, why),
    };
    DeliveryRecord { state, why, rule: Some(explained.rule), remedy: explained.remedy, ..record }
}

/// Returns why the peer holds an event without us, under any name that it had then.
fn has_it(
    file: &PeerFile,
    publisher: &PublisherName,
    source: Option<&PublisherName>,
) -> Option<&'static str> {
    let theirs = |who: &PublisherName| file.peer.has_name(who);
    if theirs(publisher) {
        return Some("its own");
    }
    source.is_some_and(theirs).then_some("it came from there")
}

fn explained(entry: &Entry, file: &PeerFile, now: Timestamp, sources: &DeliverySources<'_>) -> Explanation {
    explain::share(entry.envelope.core(), &entry.path, &sources.own, file, now)
}

/// Returns the peer's answer to an entry that it was sent, if it did not accept it.
fn answered(exception: SentException) -> Option<(DeliveryState, String, &'static str)> {
    let told = |said: VerdictNumber| format!("{said}: {}", words(said).0);
    match exception {
        SentException::Expired => None,
        SentException::Rejected(code) => Some((DeliveryState::Rejected, told(code), words(code).1)),
        SentException::Deferred(code) => Some((DeliveryState::Deferred, told(code), words(code).1)),
        SentException::NotOwed(code) => {
            let since = "it waits there no more: taken since, come another way, or dropped";
            Some((DeliveryState::Deferred, format!("{}; {since}", told(code)), "ask them"))
        }
    }
}

/// The feed has passed it: by the rules of that time, and of that time's clock.
fn decided(
    entry: &Entry,
    file: &PeerFile,
    live: &PeerView,
    sources: &DeliverySources<'_>,
    record: DeliveryRecord,
) -> DeliveryRecord {
    let unknown =
        |why: &str, record| DeliveryRecord { why: Some(format!("shared or withheld: {why}")), ..record };
    let exceptions = &live.exceptions;
    let then = sources.rules.at(file, entry.seq);
    let other_lists = matches!(then, RulesThen::OtherLists(_));
    let (file, rules_of) = match then {
        RulesThen::Present => (file.clone(), false),
        RulesThen::Past(then) | RulesThen::OtherLists(then) => (*then, true),
        RulesThen::Lost => {
            return unknown("the rules of its time name a list that cannot be read any more", record);
        }
    };
    let at = match (exceptions.of(entry.seq), entry.envelope.core().expires) {
        (Some(SentException::Expired), Some(end)) => end,
        (_, Some(end)) => end.minus_ms(1),
        (_, None) => sources.now,
    };
    let explained = explained(entry, &explain::while_connected(&file), at, sources);
    let asked_filter = match explained.outcome {
        RuleOutcome::Shared => file.peer.share.filter.is_some(),
        RuleOutcome::Withheld(why) => matches!(why, WithheldReason::Filter | WithheldReason::FilterFailed),
        RuleOutcome::Cut(_) => false,
    };
    let not_known = (!exceptions.knows(entry.seq)).then(|| NOT_KNOWN.to_owned());
    let record = DeliveryRecord { rules_of, ..record };
    let went = by_rule(explained, (DeliveryState::Acknowledged, not_known), record);
    if other_lists && asked_filter {
        let why = "the lists that the filter reads said something else then";
        return unknown(why, DeliveryRecord { state: DeliveryState::Passed, ..went });
    }
    went
}

/// Shown for an entry that was passed before this node kept the peer's verdict.
const NOT_KNOWN: &str =
    "unless the peer did not take it, or it had expired: that is kept of the newest, since the start";

fn waits(live: Option<&PeerView>, seq: u64) -> String {
    let Some(live) = live.map(|live| &live.status) else { return "no feed with it yet".to_owned() };
    match live.sent.position {
        _ if !live.connected => {
            format!("down since {}", live.since.map(|at| at.to_string()).unwrap_or_default())
        }
        Some(position) => format!("its feed is {} before it", seq - position),
        None => "connected, and it has acknowledged nothing yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_only_where_the_passing_was_seen() {
        let mut times = VecDeque::new();
        for (position, at) in [(10, 1), (10, 2), (15, 3), (12, 4), (20, 5)] {
            note(&mut times, position, Timestamp(at));
        }
        assert_eq!(times.len(), 3, "nothing goes back, and nothing is noted twice");
        for (seq, by) in [(3, None), (10, None), (11, Some(3)), (15, Some(3)), (16, Some(5)), (21, None)] {
            assert_eq!(passed_by(Some(&times), seq), by.map(Timestamp), "seq {seq}");
        }
        assert_eq!(passed_by(None, 1), None);
    }

    #[test]
    fn what_a_peer_published_or_brought_under_an_older_name_it_has() {
        let key = crate::fixture::key(7).verifying_key();
        let text = format!("key = \"{}\"\naliases = [\"old-ee\"]", crate::identity::public_key_text(&key));
        let file = PeerFile::parse(std::path::Path::new("peers/cert-ee.toml"), &text).unwrap();
        let name = |text| PublisherName::parse(text).unwrap();
        for (publisher, source, why) in [
            ("cert-ee", None, Some("its own")),
            ("old-ee", Some("cert-pl"), Some("its own")),
            ("cert-pl", Some("old-ee"), Some("it came from there")),
            ("cert-pl", Some("cert-lt"), None),
        ] {
            assert_eq!(has_it(&file, &name(publisher), source.map(name).as_ref()), why, "{publisher}");
        }
    }

    #[test]
    fn what_is_sent_again_is_passed_at_its_new_time() {
        let name = PublisherName::parse("cert-ee").unwrap();
        let mut times = ReadTimes::default();
        times.resumed(&name, 10, Timestamp(1));
        note(times.peers.get_mut(&name).unwrap(), 20, Timestamp(2));
        times.resumed(&name, 5, Timestamp(8));
        note(times.peers.get_mut(&name).unwrap(), 20, Timestamp(9));
        for (seq, by) in [(5, None), (6, Some(9)), (20, Some(9))] {
            assert_eq!(passed_by(times.peers.get(&name), seq), by.map(Timestamp), "seq {seq}");
        }
    }

    #[test]
    fn the_times_of_a_month_stay_few_and_are_never_said_too_early() {
        let mut times = VecDeque::new();
        let month = 30 * 24 * 3_600;
        for second in 1..=month {
            note(&mut times, second, Timestamp(second));
        }
        assert!(times.len() <= TIMES_MAX);
        for seq in [2, 1_000, month / 2, month - 1_000, month] {
            let by = passed_by(Some(&times), seq).unwrap();
            assert!(by.0 >= seq, "{seq}: {by:?}");
        }
        assert_eq!(
            passed_by(Some(&times), month - 100),
            Some(Timestamp(month - 100)),
            "the newest are exact"
        );
    }
}
