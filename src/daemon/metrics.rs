//! Opens `[metrics]` and connects it to the loop: figures come from the same snapshot as `status`. The address is open
//! before the journal is, so that `/healthz` answers while the node starts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::config::NodeConfig;
use crate::daemon::control::ControlAsk;
use crate::daemon::timings::StoreTimings;
use crate::metrics::{self, MetricsSource, NodeTimings};
use crate::status::{HealthCode, ShownProblem};

/// An address that cannot be used is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
pub(crate) struct NodeMetrics {
    timings: Arc<Mutex<NodeTimings>>,
    /// From the start of the loop until the node is told to stop.
    ready: Arc<AtomicBool>,
    /// The address cannot be used.
    trouble: Arc<Mutex<Option<ShownProblem>>>,
}

impl NodeMetrics {
    /// An address that cannot be used does not stop the node: status says so until it can.
    pub(crate) async fn open(config: &NodeConfig, asks: &mpsc::Sender<ControlAsk>) -> Self {
        let node = Self::default();
        if let Some(at) = config.metrics {
            let (first, source, retrying) =
                (node.bind(at).await, node.source(asks.downgrade()), node.clone());
            tokio::spawn(async move {
                let mut bound = first;
                loop {
                    if let Some(listener) = bound {
                        return metrics::serve(listener, source).await;
                    }
                    tokio::time::sleep(BIND_AGAIN).await;
                    bound = retrying.bind(at).await;
                }
            });
        }
        node
    }

    async fn bind(&self, at: SocketAddr) -> Option<TcpListener> {
        let bound = TcpListener::bind(at).await;
        let trouble = bound.as_ref().err().map(|error| ShownProblem {
            at: clock::now().wall,
            what: format!("[metrics] cannot listen on {at}: {error}"),
            hint: Some(
                "see who has the port (ss -ltnp), or change listen = … below [metrics] in intelmesh.toml"
                    .into(),
            ),
            code: Some(HealthCode::ConfigBad),
        });
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        bound.ok()
    }

    pub(crate) fn trouble(&self) -> Option<ShownProblem> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn store_timings(&self) -> StoreTimings {
        StoreTimings::new(Arc::clone(&self.timings))
    }

    /// From now on the loop answers.
    pub(crate) fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// From now on the node stops.
    pub(crate) fn stop(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// `asks` is weak: the loop ends once nobody else may ask it.
    pub(crate) fn source(&self, asks: mpsc::WeakSender<ControlAsk>) -> MetricsSource {
        let ready = Arc::clone(&self.ready);
        let snapshot = move || -> futures::future::BoxFuture<'static, _> {
            let asks = asks.upgrade().filter(|_| ready.load(Ordering::Relaxed));
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                asks?.send(ControlAsk::Snapshot(answer)).await.ok()?;
                answered.await.ok()
            })
        };
        MetricsSource { snapshot: Arc::new(snapshot), timings: Arc::clone(&self.timings) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop does not take questions yet: an answer that waits for it comes after seconds.
    #[test]
    fn a_starting_node_answers_at_once() {
        let (asks, _kept) = mpsc::channel(1);
        let node = NodeMetrics::default();
        let asked = (node.source(asks.downgrade()).snapshot)();
        assert_eq!(futures::FutureExt::now_or_never(asked), Some(None));
        node.ready();
        let asked = (node.source(asks.downgrade()).snapshot)();
        assert_eq!(futures::FutureExt::now_or_never(asked), None, "now the loop is asked");
    }
}
