//! A door that IntelMQ's TCP collector (3.5.0) takes for a TCP output of IntelMQ's: it connects, sends one
//! event, and waits for the two bytes `Ok` before it sends the next. Anything else, the collector's `End` and
//! `Incomplete message` among it, ends the connection, and the same event is sent on the next one.
//!
//! Silence ends nothing: the collector serves one sender at a time, and the kernel takes connections and bytes for it
//! meanwhile. An event that was sent cannot be taken back, so to send it again on another connection would double it.
//! The kernel gives up a peer only if its machine does not answer any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::marker::{HandedFile, HandedMark};
use super::target::{DeliveryTarget, PATIENCE, PreparedLine, ReceiverError};
use crate::door::TcpTarget;
use crate::limits::{RECEIVER_DEAD_MS, RECEIVER_PROBE_S};
use crate::local::counters::ConsumerCounters;
use crate::resolving::in_words;

const LINES_PATIENCE: Duration = Duration::from_secs(10);

impl TcpTarget {
    /// Returns how long a receiver may be silent before that is logged. One of lines probably never answers.
    fn patience(&self) -> Duration {
        if self.separator.is_some() { LINES_PATIENCE } else { PATIENCE }
    }

    fn why_silent(&self) -> &'static str {
        match self.separator {
            None => "does another sender hold the collector?",
            Some(_) => {
                "this door needs a receiver that answers each event with `Ok`, as the door of another node does; \
                 a sink of lines (logstash, filebeat, syslog) never does"
            }
        }
    }
}

pub(crate) struct TcpReceiver {
    place: TcpTarget,
    stream: Option<TcpStream>,
    handed: HandedFile,
    frame: Vec<u8>,
    counters: Arc<ConsumerCounters>,
}

impl TcpReceiver {
    pub(crate) fn new(place: TcpTarget, handed: HandedFile, counters: Arc<ConsumerCounters>) -> Self {
        Self { place, stream: None, handed, frame: Vec::new(), counters }
    }

    fn frame(&mut self, line: &[u8]) -> Result<(), ReceiverError> {
        self.frame.clear();
        match &self.place.separator {
            Some(separator) => {
                self.frame.extend_from_slice(line);
                self.frame.extend_from_slice(separator.as_bytes());
            }
            None => {
                let length = u32::try_from(line.len())
                    .map_err(|_| ReceiverError::Other("an event of more than 4 GiB".into()))?;
                self.frame.extend_from_slice(&length.to_be_bytes());
                self.frame.extend_from_slice(line);
            }
        }
        Ok(())
    }

    /// Sends `frame` and reads both bytes of the answer, however they arrive.
    async fn exchange(stream: &mut TcpStream, frame: &[u8]) -> Result<(), ReceiverError> {
        stream.write_all(frame).await.map_err(|error| ReceiverError::Io("sending", error))?;
        let mut answer = [0; 32];
        let mut length = 0;
        while length < 2 {
            match stream.read(&mut answer[length..]).await {
                Ok(0) if length == 0 => return Err(ReceiverError::Closed),
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) => return Err(ReceiverError::Io("waiting for Ok", error)),
            }
        }
        match &answer[..length] {
            b"Ok" => Ok(()),
            other => Err(ReceiverError::Answer(String::from_utf8_lossy(other).into_owned())),
        }
    }

    /// Waits for `exchange` as long as the connection stands, and logs it each time it has taken twice as long.
    async fn patiently(
        place: &TcpTarget,
        counters: &ConsumerCounters,
        exchange: impl Future<Output = Result<(), ReceiverError>>,
    ) -> Result<(), ReceiverError> {
        tokio::pin!(exchange);
        let (mut waited, mut wait) = (Duration::ZERO, place.patience());
        let ended = loop {
            if let Ok(ended) = timeout(wait, &mut exchange).await {
                break ended;
            }
            waited += wait;
            let seconds = waited.as_secs();
            counters.held(Some(format!("no answer for {seconds} s: {}", place.why_silent())));
            wait = waited;
        };
        counters.held(None);
        ended
    }

    fn remember(&self, mark: Option<HandedMark>) -> Result<(), ReceiverError> {
        let Some(mark) = mark else { return Ok(()) };
        self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))
    }
}

impl DeliveryTarget for TcpReceiver {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        self.stream = None;
        self.counters.held(None);
        let connected = timeout(PATIENCE, TcpStream::connect(&self.place.connect)).await;
        let stream = connected.map_err(|_| ReceiverError::Silent("connecting"))?;
        let stream =
            stream.map_err(|error| ReceiverError::Io("connecting", in_words(&self.place.connect, error)))?;
        // An event is one write: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        end_with_its_peer(&stream).map_err(|error| ReceiverError::Io("connecting", error))?;
        self.stream = Some(stream);
        Ok(())
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.handed.read())
    }

    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        let Some(first) = lines.first() else { return Ok(0) };
        self.frame(&first.line)?;
        let Self { place, stream, frame, counters, .. } = self;
        let stream = stream.as_mut().ok_or(ReceiverError::Closed)?;
        Self::patiently(place, counters, Self::exchange(stream, frame)).await?;
        // It was taken, so it is not sent again if the mark cannot be written.
        if let Err(error) = self.remember(first.mark) {
            tracing::warn!(%error, "a crash now would hand one event over again");
        }
        Ok(1)
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        self.remember(Some(mark))
    }

    async fn idle(&mut self) -> ReceiverError {
        let Some(stream) = &self.stream else { return ReceiverError::Closed };
        loop {
            if let Err(error) = stream.readable().await {
                return ReceiverError::Io("waiting", error);
            }
            let mut said = [0; 32];
            match stream.try_read(&mut said) {
                Ok(0) => return ReceiverError::Closed,
                Ok(read) => {
                    return ReceiverError::Answer(String::from_utf8_lossy(&said[..read]).into_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return ReceiverError::Io("waiting", error),
            }
        }
    }

    fn unfit(&self, line: &[u8]) -> Option<String> {
        let separator = self.place.separator.as_ref()?;
        let found = line.windows(separator.len()).any(|at| at == separator.as_bytes());
        found.then(|| format!("it holds the separator {separator:?}"))
    }
}

/// Lets the kernel end the connection if the other machine acknowledges nothing any more.
fn end_with_its_peer(stream: &TcpStream) -> io::Result<()> {
    let probe = Duration::from_secs(RECEIVER_PROBE_S);
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, probe)?;
    sockopt::set_tcp_keepintvl(stream, probe)?;
    Ok(sockopt::set_tcp_user_timeout(stream, RECEIVER_DEAD_MS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_answers_no_more_ends_the_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        end_with_its_peer(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), RECEIVER_DEAD_MS);
    }
}
