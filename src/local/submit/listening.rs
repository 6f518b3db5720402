//! The port of a door over TCP. Accepts nothing by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;

use tokio::net::TcpListener;

/// The port of a door, which the next door at the same address takes over: no sender is refused between the two.
pub(crate) struct Listening {
    pub at: SocketAddr,
    listener: OnceLock<TcpListener>,
}

impl Listening {
    /// Returns a port that is bound as soon as it is free.
    pub(crate) fn later(at: SocketAddr) -> Self {
        Self { at, listener: OnceLock::new() }
    }

    /// # Errors
    /// Returns errors of the kernel: if a port is taken at start, the operator must free it.
    pub(crate) fn now(at: SocketAddr) -> io::Result<Self> {
        let listening = Self::later(at);
        listening.listener()?;
        Ok(listening)
    }

    pub(crate) fn is_at(&self, at: SocketAddr) -> bool {
        self.at == at
    }

    pub(crate) fn listener(&self) -> io::Result<&TcpListener> {
        if let Some(listener) = self.listener.get() {
            return Ok(listener);
        }
        let listener = std::net::TcpListener::bind(self.at)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(self.listener.get_or_init(|| listener))
    }
}
