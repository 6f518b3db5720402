//! Every change of a file that a test makes, in order, and what a power cut may leave of them. A recording is this
//! thread's alone. A database of another library is modelled by what it was when it was last flushed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub enum DiskOp {
    MakeDir(PathBuf),
    /// Made, or emptied.
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Length(PathBuf, u64),
    SyncBytes(PathBuf),
    SyncNames(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    RemoveTree(PathBuf),
    /// Another library flushed its files in this directory; they are read when it is noted.
    Foreign(PathBuf),
    Flushed(PathBuf, Vec<u8>),
    /// The test was told that something is durable: its number.
    Told(u64),
}

thread_local! {
    static RECORDING: RefCell<Option<Vec<DiskOp>>> = const { RefCell::new(None) };
}

/// Notes what was done just now, if this thread records.
pub fn note(op: impl FnOnce() -> DiskOp) {
    RECORDING.with_borrow_mut(|recording| {
        let Some(ops) = recording else { return };
        match op() {
            DiskOp::Foreign(dir) => ops.extend(flushed_in(&dir)),
            op => ops.push(op),
        }
    });
}

/// Notes that a new file was written whole and synced.
pub fn note_whole(file: &Path, bytes: &[u8]) {
    note(|| DiskOp::Create(file.to_owned()));
    note(|| DiskOp::Write(file.to_owned(), 0, bytes.to_vec()));
    note(|| DiskOp::SyncBytes(file.to_owned()));
}

/// Notes that a line is appended behind `whole` bytes and synced.
pub fn note_appended(file: &Path, whole: u64, line: &[u8]) {
    if whole == 0 {
        note(|| DiskOp::Create(file.to_owned()));
    }
    note(|| DiskOp::Length(file.to_owned(), whole));
    note(|| DiskOp::Write(file.to_owned(), whole, line.to_vec()));
    note(|| DiskOp::SyncBytes(file.to_owned()));
}

fn flushed_in(dir: &Path) -> Vec<DiskOp> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name == "db" || name == "conf" || name.starts_with("snap.")
    };
    let files = entries.filter(|path| path.is_file()).filter(own);
    files.filter_map(|path| fs::read(&path).ok().map(|bytes| DiskOp::Flushed(path, bytes))).collect()
}

/// Records what `run` does.
pub fn record(run: impl FnOnce()) -> Vec<DiskOp> {
    RECORDING.set(Some(Vec::new()));
    run();
    RECORDING.take().unwrap_or_default()
}

type Id = usize;

#[derive(Clone, Debug, Default)]
struct RecordedNode {
    /// Bytes, or names: of which kind it is, its use says.
    bytes: Vec<u8>,
    names: BTreeMap<String, Id>,
    is_dir: bool,
}

#[derive(Clone, Debug)]
enum UnsyncedOps {
    Write(Id, u64, Vec<u8>),
    Length(Id, u64),
    Named(Id, String, Id),
    Unnamed(Id, String),
    Moved { from: (Id, String), to: (Id, String), id: Id },
}

/// A directory as the cache has it and as the disk has it.
#[derive(Clone, Debug)]
pub struct RecordedVolume {
    root: PathBuf,
    now: Vec<RecordedNode>,
    disk: Vec<RecordedNode>,
    unsynced: Vec<UnsyncedOps>,
}

/// The files of one image, by path below the root; a directory ends in `/`.
pub type CrashImage = BTreeMap<String, Vec<u8>>;

impl RecordedVolume {
    pub fn new(root: &Path) -> Self {
        let dir = RecordedNode { is_dir: true, ..RecordedNode::default() };
        Self { root: root.to_owned(), now: vec![dir.clone()], disk: vec![dir], unsynced: Vec::new() }
    }

    fn find(&self, path: &Path) -> Option<Id> {
        let below = path.strip_prefix(&self.root).ok()?;
        let mut at = 0;
        for part in below.iter().map(|part| part.to_string_lossy()) {
            at = *self.now[at].names.get(&*part)?;
        }
        Some(at)
    }

    /// Returns the directory of `path`, and its name there; `None` if it is outside of the root.
    fn place(&self, path: &Path) -> Option<(Id, String)> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((self.find(path.parent()?)?, name))
    }

    fn add(&mut self, path: &Path, is_dir: bool) {
        let Some((dir, name)) = self.place(path) else { return };
        let id = self.now.len();
        self.now.push(RecordedNode { is_dir, ..RecordedNode::default() });
        self.disk.push(RecordedNode { is_dir, ..RecordedNode::default() });
        self.now[dir].names.insert(name.clone(), id);
        self.unsynced.push(UnsyncedOps::Named(dir, name, id));
    }

    pub fn apply(&mut self, op: &DiskOp) {
        match op {
            DiskOp::MakeDir(path) => self.add(path, true),
            DiskOp::Create(path) => self.add(path, false),
            DiskOp::Flushed(path, bytes) => {
                if self.find(path).is_none() {
                    self.add(path, false);
                }
                let Some(id) = self.find(path) else { return };
                self.now[id].bytes.clone_from(bytes);
                self.disk[id].bytes.clone_from(bytes);
            }
            DiskOp::Write(path, at, bytes) => {
                let Some(id) = self.find(path) else { return };
                overlay(&mut self.now[id].bytes, *at, bytes);
                self.unsynced.push(UnsyncedOps::Write(id, *at, bytes.clone()));
            }
            DiskOp::Length(path, length) => {
                let Some(id) = self.find(path) else { return };
                self.now[id].bytes.resize(*length as usize, 0);
                self.unsynced.push(UnsyncedOps::Length(id, *length));
            }
            DiskOp::SyncBytes(path) => {
                let Some(id) = self.find(path) else { return };
                self.settle(
                    |change| matches!(change, UnsyncedOps::Write(of, ..) | UnsyncedOps::Length(of, _) if *of == id),
                );
            }
            DiskOp::SyncNames(path) => {
                let Some(dir) = self.find(path) else { return };
                self.settle(|change| match change {
                    UnsyncedOps::Named(of, ..) | UnsyncedOps::Unnamed(of, _) => *of == dir,
                    UnsyncedOps::Moved { from, to, .. } => from.0 == dir || to.0 == dir,
                    _ => false,
                });
            }
            DiskOp::Rename(from, to) => {
                let (Some(from), Some(to)) = (self.place(from), self.place(to)) else { return };
                let Some(id) = self.now[from.0].names.remove(&from.1) else { return };
                self.now[to.0].names.insert(to.1.clone(), id);
                self.unsynced.push(UnsyncedOps::Moved { from, to, id });
            }
            DiskOp::Remove(path) | DiskOp::RemoveTree(path) => {
                let Some((dir, name)) = self.place(path) else { return };
                if self.now[dir].names.remove(&name).is_some() {
                    self.unsynced.push(UnsyncedOps::Unnamed(dir, name));
                }
            }
            DiskOp::Foreign(_) | DiskOp::Told(_) => {}
        }
    }

    fn settle(&mut self, of: impl Fn(&UnsyncedOps) -> bool) {
        for change in self.unsynced.extract_if(.., |change| of(change)).collect::<Vec<_>>() {
            reach(&mut self.disk, &change, usize::MAX);
        }
    }

    /// Returns the content of the disk if `keeps` bytes of each unsynced change reach it (of a name: if not 0).
    pub fn image(&self, keeps: impl Fn(usize) -> usize) -> CrashImage {
        let mut disk = self.disk.clone();
        for (nth, change) in self.unsynced.iter().enumerate() {
            let kept = keeps(nth);
            if kept > 0 {
                reach(&mut disk, change, kept);
            }
        }
        let mut image = CrashImage::new();
        collect(&disk, 0, "", &mut image);
        image
    }
}

fn overlay(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

fn reach(disk: &mut [RecordedNode], change: &UnsyncedOps, keep: usize) {
    match change {
        UnsyncedOps::Write(id, at, bytes) => {
            overlay(&mut disk[*id].bytes, *at, &bytes[..keep.min(bytes.len())])
        }
        UnsyncedOps::Length(id, length) => disk[*id].bytes.resize(*length as usize, 0),
        UnsyncedOps::Named(dir, name, id) => drop(disk[*dir].names.insert(name.clone(), *id)),
        UnsyncedOps::Unnamed(dir, name) => drop(disk[*dir].names.remove(name)),
        UnsyncedOps::Moved { from, to, id } => {
            if disk[from.0].names.get(&from.1) == Some(id) {
                disk[from.0].names.remove(&from.1);
            }
            disk[to.0].names.insert(to.1.clone(), *id);
        }
    }
}

fn collect(disk: &[RecordedNode], id: Id, path: &str, image: &mut CrashImage) {
    for (name, child) in &disk[id].names {
        if disk[*child].is_dir {
            let below = format!("{path}{name}/");
            collect(disk, *child, &below, image);
            image.insert(below, Vec::new());
        } else {
            image.insert(format!("{path}{name}"), disk[*child].bytes.clone());
        }
    }
}

/// Writes an image into an empty directory.
pub fn lay_out(image: &CrashImage, into: &Path) {
    for (path, bytes) in image {
        let path = into.join(path.trim_end_matches('/'));
        match image.contains_key(&format!("{}/", path.strip_prefix(into).unwrap().display())) {
            true => fs::create_dir_all(&path).unwrap(),
            false => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
            }
        }
    }
}

/// Visits what a power cut may leave, after each operation: all that is unsynced lost, all kept, and all subsets that
/// lack or keep one or two changes, or have one torn in the middle. Each image once, with the numbers that were told
/// before. Returns how many there were.
pub fn each_image(root: &Path, ops: &[DiskOp], mut visit: impl FnMut(&CrashImage, &BTreeSet<u64>)) -> usize {
    let (mut volume, mut told, mut known) = (RecordedVolume::new(root), BTreeSet::new(), HashSet::new());
    let mut images = 0;
    for op in [None].into_iter().chain(ops.iter().map(Some)) {
        if let Some(op) = op {
            volume.apply(op);
        }
        if let Some(DiskOp::Told(number)) = op {
            told.insert(*number);
        }
        let count = volume.unsynced.len();
        let mut look = |keeps: &dyn Fn(usize) -> usize| {
            let image = volume.image(keeps);
            let mut hash = DefaultHasher::new();
            (&image, &told).hash(&mut hash);
            if known.insert(hash.finish()) {
                images += 1;
                visit(&image, &told);
            }
        };
        look(&|_| 0);
        look(&|_| usize::MAX);
        let all = |keep: bool| if keep { usize::MAX } else { 0 };
        for one in 0..count {
            if let UnsyncedOps::Write(_, _, bytes) = &volume.unsynced[one] {
                look(&|nth| if nth == one { bytes.len() / 2 } else { usize::MAX });
                look(&|nth| if nth == one { bytes.len() / 2 } else { 0 });
            }
            for two in one..count {
                look(&|nth| all(nth != one && nth != two));
                look(&|nth| all(nth == one || nth == two));
            }
        }
    }
    images
}
