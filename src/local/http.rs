//! One request to an HTTP server of another system, over TLS or in the open, with a deadline and a bound on the answer.
//! A query may hold a secret: no error shows one. The caller decides what it asks, and what an answer means.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::tls::{self, TlsFault, TlsIdentity};
use crate::door::ServerUrl;
use crate::limits::RECEIVER_PATIENCE_MS;
use crate::resolving::in_words;

/// Time for a whole exchange. A server that needs longer counts as silent, and is asked again.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(90);

/// Size of an answer, in bytes: several of the longest messages of any system. A longer one is an error.
pub(crate) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why there is no answer. The next try may have one.
#[derive(Debug, Error)]
pub(crate) enum HttpFault {
    #[error("cannot reach {at}: {error}")]
    Unreachable { at: String, error: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsFault),
    #[error("{at} gave no whole answer within {t} s", t = EXCHANGE_WITHIN.as_secs())]
    Silent { at: String },
    #[error("the exchange with {at} broke: {error}")]
    Broken { at: String, error: io::Error },
    #[error("{at} answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge { at: String },
}

/// A server, and what both sides prove themselves with.
#[derive(Clone)]
pub(crate) struct HttpServer {
    pub url: ServerUrl,
    /// The authorities that may vouch for it; `None`: this machine's.
    pub ca_file: Option<PathBuf>,
    pub identity: Option<TlsIdentity>,
    /// The value of the header `Authorization`.
    pub authorization: Option<Zeroizing<String>>,
}

pub(crate) struct HttpAnswer {
    pub status: u16,
    /// The clock of the server, as its header has it.
    pub date: Option<String>,
    pub body: Vec<u8>,
}

impl HttpServer {
    /// Sends one request: a GET, or a POST if there is a body of JSON. `target` is path and query.
    ///
    /// # Errors
    /// [`HttpFault`]. The server may have done what it was asked all the same.
    pub(crate) async fn ask(&self, target: &str, body: Option<String>) -> Result<HttpAnswer, HttpFault> {
        let silent = |_| HttpFault::Silent { at: self.url.to_string() };
        tokio::time::timeout(EXCHANGE_WITHIN, self.exchange(target, body)).await.map_err(silent)?
    }

    async fn exchange(&self, target: &str, body: Option<String>) -> Result<HttpAnswer, HttpFault> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("intelmesh/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        if let Some(key) = &self.authorization {
            request = request.header(AUTHORIZATION, key.as_str());
        }
        let request = request
            .body(body.unwrap_or_default())
            .map_err(|error| self.broken(io::Error::other(error.to_string())))?;
        let stream = self.connect().await.map_err(|error| HttpFault::Unreachable {
            at: self.url.to_string(),
            error: in_words(&self.url.host, error),
        })?;
        if !self.url.tls {
            return self.send(stream, request).await;
        }
        let connector = tls::trusting(self.ca_file.as_deref(), self.identity.as_ref())?;
        let stream = tls::handshake(&connector, &self.url.host, stream).await;
        self.send(stream.map_err(|error| self.broken(error))?, request).await
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let within = Duration::from_millis(RECEIVER_PATIENCE_MS);
        let connecting = TcpStream::connect((self.url.host.as_str(), self.url.port));
        let stream = tokio::time::timeout(within, connecting).await??;
        // A request is few writes; without it the last one waits.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn send<S>(&self, stream: S, request: Request<String>) -> Result<HttpAnswer, HttpFault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: hyper::Error| self.broken(in_short(&error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answered = async {
            let answer: Response<Incoming> = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status().as_u16();
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
            Ok(HttpAnswer { status, date, body: self.read(answer.into_body()).await? })
        };
        tokio::pin!(answered);
        tokio::select! {
            answer = &mut answered => answer,
            // What it read before its end is still here.
            _ = connection => answered.await,
        }
    }

    async fn read(&self, mut body: Incoming) -> Result<Vec<u8>, HttpFault> {
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| self.broken(in_short(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(HttpFault::TooLarge { at: self.url.to_string() });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    fn broken(&self, error: io::Error) -> HttpFault {
        HttpFault::Broken { at: self.url.to_string(), error }
    }
}

/// Returns the cause: the library's own words say only in which step.
fn in_short(error: &hyper::Error) -> io::Error {
    io::Error::other(error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// Returns a value of a query, escaped.
pub(crate) fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;

    use rustls::server::WebPkiClientVerifier;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Makes a certificate and its key with a program of others.
    fn certificate(dir: &Path, name: &str) -> TlsIdentity {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        let config = format!(
            "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = {name}\n\
             [ext]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n"
        );
        std::fs::write(file("conf"), config).unwrap();
        let identity = TlsIdentity { cert_file: file("pem"), key_file: file("key") };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-config"])
            .arg(file("conf"))
            .arg("-keyout")
            .arg(&identity.key_file)
            .arg("-out")
            .arg(&identity.cert_file)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        identity
    }

    /// Answers each request of a client with the certificate `client`.
    async fn serve(listener: TcpListener, server: TlsIdentity, client: TlsIdentity) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(tls::from_file(&client.cert_file).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap();
        let (chain, key) = server.read().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    }

    #[tokio::test]
    async fn both_sides_prove_who_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let [server, client, other] = ["server", "client", "other"].map(|name| certificate(dir.path(), name));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let url = ServerUrl::parse(&url).unwrap();
        tokio::spawn(serve(listener, server.clone(), client.clone()));
        for (trusted, identity, works) in [
            (&server, Some(&client), true),
            (&server, None, false),
            (&server, Some(&other), false),
            (&other, Some(&client), false),
        ] {
            let (ca_file, identity) = (Some(trusted.cert_file.clone()), identity.cloned());
            let server = HttpServer { url: url.clone(), ca_file, identity, authorization: None };
            let asked = server.ask("/x?secret=s", None).await;
            match asked {
                Ok(answer) => assert!(works && answer.status == 200 && answer.body == b"ok"),
                Err(fault) => assert!(!works && !fault.to_string().contains("secret"), "{fault}"),
            }
        }
    }
}
