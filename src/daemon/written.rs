//! A small file of the node's own, replaced as a whole: after a crash it says what it said before, or the new.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes `bytes` beside `file`, syncs them, and puts them in its place.
///
/// # Errors
/// What the file system says; then the file is as it was.
pub fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut options = File::options();
    let mut written = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    fs::rename(&new, file)?;
    let dir = file.parent().unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}
