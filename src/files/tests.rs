//! Tests the states that a power cut may leave of each operation here: every prefix of its changes, and every
//! reordering of one or two changes between two syncs.

use std::collections::BTreeSet;

use super::recorder::{CrashImage, DiskOp, each_image, lay_out, note, record};
use super::*;

fn text(image: &CrashImage, name: &str) -> Option<String> {
    image.get(name).map(|bytes| String::from_utf8(bytes.clone()).unwrap())
}

fn told(number: u64) {
    note(|| DiskOp::Told(number));
}

fn last(told: &BTreeSet<u64>) -> u64 {
    told.last().copied().unwrap_or(0)
}

#[test]
fn file_is_old_or_new_after_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made/peers/cert-ee.toml");
    let ops = record(|| {
        make_dir(dir_of(&file), 0o700).unwrap();
        create_new(&file, b"one", 0o600).unwrap();
        told(1);
        assert_eq!(create_new(&file, b"other", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace(&file, b"two", 0o600).unwrap();
        told(2);
        remove(&file).unwrap();
        told(3);
    });
    let images = each_image(dir.path(), &ops, |image, told| {
        let found = text(image, "made/peers/cert-ee.toml");
        let allowed: &[Option<&str>] = match last(told) {
            0 => &[None, Some("one")],
            1 => &[Some("one"), Some("two")],
            2 => &[Some("two"), None],
            _ => &[None],
        };
        assert!(allowed.contains(&found.as_deref()), "told {told:?}: {found:?}");
    });
    eprintln!("{images} images");
    assert!(images > 10, "{images}");
}

#[test]
fn appended_line_is_whole_and_takes_no_other_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
    let ops = record(|| {
        for number in 1..4 {
            lines::append_line(&file, format!("{{\"n\":{number}}}").into_bytes(), is_json).unwrap();
            told(number);
        }
    });
    let scratch = tempfile::tempdir().unwrap();
    let mut nth = 0;
    let images = each_image(dir.path(), &ops, |image, told| {
        nth += 1;
        let place = scratch.path().join(nth.to_string());
        lay_out(image, &place);
        fs::create_dir_all(&place).unwrap();
        // The next line after the power cut.
        lines::append_line(&place.join("audit.jsonl"), b"{\"n\":9}".to_vec(), is_json).unwrap();
        let found = fs::read_to_string(place.join("audit.jsonl")).unwrap();
        let found: Vec<&str> = found.lines().collect();
        assert_eq!(found.last(), Some(&"{\"n\":9}"), "{found:?}");
        assert!(found.iter().all(|line| is_json(line.as_bytes())), "{found:?}");
        assert!(told.iter().all(|n| found.contains(&&*format!("{{\"n\":{n}}}"))), "{told:?}: {found:?}");
    });
    eprintln!("{images} images");
}

/// Root appends in a directory of the node's account: if that account puts a link there, it must not lead to another
/// file, and nothing else is given to it.
#[test]
fn appending_follows_no_link_out_of_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let is_root = crate::ownership::is_root();
    if is_root {
        chown(place.path(), Some(65_534), Some(65_534)).unwrap();
    }
    let append = |name: &str| lines::append_line(&place.path().join(name), b"{}".to_vec(), |_| true);
    let missing = elsewhere.path().join("ld.so.preload");
    symlink(&missing, place.path().join("to-none.jsonl")).unwrap();
    assert!(append("to-none.jsonl").is_err());
    assert!(!missing.exists(), "no file is made elsewhere");

    let there = elsewhere.path().join("there");
    fs::write(&there, "cut by an editor").unwrap();
    symlink(&there, place.path().join("to-file.jsonl")).unwrap();
    assert!(append("to-file.jsonl").is_err());
    if is_root {
        let hard = elsewhere.path().join("empty");
        fs::write(&hard, "").unwrap();
        fs::hard_link(&hard, place.path().join("hard.jsonl")).unwrap();
        assert!(append("hard.jsonl").is_err());
        let data = fs::metadata(&hard).unwrap();
        assert_eq!((data.uid(), data.len()), (0, 0), "an empty file of root's stays root's");
    }
    assert_eq!(fs::read_to_string(&there).unwrap(), "cut by an editor");

    append("audit.jsonl").unwrap();
    let (made, of_dir) = (fs::metadata(place.path().join("audit.jsonl")), fs::metadata(place.path()));
    assert_eq!(made.unwrap().uid(), of_dir.unwrap().uid());
}

/// A half-removed directory of a day would be taken for a damaged one.
#[test]
fn directory_is_whole_or_gone_after_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("2026-11-24");
    let ops = record(|| {
        make_dir(&day, 0o700).unwrap();
        for name in ["db", "filter-0"] {
            replace(&day.join(name), name.as_bytes(), 0o600).unwrap();
        }
        told(1);
        remove_dir(&day).unwrap();
        told(2);
    });
    each_image(dir.path(), &ops, |image, told| {
        let there = ["2026-11-24/db", "2026-11-24/filter-0"].map(|name| image.contains_key(name));
        match last(told) {
            0 => {}
            1 => assert_eq!(there[0], there[1], "{image:?}"),
            _ => assert_eq!(there, [false, false], "{image:?}"),
        }
    });
    make_dir(&gone_name(&day), 0o700).unwrap();
    finish_removing(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// The unfinished file has a name that says nothing to an operator.
#[test]
fn an_error_names_no_unfinished_file() {
    let dir = tempfile::tempdir().unwrap();
    let error = replace(&dir.path().join("nosuch/file"), b"x", 0o600).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    assert_eq!(hint_of(&io::ErrorKind::StorageFull.into()).map(|hint| hint.contains("df -i")), Some(true));
    assert_eq!(hint_of(&error), None);
}
