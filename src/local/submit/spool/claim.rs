//! Files of a spool on their way in: claimed from `incoming` under names of our own in `temp`, read, and moved to
//! `errors` with the reason. None takes the place of another, and a bad one holds up no other. When that happens, and
//! which messages are refused, is decided in `spool`.

use std::fs::{self, DirEntry, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::files;
use crate::limits::LINE_BYTES_MAX;
use crate::local::framing::one_line;
use crate::local::spool_dir::SpoolDir;

/// Files that are claimed at once.
const CLAIMS_MAX: usize = 64;

/// So many bytes of a name are kept: with the claim before it, and a number and `.why` behind it, it is still a name.
const NAME_BYTES_MAX: usize = 180;

/// Files of one name that are told apart.
const SAME_NAME_MAX: u32 = 10_000;

/// A claimed file.
pub(super) struct ClaimedFile {
    /// Its name in `incoming`.
    pub name: String,
    pub at: PathBuf,
    pub message: Bytes,
}

/// The result of one look.
#[derive(Default)]
pub(super) struct Claims {
    pub files: Vec<ClaimedFile>,
    /// Files that can never be read, and why. They are in `errors` already.
    pub unreadable: Vec<String>,
    /// Why a file stays where it is for now.
    pub stays: Option<String>,
    /// Names in `incoming` that are not those of messages.
    pub skipped: usize,
    /// There may be more claimed files.
    pub has_more: bool,
}

impl Claims {
    /// Returns how many names were skipped, and why, if any were.
    pub(crate) fn shown_skipped(&self) -> Option<String> {
        let count = self.skipped;
        (count > 0).then(|| {
            format!(
                "{count} names in incoming are left there: expected files with names in UTF-8 without \".\" in front"
            )
        })
    }
}

/// The files of one door.
pub(super) struct SpoolFiles {
    pub spool: SpoolDir,
    /// Begins the name of each claimed file: others claim under names of their own.
    claim: String,
}

impl SpoolFiles {
    pub(crate) fn new(spool: SpoolDir, door: &str) -> Self {
        Self { spool, claim: format!("intelmesh.{door}.") }
    }

    /// Claims files, oldest names first. `left_over` also takes those that were claimed before: they come again under
    /// their ids, so that none is published twice.
    ///
    /// # Errors
    /// Those of the directories. A file that cannot be claimed or read is in the result.
    pub(crate) fn claim(&self, left_over: bool) -> io::Result<Claims> {
        if left_over || !self.spool.is_whole() {
            self.spool.prepare()?;
        }
        let mut claims = Claims::default();
        if left_over {
            let temp = self.spool.place("temp");
            for name in names_in(&temp, |_| true)?.0 {
                let Some(own) = name.strip_prefix(&self.claim) else { continue };
                claims.has_more = claims.files.len() >= CLAIMS_MAX;
                if claims.has_more {
                    return Ok(claims);
                }
                self.read(own, temp.join(&name), &mut claims);
            }
        }
        let (names, skipped) = names_in(&self.spool.place("incoming"), is_message)?;
        claims.skipped = skipped;
        for name in names {
            if claims.files.len() >= CLAIMS_MAX {
                break;
            }
            match self.take(&name) {
                Ok(Some(at)) => self.read(&name, at, &mut claims),
                // Another reader was faster.
                Ok(None) => {}
                Err(error) => claims.stays = Some(format!("incoming/{name}: {error}")),
            }
        }
        Ok(claims)
    }

    /// Moves a file from `incoming` to `temp`, and returns its new place; `None` if it is gone.
    fn take(&self, name: &str) -> io::Result<Option<PathBuf>> {
        let (from, temp) = (self.spool.place("incoming").join(name), self.spool.place("temp"));
        for number in 0..SAME_NAME_MAX {
            let to = temp.join(format!("{}{}", self.claim, numbered(name, number)));
            match files::rename_new(&from, &to) {
                Ok(()) => return Ok(Some(to)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn read(&self, name: &str, at: PathBuf, claims: &mut Claims) {
        let error = match read_message(&at) {
            Ok(message) => return claims.files.push(ClaimedFile { name: name.to_owned(), at, message }),
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => error,
        };
        let why = format!("{name}: {error}");
        if !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) {
            claims.stays = Some(why);
            return;
        }
        match self.put_to_errors(name, &at, &format!("unreadable: {error}\n")) {
            Ok(()) => claims.unreadable.push(why),
            Err(moving) => claims.stays = Some(format!("{why}; and it cannot be moved to errors: {moving}")),
        }
    }

    /// Moves a file to `errors`. Its reason is there first, so that no file is without one.
    pub(crate) fn put_to_errors(&self, name: &str, at: &Path, why: &str) -> io::Result<()> {
        let errors = self.spool.place("errors");
        for number in 0..SAME_NAME_MAX {
            let name = numbered(name, number);
            let (file, reason) = (errors.join(&name), errors.join(format!("{name}.why")));
            if file.symlink_metadata().is_ok() {
                continue;
            }
            match files::create_new(&reason, why.as_bytes(), 0o640) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    // An attempt that was cut short left the same text.
                    if !fs::read(&reason).is_ok_and(|text| text == why.as_bytes()) {
                        continue;
                    }
                }
                made => made?,
            }
            match files::rename_new(at, &file) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => files::remove(&reason)?,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                moved => return moved,
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

/// Returns the name, shortened if it is long, with a number behind it unless that is 0.
fn numbered(name: &str, number: u32) -> String {
    let end = (0..=NAME_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    match number {
        0 => name[..end].to_owned(),
        _ => format!("{}.{number}", &name[..end]),
    }
}

/// Returns true for a file that may be a message.
fn is_message(entry: &DirEntry) -> bool {
    let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
    is_file && !entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Returns the names of `wanted` entries, sorted, since they begin with the time in Warden's filer; and the number of the
/// others, without directories.
fn names_in(dir: &Path, wanted: impl Fn(&DirEntry) -> bool) -> io::Result<(Vec<String>, usize)> {
    let (mut names, mut skipped) = (Vec::new(), 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A name that is not UTF-8 would not come back from `errors` as it was.
        match entry.file_name().into_string() {
            Ok(name) if wanted(&entry) => names.push(name),
            // A file that is gone by now has no type.
            _ if entry.file_type().map_or(true, |kind| kind.is_dir()) => {}
            _ => skipped += 1,
        }
    }
    names.sort_unstable();
    Ok((names, skipped))
}

/// Reads a message as one line: writers may have broken it into several. Of one that is too long, the beginning is
/// returned, which is too long as well.
///
/// # Errors
/// `InvalidInput` if it is not a file: somebody may have put a link or a FIFO in its place meanwhile.
fn read_message(path: &Path) -> io::Result<Bytes> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let no_file = || io::Error::new(ErrorKind::InvalidInput, "not a regular file");
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(
            |error| match Errno::from_io_error(&error) {
                Some(Errno::LOOP | Errno::NXIO) => no_file(),
                _ => error,
            },
        )?;
    if !file.metadata()?.is_file() {
        return Err(no_file());
    }
    let mut bytes = Vec::new();
    file.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LINE_BYTES_MAX {
        return Ok(bytes.into());
    }
    Ok(one_line(bytes))
}
