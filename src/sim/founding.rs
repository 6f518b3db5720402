//! How a federation is founded and what befalls it: machines with their keys and peer files, submissions, and which
//! [`SimFault`] leads to what. Checks nothing.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use crate::envelope::Signer;
use crate::identity::PublisherName;
use crate::policy::{Peer, Share, Tlp, TrustList};
use crate::protocol::Input;
use crate::protocol::io::{DoorInput, OperatorInput, Ticket};
use crate::sim::event_look::{EventLook, core};
use crate::sim::faults::SimFault;
use crate::sim::liar::Liar;
use crate::sim::machine::{BEGINNING, DiskHarm, SimMachine};
use crate::sim::plan::{Dates, SimPlan};
use crate::sim::scheduler::SimEvent;
use crate::sim::world::{PromiseViolation, SimWorld};
use crate::store::memory_disk::MemoryDisk;
use crate::store::seen::memory::MemorySeen;
use crate::time::Timestamp;

/// How long before its submission an event of the day before was created: less than a node takes for a clock that is
/// off.
const EARLIER_MS: u64 = 40 * 60_000;

/// The name of a node.
pub(super) fn name(node: usize) -> PublisherName {
    PublisherName::parse(&format!("cert-{node:02}")).expect("bug: it is a name")
}

fn signer(node: usize) -> Signer {
    Signer::new(SigningKey::from_bytes(&Sha256::digest(format!("key of node {node}")).into()))
}

/// The trust list of a node: everyone but those that it comes to trust later.
fn trust(plan: &SimPlan, node: usize) -> Arc<TrustList> {
    let (links, peering) = (plan.topology.links(plan.nodes), &plan.peering);
    let peers = (0..plan.nodes).filter(|peer| *peer != node && !peering.later.contains(&(node, *peer)));
    let aliases = |peer| peering.aliases.iter().filter(move |(of, _)| *of == peer);
    let receives = |peer| peering.receives.iter().find(|(at, of, _)| (*at, *of) == (node, peer));
    let peers = peers.map(|peer| Peer {
        name: name(peer),
        key: signer(peer).verifying_key(),
        seal: None,
        aliases: aliases(peer).map(|(_, name)| name.clone()).collect(),
        dialled: links.contains(&(node.min(peer), node.max(peer))),
        publisher_only: false,
        paused: false,
        revoked: false,
        share: Share::default(),
        receive: receives(peer).map(|(.., receive)| receive.clone()).unwrap_or_default(),
    });
    Arc::new(TrustList::new(name(node), signer(node).verifying_key(), peers))
}

pub(super) fn machines(plan: &SimPlan) -> Vec<SimMachine> {
    let flood = |number| plan.peering.liars.iter().find(|(liar, _)| *liar == number);
    let machine = |number| SimMachine {
        number,
        name: name(number),
        signer: if plan.successors.contains(&number) {
            signer(number).as_successor()
        } else {
            signer(number)
        },
        trust: trust(plan, number),
        disk: MemoryDisk::default(),
        seen: MemorySeen::default(),
        skew_ms: 0,
        lives: 0,
        process: None,
        liar: flood(number).map(|(_, flood)| Liar::new(name(number), signer(number), *flood)),
        backup: None,
        harm: DiskHarm::default(),
    };
    (0..plan.nodes).map(machine).collect()
}

impl SimWorld {
    /// Nodes that are linked with `node`.
    pub fn peers_of(&self, node: usize) -> Vec<usize> {
        let links = self.plan.topology.links(self.plan.nodes);
        let trusts = |a: usize, b: usize| self.machines[a].trust.peer(&self.machines[b].name).is_some();
        let linked = links.into_iter().filter_map(|(a, b)| match node {
            node if node == a => Some(b),
            node if node == b => Some(a),
            _ => None,
        });
        linked.filter(|peer| trusts(node, *peer) && trusts(*peer, node)).collect()
    }

    /// One more thing that is to happen.
    pub fn befalls(&mut self, at_ms: u64, fault: SimFault) {
        self.agenda.at(at_ms, SimEvent::Fault(fault));
    }

    /// Applies a fault; returns the nodes that lost their process.
    pub(super) fn befall(&mut self, fault: SimFault) -> Result<Vec<usize>, PromiseViolation> {
        self.write_down(|| format!("{fault:?}"));
        *self.witness.counts.faults.entry(fault.kind()).or_default() += 1;
        match fault {
            SimFault::Submit { node, nth, tlp, body_bytes } => {
                self.submit(node, nth, EventLook { tlp, body_bytes, to: Vec::new() })?;
            }
            SimFault::SubmitTo { node, nth, to } => {
                self.submit(node, nth, EventLook { tlp: Tlp::Amber, body_bytes: 10, to: vec![to] })?;
            }
            SimFault::SubmitAgain { node, nth } => self.submit(node, nth, self.look_of(node, nth))?,
            SimFault::SubmitOther { node, nth } => {
                let look = self.look_of(node, nth);
                self.submit(node, nth, EventLook { body_bytes: look.body_bytes + 1, ..look })?;
            }
            SimFault::Cut { a, b } => self.network.cut(&mut self.agenda, a, b),
            SimFault::Partition { below, for_ms } => {
                self.network.partition(&mut self.agenda, below);
                self.agenda.after(for_ms, SimEvent::Heal);
            }
            SimFault::ClockJump { node, by_ms } => self.machines[node].skew_ms += by_ms,
            SimFault::Trust { node, publisher } => {
                self.plan.peering.later.retain(|later| *later != (node, publisher));
                let trust = trust(&self.plan, node);
                self.machines[node].trust = trust.clone();
                self.say(node, Input::Operator(OperatorInput::Trust(trust)));
            }
            SimFault::Reconnect { node } => self.reconnect(node, false),
            SimFault::StaleAck { node } => self.reconnect(node, true),
            SimFault::Acks { node, on } => {
                self.pipelines[node].acks = on;
                let life = self.machines[node].lives;
                self.agenda.after(0, SimEvent::Consume { node, life });
            }
            harm => return self.befall_disk(harm),
        }
        Ok(Vec::new())
    }

    /// Applies a fault to the disk of a node or its process; returns the nodes that lost their process.
    fn befall_disk(&mut self, fault: SimFault) -> Result<Vec<usize>, PromiseViolation> {
        let gone = match fault {
            SimFault::Crash { node, down_ms } => {
                self.crash(node);
                self.witness.counts.crash_images += 1;
                self.agenda.after(down_ms, SimEvent::Start { node });
                vec![node]
            }
            SimFault::Kill { node, down_ms } => {
                self.kill(node);
                self.agenda.after(down_ms, SimEvent::Start { node });
                vec![node]
            }
            SimFault::SyncFails { node, syncs, down_ms } => {
                self.machines[node].break_sync(syncs, down_ms);
                Vec::new()
            }
            SimFault::Backup { node, later_ms } => {
                self.back_up(node, later_ms);
                Vec::new()
            }
            SimFault::Restore { node } => self.put_back(node, true),
            SimFault::Empty { node } => self.put_back(node, false),
            SimFault::DiskFull { node, for_ms } => {
                self.machines[node].fill_disk(true);
                self.agenda.after(for_ms, SimEvent::DiskFree { node });
                Vec::new()
            }
            SimFault::Retire { node } => {
                self.expire(node, Some(Timestamp(u64::MAX)))?;
                Vec::new()
            }
            SimFault::Rot { node } => {
                self.rot(node, false)?;
                Vec::new()
            }
            SimFault::RotNewest { node } => {
                let rotten = self.rot(node, true)?;
                if rotten {
                    self.kill(node);
                    self.agenda.after(0, SimEvent::Start { node });
                }
                rotten.then_some(node).into_iter().collect()
            }
            SimFault::SeenLost { node, part } => {
                self.lose_seen(node, part);
                vec![node]
            }
            SimFault::SeenBroken { node } => {
                self.machines[node].seen.damage();
                Vec::new()
            }
            _ => Vec::new(),
        };
        Ok(gone)
    }

    fn look_of(&self, node: usize, nth: u64) -> EventLook {
        self.looks.get(&(node, nth)).cloned().unwrap_or(EventLook::PLAIN)
    }

    pub(super) fn say(&mut self, node: usize, input: Input) {
        let life = self.machines[node].lives;
        self.agenda.tell(node, life, 0, input);
    }

    fn submit(&mut self, node: usize, nth: u64, look: EventLook) -> Result<(), PromiseViolation> {
        self.looks.entry((node, nth)).or_insert_with(|| look.clone());
        let created = match self.plan.dates {
            Dates::True => BEGINNING.plus_ms(self.agenda.now),
            Dates::ByClock => self.machines[node].now(&self.agenda).wall,
            Dates::TwoDays => BEGINNING.plus_ms(self.agenda.now).minus_ms(nth % 2 * EARLIER_MS),
        };
        let core = core(self.plan.seed, name(node), nth, look, created);
        let envelope = self.machines[node].signer.sign(core);
        let envelope = envelope.map_err(|error| self.violated(error))?;
        let key = envelope.envelope().key();
        self.witness.publishers.insert(key, node);
        let ticket: Ticket = self.ticket();
        if self.machines[node].process.is_some() {
            self.witness.submits(node, ticket, key);
            self.say(node, Input::Door(DoorInput::Submit { ticket, envelope }));
        }
        Ok(())
    }

    fn reconnect(&mut self, node: usize, stale_ack: bool) {
        if let Some(gone) = self.pipelines[node].break_off(stale_ack) {
            self.say(node, gone);
        }
        let life = self.machines[node].lives;
        self.agenda.after(5, SimEvent::Consume { node, life });
    }
}
