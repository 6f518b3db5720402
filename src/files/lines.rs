//! Files that grow by whole lines: each line is there whole and on disk, or not at all, even if a crash or a full disk
//! left a part before it. The caller defines the meaning of a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{create_new, dir_of, sync_names};
use crate::ownership;

/// The operations that appending needs of a file.
pub(crate) trait AppendedLine: Write {
    /// # Errors
    /// The error of the file system, here and below.
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// # Errors
    /// As [`AppendedLine::cut`].
    fn sync(&self) -> io::Result<()>;
}

impl AppendedLine for File {
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends `line` to `file`, which has `whole` bytes, and makes it durable; or leaves nothing of it.
///
/// # Errors
/// The error of the file system.
pub(crate) fn append_whole(
    file: &mut impl AppendedLine,
    whole: u64,
    line: &[u8],
    sync_name: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let written = file.write_all(line).and_then(|()| file.sync()).and_then(|()| sync_name());
    if written.is_err() {
        // If this fails as well, the next one to open it sees to it.
        let _ = file.cut(whole);
    }
    written
}

/// Opens a file for appending and cuts off what is not a whole line: a crash left it, and nobody was told that it is
/// there. An end that `is_line` without its line end gets one. Returns how many bytes the file has then.
///
/// # Errors
/// The error of the file system.
pub(crate) fn open_whole(
    options: &mut OpenOptions,
    path: &Path,
    is_line: impl FnOnce(&[u8]) -> bool,
) -> io::Result<(File, u64)> {
    let mut file = options.read(true).append(true).open(path)?;
    let whole = make_whole(&mut file, path, is_line)?;
    Ok((file, whole))
}

fn make_whole(file: &mut File, path: &Path, is_line: impl FnOnce(&[u8]) -> bool) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let whole = whole_lines(file, length)?;
    if whole == length {
        return Ok(whole);
    }
    let mut rest = vec![0; usize::try_from(length - whole).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut rest, whole)?;
    if is_line(&rest) {
        // An editor leaves the last line so.
        file.write_all(b"\n")?;
        return Ok(length + 1);
    }
    tracing::warn!(file = %path.display(), bytes = length - whole, "a line was cut by a crash: taken off");
    if let Err(error) = file.set_len(whole) {
        // An append-only file (`chattr +a`) cannot be cut: then the piece ends here, and takes no other line with it.
        file.write_all(b"\n").map_err(|_| error)?;
        return Ok(length + 1);
    }
    Ok(whole)
}

/// Appends one line to the file at `path`, made with mode 0600 and its directory's owner if there is none: bytes and
/// name are on disk when this returns. Lines of two programs never mix.
///
/// # Errors
/// The error of the file system: nothing of the line is there. Also if the name stands for a file that lies elsewhere.
pub(crate) fn append_line(
    path: &Path,
    mut line: Vec<u8>,
    is_line: impl FnOnce(&[u8]) -> bool,
) -> io::Result<()> {
    line.push(b'\n');
    let mut file = match open_own(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match create_new(path, b"", 0o600) {
                // Another program made it at the same time.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            open_own(path)?
        }
        opened => opened?,
    };
    // Another program may be in the middle of its line.
    file.lock()?;
    let whole = make_whole(&mut file, path, is_line)?;
    #[cfg(test)]
    super::recorder::note_appended(path, whole, &line);
    // The name as well, each time: the process that made the file may have had no time for it.
    append_whole(&mut file, whole, &line, || sync_names(dir_of(path)))
}

/// Opens a file for appending that lies in its directory, and nowhere else. An administrator's process appends in a
/// directory of the node's account, and that account must not choose the file.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).append(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    ownership::check_own(dir_of(path), &file)?;
    Ok(file)
}

/// Returns the end of the last whole line.
fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    let (mut end, mut look) = (length, 1);
    while end > 0 {
        let start = end.saturating_sub(look);
        let mut part = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        (end, look) = (start, 64 * 1024);
    }
    Ok(0)
}
