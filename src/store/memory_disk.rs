//! A disk in memory that does to a journal what real ones do: it loses what was not synced, tears it, keeps
//! only some sectors of it, fills up and fails. For tests and the simulator; the node never uses it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::disk::{Disk, Space};

/// Bytes that a crash keeps or loses as one, in [`MemoryDisk::crash_scattered`].
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
struct MemoryFile {
    synced: Vec<u8>,
    now: Vec<u8>,
    /// Writes since the last sync, in order.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    files: BTreeMap<String, MemoryFile>,
    capacity: Option<u64>,
    fail_sync: bool,
    /// Changing operations that still succeed before the disk is full; `None`: no such limit.
    ops_left: Option<u64>,
    syncs: u64,
}

/// Shared by its clones; [`MemoryDisk::snapshot`] makes one that is not.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

impl MemoryDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of its own: a backup taken while the node ran, what is not synced included.
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    /// Puts back what `backup` holds: a restore. How much room there is, no backup knows.
    pub fn restore(&self, backup: &Self) {
        let copy = backup.inner().clone();
        let mut inner = self.inner();
        let (capacity, ops_left) = (inner.capacity, inner.ops_left);
        *inner = Inner { capacity, ops_left, ..copy };
    }

    /// Bytes written and not yet synced.
    pub fn unsynced_bytes(&self) -> usize {
        self.inner().files.values().flat_map(|file| &file.unsynced).map(|(_, bytes)| bytes.len()).sum()
    }

    /// The power goes: of what was not synced the first `keep` bytes reach the disk.
    pub fn crash(&self, keep: usize) {
        let mut left = keep;
        for file in self.inner().files.values_mut() {
            let mut now = std::mem::take(&mut file.synced);
            for (at, bytes) in file.unsynced.drain(..) {
                let kept = bytes.len().min(left);
                left -= kept;
                overlay(&mut now, at, &bytes[..kept]);
            }
            file.synced = now.clone();
            file.now = now;
        }
    }

    /// The power goes: of what was not synced each sector reaches the disk or not, as `keeps` says.
    pub fn crash_scattered(&self, mut keeps: impl FnMut() -> bool) {
        for file in self.inner().files.values_mut() {
            let mut now = std::mem::take(&mut file.synced);
            for (at, bytes) in file.unsynced.drain(..) {
                let mut done = 0;
                while done < bytes.len() {
                    let next = (SECTOR_BYTES - (at + done) % SECTOR_BYTES).min(bytes.len() - done);
                    if keeps() {
                        overlay(&mut now, at + done, &bytes[done..done + next]);
                    }
                    done += next;
                }
            }
            file.synced = now.clone();
            file.now = now;
        }
    }

    /// All files together hold at most this many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// After this many more changes the disk is full.
    pub fn fill_after(&self, ops: Option<u64>) {
        self.inner().ops_left = ops;
    }

    pub fn set_fail_sync(&self, fail: bool) {
        self.inner().fail_sync = fail;
    }

    /// Syncs that succeeded.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// The content of a file, as a reader sees it now.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.inner().files.get(name).map(|file| file.now.clone())
    }

    /// Replaces a file, on disk and for readers: damage, or an operator's hand.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        let file = MemoryFile { synced: content.clone(), now: content, unsynced: Vec::new() };
        self.inner().files.insert(name.to_owned(), file);
    }
}

fn overlay(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Inner {
    fn file(&mut self, name: &str) -> io::Result<&mut MemoryFile> {
        self.files.get_mut(name).ok_or_else(|| not_found(name))
    }

    /// One more change; refuses it where the disk is full.
    fn change(&mut self, grows: u64) -> io::Result<()> {
        if let Some(left) = &mut self.ops_left {
            if *left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *left -= 1;
        }
        match self.capacity {
            Some(capacity) if grows > 0 && self.used() + grows > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.files.values().map(|file| file.now.len() as u64).sum()
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().files.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.inner().file(name)?.now.len() as u64)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(0)?;
        inner.files.insert(name.to_owned(), MemoryFile::default());
        Ok(())
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let end = at + bytes.len() as u64;
        let grows = end.saturating_sub(inner.file(name)?.now.len() as u64);
        inner.change(grows)?;
        let file = inner.file(name)?;
        overlay(&mut file.now, at as usize, bytes);
        file.unsynced.push((at as usize, bytes.to_vec()));
        Ok(())
    }

    fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let grows = len.saturating_sub(inner.file(name)?.now.len() as u64);
        if grows == 0 {
            return Ok(());
        }
        inner.change(grows)?;
        let file = inner.file(name)?;
        file.now.resize(len as usize, 0);
        file.synced.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.fail_sync {
            return Err(io::Error::other("the disk is broken"));
        }
        inner.syncs += 1;
        let file = inner.file(name)?;
        file.unsynced.clear();
        file.synced = file.now.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(0)?;
        let file = inner.files.remove(from).ok_or_else(|| not_found(from))?;
        inner.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn read(&self, name: &str, at: u64, len: usize) -> io::Result<Bytes> {
        let mut inner = self.inner();
        let now = &inner.file(name)?.now;
        let from = (at as usize).min(now.len());
        let to = from.saturating_add(len).min(now.len());
        Ok(Bytes::copy_from_slice(&now[from..to]))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.file(name)?;
        file.now.truncate(len as usize);
        file.unsynced.retain_mut(|(at, bytes)| {
            bytes.truncate((len as usize).saturating_sub(*at));
            !bytes.is_empty()
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner().files.remove(name);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let inner = self.inner();
        let total = inner.capacity.unwrap_or(u64::MAX / 2);
        Ok(Space { free: total.saturating_sub(inner.used()), total })
    }
}
