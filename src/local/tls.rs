//! TLS to servers of other systems: trust, our own certificate, and the handshake. The certificate is always verified; this cannot be turned off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Why no TLS connection can be tried. The operator must fix it.
#[derive(Debug, Error)]
pub(crate) enum TlsFault {
    #[error("ca_file {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("ca_file {} holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    #[error("{}: {error}", file.display())]
    Identity { file: PathBuf, error: String },
    #[error("this machine has no certificates of authorities")]
    NoRoots,
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsFault {
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } | Self::NoCertificate(_) => {
                Some("ca_file = \"FILE.pem\" names the authority that signed the certificate of the server")
            }
            Self::Identity { .. } => Some("cert_file and key_file are in PEM form, and fit each other"),
            Self::NoRoots => Some("apt install ca-certificates, or name yours: ca_file = \"FILE.pem\""),
            Self::Rustls(_) => None,
        }
    }
}

/// The certificate of this node for one server, and its key.
#[derive(Clone, Debug)]
pub(crate) struct TlsIdentity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl TlsIdentity {
    fn fault(file: &Path, error: &dyn std::fmt::Display) -> TlsFault {
        TlsFault::Identity { file: file.to_owned(), error: error.to_string() }
    }

    pub(super) fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFault> {
        let read = |file: &Path| read_pem(file).map_err(|error| Self::fault(file, &error));
        let chain: Result<_, _> = CertificateDer::pem_slice_iter(&read(&self.cert_file)?).collect();
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key_file)?);
        Ok((
            chain.map_err(|error| Self::fault(&self.cert_file, &error))?,
            key.map_err(|error| Self::fault(&self.key_file, &error))?,
        ))
    }
}

/// Trusts the authorities in `ca_file` alone; without it, those that this machine trusts. Shows `identity` to a server
/// that asks. Read at each connection, so that a renewed file counts.
pub(crate) fn trusting(
    ca_file: Option<&Path>,
    identity: Option<&TlsIdentity>,
) -> Result<TlsConnector, TlsFault> {
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
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read()?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| TlsIdentity::fault(&identity.cert_file, &error))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read_pem(file: &Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(file)?.len() > CONFIG_FILE_BYTES_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read(file)
}

pub(super) fn from_file(file: &Path) -> Result<RootCertStore, TlsFault> {
    let pem = read_pem(file).map_err(|error| TlsFault::Unreadable { file: file.to_owned(), error })?;
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(TlsFault::NoCertificate(file.to_owned())) } else { Ok(roots) }
}

/// Performs the handshake; the certificate must name `host`.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    connector.connect(name, stream).await
}
