//! A directory as Warden's filer uses it: a file is written or claimed in `temp`, whole in `incoming`, and refused in
//! `errors`. The doors on both sides of it decide what is in a file.

use std::io;
use std::path::PathBuf;

use crate::files;

/// The parts of a spool.
const PARTS: [&str; 3] = ["temp", "incoming", "errors"];

/// A directory with `temp`, `incoming` and `errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoolDir {
    pub dir: PathBuf,
}

impl SpoolDir {
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn is_whole(&self) -> bool {
        PARTS.iter().all(|name| self.place(name).is_dir())
    }

    /// Makes the directories that are missing. Messages may be sensitive: other accounts read them by the group.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        PARTS.iter().try_for_each(|name| files::make_dir(&self.place(name), 0o750))
    }
}
