//! The rules of the past: each version of a peer's file, with the place that its feed had passed when the file
//! changed, in `rules/NAME.jsonl`. By it an old event is explained by the rules of its time. Bounded for each peer;
//! nothing that decides about an event reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{FileLists, PeerFile};
use crate::daemon::kept_file::read_small;
use crate::files;
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
struct RuleVersion {
    #[serde(with = "crate::status::rfc3339")]
    until: Timestamp,
    /// The last seq of our journal that was decided by it.
    decided_to: u64,
    /// Digest of the filter of `[share]`, lists included; absent if it has no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    text: String,
}

/// The file that is in force, so that the next change can keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PresentRules {
    present: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
}

impl PresentRules {
    fn of(file: &PeerFile) -> Self {
        Self { present: file.text.to_string(), filter: filter_digest(file) }
    }
}

fn filter_digest(file: &PeerFile) -> Option<String> {
    let filter = file.peer.share.filter.as_ref()?;
    Some(data_encoding::HEXLOWER.encode(filter.digest()))
}

/// By which rules an entry was decided.
#[derive(Debug)]
pub(crate) enum RulesThen {
    /// The present rules.
    Present,
    Past(Box<PeerFile>),
    /// The text is kept, and the lists that its filter reads say something else by now.
    OtherLists(Box<PeerFile>),
    /// The text cannot be read any more: a list that it names is gone.
    Lost,
}

/// All versions, oldest first, by peer.
#[derive(Debug)]
pub(crate) struct RulesLog {
    dir: PathBuf,
    lists: PathBuf,
    past: BTreeMap<PublisherName, Vec<RuleVersion>>,
    present: BTreeMap<PublisherName, PresentRules>,
}

impl RulesLog {
    /// Reads the versions that earlier runs kept. A file that cannot be read is treated as missing.
    pub(crate) fn open(state: &Path, lists: &Path, files: &[PeerFile], now: Timestamp, last: u64) -> Self {
        let mut log = Self {
            dir: state.join(RULES_DIR),
            lists: lists.to_owned(),
            past: BTreeMap::new(),
            present: BTreeMap::new(),
        };
        // A file may have changed while no node ran: held entries were decided before, as far as the feed had come.
        log.changed(files, now, |_| last);
        log
    }

    /// Puts these files into force. If one differs from its version so far, that version goes to the past. Peer files
    /// are not read here: a file that is broken just now is not in force.
    pub(crate) fn changed(
        &mut self,
        files: &[PeerFile],
        now: Timestamp,
        decided: impl Fn(&PublisherName) -> u64,
    ) {
        for file in files {
            let name = &file.peer.name;
            if !self.past.contains_key(name) {
                let (past, present) = read(&self.dir.join(format!("{name}.jsonl")));
                self.past.insert(name.clone(), past);
                self.present.extend(present.map(|present| (name.clone(), present)));
            }
            let present = PresentRules::of(file);
            if self.present.get(name) == Some(&present) {
                continue;
            }
            if let Some(PresentRules { present: text, filter }) = self.present.insert(name.clone(), present) {
                let past = self.past.entry(name.clone()).or_default();
                past.push(RuleVersion { until: now, decided_to: decided(name), filter, text });
                let beyond = past.len().saturating_sub(VERSIONS_MAX);
                past.drain(..beyond);
            }
            self.keep(name);
        }
    }

    /// Notes that the feed of a peer resumes after `after`: entries above that are decided again, by the present rules.
    pub(crate) fn resumed(&mut self, name: &PublisherName, after: u64) {
        let past = self.past.get_mut(name).map(Vec::as_mut_slice).unwrap_or_default();
        let mut above = past.iter_mut().filter(|version| version.decided_to > after).peekable();
        if above.peek().is_none() {
            return;
        }
        above.for_each(|version| version.decided_to = after);
        self.keep(name);
    }

    /// The rules by which `seq` was decided.
    pub(crate) fn at(&self, file: &PeerFile, seq: u64) -> RulesThen {
        let past = self.past.get(&file.peer.name).into_iter().flatten();
        let Some(version) = past.into_iter().find(|version| version.decided_to >= seq) else {
            return RulesThen::Present;
        };
        match PeerFile::parse_with(&file.file, &version.text, &FileLists::new(&self.lists)) {
            Ok(then) if filter_digest(&then) == version.filter => RulesThen::Past(Box::new(then)),
            Ok(then) => RulesThen::OtherLists(Box::new(then)),
            Err(_) => RulesThen::Lost,
        }
    }

    fn keep(&self, name: &PublisherName) {
        if let Err(error) = self.write(name) {
            tracing::warn!(peer = %name, %error, "rules/ cannot be written: old events are explained by the present rules");
        }
    }

    /// The past and, as the last line, the present.
    fn write(&self, name: &PublisherName) -> std::io::Result<()> {
        files::make_dir(&self.dir, 0o700)?;
        let mut text = Vec::new();
        for version in self.past.get(name).into_iter().flatten() {
            serde_json::to_writer(&mut text, version)?;
            text.push(b'\n');
        }
        if let Some(present) = self.present.get(name) {
            serde_json::to_writer(&mut text, present)?;
            text.push(b'\n');
        }
        files::replace(&self.dir.join(format!("{name}.jsonl")), &text, 0o600)
    }
}

fn read(file: &Path) -> (Vec<RuleVersion>, Option<PresentRules>) {
    let bytes = read_small(file, FILE_BYTES_MAX);
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let past = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let past: Vec<RuleVersion> = past.take(VERSIONS_MAX).collect();
    let present = text.lines().find_map(|line| serde_json::from_str::<PresentRules>(line).ok());
    (past, present)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::identity::public_key_text;
    use crate::policy::Tlp;

    struct Kept {
        dir: tempfile::TempDir,
    }

    impl Kept {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("lists")).unwrap();
            Self { dir }
        }

        fn lists(&self) -> PathBuf {
            self.dir.path().join("lists")
        }

        fn file(&self, share: &str) -> PeerFile {
            let key = crate::fixture::key(7).verifying_key();
            let text = format!("key = \"{}\"\n[share]\n{share}\n", public_key_text(&key));
            let lists = FileLists::new(&self.lists());
            PeerFile::parse_with(Path::new("peers/cert-ee.toml"), &text, &lists).unwrap()
        }

        fn labelled(&self, label: &str) -> PeerFile {
            self.file(&format!("tlp_max = \"{label}\""))
        }

        fn open(&self, files: &[PeerFile], last: u64) -> RulesLog {
            RulesLog::open(self.dir.path(), &self.lists(), files, Timestamp(1), last)
        }
    }

    fn change(log: &mut RulesLog, file: &PeerFile, decided: u64) {
        log.changed(std::slice::from_ref(file), Timestamp(2), |_| decided);
    }

    fn labels<const N: usize>(log: &RulesLog, file: &PeerFile, seqs: [u64; N]) -> [Option<Tlp>; N] {
        seqs.map(|seq| match log.at(file, seq) {
            RulesThen::Past(old) => Some(old.peer.share.tlp_max),
            _ => None,
        })
    }

    #[test]
    fn an_old_event_is_explained_by_the_rules_of_its_time_also_after_a_restart() {
        let kept = Kept::new();
        let file = kept.labelled("GREEN");
        let mut log = kept.open(std::slice::from_ref(&file), 0);
        assert_eq!(labels(&log, &file, [1]), [None], "the present rules");
        let file = kept.labelled("RED");
        change(&mut log, &file, 10);
        change(&mut log, &file, 99);
        let file = kept.labelled("AMBER");
        change(&mut log, &file, 20);
        for log in [log, kept.open(std::slice::from_ref(&file), 30)] {
            let found = labels(&log, &file, [1, 10, 11, 20, 21]);
            assert_eq!(found, [Some(Tlp::Green), Some(Tlp::Green), Some(Tlp::Red), Some(Tlp::Red), None]);
        }
        let file = kept.labelled("CLEAR");
        let log = kept.open(std::slice::from_ref(&file), 30);
        assert_eq!(labels(&log, &file, [30]), [Some(Tlp::Amber)], "changed while no node ran");
    }

    #[test]
    fn what_a_feed_sends_again_is_decided_by_the_rules_of_now_also_after_a_restart() {
        let kept = Kept::new();
        let mut log = kept.open(&[kept.labelled("GREEN")], 0);
        change(&mut log, &kept.labelled("RED"), 10);
        let file = kept.labelled("AMBER");
        change(&mut log, &file, 20);
        log.resumed(&file.peer.name, 25);
        assert_eq!(labels(&log, &file, [20]), [Some(Tlp::Red)], "a feed that goes on where it was");
        log.resumed(&file.peer.name, 5);
        for log in [log, kept.open(std::slice::from_ref(&file), 30)] {
            assert_eq!(labels(&log, &file, [5, 6, 20]), [Some(Tlp::Green), None, None]);
        }
    }

    #[test]
    fn a_broken_peer_file_is_no_version_of_the_rules() {
        let kept = Kept::new();
        let file = kept.labelled("GREEN");
        let mut log = kept.open(std::slice::from_ref(&file), 0);
        // Broken while the node runs, the file that was read before stays in force; at a start there is none.
        change(&mut log, &file, 10);
        let mut log = kept.open(&[], 10);
        let mended = kept.labelled("AMBER");
        change(&mut log, &mended, 20);
        assert_eq!(labels(&log, &mended, [1, 20, 21]), [Some(Tlp::Green), Some(Tlp::Green), None]);
        assert_eq!(log.past[&mended.peer.name].len(), 1);
    }

    #[test]
    fn a_list_that_changes_makes_another_version_and_what_it_said_is_known_not_to_be_kept() {
        let kept = Kept::new();
        let list = |text: &str| fs::write(kept.lists().join("asns.txt"), text).unwrap();
        let read = || kept.file("where = 'asn_in(event, \"asns.txt\")'");
        list("64496");
        let first = read();
        let mut log = kept.open(std::slice::from_ref(&first), 0);
        list("64497");
        let second = read();
        change(&mut log, &second, 10);
        assert!(matches!(log.at(&second, 10), RulesThen::OtherLists(_)));
        assert!(matches!(log.at(&second, 11), RulesThen::Present));
        list("# the same again\n64496");
        assert!(matches!(log.at(&second, 10), RulesThen::Past(_)), "by what it says, not by its bytes");
        fs::remove_file(kept.lists().join("asns.txt")).unwrap();
        assert!(matches!(log.at(&second, 10), RulesThen::Lost));
    }
}
