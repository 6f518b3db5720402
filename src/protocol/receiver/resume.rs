//! Where the sender resumes, and what follows for cursor, debts and remembered rejections (PROTOCOL.md §5.2).

use super::*;

impl FeedReceiver {
    /// The first SKIP.
    pub(super) fn on_resume(
        &mut self,
        peer: &PublisherName,
        skip: Skip,
        tally: &mut ReceivedTally,
        core: &mut CoreState,
    ) -> Result<(), FeedFault> {
        let Some(hello) = &self.hello else { return Err(FeedFault::out_of_turn("SKIP before HELLO")) };
        let (log_id, first_seq, last_seq) = (hello.log_id, hello.first_seq, hello.last_seq);
        let state = core.disk.ledger.feeds.entry(peer.clone()).or_default().clone();
        self.live = true;
        self.received = skip.to;
        self.report.resumed = skip.to.seq;
        if state.log_id != Some(log_id) {
            if state.log_id.is_some() {
                core.traffic.tell(Event::Repair { peer: peer.clone(), cause: "the peer has a new journal" });
            }
            self.look = None;
            let anew = FeedState { log_id: Some(log_id), cursor: skip.to, ..FeedState::default() };
            core.note(Note::Feed { peer: peer.clone(), state: anew });
            self.modes.repair_until = last_seq;
        } else if self.looks_from(peer, skip, &state, tally, core) {
            self.modes.repair_until = last_seq;
        } else if skip.to.seq < state.cursor.seq
            || (skip.to.seq == state.cursor.seq && skip.to.check != state.cursor.check)
        {
            self.on_taken_back(peer, skip.to, &state, core);
            self.modes.repair_until = last_seq;
        } else {
            let passed = skip.to.seq - state.cursor.seq;
            self.count_missing(peer, skip.dropped.min(passed), tally, &mut core.traffic);
            resume_at(peer, skip.to, &state, &core.context, &mut core.disk);
        }
        if self.look.is_none() && first_seq > skip.to.seq {
            forget_below(peer, skip.to, &core.context, &mut core.disk);
        }
        self.take_up_owed(peer, &state, &core.context, &core.disk, &mut core.traffic);
        self.report.due = Some(core.context.tick());
        Ok(())
    }

    /// Begins to read again at the place asked for, or at a later one if retention took the entries below. If the
    /// sender resumes elsewhere, it has another history by now, or nothing left to look at: then the look is given up.
    fn looks_from(
        &mut self,
        peer: &PublisherName,
        skip: Skip,
        state: &FeedState,
        tally: &mut ReceivedTally,
        core: &mut CoreState,
    ) -> bool {
        let Some(mut look) = self.look.take() else { return false };
        let (from, to) = (look.from(), skip.to);
        if to.seq < from.seq || (to.seq == from.seq && to.check != from.check) {
            return false;
        }
        // Some of them may be held: how many the sender does not say.
        if !look.is_for_losses() {
            let passed = to.seq.min(state.cursor.seq) - from.seq;
            self.count_missing(peer, skip.dropped.min(passed), tally, &mut core.traffic);
        }
        if to.seq >= state.cursor.seq {
            look.end_for_good(peer, &core.context, &mut core.disk);
            return false;
        }
        look.begin_at(to);
        self.look = Some(look);
        true
    }

    fn on_taken_back(&mut self, peer: &PublisherName, to: Mark, state: &FeedState, core: &mut CoreState) {
        without!(core.context, ResumeTold => return self.received = state.cursor);
        core.traffic.tell(Event::Repair { peer: peer.clone(), cause: "the feed resumes below the cursor" });
        resume_at(peer, to, state, &core.context, &mut core.disk);
    }

    /// Asks for owed entries when they are due, and waits no more for those that are not owed any more.
    fn take_up_owed(
        &mut self,
        peer: &PublisherName,
        was: &FeedState,
        context: &CoreContext,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) {
        let steady = context.steady();
        let owed: Vec<Owed> = disk.ledger.feeds[peer].owed.values().cloned().collect();
        for gone in was.owed.values() {
            let owed = disk.ledger.feeds[peer].owed.get(&gone.seq);
            if owed.is_none_or(|owed| owed.key != gone.key) {
                traffic.intake.stop_waiting(gone.key, peer, gone.seq);
            }
        }
        for owed in owed {
            self.due_at(owed.seq, context.now.tick.plus_ms(owed.retry_at.since_ms(steady)), context);
            traffic.intake.wait(owed.key, owed.digest, peer, owed.seq);
        }
    }
}

/// Forgets rejected places below `to`, where the sender has nothing left; entries above come again in order. A place
/// that stayed would be asked for with each SUBSCRIBE, and never reached.
fn forget_below(peer: &PublisherName, to: Mark, context: &CoreContext, disk: &mut CoreDisk) {
    let places = disk.ledger.feeds[peer].rejected.iter().filter(|place| place.before.seq < to.seq);
    let gone: Vec<_> = places.map(|place| (place.reason, place.publisher.clone())).collect();
    for (reason, publisher) in gone {
        disk.note(Note::ReadAgain { peer: peer.clone(), reason, publisher, next: None }, context.tick());
    }
}

/// Cursor, debts and rejections as they are once the sender resumes at `to`: in one record. None, if nothing changes.
fn resume_at(peer: &PublisherName, to: Mark, state: &FeedState, context: &CoreContext, disk: &mut CoreDisk) {
    let mut resumed = state.clone();
    resumed.resume(to);
    without!(context, OwedCut => {
        (resumed.owed, resumed.rejected) = (state.owed.clone(), state.rejected.clone());
        if resumed != *state {
            disk.note(Note::Feed { peer: peer.clone(), state: resumed }, context.tick());
        }
        return;
    });
    if resumed != *state {
        disk.note(Note::Resumed { peer: peer.clone(), to }, context.tick());
    }
}
