//! The door to a directory that Warden's filer reads: each line becomes a file in `incoming`, written in `temp`, synced
//! and renamed. The name of a file has the place of its event in the journal, so that an event that is handed over
//! again after a crash replaces its own file. What reads the directory is not known here.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::marker::{HandedFile, HandedMark};
use super::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::door::SpoolTarget;
use crate::files;
use crate::local::counters::ConsumerCounters;
use crate::local::spool_dir::SpoolDir;

/// Pause before a full directory is looked at again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct SpoolReceiver {
    spool: SpoolDir,
    suffix: &'static str,
    queue_max: u64,
    handed: HandedFile,
    counters: Arc<ConsumerCounters>,
}

impl SpoolReceiver {
    pub(crate) fn new(
        target: &SpoolTarget,
        suffix: &'static str,
        handed: HandedFile,
        counters: Arc<ConsumerCounters>,
    ) -> Self {
        let spool = SpoolDir { dir: target.dir.clone() };
        Self { spool, suffix, queue_max: target.queue_max, handed, counters }
    }

    /// Returns how many more files the directory takes.
    fn room(&self) -> io::Result<usize> {
        let holds = fs::read_dir(self.spool.place("incoming"))?.count() as u64;
        let room = self.queue_max.saturating_sub(holds);
        match room {
            0 if !self.counters.is_held() => {
                self.counters.held(Some(format!("incoming holds {holds} files, at most {}", self.queue_max)));
            }
            0 => {}
            _ => self.counters.held(None),
        }
        Ok(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Writes the files of whole entries, as many as there is room for, and returns the number of their lines.
    fn write(&self, lines: &[PreparedLine]) -> io::Result<usize> {
        let room = self.room()?;
        if room == 0 {
            return Ok(0);
        }
        let mut names = Vec::with_capacity(lines.len());
        let mut part = 0;
        for (at, line) in lines.iter().enumerate() {
            part += 1;
            let mark = lines[at..].iter().find_map(|line| line.mark);
            names.push(self.name(mark, part));
            if line.mark.is_some() {
                part = 0;
            }
        }
        // An entry of several lines goes whole, even if that is more than there is room for.
        let whole = |count: usize| lines.get(count.wrapping_sub(1)).is_none_or(|line| line.mark.is_some());
        let count = (room.min(lines.len())..=lines.len()).find(|count| whole(*count)).unwrap_or(lines.len());
        let (temp, incoming) = (self.spool.place("temp"), self.spool.place("incoming"));
        for (line, name) in lines[..count].iter().zip(&names) {
            let text = [line.line.as_slice(), b"\n"].concat();
            files::replace(&temp.join(name), &text, 0o640)?;
        }
        for name in &names[..count] {
            files::rename(&temp.join(name), &incoming.join(name))?;
        }
        if let Some(mark) = lines[..count].iter().rev().find_map(|line| line.mark) {
            self.handed.write(mark)?;
        }
        Ok(count)
    }

    fn name(&self, mark: Option<HandedMark>, part: usize) -> String {
        let door = self.counters.name();
        match mark {
            Some(HandedMark { log_id, mark, .. }) => {
                let log: String = log_id.to_string().chars().take(8).collect();
                format!("intelmesh.{door}.{log}.{:012}.{part}.{}", mark.seq, self.suffix)
            }
            // Out of turn: the operator asked for it.
            None => format!("intelmesh.{door}.{}.{}", uuid::Uuid::new_v4().simple(), self.suffix),
        }
    }
}

impl DeliveryTarget for SpoolReceiver {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        self.spool.prepare().map_err(|error| ReceiverError::Io("opening the directory", error))
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.handed.read())
    }

    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        let written = tokio::task::block_in_place(|| self.write(lines));
        let count = written.map_err(|error| ReceiverError::Io("writing a file", error))?;
        if count == 0 && !lines.is_empty() {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(count)
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))
    }

    /// A directory does not end.
    async fn idle(&mut self) -> ReceiverError {
        std::future::pending().await
    }

    fn unfit(&self, _: &[u8]) -> Option<String> {
        None
    }
}
