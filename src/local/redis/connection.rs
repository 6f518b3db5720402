//! One connection to one Redis. Every answer has a deadline, also that of a command which waits by itself: the client's
//! own default of 0.5 s would give up a pop that the server carries out. It never connects again by itself, so that its
//! caller knows what may or may not have happened.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::address::{RedisAddress, ServerPlace};
use super::fault::RedisFault;
use crate::limits::{REDIS_ANSWER_MS, REDIS_CONNECT_MS, REDIS_QUIET_MS};
use crate::local::{secret, tls};
use crate::resolving::in_words;

/// The address of a Redis, the authorities to trust there, and the place of its password.
#[derive(Clone, Debug)]
pub(crate) struct RedisServer {
    pub address: RedisAddress,
    /// Holds the password, instead of the URL. Read at each connection.
    pub password_file: Option<PathBuf>,
    /// Certificates of the authorities that may vouch for it; `None`: this machine's.
    pub ca_file: Option<PathBuf>,
}

impl RedisServer {
    fn password(&self) -> Result<Option<Zeroizing<String>>, RedisFault> {
        let Some(file) = &self.password_file else { return Ok(self.address.password.clone()) };
        let read = secret::read(file).map_err(|error| RedisFault::PasswordFile { file: file.clone(), error });
        Ok(Some(read?))
    }
}

pub(crate) struct RedisConnection {
    inner: MultiplexedConnection,
    shown: String,
    /// Reads and writes the socket; the connection ends with it.
    driver: AbortOnDropHandle<()>,
}

impl RedisConnection {
    /// Connects, logs in, and chooses the database.
    ///
    /// # Errors
    /// [`RedisFault`], all of which may be gone at the next try.
    pub(crate) async fn open(server: &RedisServer) -> Result<Self, RedisFault> {
        let shown = server.address.to_string();
        let opening = Self::open_in_time(server, &shown);
        match tokio::time::timeout(Duration::from_millis(REDIS_CONNECT_MS), opening).await {
            Ok(opened) => opened,
            Err(_) => Err(RedisFault::Silent { address: shown, seconds: REDIS_CONNECT_MS / 1_000 }),
        }
    }

    async fn open_in_time(server: &RedisServer, shown: &str) -> Result<Self, RedisFault> {
        let unreachable = |error| RedisFault::Unreachable { address: shown.to_owned(), error };
        match &server.address.place {
            ServerPlace::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                Self::log_in(server, stream, shown).await
            }
            ServerPlace::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(|error| unreachable(in_words(host, error)))?;
                // Without it a small answer waits for the next one; if it cannot be set, the connection works anyway.
                let _ = stream.set_nodelay(true);
                if !tls {
                    return Self::log_in(server, stream, shown).await;
                }
                let connector = tls::trusting(server.ca_file.as_deref(), None)?;
                let stream = tls::handshake(&connector, host, stream).await.map_err(unreachable)?;
                Self::log_in(server, stream, shown).await
            }
        }
    }

    async fn log_in<S>(server: &RedisServer, stream: S, shown: &str) -> Result<Self, RedisFault>
    where
        S: Unpin + AsyncRead + AsyncWrite + Send + 'static,
    {
        // Deadlines are those of `answered`, command by command.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        // The login is ours, because the client keeps to itself what Redis says to a wrong one.
        let nothing = RedisConnectionInfo::default().set_skip_set_lib_name();
        let opened = MultiplexedConnection::new_with_config(&nothing, stream, config).await;
        let (inner, driver) = opened.map_err(|error| RedisFault::from_redis(shown, error))?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let mut connection = Self { inner, shown: shown.to_owned(), driver };
        let address = &server.address;
        if let Some(password) = server.password()? {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = &address.user {
                auth.arg(user);
            }
            connection.query::<()>(auth.arg(password.as_str())).await?;
        }
        // Also for database 0: a server that wants a password says so only at the first command.
        connection.query::<()>(redis::cmd("SELECT").arg(address.db)).await?;
        Ok(connection)
    }

    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisFault> {
        let Self { inner, shown, .. } = self;
        answered(shown, Duration::ZERO, command.query_async(inner)).await
    }

    /// Sends all commands of `pipeline`. The first one may wait for `waits` by itself.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &mut self,
        pipeline: &Pipeline,
        waits: Duration,
    ) -> Result<T, RedisFault> {
        let Self { inner, shown, .. } = self;
        answered(shown, waits, pipeline.query_async(inner)).await
    }

    /// Ends when the connection does. Asks now and then, so that a dead one is noticed and Redis's own `timeout`
    /// closes none.
    pub(crate) async fn ended(&mut self) -> RedisFault {
        loop {
            let quiet = tokio::time::sleep(Duration::from_millis(REDIS_QUIET_MS));
            tokio::select! {
                // The connection has ended, for any reason.
                _ = &mut self.driver => {
                    let error = std::io::ErrorKind::ConnectionReset.into();
                    return RedisFault::Unreachable { address: self.shown.clone(), error };
                }
                () = quiet => {}
            }
            if let Err(fault) = self.query::<()>(&redis::cmd("PING")).await {
                return fault;
            }
        }
    }
}

async fn answered<T>(
    shown: &str,
    waits: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, RedisFault> {
    let most = waits + Duration::from_millis(REDIS_ANSWER_MS);
    match tokio::time::timeout(most, answer).await {
        Ok(answer) => answer.map_err(|error| RedisFault::from_redis(shown, error)),
        Err(_) => Err(RedisFault::Silent { address: shown.to_owned(), seconds: most.as_secs() }),
    }
}
