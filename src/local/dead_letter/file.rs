//! Writes `aside/NAME.jsonl` of one door: a line is there whole and synced, or not at all, even after a crash or a full
//! disk. For a retry the file moves to `NAME.again`, and its progress is in `NAME.done`. So nothing is tried a second
//! time if the retry breaks off. `record` defines the lines.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{AsideRecord, DONE_DIGITS, done_in};
use crate::files;
use crate::files::lines::{append_whole, open_whole};
use crate::limits::ASIDE_FILE_BYTES_MAX;
use crate::status::DoorAside;
use crate::time::Timestamp;

/// Lines that are read at once …
const BATCH_LINES: usize = 64;
/// … or bytes of them; one line always is.
const BATCH_BYTES: usize = 1024 * 1024;

/// The files of one door.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    dir: PathBuf,
    name: String,
    /// Held over each write and its sync: two lines that came together are still two.
    writing: Mutex<DeadLetterWriter>,
    /// Never held while the disk is waited for: status asks on the core's loop.
    shown: Mutex<ShownLetter>,
    /// Held while these lines are tried again.
    pub retrying: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct DeadLetterWriter {
    /// True if the file's name is on disk, as far as this process knows.
    is_named: bool,
}

#[derive(Debug, Default)]
struct ShownLetter {
    /// Lines in the file.
    lines: u64,
    /// Lines that were taken up to be tried again, and were not tried yet.
    taken_up: u64,
    last: Option<Timestamp>,
}

/// Lines that were moved out of the way, to be tried again.
#[derive(Debug)]
pub(crate) struct TakenUp {
    reader: Option<BufReader<File>>,
    /// The offset at which the next line begins.
    next: u64,
    done: File,
    /// An attempt before this one broke off here.
    pub left_over: bool,
}

/// One line of the file, and the offset at which it ends.
#[derive(Debug)]
pub(crate) struct TakenLine {
    pub bytes: Vec<u8>,
    pub end: u64,
}

impl DeadLetter {
    /// Opens the files of the door `name` in `dir`, and counts what an earlier run left there.
    ///
    /// # Errors
    /// Returns an error if a file exists and cannot be read.
    pub(crate) fn open(dir: &Path, name: &str) -> io::Result<Arc<Self>> {
        let aside = Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            writing: Mutex::default(),
            shown: Mutex::default(),
            retrying: tokio::sync::Mutex::default(),
        };
        match open_whole(&mut File::options(), &aside.file("jsonl"), is_line) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        aside.count()?;
        Ok(Arc::new(aside))
    }

    fn writing(&self) -> MutexGuard<'_, DeadLetterWriter> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, ShownLetter> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, end: &str) -> PathBuf {
        self.dir.join(format!("{}.{end}", self.name))
    }

    fn count(&self) -> io::Result<()> {
        let lines = count_lines(&self.file("jsonl"), 0)?;
        let taken_up = count_lines(&self.file("again"), done_in(&self.file("done")))?;
        let mut shown = self.shown();
        (shown.lines, shown.taken_up) = (lines, taken_up);
        if shown.last.is_none() && lines + taken_up > 0 {
            // Of an earlier process: it happened when the file was written last. An attempt that broke off leaves
            // `NAME.again` alone.
            let data = ["jsonl", "again"].iter().find_map(|end| std::fs::metadata(self.file(end)).ok());
            shown.last = data.map(|data| {
                let ms = data.mtime().max(0).unsigned_abs() * 1_000;
                Timestamp(ms + data.mtime_nsec().max(0).unsigned_abs() / 1_000_000)
            });
        }
        Ok(())
    }

    /// Runs `what` on a worker that may wait for the disk.
    async fn on_a_worker<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = self.clone();
        let doing = tokio::task::spawn_blocking(move || what(&shared));
        doing.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }

    /// Appends one line and syncs it.
    ///
    /// # Errors
    /// Returns an error, and sets nothing aside, if the disk is full or the file has reached its bound.
    pub(crate) async fn append(self: &Arc<Self>, record: AsideRecord) -> io::Result<()> {
        let append = move |aside: &Self| {
            aside.append_line(serde_json::to_vec(&record)?)?;
            aside.shown().last = Some(record.at);
            Ok(())
        };
        self.on_a_worker(append).await
    }

    /// Appends several with one write: all of them are set aside, or none.
    ///
    /// # Errors
    /// The same as [`DeadLetter::append`].
    pub(crate) async fn append_all(self: &Arc<Self>, records: Vec<AsideRecord>) -> io::Result<()> {
        let append = move |aside: &Self| {
            let lines: Vec<Vec<u8>> = records.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
            aside.append_lines(lines.join(&b'\n'), lines.len() as u64)?;
            if let Some(last) = records.last() {
                aside.shown().last = Some(last.at);
            }
            Ok(())
        };
        self.on_a_worker(append).await
    }

    /// Puts a line back that was taken up and cannot be tried.
    ///
    /// # Errors
    /// The same as [`DeadLetter::append`].
    pub(crate) async fn put_back(self: &Arc<Self>, line: Vec<u8>) -> io::Result<()> {
        self.on_a_worker(move |aside| aside.append_line(line)).await
    }

    fn append_line(&self, line: Vec<u8>) -> io::Result<()> {
        self.append_lines(line, 1)
    }

    /// Appends `line`, which may be several, with line breaks between them.
    fn append_lines(&self, mut line: Vec<u8>, count: u64) -> io::Result<()> {
        line.push(b'\n');
        let mut writing = self.writing();
        let path = self.file("jsonl");
        if !path.exists() {
            writing.is_named = false;
            self.shown().lines = 0;
        }
        if !writing.is_named {
            files::make_dir(&self.dir, 0o700)?;
        }
        let (mut file, whole) = open_whole(File::options().create(true).mode(0o600), &path, is_line)?;
        if whole + line.len() as u64 > ASIDE_FILE_BYTES_MAX {
            let what = format!("{} is full: see to it, then move it away", path.display());
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        append_whole(&mut file, whole, &line, || {
            if writing.is_named { Ok(()) } else { files::sync_names(&self.dir) }
        })?;
        writing.is_named = true;
        self.shown().lines += count;
        Ok(())
    }

    /// Moves the file out of the way, so that everything in it can be tried again. Lines that an interrupted attempt
    /// left come first.
    ///
    /// # Errors
    /// Returns errors of the file system.
    pub(crate) async fn take_up(self: &Arc<Self>) -> io::Result<Option<TakenUp>> {
        self.on_a_worker(Self::take_up_now).await
    }

    fn take_up_now(&self) -> io::Result<Option<TakenUp>> {
        let _writing = self.writing();
        let (file, again) = (self.file("jsonl"), self.file("again"));
        let left_over = again.exists();
        if !left_over && !file.exists() {
            return Ok(None);
        }
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let done = options.open(self.file("done"))?;
        if !left_over {
            // Before the file moves: the progress of another file does not count for this one.
            write_done(&done, 0)?;
            done.sync_data()?;
            // On disk before the first line is tried: else a power cut brings all of them back.
            files::rename(&file, &again)?;
            let mut shown = self.shown();
            shown.taken_up = std::mem::take(&mut shown.lines);
        }
        let next = done_in(&self.file("done"));
        let mut file = File::open(again)?;
        file.seek(io::SeekFrom::Start(next))?;
        Ok(Some(TakenUp { reader: Some(BufReader::new(file)), next, done, left_over }))
    }

    /// Notes that everything up to the end of this line was tried. The note is on disk when this returns, so a power
    /// cut repeats at most the line with an answer that was not noted.
    ///
    /// # Errors
    /// Returns errors of the file system.
    pub(crate) async fn tried(self: &Arc<Self>, taken_up: &TakenUp, line: u64) -> io::Result<()> {
        let done = taken_up.done.try_clone()?;
        self.on_a_worker(move |_| write_done(&done, line).and_then(|()| done.sync_data())).await?;
        let mut shown = self.shown();
        shown.taken_up = shown.taken_up.saturating_sub(1);
        Ok(())
    }

    /// Ends a retry in which all lines were tried.
    ///
    /// # Errors
    /// Returns errors of the file system.
    pub(crate) async fn finish(self: &Arc<Self>, taken_up: TakenUp) -> io::Result<()> {
        drop(taken_up);
        let finish = |aside: &Self| {
            let _writing = aside.writing();
            // In this order, each on disk before the next: without its place all would be tried again.
            files::remove(&aside.file("again"))?;
            files::remove(&aside.file("done"))?;
            aside.count()
        };
        self.on_a_worker(finish).await
    }

    /// Takes notice of files that the operator has moved away. Asks the disk.
    pub(crate) fn look(&self) {
        // A writer at this moment takes notice as well.
        let Ok(_writing) = self.writing.try_lock() else { return };
        let (lines, again) = (self.file("jsonl").exists(), self.file("again").exists());
        let mut shown = self.shown();
        if !lines {
            shown.lines = 0;
        }
        if !again {
            shown.taken_up = 0;
        }
    }

    /// Returns what status shows; `None` if nothing waits there.
    pub(crate) fn status(&self) -> Option<DoorAside> {
        let shown = self.shown();
        let (file, lines) = (format!("aside/{}.jsonl", self.name), shown.lines + shown.taken_up);
        (lines > 0).then_some(DoorAside { file, lines, last: shown.last })
    }
}

impl TakenUp {
    /// Returns the next lines; none at the end.
    ///
    /// # Errors
    /// Returns errors of the file system.
    pub(crate) async fn next_batch(&mut self) -> io::Result<Vec<TakenLine>> {
        let Some(mut reader) = self.reader.take() else { return Ok(Vec::new()) };
        let mut next = self.next;
        let reading = tokio::task::spawn_blocking(move || {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
                let mut line = Vec::new();
                let read = reader.read_until(b'\n', &mut line)?;
                if read == 0 {
                    break;
                }
                next += read as u64;
                bytes += read;
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                batch.push(TakenLine { bytes: line, end: next });
            }
            io::Result::Ok((reader, batch, next))
        });
        let (reader, batch, next) =
            reading.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
        (self.reader, self.next) = (Some(reader), next);
        Ok(batch)
    }
}

fn write_done(file: &File, done: u64) -> io::Result<()> {
    file.write_all_at(format!("{done:0DONE_DIGITS$}\n").as_bytes(), 0)
}

/// Returns true if this is a line that only lacks its end.
fn is_line(bytes: &[u8]) -> bool {
    serde_json::from_slice::<AsideRecord>(bytes).is_ok()
}

/// Counts the lines of a file from `from` on; 0 if the file does not exist.
fn count_lines(path: &Path, from: u64) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    file.seek(io::SeekFrom::Start(from))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

#[cfg(test)]
mod tests;
