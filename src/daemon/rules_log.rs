//! The rules of the past: each version of a peer's file, with the place that its feed had passed when the file
//! changed, in `rules/NAME.jsonl`. By it an old event is explained by the rules of its time. Bounded for each peer;
//! nothing that decides about an event reads it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{FileLists, PeerFile};
use crate::identity::PublisherName;
use crate::time::Timestamp;

/// Below the state directory.
const RULES_DIR: &str = "rules";
/// Versions of one peer's file that are kept.
const VERSIONS_MAX: usize = 64;
/// No file with so many bytes is read: it is not ours.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A version of a peer's file that was in force before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Version {
    #[serde(with = "crate::status::rfc3339")]
    until: Timestamp,
    /// The last seq of our journal that was decided by it.
    decided_to: u64,
    text: String,
}

/// All versions, oldest first, by peer.
#[derive(Debug)]
pub struct RulesLog {
    dir: PathBuf,
    lists: PathBuf,
    past: BTreeMap<PublisherName, Vec<Version>>,
    /// The text in force, so that the next change can keep it.
    present: BTreeMap<PublisherName, String>,
}

impl RulesLog {
    /// Reads what earlier runs kept; what cannot be read is as if it were not there.
    pub fn open(
        state: &Path,
        lists: &Path,
        peers: &Path,
        files: &[PeerFile],
        now: Timestamp,
        last: u64,
    ) -> Self {
        let mut log = Self {
            dir: state.join(RULES_DIR),
            lists: lists.to_owned(),
            past: BTreeMap::new(),
            present: BTreeMap::new(),
        };
        for file in files {
            let name = &file.peer.name;
            let (past, present) = read(&log.dir.join(format!("{name}.jsonl")));
            log.past.insert(name.clone(), past);
            log.present.extend(present.map(|text| (name.clone(), text)));
        }
        // A file may have changed while no node ran: whatever is held was decided before.
        log.changed(peers, files, now, |_| last);
        log
    }

    /// The files of `peers` are in force now: where one has another text, the old one goes to the past.
    pub fn changed(
        &mut self,
        peers: &Path,
        files: &[PeerFile],
        now: Timestamp,
        position: impl Fn(&PublisherName) -> u64,
    ) {
        for file in files {
            let name = &file.peer.name;
            let Ok(text) = fs::read_to_string(peers.join(format!("{name}.toml"))) else { continue };
            if self.present.get(name) == Some(&text) {
                continue;
            }
            if let Some(old) = self.present.insert(name.clone(), text) {
                let past = self.past.entry(name.clone()).or_default();
                past.push(Version { until: now, decided_to: position(name), text: old });
                let beyond = past.len().saturating_sub(VERSIONS_MAX);
                past.drain(..beyond);
            }
            if let Err(error) = self.write(name) {
                tracing::warn!(peer = %name, %error, "rules/ cannot be written: old events are explained by the present rules");
            }
        }
    }

    /// The version of the file by which `seq` was decided, where that is not the present one.
    pub fn file_at(&self, file: &PeerFile, seq: u64) -> Option<PeerFile> {
        let version = self.past.get(&file.peer.name)?.iter().find(|version| version.decided_to >= seq)?;
        PeerFile::parse_with(&file.file, &version.text, &FileLists::new(&self.lists)).ok()
    }

    /// The past and, as the last line, the present.
    fn write(&self, name: &PublisherName) -> std::io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        for version in self.past.get(name).into_iter().flatten() {
            serde_json::to_writer(&mut file, version)?;
            file.write_all(b"\n")?;
        }
        if let Some(text) = self.present.get(name) {
            serde_json::to_writer(&mut file, &serde_json::json!({ "present": text }))?;
            file.write_all(b"\n")?;
        }
        file.persist(self.dir.join(format!("{name}.jsonl"))).map(|_| ()).map_err(|error| error.error)
    }
}

#[derive(Deserialize)]
struct Present {
    present: String,
}

fn read(file: &Path) -> (Vec<Version>, Option<String>) {
    let small = fs::metadata(file).is_ok_and(|data| data.len() <= FILE_BYTES_MAX);
    let text = if small { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    let past = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let past: Vec<Version> = past.take(VERSIONS_MAX).collect();
    let present = text.lines().find_map(|line| serde_json::from_str::<Present>(line).ok());
    (past, present.map(|line| line.present))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::public_key_text;
    use crate::policy::Tlp;

    #[test]
    fn an_old_event_is_explained_by_the_rules_of_its_time_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (peers, lists) = (dir.path().join("peers"), dir.path().join("lists"));
        fs::create_dir(&peers).unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        let write = |label: &str| {
            let text = format!("key = \"{}\"\n[share]\ntlp_max = \"{label}\"\n", public_key_text(&key));
            fs::write(peers.join("cert-ee.toml"), &text).unwrap();
            PeerFile::parse(Path::new("peers/cert-ee.toml"), &text).unwrap()
        };
        let open = |file: &PeerFile, last| {
            RulesLog::open(dir.path(), &lists, &peers, std::slice::from_ref(file), Timestamp(1), last)
        };
        let label =
            |log: &RulesLog, file: &PeerFile, seq| log.file_at(file, seq).map(|old| old.peer.share.tlp_max);
        let file = write("GREEN");
        let mut log = open(&file, 0);
        assert_eq!(label(&log, &file, 1), None, "the present rules");
        let file = write("RED");
        log.changed(&peers, std::slice::from_ref(&file), Timestamp(2), |_| 10);
        log.changed(&peers, std::slice::from_ref(&file), Timestamp(3), |_| 99);
        let file = write("AMBER");
        log.changed(&peers, std::slice::from_ref(&file), Timestamp(4), |_| 20);
        for log in [log, open(&file, 30)] {
            let found = [1, 10, 11, 20, 21].map(|seq| label(&log, &file, seq));
            assert_eq!(found, [Some(Tlp::Green), Some(Tlp::Green), Some(Tlp::Red), Some(Tlp::Red), None]);
        }
        let file = write("CLEAR");
        assert_eq!(label(&open(&file, 30), &file, 30), Some(Tlp::Amber), "changed while no node ran");
    }
}
