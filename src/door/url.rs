//! The URL of a server of another system. Nothing is resolved or connected to here.

use std::fmt;
use std::net::IpAddr;

/// `https://HOST[:PORT][/PATH]`, or `http://` of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub tls: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Empty, or with `/` in front and none at its end.
    pub path: String,
}

impl ServerUrl {
    /// Reads a URL without user, query and fragment. A secret goes to the server, so only this machine is spoken to in
    /// the open.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        let port = if port.is_empty() { if tls { 443 } else { 80 } } else { port.parse().ok()? };
        let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        let is_path = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~%+-".contains(&byte));
        if host.is_empty() || !is_host || !is_path {
            return None;
        }
        let path = path.trim_end_matches('/').to_owned();
        let url = Self { tls, host: host.to_owned(), port, path };
        (tls || url.is_this_machine()).then_some(url)
    }

    fn is_this_machine(&self) -> bool {
        let ip = self.host.parse::<IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns host and port as they stand in a URL.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_others_refused() {
        for (text, shown) in [
            ("https://warden.example/warden3", Some("https://warden.example:443/warden3")),
            ("https://warden.example:8443/", Some("https://warden.example:8443")),
            ("https://[2001:db8::1]:1/a/b/", Some("https://[2001:db8::1]:1/a/b")),
            ("https://[2001:db8::1]", Some("https://[2001:db8::1]:443")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://localhost/w", Some("http://localhost:80/w")),
            ("http://warden.example/", None),
            ("https://user@warden.example/", None),
            ("https://warden.example/?secret=x", None),
            ("https://warden.example:x/", None),
            ("https:///w", None),
            ("ftp://127.0.0.1/", None),
            ("warden.example", None),
        ] {
            assert_eq!(ServerUrl::parse(text).map(|url| url.to_string()).as_deref(), shown, "{text}");
        }
    }
}
