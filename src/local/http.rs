//! The HTTP client of doors: TLS as the other doors have it, no redirects, bounds on time and size, and faults in words.
//! It sends one request and returns one whole answer; what is asked, and when again, is the door's.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{DATE, LOCATION};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use rustls::ClientConfig;
use thiserror::Error;

use super::tls::TlsFault;
use crate::limits::{HTTP_CONNECT_MS, HTTP_QUIET_MS};
use crate::resolving::look_up_failed;

/// Characters of a server's answer that a message quotes.
const QUOTED_CHARS: usize = 200;

/// Why a request has no answer that could be used. The door asks again; the operator or the server must fix it.
#[derive(Debug, Error)]
pub(crate) enum HttpFault {
    #[error("cannot reach {server}: {why}")]
    Unreachable { server: String, why: String },
    #[error("{server} answered {status}: {quoted}")]
    Status { server: String, status: StatusCode, quoted: String },
    #[error("the answer of {server} is longer than {bytes_max} bytes")]
    TooLong { server: String, bytes_max: usize },
    #[error("the answer of {server} {what}")]
    Unusable { server: String, what: String },
    #[error("{key} {}: {error}", file.display())]
    SecretFile { key: &'static str, file: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// A whole answer with a code of success.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// The server's clock, as its header has it.
    pub date: Option<String>,
    pub body: Bytes,
}

impl HttpFault {
    /// Returns the text with its hint, for status and log.
    pub fn told(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { why, .. } if why.contains("certificate") => {
                Some("ca_file = \"FILE.pem\" names the authority that signed the certificate of the server")
            }
            Self::Unreachable { .. } => Some("does the server run there? url must be its address"),
            Self::Status { status, .. } => match status.as_u16() {
                401 | 403 => Some("the server refuses this key: give the file of the door a valid one"),
                300..=399 => Some("name the address that it redirects to in url"),
                404 => Some("url must be the address at which the server's own pages begin"),
                429 | 500.. => Some("the server is busy or broken; the door asks again by itself"),
                _ => None,
            },
            Self::TooLong { .. } => Some("ask for less at once"),
            Self::Unusable { .. } => Some("the door asks again; is it the right server?"),
            Self::SecretFile { .. } => Some("the node's user must be able to read it"),
            Self::Tls(fault) => fault.hint(),
        }
    }
}

/// Returns a client with this trust. A secret of a request must not follow a redirect, so none is followed.
///
/// # Errors
/// [`HttpFault::Unusable`] if the client cannot be made.
pub(crate) fn client(tls: ClientConfig) -> Result<Client, HttpFault> {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_millis(HTTP_CONNECT_MS))
        .read_timeout(Duration::from_millis(HTTP_QUIET_MS))
        .user_agent(concat!("intelmesh/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|error| unreachable("the server", &error))
}

/// Sends a request, and returns its answer once all of it is there: at most `bytes_max`. `server` names it in faults.
///
/// # Errors
/// [`HttpFault`], also if the answer has another code than one of success, or breaks off.
pub(crate) async fn ask(
    server: &str,
    request: RequestBuilder,
    bytes_max: usize,
) -> Result<HttpAnswer, HttpFault> {
    let mut response = request.send().await.map_err(|error| unreachable(server, &error))?;
    let status = response.status();
    let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (date, location) = (header(DATE), header(LOCATION));
    let mut body = BytesMut::new();
    let broken = |what: String| HttpFault::Unusable { server: server.to_owned(), what };
    let most = if status.is_success() { bytes_max } else { QUOTED_CHARS * 4 };
    while let Some(chunk) = response.chunk().await.transpose() {
        match chunk {
            Ok(chunk) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(_) if status.is_success() => {
                return Err(HttpFault::TooLong { server: server.to_owned(), bytes_max });
            }
            Err(error) if status.is_success() => {
                return Err(broken(format!("broke off: {}", reason(&error))));
            }
            // Enough to quote.
            _ => break,
        }
    }
    if status.is_success() {
        return Ok(HttpAnswer { date, body: body.freeze() });
    }
    let text = location.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    let quoted = text.chars().filter(|char| !char.is_control()).take(QUOTED_CHARS).collect();
    Err(HttpFault::Status { server: server.to_owned(), status, quoted })
}

fn unreachable(server: &str, error: &reqwest::Error) -> HttpFault {
    let why = reason(error);
    let why = match why.contains("lookup address") {
        true => {
            let host = error.url().and_then(|url| url.host_str()).unwrap_or(server);
            look_up_failed(host, &std::io::Error::other(why)).to_string()
        }
        false if error.is_timeout() => "no answer in time".to_owned(),
        false => why,
    };
    HttpFault::Unreachable { server: server.to_owned(), why }
}

/// Returns the innermost reason: those around it only repeat what was tried.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
