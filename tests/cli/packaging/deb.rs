//! The Debian package, in a root of its own: installed, followed through the first page of the documents, upgraded to the
//! same program under a higher version, and purged. The root is this machine's, with every change in memory. Needs root and cargo-deb.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Stopwatch, free_port};
use tempfile::TempDir;

use crate::layout::said;

/// From `apt install` to an event exchanged, without the human: five minutes are promised with one.
const FIRST_EXCHANGE: Duration = Duration::from_secs(120);

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the package from the program that the tests run.
fn package(place: &Path) -> PathBuf {
    let mut build = Command::new(top().join("contrib/package"));
    build.args(["--profile", "ci", "--version", "9.0.0"]);
    let built = said(build, "");
    assert_eq!(built.code, 0, "cargo-deb is needed (./tests/run tools): {built:?}");
    let kept = place.join("intelmesh_9.0.0_amd64.deb");
    fs::copy(built.stdout.lines().last().unwrap(), &kept).unwrap();
    kept
}

fn dpkg_deb(args: &[&Path]) {
    let done = Command::new("dpkg-deb").args(args).status().unwrap();
    assert!(done.success(), "dpkg-deb {args:?}");
}

/// The same package with a lower version.
fn older(place: &Path, package: &Path) -> PathBuf {
    let (parts, older) = (place.join("parts"), place.join("intelmesh_0.0.1_amd64.deb"));
    dpkg_deb(&["-R".as_ref(), package, parts.as_path()]);
    let control = parts.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    fs::write(control, text.replace("Version: 9.0.0", "Version: 0.0.1")).unwrap();
    dpkg_deb(&["-Zgzip".as_ref(), "-z1".as_ref(), "-b".as_ref(), parts.as_path(), older.as_path()]);
    older
}

#[test]
fn the_package_is_installed_used_upgraded_and_purged() {
    let place = TempDir::new().unwrap();
    let new = package(place.path());
    let old = older(place.path(), &new);
    let contents = Command::new("dpkg-deb").arg("--contents").arg(&new).output().unwrap();
    let contents = String::from_utf8(contents.stdout).unwrap();
    for path in ["man/man1/intelmesh-status.1.gz", "man/man5/intelmesh.toml.5.gz", "completions/intelmesh"] {
        assert!(contents.contains(path), "{path} in {contents}");
    }
    let mut walk = Command::new("unshare");
    walk.args(["--mount", "--propagation", "private", "bash"]).arg(top().join("tests/cli/packaging/deb.sh"));
    walk.args([&old, &new]).arg(top().join("docs/howto/first-events.md"));
    walk.args([free_port().to_string(), free_port().to_string()]);
    let watch = Stopwatch::start();
    let walked = said(walk, "");
    assert_eq!(walked.code, 0, "{}\n{}", walked.stdout, walked.stderr);
    assert!(watch.elapsed() < FIRST_EXCHANGE, "{:?}", watch.elapsed());
}
