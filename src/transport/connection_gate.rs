//! The gate: Noise, and behind it the question whether this key is on the list, before a muxer is started.
//! Who is not on the list gets no byte past the security upgrade, in either direction. Whether the key is the
//! one that was dialled is libp2p's to say afterwards.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::{PeerId, noise};
use thiserror::Error;

use super::address_book::AddressBook;

#[derive(Debug, Error)]
pub(super) enum GateError {
    /// The handshake failed: another protocol or version, or somebody who does not hold his key.
    #[error("{0}")]
    Noise(#[from] noise::Error),
    /// The handshake proved a key that is not on the list.
    #[error("{0} is not in peers/")]
    NotAllowed(PeerId),
}

#[derive(Clone)]
pub(super) struct ConnectionGate {
    noise: noise::Config,
    book: Arc<ArcSwap<AddressBook>>,
    proved: Proved,
}

/// Peers that were dialled, proved their key and heard ours. If such a dial fails after all, we were
/// turned away. Only keys on the list get in, so it is bounded as they are.
#[derive(Clone, Default)]
pub(super) struct Proved(Arc<Mutex<HashSet<PeerId>>>);

impl Proved {
    fn insert(&self, id: PeerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Removes it. Returns true if it was there.
    pub(crate) fn take(&self, id: &PeerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl ConnectionGate {
    pub(crate) fn new(noise: noise::Config, book: Arc<ArcSwap<AddressBook>>, proved: Proved) -> Self {
        Self { noise, book, proved }
    }

    fn admit<C>(&self, (id, socket): (PeerId, C)) -> Result<(PeerId, C), GateError> {
        match self.book.load().allowed(&id) {
            Some(_) => Ok((id, socket)),
            None => Err(GateError::NotAllowed(id)),
        }
    }
}

impl UpgradeInfo for ConnectionGate {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.noise.protocol_info()
    }
}

type Upgraded<C> = Pin<Box<dyn Future<Output = Result<(PeerId, noise::Output<C>), GateError>> + Send>>;

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for ConnectionGate {
    type Output = (PeerId, noise::Output<C>);
    type Error = GateError;
    type Future = Upgraded<C>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let upgraded = self.noise.clone().upgrade_inbound(socket, info).await?;
            self.admit(upgraded)
        })
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for ConnectionGate {
    type Output = (PeerId, noise::Output<C>);
    type Error = GateError;
    type Future = Upgraded<C>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let upgraded = self.noise.clone().upgrade_outbound(socket, info).await?;
            let (id, socket) = self.admit(upgraded)?;
            self.proved.insert(id);
            Ok((id, socket))
        })
    }
}

/// Returns the key that the gate did not let in, if that is why something failed.
pub(super) fn not_allowed(error: &(dyn std::error::Error + 'static)) -> Option<PeerId> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(GateError::NotAllowed(id)) = error.downcast_ref() {
            return Some(*id);
        }
        next = error.source();
    }
    None
}
