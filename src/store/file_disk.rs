//! The real disk: one directory. Syncs with std alone (`File::sync_data`, `sync_all`), so that tests can watch and fail
//! them. The content of the files does not matter here.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::disk::{Disk, Space};
use crate::files;
#[cfg(test)]
use crate::files::recorder::{DiskOp, note};

/// Files that are kept open; beyond it all are closed and opened again as needed.
const OPEN_FILES_MAX: usize = 64;

#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl FileDisk {
    /// Opens the directory, and makes it if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::make_dir(dir, 0o700)?;
        Ok(Self { dir: dir.to_owned(), open: Mutex::default() })
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        if open.len() >= OPEN_FILES_MAX {
            open.clear();
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.dir.join(name))?);
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Returns the room on the file system of `dir`.
///
/// # Errors
/// The error of the system.
pub(crate) fn space_of(dir: &Path) -> io::Result<Space> {
    let found = statvfs(dir)?;
    let unit = found.f_frsize;
    Ok(Space { free: found.f_bavail.saturating_mul(unit), total: found.f_blocks.saturating_mul(unit) })
}

/// Returns how many files can still be made on the file system of `dir`; `None` if it has no such limit.
///
/// # Errors
/// The error of the system.
pub(crate) fn free_inodes_of(dir: &Path) -> io::Result<Option<u64>> {
    let found = statvfs(dir)?;
    Ok((found.f_files > 0).then_some(found.f_favail))
}

impl FileDisk {
    /// Returns how many files can still be made in the journal's directory.
    ///
    /// # Errors
    /// The error of the system.
    pub fn free_inodes(&self) -> io::Result<Option<u64>> {
        free_inodes_of(&self.dir)
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.metadata()?.len())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(self.dir.join(name))?;
        #[cfg(test)]
        note(|| DiskOp::Create(self.dir.join(name)));
        Ok(())
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, at)?;
        #[cfg(test)]
        note(|| DiskOp::Write(self.dir.join(name), at, bytes.to_vec()));
        Ok(())
    }

    fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
        match fallocate(&*self.file(name)?, FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            done => {
                #[cfg(test)]
                note(|| DiskOp::Length(self.dir.join(name), len));
                Ok(done?)
            }
        }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()?;
        #[cfg(test)]
        note(|| DiskOp::SyncBytes(self.dir.join(name)));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        files::sync_names(&self.dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        // Held until the file has its name: a reader must not open the one that is replaced for those who write next.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(from);
        open.remove(to);
        fs::rename(self.dir.join(from), self.dir.join(to))?;
        #[cfg(test)]
        note(|| DiskOp::Rename(self.dir.join(from), self.dir.join(to)));
        Ok(())
    }

    fn read(&self, name: &str, at: u64, len: usize) -> io::Result<Bytes> {
        let file = self.file(name)?;
        // A caller may ask for far more bytes than there are.
        let there = file.metadata()?.len().saturating_sub(at);
        let mut bytes = vec![0; len.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.into())
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.set_len(len)?;
        #[cfg(test)]
        note(|| DiskOp::Length(self.dir.join(name), len));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                #[cfg(test)]
                note(|| DiskOp::Remove(self.dir.join(name)));
                removed
            }
        }
    }

    fn space(&self) -> io::Result<Space> {
        space_of(&self.dir)
    }
}
