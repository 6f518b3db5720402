//! The door to a Warden 3 server. A batch goes in one request, and the server says of each message whether it has it:
//! those that it never takes are set aside, and the others are sent again. If an answer is lost, the batch is sent again,
//! and the server has its messages twice: it does not compare. `warden` speaks to the server.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::marker::{HandedFile, HandedMark};
use super::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::door::WardenServer;
use crate::local::warden::{MessageFate, WardenClient, WardenFault};

/// Messages of one request, unless the server has a lower bound: also the most that come twice after a lost answer.
const BATCH_EVENTS_MAX: usize = 500;
/// Bytes of them.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

type LineDigest = [u8; 32];

pub(crate) struct WardenReceiver {
    client: WardenClient,
    handed: HandedFile,
    limit: usize,
    /// What the server did with lines that it was sent and that are still to be reported.
    known: HashMap<LineDigest, MessageFate>,
}

impl From<WardenFault> for ReceiverError {
    fn from(fault: WardenFault) -> Self {
        Self::Other(fault.to_string())
    }
}

fn digest(line: &PreparedLine) -> LineDigest {
    Sha256::digest(&line.line).into()
}

impl WardenReceiver {
    pub(crate) fn new(server: &WardenServer, handed: HandedFile) -> Self {
        let client = WardenClient::new(server);
        Self { client, handed, limit: BATCH_EVENTS_MAX, known: HashMap::new() }
    }

    /// Sends the first of `lines` whose fate is not known.
    async fn send(&mut self, lines: &[PreparedLine]) -> Result<Option<String>, ReceiverError> {
        let digests: Vec<LineDigest> = lines.iter().map(digest).collect();
        // Lines that expired meanwhile are not asked for any more.
        self.known.retain(|digest, _| digests.contains(digest));
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (line, digest) in lines.iter().zip(digests).filter(|(_, digest)| !self.known.contains_key(digest))
        {
            bytes += line.line.len();
            if batch.len() >= self.limit || (bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.push((line.line.as_slice(), digest));
        }
        let messages: Vec<&[u8]> = batch.iter().map(|(line, _)| *line).collect();
        let report = self.client.send(&messages).await?;
        if let Some(limit) = report.limit {
            self.limit = limit.min(BATCH_EVENTS_MAX);
        }
        let digests = batch.into_iter().map(|(_, digest)| digest);
        let fates = digests.zip(report.fates).filter(|(_, fate)| *fate != MessageFate::Later);
        self.known.extend(fates);
        Ok(report.why_later)
    }
}

impl DeliveryTarget for WardenReceiver {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        let limit = self.client.info().await?.send_events_limit;
        self.limit = limit.unwrap_or(BATCH_EVENTS_MAX).clamp(1, BATCH_EVENTS_MAX);
        Ok(())
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.handed.read())
    }

    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        let Some(first) = lines.first().map(digest) else { return Ok(0) };
        let why_later = match self.known.contains_key(&first) {
            true => None,
            false => self.send(lines).await?,
        };
        if let Some(MessageFate::Refused(why)) = self.known.get(&first) {
            let why = why.clone();
            self.known.remove(&first);
            return Err(ReceiverError::Refused(why));
        }
        let is_stored = |line: &&PreparedLine| self.known.get(&digest(line)) == Some(&MessageFate::Stored);
        let count = lines.iter().take_while(is_stored).count();
        let stored = &lines[..count];
        for line in stored {
            self.known.remove(&digest(line));
        }
        if let Some(mark) = stored.iter().rev().find_map(|line| line.mark) {
            self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))?;
        }
        match (count, why_later) {
            (0, Some(why)) => Err(ReceiverError::Other(format!("sendEvents: {why}"))),
            _ => Ok(count),
        }
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))
    }

    /// There is no connection between two requests.
    async fn idle(&mut self) -> ReceiverError {
        std::future::pending().await
    }

    fn unfit(&self, _: &[u8]) -> Option<String> {
        None
    }
}
