//! Addresses as an operator types them: multiaddresses of TCP alone. Checked here so that a slip is found
//! with its file and line; how one is dialled is the transport's business.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The form of an address, for messages.
pub(crate) const WANTED: &str = "an address like /ip4/192.0.2.1/tcp/4801 or /dns4/mesh.example.org/tcp/4801";

/// Reads `/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT`. A `/p2p/…` behind it is taken off: the key in the peer
/// file says who must answer.
pub(crate) fn parse(text: &str) -> Option<String> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let (kind, host, tcp, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest: Vec<&str> = parts.collect();
    let host_fits = match kind {
        "ip4" => host.parse::<Ipv4Addr>().is_ok(),
        "ip6" => host.parse::<Ipv6Addr>().is_ok(),
        "dns" | "dns4" | "dns6" => is_host_name(host),
        _ => false,
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if !host_fits || tcp != "tcp" || !digits || port.parse::<u16>().is_err() {
        return None;
    }
    match rest.as_slice() {
        [] => {}
        ["p2p", id] if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()) => {}
        _ => return None,
    }
    Some(format!("/{kind}/{host}/tcp/{port}"))
}

/// The form of an address that is dialled, for messages.
pub(crate) const DIALLED: &str = "an address that can be dialled: of one host, with the port of its node";

/// An address that others could not use: of all interfaces, or without a port.
pub(crate) fn is_wildcard(address: &str) -> bool {
    address.starts_with("/ip4/0.0.0.0/") || address.starts_with("/ip6/::/") || address.ends_with("/tcp/0")
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_over_an_address_or_a_host_name_is_an_address() {
        for (text, want) in [
            ("/ip4/127.0.0.1/tcp/0", Some("/ip4/127.0.0.1/tcp/0")),
            ("/ip6/::1/tcp/4801", Some("/ip6/::1/tcp/4801")),
            ("/dns4/mesh.cert.ee/tcp/4801", Some("/dns4/mesh.cert.ee/tcp/4801")),
            ("/ip4/192.0.2.1/tcp/1/p2p/12D3KooW", Some("/ip4/192.0.2.1/tcp/1")),
            ("/ip4/192.0.2/tcp/1", None),
            ("/ip4/192.0.2.1/udp/1", None),
            ("/ip4/192.0.2.1/tcp/70000", None),
            ("/ip4/192.0.2.1/tcp/+1", None),
            ("/dns4//tcp/1", None),
            ("mesh.cert.ee:4801", None),
            ("", None),
        ] {
            assert_eq!(parse(text).as_deref(), want, "{text}");
        }
    }
}
