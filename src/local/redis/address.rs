//! The address of a Redis: a URL as Redis's own tools write it, checked when read. Shown without its password.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a URL is not an address. The operator must fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AddressFault {
    #[error("not redis://[[USER]:PASSWORD@]HOST[:PORT]/DB, rediss://… or unix:///PATH?db=DB")]
    Form,
    #[error("the number of the database is not between 0 and {}", i32::MAX)]
    Database,
    #[error("certificates are always verified: name yours with ca_file instead of #insecure")]
    Insecure,
}

/// One Redis, one of its databases, and the user to log in as. Databases are numbered from 0, which is also the default
/// of a URL; IntelMQ's queues are in 2 unless its configuration says otherwise.
#[derive(Clone)]
pub(crate) struct RedisAddress {
    pub(crate) place: ServerPlace,
    pub(crate) db: i64,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerPlace {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl RedisAddress {
    /// # Errors
    /// [`AddressFault`].
    pub(crate) fn parse(url: &str) -> Result<Self, AddressFault> {
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| AddressFault::Form)?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                ServerPlace::Tcp { host: host.clone(), port: *port, tls: false }
            }
            ConnectionAddr::TcpTls { insecure: true, .. } => return Err(AddressFault::Insecure),
            ConnectionAddr::TcpTls { host, port, .. } => {
                ServerPlace::Tcp { host: host.clone(), port: *port, tls: true }
            }
            ConnectionAddr::Unix(path) => ServerPlace::Unix(path.clone()),
            _ => return Err(AddressFault::Form),
        };
        let typed = info.redis_settings();
        if !(0..=i64::from(i32::MAX)).contains(&typed.db()) {
            return Err(AddressFault::Database);
        }
        Ok(Self {
            place,
            db: typed.db(),
            user: typed.username().map(str::to_owned),
            password: typed.password().map(|password| password.to_owned().into()),
        })
    }
}

/// Without the password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let db = self.db;
        match &self.place {
            ServerPlace::Unix(path) => write!(f, "unix://{}?db={db}", path.display()),
            ServerPlace::Tcp { host, port, tls } => {
                let scheme = if *tls { "rediss" } else { "redis" };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "{scheme}://{host}:{port}/{db}")
            }
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (url, shown, password) in [
            ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2", None),
            ("redis://localhost", "redis://localhost:6379/0", None),
            ("redis://:p%40ss@[::1]:7000/3", "redis://[::1]:7000/3", Some("p@ss")),
            ("rediss://soc:secret@queue.example:6380/2", "rediss://queue.example:6380/2", Some("secret")),
            ("unix:///run/redis/redis.sock?db=2&pass=x", "unix:///run/redis/redis.sock?db=2", Some("x")),
            ("unix:/run/redis.sock?db=3", "unix:///run/redis.sock?db=3", None),
            ("redis+unix:///run/redis.sock", "unix:///run/redis.sock?db=0", None),
        ] {
            let address = RedisAddress::parse(url).unwrap();
            assert_eq!(address.to_string(), shown, "{url}");
            assert_eq!(format!("{address:?}"), shown, "{url}");
            assert_eq!(address.password.as_ref().map(|password| password.as_str()), password, "{url}");
        }
        assert_eq!(RedisAddress::parse("rediss://u:p@h/1").unwrap().user.as_deref(), Some("u"));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (url, fault) in [
            ("127.0.0.1:6379", AddressFault::Form),
            ("http://127.0.0.1/", AddressFault::Form),
            ("redis://127.0.0.1/two", AddressFault::Form),
            ("redis://127.0.0.1/-1", AddressFault::Database),
            ("rediss://127.0.0.1/2#insecure", AddressFault::Insecure),
            ("redis://0.0.0.0/2", AddressFault::Form),
        ] {
            assert_eq!(RedisAddress::parse(url).unwrap_err(), fault, "{url}");
        }
    }
}
