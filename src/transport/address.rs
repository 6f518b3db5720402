//! Multiaddrs as operators write them: a host by number or name, and a TCP port. Other transports are refused
//! here, so that nothing else has to think of them. Names are resolved by libp2p when it dials.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use thiserror::Error;

/// The operator wrote an invalid address, in `listen`, `--advertise` or a peer file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is no address (`/ip4/192.0.2.1/tcp/4801`, `/ip6/…/tcp/…`, `/dns/mesh.cert.ee/tcp/4801`)")]
pub struct AddressError(String);

pub(super) fn parse(text: &str) -> Result<Multiaddr, AddressError> {
    let fault = || AddressError(text.chars().take(120).collect());
    let address: Multiaddr = text.trim().parse().map_err(|_| fault())?;
    let mut parts = address.iter();
    let host = parts.next().filter(|host| {
        use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6};
        matches!(host, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
    });
    let port = parts.next().filter(|port| matches!(port, Protocol::Tcp(_)));
    let (Some(host), Some(port)) = (host, port) else { return Err(fault()) };
    match (parts.next(), parts.next()) {
        (None, _) | (Some(Protocol::P2p(_)), None) => Ok(Multiaddr::empty().with(host).with(port)),
        _ => Err(fault()),
    }
}

/// Returns the address's host if it is a number. An IPv4-mapped IPv6 address becomes IPv4.
pub(super) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    }
}

/// Returns host and port if the host is a number.
pub(super) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let port = address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    Some(SocketAddr::new(ip(address)?, port?))
}

/// `configured` with the port that `actual` has.
pub(super) fn with_port_of(configured: &Multiaddr, actual: &Multiaddr) -> Multiaddr {
    let port = actual.iter().find(|part| matches!(part, Protocol::Tcp(_)));
    match (configured.iter().next(), port) {
        (Some(host), Some(port)) => Multiaddr::empty().with(host).with(port),
        _ => actual.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_tcp_port() {
        let id = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
        for (text, want) in [
            ("/ip4/192.0.2.1/tcp/4801", Some("/ip4/192.0.2.1/tcp/4801")),
            ("/ip6/2001:db8::1/tcp/4801", Some("/ip6/2001:db8::1/tcp/4801")),
            (" /dns4/mesh.cert.ee/tcp/1", Some("/dns4/mesh.cert.ee/tcp/1")),
            (&format!("/dns/a/tcp/1/p2p/{id}"), Some("/dns/a/tcp/1")),
            ("/ip4/192.0.2.1/udp/4801/quic-v1", None),
            ("/ip4/192.0.2.1/tcp/4801/ws", None),
            ("/ip4/192.0.2.1", None),
            ("/tcp/4801/ip4/192.0.2.1", None),
            ("192.0.2.1:4801", None),
            ("", None),
        ] {
            assert_eq!(parse(text).ok().map(|address| address.to_string()).as_deref(), want, "{text}");
        }
    }
}
