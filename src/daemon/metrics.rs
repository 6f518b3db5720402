//! Opens `[metrics]` and connects it to the loop: figures come from the same snapshot as `status`. The address is open
//! before the journal is, so that `/healthz` answers while the node starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::config::NodeConfig;
use crate::daemon::control::ControlAsk;
use crate::daemon::run::StartError;
use crate::daemon::timings::StoreTimings;
use crate::metrics::{self, MetricsSource, NodeTimings};

#[derive(Clone, Default)]
pub struct NodeMetrics {
    timings: Arc<Mutex<NodeTimings>>,
    stopping: Arc<AtomicBool>,
}

impl NodeMetrics {
    /// # Errors
    /// [`StartError::Metrics`] if the address cannot be used.
    pub async fn open(config: &NodeConfig, asks: &mpsc::Sender<ControlAsk>) -> Result<Self, StartError> {
        let node = Self::default();
        if let Some(at) = config.metrics {
            let listener = TcpListener::bind(at).await.map_err(|error| StartError::Metrics { at, error })?;
            tokio::spawn(metrics::serve(listener, node.source(asks.downgrade())));
        }
        Ok(node)
    }

    pub fn store_timings(&self) -> StoreTimings {
        StoreTimings::new(Arc::clone(&self.timings))
    }

    /// From now on the node stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// `asks` is weak: the loop ends once nobody else may ask it.
    pub fn source(&self, asks: mpsc::WeakSender<ControlAsk>) -> MetricsSource {
        let stopping = Arc::clone(&self.stopping);
        let snapshot = move || -> futures::future::BoxFuture<'static, _> {
            let asks = asks.upgrade().filter(|_| !stopping.load(Ordering::Relaxed));
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                asks?.send(ControlAsk::Snapshot(answer)).await.ok()?;
                answered.await.ok()
            })
        };
        MetricsSource { snapshot: Arc::new(snapshot), timings: Arc::clone(&self.timings) }
    }
}
