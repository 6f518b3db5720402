//! The one place that makes, replaces, renames and removes the node's files, so that all follow one discipline
//! (docs/FILES.md): bytes are synced before they get their name, a name is synced before anybody relies on it, and
//! the directory that holds it before that. After a power cut each file is as it was or as it should be. The segments
//! of the journal are written at offsets, by `store::file_disk` in the same order. A file gets the owner of its
//! directory (`ownership`). Nothing here knows what a file holds.

pub(crate) mod lines;
#[cfg(test)]
pub mod recorder;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::{NamedTempFile, PersistError};

use crate::ownership::{hand_dir_to_owner_of, hand_to_owner_of};

/// Begins the names of files that are not whole yet. A crash may leave one: nobody reads it, and it may be removed.
pub(crate) const UNFINISHED_PREFIX: &str = ".unfinished-";

/// Ends the name of a directory that is being removed.
const REMOVED_SUFFIX: &str = ".removed";

/// Returns the directory that holds `path`.
pub(crate) fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Returns when all names in `dir` are on disk.
///
/// # Errors
/// The error of the file system, here and below.
pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::SyncNames(dir.to_owned()));
    Ok(())
}

/// Returns when the bytes of a file that another library wrote are on disk.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn sync_bytes(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_data()?;
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::Foreign(dir_of(file).to_owned()));
    Ok(())
}

/// Makes a directory, and those above it that are missing, with this mode and the owner of the one above; durably,
/// also if an earlier process made it and had no time to sync its name.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    let above = dir_of(dir);
    let was_there = dir.is_dir();
    if !was_there {
        if !above.is_dir() {
            make_dir(above, mode)?;
        }
        match DirBuilder::new().mode(mode).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        hand_dir_to_owner_of(above, dir)?;
        #[cfg(test)]
        recorder::note(|| recorder::DiskOp::MakeDir(dir.to_owned()));
    }
    match sync_names(above) {
        // Another account's, such as that of the packaging: then it was made by another program, long ago.
        Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Writes a file whole and durably, over one that is there; after an error or a crash it is as it was. It gets the
/// owner of its directory, and of `mode` what the directory allows too.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn replace(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_whole(file, bytes, mode, |unfinished| unfinished.persist(file))
}

/// Writes a new file whole and durably, as [`replace`] does.
///
/// # Errors
/// As [`sync_names`]; `AlreadyExists` if there is a file of that name: it is as it was.
pub(crate) fn create_new(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_whole(file, bytes, mode, |unfinished| unfinished.persist_noclobber(file))
}

fn write_whole(
    file: &Path,
    bytes: &[u8],
    mode: u32,
    place: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    write_in_order(file, bytes, mode, place).map_err(without_unfinished)
}

fn write_in_order(
    file: &Path,
    bytes: &[u8],
    mode: u32,
    place: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    let dir = dir_of(file);
    // Mode 0600 until it is whole and has its owner.
    let mut unfinished = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(dir)?;
    unfinished.write_all(bytes)?;
    hand_to_owner_of(dir, unfinished.as_file(), mode)?;
    unfinished.as_file().sync_all()?;
    #[cfg(test)]
    let from = unfinished.path().to_owned();
    #[cfg(test)]
    recorder::note_whole(&from, bytes);
    place(unfinished).map_err(|error| error.error)?;
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::Rename(from, file.to_owned()));
    sync_names(dir)
}

/// Cuts the unfinished file out of an error: no operator ever heard of it.
fn without_unfinished(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((what, _)) => io::Error::new(error.kind(), what.to_owned()),
        None => error,
    }
}

/// Returns the steps that an operator can take after an error of the file system, if they are known.
pub(crate) fn hint_of(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(
            "run this as the account that the files belong to, or as root (see docs/howto/let-accounts-use-a-node.md)",
        ),
        io::ErrorKind::StorageFull => {
            Some("free space or files there, and try again: df -h and df -i show them")
        }
        io::ErrorKind::QuotaExceeded => Some("the account has used up its quota there: quota -s"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only: see dmesg"),
        io::ErrorKind::IsADirectory => Some("give a file, not a directory"),
        _ => None,
    }
}

/// Gives a file or directory another name, durably; a file of that name is replaced.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_renamed(from, to)
}

/// Gives a file another name, durably, as [`rename`] does, but replaces none.
///
/// # Errors
/// As [`sync_names`]; `AlreadyExists` if there is a file of that name: both are as they were.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can do it at once. After a crash in between the file has both names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)?;
        }
        renamed => renamed?,
    }
    sync_renamed(from, to)
}

fn sync_renamed(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::Rename(from.to_owned(), to.to_owned()));
    // The new name first: between the two the file has both names rather than none.
    sync_names(dir_of(to))?;
    if dir_of(from) == dir_of(to) { Ok(()) } else { sync_names(dir_of(from)) }
}

/// Removes a file, durably; no error if it is not there.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::Remove(file.to_owned()));
    sync_names(dir_of(file))
}

/// Removes a directory with all in it; no error if it is not there. It loses its name first: a crash leaves no
/// directory that lacks some of its files.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    let gone = gone_name(dir);
    remove_all(&gone)?;
    match fs::rename(dir, &gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    #[cfg(test)]
    recorder::note(|| recorder::DiskOp::Rename(dir.to_owned(), gone.clone()));
    sync_names(dir_of(dir))?;
    remove_all(&gone)
}

/// Removes what a crash left of directories in `dir` that were being removed.
///
/// # Errors
/// As [`sync_names`].
pub(crate) fn finish_removing(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(REMOVED_SUFFIX) {
            remove_all(&path)?;
        }
    }
    Ok(())
}

fn gone_name(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(REMOVED_SUFFIX);
    PathBuf::from(name)
}

/// Removes a tree. This need not be durable: if a part is left, it is removed the next time.
fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            #[cfg(test)]
            recorder::note(|| recorder::DiskOp::RemoveTree(dir.to_owned()));
            removed
        }
    }
}
