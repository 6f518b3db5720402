//! The engine's state for one peer: its connections, its streams, and what the core has been told. It
//! keeps the order that the core relies on: `Connected` first, each stream's `FeedClosed` before
//! `Disconnected`, and nothing of a new connection before the old one was reported gone.

use std::collections::HashSet;

use libp2p::swarm::ConnectionId;

use super::feed::FeedStream;
use crate::identity::PublisherName;
use crate::protocol::io::{Role, StreamId};

/// A stream that is there before the core may hear of it.
pub(super) struct Early {
    pub connection: ConnectionId,
    pub stream: FeedStream,
    pub role: Role,
}

pub(super) struct PeerLink {
    pub name: PublisherName,
    /// Open connections, oldest first.
    pub connections: Vec<ConnectionId>,
    /// Streams with a task that still runs.
    pub streams: usize,
    /// Bounded by the streams that the peer may open on its connections.
    pub early: Vec<Early>,
    /// The core asked for a connection and has no answer yet.
    pub wanted: bool,
    /// libp2p is dialling.
    pub dialling: bool,
    /// The connection on which a feed is being opened.
    pub opening: Option<ConnectionId>,
    pub told: LinkState,
    /// Streams that still say their last words: when they have ended, the connections go.
    pub leaving: HashSet<StreamId>,
}

/// The core's view of the peer's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Nothing,
    Connected,
    /// It believes in a connection with its last streams just ending; the cause to tell it then.
    Losing(String),
}

/// The next message to the core.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Connected(ConnectionId),
    Disconnected(String),
}

impl PeerLink {
    pub(crate) fn new(name: PublisherName) -> Self {
        Self {
            name,
            connections: Vec::new(),
            streams: 0,
            early: Vec::new(),
            wanted: false,
            dialling: false,
            opening: None,
            leaving: HashSet::new(),
            told: LinkState::Nothing,
        }
    }

    /// The connection that a new stream is opened on: the newest, for an older one may be dead already.
    pub(crate) fn newest(&self) -> Option<ConnectionId> {
        self.connections.last().copied()
    }

    /// A connection is gone.
    pub(crate) fn on_closed(&mut self, connection: ConnectionId, cause: String) {
        self.connections.retain(|other| *other != connection);
        self.early.retain(|early| early.connection != connection);
        if self.connections.is_empty() && self.told == LinkState::Connected {
            self.told = LinkState::Losing(cause);
        }
    }

    /// Returns the next message to the core; to be called until there is none.
    pub(crate) fn next_told(&mut self) -> Option<Tell> {
        if self.streams == 0
            && let LinkState::Losing(cause) = &self.told
        {
            let cause = cause.clone();
            self.told = LinkState::Nothing;
            return Some(Tell::Disconnected(cause));
        }
        if self.told == LinkState::Nothing
            && let Some(newest) = self.newest()
        {
            self.told = LinkState::Connected;
            self.wanted = false;
            return Some(Tell::Connected(newest));
        }
        None
    }

    /// Nothing here is worth remembering.
    pub(crate) fn is_idle(&self) -> bool {
        self.connections.is_empty()
            && self.streams == 0
            && self.told == LinkState::Nothing
            && !self.wanted
            && !self.dialling
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> PeerLink {
        PeerLink::new(PublisherName::parse("b").unwrap())
    }

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn a_second_connection_is_told_to_nobody_and_neither_is_the_loss_of_one_of_two() {
        let mut link = link();
        link.connections.push(connection(1));
        assert_eq!(link.next_told(), Some(Tell::Connected(connection(1))));
        link.connections.push(connection(2));
        assert_eq!(link.next_told(), None);
        link.on_closed(connection(1), "x".into());
        assert_eq!(link.next_told(), None);
        link.on_closed(connection(2), "y".into());
        assert_eq!(link.next_told(), Some(Tell::Disconnected("y".into())));
        assert!(link.is_idle());
    }

    #[test]
    fn a_new_connection_waits_until_the_streams_of_the_old_one_have_ended() {
        let mut link = link();
        link.connections.push(connection(1));
        link.next_told();
        link.streams = 1;
        link.on_closed(connection(1), "gone".into());
        link.connections.push(connection(2));
        assert_eq!(link.next_told(), None);
        link.streams = 0;
        assert_eq!(link.next_told(), Some(Tell::Disconnected("gone".into())));
        assert_eq!(link.next_told(), Some(Tell::Connected(connection(2))));
        assert_eq!(link.next_told(), None);
    }
}
