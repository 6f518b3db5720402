//! A trusted peer that means harm: it speaks the protocol well enough to stay connected, and sends what costs the
//! other side more than itself. It has no journal, takes nothing and remembers nothing.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::envelope::Signer;
use crate::identity::{Check, CoreDigest, EventKey, HopPath, LogId, PublisherName};
use crate::protocol::io::{Role, StreamId, TransportInput, TransportOutput};
use crate::protocol::{Input, Output};
use crate::sim::event_look::{EventLook, core};
use crate::time::Now;
use crate::wire::{
    CarrierFrame, Have, Hello, Mark, Skip, Subscribe, WIRE_VERSION_MAX, WIRE_VERSION_MIN, WireFrame,
};

/// Time between two rounds of a flood, in ms.
pub(crate) const ROUND_MS: u64 = 50;

const HOUR_MS: u64 = 3_600_000;

/// A kind of lie that a liar sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// HAVE, of a publisher that no node trusts.
    Offers,
    /// HAVE of its own events, and GONE when they are asked for.
    Gone,
    /// HAVE of its own events, and no answer when they are asked for.
    Silent,
    /// SKIP that says that an entry was dropped.
    Skips,
    /// KEY with bytes that are no statement.
    Statements,
    /// HAVE of events that are signed as of an hour later than the offer says.
    Dated,
}

/// So many frames each [`ROUND_MS`], in so many rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    pub lie: Lie,
    pub frames: u64,
    pub rounds: u64,
}

#[derive(Debug)]
pub struct Liar {
    name: PublisherName,
    signer: Signer,
    flood: Flood,
    /// The stream on which a peer takes, once it has subscribed.
    live: Option<StreamId>,
    seq: u64,
    /// The envelopes that it can answer with, by seq.
    envelopes: BTreeMap<u64, Bytes>,
    /// Frames that were sent to harm.
    pub sent: u64,
    /// How often it was asked for something.
    pub asked: u64,
}

impl Liar {
    pub fn new(name: PublisherName, signer: Signer, flood: Flood) -> Self {
        let envelopes = BTreeMap::new();
        Self { name, signer, flood, live: None, seq: 0, envelopes, sent: 0, asked: 0 }
    }

    /// Has it something to send, if it is woken each [`ROUND_MS`]?
    pub fn goes_on(&self) -> bool {
        self.flood.rounds > 0
    }

    pub fn handle(&mut self, inputs: Vec<Input>, now: Now) -> Vec<Output> {
        let mut outputs = Vec::new();
        for input in inputs {
            match input {
                Input::Transport(TransportInput::FeedOpened { stream, role: Role::Sender, .. }) => {
                    outputs.push(Output::Transport(TransportOutput::send(stream, self.hello(now))));
                }
                Input::Transport(TransportInput::FeedClosed { stream, .. }) if self.live == Some(stream) => {
                    self.live = None
                }
                Input::Transport(TransportInput::Frames { stream, frames }) => {
                    let answers = frames.into_iter().filter_map(|frame| self.answer(stream, frame));
                    outputs
                        .extend(answers.map(|frame| Output::Transport(TransportOutput::send(stream, frame))));
                    outputs.push(Output::Transport(TransportOutput::Resume { stream }));
                }
                _ => {}
            }
        }
        outputs
    }

    /// One round of the flood.
    pub fn flood(&mut self, now: Now) -> Vec<Output> {
        let Some(stream) = self.live.filter(|_| self.goes_on()) else { return Vec::new() };
        self.flood.rounds -= 1;
        let frames = (0..self.flood.frames).map(|_| self.lie(now)).collect::<Vec<_>>();
        self.sent += self.flood.frames;
        frames.into_iter().map(|frame| Output::Transport(TransportOutput::send(stream, frame))).collect()
    }

    fn hello(&self, now: Now) -> WireFrame {
        WireFrame::Hello(Box::new(Hello {
            name: self.name.clone(),
            federation: "simulated".into(),
            version_min: WIRE_VERSION_MIN,
            version_max: WIRE_VERSION_MAX,
            software: "liar/1".into(),
            instance: 1,
            log_id: LogId([0xee; 16]),
            first_seq: 1,
            last_seq: 1 << 40,
            now: now.wall,
            capabilities: Vec::new(),
            key_statements: Vec::new(),
        }))
    }

    fn answer(&mut self, stream: StreamId, frame: WireFrame) -> Option<WireFrame> {
        match frame {
            WireFrame::Subscribe(Subscribe { marks, .. }) => {
                let to = marks.first().copied().unwrap_or(Mark::START);
                (self.live, self.seq) = (Some(stream), to.seq);
                Some(WireFrame::Skip(Skip { to, dropped: 0 }))
            }
            WireFrame::Want { seq, .. } => {
                self.asked += 1;
                if self.flood.lie == Lie::Silent {
                    return None;
                }
                let envelope = self.envelopes.get(&seq).cloned();
                let path = HopPath::default().with(&self.name);
                let carrier = |envelope| CarrierFrame {
                    seq,
                    check: check(seq),
                    path: path.unwrap_or_default(),
                    envelope,
                };
                Some(
                    envelope.map_or(WireFrame::Gone { seq }, |envelope| WireFrame::Answer(carrier(envelope))),
                )
            }
            WireFrame::Ping { nonce } => Some(WireFrame::Pong { nonce }),
            _ => None,
        }
    }

    fn lie(&mut self, now: Now) -> WireFrame {
        self.seq += 1;
        let mark = Mark { seq: self.seq, check: check(self.seq) };
        match self.flood.lie {
            Lie::Offers => {
                let nobody = PublisherName::parse("nobody").expect("bug: it is a name");
                have(mark, (nobody, some_key(self.seq)), now)
            }
            Lie::Gone | Lie::Silent => have(mark, (self.name.clone(), some_key(self.seq)), now),
            Lie::Dated => {
                let created = now.wall.plus_ms(HOUR_MS);
                let core = core(0, self.name.clone(), self.seq, EventLook::PLAIN, created);
                let key = core.id.key();
                if let Ok(signed) = self.signer.sign(core) {
                    self.envelopes.insert(self.seq, signed.envelope().bytes().clone());
                }
                have(mark, (self.name.clone(), key), now)
            }
            Lie::Skips => WireFrame::Skip(Skip { to: mark, dropped: 1 }),
            Lie::Statements => WireFrame::KeyStatement(vec![0x5a; 200].into()),
        }
    }
}

fn check(seq: u64) -> Check {
    let mut check = Check::START;
    check.0[..8].copy_from_slice(&seq.to_be_bytes());
    check
}

fn some_key(seq: u64) -> EventKey {
    let mut key = [0xee; 16];
    key[8..].copy_from_slice(&seq.to_be_bytes());
    EventKey(key)
}

fn have(mark: Mark, (publisher, key): (PublisherName, EventKey), now: Now) -> WireFrame {
    let digest = CoreDigest([0; 32]);
    WireFrame::Have(Have { seq: mark.seq, check: mark.check, created: now.wall, publisher, key, digest })
}
