//! Turns the events of libp2p and the ends of streams' tasks into inputs of the core.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError};

use super::super::address_book::key_text;
use super::super::connection_gate::not_allowed;
use super::super::feed::{FeedReport, FeedStream, HandlerReport};
use super::super::peer_link::{Early, LinkState, PeerLink, Tell};
use super::super::pump::StreamPump;
use super::super::queue::FeedQueue;
use super::super::swarm::BehaviourEvent;
use super::{NOT_OURS, PeerAnnouncement, PeerConnection, Served, TransportEngine, root_cause};
use crate::clock;
use crate::limits::CONNECTIONS_PER_PEER_MAX;
use crate::protocol::io::{DialFailure, Role, StreamId, TransportInput};

impl TransportEngine {
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Feeds(report)) => self.on_feed(report),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                let cause = cause.map_or_else(|| "closed here".to_owned(), |error| root_cause(&error));
                self.on_closed(peer_id, connection_id, cause);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.on_incoming_failed(&send_back_addr, &error);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_dial_failed(peer, error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                if let Some(count) = self.quiet.not_accepted.allow(clock::now().tick) {
                    tracing::warn!(%error, count, "a connection was not accepted");
                }
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "no longer listening");
            }
            _ => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        self.proved.take(&id);
        let name = self.shared.book().allowed(&id).cloned();
        if let Some(link) = self.peers.get_mut(&id) {
            link.dialling &= !endpoint.is_dialer();
        }
        // The list may have changed after the gate let it in; under a new name the old one must go first.
        let known = |link: &PeerLink| name.as_ref() == Some(&link.name);
        let (true, Some(name)) = (self.peers.get(&id).is_none_or(known), name.clone()) else {
            self.swarm.close_connection(connection);
            return self.dial_came_to_nothing(id, "the peer was removed, paused or renamed");
        };
        let link = self.peers.entry(id).or_insert_with(|| PeerLink::new(name));
        link.connections.push(connection);
        let record = PeerConnection {
            peer: id,
            address: endpoint.get_remote_address().to_string(),
            activity: self.activity.fresh(),
            streams: HashMap::new(),
        };
        self.connections.insert(connection, record);
        self.close_silent(id);
        self.tell(id);
    }

    /// Beyond two connections the one that was silent longest goes: it may be dead without anybody knowing.
    fn close_silent(&mut self, id: PeerId) {
        let of_peer = self.peers.get(&id).map_or(&[][..], |link| &link.connections);
        if of_peer.len() <= CONNECTIONS_PER_PEER_MAX {
            return;
        }
        let heard = |id: &ConnectionId| self.connections.get(id).map_or(0, |record| record.activity.heard());
        if let Some(silent) = of_peer.iter().copied().min_by_key(heard) {
            self.swarm.close_connection(silent);
        }
    }

    fn on_closed(&mut self, id: PeerId, connection: ConnectionId, cause: String) {
        if let Some(record) = self.connections.remove(&connection) {
            record.streams.values().for_each(|queue| queue.connection_gone(&cause));
        }
        let Some(link) = self.peers.get_mut(&id) else { return };
        let opening = link.opening.take_if(|opening| *opening == connection).map(|_| link.name.clone());
        link.on_closed(connection, cause.clone());
        if let Some(peer) = opening {
            self.say(TransportInput::FeedNotOpened { peer, cause });
        }
        self.tell(id);
    }

    /// Tells the core what it has not heard of a peer, in the order that it relies on.
    fn tell(&mut self, id: PeerId) {
        while let Some((name, tell)) =
            self.peers.get_mut(&id).and_then(|link| Some((link.name.clone(), link.next_told()?)))
        {
            match tell {
                Tell::Disconnected(cause) => self.say(TransportInput::Disconnected { peer: name, cause }),
                Tell::Connected(connection) => {
                    let record = self.connections.get(&connection);
                    let address = record.map(|record| record.address.clone()).unwrap_or_default();
                    self.say(TransportInput::Connected { peer: name, address });
                    self.start_early(id);
                }
            }
        }
        self.forget_idle(id);
    }

    fn start_early(&mut self, id: PeerId) {
        let early = self.peers.get_mut(&id).map(|link| std::mem::take(&mut link.early)).unwrap_or_default();
        for Early { connection, stream, role } in early {
            self.start_feed(id, connection, stream, role);
        }
    }

    fn on_feed(&mut self, FeedReport { peer, connection, report }: FeedReport) {
        let Some(link) = self.peers.get_mut(&peer) else { return };
        match report {
            HandlerReport::Opened(stream) => {
                // What was asked for on a connection that is gone was answered when it went.
                if link.opening.take_if(|opening| *opening == connection).is_some() {
                    self.start_feed(peer, connection, stream, Role::Receiver);
                }
            }
            HandlerReport::NotOpened(cause) => {
                if link.opening.take_if(|opening| *opening == connection).is_some() {
                    let peer = link.name.clone();
                    self.say(TransportInput::FeedNotOpened { peer, cause });
                }
            }
            HandlerReport::Inbound(stream) if link.told == LinkState::Connected => {
                self.start_feed(peer, connection, stream, Role::Sender);
            }
            HandlerReport::Inbound(stream) => {
                link.early.push(Early { connection, stream, role: Role::Sender })
            }
        }
    }

    fn start_feed(&mut self, id: PeerId, connection: ConnectionId, stream: FeedStream, role: Role) {
        let (Some(link), Some(record)) = (self.peers.get_mut(&id), self.connections.get_mut(&connection))
        else {
            return;
        };
        if !link.leaving.is_empty() {
            return;
        }
        let feed = StreamId(self.next_stream);
        self.next_stream += 1;
        let queue = Arc::new(FeedQueue::default());
        record.streams.insert(feed, Arc::clone(&queue));
        link.streams += 1;
        self.shared.insert_stream(feed, Arc::clone(&queue));
        let pump =
            StreamPump { id: feed, queue, answers: self.answers.clone(), activity: record.activity.clone() };
        let (start, announced) = oneshot::channel();
        let input = TransportInput::FeedOpened { peer: link.name.clone(), stream: feed, role };
        self.outbox.push_back(PeerAnnouncement { input, then: Some(start) });
        let task = self.tasks.spawn(pump.run(stream, announced));
        self.served.insert(task.id(), Served { peer: id, connection, stream: feed });
    }

    pub(super) fn on_task_ended(&mut self, ended: Result<Id, JoinError>) {
        let task = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "bug: the task of a feed stream failed; please report");
            error.id()
        });
        let Some(Served { peer, connection, stream }) = self.served.remove(&task) else { return };
        self.shared.remove_stream(stream);
        if let Some(record) = self.connections.get_mut(&connection) {
            record.streams.remove(&stream);
        }
        if let Some(link) = self.peers.get_mut(&peer) {
            link.streams = link.streams.saturating_sub(1);
        }
        self.left(peer, stream);
        self.tell(peer);
    }

    fn on_incoming_failed(&mut self, from: &Multiaddr, error: &ListenError) {
        match not_allowed(error) {
            Some(id) => {
                if let Some(count) = self.quiet.strangers.allow(clock::now().tick) {
                    tracing::info!(key = key_text(&id), address = %from, count, "a stranger was turned away");
                }
                self.shared.on_refused(&id, from);
            }
            None => {
                tracing::debug!(address = %from, cause = root_cause(error), "a connection came to nothing")
            }
        }
    }

    fn on_dial_failed(&mut self, id: PeerId, error: DialError) {
        let proved = self.proved.take(&id);
        let Some(link) = self.peers.get_mut(&id) else { return };
        link.dialling = false;
        // Where they reached us meanwhile, that was the answer.
        if std::mem::take(&mut link.wanted) {
            let peer = link.name.clone();
            self.say(TransportInput::DialFailed { peer, failure: dial_failure(error, proved) });
        }
        self.forget_idle(id);
    }
}

/// The peer's id behind an address is the key of its file once more, in a form that no file has.
fn without_id(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, libp2p::multiaddr::Protocol::P2p(_))).collect()
}

/// Returns why a dial failed; `proved` if somebody at the address showed the key that was looked for.
pub(in crate::transport) fn dial_failure(error: DialError, proved: bool) -> DialFailure {
    let tried = match error {
        DialError::WrongPeerId { obtained, address } => {
            return DialFailure::OtherKey { address: address.to_string(), key: key_text(&obtained) };
        }
        DialError::Transport(tried) => tried,
        other => return DialFailure::Unreachable(root_cause(&other)),
    };
    let other_key = tried.iter().find_map(|(address, error)| Some((address, not_allowed(error)?)));
    let causes =
        tried.iter().map(|(address, error)| format!("{}: {}", without_id(address), root_cause(error)));
    let causes = causes.collect::<Vec<_>>().join("; ");
    match other_key {
        // It has proved its key, so it does speak intelmesh.
        _ if proved => {
            DialFailure::TurnedAway(causes.replace(NOT_OURS, "closed after both keys were proved"))
        }
        Some((address, id)) => DialFailure::OtherKey { address: address.to_string(), key: key_text(&id) },
        None => DialFailure::Unreachable(causes),
    }
}
