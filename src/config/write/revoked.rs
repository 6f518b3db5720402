//! `revoked.txt` in `peers/`: keys that were revoked when their peer was removed. A key that the operator revoked is
//! not trusted again because its file is gone.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;

use super::{FILE_MODE, WriteError, atomically};
use crate::identity::{parse_public_key, public_key_text};
use crate::time::Timestamp;

/// One line each: key, name, time of the removal.
const FILE: &str = "revoked.txt";

const HEAD: &str = "\
# Keys that were revoked here (intelmesh key revoke) and whose peers were removed: intelmesh peer add refuses them.
# To trust one again take its line out.
";

/// Returns the file of the list and the line of `key` in it, from 1.
pub(super) fn line_of(peers_dir: &Path, key: &VerifyingKey) -> Result<Option<(PathBuf, usize)>, WriteError> {
    let file = peers_dir.join(FILE);
    let wanted = public_key_text(key);
    let found = text_of(&file)?.lines().position(|line| line.split_whitespace().next() == Some(&*wanted));
    Ok(found.map(|at| (file, at + 1)))
}

/// Writes down the key of the peer file at `peer`; `None` if that has none.
pub(super) fn keep(peer: &Path, key: Option<&str>, at: Timestamp) -> Result<Option<PathBuf>, WriteError> {
    let Some(key) = key.and_then(|text| parse_public_key(text).ok()) else { return Ok(None) };
    let dir = peer.parent().unwrap_or(Path::new("."));
    let file = dir.join(FILE);
    if line_of(dir, &key)?.is_none() {
        let mut text = text_of(&file)?;
        if text.is_empty() {
            HEAD.clone_into(&mut text);
        } else if !text.ends_with('\n') {
            text.push('\n');
        }
        let name = peer.file_stem().unwrap_or_default().to_string_lossy();
        // Into a string it never fails.
        let _ = writeln!(text, "{} {name} {at}", public_key_text(&key));
        atomically(&file, text.as_bytes(), FILE_MODE)?;
    }
    Ok(Some(file))
}

fn text_of(file: &Path) -> Result<String, WriteError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(WriteError::Io { file: file.to_owned(), error }),
    }
}
