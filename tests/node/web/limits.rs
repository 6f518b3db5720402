//! Clients that are slow, silent or hostile: they hold their own connection, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use support::{Node, Stopwatch, pair, wait_until};

use super::http::Web;
use super::labelled;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn idle_and_slow_connections_harm_neither_peers_nor_sockets() {
    let count = if std::env::var_os("INTELMESH_LONG").is_some() { 10_000 } else { 1_000 };
    let mut web = Web::start(&[("soc", "AMBER")]);
    let mut peer = Node::init("cert-ee");
    pair(&web.node, &peer);
    peer.start();
    wait_until("connected", SOON, || web.node.connected("cert-ee"));
    let mut held: Vec<TcpStream> = Vec::new();
    for nth in 0..count {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", web.port)) else { break };
        if nth % 2 == 0 {
            let _ = stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: ");
        }
        held.push(stream);
    }
    let ids = web.node.publish(&(0..50).map(|number| labelled(number, "GREEN")).collect::<Vec<_>>());
    assert_eq!(ids.len(), 50);
    wait_until("the peer has them", SOON, || peer.accepted() == 50);
    assert_eq!(web.node.status()["journal"]["last_seq"], 50);
    // They all come from one address: another one is served at once, and not only after they were closed.
    let watch = Stopwatch::start();
    let page = web.curl("soc", &["--interface", "127.0.0.2"], "/v1/events");
    assert_eq!(page.lines().count(), 50);
    assert!(watch.elapsed() < Duration::from_secs(8), "it waited for the idle ones");
    // Those that say nothing are closed, and that address is served again.
    drop(held.split_off(1));
    web.node.runs();
    wait_until("the first is closed", SOON, || matches!(held[0].read(&mut [0; 256]), Ok(0) | Err(_)));
    assert_eq!(web.get("soc", "/v1/events").lines().len(), 50);
}

#[test]
fn heads_are_bounded_and_broken_ones_end_the_connection() {
    let web = Web::start(&[("soc", "AMBER")]);
    let long = "x".repeat(20_000);
    let reply = web.ask("soc", "/v1/events", &[("X-Long", &long)]);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (431, Some("too_large")));
    for head in [
        format!("GET /v1/events HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000)),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /v1/events HTTP/1.1\r\n: x\r\n\r\n".to_owned(),
        "POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST /v1/events HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        let mut stream = web.connect();
        let _ = stream.write_all(head.as_bytes());
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    assert_eq!(web.get("soc", "/v1/events").status, 200);
}

#[test]
fn one_client_has_a_bounded_number_of_requests() {
    let web = Web::start(&[("soc", "AMBER"), ("board", "AMBER")]);
    let streams: Vec<_> = (0..16).map(|_| web.stream("soc", "/v1/events", &[])).collect();
    let refused = web.get("soc", "/v1/events");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("rate_limited")));
    assert_eq!(web.get("board", "/v1/events").status, 200);
    drop(streams);
    web.node.publish(&[labelled(1, "GREEN")]);
    wait_until("places are free again", SOON, || web.get("soc", "/v1/events").status == 200);
}

#[test]
fn a_stopping_node_ends_streams_and_polls() {
    let mut web = Web::start(&[("soc", "AMBER")]);
    let mut stream = web.stream("soc", "/v1/events", &[]);
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(stream.ends()));
        assert_eq!(web.node.terminate(), Some(0));
    });
    assert!(watch.elapsed() < Duration::from_secs(15), "it waited for its clients");
}
