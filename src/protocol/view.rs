//! A view of the core at an instant: facts for status, no judgement.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::PublisherName;
use crate::protocol::handoff::HandoffTally;
use crate::protocol::io::ConsumerRequest;
use crate::protocol::link::{ContactState, PeerSession};
use crate::protocol::node::Node;
use crate::protocol::sent::SentExceptions;
use crate::record::{ConsumerName, JournalEnds};
use crate::status::{ConsumerStatus, PeerState, PeerStatus, ReceivedStatus, SentStatus};
use crate::time::Timestamp;

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

/// One peer. The files and the watches of the daemon complete its status.
#[derive(Clone, Debug)]
pub struct PeerView {
    pub status: PeerStatus,
    /// Is the feed to them, or from them, running?
    pub sends: bool,
    pub receives: bool,
    /// The last entry that was decided on, acknowledged or not; `None` while no feed runs.
    pub looked_at: Option<u64>,
    /// Entries that the feed to them passed and the peer does not have.
    pub exceptions: Arc<SentExceptions>,
    /// When the peer stored its newest entry.
    pub head_stored: Option<Timestamp>,
    /// Entries between arrival and verdict.
    pub open: u64,
}

#[derive(Clone, Debug)]
pub struct ConsumerView {
    pub name: ConsumerName,
    pub status: ConsumerStatus,
    /// It also gets what this node publishes.
    pub own: bool,
    /// Its request; `None` if it is not connected.
    pub request: Option<ConsumerRequest>,
}

impl Node {
    /// Returns the figures that `status` shows.
    pub fn view(&self) -> NodeView {
        let core = &self.core;
        let last = core.disk.ends.last.seq;
        let consumers = core.disk.durable.consumers.iter().map(|(name, position)| {
            let request = self.handoffs.request(name).cloned();
            let status = ConsumerStatus {
                name: name.to_string(),
                position: position.seq,
                lag_events: Some(last.saturating_sub(position.seq)),
                lag_s: None,
                filter_failing: self.handoffs.failing(name).shown(),
                not_converted: None,
                connected: request.is_some(),
                missing: position.missing,
                missing_at: None,
            };
            ConsumerView { name: name.clone(), status, own: position.own, request }
        });
        let equivocations = core.disk.ledger.equivocations.iter();
        NodeView {
            ends: core.disk.ends,
            floor: core.disk.ledger.floor,
            steady: core.context.steady(),
            clock_off: core.context.clock.is_off(),
            disk_full: self.is_stalled(),
            peers: self.links.values().map(|link| self.peer_view(link)).collect(),
            consumers: consumers.collect(),
            handoffs: self.handoffs.tally,
            equivocations: equivocations.map(|(name, known)| (name.clone(), known.len() as u64)).collect(),
        }
    }

    /// Returns the position of a consumer, as it is on disk.
    pub fn position(&self, name: &ConsumerName) -> Option<u64> {
        self.core.disk.durable.consumers.get(name).map(|position| position.seq)
    }

    /// Nothing created before it is taken.
    pub fn floor(&self) -> Timestamp {
        self.core.disk.ledger.floor.unwrap_or_default()
    }

    /// How far each feed has got, by peer.
    pub fn feed_states(&self) -> impl Iterator<Item = (&PublisherName, &crate::record::FeedState)> {
        self.core.disk.durable.feeds.iter()
    }

    fn peer_view(&self, link: &PeerSession) -> PeerView {
        let (facts, now) = (&link.facts, self.core.context.now);
        let (connected, since, address) = match &link.contact.state {
            ContactState::Up { since, address } => (true, *since, Some(address.clone())),
            ContactState::Down { since } | ContactState::Dialing { since } => (false, *since, None),
        };
        let head = link.receiver.as_ref().and_then(|receiver| receiver.head());
        let open = link.receiver.as_ref().map_or(0, |receiver| receiver.open_count());
        let status = PeerStatus {
            name: link.peer.name.clone(),
            state: match link.peer.paused {
                _ if link.peer.revoked => PeerState::Revoked,
                true => PeerState::Paused,
                false => PeerState::Trusted,
            },
            verified: false,
            connected,
            since: Some(since),
            address,
            addresses: Vec::new(),
            publisher_only: link.peer.publisher_only,
            was_connected: facts.was_connected,
            down_cause: facts.down_cause.clone().filter(|_| !connected),
            stands_since: None,
            skew_ms: facts.skew_ms,
            software: facts.software.clone(),
            last_frame: link.last_frame().map(|last| now.wall.minus_ms(now.tick.since_ms(last))),
            last_event: None,
            expect_every_s: None,
            contact: None,
            sent: self.sent_status(link),
            received: self.received_status(link, head.map(|(seq, _)| seq), open),
            fault: facts.obstacles.worst(now.tick).map(|obstacle| obstacle.as_fault(facts.called.as_ref())),
            last_error: facts.last_error.clone(),
        };
        PeerView {
            status,
            sends: link.sender.as_ref().is_some_and(|sender| sender.is_live()),
            receives: link.receiver.as_ref().is_some_and(|receiver| receiver.is_live()),
            looked_at: link.sender.as_ref().and_then(|sender| sender.looked_at()),
            exceptions: Arc::clone(&link.tally.sent.exceptions),
            head_stored: head.map(|(_, stored)| stored).filter(|stored| stored.0 > 0),
            open,
        }
    }

    fn sent_status(&self, link: &PeerSession) -> SentStatus {
        let sent = &link.tally.sent;
        let last = self.core.disk.ends.last.seq;
        let unacked = link.sender.as_ref().map_or(0, |sender| sender.unacked());
        SentStatus {
            position: sent.acked,
            lag_events: sent.acked.map(|position| last.saturating_sub(position)),
            lag_s: None,
            // If an entry was lost with its stream, it is sent again: it counts once, when its fate is known.
            offered: sent.accepted + sent.refused + sent.rejected + sent.deferred + unacked,
            accepted: sent.accepted,
            refused: sent.refused,
            deferred: sent.deferred,
            rejected: sent.rejected,
            withheld: sent.withheld.values().sum(),
            withheld_why: sent
                .withheld
                .iter()
                .map(|(why, count)| (why.as_str().to_owned(), *count))
                .collect(),
            filter_failing: sent.failing.shown(),
            rejected_wrongly: sent.rejected.saturating_sub(sent.not_wanted),
            rejected_at: None,
            rejected_why: sent.last_rejection.map(|(_, said)| said.to_string()),
        }
    }

    fn received_status(&self, link: &PeerSession, head: Option<u64>, open: u64) -> ReceivedStatus {
        let (name, received) = (&link.peer.name, &link.tally.received);
        let position = self.core.disk.durable.feeds.get(name).map_or(0, |state| state.cursor.seq);
        let owed = self.core.disk.ledger.feeds.get(name).map_or(0, |state| state.owed.len() as u64);
        let rejected: u64 = received.rejected.values().sum();
        ReceivedStatus {
            position: Some(position),
            lag_events: head.map(|head| head.saturating_sub(position)),
            lag_s: None,
            offered: received.accepted + received.refused + rejected + received.missing + owed + open,
            accepted: received.accepted,
            refused: received.refused,
            deferred: owed,
            rejected,
            missing: received.missing,
            owed,
            filter_failing: received.failing.shown(),
            missing_at: None,
        }
    }
}
