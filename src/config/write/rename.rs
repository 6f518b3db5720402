//! A peer gets another name: its file does, and the old name becomes an alias. Whether the name fits beside those of other
//! peers is checked before, by the caller's list of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml_edit::{Array, value};

use super::{WriteError, open, save, set};
use crate::config::PeerFile;
use crate::files;
use crate::identity::PublisherName;
use crate::limits::ALIASES_MAX;

/// Renames the file of `old` to `new`. The alias comes first: after a crash between the two, the peer has its old name.
///
/// # Errors
/// [`WriteError::PeerExists`], [`WriteError::AliasOf`], [`WriteError::AliasesFull`], [`WriteError::Io`], [`WriteError::Toml`]: the peer keeps its
/// name.
pub(crate) fn rename_peer(
    file: &Path,
    known: &[PeerFile],
    old: &PublisherName,
    new: &PublisherName,
) -> Result<PathBuf, WriteError> {
    let to = files::dir_of(file).join(format!("{new}.toml"));
    if to.exists() {
        return Err(WriteError::PeerExists { name: new.clone(), file: to });
    }
    let other = known.iter().find(|held| held.peer.name != *old && held.peer.aliases.contains(new));
    if let Some(other) = other {
        let (of, file) = (other.peer.name.clone(), other.file.clone());
        return Err(WriteError::AliasOf { name: new.clone(), of, file });
    }
    let mut document = open(file)?;
    let held = document.get("aliases").and_then(|item| item.as_array());
    let mut aliases: Vec<String> =
        held.into_iter().flatten().filter_map(|alias| Some(alias.as_str()?.to_owned())).collect();
    aliases.retain(|alias| !PublisherName::parse(alias).is_ok_and(|alias| alias == *new || alias == *old));
    aliases.push(old.to_string());
    if aliases.len() > ALIASES_MAX {
        return Err(WriteError::AliasesFull(file.to_owned()));
    }
    set(&mut document, None, "aliases", value(Array::from_iter(aliases)));
    save(file, &document)?;
    match files::rename_new(file, &to) {
        Ok(()) => Ok(to),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(WriteError::PeerExists { name: new.clone(), file: to })
        }
        Err(error) => Err(WriteError::Io { file: file.to_owned(), error }),
    }
}
