//! `aside/NAME.jsonl`: what a door could not pass on, one line each with the reason and the command that
//! tries it again. Nothing is told to be done with before its line is synced. What is set aside, and why, is
//! the door's to decide; reading the file is the command line's.

use std::fs::{DirBuilder, File};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::limits::ASIDE_FILE_BYTES_MAX;
use crate::status::DoorAside;
use crate::time::Timestamp;

/// One line of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AsideRecord {
    #[serde(with = "crate::status::rfc3339")]
    pub at: Timestamp,
    pub door: String,
    pub code: String,
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The event's full name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long it was, where only its beginning was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Exactly as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The same in base64, where it is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_base64: Option<String>,
    /// The command that tries it again.
    pub again: String,
}

impl AsideRecord {
    pub fn new(at: Timestamp, door: &str, code: &str, error: impl Into<String>) -> Self {
        Self {
            at,
            door: door.to_owned(),
            code: code.to_owned(),
            error: error.into(),
            again: format!("intelmesh aside retry {door}"),
            ..Self::default()
        }
    }

    pub fn with_line(mut self, line: &[u8]) -> Self {
        match std::str::from_utf8(line) {
            Ok(text) => self.line = Some(text.to_owned()),
            Err(_) => self.line_base64 = Some(data_encoding::BASE64.encode(line)),
        }
        self
    }

    /// What it was, as it came; none of what was too long, or was stored under its id.
    pub fn bytes_of_line(&self) -> Option<Vec<u8>> {
        match (&self.line, &self.line_base64, self.bytes) {
            (_, _, Some(_)) => None,
            (Some(text), ..) => Some(text.clone().into_bytes()),
            (None, Some(coded), _) => data_encoding::BASE64.decode(coded.as_bytes()).ok(),
            (None, None, None) => None,
        }
    }
}

/// Reads the files of `state/aside/`, of the door `name` or of all; a line that is none is left out.
///
/// # Errors
/// What the file system says of a file that is there.
pub fn read_aside(state: &Path, name: Option<&str>, mut each: impl FnMut(AsideRecord)) -> io::Result<()> {
    let mut paths = Vec::new();
    match name {
        Some(name) => paths.push(state.join("aside").join(format!("{name}.jsonl"))),
        None => match std::fs::read_dir(state.join("aside")) {
            Ok(entries) => {
                let entries = entries.map(|entry| entry.map(|entry| entry.path()));
                paths = entries.collect::<io::Result<Vec<_>>>()?;
                paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
                paths.sort();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        },
    }
    for path in paths {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for line in io::BufReader::new(file).lines() {
            if let Ok(record) = serde_json::from_str(&line?) {
                each(record);
            }
        }
    }
    Ok(())
}

/// The file of one door.
#[derive(Debug)]
pub(super) struct Aside {
    dir: PathBuf,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines in the file, as far as this process knows.
    lines: u64,
    last: Option<Timestamp>,
}

impl Aside {
    /// The file of the door `name` in `dir`; counts what an earlier run left there.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn open(dir: &Path, name: &str) -> io::Result<Arc<Self>> {
        let aside = Self { dir: dir.to_owned(), name: name.to_owned(), state: Mutex::default() };
        // What a retry that broke off left behind waits as well.
        let again = count_lines(&aside.dir.join(format!("{name}.again")))?;
        aside.state().lines = count_lines(&aside.file())? + again;
        Ok(Arc::new(aside))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.jsonl", self.name))
    }

    /// Appends one line and syncs it.
    ///
    /// # Errors
    /// Nothing was set aside: the disk is full, or the file has grown beyond what it may.
    pub async fn append(self: &Arc<Self>, record: AsideRecord) -> io::Result<()> {
        let shared = self.clone();
        let appending = tokio::task::spawn_blocking(move || shared.append_now(&record));
        appending.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }

    /// Puts a line back that was taken up and not tried.
    ///
    /// # Errors
    /// As [`Aside::append`].
    pub async fn put_back(self: &Arc<Self>, line: String) -> io::Result<()> {
        let shared = self.clone();
        let appending = tokio::task::spawn_blocking(move || shared.append_line(line.into_bytes()));
        appending.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }

    /// Moves the file out of the way, so that all in it can be tried again: where it is now. What an attempt
    /// that broke off left there comes first.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn take_up(self: &Arc<Self>) -> io::Result<Option<PathBuf>> {
        let shared = self.clone();
        let moving = tokio::task::spawn_blocking(move || shared.take_up_now());
        moving.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }

    fn take_up_now(&self) -> io::Result<Option<PathBuf>> {
        let again = self.dir.join(format!("{}.again", self.name));
        let mut state = self.state();
        if again.exists() {
            return Ok(Some(again));
        }
        match std::fs::rename(self.file(), &again) {
            Ok(()) => {
                state.lines = 0;
                Ok(Some(again))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn append_now(&self, record: &AsideRecord) -> io::Result<()> {
        self.append_line(serde_json::to_vec(record)?)?;
        self.state().last = Some(record.at);
        Ok(())
    }

    fn append_line(&self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        // Held over the sync: two lines that came together are still two.
        let mut state = self.state();
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let path = self.file();
        let is_new = !path.exists();
        let mut file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() + line.len() as u64 > ASIDE_FILE_BYTES_MAX {
            let what = format!("{} is full: see to it, then move it away", path.display());
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        file.write_all(&line)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.dir)?.sync_all()?;
            state.lines = 0;
        }
        state.lines += 1;
        Ok(())
    }

    /// What status shows; `None` where nothing waits there.
    pub fn status(&self) -> Option<DoorAside> {
        let mut state = self.state();
        if !self.file().exists() && !self.dir.join(format!("{}.again", self.name)).exists() {
            // The operator has seen to it.
            state.lines = 0;
        }
        let file = format!("aside/{}.jsonl", self.name);
        (state.lines > 0).then(|| DoorAside { file, lines: state.lines, last: state.last })
    }
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}
