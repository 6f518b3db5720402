//! Reads a feed again from a place below its cursor, for entries that were deferred and found no owed place. The cursor
//! stays: entries above it come in order, on the next stream, when the look is over. A change of the trust list is
//! different: it takes the cursor back (`place::cured_below`).

use super::*;
use crate::limits::READ_AGAIN_MIN_MS;
use crate::record::{RejectedPlace, RetryCondition};
use crate::time::Timestamp;

/// Times at which a feed is read again are whole multiples of this, in ms.
const READ_AGAIN_STEP_MS: u64 = 60_000;

#[derive(Debug)]
pub(super) struct SecondLook {
    place: RejectedPlace,
    /// Up to here the fate of each entry is known.
    passed: Mark,
    /// The cursor.
    until: u64,
    reached_end: bool,
    /// Before the lowest entry of the place that found no owed place this time either.
    next: Option<(Mark, RetryCondition)>,
    /// More was found lost meanwhile, and may lie at a place already passed.
    again: bool,
    over: bool,
}

impl SecondLook {
    /// Returns the place with the earliest time, if that time has come.
    pub(crate) fn due(state: &FeedState, context: &CoreContext) -> Option<Self> {
        without!(context, ReadAgain => return None);
        let (at, place) = first_due(state)?;
        let look = Self {
            place: place.clone(),
            passed: place.before,
            until: state.cursor.seq,
            reached_end: false,
            next: None,
            again: false,
            over: false,
        };
        (at <= context.steady()).then_some(look)
    }

    /// Is it for entries that were lost here? Then it passes all of them, and counts none.
    pub(crate) fn is_for_losses(&self) -> bool {
        self.place.reason == VerdictCode::InFlight && self.place.publisher.is_none()
    }

    pub(crate) fn from(&self) -> Mark {
        self.place.before
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed.seq
    }

    /// Does the frame that names `seq` lie above the cursor? Then there is nothing more to look at.
    pub(crate) fn ends_before(&mut self, seq: u64) -> bool {
        self.reached_end |= seq >= self.until;
        seq > self.until
    }

    /// Begins at `to`, where the sender resumes: later than asked for if retention took the entries below.
    pub(crate) fn begin_at(&mut self, to: Mark) {
        self.passed = to;
    }

    /// Ends the look when nothing is left at the sender to look at.
    pub(crate) fn end_for_good(self, peer: &PublisherName, context: &CoreContext, disk: &mut CoreDisk) {
        let RejectedPlace { reason, publisher, .. } = self.place;
        disk.note(Note::ReadAgain { peer: peer.clone(), reason, publisher, next: None }, context.tick());
    }
}

/// The place that is to be read again first, and when; those at or above the cursor come in order anyhow.
fn first_due(state: &FeedState) -> Option<(Timestamp, &RejectedPlace)> {
    let places = state.rejected.iter().filter(|place| place.before.seq < state.cursor.seq);
    let timed = places.filter_map(|place| match place.cure {
        RetryCondition::At(at) => Some((at, place)),
        RetryCondition::Trust(_) => None,
    });
    timed.min_by_key(|(at, place)| (*at, place.before.seq))
}

impl FeedReceiver {
    /// Is the feed being read again?
    pub(crate) fn is_looking(&self) -> bool {
        self.look.is_some()
    }

    /// More was found lost.
    pub(crate) fn more_is_lost(&mut self) {
        if let Some(look) = &mut self.look {
            look.again |= look.is_for_losses();
        }
    }

    /// It has been read again: a new stream goes on from the cursor.
    pub(crate) fn is_look_over(&self) -> bool {
        self.look.as_ref().is_some_and(|look| look.over)
    }

    /// When the feed is to be read again; `None` if never, or if it is being read again.
    pub(crate) fn next_look(
        &self,
        peer: &PublisherName,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> Option<Tick> {
        let state = disk.ledger.feeds.get(peer).filter(|_| self.live && self.look.is_none())?;
        without!(context, ReadAgain => return None);
        let (at, _) = first_due(state)?;
        Some(context.tick().plus_ms(at.since_ms(context.steady())))
    }

    /// Notes that everything up to `to` has its fate. Writes down where the next look begins when this one is over.
    pub(super) fn look_passed(
        &mut self,
        peer: &PublisherName,
        to: Option<Mark>,
        context: &CoreContext,
        disk: &mut CoreDisk,
    ) {
        let is_idle = self.pending.is_empty();
        let Some(look) = self.look.as_mut().filter(|look| !look.over) else { return };
        look.passed = to.unwrap_or(look.passed);
        let full = look.next.is_some_and(|(before, _)| look.passed.seq >= before.seq);
        let for_nothing = look.is_for_losses() && !disk.ledger.losses.wants_any();
        look.over = full || is_idle && (look.reached_end || for_nothing);
        if !look.over {
            return;
        }
        if look.again && !for_nothing {
            let again_at = context.steady().plus_ms(READ_AGAIN_MIN_MS);
            look.next = Some((look.place.before, RetryCondition::At(again_at)));
        }
        let RejectedPlace { reason, publisher, .. } = look.place.clone();
        disk.note(Note::ReadAgain { peer: peer.clone(), reason, publisher, next: look.next }, context.tick());
    }

    /// Defers an entry that finds no owed place: the feed is read again later, from `before` at the latest.
    pub(super) fn pass_over(
        &mut self,
        peer: &PublisherName,
        before: Mark,
        owed: Owed,
        tally: &mut ReceivedTally,
        core: &mut CoreState,
    ) {
        let steady = core.context.steady();
        let wait = owed.retry_at.since_ms(steady);
        let cure = match owed.reason {
            VerdictCode::KeyRevoked => RetryCondition::Trust(core.context.trust.digest()),
            // By then half of what is owed has been taken: reading again finds room before all is idle.
            VerdictCode::Rate => RetryCondition::At(steady.plus_ms((wait / 2).max(READ_AGAIN_MIN_MS))),
            // On whole minutes: a place is written down anew each time that its time comes sooner.
            _ => {
                let at = steady.plus_ms(wait.max(READ_AGAIN_MIN_MS)).0;
                RetryCondition::At(Timestamp(at.checked_next_multiple_of(READ_AGAIN_STEP_MS).unwrap_or(at)))
            }
        };
        let Owed { seq, publisher, reason, .. } = owed;
        let kept_for = core.disk.ledger.feeds[peer].rejected.kept_for(reason, &publisher);
        match self
            .look
            .as_mut()
            .filter(|look| (look.place.reason, &look.place.publisher) == (reason, &kept_for))
        {
            Some(look) => {
                let known = look.next.unwrap_or((before, cure));
                let lowest = if before.seq < known.0.seq { before } else { known.0 };
                look.next = Some((lowest, known.1.and(cure)));
            }
            None => {
                let place = RejectedPlace { reason, publisher: Some(publisher.clone()), before, cure };
                self.reject(peer, place, &core.context, &mut core.disk);
            }
        }
        if self.look.is_none() {
            *tally.rejected.entry(reason).or_default() += 1;
            self.report.rejected += 1;
            self.report_verdict(seq, reason);
            let detail = format!("of {publisher}: too many wait already; it is read again later");
            core.traffic.tell(Event::NotTaken { peer: peer.clone(), seq, code: reason, detail });
        }
    }

    /// Remembers where to read again. Writes nothing if nothing changes, or else a peer could fill the journal by
    /// making us reject.
    pub(super) fn reject(
        &mut self,
        peer: &PublisherName,
        place: RejectedPlace,
        context: &CoreContext,
        disk: &mut CoreDisk,
    ) {
        let changes = disk.ledger.feeds.get(peer).is_none_or(|state| state.rejected.changes(&place));
        let note = Note::Rejected { peer: peer.clone(), place };
        without!(context, NotesOnChange => return disk.note(note, context.tick()));
        if changes {
            disk.note(note, context.tick());
        }
    }
}
