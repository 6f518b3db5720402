//! Defines how the journal uses the files of one directory: the operations on a disk, and what it may rely on.
//! `file_disk` is the real one, `memory_disk` one that tears and loses writes. The content of the files does not matter
//! here.

use std::io;

use bytes::Bytes;

/// Suffix of a file that is being made; such a file is removed at start.
pub(crate) const NEW_SUFFIX: &str = ".new";

/// Named files in one directory. A write may be lost or torn until [`Disk::sync`] of its file returned; a name that was
/// made, changed or removed may be as before until [`Disk::sync_names`] returned. A sync that failed may have left
/// in the cache what is not on disk: a later sync does not write it (docs/FILES.md).
pub trait Disk: Send + Sync + 'static {
    /// Returns the names of all files.
    ///
    /// # Errors
    /// The error of the system, here and below.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Returns the length of a file in bytes, with its reserved room.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Makes an empty file, or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<()>;

    /// Writes all of `bytes` at the offset `at`; the file grows if needed.
    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes room up to `len` bytes, which read as zeros until written. If a file system cannot, that is no error: room
    /// only saves time, and gives an early answer when the disk is full.
    fn reserve(&self, name: &str, len: u64) -> io::Result<()>;

    /// Returns when all bytes that were written to the file are on disk (`fdatasync`).
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Returns when all names that were created, changed or removed are on disk (`fsync` of the directory).
    fn sync_names(&self) -> io::Result<()>;

    /// Gives a file another name; a file of that name is replaced. Not durable before [`Disk::sync_names`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file that was written whole its final name, durably: the bytes before the name.
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.sync(from)?;
        self.rename(from, to)?;
        self.sync_names()
    }

    /// Reads up to `len` bytes at `at`: fewer if the file ends before.
    fn read(&self, name: &str, at: u64, len: usize) -> io::Result<Bytes>;

    /// Cuts the file to `len` bytes.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;

    /// Removes the file; no error if it is not there. Not durable before [`Disk::sync_names`].
    fn remove(&self, name: &str) -> io::Result<()>;

    fn space(&self) -> io::Result<Space>;
}

/// Room on the file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still take.
    pub free: u64,
    pub total: u64,
}

impl Space {
    /// Returns the free bytes below which no carrier is taken any more, so that cursors, positions and the seen set
    /// still find room: a 32nd of the file system, at least 256 KiB and at most 64 MiB.
    pub fn low_water(&self) -> u64 {
        (self.total / 32).clamp(256 * 1024, 64 * 1024 * 1024)
    }
}

/// Returns true if this error says that the medium cannot give these bytes (`EIO`), as with a bad block. Others of the
/// same file may still be read.
pub(crate) fn is_bad_block(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

/// Returns true if this error says that there is no room, rather than that the disk is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
