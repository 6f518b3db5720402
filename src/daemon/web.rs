//! Opens the HTTP door with the answers of this node: the journal's from its store, the loop's as the command line gets
//! them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::config::{FileLists, NodeConfig, PeerFiles, WebSettings};
use crate::control::{ControlRefusal, ControlReply, ControlRequest};
use crate::daemon::control::{AskCommand, ControlAsk, ControlService};
use crate::envelope::IdScheme;
use crate::format::DoorDefaults;
use crate::local::LocalDoors;
use crate::metrics::MetricsSource;
use crate::protocol::io::PositionMove;
use crate::record::ConsumerName;
use crate::web::{self, AskNode, ClientTable, PlaceConsumer, TlsFiles, WebError, WebServices, WebSetup};

/// The part of the HTTP door that the loop keeps up to date.
pub(crate) struct WebParts {
    pub clients: Arc<ClientTable>,
    /// What is added to events that clients post.
    pub defaults: Arc<ArcSwap<DoorDefaults>>,
}

/// Returns what is added to events that clients post: as at `in.sock`, but a request whose answer was lost may be
/// repeated, so ids are made of bodies.
pub(crate) fn client_defaults(config: &NodeConfig) -> DoorDefaults {
    let plain = DoorDefaults::of(config.name.clone(), config.project.clone(), config.default_tlp);
    DoorDefaults { ids: IdScheme::Body, ..plain }
}

/// Opens the door, if `config` has one. Clients are kept in any case.
///
/// # Errors
/// [`WebError`].
pub(crate) fn open(
    config: &NodeConfig,
    peers: &PeerFiles,
    doors: &LocalDoors,
    service: &ControlService,
    metrics: MetricsSource,
) -> Result<WebParts, WebError> {
    let clients = Arc::new(ClientTable::default());
    clients.replace(&peers.clients);
    let defaults = Arc::new(ArcSwap::from_pointee(client_defaults(config)));
    if let Some(settings) = &config.web {
        let lists = config.paths.lists.clone();
        let services = WebServices {
            store: Arc::clone(&service.store),
            door: doors.for_clients(),
            defaults: Arc::clone(&defaults),
            own: config.names(),
            lists: Arc::new(move || Box::new(FileLists::new(&lists))),
            ask: ask(service),
            place: place(&service.asks),
            metrics,
        };
        web::open(&setup(settings), services, Arc::clone(&clients))?;
        tracing::info!(listen = %settings.listen, tls = settings.tls.is_some(), "HTTP door open");
    }
    Ok(WebParts { clients, defaults })
}

fn setup(settings: &WebSettings) -> WebSetup {
    let tls = settings.tls.clone().map(|(cert, key)| TlsFiles { cert, key });
    WebSetup { listen: settings.listen, tls, names: settings.names.clone() }
}

fn ask(service: &ControlService) -> AskNode {
    let service = service.clone();
    Arc::new(move |request: ControlRequest| -> BoxFuture<'static, Result<ControlReply, ControlRefusal>> {
        let service = service.clone();
        Box::pin(async move { service.reply(request).await })
    })
}

fn place(asks: &mpsc::Sender<ControlAsk>) -> PlaceConsumer {
    let asks = asks.clone();
    Arc::new(move |name, to| -> BoxFuture<'static, Result<Option<u64>, String>> {
        Box::pin(placed(asks.clone(), name, to))
    })
}

async fn placed(
    asks: mpsc::Sender<ControlAsk>,
    name: ConsumerName,
    to: Option<PositionMove>,
) -> Result<Option<u64>, String> {
    let stopping = || "the node is stopping".to_owned();
    if let Some(to) = to {
        let (answer, done) = oneshot::channel();
        let command = AskCommand::PlaceConsumer { name: name.clone(), to };
        asks.send(ControlAsk::Command(command, answer)).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?.map_err(|refused| refused.to_string())?;
    }
    let (answer, position) = oneshot::channel();
    asks.send(ControlAsk::Position(name, answer)).await.map_err(|_| stopping())?;
    position.await.map_err(|_| stopping())
}
