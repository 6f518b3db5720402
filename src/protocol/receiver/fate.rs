//! Applies the fate of an entry: it is settled, owed, or remembered as rejected, and reported. `intake` decides the
//! fate.

use super::*;
use crate::policy::NotReceived;
use crate::protocol::intake::{Deferral, Rejection, Retry};
use crate::record::{RejectedPlace, RetryCondition};

impl FeedReceiver {
    /// Applies the fate of `key`, entry `seq`, whether it came in order, as an answer, or by another peer. If the peer
    /// has another entry there by now, nothing is said of that one.
    pub(crate) fn settle(
        &mut self,
        peer: &PublisherName,
        (seq, key): (u64, EventKey),
        verdict: &Verdict,
        tally: &mut ReceivedTally,
        rates: &mut PublisherRates,
        core: &mut CoreState,
    ) {
        let owed = core.disk.ledger.feeds.get(peer).and_then(|state| state.owed.get(&seq));
        let same = |known: EventKey| is_same_entry(known, key, &core.context);
        let owed = owed.filter(|owed| same(owed.key)).cloned();
        let before = match self.pending.find(seq) {
            Some(pending) if !same(pending.key) || !(pending.fate.is_open() || owed.is_some()) => return,
            Some(pending) => {
                pending.fate = EntryFate::Done;
                pending.before
            }
            None if owed.is_some() => newest_below(&core.disk.ledger.feeds[peer], seq),
            None => return,
        };
        match verdict {
            // Counted once it is stored.
            Verdict::Accepted => {}
            // If it is read again, it was counted before.
            Verdict::Refused if self.look.is_some() && owed.is_none() => {}
            Verdict::Refused => {
                tally.refused += 1;
                self.report.refused += 1;
            }
            Verdict::Rejected { why, detail } => {
                let (code, retry) = why.into();
                self.report_verdict(seq, code);
                if let Retry::Later(Deferral { digest, publisher, until }) = retry {
                    let (digest, publisher, retry_at) = (*digest, publisher.clone(), *until);
                    let owed = Owed { seq, key, digest, publisher, reason: code, retry_at };
                    return self.defer(peer, before, owed, tally, rates, core);
                }
                *tally.rejected.entry(code).or_default() += 1;
                self.report.rejected += 1;
                if let Rejection::NotReceived(NotReceived::FilterFailed(failure)) = why {
                    tally.failing.note(failure.clone(), core.context.now.wall);
                }
                core.traffic.tell(Event::NotTaken { peer: peer.clone(), seq, code, detail: detail.clone() });
                if retry == Retry::AfterChange {
                    let cure = RetryCondition::Trust(core.context.trust.digest());
                    let place = RejectedPlace { reason: code, publisher: None, before, cure };
                    self.reject(peer, place, &core.context, &mut core.disk);
                }
            }
            Verdict::Missing => self.count_missing(peer, 1, tally, &mut core.traffic),
        }
        if let Some(owed) = owed {
            if owed.reason == VerdictCode::Rate && matches!(verdict, Verdict::Refused | Verdict::Missing) {
                rates.give_back(&owed.publisher, &core.context);
            }
            core.note(Note::Settled { peer: peer.clone(), seq });
        }
        self.report_soon(core.context.tick());
    }

    /// Not now: it is owed, if its reason and publisher have a place for it, or else the feed is read again later.
    pub(super) fn defer(
        &mut self,
        peer: &PublisherName,
        before: Mark,
        owed: Owed,
        tally: &mut ReceivedTally,
        rates: &mut PublisherRates,
        core: &mut CoreState,
    ) {
        let state = &core.disk.ledger.feeds[peer];
        if has_place(state, &owed, &core.context) {
            if owed.reason == VerdictCode::Rate {
                rates.reserve(&owed.publisher, &core.context);
            }
            return self.owe(peer, owed, core);
        }
        let (seq, key) = (owed.seq, owed.key);
        let was_owed = state.owed.contains_key(&seq);
        self.pass_over(peer, before, owed, tally, core);
        core.traffic.intake.stop_waiting(key, peer, seq);
        if was_owed {
            core.note(Note::Settled { peer: peer.clone(), seq });
        }
        self.report_soon(core.context.tick());
    }

    pub(crate) fn owe(&mut self, peer: &PublisherName, owed: Owed, core: &mut CoreState) {
        let wait = owed.retry_at.since_ms(core.context.steady());
        self.due_at(owed.seq, core.context.tick().plus_ms(wait), &core.context);
        core.traffic.intake.wait(owed.key, owed.digest, peer, owed.seq);
        core.note(Note::Owed { peer: peer.clone(), owed });
        self.report_soon(core.context.tick());
    }
}

/// Is the entry that has a verdict still the one that is known under its seq?
pub(crate) fn is_same_entry(known: EventKey, key: EventKey, context: &CoreContext) -> bool {
    without!(context, VerdictKey => return true);
    known == key
}

/// Do its reason and publisher have an owed place for it?
fn has_place(state: &FeedState, owed: &Owed, context: &CoreContext) -> bool {
    without!(context, OwedShare => return true);
    state.owed.has_place(owed, context.config.bounds.deferred())
}
