//! Names of days and files, and errors that name them as the operator knows them.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::seen::SeenError;
use crate::time::Timestamp;

/// As the operator knows it: `seen`, `seen/2026-11-24`.
pub(super) fn label(path: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (own, above) = (name(path).unwrap_or_default(), path.parent().and_then(name));
    match above.filter(|_| day_of_name(&own).is_some()) {
        Some(above) => format!("{above}/{own}"),
        None => own,
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SeenError {
    let file = label(path);
    move |source| SeenError::Io { file, source }
}

pub(super) fn sled_error(dir: &Path) -> impl FnOnce(sled::Error) -> SeenError {
    let file = label(dir);
    move |error| match error {
        sled::Error::Io(source) => SeenError::Io { file, source },
        other => SeenError::Corrupt { file, what: other.to_string() },
    }
}

/// `2026-11-24`.
pub(super) fn day_name(day: u32) -> String {
    let at = Timestamp(u64::from(day) * 86_400_000).to_string();
    at.split_once('T').map_or(at.clone(), |(day, _)| day.to_owned())
}

pub(super) fn day_of_name(name: &str) -> Option<u32> {
    Timestamp::parse_rfc3339(&format!("{name}T00:00:00Z")).map(Timestamp::day)
}

/// Reads the bytes of a file; none if it is missing.
pub(super) fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}
