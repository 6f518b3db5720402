//! The HTTP door (CONTRACT.md §7), for those who run no node. In reading order: `clients` (who may come), `listen` and
//! `addresses` (connections), `guard` (what is asked of each request), `problem` (errors), `query` and `cursor`, `room` and `page`
//! (reading the journal), `events`, `stream` and `consumer` (its forms), `post`, `details` and `stats`, `encode` and `tls`.
//!
//! It decides nothing: `policy` says who may have what, and events come in by the way of `local`. Readers go past the
//! core, on a few threads of their own: a slow or hostile client holds up neither peers nor sockets.

mod addresses;
mod clients;
mod consumer;
mod cursor;
mod details;
mod encode;
mod events;
#[cfg(feature = "sim")]
pub(crate) mod fuzz;
mod guard;
mod listen;
mod page;
mod post;
mod problem;
mod query;
mod reading;
mod room;
mod stats;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::control::{ControlRefusal, ControlReply, ControlRequest};
use crate::format::DoorDefaults;
use crate::identity::NodeNames;
use crate::local::{ClientDoor, MakeLists};
use crate::metrics::{self, MetricsSource};
use crate::protocol::io::PositionMove;
use crate::record::ConsumerName;
use crate::status::Snapshot;
use crate::store::Store;

use consumer::ConsumerTurns;
use cursor::{Cursor, StartPlace};
use guard::{HostNames, RequestPlace};
use problem::Problem;
use room::WebRoom;
use stats::StatsTable;

pub(crate) use clients::ClientTable;
pub(crate) use tls::{TlsFiles, TlsFilesFault};

/// Where the door listens, and by which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebSetup {
    pub listen: SocketAddr,
    /// Needed beyond loopback.
    pub tls: Option<TlsFiles>,
    /// Names by which requests may call this node, beside its address.
    pub names: Vec<String>,
}

/// Asks the loop one question, as the command line does.
pub(crate) type AskNode =
    Arc<dyn Fn(ControlRequest) -> BoxFuture<'static, Result<ControlReply, ControlRefusal>> + Send + Sync>;

/// Moves the position of a consumer forward, if a step is given, and returns the position; `None` if there is none.
pub(crate) type PlaceConsumer = Arc<
    dyn Fn(ConsumerName, Option<PositionMove>) -> BoxFuture<'static, Result<Option<u64>, String>>
        + Send
        + Sync,
>;

/// Services that the door needs of the rest of the node.
pub(crate) struct WebServices {
    pub store: Arc<Store>,
    pub door: ClientDoor,
    /// What is added to posted events; replaced at a reload.
    pub defaults: Arc<ArcSwap<DoorDefaults>>,
    pub own: NodeNames,
    pub lists: MakeLists,
    pub ask: AskNode,
    pub place: PlaceConsumer,
    /// What `/metrics` and `/healthz` show.
    pub metrics: MetricsSource,
}

/// Why the door cannot open. The operator must fix it; the node does not start.
#[derive(Debug, Error)]
pub(crate) enum WebError {
    #[error("[web] cannot listen on {listen}: {error}")]
    Listen { listen: SocketAddr, error: std::io::Error },
    #[error("[web] {0}")]
    Tls(#[from] TlsFilesFault),
}

impl WebError {
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "see who has the port (ss -ltnp), or change listen = … below [web]",
            Self::Tls(_) => "the node's account must be able to read both files",
        }
    }
}

/// State that all requests share.
struct WebState {
    clients: Arc<ClientTable>,
    own: NodeNames,
    hosts: HostNames,
    room: WebRoom,
    turns: ConsumerTurns,
    stats: StatsTable,
    services: WebServices,
}

impl WebState {
    /// Returns the place behind `position`, or the oldest one if retention took that.
    fn place_of(&self, position: u64) -> StartPlace {
        let ends = self.services.store.ends();
        let seq = position.max(ends.floor.seq);
        StartPlace::Cursor(Cursor { log_id: ends.log_id, seq, check: None })
    }
}

/// Opens the door. It ends with the other doors of `services`. Runs on the current tokio runtime.
///
/// # Errors
/// [`WebError`].
pub(crate) fn open(
    setup: &WebSetup,
    services: WebServices,
    clients: Arc<ClientTable>,
) -> Result<(), WebError> {
    let tls = setup.tls.as_ref().map(tls::acceptor).transpose()?;
    let failed = |error| WebError::Listen { listen: setup.listen, error };
    let listener = std::net::TcpListener::bind(setup.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let state = Arc::new(WebState {
        clients,
        own: services.own.clone(),
        hosts: HostNames { listen: setup.listen.ip(), names: setup.names.clone() },
        room: WebRoom::new(),
        turns: ConsumerTurns::default(),
        stats: StatsTable::default(),
        services,
    });
    let router = router(&state);
    let accepting = Arc::clone(&state);
    state.services.door.spawn(async move {
        let stopped = accepting.services.door.stopped();
        tokio::select! {
            () = stopped => {}
            () = listen::accept(listener, tls, router, Arc::clone(&accepting)) => {}
        }
    });
    Ok(())
}

/// The routes; `openapi.json` describes each.
fn router(state: &Arc<WebState>) -> Router {
    Router::new()
        .route("/v1/events", get(reading::read).post(post::submit))
        .route("/v1/events/{id}", get(details::event))
        .route("/v1/events/{id}/trace", get(details::trace))
        .route("/v1/stats", get(stats::stats))
        .route("/v1/status", get(details::status))
        .route("/v1/openapi.json", get(details::openapi))
        .with_state(Arc::clone(state))
        .merge(metrics::routes(without_clients(state.services.metrics.clone())))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(state), guard::guard))
}

/// Who else reads here is not for clients: `[metrics]` shows it to the operator.
fn without_clients(source: MetricsSource) -> MetricsSource {
    let asked = Arc::clone(&source.snapshot);
    let snapshot = Arc::new(move || -> BoxFuture<'static, Option<Box<Snapshot>>> {
        let asked = asked();
        Box::pin(async move {
            let mut snapshot = asked.await?;
            let is_own = |consumer: &str| !consumer.contains('/');
            snapshot.clients.clear();
            snapshot.consumers.retain(|consumer| is_own(&consumer.name));
            snapshot.health.retain(|item| item.consumer.as_deref().is_none_or(is_own));
            Some(snapshot)
        })
    });
    MetricsSource { snapshot, ..source }
}

async fn unknown_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "bad_request", "no such path: /v1/openapi.json describes all of them")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", "this method is not allowed here: see Allow")
}
