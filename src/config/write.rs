//! Files that the command line writes: a new node's `intelmesh.toml`, a peer's file, `paused`. Every write is whole or
//! not at all (`files`), and keeps the operator's comments and order. The running node writes nothing here.

mod clients;
mod rename;
mod revoked;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use thiserror::Error;
use toml_edit::{Array, DocumentMut, value};

use super::NODE_FILE;
use super::node_text::{list, node_text, text};
use crate::files;
use crate::identity::{PublisherName, public_key_text};
use crate::limits::ALIASES_MAX;
use crate::policy::Tlp;
use crate::time::Timestamp;

pub(crate) use super::node_text::NewNode;
pub(crate) use clients::{NewClient, add_client, remove_client};
pub(crate) use rename::rename_peer;

/// The widest permissions of the operator's files: others may read them.
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;

#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("{} is a node already", .0.display())]
    NodeExists(PathBuf),
    #[error("client \"{name}\" is there already: {}", .file.display())]
    ClientExists { name: PublisherName, file: PathBuf },
    #[error("\"{name}\" has another key in {}", .file.display())]
    OtherKey { name: PublisherName, file: PathBuf },
    #[error("this key is that of {} already", .0.display())]
    KnownAs(PathBuf),
    #[error("\"{name}\" is an alias of {of} in {}, which has another key", .file.display())]
    AliasOf { name: PublisherName, of: PublisherName, file: PathBuf },
    #[error("{} has {ALIASES_MAX} aliases already", .0.display())]
    AliasesFull(PathBuf),
    #[error("\"{name}\" is a peer already: {}", .file.display())]
    PeerExists { name: PublisherName, file: PathBuf },
    #[error("this key was revoked here: {}:{line}", .file.display())]
    Revoked { file: PathBuf, line: usize },
    #[error("{}: {error}", .file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("{}: {error}", .file.display())]
    Toml { file: PathBuf, error: Box<toml_edit::TomlError> },
}

impl WriteError {
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NodeExists(_) => Some("choose another directory, or go on with this one: intelmesh run"),
            Self::ClientExists { .. } => {
                Some("a new token for it: intelmesh client remove NAME, then add it again")
            }
            Self::OtherKey { .. } => Some(
                "a new key is a new pairing: make sure that it is theirs, intelmesh peer remove, then add again",
            ),
            Self::KnownAs(_) => Some("give that peer its new name first: intelmesh peer rename OLD NEW"),
            Self::AliasesFull(_) => Some("take out a name that no event and no path has any more"),
            Self::PeerExists { .. } => Some("choose another name, or remove that peer first"),
            Self::AliasOf { .. } => Some(
                "a name is one node's: ask both whose it is; where it is not the other's any more, take it out of those aliases",
            ),
            Self::Revoked { .. } => Some(
                "whoever has that key can sign in the peer's name: ask for an invitation with a new one; to trust it again all the same, take that line out",
            ),
            Self::Io { error, .. } => files::hint_of(error),
            Self::Toml { .. } => None,
        }
    }
}

/// Checks that `dir` may become a node: it has no part of one yet.
///
/// # Errors
/// [`WriteError::NodeExists`].
pub(crate) fn check_new(dir: &Path) -> Result<(), WriteError> {
    let taken = [NODE_FILE, "keys/node.pem", "journal"];
    if taken.iter().any(|name| dir.join(name).exists()) {
        return Err(WriteError::NodeExists(dir.to_owned()));
    }
    Ok(())
}

/// Makes the directories of a node and, last, its `intelmesh.toml`; the keys are the keyring's.
///
/// # Errors
/// [`WriteError::NodeExists`] (nothing was changed), [`WriteError::Io`].
pub(crate) fn new_node(dir: &Path, new: &NewNode) -> Result<(), WriteError> {
    let file = dir.join(NODE_FILE);
    if file.exists() {
        return Err(WriteError::NodeExists(dir.to_owned()));
    }
    for name in ["peers", "groups", "lists"] {
        let path = dir.join(name);
        files::make_dir(&path, DIR_MODE).map_err(|error| WriteError::Io { file: path, error })?;
    }
    atomically(&file, node_text(new).as_bytes(), FILE_MODE)
}

/// The future peer, from an invitation and the flags of `peer add`.
#[derive(Clone, Debug)]
pub(crate) struct NewPeer {
    pub name: PublisherName,
    pub key: VerifyingKey,
    /// `x25519:…`.
    pub seal: Option<String>,
    pub addresses: Vec<String>,
    /// Its events come through others: it is not dialled, and not missed.
    pub publisher_only: bool,
    pub tlp_max: Option<Tlp>,
    /// `Some(false)` for `--no-relay`.
    pub relay: Option<bool>,
    pub added: Timestamp,
    pub added_by: String,
    /// Written down, and not trusted before its words were compared.
    pub pending: bool,
}

/// The effect on a peer's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigWrite {
    Added,
    /// It was there with the same key: addresses were added, flags set, the rest kept.
    Merged,
}

/// Checks that a peer of this name may be added with this key. `known` are the peers with good files.
///
/// # Errors
/// [`WriteError::Revoked`], [`WriteError::KnownAs`], [`WriteError::OtherKey`] and [`WriteError::AliasOf`].
pub(crate) fn check_peer(
    peers_dir: &Path,
    known: &[super::PeerFile],
    name: &PublisherName,
    key: &VerifyingKey,
) -> Result<(), WriteError> {
    if let Some((file, line)) = revoked::line_of(peers_dir, key)? {
        return Err(WriteError::Revoked { file, line });
    }
    for held in known {
        let (peer, file) = (&held.peer, held.file.clone());
        if peer.key == *key {
            if peer.revoked {
                return Err(WriteError::Revoked { file, line: held.lines.revoked.unwrap_or(1) });
            }
            if peer.name != *name {
                return Err(WriteError::KnownAs(file));
            }
        } else if peer.name == *name {
            return Err(WriteError::OtherKey { name: name.clone(), file });
        } else if peer.aliases.contains(name) {
            return Err(WriteError::AliasOf { name: name.clone(), of: peer.name.clone(), file });
        }
    }
    Ok(())
}

/// Writes `NAME.toml` into `peers_dir`, or merges into it if it has the same key. `known` are the peers with good
/// files.
///
/// # Errors
/// Those of [`check_peer`]: nothing was changed.
pub(crate) fn add_peer(
    peers_dir: &Path,
    known: &[super::PeerFile],
    new: &NewPeer,
) -> Result<(PathBuf, ConfigWrite), WriteError> {
    check_peer(peers_dir, known, &new.name, &new.key)?;
    let file = peers_dir.join(format!("{}.toml", new.name));
    files::make_dir(peers_dir, DIR_MODE)
        .map_err(|error| WriteError::Io { file: peers_dir.to_owned(), error })?;
    // Of two that add the same name at once, the second sees the file of the first, and what key it has.
    match files::create_new(&file, peer_text(new).as_bytes(), FILE_MODE) {
        Ok(()) => return Ok((file, ConfigWrite::Added)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(WriteError::Io { file, error }),
    }
    let mut document = open(&file)?;
    if document.get("key").and_then(|key| key.as_str()) != Some(public_key_text(&new.key).as_str()) {
        return Err(WriteError::OtherKey { name: new.name.clone(), file });
    }
    merge(&mut document, new);
    save(&file, &document)?;
    Ok((file, ConfigWrite::Merged))
}

fn peer_text(new: &NewPeer) -> String {
    let seal = match &new.seal {
        Some(key) => format!("seal = {}", text(key)),
        None => "# seal = \"x25519:…\"".to_owned(),
    };
    format!(
        r#"# A peer; the name of this file is its name. Written by `intelmesh peer add`; yours to edit: what is
# saved here acts within a second.

# Who they are. It never changes: another key is another pairing.
key = {key}
# What is sealed for them is sealed to this key.
{seal}
# Where we dial them. [] = they dial us; `status` says if they do not.
addresses = {addresses}
# true = their events come through others: not dialled, and not missed.
publisher_only = {publisher_only}
# Old names still met in paths and ids.
aliases = []
# true = no connection; what they missed waits for them.
paused = false
# true = known, but not trusted yet: nothing is exchanged until `intelmesh peer verify`.
pending = {pending}
# true once you have compared both fingerprints' words with them: `intelmesh peer verify` writes it.
verified = false
added = "{added}"
added_by = {added_by}

# From us to them.
[share]
# The strictest label that they may get.
tlp_max = "{tlp_max}"
# true = only what is sealed; what names them in `to` is then sealed without being asked.
seal = false

# From them to us.
[receive]
# May they hand us what others published?
relay = {relay}
# Publishers of which we deliberately trust none: what comes of them is counted, and no warning.
# ignore = ["cert-xx"]
# Most events a second, from them, and from each publisher through them. Nothing is lost by a limit.
# rate = "1000/s"
# rate_per_publisher = "100/s"
"#,
        key = text(&public_key_text(&new.key)),
        addresses = list(&new.addresses),
        publisher_only = new.publisher_only,
        added = new.added,
        added_by = text(&new.added_by),
        pending = new.pending,
        tlp_max = new.tlp_max.unwrap_or(Tlp::Amber),
        relay = new.relay.unwrap_or(true),
    )
}

fn merge(document: &mut DocumentMut, new: &NewPeer) {
    let addresses = document.entry("addresses").or_insert_with(|| value(Array::new()));
    if let Some(array) = addresses.as_array_mut() {
        for address in &new.addresses {
            if !array.iter().any(|held| held.as_str() == Some(address)) {
                array.push(address.as_str());
            }
        }
    }
    if let Some(seal) = &new.seal {
        set(document, None, "seal", value(seal.as_str()));
    }
    if let Some(label) = new.tlp_max {
        set(document, Some("share"), "tlp_max", value(label.as_str()));
    }
    if new.publisher_only {
        set(document, None, "publisher_only", value(true));
    }
    if let Some(relay) = new.relay {
        set(document, Some("receive"), "relay", value(relay));
    }
}

/// Sets one key and keeps the comments around it.
fn set(document: &mut DocumentMut, section: Option<&str>, key: &str, new: toml_edit::Item) {
    let table = match section {
        None => document.as_table_mut(),
        Some(name) => {
            let item = document.entry(name).or_insert_with(toml_edit::table);
            let Some(table) = item.as_table_mut() else { return };
            table
        }
    };
    let mut new = new;
    if let (Some(held), Some(fresh)) = (table.get(key).and_then(|item| item.as_value()), new.as_value_mut()) {
        *fresh.decor_mut() = held.decor().clone();
    }
    table[key] = new;
}

/// Sets `paused` in a peer's file.
///
/// # Errors
/// [`WriteError::Io`] (also if there is no such file), [`WriteError::Toml`]: nothing was changed.
pub(crate) fn set_paused(file: &Path, paused: bool) -> Result<(), WriteError> {
    let mut document = open(file)?;
    set(&mut document, None, "paused", value(paused));
    save(file, &document)
}

/// Records that the words were compared: sets `verified`, with time and author. The peer is no longer `pending`.
///
/// # Errors
/// [`WriteError::Io`], [`WriteError::Toml`]: nothing was changed.
pub(crate) fn set_verified(file: &Path, at: Timestamp, by: &str) -> Result<(), WriteError> {
    let mut document = open(file)?;
    set(&mut document, None, "verified", value(true));
    set(&mut document, None, "verified_at", value(at.to_string()));
    set(&mut document, None, "verified_by", value(by));
    if document.get("pending").is_some() {
        set(&mut document, None, "pending", value(false));
    }
    save(file, &document)
}

/// Sets `revoked` in a peer's file: nothing that its key signs is taken any more.
///
/// # Errors
/// [`WriteError::Io`], [`WriteError::Toml`]: nothing was changed.
pub(crate) fn set_revoked(file: &Path) -> Result<(), WriteError> {
    let mut document = open(file)?;
    set(&mut document, None, "revoked", value(true));
    save(file, &document)
}

/// The files that are left of a removed peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemovedPeer {
    /// Its file, with what was agreed: nothing reads it any more.
    pub copy: PathBuf,
    /// The list that has its key, if that was revoked here.
    pub revoked_in: Option<PathBuf>,
}

/// Below `peers/` and `clients/`.
const REMOVED_DIR: &str = "removed";

/// Moves a peer's file to `removed/`, with the time behind its name; its cursors are the journal's and stay. A key that
/// is revoked there stays so.
///
/// # Errors
/// [`WriteError::Io`]; [`WriteError::Toml`], if it cannot be told what is revoked.
pub(crate) fn remove_peer(file: &Path, at: Timestamp) -> Result<RemovedPeer, WriteError> {
    let document = open(file)?;
    let revoked_in = match document.get("revoked").and_then(|flag| flag.as_bool()) {
        Some(true) => revoked::keep(file, document.get("key").and_then(|key| key.as_str()), at)?,
        _ => None,
    };
    Ok(RemovedPeer { copy: move_to_removed(file, at)?, revoked_in })
}

/// Moves a file to `removed/` beside it, with the time behind its name, and returns where it is now.
fn move_to_removed(file: &Path, at: Timestamp) -> Result<PathBuf, WriteError> {
    let failed = |error| WriteError::Io { file: file.to_owned(), error };
    let dir = files::dir_of(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let time: String = at.to_string().chars().filter(|c| !"-:.".contains(*c)).collect();
    let copy = dir.join(REMOVED_DIR).join(format!("{name}-{time}"));
    files::make_dir(&dir.join(REMOVED_DIR), DIR_MODE).map_err(failed)?;
    files::rename(file, &copy).map_err(failed)?;
    Ok(copy)
}

fn open(file: &Path) -> Result<DocumentMut, WriteError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| WriteError::Io { file: file.to_owned(), error })?;
    text.parse().map_err(|error| WriteError::Toml { file: file.to_owned(), error: Box::new(error) })
}

fn save(file: &Path, document: &DocumentMut) -> Result<(), WriteError> {
    let mode = std::fs::metadata(file).map_or(FILE_MODE, |data| data.permissions().mode() & 0o777);
    atomically(file, document.to_string().as_bytes(), mode)
}

fn atomically(file: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    files::replace(file, bytes, mode).map_err(|error| WriteError::Io { file: file.to_owned(), error })
}

#[cfg(test)]
mod tests;
