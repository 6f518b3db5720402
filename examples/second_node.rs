//! A second node on the core, as small as it can be: [`intelmesh::Node`] decides everything, and this file obeys it
//! with a journal in memory and a network that is a queue. It is where to begin with another store or transport,
//! and it shows the order of calls: input, outputs until there are none, then the time of the next call.
//!
//! Nothing here is durable and nobody is dialled: two nodes hand each other the bytes of their frames.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ed25519_dalek::SigningKey;
use intelmesh::{
    Body, Check, CheckSecret, ConsumerId, ConsumerRequest, Core, CoreBounds, CoreConfig, CoreDigest, Dialect,
    DoorInput, DoorOutput, ENVELOPE_VERSION, Entry, EventFormat, EventId, EventKey, EventType, FrameDecoder,
    IdScheme, Input, JournalEnds, Ledger, LogId, Mark, NewRecord, Node, NodeNames, Output, Peer,
    PublisherName, Read, Role, Rules, Signer, StartPosition, StoreInput, StoreOutput, StoreQuestion,
    StreamId, Tick, Ticket, Timestamp, Tlp, TransportInput, TransportOutput, TrustList, encode_frame,
    inspect,
};

type Failure = Box<dyn std::error::Error>;

/// One node: the core, and what it asked somebody to keep.
struct SecondNode {
    name: PublisherName,
    signer: Signer,
    core: Node,
    journal: Vec<Arc<Entry>>,
    /// The seen set: what the journal holds or ever held.
    seen: HashMap<EventKey, CoreDigest>,
    log_id: LogId,
    check_secret: CheckSecret,
    /// Outputs for the network, which this node does not know.
    to_network: VecDeque<TransportOutput>,
    /// Ids that were handed to the pipeline.
    handed: Vec<EventId>,
}

impl SecondNode {
    fn new(
        name: &str,
        key: [u8; 32],
        peer: &str,
        peer_key: [u8; 32],
        now: intelmesh::Now,
    ) -> Result<Self, Failure> {
        let (name, peer) = (PublisherName::parse(name)?, PublisherName::parse(peer)?);
        let [key, peer_key] = [key, peer_key].map(|secret| SigningKey::from_bytes(&secret));
        // The peer's key is the one that its operator read out on the telephone.
        let trust = TrustList::new(
            NodeNames::new(name.clone(), Vec::new()),
            key.verifying_key(),
            [Peer::new(peer, peer_key.verifying_key())],
        );
        let config = CoreConfig {
            federation: "example".into(),
            software: "second-node/0.1".into(),
            instance: 1,
            seed: u64::from(key.to_bytes()[0]),
            seen_keep_ms: 30 * 24 * 3_600_000,
            rules: Rules::default(),
            bounds: CoreBounds::default(),
            dialect: Dialect::default(),
        };
        let (log_id, check_secret) = (LogId([key.to_bytes()[0]; 16]), CheckSecret::new(key.to_bytes()));
        let ends =
            JournalEnds { log_id, floor: Mark::START, last: Mark::START, newest: now.wall, oldest: now.wall };
        // A node that starts again gives the ledger here that its journal holds, and the ends of it.
        let core = Node::new(config, Arc::new(trust), Ledger::default(), ends, now);
        let (journal, seen) = (Vec::new(), HashMap::new());
        let (to_network, handed) = (VecDeque::new(), Vec::new());
        Ok(Self {
            name,
            signer: Signer::new(key),
            core,
            journal,
            seen,
            log_id,
            check_secret,
            to_network,
            handed,
        })
    }

    /// Gives the core one input, and obeys until it asks for nothing more that this node itself can do.
    fn handle(&mut self, input: impl Into<Input>, now: intelmesh::Now) {
        self.core.handle_input(input, now);
        self.obey(now);
    }

    fn obey(&mut self, now: intelmesh::Now) {
        while let Some(output) = self.core.poll_output() {
            if let Some(answer) = self.answer(output) {
                self.core.handle_input(answer, now);
            }
        }
    }

    /// The store, the workers and the pipeline. Every ticket is answered exactly once.
    fn answer(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Store(StoreOutput::Append { ticket, records }) => {
                Some(self.append(ticket, records).into())
            }
            Output::Ask(question) => Some(self.look(question).into()),
            // A real node does this on other threads: it is the expensive part.
            Output::Verify { ticket, envelopes } => {
                let results =
                    envelopes.into_iter().map(|(envelope, keys)| inspect(envelope, &keys)).collect();
                Some(Input::Verified { ticket, results })
            }
            Output::Door(DoorOutput::HandOff { consumer, entries }) => {
                self.handed.extend(entries.iter().map(|entry| entry.envelope.id().clone()));
                Some(DoorInput::ConsumerReady { consumer }.into())
            }
            Output::Transport(network) => {
                self.to_network.push_back(network);
                None
            }
            // What happened, for the log, and expiry: this journal keeps everything, and no append fails.
            _ => None,
        }
    }

    /// What the store knows.
    fn look(&self, question: StoreQuestion) -> StoreInput {
        match question {
            StoreQuestion::LookUp { ticket, keys } => {
                let digests = keys.iter().map(|key| self.seen.get(key).copied()).collect();
                StoreInput::Known { ticket, digests, floor: Timestamp::default() }
            }
            StoreQuestion::Read { reader, after_seq, .. } => {
                let entries =
                    self.journal.iter().filter(|entry| entry.seq > after_seq).take(100).cloned().collect();
                let after = self.mark_at(after_seq);
                StoreInput::Entries { reader, read: Read { after, lost: 0, broken: Vec::new(), entries } }
            }
            StoreQuestion::Fetch { ticket, id } => {
                let entry = self.journal.iter().find(|entry| *entry.envelope.id() == id).cloned();
                StoreInput::Fetched { ticket, entry }
            }
            StoreQuestion::CheckMarks { ticket, marks } => {
                let agrees = marks.into_iter().find(|mark| self.mark_at(mark.seq) == *mark);
                StoreInput::MarksChecked { ticket, agrees }
            }
        }
    }

    /// A carrier gets the next seq, and the check that chains it to all before it. Notes are what the ledger of the
    /// next start is made of; a journal in memory needs none.
    fn append(&mut self, ticket: Ticket, records: Vec<NewRecord>) -> StoreInput {
        let first_seq = self.last().seq + 1;
        for record in records {
            let NewRecord::Carrier(carrier) = record else { continue };
            let (envelope, last) = (Arc::clone(carrier.envelope.envelope()), self.last());
            let (key, digest) = (envelope.key(), envelope.digest());
            self.seen.insert(key, digest);
            self.journal.push(Arc::new(Entry {
                seq: last.seq + 1,
                check: self.check_secret.check_after(&last.check, &digest),
                arrived: carrier.arrived,
                path: carrier.path,
                envelope,
                twins: Vec::new(),
                withdrawn_by: None,
                replaced_by: None,
            }));
        }
        // Only now, when it would be on disk: from here on the core promises it to others.
        let arrived = |entry: Option<&Arc<Entry>>| entry.map(|entry| entry.arrived).unwrap_or_default();
        let ends = JournalEnds {
            log_id: self.log_id,
            floor: Mark::START,
            last: self.last(),
            newest: arrived(self.journal.last()),
            oldest: arrived(self.journal.first()),
        };
        StoreInput::Stored { ticket, first_seq, ends }
    }

    fn last(&self) -> Mark {
        self.journal.last().map_or(Mark::START, |entry| entry.mark())
    }

    fn mark_at(&self, seq: u64) -> Mark {
        let entry = self.journal.iter().rfind(|entry| entry.seq <= seq);
        entry.map_or(Mark { seq: 0, check: Check::START }, |entry| entry.mark())
    }

    /// What a door does: makes the core, signs it, and submits.
    fn submit(&mut self, payload: &'static str, uuid: u128, now: intelmesh::Now) -> Result<EventId, Failure> {
        let id: EventId = format!("{}:example:{}", self.name, uuid::Uuid::from_u128(uuid)).parse()?;
        let core = Core {
            version: ENVELOPE_VERSION,
            id: id.clone(),
            ids: IdScheme::Random,
            created: now.wall,
            expires: None,
            event_type: EventType::Event,
            format: EventFormat::intelmq(),
            tlp: Tlp::Green,
            to: Vec::new(),
            max_hops: 8,
            parent: None,
            links: Vec::new(),
            ext: None,
            body: Body::Plain(Bytes::from_static(payload.as_bytes())),
            extensions: Default::default(),
        };
        let envelope = self.signer.sign(core)?;
        self.handle(DoorInput::Submit { ticket: Ticket(0), envelope }, now);
        Ok(id)
    }
}

/// The network between the two: a dial always succeeds, and a stream is the bytes that wait in it.
#[derive(Default)]
struct Network {
    connected: bool,
    streams: u64,
    /// By stream and the node that reads: bytes under way, and the decoder of its end.
    under_way: HashMap<(StreamId, usize), (BytesMut, FrameDecoder)>,
}

impl Network {
    /// Does one thing that node `at` asked for.
    fn carry(
        &mut self,
        nodes: &mut [SecondNode; 2],
        at: usize,
        output: TransportOutput,
        now: intelmesh::Now,
    ) -> Result<(), Failure> {
        let there = 1 - at;
        match output {
            // Each dials the other; only the first connection is reported.
            TransportOutput::Dial { .. } if self.connected => {}
            TransportOutput::Dial { .. } => {
                self.connected = true;
                for (node, other) in [(at, there), (there, at)] {
                    let peer = nodes[other].name.clone();
                    nodes[node].handle(TransportInput::Connected { peer, address: "memory".into() }, now);
                }
            }
            TransportOutput::OpenFeed { .. } => {
                self.streams += 1;
                let stream = StreamId(self.streams);
                for (node, other, role) in [(at, there, Role::Receiver), (there, at, Role::Sender)] {
                    self.under_way.insert((stream, node), Default::default());
                    let peer = nodes[other].name.clone();
                    nodes[node].handle(TransportInput::FeedOpened { peer, stream, role }, now);
                }
            }
            TransportOutput::Send { stream, frame, bytes } => {
                let mut out = Vec::new();
                encode_frame(&frame, &mut out);
                let Some((buffer, decoder)) = self.under_way.get_mut(&(stream, there)) else { return Ok(()) };
                buffer.extend_from_slice(&out);
                // A frame may come in pieces; the decoder takes those that are whole.
                let mut frames = Vec::new();
                while let Some(frame) = decoder.decode(buffer)? {
                    frames.push(frame);
                }
                nodes[at].handle(TransportInput::Sent { stream, bytes }, now);
                if !frames.is_empty() {
                    nodes[there].handle(TransportInput::Frames { stream, frames }, now);
                }
            }
            TransportOutput::CloseFeed { stream } => {
                self.under_way.retain(|(id, _), _| *id != stream);
                nodes[there].handle(
                    TransportInput::FeedClosed { stream, cause: "closed by the other side".into() },
                    now,
                );
            }
            // A transport with buffers of its own reads nothing more of a stream until `Resume`.
            TransportOutput::Resume { .. } => {}
            other => return Err(format!("this example never asks for that: {other:?}").into()),
        }
        Ok(())
    }
}

/// Two nodes connect, one submits two events, and the other hands them to its pipeline. Returns what was submitted
/// and what was handed over.
pub fn exchange() -> Result<(Vec<EventId>, Vec<EventId>), Failure> {
    // Time is an argument: this clock is as good as any that does not go back.
    let mut now = intelmesh::Now { tick: Tick::default(), wall: Timestamp(1_794_961_200_000) };
    let mut nodes = [
        SecondNode::new("cert-at", [1; 32], "cert-ee", [2; 32], now)?,
        SecondNode::new("cert-ee", [2; 32], "cert-at", [1; 32], now)?,
    ];
    let request = ConsumerRequest {
        name: None,
        from: Some(StartPosition::Earliest),
        own: false,
        acks: false,
        filter: None,
    };
    nodes[1].handle(DoorInput::ConsumerOpened { consumer: ConsumerId(1), request }, now);
    let submitted = vec![
        nodes[0].submit(r#"{"source.ip":"192.0.2.1"}"#, 1, now)?,
        nodes[0].submit(r#"{"source.ip":"192.0.2.2"}"#, 2, now)?,
    ];
    let mut network = Network::default();
    for _ in 0..1_000 {
        let asked = (0..2).find_map(|at| Some((at, nodes[at].to_network.pop_front()?)));
        if let Some((at, output)) = asked {
            network.carry(&mut nodes, at, output, now)?;
            continue;
        }
        if nodes[1].handed.len() == submitted.len() {
            break;
        }
        // Nothing is left to do now: on to the moment when a node wants to be called.
        let next = nodes.iter_mut().filter_map(|node| node.core.poll_timeout()).min().ok_or("no timeout")?;
        let passed = next.since_ms(now.tick).max(1);
        now = intelmesh::Now { tick: now.tick.plus_ms(passed), wall: now.wall.plus_ms(passed) };
        for node in &mut nodes {
            node.core.handle_timeout(now);
            node.obey(now);
        }
    }
    let [_, there] = nodes;
    Ok((submitted, there.handed))
}

fn main() -> Result<(), Failure> {
    let (submitted, handed) = exchange()?;
    println!("submitted at cert-at: {submitted:?}\nhanded over at cert-ee: {handed:?}");
    if submitted == handed { Ok(()) } else { Err("they differ".into()) }
}
