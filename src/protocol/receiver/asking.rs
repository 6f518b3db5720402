//! Sends WANT for entries that were offered and did not come by themselves, and for owed ones. At most so many at once,
//! and never beyond `rate_per_publisher`. Answers are handled elsewhere.

use super::*;

/// Entries that were asked for on this stream and are not answered.
#[derive(Debug, Default)]
pub(super) struct AskedEntries {
    keys: BTreeMap<u64, EventKey>,
    /// The last answer came then, or the oldest WANT left.
    since: Tick,
}

impl AskedEntries {
    /// False if `seq` is asked for already.
    fn add(&mut self, seq: u64, key: EventKey, now: Tick) -> bool {
        if self.keys.is_empty() {
            self.since = now;
        }
        let is_new = !self.keys.contains_key(&seq);
        if is_new {
            self.keys.insert(seq, key);
        }
        is_new
    }

    pub(crate) fn take(&mut self, seq: u64, now: Tick) -> Option<EventKey> {
        let key = self.keys.remove(&seq)?;
        self.since = now;
        Some(key)
    }

    pub(crate) fn late_at(&self) -> Option<Tick> {
        (!self.keys.is_empty()).then(|| self.since.plus_ms(ANSWER_LATE_MS))
    }
}

/// An entry that may be asked for now.
struct Wanted {
    seq: u64,
    key: EventKey,
    digest: CoreDigest,
    publisher: PublisherName,
    /// The mark before it, if it is not owed yet.
    offered_after: Option<Mark>,
    /// The rate of its publisher has a place for it.
    is_paid: bool,
}

impl FeedReceiver {
    /// Asks for what is due, or writes it down as owed so that the cursor can pass.
    pub(super) fn ask(
        &mut self,
        peer: &PublisherName,
        tally: &mut ReceivedTally,
        rates: &mut PublisherRates,
        core: &mut CoreState,
    ) {
        self.owe_held(peer, rates, core);
        while !self.is_stuck()
            && let Some(seq) = self.due.take(core.context.tick())
        {
            // Entries above are named again before the peer may be asked for them (PROTOCOL.md §5.4).
            let is_named = self.look.is_none() || seq <= self.received.seq;
            if let Some(wanted) = self.wanted(peer, seq, &core.disk).filter(|_| is_named) {
                self.ask_one(peer, wanted, tally, rates, core);
            }
        }
        self.advance(peer, &core.context, &mut core.disk);
    }

    /// Writes down as owed each entry that was offered for long enough, so that the cursor can pass. Each costs two
    /// notes, so if a peer answers late or never, it is held to a rate, beyond which the cursor waits.
    fn owe_held(&mut self, peer: &PublisherName, rates: &mut PublisherRates, core: &mut CoreState) {
        let now = core.context.tick();
        while let Some((seq, until)) = self.due.first_held(now) {
            let offered = self.pending.find(seq).and_then(|pending| match &pending.fate {
                EntryFate::Offered { digest, publisher, since }
                    if since.plus_ms(OFFERED_HOLD_MS) == until =>
                {
                    Some((pending.key, *digest, publisher.clone()))
                }
                _ => None,
            });
            let Some((key, digest, publisher)) = offered else {
                self.due.drop_first_held();
                continue;
            };
            if let Err(wait) = rates.owe(now) {
                return self.due.hold_on(now.plus_ms(wait));
            }
            self.due.drop_first_held();
            if let Some(pending) = self.pending.find(seq) {
                pending.fate = EntryFate::Done;
            }
            let (reason, retry_at) = (VerdictCode::InFlight, core.context.steady());
            self.owe(peer, Owed { seq, key, digest, publisher, reason, retry_at }, core);
        }
    }

    fn wanted(&mut self, peer: &PublisherName, seq: u64, disk: &CoreDisk) -> Option<Wanted> {
        if let Some(pending) = self.pending.find(seq)
            && let EntryFate::Offered { digest, publisher, .. } = &pending.fate
        {
            let (key, digest, offered_after) = (pending.key, *digest, Some(pending.before));
            let publisher = publisher.clone();
            return Some(Wanted { seq, key, digest, publisher, offered_after, is_paid: false });
        }
        let owed = disk.ledger.feeds.get(peer)?.owed.get(&seq)?;
        let is_paid = owed.reason == VerdictCode::Rate;
        let (key, digest, publisher) = (owed.key, owed.digest, owed.publisher.clone());
        Some(Wanted { seq, key, digest, publisher, offered_after: None, is_paid })
    }

    /// No WANT can be sent until an answer comes or frames leave.
    pub(super) fn is_stuck(&self) -> bool {
        self.asked.keys.len() >= WANTS_IN_FLIGHT_MAX || !self.pipe.has_room()
    }

    fn ask_one(
        &mut self,
        peer: &PublisherName,
        wanted: Wanted,
        tally: &mut ReceivedTally,
        rates: &mut PublisherRates,
        core: &mut CoreState,
    ) {
        let now = core.context.tick();
        let Wanted { seq, key, digest, publisher, offered_after, is_paid } = wanted;
        let intake = &core.traffic.intake;
        if let Some(free_at) = intake.flights.until(key, now).or_else(|| intake.next_turn(key, peer, now)) {
            // Another peer is bringing it, or is to be asked before this one again: deferred, never refused.
            return self.due_at(seq, free_at.max(now.plus_ms(1)), &core.context);
        }
        // Asked on this stream already: the answer will come, or the stream will break; others may be asked.
        let is_asked = self.asked.keys.contains_key(&seq);
        if !is_paid
            && !is_asked
            && let Err(wait) = pay(&publisher, peer, rates, &core.context, &core.disk)
        {
            let Some(before) = offered_after else {
                return self.due_at(seq, now.plus_ms(wait.max(1)), &core.context);
            };
            let (reason, retry_at) = (VerdictCode::Rate, core.context.steady().plus_ms(wait));
            if let Some(pending) = self.pending.find(seq) {
                pending.fate = EntryFate::Done;
            }
            let owed = Owed { seq, key, digest, publisher, reason, retry_at };
            self.report_verdict(seq, reason);
            return self.defer(peer, before, owed, tally, rates, core);
        }
        self.due_at(seq, now.plus_ms(IN_FLIGHT_EXPIRES_MS), &core.context);
        if self.asked.add(seq, key, now) {
            core.traffic.intake.flights.asked(key, peer, self.pipe.stream, now);
            self.pipe.send(WireFrame::Want { seq, key }, &core.context, &mut core.traffic);
        }
    }

    pub(super) fn due_at(&mut self, seq: u64, at: Tick, context: &CoreContext) {
        without!(context, OneDue => return self.due.add(seq, at));
        self.due.set(seq, at);
    }
}

/// Takes a place in the rate of `publisher` for a request. `Err` with the wait in ms.
fn pay(
    publisher: &PublisherName,
    peer: &PublisherName,
    rates: &mut PublisherRates,
    context: &CoreContext,
    disk: &CoreDisk,
) -> Result<(), u64> {
    without!(context, RateAsked => return Ok(()));
    rates.take(publisher, peer, context, disk)
}
