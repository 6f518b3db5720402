//! How a federation is founded and what befalls it: machines with their keys and peer files, submissions,
//! and each [`Fault`]. Checks nothing.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use crate::envelope::{Body, Core, ENVELOPE_VERSION, EventType, IdScheme, Signer};
use crate::event::Format;
use crate::identity::{EventId, PublisherName};
use crate::limits::MAX_HOPS_DEFAULT;
use crate::policy::{Peer, Receive, Share, Tlp, TrustList};
use crate::protocol::Input;
use crate::protocol::io::Ticket;
use crate::sim::agenda::Happening;
use crate::sim::faults::Fault;
use crate::sim::machine::{BEGINNING, Backup, Machine};
use crate::sim::plan::Plan;
use crate::sim::world::{Violation, World};
use crate::store::memory_disk::MemoryDisk;
use crate::store::seen::memory::MemorySeen;
use crate::time::Timestamp;

fn name(node: usize) -> PublisherName {
    PublisherName::parse(&format!("cert-{node:02}")).expect("bug: it is a name")
}

fn signer(node: usize) -> Signer {
    Signer::new(SigningKey::from_bytes(&Sha256::digest(format!("key of node {node}")).into()))
}

/// The trust list of a node: everyone but those that it comes to trust later.
fn trust(plan: &Plan, node: usize, later: &[(usize, usize)]) -> Arc<TrustList> {
    let links = plan.topology.links(plan.nodes);
    let peers = (0..plan.nodes).filter(|peer| *peer != node && !later.contains(&(node, *peer)));
    let peers = peers.map(|peer| Peer {
        name: name(peer),
        key: signer(peer).verifying_key(),
        seal: None,
        aliases: Vec::new(),
        dialled: links.contains(&(node.min(peer), node.max(peer))),
        paused: false,
        revoked: false,
        share: Share::default(),
        receive: Receive::default(),
    });
    Arc::new(TrustList::new(name(node), signer(node).verifying_key(), peers))
}

pub(super) fn machines(plan: &Plan) -> Vec<Machine> {
    let machine = |number| Machine {
        number,
        name: name(number),
        signer: signer(number),
        trust: trust(plan, number, &plan.later),
        disk: MemoryDisk::default(),
        seen: MemorySeen::default(),
        skew_ms: 0,
        lives: 0,
        process: None,
        backup: None,
    };
    (0..plan.nodes).map(machine).collect()
}

/// The event that the pipeline of `node` makes as its `nth`.
fn core(plan: &Plan, node: usize, nth: u64, (tlp, body_bytes): (Tlp, usize), created: Timestamp) -> Core {
    let hash = Sha256::digest(format!("event {nth} of node {node}, seed {}", plan.seed));
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash[..16]);
    let padding = "x".repeat(body_bytes);
    let body = format!(r#"{{"source.ip":"192.0.2.{}","extra.nth":{nth},"raw":"{padding}"}}"#, nth % 256);
    Core {
        version: ENVELOPE_VERSION,
        id: EventId {
            publisher: name(node),
            project: crate::identity::ProjectName::parse("simulated").expect("bug: it is a name"),
            uuid: uuid::Builder::from_random_bytes(uuid).into_uuid(),
        },
        ids: IdScheme::Random,
        created,
        expires: None,
        event_type: EventType::Event,
        format: Format::intelmq(),
        tlp,
        to: Vec::new(),
        max_hops: MAX_HOPS_DEFAULT,
        parent: None,
        links: Vec::new(),
        ext: None,
        extensions: Default::default(),
        body: Body::Plain(Bytes::from(body)),
    }
}

impl World {
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
    pub fn befalls(&mut self, at_ms: u64, fault: Fault) {
        self.agenda.at(at_ms, Happening::Fault(fault));
    }

    /// What befalls; returns the nodes whose process is gone.
    pub(super) fn befall(&mut self, fault: Fault) -> Result<Vec<usize>, Violation> {
        self.write_down(|| format!("{fault:?}"));
        match fault {
            Fault::Submit { node, nth, tlp, body_bytes } => self.submit(node, nth, (tlp, body_bytes))?,
            Fault::SubmitAgain { node, nth } => {
                let look = self.looks.get(&(node, nth)).copied().unwrap_or((Tlp::Green, 0));
                self.submit(node, nth, look)?;
            }
            Fault::SubmitOther { node, nth } => {
                let (tlp, body_bytes) = self.looks.get(&(node, nth)).copied().unwrap_or((Tlp::Green, 0));
                self.submit(node, nth, (tlp, body_bytes + 1))?;
            }
            Fault::Crash { node, down_ms } => {
                self.crash(node);
                self.agenda.after(down_ms, Happening::Start { node });
                return Ok(vec![node]);
            }
            Fault::Cut { a, b } => self.network.cut(&mut self.agenda, a, b),
            Fault::Partition { below, for_ms } => {
                self.network.partition(&mut self.agenda, below);
                self.agenda.after(for_ms, Happening::Heal);
            }
            Fault::Backup { node, later_ms } => {
                let machine = &mut self.machines[node];
                let backup = Backup { disk: machine.disk.snapshot(), seen: machine.seen.snapshot() };
                machine.backup = Some(backup);
                self.pipelines[node].done_in_backup = self.pipelines[node].done.clone();
                self.agenda.after(later_ms, Happening::CopySeen { node });
            }
            Fault::Restore { node } => return Ok(self.put_back(node, true)),
            Fault::Empty { node } => return Ok(self.put_back(node, false)),
            Fault::DiskFull { node, for_ms } => {
                self.machines[node].fill_disk(true);
                self.agenda.after(for_ms, Happening::DiskFree { node });
            }
            Fault::ClockJump { node, by_ms } => self.machines[node].skew_ms += by_ms,
            Fault::Trust { node, publisher } => {
                self.plan.later.retain(|later| *later != (node, publisher));
                let trust = trust(&self.plan, node, &self.plan.later);
                self.machines[node].trust = trust.clone();
                self.say(node, Input::Trust(trust));
            }
            Fault::Retire { node } => self.expire(node, Some(Timestamp(u64::MAX)))?,
            Fault::Reconnect { node } => self.reconnect(node, false),
            Fault::StaleAck { node } => self.reconnect(node, true),
            Fault::Acks { node, on } => {
                self.pipelines[node].acks = on;
                let life = self.machines[node].lives;
                self.agenda.after(0, Happening::Consume { node, life });
            }
        }
        Ok(Vec::new())
    }

    fn say(&mut self, node: usize, input: Input) {
        let life = self.machines[node].lives;
        self.agenda.tell(node, life, 0, input);
    }

    fn submit(&mut self, node: usize, nth: u64, look: (Tlp, usize)) -> Result<(), Violation> {
        self.looks.entry((node, nth)).or_insert(look);
        let created = BEGINNING.plus_ms(self.agenda.now);
        let core = core(&self.plan, node, nth, look, created);
        let envelope = self.machines[node].signer.sign(core);
        let envelope = envelope.map_err(|error| self.violated(error))?;
        let key = envelope.envelope().key();
        self.witness.publishers.insert(key, node);
        let ticket: Ticket = self.ticket();
        if self.machines[node].process.is_some() {
            self.witness.submits(node, ticket, key);
            self.say(node, Input::Submit { ticket, envelope });
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) {
        self.machines[node].crash(&mut self.agenda);
        self.network.node_down(&mut self.agenda, node);
        self.pipelines[node].lost();
    }

    /// The directory is put back to its copy, or the journal removed.
    fn put_back(&mut self, node: usize, restored: bool) -> Vec<usize> {
        if restored && self.machines[node].backup.is_none() {
            return Vec::new();
        }
        self.crash(node);
        let machine = &mut self.machines[node];
        match &machine.backup {
            Some(backup) if restored => {
                machine.disk.restore(&backup.disk);
                machine.seen.restore(&backup.seen);
                machine.disk.crash(usize::MAX);
                machine.seen.crash();
            }
            _ => machine.remove_journal(),
        }
        self.witness.tainted.insert(node);
        self.pipelines[node].rolled_back(restored);
        self.agenda.after(20, Happening::Start { node });
        vec![node]
    }

    /// Retention: what is given up is no longer owed to anyone.
    pub(super) fn expire(&mut self, node: usize, now: Option<Timestamp>) -> Result<(), Violation> {
        let Some(process) = &mut self.machines[node].process else { return Ok(()) };
        let retired = process.engine.expire(now);
        let retired = retired.map_err(|error| self.violated(error))?;
        let Some(retired) = retired else { return Ok(()) };
        self.gave_up(node);
        self.say(node, Input::Retired { ends: retired.ends, missing: retired.missing });
        Ok(())
    }

    /// What lies below the floor of a journal was given up, now or at its start.
    pub(super) fn gave_up(&mut self, node: usize) {
        let Some(process) = &self.machines[node].process else { return };
        let (log_id, mut mark) = (process.engine.journal.log_id(), process.engine.journal.floor());
        while let Some(past) = self.witness.past.get(&(node, log_id, mark.seq, mark.check)) {
            self.witness.dropped[node].insert(past.key);
            self.journals[node].remove(&past.key);
            mark = past.before;
        }
    }

    fn reconnect(&mut self, node: usize, stale_ack: bool) {
        if let Some(gone) = self.pipelines[node].break_off(stale_ack) {
            self.say(node, gone);
        }
        let life = self.machines[node].lives;
        self.agenda.after(5, Happening::Consume { node, life });
    }
}
