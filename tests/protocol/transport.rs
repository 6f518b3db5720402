//! Transports against each other over loopback: who gets in, what the core is told and in which order, and
//! that one slow or hostile end costs nobody else anything. The core's own rules are not tested here.

mod node;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use intelmesh::testing::{DialOutcome, transport::check};
use intelmesh::{DialFailure, FaultCode, Input, TransportInput, TransportOutput, WireFrame, public_key_text};
use node::{Node, ping, socket};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_flow_both_ways_on_a_feed() {
    let (mut a, mut b) = Node::pair().await;
    let (to_b, at_b) = node::feed(&mut a, &mut b).await;
    for nonce in 0..1000 {
        a.send(to_b, ping(nonce));
        b.send(at_b, ping(nonce));
    }
    assert_eq!(b.frames(at_b, 1000).await, (0..1000).map(ping).collect::<Vec<_>>());
    assert_eq!(a.frames(to_b, 1000).await, (0..1000).map(ping).collect::<Vec<_>>());
    let sent: usize = (0..1000).map(|nonce| intelmesh::testing::frame::encoded_len(&ping(nonce))).sum();
    assert_eq!(a.sent(to_b, sent).await, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_is_read_until_the_core_resumes_and_others_go_on() {
    let (mut a, mut b) = Node::pair().await;
    let mut c = Node::start("c", 3).await;
    node::know(&[&a, &b, &c]);
    let (slow, at_b) = node::feed(&mut a, &mut b).await;
    a.send(slow, ping(0));
    b.first_frames(at_b).await;
    let big = node::big_frame();
    // More than every buffer on the way holds.
    for _ in 0..40 {
        a.send(slow, big.clone());
    }
    c.connect(&mut a).await;
    let (quick, at_a) = node::feed(&mut c, &mut a).await;
    for nonce in 0..100 {
        c.send(quick, ping(nonce));
    }
    assert_eq!(a.frames(at_a, 100).await.len(), 100);
    b.nothing_of(at_b);
    b.resume(at_b);
    assert_eq!(b.frames(at_b, 40).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_nothing_past_the_gate_and_is_shown() {
    let mut a = Node::start("a", 1).await;
    let mut b = Node::start("b", 2).await;
    b.transport.set_peers(vec![a.as_peer()]);
    let failure = b.dial_in_vain(&a).await;
    assert!(matches!(failure, DialFailure::TurnedAway(_)), "{failure:?}");
    let stranger = a.until_stranger(&b).await;
    assert_eq!(stranger.count, 1);
    assert!(stranger.address.starts_with("/ip4/127.0.0.1/tcp/"), "{}", stranger.address);
    assert!(a.heard().is_empty(), "the core heard of a stranger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_at_a_peers_address_is_named() {
    let a = Node::start("a", 1).await;
    let mut b = Node::start("b", 2).await;
    let c = Node::start("c", 3).await;
    node::know(&[&a, &b]);
    // Whether the other key is nobody's or some other peer's.
    for others in [vec![], vec![c.as_peer()]] {
        let wrong = intelmesh::testing::PeerAddresses { addresses: c.as_peer().addresses, ..a.as_peer() };
        c.transport.set_peers(vec![b.as_peer()]);
        b.transport.set_peers([vec![wrong], others].concat());
        let failure = b.dial_in_vain(&a).await;
        let DialFailure::OtherKey { address, key } = failure else { panic!("{failure:?}") };
        assert!(address.starts_with(&c.address), "{address}");
        assert_eq!(key, public_key_text(&c.key()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_or_paused_peer_is_cut_off_at_once_and_its_feeds_are_reported_closed_first() {
    for paused in [false, true] {
        let (mut a, mut b) = Node::pair().await;
        let (to_b, at_b) = node::feed(&mut a, &mut b).await;
        let peers =
            if paused { vec![intelmesh::testing::PeerAddresses { paused, ..b.as_peer() }] } else { vec![] };
        a.transport.set_peers(peers);
        for (node, stream) in [(&mut a, to_b), (&mut b, at_b)] {
            let first = node.next(closing).await;
            assert!(
                matches!(first, Input::Transport(TransportInput::FeedClosed { stream: closed, .. }) if closed == stream),
                "{first:?}"
            );
            let then = node.next(closing).await;
            assert!(matches!(then, Input::Transport(TransportInput::Disconnected { .. })), "{then:?}");
        }
        let failure = b.dial_in_vain(&a).await;
        assert!(matches!(failure, DialFailure::TurnedAway(_)), "{failure:?}");
        // A node hears that it was turned away before the other side has recorded it.
        if !paused {
            a.until_stranger(&b).await;
        }
        let c = Node::start("c", 3).await;
        c.transport.set_peers(vec![a.as_peer()]);
        c.order(TransportOutput::Dial { peer: a.name() });
        a.until_stranger(&c).await;
        let strangers = a.transport.strangers().len();
        assert_eq!(strangers, 1 + usize::from(!paused), "a paused peer is no stranger");
    }
}

fn closing(input: &Input) -> bool {
    matches!(
        input,
        Input::Transport(TransportInput::FeedClosed { .. })
            | Input::Transport(TransportInput::Disconnected { .. })
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_lock_no_peer_out() {
    let mut a = Node::start("a", 1).await;
    let mut b = Node::start("b", 2).await;
    let at: SocketAddr = socket(&a.address);
    // Before anybody knows this address, its network has a stranger's allowance.
    let silent: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(at).unwrap()).collect();
    node::know(&[&a, &b]);
    b.connect(&mut a).await;
    let more: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(at).unwrap()).collect();
    let mut c = Node::start("c", 3).await;
    node::know(&[&a, &b, &c]);
    c.connect(&mut a).await;
    drop((silent, more));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_says_nothing_is_closed_within_seconds() {
    let a = Node::start("a", 1).await;
    let mut silent = TcpStream::connect(socket(&a.address)).unwrap();
    silent.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let ended = tokio::task::spawn_blocking(move || silent.read_to_end(&mut Vec::new())).await.unwrap();
    // Reset or ended, but not still open after 10 s.
    let open = ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!open, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_at_the_port_harm_nobody() {
    let (mut a, mut b) = Node::pair().await;
    let (to_b, at_b) = node::feed(&mut a, &mut b).await;
    let seed = 7;
    for bytes in node::noise_like(seed, 30) {
        // A refused socket may be closed before all is written.
        let mut socket = TcpStream::connect(socket(&a.address)).unwrap();
        let _ = socket.write_all(&bytes);
    }
    a.send(to_b, ping(1));
    assert_eq!(b.frames(at_b, 1).await, [ping(1)], "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_died_is_reported_and_reached_again() {
    let (mut a, mut b) = Node::pair().await;
    node::feed(&mut a, &mut b).await;
    let address = b.address.clone();
    drop(b);
    a.next(|input| matches!(input, Input::Transport(TransportInput::FeedClosed { .. }))).await;
    a.next(|input| matches!(input, Input::Transport(TransportInput::Disconnected { .. }))).await;
    a.order(TransportOutput::Dial { peer: node::name("b") });
    let failed = a.next(|input| matches!(input, Input::Transport(TransportInput::DialFailed { .. }))).await;
    assert!(
        matches!(
            failed,
            Input::Transport(TransportInput::DialFailed { failure: DialFailure::Unreachable(_), .. })
        ),
        "{failed:?}"
    );
    let mut b = Node::start_at("b", 2, &address).await;
    node::know(&[&a, &b]);
    a.connect(&mut b).await;
    node::feed(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_connection_replaces_the_one_that_was_silent_longest() {
    let mut a = Node::start("a", 1).await;
    let mut twins = Vec::new();
    for _ in 0..2 {
        let mut twin = Node::start("b", 2).await;
        node::know(&[&a, &twin]);
        twin.dial(&a).await;
        twins.push(twin);
    }
    // Both stand at the other side too; then the first one speaks, so the second one was silent longer.
    node::feed(&mut twins[1], &mut a).await;
    let (stream, at_a) = node::feed(&mut twins[0], &mut a).await;
    twins[0].send(stream, ping(1));
    a.frames(at_a, 1).await;
    let mut third = Node::start("b", 2).await;
    third.transport.set_peers(vec![a.as_peer()]);
    third.dial(&a).await;
    twins[1].next(|input| matches!(input, Input::Transport(TransportInput::Disconnected { .. }))).await;
    twins[0].send(stream, ping(2));
    assert_eq!(a.frames(at_a, 1).await, [ping(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_may_dial_at_once() {
    let mut a = Node::start("a", 1).await;
    let mut b = Node::start("b", 2).await;
    node::know(&[&a, &b]);
    a.order(TransportOutput::Dial { peer: b.name() });
    b.order(TransportOutput::Dial { peer: a.name() });
    a.next(|input| matches!(input, Input::Transport(TransportInput::Connected { .. }))).await;
    b.next(|input| matches!(input, Input::Transport(TransportInput::Connected { .. }))).await;
    node::feed(&mut a, &mut b).await;
    node::feed(&mut b, &mut a).await;
    assert!(
        !a.heard()
            .iter()
            .chain(b.heard())
            .any(|input| matches!(input, Input::Transport(TransportInput::Disconnected { .. })))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_queued_leaves_before_a_closed_feed_ends() {
    let (mut a, mut b) = Node::pair().await;
    let (to_b, at_b) = node::feed(&mut a, &mut b).await;
    for _ in 0..20 {
        a.send(to_b, node::big_frame());
    }
    let fault = WireFrame::Fault { code: FaultCode::Stopping.into(), detail: "bye".into() };
    a.send(to_b, fault.clone());
    a.order(TransportOutput::CloseFeed { stream: to_b });
    assert_eq!(b.frames(at_b, 21).await.last(), Some(&fault));
    b.next(|input| matches!(input, Input::Transport(TransportInput::FeedClosed { .. }))).await;
    assert!(
        !a.heard().iter().any(|input| matches!(input, Input::Transport(TransportInput::FeedClosed { .. })))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_to_nobody_is_answered() {
    let mut a = Node::start("a", 1).await;
    a.order(TransportOutput::OpenFeed { peer: node::name("b") });
    a.next(|input| matches!(input, Input::Transport(TransportInput::FeedNotOpened { .. }))).await;
    a.order(TransportOutput::Dial { peer: node::name("b") });
    a.next(|input| matches!(input, Input::Transport(TransportInput::DialFailed { .. }))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_queues_without_end_is_cut() {
    let (mut a, mut b) = Node::pair().await;
    let (to_b, at_b) = node::feed(&mut a, &mut b).await;
    a.send(to_b, ping(0));
    b.first_frames(at_b).await;
    for _ in 0..200 {
        a.send(to_b, node::big_frame());
    }
    let closed = a.next(|input| matches!(input, Input::Transport(TransportInput::FeedClosed { .. }))).await;
    assert!(
        matches!(&closed, Input::Transport(TransportInput::FeedClosed { cause, .. }) if cause.contains("wait to be sent")),
        "{closed:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_of_each_address_what_came_of_it() {
    let a = Node::start("a", 1).await;
    let b = Node::start("b", 2).await;
    let c = Node::start("c", 3).await;
    let mut peer = a.as_peer();
    peer.addresses.extend([c.address.clone(), "/ip4/127.0.0.1/tcp/1".to_owned()]);
    let outcomes = |report: intelmesh::testing::CheckReport| -> Vec<DialOutcome> {
        report.dials.into_iter().map(|dial| dial.outcome).collect()
    };
    // On a busy machine a handshake may be cut by its deadline: that says nothing of the key.
    let is_cut = |outcome: &DialOutcome| matches!(outcome, DialOutcome::Failed(DialFailure::Unreachable(_)));
    let mut before = outcomes(check(&b.secret, &peer).await);
    for _ in 0..node::DIALS_MAX {
        if before[..2].iter().any(is_cut) {
            before = outcomes(check(&b.secret, &peer).await);
        }
    }
    let DialOutcome::Failed(DialFailure::TurnedAway(cause)) = &before[0] else { panic!("{before:?}") };
    assert!(!cause.contains("does not speak intelmesh"), "it has proved its key: {cause}");
    assert!(matches!(before[1], DialOutcome::Failed(DialFailure::OtherKey { .. })), "{before:?}");
    assert!(matches!(before[2], DialOutcome::Failed(DialFailure::Unreachable(_))), "{before:?}");
    a.transport.set_peers(vec![b.as_peer()]);
    b.transport.set_peers(vec![peer]);
    let report = b.transport.check(&a.name()).await.unwrap();
    assert!(report.dials.iter().any(|dial| dial.outcome == DialOutcome::Reached));
    assert_eq!(report.dials[0].address, a.address);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_takes_leave_of_everybody() {
    let (mut a, mut b) = Node::pair().await;
    let (to_b, at_b) = node::feed(&mut a, &mut b).await;
    a.send(to_b, ping(1));
    a.transport.stop().await;
    assert_eq!(b.frames(at_b, 1).await, [ping(1)]);
    b.next(|input| matches!(input, Input::Transport(TransportInput::Disconnected { .. }))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_named() {
    let a = Node::start("a", 1).await;
    let error = Node::try_start("b", 2, &a.address).await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", a.address)), "{error}");
}
