//! Connections and streams between simulated nodes. Frames cross as bytes; those of one stream stay in order,
//! as with TCP, and what is in a connection that breaks is lost. Each direction holds a bounded number of bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;

use crate::identity::PublisherName;
use crate::protocol::Input;
use crate::protocol::io::{DialFailure, Role, StreamId, TransportInput};
use crate::sim::scheduler::{ByteFlow, SimEvent, SimScheduler};
use crate::wire::{WireFrame, frame};

#[derive(Debug)]
struct Conn {
    ends: [usize; 2],
    alive: bool,
}

#[derive(Debug)]
struct Stream {
    conn: u64,
    sides: [StreamSide; 2],
}

#[derive(Debug)]
struct StreamSide {
    node: usize,
    /// The process knows of it and has not closed it.
    open: bool,
    /// Frames were handed to the process, and it has not said that it reads on.
    paused: bool,
    /// The process closed it: waiting bytes are sent, then the end.
    closing: bool,
    waiting: VecDeque<Vec<u8>>,
    wire: VecDeque<(u64, NetworkItem)>,
    /// When the last item arrives: the next is not before it.
    last: u64,
    arrived: BytesMut,
    decoder: frame::FrameDecoder,
}

#[derive(Debug)]
enum NetworkItem {
    Open,
    Bytes(Vec<u8>),
    End,
}

#[derive(Debug)]
pub struct Network {
    names: Vec<PublisherName>,
    /// Which process runs at each node.
    lives: Vec<Option<u64>>,
    conns: BTreeMap<u64, Conn>,
    /// The connections that each node believes to have with each peer.
    believed: BTreeMap<(usize, usize), BTreeSet<u64>>,
    streams: BTreeMap<u64, Stream>,
    made: u64,
    /// Nodes below it and the others do not reach each other.
    pub split: Option<usize>,
}

fn side(node: usize) -> StreamSide {
    StreamSide {
        node,
        open: false,
        paused: false,
        closing: false,
        waiting: VecDeque::new(),
        wire: VecDeque::new(),
        last: 0,
        arrived: BytesMut::new(),
        decoder: frame::FrameDecoder::default(),
    }
}

fn stream_id(stream: u64, side: usize) -> StreamId {
    StreamId(stream * 2 + side as u64)
}

impl Network {
    pub fn new(names: Vec<PublisherName>) -> Self {
        Self {
            lives: vec![None; names.len()],
            names,
            conns: BTreeMap::new(),
            believed: BTreeMap::new(),
            streams: BTreeMap::new(),
            made: 0,
            split: None,
        }
    }

    fn reaches(&self, a: usize, b: usize) -> bool {
        self.split.is_none_or(|below| (a < below) == (b < below))
    }

    fn tell(&self, agenda: &mut SimScheduler, node: usize, after: u64, input: Input) {
        if let Some(life) = self.lives[node] {
            agenda.tell(node, life, after, input);
        }
    }

    // --- connections ---

    pub fn node_up(&mut self, node: usize, life: u64) {
        self.lives[node] = Some(life);
        self.believed.retain(|(owner, _), _| *owner != node);
    }

    /// The process is gone: its connections break, which the others notice sooner or later.
    pub fn node_down(&mut self, agenda: &mut SimScheduler, node: usize) {
        self.lives[node] = None;
        let gone: Vec<u64> =
            self.alive().filter(|(_, conn)| conn.ends.contains(&node)).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|conn| self.break_conn(agenda, conn));
    }

    fn alive(&self) -> impl Iterator<Item = (u64, &Conn)> {
        self.conns.iter().filter(|(_, conn)| conn.alive).map(|(id, conn)| (*id, conn))
    }

    pub fn dial(&mut self, agenda: &mut SimScheduler, from: usize, to: usize) {
        let took = 2 * agenda.draw(agenda.weather.latency_ms);
        if let Some(life) = self.lives[from] {
            agenda.after(took, SimEvent::Dialled { from, to, life });
        }
    }

    pub fn on_dialled(&mut self, agenda: &mut SimScheduler, from: usize, to: usize, trusted: bool) {
        let failure = match self.lives[to] {
            Some(_) if self.reaches(from, to) && trusted => None,
            Some(_) if self.reaches(from, to) => Some(DialFailure::TurnedAway("closed".into())),
            _ => Some(DialFailure::Unreachable("nobody answers".into())),
        };
        if let Some(failure) = failure {
            let peer = self.names[to].clone();
            return self.tell(
                agenda,
                from,
                0,
                Input::Transport(TransportInput::DialFailed { peer, failure }),
            );
        }
        if self.alive().any(|(_, conn)| conn.ends.contains(&from) && conn.ends.contains(&to)) {
            return;
        }
        self.made += 1;
        self.conns.insert(self.made, Conn { ends: [from, to], alive: true });
        for (node, peer) in [(to, from), (from, to)] {
            let known = self.believed.entry((node, peer)).or_default();
            known.insert(self.made);
            if known.len() == 1 {
                let peer = self.names[peer].clone();
                self.tell(
                    agenda,
                    node,
                    0,
                    Input::Transport(TransportInput::Connected { peer, address: "simulated".into() }),
                );
            }
        }
    }

    /// The connection between two nodes breaks.
    pub fn cut(&mut self, agenda: &mut SimScheduler, a: usize, b: usize) {
        let gone: Vec<u64> = self
            .alive()
            .filter(|(_, conn)| conn.ends.contains(&a) && conn.ends.contains(&b))
            .map(|(id, _)| id)
            .collect();
        gone.into_iter().for_each(|conn| self.break_conn(agenda, conn));
    }

    pub fn partition(&mut self, agenda: &mut SimScheduler, below: usize) {
        self.split = Some(below);
        let gone: Vec<u64> = self
            .alive()
            .filter(|(_, conn)| !self.reaches(conn.ends[0], conn.ends[1]))
            .map(|(id, _)| id)
            .collect();
        gone.into_iter().for_each(|conn| self.break_conn(agenda, conn));
    }

    fn break_conn(&mut self, agenda: &mut SimScheduler, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.alive = false;
        let ends = conn.ends;
        for stream in self.streams.values_mut().filter(|stream| stream.conn == id) {
            for side in &mut stream.sides {
                side.waiting.clear();
                side.wire.clear();
                side.arrived.clear();
            }
        }
        for end in ends {
            let mut after = agenda.draw(agenda.weather.notice_ms);
            if agenda.chance(16) {
                // Half open: only silence tells.
                after += 40_000;
            }
            agenda.after(after, SimEvent::Notice { conn: id, end });
        }
    }

    pub fn on_notice(&mut self, agenda: &mut SimScheduler, id: u64, node: usize) {
        let Some(ends) = self.conns.get(&id).map(|conn| conn.ends) else { return };
        let peer = if ends[0] == node { ends[1] } else { ends[0] };
        if !self.believed.get_mut(&(node, peer)).is_some_and(|known| known.remove(&id)) {
            return;
        }
        let mut told = Vec::new();
        for (number, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.conn == id) {
            for (at, side) in stream.sides.iter_mut().enumerate().filter(|(_, side)| side.node == node) {
                if std::mem::take(&mut side.open) {
                    told.push(stream_id(*number, at));
                }
            }
        }
        for stream in told {
            self.tell(
                agenda,
                node,
                0,
                Input::Transport(TransportInput::FeedClosed { stream, cause: "connection lost".into() }),
            );
        }
        if self.believed[&(node, peer)].is_empty() {
            let peer = self.names[peer].clone();
            self.tell(
                agenda,
                node,
                0,
                Input::Transport(TransportInput::Disconnected { peer, cause: "connection lost".into() }),
            );
        }
        self.streams.retain(|_, stream| stream.conn != id || stream.sides.iter().any(|side| side.open));
    }

    /// The process wants no connection with `peer` any more.
    pub fn hang_up(&mut self, agenda: &mut SimScheduler, node: usize, peer: usize) {
        for id in self.believed.get(&(node, peer)).cloned().unwrap_or_default() {
            if self.conns.get(&id).is_some_and(|conn| conn.alive) {
                self.break_conn(agenda, id);
            }
            self.on_notice(agenda, id, node);
        }
    }

    // --- streams ---

    pub fn open_feed(&mut self, agenda: &mut SimScheduler, node: usize, peer: usize) {
        let known = self.believed.get(&(node, peer)).and_then(|known| known.last()).copied();
        let conn = known.filter(|id| self.conns[id].alive);
        let Some(conn) = conn else {
            let peer = self.names[peer].clone();
            let after = if known.is_some() { 10_000 } else { 0 };
            return self.tell(
                agenda,
                node,
                after,
                Input::Transport(TransportInput::FeedNotOpened { peer, cause: "no connection".into() }),
            );
        };
        self.made += 1;
        let stream = self.made;
        let mut sides = [side(node), side(peer)];
        sides[0].open = true;
        self.streams.insert(stream, Stream { conn, sides });
        let (name, id) = (self.names[peer].clone(), stream_id(stream, 0));
        self.tell(
            agenda,
            node,
            0,
            Input::Transport(TransportInput::FeedOpened { peer: name, stream: id, role: Role::Receiver }),
        );
        self.put(agenda, ByteFlow { stream, from: 0 }, NetworkItem::Open);
    }

    pub fn send(&mut self, agenda: &mut SimScheduler, id: StreamId, frame: &WireFrame) {
        let flow = ByteFlow { stream: id.0 / 2, from: (id.0 % 2) as usize };
        let Some(stream) = self.streams.get_mut(&flow.stream) else { return };
        if !self.conns[&stream.conn].alive {
            return;
        }
        let mut bytes = Vec::new();
        frame::encode(frame, &mut bytes);
        stream.sides[flow.from].waiting.push_back(bytes);
        agenda.after(0, SimEvent::Leave(flow));
    }

    /// The node at the other end.
    pub fn other_end(&self, id: StreamId) -> Option<usize> {
        let stream = self.streams.get(&(id.0 / 2))?;
        Some(stream.sides[1 - (id.0 % 2) as usize].node)
    }

    pub fn close(&mut self, agenda: &mut SimScheduler, id: StreamId) {
        let flow = ByteFlow { stream: id.0 / 2, from: (id.0 % 2) as usize };
        let Some(stream) = self.streams.get_mut(&flow.stream) else { return };
        let side = &mut stream.sides[flow.from];
        side.closing = true;
        side.open = false;
        side.paused = false;
        side.arrived.clear();
        agenda.after(0, SimEvent::Leave(flow));
        // Bytes that the other side is sending are dropped here.
        agenda.after(0, SimEvent::Leave(ByteFlow { from: 1 - flow.from, ..flow }));
    }

    pub fn resume(&mut self, agenda: &mut SimScheduler, id: StreamId) {
        let (number, at) = (id.0 / 2, (id.0 % 2) as usize);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.sides[at].paused = false;
        agenda.after(0, SimEvent::Arrive(ByteFlow { stream: number, from: 1 - at }));
    }

    fn put(&mut self, agenda: &mut SimScheduler, flow: ByteFlow, item: NetworkItem) {
        let latency = agenda.draw(agenda.weather.latency_ms);
        let Some(stream) = self.streams.get_mut(&flow.stream) else { return };
        let side = &mut stream.sides[flow.from];
        let at = side.last.max(agenda.now + latency);
        side.last = at;
        side.wire.push_back((at, item));
        agenda.at(at, SimEvent::Arrive(flow));
    }

    /// Puts on the wire what it has room for.
    pub fn on_leave(&mut self, agenda: &mut SimScheduler, flow: ByteFlow) {
        let Some(stream) = self.streams.get_mut(&flow.stream) else { return };
        if !self.conns[&stream.conn].alive {
            return;
        }
        let capacity = agenda.weather.pipe_bytes;
        let [first, second] = &mut stream.sides;
        let (side, other) = if flow.from == 0 { (first, second) } else { (second, first) };
        let on_wire =
            |item: &(u64, NetworkItem)| if let NetworkItem::Bytes(bytes) = &item.1 { bytes.len() } else { 0 };
        let mut used = side.wire.iter().map(on_wire).sum::<usize>() + other.arrived.len();
        let mut leaving = Vec::new();
        while let Some(next) = side.waiting.front().map(Vec::len) {
            if used > 0 && used + next > capacity {
                break;
            }
            used += next;
            leaving.extend(side.waiting.pop_front());
        }
        let (node, open) = (side.node, side.open);
        let ended = side.waiting.is_empty() && std::mem::take(&mut side.closing);
        if !leaving.is_empty() {
            let bytes = leaving.concat();
            if open {
                let (stream, bytes) = (stream_id(flow.stream, flow.from), bytes.len());
                self.tell(agenda, node, 0, Input::Transport(TransportInput::Sent { stream, bytes }));
            }
            self.put(agenda, flow, NetworkItem::Bytes(bytes));
        }
        if ended {
            self.put(agenda, flow, NetworkItem::End);
        }
    }

    /// Hands on what has arrived, if the process reads.
    ///
    /// # Errors
    /// Bytes that are no frames: the other process made them.
    pub fn on_arrive(&mut self, agenda: &mut SimScheduler, flow: ByteFlow) -> Result<(), frame::FrameError> {
        let Some(stream) = self.streams.get_mut(&flow.stream) else { return Ok(()) };
        let to = 1 - flow.from;
        let peer = self.names[stream.sides[flow.from].node].clone();
        let node = stream.sides[to].node;
        let id = stream_id(flow.stream, to);
        let mut ended = false;
        while let Some((_, item)) = stream.sides[flow.from].wire.pop_front_if(|(at, _)| *at <= agenda.now) {
            let side = &mut stream.sides[to];
            match item {
                NetworkItem::Open => {
                    side.open = true;
                    if let Some(life) = self.lives[node] {
                        let input = Input::Transport(TransportInput::FeedOpened {
                            peer: peer.clone(),
                            stream: id,
                            role: Role::Sender,
                        });
                        agenda.tell(node, life, 0, input);
                    }
                }
                NetworkItem::Bytes(bytes) if side.open => side.arrived.extend_from_slice(&bytes),
                NetworkItem::Bytes(_) => {}
                NetworkItem::End => ended = true,
            }
        }
        let side = &mut stream.sides[to];
        if side.open && !side.paused && !side.arrived.is_empty() {
            let mut frames = Vec::new();
            while let Some(frame) = side.decoder.decode(&mut side.arrived)? {
                frames.push(frame);
            }
            if !frames.is_empty() {
                side.paused = true;
                if let Some(life) = self.lives[node] {
                    agenda.tell(
                        node,
                        life,
                        0,
                        Input::Transport(TransportInput::Frames { stream: id, frames }),
                    );
                }
            }
            agenda.after(0, SimEvent::Leave(flow));
        }
        let unread = side.open && !side.arrived.is_empty();
        if ended && unread {
            // The end is behind what is still to be read.
            stream.sides[flow.from].wire.push_front((agenda.now + 1, NetworkItem::End));
            agenda.after(1, SimEvent::Arrive(flow));
        } else if ended {
            self.end(agenda, flow.stream, to);
        }
        Ok(())
    }

    /// The other side closed the stream.
    fn end(&mut self, agenda: &mut SimScheduler, number: u64, to: usize) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (node, id) = (stream.sides[to].node, stream_id(number, to));
        if std::mem::take(&mut stream.sides[to].open) {
            self.tell(
                agenda,
                node,
                0,
                Input::Transport(TransportInput::FeedClosed {
                    stream: id,
                    cause: "closed by the peer".into(),
                }),
            );
        }
        self.streams.remove(&number);
    }
}
