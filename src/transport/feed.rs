//! Feed streams as a libp2p behaviour: opens `/intelmesh/feed/1` on the connection it is told, and hands over the
//! streams that the peer opens. It reads no frames, and never waits for anybody: streams go to the engine as events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

use crate::limits::FEEDS_PER_CONNECTION_MAX;
use crate::wire::FEED_PROTOCOL;

/// A stream, and a token that counts it against its connection's bound while it lives.
pub(super) struct FeedStream {
    pub stream: Stream,
    pub token: Option<Arc<()>>,
}

impl std::fmt::Debug for FeedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FeedStream")
    }
}

#[derive(Debug)]
pub(super) enum HandlerReport {
    Opened(FeedStream),
    NotOpened(String),
    /// The peer opened it.
    Inbound(FeedStream),
}

/// A report to the engine, with the connection that it came from.
#[derive(Debug)]
pub(super) struct FeedReport {
    pub peer: PeerId,
    pub connection: ConnectionId,
    pub report: HandlerReport,
}

#[derive(Default)]
pub(super) struct FeedBehaviour {
    /// At most one open under way for each peer, so it is bounded as they are.
    out: VecDeque<ToSwarm<FeedReport, ()>>,
    waker: Option<Waker>,
}

impl FeedBehaviour {
    /// Asks for a stream on a connection that stands. A connection that is gone swallows it: the engine
    /// remembers what it asked for.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId) {
        self.push(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: (),
        });
    }

    fn push(&mut self, event: ToSwarm<FeedReport, ()>) {
        self.out.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for FeedBehaviour {
    type ConnectionHandler = FeedHandler;
    type ToSwarm = FeedReport;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(FeedHandler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(FeedHandler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        report: THandlerOutEvent<Self>,
    ) {
        self.push(ToSwarm::GenerateEvent(FeedReport { peer, connection, report }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.out.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

type FeedUpgrade = ReadyUpgrade<StreamProtocol>;

fn protocol() -> SubstreamProtocol<FeedUpgrade> {
    SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(FEED_PROTOCOL)), ())
}

/// One connection's end.
#[derive(Default)]
pub(super) struct FeedHandler {
    asked: bool,
    reports: VecDeque<HandlerReport>,
    /// Each stream that the peer opened holds a clone.
    inbound: Arc<()>,
    waker: Option<Waker>,
}

impl FeedHandler {
    fn report(&mut self, report: HandlerReport) {
        self.reports.push_back(report);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn on_inbound(&mut self, stream: Stream) {
        // Beyond the bound the stream is dropped, which resets it: a peer needs one.
        if Arc::strong_count(&self.inbound) <= FEEDS_PER_CONNECTION_MAX {
            let token = Some(Arc::clone(&self.inbound));
            self.report(HandlerReport::Inbound(FeedStream { stream, token }));
        }
    }
}

impl ConnectionHandler for FeedHandler {
    type FromBehaviour = ();
    type ToBehaviour = HandlerReport;
    type InboundProtocol = FeedUpgrade;
    type OutboundProtocol = FeedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        protocol()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if std::mem::take(&mut self.asked) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: protocol() });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, (): ()) {
        self.asked = true;
        self.wake();
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.on_inbound(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.report(HandlerReport::Opened(FeedStream { stream: protocol, token: None }));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let cause = match error {
                    StreamUpgradeError::Timeout => "no answer to opening a feed within 10 s".to_owned(),
                    StreamUpgradeError::NegotiationFailed => {
                        format!("the peer does not speak {FEED_PROTOCOL}")
                    }
                    StreamUpgradeError::Io(error) => error.to_string(),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.report(HandlerReport::NotOpened(cause));
            }
            _ => {}
        }
    }
}
