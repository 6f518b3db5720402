//! The receiving end of a feed: owns the cursor on the peer's journal (decisions/0017). Every entry in order is
//! pending until its fate is known or it is owed on disk; the cursor follows behind.

mod asking;
mod due;
mod fate;
mod look;
mod modes;
mod pending;
mod place;
mod report;
mod resume;

use std::collections::BTreeMap;

use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::limits::{
    ANSWER_LATE_MS, HEAD_EVERY_MS, IN_FLIGHT_EXPIRES_MS, LAZY_AFTER_DUPLICATES, OFFERED_HOLD_MS,
    WANT_DELAY_MS, WANTS_IN_FLIGHT_MAX,
};
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::failing::FilterFailures;
use crate::protocol::fault::FeedFault;
use crate::protocol::intake::{EnvelopeOffer, FeedEntry, Verdict};
use crate::protocol::io::Event;
use crate::protocol::pipe::FeedPipe;
use crate::protocol::publisher_rates::PublisherRates;
use crate::protocol::rules::without;
use crate::protocol::state::{CoreState, Traffic};
use crate::record::{FeedState, Note, Owed};
use crate::time::{Tick, Timestamp};
use crate::wire::{Hello, Mark, Skip, Subscribe, VerdictCode, Window, WireFrame};
use asking::AskedEntries;
use due::DueQueue;
pub(crate) use fate::is_same_entry;
use look::SecondLook;
use pending::{EntryFate, PendingEntries, PendingEntry};
use place::{cured_below, marks_from, newest_below, window};
use report::AckReport;

/// Counts of the entries that one peer gave to this node since it started (CONTRACT.md §6.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedTally {
    pub accepted: u64,
    pub refused: u64,
    pub missing: u64,
    pub rejected: BTreeMap<VerdictCode, u64>,
    /// The filter of `[receive]`.
    pub failing: FilterFailures,
}

/// Options of a SUBSCRIBE beside resuming.
#[derive(Debug, Default)]
pub(crate) struct SubscribeOptions {
    /// Ask from the newest known place at or below this.
    pub rewind: Option<u64>,
    /// The trust list changed since something was rejected (only without rule `CureLevel`).
    #[cfg(feature = "sim")]
    pub cure_noticed: bool,
    /// The feed may be read again for what was deferred.
    pub may_look: bool,
}

#[derive(Debug)]
pub(crate) struct FeedReceiver {
    pub pipe: FeedPipe,
    pub last_frame: Tick,
    pub hello: Option<Hello>,
    live: bool,
    pending: PendingEntries,
    /// The last place that a frame in order named.
    received: Mark,
    /// When something is to be done about which entry: a WANT, or to write it down as owed.
    due: DueQueue,
    /// The feed is being read again from below the cursor.
    look: Option<SecondLook>,
    asked: AskedEntries,
    modes: FeedModes,
    report: AckReport,
    /// The sender's last seq, and when it stored it.
    head: Option<(u64, Timestamp)>,
}

/// Which publishers are eager, as far as this receiver has asked for it.
#[derive(Debug, Default)]
struct FeedModes {
    eager: BTreeMap<PublisherName, bool>,
    duplicates_in_row: BTreeMap<PublisherName, u32>,
    /// Answers below it are repair and make no publisher eager.
    repair_until: u64,
}

impl FeedReceiver {
    /// We opened a stream: says HELLO and SUBSCRIBE at once.
    pub(crate) fn new(
        mut pipe: FeedPipe,
        peer: &PublisherName,
        wishes: &SubscribeOptions,
        core: &mut CoreState,
    ) -> Self {
        let now = core.context.tick();
        pipe.send(super::sender::hello(&core.context, &core.disk), &core.context, &mut core.traffic);
        let state = core.disk.ledger.feeds.entry(peer.clone()).or_default().clone();
        let cured = cured(&state, wishes, &core.context);
        let from = [wishes.rewind, cured].into_iter().flatten().min();
        let may_look = from.is_none() && wishes.may_look;
        let look = if may_look { SecondLook::due(&state, &core.context) } else { None };
        let from = from.or(look.as_ref().map(|look| look.from().seq));
        let marks = marks_from(&state, from);
        let window = window(&state, &core.context);
        let have_only = from.is_some() || state.log_id.is_none();
        pipe.subscribe(
            WireFrame::Subscribe(Subscribe {
                log_id: state.log_id,
                marks,
                have_only,
                window,
                options: BTreeMap::new(),
            }),
            &core.context,
            &mut core.traffic,
        );
        Self {
            pipe,
            last_frame: now,
            hello: None,
            live: false,
            pending: PendingEntries::default(),
            received: state.cursor,
            due: DueQueue::default(),
            look,
            asked: AskedEntries::default(),
            modes: FeedModes::default(),
            report: AckReport::after(window),
            head: None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    pub(crate) fn head(&self) -> Option<(u64, Timestamp)> {
        self.head
    }

    /// Returns the number of entries with an open fate.
    pub(crate) fn open_count(&self) -> u64 {
        self.pending.open().count() as u64
    }

    pub(crate) fn on_head(&mut self, seq: u64, stored: Timestamp) {
        self.head = Some((seq, stored));
    }

    /// Handles SKIP. The first one says where the sender resumes.
    pub(crate) fn on_skip(
        &mut self,
        peer: &PublisherName,
        skip: Skip,
        tally: &mut ReceivedTally,
        core: &mut CoreState,
    ) -> Result<(), FeedFault> {
        if !self.live {
            return self.on_resume(peer, skip, tally, core);
        }
        if skip.to.seq <= self.received.seq {
            without!(core.context, ResumeTold => return Ok(()));
            return Err(self.backwards("SKIP", skip.to));
        }
        // More than lies there was never there.
        if skip.dropped > skip.to.seq - self.received.seq {
            let (dropped, to, from) = (skip.dropped, skip.to.seq, self.received.seq);
            return Err(FeedFault::out_of_turn(format!("{dropped} dropped between {from} and {to}")));
        }
        self.count_missing(peer, skip.dropped, tally, &mut core.traffic);
        if let Some(look) = &mut self.look {
            look.ends_before(skip.to.seq);
        }
        self.pending.skip(self.received, skip.to);
        self.received = skip.to;
        Ok(())
    }

    fn count_missing(
        &mut self,
        peer: &PublisherName,
        dropped: u64,
        tally: &mut ReceivedTally,
        traffic: &mut Traffic,
    ) {
        if dropped > 0 {
            tally.missing = tally.missing.saturating_add(dropped);
            traffic.tell(Event::Missing { peer: peer.clone(), count: dropped });
        }
    }

    /// Begins an entry in order. Returns false if the peer is out of turn, or if we have passed it and would not be
    /// told (rule `ResumeTold`). More than the window allowed are refused: each may have to be owed.
    pub(crate) fn begin(
        &mut self,
        peer: &PublisherName,
        mark: Mark,
        key: EventKey,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> Result<bool, FeedFault> {
        if !self.live {
            return Err(FeedFault::out_of_turn(format!("entry {} before the first SKIP", mark.seq)));
        }
        if self.is_full(peer, context, disk) {
            return Err(FeedFault::out_of_turn(format!("entry {} is beyond the window", mark.seq)));
        }
        if mark.seq <= self.received.seq {
            without!(context, ResumeTold => return Ok(false));
            return Err(self.backwards("entry", mark));
        }
        if self.look.as_mut().is_some_and(|look| look.ends_before(mark.seq)) {
            return Ok(false);
        }
        self.pending.push(PendingEntry { mark, before: self.received, key, fate: EntryFate::Examined });
        self.received = mark;
        Ok(true)
    }

    fn backwards(&self, what: &str, to: Mark) -> FeedFault {
        FeedFault::out_of_turn(format!("{what} {}; expected a seq above {}", to.seq, self.received.seq))
    }

    /// May the peer answer a WANT for `seq`? Only what was asked for is read.
    pub(crate) fn take_answer(&mut self, seq: u64, now: Tick) -> Option<EventKey> {
        self.asked.take(seq, now)
    }

    /// When the peer will have answered nothing for too long; `None` if nothing is asked for.
    pub(crate) fn answer_late_at(&self) -> Option<Tick> {
        self.asked.late_at()
    }

    /// An offered entry is not held here: it is asked for after a while, unless a copy comes first.
    pub(crate) fn offered(&mut self, offer: EnvelopeOffer, core: &mut CoreState) {
        let now = core.context.tick();
        let EnvelopeOffer { entry: FeedEntry { peer, seq, .. }, key, digest, publisher, .. } = offer;
        let Some(pending) = self.pending.find(seq) else { return };
        core.traffic.intake.wait(key, digest, &peer, seq);
        let owed = core.disk.ledger.feeds.get(&peer).and_then(|state| state.owed.get(&seq));
        if owed.is_some_and(|owed| owed.key == key) {
            // It is read again, and waits for its time.
            pending.fate = EntryFate::Done;
            return;
        }
        without!(core.context, HaveOwed => {
            pending.fate = EntryFate::Done;
            let (reason, retry_at) = (VerdictCode::InFlight, core.context.steady().plus_ms(WANT_DELAY_MS));
            return self.owe(&peer, Owed { seq, key, digest, publisher, reason, retry_at }, core);
        });
        pending.fate = EntryFate::Offered { digest, publisher, since: now };
        let delay = if seq <= self.modes.repair_until { 0 } else { WANT_DELAY_MS };
        self.due.hold(seq, now.plus_ms(OFFERED_HOLD_MS));
        self.due_at(seq, now.plus_ms(delay), &core.context);
    }

    /// Moves the cursor past what is done, asks for what is due, and says ACK.
    pub(crate) fn pump(
        &mut self,
        peer: &PublisherName,
        tally: &mut ReceivedTally,
        rates: &mut PublisherRates,
        core: &mut CoreState,
    ) {
        if !self.live || self.is_look_over() {
            return;
        }
        self.advance(peer, &core.context, &mut core.disk);
        self.ask(peer, tally, rates, core);
        self.acknowledge(peer, &core.context, &core.disk, &mut core.traffic);
    }

    fn advance(&mut self, peer: &PublisherName, context: &CoreContext, disk: &mut CoreDisk) {
        let to = self.pending.take_done();
        if self.look.is_some() {
            self.look_passed(peer, to, context, disk);
        } else if let Some(to) = to {
            disk.move_cursor(peer, to, context.tick());
        }
    }

    /// Does another entry find no place if it has to be owed?
    fn is_full(&self, peer: &PublisherName, context: &CoreContext, disk: &CoreDisk) -> bool {
        without!(context, OwedWindow => return false);
        let owed = disk.ledger.feeds.get(peer).map_or(0, |state| state.owed.len());
        self.pending.carried() + owed >= context.config.bounds.owed
    }

    /// The next instant at which `pump` has something to do by itself.
    pub(crate) fn timeout(&self) -> Option<Tick> {
        if !self.live {
            return None;
        }
        let silent = self.pipe.last_sent.plus_ms(HEAD_EVERY_MS);
        let report = self.report.due.map_or(silent, |due| due.min(silent));
        let due = self.due.first().filter(|_| !self.is_stuck());
        let report = Some(report).filter(|_| self.pipe.has_room());
        [report, due, self.due.held_until(), self.answer_late_at()].into_iter().flatten().min()
    }

    /// Returns the keys of entries that were offered on this stream and are not owed: nothing waits for them any more.
    pub(crate) fn open_offers(&self) -> impl Iterator<Item = (u64, EventKey)> {
        let offered = self.pending.open().filter(|pending| matches!(pending.fate, EntryFate::Offered { .. }));
        offered.map(|pending| (pending.mark.seq, pending.key))
    }
}

/// The seq from which the feed is read again, because a change of trust cured something.
#[cfg_attr(not(feature = "sim"), expect(unused_variables, reason = "asked only without the rule"))]
fn cured(state: &FeedState, wishes: &SubscribeOptions, context: &CoreContext) -> Option<u64> {
    without!(context, CureLevel => if !wishes.cure_noticed {
        return None;
    });
    cured_below(state, context.trust.digest())
}
