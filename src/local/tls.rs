//! TLS to the servers that doors connect to: trust and the handshake. The certificate is always verified; this cannot be
//! turned off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Why no TLS connection can be tried. The operator must fix it.
#[derive(Debug, Error)]
pub enum TlsFault {
    #[error("ca_file {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("ca_file {} holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    #[error("this machine has no certificates of authorities")]
    NoRoots,
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsFault {
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } | Self::NoCertificate(_) => {
                Some("ca_file = \"FILE.pem\" names the authority that signed the certificate of the server")
            }
            Self::NoRoots => Some("apt install ca-certificates, or name yours: ca_file = \"FILE.pem\""),
            Self::Rustls(_) => None,
        }
    }
}

/// Returns a configuration that trusts the authorities in `ca_file` alone; without it, those that this machine trusts.
/// Read at each connection, so that a renewed file counts.
///
/// # Errors
/// [`TlsFault`].
pub(crate) fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, TlsFault> {
    let roots = match ca_file {
        Some(file) => from_file(file)?,
        None => {
            let mut roots = RootCertStore::empty();
            // One that cannot be read is one fewer that is trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsFault::NoRoots);
            }
            roots
        }
    };
    // Named, because rustls panics if a build has several and none is named.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn from_file(file: &Path) -> Result<RootCertStore, TlsFault> {
    let unreadable = |error| TlsFault::Unreadable { file: file.to_owned(), error };
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > CONFIG_FILE_BYTES_MAX {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
    }
    let pem = std::fs::read(file).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(TlsFault::NoCertificate(file.to_owned())) } else { Ok(roots) }
}

/// Performs the handshake; the certificate must name `host`.
pub(crate) async fn handshake(
    config: ClientConfig,
    host: &str,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
