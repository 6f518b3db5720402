//! A door that IntelMQ's TCP collector (3.5.0) takes for a TCP output of IntelMQ's: it connects, sends one
//! event, and waits for the two bytes `Ok` before it sends the next. Anything else, the collector's `End` and
//! `Incomplete message` among it, ends the connection, and the same event is sent on the next one.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::handed_mark::{HandedFile, HandedMark};
use super::receiver::{Made, PATIENCE, Receiver, ReceiverError};

/// Where the collector listens.
#[derive(Clone, Debug)]
pub struct TcpOut {
    /// Host and port; a name is looked up for each connection.
    pub connect: String,
    /// Ends each event, instead of a length before it.
    pub separator: Option<String>,
}

pub(super) struct TcpReceiver {
    place: TcpOut,
    stream: Option<TcpStream>,
    handed: HandedFile,
    frame: Vec<u8>,
}

impl TcpReceiver {
    /// # Errors
    /// Where the file of its mark in `dir` cannot be had.
    pub fn new(place: TcpOut, dir: &Path, name: &str) -> io::Result<Self> {
        Ok(Self { place, stream: None, handed: HandedFile::open(dir, name)?, frame: Vec::new() })
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

    fn stream(&mut self) -> Result<&mut TcpStream, ReceiverError> {
        self.stream.as_mut().ok_or(ReceiverError::Closed)
    }

    /// Reads both bytes of the answer, however they arrive.
    async fn answer(&mut self) -> Result<(), ReceiverError> {
        let stream = self.stream()?;
        let mut answer = [0; 32];
        let mut length = 0;
        while length < 2 {
            let read = timeout(PATIENCE, stream.read(&mut answer[length..])).await;
            match read.map_err(|_| ReceiverError::Silent("waiting for Ok"))? {
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

    fn remember(&self, mark: Option<HandedMark>) -> Result<(), ReceiverError> {
        let Some(mark) = mark else { return Ok(()) };
        self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))
    }
}

impl Receiver for TcpReceiver {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        self.stream = None;
        let connected = timeout(PATIENCE, TcpStream::connect(&self.place.connect)).await;
        let stream = connected.map_err(|_| ReceiverError::Silent("connecting"))?;
        let stream = stream.map_err(|error| ReceiverError::Io("connecting", error))?;
        // An event is one write: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        self.stream = Some(stream);
        Ok(())
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.handed.read())
    }

    async fn hand(&mut self, lines: &[Made]) -> Result<usize, ReceiverError> {
        let Some(first) = lines.first() else { return Ok(0) };
        self.frame(&first.line)?;
        let frame = std::mem::take(&mut self.frame);
        let written = timeout(PATIENCE, self.stream()?.write_all(&frame)).await;
        self.frame = frame;
        let written = written.map_err(|_| ReceiverError::Silent("sending"))?;
        written.map_err(|error| ReceiverError::Io("sending", error))?;
        self.answer().await?;
        // It was taken: that the mark cannot be written is no reason to send it again.
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
