//! Where an event went: for each peer and consumer, whether it has it, by when, or why not (design §8). What policy
//! says is `explain`'s; how far each reader has got is the core's; both are only put together here.

use std::collections::{BTreeMap, VecDeque};

use crate::config::PeerFile;
use crate::control::Went;
use crate::daemon::rules_log::RulesLog;
use crate::explain::{self, Outcome};
use crate::identity::PublisherName;
use crate::protocol::view::NodeView;
use crate::record::{ConsumerName, Entry};
use crate::time::Timestamp;

/// Places of one reader that are remembered with their time; the older half of them ever farther apart.
const TIMES_MAX: usize = 512;

/// When each reader had got how far, since the start.
#[derive(Debug, Default)]
pub struct ReadTimes {
    peers: BTreeMap<PublisherName, VecDeque<(u64, Timestamp)>>,
    consumers: BTreeMap<ConsumerName, VecDeque<(u64, Timestamp)>>,
}

impl ReadTimes {
    /// To be called about once a second.
    pub fn observe(&mut self, view: &NodeView, now: Timestamp) {
        for peer in &view.peers {
            if let Some(position) = peer.sent.position {
                note(self.peers.entry(peer.name.clone()).or_default(), position, now);
            }
        }
        for consumer in &view.consumers {
            note(self.consumers.entry(consumer.name.clone()).or_default(), consumer.position.seq, now);
        }
        self.peers.retain(|name, _| view.peers.iter().any(|peer| peer.name == *name));
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

/// When it was known first that the reader had passed `seq`; `None` where it had passed it before this was noted.
fn passed_by(times: Option<&VecDeque<(u64, Timestamp)>>, seq: u64) -> Option<Timestamp> {
    let times = times?;
    let first = times.front().is_some_and(|(position, _)| *position >= seq);
    let at = times.iter().find(|(position, _)| *position >= seq).map(|(_, at)| *at);
    at.filter(|_| !first)
}

/// What an answer is made of.
pub struct Sources<'a> {
    pub view: &'a NodeView,
    pub files: &'a [PeerFile],
    pub own_name: &'a PublisherName,
    pub times: &'a ReadTimes,
    pub rules: &'a RulesLog,
    pub now: Timestamp,
}

/// Everybody who might have `entry`, peers first.
pub fn whereabouts(entry: &Entry, sources: &Sources<'_>) -> Vec<Went> {
    let peers = sources.files.iter().map(|file| peer(entry, file, sources));
    let consumers = sources.view.consumers.iter().map(|at| {
        let passed = at.position.seq >= entry.seq;
        let own = entry.envelope.publisher() == sources.own_name;
        let (state, why) = match (passed, own && !at.position.own) {
            (_, true) => ("withheld", Some("own: it gets what others publish".to_owned())),
            (true, false) => ("passed", None),
            (false, false) if at.connected => ("not_yet", Some(format!("it is {} behind", at.lag_events))),
            (false, false) => ("not_yet", Some("it is not connected".to_owned())),
        };
        let by = passed_by(sources.times.consumers.get(&at.name), entry.seq).filter(|_| state == "passed");
        Went { consumer: Some(at.name.to_string()), state: state.to_owned(), by, why, ..Went::default() }
    });
    peers.chain(consumers).collect()
}

fn peer(entry: &Entry, file: &PeerFile, sources: &Sources<'_>) -> Went {
    let name = &file.peer.name;
    let (core, path) = (entry.envelope.core(), &entry.path);
    let mut went = Went { peer: Some(name.clone()), ..Went::default() };
    if entry.source() == Some(name) || core.id.publisher == *name {
        went.state = "has_it".to_owned();
        let publisher = core.id.publisher == *name;
        went.why = Some(if publisher { "its own" } else { "it came from there" }.to_owned());
        return went;
    }
    let live = sources.view.peers.iter().find(|peer| peer.name == *name);
    let position = live.and_then(|peer| peer.sent.position);
    let passed = position.is_some_and(|position| position >= entry.seq);
    // What it has passed was decided by the rules of that time.
    let of_its_time = if passed { sources.rules.file_at(file, entry.seq) } else { None };
    let judged_at =
        if passed { core.expires.map_or(sources.now, |end| end.minus_ms(1)) } else { sources.now };
    let file = of_its_time.as_ref().unwrap_or(file);
    let explained = explain::share(core, path, sources.own_name, file, judged_at);
    let shared = explained.outcome == Outcome::Shared || (passed && explained.outcome == Outcome::Cut);
    (went.state, went.why) = match (shared, passed) {
        (true, true) => ("acknowledged".to_owned(), None),
        (true, false) => ("not_yet".to_owned(), Some(waits(live, entry.seq))),
        (false, _) => (explained.outcome.as_str().to_owned(), explained.reason.clone()),
    };
    went.by = passed_by(sources.times.peers.get(name), entry.seq).filter(|_| went.state == "acknowledged");
    went.rule = Some(explained.rule);
    went.remedy = explained.remedy;
    went.rules_of = of_its_time.is_some();
    went
}

fn waits(live: Option<&crate::protocol::view::PeerView>, seq: u64) -> String {
    use crate::protocol::link::ContactState;
    let Some(live) = live else { return "no feed with it yet".to_owned() };
    match (&live.contact, live.sent.position) {
        (ContactState::Down { since } | ContactState::Dialing { since }, _) => format!("down since {since}"),
        (ContactState::Up { .. }, Some(position)) => format!("its feed is {} before it", seq - position),
        (ContactState::Up { .. }, None) => "connected, and it has acknowledged nothing yet".to_owned(),
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
