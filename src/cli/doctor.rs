//! `doctor`: everything that somebody who helps has to know about a node, as one text: program and system, status,
//! `check`, the configuration without its secrets, and which files there are. No key, no payload and no meta of events.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use super::answer::CommandAnswer;
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use super::status;
use crate::config::{NODE_FILE, NodeConfig};
use crate::terminal::shown;

/// Lines of the file list: a journal of a terabyte has fewer files.
const FILES_MAX: usize = 2_000;
/// Directories inside each other that are listed.
const DEPTH_MAX: usize = 3;
/// Words in the name of a setting that has a secret.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "passphrase"];
const MASK: &str = "***";

pub fn doctor(place: &NodeDirectory) -> Result<(), CommandFailure> {
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
    section(NODE_FILE, &without_secrets(&read(&node_file)))?;
    let config = NodeConfig::load(place.dir()).ok();
    if let Some(config) = &config {
        for (name, dir) in [("peers", &config.paths.peers), ("groups", &config.paths.groups)] {
            for file in toml_files(dir) {
                let title = format!("{name}/{}", file.file_name().unwrap_or_default().to_string_lossy());
                section(&title, &without_secrets(&read(&file)))?;
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
        Ok(snapshot) => serde_json::to_string_pretty(&snapshot).unwrap_or_default(),
        Err(failure) => format!("error: {}", failure.first()),
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

/// The same lines without values of settings that are secret, and without passwords in URLs.
fn without_secrets(text: &str) -> String {
    text.lines().map(|line| without_secret(line) + "\n").collect()
}

fn without_secret(line: &str) -> String {
    if let Some((key, _)) = line.split_once('=') {
        let key_word = key.to_lowercase();
        // The name of the file that has it is none.
        if SECRET_WORDS.iter().any(|word| key_word.contains(word)) && !key_word.trim_end().ends_with("_file")
        {
            return format!("{key}= {MASK}");
        }
    }
    let Some((scheme, rest)) = line.split_once("://") else { return line.to_owned() };
    let host_end = rest.find(['/', '"', '\'', ' ']).unwrap_or(rest.len());
    let masked = match rest[..host_end].rfind('@') {
        Some(at) => format!("{MASK}{}", &rest[at..]),
        None => rest.to_owned(),
    };
    // A secret may stand in the query too.
    let masked = masked.split_once('?').map_or(masked.clone(), |(path, _)| format!("{path}?{MASK}"));
    format!("{scheme}://{masked}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_settings_and_urls_are_masked() {
        for (line, masked) in [
            ("url = \"redis://:pass@127.0.0.1:6379/2\"", "url = \"redis://***@127.0.0.1:6379/2\""),
            ("url = \"redis://us:p@ss@127.0.0.1/2\"", "url = \"redis://***@127.0.0.1/2\""),
            ("url = \"https://example.org/?key=1\"", "url = \"https://example.org/?***"),
            ("  Password = \"x\"", "  Password = ***"),
            ("password_file = \"/run/secret\"", "password_file = \"/run/secret\""),
            ("name = \"cert-at\" # a@b", "name = \"cert-at\" # a@b"),
        ] {
            assert_eq!(without_secret(line), masked);
        }
    }
}
