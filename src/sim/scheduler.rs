//! The schedule of a simulation: simulated time, the one queue of it, and the one source of chance.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::protocol::Input;
use crate::sim::faults::SimFault;
use crate::sim::plan::Weather;

/// One direction of a stream: from which of its two sides. Side 0 opened it, and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteFlow {
    pub stream: u64,
    pub from: usize,
}

#[derive(Debug)]
pub enum SimEvent {
    Fault(SimFault),
    /// An answer reaches the process that asked; an older process's answers are lost with it.
    Tell {
        node: usize,
        life: u64,
        input: Box<Input>,
    },
    /// The oldest append of `node` is written and synced.
    Commit {
        node: usize,
        life: u64,
    },
    /// The process asked to be woken.
    Wake {
        node: usize,
        life: u64,
    },
    /// Bytes leave for the network, or reach the other end.
    Leave(ByteFlow),
    Arrive(ByteFlow),
    /// A dial of a process ends.
    Dialled {
        from: usize,
        to: usize,
        life: u64,
    },
    /// An end notices that its connection is gone.
    Notice {
        conn: u64,
        end: usize,
    },
    /// The seen set of `node` is copied into its backup.
    CopySeen {
        node: usize,
    },
    /// The process of `node` is started.
    Start {
        node: usize,
    },
    /// The network is whole again.
    Heal,
    DiskFree {
        node: usize,
    },
    /// The consumer of `node` does what it has to do: take, acknowledge, connect.
    Consume {
        node: usize,
        life: u64,
    },
}

#[derive(Debug)]
pub struct SimScheduler {
    pub now: u64,
    pub rng: StdRng,
    pub weather: Weather,
    queue: BTreeMap<(u64, u64), SimEvent>,
    order: u64,
}

impl SimScheduler {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self { now: 0, rng: StdRng::seed_from_u64(seed), weather, queue: BTreeMap::new(), order: 0 }
    }

    pub fn at(&mut self, at: u64, what: SimEvent) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), what);
    }

    pub fn after(&mut self, ms: u64, what: SimEvent) {
        self.at(self.now + ms, what);
    }

    pub fn draw(&mut self, (least, most): (u64, u64)) -> u64 {
        self.rng.random_range(least..=most.max(least))
    }

    pub fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_range(0..one_in) == 0
    }

    /// The next moment at which something happens, not after `until`; time goes on to it.
    pub fn advance(&mut self, until: u64) -> bool {
        match self.queue.first_key_value() {
            Some((&(at, _), _)) if at <= until => {
                self.now = at;
                true
            }
            _ => {
                self.now = until;
                false
            }
        }
    }

    /// Takes the next event that is due now, in the order in which events were arranged.
    pub fn take(&mut self) -> Option<SimEvent> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= self.now).then(|| entry.remove())
    }

    pub fn tell(&mut self, node: usize, life: u64, after: u64, input: Input) {
        self.after(after, SimEvent::Tell { node, life, input: Box::new(input) });
    }
}
