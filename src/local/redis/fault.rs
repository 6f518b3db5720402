//! Faults of a Redis, each with its fix. All of it is the operator's or Redis's: the door tries again for ever, and no
//! event causes any of it.

use std::path::PathBuf;

use redis::{ErrorKind, RedisError};
use thiserror::Error;

use crate::local::tls::TlsFault;

#[derive(Debug, Error)]
pub(crate) enum RedisFault {
    /// The server does not answer, or the connection broke.
    #[error("cannot reach redis at {address}: {error}")]
    Unreachable { address: String, error: std::io::Error },
    #[error("redis at {address} said nothing for {seconds} s")]
    Silent { address: String, seconds: u64 },
    /// Redis's own word, which begins with a code.
    #[error("redis at {address} says {code}: {detail}")]
    Says { address: String, code: String, detail: String },
    #[error("redis at {address} answered what its protocol does not know: {detail}")]
    Nonsense { address: String, detail: String },
    #[error("password_file {}: {error}", file.display())]
    PasswordFile { file: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The elements that we popped for an acknowledgement were not those that we had moved there.
    #[error("somebody else takes from \"{0}\"")]
    Shared(String),
    /// The place beside the queue is not the one that we wrote last: an older connection's push came late, or another
    /// node has our name.
    #[error("the place beside the queue was moved by somebody else")]
    Moved,
    /// Redis was emptied: the queue's content is gone, and nothing tells how much that was.
    #[error("the place beside the queue is gone: redis was emptied, and what was in the queue with it")]
    Emptied,
    /// Redis has an older state of its data: later entries are handed over again.
    #[error("redis came back with older data: it holds what was handed over up to entry {found}, of {ours}")]
    Older { ours: u64, found: u64 },
}

/// (start of Redis's answer, what to do).
const HINTS: &[(&str, &str)] = &[
    ("NOAUTH", "redis wants a password: url = \"redis://:PASSWORD@HOST:PORT/DB\""),
    ("WRONGPASS", "the password in url is not the one of redis (requirepass, or the user's)"),
    ("NOPERM", "this user of redis may not do that: see ACL LIST there"),
    ("OOM", "redis is full (maxmemory): a bot behind a queue does not read; it goes on by itself"),
    ("LOADING", "redis reads its data in; it goes on by itself"),
    ("BUSY", "a script keeps redis busy; it goes on by itself"),
    ("MISCONF", "redis cannot save to its disk: see its log, and the space there"),
    ("READONLY", "this redis is a replica: name its primary in url"),
    ("MASTERDOWN", "this redis is a replica whose primary is down: name the primary in url"),
    ("WRONGTYPE", "the key of that name is no list: name another queue, or remove the key"),
    ("MOVED", "this is a redis cluster: queues of IntelMQ need one server"),
    ("CROSSSLOT", "this is a redis cluster: queues of IntelMQ need one server"),
    ("CLUSTERDOWN", "this is a redis cluster: queues of IntelMQ need one server"),
    ("DENIED", "redis takes only local connections: see its bind and protected-mode"),
];

/// (text in Redis's answer if its code says nothing, what to do).
const HINTS_WITHIN: &[(&str, &str)] = &[
    ("without any password configured", "redis has no password: leave it away in url"),
    ("invalid password", "the password in url is not the one of redis (requirepass)"),
    ("DB index", "redis has fewer databases: the last part of url is the number of one"),
];

impl RedisFault {
    /// Returns the text with its hint, for status and log.
    pub(crate) fn told(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("does redis run there? redis-cli ping"),
            Self::Silent { .. } => Some("redis hangs, or something between drops what is sent"),
            Self::Says { code, detail, .. } => {
                let by_code = HINTS.iter().find(|(known, _)| code == known);
                by_code
                    .or_else(|| HINTS_WITHIN.iter().find(|(known, _)| detail.contains(known)))
                    .map(|(_, hint)| *hint)
            }
            Self::Nonsense { .. } => Some("is it redis that answers there, and with TLS or without?"),
            Self::Tls(fault) => fault.hint(),
            Self::PasswordFile { .. } => Some("the node's user must be able to read it"),
            Self::Emptied => {
                Some("what a bot had not read is lost for the pipeline; new events flow: was it FLUSHALL?")
            }
            Self::Older { .. } => {
                Some("the rest is handed over again; how often redis saves is set by save or appendonly")
            }
            Self::Moved => Some("it is read again; where this repeats, two nodes have one name"),
            Self::Shared(_) => Some("one reader for each queue: is a bot or another node on it?"),
        }
    }

    /// Returns true if Redis has no room now, and will have it once its queues are read.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Says { code, .. } if code == "OOM")
    }

    /// Redis is older than a command that was tried.
    pub(crate) fn is_unknown_command(&self) -> bool {
        matches!(self, Self::Says { detail, .. } if detail.to_ascii_lowercase().contains("unknown command"))
    }

    pub(crate) fn from_redis(address: &str, error: RedisError) -> Self {
        let address = address.to_owned();
        let shown = cut(&error.to_string());
        if error.kind() == ErrorKind::Io {
            return Self::Unreachable { address, error: std::io::Error::other(shown) };
        }
        match error.into_server_errors() {
            Some(errors) if !errors.is_empty() => {
                // Of a transaction that was given up, the first is why.
                let (_, first) = &errors[0];
                let (code, detail) = (first.code().to_owned(), cut(first.details().unwrap_or_default()));
                Self::Says { address, code, detail }
            }
            _ => Self::Nonsense { address, detail: shown },
        }
    }
}

/// Cuts a server's message, which may be long.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_redis_that_an_operator_may_meet_has_its_hint() {
        for (code, within) in [
            ("NOAUTH", "password"),
            ("OOM", "full"),
            ("LOADING", "by itself"),
            ("READONLY", "primary"),
            ("WRONGTYPE", "list"),
        ] {
            let fault = RedisFault::Says { address: "a".into(), code: code.into(), detail: "x".into() };
            assert!(fault.hint().unwrap().contains(within), "{code}");
            assert_eq!(fault.is_full(), code == "OOM");
        }
    }

    #[test]
    fn an_older_server_is_known_by_its_answer() {
        for (detail, unknown) in [
            ("unknown command `BLMOVE`, with args beginning with: ", true),
            ("Unknown command 'LMOVE'", true),
            ("wrong number of arguments", false),
        ] {
            let fault = RedisFault::Says { address: "a".into(), code: "ERR".into(), detail: detail.into() };
            assert_eq!(fault.is_unknown_command(), unknown, "{detail}");
        }
    }
}
