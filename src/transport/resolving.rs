//! Resolves host names through the system at each dial, by the present `/etc/hosts`, `/etc/resolv.conf` and name
//! servers. Nothing is remembered here, so a node that starts before the network is there finds its peers once it is.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::{Multiaddr, Protocol};
use tokio::sync::Semaphore;

use crate::resolving::look_up_failed;

/// Look-ups at the same time, each on a thread that a name server may hold for half a minute. The others of those
/// threads are for signatures and for the store.
const LOOK_UPS_MAX: usize = 4;

/// Addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 8;

/// `inner`, and names in front of it.
pub(super) struct NameResolver<T> {
    inner: Arc<Mutex<T>>,
    look_ups: Arc<Semaphore>,
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressFamily {
    Any,
    V4,
    V6,
}

impl<T> NameResolver<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)) }
    }

    fn inner(&self) -> MutexGuard<'_, T> {
        lock(&self.inner)
    }
}

fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Transport for NameResolver<T>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Dial: Send,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, io::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner().listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner().remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((host, family)) = name_in(&address) else {
            let dial = self.inner().dial(address, opts)?;
            return Ok(Box::pin(dial));
        };
        let (inner, look_ups) = (Arc::clone(&self.inner), Arc::clone(&self.look_ups));
        Ok(Box::pin(async move {
            let mut last = io::Error::other(format!("the name {host} has no address of that kind"));
            for ip in look_up(host, family, look_ups).await?.into_iter().take(ADDRESSES_TRIED_MAX) {
                let numbered = with_number(&address, ip);
                let dial = match lock(&inner).dial(numbered.clone(), opts) {
                    Ok(dial) => dial,
                    Err(TransportError::MultiaddrNotSupported(_)) => continue,
                    Err(TransportError::Other(error)) => {
                        last = error;
                        continue;
                    }
                };
                match dial.await {
                    Ok(output) => return Ok(output),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }))
    }

    fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *self.inner()).poll(context)
    }
}

/// The name that an address begins with.
fn name_in(address: &Multiaddr) -> Option<(String, AddressFamily)> {
    match address.iter().next()? {
        Protocol::Dns(host) => Some((host.into_owned(), AddressFamily::Any)),
        Protocol::Dns4(host) => Some((host.into_owned(), AddressFamily::V4)),
        Protocol::Dns6(host) => Some((host.into_owned(), AddressFamily::V6)),
        _ => None,
    }
}

fn with_number(address: &Multiaddr, ip: IpAddr) -> Multiaddr {
    let number = match ip {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    std::iter::once(number).chain(address.iter().skip(1)).collect()
}

/// Asks the system. The permit goes along to the thread: a dial that was given up does not free the thread.
async fn look_up(host: String, family: AddressFamily, look_ups: Arc<Semaphore>) -> io::Result<Vec<IpAddr>> {
    let permit = look_ups.acquire_owned().await.map_err(io::Error::other)?;
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let found = (host.as_str(), 0).to_socket_addrs();
        let found = found.map_err(|error| look_up_failed(&host, &error));
        let wanted = |ip: &IpAddr| match family {
            AddressFamily::Any => true,
            AddressFamily::V4 => ip.is_ipv4(),
            AddressFamily::V6 => ip.is_ipv6(),
        };
        found.map(|all| all.map(|socket| socket.ip()).filter(wanted).collect())
    });
    asked.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_by_each_number_and_the_rest_stays() {
        let address: Multiaddr =
            "/dns4/mesh.cert.ee/tcp/4801/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
                .parse()
                .unwrap();
        assert_eq!(name_in(&address), Some(("mesh.cert.ee".to_owned(), AddressFamily::V4)));
        let numbered = with_number(&address, IpAddr::from([192, 0, 2, 7]));
        assert!(numbered.to_string().starts_with("/ip4/192.0.2.7/tcp/4801/p2p/"), "{numbered}");
        assert_eq!(name_in(&numbered), None);
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_said_in_words() {
        let look_ups = Arc::new(Semaphore::new(1));
        let error =
            look_up("nosuch.invalid".into(), AddressFamily::Any, Arc::clone(&look_ups)).await.unwrap_err();
        assert!(error.to_string().starts_with("the name nosuch.invalid cannot be resolved: "), "{error}");
        let found = look_up("localhost".into(), AddressFamily::V4, look_ups).await.unwrap();
        assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
    }
}
