//! Consumers: each is a cursor over the journal, like a feed, and takes what it is handed at its own pace
//! (CONTRACT.md §3). The core decides what is handed off and where a consumer resumes; the door writes lines.

mod operator;
mod twins;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::envelope::IdScheme;
use crate::limits::{CONSUMERS_MAX, READ_BYTES, TWINS_MAX};
use crate::policy::{self, ConsumerTerms, NotHandedOff};
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::failing::FilterFailures;
use crate::protocol::io::{
    ConsumerClosed, ConsumerId, ConsumerRequest, DoorOutput, Event, JournalReader, LossCause, Read,
    StartPosition, StoreQuestion,
};
use crate::protocol::rules::without;
use crate::protocol::state::{CoreState, Traffic};
use crate::record::{ConsumerName, Entry, Note, Twin};
use crate::time::{Tick, Timestamp};

use twins::TwinsPassed;

/// How long a connection waits for the older one of the same name to end, in ms.
const NAME_WAIT_MS: u64 = 1_000;

#[derive(Debug, Default)]
pub(crate) struct ConsumerHandoffs {
    open: BTreeMap<ConsumerId, ConsumerHandoff>,
    /// Connections that wait for their name.
    waiting: Vec<(ConsumerId, ConsumerRequest, Tick)>,
    /// The last entry that the receiver of a connection holds, if it lost the ones behind it.
    holds: BTreeMap<ConsumerId, u64>,
    /// Filters of named consumers that are gone.
    failing: BTreeMap<ConsumerName, FilterFailures>,
    pub tally: HandoffTally,
}

/// Counts since the start, over all consumers.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandoffTally {
    pub handed: u64,
    /// An earlier entry with the same content id was handed off instead.
    pub same_content: u64,
    pub expired: u64,
    /// It is sealed, and none of this node's names is among its recipients.
    pub sealed_for_others: u64,
    /// The consumer's filter does not admit it, or has no answer.
    pub filtered: u64,
    pub filter_failed: u64,
}

#[derive(Debug)]
struct ConsumerHandoff {
    request: ConsumerRequest,
    start: Start,
    /// The last entry that was looked at.
    scanned: u64,
    /// The last entry that this connection was handed; 0 for none.
    handed: u64,
    /// The last of those that is acknowledged.
    acked: u64,
    /// Begin with the first entry that arrived at or after this.
    not_before: Option<Timestamp>,
    ready: bool,
    reading: bool,
    finishing: bool,
    failing: FilterFailures,
    twins: TwinsPassed,
    /// Entries that could not be read: where each stretch of them ends, and how many. Counted as missing when the
    /// position passes them, so that they are counted once.
    lost: Vec<(u64, u64)>,
}

/// The place at which a connection begins.
#[derive(Debug)]
struct Start {
    after: u64,
    /// Up to here the receiver had everything, and lost what comes behind `after`.
    had: u64,
    /// The generation of its position; 0 if it has no name.
    generation: u64,
}

impl ConsumerHandoffs {
    pub(crate) fn on_opened(&mut self, id: ConsumerId, request: ConsumerRequest, core: &mut CoreState) {
        if let Some(name) = &request.name {
            if self.in_use(name) {
                self.waiting.push((id, request, core.context.tick().plus_ms(NAME_WAIT_MS)));
                return;
            }
            if !core.disk.ledger.consumers.contains_key(name)
                && core.disk.ledger.consumers.len() >= CONSUMERS_MAX
            {
                core.traffic.emit(DoorOutput::ConsumerClosed { consumer: id, why: ConsumerClosed::TooMany });
                return;
            }
        }
        self.start(id, request, core);
    }

    /// Opens a connection to a receiver that proved to hold nothing beyond `holds`, even if its position is higher.
    pub(crate) fn on_opened_at(
        &mut self,
        id: ConsumerId,
        request: ConsumerRequest,
        holds: u64,
        core: &mut CoreState,
    ) {
        self.holds.insert(id, holds);
        self.on_opened(id, request, core);
    }

    fn in_use(&self, name: &ConsumerName) -> bool {
        self.open.values().any(|handoff| handoff.request.name.as_ref() == Some(name))
    }

    fn start(&mut self, id: ConsumerId, request: ConsumerRequest, core: &mut CoreState) {
        let known = request.name.as_ref().and_then(|name| core.disk.ledger.consumers.get(name)).cloned();
        // Only this connection goes back. The position stays: after a crash the receiver says again what it holds.
        let holds = self.holds.remove(&id).unwrap_or(u64::MAX);
        let had = known.as_ref().map_or(0, |position| position.seq);
        let default = if request.name.is_some() { StartPosition::Earliest } else { StartPosition::Now };
        let (after, not_before) = match (&known, request.from.unwrap_or(default)) {
            (Some(position), _) => (position.seq.min(holds), None),
            (None, StartPosition::Earliest) => (core.disk.ends.floor.seq, None),
            (None, StartPosition::Now) => (core.disk.ends.last.seq, None),
            (None, StartPosition::Seq(seq)) => (seq.saturating_sub(1).max(core.disk.ends.floor.seq), None),
            (None, StartPosition::Time(time)) => (core.disk.ends.floor.seq, Some(time)),
        };
        if let Some(position) = &known
            && request.from.is_some()
        {
            core.traffic.emit(DoorOutput::FromIgnored { consumer: id, position: position.seq });
        }
        if let Some(name) = &request.name
            && known.is_none_or(|position| position.own != request.own)
        {
            core.note(Note::Position { consumer: name.clone(), seq: after, own: request.own });
        }
        let position = request.name.as_ref().and_then(|name| core.disk.ledger.consumers.get(name));
        let generation = position.map_or(0, |position| position.generation);
        if request.name.is_some() {
            core.traffic.emit(DoorOutput::ConsumerBegan { consumer: id, generation });
        }
        let handoff = ConsumerHandoff {
            request,
            start: Start { after, had, generation },
            scanned: after,
            handed: 0,
            acked: 0,
            not_before,
            ready: true,
            reading: false,
            finishing: false,
            failing: FilterFailures::default(),
            twins: TwinsPassed::after(after),
            lost: Vec::new(),
        };
        if let Some(name) = &handoff.request.name {
            self.failing.remove(name);
        }
        self.open.insert(id, handoff);
    }

    pub(crate) fn on_ready(&mut self, id: ConsumerId, core: &mut CoreState) {
        let Some(handoff) = self.open.get_mut(&id) else { return };
        handoff.ready = true;
        if !handoff.request.acks {
            handoff.acked = handoff.handed;
            handoff.moved(core);
        }
    }

    pub(crate) fn on_acked(&mut self, id: ConsumerId, seq: u64, core: &mut CoreState) {
        let Some(handoff) = self.open.get_mut(&id) else { return };
        without!(core.context, AckClamped => {
            handoff.scanned = handoff.scanned.max(seq);
            handoff.handed = handoff.handed.max(seq);
        });
        let seq = seq.min(handoff.handed);
        if seq > handoff.acked {
            handoff.acked = seq;
            handoff.moved(core);
        }
    }

    pub(crate) fn on_finished(&mut self, id: ConsumerId, disk: &mut CoreDisk, traffic: &mut Traffic) {
        if let Some(handoff) = self.open.get_mut(&id) {
            handoff.finishing = true;
            disk.appender.close_consumer(id);
        } else {
            traffic.emit(DoorOutput::ConsumerClosed { consumer: id, why: ConsumerClosed::Synced });
        }
    }

    pub(crate) fn on_gone(&mut self, id: ConsumerId, core: &mut CoreState) {
        if let Some(ConsumerHandoff { request: ConsumerRequest { name: Some(name), .. }, failing, .. }) =
            self.open.remove(&id)
            && failing.count > 0
        {
            self.failing.insert(name, failing);
        }
        self.waiting.retain(|(waiting, ..)| *waiting != id);
        self.holds.remove(&id);
        self.admit_waiting(core);
    }

    fn admit_waiting(&mut self, core: &mut CoreState) {
        let mut at = 0;
        while let Some((_, request, _)) = self.waiting.get(at) {
            if request.name.as_ref().is_some_and(|name| self.in_use(name)) {
                at += 1;
            } else {
                let (id, request, _) = self.waiting.remove(at);
                self.start(id, request, core);
            }
        }
    }

    pub(crate) fn on_entries(&mut self, id: ConsumerId, read: Read, core: &mut CoreState) {
        let Some(handoff) = self.open.get_mut(&id) else { return };
        handoff.reading = false;
        if read.lost > 0 && read.after.seq > handoff.scanned {
            handoff.lost.push((read.after.seq, read.lost));
        }
        without!(core.context, LossCounted => handoff.lost.clear());
        handoff.scanned = handoff.scanned.max(read.after.seq);
        let mut entries = Vec::with_capacity(read.entries.len());
        for entry in read.entries {
            if entry.seq <= handoff.scanned {
                continue;
            }
            handoff.scanned = entry.seq;
            if handoff.takes(&entry, &mut self.tally, &core.context, &core.disk) {
                handoff.handed = entry.seq;
                entries.push(entry);
            }
        }
        let again = entries.iter().filter(|entry| entry.seq <= handoff.start.had).count() as u64;
        if let Some(name) = handoff.request.name.clone().filter(|_| again > 0) {
            core.traffic.tell(Event::ConsumerAgain { consumer: name, count: again });
        }
        if entries.is_empty() {
            handoff.moved(core);
        } else {
            self.tally.handed += entries.len() as u64;
            handoff.ready = false;
            core.traffic.emit(DoorOutput::HandOff { consumer: id, entries });
        }
    }

    /// Reads on for consumers that are ready, and turns away those that waited too long for a name.
    pub(crate) fn pump(&mut self, context: &CoreContext, disk: &CoreDisk, traffic: &mut Traffic) {
        for (id, handoff) in &mut self.open {
            let more = handoff.scanned < disk.ends.last.seq && handoff.is_placed(disk);
            if handoff.ready && !handoff.reading && !handoff.finishing && more {
                handoff.reading = true;
                let reader = JournalReader::Consumer(*id);
                traffic.emit(StoreQuestion::Read {
                    reader,
                    after_seq: handoff.scanned,
                    bytes_max: READ_BYTES,
                });
            }
        }
        let now = context.tick();
        self.waiting.retain(|(id, _, until)| {
            if now >= *until {
                traffic.emit(DoorOutput::ConsumerClosed { consumer: *id, why: ConsumerClosed::Busy });
            }
            now < *until
        });
    }

    pub(crate) fn timeout(&self) -> Option<Tick> {
        self.waiting.iter().map(|(.., until)| *until).min()
    }

    /// Closes all connections. If something was not durable, it is not acknowledged: its consumer gets no answer.
    pub(crate) fn close_all(&mut self, why: ConsumerClosed, traffic: &mut Traffic) {
        let waiting = std::mem::take(&mut self.waiting);
        let open = std::mem::take(&mut self.open);
        for id in open.into_keys().chain(waiting.into_iter().map(|(id, ..)| id)) {
            traffic.emit(DoorOutput::ConsumerClosed { consumer: id, why });
        }
    }

    /// Nothing since the last durable record was written: positions go on from there, acks count again.
    pub(crate) fn on_not_stored(&mut self, core: &mut CoreState) {
        // The operator moved these, and that did not happen.
        let unplaced: Vec<ConsumerId> = self
            .open
            .iter()
            .filter(|(_, handoff)| !handoff.is_placed(&core.disk))
            .map(|(id, _)| *id)
            .collect();
        for consumer in unplaced {
            self.open.remove(&consumer);
            core.traffic.emit(DoorOutput::ConsumerClosed { consumer, why: ConsumerClosed::Rewound });
        }
        for handoff in self.open.values_mut() {
            handoff.finishing = false;
            // If a consumer came since, its name is not known any more.
            if let Some(name) = &handoff.request.name
                && !core.disk.ledger.consumers.contains_key(name)
            {
                let (seq, own) = (handoff.start.after, handoff.request.own);
                core.note(Note::Position { consumer: name.clone(), seq, own });
            }
            handoff.moved(core);
        }
    }

    /// Returns the request of the connection with this name.
    pub(crate) fn request(&self, name: &ConsumerName) -> Option<&ConsumerRequest> {
        let mut open = self.open.values().map(|handoff| &handoff.request);
        open.find(|request| request.name.as_ref() == Some(name))
    }

    /// How its filter fails, or failed while it was last connected.
    pub(crate) fn failing(&self, name: &ConsumerName) -> FilterFailures {
        let open = self.open.values().find(|handoff| handoff.request.name.as_ref() == Some(name));
        open.map(|handoff| &handoff.failing).or(self.failing.get(name)).cloned().unwrap_or_default()
    }
}

impl ConsumerHandoff {
    /// Returns whether the generation of its position is on disk. Or else a crash could bring back the one before, and
    /// the next one would be mistaken for this.
    fn is_placed(&self, disk: &CoreDisk) -> bool {
        let durable = self.request.name.as_ref().and_then(|name| disk.durable.consumers.get(name));
        self.start.generation == durable.map_or(0, |position| position.generation)
    }

    /// Is this entry for the consumer?
    fn takes(
        &mut self,
        entry: &Arc<Entry>,
        tally: &mut HandoffTally,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> bool {
        if self.not_before.is_some_and(|time| entry.arrived < time) || self.had_before(entry, disk) {
            return false;
        }
        let terms = terms(&self.request, entry, context);
        let (own, now) = (context.trust.own_names(), context.clock.trusted(context.now));
        if let Err(why) = policy::hand_off(entry.envelope.core(), &entry.path, own, terms, now) {
            self.pass_over(entry, why, tally, context);
            return false;
        }
        let twin_handed =
            |twin: &Twin| terms.allows_publisher(&twin.id.publisher, own) && self.was_admitted(twin);
        let was_handed = entry.twins.iter().any(twin_handed);
        let is_crowded = entry.twins.len() >= TWINS_MAX;
        if is_crowded && self.twins.had_crowded(entry.envelope.id().uuid) || was_handed {
            tally.same_content += 1;
            return false;
        }
        true
    }

    /// Does this entry make up for one that was lost here after the consumer had it?
    fn had_before(&self, entry: &Entry, disk: &CoreDisk) -> bool {
        let Some(loss) = disk.ledger.losses.made_up_by(entry.envelope.key(), entry.seq) else {
            return false;
        };
        let name = self.request.name.as_ref();
        if name.is_some_and(|name| loss.had_by.contains(name)) {
            return true;
        }
        let acked = name.and_then(|name| disk.ledger.consumers.get(name)).map(|position| position.seq);
        // Entries that this connection came to before it broke, and has not acknowledged.
        let passed_over = |(at, count): &(u64, u64)| loss.seq <= *at && loss.seq + count > *at;
        acked.unwrap_or(0).max(self.start.after) < loss.seq && !self.lost.iter().any(passed_over)
    }

    fn pass_over(
        &mut self,
        entry: &Entry,
        why: NotHandedOff,
        tally: &mut HandoffTally,
        context: &CoreContext,
    ) {
        match why {
            NotHandedOff::Own => return,
            NotHandedOff::Sealed => return tally.sealed_for_others += 1,
            NotHandedOff::Expired => return tally.expired += 1,
            NotHandedOff::Filter => tally.filtered += 1,
            NotHandedOff::FilterFailed(failure) => {
                tally.filter_failed += 1;
                self.failing.note(failure, context.now.wall);
            }
        }
        if entry.envelope.core().ids == IdScheme::Content {
            self.twins.remember(entry.seq);
        }
    }

    /// Returns whether the filter admitted this earlier entry with the same content. If that is not known, the answer
    /// is no: better the content twice than never.
    fn was_admitted(&self, twin: &Twin) -> bool {
        match &self.request.filter {
            Some(filter) if filter.reads_meta() => self.twins.was_admitted(twin.seq),
            _ => true,
        }
    }

    /// The position follows the acks, and what was not for the consumer behind them.
    fn moved(&mut self, core: &mut CoreState) {
        let Some(name) = &self.request.name else { return };
        let to = if self.acked >= self.handed { self.scanned } else { self.acked };
        let durable = core.disk.durable.consumers.get(name).map_or(0, |position| position.seq);
        self.lost.retain(|(at, _)| *at > durable);
        for (at, count) in self.lost.iter().copied().filter(|(at, _)| *at <= to) {
            let Some(position) = core.disk.ledger.consumers.get(name).cloned() else { return };
            if position.seq < at {
                // Entries before were acknowledged.
                let (consumer, own) = (name.clone(), position.own);
                core.note(Note::Position { consumer, seq: at - count, own });
                core.note(Note::Missing { consumer: name.clone(), to: at, count });
                let cause = LossCause::Damage;
                core.traffic.tell(Event::ConsumerMissing { consumer: name.clone(), count, cause });
            }
        }
        if let Some(position) = core.disk.ledger.consumers.get_mut(name)
            && to > position.seq
        {
            core.disk.ledger.losses.acked(name, position.seq, to);
            position.seq = to;
            core.disk.appender.moved_position(name, core.context.now.tick);
        }
    }
}

/// The terms of `request` for `entry`.
#[cfg_attr(not(feature = "sim"), expect(unused_variables, reason = "asked only without the rule"))]
fn terms<'a>(request: &'a ConsumerRequest, entry: &Entry, context: &CoreContext) -> ConsumerTerms<'a> {
    let terms = request.terms();
    without!(context, OwnByPublisher => {
        return ConsumerTerms { own: terms.own || !entry.path.is_empty(), ..terms };
    });
    terms
}
