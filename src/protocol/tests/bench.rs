//! A node on a bench: `cert-at`, with the peers `cert-ee` and `cert-pl`. The tests hold the keys of both.

mod frames;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;

use crate::envelope::{Body, Core, Signer};
use crate::identity::{Check, CheckSecret, CoreDigest, EventId, EventKey, LogId, ProjectName, PublisherName};
use crate::policy::{Peer, TrustList};
use crate::protocol::io::{
    CommandRefused, ConsumerClosed, ConsumerId, DoorInput, DoorOutput, Event, OperatorInput, Read, Role,
    StoreInput, StoreOutput, StoreQuestion, StreamId, Submitted, Ticket, TransportInput, TransportOutput,
};
use crate::protocol::{CoreBounds, CoreConfig, Dialect, Input, Node, Output, Rules, intake};
use crate::record::{BrokenEntry, Entry, JournalEnds, Ledger, NewRecord};
use crate::status::PeerFaultKind;
use crate::time::{Now, Tick, Timestamp};
use crate::wire::{FaultCode, Mark, Skip, VerdictCode, WireFrame};

pub use frames::*;

pub const WALL: u64 = 1_800_000_000_000;
const LOG: LogId = LogId([7; 16]);

pub fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

pub fn signing_key(of: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..of.len()].copy_from_slice(of.as_bytes());
    SigningKey::from_bytes(&seed)
}

pub fn signer(of: &str) -> Signer {
    Signer::new(signing_key(of))
}

pub fn peer(of: &str) -> Peer {
    Peer::new(name(of), signer(of).verifying_key())
}

pub fn core(publisher: &str, nth: u8) -> Core {
    Core {
        id: EventId {
            publisher: name(publisher),
            project: ProjectName::parse("intelmq").unwrap(),
            uuid: uuid::Builder::from_random_bytes([nth; 16]).into_uuid(),
        },
        created: Timestamp(WALL),
        body: Body::Plain(Bytes::from(format!("{{\"extra.nth\":{nth}}}"))),
        ..crate::fixture::core()
    }
}

pub fn signed(core: Core) -> Bytes {
    signer(core.id.publisher.as_str()).sign(core).unwrap().envelope().bytes().clone()
}

/// The answers that doors got.
#[derive(Default)]
pub struct Told {
    pub submitted: Vec<(Ticket, Submitted)>,
    /// Of each lineage the last byte of each UUID.
    pub recalled: Vec<(Ticket, Vec<u8>)>,
    /// The answers that the operator got.
    pub done: Vec<(Ticket, Result<(), CommandRefused>)>,
    /// The generation under which each connection began.
    pub began: Vec<u64>,
    pub consumers_closed: Vec<(ConsumerId, ConsumerClosed)>,
}

/// The counts of the bench.
#[derive(Default)]
pub struct Counts {
    /// How many notes were written.
    pub noted: usize,
    /// How many failures of the store were heard of.
    pub heard: usize,
    /// How many bytes each read of the journal was to bring.
    pub reads: Vec<usize>,
    /// When it wanted to read the feed of a peer.
    pub feeds_wanted: Vec<Tick>,
    /// Entries that can no longer be read.
    broken: Vec<BrokenEntry>,
    streams: u64,
}

pub struct Bench {
    pub node: Node,
    pub now: Now,
    pub seen: BTreeMap<EventKey, CoreDigest>,
    pub journal: Vec<Arc<Entry>>,
    pub ledger: Ledger,
    pub sent: Vec<(StreamId, WireFrame)>,
    pub closed: Vec<StreamId>,
    pub events: Vec<Event>,
    pub told: Told,
    /// The entries that consumers were handed; each is ready for more at once.
    pub handed: Vec<EventKey>,
    /// Appends wait here while it is set.
    pub held: Option<Vec<(Ticket, Vec<NewRecord>)>>,
    pub counts: Counts,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(vec![peer("cert-ee"), peer("cert-pl")], Ledger::default())
    }

    pub fn with(trust: Vec<Peer>, ledger: Ledger) -> Self {
        Self::started(trust, ledger, Vec::new(), BTreeMap::new())
    }

    /// A node that starts with what an earlier one left.
    pub fn started(
        trust: Vec<Peer>,
        ledger: Ledger,
        journal: Vec<Arc<Entry>>,
        seen: BTreeMap<EventKey, CoreDigest>,
    ) -> Self {
        let now = Now { tick: Tick(1_000), wall: Timestamp(WALL) };
        let config = CoreConfig {
            federation: "test".into(),
            software: "test".into(),
            instance: 1,
            seed: 1,
            seen_keep_ms: 31 * 86_400_000,
            rules: Rules::default(),
            bounds: CoreBounds::default(),
            dialect: Dialect::default(),
        };
        let list = TrustList::new(name("cert-at"), signer("cert-at").verifying_key(), trust);
        let node = Node::new(config, Arc::new(list), ledger.clone(), ends(&journal), now);
        let mut bench = Self {
            node,
            now,
            seen,
            journal,
            ledger,
            sent: Vec::new(),
            closed: Vec::new(),
            events: Vec::new(),
            told: Told::default(),
            handed: Vec::new(),
            held: None,
            counts: Counts::default(),
        };
        bench.drain();
        bench
    }

    pub fn input(&mut self, input: Input) {
        self.node.handle_input(input, self.now);
        self.drain();
    }

    /// Time goes on, with the wakes that the node asks for.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.tick.plus_ms(ms);
        while self.now.tick < until {
            let next = self.node.poll_timeout().map_or(until, |at| at.min(until));
            assert!(next > self.now.tick || next == until, "woken for nothing at {next:?}");
            let step = next.since_ms(self.now.tick);
            self.now = Now { tick: next, wall: self.now.wall.plus_ms(step) };
            self.node.handle_timeout(self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            let answer = match output {
                Output::Transport(TransportOutput::Send { stream, frame, bytes }) => {
                    self.sent.push((stream, frame));
                    Some(Input::Transport(TransportInput::Sent { stream, bytes }))
                }
                Output::Ask(StoreQuestion::LookUp { ticket, keys }) => {
                    let digests = keys.iter().map(|key| self.seen.get(key).copied()).collect();
                    let floor = self.ledger.floor.unwrap_or_default();
                    Some(Input::Store(StoreInput::Known { ticket, digests, floor }))
                }
                Output::Verify { ticket, envelopes } => {
                    let results = envelopes.into_iter().map(|(it, keys)| intake::inspect(it, &keys));
                    Some(Input::Verified { ticket, results: results.collect() })
                }
                Output::Store(StoreOutput::Append { ticket, records }) => match &mut self.held {
                    Some(held) => {
                        held.push((ticket, records));
                        None
                    }
                    None => Some(self.store(ticket, records)),
                },
                Output::Store(StoreOutput::GoOn) => {
                    self.counts.heard += 1;
                    None
                }
                Output::Ask(StoreQuestion::Fetch { ticket, id }) => {
                    let entry = self.journal.iter().find(|entry| *entry.envelope.id() == id).cloned();
                    Some(Input::Store(StoreInput::Fetched { ticket, entry }))
                }
                Output::Ask(StoreQuestion::CheckMarks { ticket, marks }) => {
                    let agrees = marks.into_iter().find(|mark| {
                        *mark == Mark::START || self.journal.iter().any(|entry| entry.mark() == *mark)
                    });
                    Some(Input::Store(StoreInput::MarksChecked { ticket, agrees }))
                }
                Output::Ask(StoreQuestion::Read { reader, after_seq, bytes_max }) => {
                    Some(Input::Store(StoreInput::Entries { reader, read: self.read(after_seq, bytes_max) }))
                }
                Output::Door(DoorOutput::Recalled { ticket, lineage }) => {
                    let last = |entry: &Arc<Entry>| entry.envelope.id().uuid.as_bytes()[15];
                    self.told.recalled.push((ticket, lineage.iter().map(last).collect()));
                    None
                }
                Output::Door(DoorOutput::HandOff { consumer, entries }) => {
                    self.handed.extend(entries.iter().map(|entry| entry.envelope.key()));
                    Some(Input::Door(DoorInput::ConsumerReady { consumer }))
                }
                other => {
                    self.remember(other);
                    None
                }
            };
            if let Some(answer) = answer {
                self.node.handle_input(answer, self.now);
            }
        }
    }

    /// Outputs that need no answer.
    fn remember(&mut self, output: Output) {
        match output {
            Output::Transport(TransportOutput::OpenFeed { .. }) => {
                self.counts.feeds_wanted.push(self.now.tick)
            }
            Output::Transport(TransportOutput::CloseFeed { stream }) => self.closed.push(stream),
            Output::Event(event) => self.events.push(event),
            Output::CommandDone { ticket, result } => self.told.done.push((ticket, result)),
            Output::Door(DoorOutput::Submitted { ticket, outcome }) => {
                self.told.submitted.push((ticket, outcome));
            }
            Output::Door(DoorOutput::ConsumerBegan { generation, .. }) => self.told.began.push(generation),
            Output::Door(DoorOutput::ConsumerClosed { consumer, why }) => {
                self.told.consumers_closed.push((consumer, why))
            }
            _ => {}
        }
    }

    /// Entries that are not in the journal are damaged.
    fn read(&mut self, after_seq: u64, bytes_max: usize) -> Read {
        self.counts.reads.push(bytes_max);
        let most = if bytes_max == 0 { 1 } else { usize::MAX };
        let follow = self.journal.iter().filter(|entry| entry.seq > after_seq);
        let mut entries: Vec<_> = follow.take(most).cloned().collect();
        let first = entries.first().map_or(after_seq + 1, |entry| entry.seq);
        let whole = (first..).zip(&entries).take_while(|(seq, entry)| *seq == entry.seq).count();
        entries.truncate(whole);
        let before = self.journal.iter().rfind(|entry| entry.seq < first);
        let after = before.map_or(Mark::START, |entry| entry.mark());
        let after = Mark { seq: first - 1, ..if after.seq + 1 == first { after } else { Mark::START } };
        let passed = |entry: &&BrokenEntry| (after_seq + 1..first).contains(&entry.seq);
        let broken = self.counts.broken.iter().filter(passed).copied().collect();
        Read { after, lost: first - 1 - after_seq, broken, entries }
    }

    /// The body of an entry can no longer be read.
    pub fn damage(&mut self, seq: u64) {
        let at = self.journal.iter().position(|entry| entry.seq == seq).unwrap();
        let entry = self.journal.remove(at);
        self.counts.broken.push(BrokenEntry { seq, key: entry.envelope.key() });
    }

    fn store(&mut self, ticket: Ticket, records: Vec<NewRecord>) -> Input {
        let first_seq = self.next_seq();
        for record in records {
            match record {
                NewRecord::Note(note) => {
                    self.counts.noted += 1;
                    self.ledger.apply(&note);
                }
                NewRecord::Carrier(carrier) => {
                    let envelope = carrier.envelope.envelope().clone();
                    let before = self.journal.last().map_or(Check::START, |entry| entry.check);
                    let seq = self.next_seq();
                    self.ledger.apply_carrier(envelope.key(), seq, carrier.arrived);
                    self.seen.insert(envelope.key(), envelope.digest());
                    self.journal.push(Arc::new(Entry {
                        seq,
                        check: CheckSecret::new([7; 32]).check_after(&before, &envelope.digest()),
                        arrived: carrier.arrived,
                        path: carrier.path,
                        envelope,
                        twins: Vec::new(),
                        withdrawn_by: None,
                        replaced_by: None,
                    }));
                }
            }
        }
        Input::Store(StoreInput::Stored { ticket, first_seq, ends: ends(&self.journal) })
    }

    fn next_seq(&self) -> u64 {
        self.journal.last().map_or(0, |entry| entry.seq) + 1
    }

    /// Writes the appends that were held back.
    pub fn release(&mut self) {
        // Requests that come meanwhile come behind it.
        while let Some(held) = self.held.as_mut().filter(|held| !held.is_empty()) {
            let (ticket, records) = held.remove(0);
            let stored = self.store(ticket, records);
            self.input(stored);
        }
        self.held = None;
    }

    // --- the peer ---

    pub fn connect(&mut self, of: &str) {
        self.input(Input::Transport(TransportInput::Connected { peer: name(of), address: "bench".into() }));
    }

    /// A stream in `role`, with the HELLO of process `instance`; not yet subscribed.
    pub fn greeted(&mut self, of: &str, role: Role, instance: u64) -> StreamId {
        let stream = self.opened(of, role);
        self.frames(stream, vec![hello(of, instance)]);
        stream
    }

    pub fn opened(&mut self, of: &str, role: Role) -> StreamId {
        self.counts.streams += 1;
        let stream = StreamId(self.counts.streams);
        self.input(Input::Transport(TransportInput::FeedOpened { peer: name(of), stream, role }));
        stream
    }

    /// A live feed from the peer, that starts at the beginning.
    pub fn receiving(&mut self, of: &str) -> StreamId {
        self.connect(of);
        let stream = self.greeted(of, Role::Receiver, 2);
        self.frames(stream, vec![WireFrame::Skip(Skip { to: Mark::START, dropped: 0 })]);
        stream
    }

    /// The same, resumed at `seq`.
    pub fn receiving_at(&mut self, of: &str, seq: u64) -> StreamId {
        self.connect(of);
        let stream = self.greeted(of, Role::Receiver, 2);
        let to = Mark { seq, check: check(seq) };
        self.frames(stream, vec![WireFrame::Skip(Skip { to, dropped: 0 })]);
        stream
    }

    /// A live feed to the peer.
    pub fn sending(&mut self, of: &str) -> StreamId {
        self.connect(of);
        let stream = self.greeted(of, Role::Sender, 2);
        self.frames(stream, vec![subscribe()]);
        stream
    }

    pub fn frames(&mut self, stream: StreamId, frames: Vec<WireFrame>) {
        self.input(Input::Transport(TransportInput::Frames { stream, frames }));
    }

    pub fn submit(&mut self, ticket: u64, core: Core) {
        let envelope = signer("cert-at").sign(core).unwrap();
        self.input(Input::Door(DoorInput::Submit { ticket: Ticket(ticket), envelope }));
    }

    // --- what came of it ---

    /// The verdicts that ACKs have named, once they are due.
    pub fn verdicts(&mut self) -> Vec<(u64, VerdictCode)> {
        self.pass(200);
        let acks = self.sent.iter().filter_map(|(_, frame)| match frame {
            WireFrame::Ack(ack) => {
                Some(ack.verdicts.iter().map(|(seq, said)| (*seq, said.known().unwrap())).collect::<Vec<_>>())
            }
            _ => None,
        });
        acks.flatten().collect()
    }

    /// Is its first peer shown as running twice?
    pub fn is_cloned(&self) -> bool {
        let view = self.node.view();
        view.peers[0].status.fault.as_ref().is_some_and(|fault| fault.kind == PeerFaultKind::Cloned)
    }

    pub fn faults(&self) -> Vec<FaultCode> {
        let code = |(_, frame): &_| match frame {
            WireFrame::Fault { code, .. } => Some(code.handled_as()),
            _ => None,
        };
        self.sent.iter().filter_map(code).collect()
    }

    pub fn wants(&self) -> Vec<u64> {
        let seq = |(_, frame): &_| if let WireFrame::Want { seq, .. } = frame { Some(*seq) } else { None };
        self.sent.iter().filter_map(seq).collect()
    }

    /// Seqs that were sent to the peer: pushed or answered, offered.
    pub fn shown(&self) -> (Vec<u64>, Vec<u64>) {
        let mut shown = (Vec::new(), Vec::new());
        for (_, frame) in &self.sent {
            match frame {
                WireFrame::Carrier(carrier) | WireFrame::Answer(carrier) => shown.0.push(carrier.seq),
                WireFrame::Have(have) => shown.1.push(have.seq),
                _ => {}
            }
        }
        shown
    }

    pub fn cursor(&self, of: &str) -> u64 {
        self.ledger.feeds.get(&name(of)).map_or(0, |state| state.cursor.seq)
    }

    pub fn owed(&self, of: &str) -> Vec<(u64, VerdictCode)> {
        let state = self.ledger.feeds.get(&name(of));
        state.map_or(Vec::new(), |state| state.owed.values().map(|owed| (owed.seq, owed.reason)).collect())
    }

    /// The peer files changed.
    pub fn trust(&mut self, peers: impl IntoIterator<Item = Peer>) {
        let own = signer("cert-at").verifying_key();
        let list = TrustList::new(name("cert-at"), own, peers);
        self.input(Input::Operator(OperatorInput::Trust(Arc::new(list))));
    }
}

pub fn ends(journal: &[Arc<Entry>]) -> JournalEnds {
    let last = journal.last().map_or(Mark::START, |entry| entry.mark());
    JournalEnds { log_id: LOG, floor: Mark::START, last, newest: Timestamp(WALL), oldest: Timestamp(WALL) }
}
