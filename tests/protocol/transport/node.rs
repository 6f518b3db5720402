//! One transport under test, with the test in the place of the core. Every wait has a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use intelmesh::testing::{PeerAddresses, Stranger, Transport, TransportConfig, TransportError};
use intelmesh::{
    CarrierFrame, Check, DialFailure, HopPath, Input, PublisherName, Role, StreamId, TransportInput,
    TransportOutput, WireFrame, public_key_text,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// Dials whose handshake was cut by its deadline are repeated at most this often.
pub const DIALS_MAX: usize = 4;

pub struct Node {
    pub secret: SigningKey,
    pub transport: Transport,
    pub address: String,
    name: PublisherName,
    inputs: mpsc::Receiver<Input>,
    /// What came while something else was waited for.
    heard: Vec<Input>,
}

pub fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

pub fn ping(nonce: u64) -> WireFrame {
    WireFrame::Ping { nonce }
}

/// 64 KiB of envelope.
pub fn big_frame() -> WireFrame {
    WireFrame::Carrier(CarrierFrame {
        seq: 1,
        check: Check::START,
        path: HopPath::default(),
        envelope: Bytes::from(vec![7; 64 * 1024]),
    })
}

pub fn socket(multiaddr: &str) -> SocketAddr {
    let parts: Vec<&str> = multiaddr.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().unwrap()
}

/// Bytes that look at first like what belongs there, and then do not.
pub fn noise_like(seed: u64, count: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let heads: [&[u8]; 3] = [b"", b"\x13/multistream/1.0.0\n", b"\x13/multistream/1.0.0\n\x07/noise\n"];
    let mut bytes = |n: u64| {
        let random = (0..2000).map(|_| next());
        heads[n as usize % 3].iter().copied().chain(random).collect()
    };
    (0..count).map(&mut bytes).collect()
}

/// Each of `nodes` has all others as peers.
pub fn know(nodes: &[&Node]) {
    for node in nodes {
        let others = nodes.iter().filter(|other| other.name != node.name);
        node.transport.set_peers(others.map(|other| other.as_peer()).collect());
    }
}

/// `receiver` opens a feed to `sender`; the stream at each of them.
pub async fn feed(receiver: &mut Node, sender: &mut Node) -> (StreamId, StreamId) {
    receiver.order(TransportOutput::OpenFeed { peer: sender.name() });
    (receiver.opened(Role::Receiver).await, sender.opened(Role::Sender).await)
}

impl Node {
    pub async fn start(name: &str, seed: u8) -> Self {
        Self::start_at(name, seed, "/ip4/127.0.0.1/tcp/0").await
    }

    pub async fn start_at(name: &str, seed: u8, listen: &str) -> Self {
        Self::try_start(name, seed, listen).await.unwrap()
    }

    pub async fn try_start(text: &str, seed: u8, listen: &str) -> Result<Self, TransportError> {
        let secret = intelmesh::testing::fixture::key(seed);
        let config = TransportConfig { key: secret.clone(), listen: vec![listen.to_owned()] };
        let (answers, inputs) = mpsc::channel(64);
        let (transport, listening) = Transport::start(config, answers).await?;
        let address = listening.into_iter().next().unwrap();
        Ok(Self { secret, transport, address, name: name(text), inputs, heard: Vec::new() })
    }

    /// Two that know each other and are connected.
    pub async fn pair() -> (Self, Self) {
        let (mut a, mut b) = (Self::start("a", 1).await, Self::start("b", 2).await);
        know(&[&a, &b]);
        a.connect(&mut b).await;
        (a, b)
    }

    pub fn name(&self) -> PublisherName {
        self.name.clone()
    }

    pub fn key(&self) -> VerifyingKey {
        self.secret.verifying_key()
    }

    pub fn as_peer(&self) -> PeerAddresses {
        let addresses = vec![self.address.clone()];
        PeerAddresses { name: self.name(), key: self.key(), addresses, paused: false }
    }

    pub fn order(&self, output: TransportOutput) {
        self.transport.handle(output);
    }

    pub fn send(&self, stream: StreamId, frame: WireFrame) {
        self.order(TransportOutput::send(stream, frame));
    }

    pub fn resume(&self, stream: StreamId) {
        self.order(TransportOutput::Resume { stream });
    }

    pub async fn dial(&mut self, other: &Node) {
        self.order(TransportOutput::Dial { peer: other.name() });
        let answer = self
            .next(|input| {
                matches!(
                    input,
                    Input::Transport(TransportInput::Connected { .. })
                        | Input::Transport(TransportInput::DialFailed { .. })
                )
            })
            .await;
        assert!(matches!(answer, Input::Transport(TransportInput::Connected { .. })), "{answer:?}");
    }

    /// Dials until the handshake tells why it fails. A busy machine may cut it by its deadline before.
    pub async fn dial_in_vain(&mut self, other: &Node) -> DialFailure {
        let mut cut = 0;
        loop {
            self.order(TransportOutput::Dial { peer: other.name() });
            let failed =
                self.next(|input| matches!(input, Input::Transport(TransportInput::DialFailed { .. }))).await;
            let Input::Transport(TransportInput::DialFailed { failure, .. }) = failed else { unreachable!() };
            if !matches!(failure, DialFailure::Unreachable(_)) || cut == DIALS_MAX {
                return failure;
            }
            cut += 1;
        }
    }

    /// Waits until `other` is recorded as a stranger, wherever it stands in the list.
    pub async fn until_stranger(&self, other: &Node) -> Stranger {
        let key = public_key_text(&other.key());
        self.until(|node| node.transport.strangers().into_iter().find(|one| one.key == key)).await
    }

    pub async fn connect(&mut self, other: &mut Node) {
        self.dial(other).await;
        let own = self.name();
        other.next(|input| matches!(input, Input::Transport(TransportInput::Connected { peer, .. }) if *peer == own)).await;
    }

    async fn opened(&mut self, wanted: Role) -> StreamId {
        let opened =
            self.next(|input| matches!(input, Input::Transport(TransportInput::FeedOpened { role, .. }) if *role == wanted)).await;
        let Input::Transport(TransportInput::FeedOpened { stream, .. }) = opened else { unreachable!() };
        stream
    }

    /// What came while something else was waited for.
    pub fn heard(&mut self) -> &[Input] {
        while let Ok(input) = self.inputs.try_recv() {
            self.heard.push(input);
        }
        &self.heard
    }

    /// Waits for the first input that `wanted` says yes to.
    pub async fn next(&mut self, wanted: impl Fn(&Input) -> bool) -> Input {
        if let Some(at) = self.heard.iter().position(&wanted) {
            return self.heard.remove(at);
        }
        let waiting = async {
            loop {
                let input = self.inputs.recv().await.expect("the transport ended");
                if wanted(&input) {
                    return input;
                }
                self.heard.push(input);
            }
        };
        let found = timeout(DEADLINE, waiting).await;
        found.unwrap_or_else(|_| panic!("{} heard only {:?}", self.name, self.heard))
    }

    pub async fn first_frames(&mut self, of: StreamId) -> Vec<WireFrame> {
        let input = self.next(|input| matches!(input, Input::Transport(TransportInput::Frames { stream, .. }) if *stream == of)).await;
        let Input::Transport(TransportInput::Frames { frames, .. }) = input else { unreachable!() };
        frames
    }

    /// Reads until `count` frames are there.
    pub async fn frames(&mut self, of: StreamId, count: usize) -> Vec<WireFrame> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.first_frames(of).await);
            self.resume(of);
        }
        all
    }

    pub fn nothing_of(&mut self, of: StreamId) {
        let more = self.heard().iter().find(
            |input| matches!(input, Input::Transport(TransportInput::Frames { stream, .. }) if *stream == of),
        );
        assert!(more.is_none(), "read without being resumed");
    }

    /// Waits until `bytes` were said to have left.
    pub async fn sent(&mut self, of: StreamId, bytes: usize) -> usize {
        let mut all = 0;
        while all < bytes {
            let input = self.next(|input| matches!(input, Input::Transport(TransportInput::Sent { stream, .. }) if *stream == of)).await;
            let Input::Transport(TransportInput::Sent { bytes, .. }) = input else { unreachable!() };
            all += bytes;
        }
        all
    }

    /// Asks again and again until there is an answer.
    pub async fn until<T>(&self, ask: impl Fn(&Self) -> Option<T>) -> T {
        let asking = async {
            loop {
                if let Some(answer) = ask(self) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, asking).await.expect("a condition that does not come")
    }
}
