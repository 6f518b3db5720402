//! The sending end of a feed: a cursor over our journal for one peer, a policy and a window (PROTOCOL.md §5).
//! Keeps nothing that must survive: the receiver owns the cursor.

mod tally;
mod wants;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::envelope::StatedKeys;
use crate::identity::{EventKey, IdentityKey, PublisherName};
use crate::limits::{
    HEAD_EVERY_MS, OWED_PER_FEED_MAX, PEERS_MAX, READ_BYTES, SKIP_EVERY_MS, SKIP_SCANNED_MAX,
    WINDOW_ENVELOPES_MAX,
};
use crate::policy::{self, Peer, WithheldReason};
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::fault::FeedFault;
use crate::protocol::io::{JournalReader, Read, StoreQuestion, Ticket, TransportOutput};
use crate::protocol::pipe::{FeedPipe, sized};
use crate::protocol::rules::without;
use crate::protocol::state::Traffic;
use crate::record::Entry;
use crate::time::Tick;
use crate::wire::{AckFrame, CarrierFrame, FaultCode, Have, Hello, Mark, Skip, Subscribe, Window, WireFrame};
pub(crate) use tally::SentTally;
use wants::PendingWants;

#[derive(Debug)]
pub(crate) struct FeedSender {
    pub pipe: FeedPipe,
    pub last_frame: Tick,
    phase: SenderPhase,
    reading: Option<ReadPurpose>,
    wants: PendingWants,
    /// Which publishers are pushed and which are only offered, if it is not the default.
    modes: BTreeMap<PublisherName, bool>,
    /// Identity keys with statements that the peer has to see before the next carrier.
    to_show: BTreeSet<IdentityKey>,
    /// The running counts of the last ACK.
    counted: (u64, u64, u64),
    next_head: Tick,
    /// The stream waits for `Resume` (only without rule `ReadFree`).
    #[cfg(feature = "sim")]
    unread: bool,
}

#[derive(Debug)]
enum SenderPhase {
    AwaitSubscribe,
    /// The store compares the marks of SUBSCRIBE. Later frames of the peer are handled after the first SKIP.
    Checking {
        ticket: Ticket,
        subscribe: Box<Subscribe>,
        held: Vec<WireFrame>,
    },
    Live(LiveSender),
}

#[derive(Debug)]
struct LiveSender {
    /// The last entry that was looked at.
    position: Mark,
    /// The last place that the receiver knows we have passed.
    told: Mark,
    told_at: Tick,
    queue: VecDeque<Arc<Entry>>,
    /// Frames in order that are not acknowledged: seq and bytes.
    unacked: VecDeque<(u64, u32)>,
    unacked_bytes: u64,
    window: Window,
    /// Up to here everything is only offered.
    have_until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadPurpose {
    Feed,
    Want,
}

enum SendDecision {
    /// It came from the peer on the connection that stands.
    Pass,
    Withhold(WithheldReason),
    Offer,
    Push,
}

impl FeedSender {
    /// The peer opened a stream and its HELLO was accepted.
    pub(crate) fn new(pipe: FeedPipe, now: Tick) -> Self {
        Self {
            pipe,
            last_frame: now,
            phase: SenderPhase::AwaitSubscribe,
            reading: None,
            wants: PendingWants::new(now),
            modes: BTreeMap::new(),
            to_show: BTreeSet::new(),
            counted: (0, 0, 0),
            next_head: now,
            #[cfg(feature = "sim")]
            unread: false,
        }
    }

    /// Frames were read: reads on, without waiting for room to answer (rule `ReadFree`).
    pub(crate) fn read_on(&mut self, context: &CoreContext, traffic: &mut Traffic) {
        without!(context, ReadFree => {
            self.unread = self.wants.are_open() && !self.pipe.has_room();
            if self.unread {
                return;
            }
        });
        traffic.emit(TransportOutput::Resume { stream: self.pipe.stream });
    }

    pub(crate) fn on_subscribe(
        &mut self,
        subscribe: Subscribe,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) -> Result<(), FeedFault> {
        if !matches!(self.phase, SenderPhase::AwaitSubscribe) {
            return Err(FeedFault::out_of_turn("a second SUBSCRIBE; expected one for each stream"));
        }
        if let Some(number) = subscribe.critical_option() {
            let detail = format!("option {number} of SUBSCRIBE");
            return Err(FeedFault { code: FaultCode::NotBuilt, detail });
        }
        let same_log = subscribe.log_id == Some(disk.ends.log_id);
        let marks = if same_log { subscribe.marks.clone() } else { Vec::new() };
        let ticket = traffic.ticket();
        self.phase = SenderPhase::Checking { ticket, subscribe: Box::new(subscribe), held: Vec::new() };
        traffic.emit(StoreQuestion::CheckMarks { ticket, marks });
        Ok(())
    }

    /// Keeps `frames` until the first SKIP is sent, if the place where this feed resumes is still looked up. So an
    /// ACK behind SUBSCRIBE is judged the same however long that takes (PROTOCOL.md §5.2).
    pub(crate) fn holds(&mut self, frames: &mut VecDeque<WireFrame>) -> bool {
        let SenderPhase::Checking { held, .. } = &mut self.phase else { return false };
        held.extend(frames.drain(..));
        true
    }

    /// The store compared the cursor's marks with the journal: the feed goes on from the newest that agrees,
    /// or from the floor (PROTOCOL.md §5.2). Returns that place, and the frames that waited for it; `None` if this
    /// answers another question.
    pub(crate) fn on_marks_checked(
        &mut self,
        answered: Ticket,
        agrees: Option<Mark>,
        context: &CoreContext,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) -> Option<(u64, Vec<WireFrame>)> {
        let SenderPhase::Checking { ticket, subscribe, held } = &mut self.phase else { return None };
        if *ticket != answered {
            return None;
        }
        let held = std::mem::take(held);
        let floor = disk.ends.floor;
        let same_log = subscribe.log_id == Some(disk.ends.log_id);
        let agrees = agrees.filter(|mark| mark.seq >= floor.seq);
        let (at, dropped) = match (agrees, subscribe.marks.first()) {
            (Some(mark), _) => (mark, 0),
            (None, Some(cursor)) if same_log => (floor, floor.seq.saturating_sub(cursor.seq)),
            (None, _) => (floor, 0),
        };
        let repair = agrees.is_none() || subscribe.have_only;
        let now = context.tick();
        let live = LiveSender {
            position: at,
            told: at,
            told_at: now,
            queue: VecDeque::new(),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            window: bounded(subscribe.window),
            have_until: if repair { disk.ends.last.seq } else { 0 },
        };
        self.pipe.send(WireFrame::Skip(Skip { to: at, dropped }), context, traffic);
        self.phase = SenderPhase::Live(live);
        self.next_head = now;
        Some((at.seq, held))
    }

    pub(crate) fn on_ack(&mut self, ack: &AckFrame, tally: &mut SentTally) -> Result<(), FeedFault> {
        let SenderPhase::Live(live) = &mut self.phase else { return Err(before_subscribe("ACK")) };
        if ack.seq > live.position.seq {
            let detail = format!("ACK of seq {}; this stream has reached {}", ack.seq, live.position.seq);
            return Err(FeedFault::out_of_turn(detail));
        }
        // Of what was never named nothing can be said.
        let named = 1..=live.position.seq;
        if let Some((seq, code)) = ack.verdicts.iter().find(|(seq, _)| !named.contains(seq)) {
            let reached = live.position.seq;
            let detail = format!("verdict {code} of seq {seq}; this stream has reached {reached}");
            return Err(FeedFault::out_of_turn(detail));
        }
        while let Some((_, bytes)) = live.unacked.pop_front_if(|(seq, _)| *seq <= ack.seq) {
            live.unacked_bytes -= u64::from(bytes);
        }
        live.window = bounded(ack.window);
        tally.acknowledged(
            ack,
            std::mem::replace(&mut self.counted, (ack.accepted, ack.refused, ack.rejected)),
        );
        tally.hear(ack, live.position.seq);
        Ok(())
    }

    pub(crate) fn on_mode(&mut self, publisher: PublisherName, eager: bool) {
        if self.modes.len() < PEERS_MAX || self.modes.contains_key(&publisher) {
            self.modes.insert(publisher, eager);
        }
    }

    pub(crate) fn on_entries(&mut self, read: Read, context: &CoreContext, traffic: &mut Traffic) {
        match self.reading.take() {
            Some(ReadPurpose::Want) => {
                self.on_wanted_entries(read, context, traffic);
            }
            Some(ReadPurpose::Feed) => {
                let SenderPhase::Live(live) = &mut self.phase else { return };
                if read.after.seq > live.position.seq {
                    // Retention took what lay between: the receiver counts it as missing.
                    let dropped = read.after.seq - live.position.seq;
                    live.position = read.after;
                    live.told = read.after;
                    self.pipe.send(WireFrame::Skip(Skip { to: read.after, dropped }), context, traffic);
                }
                live.queue.extend(read.entries);
            }
            None => {}
        }
    }

    /// Sends the statements of `signer` before any carrier that is sent from now on.
    pub(crate) fn show(&mut self, signer: IdentityKey) {
        self.to_show.insert(signer);
    }

    /// As many as there is room for: all of them at once could be more than a stream may have waiting.
    fn show_statements(&mut self, context: &CoreContext, disk: &CoreDisk, traffic: &mut Traffic) {
        while self.pipe.has_room()
            && let Some(signer) = self.to_show.pop_first()
        {
            let stated = disk.ledger.statements.of_signer(signer);
            let frames = stated.into_iter().flat_map(StatedKeys::all);
            let frames: Vec<_> = frames.map(|said| WireFrame::KeyStatement(said.bytes().clone())).collect();
            frames.into_iter().for_each(|frame| self.pipe.send(frame, context, traffic));
        }
    }

    /// Sends what there is to send and room for.
    pub(crate) fn pump(
        &mut self,
        peer: &Peer,
        came: &mut BTreeSet<u64>,
        tally: &mut SentTally,
        context: &CoreContext,
        disk: &CoreDisk,
        traffic: &mut Traffic,
    ) {
        self.show_statements(context, disk, traffic);
        // While statements are left to show, no room is given, so that no carrier overtakes them.
        self.answer_wants(peer, tally, context, traffic);
        #[cfg(feature = "sim")]
        if self.unread {
            self.read_on(context, traffic);
        }
        let mut live = match std::mem::replace(&mut self.phase, SenderPhase::AwaitSubscribe) {
            SenderPhase::Live(live) => live,
            other => {
                self.phase = other;
                return;
            }
        };
        self.send_in_order(&mut live, peer, came, tally, context, traffic);
        if live.queue.is_empty() && self.reading.is_none() && live.position.seq < disk.ends.last.seq {
            self.read(ReadPurpose::Feed, live.position.seq, READ_BYTES, traffic);
        }
        self.send_skip(&mut live, context, traffic);
        if context.tick() >= self.next_head {
            let last = disk.ends.last.seq;
            self.pipe.send(WireFrame::Head { seq: last, stored: disk.ends.newest }, context, traffic);
            self.next_head = context.tick().plus_ms(HEAD_EVERY_MS);
        }
        self.phase = SenderPhase::Live(live);
    }

    fn read(&mut self, purpose: ReadPurpose, after_seq: u64, bytes_max: usize, traffic: &mut Traffic) {
        self.reading = Some(purpose);
        let reader = JournalReader::Feed(self.pipe.stream);
        traffic.emit(StoreQuestion::Read { reader, after_seq, bytes_max });
    }

    fn send_in_order(
        &mut self,
        live: &mut LiveSender,
        peer: &Peer,
        came: &mut BTreeSet<u64>,
        tally: &mut SentTally,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        while let Some(entry) = live.queue.front() {
            let decision = decide(entry, peer, came, live.have_until, &self.modes, context);
            let frame = match decision {
                SendDecision::Pass => None,
                SendDecision::Withhold(reason) => {
                    tally.withhold(entry, reason, peer, context);
                    None
                }
                SendDecision::Offer => Some(WireFrame::Have(have(entry))),
                SendDecision::Push => Some(WireFrame::Carrier(carrier(entry, context.own_name()))),
            };
            let mark = entry.mark();
            if let Some(frame) = frame {
                let (frame, size) = sized(frame, context);
                let bytes = u32::try_from(size).unwrap_or(u32::MAX);
                if !self.pipe.has_room() || !live.takes(bytes) {
                    return;
                }
                live.unacked.push_back((mark.seq, bytes));
                live.unacked_bytes += u64::from(bytes);
                live.told = mark;
                live.told_at = context.tick();
                self.pipe.send_sized((frame, size), context, traffic);
            }
            came.remove(&mark.seq);
            live.position = mark;
            live.queue.pop_front();
        }
    }

    fn send_skip(&mut self, live: &mut LiveSender, context: &CoreContext, traffic: &mut Traffic) {
        let scanned = live.position.seq - live.told.seq;
        let due = scanned >= SKIP_SCANNED_MAX || context.tick() >= live.told_at.plus_ms(SKIP_EVERY_MS);
        if scanned > 0 && due && self.pipe.has_room() {
            live.told = live.position;
            live.told_at = context.tick();
            self.pipe.send(WireFrame::Skip(Skip { to: live.position, dropped: 0 }), context, traffic);
        }
    }

    /// Entries that were sent in order and are not acknowledged.
    pub(crate) fn unacked(&self) -> u64 {
        if let SenderPhase::Live(live) = &self.phase { live.unacked.len() as u64 } else { 0 }
    }

    /// The last entry that was looked at.
    pub(crate) fn looked_at(&self) -> Option<u64> {
        if let SenderPhase::Live(live) = &self.phase { Some(live.position.seq) } else { None }
    }

    /// The next instant at which `pump` has something to do by itself.
    pub(crate) fn timeout(&self) -> Option<Tick> {
        let SenderPhase::Live(live) = &self.phase else { return None };
        let has_skip = live.position.seq > live.told.seq && self.pipe.has_room();
        let skip = has_skip.then(|| live.told_at.plus_ms(SKIP_EVERY_MS));
        let want = self.wants.wait_until().filter(|_| self.pipe.has_room());
        [Some(self.next_head), skip, want].into_iter().flatten().min()
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, SenderPhase::Live(_))
    }
}

impl LiveSender {
    /// Is there room in the window for one more frame of `bytes`? The first always fits.
    fn takes(&self, bytes: u32) -> bool {
        let count = self.unacked.len() as u64;
        if count >= u64::from(self.window.envelopes) {
            return false;
        }
        count == 0 || self.unacked_bytes + u64::from(bytes) <= u64::from(self.window.bytes)
    }
}

fn shared(entry: &Entry, peer: &Peer, context: &CoreContext) -> Result<(), WithheldReason> {
    let core = entry.envelope.core();
    without!(context, HomeLabel => if peer.has_name(&core.id.publisher) && core.tlp >= policy::Tlp::Amber {
        return Err(WithheldReason::TlpHop);
    });
    policy::share(core, &entry.path, context.trust.own_names(), peer, context.clock.trusted(context.now))
}

fn decide(
    entry: &Entry,
    peer: &Peer,
    came: &BTreeSet<u64>,
    have_until: u64,
    modes: &BTreeMap<PublisherName, bool>,
    context: &CoreContext,
) -> SendDecision {
    let from_peer = entry.source().is_some_and(|source| peer.has_name(source));
    if from_peer && came.contains(&entry.seq) {
        return SendDecision::Pass;
    }
    without!(context, OfferSource => if from_peer {
        return SendDecision::Pass;
    });
    if let Err(reason) = shared(entry, peer, context) {
        return SendDecision::Withhold(reason);
    }
    let publisher = entry.envelope.publisher();
    let in_path = peer.is_among(entry.path.hops());
    let home = peer.has_name(publisher);
    if entry.seq <= have_until || in_path || home {
        return SendDecision::Offer;
    }
    let eager = modes.get(publisher).copied().unwrap_or(context.is_own(publisher));
    if eager { SendDecision::Push } else { SendDecision::Offer }
}

fn have(entry: &Entry) -> Have {
    Have {
        seq: entry.seq,
        check: entry.check,
        created: entry.envelope.core().created,
        publisher: entry.envelope.publisher().clone(),
        key: entry.envelope.key(),
        digest: entry.digest(),
    }
}

fn carrier(entry: &Entry, own_name: &PublisherName) -> CarrierFrame {
    CarrierFrame {
        seq: entry.seq,
        check: entry.check,
        // A path that is full is never sent (`WithheldReason::Hops`), except home, where it may stay as it is.
        path: entry.path.with(own_name).unwrap_or_else(|| entry.path.clone()),
        envelope: entry.envelope.bytes().clone(),
    }
}

fn before_subscribe(kind: &str) -> FeedFault {
    FeedFault::out_of_turn(format!("{kind} before SUBSCRIBE"))
}

/// No window is larger than ours ever are: it bounds what is kept of entries that wait for an ACK.
fn bounded(window: Window) -> Window {
    Window { envelopes: window.envelopes.min(WINDOW_ENVELOPES_MAX), ..window }
}

/// Returns the HELLO of this node, with the state of our journal.
pub(crate) fn hello(context: &CoreContext, disk: &CoreDisk) -> WireFrame {
    let own = disk.ledger.statements.of(context.trust.own_key());
    WireFrame::Hello(Box::new(Hello {
        name: context.own_name().clone(),
        federation: context.config.federation.clone(),
        version_min: crate::wire::WIRE_VERSION_MIN,
        version_max: crate::wire::WIRE_VERSION_MAX,
        software: context.config.software.clone(),
        instance: context.config.instance,
        log_id: disk.ends.log_id,
        first_seq: disk.ends.first_seq(),
        last_seq: disk.ends.last.seq,
        now: context.now.wall,
        capabilities: Vec::new(),
        key_statements: own.into_iter().flat_map(StatedKeys::all).map(|said| said.bytes().clone()).collect(),
    }))
}
