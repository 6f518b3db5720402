//! Tests with a hostile peer that has the right key: so it is built from the transport's own parts.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::address_book::{AddressBook, dialled, peer_id};
use super::connection_gate::Proved;
use super::feed::{FeedStream, HandlerReport};
use super::swarm::{BehaviourEvent, build};
use super::*;
use crate::protocol::io::{TransportInput, TransportOutput};
use crate::wire::{FaultCode, WireFrame, frame};

const DEADLINE: Duration = Duration::from_secs(20);

fn peer(name: &str, key: &SigningKey, addresses: Vec<String>) -> PeerAddresses {
    let name = PublisherName::parse(name).unwrap();
    PeerAddresses { name, key: key.verifying_key(), addresses, paused: false }
}

/// Returns a transport, its messages to the core, and a feed stream that a hostile peer has opened to it.
async fn attacked() -> (Transport, mpsc::Receiver<Input>, FeedStream) {
    let (own, hostile) = (crate::fixture::key(1), crate::fixture::key(2));
    let (answers, mut inputs) = mpsc::channel(16);
    let config = TransportConfig { key: own.clone(), listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()] };
    let (transport, listening) = Transport::start(config, answers).await.unwrap();
    transport.set_peers(vec![peer("hostile", &hostile, vec![])]);

    let target = peer("own", &own, listening);
    let book = Arc::new(ArcSwap::from_pointee(AddressBook::new(vec![target.clone()])));
    let mut swarm = build(&hostile, &book, Proved::default()).unwrap();
    let id = peer_id(&target.key).unwrap();
    swarm.dial(DialOpts::peer_id(id).addresses(dialled(&target)).build()).unwrap();
    let stream = loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                swarm.behaviour_mut().feeds.open(id, connection_id);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Feeds(report)) => match report.report {
                HandlerReport::Opened(stream) => break stream,
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    };
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    assert!(matches!(inputs.recv().await, Some(Input::Transport(TransportInput::Connected { .. }))));
    (transport, inputs, stream)
}

#[tokio::test]
async fn bytes_that_are_no_frame_close_the_feed_and_the_peer_is_told_why() {
    let huge: &[u8] = &[0xff, 0xff, 0xff, 0xff];
    let deep = [&[0, 0, 0, 24, 0x82, 0x18, 64][..], &[0x81; 21]].concat();
    let unknown: &[u8] = &[0, 0, 0, 2, 0x81, 15];
    for bytes in [huge, &deep, unknown] {
        let (_transport, mut inputs, FeedStream { mut stream, .. }) = attacked().await;
        let mut written = Vec::new();
        frame::encode(&WireFrame::Ping { nonce: 1 }, &mut written);
        written.extend_from_slice(bytes);
        stream.write_all(&written).await.unwrap();
        stream.flush().await.unwrap();
        assert!(matches!(inputs.recv().await, Some(Input::Transport(TransportInput::FeedOpened { .. }))));
        // What was whole before the fault is still handed over.
        let first = inputs.recv().await;
        assert!(
            matches!(&first, Some(Input::Transport(TransportInput::Frames { frames, .. })) if frames.len() == 1),
            "{first:?}"
        );
        let then = inputs.recv().await;
        assert!(
            matches!(&then, Some(Input::Transport(TransportInput::FeedClosed { cause, .. })) if cause.starts_with("the peer sent")),
            "{then:?}"
        );
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = frame::FrameDecoder::default().decode(&mut BytesMut::from(&answer[..]));
        let Ok(Some(WireFrame::Fault { code, .. })) = answer else { panic!("{answer:?}") };
        assert_eq!(code, FaultCode::Protocol.into());
    }
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_delay_the_closing_of_its_connection() {
    let (transport, mut inputs, stream) = attacked().await;
    let Some(Input::Transport(TransportInput::FeedOpened { stream: feed, .. })) = inputs.recv().await else {
        panic!()
    };
    for _ in 0..30 {
        transport.handle(TransportOutput::send(feed, large_frame()));
    }
    transport.handle(TransportOutput::CloseFeed { stream: feed });
    transport.set_peers(vec![]);
    let gone = async {
        loop {
            match inputs.recv().await {
                Some(Input::Transport(TransportInput::Disconnected { .. })) => return,
                Some(_) => {}
                None => panic!("the transport ended"),
            }
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
    drop(stream);
}

/// The core's last frames go out before the connection ends, also behind much that the peer has not read yet.
#[tokio::test]
async fn a_fault_is_heard_before_the_connection_ends() {
    for round in 0..4 {
        let (transport, mut inputs, FeedStream { mut stream, .. }) = attacked().await;
        stream.flush().await.unwrap();
        let Some(Input::Transport(TransportInput::FeedOpened { peer, stream: feed, .. })) =
            inputs.recv().await
        else {
            panic!()
        };
        for _ in 0..12 {
            transport.handle(TransportOutput::send(feed, large_frame()));
        }
        let fault = WireFrame::Fault { code: FaultCode::Paused.into(), detail: String::new() };
        transport.handle(TransportOutput::send(feed, fault));
        transport.handle(TransportOutput::CloseFeed { stream: feed });
        if round % 2 == 0 {
            transport.handle(TransportOutput::Disconnect { peer });
        } else {
            transport.set_peers(vec![]);
        }
        let mut heard = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut heard)).await.unwrap().unwrap();
        let (mut decoder, mut heard) = (frame::FrameDecoder::default(), BytesMut::from(&heard[..]));
        let mut last = None;
        while let Some(frame) = decoder.decode(&mut heard).unwrap() {
            last = Some(frame);
        }
        let is_fault =
            |frame| matches!(frame, WireFrame::Fault { code, .. } if code == FaultCode::Paused.into());
        assert!(last.is_some_and(is_fault), "round {round}: the last frame is no FAULT");
        let gone = async {
            while !matches!(inputs.recv().await, Some(Input::Transport(TransportInput::Disconnected { .. })))
            {
            }
        };
        timeout(DEADLINE, gone).await.unwrap();
    }
}

fn large_frame() -> WireFrame {
    let envelope = bytes::Bytes::from(vec![0; 64 * 1024]);
    let check = crate::identity::Check::START;
    let path = crate::identity::HopPath::default();
    WireFrame::Carrier(crate::wire::CarrierFrame { seq: 1, check, path, envelope })
}
