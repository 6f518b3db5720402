//! One connection to one broker. A task of its own writes, so that heartbeats leave while a batch is stored; each read
//! has a deadline, so that a dead connection is noticed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::fault::StompFault;
use super::frame::{StompFrame, encode};
use crate::door::BrokerAddress;
use crate::limits::{STOMP_BEAT_MS, STOMP_CONNECT_MS, STOMP_EARLY_BYTES_MAX, STOMP_EARLY_MAX};
use crate::local::stomp::frame::FrameFault;
use crate::local::{secret, tls};
use crate::resolving::in_words;

/// Frames that wait for the writer; more wait in the door.
const WRITES_WAITING: usize = 512;

/// The address of a broker, the authorities to trust there, and the login.
#[derive(Clone, Debug)]
pub(crate) struct StompServer {
    pub broker: BrokerAddress,
    pub ca_file: Option<PathBuf>,
    pub login: String,
    pub password_file: PathBuf,
}

pub(crate) struct StompConnection {
    server: String,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    read: BytesMut,
    writes: mpsc::Sender<Vec<u8>>,
    /// Messages that came before a receipt.
    early: VecDeque<StompFrame>,
    /// Without a byte for so long the connection is dead; `None`: the broker sends no heartbeats.
    silence: Option<Duration>,
    /// How long no byte came, as far as it was waited for.
    quiet: Duration,
    _writer: AbortOnDropHandle<()>,
}

impl StompConnection {
    /// Connects, logs in, and subscribes: at most `prefetch` messages of each destination come without being acknowledged.
    ///
    /// # Errors
    /// [`StompFault`], all of which may be gone at the next try.
    pub(crate) async fn open(
        server: &StompServer,
        destinations: &[String],
        prefetch: usize,
    ) -> Result<Self, StompFault> {
        let opening = async {
            let mut connection = Self::log_in(server).await?;
            for (number, destination) in destinations.iter().enumerate() {
                connection.subscribe(&number.to_string(), destination, prefetch).await?;
            }
            Ok(connection)
        };
        match tokio::time::timeout(Duration::from_millis(STOMP_CONNECT_MS), opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let server = server.broker.url.clone();
                Err(StompFault::Silent { server, seconds: STOMP_CONNECT_MS / 1_000 })
            }
        }
    }

    async fn log_in(server: &StompServer) -> Result<Self, StompFault> {
        let broker = &server.broker;
        let unreachable = |error| StompFault::Unreachable { server: broker.url.clone(), error };
        let file = &server.password_file;
        let password =
            secret::read(file).map_err(|error| StompFault::PasswordFile { file: file.clone(), error })?;
        let stream = TcpStream::connect((broker.host.as_str(), broker.port)).await;
        let stream = stream.map_err(|error| unreachable(in_words(&broker.host, error)))?;
        // Without it a small frame waits for the next one; if it cannot be set, the connection works anyway.
        let _ = stream.set_nodelay(true);
        let mut connection = match broker.tls {
            false => Self::over(server, stream),
            true => {
                let connector = tls::trusting(server.ca_file.as_deref(), None)?;
                let stream = tls::handshake(&connector, &broker.host, stream).await.map_err(unreachable)?;
                Self::over(server, stream)
            }
        };
        let beats = format!("{STOMP_BEAT_MS},{STOMP_BEAT_MS}");
        let headers = [
            ("accept-version", "1.2"),
            ("host", "/"),
            ("login", server.login.as_str()),
            ("passcode", password.as_str()),
            ("heart-beat", beats.as_str()),
        ];
        connection.send(encode("CONNECT", &headers)).await?;
        let answer = connection.read_frame().await?;
        if answer.command != "CONNECTED" {
            let command = answer.command.chars().take(20).collect();
            return Err(StompFault::Unexpected {
                server: broker.url.clone(),
                command,
                expected: "CONNECTED",
            });
        }
        let offered =
            answer.header("heart-beat").and_then(|beats| beats.split(',').next()?.trim().parse().ok());
        connection.silence = match offered.unwrap_or(0) {
            0 => None,
            // Either side may beat more slowly than the other one asks.
            theirs => Some(Duration::from_millis(u64::max(theirs, STOMP_BEAT_MS).saturating_mul(3))),
        };
        Ok(connection)
    }

    fn over(server: &StompServer, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (reader, mut writer) = tokio::io::split(stream);
        let (writes, mut waiting) = mpsc::channel::<Vec<u8>>(WRITES_WAITING);
        let writing = async move {
            loop {
                let beat = Duration::from_millis(STOMP_BEAT_MS);
                let bytes = match tokio::time::timeout(beat, waiting.recv()).await {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => return,
                    Err(_) => b"\n".to_vec(),
                };
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    // The reader notices that the connection is gone.
                    return;
                }
            }
        };
        Self {
            server: server.broker.url.clone(),
            reader: Box::new(reader),
            read: BytesMut::new(),
            writes,
            early: VecDeque::new(),
            silence: None,
            quiet: Duration::ZERO,
            _writer: AbortOnDropHandle::new(tokio::spawn(writing)),
        }
    }

    /// Subscribes, and waits until the broker grants it.
    async fn subscribe(&mut self, id: &str, destination: &str, prefetch: usize) -> Result<(), StompFault> {
        let prefetch = prefetch.to_string();
        let headers = [
            ("id", id),
            ("destination", destination),
            ("ack", "client-individual"),
            ("prefetch-count", prefetch.as_str()),
            ("receipt", id),
        ];
        self.send(encode("SUBSCRIBE", &headers)).await?;
        let mut bytes = 0;
        loop {
            match self.read_frame().await? {
                frame if frame.command == "RECEIPT" => return Ok(()),
                frame if frame.command == "MESSAGE" => {
                    bytes += frame.body.len();
                    if bytes > STOMP_EARLY_BYTES_MAX || self.early.len() >= STOMP_EARLY_MAX {
                        let server = self.server.clone();
                        return Err(StompFault::Nonsense { server, fault: FrameFault::LongBody });
                    }
                    self.early.push_back(frame);
                }
                _ => {}
            }
        }
    }

    /// Returns the next frame of the broker that is no error. It may be given up at any time: no byte is lost.
    ///
    /// # Errors
    /// [`StompFault`]: the connection is over.
    pub(crate) async fn next(&mut self) -> Result<StompFrame, StompFault> {
        match self.early.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read_frame().await,
        }
    }

    /// Notes that [`Self::next`] was waited for so long, without a frame.
    ///
    /// # Errors
    /// [`StompFault::Silent`] if not even heartbeats come.
    pub(crate) fn waited(&mut self, time: Duration) -> Result<(), StompFault> {
        self.quiet += time;
        match self.silence {
            Some(silence) if self.quiet > silence => {
                Err(StompFault::Silent { server: self.server.clone(), seconds: self.quiet.as_secs() })
            }
            _ => Ok(()),
        }
    }

    async fn read_frame(&mut self) -> Result<StompFrame, StompFault> {
        loop {
            let decoded = StompFrame::decode(&mut self.read);
            let fault = |fault| StompFault::Nonsense { server: self.server.clone(), fault };
            match decoded.map_err(fault)? {
                Some(frame) if frame.command == "ERROR" => {
                    return Err(StompFault::of_error(&self.server, &frame));
                }
                Some(frame) => return Ok(frame),
                None => self.read_more().await?,
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), StompFault> {
        match self.reader.read_buf(&mut self.read).await {
            Ok(0) => Err(self.gone(std::io::ErrorKind::ConnectionReset.into())),
            Ok(_) => {
                self.quiet = Duration::ZERO;
                Ok(())
            }
            Err(error) => Err(self.gone(error)),
        }
    }

    /// Acknowledges a message: the broker forgets it.
    ///
    /// # Errors
    /// [`StompFault::Unreachable`] if the connection is gone.
    pub(crate) async fn acknowledge(&mut self, ack: &str) -> Result<(), StompFault> {
        self.send(encode("ACK", &[("id", ack)])).await
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), StompFault> {
        let sent = self.writes.send(frame).await;
        sent.map_err(|_| self.gone(std::io::ErrorKind::BrokenPipe.into()))
    }

    fn gone(&self, error: std::io::Error) -> StompFault {
        StompFault::Unreachable { server: self.server.clone(), error }
    }
}
