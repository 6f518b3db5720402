//! `doctor`: everything that somebody who helps has to know about a node, as one text: program and system, status,
//! `check`, the configuration without its secrets, and which files there are. No key, no payload and no meta of an event.

mod settings;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use self::settings::without_secrets;
use super::answer::CommandAnswer;
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use super::status;
use crate::config::{NODE_FILE, NodeConfig};
use crate::status::{ConsumerStatus, DoorStatus};
use crate::terminal::shown;

/// Lines of the file list: a journal of a terabyte has fewer files.
const FILES_MAX: usize = 2_000;
/// Directories inside each other that are listed.
const DEPTH_MAX: usize = 3;

pub(crate) fn doctor(place: &NodeDirectory) -> Result<(), CommandFailure> {
    let mut answer = CommandAnswer::new();
    let mut section = |title: &str, text: &str| {
        let lines: String = text.lines().map(|line| format!("{}\n", shown(line))).collect();
        answer.bytes(format!("== {title}\n{lines}\n").as_bytes())
    };
    section("program", &format!("intelmesh {}\n{}", env!("CARGO_PKG_VERSION"), read("/proc/version")))?;
    section("system", &read("/etc/os-release"))?;
    section("status", &status_text(place))?;
    section("check", &check_text(place.dir()))?;
    let node_file = place.dir().join(NODE_FILE);
    section(NODE_FILE, &settings_text(&node_file))?;
    let config = NodeConfig::load(place.dir()).ok();
    if let Some(config) = &config {
        for (name, dir) in [("peers", &config.paths.peers), ("groups", &config.paths.groups)] {
            for file in toml_files(dir) {
                let title = format!("{name}/{}", file.file_name().unwrap_or_default().to_string_lossy());
                section(&title, &settings_text(&file))?;
            }
        }
    }
    let mut files = Vec::new();
    list(place.dir(), 0, &mut files);
    if let Some(state) = config.map(|config| config.paths.state).filter(|state| state != place.dir()) {
        list(&state, 0, &mut files);
    }
    section("files", &files.join("\n"))?;
    answer.flush()
}

fn status_text(place: &NodeDirectory) -> String {
    match status::ask(place) {
        Ok(mut snapshot) => {
            hide_events(&mut snapshot.doors, &mut snapshot.consumers);
            serde_json::to_string_pretty(&snapshot).unwrap_or_default()
        }
        Err(failure) => format!("error: {}", failure.first()),
    }
}

/// Leaves the code of each error of a door or consumer: the rest may quote the event that it is about.
fn hide_events(doors: &mut [DoorStatus], consumers: &mut [ConsumerStatus]) {
    let errors = doors.iter_mut().filter_map(|door| door.last_error.as_mut());
    let failures = consumers.iter_mut().filter_map(|consumer| consumer.not_converted.as_mut());
    for text in errors.chain(failures.map(|failure| &mut failure.reason)) {
        text.truncate(text.find(':').unwrap_or(text.len()));
    }
}

/// In a process of its own: as root, `check` becomes another account.
fn check_text(dir: &Path) -> String {
    let this = std::env::current_exe().unwrap_or_else(|_| "intelmesh".into());
    match Command::new(this).arg("check").arg("-C").arg(dir).output() {
        Ok(done) => {
            [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
        }
        Err(error) => format!("error: {error}"),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| format!("error: {}: {error}", path.display()))
}

fn settings_text(file: &Path) -> String {
    match fs::read_to_string(file) {
        Ok(text) => without_secrets(&text),
        Err(error) => format!("error: {}: {error}", file.display()),
    }
}

fn toml_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// Mode, owner, size and name of each file.
fn list(dir: &Path, depth: usize, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let Ok(data) = entry.metadata() else { continue };
        if lines.len() >= FILES_MAX {
            return;
        }
        let (mode, path) = (data.mode(), entry.path());
        lines.push(format!("{mode:06o} {}:{} {:>12} {}", data.uid(), data.gid(), data.len(), path.display()));
        if data.is_dir() && depth < DEPTH_MAX {
            list(&path, depth + 1, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{DoorWay, EventFailures, SubmitState};
    use crate::time::Timestamp;

    /// The message about a refused event quotes its label.
    #[test]
    fn no_word_of_an_event_is_in_a_report() {
        let way = DoorWay::Submit(SubmitState::default());
        let error = Some("bad_meta: tlp of the payload: \"SECRET\"".to_owned());
        let mut door = DoorStatus { name: "in".into(), way, aside: None, down: None, last_error: error };
        let failed = EventFailures {
            count: 1,
            id: String::new(),
            reason: "bad_idea: Source[0].IP4[0]: \"SECRET\"".to_owned(),
            at: Timestamp(0),
        };
        let mut consumer = ConsumerStatus { not_converted: Some(failed), ..ConsumerStatus::default() };
        hide_events(std::slice::from_mut(&mut door), std::slice::from_mut(&mut consumer));
        assert_eq!(door.last_error.as_deref(), Some("bad_meta"));
        assert_eq!(consumer.not_converted.unwrap().reason, "bad_idea");
    }
}
