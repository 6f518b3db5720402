//! State that the handle and the engine share: the peers, the streams' queues, orders that wait, and the figures for
//! `status`. Locks are held for moments, never across a wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::Notify;

use super::PeerAddresses;
use super::address_book::{AddressBook, key_text};
use super::queue::FeedQueue;
use super::strangers::{Stranger, StrangerLog};
use crate::clock;
use crate::identity::PublisherName;
use crate::limits::TRANSPORT_COMMANDS_MAX;
use crate::protocol::io::{StreamId, TransportOutput};

/// An order to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransportCommand {
    Dial(PublisherName),
    Disconnect(PublisherName),
    OpenFeed(PublisherName),
    PeersChanged,
    Stop,
}

#[derive(Default)]
pub(super) struct TransportShared {
    pub book: Arc<ArcSwap<AddressBook>>,
    pub wake: Notify,
    streams: Mutex<HashMap<StreamId, Arc<FeedQueue>>>,
    commands: Mutex<VecDeque<TransportCommand>>,
    strangers: Mutex<StrangerLog>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TransportShared {
    pub(crate) fn book(&self) -> Arc<AddressBook> {
        self.book.load_full()
    }

    pub(crate) fn set_peers(&self, peers: Vec<PeerAddresses>) {
        let book = AddressBook::new(peers);
        self.book.store(Arc::new(book));
    }

    pub(crate) fn handle(&self, output: TransportOutput) {
        match output {
            TransportOutput::Dial { peer } => self.command(TransportCommand::Dial(peer)),
            TransportOutput::Disconnect { peer } => self.command(TransportCommand::Disconnect(peer)),
            TransportOutput::OpenFeed { peer } => self.command(TransportCommand::OpenFeed(peer)),
            TransportOutput::Send { stream, frame, bytes } => {
                // A stream that ended meanwhile: the core hears of it, or has closed it.
                if let Some(queue) = self.stream(stream) {
                    queue.push(frame, bytes);
                }
            }
            TransportOutput::Resume { stream } => {
                if let Some(queue) = self.stream(stream) {
                    queue.resume();
                }
            }
            TransportOutput::CloseFeed { stream } => {
                if let Some(queue) = self.remove_stream(stream) {
                    queue.close();
                }
            }
        }
    }

    /// An order that stands already as the last one is not put behind itself. The core waits for answers, so
    /// more than a few for each peer cannot stand here; an order beyond them is the core's bug, and is dropped.
    pub(crate) fn command(&self, command: TransportCommand) {
        let mut commands = lock(&self.commands);
        if commands.len() < TRANSPORT_COMMANDS_MAX || command == TransportCommand::Stop {
            if commands.back() != Some(&command) {
                commands.push_back(command);
            }
        } else {
            tracing::error!(?command, "bug: too many orders to the transport wait; please report");
        }
        drop(commands);
        self.wake.notify_one();
    }

    pub(crate) fn next_command(&self) -> Option<TransportCommand> {
        lock(&self.commands).pop_front()
    }

    fn stream(&self, id: StreamId) -> Option<Arc<FeedQueue>> {
        lock(&self.streams).get(&id).cloned()
    }

    pub(crate) fn insert_stream(&self, id: StreamId, queue: Arc<FeedQueue>) {
        lock(&self.streams).insert(id, queue);
    }

    pub(crate) fn remove_stream(&self, id: StreamId) -> Option<Arc<FeedQueue>> {
        lock(&self.streams).remove(&id)
    }

    pub(crate) fn strangers(&self) -> Vec<Stranger> {
        lock(&self.strangers).list()
    }

    /// A key that the gate refused. A paused peer is no stranger.
    pub(crate) fn on_refused(&self, id: &PeerId, from: &Multiaddr) {
        if !self.book.load().configured(id) {
            lock(&self.strangers).knocked(key_text(id), from.to_string(), clock::now().wall);
        }
    }
}
