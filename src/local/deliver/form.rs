//! A stored event as one receiver takes it: in the form of its door, by the receiver's own list of fields,
//! which is read again when its file changes. The rules are `format`'s.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::opening::OutgoingLine;
use super::socket::carried;
use crate::format::intelmq::{Harmonization, HarmonizationError, IntelmqHandOff, SetAside};
use crate::record::Entry;
use crate::time::Tick;

/// How often the file is looked at, in ms.
const LOOK_EVERY_MS: u64 = 1_000;

pub(crate) struct ReceiverForm {
    hand_off: IntelmqHandOff,
    /// The receiver's `harmonization.conf`; `None`: IntelMQ 3.5.0's list.
    file: Option<PathBuf>,
    fingerprint: Option<[i64; 6]>,
    next_look: Tick,
}

impl ReceiverForm {
    /// Returns `hand_off` with the list of fields in `file`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be used; the operator must fix it.
    pub(crate) fn new(hand_off: IntelmqHandOff, file: Option<PathBuf>) -> Result<Self, HarmonizationError> {
        let mut form = Self { hand_off, fingerprint: None, file, next_look: Tick(0) };
        if let Some(file) = form.file.clone() {
            form.fingerprint = fingerprint(&file);
            form.hand_off.harmonization = Arc::new(Harmonization::load(&file)?);
        }
        Ok(form)
    }

    /// Reads the list again if its file has changed; `None` if it has not.
    ///
    /// # Errors
    /// Returns an error if the file cannot be used as it is now; the list before it stays in force.
    pub(crate) fn refresh(&mut self, now: Tick) -> Option<Result<(), HarmonizationError>> {
        let file = self.file.as_ref().filter(|_| now >= self.next_look)?;
        self.next_look = now.plus_ms(LOOK_EVERY_MS);
        let fingerprint = fingerprint(file);
        if fingerprint == self.fingerprint {
            return None;
        }
        self.fingerprint = fingerprint;
        Some(Harmonization::load(file).map(|list| {
            self.hand_off.harmonization = Arc::new(list);
            tracing::info!(file = %file.display(), "read again");
        }))
    }

    /// Waits until the file is worth a look; for ever if there is none.
    pub(crate) async fn look_due(&self) {
        match &self.file {
            Some(_) => tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await,
            None => std::future::pending().await,
        }
    }

    /// Returns the lines of an entry, each with whether it was adapted.
    ///
    /// # Errors
    /// Returns the reason if the receiver cannot have it.
    pub(crate) fn write(
        &self,
        entry: &Entry,
        outgoing: &OutgoingLine,
    ) -> Result<Vec<(Vec<u8>, bool)>, SetAside> {
        self.hand_off.write_lines(&carried(entry, outgoing))
    }
}

/// Returns `None` if there is no such file.
fn fingerprint(file: &Path) -> Option<[i64; 6]> {
    let data = std::fs::metadata(file).ok()?;
    let (inode, size) = (data.ino().cast_signed(), data.size().cast_signed());
    Some([inode, size, data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()])
}
