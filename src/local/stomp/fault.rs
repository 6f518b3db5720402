//! Faults of a broker, each with its fix. The door tries again for ever, and no event causes any of it.

use std::path::PathBuf;

use thiserror::Error;

use super::frame::{FrameFault, StompFrame};
use crate::local::tls::TlsFault;

/// Characters of a broker's own text that a message quotes.
const QUOTED_CHARS: usize = 200;

#[derive(Debug, Error)]
pub(crate) enum StompFault {
    #[error("cannot reach {server}: {error}")]
    Unreachable { server: String, error: std::io::Error },
    #[error("{server} sent nothing for {seconds} s")]
    Silent { server: String, seconds: u64 },
    #[error("{server} says \"{message}\": {detail}")]
    Refused { server: String, message: String, detail: String },
    #[error("{server} sent {fault}")]
    Nonsense { server: String, fault: FrameFault },
    #[error("{server} answered with a frame {command}: expected {expected}")]
    Unexpected { server: String, command: String, expected: &'static str },
    #[error("password_file {}: {error}", file.display())]
    PasswordFile { file: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// (text in the broker's answer, what to do).
const HINTS: &[(&str, &str)] = &[
    ("Bad CONNECT", "the broker refuses the login: see login and password_file"),
    ("Access refused", "the broker refuses the login: see login and password_file"),
    ("not_found", "the broker has no such exchange: see destinations"),
    ("access_refused", "this account may not read there: see destinations"),
    ("Unknown destination", "destinations = [\"/exchange/ORGANISATION/*.*.*.*\"]"),
];

impl StompFault {
    /// Returns the fault that an `ERROR` frame states.
    pub(crate) fn of_error(server: &str, frame: &StompFrame) -> Self {
        let cut = |text: &str| {
            let shown = text.chars().map(|char| if char.is_control() { ' ' } else { char });
            shown.take(QUOTED_CHARS).collect::<String>().trim().to_owned()
        };
        let body = String::from_utf8_lossy(&frame.body);
        Self::Refused {
            server: server.to_owned(),
            message: cut(frame.header("message").unwrap_or("ERROR")),
            detail: cut(&body),
        }
    }

    /// Returns the text with its hint, for status and log.
    pub(crate) fn told(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { error, .. } if error.to_string().contains("certificate") => {
                Some("ca_file = \"FILE.pem\" names the authority that signed the certificate of the server")
            }
            Self::Unreachable { .. } => Some("does the broker run there, with TLS? see url"),
            Self::Silent { .. } => Some("the broker hangs, or something between drops what is sent"),
            Self::Refused { message, detail, .. } => HINTS
                .iter()
                .find(|(known, _)| message.contains(known) || detail.contains(known))
                .map(|(_, hint)| *hint),
            Self::Nonsense { .. } | Self::Unexpected { .. } => {
                Some("is it STOMP that answers there, and with TLS or without?")
            }
            Self::PasswordFile { .. } => Some("the node's user must be able to read it"),
            Self::Tls(fault) => fault.hint(),
        }
    }
}
