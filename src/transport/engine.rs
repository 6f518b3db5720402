//! The loop that drives libp2p: takes orders, turns what libp2p says into inputs of the core, and keeps for
//! each peer what the core has been told. It never awaits the core: its messages to the core wait in the outbox.

mod events;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};

pub(super) use events::dial_failure;

use super::address_book::{dialled, peer_id};
use super::connection_gate::Proved;
use super::log_turn::LogTurn;
use super::peer_link::{LinkState, PeerLink};
use super::pump::StreamActivity;
use super::queue::FeedQueue;
use super::shared::{TransportCommand, TransportShared};
use super::swarm::{Behaviour, build};
use super::{TransportConfig, TransportError, address};
use crate::identity::PublisherName;
use crate::limits::{LISTEN_MS, OUTBOX_MAX, PEER_ADDRESSES_MAX, TRANSPORT_STOP_MS};
use crate::protocol::io::{DialFailure, Input, StreamId, TransportInput};

/// A message to the core, and the task that starts once the core has it.
struct PeerAnnouncement {
    input: TransportInput,
    then: Option<oneshot::Sender<()>>,
}

struct PeerConnection {
    peer: PeerId,
    address: String,
    activity: StreamActivity,
    /// By id, so that a stream that ended is forgotten.
    streams: HashMap<StreamId, Arc<FeedQueue>>,
}

/// Which stream a task serves.
struct Served {
    peer: PeerId,
    connection: ConnectionId,
    stream: StreamId,
}

pub(super) struct TransportEngine {
    swarm: Swarm<Behaviour>,
    shared: Arc<TransportShared>,
    proved: Proved,
    answers: mpsc::Sender<Input>,
    outbox: VecDeque<PeerAnnouncement>,
    peers: HashMap<PeerId, PeerLink>,
    connections: HashMap<ConnectionId, PeerConnection>,
    tasks: JoinSet<()>,
    served: HashMap<Id, Served>,
    activity: StreamActivity,
    next_stream: u64,
    quiet: Quiet,
}

/// Lines that anybody on the network can cause.
#[derive(Default)]
struct Quiet {
    strangers: LogTurn,
    not_accepted: LogTurn,
}

impl TransportEngine {
    /// Listens on every address of `config`, and gives them with the ports that were chosen.
    pub(crate) async fn start(
        config: TransportConfig,
        shared: Arc<TransportShared>,
        answers: mpsc::Sender<Input>,
    ) -> Result<(Self, Vec<String>), TransportError> {
        let proved = Proved::default();
        let mut swarm = build(&config.key, &shared.book, proved.clone())?;
        let mut listening = Vec::new();
        for text in &config.listen {
            listening.push(listen(&mut swarm, &address::parse(text)?).await?.to_string());
        }
        let engine = Self {
            swarm,
            shared,
            proved,
            answers,
            outbox: VecDeque::new(),
            peers: HashMap::new(),
            connections: HashMap::new(),
            tasks: JoinSet::new(),
            served: HashMap::new(),
            activity: StreamActivity::default(),
            next_stream: 1,
            quiet: Quiet::default(),
        };
        Ok((engine, listening))
    }

    /// Until [`TransportCommand::Stop`], or until the core is gone.
    pub(crate) async fn run(mut self) {
        let (answers, shared) = (self.answers.clone(), Arc::clone(&self.shared));
        loop {
            tokio::select! {
                permit = answers.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => self.announce(permit),
                    Err(_) => return,
                },
                event = self.swarm.select_next_some(), if self.outbox.len() < OUTBOX_MAX => self.on_swarm(event),
                Some(ended) = self.tasks.join_next_with_id() => self.on_task_ended(ended.map(|(id, ())| id)),
                () = shared.wake.notified() => {}
            }
            while let Some(command) = shared.next_command() {
                if command == TransportCommand::Stop {
                    return self.stop().await;
                }
                self.on_command(command);
            }
        }
    }

    fn announce(&mut self, permit: mpsc::Permit<'_, Input>) {
        let Some(PeerAnnouncement { input, then }) = self.outbox.pop_front() else { return };
        permit.send(input.into());
        // Where the stream's task has ended meanwhile, there is nobody to start.
        then.map(|start| start.send(()));
    }

    fn on_command(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Dial(name) => self.dial(&name),
            TransportCommand::Disconnect(name) => {
                let of = |(id, link): (&PeerId, &PeerLink)| (link.name == name).then_some(*id);
                let ids: Vec<PeerId> = self.peers.iter().filter_map(of).collect();
                ids.into_iter().for_each(|id| self.disconnect(id, "closed here"));
            }
            TransportCommand::OpenFeed(name) => self.open_feed(name),
            TransportCommand::PeersChanged => self.disconnect_removed(),
            TransportCommand::Stop => {}
        }
    }

    fn say(&mut self, input: TransportInput) {
        self.outbox.push_back(PeerAnnouncement { input, then: None });
    }

    fn dial(&mut self, name: &PublisherName) {
        let book = self.shared.book();
        let peer = book.peer(name).filter(|peer| !peer.paused);
        let Some((peer, id)) = peer.and_then(|peer| Some((peer, peer_id(&peer.key)?))) else {
            return self.dial_failed(name.clone(), "it is paused or has no peer file");
        };
        let link = self.peers.entry(id).or_insert_with(|| PeerLink::new(name.clone()));
        if link.told == LinkState::Connected {
            return;
        }
        if link.name != *name {
            return self.dial_failed(name.clone(), "its connection under its old name is still closing");
        }
        link.wanted = true;
        if !link.connections.is_empty() || link.dialling {
            return;
        }
        let addresses: Vec<Multiaddr> = dialled(peer).into_iter().take(PEER_ADDRESSES_MAX).collect();
        let condition = PeerCondition::DisconnectedAndNotDialing;
        // From a port of its own: from the port that we listen on, two nodes that dial each other at once
        // would meet in one TCP connection with two initiators.
        let dial =
            DialOpts::peer_id(id).addresses(addresses).condition(condition).allocate_new_port().build();
        match self.swarm.dial(dial) {
            Ok(()) => link.dialling = true,
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.dial_came_to_nothing(id, "its last connection is still closing");
            }
            Err(error) => self.dial_came_to_nothing(id, &root_cause(&error)),
        }
    }

    fn dial_came_to_nothing(&mut self, id: PeerId, cause: &str) {
        let link = self.peers.get_mut(&id).filter(|link| link.wanted);
        if let Some(link) = link {
            link.wanted = false;
            let name = link.name.clone();
            self.dial_failed(name, cause);
        }
        self.forget_idle(id);
    }

    fn dial_failed(&mut self, peer: PublisherName, cause: &str) {
        self.say(TransportInput::DialFailed { peer, failure: DialFailure::Unreachable(cause.to_owned()) });
    }

    fn open_feed(&mut self, name: PublisherName) {
        let link =
            self.peers.iter_mut().find(|(_, link)| link.name == name && link.told == LinkState::Connected);
        match link.and_then(|(id, link)| Some((*id, link.newest()?, link))) {
            Some((_, _, link)) if link.opening.is_some() => {}
            Some((id, connection, link)) => {
                link.opening = Some(connection);
                self.swarm.behaviour_mut().feeds.open(id, connection);
            }
            None => self
                .say(TransportInput::FeedNotOpened { peer: name, cause: "no connection stands".to_owned() }),
        }
    }

    /// Ends every connection of a key. Its streams end at once, except those that the core has closed: their last
    /// frames (FAULT `paused`, `silent`) leave first, for a second at most.
    fn disconnect(&mut self, id: PeerId, cause: &str) {
        let connections = self.connections.values().filter(|connection| connection.peer == id);
        let streams = connections.flat_map(|connection| &connection.streams);
        let (leaving, others): (Vec<_>, Vec<_>) =
            streams.partition(|(_, queue)| queue.closing.is_cancelled());
        others.into_iter().for_each(|(_, queue)| queue.cut(cause.to_owned()));
        if let Some(link) = self.peers.get_mut(&id).filter(|_| !leaving.is_empty()) {
            link.leaving.extend(leaving.into_iter().map(|(stream, _)| *stream));
            return;
        }
        // An error says that no connection stands; a dial under way is ended all the same.
        let _ = self.swarm.disconnect_peer_id(id);
    }

    /// A stream has ended: the last one of those that were leaving takes the connections with it.
    fn left(&mut self, id: PeerId, stream: StreamId) {
        let Some(link) = self.peers.get_mut(&id) else { return };
        if link.leaving.remove(&stream) && link.leaving.is_empty() {
            let _ = self.swarm.disconnect_peer_id(id);
        }
    }

    fn disconnect_removed(&mut self) {
        let book = self.shared.book();
        let removed =
            |(id, link): (&PeerId, &PeerLink)| (book.allowed(id) != Some(&link.name)).then_some(*id);
        let removed: Vec<PeerId> = self.peers.iter().filter_map(removed).collect();
        removed.into_iter().for_each(|id| self.disconnect(id, "the peer was removed, paused or renamed"));
    }

    fn forget_idle(&mut self, id: PeerId) {
        if self.peers.get(&id).is_some_and(PeerLink::is_idle) {
            self.peers.remove(&id);
        }
    }

    /// Closes all streams as the core would, then all connections.
    async fn stop(mut self) {
        // Streams that nobody was told of have nothing to say.
        self.outbox.clear();
        for connection in self.connections.values() {
            connection.streams.values().for_each(|queue| queue.close());
        }
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        let leave = async {
            while self.tasks.join_next().await.is_some() {}
            for id in ids {
                let _ = self.swarm.disconnect_peer_id(id);
            }
            while self.swarm.network_info().num_peers() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        // What has not left by then never will.
        let _ = timeout(Duration::from_millis(TRANSPORT_STOP_MS), leave).await;
    }
}

/// Listens on one address and waits until it does.
async fn listen(swarm: &mut Swarm<Behaviour>, address: &Multiaddr) -> Result<Multiaddr, TransportError> {
    let fault = |cause: String| TransportError::Listen { address: address.to_string(), cause };
    // libp2p listens with SO_REUSEPORT, with which a second node would silently share the port.
    if let Some(socket) = address::socket(address) {
        std::net::TcpListener::bind(socket).map_err(|error| fault(error.to_string()))?;
    }
    let id = swarm.listen_on(address.clone()).map_err(|error| fault(root_cause(&error)))?;
    let up = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address: actual } if listener_id == id => {
                    return Ok(address::with_port_of(address, &actual));
                }
                SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } if listener_id == id => {
                    return Err(fault(error.to_string()));
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        listening = up => listening,
        () = sleep(Duration::from_millis(LISTEN_MS)) => Err(fault("it does not come up".to_owned())),
    }
}

/// The innermost cause, which is what the operating system said.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    in_words(&last.to_string())
}

/// The cause if the other end breaks off before it has proved a key.
pub(super) const NOT_OURS: &str = "the other end does not speak intelmesh";

/// Replaces the words of the libraries below for a handshake: they tell an operator nothing.
fn in_words(text: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("Received an invalid message", NOT_OURS),
        ("Protocol negotiation failed", NOT_OURS),
        ("Negotiation failed", NOT_OURS),
        ("Handshake failed", "the handshake failed: another version of intelmesh, or something between"),
        ("decrypt error", "the handshake failed: another version of intelmesh, or something between"),
        ("Timeout has been reached", "no answer in time"),
    ];
    let known = WORDS.iter().find(|(theirs, _)| text.contains(theirs));
    known.map_or_else(|| text.to_owned(), |(_, ours)| (*ours).to_owned())
}
