//! The memory of a door that asks a server for events: how far it has come there, and what it took. Small JSON files in
//! `pulled/NAME/`, each replaced whole, and only after the node has the events on disk. An older file makes the door
//! ask again for events that it took; their ids make them duplicates.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;

/// The directory of one door.
#[derive(Clone, Debug)]
pub(crate) struct PulledDir(PathBuf);

impl PulledDir {
    /// Returns the directory of the door `name` in the node's `state`. It is made with its first file.
    pub(crate) fn of(state: &Path, name: &str) -> Self {
        Self(state.join("pulled").join(name))
    }

    /// Returns the content of a file. One that is missing is `None`, and so is one that cannot be read as a `T`.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn read<T: DeserializeOwned>(&self, file: &str) -> io::Result<Option<T>> {
        match std::fs::read(self.0.join(file)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// Those of the disk; the old file is still there.
    pub(crate) fn write<T: Serialize>(&self, file: &str, content: &T) -> io::Result<()> {
        files::make_dir(&self.0, 0o700)?;
        files::replace(&self.0.join(file), &serde_json::to_vec(content)?, 0o600)
    }
}

impl std::fmt::Display for PulledDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}
