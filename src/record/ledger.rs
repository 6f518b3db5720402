//! The state that remains when the journal's notes are replayed: the same after a crash at any record as before it. The
//! node starts from it, and every segment begins with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::envelope::StatementBook;
use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{EQUIVOCATION_PROOFS_MAX, READ_AGAIN_MIN_MS};
use crate::record::{
    BrokenEntry, ConsumerName, FeedState, Loss, Losses, Note, RejectedPlace, RetryCondition,
};
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode};

/// How far a consumer has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// All up to here were handed off and acknowledged, or are not for it.
    pub seq: u64,
    /// True if it gets the entries that this node published.
    pub own: bool,
    /// Entries for it that were gone (retention, damage) before its acknowledgement was on disk. Only grows.
    pub missing: u64,
    /// A new number each time that the operator moved or removed the position: if a receiver took entries under an
    /// earlier one, they do not count.
    pub generation: u64,
}

/// All that a node remembers beside its entries: the notes of the journal, applied in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Of each peer that it reads.
    pub feeds: BTreeMap<PublisherName, FeedState>,
    /// Of each named consumer.
    pub consumers: BTreeMap<ConsumerName, Position>,
    /// How often the operator moved or removed a position. A new consumer gets it as its generation.
    pub generation: u64,
    /// The highest `Steady` note or arrival.
    pub steady: Timestamp,
    /// The oldest instant for which the seen set is complete; `None` in a journal that never had one.
    pub floor: Option<Timestamp>,
    /// Digests that lost against the stored one, by publisher and identity; bounded.
    pub equivocations: BTreeMap<PublisherName, BTreeSet<(EventKey, CoreDigest)>>,
    /// Entries that can no longer be read; bounded.
    pub losses: Losses,
    /// The last statement of each identity key: kept for ever, even if the key is trusted no more.
    pub statements: StatementBook,
    /// Events of revoked keys that the operator released, and when. If one was released before `floor`, it is too old
    /// to be taken, and is forgotten.
    pub released: BTreeMap<EventKey, Timestamp>,
}

impl Ledger {
    /// Applies one note.
    pub fn apply(&mut self, note: &Note) {
        match note {
            Note::Advanced { peer, to } => self.feed(peer).advance(*to),
            Note::Owed { peer, owed } => {
                self.feed(peer).owed.insert(owed.clone());
            }
            Note::Settled { peer, seq } => {
                self.feed(peer).owed.remove(*seq);
            }
            Note::Rejected { peer, place } => {
                self.feed(peer).rejected.add(place.clone());
            }
            Note::ReadAgain { peer, reason, publisher, next } => {
                self.feed(peer).rejected.read_again(*reason, publisher.as_ref(), *next);
            }
            Note::Resumed { peer, to } => self.feed(peer).resume(*to),
            Note::Feed { peer, state } => {
                self.feeds.insert(peer.clone(), state.clone());
            }
            Note::Position { consumer, seq, own } => {
                let before = self.position(consumer).seq;
                self.losses.acked(consumer, before, *seq);
                let position = self.position(consumer);
                (position.seq, position.own) = (position.seq.max(*seq), *own);
            }
            Note::Missing { consumer, to, count } => {
                let position = self.position(consumer);
                if position.seq < *to {
                    position.seq = *to;
                    position.missing = position.missing.saturating_add(*count);
                }
            }
            Note::Rewound { consumer, seq, generation } => {
                if let Some(position) = self.consumers.get_mut(consumer) {
                    (position.seq, position.generation) = (*seq, *generation);
                    self.losses.rewound(consumer, *seq);
                }
                self.generation = self.generation.max(*generation);
            }
            Note::ConsumerGone { consumer, generation } => {
                self.consumers.remove(consumer);
                self.losses.rewound(consumer, 0);
                self.generation = self.generation.max(*generation);
            }
            Note::Lost { key, loss } => self.losses.add(*key, loss.clone()),
            Note::Generation(generation) => self.generation = self.generation.max(*generation),
            Note::Floor(at) => {
                self.floor = self.floor.max(Some(*at));
                self.released.retain(|_, released| *released >= *at);
            }
            Note::Steady(at) => self.steady = self.steady.max(*at),
            Note::Statement(statement) => self.statements.take(statement.clone()),
            Note::Released { key, at: Some(at) } => {
                self.released.insert(*key, *at);
            }
            Note::Released { key, at: None } => {
                self.released.remove(key);
            }
            Note::Equivocation { publisher, key, digest } => {
                let known = self.equivocations.entry(publisher.clone()).or_default();
                if known.len() < EQUIVOCATION_PROOFS_MAX {
                    known.insert((*key, *digest));
                }
            }
        }
    }

    /// Applies a carrier: that with `key` arrived at `at` and is entry `seq`.
    pub fn apply_carrier(&mut self, key: EventKey, seq: u64, at: Timestamp) {
        self.steady = self.steady.max(at);
        self.losses.stored(key, seq);
    }

    /// Returns the notes by which `broken` entries are asked for again, none of them known to be lost: which consumers
    /// had each, and that all feeds are read again, one after the other, since the copies of one peer may be enough.
    pub fn lose(&self, broken: &[BrokenEntry], steady: Timestamp) -> Vec<Note> {
        let had_by = |seq| {
            let had = self.consumers.iter().filter(move |(_, position)| position.seq >= seq);
            had.map(|(name, _)| name.clone()).collect()
        };
        let lost = broken.iter().map(|entry| Note::Lost {
            key: entry.key,
            loss: Loss { seq: entry.seq, had_by: had_by(entry.seq), taken: None },
        });
        let feeds = self.feeds.iter().filter(|(_, state)| state.log_id.is_some());
        let again = (1..).zip(feeds).filter_map(|(nth, (peer, state))| {
            let cure = RetryCondition::At(steady.plus_ms(nth * READ_AGAIN_MIN_MS));
            let (reason, before) = (VerdictCode::InFlight, Mark::START);
            let place = RejectedPlace { reason, publisher: None, before, cure };
            state.rejected.changes(&place).then(|| Note::Rejected { peer: peer.clone(), place })
        });
        lost.chain(again).collect()
    }

    /// Returns the notes that rebuild this ledger, with which a new segment begins.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = vec![Note::Steady(self.steady)];
        notes.extend(self.floor.map(Note::Floor));
        let feeds = self.feeds.iter();
        notes.extend(feeds.map(|(peer, state)| Note::Feed { peer: peer.clone(), state: state.clone() }));
        notes.extend(self.positions());
        let losses = self.losses.iter();
        notes.extend(losses.map(|(key, loss)| Note::Lost { key: *key, loss: loss.clone() }));
        notes.extend(self.statements.all().cloned().map(Note::Statement));
        let released = self.released.iter();
        notes.extend(released.map(|(key, at)| Note::Released { key: *key, at: Some(*at) }));
        for (publisher, known) in &self.equivocations {
            notes.extend(known.iter().map(|(key, digest)| Note::Equivocation {
                publisher: publisher.clone(),
                key: *key,
                digest: *digest,
            }));
        }
        notes
    }

    /// Returns the notes that rebuild the state of consumers.
    pub fn positions(&self) -> Vec<Note> {
        let (mut notes, mut moved) = (Vec::new(), Vec::new());
        for (name, Position { seq, own, missing, generation }) in &self.consumers {
            let consumer = || name.clone();
            if *missing > 0 {
                // Before the first entry nothing can be missing: so it is counted there, and then gone back.
                notes.push(Note::Missing { consumer: consumer(), to: (*seq).max(1), count: *missing });
            }
            notes.push(Note::Position { consumer: consumer(), seq: *seq, own: *own });
            if *missing > 0 && *seq == 0 || *generation > 0 {
                moved.push(Note::Rewound { consumer: consumer(), seq: *seq, generation: *generation });
            }
        }
        // Behind all positions: a new one would take over the generation of one before it.
        notes.append(&mut moved);
        notes.extend((self.generation > 0).then_some(Note::Generation(self.generation)));
        notes
    }

    fn position(&mut self, consumer: &ConsumerName) -> &mut Position {
        let new = Position { generation: self.generation, ..Position::default() };
        self.consumers.entry(consumer.clone()).or_insert(new)
    }

    fn feed(&mut self, peer: &PublisherName) -> &mut FeedState {
        self.feeds.entry(peer.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;
    use crate::wire::Mark;

    /// Store and core write of one consumer without waiting for each other.
    #[test]
    fn missing_only_grows_whatever_order_notes_come_in() {
        let consumer = ConsumerName::parse("soc").unwrap();
        let at = |seq| Note::Position { consumer: consumer.clone(), seq, own: true };
        let missing = |to, count| Note::Missing { consumer: consumer.clone(), to, count };
        let mut ledger = Ledger::default();
        for (note, seq, count) in [
            (missing(100, 40), 100, 40),
            (at(10), 100, 40),
            (missing(90, 5), 100, 40),
            (missing(100, 40), 100, 40),
            (at(120), 120, 40),
            (missing(121, 1), 121, 41),
        ] {
            ledger.apply(&note);
            let position = &ledger.consumers[&consumer];
            assert_eq!((position.seq, position.missing), (seq, count), "{note:?}");
        }
    }

    #[test]
    fn a_consumer_that_was_removed_is_gone_and_may_come_again() {
        let consumer = ConsumerName::parse("soc").unwrap();
        let at = |seq| Note::Position { consumer: consumer.clone(), seq, own: true };
        let mut ledger = Ledger::default();
        ledger.apply(&at(7));
        ledger.apply(&Note::ConsumerGone { consumer: consumer.clone(), generation: 1 });
        ledger.apply(&Note::Rewound { consumer: consumer.clone(), seq: 2, generation: 2 });
        assert!(ledger.consumers.is_empty());
        ledger.apply(&at(1));
        let position = Position { seq: 1, own: true, missing: 0, generation: 2 };
        assert_eq!(ledger.consumers[&consumer], position);
    }

    /// Also if no consumer is left that could say it, and over the beginning of a segment.
    #[test]
    fn generation_of_removed_consumer_never_comes_back() {
        let [first, second] = ["soc", "other"].map(|name| ConsumerName::parse(name).unwrap());
        let at = |consumer: &ConsumerName| Note::Position { consumer: consumer.clone(), seq: 7, own: true };
        let mut ledger = Ledger::default();
        ledger.apply(&at(&first));
        ledger.apply(&Note::ConsumerGone { consumer: first.clone(), generation: 1 });
        let mut again = Ledger::default();
        ledger.notes().iter().for_each(|note| again.apply(note));
        again.apply(&at(&first));
        assert_eq!(again.consumers[&first].generation, 1);
        again.apply(&Note::Rewound { consumer: first.clone(), seq: 3, generation: 2 });
        again.apply(&at(&second));
        again.apply(&Note::Rewound { consumer: second.clone(), seq: 3, generation: 3 });
        let mut rebuilt = Ledger::default();
        again.notes().iter().for_each(|note| rebuilt.apply(note));
        assert_eq!(rebuilt, again);
        assert_eq!([&first, &second].map(|name| rebuilt.consumers[name].generation), [2, 3]);
    }

    /// Also over the beginning of a segment, which says again what is known.
    #[test]
    fn a_rewound_consumer_goes_back_and_keeps_what_it_missed() {
        let consumer = ConsumerName::parse("soc").unwrap();
        let mut ledger = Ledger::default();
        ledger.apply(&Note::Missing { consumer: consumer.clone(), to: 5, count: 2 });
        ledger.apply(&Note::Position { consumer: consumer.clone(), seq: 90, own: true });
        for (seq, generation) in [(6, 1), (0, 2)] {
            ledger.apply(&Note::Rewound { consumer: consumer.clone(), seq, generation });
            let mut again = Ledger::default();
            ledger.notes().iter().for_each(|note| again.apply(note));
            assert_eq!(again.consumers[&consumer], Position { seq, own: true, missing: 2, generation });
        }
    }

    #[test]
    fn the_notes_of_a_ledger_rebuild_it() {
        let mut ledger = Ledger::default();
        let peer = PublisherName::parse("cert-ee").unwrap();
        for seq in 1..100 {
            ledger.apply(&Note::Advanced { peer: peer.clone(), to: Mark { seq, check: Check::START } });
        }
        let consumer = ConsumerName::parse("soc").unwrap();
        ledger.apply(&Note::Missing { consumer: consumer.clone(), to: 5, count: 2 });
        ledger.apply(&Note::Position { consumer, seq: 7, own: true });
        ledger.apply(&Note::Floor(Timestamp(5)));
        ledger.apply(&Note::Released { key: EventKey([3; 16]), at: Some(Timestamp(6)) });
        ledger.apply(&Note::Equivocation {
            publisher: peer,
            key: EventKey([1; 16]),
            digest: CoreDigest([2; 32]),
        });
        let mut rebuilt = Ledger::default();
        ledger.notes().iter().for_each(|note| rebuilt.apply(note));
        assert_eq!(rebuilt, ledger);
    }
}
