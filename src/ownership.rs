//! Owners of files: a file that one account writes into another's directory becomes the directory owner's. An
//! administrator works as root, and the node runs under an account of its own, which must be able to read such files.
//! Nothing else is decided here.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// Gives `file`, which was made in `dir`, the owner and group of `dir`, and those permissions of `most` that `dir` has
/// too. A file is no more open than its directory.
///
/// # Errors
/// Errors of the file system. If an account may not give files away, it keeps them, as far as its group goes.
pub(crate) fn hand_to_owner_of(dir: &Path, file: &File, most: u32) -> io::Result<()> {
    let (of_dir, held) = (fs::metadata(dir)?, file.metadata()?);
    let (owner, group) = wanted(&of_dir, &held);
    if owner.is_some() || group.is_some() {
        forgive(fchown(file, owner, group))?;
    }
    file.set_permissions(Permissions::from_mode(most & of_dir.mode()))
}

/// Gives `made`, a directory that root made in `dir`, the owner and group of `dir`. It must be a directory still: the
/// owner of `dir` could have put a link to another one in its place.
///
/// # Errors
/// Errors of the file system.
pub(crate) fn hand_dir_to_owner_of(dir: &Path, made: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
    let held = File::options().read(true).custom_flags(flags).open(made)?;
    let (owner, group) = wanted(&fs::metadata(dir)?, &held.metadata()?);
    if is_root() && (owner.is_some() || group.is_some()) {
        fchown(&held, owner, group)?;
        held.sync_all()?;
    }
    Ok(())
}

/// Checks that `file` is a regular file, and one that the owner of `dir` may have put there. A hard link would name a
/// file that another account owns and that lies elsewhere as well.
///
/// # Errors
/// `InvalidInput` if it is not, and errors of the file system.
pub(crate) fn check_own(dir: &Path, file: &File) -> io::Result<()> {
    let (of_dir, held) = (fs::metadata(dir)?, file.metadata()?);
    let is_foreign_link = held.nlink() > 1 && held.uid() != of_dir.uid();
    if held.is_file() && !is_foreign_link {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file of this directory: move it away"))
}

/// Returns the owner of `dir` if this process is root and that is another account: it should act as that one.
pub(crate) fn other_owner(dir: &Path) -> Option<(u32, u32)> {
    let of_dir = fs::metadata(dir).ok()?;
    (is_root() && of_dir.uid() != 0).then(|| (of_dir.uid(), of_dir.gid()))
}

/// Limits this thread to the rights of that account from now on, to look at files as the account will.
///
/// # Errors
/// Errors of the kernel; then no later result may be believed.
pub(crate) fn become_account(uid: u32, gid: u32) -> io::Result<()> {
    let groups: Vec<Gid> = groups_of(&account(uid)).into_iter().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    set_thread_gid(Gid::from_raw(gid))?;
    Ok(set_thread_uid(Uid::from_raw(uid))?)
}

/// The name of an account, or its number.
pub(crate) fn account(uid: u32) -> String {
    name_of("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group, or its number.
pub(crate) fn group(gid: u32) -> String {
    name_of("/etc/group", gid).unwrap_or_else(|| gid.to_string())
}

/// The groups that an account is in beside its own, by `/etc/group`.
pub(crate) fn groups_of(account: &str) -> Vec<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    let has = |line: &&str| {
        line.split(':').nth(3).is_some_and(|members| members.split(',').any(|it| it == account))
    };
    text.lines().filter(has).filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

/// `/etc/passwd` and `/etc/group` both begin with the name, and have the number third.
fn name_of(file: &str, number: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    named.filter(|name| !name.is_empty())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the owner and the group of `of_dir`, each only if `held` has to change to it.
fn wanted(of_dir: &Metadata, held: &Metadata) -> (Option<u32>, Option<u32>) {
    let owner = (is_root() && of_dir.uid() != held.uid()).then(|| of_dir.uid());
    let group = (of_dir.gid() != held.gid()).then(|| of_dir.gid());
    (owner, group)
}

/// An account other than root gives a file only to a group that it is in.
fn forgive(given: io::Result<()>) -> io::Result<()> {
    match given {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => Ok(()),
        given => given,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn a_file_is_no_more_open_than_its_directory() {
        let place = tempfile::tempdir().unwrap();
        for (dir_mode, most, mode) in
            [(0o755, 0o644, 0o644), (0o750, 0o644, 0o640), (0o700, 0o644, 0o600), (0o755, 0o600, 0o600)]
        {
            fs::set_permissions(place.path(), Permissions::from_mode(dir_mode)).unwrap();
            let file = File::create(place.path().join("x")).unwrap();
            hand_to_owner_of(place.path(), &file, most).unwrap();
            assert_eq!(file.metadata().unwrap().mode() & 0o777, mode, "{dir_mode:o} {most:o}");
        }
    }

    #[test]
    fn what_root_writes_for_an_account_is_that_accounts() {
        if !is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(65_534), Some(65_534)).unwrap();
        let file = File::create(place.path().join("x")).unwrap();
        hand_to_owner_of(place.path(), &file, 0o600).unwrap();
        fs::create_dir(place.path().join("d")).unwrap();
        hand_dir_to_owner_of(place.path(), &place.path().join("d")).unwrap();
        for name in ["x", "d"] {
            let data = fs::metadata(place.path().join(name)).unwrap();
            assert_eq!((data.uid(), data.gid()), (65_534, 65_534), "{name}");
        }
        assert_eq!(other_owner(place.path()), Some((65_534, 65_534)));
        assert_eq!(account(0), "root");
    }

    /// The owner of a directory replaced an entry that root had just made in it with a link.
    #[test]
    fn directory_is_not_given_away_through_link() {
        let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(elsewhere.path(), place.path().join("d")).unwrap();
        if is_root() {
            chown(place.path(), Some(65_534), Some(65_534)).unwrap();
        }
        let before = fs::metadata(elsewhere.path()).unwrap();
        assert!(hand_dir_to_owner_of(place.path(), &place.path().join("d")).is_err());
        let after = fs::metadata(elsewhere.path()).unwrap();
        assert_eq!((before.uid(), before.gid()), (after.uid(), after.gid()));
    }
}
