//! `[metrics] listen = …`: `GET /metrics` and `GET /healthz` over HTTP, without a token. They show names, states and
//! counters, and no event.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::text::CONTENT_TYPE;
use super::{NodeTimings, render};
use crate::limits::METRICS_CONNECTIONS_MAX;
use crate::status::Snapshot;

/// A node that does not answer within this is starting, stopping, or stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A client that has not sent its request by then is closed.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// A connection that is not over by then is closed: a client that does not read must not keep its place.
const OVER_WITHIN: Duration = Duration::from_secs(30);
/// The kernel was out of descriptors: the next connection is accepted after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Where the figures come from.
#[derive(Clone)]
pub(crate) struct MetricsSource {
    /// Returns `None` while the node starts or stops.
    pub snapshot: Arc<dyn Fn() -> BoxFuture<'static, Option<Box<Snapshot>>> + Send + Sync>,
    pub timings: Arc<Mutex<NodeTimings>>,
}

impl MetricsSource {
    async fn look(&self) -> Option<Box<Snapshot>> {
        tokio::time::timeout(ANSWER_WITHIN, (self.snapshot)()).await.ok().flatten()
    }
}

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, source: MetricsSource) {
    let is_local = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    let mut routes = routes(source);
    if is_local {
        routes = routes.layer(from_fn(refuse_foreign_host));
    }
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    answer(stream, routes, OVER_WITHIN).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Returns the routes alone, for a door that has others too and asks for a token.
pub(crate) fn routes(source: MetricsSource) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(source)
}

/// A client that breaks off is no matter of ours.
async fn answer(stream: TcpStream, routes: Router, over_within: Duration) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN).keep_alive(false);
    let answered = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let _ = tokio::time::timeout(over_within, answered).await;
}

/// A web page in the operator's browser could reach loopback under a name of its own (DNS rebinding).
async fn refuse_foreign_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_loopback) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "this address serves localhost only\n").into_response()
}

fn is_loopback(host: &str) -> bool {
    if let Ok(at) = host.parse::<SocketAddr>() {
        return at.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let ip = host.trim_matches(['[', ']']).parse().or_else(|_| name.parse::<std::net::IpAddr>());
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

async fn metrics(State(source): State<MetricsSource>) -> Response {
    let Some(snapshot) = source.look().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the node is starting or stopping\n").into_response();
    };
    // The store notes its times under the same lock: it does not wait for the text.
    let timings = {
        let mut timings = source.timings.lock().unwrap_or_else(PoisonError::into_inner);
        timings.retain_peers(&snapshot);
        timings.clone()
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], render(&snapshot, &timings)).into_response()
}

async fn healthz(State(source): State<MetricsSource>) -> (StatusCode, &'static str) {
    match source.look().await {
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node is starting or stopping\n"),
        Some(snapshot) if snapshot.disk.as_ref().is_some_and(|disk| disk.full) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot be written: the disk is full\n")
        }
        Some(_) => (StatusCode::OK, "ok\n"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A client that asked and did not read kept its place for ever.
    #[tokio::test]
    async fn a_client_that_does_not_read_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        // An answer that nobody reads is one without an end.
        let endless = || futures::stream::repeat(Ok::<_, std::convert::Infallible>(vec![0_u8; 65_536]));
        let body = move || async move { axum::body::Body::from_stream(endless()) };
        let routes = Router::new().route("/", get(body));
        let closed = answer(stream, routes, Duration::from_millis(100));
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it is closed");
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:4881", "127.0.0.1", "127.0.0.1:4881", "[::1]", "[::1]:4881"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "localhost.example.org", "192.0.2.1:4881", "127.0.0.1.example.org:80", "[2001:db8::1]:1"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
