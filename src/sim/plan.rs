//! The plan of a simulation: nodes and links, how good the network is, which faults happen when. No state.

use crate::identity::PublisherName;
use crate::policy::Receive;
use crate::protocol::{CoreBounds, Dialect, Rules};
use crate::sim::faults::SimFault;
use crate::sim::liar::Flood;

/// Which nodes are linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    Chain,
    Mesh,
    /// Each node with the next, and the last with the first.
    Ring,
    /// All with the first.
    Star,
}

impl Topology {
    /// Pairs of `nodes` nodes, the lower first.
    pub fn links(&self, nodes: usize) -> Vec<(usize, usize)> {
        let all = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let linked = |a: usize, b: usize| match self {
            Self::Mesh => true,
            Self::Chain => b == a + 1,
            Self::Ring => b == a + 1 || (a == 0 && b + 1 == nodes),
            Self::Star => a == 0,
        };
        all.filter(|(a, b)| linked(*a, *b)).collect()
    }
}

/// How a network behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// One way, least and most, in ms; drawn for each batch of bytes.
    pub latency_ms: (u64, u64),
    /// Bytes in one direction of a stream that are on their way or not read yet; a frame always fits when
    /// there is none.
    pub pipe_bytes: usize,
    /// How long a write with its sync takes, in ms.
    pub sync_ms: (u64, u64),
    /// How long an answer of the seen set, of a read or of the workers takes, in ms.
    pub answer_ms: (u64, u64),
    /// How long until an end notices that its connection is gone, in ms.
    pub notice_ms: (u64, u64),
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            latency_ms: (1, 20),
            pipe_bytes: 64 * 1024,
            sync_ms: (1, 8),
            answer_ms: (0, 3),
            notice_ms: (1, 300),
        }
    }
}

/// The peer files beyond the links between nodes.
#[derive(Clone, Debug, Default)]
pub struct Peering {
    /// (node, publisher): the node does not trust that publisher until a fault [`SimFault::Trust`] says so.
    pub later: Vec<(usize, usize)>,
    /// (node, peer): what the node takes from that peer, if it is not the default.
    pub receives: Vec<(usize, usize, Receive)>,
    /// An older name of a node, which its peers still know.
    pub aliases: Vec<(usize, PublisherName)>,
    /// Nodes that run no core, but send frames to harm.
    pub liars: Vec<(usize, Flood)>,
}

/// How `created` of an event is dated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    /// When it was submitted.
    #[default]
    True,
    /// When it was submitted by the clock of its publisher, which may be wrong.
    ByClock,
    /// Of every second event: before midnight, so that the seen set has two days.
    TwoDays,
}

/// A federation, and what happens to it.
#[derive(Clone, Debug)]
pub struct SimPlan {
    pub seed: u64,
    pub nodes: usize,
    pub topology: Topology,
    pub weather: Weather,
    pub bounds: CoreBounds,
    pub rules: Rules,
    pub peering: Peering,
    pub dates: Dates,
    /// How many bytes of a journal are kept.
    pub keep_bytes: u64,
    /// When what happens, in ms from the start.
    pub faults: Vec<(u64, SimFault)>,
    /// Each node has a consumer with a name that takes what others publish.
    pub consumers: bool,
    /// Nodes that speak as a successor of this version would.
    pub successors: Vec<usize>,
}

impl SimPlan {
    /// A calm federation: nothing happens but what is added.
    pub fn new(seed: u64, nodes: usize, topology: Topology) -> Self {
        Self {
            seed,
            nodes,
            topology,
            weather: Weather::default(),
            bounds: CoreBounds::default(),
            rules: Rules::default(),
            peering: Peering::default(),
            dates: Dates::default(),
            keep_bytes: 4 * 1024 * 1024,
            faults: Vec::new(),
            consumers: true,
            successors: Vec::new(),
        }
    }

    #[must_use]
    pub fn at(mut self, at_ms: u64, fault: SimFault) -> Self {
        self.faults.push((at_ms, fault));
        self
    }

    /// How a node speaks.
    pub fn dialect(&self, node: usize) -> Dialect {
        if self.successors.contains(&node) { Dialect::SUCCESSOR } else { Dialect::default() }
    }

    /// When the last fault happens.
    pub fn ends_ms(&self) -> u64 {
        self.faults.iter().map(|(at, fault)| at + fault.lasts_ms()).max().unwrap_or(0)
    }
}
