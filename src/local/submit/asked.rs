//! Questions to servers whose answers doors take: which answers count, and faults in words. What is asked is the door's.

use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::local::http::{HttpAnswer, HttpFault, HttpServer};
use crate::local::secret;

/// Characters of an answer that a message quotes.
const QUOTED_CHARS: usize = 200;

/// Why a question has no answer that could be used. The door asks again; the operator or the server must fix it.
#[derive(Debug, Error)]
pub(super) enum AskFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("{server} answered {status}: {quoted}")]
    Status { server: String, status: u16, quoted: String },
    #[error("the answer of {server} {what}")]
    Unusable { server: String, what: String },
    #[error("{key} {}: {error}", file.display())]
    SecretFile { key: &'static str, file: PathBuf, error: std::io::Error },
}

impl AskFault {
    /// Returns the text with its hint, for status and log.
    pub(crate) fn told(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(HttpFault::Tls(fault)) => fault.hint(),
            Self::Http(HttpFault::Unreachable { .. }) => {
                Some("does the server run there? url must be its address")
            }
            Self::Http(HttpFault::Broken { error, .. }) if error.to_string().contains("certificate") => {
                Some("ca_file = \"FILE.pem\" names the authority that signed the certificate of the server")
            }
            Self::Http(_) => None,
            Self::Status { status, .. } => match status {
                401 | 403 => Some("the server refuses this key: give the file of the door a valid one"),
                300..=399 => Some("the server has moved: name its address in url"),
                404 => Some("url must be the address at which the server's own pages begin"),
                429 | 500.. => Some("the server is busy or broken; the door asks again by itself"),
                _ => None,
            },
            Self::Unusable { .. } => Some("the door asks again; is it the right server?"),
            Self::SecretFile { .. } => Some("the node's user must be able to read it"),
        }
    }
}

/// Reads the secret of a door, which may have changed.
///
/// # Errors
/// [`AskFault::SecretFile`].
pub(super) fn read_secret(key: &'static str, file: &Path) -> Result<Zeroizing<String>, AskFault> {
    secret::read(file).map_err(|error| AskFault::SecretFile { key, file: file.to_owned(), error })
}

/// Asks, and returns an answer with a code of success.
///
/// # Errors
/// [`AskFault`].
pub(super) async fn ask(
    server: &HttpServer,
    path: &str,
    body: Option<String>,
) -> Result<HttpAnswer, AskFault> {
    let answer = server.ask(&format!("{}/{path}", server.url.path), body).await?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let quoted = text.chars().filter(|char| !char.is_control()).take(QUOTED_CHARS).collect();
    Err(AskFault::Status { server: server.url.to_string(), status: answer.status, quoted })
}
