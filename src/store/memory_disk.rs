//! A disk in memory that does to a journal what real ones do: it loses what was not synced, names of files too, tears
//! it, keeps only some sectors of it, fills up and fails. A sync that fails leaves in the cache what it could not
//! write, and takes it for clean. For tests and the simulator; the node never uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::disk::{Disk, Space};

/// Bytes that a crash keeps or loses as one, in [`MemoryDisk::crash_scattered`].
const SECTOR_BYTES: usize = 512;

type FileId = u64;

#[derive(Clone, Debug, Default)]
struct MemoryFile {
    /// The bytes on disk, but for [`UnsyncedChanges`] changes that reach it by chance.
    synced: Vec<u8>,
    /// The bytes that a reader sees: the cache.
    now: Vec<u8>,
}

/// A change that no sync has made durable. After a power cut it is there or not.
#[derive(Clone, Debug)]
enum UnsyncedChanges {
    Write { file: FileId, at: usize, bytes: Vec<u8> },
    Length { file: FileId, bytes: usize, shrinks: bool },
    Made { name: String, file: FileId },
    Renamed { from: String, to: String, file: FileId },
    Removed { name: String },
}

impl UnsyncedChanges {
    fn is_of(&self, id: FileId) -> bool {
        matches!(self, Self::Write { file, .. } | Self::Length { file, .. } if *file == id)
    }

    fn written_bytes(&self) -> usize {
        if let Self::Write { bytes, .. } = self { bytes.len() } else { 0 }
    }
}

/// Requests that this disk ignores: it is as if the store did not ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskNeglects {
    /// Writes of bytes that the cache already has.
    pub rewrites: bool,
    /// Syncs of names.
    pub names: bool,
}

/// A byte of a file that cannot be read.
#[derive(Clone, Debug)]
struct BadBlock {
    file: String,
    at: usize,
    /// Reads of it that failed, and after how many it can be read again.
    failed: usize,
    heals_after: usize,
}

#[derive(Clone, Debug, Default)]
struct DiskInner {
    files: BTreeMap<FileId, MemoryFile>,
    /// As the cache has them, and as the disk has them.
    names: BTreeMap<String, FileId>,
    names_synced: BTreeMap<String, FileId>,
    /// In the order in which they were made.
    unsynced: Vec<UnsyncedChanges>,
    next: FileId,
    capacity: Option<u64>,
    /// Syncs that still succeed before all fail; `None` if there is no such limit.
    syncs_left: Option<u64>,
    /// Changing operations that still succeed before the disk is full; `None` if there is no such limit.
    ops_left: Option<u64>,
    syncs: u64,
    cannot_reserve: bool,
    bad_block: Option<BadBlock>,
    neglects: DiskNeglects,
}

/// Shared by its clones; [`MemoryDisk::snapshot`] makes one that is not.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<DiskInner>>);

impl MemoryDisk {
    fn inner(&self) -> MutexGuard<'_, DiskInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of its own: a backup taken while the node ran, with unsynced changes.
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    /// Puts back what `backup` holds: a restore. How much room there is, no backup knows.
    pub fn restore(&self, backup: &Self) {
        let copy = backup.inner().clone();
        let mut inner = self.inner();
        let (capacity, ops_left) = (inner.capacity, inner.ops_left);
        *inner = DiskInner { capacity, ops_left, ..copy };
    }

    /// Bytes written and not yet synced.
    pub fn unsynced_bytes(&self) -> usize {
        self.inner().unsynced.iter().map(UnsyncedChanges::written_bytes).sum()
    }

    /// Changes that a power cut may take or keep, each for itself.
    pub fn unsynced_changes(&self) -> usize {
        self.inner().unsynced.len()
    }

    /// Cuts the power: the first `keep` unsynced bytes reach the disk, and of names and lengths those that changed
    /// before the last of them.
    pub fn crash(&self, keep: usize) {
        let mut left = keep;
        let all = keep >= self.unsynced_bytes() && keep > 0;
        self.power_cut(|_, bytes| {
            let kept = bytes.min(left);
            left -= kept;
            if bytes == 0 { usize::from(all || left > 0) } else { kept }
        });
    }

    /// Cuts the power: each unsynced sector, name and length reaches the disk or not, as `keeps` says.
    pub fn crash_scattered(&self, mut keeps: impl FnMut() -> bool) {
        let mut inner = self.inner();
        for change in std::mem::take(&mut inner.unsynced) {
            let UnsyncedChanges::Write { file, at, bytes } = change else {
                if keeps() {
                    inner.reach_disk(change, usize::MAX);
                }
                continue;
            };
            let mut done = 0;
            while done < bytes.len() {
                let next = (SECTOR_BYTES - (at + done) % SECTOR_BYTES).min(bytes.len() - done);
                if keeps() {
                    let bytes = bytes[done..done + next].to_vec();
                    inner.reach_disk(UnsyncedChanges::Write { file, at: at + done, bytes }, usize::MAX);
                }
                done += next;
            }
        }
        inner.lose_cache();
    }

    /// Cuts the power. `keeps` is asked for each unsynced change by its number, with how many bytes it writes (0 of a
    /// name or a length), and says how many of them reach the disk: of a name or a length, if it does.
    pub fn power_cut(&self, mut keeps: impl FnMut(usize, usize) -> usize) {
        let mut inner = self.inner();
        for (nth, change) in std::mem::take(&mut inner.unsynced).into_iter().enumerate() {
            let kept = keeps(nth, change.written_bytes());
            if kept > 0 {
                inner.reach_disk(change, kept);
            }
        }
        inner.lose_cache();
    }

    /// Lets all files together hold at most this many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// Fills the disk after this many more changes.
    pub fn fill_after(&self, ops: Option<u64>) {
        self.inner().ops_left = ops;
    }

    /// Makes syncs fail from now on. If a sync fails, its bytes are lost with the cache, even if later syncs succeed.
    pub fn set_fail_sync(&self, fail: bool) {
        self.fail_sync_after(fail.then_some(0));
    }

    /// Lets syncs fail after this many more.
    pub fn fail_sync_after(&self, syncs: Option<u64>) {
        self.inner().syncs_left = syncs;
    }

    /// Refuses to reserve room, as ZFS and NFS do.
    pub fn set_cannot_reserve(&self, cannot: bool) {
        self.inner().cannot_reserve = cannot;
    }

    /// Makes the next `heals_after` reads of the byte at `at` fail with `EIO`.
    pub fn set_bad_block(&self, name: &str, at: usize, heals_after: usize) {
        self.inner().bad_block = Some(BadBlock { file: name.to_owned(), at, failed: 0, heals_after });
    }

    /// Returns how many reads of the bad block failed.
    pub fn failed_reads(&self) -> usize {
        self.inner().bad_block.as_ref().map_or(0, |block| block.failed)
    }

    pub fn set_neglects(&self, neglects: DiskNeglects) {
        self.inner().neglects = neglects;
    }

    /// Syncs that succeeded.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// Returns the content of a file, as a reader sees it now.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let mut inner = self.inner();
        inner.file(name).ok().map(|file| file.now.clone())
    }

    /// Replaces a file, on disk and for readers: damage, or an operator's hand.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        let mut inner = self.inner();
        let id = inner.insert(MemoryFile { synced: content.clone(), now: content });
        inner.names.insert(name.to_owned(), id);
        inner.names_synced.insert(name.to_owned(), id);
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

impl DiskInner {
    fn insert(&mut self, file: MemoryFile) -> FileId {
        self.next += 1;
        self.files.insert(self.next, file);
        self.next
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| not_found(name))
    }

    fn file(&mut self, name: &str) -> io::Result<&mut MemoryFile> {
        let id = self.id(name)?;
        self.files.get_mut(&id).ok_or_else(|| not_found(name))
    }

    /// Counts one more change; refuses it if the disk is full.
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
        let files = self.names.values().filter_map(|id| self.files.get(id));
        files.map(|file| file.now.len() as u64).sum()
    }

    /// Counts one more sync; refuses it if the disk is broken.
    fn count_sync(&mut self) -> io::Result<()> {
        if self.syncs_left == Some(0) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.syncs_left = self.syncs_left.map(|left| left - 1);
        self.syncs += 1;
        Ok(())
    }

    /// Puts a change on disk; of a write its first `keep` bytes.
    fn reach_disk(&mut self, change: UnsyncedChanges, keep: usize) {
        match change {
            UnsyncedChanges::Write { file, at, bytes } => {
                if let Some(file) = self.files.get_mut(&file) {
                    overlay(&mut file.synced, at, &bytes[..keep.min(bytes.len())]);
                }
            }
            UnsyncedChanges::Length { file, bytes, shrinks } => {
                if let Some(file) = self.files.get_mut(&file) {
                    let changes = if shrinks { file.synced.len() > bytes } else { file.synced.len() < bytes };
                    file.synced.resize(if changes { bytes } else { file.synced.len() }, 0);
                }
            }
            UnsyncedChanges::Made { name, file } => {
                self.names_synced.insert(name, file);
            }
            UnsyncedChanges::Renamed { from, to, file } => {
                if self.names_synced.get(&from) == Some(&file) {
                    self.names_synced.remove(&from);
                }
                self.names_synced.insert(to, file);
            }
            UnsyncedChanges::Removed { name } => {
                self.names_synced.remove(&name);
            }
        }
    }

    /// Makes changes durable, or only forgets them, if `of` is true of them.
    fn settle(&mut self, reaches_disk: bool, of: impl Fn(&UnsyncedChanges) -> bool) {
        for change in self.unsynced.extract_if(.., |change| of(change)).collect::<Vec<_>>() {
            if reaches_disk {
                self.reach_disk(change, usize::MAX);
            }
        }
    }

    /// Files that have a name neither in the cache nor on the disk are gone.
    fn forget_unnamed(&mut self) {
        let named: BTreeSet<FileId> =
            self.names.values().chain(self.names_synced.values()).copied().collect();
        self.files.retain(|id, _| named.contains(id));
        self.unsynced.retain(|change| match change {
            UnsyncedChanges::Write { file, .. } | UnsyncedChanges::Length { file, .. } => {
                named.contains(file)
            }
            _ => true,
        });
    }

    /// Leaves the state that a start finds after the power went.
    fn lose_cache(&mut self) {
        self.names = self.names_synced.clone();
        self.forget_unnamed();
        self.files.values_mut().for_each(|file| file.now.clone_from(&file.synced));
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.inner().file(name)?.now.len() as u64)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(0)?;
        let file = inner.insert(MemoryFile::default());
        inner.names.insert(name.to_owned(), file);
        inner.unsynced.push(UnsyncedChanges::Made { name: name.to_owned(), file });
        Ok(())
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let end = at + bytes.len() as u64;
        let grows = end.saturating_sub(inner.file(name)?.now.len() as u64);
        inner.change(grows)?;
        let (file, at) = (inner.id(name)?, at as usize);
        if inner.neglects.rewrites && inner.file(name)?.now.get(at..end as usize) == Some(bytes) {
            return Ok(());
        }
        overlay(&mut inner.file(name)?.now, at, bytes);
        inner.unsynced.push(UnsyncedChanges::Write { file, at, bytes: bytes.to_vec() });
        Ok(())
    }

    fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let grows = len.saturating_sub(inner.file(name)?.now.len() as u64);
        if grows == 0 || inner.cannot_reserve {
            return Ok(());
        }
        inner.change(grows)?;
        let (file, bytes) = (inner.id(name)?, len as usize);
        inner.file(name)?.now.resize(bytes, 0);
        inner.unsynced.push(UnsyncedChanges::Length { file, bytes, shrinks: false });
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let id = inner.id(name)?;
        let counted = inner.count_sync();
        // As ext4 and XFS do: after a failure the cache keeps what was not written, and takes it for clean.
        let whole = counted.is_ok();
        inner.settle(whole, |change| change.is_of(id) && (whole || change.written_bytes() > 0));
        counted
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.count_sync()?;
        if inner.neglects.names {
            return Ok(());
        }
        inner.settle(true, |change| {
            !matches!(change, UnsyncedChanges::Write { .. } | UnsyncedChanges::Length { .. })
        });
        inner.forget_unnamed();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(0)?;
        let file = inner.names.remove(from).ok_or_else(|| not_found(from))?;
        inner.names.insert(to.to_owned(), file);
        inner.unsynced.push(UnsyncedChanges::Renamed { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn read(&self, name: &str, at: u64, len: usize) -> io::Result<Bytes> {
        let mut inner = self.inner();
        let now = &inner.file(name)?.now;
        let from = (at as usize).min(now.len());
        let to = from.saturating_add(len).min(now.len());
        let bytes = Bytes::copy_from_slice(&now[from..to]);
        let bad = inner.bad_block.as_mut();
        if let Some(block) = bad.filter(|block| block.file == name && (from..to).contains(&block.at))
            && block.failed < block.heals_after
        {
            block.failed += 1;
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(bytes)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let (file, bytes) = (inner.id(name)?, len as usize);
        inner.file(name)?.now.truncate(bytes);
        inner.unsynced.push(UnsyncedChanges::Length { file, bytes, shrinks: true });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.names.remove(name).is_some() {
            inner.unsynced.push(UnsyncedChanges::Removed { name: name.to_owned() });
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let inner = self.inner();
        let total = inner.capacity.unwrap_or(u64::MAX / 2);
        Ok(Space { free: total.saturating_sub(inner.used()), total })
    }
}
