//! The door from a directory as Warden's filer uses it: `incoming` has whole files, one message each. A file is claimed
//! by renaming it into `temp`, and deleted once the node has it on disk. What is refused for good goes to `errors`, with
//! a text beside it that says why. Formats and ids are not known here.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::submission::SubmissionOutcome;
use crate::door::SpoolSource;
use crate::files;
use crate::format::SubmitError;
use crate::limits::{DOOR_RETRY_MS, LINE_BYTES_MAX};
use crate::local::framing::SocketLine;

/// Pause between two looks at an empty directory.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Files that are claimed at once.
const CLAIMS_MAX: usize = 64;

/// A directory with `temp`, `incoming` and `errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoolDir {
    pub dir: PathBuf,
}

impl SpoolDir {
    pub fn place(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the directories that are missing.
    pub fn prepare(&self) -> io::Result<()> {
        for name in ["temp", "incoming", "errors"] {
            files::make_dir(&self.place(name), 0o755)?;
        }
        Ok(())
    }
}

/// One `[[submit]]` from a spool.
struct SpoolDoor {
    spool: SpoolDir,
    door: Arc<SubmitDoor>,
    /// Begins the name of each claimed file: others claim under names of their own.
    claim: String,
    gone: CancellationToken,
}

/// A claimed file.
struct ClaimedFile {
    /// Its name in `incoming`.
    name: String,
    at: PathBuf,
    message: Bytes,
}

impl SubmitOpener for SpoolSource {
    fn shown(&self) -> String {
        self.dir.display().to_string()
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let claim = format!("intelmesh.{}.", door.name);
        let gone = CancellationToken::new();
        let spool = SpoolDir { dir: self.dir };
        door.tasks.spawn(SpoolDoor { spool, door: door.clone(), claim, gone }.run());
    }
}

impl SpoolDoor {
    /// Takes files until the node stops.
    async fn run(self) {
        let this = Arc::new(self);
        let stopping = this.door.stopping.clone();
        let mut left_over = true;
        loop {
            let (here, first) = (Arc::clone(&this), left_over);
            let looked = tokio::task::spawn_blocking(move || here.claim_files(first)).await;
            let pause = match looked {
                Err(_) => return,
                Ok(Err(error)) => {
                    this.door.counters.unreachable(format!("{}: {error}", this.spool.dir.display()));
                    Duration::from_millis(DOOR_RETRY_MS)
                }
                Ok(Ok(files)) => {
                    this.door.counters.well();
                    left_over = false;
                    let found = !files.is_empty();
                    if !this.settle(files).await {
                        return;
                    }
                    if found { Duration::ZERO } else { LOOK_EVERY }
                }
            };
            if stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Claims files, oldest names first. `left_over` also takes those that an earlier run had claimed: they come again
    /// under their ids, so that none is published twice.
    fn claim_files(&self, left_over: bool) -> io::Result<Vec<ClaimedFile>> {
        let (temp, incoming) = (self.spool.place("temp"), self.spool.place("incoming"));
        if left_over || !incoming.is_dir() {
            self.spool.prepare()?;
        }
        let mut claimed = Vec::new();
        if left_over {
            for name in names_in(&temp)? {
                if let Some(own) = name.strip_prefix(&self.claim) {
                    claimed.push((own.to_owned(), temp.join(&name)));
                }
            }
        }
        for name in names_in(&incoming)?.into_iter().take(CLAIMS_MAX) {
            let to = temp.join(format!("{}{name}", self.claim));
            match files::rename(&incoming.join(&name), &to) {
                Ok(()) => claimed.push((name, to)),
                // Another reader was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let read = claimed.into_iter().map(|(name, at)| {
            let message = read_message(&at)?;
            Ok(ClaimedFile { name, at, message })
        });
        read.collect()
    }

    /// Submits all, then makes an end of each in order. Returns false if the node stops: the rest stays claimed.
    async fn settle(&self, files: Vec<ClaimedFile>) -> bool {
        let lines = files.iter().map(|file| SocketLine::of(&file.message)).collect();
        let Some(prepared) = self.door.submitter.prepare(lines).await else { return false };
        let mut submissions = Vec::with_capacity(files.len());
        for prepared in prepared {
            submissions.push(self.door.submitter.submit(prepared).await);
        }
        for (file, submission) in files.into_iter().zip(submissions) {
            let mut outcome = submission.outcome().await;
            loop {
                match outcome {
                    SubmissionOutcome::Taken { duplicate, .. } => {
                        self.door.counters.taken(duplicate);
                        if !self.patiently(|| files::remove(&file.at)).await {
                            return false;
                        }
                        break;
                    }
                    SubmissionOutcome::Refused(error) if error.code.retry() => {
                        self.door.counters.failed(error.message);
                        let Some(again) = self.again(&file.message).await else { return false };
                        outcome = again;
                    }
                    SubmissionOutcome::Refused(error) => {
                        if !self.patiently(|| self.put_to_errors(&file, &error)).await {
                            return false;
                        }
                        self.door.counters.rejected(&self.door.record(&error).with_line(&file.message));
                        break;
                    }
                }
            }
        }
        true
    }

    async fn again(&self, message: &Bytes) -> Option<SubmissionOutcome> {
        self.door.pause(&self.gone).await?;
        self.door.submit(message).await
    }

    /// Does it until it is done; false if the node stops before.
    async fn patiently(&self, act: impl Fn() -> io::Result<()>) -> bool {
        while let Err(error) = act() {
            self.door.counters.failed(format!("{}: {error}", self.spool.dir.display()));
            if self.door.pause(&self.gone).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Moves a file to `errors`. Its reason is there first, so that no file is without one.
    fn put_to_errors(&self, file: &ClaimedFile, error: &SubmitError) -> io::Result<()> {
        let errors = self.spool.place("errors");
        let hint = error.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let why = format!("{}: {}\n{hint}", error.code, error.message);
        files::replace(&errors.join(format!("{}.why", file.name)), why.as_bytes(), 0o644)?;
        match files::rename(&file.at, &errors.join(&file.name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }
}

/// Returns the names of files, sorted: they begin with the time in Warden's filer.
fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A name that is not UTF-8 would not come back from `errors` as it was.
        if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string())
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads a message as one line: writers may have broken it into several.
fn read_message(file: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    bytes.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Ok(Bytes::copy_from_slice(bytes.trim_ascii()))
}
