//! `[web]` of `intelmesh.toml`: where the HTTP door listens, with which certificate, and by which names. Beyond loopback it
//! needs TLS, because tokens are sent with each request.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::problem::ConfigFault;
use super::reading::{ConfigReport, TomlSection};
use crate::limits::WEB_NAMES_MAX;

pub(super) const WEB_KEYS: &[&str] = &["listen", "tls_cert", "tls_key", "names"];

/// The settings of the HTTP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebSettings {
    pub listen: SocketAddr,
    /// Certificate chain and private key, both in PEM form.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Names of this node in requests, in lower case, beside its address and `localhost`.
    pub names: Vec<String>,
}

/// Reads `[web]`; `None` if it is not there. Problems go into `report`.
pub(super) fn web(dir: &Path, top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<WebSettings> {
    let line = top.line("web", report);
    let section = top.section("web", WEB_KEYS, &[], report)?;
    let listen = match section.text("listen", report) {
        None => {
            let hint = "listen = \"127.0.0.1:4880\"";
            report.fault(line, ConfigFault::Missing { key: "listen", hint });
            None
        }
        Some(at) => match at.value.parse::<SocketAddr>() {
            Ok(address) => Some((at.line, address)),
            Err(_) => {
                let (value, wanted) = (at.value.chars().take(80).collect(), "an address and a port");
                report.fault(at.line, ConfigFault::Value { key: "listen".into(), value, wanted });
                None
            }
        },
    };
    let mut path = |key| section.text(key, report).map(|at| dir.join(at.value));
    let tls = match (path("tls_cert"), path("tls_key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            let hint = "tls_key = \"FILE\": the private key of tls_cert, in PEM form";
            report.fault(line, ConfigFault::Missing { key: "tls_key", hint });
            None
        }
        (None, Some(_)) => {
            let hint = "tls_cert = \"FILE\": the certificates of tls_key, in PEM form";
            report.fault(line, ConfigFault::Missing { key: "tls_cert", hint });
            None
        }
    };
    let names = section.texts("names", report).unwrap_or_default();
    if let Some(beyond) = names.get(WEB_NAMES_MAX) {
        let (value, wanted) = (beyond.value.chars().take(80).collect(), "one of 16 names at most");
        report.fault(beyond.line, ConfigFault::Value { key: "names".into(), value, wanted });
    }
    let names = names.into_iter().map(|at| at.value.to_ascii_lowercase()).collect();
    let (line, listen) = listen?;
    if tls.is_none() && !listen.ip().is_loopback() {
        report.fault(line, ConfigFault::OpenWeb(listen));
        return None;
    }
    Some(WebSettings { listen, tls, names })
}
