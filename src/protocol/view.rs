//! A view of the core at an instant: facts for status, no judgement.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::PublisherName;
use crate::policy::WithheldReason;
use crate::protocol::failing::FilterFailures;
use crate::protocol::handoff::HandoffTally;
use crate::protocol::io::ConsumerRequest;
use crate::protocol::link::{ContactState, PeerSession};
use crate::protocol::node::Node;
use crate::protocol::obstacle::Obstacle;
use crate::protocol::sent::SentExceptions;
use crate::record::{ConsumerName, JournalEnds, Position};
use crate::time::{Tick, Timestamp};
use crate::wire::{VerdictCode, VerdictNumber};

#[derive(Clone, Debug)]
pub struct NodeView {
    pub ends: JournalEnds,
    pub floor: Option<Timestamp>,
    pub steady: Timestamp,
    pub clock_off: bool,
    pub disk_full: bool,
    pub peers: Vec<PeerView>,
    pub consumers: Vec<ConsumerView>,
    pub handoffs: HandoffTally,
    /// How many identities were signed twice, by publisher.
    pub equivocations: BTreeMap<PublisherName, u64>,
}

#[derive(Clone, Debug)]
pub struct PeerView {
    pub name: PublisherName,
    /// Its keys are revoked, by itself or by this node's operator.
    pub revoked: bool,
    pub contact: ContactState,
    /// Is the feed to them, or from them, running?
    pub sends: bool,
    pub receives: bool,
    pub sent: SentView,
    pub received: ReceivedView,
    pub facts: FactsView,
}

#[derive(Clone, Debug)]
pub struct SentView {
    /// `None` until the peer acknowledged something since the start.
    pub position: Option<u64>,
    /// The last entry that was decided on, acknowledged or not; `None` while no feed runs.
    pub looked_at: Option<u64>,
    /// Entries that the feed passed and the peer does not have.
    pub exceptions: Arc<SentExceptions>,
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    pub deferred: u64,
    pub rejected: u64,
    pub withheld: BTreeMap<WithheldReason, u64>,
    /// Of the rejected ones, those that the peer's own policy does not want.
    pub not_wanted: u64,
    pub failing: FilterFailures,
    pub last_rejection: Option<VerdictNumber>,
}

#[derive(Clone, Debug)]
pub struct ReceivedView {
    pub position: u64,
    /// `None` if the peer's end is not known.
    pub lag_events: Option<u64>,
    /// When the peer stored its newest entry.
    pub head_stored: Option<Timestamp>,
    pub accepted: u64,
    pub refused: u64,
    pub missing: u64,
    pub owed: u64,
    /// Entries between arrival and verdict.
    pub open: u64,
    pub rejected: BTreeMap<VerdictCode, u64>,
    pub failing: FilterFailures,
}

#[derive(Clone, Debug)]
pub struct FactsView {
    pub last_error: Option<String>,
    pub skew_ms: Option<i64>,
    pub software: Option<String>,
    /// The name that the peer gave last, if it is not that of its file here.
    pub called: Option<PublisherName>,
    pub down_cause: Option<String>,
    pub was_connected: bool,
    /// Obstacles, worst first.
    pub obstacles: Vec<Obstacle>,
    /// How long ago the last frame of any feed with it came, in ms.
    pub last_frame_ms_ago: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct ConsumerView {
    pub name: ConsumerName,
    pub position: Position,
    pub lag_events: u64,
    /// Its request; `None` if it is not connected.
    pub request: Option<ConsumerRequest>,
    pub failing: FilterFailures,
}

impl ConsumerView {
    pub const fn connected(&self) -> bool {
        self.request.is_some()
    }
}

impl Node {
    pub fn view(&self) -> NodeView {
        let ground = &self.ground;
        let last = ground.ends.last.seq;
        let consumers = ground.durable.consumers.iter().map(|(name, position)| ConsumerView {
            name: name.clone(),
            position: position.clone(),
            lag_events: last.saturating_sub(position.seq),
            request: self.handoffs.request(name).cloned(),
            failing: self.handoffs.failing(name),
        });
        let equivocations = ground.ledger.equivocations.iter();
        NodeView {
            ends: ground.ends,
            floor: ground.ledger.floor,
            steady: ground.steady(),
            clock_off: ground.clock.is_off(),
            disk_full: self.is_stalled(),
            peers: self.links.values().map(|link| self.peer_view(link, ground.tick())).collect(),
            consumers: consumers.collect(),
            handoffs: self.handoffs.tally,
            equivocations: equivocations.map(|(name, known)| (name.clone(), known.len() as u64)).collect(),
        }
    }

    /// Nothing created before it is taken.
    /// Returns the position of a consumer, as it is on disk.
    pub fn position(&self, name: &ConsumerName) -> Option<u64> {
        self.ground.durable.consumers.get(name).map(|position| position.seq)
    }

    pub fn floor(&self) -> Timestamp {
        self.ground.ledger.floor.unwrap_or_default()
    }

    /// How far each feed has got, by peer.
    pub fn feed_states(&self) -> impl Iterator<Item = (&PublisherName, &crate::record::FeedState)> {
        self.ground.durable.feeds.iter()
    }

    fn peer_view(&self, link: &PeerSession, now: Tick) -> PeerView {
        let ground = &self.ground;
        let name = &link.peer.name;
        let state = ground.ledger.feeds.get(name);
        let cursor = ground.durable.feeds.get(name).map_or(0, |state| state.cursor.seq);
        let head = link.receiver.as_ref().and_then(|receiver| receiver.head());
        let sent = &link.tally.sent;
        let unacked = link.sender.as_ref().map_or(0, |sender| sender.unacked());
        let received = &link.tally.received;
        PeerView {
            name: name.clone(),
            contact: link.contact.state.clone(),
            revoked: link.peer.revoked,
            sends: link.sender.as_ref().is_some_and(|sender| sender.is_live()),
            receives: link.receiver.as_ref().is_some_and(|receiver| receiver.is_live()),
            sent: SentView {
                position: sent.acked,
                looked_at: link.sender.as_ref().and_then(|sender| sender.looked_at()),
                exceptions: Arc::clone(&sent.exceptions),
                // If an entry was lost with its stream, it is sent again: it counts once, when its fate is known.
                offered: sent.accepted + sent.refused + sent.rejected + sent.deferred + unacked,
                accepted: sent.accepted,
                refused: sent.refused,
                deferred: sent.deferred,
                rejected: sent.rejected,
                withheld: sent.withheld.clone(),
                not_wanted: sent.not_wanted,
                failing: sent.failing.clone(),
                last_rejection: sent.last_rejection.map(|(_, said)| said),
            },
            received: ReceivedView {
                position: cursor,
                lag_events: head.map(|(seq, _)| seq.saturating_sub(cursor)),
                head_stored: head.map(|(_, stored)| stored).filter(|stored| stored.0 > 0),
                accepted: received.accepted,
                refused: received.refused,
                missing: received.missing,
                owed: state.map_or(0, |state| state.owed.len() as u64),
                open: link.receiver.as_ref().map_or(0, |receiver| receiver.open_count()),
                rejected: received.rejected.clone(),
                failing: received.failing.clone(),
            },
            facts: FactsView {
                last_error: link.facts.last_error.clone(),
                skew_ms: link.facts.skew_ms,
                software: link.facts.software.clone(),
                called: link.facts.called.clone(),
                down_cause: link.facts.down_cause.clone(),
                was_connected: link.facts.was_connected,
                obstacles: link.facts.obstacles.all(now),
                last_frame_ms_ago: link.last_frame().map(|last| now.since_ms(last)),
            },
        }
    }
}
