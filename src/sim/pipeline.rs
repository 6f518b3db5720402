//! The pipeline behind a node: one consumer with a name that takes what others published and acknowledges it,
//! breaks its connection, and may acknowledge what an earlier connection was handed. Remembers what it was
//! handed, for the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::EventKey;
use crate::protocol::Input;
use crate::protocol::io::{ConsumerId, ConsumerRequest, DoorInput};
use crate::record::{ConsumerName, Entry};

/// A connection of the consumer, or none.
#[derive(Debug, Default)]
struct PipelineConnection {
    id: Option<ConsumerId>,
    /// It has to tell the node that it is ready.
    ready: bool,
    to_ack: Option<u64>,
    /// Entries that it was handed and has not acknowledged.
    open: BTreeSet<u64>,
}

#[derive(Debug)]
pub struct SimPipeline {
    pub name: ConsumerName,
    connection: PipelineConnection,
    made: u64,
    stale_ack: bool,
    pub acks: bool,
    /// The identity of each seq when it was handed over.
    pub handed: BTreeMap<u64, EventKey>,
    /// Everything that was ever handed over, and whether an acknowledgement of it was durable then.
    pub ever: BTreeMap<EventKey, bool>,
    /// Entries that it acknowledged to the process that runs.
    acked: BTreeSet<u64>,
    /// The process that runs has begun, and its positions were not looked at yet.
    is_new: bool,
    /// Entries that are acknowledged, durably.
    pub done: BTreeSet<EventKey>,
    pub done_in_backup: BTreeSet<EventKey>,
    highest: u64,
}

impl SimPipeline {
    /// # Panics
    /// Never: the name is one.
    pub fn new() -> Self {
        Self {
            name: ConsumerName::parse("soc").expect("bug: it is a name"),
            connection: PipelineConnection::default(),
            made: 0,
            stale_ack: false,
            acks: true,
            handed: BTreeMap::new(),
            ever: BTreeMap::new(),
            acked: BTreeSet::new(),
            is_new: false,
            done: BTreeSet::new(),
            done_in_backup: BTreeSet::new(),
            highest: 0,
        }
    }

    /// The node is gone, or has a new process.
    pub fn lost(&mut self) {
        self.connection = PipelineConnection::default();
    }

    /// The connection ends; the next one is made at the next occasion.
    pub fn break_off(&mut self, stale_ack: bool) -> Option<Input> {
        self.stale_ack |= stale_ack;
        std::mem::take(&mut self.connection)
            .id
            .map(|consumer| Input::Door(DoorInput::ConsumerGone { consumer }))
    }

    pub fn take(&mut self, consumer: ConsumerId, entries: &[Arc<Entry>]) -> bool {
        if self.connection.id != Some(consumer) {
            return false;
        }
        for entry in entries {
            self.handed.insert(entry.seq, entry.envelope.key());
            self.connection.open.insert(entry.seq);
            self.ever.entry(entry.envelope.key()).or_insert(false);
            self.highest = self.highest.max(entry.seq);
        }
        self.connection.ready = true;
        self.connection.to_ack = entries.last().map(|entry| entry.seq);
        true
    }

    pub fn closed(&mut self, consumer: ConsumerId) {
        if self.connection.id == Some(consumer) {
            self.lost();
        }
    }

    /// Returns the inputs that it sends now.
    pub fn says(&mut self) -> Vec<Input> {
        let Some(consumer) = self.connection.id else {
            self.made += 1;
            let consumer = ConsumerId(self.made);
            self.connection.id = Some(consumer);
            let request = ConsumerRequest {
                name: Some(self.name.clone()),
                from: None,
                own: false,
                acks: true,
                filter: None,
            };
            let mut says = vec![Input::Door(DoorInput::ConsumerOpened { consumer, request })];
            if std::mem::take(&mut self.stale_ack) {
                says.push(Input::Door(DoorInput::ConsumerAcked { consumer, seq: self.highest }));
            }
            return says;
        };
        let mut says = Vec::new();
        if std::mem::take(&mut self.connection.ready) {
            says.push(Input::Door(DoorInput::ConsumerReady { consumer }));
        }
        if self.acks
            && let Some(seq) = self.connection.to_ack.take()
        {
            let still_open = self.connection.open.split_off(&(seq + 1));
            self.acked.extend(std::mem::replace(&mut self.connection.open, still_open));
            says.push(Input::Door(DoorInput::ConsumerAcked { consumer, seq }));
        }
        says
    }

    /// Did it acknowledge entry `seq` to the process that runs?
    pub fn has_acked(&self, seq: u64) -> bool {
        self.acked.contains(&seq)
    }

    /// Returns whether it ever acknowledged `key` durably: it keeps that even if the node's directory is lost.
    pub fn has(&self, key: &EventKey) -> bool {
        self.ever.get(key) == Some(&true)
    }

    /// Begins a new process: its disk shows which of the last acknowledgements reached it.
    pub fn begins(&mut self) {
        self.is_new = true;
    }

    /// Handles `position` on disk: entries acknowledged up to there are done. The position also passes entries below
    /// `floor` that retention took, so at a start only those above show an acknowledgement.
    pub fn durable(&mut self, position: u64, floor: u64) {
        let shown = if self.is_new { floor + 1..=position.max(floor + 1) } else { 0..=position };
        let acked = self.acked.range(shown).filter(|seq| **seq <= position);
        for key in acked.filter_map(|seq| self.handed.get(seq)) {
            self.done.insert(*key);
            self.ever.insert(*key, true);
        }
    }

    /// Forgets acknowledgements that the new process did not find.
    pub fn has_begun(&mut self) {
        self.is_new = false;
        self.acked.clear();
        self.lost();
    }

    /// Handles that the node's directory was put back or emptied, and with it its record of this consumer.
    pub fn rolled_back(&mut self, restored: bool) {
        self.lost();
        self.handed.clear();
        self.acked.clear();
        self.done = if restored { self.done_in_backup.clone() } else { BTreeSet::new() };
    }
}

impl Default for SimPipeline {
    fn default() -> Self {
        Self::new()
    }
}
