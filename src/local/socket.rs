//! Unix sockets as files: their directory, permissions, stale ones, and paths that are longer than the 107 bytes which
//! the kernel takes. Other modules define what is sent on them.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::local::LocalError;

/// `sun_path` without its closing zero (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Returns the number of a group: given as one, or found in `/etc/group`.
///
/// # Errors
/// [`LocalError::NoGroup`], or [`LocalError::Io`] if the file cannot be read.
pub(crate) fn group_id(name: &str) -> Result<u32, LocalError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let file = PathBuf::from("/etc/group");
    let text = std::fs::read_to_string(&file).map_err(|error| LocalError::Io { file, error })?;
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    id.ok_or_else(|| LocalError::NoGroup(name.to_owned()))
}

/// Makes `run/` if it is missing, and lets only its owner in: 0700, or 0710 with a group.
pub(super) fn prepare_dir(dir: &Path, group: Option<u32>) -> Result<(), LocalError> {
    let prepare = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        permit(dir, if group.is_some() { 0o710 } else { 0o700 }, group)
    };
    prepare().map_err(|error| LocalError::Io { file: dir.to_owned(), error })
}

fn permit(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        chown(path, None, group)?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Listens at `path`, in place of a socket that an earlier run left there.
pub(super) fn bind(path: &Path, group: Option<u32>) -> Result<UnixListener, LocalError> {
    let failed = |error| LocalError::Io { file: path.to_owned(), error };
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.file_type().is_socket() => std::fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(LocalError::InTheWay(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = with_short_path(path, |short| UnixListener::bind(short)).map_err(failed)?;
    permit(path, if group.is_some() { 0o660 } else { 0o600 }, group).map_err(failed)?;
    Ok(listener)
}

/// Connects to a socket of a running node, in any directory. Blocking.
///
/// # Errors
/// Returns `NotFound` or `ConnectionRefused` if no node runs; `PermissionDenied`.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |short| UnixStream::connect(short))
}

/// Gives `act` a path that the kernel takes: through the open directory if the real one is too long.
fn with_short_path<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return act(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = File::open(dir)?;
    act(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}
