//! `backup` and `restore`: the operator's files, the keys, and the key statements of others, as one archive. The journal
//! is never in it: only its present state is of use, and peers hold the events. So a restored node begins a new log, and
//! no seq of its former one is ever used again.

mod tar;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::tar::ArchivedFile;
use super::answer::{CommandAnswer, talk};
use super::failure::CommandFailure;
use super::place::{NodeDirectory, PACKAGED_STATE};
use crate::clock;
use crate::config::{NODE_FILE, NodeConfig, write};
use crate::files;
use crate::identity::PublisherName;
use crate::status::rfc3339;
use crate::time::Timestamp;

const SCHEMA: &str = "intelmesh.backup/1";
/// The first file of the archive.
const MANIFEST: &str = "manifest.json";
/// Of an archive: a thousand peers and their lists have far less.
const ARCHIVE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// An operator or a rotation may change files meanwhile: they are read until two readings are the same.
const READINGS_MAX: usize = 5;
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;
const SECRET_FILE_MODE: u32 = 0o600;
const SECRET_DIR_MODE: u32 = 0o700;

/// What the archive should hold: a part of it is no backup.
#[derive(Debug, Serialize, Deserialize)]
struct BackupManifest {
    schema: String,
    name: PublisherName,
    #[serde(with = "rfc3339")]
    at: Timestamp,
    version: String,
    /// SHA-256 in hex, by path.
    files: BTreeMap<String, String>,
}

/// A directory of the node, and its name in an archive.
struct BackupPart {
    name: &'static str,
    dir: PathBuf,
    is_secret: bool,
}

fn parts(config: &NodeConfig) -> [BackupPart; 8] {
    let paths = &config.paths;
    let part = |name, dir: &Path| BackupPart { name, dir: dir.to_owned(), is_secret: false };
    let secret = |name, dir: &Path| BackupPart { name, dir: dir.to_owned(), is_secret: true };
    [
        secret("keys", &paths.keys),
        part("peers", &paths.peers),
        part("peers/removed", &paths.peers.join("removed")),
        part("groups", &paths.groups),
        part("lists", &paths.lists),
        part("clients", &paths.clients),
        part("clients/removed", &paths.clients.join("removed")),
        secret("statements", &paths.state.join("statements")),
    ]
}

pub(crate) fn backup(place: &NodeDirectory, to: &Path) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let found = settled(&config)?;
    let now = clock::now().wall;
    let manifest = BackupManifest {
        schema: SCHEMA.to_owned(),
        name: config.name.clone(),
        at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: found.iter().map(|file| (file.path.clone(), digest(&file.bytes))).collect(),
    };
    let bug = |error| CommandFailure::could_not(format!("bug: {error}; please report"));
    let bytes = serde_json::to_vec(&manifest).map_err(bug)?;
    let count = found.len();
    let files = [vec![ArchivedFile { path: MANIFEST.to_owned(), bytes }], found].concat();
    let archive = tar::write(&files, now.0 / 1_000).ok_or_else(|| {
        CommandFailure::could_not("a file has too long a name: a path in a backup has at most 100 bytes")
    })?;
    if to == Path::new("-") {
        let mut answer = CommandAnswer::new();
        answer.bytes(&archive)?;
        answer.flush()?;
    } else {
        files::create_new(to, &archive, SECRET_FILE_MODE).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CommandFailure::could_not(format!("{} exists", to.display()))
                .hint("a backup replaces no file: give another name"),
            _ => CommandFailure::of_file(to, &error),
        })?;
    }
    talk(format!("{count} files of {}, with its private keys: keep them encrypted", config.name));
    talk("the journal is not among them: its peers hold the events");
    Ok(())
}

/// Reads all files, until nothing changes any more.
fn settled(config: &NodeConfig) -> Result<Vec<ArchivedFile>, CommandFailure> {
    let mut before = collect(config)?;
    for _ in 1..READINGS_MAX {
        let now = collect(config)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(CommandFailure::could_not("the files of this node change while they are read")
        .hint("try again when nobody edits them"))
}

fn collect(config: &NodeConfig) -> Result<Vec<ArchivedFile>, CommandFailure> {
    let mut room = ARCHIVE_BYTES_MAX;
    let mut files = vec![read(NODE_FILE.to_owned(), &config.dir.join(NODE_FILE), &mut room)?];
    for part in parts(config) {
        let fault = |error: io::Error| CommandFailure::of_file(&part.dir, &error);
        let entries = match fs::read_dir(&part.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(fault)?,
        };
        let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut found = entries.map_err(fault)?;
        found.sort();
        for path in found.iter().filter(|path| path.is_file()) {
            let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                CommandFailure::could_not(format!("{}: its name is not UTF-8", path.display()))
            })?;
            // What was not whole at a crash.
            if !name.starts_with('.') {
                files.push(read(format!("{}/{name}", part.name), path, &mut room)?);
            }
        }
    }
    Ok(files)
}

/// `room` is left of the largest archive.
fn read(path: String, from: &Path, room: &mut u64) -> Result<ArchivedFile, CommandFailure> {
    let fault = |error: io::Error| CommandFailure::of_file(from, &error);
    let mut bytes = Vec::new();
    File::open(from).map_err(fault)?.take(*room + 1).read_to_end(&mut bytes).map_err(fault)?;
    *room = room.checked_sub(bytes.len() as u64).ok_or_else(|| too_large(from))?;
    Ok(ArchivedFile { path, bytes })
}

fn too_large(at: &Path) -> CommandFailure {
    CommandFailure::could_not(format!("{}: more than {ARCHIVE_BYTES_MAX} bytes in all", at.display()))
}

fn digest(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Makes the node of a backup in `dir`, where there is none. `intelmesh.toml` comes last: without it nothing is a node.
pub(crate) fn restore(from: &Path, dir: &Path) -> Result<(), CommandFailure> {
    let (manifest, found) = opened(from)?;
    write::check_new(dir).map_err(CommandFailure::from)?;
    let node_text = found.iter().find(|file| file.path == NODE_FILE).map(|file| file.bytes.as_slice());
    let node_text =
        node_text.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| damaged(from))?;
    let config = NodeConfig::parse(dir, node_text).map_err(CommandFailure::from)?;
    let parts = parts(&config);
    if let Some(part) = parts.iter().find(|part| !is_below(&part.dir, dir)) {
        let what = format!("{} of the backup is not below {}", part.dir.display(), dir.display());
        return Err(CommandFailure::no(what).hint(
            "restore writes nowhere else: take the archive apart (tar -xf), and put each file where it belongs",
        ));
    }
    let mut places = Vec::new();
    for file in found.iter().filter(|file| file.path != NODE_FILE) {
        let (part, name) = place_of(&file.path, &parts).ok_or_else(|| damaged(from))?;
        places.push((part, part.dir.join(name), &file.bytes));
    }
    if let Some((_, there, _)) = places.iter().find(|(_, to, _)| to.exists()) {
        return Err(CommandFailure::no(format!("{} exists", there.display())).hint(
            "restore makes a new node and replaces no file: move it away, or restore into another directory",
        ));
    }
    files::make_dir(dir, DIR_MODE).map_err(|error| CommandFailure::of_file(dir, &error))?;
    for part in parts.iter().filter(|part| part.name != "peers/removed" && part.name != "statements") {
        make_dir(part)?;
    }
    for (part, to, bytes) in places {
        make_dir(part)?;
        create(&to, bytes, if part.is_secret { SECRET_FILE_MODE } else { FILE_MODE })?;
    }
    create(&dir.join(NODE_FILE), node_text.as_bytes(), FILE_MODE)?;
    talk(format!("{} is restored in {} from a backup of {}", manifest.name, dir.display(), manifest.at));
    if config.paths.journal().exists() {
        talk(format!("its journal in {} is there, and goes on", config.paths.state.display()));
    }
    talk("if its keys were rotated after that, rotate them again before it publishes: intelmesh key rotate");
    talk(format!(
        "next: intelmesh check -C {0}, then start it; the backed-up node must never run again",
        dir.display()
    ));
    let mut answer = CommandAnswer::new();
    answer.line(dir.display())?;
    answer.flush()
}

fn make_dir(part: &BackupPart) -> Result<(), CommandFailure> {
    let mode = if part.is_secret { SECRET_DIR_MODE } else { DIR_MODE };
    files::make_dir(&part.dir, mode).map_err(|error| CommandFailure::of_file(&part.dir, &error))
}

fn create(to: &Path, bytes: &[u8], mode: u32) -> Result<(), CommandFailure> {
    files::create_new(to, bytes, mode).map_err(|error| CommandFailure::of_file(to, &error))
}

/// Reads a whole and undamaged backup.
fn opened(from: &Path) -> Result<(BackupManifest, Vec<ArchivedFile>), CommandFailure> {
    let fault = |error: io::Error| CommandFailure::of_file(from, &error);
    let input: Box<dyn Read> = match from == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(from).map_err(fault)?),
    };
    let mut bytes = Vec::new();
    // Headers take room beside the files.
    let most = 2 * ARCHIVE_BYTES_MAX;
    input.take(most + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > most {
        return Err(too_large(from));
    }
    let mut files = tar::read(&bytes).filter(|files| !files.is_empty()).ok_or_else(|| damaged(from))?;
    let first = files.remove(0);
    let manifest: BackupManifest = serde_json::from_slice(&first.bytes).map_err(|_| damaged(from))?;
    let held: BTreeMap<String, String> =
        files.iter().map(|file| (file.path.clone(), digest(&file.bytes))).collect();
    let is_whole = first.path == MANIFEST && held == manifest.files && held.len() == files.len();
    if manifest.schema != SCHEMA || !is_whole {
        return Err(damaged(from));
    }
    Ok((manifest, files))
}

fn damaged(from: &Path) -> CommandFailure {
    CommandFailure::could_not(format!("{}: not a backup, or not all of it", from.display()))
        .hint("give a file that intelmesh backup of this version wrote")
}

/// Returns true if restore may write there: `[paths]` comes out of the archive too.
fn is_below(place: &Path, dir: &Path) -> bool {
    [dir, Path::new(PACKAGED_STATE)].iter().any(|root| {
        let below = place.strip_prefix(root).ok();
        below.is_some_and(|below| below.components().all(|part| matches!(part, Component::Normal(_))))
    })
}

/// Returns the part that a path belongs to, and its name there. An archive may come from anywhere: no name leads out.
fn place_of<'a, 'p>(path: &'p str, parts: &'a [BackupPart]) -> Option<(&'a BackupPart, &'p str)> {
    parts.iter().find_map(|part| {
        let name = path.strip_prefix(part.name)?.strip_prefix('/')?;
        let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        is_plain.then_some((part, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_of_an_archive_leads_out_of_the_node() {
        let config = NodeConfig::parse(Path::new("/srv/mesh"), "name = \"cert-at\"").unwrap();
        let parts = parts(&config);
        let place = |path| place_of(path, &parts).map(|(part, name)| part.dir.join(name));
        for (path, to) in [
            ("keys/node.pem", Some("/srv/mesh/keys/node.pem")),
            ("peers/cert-ee.toml", Some("/srv/mesh/peers/cert-ee.toml")),
            ("peers/removed/cert-ee.toml-1", Some("/srv/mesh/peers/removed/cert-ee.toml-1")),
            ("statements/cert-ee.cose", Some("/srv/mesh/statements/cert-ee.cose")),
            ("/etc/passwd", None),
            ("keys/../journal/1.seg", None),
            ("keys/", None),
            ("keys/..", None),
            ("journal/1.seg", None),
            ("keys", None),
            ("peers/removed/../x", None),
        ] {
            assert_eq!(place(path), to.map(PathBuf::from), "{path}");
        }
    }
}
