//! The door from a directory as Warden's filer uses it: `incoming` has whole files, one message each. A file is claimed
//! by renaming it into `temp` (`claim`), and deleted once the node has it on disk. What is refused for good goes to
//! `errors`, with a text beside it that says why. Formats and ids are not known here.

mod claim;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use claim::{ClaimedFile, Claims, SpoolFiles};

use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::submission::SubmissionOutcome;
use crate::door::SpoolSource;
use crate::files;
use crate::limits::DOOR_RETRY_MS;
use crate::local::dead_letter::record::AsideRecord;
use crate::local::framing::SocketLine;
use crate::local::spool_dir::SpoolDir;

/// Pause between two looks at an empty directory.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// One `[[submit]]` from a spool.
struct SpoolDoor {
    files: SpoolFiles,
    door: Arc<SubmitDoor>,
    gone: CancellationToken,
}

impl SubmitOpener for SpoolSource {
    fn shown(&self) -> String {
        self.dir.display().to_string()
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let files = SpoolFiles::new(SpoolDir { dir: self.dir }, &door.name);
        door.tasks.spawn(SpoolDoor { files, door: door.clone(), gone: CancellationToken::new() }.run());
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
            let looked = tokio::task::spawn_blocking(move || here.files.claim(first)).await;
            let pause = match looked {
                Err(_) => return,
                Ok(Err(error)) => {
                    this.door.counters.unreachable(this.shown(&error));
                    left_over = true;
                    Duration::from_millis(DOOR_RETRY_MS)
                }
                Ok(Ok(claims)) => {
                    this.note(&claims);
                    // A file that could not be read for now is claimed already.
                    left_over = claims.has_more || claims.stays.is_some();
                    let pause = match (claims.files.is_empty(), claims.stays.is_some()) {
                        (false, _) => Duration::ZERO,
                        (true, true) => Duration::from_millis(DOOR_RETRY_MS),
                        (true, false) => LOOK_EVERY,
                    };
                    if !this.settle(claims.files).await {
                        return;
                    }
                    pause
                }
            };
            if stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    fn shown(&self, what: &dyn std::fmt::Display) -> String {
        format!("{}: {what}", self.files.spool.dir.display())
    }

    /// Passes on to status which files are in `errors` or stay where they are.
    fn note(&self, claims: &Claims) {
        match (&claims.stays, claims.shown_skipped()) {
            (Some(what), _) => self.door.counters.unreachable(self.shown(what)),
            (None, Some(what)) => self.door.counters.works_but(self.shown(&what)),
            (None, None) => self.door.counters.well(),
        }
        for why in &claims.unreadable {
            let at = self.door.submitter.now().wall;
            self.door.counters.rejected(&AsideRecord::new(at, &self.door.name, "unreadable", why));
        }
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
                        let hint = error.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
                        let why = format!("{}: {}\n{hint}", error.code, error.message);
                        if !self.patiently(|| self.files.put_to_errors(&file.name, &file.at, &why)).await {
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
            self.door.counters.failed(self.shown(&error));
            if self.door.pause(&self.gone).await.is_none() {
                return false;
            }
        }
        true
    }
}
