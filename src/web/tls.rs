//! The certificate and key of the HTTP door. Read when the node starts.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// The two files of `[web]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why TLS cannot be offered. The operator must fix it.
#[derive(Debug, Error)]
pub(crate) enum TlsFilesFault {
    #[error("tls_cert {}: expected certificates in PEM form: {error}", file.display())]
    Cert { file: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("tls_key {}: expected a private key in PEM form: {error}", file.display())]
    Key { file: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("tls_cert and tls_key do not fit together: {0}")]
    Pair(#[from] rustls::Error),
}

/// Reads both files. TLS 1.2 and 1.3, HTTP/1.1 alone.
///
/// # Errors
/// [`TlsFilesFault`].
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsFilesFault> {
    let cert = |error| TlsFilesFault::Cert { file: files.cert.clone(), error };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.cert).map_err(cert)?.collect();
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| TlsFilesFault::Key { file: files.key.clone(), error })?;
    // Named, because rustls panics if a build has several and none is named.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(cert)?, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
