//! The receiving end of a feed: owns the cursor on the peer's journal (design §3). Every entry in order is
//! pending until its fate is known or it is owed on disk; the cursor follows behind.

mod modes;
mod pending;
mod place;
mod report;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::identity::{EventKey, PublisherName};
use crate::limits::{
    HEAD_EVERY_MS, IN_FLIGHT_EXPIRES_MS, LAZY_AFTER_DUPLICATES, OFFERED_HOLD_MS, WANT_DELAY_MS,
    WANTS_IN_FLIGHT_MAX,
};
use crate::protocol::failing::Failing;
use crate::protocol::fault::FeedFault;
use crate::protocol::ground::{Ground, Pipe};
use crate::protocol::intake::{Offer, Verdict};
use crate::protocol::io::Event;
use crate::protocol::rules::Rule;
use crate::record::{FeedState, Note, Owed, RejectedPlace};
use crate::time::{Tick, Timestamp};
use crate::wire::{Frame, Hello, Mark, Skip, Subscribe, VerdictCode, Window};
use pending::{Fate, Pending, PendingEntries};
use place::{cured_below, marks_from, newest_below, reread, window};
use report::Report;

/// Counts of what one peer gave to this node since it started (contract §5).
#[derive(Clone, Debug, Default)]
pub struct ReceivedTally {
    pub accepted: u64,
    pub refused: u64,
    pub missing: u64,
    pub rejected: BTreeMap<VerdictCode, u64>,
    /// The filter of `[receive]`.
    pub failing: Failing,
}

impl ReceivedTally {
    pub fn rejected_sum(&self) -> u64 {
        self.rejected.values().sum()
    }
}

#[derive(Debug)]
pub struct Receiver {
    pub pipe: Pipe,
    pub last_frame: Tick,
    pub hello: Option<Hello>,
    live: bool,
    pending: PendingEntries,
    /// The last place that a frame in order named.
    received: Mark,
    /// When something is to be done about which entry: a WANT, or to write it down as owed.
    due: BTreeSet<(Tick, u64)>,
    asked: BTreeMap<u64, EventKey>,
    modes: Modes,
    report: Report,
    /// The sender's last seq, and when it stored it.
    head: Option<(u64, Timestamp)>,
}

/// Who is eager, as far as this receiver has asked for it.
#[derive(Debug, Default)]
struct Modes {
    eager: BTreeMap<PublisherName, bool>,
    duplicates_in_row: BTreeMap<PublisherName, u32>,
    /// Below it answers are repair and make nobody eager.
    repair_until: u64,
}

impl Receiver {
    /// We opened a stream: says HELLO and SUBSCRIBE at once. `rewind` asks from the newest known place at
    /// or below it.
    pub fn new(
        mut pipe: Pipe,
        peer: &PublisherName,
        rewind: Option<u64>,
        cure_noticed: bool,
        ground: &mut Ground,
    ) -> Self {
        let now = ground.tick();
        pipe.send(super::sender::hello(ground), ground);
        let state = ground.ledger.feeds.entry(peer.clone()).or_default().clone();
        let cured = (ground.on(Rule::CureLevel) || cure_noticed)
            .then(|| cured_below(&state, ground.trust.digest()))
            .flatten();
        let from = [rewind, cured].into_iter().flatten().min();
        let marks = marks_from(&state, from);
        let window = window(&state, ground);
        let have_only = from.is_some() || state.log_id.is_none();
        pipe.send(
            Frame::Subscribe(Subscribe {
                log_id: state.log_id,
                marks,
                have_only,
                window,
                options: BTreeMap::new(),
            }),
            ground,
        );
        Self {
            pipe,
            last_frame: now,
            hello: None,
            live: false,
            pending: PendingEntries::default(),
            received: state.cursor,
            due: BTreeSet::new(),
            asked: BTreeMap::new(),
            modes: Modes::default(),
            report: Report::after(window),
            head: None,
        }
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn head(&self) -> Option<(u64, Timestamp)> {
        self.head
    }

    /// Entries whose fate is open.
    pub fn open_count(&self) -> u64 {
        self.pending.open().count() as u64
    }

    pub fn on_head(&mut self, seq: u64, stored: Timestamp) {
        self.head = Some((seq, stored));
    }

    /// SKIP. The first one says where the sender resumes.
    pub fn on_skip(
        &mut self,
        peer: &PublisherName,
        skip: Skip,
        tally: &mut ReceivedTally,
        ground: &mut Ground,
    ) -> Result<(), FeedFault> {
        if !self.live {
            return self.on_resume(peer, skip, tally, ground);
        }
        if skip.to.seq <= self.received.seq {
            return if ground.on(Rule::ResumeTold) { Err(self.backwards("SKIP", skip.to)) } else { Ok(()) };
        }
        self.count_missing(peer, skip.dropped, tally, ground);
        self.pending.skip(self.received, skip.to);
        self.received = skip.to;
        Ok(())
    }

    fn count_missing(
        &mut self,
        peer: &PublisherName,
        dropped: u64,
        tally: &mut ReceivedTally,
        ground: &mut Ground,
    ) {
        if dropped > 0 {
            tally.missing = tally.missing.saturating_add(dropped);
            ground.tell(Event::Missing { peer: peer.clone(), count: dropped });
        }
    }

    fn on_resume(
        &mut self,
        peer: &PublisherName,
        skip: Skip,
        tally: &mut ReceivedTally,
        ground: &mut Ground,
    ) -> Result<(), FeedFault> {
        let Some(hello) = &self.hello else { return Err(FeedFault::out_of_turn("SKIP before HELLO")) };
        let (log_id, last_seq) = (hello.log_id, hello.last_seq);
        let state = ground.ledger.feeds.entry(peer.clone()).or_default().clone();
        let (known, cursor) = (state.log_id, state.cursor);
        self.live = true;
        self.received = skip.to;
        self.report.resumed = skip.to.seq;
        if known != Some(log_id) {
            if known.is_some() {
                ground.tell(Event::Repair { peer: peer.clone(), cause: "the peer has a new journal" });
            }
            let anew = FeedState { log_id: Some(log_id), cursor: skip.to, ..FeedState::default() };
            ground.note(Note::Feed { peer: peer.clone(), state: anew });
            self.modes.repair_until = last_seq;
        } else if skip.to.seq < cursor.seq || (skip.to.seq == cursor.seq && skip.to.check != cursor.check) {
            if ground.on(Rule::ResumeTold) {
                let mut back = state.clone();
                back.take_back(skip.to);
                if !ground.on(Rule::OwedCut) {
                    (back.owed, back.rejected) = (state.owed.clone(), state.rejected.clone());
                }
                ground.tell(Event::Repair { peer: peer.clone(), cause: "the feed resumes below the cursor" });
                ground.note(Note::Feed { peer: peer.clone(), state: back });
                self.modes.repair_until = last_seq;
            } else {
                self.received = cursor;
            }
        } else {
            if skip.to.seq > cursor.seq {
                self.count_missing(peer, skip.dropped, tally, ground);
                ground.move_cursor(peer, skip.to);
            }
            if ground.on(Rule::OwedCut)
                && let Some(state) = reread(&ground.ledger.feeds[peer], skip.to)
            {
                ground.note(Note::Feed { peer: peer.clone(), state });
            }
        }
        self.take_up_owed(peer, &state, ground);
        self.report.due = Some(ground.tick());
        Ok(())
    }

    /// What is owed is asked for when it is due; who waited for what is owed no more does not wait on.
    fn take_up_owed(&mut self, peer: &PublisherName, was: &FeedState, ground: &mut Ground) {
        let steady = ground.steady();
        for owed in ground.ledger.feeds[peer].owed.values() {
            let wait = owed.retry_at.since_ms(steady);
            self.due.insert((ground.now.tick.plus_ms(wait), owed.seq));
        }
        let waiting: Vec<(u64, EventKey)> =
            ground.ledger.feeds[peer].owed.values().map(|owed| (owed.seq, owed.key)).collect();
        let owed = &ground.ledger.feeds[peer].owed;
        for gone in was.owed.values().filter(|was| owed.get(&was.seq).is_none_or(|owed| owed.key != was.key))
        {
            ground.intake.stop_waiting(gone.key, peer, gone.seq);
        }
        for (seq, key) in waiting {
            ground.intake.wait(key, peer, seq);
        }
    }

    /// An entry in order begins: false where the peer is out of turn, or where we have passed it and would
    /// not be told (rule `ResumeTold`). More than the window allowed are refused: each may have to be owed.
    pub fn begin(
        &mut self,
        peer: &PublisherName,
        mark: Mark,
        key: EventKey,
        ground: &Ground,
    ) -> Result<bool, FeedFault> {
        let told = ground.on(Rule::ResumeTold);
        let owed = ground.ledger.feeds.get(peer).map_or(0, |state| state.owed.len());
        let beyond = self.pending.carried() + owed >= ground.config.bounds.owed;
        if !self.live {
            return Err(FeedFault::out_of_turn(format!("entry {} before the first SKIP", mark.seq)));
        }
        if beyond && ground.on(Rule::OwedWindow) {
            return Err(FeedFault::out_of_turn(format!("entry {} is beyond the window", mark.seq)));
        }
        if mark.seq <= self.received.seq {
            return if told { Err(self.backwards("entry", mark)) } else { Ok(false) };
        }
        self.pending.push(Pending { mark, before: self.received, key, fate: Fate::Examined });
        self.received = mark;
        Ok(true)
    }

    fn backwards(&self, what: &str, to: Mark) -> FeedFault {
        FeedFault::out_of_turn(format!("{what} {}; expected a seq above {}", to.seq, self.received.seq))
    }

    /// May the peer answer a WANT for `seq`? Only what was asked for is read.
    pub fn take_answer(&mut self, seq: u64) -> Option<EventKey> {
        self.asked.remove(&seq)
    }

    /// An offered entry is not held here: it is asked for after a while, unless a copy comes first.
    pub fn offered(&mut self, offer: Offer, ground: &mut Ground) {
        let now = ground.tick();
        let Some(pending) = self.pending.find(offer.seq) else { return };
        ground.intake.wait_for(&offer);
        let Offer { peer, seq, key, publisher, .. } = offer;
        if !ground.on(Rule::HaveOwed) {
            pending.fate = Fate::Done;
            let (reason, retry_at) = (VerdictCode::InFlight, ground.steady().plus_ms(WANT_DELAY_MS));
            return self.owe(&peer, Owed { seq, key, publisher, reason, retry_at }, ground);
        }
        pending.fate = Fate::Offered { publisher, since: now };
        let delay = if seq <= self.modes.repair_until { 0 } else { WANT_DELAY_MS };
        self.due.insert((now.plus_ms(delay), seq));
    }

    /// The fate of `key`, entry `seq`, is known, whether it came in order, as an answer, or by another peer. Where the
    /// peer has another entry there by now nothing is said of that.
    pub fn conclude(
        &mut self,
        peer: &PublisherName,
        (seq, key): (u64, EventKey),
        verdict: &Verdict,
        tally: &mut ReceivedTally,
        ground: &mut Ground,
    ) {
        let owed = ground.ledger.feeds.get(peer).and_then(|state| state.owed.get(&seq));
        let same = |known: EventKey| known == key || !ground.on(Rule::VerdictKey);
        let was_owed = owed.is_some_and(|owed| same(owed.key));
        let before = match self.pending.find(seq) {
            Some(pending) if !same(pending.key) || !(pending.fate.is_open() || was_owed) => return,
            Some(pending) => {
                pending.fate = Fate::Done;
                pending.before
            }
            None if was_owed => newest_below(&ground.ledger.feeds[peer], seq),
            None => return,
        };
        match verdict {
            // Counted once it is stored.
            Verdict::Accepted => {}
            Verdict::Refused => {
                tally.refused += 1;
                self.report.refused += 1;
            }
            Verdict::Deferred { code, key, publisher, retry_at } => {
                self.report_verdict(seq, *code);
                let owed =
                    Owed { seq, key: *key, publisher: publisher.clone(), reason: *code, retry_at: *retry_at };
                self.owe(peer, owed, ground);
                return;
            }
            Verdict::Rejected { code, detail } => {
                *tally.rejected.entry(*code).or_default() += 1;
                self.report.rejected += 1;
                self.report_verdict(seq, *code);
                ground.tell(Event::NotTaken { peer: peer.clone(), seq, code: *code, detail: detail.clone() });
                if code.is_curable() {
                    let place = RejectedPlace { reason: *code, before, trust: ground.trust.digest() };
                    ground.note(Note::Rejected { peer: peer.clone(), place });
                }
            }
            Verdict::Missing => {
                tally.missing += 1;
                ground.tell(Event::Missing { peer: peer.clone(), count: 1 });
            }
        }
        if was_owed {
            ground.note(Note::Settled { peer: peer.clone(), seq });
        }
        self.report_soon(ground.tick());
    }

    pub fn owe(&mut self, peer: &PublisherName, owed: Owed, ground: &mut Ground) {
        let wait = owed.retry_at.since_ms(ground.steady());
        self.due.insert((ground.tick().plus_ms(wait), owed.seq));
        ground.intake.wait(owed.key, peer, owed.seq);
        ground.note(Note::Owed { peer: peer.clone(), owed });
        self.report_soon(ground.tick());
    }

    /// Moves the cursor past what is done, asks for what is due, and says ACK.
    pub fn pump(&mut self, peer: &PublisherName, ground: &mut Ground) {
        if !self.live {
            return;
        }
        self.advance(peer, ground);
        self.ask(peer, ground);
        self.acknowledge(peer, ground);
    }

    fn advance(&mut self, peer: &PublisherName, ground: &mut Ground) {
        if let Some(to) = self.pending.take_done() {
            ground.move_cursor(peer, to);
        }
    }

    /// Asks for what is due, or writes it down as owed so that the cursor can pass.
    fn ask(&mut self, peer: &PublisherName, ground: &mut Ground) {
        let now = ground.tick();
        while let Some(&(at, seq)) = self.due.first() {
            if at > now || self.is_stuck() {
                return;
            }
            self.due.pop_first();
            let offered = self.pending.find(seq).and_then(|pending| match &pending.fate {
                Fate::Offered { publisher, since } => Some((pending.key, publisher.clone(), *since)),
                _ => None,
            });
            let owed =
                ground.ledger.feeds.get(peer).and_then(|state| state.owed.get(&seq)).map(|owed| owed.key);
            let Some(key) = offered.as_ref().map(|(key, ..)| *key).or(owed) else { continue };
            if let Some((key, publisher, since)) = offered
                && now >= since.plus_ms(OFFERED_HOLD_MS)
            {
                self.pending.find(seq).expect("bug: it was found above").fate = Fate::Done;
                let reason = VerdictCode::InFlight;
                self.owe(peer, Owed { seq, key, publisher, reason, retry_at: ground.steady() }, ground);
                self.advance(peer, ground);
                continue;
            }
            self.ask_one(peer, seq, key, ground);
        }
    }

    /// No WANT can be sent until an answer comes or frames leave.
    fn is_stuck(&self) -> bool {
        self.asked.len() >= WANTS_IN_FLIGHT_MAX || !self.pipe.has_room()
    }

    fn ask_one(&mut self, peer: &PublisherName, seq: u64, key: EventKey, ground: &mut Ground) {
        let now = ground.tick();
        let intake = &ground.intake;
        if let Some(free_at) = intake.flights.until(key, now).or_else(|| intake.next_turn(key, peer, now)) {
            // Another peer is bringing it, or is to be asked before this one again: deferred, never refused.
            self.due.insert((free_at.max(now.plus_ms(1)), seq));
            return;
        }
        self.due.insert((now.plus_ms(IN_FLIGHT_EXPIRES_MS), seq));
        // Asked on this stream already: the answer will come, or the stream will break; others may be asked.
        if let Entry::Vacant(place) = self.asked.entry(seq) {
            place.insert(key);
            ground.intake.flights.asked(key, peer, self.pipe.stream, now);
            self.pipe.send(Frame::Want { seq, key }, ground);
        }
    }

    /// Is there room to read on? Only without the rules that make reading wait for nothing.
    pub fn reads(&self, peer: &PublisherName, ground: &Ground) -> bool {
        let owed = ground.ledger.feeds.get(peer).map_or(0, |state| state.owed.len());
        (ground.on(Rule::ReadFree) || self.pipe.has_room())
            && (ground.on(Rule::OwedWindow) || owed < ground.config.bounds.owed)
    }

    /// The next instant at which `pump` has something to do by itself.
    pub fn timeout(&self) -> Option<Tick> {
        if !self.live {
            return None;
        }
        let silent = self.pipe.last_sent.plus_ms(HEAD_EVERY_MS);
        let report = self.report.due.map_or(silent, |due| due.min(silent));
        let due = self.due.first().map(|(at, _)| *at).filter(|_| !self.is_stuck());
        [Some(report).filter(|_| self.pipe.has_room()), due].into_iter().flatten().min()
    }

    /// Keys of entries that were offered on this stream and are not owed: nobody waits for them any more.
    pub fn open_offers(&self) -> impl Iterator<Item = (u64, EventKey)> {
        let offered = self.pending.open().filter(|pending| matches!(pending.fate, Fate::Offered { .. }));
        offered.map(|pending| (pending.mark.seq, pending.key))
    }
}
