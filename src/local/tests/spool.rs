//! The door from a spool, with files that a filer does not write.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::door::{DoorAdds, SpoolSource, SubmitSettings, SubmitSource};
use crate::event::EventFormat;
use crate::record::ConsumerName;

/// A spool, and the node that reads it.
struct Spool {
    dir: PathBuf,
    _home: tempfile::TempDir,
}

impl Spool {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("spool");
        for name in ["temp", "incoming", "errors"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        Self { dir, _home: home }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.dir.join("temp").join("written"), text).unwrap();
        fs::rename(self.dir.join("temp").join("written"), self.dir.join("incoming").join(name)).unwrap();
    }

    fn start(&self) -> Node {
        let from = SubmitSource::Spool(SpoolSource {
            dir: self.dir.clone(),
            format: EventFormat::parse("idea").unwrap(),
        });
        let name = ConsumerName::parse("filer").unwrap();
        let adds = DoorAdds {
            tlp: None,
            to: Vec::new(),
            ids: None,
            strip: None,
            mask_secrets: None,
            republish: false,
            seal: false,
            multiple_values: crate::format::MultipleValues::Refuse,
            convert: false,
        };
        let submits = vec![SubmitSettings { name, from, adds }];
        Node::start_with("run", None, DoorSettings { submits, consumers: Vec::new() })
    }

    /// Returns the texts of the files of a directory, by their names.
    fn files(&self, name: &str) -> BTreeMap<String, String> {
        let found = fs::read_dir(self.dir.join(name)).unwrap();
        let text = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap_or_default())
        };
        found.map(|entry| text(entry.unwrap())).filter(|(name, _)| !name.starts_with(".unfin")).collect()
    }

    /// Waits until nothing is left to take.
    fn wait_until_taken(&self, node: &Node) {
        node.wait_until("all files are taken", |_| {
            self.files("incoming").is_empty() && self.files("temp").is_empty()
        });
    }
}

fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

fn message(id: &str) -> String {
    format!(
        "{{\"Format\":\"IDEA0\",\"ID\":\"{id}\",\"DetectTime\":\"2026-01-01T00:00:00Z\",\"Category\":[]}}"
    )
}

/// Returns the ids of the messages that the core was given, sorted.
fn submitted(node: &Node) -> Vec<String> {
    let id = |envelope: &Arc<Envelope>| {
        let body: Value = serde_json::from_slice(envelope.core().body.bytes()).unwrap();
        body["ID"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<String> = node.core(|core| core.submitted.iter().map(id).collect());
    ids.sort_unstable();
    ids
}

/// The claim adds to the name, which became too long: the files that were claimed before it were forgotten.
#[test]
fn over_long_name_strands_no_other_file() {
    let spool = Spool::new();
    let long = ["m".repeat(250), "ü".repeat(127)];
    for (name, id) in [("a.idea", "a"), (&long[0], "m"), (&long[1], "u"), ("z.idea", "z")] {
        spool.put(name, &message(id));
    }
    spool.put(&"n".repeat(255), "{}");
    let node = spool.start();
    spool.wait_until_taken(&node);
    assert_eq!(submitted(&node), ["a", "m", "u", "z"]);
    assert_eq!(spool.files("errors").len(), 2, "the bad one and its reason");
}

#[test]
fn new_file_replaces_no_stranded_one() {
    let spool = Spool::new();
    fs::write(spool.dir.join("temp/intelmesh.filer.a.idea"), message("stranded")).unwrap();
    spool.put("a.idea", &message("new"));
    let node = spool.start();
    spool.wait_until_taken(&node);
    assert_eq!(submitted(&node), ["new", "stranded"]);
}

/// A claimed file that cannot be read made every look for files of an earlier run fail.
#[test]
fn unreadable_claim_goes_to_errors_and_blocks_nothing() {
    let spool = Spool::new();
    fs::write(spool.dir.join("outside"), message("outside")).unwrap();
    symlink(spool.dir.join("outside"), spool.dir.join("temp/intelmesh.filer.link.idea")).unwrap();
    make_fifo(&spool.dir.join("temp/intelmesh.filer.fifo"));
    spool.put("a.idea", &message("a"));
    let node = spool.start();
    spool.wait_until_taken(&node);
    assert_eq!(submitted(&node), ["a"]);
    let names: Vec<String> = fs::read_dir(spool.dir.join("errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let why = fs::read_to_string(spool.dir.join("errors/link.idea.why")).unwrap();
    assert!(why.starts_with("unreadable: "), "{why}");
}

#[test]
fn refused_files_of_one_name_are_all_kept() {
    let spool = Spool::new();
    let node = spool.start();
    for (count, (name, text)) in
        [("a", "first"), ("a", "second"), ("a.why", "third"), ("b.why", "fourth"), ("b", "fifth")]
            .into_iter()
            .enumerate()
    {
        spool.put(name, text);
        node.wait_until("it is refused", |_| spool.files("errors").len() == 2 * (count + 1));
        spool.wait_until_taken(&node);
    }
    let texts: BTreeSet<String> = spool.files("errors").into_values().collect();
    for text in ["first", "second", "third", "fourth", "fifth"] {
        assert!(texts.contains(text), "{text}: {texts:?}");
    }
}

/// The first MiB was signed, and the rest was dropped.
#[test]
fn the_end_of_a_large_file_is_not_dropped() {
    let spool = Spool::new();
    spool.put("a", &format!("{}{}and more", message("a"), " ".repeat(1024 * 1024)));
    spool.put("b", &format!("{}\n", message("b")));
    let node = spool.start();
    spool.wait_until_taken(&node);
    assert_eq!(submitted(&node), ["b"]);
    assert!(spool.files("errors")["a.why"].starts_with("too_large: "));
}

/// The break in a string became a blank: the node signed a text that nobody wrote.
#[test]
fn line_breaks_are_blanks_outside_strings_only() {
    let spool = Spool::new();
    spool.put("bad", &message("a\nb"));
    let good = message("c").replace("\"DetectTime\"", "\"Note\":\"\\\"\",\"DetectTime\"");
    spool.put("good", &good.replace(',', ",\r\n\t"));
    let node = spool.start();
    spool.wait_until_taken(&node);
    assert_eq!(submitted(&node), ["c"]);
    assert!(spool.files("errors")["bad.why"].starts_with("bad_json: "));
}

#[test]
fn names_that_are_no_messages_are_counted() {
    let spool = Spool::new();
    let incoming = spool.dir.join("incoming");
    fs::write(incoming.join(".hidden"), "").unwrap();
    symlink("/etc/hostname", incoming.join("link")).unwrap();
    make_fifo(&incoming.join("fifo"));
    spool.put("a.idea", &message("a"));
    let node = spool.start();
    let said = || node.doors.set().status()[0].last_error.clone().unwrap_or_default();
    node.wait_until("status says so", |_| said().contains("3 names in incoming"));
    node.wait_until("the others are taken", |core| core.submitted.len() == 1);
    assert!(node.doors.set().status()[0].down.is_none(), "the door works");
    for name in [".hidden", "link", "fifo"] {
        fs::remove_file(incoming.join(name)).unwrap();
    }
    node.wait_until("it is over", |_| said().is_empty());
}

#[test]
fn other_accounts_do_not_read_a_spool() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool { dir: home.path().join("spool"), _home: home };
    let node = spool.start();
    let mode = |name: &str| fs::metadata(spool.dir.join(name)).map_or(0, |data| data.mode() & 0o777);
    node.wait_until("the directories are there", |_| spool.dir.join("errors").is_dir());
    spool.put("a", "no message");
    node.wait_until("it is refused", |_| spool.dir.join("errors/a.why").exists());
    assert_eq!(["incoming", "errors", "errors/a.why"].map(mode), [0o750, 0o750, 0o640]);
}
