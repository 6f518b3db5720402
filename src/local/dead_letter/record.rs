//! `aside/NAME.jsonl`: events that a door could not pass on, one line each, with the reason and the command that tries
//! it again. The door decides what it sets aside. `file` writes it, and the command line reads it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, Seek as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Digits of the place in `NAME.done`.
pub(super) const DONE_DIGITS: usize = 20;

/// One line of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AsideRecord {
    #[serde(with = "crate::status::rfc3339")]
    pub at: Timestamp,
    pub door: String,
    pub code: String,
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The event's full name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long it was, if only its beginning was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Exactly as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The same in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_base64: Option<String>,
    /// The command that tries it again.
    pub again: String,
}

impl AsideRecord {
    pub(crate) fn new(at: Timestamp, door: &str, code: &str, error: impl Into<String>) -> Self {
        Self {
            at,
            door: door.to_owned(),
            code: code.to_owned(),
            error: error.into(),
            again: format!("intelmesh aside retry {door}"),
            ..Self::default()
        }
    }

    pub(crate) fn with_line(mut self, line: &[u8]) -> Self {
        match std::str::from_utf8(line) {
            Ok(text) => self.line = Some(text.to_owned()),
            Err(_) => self.line_base64 = Some(data_encoding::BASE64.encode(line)),
        }
        self
    }

    /// Returns the line as it came; `None` if it was too long, or if it was stored under its id.
    pub(crate) fn bytes_of_line(&self) -> Option<Vec<u8>> {
        match (&self.line, &self.line_base64, self.bytes) {
            (_, _, Some(_)) => None,
            (Some(text), ..) => Some(text.clone().into_bytes()),
            (None, Some(coded), _) => data_encoding::BASE64.decode(coded.as_bytes()).ok(),
            (None, None, None) => None,
        }
    }
}

/// Reads the files of `state/aside/`, of the door `name` or of all, with the rest of an interrupted retry. Returns how
/// many lines cannot be read: they hide no other.
///
/// # Errors
/// Returns errors of the file system for a file that is there.
pub(crate) fn read_aside(
    state: &Path,
    name: Option<&str>,
    mut each: impl FnMut(AsideRecord),
) -> io::Result<u64> {
    let dir = state.join("aside");
    let names = match name {
        Some(name) => BTreeSet::from([name.to_owned()]),
        None => names_in(&dir)?,
    };
    let mut unreadable = 0;
    for name in names {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        unreadable += read_file(&file("again"), done_in(&file("done")), &mut each)?;
        unreadable += read_file(&file("jsonl"), 0, &mut each)?;
    }
    Ok(unreadable)
}

/// Returns the doors that have set something aside.
fn names_in(dir: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let file = entry?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".jsonl").or(file.strip_suffix(".again")));
        names.extend(name.map(str::to_owned));
    }
    Ok(names)
}

fn read_file(path: &Path, from: u64, each: &mut impl FnMut(AsideRecord)) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    file.seek(io::SeekFrom::Start(from))?;
    let mut reader = io::BufReader::new(file);
    let (mut line, mut unreadable) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice(&line) {
            Ok(record) => each(record),
            Err(_) => unreadable += 1,
        }
        line.clear();
    }
    Ok(unreadable)
}

/// Returns how far the last attempt got; 0 if the file does not say.
pub(crate) fn done_in(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.get(..DONE_DIGITS).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
