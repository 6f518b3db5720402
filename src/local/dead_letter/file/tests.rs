//! What a crash or a full disk leaves of a line, and how far an attempt got.

use std::io::Write;

use super::*;
use crate::files::lines::AppendedLine;
use crate::local::read_aside;

fn record(number: u64) -> AsideRecord {
    AsideRecord::new(Timestamp(number), "door", "bad_json", "why").with_line("wörter".as_bytes())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// The times of all records that `aside list` would show, and how many lines it cannot read.
fn listed(state: &Path) -> (Vec<u64>, u64) {
    let mut times = Vec::new();
    let unreadable = read_aside(state, Some("door"), |record| times.push(record.at.0)).unwrap();
    (times, unreadable)
}

#[test]
fn a_cut_line_in_aside_costs_no_other_line() {
    let state = tempfile::tempdir().unwrap();
    let (dir, path) = (state.path().join("aside"), state.path().join("aside/door.jsonl"));
    run(async {
        let aside = DeadLetter::open(&dir, "door").unwrap();
        aside.append(record(1)).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let inside_a_letter = whole.windows(2).position(|at| at == "ö".as_bytes()).unwrap() + 1;
        for cut in [inside_a_letter, 1, whole.len() - 2] {
            let mut file = File::options().append(true).open(&path).unwrap();
            file.write_all(&whole[..cut]).unwrap();
            let before = listed(state.path());
            assert_eq!(before.1, 1, "it is passed over and counted");
            aside.append(record(cut as u64)).await.unwrap();
            let after = listed(state.path());
            assert_eq!((after.0.len(), after.1), (before.0.len() + 1, 0), "cut at {cut}");
        }
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&whole[..inside_a_letter]).unwrap();
        let aside = DeadLetter::open(&dir, "door").unwrap();
        assert_eq!(aside.status().unwrap().lines, 4);
        assert_eq!(listed(state.path()).1, 0, "the next start cuts it off");
        file.write_all(&whole[..whole.len() - 1]).unwrap();
        aside.append(record(9)).await.unwrap();
        let (times, unreadable) = listed(state.path());
        assert_eq!((times.len(), unreadable), (6, 0), "only the end of its line was missing");

        // Bytes in the middle that are not UTF-8 stay, and hide nothing.
        file.write_all(b"\xff\xfe\n").unwrap();
        aside.append(record(10)).await.unwrap();
        let mut taken_up = aside.take_up().await.unwrap().unwrap();
        assert_eq!(taken_up.next_batch().await.unwrap().len(), 8);
        assert_eq!(
            listed(state.path()),
            ([times, vec![10]].concat(), 1),
            "what is tried again is listed, too"
        );
    });
}

/// A disk that takes so many bytes more.
struct FullDisk<'f>(&'f File, usize);

impl Write for FullDisk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(self.1);
        if most == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.0.write(&bytes[..most])?;
        self.1 -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AppendedLine for FullDisk<'_> {
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_full_disk_leaves_no_half_line_in_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("door.jsonl");
    let open = || open_whole(File::options().create(true), &path, is_line).unwrap();
    let (mut file, whole) = open();
    append_whole(&mut file, whole, b"{}\n", || Ok(())).unwrap();
    for room in [0, 1, 5, 100] {
        let (file, whole) = open();
        append_whole(&mut FullDisk(&file, room), whole, b"{\"a\":1}\n", || Ok(())).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"{}\n", "with room for {room} bytes");
    }
    let (mut file, whole) = open();
    let no_name = || Err(io::ErrorKind::StorageFull.into());
    append_whole(&mut file, whole, b"{\"a\":1}\n", no_name).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"{}\n", "nor one in a file that has no name yet");
}

#[test]
fn an_attempt_that_broke_off_goes_on_behind_what_was_tried() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("aside");
    run(async {
        let aside = DeadLetter::open(&dir, "door").unwrap();
        for number in 0..3 {
            aside.append(record(number)).await.unwrap();
        }
        let mut first = aside.take_up().await.unwrap().unwrap();
        let lines = first.next_batch().await.unwrap();
        aside.tried(&first, lines[0].end).await.unwrap();
        aside.append(record(3)).await.unwrap();
        assert_eq!(aside.status().unwrap().lines, 3);
        drop((first, aside));

        let aside = DeadLetter::open(&dir, "door").unwrap();
        assert_eq!(aside.status().unwrap().lines, 3);
        assert_eq!(listed(state.path()).0, [1, 2, 3]);
        let mut second = aside.take_up().await.unwrap().unwrap();
        assert!(second.left_over);
        assert_eq!(second.next_batch().await.unwrap().len(), 2);
        aside.finish(second).await.unwrap();
        assert_eq!(aside.status().unwrap().lines, 1);
        let mut third = aside.take_up().await.unwrap().unwrap();
        assert_eq!((third.left_over, third.next_batch().await.unwrap().len()), (false, 1));
        aside.finish(third).await.unwrap();
        assert_eq!(aside.status(), None);
        assert!(aside.take_up().await.unwrap().is_none());
    });
}

/// Without its time it would be a state, which `status --ack` cannot end.
#[test]
fn attempt_that_broke_off_keeps_its_time() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("aside");
    run(async {
        let aside = DeadLetter::open(&dir, "door").unwrap();
        aside.append(record(1)).await.unwrap();
        drop((aside.take_up().await.unwrap().unwrap(), aside));
        let shown = DeadLetter::open(&dir, "door").unwrap().status().unwrap();
        assert!(shown.lines == 1 && shown.last.is_some(), "{shown:?}");
    });
}

/// Else a power cut brings the file back under its old name, and lines that went already go again.
#[test]
fn file_stays_taken_up_after_power_cut() {
    use crate::files::recorder::{self, DiskOp, each_image, note};

    let state = tempfile::tempdir().unwrap();
    let ops = recorder::record(|| {
        let aside = DeadLetter::open(&state.path().join("aside"), "door").unwrap();
        let line = |number| serde_json::to_vec(&self::record(number)).unwrap();
        aside.append_line(line(1)).unwrap();
        // What is appended is not recorded: it is there.
        let path = aside.file("jsonl");
        note(|| DiskOp::Flushed(path.clone(), std::fs::read(&path).unwrap()));
        note(|| DiskOp::SyncNames(path.parent().unwrap().to_owned()));
        aside.take_up_now().unwrap().unwrap();
        note(|| DiskOp::Told(1));
    });
    let images = each_image(state.path(), &ops, |image, told| {
        let there = ["aside/door.jsonl", "aside/door.again"].map(|file| image.contains_key(file));
        assert!(told.is_empty() || there == [false, true], "{there:?}");
    });
    assert!(images > 3, "{images}");
}
