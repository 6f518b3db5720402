//! The pipeline behind a node: one consumer with a name that takes what others published and acknowledges it,
//! breaks its connection, and may acknowledge what an earlier connection was handed. Remembers what it was
//! handed, for the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::EventKey;
use crate::protocol::Input;
use crate::protocol::io::{ConsumerId, ConsumerRequest};
use crate::record::{ConsumerName, Entry};

#[derive(Debug)]
pub struct Pipeline {
    pub name: ConsumerName,
    connection: Option<ConsumerId>,
    made: u64,
    /// What is to be told to the node next.
    ready: bool,
    to_ack: Option<u64>,
    stale_ack: bool,
    pub acks: bool,
    /// What each seq was when it was handed over.
    pub handed: BTreeMap<u64, EventKey>,
    /// Everything that was ever handed over.
    pub ever: BTreeSet<EventKey>,
    /// What is acknowledged, durably.
    pub done: BTreeSet<EventKey>,
    pub done_in_backup: BTreeSet<EventKey>,
    highest: u64,
}

impl Pipeline {
    /// # Panics
    /// Never: the name is one.
    pub fn new() -> Self {
        Self {
            name: ConsumerName::parse("soc").expect("bug: it is a name"),
            connection: None,
            made: 0,
            ready: false,
            to_ack: None,
            stale_ack: false,
            acks: true,
            handed: BTreeMap::new(),
            ever: BTreeSet::new(),
            done: BTreeSet::new(),
            done_in_backup: BTreeSet::new(),
            highest: 0,
        }
    }

    /// The node is gone, or has a new process.
    pub fn lost(&mut self) {
        self.connection = None;
        self.ready = false;
        self.to_ack = None;
    }

    /// The connection ends; the next one is made at the next occasion.
    pub fn break_off(&mut self, stale_ack: bool) -> Option<Input> {
        self.stale_ack |= stale_ack;
        let connection = self.connection.take();
        self.lost();
        connection.map(|consumer| Input::ConsumerGone { consumer })
    }

    pub fn take(&mut self, consumer: ConsumerId, entries: &[Arc<Entry>]) -> bool {
        if self.connection != Some(consumer) {
            return false;
        }
        for entry in entries {
            self.handed.insert(entry.seq, entry.envelope.key());
            self.ever.insert(entry.envelope.key());
            self.highest = self.highest.max(entry.seq);
        }
        self.ready = true;
        self.to_ack = entries.last().map(|entry| entry.seq);
        true
    }

    pub fn closed(&mut self, consumer: ConsumerId) {
        if self.connection == Some(consumer) {
            self.lost();
        }
    }

    /// What it says now.
    pub fn says(&mut self) -> Vec<Input> {
        let Some(consumer) = self.connection else {
            self.made += 1;
            let consumer = ConsumerId(self.made);
            self.connection = Some(consumer);
            let request = ConsumerRequest {
                name: Some(self.name.clone()),
                from: None,
                own: false,
                acks: true,
                filter: None,
            };
            let mut says = vec![Input::ConsumerOpened { consumer, request }];
            if std::mem::take(&mut self.stale_ack) {
                says.push(Input::ConsumerAcked { consumer, seq: self.highest });
            }
            return says;
        };
        let mut says = Vec::new();
        if std::mem::take(&mut self.ready) {
            says.push(Input::ConsumerReady { consumer });
        }
        if self.acks
            && let Some(seq) = self.to_ack.take()
        {
            says.push(Input::ConsumerAcked { consumer, seq });
        }
        says
    }

    /// All up to `position` is acknowledged on disk.
    pub fn durable(&mut self, position: u64) {
        let done = self.handed.range(..=position).map(|(_, key)| *key);
        self.done.extend(done);
    }

    /// The node's directory was put back or emptied: what it knew of this consumer with it.
    pub fn rolled_back(&mut self, restored: bool) {
        self.lost();
        self.handed.clear();
        self.done = if restored { self.done_in_backup.clone() } else { BTreeSet::new() };
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}
