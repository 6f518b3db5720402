//! A file of the node's state that is written whole, away from the loop: a slow disk must not hold it up. One write at a
//! time, and each writes the latest: an older state never replaces a newer one. Its owner defines the content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files;

#[derive(Clone, Debug)]
pub(crate) struct KeptFile(Arc<KeptState>);

#[derive(Debug)]
struct KeptState {
    file: PathBuf,
    waiting: Mutex<WaitingWrite>,
    /// Held from taking the latest state to its being on disk.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct WaitingWrite {
    /// The latest state, if it is not on disk.
    bytes: Option<Vec<u8>>,
    is_running: bool,
    has_failed: bool,
}

impl KeptFile {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(Arc::new(KeptState { file, waiting: Mutex::default(), writing: Mutex::default() }))
    }

    /// Writes `bytes` soon.
    pub(crate) fn write(&self, bytes: Vec<u8>) {
        self.0.waiting().bytes = Some(bytes);
        self.try_again();
    }

    /// Writes what could not be written before, if it is the latest still. To be called now and then.
    pub(crate) fn try_again(&self) {
        let mut waiting = self.0.waiting();
        if waiting.bytes.is_some() && !waiting.is_running {
            waiting.is_running = true;
            let shared = self.0.clone();
            tokio::task::spawn_blocking(move || while shared.goes_on(shared.write_latest()) {});
        }
    }

    /// Writes `bytes` and waits for that: the process ends.
    pub(crate) fn write_last(&self, bytes: Vec<u8>) {
        self.0.waiting().bytes = Some(bytes);
        self.0.write_latest();
    }
}

/// Reads the content of such a file. One that cannot be read, or is larger than `bytes_max`, is as if it were not there:
/// it is not ours.
pub(crate) fn read_small(file: &Path, bytes_max: u64) -> Vec<u8> {
    let small = fs::metadata(file).is_ok_and(|data| data.len() <= bytes_max);
    if small { fs::read(file).unwrap_or_default() } else { Vec::new() }
}

impl KeptState {
    fn waiting(&self) -> MutexGuard<'_, WaitingWrite> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if there is more to write. If not, the next call of `write` starts a worker: both are decided under
    /// one lock, so that no state is left to a worker that ends. If a write failed, it is tried again later.
    fn goes_on(&self, has_worked: bool) -> bool {
        let mut waiting = self.waiting();
        waiting.is_running = has_worked && waiting.bytes.is_some();
        waiting.is_running
    }

    /// Returns false if it failed.
    fn write_latest(&self) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = self.waiting().bytes.take() else { return true };
        let written = files::replace(&self.file, &bytes, 0o600);
        let mut waiting = self.waiting();
        if let Err(error) = &written {
            if !std::mem::replace(&mut waiting.has_failed, true) {
                tracing::warn!("{}: cannot be written: {error}", self.file.display());
            }
            waiting.bytes.get_or_insert(bytes);
        } else {
            waiting.has_failed = false;
        }
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The runtime waits for its workers when it ends.
    fn with_workers(run: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let _inside = runtime.enter();
        run();
    }

    #[test]
    fn the_latest_state_is_on_disk_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        with_workers(|| {
            let file = KeptFile::new(path.clone());
            (0..200).for_each(|number: usize| file.write(number.to_string().into_bytes()));
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "199");
        with_workers(|| {
            let file = KeptFile::new(path.clone());
            (0..50).for_each(|number: usize| file.write(number.to_string().into_bytes()));
            file.write_last(b"last".to_vec());
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "last");
    }

    /// The next state comes when a worker has found nothing more to write, and before it has ended.
    #[test]
    fn no_state_waits_for_a_worker_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeptFile::new(dir.path().join("state.json"));
        file.0.waiting().is_running = true;
        let found_nothing = file.0.write_latest();
        file.write(b"1".to_vec());
        assert!(file.0.goes_on(found_nothing), "the worker writes that, too");
        assert!(!file.0.goes_on(file.0.write_latest()));
        assert_eq!(fs::read(dir.path().join("state.json")).unwrap(), b"1");
    }

    #[test]
    fn state_that_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/state.json");
        let file = KeptFile::new(path.clone());
        with_workers(|| file.write(b"1".to_vec()));
        assert!(!path.exists());
        fs::create_dir(dir.path().join("later")).unwrap();
        with_workers(|| file.try_again());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    }
}
